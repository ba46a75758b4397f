/* user/https.h -- what the core knows for HTTPS, made of its configuration: token keys, clusters, policy, log on, edge configuration.
 *
 * In: the https section and the keeper's files ("https.key.0" and on, "https.ca", "https.csv"). Out: the parts that core_http.c uses, and the
 * public keys for edges. Private keys' texts are wiped once they are read.
 * Owner rules: owns its parts; loop, dns, upstream and configuration are the caller's and outlive it, but the upstream, which is freed first. */
#ifndef SALLYPORT_HTTPS_H
#define SALLYPORT_HTTPS_H

#include "user/admin.h"
#include "user/edge_config.h"
#include "user/link.h"
#include "user/logon.h"
#include "user/policy.h"

struct https {
	struct http_token_signer *signer;
	struct http_token_keys *keys; /* the signer's first, then the older ones */
	struct clusters *clusters;
	struct policy *policy;
	struct logon *logon;
	struct edge_config *edge_config;
	struct https_check *check; /* `allow check` in progress */
	const struct config_core *cfg;
	struct loop *loop;
	struct upstream *upstream;
};

struct https_params {
	const struct config_core *cfg; /* with cfg->https.present */
	struct loop *loop;
	struct dns *dns;
	struct upstream *upstream;
};
/* 0 or negative errno with @why. */
int https_new(const struct https_params *p, struct https **out, char *why, size_t why_n);
void https_free(struct https *h);

/* The context that verifies servers inside (keeper's "https.ca"). For the upstream, before https_new(). */
int https_tls(struct tls_ctx **out, char *why, size_t why_n);

/* An edge's control connection is up: tell it the keys (TokenKeys). 0 or what link_send() says. */
int https_link_up(const struct https *h, struct link_peer *p);

/* For sallyctl: the status row; which rule lets @url ("https://host:port/path?query") through for @user ("anna" or "anna@domain"; "": somebody
 * of the first domain), or why none; every target's TLS tried: NULL after admin_later(), or an object with "error". */
json_t *https_show(const struct https *h);
json_t *https_allow_test(const struct https *h, const char *method, const char *url,
			 const char *user);
json_t *https_allow_check(struct https *h, struct admin *a);

#endif
