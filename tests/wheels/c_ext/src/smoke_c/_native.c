/* What a C extension takes from libc, in ways that show a wrong ABI: structures, widths, threads. */
#define _GNU_SOURCE 1 /* timegm; as pyconfig.h has it */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#define THREADS 4

struct part {
	long from, to;
	long long sum;
};

static void *add(void *argument)
{
	struct part *part = argument;
	for (long i = part->from; i < part->to; i++)
		part->sum += i;
	return NULL;
}

static PyObject *sum_in_threads(PyObject *self, PyObject *argument)
{
	(void)self;
	long count = PyLong_AsLong(argument);
	if (count == -1 && PyErr_Occurred())
		return NULL;
	pthread_t threads[THREADS];
	struct part parts[THREADS];
	long long sum = 0;
	int error = 0, made = 0;
	Py_BEGIN_ALLOW_THREADS
	for (; made < THREADS && !error; made += !error) {
		parts[made] = (struct part){count / THREADS * made, count / THREADS * (made + 1), 0};
		error = pthread_create(&threads[made], NULL, add, &parts[made]);
	}
	for (int i = 0; i < made; i++) {
		pthread_join(threads[i], NULL);
		sum += parts[i].sum;
	}
	Py_END_ALLOW_THREADS
	if (error)
		return PyErr_Format(PyExc_OSError, "pthread_create: %s", strerror(error));
	return PyLong_FromLongLong(sum);
}

static PyObject *status(PyObject *self, PyObject *argument)
{
	(void)self;
	struct stat found;
	const char *path = PyUnicode_AsUTF8(argument);
	if (!path)
		return NULL;
	if (stat(path, &found))
		return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
	return Py_BuildValue("(LLl)", (long long)found.st_size, (long long)found.st_mtim.tv_sec,
			     (long)found.st_mtim.tv_nsec);
}

static PyObject *now(PyObject *self, PyObject *unused)
{
	(void)self, (void)unused;
	struct timespec moment;
	if (clock_gettime(CLOCK_REALTIME, &moment))
		return PyErr_SetFromErrno(PyExc_OSError);
	return PyFloat_FromDouble((double)moment.tv_sec + (double)moment.tv_nsec / 1e9);
}

static PyObject *widths(PyObject *self, PyObject *unused)
{
	(void)self, (void)unused;
	return Py_BuildValue("{s:n,s:n,s:n}", "time_t", (Py_ssize_t)sizeof(time_t), "off_t",
			     (Py_ssize_t)sizeof(off_t), "pointer", (Py_ssize_t)sizeof(void *));
}

/* Through libc's calendar and back: what a 32-bit time_t, or one that only some of the calls agree on, gets wrong. */
static PyObject *calendar(PyObject *self, PyObject *argument)
{
	(void)self;
	long long seconds = PyLong_AsLongLong(argument);
	if (seconds == -1 && PyErr_Occurred())
		return NULL;
	time_t moment = (time_t)seconds;
	struct tm parts;
	if (!gmtime_r(&moment, &parts))
		return PyErr_SetFromErrno(PyExc_OSError);
	int year = parts.tm_year + 1900;
	return Py_BuildValue("(iL)", year, (long long)timegm(&parts));
}

static PyObject *variable(PyObject *self, PyObject *argument)
{
	(void)self;
	const char *name = PyUnicode_AsUTF8(argument);
	if (!name)
		return NULL;
	const char *value = getenv(name);
	return PyUnicode_FromString(value ? value : "");
}

static PyMethodDef methods[] = {
	{"sum_in_threads", sum_in_threads, METH_O, "sum of range(n), n a multiple of 4, in four POSIX threads"},
	{"status", status, METH_O, "(size, seconds, nanoseconds) of a path, by stat(2)"},
	{"calendar", calendar, METH_O, "(year, the same seconds again) of seconds since the epoch, by gmtime_r and timegm"},
	{"now", now, METH_NOARGS, "seconds since the epoch, by clock_gettime(2)"},
	{"widths", widths, METH_NOARGS, "bytes of time_t, off_t and a pointer"},
	{"variable", variable, METH_O, "an environment variable, by getenv(3)"},
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
