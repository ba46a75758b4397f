/* user/core_chat.h -- chat within the core's worker and its keeper: what it is made of, and what it asks of the rest.
 *
 * Data flow: keeper: core_chat_plan() -> the CA of each cluster; worker: core_chat_start() -> TLS contexts -> core_xmpp.h; and core_federation.h; their words for
 * edges go out by their link. Owner rules: struct core owns all of it. */
#ifndef SALLYPORT_CORE_CHAT_H
#define SALLYPORT_CORE_CHAT_H

#include <jansson.h>

#include "user/config.h"
#include "user/keeper.h"
#include "user/link.h"

struct core;

/* Keeper: "xmpp.N.ca" for each cluster with TLS, "xmpp.dial" where our servers dial the world. 0 or negative errno with @why. */
int core_chat_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n);
/* Whether nothing that needs privilege differs. */
bool core_chat_same(const struct config_core *a, const struct config_core *b);
/* Worker; nothing to do where no cluster is configured. */
int core_chat_start(struct core *c, char *why, size_t why_n);
void core_chat_stop(struct core *c); /* after dns_free() */
/* An Open or a message of chat: true, and it is taken. */
bool core_chat_open(struct core *c, const char *edge, struct link_data *d,
		    const Sallyport__Open *o);
bool core_chat_message(struct core *c, const char *edge, const Sallyport__Link *m);
/* For sallyctl: NULL where no chat is configured. */
/* Streams of clients and of servers now. */
void core_chat_count(const struct core *c, unsigned *out_clients, unsigned *out_servers);
json_t *core_chat_show(const struct core *c);
void core_chat_rows(const struct core *c, json_t *list);

#endif
