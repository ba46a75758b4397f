/* xmpp/login_int.h -- what login.c (the client, the caller's words) and login_server.c (the server) share. Private to xmpp/.
 *
 * In and out: struct xmpp_login, which its caller owns; see login.h. */
#ifndef SALLYPORT_XMPP_LOGIN_INT_H
#define SALLYPORT_XMPP_LOGIN_INT_H

#include "xmpp/login.h"

enum state {
	ST_HEADER,   /* the client's */
	ST_DIAL,     /* the caller is to be told */
	ST_DIALING,  /* xmpp_login_up() is awaited */
	ST_PLAIN,    /* our header is to go to a server that is to start TLS */
	ST_OFFER,    /* its features with <starttls/> */
	ST_PROCEED,  /* its word to begin */
	ST_SHAKING,  /* xmpp_login_up() once more */
	ST_READY,    /* the client's header is to go */
	ST_FEATURES, /* the server's */
	ST_CLIENT,   /* the client's part of an exchange, or its begin */
	ST_USER,     /* the caller's word about it */
	ST_SEND,     /* <auth/> is to go */
	ST_SERVER,   /* the server's part */
	ST_DENY,     /* a <failure/> of our own is to go */
	ST_FAIL,     /* a stream error of our own is to go */
	ST_OVER,     /* ADMIT or END was said */
};

/* ---- login.c ---- */
enum xmpp_login_kind login_say(struct xmpp_login_event *out, enum xmpp_login_kind kind,
			       struct span bytes);
enum xmpp_login_kind login_more(struct xmpp_login_event *out);
void login_why(struct xmpp_login_event *out, const char *what, struct span text);
/* A stream error of our own, at once. */
enum xmpp_login_kind login_fail_now(struct xmpp_login *l, const char *condition, const char *text,
				    struct xmpp_login_event *out);
/* @bytes, which came, and the end of the stream. */
enum xmpp_login_kind login_end_with(struct xmpp_login *l, struct span bytes,
				    struct xmpp_login_event *out);
/* Room in l->out. */
int login_room(struct xmpp_login *l, size_t n);

/* What passed goes now: until here an event's bytes pointed to it. */
void login_settle(struct xmpp_hold *h);
enum xmpp_event_kind login_read(struct xmpp_login *l, enum xmpp_side side, struct xmpp_event *e);
/* All that is held up to the reader's place, as it came; it passes, and is gone with login_settle(). */
struct span login_pass(struct xmpp_login *l, enum xmpp_side side);
/* The bytes of @e. */
struct span login_raw(const struct xmpp_login *l, enum xmpp_side side, const struct xmpp_event *e);
/* A new connection, or a new document on it: nothing of the one before counts. */
void login_server_new(struct xmpp_login *l);

/* ---- login_server.c: each a state's ---- */
enum xmpp_login_kind login_server_hello(struct xmpp_login *l, struct xmpp_login_event *out);
enum xmpp_login_kind login_server_offer(struct xmpp_login *l, struct xmpp_login_event *out);
enum xmpp_login_kind login_server_proceed(struct xmpp_login *l, struct xmpp_login_event *out);
enum xmpp_login_kind login_server_features(struct xmpp_login *l, struct xmpp_login_event *out);
enum xmpp_login_kind login_server_idle(struct xmpp_login *l, struct xmpp_login_event *out);
enum xmpp_login_kind login_server_answer(struct xmpp_login *l, struct xmpp_login_event *out);
/* There is an answer to an <auth/>: from now on the client depends on this server. */
void login_answered(struct xmpp_login *l);

#endif
