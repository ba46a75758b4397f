/* user/trace.h -- what has happened, in a ring of fixed-size records: "sallyctl trace".
 *
 * Data flow: one line at the place where something happens (trace_put(), trace_sip()) -> a record in the ring, the oldest is overwritten
 * -> trace_each() when somebody asks -> user/trace_query.h chooses those of a user, call, stream or flow -> user/trace_show.h.
 * A record holds ids (of the client's stream and of a flow: the edge's, so that both nodes say the same; of a call: the core's), a hash of
 * the address of record and of the Call-ID, and a short text: methods, codes, addresses, reasons; no body, no credential. The edge's hold no user.
 *
 * Size: 128 bytes a record; setting trace_records, by default 16,384 a daemon: 2 MiB. Two rings of one half each: what comes all the time
 * (REGISTER and OPTIONS with their answers, HTTPS requests, counts of flows, refusals) does not push out calls, streams and log-ins. What was overwritten is counted.
 * Owner rules: one a process, like the log; without trace_open() nothing is recorded. The memory is the keeper's ("trace", trace_plan()),
 * so what a worker has recorded before it died is there for the next one; a keeper's end is its end, unless the manager keeps it. One
 * writer: the worker that hands over closes it first. Cost: a store of 128 bytes and the time of day; selftests/unit/test_trace prints it. */
#ifndef SALLYPORT_TRACE_H
#define SALLYPORT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/span.h"

#define TRACE_TEXT_MAX	    72
#define TRACE_RECORDS_MIN   256
#define TRACE_RECORDS_MAX   1048576
#define TRACE_RECORDS_USUAL 16384

enum trace_what {
	TRACE_NONE, /* an empty place, or one that was being written when a worker died */
	TRACE_STREAM_OPEN,
	TRACE_STREAM_TAKEN, /* over, from an earlier worker */
	TRACE_STREAM_ADMITTED,
	TRACE_STREAM_REVOKED,
	TRACE_STREAM_RUNG,
	TRACE_STREAM_REFUSED,
	TRACE_STREAM_CLOSED,
	TRACE_SIP,
	TRACE_REGISTERED,
	TRACE_UNREGISTERED,
	TRACE_REFUSED, /* a request, for a reason of ours */
	TRACE_CALL_STARTED,
	TRACE_CALL_ANSWERED,
	TRACE_CALL_ENDED,
	TRACE_MEDIUM_OPEN, /* .flow is the medium's id, .call the call's */
	TRACE_MEDIUM_FAILED,
	TRACE_MEDIUM_CLOSED,
	TRACE_FLOW_ALLOCATED, /* .flow; on the core .call is the medium's id */
	TRACE_FLOW_PUNCHED,
	TRACE_FLOW_LATCHED,
	TRACE_FLOW_COUNTS,
	TRACE_FLOW_FREED,
	TRACE_HTTP,
	TRACE_CHAT,
	TRACE_WHATS
};
const char *trace_what_name(enum trace_what w); /* "stream-open" */

enum trace_way {
	TRACE_NO_WAY,
	TRACE_FROM_CLIENT,
	TRACE_TO_CLIENT,
	TRACE_FROM_INSIDE,
	TRACE_TO_INSIDE
};

struct trace_record {
	uint64_t at_ms;				   /* UTC */
	uint64_t user, stream, call, flow, dialog; /* 0: none */
	uint32_t seq;				   /* rises over both rings */
	uint16_t code;				   /* status; 0: none, or a request */
	uint8_t what, way;
	char text[TRACE_TEXT_MAX];
};

struct trace_ids {
	uint64_t user, stream, call, flow, dialog;
};

/* Memory for @records, the keeper's (-1, or one of another size: this process's own). What an earlier worker has left in it goes on. 0 or
 * negative errno. */
int trace_open(int fd, unsigned records);
void trace_close(void); /* nothing is recorded from here on */
/* Bytes of memory for @records. */
size_t trace_bytes(unsigned records);

/* Peers' bytes may be in @fmt's arguments: what is not printable ASCII becomes '?'; the text is cut. */
void trace_put(enum trace_what what, const struct trace_ids *ids, unsigned code, const char *fmt,
	       ...) __attribute__((format(printf, 4, 5)));
/* One SIP message as it came or goes. @server: name of the call server, or NULL. What cannot be read is not recorded. */
void trace_sip(enum trace_way way, uint64_t stream, const char *server, struct span msg);

/* Hash of an address of record or JID, "sip:" or "sips:" in front or not: user as it is with its escapes decoded, domain without regard to case.
 * 0: no '@', or nothing ahead of it. */
uint64_t trace_user(struct span aor);
uint64_t trace_hash(struct span s); /* of a Call-ID; never 0 */

struct trace_stats {
	uint64_t written, overwritten;
	unsigned records; /* of the ring */
	uint64_t
		reaches_ms; /* UTC of the oldest record of the ring that reaches back the least; 0: empty */
};
struct trace_stats trace_stats(void);
/* Oldest first. */
void trace_each(void (*fn)(void *arg, const struct trace_record *r), void *arg);

#endif
