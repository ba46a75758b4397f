/* selftests/unit/keeper_kit.h -- a keeper in a child, seen from outside: reports of its workers, /proc, signals.
 *
 * In: a forked keeper whose workers write lines that begin with their pid to a pipe. Out: that line; what becomes of processes.
 * The test owns the processes and the pipe. */
#ifndef SALLYPORT_KEEPER_KIT_H
#define SALLYPORT_KEEPER_KIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kept {
	pid_t keeper, worker;
	int report;
	int order; /* test_upgrade.c */
	uint16_t port;
	char line[256];
};

/* A port that is free now, on the loopback. */
uint16_t free_port(void);
uint64_t now_ms(void);
/* The next line, within @ms; the pid that it begins with goes to k->worker. */
bool next_report(struct kept *k, int ms);
int wait_exit(pid_t pid);
/* SIGTERM: the keeper ends with 0. */
void stop(struct kept *k);
/* Waits on /proc until @pid is gone (a zombie counts: its parent is init or the keeper). */
bool gone(pid_t pid, int ms);
/* The value of a /proc/PID/status field; @base 10 or 16. */
unsigned long long status_of(pid_t pid, const char *field, int base);
void need_root(void);
/* Of connect() to that port on the loopback. */
int connects(uint16_t port);

#endif
