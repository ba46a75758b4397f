/* user/core_https_int.h -- the parts of HTTPS on the core, for core_https.c (life) and core_https_admin.c (sallyctl). Owner
 * rules: core_https.h. */
#ifndef SALLYPORT_CORE_HTTPS_INT_H
#define SALLYPORT_CORE_HTTPS_INT_H

#include "user/core_http.h"
#include "user/core_int.h"

struct https_check;

struct core_https {
	struct tls_ctx *tls;
	struct http_token_keys *keys;
	struct http_token_signer *signer;
	struct clusters *clusters;
	struct policy *policy;
	struct upstream *upstream;
	struct logon *logon;
	struct edge_config *edge_config;
	struct core_http *http;
	struct https_check *check; /* `sallyctl allow check` under way; NULL */
};

/* core_https_admin.c: a check that ends with the core; NULL is fine. After it, and before the upstream is freed, nothing of it
 * is called. */
void core_https_check_free(struct https_check *k);

#endif
