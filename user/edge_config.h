/* user/edge_config.h -- what a client is told at log on: where the services are, inside and outside.
 *
 * Data flow: edge_config_make(domain, user, query, edges) -> SRV look-ups inside (user/dns.h; kept for their TTL, failures for
 * 10 s) and the user's home cluster (logon_home()) -> one body:
 *   get_edge_config       XML getEdgeConfigResponse: serviceConfig (_cisco-uds, _cuplogin, _cisco-phone-tftp, tftpServer),
 *   edgeConfig (sip, xmpp,
 *                         http, turn and userUds servers, sipRequest's route). A service whose SRV fails has <error> in place
 *                         of servers
 *   get_edge_sso          XML: whether single sign-on is to be had: it is not, there is no identity provider
 *   .well-known/sallyport JSON of the same facts
 * ?service_name= picks among _cisco-uds and _cuplogin (neither named: both); others are not looked up: no client asks our DNS
 * for names of its own. Nodes of a call-server cluster that are out are left out while others are well.
 *
 * Owner rules: owns its cache and what is being made; done() is called exactly once, from the loop, never from inside, unless
 * edge_config_forget(). Strings of an ask live until edge_config_make() returns. Free it before dns and logon. */
#ifndef SALLYPORT_EDGE_CONFIG_H
#define SALLYPORT_EDGE_CONFIG_H

#include "http/descriptor.h"
#include "user/dns.h"
#include "user/logon.h"

#define EDGE_CONFIG_BODY_MAX 65536 /* bytes of an answer; more than all limits below give */
#define EDGE_CONFIG_EDGES    16	   /* named in an answer */
#define EDGE_CONFIG_OPEN     1024  /* being made at once; further ones: 503 */

struct edge_config;

struct edge_config_edge { /* what an edge said in HelloAck; NULL or "" and 0: it does not serve that */
	const char *sip_host, *https_host, *xmpp_host;
	uint16_t sip_port, https_port, xmpp_port, xmpp_tls_port;
};

struct edge_config_ask {
	enum http_service_path what; /* HTTP_PATH_EDGE_CONFIG, _EDGE_SSO or _WELL_KNOWN */
	const char *domain;
	const char *
		user; /* logged on; NULL for get_edge_sso and, before log on, for the well-known: then without userUds */
	struct span query;
	const struct edge_config_edge *edges; /* the client's own first, then others that are up */
	unsigned n_edges;
};

/* @status 200; 400 (a query that cannot be read); 403 (no such domain); 503 with Retry-After 1. The body lives until it
 * returns. */
typedef void edge_config_done_fn(void *arg, unsigned status, const char *content_type,
				 struct span body);

struct edge_config_params {
	struct loop *loop;
	struct dns *dns;
	struct logon *logon;
	struct clusters *clusters;
};
int edge_config_new(const struct edge_config_params *p, struct edge_config **out);
void edge_config_free(struct edge_config *c); /* no done() is called */

/* 0 or -ENOMEM: then done() is not called. */
int edge_config_make(struct edge_config *c, const struct edge_config_ask *ask,
		     edge_config_done_fn *done, void *arg);
void edge_config_forget(struct edge_config *c, void *arg);

#endif
