/* user/stream.h -- clients' streams on the edge: accept, TLS, gate, a warm link connection, forwarding.
 *
 * Data flow: listener -> TLS -> the gate of its service (stream_service.h) until the core admits -> a data connection of the link -> the
 * core. From Admit on the edge moves bytes and looks at none: when nothing is in the way the client's connection climbs to kernel TLS (the
 * link's climbed while it was idle), and large chunks go through a pipe. What the core writes goes back untouched at all times.
 * Owner rules: struct streams owns every stream; a stream owns its client connection and, once opened, borrows a data connection. Ended
 * streams are freed at the end of the loop's round, so that no connection's op outlives its stream.
 * Limits: streams that are not admitted in total and a source prefix (/24, /56), their bytes and seconds (configuration);
 * STREAM_MAX streams; 64 KiB queued each way, then the reader is paused. */
#ifndef SALLYPORT_STREAM_H
#define SALLYPORT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "user/ban.h"
#include "user/conn_relay.h"
#include "user/config.h"
#include "user/ktls_policy.h"
#include "user/link.h"
#include "user/lodge.h"
#include "user/loop.h"
#include "user/stream_service.h"
#include "user/tls.h"

#define STREAM_MAX 20000

struct streams;

struct stream_use { /* of a service; what it points at lives as long as the streams */
	const struct stream_service *service; /* NULL: off */
	const void *config;		      /* its gate's */
	struct tls_ctx *tls;		      /* server, no client certificates */
	size_t in_max; /* bytes that wait for the gate: its longest message and what may come ahead of it */
	uint32_t message_ms; /* from a message's first byte to its last; 0: no bound of its own */
	enum ktls_mode ktls;
	const char *ktls_off; /* with KTLS_MODE_OFF: why; copied */
	uint32_t ktls_after_seconds, ktls_after_bytes;
};

struct streams_params {
	struct loop *loop;
	struct stream_use use[STREAM_SERVICES];
	struct link_edge *link;	    /* where domains lead */
	struct lodge *lodge;	    /* NULL: streams end with the worker */
	struct conn_relays *relays; /* with lodge: for what cannot be handed over */
	const struct config_edge *cfg;
	struct ban *ban;
	uint64_t seed; /* random: ids begin there */
};

int streams_new(const struct streams_params *p, struct streams **out); /* 0 or negative errno */
void streams_free(struct streams *t);
/* @fd: a listening TCP socket, not ours to close. @plain: its streams begin without TLS, which their gate asks for (GATE_STARTTLS). 0,
 * -ENOBUFS, or -ENOENT: the service is off. */
int streams_listen(struct streams *t, int fd, enum stream_service_id service, bool plain);
/* Whether a core may announce @domain; @cfg: a struct config_edge. For the gates' configurations. */
bool streams_serve(void *cfg, struct span domain);
/* A connection that core @p asked for, to a server of @domain, is up: it becomes an admitted stream, and is the streams' from here on.
 * 0 and its id; -EAGAIN: no data connection of that core is idle; -EUSERS: STREAM_MAX; -ENOMEM, -ENOENT (the core is none of the
 * configuration's, or the service is off), -EPIPE: it is still the caller's. */
int streams_dialled(struct streams *t, struct link_peer *p, struct conn *c, uint64_t dial,
		    const char *domain, uint64_t *out_stream);
/* Admit, Revoke and CloseStream of core @p; others are ignored. True: it was one of them. */
bool streams_message(struct streams *t, struct link_peer *p, const Sallyport__Link *m);

/* Whether new streams are refused (drain.h); and how many of a service have a core now. */
void streams_drain(struct streams *t, bool on);
unsigned streams_count(const struct streams *t, enum stream_service_id service);

/* A slot of kind STREAMS_LODGE_KIND that an earlier worker left: true, it is ours now. */
#define STREAMS_LODGE_KIND 1
bool streams_take(struct streams *t, uint32_t slot, const int fds[LODGE_ROLES], void *record);
/* Take in no more; and all streams that are admitted go over to the next worker, the others end. */
void streams_stop(struct streams *t);
void streams_leave(struct streams *t);

/* For the summary: all of a service, refused for a reason on all services: counters. Admitted ones by rung, a walk; total stays. */
struct summary_streams;
unsigned streams_now(const struct streams *t, enum stream_service_id service);
uint64_t streams_refused(const struct streams *t, enum gate_reason reason);
void streams_sum(const struct streams *t, struct summary_streams *out);
/* For the admin socket. */
json_t *streams_status(const struct streams *t);	   /* counts by state, refusals by reason */
json_t *streams_show(const struct streams *t);		   /* array */
json_t *streams_why(const struct streams *t, uint64_t id); /* NULL: no such stream */

#endif
