/* user/core_stream_impl.h -- what the files of the core's streams share: core_stream.c (life, bytes), core_stream_lodge.c (from one
 * worker to the next). Nobody else includes this. Owner: see core_stream.h. */
#ifndef SALLYPORT_CORE_STREAM_IMPL_H
#define SALLYPORT_CORE_STREAM_IMPL_H

#include "user/conn_keep.h"
#include "user/core_stream.h"

#define CORE_STREAM_BUCKETS  4096 /* power of two */
#define CORE_STREAM_AGAIN_MS 1000

struct core_streams {
	struct loop *loop;
	struct lodge *lodge; /* NULL: streams end with the worker */
	uint32_t message_max;
	unsigned n, max;
	bool doomed;	   /* some stream is */
	bool again;	   /* looking once more for the slots that were not there */
	uint64_t again_ms; /* when to do so; 0: all have one */
	uint64_t next_id;
	struct core_stream_counts counts;
	struct core_stream *bucket[CORE_STREAM_BUCKETS];
	const struct core_stream_ops *ops;
	void *arg;
};

/* Changes of this count in LODGE_VERSION. What does not fit, is not lodged. */
struct core_stream_keep {
	struct conn_keep conn;
	uint64_t id, edge_stream, since_ms, edge; /* edge: its name's hash */
	uint64_t base_in, base_out; /* bytes of the connection before the stream's own */
	uint64_t messages_in, messages_out, keepalives;
	struct addr client;
	uint16_t edge_port;
	char tls[40], edge_host[128];
	uint8_t echo, reserved[3];
};
_Static_assert(sizeof(struct core_stream_keep) <= LODGE_PAYLOAD, "a record");
_Static_assert(sizeof(struct ktls_secrets) <= LODGE_EXTRA, "of one connection");

/* core_stream.c */
struct core_stream *core_stream_new(struct core_streams *t, const char *edge,
				    const char *tls); /* zeroed otherwise; NULL: no memory */
void core_stream_free(struct core_stream *s);	      /* its memory, nothing else */
extern const struct conn_ops core_stream_conn_ops;
void core_stream_insert(struct core_stream *s);
/* Off the table and freed; the connection is another's. */
void core_stream_forget(struct core_stream *s);

#endif
