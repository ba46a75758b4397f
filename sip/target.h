/* sip/target.h -- where a call server can be reached: its addresses, which of them a request goes to, and how they are.
 *
 * In: addresses with priority and weight (RFC 2782, from DNS; or the one configured), what came from them, what did not, failures of
 * transports, time. Out: the address for a request, and the next one where that fails (RFC 3263 4.3); keepalives.
 * A user's requests go to one target as long as it is up: the draw by weight is made with the user's address as the dice. A target that
 * fails is passed over for TARGET_DOWN_MS, or until something comes from it again; where all are down none is passed over.
 * Nothing for TARGET_ASK_MS after a request, or at all for TARGET_IDLE_MS: OPTIONS asks; no answer to that in TARGET_PING_MS: silent. What
 * has never answered OPTIONS is not called silent for that alone. Over UDP two CRLF a TARGET_KNOCK_MS tell, by ICMP, when nobody listens
 * any more: that is how a restart is noticed. A stream that ended in order is made anew at once by OPTIONS, for the same reason.
 * The engine owns one struct targets a call server; state stays with an address when DNS is asked again. */
#ifndef SALLYPORT_SIP_TARGET_H
#define SALLYPORT_SIP_TARGET_H

#include "sip/engine_int.h"

#define TARGET_DOWN_MS	30000
#define TARGET_RETRY_MS 2000 /* OPTIONS to one that is down */
#define TARGET_ASK_MS	1000
#define TARGET_PING_MS	4000
#define TARGET_IDLE_MS	10000
#define TARGET_KNOCK_MS 1000

struct target {
	struct addr addr;
	uint16_t priority, weight;
	uint64_t heard, asked; /* last from it; the first send to it since then (0: none) */
	uint64_t pinged, knocked;
	bool pinging, answers; /* OPTIONS is under way; it has ever been answered */
	uint64_t down_until;   /* 0: up */
	bool told;	       /* it said so itself (503): only time makes it up */
	char why[64];	       /* of the last time it was down */
	uint64_t failures;
	bool spoke; /* since it last lost its registrations */
	bool ended; /* its stream, in order; nothing was heard since */
	uint64_t losses;
};

struct targets {
	unsigned n;
	struct target t[ENGINE_TARGETS_MAX];
	struct timer timer;
	uint64_t moved; /* requests that went on to another one */
	unsigned server;
};

int target_init(struct engine *e);
void target_fini(struct engine *e);

/* What makes a user's requests stay together. */
uint64_t target_key(const char *aor);
/* The target for a request of @key that has been to @tried already. False: none is left. */
bool target_pick(const struct engine *e, unsigned server, uint64_t key, const struct addr *tried,
		 unsigned n_tried, struct addr *out);
/* The target that @from (the source of a message) is, or NULL: its address and port, else its address alone if only
 * one has it (a stream that it opened comes from any port). */
struct target *target_of(const struct engine *e, unsigned server, const struct addr *from);
/* Towards @server in a dialog: to what @next, the next hop's URI, names if that is a target; else to @before (port 0: not
 * known) as long as it is up; else by @key. */
struct peer target_peer(const struct engine *e, unsigned server, const struct sip_uri *next,
			const struct addr *before, uint64_t key);

void target_asked(struct engine *e, unsigned server, const struct addr *to);
void target_heard(struct engine *e, unsigned server, const struct addr *from);
/* It answered 503: it is not to be asked for so long (RFC 3261 21.5.4). */
void target_busy(struct engine *e, unsigned server, const struct addr *to, uint32_t seconds);
/* Down for a while. False: it is none (any more). */
bool target_failed(struct engine *e, unsigned server, const struct addr *to, const char *why);
/* What became of the way to it: whether it has lost its registrations with that (lines.h says what is taken for it). */
void target_ended(struct engine *e, unsigned server, const struct addr *to, enum engine_failure how,
		  const char *why);
/* The connection to it has ended. */
void target_closed(struct engine *e, unsigned server, const struct addr *to);
uint32_t target_retry_after(const struct sip_msg *m); /* seconds; 0: it does not say */
/* Its OPTIONS got answer @m, or none (NULL). */
void target_pong(struct engine *e, const struct txn *t, const struct sip_msg *m);

#endif
