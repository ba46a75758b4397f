/* user/core_http_impl.h -- what the files of core_http.h share: core_http.c (streams: life, bytes, time), core_http_request.c
 * (one request: what it asks, who asks, may it, own answers), core_http_relay.c (its exchange with a server), core_http_user.c
 * (limits of a user), core_http_show.c. Nobody else includes this. Owner: see core_http.h.
 *
 * A function that says so returns false when the stream is gone; whoever called it must not touch the stream any more. */
#ifndef SALLYPORT_CORE_HTTP_IMPL_H
#define SALLYPORT_CORE_HTTP_IMPL_H

#include "user/core_http.h"
#include "user/core_http_head.h"

#define CORE_HTTP_OUT	   (48u << 10) /* a head, rewritten, and what fits behind it */
#define CORE_HTTP_SPARE	   256	       /* buffers kept for streams that become active: 30 MiB */
#define CORE_HTTP_SWEEP_MS 250
#define CORE_HTTP_TURN \
	32 /* requests of a stream answered here, or buffers of a body, before others have their turn */
#define CORE_HTTP_BUCKETS    1024 /* of users; power of two */
#define CORE_HTTP_MEMORY_MS  1000 /* a good token is remembered */
#define CORE_HTTP_MEMORIES   512  /* of them; power of two; one takes the place of another */
#define CORE_HTTP_COOKIE_MAX 2048 /* our Set-Cookie */

enum core_http_phase {
	HTTP_IDLE,   /* between requests, or within a head */
	HTTP_LOGON,  /* log on is asked */
	HTTP_CONFIG, /* edge config is asked */
	HTTP_OPEN,   /* a connection to the server is on its way */
	HTTP_SEND,   /* the request goes there */
	HTTP_ANSWER, /* the final head came back */
	HTTP_TUNNEL,
};

struct core_http_user {
	struct core_http_user *next; /* in its bucket */
	unsigned active;
	uint64_t seen_ms;
	uint64_t allowance; /* thousandths of requests */
	size_t n;
	uint8_t name[]; /* user NUL domain */
};

/* Of an active stream; idle ones have none. */
struct core_http_work {
	struct core_http_work *next; /* spare */
	struct upstream_req *up;
	struct core_http_user *user;
	struct http_head head; /* points into buf; only while @head_there */
	struct http_body body; /* of the request */
	struct http_asked asked;
	struct http_descriptor d;
	bool head_there, old,
		keep; /* old: HTTP/1.0; keep: the client lets the connection live on */
	bool websocket, repeatable, sent, paused, close, dechunk;
	size_t segment_n, set_cookie_n;
	size_t moved;			   /* bytes of the body since its time began */
	char segment[HTTP_DESCRIPTOR_MAX]; /* as it was asked */
	char who[HTTP_TOKEN_USER_MAX], domain[HTTP_TOKEN_DOMAIN_MAX];
	unsigned status; /* of the answer, for the trace; 0: none yet */
	char rule[28];	 /* that let it through, or came nearest */
	char set_cookie[CORE_HTTP_COOKIE_MAX];
	size_t n, used, tried; /* bytes in buf; of them done with; at the last look for a head */
	struct core_http_buf out;
	uint8_t buf[CORE_HTTP_IN];
	uint8_t out_bytes[CORE_HTTP_OUT];
};

struct core_http_memory { /* a token that was good */
	uint64_t until_ms;
	char who[HTTP_TOKEN_USER_MAX], domain[HTTP_TOKEN_DOMAIN_MAX];
	size_t n;
	uint8_t token[];
};

struct core_http_stream {
	struct core_http *h;
	struct core_http_stream *prev, *next;
	struct link_data *data;
	struct conn *conn; /* of data */
	struct core_http_work *w;
	uint64_t id, edge_stream, since_ms;
	uint64_t due_ms;	/* 0: none; what for tells the phase */
	struct loop_timer turn; /* set: core_http_step() is owed */
	uint64_t requests, bytes_in, bytes_out;
	struct addr client;
	char client_text[ADDR_TEXT_MAX];
	enum core_http_phase phase;
	bool admitted, eof,
		more; /* eof: the client's half is over; more: buf was full, the connection may have bytes */
	const char *edge, *tls; /* in .text */
	char text[];
};

struct core_http {
	struct core_http_params p;
	struct core_http_stream *streams;
	struct core_http_work *spare;
	unsigned n_spare;
	uint64_t next_id;
	struct loop_timer sweep;
	unsigned head_ms, body_ms, write_ms, idle_ms; /* as in core_http.h, but for tests */
	struct core_http_stats stats;
	struct core_http_user *users[CORE_HTTP_BUCKETS];
	struct core_http_memory *memories[CORE_HTTP_MEMORIES];
};

/* ---- core_http.c ---- */
void core_http_end(struct core_http_stream *s, bool orderly, const char *reason);
/* Read what there is and room for. False: the stream is gone. */
bool core_http_fill(struct core_http_stream *s);
/* Go on with whatever can be gone on with. The stream may be gone afterwards. */
void core_http_step(struct core_http_stream *s);
/* The same from the loop, after the others. */
void core_http_step_later(struct core_http_stream *s);
/* To the client. False: the stream is gone. */
bool core_http_write(struct core_http_stream *s, struct span data);
void core_http_due(struct core_http_stream *s, unsigned ms); /* 0: no time */

/* ---- core_http_request.c ---- */
/* Look at the head at the front of the buffer. True: it was answered, and the stream is idle again; false: it waits, or is gone. */
bool core_http_begin(struct core_http_stream *s);
/* Nothing of the request before may be taken for the next one's. */
void core_http_clear(struct core_http_work *w);
/* The request is over. */
void core_http_over(struct core_http_stream *s, enum core_http_outcome o);
/* An answer of our own, its body a line of text. True: the stream is idle again; false: it is gone. */
bool core_http_reply(struct core_http_stream *s, unsigned status, enum core_http_outcome o,
		     const char *fields, const char *text);

/* ---- core_http_relay.c ---- */
/* As core_http_begin(). */
bool core_http_relay(struct core_http_stream *s, const struct upstream_target *targets, unsigned n);
void core_http_pump(struct core_http_stream *s);   /* client -> server */
void core_http_resume(struct core_http_stream *s); /* the client takes bytes again */

/* ---- core_http_user.c ---- */
/* 0: @out has one more request; -EAGAIN: too many a second; -EBUSY: too many at once, or too many users. */
int core_http_user_take(struct core_http *h, const char *who, const char *domain,
			struct core_http_user **out);
void core_http_user_give(struct core_http *h, struct core_http_user *u);
void core_http_users_sweep(struct core_http *h, bool all);

#endif
