/* xmpp/login.h -- a client's stream on the core, from its header until its user has authenticated. No I/O, no clock, no logging.
 *
 * In: the bytes of both sides as they come, and what became of the connection to a server. Out: one event a call, what to do next.
 * Nothing is re-serialised: what passes, passes as it came, cut at the boundaries of elements; <stream:features/> without what
 * cannot work (features.h), and of a second server nothing that the client has been told by the first.
 *
 *   client's header -> DIAL -> up -> [our header, features, <starttls/>, proceed -> START_TLS -> up again]
 *     -> client's header to the server -> its header and features, rewritten -> TO_CLIENT
 *     -> <auth/> -> USER: the caller says go (or deny, or another server for this user) -> TO_SERVER
 *     -> <challenge/>, <response/> ... -> <success/> -> ADMIT: from here on bytes only, xmpp_login_rest() of both sides first
 *
 * In lock-step: after the client's part of an exchange its next bytes wait, unread, for the server's. So nothing that stands behind
 * a success is ever read under the rules from before it, and the reader sees no more than the exchange.
 *
 * Another server may be tried until the client has answered a challenge of this one: DIAL again after xmpp_login_again(), and when
 * the server says see-other-host (ELSEWHERE comes first) before its features. A redirect later than that cannot be followed: the
 * client's proof was for that server; it gets the error as it came.
 *
 * Owner: the caller owns struct xmpp_login (_init, _fini) and every input; it owns two readers and what it holds of both sides,
 * bounded by XMPP_LOGIN_CLIENT_MAX and _SERVER_MAX, and wiped in the end: passwords go through it. Spans of an event live until the
 * next call. Limits: xmpp_limits_stranger of the client; of the server 4 KiB of header, 32 KiB an element. */
#ifndef SALLYPORT_XMPP_LOGIN_H
#define SALLYPORT_XMPP_LOGIN_H

#include "xmpp/inner.h"
#include "xmpp/reader.h"

#define XMPP_LOGIN_CLIENT_MAX (20u << 10)
#define XMPP_LOGIN_SERVER_MAX (48u << 10)

enum xmpp_side { XMPP_CLIENT, XMPP_SERVER };

enum xmpp_login_kind {
	XMPP_LOGIN_MORE,       /* nothing until bytes come, or the connection is up */
	XMPP_LOGIN_DIAL,       /* a server of .domain, then xmpp_login_up() or _again() */
	XMPP_LOGIN_START_TLS,  /* on the connection to the server, then xmpp_login_up() */
	XMPP_LOGIN_TO_SERVER,  /* write .bytes there */
	XMPP_LOGIN_TO_CLIENT,  /* write .bytes there */
	XMPP_LOGIN_USER,       /* .sasl begins an exchange: xmpp_login_go(), _other() or _deny() */
	XMPP_LOGIN_FAILED,     /* write .bytes to the client; its credentials were refused */
	XMPP_LOGIN_ADMIT,      /* its user has authenticated: write .bytes to it, then only bytes */
	XMPP_LOGIN_ELSEWHERE,  /* the server says .host (and .port, 0: none); _again() or _fail() */
	XMPP_LOGIN_SERVER_BAD, /* what it said makes no sense, .why tells; _again() or _fail() */
	XMPP_LOGIN_END,	       /* write .bytes to the client, and end both sides; .why tells */
};

enum xmpp_login_by { XMPP_LOGIN_BY_US, XMPP_LOGIN_BY_CLIENT, XMPP_LOGIN_BY_SERVER };

struct xmpp_login_event {
	enum xmpp_login_kind kind;
	enum xmpp_login_by by; /* END: who ended it, where it was no refusal of ours */
	struct span bytes;
	const struct xmpp_domain *domain;
	struct xmpp_sasl sasl;
	char host[256];
	uint16_t port;
	unsigned plus; /* TO_CLIENT: mechanisms with channel binding that were cut */
	char why[160]; /* printable ASCII */
};

struct xmpp_hold { /* bytes of one side that came and did not pass yet */
	uint8_t *p;
	size_t n, cap, max, drop;
	uint64_t base; /* offset of p[0] in the reader's stream */
};

struct xmpp_login { /* private but for .domain and .from */
	struct xmpp_reader reader[2];
	struct xmpp_hold hold[2];
	struct xmpp_domain domain;
	char from[XMPP_USER_MAX]; /* bare JID of the header's from, if it is of .domain; else "" */
	unsigned long salt;
	uint8_t state;
	bool server;   /* there is a connection to one */
	bool passed;   /* the client has the header and features of a server */
	bool exchange; /* an exchange has begun on this server */
	bool pending;  /* its <auth/> is still held, at the front: no answer has come */
	bool sasl2;    /* that or the last one */
	uint8_t *head; /* the client's header, as it came */
	size_t head_n;
	uint8_t *out; /* what an event's .bytes point to where they did not come so */
	size_t out_cap;
	char id[33], condition[32], text[128];
};

/* @id: random, for the stream id of a header of our own; @salt as in struct xmpp_setup. */
void xmpp_login_init(struct xmpp_login *l, const char *id, unsigned long salt);
void xmpp_login_fini(struct xmpp_login *l);

/* Bytes that came from @side; at most xmpp_login_room() of them. 0, -ENOBUFS or -ENOMEM. */
int xmpp_login_put(struct xmpp_login *l, enum xmpp_side side, struct span in);
size_t xmpp_login_room(const struct xmpp_login *l, enum xmpp_side side);
/* What to do next; call it until XMPP_LOGIN_MORE, and after every call below. After ADMIT and END it is not called again. */
enum xmpp_login_kind xmpp_login_next(struct xmpp_login *l, struct xmpp_login_event *out);

/* The connection to a server is up: @starttls: plain, and TLS is to be asked for first; else, or the second time, as it is to be. */
void xmpp_login_up(struct xmpp_login *l, bool starttls);
/* The connection is over. True: another server may be tried, DIAL follows (at once, or with the client's next <auth/>). False: the
 * client depends on this one. */
bool xmpp_login_again(struct xmpp_login *l);
/* After USER: on with the server that is there, else DIAL follows; with another one (DIAL follows); a <failure/> with this SASL
 * condition. */
void xmpp_login_go(struct xmpp_login *l);
void xmpp_login_other(struct xmpp_login *l);
void xmpp_login_deny(struct xmpp_login *l, const char *condition, const char *text);
/* END follows, with a stream error (RFC 6120 4.9.3); @condition must be one of its names. */
void xmpp_login_fail(struct xmpp_login *l, const char *condition, const char *text);
/* After ADMIT: what @side has sent behind it. */
struct span xmpp_login_rest(struct xmpp_login *l, enum xmpp_side side);
#endif
