/* user/stream_impl.h -- what the files of the streams share: stream.c (life), stream_gate.c (before admission), stream_relay.c
 * (moving bytes), stream_lodge.c (from one worker to the next), stream_show.c (admin). Nobody else includes this. */
#ifndef SALLYPORT_STREAM_IMPL_H
#define SALLYPORT_STREAM_IMPL_H

#include "user/conn_move.h"
#include "user/prefix.h"
#include "user/stream.h"

#define STREAM_QUEUE	 65536 /* bytes a direction may queue */
#define STREAM_WAIT_MS	 2000  /* for a core or for its pool, then 503 */
#define STREAM_RETRY_MS	 100
#define STREAM_HOLD_MS	 1000	/* for an Admit that may be on its way */
#define STREAM_HALF_MS	 300000 /* STREAM_HALF without a byte of the core */
#define STREAM_DRAIN_MS	 30000	/* for what is queued at the core's end */
#define STREAM_BUCKETS	 4096	/* power of two */
#define STREAM_LODGE_MS	 1000	/* from one look for a free slot to the next */
#define STREAM_LISTENERS 64
#define STREAM_SNI_MAX	 63 /* of a name shown, and kept */

enum stream_state {
	STREAM_HANDSHAKE,
	STREAM_GATE,	 /* reading messages, nothing forwarded yet or not admitted */
	STREAM_WAIT,	 /* a message waits for a core or for an idle data connection */
	STREAM_HOLD,	 /* a message waits for an Admit that may be on its way */
	STREAM_ADMITTED, /* bytes both ways */
	STREAM_HALF, /* nothing more from the client; what the core still writes goes to it, or what is queued */
	STREAM_ENDED, /* freed at the end of the round */
	STREAM_STATES
};

struct stream {
	struct streams *all;
	const struct stream_use *use;
	struct stream *hash_next; /* or the next ended one */
	uint64_t id;
	struct conn *client, *core;	 /* core: NULL until opened */
	struct link_data *data;		 /* of core; it is ended, never the connection itself */
	bool client_paused, core_paused; /* their reader waits for the other side's queue */
	bool counted;			 /* as not admitted */
	bool registered;		 /* what went to the core may bring an Admit */
	bool held, no_core;		 /* the wait is over: answer now */
	bool lodged;			 /* it outlives the worker, in .slot */
	uint8_t bulk_in, bulk_out;	 /* how often in a row a turn was worth a pipe */
	enum stream_state state;
	uint32_t slot;
	int core_index; /* in the configuration; -1: none yet */
	struct addr peer, prefix;
	void *gate;  /* the service's; NULL before the handshake is done, and once admitted */
	uint8_t *in; /* what the gate has not passed; NULL as .gate */
	size_t in_n;
	uint64_t since_ms, wait_ms;
	uint64_t bytes_in, bytes_out; /* client -> core, core -> client */
	uint64_t cap_bytes;	      /* of bytes_in; 0: none */
	struct loop_timer deadline, step;
	struct conn_pipe pipe_in,
		pipe_out; /* client -> core, core -> client; while they hold bytes */
	const char *tls_version, *tls_cipher; /* static; "": none */
	char *sni;			      /* NULL: none */
	char *close_reason;		      /* the core's, once it said so */
	uint8_t *last; /* what the edge says when the core has ended; NULL: nothing */
	size_t last_n;
};

struct stream_listener {
	struct streams *all;
	const struct stream_use *use;
	bool plain;
	struct loop_handle handle;
};

struct stream_counts { /* of a service, since start */
	uint64_t opened, admitted, n_by_reason[GATE_REASONS];
	unsigned n;			  /* now */
	char ktls_off[KTLS_WHY_MAX + 32]; /* why no stream climbs */
};

struct streams {
	struct streams_params p;
	struct prefix_counts *prefixes;
	struct stream_listener listeners[STREAM_LISTENERS];
	struct stream_counts counts[STREAM_SERVICES];
	unsigned n_listeners, n, n_unadmitted;
	bool draining;	  /* nothing new comes in */
	unsigned climbed; /* since the heap was trimmed */
	struct loop_timer trim;
	uint64_t adopted, lost, left,
		not_lodged;	 /* from an earlier worker; to the next; no slot was to be had */
	uint64_t lodge_again_ms; /* when to look for one again; 0: all have one */
	uint64_t next_id, truncated, unknown_orders;
	struct stream *buckets[STREAM_BUCKETS];
	struct stream *ended;
	struct conn_mover mover;
	struct gate_out out;
};

/* stream.c */
const char *stream_state_name(enum stream_state s);
/* Clean: what is queued is flushed, then close_notify both ways. Else: reset both ways, the core is told why. */
void stream_end(struct stream *s, bool clean, const char *reason);
void stream_refused(struct stream *s, enum gate_reason reason,
		    const char *detail);		     /* count, score, log */
struct stream_counts *stream_counts(const struct stream *s); /* of its service */
void stream_uncount(struct stream *s);
int stream_core_index(const struct streams *t, const char *name);
extern const struct conn_ops stream_client_ops;
struct stream *streams_find(struct streams *t, uint64_t id);
void stream_timers(struct stream *s); /* made, not set */
void stream_free(struct stream *s);   /* its memory, nothing else; NULL is fine */
void streams_insert(struct stream *s);
void stream_forget(
	struct stream
		*s); /* its connections are another's: out of the table, freed after the round */

/* stream_lodge.c */
/* With the keeper, if it is worth it and not there yet; as the core's words change it; and out again, before its connections end. */
void stream_lodge(struct stream *s);
void streams_lodge_again(struct streams *t); /* those for which there was no slot */
void stream_lodge_update(struct stream *s);
void stream_unlodge(struct stream *s);
/* Bytes in a pipe on their way to @dst go ahead of everything, into its queue. 0 or negative errno. */
int stream_unpipe(struct streams *t, struct conn *dst, struct conn_pipe *pipe);
void stream_leave(struct stream *s); /* to the next worker; one that cannot ends */

/* stream_gate.c */
int stream_gate_new(struct stream *s); /* 0 or negative errno */
void stream_gate_free(struct stream *s);
void stream_gate_readable(struct stream *s);
/* It ends by @reason, with what its gate has to say to that, in the middle of whatever the gate has not used yet. */
void stream_gate_end(struct stream *s, enum gate_reason reason);
void stream_gate_step(
	void *arg); /* timer of STREAM_WAIT and STREAM_HOLD; of STREAM_GATE: a message took too long */

/* stream_relay.c */
extern const struct conn_ops stream_core_ops;
void stream_climb_start(struct stream *s);
/* Admitted until then, in the loop's milliseconds. */
void stream_deadline(struct stream *s, uint64_t due_ms);
void stream_admit(struct stream *s, uint64_t max_bytes, uint32_t max_seconds);
void stream_relay_in(struct stream *s);	 /* client -> core, after admission */
void stream_relay_out(struct stream *s); /* core -> client, always */
/* The client's half is over, or nobody listens to it any more: the core is told, its bytes still go out, @last behind them, and it ends.
 * False: not of this service, or nothing is open to the core, or not now. */
bool stream_half(struct stream *s, struct span last);
/* @who ended it: 0 cleanly, else a negative errno. */
void stream_over(struct stream *s, ssize_t n, const char *who);
void stream_core_close(struct stream *s, const char *reason);

#endif
