/* tools/bench_ktls.h -- what the files of tools/bench ktls share: bench_ktls.c (the relay, the runs), bench_ktls_peer.c (both ends of it,
 * in a process of threads with plain OpenSSL), bench_ktls_show.c (the table).
 *
 * Data flow: struct bench_job down a pipe -> the peer process opens its clients to the relay and accepts what the relay dials ->
 * bench_peer_go() -> every client sends, every sink checks each byte (and says messages again) -> one byte comes back: all was
 * as it should be, or not. The costs of all runs -> bench_show().
 * Owner rules: bench_peer_start() forks before the caller has a loop or threads; the peer ends when its pipe or its parent does. */
#ifndef SALLYPORT_TOOLS_BENCH_KTLS_H
#define SALLYPORT_TOOLS_BENCH_KTLS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/bench_stat.h"
#include "user/ktls.h"

#define BENCH_STREAMS_MAX 64
#define BENCH_SIZE_MAX	  16384 /* bytes of a write, one record */

struct bench_job {
	enum ktls_version version;
	enum ktls_cipher cipher;
	bool echo; /* each write is answered with the same bytes before the next one */
	uint32_t streams, size;
	uint32_t writes; /* a stream */
};

struct bench_peer {
	int to, from, pid;
	uint16_t sink_port;	   /* what the relay dials, on 127.0.0.1 */
	char cert[2048], key[512]; /* PEM, of both ends; nobody verifies it */
};

/* The relay's own listener is on @relay_port. 0 or negative errno. */
int bench_peer_start(struct bench_peer *p, uint16_t relay_port);
int bench_peer_job(const struct bench_peer *p, const struct bench_job *j);
int bench_peer_go(const struct bench_peer *p);
/* All was moved. Waits until every byte was checked, or something failed: then -EBADMSG, and the reason is on stderr. */
int bench_peer_end(const struct bench_peer *p);

/* ---- results ---- */

enum bench_kind { BENCH_BULK, BENCH_MESSAGES, BENCH_KINDS };

#define BENCH_LANES 4 /* ways to move bytes; the last one is rung C */
struct bench_lane {
	const char *name; /* "A by pipe" */
	char reached;	  /* the rung, as conn_rung() told; 0: not to be had here */
	struct bench_cost {
		double user, system; /* microseconds of CPU a MiB, or a message */
	} cost[BENCH_KINDS][BENCH_ROUNDS_MAX];
};

struct bench_table {
	unsigned rounds;
	struct bench_job job[BENCH_KINDS];
	struct bench_lane lane[BENCH_LANES];
	char missing[KTLS_WHY_MAX]; /* why not all lanes were measured, or "" */
};
/* MiB, or messages, of a run. */
double bench_units(const struct bench_job *j);
void bench_show(const struct bench_table *t, bool json);

#endif
