/* user/core_federation_impl.h -- what core_federation.c (life, bytes, both doors) and core_federation_peek.c (whom the first bytes want) share.
 * Nobody else includes this. Owner: see core_federation.h. */
#ifndef SALLYPORT_CORE_FEDERATION_IMPL_H
#define SALLYPORT_CORE_FEDERATION_IMPL_H

#include "user/core_federation.h"
#include "user/core_pair.h"
#include "xmpp/reader.h"

#define FED_PEEK_MAX 4096

enum fed_state {
	FED_PEEK,    /* its first bytes are awaited */
	FED_DIAL,    /* out: an edge is at it */
	FED_SHOW,    /* out by SOCKS5: the way is there, whose stream it is to be is awaited */
	FED_CONNECT, /* in: a server of ours is being reached */
	FED_BYTES,
};
enum fed_kind { FED_UNKNOWN, FED_SOCKS, FED_HEADER, FED_TLS }; /* what its first byte was */

struct fed_peek { /* only until it is known where to */
	enum fed_kind kind;
	bool greeted; /* SOCKS5: the method is agreed on */
	size_t n;
	uint8_t buf[FED_PEEK_MAX]; /* what came; of SOCKS5 only what was not used */
	struct xmpp_reader reader;
};

struct fed_stream {
	struct core_federation *f;
	struct core_pair pair;
	struct fed_peek *peek; /* NULL: over */
	struct loop_timer timer;
	struct xmpp_cluster *cluster; /* in */
	struct xmpp_tried tried;
	enum fed_state state;
	bool out, gone;
	uint8_t depth;
	unsigned tries;
	uint64_t id, edge_stream, dial, edges_tried, since_ms;
	struct addr peer;		 /* in: the other server, as the edge sees it; out: ours */
	struct xmpp_domain ours, theirs; /* n 0: not shown */
	struct fed_stream *next, *prev;
	char edge[256];
};

struct core_federation {
	struct core_federation_params p;
	struct loop_handle accept;
	struct fed_stream *streams;
	unsigned n;
	uint64_t next_dial;
	struct conn_mover mover;
	struct xmpp_domain *allow, *deny;
	uint64_t in, out, foreign, full, denied, bad, dials, dial_failures, no_server;
	char last_failure[384];
};

/* core_federation_peek.c: look at s->peek. 1: s->ours and s->theirs are as far known as they will be; -EAGAIN: more bytes; else refused, *why is
 * static. Of SOCKS5 it answers the greeting by itself. */
int fed_peek_in(struct fed_stream *s, const char **why);
int fed_peek_out(struct fed_stream *s, const char **why);
/* Behind SOCKS5, which said a name only: the stream's own header, or TLS (then neither is known, but for that name). */
int fed_peek_shown(struct fed_stream *s, const char **why);
/* Whether ours may speak with theirs. */
bool fed_may(const struct fed_stream *s, const char **why);
/* Whoever comes in has proved nothing yet: three quarters are for all of them, one for a single address. */
bool fed_in_full(const struct core_federation *f, const struct addr *peer);
/* A refusal towards who began it, in its own words; nothing where it speaks TLS. @condition: of a stream error. */
void fed_refuse(struct fed_stream *s, struct conn *to, const char *condition, const char *text);
/* SOCKS5: the way is there; what follows is looked at as if it were the first. */
void fed_socks_done(struct fed_stream *s);

#endif
