/* sip/binding.h -- who is registered from where: users, bindings, the streams that reach them, and nonces seen.
 *
 * In: confirmed registrations, closed streams, time. Out: the newest live stream of a binding; whether a stream's user
 * is admitted; ENGINE_ADMIT and ENGINE_REVOKE. A binding is user + instance + reg-id (RFC 5626), else user +
 * normalised Contact; its id is an HMAC of that, so it is the same after a restart. Bounded by bindings_max; nonces by
 * a fixed table. */
#ifndef SALLYPORT_SIP_BINDING_H
#define SALLYPORT_SIP_BINDING_H

#include "sip/engine_int.h"

#define BINDING_STREAMS_MAX 4 /* newest last; an older one falls out */
#define USER_BINDINGS_MAX   32
#define NONCE_LIFE_MS	    3600000

struct user { /* an address of record with something to it */
	struct tnode node;
	unsigned refs; /* bindings and calls */
	unsigned bindings;
	unsigned calls, dialogs; /* live ones */
	struct binding *first;	 /* linked by .user_next */
	char aor[];
};

struct binding {
	struct tnode node;
	struct record record;
	uint64_t id;
	struct user *user;
	struct binding *user_next;
	struct addr at; /* the target that confirmed it; port 0: unknown */
	bool lost;	/* it has lost it since (lines.h) */
	bool outbound;	/* its device speaks RFC 5626 */
	char *key;	/* "i:INSTANCE;REG-ID" or "c:CONTACT" */
	char *contact, *user_agent;
	unsigned server, n_streams;
	struct stream *streams[BINDING_STREAMS_MAX];
	struct timer expiry;
};

struct binding_new { /* what a confirmed registration says */
	const char *aor, *key;
	unsigned server;
	struct addr at; /* who confirmed it */
	struct span contact, user_agent;
	bool outbound;
	uint32_t expires_s;
};

int binding_init(struct engine *e);
void binding_fini(struct engine *e);

struct user *user_find(const struct engine *e, const char *aor);
struct user *user_get(struct engine *e, const char *aor); /* with a reference; NULL: no memory */
void user_put(struct engine *e, struct user *u);

uint64_t binding_id(const struct engine *e, const char *aor, const char *key);
struct binding *binding_find(const struct engine *e, uint64_t id);
/* Make or refresh, and admit the stream for it. 0, -ENOBUFS (full) or -ENOMEM. */
int binding_confirm(struct engine *e, struct stream *s, const struct binding_new *b);
void binding_remove(struct engine *e, struct binding *b, const char *reason);
/* Remove all of @aor. */
void binding_remove_user(struct engine *e, const char *aor, const char *reason);
/* Target @at has lost its registrations: those with streams bear it, and their records tell. */
void binding_target_lost(struct engine *e, unsigned server, const struct addr *at);
/* The newest live stream; NULL: none. */
struct stream *binding_stream(const struct binding *b);
void binding_stream_gone(struct engine *e, struct stream *s);
/* The newest binding of @aor that this stream carries; NULL: not admitted for it. */
struct binding *binding_of_stream(const struct stream *s, const char *aor);

/* Nonces that call server @server has given an AOR (@whose), and its Bearer challenges ("bearer", the AOR): a keyed
 * hash and a time each. */
uint64_t nonce_key(const struct engine *e, unsigned server, const char *whose, struct span value);
void nonce_seen(struct engine *e, uint64_t key);
bool nonce_known(const struct engine *e, uint64_t key);

#endif
