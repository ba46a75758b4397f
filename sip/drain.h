/* sip/drain.h -- streams of edges that drain (user/drain.h): nothing new on them, and their phones move without being
 * unreachable.
 *
 * Data flow: engine_drain() for an edge -> its streams are told apart by struct edge_names. A request of a client asks
 * drain_refused(), a REGISTER drain_register_refused(), a call from inside drain_way(). Time: each DRAIN_TICK_MS streams that
 * nobody needs are closed (ENGINE_CLOSE_STREAM, "draining"), DRAIN_A_TICK at most, so that phones do not all come to the other
 * edge at once.
 *
 * A stream is not needed when it carries no call, no request that goes on, and ENGINE_DRAIN_MOVE is set, or each of its
 * bindings is reached by a stream of an edge that does not drain: the binding's own, or that of another binding of the same
 * device (AOR and instance, other reg-id: RFC 5626). Registrations of another core are not known here, and count as none.
 * Subscriptions do not keep a stream: phones make them anew where they register.
 * Owner rules: the list of edges that drain is the engine's, one entry an edge that was ever named; the mark of a stream that
 * was asked is in struct stream, and dies with it. After a restart of the worker each stream may be asked once more. */
#ifndef SALLYPORT_SIP_DRAIN_H
#define SALLYPORT_SIP_DRAIN_H

#include "sip/binding.h"

#define DRAIN_TICK_MS	  250
#define DRAIN_A_TICK	  25
#define DRAIN_RETRY_AFTER "Retry-After: 30\r\n" /* as DRAIN_RETRY_S */
#define DRAIN_ASKED_AFTER "Retry-After: 5\r\n"	/* who has nowhere to go shall not wait */

int drain_init(struct engine *e); /* 0 or -ENOMEM */
void drain_fini(struct engine *e);
/* How the edge @name drains now: for names that are made. */
unsigned drain_how(const struct engine *e, const char *name);
/* Whether request @m outside a dialog, not REGISTER, is refused on @s; then it is answered. */
bool drain_refused(struct engine *e, struct stream *s, const struct sip_msg *m);
/* The same of a REGISTER that binds. A phone that may have somewhere else to go is asked once. */
bool drain_register_refused(struct engine *e, struct stream *s, const struct sip_msg *m);
/* By which binding of @b's device a new call goes: @b itself, unless its stream drains and another one's does not; and the stream. */
struct binding *drain_way(struct binding *b, struct stream **out);

#endif
