/* user/media_pass.h -- media of the core that stays SRTP inside: flows on edges, slots of the core's own maps. No packet passes here.
 *
 * Data flow: media_pass_open() -> Allocate for RTP and RTCP (link) -> Allocated: the edge's inside ports are known -> a couple of
 * slots, a flow in the maps for each: outside leg (a port of our link address) pinned to the edge's port, inside leg (a port of our
 * inside address) open to nobody yet -> opened(); media_pass_set() names the inside party: packets go both ways in the kernel.
 * The edge learns our port by a punch, which leaves from a socket that is bound to just that port, holds it from others and takes
 * nothing in: what comes to it is taken by the program.
 * Two media whose inside parties are each other's ports (a call between two clients) are joined: one more slot, both sides on link
 * addresses, from edge to edge.
 *
 * Owner rules: media_pass owns slots, sockets and next hop references; the maps hold the truth and outlive the worker. A worker that
 * starts adopts every live flow from them: the note in a flow says which medium, edge and client it is of. Its caller closes those whose
 * calls it does not know any more.
 * Events are media_core's, with the same rules: opened() or failed() once, none after media_pass_close().
 * Limits: two slots a medium, media_max media. NULL for struct media_pass is fine everywhere but in open and set: there is none. */
#ifndef SALLYPORT_MEDIA_PASS_H
#define SALLYPORT_MEDIA_PASS_H

#include "user/config.h"
#include "user/maps.h"
#include "user/media_core.h"
#include "user/nexthop.h"
#include "user/rung.h"

struct media_pass;

struct media_pass_params {
	struct loop *loop;
	struct maps *maps;
	struct nexthop *nexthop;
	const struct config_core *cfg;
	struct media_rung rungs[RUNG_PAIRS_MAX]; /* of each pair of media_pass_pairs() */
	uint64_t seed;				 /* random */
	const struct media_core_ops *ops;
	void *arg;
};

/* The pairs that the loader and the maps are to have: those of the configuration, then those for joined flows. Their number, or
 * -EINVAL. */
int media_pass_pairs(const struct config_core *cfg, struct maps_pair out[RUNG_PAIRS_MAX]);

int media_pass_new(const struct media_pass_params *p, struct media_pass **out);
void media_pass_free(struct media_pass *m); /* flows in the maps live on */

/* As media_core_open(); RTCP always has a flow of its own, since the parties may agree on either. */
int media_pass_open(struct media_pass *m, uint64_t medium, struct link_peer *edge,
		    const struct addr *client);
/* Remote addresses, client, clocks and reopen of @s; there are no keys. 0, -ENOENT, -EAFNOSUPPORT (the inside party's family is not ours). */
int media_pass_set(struct media_pass *m, uint64_t medium, const struct media_set *s);
void media_pass_close(struct media_pass *m, uint64_t medium); /* unknown: fine */

/* A worker that follows: which media it adopted. @fn may close the one that it is given. */
bool media_pass_has(const struct media_pass *m, uint64_t medium);
void media_pass_each(struct media_pass *m, void (*fn)(void *arg, uint64_t medium), void *arg);

/* From the link's ops. message(): true when it was about a flow of ours. */
void media_pass_link_up(struct media_pass *m, struct link_peer *p);
void media_pass_link_down(struct media_pass *m, struct link_peer *p);
bool media_pass_message(struct media_pass *m, struct link_peer *p, const Sallyport__Link *msg);
unsigned media_pass_live(const struct media_pass *m, const char *edge, uint64_t *ids, unsigned max);

/* As media_core_quality(). */
int media_pass_quality(const struct media_pass *m, uint64_t medium, struct quality *out_in,
		       struct quality *out_out);
uint64_t media_pass_joined(const struct media_pass *m,
			   uint64_t medium); /* the other medium; 0: none */
/* For the summary, a walk: adds the rows of media_pass_show() by rung, and what its flows and joins carried. NULL adds nothing. */
struct summary_flows;
void media_pass_sum(const struct media_pass *m, struct summary_flows *out);
void media_pass_show(const struct media_pass *m, json_t *flows); /* appended to the array */
void media_pass_show_medium(const struct media_pass *m, uint64_t medium, json_t *flows);
json_t *media_pass_status(const struct media_pass *m); /* object; JSON null: there is none */

#endif
