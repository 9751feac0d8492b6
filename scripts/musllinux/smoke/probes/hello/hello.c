#include <zlib.h>

const char *hello(void)
{
	return zlibVersion();
}
