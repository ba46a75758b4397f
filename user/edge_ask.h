/* user/edge_ask.h -- what a core may ask of this edge over the link: a fixed list of commands that only read.
 *
 * Data flow: Ask{id, cmd, arg} -> the command's function -> its JSON in Answers of at most EDGE_ANSWER_BYTES, the last without .more. To an
 * object the times are added when the Ask came and when it is answered ("got_ms", "now_ms"; UTC).
 * An unknown command, or an argument over EDGE_ASK_ARG, is answered {"error": ...}. Bounded: a command's answer by itself, all that waits by the
 * link's queue. Owns nothing. Nothing here asks a core: the link takes no Ask from an edge. */
#ifndef SALLYPORT_EDGE_ASK_H
#define SALLYPORT_EDGE_ASK_H

#include "user/edge_impl.h"

#define EDGE_ASK_ARG	  16384
#define EDGE_ANSWER_BYTES 32768

/* From the link's ops: true when it was an Ask. */
bool edge_ask_message(struct edge *e, struct link_peer *p, const Sallyport__Link *m);
/* edge_trace.c: "s=ID,...;f=ID,..." of streams and flows -> {"node", "reaches_ms", ..., "rows": [...], "cut": n}. */
json_t *edge_trace_ask(struct edge *e, const char *arg);
/* edge_trace.c: the admin socket's "tap FLOW [SECONDS]", for sallyctl capture: {"ring", "lost"}: paths of the maps. */
json_t *edge_tap_cmd(void *edge, const json_t *req);
/* edge_trace.c: the admin socket's "trace STREAM|FLOW|ADDRESS". */
json_t *edge_trace_cmd(void *edge, const json_t *req);

#endif
