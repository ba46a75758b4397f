/* xmpp/element.h -- the elements that matter at the top level of a stream, by name and namespace.
 *
 * In: a name and a namespace. Out: an enum. What is not listed is XMPP_E_OTHER: it is passed on or refused by name alone. */
#ifndef SALLYPORT_XMPP_ELEMENT_H
#define SALLYPORT_XMPP_ELEMENT_H

#include "user/span.h"

enum xmpp_element {
	XMPP_E_OTHER,
	/* stanzas: jabber:client or jabber:server (RFC 6120 section 8) */
	XMPP_E_IQ,
	XMPP_E_MESSAGE,
	XMPP_E_PRESENCE,
	/* of the stream itself: http://etherx.jabber.org/streams */
	XMPP_E_FEATURES,
	XMPP_E_ERROR,
	/* urn:ietf:params:xml:ns:xmpp-tls */
	XMPP_E_STARTTLS,
	XMPP_E_PROCEED,
	XMPP_E_TLS_FAILURE,
	/* urn:ietf:params:xml:ns:xmpp-sasl */
	XMPP_E_AUTH,
	XMPP_E_CHALLENGE,
	XMPP_E_RESPONSE,
	XMPP_E_SUCCESS,
	XMPP_E_FAILURE,
	XMPP_E_ABORT,
	/* urn:xmpp:sasl:2 (XEP-0388) */
	XMPP_E_SASL2_AUTHENTICATE,
	XMPP_E_SASL2_CHALLENGE,
	XMPP_E_SASL2_RESPONSE,
	XMPP_E_SASL2_SUCCESS,
	XMPP_E_SASL2_FAILURE,
	XMPP_E_SASL2_CONTINUE,
	XMPP_E_SASL2_NEXT,
	XMPP_E_SASL2_TASK_DATA,
	XMPP_E_SASL2_ABORT,
	/* http://jabber.org/protocol/compress (XEP-0138) */
	XMPP_E_COMPRESS,
	XMPP_E_COMPRESSED,
	XMPP_E_COMPRESS_FAILURE,
	/* urn:xmpp:sm:3 and :2 (XEP-0198) */
	XMPP_E_SM_ENABLE,
	XMPP_E_SM_ENABLED,
	XMPP_E_SM_RESUME,
	XMPP_E_SM_RESUMED,
	XMPP_E_SM_FAILED,
	XMPP_E_SM_R,
	XMPP_E_SM_A,
	/* jabber:server:dialback (XEP-0220) */
	XMPP_E_DB_RESULT,
	XMPP_E_DB_VERIFY,
	XMPP_ELEMENTS
};

enum xmpp_element xmpp_element_find(struct span ns, struct span name);
const char *xmpp_element_name(
	enum xmpp_element e); /* "sasl2:authenticate", for logs and tools/parse */

#endif
