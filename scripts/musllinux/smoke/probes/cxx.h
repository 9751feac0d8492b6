#pragma once
#include <stdexcept>
#include <string>

struct Odd : std::runtime_error {
	explicit Odd(int number) : std::runtime_error("odd: " + std::to_string(number)) {}
};
int half(int number); /* throws Odd, in a shared library of its own */
