/* A program that takes what its build system found, and has a way without it. It says which way it took:
   it prints "statx=no qsort_r=no preadv2=no", then does the work either way. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef HAVE_STATX
static long long size_of(const char *path)
{
	struct statx found;
	return statx(AT_FDCWD, path, 0, STATX_SIZE, &found) ? -1 : (long long)found.stx_size;
}
#define STATX "yes"
#else
static long long size_of(const char *path)
{
	struct stat found;
	return stat(path, &found) ? -1 : (long long)found.st_size;
}
#define STATX "no"
#endif

static int by_table(const void *left, const void *right, void *table)
{
	const int *order = table;
	return order[*(const unsigned char *)left] - order[*(const unsigned char *)right];
}

#ifdef HAVE_QSORT_R
#define sort_with qsort_r
#define QSORT_R "yes"
#else
static void sort_with(void *base, size_t count, size_t size, int (*compare)(const void *, const void *, void *), void *with)
{
	char *items = base, kept[64];
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j && compare(items + (j - 1) * size, items + j * size, with) > 0; j--) {
			memcpy(kept, items + j * size, size);
			memcpy(items + j * size, items + (j - 1) * size, size);
			memcpy(items + (j - 1) * size, kept, size);
		}
}
#define QSORT_R "no"
#endif

static ssize_t read_at(int file, struct iovec *parts, int count, off_t from)
{
#ifdef HAVE_PREADV2
#define PREADV2 "yes"
	return preadv2(file, parts, count, from, 0);
#else
#define PREADV2 "no"
	return lseek(file, from, SEEK_SET) < 0 ? -1 : readv(file, parts, count);
#endif
}

int main(void)
{
	char path[] = "/tmp/fallback-XXXXXX", letters[] = "hello", head[3] = "", tail[3] = "";
	int order[256], file = mkstemp(path);
	if (file < 0 || write(file, "0123456789", 10) != 10 || size_of(path) != 10)
		return 1;
	struct iovec parts[] = {{head, 2}, {tail, 2}};
	if (read_at(file, parts, 2, 3) != 4 || strcmp(head, "34") || strcmp(tail, "56"))
		return 2;
	unlink(path);
	for (int i = 0; i < 256; i++)
		order[i] = -i;
	sort_with(letters, 5, 1, by_table, order);
	if (strcmp(letters, "ollhe"))
		return 3;
	puts("statx=" STATX " qsort_r=" QSORT_R " preadv2=" PREADV2);
	return 0;
}
