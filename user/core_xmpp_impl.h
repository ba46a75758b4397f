/* user/core_xmpp_impl.h -- what the files of the core's chat share: core_xmpp.c (life, bytes), core_xmpp_login.c (until the client is
 * admitted), core_xmpp_show.c. Nobody else includes this. Owner: see core_xmpp.h. */
#ifndef SALLYPORT_CORE_XMPP_IMPL_H
#define SALLYPORT_CORE_XMPP_IMPL_H

#include "user/core_pair.h"
#include "user/core_xmpp.h"
#include "user/memo.h"
#include "user/xmpp_nodes.h"
#include "xmpp/login.h"

#define XMPP_QUEUE   (128u << 10) /* bytes that wait for a socket, each way */
#define XMPP_DIAL_MS 4000	  /* TCP and TLS of one node, each */
#define XMPP_NODE_MS 5000	  /* from the connect to its features */
#define XMPP_REMEMBER_S \
	1800 /* from a login on, where not at home: longer than servers keep sessions */
#define XMPP_TRIES_S 600

/* Only while the client is not admitted. */
struct xmpp_waiting {
	struct xmpp_login l;
	struct loop_timer timer;      /* login_seconds */
	struct loop_timer node_timer; /* XMPP_NODE_MS */
	struct xmpp_tried tried;
	struct xmpp_node *prefer;
	unsigned tries, hops, failed;
	enum xmpp_end how; /* of a stream error of our own */
	bool looking;	   /* for names: wait for found() */
	bool link_paused;  /* the client's bytes find no room */
	bool node_good;	   /* .node's features have come */
	uint64_t try_key;  /* of the exchange that is under way */
	char user[2 *
		  XMPP_USER_MAX]; /* of it: user@domain, whose session it will be; "": unknown */
};

struct xmpp_stream {
	struct core_xmpp *x;
	struct core_pair
		pair; /* .data is ended, never .link itself; .in: to the node, NULL: none */
	struct xmpp_cluster *cluster;
	struct xmpp_node *node; /* of .in */
	struct xmpp_waiting *w; /* NULL: admitted */
	uint64_t id, edge_stream, since_ms;
	struct addr client;
	bool gone; /* ended; freed when the outermost call on it returns */
	uint8_t depth;
	struct xmpp_stream *next, *prev;
	uint64_t away_key; /* admitted elsewhere than at home: what .users knows it by; else 0 */
	const char *edge, *tls; /* in .text */
	char *name;		/* user@domain, or the domain, once it is known; owned */
	char text[];
};

struct core_xmpp {
	struct core_xmpp_params p;
	struct xmpp_nodes *nodes;
	struct xmpp_stream *streams;
	unsigned n, n_admitted;
	struct conn_mover mover; /* by copy: chat is small */
	struct memo users;	 /* user@domain -> node, for those not at home */
	struct memo tries_user, tries_address;
	uint8_t secret[32];
	uint64_t opened, refused_full, logins, failed, denied, moved, redirects, bans, plus;
	uint64_t ends[XMPP_ENDS];
};

/* core_xmpp.c: on the stream's end everything of it is given back; @s may be used until the outermost call returns. */
void xmpp_stream_end(struct xmpp_stream *s, enum xmpp_end how, bool orderly, const char *why);
/* Around each call from outside: leave() frees what ended. */
void xmpp_stream_enter(struct xmpp_stream *s);
void xmpp_stream_leave(struct xmpp_stream *s);
void xmpp_stream_drop_node(struct xmpp_stream *s); /* its connection inside, at once */
/* The client is admitted: only bytes. */
void xmpp_stream_bytes(struct xmpp_stream *s);
extern const struct conn_ops xmpp_link_ops, xmpp_node_ops;
/* core_xmpp_login.c */
int xmpp_waiting_new(struct xmpp_stream *s);
void xmpp_waiting_free(struct xmpp_stream *s);
void xmpp_login_link_readable(struct xmpp_stream *s);
void xmpp_login_node_readable(struct xmpp_stream *s);
void xmpp_login_node_up(struct xmpp_stream *s);
void xmpp_login_node_down(struct xmpp_stream *s, const char *why);
void xmpp_login_found(struct core_xmpp *x);

#endif
