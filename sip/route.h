/* sip/route.h -- what becomes of a message: local answer, refusal, or on to the other side.
 *
 * In: engine_stream_recv(), engine_inside_recv(), answers from txn.c. Out: transactions made and sent, calls called.
 * Between call.c and txn.c: call.c decides about bodies, route_forward() writes the request. */
#ifndef SALLYPORT_SIP_ROUTE_H
#define SALLYPORT_SIP_ROUTE_H

#include "sip/forward.h"
#include "sip/identity.h"
#include "sip/txn.h"

#define ROUTE_RETRY_AFTER "Retry-After: 10\r\n" /* of a 503: a field for txn_reply() */

/* An answer of @t is to be passed upstream. */
void route_response(struct engine *e, struct txn *t, const struct sip_msg *m);
/* @t will get no final answer (or none that may pass): answer @status upstream, end what hung on it. */
void route_failed(struct engine *e, struct txn *t, unsigned status, const char *reason);

/* Send request @m of @t on to t->down. @new_body: with @body in place of its own. */
void route_forward(struct engine *e, struct txn *t, const struct sip_msg *m, bool new_body,
		   struct span body);
/* Pass answer @m up. */
/* Session-Expires of a 2xx as it goes on, in seconds; 0: none. */
uint32_t route_session_expires(const struct txn *t, const struct sip_msg *m);
void route_back(struct engine *e, struct txn *t, const struct sip_msg *m, bool new_body,
		struct span body);
/* ACK for 2xx of @c (NULL: not known here), end to end: no transaction. @ri: what is left of Route. */
void route_ack(struct engine *e, const struct call *c, const struct peer *up,
	       const struct peer *down, const struct sip_msg *m, const struct routes *ri,
	       bool new_body, struct span body);

const char *route_transport(enum engine_transport t, bool upper);
/* "Via: ...\r\n" of ours for a hop to @down with branch id @id, appended to @buf. Returns @buf. */
const char *route_via(const struct engine *e, const struct peer *down, uint64_t id, char *buf,
		      size_t n);
/* Our URI towards inside or client with @tok as its user: "<sip:...;lr>". */
const char *route_uri_inside(const struct engine *e, unsigned server, const char *tok, char *buf,
			     size_t n);
const char *route_uri_edge(const struct stream *s, const char *tok, char *buf, size_t n);

/* Answer without a transaction, with a log line `event=refused reason=...`. */
void route_refuse(struct engine *e, const struct peer *up, const struct sip_msg *m, unsigned status,
		  const char *text, const char *reason);

void register_request(struct engine *e, struct stream *s, const struct sip_msg *m);
/* Mode `contact`: each of the 200's Contacts with its device's own URI, as far as it is known here. False: too large. */
bool register_contacts(struct engine *e, const struct txn *t, const struct sip_msg *m,
		       struct edit *ed);
void register_response(struct engine *e, struct txn *t, const struct sip_msg *m);

#endif
