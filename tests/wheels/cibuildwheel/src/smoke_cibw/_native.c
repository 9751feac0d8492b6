#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *gcd(PyObject *self, PyObject *arguments)
{
	long long a, b;
	(void)self;
	if (!PyArg_ParseTuple(arguments, "LL", &a, &b))
		return NULL;
	while (b) {
		long long rest = a % b;
		a = b;
		b = rest;
	}
	return PyLong_FromLongLong(a < 0 ? -a : a);
}

static PyMethodDef methods[] = {
	{"gcd", gcd, METH_VARARGS, "the greatest common divisor of two ints of 64 bits"},
	{NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030D0000
	{Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
	{0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&module);
}
