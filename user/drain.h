/* user/drain.h -- taking a node out of service without a user noticing: nothing new comes in, what is there goes on to its
 * end.
 *
 * "sallyctl drain on" on an edge or a core. What each part does then, and why:
 *
 * The edge (it knows no user, and reads no byte of an admitted stream):
 * - New connections are accepted, and their first request is refused in its own words, so that a client learns at once that it
 *   should go elsewhere; a reset or a closed port would cost it time-outs. SIP: 503 with Retry-After (RFC 3261 21.5.4, RFC
 *   3263 4.3: on to the next target), OPTIONS of health checks as well; HTTPS: 503, Retry-After, Connection: close, ahead of
 *   any 401; chat and federation: <system-shutdown/> (RFC 6120 4.9.3.20), a TLS alert where the TLS is not ours. Then the
 *   connection is closed. Such refusals are counted as "draining", and add nothing to a ban. ACK and BYE with a Route of ours
 *   pass: a phone whose connection broke can hang up.
 * - Streams that have a core already go on, also one that is just logging on. Media, link connections and dials of cores go
 *   on.
 * - It tells its cores (Drain), which do the rest for the admitted streams.
 * The core, for streams of an edge that drains, or for all of its own while it drains itself:
 * - SIP (sip/drain.h): what would have to be waited for is refused with 503 and Retry-After: INVITE, SUBSCRIBE and REFER
 *   outside a dialog (an INVITE with Replaces takes the place of a call, and passes). All in dialogs, and what ends with its
 *   answer (MESSAGE, PUBLISH), goes on.
 * - Phones move without being unreachable in between. A stream without a call is closed as soon as nobody needs it: its
 *   registrations are reached by another edge as well (outbound, RFC 5626, or it registered there meanwhile), or, where a core
 *   drains, another core stands behind the same edge and takes the phone in when it connects anew. Until then it stays open,
 *   calls still come in by it, and its refresh is refused once (503, Retry-After: 5), if another edge is up: a phone that
 *   knows another edge goes there now. One that asks again over the same stream has nowhere to go, and is let through. Closing
 *   each idle stream at once would be quicker, but would cut off phones that know this edge only; what they have lasts until
 *   the operator ends it (or they close the connection themselves: then the gate refuses them). `phones` says how many these
 *   are.
 * - Calls from inside go by another edge where the device is registered by another one, else still by this one.
 * - HTTPS: answers say Connection: close, so that keep-alive connections end with their next answer, or after their idle time.
 *   WebSockets, chat and federation live on. get_edge_config does not name a draining edge, unless all drain. Dials of
 *   federation take another edge first.
 * The edge, for a core that drains: new streams go to another core that serves the domain; without one they are refused as
 * above, at once. A call lives in one core: a phone whose connection breaks in a call comes to the other one, which does not
 * know it.
 *
 * What is counted as left: calls (the edge hears the number from its cores, and sees its own media flows, also of a call whose
 * phone has lost its connection), streams of HTTPS, chat and federation; these "drain on --wait" waits for. Idle phones are no
 * loss of work, are told (`phones`), and not waited for.
 *
 * State: one word in a memory of the keeper, read by each worker at its start, so it outlives a worker's death and an upgrade,
 * and the keeper's own death where the calls do (user/keeper_store.h). What ends the calls ends it as well: a stop and start
 * of the service, a boot, a keeper's death without such a store. So a node that was rebooted is in service, and one whose
 * calls go on has not come back by itself. A worker that takes up a drain logs it. "drain off" undoes it at once: nothing else
 * was changed.
 * Owner rules: the keeper owns the memory; one worker at a time writes it, after its GO (user/handover.h). */
#ifndef SALLYPORT_DRAIN_H
#define SALLYPORT_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds for who was refused at the door. Clients that know another node do not wait; the others are back so soon after "off". */
#define DRAIN_RETRY_S "30"
#define DRAIN_TELL_MS 1000 /* from one count of what is left to the next */

struct keeper_plan;

struct drain {
	bool on;
	uint64_t since_ms; /* the loop's time */
	uint64_t *
		word; /* the keeper's; NULL: ends with the worker, as the keeper is of an older version */
};

/* Keeper: the memory, after everything else that the plan names. 0 or negative errno with @why. */
int drain_plan(struct keeper_plan *p, char *why, size_t why_n);
/* Worker, after its GO: as the one before left it. @now_ms bounds since_ms. */
void drain_open(struct drain *d, uint64_t now_ms);
void drain_set(struct drain *d, bool on, uint64_t now_ms); /* the same again changes nothing */
void drain_close(struct drain *d);			   /* it stays as it is */

#endif
