/* Arithmetic whose exact results IEEE 754 fixes. Old emulators got some of these wrong (ppc64le above all). */
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong;

static void same(const char *what, double found, uint64_t expected)
{
	uint64_t bits;
	memcpy(&bits, &found, sizeof bits);
	if (bits == expected)
		return;
	printf("%s: %016" PRIx64 " instead of %016" PRIx64 "\n", what, bits, expected);
	wrong = 1;
}

static void holds(const char *what, int truth)
{
	if (truth)
		return;
	printf("%s: wrong\n", what);
	wrong = 1;
}

static double third(int mode)
{
	volatile double one = 1, three = 3;
	fesetround(mode);
	volatile double result = one / three;
	fesetround(FE_TONEAREST);
	return result;
}

static void rounding(void)
{
	volatile double half = 2.5;
	same("1/3 to nearest", third(FE_TONEAREST), 0x3fd5555555555555);
	same("1/3 upward", third(FE_UPWARD), 0x3fd5555555555556);
	same("1/3 downward", third(FE_DOWNWARD), 0x3fd5555555555555);
	holds("lrint(2.5) to even", lrint(half) == 2 && lrint(half + 1) == 4 && lround(half) == 3);
}

static void exceptions(void)
{
	volatile double zero = 0, one = 1, big = DBL_MAX, ten = 10, result;
	feclearexcept(FE_ALL_EXCEPT);
	result = one / zero;
	holds("1/0 is infinite and says so", isinf(result) && fetestexcept(FE_DIVBYZERO));
	result = big * ten;
	holds("overflow", isinf(result) && fetestexcept(FE_OVERFLOW));
	result = zero / zero;
	holds("0/0 is not a number and says so", isnan(result) && fetestexcept(FE_INVALID));
	holds("NaN compares unordered", !(result < one) && !(result > one) && !(result == result) && result != one);
}

static void conversions(void)
{
	volatile double huge = 18014398509481984.0, negative = -1.5;
	volatile float single = 16777217.0f, part = 1.0f / 3.0f;
	volatile int64_t wide = INT64_C(9007199254740993);
	char text[64];
	holds("double to uint64_t", (uint64_t)huge == UINT64_C(18014398509481984));
	holds("double to int", (int)negative == -1 && (int64_t)negative == -1);
	same("2^24+1 as float", single, 0x4170000000000000);
	same("float 1/3", part, 0x3fd5555560000000);
	same("int64_t to double", (double)wide, 0x4340000000000000);
	same("strtod 0.1", strtod("0.1", NULL), 0x3fb999999999999a);
	same("strtod 1e23", strtod("1e23", NULL), 0x44b52d02c7e14af6);
	same("strtod subnormal", strtod("2.2250738585072011e-308", NULL), 0x000fffffffffffff);
	snprintf(text, sizeof text, "%.17g %a", 0.1, 0.5);
	holds(text, !strcmp(text, "0.10000000000000001 0x1p-1"));
}

static void functions(void)
{
	volatile double a = 1.0 + 0x1p-52, b = 1.0 - 0x1p-53, two = 2, x = 5.3, tiny = DBL_MIN, three = 3;
	same("fma", fma(a, b, -1.0), 0x3c9ffffffffffffe);
	same("sqrt", sqrt(two), 0x3ff6a09e667f3bcd);
	same("fmod", fmod(x, two), 0x3ff4cccccccccccc);
	same("subnormal division", tiny / three, 0x0005555555555555);
	same("hypot", hypot(three, three + 1), 0x4014000000000000);
	same("exp", exp(a - 0x1p-52), 0x4005bf0a8b145769);
	same("nextafter", nextafter(1.0, two), 0x3ff0000000000001);
}

static void extended(void)
{
	volatile long double one = 1, three = 3, wide = 1;
	holds("long double thirds", one / three * three == one);
	for (int i = 0; i < LDBL_MANT_DIG - 1; i++)
		wide *= 2;
	holds("long double holds its digits", wide + 1 != wide && (wide + 1) - wide == 1);
	same("long double to double", (double)(one / three), 0x3fd5555555555555);
}

static void loop(void)
{
	static float left[1024], right[1024];
	double sum = 0;
	for (int i = 0; i < 1024; i++) {
		left[i] = (float)i;
		right[i] = 0.5f;
	}
	for (int i = 0; i < 1024; i++)
		left[i] = left[i] * right[i] + 1.0f;
	for (int i = 0; i < 1024; i++)
		sum += left[i];
	holds("vector sum", sum == 1023.0 * 1024 / 4 + 1024);
}

int main(void)
{
	rounding();
	exceptions();
	conversions();
	functions();
	extended();
	loop();
	printf("%s, long double %d bits\n", wrong ? "wrong" : "exact", LDBL_MANT_DIG);
	return wrong;
}
