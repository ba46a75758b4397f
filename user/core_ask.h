/* user/core_ask.h -- the core asks an edge something over the link: Ask, and the Answers to it (link.proto).
 *
 * Data flow: core_ask() -> Ask{id, cmd, arg} -> the edge's fixed list of commands that only read (user/edge_ask.h) -> Answers, each a part of
 * one JSON text, the last without .more -> the asker's function, once: with the value, or with why there is none.
 * Only a core asks: an edge stands in the DMZ and must not be able to. What an edge answers is a stranger's word: bounded here, its shape is
 * the asker's to check.
 * Limits: CORE_ASKS_MAX at once; CORE_ASK_MS; CORE_ASK_BYTES an answer. Owner: the core; an asker that goes away calls core_ask_forget(). */
#ifndef SALLYPORT_CORE_ASK_H
#define SALLYPORT_CORE_ASK_H

#include <jansson.h>

#include "user/link.h"

#define CORE_ASKS_MAX  64
#define CORE_ASK_MS    5000
#define CORE_ASK_BYTES (2u << 20)

struct core_asks;

struct core_answer {
	json_t *value; /* NULL: none, see .why; lives until the function returns */
	const char *why;
	uint64_t asked_ms, answered_ms; /* UTC */
};
typedef void core_answer_fn(void *arg, const struct core_answer *a);

int core_asks_new(struct loop *l, struct core_asks **out);
void core_asks_free(struct core_asks *a); /* nobody is told */
/* 0: @fn will be called, not from here; -ENOTCONN (@p is NULL), -EOPNOTSUPP (a version that knows no questions), -EBUSY, or of link_send(). */
int core_ask(struct core_asks *a, struct link_peer *p, const char *cmd, const char *arg,
	     core_answer_fn *fn, void *fn_arg);
void core_ask_forget(struct core_asks *a, const void *fn_arg);
/* From the link's ops. message(): true when it was an Answer. */
bool core_asks_message(struct core_asks *a, struct link_peer *p, const Sallyport__Link *m);
void core_asks_down(struct core_asks *a, struct link_peer *p);

#endif
