/* tools/join_serve.h -- the edge's side of a join: who asks, may it have a certificate, and here it is.
 *
 * Data flow: an accepted connection (our own listener's, or handed over by the running worker: user/link_join.h) -> join_serve_one(): TLS with
 * the link's key, one request -> join_serve_answer(): the record of its token, the proof, the end of its time, the name -> the token is used
 * (a rename: whoever is second fails) -> a certificate for exactly the token's core and the key of its request.
 *   request: {"v": 1, "id": of the token, "name": wanted or absent, "request": PKCS#10 in PEM, "proof": hex}
 *   answer:  {"v": 1, "edge", "name", "domains": [...], "certificate", "ca"}, or {"error": what, "mend": what to do}
 * Owner rules: a struct join_server owns its keys; join_server_close() frees them. Nothing but the token's record is written here.
 * Limits: one connection at a time, JOIN_STEP_MS for its handshake and for its request, JOIN_BYTES_MAX a message. */
#ifndef SALLYPORT_JOIN_SERVE_H
#define SALLYPORT_JOIN_SERVE_H

#include "tools/join_store.h"
#include "tools/join_tls.h"
#include "user/config.h"

#define JOIN_STEP_MS 5000

struct join_server {
	const char *dir;  /* the records' */
	const char *name; /* the edge's */
	X509 *cert, *ca;
	EVP_PKEY *key, *ca_key;
};

/* The link's certificate and key, and the CA's beside it. 0 or -EINVAL with @why. @dir and @cfg outlive it. */
int join_server_open(struct join_server *s, const char *dir, const struct config_edge *cfg,
		     char why[JOIN_WHY_MAX]);
void join_server_close(struct join_server *s);

/* A new token for @core: its record is on the disk, open until @expires. 0 or a negative errno. @t: wipe it. */
int join_server_token(const struct join_server *s, const char *core, const char *const *domains,
		      unsigned n, const char *address, uint64_t expires, struct join_token *t);

/* What to answer; *out_core: who may come in now, "" if nobody. A new reference. */
json_t *join_serve_answer(const struct join_server *s, const json_t *request,
			  const uint8_t exporter[JOIN_HASH], const struct addr *from, uint64_t now,
			  char out_core[JOIN_NAME_MAX]);
/* Takes @fd. 0: somebody joined, *out_core; -EACCES: refused, *out_core: "", @why; or another negative errno with @why. */
int join_serve_one(const struct join_server *s, int fd, char out_core[JOIN_NAME_MAX],
		   char from[ADDR_TEXT_MAX], char why[JOIN_WHY_MAX]);

#endif
