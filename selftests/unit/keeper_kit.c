/* selftests/unit/keeper_kit.c -- see keeper_kit.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "selftests/unit/keeper_kit.h"

/* A port that is free now, on the loopback. */
uint16_t free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The next worker's line, within @ms; its pid goes to k->worker. */
bool next_report(struct kept *k, int ms)
{
	struct pollfd p = {.fd = k->report, .events = POLLIN};
	size_t at = 0;

	while (at < sizeof(k->line) - 1) {
		if (poll(&p, 1, ms) <= 0 || read(k->report, k->line + at, 1) != 1)
			return false;
		if (k->line[at++] == '\n')
			break;
	}
	k->line[at] = 0;
	k->worker = (pid_t)strtol(k->line, NULL, 10);
	return k->worker > 0;
}

int wait_exit(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void stop(struct kept *k)
{
	kill(k->keeper, SIGTERM);
	assert_int_equal(wait_exit(k->keeper), 0);
	close(k->report);
}

/* Looks at /proc once, then for @ms until @pid is gone (a zombie counts: its parent is init or the keeper). */
bool gone(pid_t pid, int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;
	char path[64], line[256], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		f = fopen(path, "r");
		if (!f)
			return true;
		p = fgets(line, sizeof(line), f);
		fclose(f);
		p = p ? strrchr(line, ')') : NULL;
		if (p && p[2] == 'Z')
			return true;
		poll(NULL, 0, 2);
	} while (now_ms() < end);
	return false;
}

/* The value of a /proc/PID/status field; @base 10 or 16. */
unsigned long long status_of(pid_t pid, const char *field, int base)
{
	char path[64], line[256];
	unsigned long long v = ~0ULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			v = strtoull(line + strlen(field) + 1, NULL, base);
	fclose(f);
	return v;
}

void need_root(void)
{
	if (geteuid() == 0)
		return;
	printf("skip: needs root, to run the worker as another user\n");
	skip();
}

int connects(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa));

	close(fd);
	return rc;
}
