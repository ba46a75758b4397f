/* user/core_stream.h -- a client's stream on the core: bytes of a data connection framed into SIP messages.
 *
 * In: the data connection that an edge's Open turned into a stream. Out: ops.message() for each message, pongs and STUN answers
 * to keepalives (which never reach the call server), ops.closed() once. Same parser and limits as the edge's gate.
 * Owner rules: the table owns streams; a stream borrows its connection from the link and owns one message's buffer. Ids are
 * unique, and grow, over all workers since the machine has started. */
#ifndef SALLYPORT_CORE_STREAM_H
#define SALLYPORT_CORE_STREAM_H

#include <jansson.h>

#include "sip/sip.h"
#include "user/conn.h"
#include "user/link.h"

struct core_stream;
struct core_streams;

struct core_stream_ops {
	void (*message)(void *arg, struct core_stream *s, const struct sip_msg *m);
	void (*closed)(void *arg, struct core_stream *s);
};

struct core_stream {
	struct core_streams *table;
	struct link_data *data;
	struct conn *conn;	  /* of data; it is ended, never the connection itself */
	uint64_t id, edge_stream; /* ours; the edge's */
	char edge[128];
	struct addr client;
	bool admitted, ended, doomed; /* doomed: ended after the round */
	char doom[96];		      /* why */
	char sni[128], tls[64];
	uint64_t since_ms, messages_in, messages_out, bytes_in, bytes_out, keepalives;
	uint8_t *buf; /* only while bytes of a message wait: an idle client costs no buffer */
	size_t n;
	struct core_stream *next; /* in its hash chain */
};

int core_streams_new(struct loop *l, uint32_t message_max, unsigned max,
		     const struct core_stream_ops *ops, void *arg, struct core_streams **out);
void core_streams_free(struct core_streams *t);
/* Take over @d. On error (full table, memory, bad Open) it is aborted. */
int core_stream_open(struct core_streams *t, const char *edge, struct link_data *d,
		     const Sallyport__Open *o, struct core_stream **out);
/* Have the stream read what is there; called once its owner knows about it. */
void core_stream_start(struct core_stream *s);
struct core_stream *core_stream_find(struct core_streams *t, uint64_t id);
/* 0 or -ENOENT/-ENOBUFS/-EPIPE; a stream that cannot take it is ended after the round. */
int core_stream_send(struct core_streams *t, uint64_t id, struct span data);
void core_stream_close(struct core_stream *s,
		       const char *reason); /* at once; ops.closed() is called */
void core_stream_doom(struct core_stream *s,
		      const char *reason); /* after the round, with what was written flushed */
unsigned core_streams_count(const struct core_streams *t, unsigned *admitted);
void core_streams_each(struct core_streams *t, void (*fn)(void *arg, struct core_stream *s),
		       void *arg);

#endif
