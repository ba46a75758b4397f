/* xmpp/write.h -- the few things that a gateway says by itself on an XMPP stream, written with escaping into a bounded
 * buffer.
 *
 * In: names and texts. Out: bytes in the caller's buffer. No allocation. Once something did not fit or was no XML
 * character, nothing more is written, and the end tells it: a reply that is cut or that breaks the stream is never sent. */
#ifndef SALLYPORT_XMPP_WRITE_H
#define SALLYPORT_XMPP_WRITE_H

#include "user/span.h"

#define XMPP_NS_STREAM	 "http://etherx.jabber.org/streams"
#define XMPP_NS_ERRORS	 "urn:ietf:params:xml:ns:xmpp-streams"
#define XMPP_NS_TLS	 "urn:ietf:params:xml:ns:xmpp-tls"
#define XMPP_NS_SASL	 "urn:ietf:params:xml:ns:xmpp-sasl"
#define XMPP_NS_SASL2	 "urn:xmpp:sasl:2"
#define XMPP_NS_CLIENT	 "jabber:client"
#define XMPP_NS_SERVER	 "jabber:server"
#define XMPP_NS_DIALBACK "jabber:server:dialback"
#define XMPP_NS_COMPRESS "http://jabber.org/protocol/compress"
#define XMPP_NS_SM2	 "urn:xmpp:sm:2"
#define XMPP_NS_SM3	 "urn:xmpp:sm:3"

struct xmpp_out { /* a bounded writer */
	uint8_t *p;
	size_t n, cap;
	bool overflow, invalid;
};

void xmpp_out_init(struct xmpp_out *o, void *buf, size_t cap);
void xmpp_out_raw(struct xmpp_out *o, struct span s);
/* @s as character data or attribute value: & < > " ' become references, and so do tab, CR and LF. No UTF-8 or no XML character
 * (XML 1.0 section 2.2): the writer is .invalid. */
void xmpp_out_escaped(struct xmpp_out *o, struct span s);
/* Bytes written; -E2BIG: did not fit; -EBADMSG: something could not be written in XML. */
ssize_t xmpp_out_end(const struct xmpp_out *o);

struct xmpp_header { /* a stream header's fields (RFC 6120 4.7), references resolved; empty: absent */
	struct span to, from, id, version, lang;
	bool server; /* jabber:server is the content namespace, else jabber:client */
};

/* XML declaration and stream header; @h->version empty: no version. With jabber:server the dialback prefix is declared too. */
void xmpp_write_header(struct xmpp_out *o, const struct xmpp_header *h);
/* <stream:error/> with @condition (RFC 6120 4.9.3) and @text (may be empty), and the close of the stream. A header must
 * have been sent before (RFC 6120 4.9.1.2). */
void xmpp_write_error(struct xmpp_out *o, const char *condition, struct span text);
void xmpp_write_close(struct xmpp_out *o);
/* Features of a stream before TLS: <starttls/>, required (RFC 6120 5.3.1). */
void xmpp_write_features_tls(struct xmpp_out *o);
void xmpp_write_starttls(struct xmpp_out *o);
void xmpp_write_proceed(struct xmpp_out *o);
void xmpp_write_tls_failure(struct xmpp_out *o); /* and the close (RFC 6120 5.4.2.2) */
/* <failure/> with a SASL @condition (RFC 6120 6.5) and @text (may be empty); @sasl2: as XEP-0388 has it. The stream stays
 * open. */
void xmpp_write_sasl_failure(struct xmpp_out *o, bool sasl2, const char *condition,
			     struct span text);

#endif
