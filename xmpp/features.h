/* xmpp/features.h -- a server's <stream:features/> without what cannot work through a gateway that ends TLS.
 *
 * In: the bytes of the element as they came, and the namespaces of the stream around it. Out: the same bytes without some
 * elements. Everything that stays is copied as it came, byte for byte: cut by the offsets of the elements, nothing is
 * re-serialised.
 *
 * Cut, since the client's TLS is not the server's TLS:
 *   <starttls/> of urn:ietf:params:xml:ns:xmpp-tls                        TLS with the client is ours alone
 *   <mechanism>...-PLUS</mechanism> of SASL and SASL2 (XEP-0388)          binds to the channel (RFC 5802 4)
 *   <mechanism>HT-*-ENDP, -UNIQ, -EXPR</mechanism> of FAST (XEP-0484)     the same
 *   <sasl-channel-binding/> of urn:xmpp:sasl-cb:0 (XEP-0440)              its types
 *
 * What cutting cannot mend: a client that could bind and is offered no -PLUS says so ("y" in the GS2 header), and a server
 * that did offer -PLUS must then fail the authentication as a downgrade (RFC 5802 6; Prosody does). So .plus > 0 is worth
 * a warning: the server must be told not to offer channel binding on the gateway's connections.
 *
 * The caller owns both buffers. expat allocates while it works; nothing of it is kept. */
#ifndef SALLYPORT_XMPP_FEATURES_H
#define SALLYPORT_XMPP_FEATURES_H

#include "user/span.h"

#define XMPP_CUTS_MAX 64 /* elements that are cut from one <stream:features/>; more is an error */

struct xmpp_features {
	unsigned starttls, plus, bindings; /* elements that were cut; FAST's count as plus */
	unsigned
		mechanisms; /* of SASL and SASL2 that are left; 0 where some were cut: nobody can log in */
};

/* @features: the bytes of one XMPP_STANZA whose element is XMPP_E_FEATURES; @context: xmpp_reader_context() of that
 * stream. Writes at most @n bytes to @buf, and what was found to @out. Returns the length; -EBADMSG: @features is no such
 * element in @context; -E2BIG: more than XMPP_CUTS_MAX, or no room; -ENOMEM. */
ssize_t xmpp_features_rewrite(struct span context, struct span features, uint8_t *buf, size_t n,
			      struct xmpp_features *out);

#endif
