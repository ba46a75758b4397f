/* user/handover.h -- a daemon's place in the row of workers: it waits for its turn, and gives way to the next.
 *
 * Data flow: handover_wait() before kept state, maps or sockets are touched -> (GO) -> the daemon takes up and arms ->
 * handover_attach(). Then, on the keeper's word HANDOVER: no accept any more -> handshakes that are under way are finished
 * (.busy, HANDOVER_BUSY_MS at most) -> no datagram is received any more, what came and was answered has left -> .last() ->
 * DONE -> the process ends, unless .last() gave connections to .relays: then everything else of it ends as if the process had (the loop is
 * cleared, all other descriptors are closed; what other modules hold in memory just lies there), and the process lives on with these,
 * CONN_RELAY_MS at most (user/conn_relay.h). Whatever comes in between waits in the sockets, which are the keeper's, for the next worker.
 * "sallyctl upgrade" -> handover_upgrade() -> the keeper -> its reason, or the next worker's version and pid.
 * Owner rules: in the daemon's struct, which outlives it; owns the struct lodge and the relays. Between DONE and the end nothing
 * of ours but the relays runs: no function of any other module is called any more. */
#ifndef SALLYPORT_HANDOVER_H
#define SALLYPORT_HANDOVER_H

#include <jansson.h>

#include "user/admin.h"
#include "user/conn_relay.h"
#include "user/lodge.h"
#include "user/loop.h"

#define HANDOVER_BUSY_MS 1500

struct handover {
	/* The daemon's. */
	struct loop *loop;
	struct admin *admin;	 /* as soon as there is one */
	bool (*busy)(void *arg); /* somebody is in the middle of something short; NULL: never */
	lodge_take_fn *take;	 /* what an earlier worker left; NULL: nothing is taken up */
	void (*last)(void *arg); /* the last thing before DONE; may be NULL */
	void *arg;
	/* Ours. */
	struct lodge *lodge;
	struct conn_relays *relays; /* from handover_wait() on */
	bool taken;
	struct admin_ticket ticket;
	struct loop_timer look;
	uint64_t busy_until_ms;
};

/* Map the lodge, say READY (or why we would rather not: user/lodge.h), wait for GO. 0 or negative errno with @why. */
int handover_wait(struct handover *h, const char *objection, char *why, size_t why_n);
/* What an earlier worker left goes to .take, once; a daemon that needs it before handover_attach() calls this itself. */
int handover_take(struct handover *h, char *why, size_t why_n);
/* On the loop from now on, before the sandbox is closed. */
int handover_attach(struct handover *h, char *why, size_t why_n);
void handover_free(struct handover *h);
/* The admin command "upgrade". */
json_t *handover_upgrade(struct handover *h);

#endif
