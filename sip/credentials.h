/* sip/credentials.h -- Digest and Bearer on their way through: whose nonces are known, whose name credentials bear.
 *
 * In: credentials of clients' REGISTERs, challenges and 200s of call servers. Out: verdicts, and challenges edited. The core
 * checks no password: that is the call server's. Owns nothing; what is remembered of nonces is binding.c's. */
#ifndef SALLYPORT_SIP_CREDENTIALS_H
#define SALLYPORT_SIP_CREDENTIALS_H

#include "sip/forward.h"

enum credentials {
	CREDENTIALS_NONE,
	CREDENTIALS_UNKNOWN, /* none answers a challenge that this server has given this user within its life */
	CREDENTIALS_KNOWN,
	CREDENTIALS_OTHER, /* Digest in the name of somebody else, where the server's digest_user forbids it */
};

/* Of REGISTER @m for @aor at @server. *out_key: the nonce that makes them known. */
enum credentials credentials_read(const struct engine *e, unsigned server, const char *aor,
				  const struct sip_msg *m, uint64_t *out_key);
/* Challenges of @server in @m: nonces are remembered, auth-int is taken out of qop (bodies are rewritten on the way),
 * `stale=true` added where wanted. Adds to @ed; @buf is where the new values live. */
void credentials_challenge(struct engine *e, unsigned server, const struct sip_msg *m, bool stale,
			   struct edit *ed, char *buf, size_t n);
/* A 200 may carry the nonce of the next request (RFC 7616 3.5). */
void credentials_next(struct engine *e, unsigned server, const char *aor, const struct sip_msg *m);

#endif
