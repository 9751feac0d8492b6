/* C: libc, threads, errno, environment, time. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern char **environ;
static _Thread_local int mine;

static void *work(void *argument)
{
	mine = *(int *)argument;
	errno = mine;
	return (void *)(size_t)(mine * 2 + (errno == mine));
}

int main(void)
{
	pthread_t threads[4];
	int numbers[4];
	size_t sum = 0;
	for (int i = 0; i < 4; i++) {
		numbers[i] = i + 1;
		if (pthread_create(&threads[i], NULL, work, &numbers[i]))
			return 1;
	}
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		sum += (size_t)result;
	}
	if (sum != 24 || mine != 0)
		return 2;
	if (setenv("MUSLLINUX_PROBE", "yes", 1) || strcmp(getenv("MUSLLINUX_PROBE"), "yes") || !environ[0])
		return 3;
	time_t now = time(NULL);
	struct tm when;
	if (!gmtime_r(&now, &when) || when.tm_year < 120)
		return 4;
	printf("C ok: %d-bit, time_t %d bytes\n", (int)sizeof(void *) * 8, (int)sizeof(time_t));
	return 0;
}
