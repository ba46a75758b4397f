/* user/tls_hello.h -- a ClientHello that is looked at and passed on: which name, which protocols does it ask for?
 *
 * In: the first bytes of a connection whose TLS is not ours. Out: server name (RFC 6066 3) and the list of ALPN (RFC 7301 3.1) as
 * slices of them. Only looked at: whoever ends the TLS checks all of it again. Sans-I/O, no allocation.
 * Strict: one record, one name, no extension twice; what could be read in two ways is an error. */
#ifndef SALLYPORT_TLS_HELLO_H
#define SALLYPORT_TLS_HELLO_H

#include "user/span.h"

#define TLS_HELLO_MAX 16389 /* bytes: a record's header and 2^14 */

struct tls_hello {
	struct span sni;  /* as sent; empty: none */
	struct span alpn; /* entries of a length byte and a name; empty: none. tls_hello_alpn() */
};

/* Whether @in can begin a ClientHello: its first byte is that of a handshake record. */
static inline bool tls_hello_likely(struct span in)
{
	return in.n && in.p[0] == 0x16;
}

/* Returns the bytes of its record; -EAGAIN: more is needed; -EBADMSG with *why (static, for the log). */
ssize_t tls_hello_parse(struct span in, struct tls_hello *out, const char **why);
bool tls_hello_alpn(const struct tls_hello *h, struct span protocol);

/* A fatal alert in answer to it, as a server that takes TLS 1.0 or later would send it (RFC 8446 6.2): 7 bytes. */
#define TLS_ALERT_BYTES	       7
#define TLS_ALERT_DECODE       50
#define TLS_ALERT_INTERNAL     80
#define TLS_ALERT_UNKNOWN_NAME 112
#define TLS_ALERT_UNKNOWN_ALPN 120
void tls_alert_write(uint8_t description, uint8_t out[TLS_ALERT_BYTES]);

#endif
