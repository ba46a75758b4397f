/* user/core_xmpp.h -- chat on the core: clients' streams between their edge and the chat server that they log in to.
 *
 * Data flow: an edge's Open with service "xmpp" -> core_xmpp_open() -> the client's bytes -> xmpp/login.h -> a node of its domain's cluster
 * (xmpp_nodes.h), by STARTTLS or TLS, verified by chain and name -> the exchange passes -> success: Admit to the edge, and from then on only
 * bytes, both ways, with back-pressure: whoever cannot write does not read the other side. No stanza is ever parsed or written anew.
 *
 * A node that cannot be had, or says that it is about to go, is passed over for the next one, XMPP_TRIES a connection, unless the client has
 * proven itself to it; then, and where none is left, the client gets remote-connection-failed. see-other-host is followed to nodes of
 * the cluster, XMPP_HOPS times. When the client's name is known (its header's from, or the first message of SASL) the stream goes to
 * that user's home node (xmpp_nodes.h), or to where he was last while that one was down. So stream management can resume (XEP-0198) through
 * any core and after a worker's end; in a cluster whose nodes share sessions it is of no harm.
 *
 * Owner rules: owns the streams, their connections inside and the tables of failed attempts; a stream borrows its data connection
 * from the link (link.h). Before a client is admitted a stream owns a struct xmpp_login and two readers (see there), afterwards
 * nothing but its two connections. Streams end with the worker.
 * Limits: configured ones (config_xmpp.limits); 128 KiB queued each way. */
#ifndef SALLYPORT_CORE_XMPP_H
#define SALLYPORT_CORE_XMPP_H

#include <jansson.h>

#include "user/config.h"
#include "user/dns.h"
#include "user/ktls_policy.h"
#include "user/link.h"
#include "user/loop.h"
#include "user/tls.h"

#define XMPP_TRIES 4
#define XMPP_HOPS  3

enum xmpp_end { /* why streams ended that were not admitted, and others by a fault; each with xmpp_end_text() */
		XMPP_END_ADMITTED, /* an admitted one, in order */
		XMPP_END_CLIENT,   /* the client left before it was admitted */
		XMPP_END_REFUSED,  /* the client sent what it may not */
		XMPP_END_DOMAIN,   /* no domain of ours, or its chat is off */
		XMPP_END_SERVER,   /* no server could be had */
		XMPP_END_ERROR,	   /* the server's own stream error */
		XMPP_END_ATTEMPTS, /* too many failed ones */
		XMPP_END_TIME,	   /* not admitted in time */
		XMPP_END_CUT,	   /* an admitted one whose connection broke */
		XMPP_END_MEMORY,
		XMPP_ENDS
};

struct core_xmpp_ops {
	void (*admit)(void *arg, const char *edge, uint64_t stream);
	void (*ban)(void *arg, const char *edge, const struct addr *client, unsigned seconds,
		    const char *reason);
	/* Whether user@domain may use chat; @user NULL: his name cannot be known. */
	bool (*may)(void *arg, const char *user, const char *domain);
	/* An id for `sallyctl`, unique among all streams. */
	uint64_t (*id)(void *arg);
};

struct core_xmpp;
struct core_xmpp_params {
	struct loop *loop;
	struct dns *dns;
	const struct config_xmpp *cfg;
	struct tls_ctx *const *tls; /* a cluster; NULL: none */
	enum ktls_mode ktls;
	const struct core_xmpp_ops *ops;
	void *arg;
};
int core_xmpp_new(const struct core_xmpp_params *p, struct core_xmpp **out);
struct xmpp_nodes;
struct xmpp_nodes *core_xmpp_nodes(struct core_xmpp *x);
/* After dns_free(): look-ups that are open call back. No op is called. */
void core_xmpp_free(struct core_xmpp *x);

/* Take over @d, which an edge's Open made a client's stream. */
void core_xmpp_open(struct core_xmpp *x, const char *edge, struct link_data *d,
		    const Sallyport__Open *o);

/* {"streams", "admitted", "logins", "failed", ..., "ends": {reason: n}, "clusters": [...]}; and a row a stream for `streams`. */
/* For the summary. NULL: no chat. The first is a walk, and adds. */
struct summary_streams;
void core_xmpp_sum(const struct core_xmpp *x, struct summary_streams *out);
unsigned core_xmpp_count(const struct core_xmpp *x); /* streams now; 0 for NULL */
uint64_t core_xmpp_refused(const struct core_xmpp *x, unsigned i,
			   const char **name); /* i from 0; *name NULL: no more */
json_t *core_xmpp_show(const struct core_xmpp *x);
void core_xmpp_rows(const struct core_xmpp *x, json_t *list);
const char *xmpp_end_text(enum xmpp_end e);

#endif
