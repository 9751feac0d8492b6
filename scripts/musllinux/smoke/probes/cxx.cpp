/* C++20 as far as this compiler has it: exceptions across a shared library, threads, thread_local destructors,
   streams, std::filesystem. */
#include "cxx.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>
#if defined(__cpp_concepts) && __cpp_concepts >= 201907L
#include <concepts>
#include <ranges>
template <std::integral T> T twice(T value) { return value * 2; }
#else
template <typename T> T twice(T value) { return value * 2; }
#endif

static std::atomic<int> destroyed{0};
struct Guard {
	int number = 0;
	~Guard() { destroyed += number; }
};
static thread_local Guard guard;

int main()
{
	int caught = 0;
	for (int i = 0; i < 10; i++) {
		try {
			caught -= half(i) * 0;
		} catch (const Odd &error) {
			caught += std::string(error.what()) == "odd: " + std::to_string(i);
		}
	}
	std::vector<std::thread> threads;
	for (int i = 1; i <= 4; i++)
		threads.emplace_back([i] { guard.number = twice(i); });
	for (auto &thread : threads)
		thread.join();
	auto file = std::filesystem::temp_directory_path() / "musllinux-probe.txt";
	std::ofstream(file) << 42 << ' ' << 2.5 << '\n';
	int whole = 0;
	double part = 0;
	std::ifstream(file) >> whole >> part;
	auto size = std::filesystem::file_size(file);
	std::filesystem::remove(file);
	std::ostringstream text;
	text << std::hex << 255;
	if (caught != 5 || destroyed != 20 || whole != 42 || part != 2.5 || size != 7 || text.str() != "ff")
		return 1;
	std::cout << "C++ ok: __cplusplus " << __cplusplus << ", GCC " << __VERSION__ << "\n";
	return 0;
}
