/* xmpp/inner.h -- what stands inside one element: a child's text, the first child's name; and who wants to authenticate.
 *
 * In: the bytes of an element as they came, and the namespaces of the stream around it (xmpp_reader_context()). Out: texts with their
 * references resolved, in the caller's buffers. The element was read by struct xmpp_reader before, so its size, depth and form are
 * within limits. The caller owns all buffers; expat allocates while it works, nothing of it is kept. */
#ifndef SALLYPORT_XMPP_INNER_H
#define SALLYPORT_XMPP_INNER_H

#include "user/span.h"

/* The text of the first child @name of @ns; @name empty: the element's own. Length, NUL-terminated in @buf; -ENOENT: no such child;
 * -E2BIG: does not fit; -EBADMSG: no element in @context; -ENOMEM. */
ssize_t xmpp_inner_text(struct span context, struct span element, struct span ns, struct span name,
			char *buf, size_t n);
/* The name of the first child of @ns; else as above. */
ssize_t xmpp_inner_name(struct span context, struct span element, struct span ns, char *buf,
			size_t n);

#define XMPP_USER_MAX	   256 /* bytes of a name in SASL that are looked at; a longer one is unknown */
#define XMPP_MECHANISM_MAX 20 /* RFC 4422 3.1 */

/* Who authenticates, as far as the first message of the exchange tells it: PLAIN (RFC 4616), SCRAM-* (RFC 5802; GS2), OAUTHBEARER
 * (RFC 7628). Of other mechanisms, and without an initial response, nothing is known. */
struct xmpp_sasl {
	char mechanism[XMPP_MECHANISM_MAX + 1];
	char user[XMPP_USER_MAX]; /* authentication identity; "": unknown */
	char as[XMPP_USER_MAX];	  /* authorization identity; "": the same */
};
/* @element: <auth/>, or with @sasl2 <authenticate/>; @mechanism: its attribute. 0; -EBADMSG: a mechanism's name that is none, no base64, or
 * a message that is not as its mechanism has it: nobody's server could take it. */
int xmpp_sasl_user(struct span context, struct span element, bool sasl2, struct span mechanism,
		   struct xmpp_sasl *out);

#endif
