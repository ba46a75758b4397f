/* selftests/unit/engine_kit.h -- drives the SIP engine with literal messages and keeps what comes out.
 *
 * In: messages as text with "\n" line ends (Content-Length is added), events, times. Out: queues of messages to each
 * client stream and to the inside, counts of admissions, media, logs. Random numbers come from a counter, time from
 * the test. */
#ifndef SALLYPORT_ENGINE_KIT_H
#define SALLYPORT_ENGINE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sip/engine.h"

#define KIT_MSGS  4096
#define KIT_MEDIA 512
#define KIT_KEPT  512

struct kit_msg {
	bool taken;
	uint64_t stream; /* 0: inside */
	struct engine_action a;
	char *text;
	struct sip_msg m;
};

struct kit_medium {
	uint64_t id, stream;
	bool with_rtcp, pass;
	unsigned opens, closes, sets, parted;
	struct engine_medium_set set;
	struct engine_medium_addrs a;
};

struct kit_kept { /* n 0: free */
	enum engine_record record;
	uint64_t id;
	size_t n;
	uint8_t data[8192];
};

struct kit {
	struct engine *e;
	struct kit_kept kept[KIT_KEPT];
	unsigned restored, not_restored;
	uint64_t now, rnd;
	bool hold_media; /* the test answers ENGINE_MEDIUM_OPEN itself */
	unsigned n, n_media, admits, revokes, closes;
	struct kit_msg msg[KIT_MSGS];
	struct kit_medium media[KIT_MEDIA];
	char logs[16384];
	struct engine_config c;
	char text[20000];
	char value[20][1200]; /* ring for kit_hdr */
	unsigned at;
	/* Keepalives and OPTIONS that the engine makes itself go here if it is set: true takes the message away. */
	bool (*own)(struct kit *k, const struct engine_action *a);
};

struct kit *kit_new(void);
/* Again with the configuration in k->c changed by the test. */
void kit_restart(struct kit *k);
void kit_free(struct kit *k);
/* The engine is gone and another one follows with what was kept; streams and media actions under way are lost. */
void kit_crash(struct kit *k);
/* The same, but the streams whose bits are in @streams (1u << id, of kit_stream()) are not lost. */
void kit_crash_but(struct kit *k, unsigned streams);
unsigned kit_kept(const struct kit *k, enum engine_record record);

void kit_stream(struct kit *k,
		uint64_t id); /* client 198.51.100.ID:40000+ID on edge.example.net:5061 */
void kit_stream_from(struct kit *k, uint64_t id, const char *client);
void kit_client(struct kit *k, uint64_t stream, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void kit_inside(struct kit *k, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* from 10.0.0.5:5060 */
void kit_inside_from(struct kit *k, const char *from, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void kit_inside_by(struct kit *k, const struct engine_inside_src *src, const char *from,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void kit_inside_tcp(struct kit *k, uint64_t conn, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void kit_time(struct kit *k, uint64_t ms); /* pass @ms, ticking at every due time */
void kit_drain(struct kit *k);

/* The oldest message not taken yet; NULL: none. */
struct kit_msg *kit_to_client(struct kit *k, uint64_t stream);
struct kit_msg *kit_to_inside(struct kit *k);
/* The same, failing the test unless it is a request @method or an answer @status. */
struct kit_msg *kit_client_request(struct kit *k, uint64_t stream, const char *method);
struct kit_msg *kit_client_answer(struct kit *k, uint64_t stream, unsigned status);
struct kit_msg *kit_inside_request(struct kit *k, const char *method);
struct kit_msg *kit_inside_answer(struct kit *k, unsigned status);
void kit_nothing(struct kit *k); /* no message is left anywhere */

/* Value of the @n-th field of that name ("" when absent). */
const char *kit_hdr_n(struct kit *k, const struct kit_msg *m, const char *name, unsigned n);
const char *kit_hdr(struct kit *k, const struct kit_msg *m, const char *name);
/* An answer to request @m: status line and its Via, From, To (with tag @tag), Call-ID, CSeq, Record-Route. */
const char *kit_answer(struct kit *k, const struct kit_msg *m, const char *status, const char *tag);
const char *kit_body(const struct kit_msg *m);

struct kit_medium *kit_medium(struct kit *k, uint64_t id);
unsigned kit_media_live(const struct kit *k);
/* Register @user@stand.test on @stream with a challenge, answer 200. */
void kit_register(struct kit *k, uint64_t stream, const char *user);
/* The Path of the last registration. */
extern char kit_path[512];
/* Nothing is left: transactions, calls, media (each closed once). */
void kit_settled(struct kit *k);

#endif
