/* user/gate_http_keys.h -- the public keys of session tokens on the edge, as each core told them, and what they say of a token.
 *
 * In: TokenKeys of a core, whole or not at all; a token and the domain that it is shown for. Out: a verdict, by the keys of all cores that may
 * serve the domain: a client may come to another core than the one that signed. Keys outlive the core's connection, not the worker: after
 * each hello the core tells them again. Owner: the edge; the only place of it that asks for the time of day (wall.h). */
#ifndef SALLYPORT_GATE_HTTP_KEYS_H
#define SALLYPORT_GATE_HTTP_KEYS_H

#include "user/config.h"
#include "user/http_token.h"
#include "user/link.pb-c.h"

struct gate_http_keys;

int gate_http_keys_new(const struct config_edge *cfg,
		       struct gate_http_keys **out); /* 0 or -ENOMEM */
void gate_http_keys_free(struct gate_http_keys *k);
/* In the place of those that core @core (by its place in the configuration) told before; with an error they stay. 0, -EINVAL (no such core, no key,
 * not of that id), -EEXIST, -ENOSPC, -ENOMEM. */
int gate_http_keys_set(struct gate_http_keys *k, unsigned core, const Sallyport__TokenKeys *m);
unsigned gate_http_keys_count(const struct gate_http_keys *k, unsigned core);
/* For struct gate_http_config: @keys is a struct gate_http_keys. */
enum http_token_verdict gate_http_keys_judge(void *keys, struct span domain, struct span text);

#endif
