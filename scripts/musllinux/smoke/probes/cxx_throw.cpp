#include "cxx.h"

int half(int number)
{
	if (number % 2)
		throw Odd(number);
	return number / 2;
}
