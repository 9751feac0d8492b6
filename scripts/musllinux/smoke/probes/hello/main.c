#include <stdio.h>

const char *hello(void);

int main(void)
{
	return printf("hello, zlib %s\n", hello()) < 0;
}
