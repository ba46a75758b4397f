/* selftests/unit/origin_kit.h -- servers inside for unit tests: HTTP/1.1 on loopback, in the test's own loop, by the project's
 * parsers.
 *
 * In: a loop, maybe a certificate. Out: answers by path:
 *   /bytes/N, /chunked/N, /close/N   N bytes of the pattern, framed so; written only as fast as they are taken
 *   /ws          101, then every byte comes back; /ws/N: N bytes of the pattern instead
 *   /drop        the connection ends without an answer, /cut after half of one, /silent never answers, /bad answers no HTTP
 *   /last        "Connection: close"; /quiet answers in order, and closes without having said so
 *   /continue    100 before the body is read; /early answers 413 without reading it
 *   /cucm-uds/   every user is alice, and at home here
 *   else         200 with the head as it came; with a body: its length and sum instead
 * o->answer, if set, is sent instead for all of these. Owner: the case, which ends it with origin_close(). */
#ifndef SALLYPORT_SELFTESTS_ORIGIN_KIT_H
#define SALLYPORT_SELFTESTS_ORIGIN_KIT_H

#include "http/conn.h"
#include "user/conn.h"
#include "user/loop.h"

struct origin_conn;

struct origin {
	struct loop *loop;
	struct tls_ctx *tls;
	struct loop_handle accept;
	struct addr addr;
	int fd;
	const char *answer;
	unsigned conns, requests, open; /* accepted; heads read; now */
	uint64_t body_bytes, body_sum;	/* of the last body */
	struct origin_conn *list;
	char head[8192]; /* the last request's */
};

/* Listens on 127.0.0.1 (@port 0: any). */
void origin_open(struct origin *o, struct loop *l, struct tls_ctx *tls, uint16_t port);
void origin_close(struct origin *o);   /* with all its connections, by reset */
void origin_hang_up(struct origin *o); /* only those that wait for a request, in order */
/* What pattern and sum say of bytes @from..@from+@n. */
void origin_pattern(uint64_t from, uint8_t *p, size_t n);
uint64_t origin_sum(uint64_t sum, const uint8_t *p, size_t n);

#endif
