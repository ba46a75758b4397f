/* user/core_chat.h -- chat within the core's worker and its keeper: what it is made of, and what it asks of the rest.
 *
 * Data flow: keeper: core_chat_plan() -> the CA of each cluster; worker: core_chat_start() -> TLS contexts -> core_xmpp.h; its words for
 * edges go out by their link. Owner rules: struct core owns all of it. */
#ifndef SALLYPORT_CORE_CHAT_H
#define SALLYPORT_CORE_CHAT_H

#include "user/config.h"
#include "user/keeper.h"

struct core;

/* Keeper: "xmpp.N.ca" for each cluster with TLS. 0 or negative errno with @why. */
int core_chat_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n);
/* Whether nothing that needs privilege differs. */
bool core_chat_same(const struct config_core *a, const struct config_core *b);
/* Worker; nothing to do where no cluster is configured. */
int core_chat_start(struct core *c, char *why, size_t why_n);
void core_chat_stop(struct core *c); /* after dns_free() */

#endif
