/* What the Rust module beside it asks of libc, asked from C: times of files, the clock, waits with a timeout. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

static long long clock_ns(clockid_t which)
{
	struct timespec moment;
	clock_gettime(which, &moment);
	return moment.tv_sec * 1000000000LL + moment.tv_nsec;
}

static PyObject *modified(PyObject *self, PyObject *argument)
{
	(void)self;
	struct stat found;
	const char *path = PyUnicode_AsUTF8(argument);
	if (!path)
		return NULL;
	if (stat(path, &found))
		return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
	return Py_BuildValue("(Ll)", (long long)found.st_mtim.tv_sec, (long)found.st_mtim.tv_nsec);
}

static PyObject *now(PyObject *self, PyObject *unused)
{
	(void)self, (void)unused;
	return PyFloat_FromDouble((double)clock_ns(CLOCK_REALTIME) / 1e9);
}

static void wait_condition(long long nanoseconds)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_condattr_t attributes;
	pthread_cond_t condition;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&condition, &attributes);
	long long end = clock_ns(CLOCK_MONOTONIC) + nanoseconds;
	struct timespec until = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
	pthread_mutex_lock(&mutex);
	while (pthread_cond_timedwait(&condition, &mutex, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&mutex);
}

static void wait_sleep(long long nanoseconds)
{
	struct timespec left = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static PyObject *waits(PyObject *self, PyObject *argument)
{
	(void)self;
	long long nanoseconds = PyLong_AsLongLong(argument);
	if (nanoseconds == -1 && PyErr_Occurred())
		return NULL;
	long long start, slept, waited;
	Py_BEGIN_ALLOW_THREADS
	start = clock_ns(CLOCK_MONOTONIC);
	wait_sleep(nanoseconds);
	slept = clock_ns(CLOCK_MONOTONIC);
	wait_condition(nanoseconds);
	waited = clock_ns(CLOCK_MONOTONIC);
	Py_END_ALLOW_THREADS
	return Py_BuildValue("{s:L,s:L}", "sleep", slept - start, "condition", waited - slept);
}

static PyMethodDef methods[] = {
	{"modified", modified, METH_O, "(seconds, nanoseconds) of a path's last change"},
	{"now", now, METH_NOARGS, "seconds since the epoch"},
	{"waits", waits, METH_O, "nanoseconds that waits of so many nanoseconds took, by name"},
	{NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030D0000
	{Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
	{0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "_c", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__c(void)
{
	return PyModuleDef_Init(&module);
}
