/* user/core_trace.h -- the core's part of "sallyctl trace": what is recorded where the engine's actions are carried out, and the answer with
 * what the edges have.
 *
 * Data flow: core.c, core_media.c -> core_trace_...() -> user/trace.h. "trace ARG": a user (user@domain, an address of record, or the part
 * before the '@'), a call (id, or Call-ID) or a stream's or flow's id -> records here, and streams and flows that belong to them -> each edge
 * that is up is asked for its records of those (user/core_ask.h) -> one time line, edges' clocks taken into account (offset and delay of
 * RFC 5905 section 8; an offset that is not larger than the delay is none) -> the admin socket.
 * Limits: 16 traces at once are the admin socket's; 64 streams and 256 flows are asked for, the newest. Owner: struct core. */
#ifndef SALLYPORT_CORE_TRACE_H
#define SALLYPORT_CORE_TRACE_H

#include "user/core_int.h"

void core_trace_stream_open(const struct core_stream *s);
void core_trace_stream(const struct core_stream *s, enum trace_what what, const char *text);
void core_trace_rung(const struct core_stream *s);
/* A message of a client or for it, of a call server or for it. */
void core_trace_client(struct core *c, uint64_t stream, enum trace_way way, struct span msg);
void core_trace_inside(const struct core *c, unsigned server, enum trace_way way, struct span msg);
/* ENGINE_LOG: registrations and refusals; ENGINE_CALL. */
void core_trace_log(struct core *c, const struct engine_action *a);
void core_trace_call(struct core *c, const struct engine_action *a);
/* ENGINE_MEDIUM_OPEN and CLOSE, ahead of what they do; and what became of the first. */
void core_trace_medium(struct core *c, const struct engine_action *a);
void core_trace_medium_failed(uint64_t medium, const char *reason);

/* Admin command. */
json_t *core_trace_cmd(void *core, const json_t *req);
/* Of traces that wait for edges, at the end. */
void core_trace_stop(struct core *c);

#endif
