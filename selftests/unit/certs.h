/* selftests/unit/certs.h -- certificates made on the spot for tests: a CA, and leaves with the names and dates a case needs.
 *
 * In: names. Out: PEM texts in fixed buffers that the test owns. Every failure of OpenSSL ends the test by assert_*. */
#ifndef SALLYPORT_SELFTESTS_CERTS_H
#define SALLYPORT_SELFTESTS_CERTS_H

#include <stdbool.h>

#include "user/span.h"

struct cert {
	char cert[4096], key[1024];
	size_t n_cert, n_key;
};

/* A self-signed CA named @cn. */
void cert_make_ca(const char *cn, struct cert *out);
/* A leaf under @ca. @san: OpenSSL's text form ("DNS:a,IP:1.2.3.4") or NULL for none; @cn is only in the subject. */
void cert_make(const struct cert *ca, const char *cn, const char *san, bool expired,
	       struct cert *out);
struct span cert_pem(const struct cert *c);
struct span cert_key(const struct cert *c);

#endif
