// What a C++ extension takes from libstdc++ and libgcc_s: both end up in the repaired wheel.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<long> released{0};
struct Guard {
	long value = 0;
	~Guard() { released += value; }
};
thread_local Guard guard; // its destructor wants __cxa_thread_atexit

template <typename Work> PyObject *translated(Work work)
{
	try {
		return work();
	} catch (const std::out_of_range &error) {
		PyErr_SetString(PyExc_OverflowError, error.what());
	} catch (const std::invalid_argument &error) {
		PyErr_SetString(PyExc_ValueError, error.what());
	} catch (const std::filesystem::filesystem_error &error) {
		PyErr_SetString(PyExc_OSError, error.what());
	} catch (const std::exception &error) {
		PyErr_SetString(PyExc_RuntimeError, error.what());
	}
	return nullptr;
}

PyObject *number(PyObject *, PyObject *argument)
{
	const char *text = PyUnicode_AsUTF8(argument);
	if (!text)
		return nullptr;
	return translated([text] { return PyLong_FromLong(std::stoi(text)); });
}

PyObject *words(PyObject *, PyObject *argument)
{
	const char *path = PyUnicode_AsUTF8(argument);
	if (!path)
		return nullptr;
	return translated([path] {
		auto size = std::filesystem::file_size(path);
		std::map<std::string, int> counts;
		std::ifstream file(path);
		for (std::string word; file >> word;)
			counts[word]++;
		std::ostringstream out;
		out << size;
		for (const auto &[word, count] : counts)
			out << ' ' << word << '=' << std::setw(2) << std::setfill('0') << count;
		return PyUnicode_FromString(out.str().c_str());
	});
}

PyObject *threads(PyObject *, PyObject *)
{
	return translated([] {
		released = 0;
		std::vector<std::thread> running;
		Py_BEGIN_ALLOW_THREADS
		for (long i = 1; i <= 4; i++)
			running.emplace_back([i] { guard.value = i; });
		for (auto &one : running)
			one.join();
		Py_END_ALLOW_THREADS
		return PyLong_FromLong(released);
	});
}

PyMethodDef methods[] = {
	{"number", number, METH_O, "an int of a text, by std::stoi; its exceptions become Python's"},
	{"words", words, METH_O, "size and word counts of a file, by std::filesystem, fstream and map"},
	{"threads", threads, METH_NOARGS, "1 + 2 + 3 + 4, summed by destructors of thread_local objects"},
	{nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030D0000
	{Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
	{0, nullptr},
};

PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "_native", nullptr, 0, methods, slots, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit__native(void)
{
	std::clog << std::flush; // iostreams initialised, as a real module would need them
	return PyModuleDef_Init(&module);
}
