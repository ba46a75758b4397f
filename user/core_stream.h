/* user/core_stream.h -- a client's stream on the core: bytes of a data connection framed into SIP messages.
 *
 * In: the data connection that an edge's Open turned into a stream. Out: ops.message() for each message, pongs and STUN answers
 * to keepalives (which never reach the call server), ops.closed() once. Same parser and limits as the edge's gate.
 * Owner rules: the table owns streams; a stream borrows its connection from the link and owns one message's buffer. Ids are
 * unique, and grow, over all workers since the machine has started.
 *
 * From one worker to the next (core_stream_lodge.c): an admitted stream whose connection is all in the kernel (rung A) is lodged with the
 * keeper (user/lodge.h): its descriptor, and all that is known of it here. The worker dies -> the next one takes it, unless bytes of it
 * were in the worker's hands: a message that was being handled, the first part of one, an answer that the socket did not take. The
 * worker hands over -> such bytes go along in pipes: slot role 1 those towards the edge, role 2 the first part of a message.
 * The next worker's link is a new one, so a stream that was taken goes on alone, as one does whose control connection is over
 * (user/link.h). Whether it is still admitted is the engine's word; the owner closes it if not. */
#ifndef SALLYPORT_CORE_STREAM_H
#define SALLYPORT_CORE_STREAM_H

#include <jansson.h>

#include "sip/sip.h"
#include "user/conn.h"
#include "user/conn_relay.h"
#include "user/link.h"
#include "user/lodge.h"

struct core_stream;
struct core_streams;

struct core_stream_ops {
	void (*message)(void *arg, struct core_stream *s, const struct sip_msg *m);
	void (*closed)(void *arg, struct core_stream *s);
	/* It could be lodged now, once it is admitted. */
	void (*climbed)(void *arg, struct core_stream *s);
};

struct core_stream {
	struct core_streams *table;
	struct link_data *data;
	struct conn *conn;	  /* of data; it is ended, never the connection itself */
	uint64_t id, edge_stream; /* ours; the edge's */
	const char *edge;	  /* the link's name for it */
	struct addr client;
	bool admitted, ended, doomed; /* doomed: ended after the round */
	bool adopted;		      /* from an earlier worker */
	bool echo;		      /* a test's core only: bytes, sent back */
	char *doom;		      /* why; NULL: no memory to say it */
	uint64_t since_ms, messages_in, messages_out, bytes_in, bytes_out, keepalives;
	uint8_t *buf; /* only while bytes of a message wait: an idle client costs no buffer */
	size_t n;
	struct core_stream_keep *keep; /* not NULL: lodged in .slot */
	struct core_stream *next;      /* in its hash chain */
	uint32_t slot;
	char tls[]; /* version and cipher of the client's connection */
};

struct core_stream_counts {
	unsigned lodged; /* now */
	/* From an earlier worker: taken, and not; why. */
	uint64_t taken, lost_busy, lost_other;
	uint64_t too_large, no_slot; /* not lodged: a name is too long; the table is full */
};

int core_streams_new(struct loop *l, uint32_t message_max, unsigned max,
		     const struct core_stream_ops *ops, void *arg, struct core_streams **out);
void core_streams_free(struct core_streams *t);
/* Without it streams end with the worker. */
void core_streams_set_lodge(struct core_streams *t, struct lodge *lodge);
/* Take over @d. On error (full table, memory, bad Open) it is aborted. @edge lives as long as the table. */
int core_stream_open(struct core_streams *t, const char *edge, struct link_data *d,
		     const Sallyport__Open *o, struct core_stream **out);
/* Have the stream read what is there; called once its owner knows about it. */
void core_stream_start(struct core_stream *s);
struct core_stream *core_stream_find(struct core_streams *t, uint64_t id);
/* An id for a stream of another service, unique among all. */
uint64_t core_streams_new_id(struct core_streams *t);
/* 0 or -ENOENT/-ENOBUFS/-EPIPE; a stream that cannot take it is ended after the round. */
int core_stream_send(struct core_streams *t, uint64_t id, struct span data);
void core_stream_close(struct core_stream *s,
		       const char *reason); /* at once; ops.closed() is called */
void core_stream_doom(struct core_stream *s,
		      const char *reason); /* after the round, with what was written flushed */
/* Whether it outlives the worker from now on: if it is admitted and its connection can, and is not lodged yet. @host and @port: as in
 * struct engine_stream, for the next worker. */
void core_stream_lodge(struct core_stream *s, const char *host, uint16_t port);
void core_stream_unlodge(struct core_stream *s);
/* Right before core_streams_leave(), for one that is admitted and could not be lodged, e.g. as its connection is not in the kernel: this process
 * goes on as its relay, and the next worker gets a plain end of it. Nothing but core_streams_leave() may follow. */
void core_stream_relay(struct core_stream *s, struct conn_relays *relays, const char *host,
		       uint16_t port);
/* A slot of kind CORE_STREAM_LODGE_KIND (lodge_take_fn): 0, and the stream goes on; @host lives as long as it. Else a negative errno, it
 * is logged, and descriptors and slot are gone: -ECANCELED: it was busy. */
#define CORE_STREAM_LODGE_KIND 1
int core_stream_take(struct core_streams *t, struct link_core *l, uint32_t slot,
		     const int fds[LODGE_ROLES], void *record, struct core_stream **out,
		     const char **host, uint16_t *port);
/* All that are lodged go to the next worker; the others are told nothing. ops.closed() is not called. */
void core_streams_leave(struct core_streams *t);
const struct core_stream_counts *core_streams_counts(const struct core_streams *t);
unsigned core_streams_n(const struct core_streams *t);
unsigned core_streams_count(const struct core_streams *t, unsigned *admitted);
void core_streams_each(struct core_streams *t, void (*fn)(void *arg, struct core_stream *s),
		       void *arg);

#endif
