/* sip/identity.h -- what a client may say about itself and where it may send: From, P-Preferred-Identity, Route.
 *
 * In: a request and the stream it came on. Out: the binding it speaks for; its Route taken apart into ours and what
 * is left. No state. */
#ifndef SALLYPORT_SIP_IDENTITY_H
#define SALLYPORT_SIP_IDENTITY_H

#include "sip/binding.h"
#include "sip/engine_int.h"
#include "sip/forward.h"

#define ROUTES_MAX 16

/* Fields that no client may send inwards; the server's trusted_headers come on top. */
#define IDENTITY_DROP \
	(SIP_BIT(SIP_H_P_ASSERTED_IDENTITY) | SIP_BIT(SIP_H_REMOTE_PARTY_ID) | SIP_BIT(SIP_H_PATH))

struct routes {
	unsigned n, ours; /* the first @ours of @n are ours: consumed here */
	struct sip_addr r[ROUTES_MAX];
	bool has_token, forged;
	struct token token;
};

/* Take the Route of @m apart. @s: the client's stream, NULL: from inside. 0; -EPERM: names us with a token that is not
 * ours (out->forged is set, whatever the result); -E2BIG: too many. */
int identity_routes(const struct engine *e, const struct stream *s, const struct sip_msg *m,
		    struct routes *out);

/* The binding of the admitted user that From names; NULL with *why: not admitted on this stream for it, or another
 * identity is preferred. */
struct binding *identity_from(const struct stream *s, const struct sip_msg *m, const char **why);
/* P-Preferred-Identity holds admitted addresses of record only. */
bool identity_preferred(const struct stream *s, const struct sip_msg *m);

#endif
