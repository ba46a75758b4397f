/* user/core_https.h -- HTTPS on the core: makes its parts from the configuration, and ties them to the core's worker.
 *
 * Data flow: the keeper opens the section's files (token keys, CA, allow_csv) -> at start: keys, clusters, policy, upstream,
 * log on, edge config, core_http -> a link comes up: the public halves of the token keys go to that edge -> Open of service
 * "https" -> core_http. Owner rules: struct core owns it; it owns its parts and frees them in reverse order, before link, dns
 * and loop. Without an https section there is none, and streams of that service are refused. */
#ifndef SALLYPORT_CORE_HTTPS_H
#define SALLYPORT_CORE_HTTPS_H

#include <jansson.h>

#include "user/config.h"
#include "user/keeper.h"
#include "user/link.h"
#include "user/policy.h"

struct core;
struct core_edge;
struct core_https;

/* Keeper: open the files; on reload: open them anew, those of a section that came or grew as well (rotation of keys). */
int core_https_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n);
int core_https_reopen(struct keeper_plan *p, const struct config_core *cfg, char *why,
		      size_t why_n);

/* Worker: c->https, NULL where the section is absent. 0 or negative errno with @why. First what an operator may have got wrong (keys, CA, rules),
 * before the worker says that it can take over; then the rest. */
int core_https_load(struct core *c, char *why, size_t why_n);
int core_https_start(struct core *c, char *why, size_t why_n);
void core_https_stop(struct core *c);
void core_https_open(struct core *c, const struct core_edge *e, struct link_data *d,
		     const Sallyport__Open *o);
void core_https_link_up(struct core *c, struct core_edge *e);
/* By https.users and https.default_access; true for domains of no cluster, and without a section. */
bool core_https_may(const struct core *c, struct span domain, struct span user,
		    enum policy_access what);
/* For sallyctl; NULL where the section is absent. */
unsigned core_https_stream_count(const struct core *c);
json_t *core_https_show(const struct core *c);
void core_https_streams(const struct core *c, json_t *list);
/* "allow-test" of "METHOD URL [USER[@DOMAIN]]": which rule lets it through, or why none and the nearest; "allow-check": every https target's
 * certificate, asked for now: the names wanted and seen of those refused. Answers as admin.h; NULL: it comes later. */
json_t *core_https_allow_test(const struct core *c, const json_t *req);
json_t *core_https_allow_check(struct core *c);

#endif
