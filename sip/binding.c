/* sip/binding.c -- see binding.h. In: registrations that register.c found confirmed. Out: admission. Owns users,
 * bindings and the nonce table. */
#include "sip/binding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/call.h"
#include "sip/lines.h"
#include "sip/record.h"

#define NONCE_WAYS 8
#define NONCE_MIN  4096

/* Of a record: RECORD_STREAMS says that who confirmed it and the ids of its streams follow. */
#define RECORD_OUTBOUND 1u
#define RECORD_STREAMS	2u
#define RECORD_LOST	4u
#define RECORD_FLAGS	7u

struct nonces { /* set-associative: the oldest of a set falls out; sets are picked by a keyed hash */
	size_t sets;
	struct nonce {
		uint64_t key, seen;
	} slot[];
};

/* ---- users ---- */

struct user *user_find(const struct engine *e, const char *aor)
{
	struct tnode *n = table_find(&e->users, engine_hash(e, span_str(aor)));

	for (; n; n = table_find_next(n)) {
		struct user *u = table_entry(n, struct user, node);

		if (strcmp(u->aor, aor) == 0)
			return u;
	}
	return NULL;
}

struct user *user_get(struct engine *e, const char *aor)
{
	struct user *u = user_find(e, aor);
	size_t n;

	if (!u) {
		n = strlen(aor) + 1; /* AOR_MAX at most */
		u = calloc(1, sizeof(*u) + n);
		if (!u)
			return NULL;
		memcpy(u->aor, aor, n);
		table_add(&e->users, &u->node, engine_hash(e, span_str(u->aor)));
	}
	u->refs++;
	return u;
}

void user_put(struct engine *e, struct user *u)
{
	if (!u || --u->refs > 0)
		return;
	table_del(&e->users, &u->node);
	free(u);
}

/* ---- streams of a binding ---- */

static void stream_drop_binding(struct engine *e, struct stream *s, const struct binding *b)
{
	unsigned i, k = 0;

	for (i = 0; i < s->n_bindings; i++)
		if (s->bindings[i] != b)
			s->bindings[k++] = s->bindings[i];
	s->n_bindings = k;
	if (k == 0 && s->admitted) {
		struct engine_action *a =
			s->closing ? NULL : engine_action(e, ENGINE_REVOKE, SPAN(""));

		if (a)
			a->stream = s->id;
		s->admitted = false;
		e->stats.admitted--;
	}
}

static void binding_drop_stream(struct binding *b, const struct stream *s)
{
	unsigned i, k = 0;

	for (i = 0; i < b->n_streams; i++)
		if (b->streams[i] != s)
			b->streams[k++] = b->streams[i];
	b->n_streams = k;
}

/* Room for one more: most streams have one only. What there is changes with each power of two. */
static int stream_room(struct stream *s)
{
	unsigned n = s->n_bindings;
	struct binding **more;

	if (n == STREAM_BINDINGS_MAX)
		return -ENOBUFS;
	if (n & (n - 1))
		return 0;
	more = realloc(s->bindings, (n ? 2 * n : 1) * sizeof(struct binding *));
	if (!more)
		return -ENOMEM;
	s->bindings = more;
	return 0;
}

static int binding_attach(struct engine *e, struct binding *b, struct stream *s)
{
	unsigned i;
	int err;

	for (i = 0; i < b->n_streams; i++)
		if (b->streams[i] == s)
			return 0;
	err = stream_room(s);
	if (err)
		return err;
	if (b->n_streams == BINDING_STREAMS_MAX) {
		struct stream *old = b->streams[0];

		binding_drop_stream(b, old);
		stream_drop_binding(e, old, b);
	}
	/* Newest by id, so that a late refresh on an old stream does not win over the new one. */
	for (i = b->n_streams; i > 0 && b->streams[i - 1]->id > s->id; i--)
		b->streams[i] = b->streams[i - 1];
	b->streams[i] = s;
	b->n_streams++;
	s->bindings[s->n_bindings++] = b;
	return 0;
}

static void binding_admit(struct engine *e, struct stream *s, const struct binding *b)
{
	struct engine_action *a;
	char esc[128];

	if (s->admitted)
		return;
	s->admitted = true;
	e->stats.admitted++;
	a = engine_action(e, ENGINE_ADMIT, SPAN(""));
	if (a)
		a->stream = s->id;
	engine_log(e, 2, "admitted", "stream=%llx user=%s", (unsigned long long)s->id,
		   engine_esc(span_str(b->user->aor), esc, sizeof(esc)));
}

struct stream *binding_stream(const struct binding *b)
{
	return b->n_streams ? b->streams[b->n_streams - 1] : NULL;
}

void binding_stream_gone(struct engine *e, struct stream *s)
{
	while (s->n_bindings) {
		struct binding *b = s->bindings[s->n_bindings - 1];

		binding_drop_stream(b, s);
		stream_drop_binding(e, s, b);
		record_touch(e, &b->record);
	}
}

struct binding *binding_of_stream(const struct stream *s, const char *aor)
{
	unsigned i;

	for (i = s->n_bindings; i > 0; i--)
		if (strcmp(s->bindings[i - 1]->user->aor, aor) == 0)
			return s->bindings[i - 1];
	return NULL;
}

/* ---- bindings ---- */

uint64_t binding_id(const struct engine *e, const char *aor, const char *key)
{
	char in[AOR_MAX + URI_MAX + 16];
	uint8_t mac[32];
	uint64_t id;
	int n;

	n = snprintf(in, sizeof(in), "binding %s %s", aor, key);
	if (n < 0 || (size_t)n >= sizeof(in))
		n = sizeof(in) - 1;
	e->c.hmac(e->c.arg, e->c.token_key, span_of(in, (size_t)n), mac);
	memcpy(&id, mac, sizeof(id));
	return id;
}

struct binding *binding_find(const struct engine *e, uint64_t id)
{
	struct tnode *n = table_find(&e->bindings, id);

	return n ? table_entry(n, struct binding, node) : NULL;
}

static void binding_free(struct engine *e, struct binding *b)
{
	struct binding **at = &b->user->first;
	unsigned i;

	record_unlink(e, &b->record);
	timer_stop(&e->timers, &b->expiry);
	timers_release(&e->timers, 1);
	table_del(&e->bindings, &b->node);
	for (i = 0; i < b->n_streams; i++)
		stream_drop_binding(e, b->streams[i], b);
	while (*at != b)
		at = &(*at)->user_next;
	*at = b->user_next;
	b->user->bindings--;
	user_put(e, b->user);
	free(b->key);
	free(b->contact);
	free(b->user_agent);
	free(b);
	e->stats.bindings = e->bindings.n;
}

void binding_remove(struct engine *e, struct binding *b, const char *reason)
{
	char esc[128];

	engine_log(e, 2, "unregistered", "user=%s reason=%s",
		   engine_esc(span_str(b->user->aor), esc, sizeof(esc)), reason);
	record_forget(e, &b->record);
	binding_free(e, b);
}

void binding_target_lost(struct engine *e, unsigned server, const struct addr *at)
{
	struct tnode *n;

	for (n = table_walk(&e->bindings, NULL); n; n = table_walk(&e->bindings, n)) {
		struct binding *b = table_entry(n, struct binding, node);

		if (!b->n_streams || b->lost || b->server != server || !addr_eq(&b->at, at))
			continue;
		b->lost = true;
		if (e->c.keep)
			record_touch(e, &b->record);
	}
}

void binding_remove_user(struct engine *e, const char *aor, const char *reason)
{
	struct tnode *n, *next;

	for (n = table_walk(&e->bindings, NULL); n; n = next) {
		struct binding *b = table_entry(n, struct binding, node);

		next = table_walk(&e->bindings, n);
		if (strcmp(b->user->aor, aor) == 0)
			binding_remove(e, b, reason);
	}
}

static void binding_expired(struct engine *e, void *owner)
{
	binding_remove(e, owner, "expired");
}

static struct binding *binding_new(struct engine *e, uint64_t id, const struct binding_new *in)
{
	const struct user *u = user_find(e, in->aor);
	struct binding *b;

	if (e->bindings.n >= e->c.bindings_max || (u && u->bindings >= USER_BINDINGS_MAX)) {
		e->stats.refused_full++;
		return NULL;
	}
	if (timers_reserve(&e->timers, 1))
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b) {
		timers_release(&e->timers, 1);
		return NULL;
	}
	b->id = id;
	b->server = in->server;
	b->record = (struct record){.kind = ENGINE_RECORD_BINDING, .id = id};
	timer_init(&b->expiry, binding_expired, b);
	b->key = strdup(in->key);
	b->user = user_get(e, in->aor);
	if (!b->key || !b->user) {
		timers_release(&e->timers, 1);
		user_put(e, b->user);
		free(b->key);
		free(b);
		return NULL;
	}
	b->user->bindings++;
	b->user_next = b->user->first;
	b->user->first = b;
	table_add(&e->bindings, &b->node, id);
	e->stats.bindings = e->bindings.n;
	return b;
}

int binding_confirm(struct engine *e, struct stream *s, const struct binding_new *in)
{
	uint64_t id = binding_id(e, in->aor, in->key);
	struct binding *b = binding_find(e, id);
	bool fresh = !b;
	char esc[128], edge[64];
	char *contact, *agent;

	if (fresh)
		b = binding_new(e, id, in);
	if (!b)
		return -ENOBUFS;
	contact = strndup((const char *)in->contact.p,
			  in->contact.n > URI_MAX ? URI_MAX : in->contact.n);
	agent = in->user_agent.n ? strndup((const char *)in->user_agent.p,
					   in->user_agent.n > 128 ? 128 : in->user_agent.n)
				 : strdup("");
	if (!contact || !agent || binding_attach(e, b, s)) {
		free(contact);
		free(agent);
		if (fresh)
			binding_free(e, b);
		return -ENOBUFS;
	}
	free(b->contact);
	free(b->user_agent);
	b->contact = contact;
	b->user_agent = agent;
	b->outbound = in->outbound;
	b->at = in->at;
	b->lost = false;
	record_touch(e, &b->record);
	timer_set(&e->timers, &b->expiry, e->now + in->expires_s * 1000ull);
	if (fresh)
		engine_log(e, 2, "registered", "stream=%llx user=%s edge=%s expires=%u",
			   (unsigned long long)s->id,
			   engine_esc(span_str(in->aor), esc, sizeof(esc)),
			   engine_esc(span_str(s->edge->name), edge, sizeof(edge)), in->expires_s);
	if (b->user->calls && binding_stream(b) == s)
		call_client_moved(e, b->id, s);
	binding_admit(e, s, b);
	lines_confirmed(e, s);
	return 0;
}

/* ---- records ---- */

bool binding_record(const struct engine *e, const struct record *r, struct record_out *o)
{
	const struct binding *b = record_owner(r, struct binding);
	unsigned i;

	record_put_text(o, b->user->aor);
	record_put_text(o, b->key);
	record_put_text(o, e->c.servers[b->server].name);
	record_put_text(o, b->contact);
	record_put_text(o, b->user_agent);
	record_put(o,
		   (b->outbound ? RECORD_OUTBOUND : 0) | (b->n_streams ? RECORD_STREAMS : 0) |
			   (b->n_streams && b->lost ? RECORD_LOST : 0),
		   1);
	record_put(o, b->expiry.due, 8);
	if (!b->n_streams)
		return true;
	record_put_addr(o, &b->at);
	record_put(o, b->n_streams, 1);
	for (i = 0; i < b->n_streams; i++)
		record_put(o, b->streams[i]->id, 8);
	return true;
}

struct record_streams {
	struct addr at;
	unsigned n;
	uint64_t id[BINDING_STREAMS_MAX];
};

/* One to BINDING_STREAMS_MAX of them, oldest first. */
static void record_get_streams(struct record_in *in, struct record_streams *out)
{
	unsigned i;

	record_get_addr(in, &out->at);
	out->n = (unsigned)record_get(in, 1);
	if (out->n == 0 || out->n > BINDING_STREAMS_MAX) {
		in->bad = true;
		out->n = 0;
	}
	for (i = 0; i < out->n; i++) {
		out->id[i] = record_get(in, 8);
		if (out->id[i] <= (i ? out->id[i - 1] : 0))
			in->bad = true;
	}
}

/* Those that outlived the worker are admitted as before, and nobody is told: the edge knows, and the client saw nothing. The record loses
 * those that did not. */
static void binding_resume(struct engine *e, struct binding *b, const struct record_streams *had)
{
	unsigned i;

	for (i = 0; i < had->n; i++) {
		struct stream *s = engine_stream(e, had->id[i]);

		if (!s || binding_attach(e, b, s)) {
			record_touch(e, &b->record);
			continue;
		}
		e->stats.admitted += !s->admitted;
		s->admitted = true;
	}
}

/* Without a stream that is open: one comes with the device's next REGISTER, and whoever asks for it before gets 430. */
int binding_restore(struct engine *e, uint64_t id, struct record_in *in)
{
	char *aor = record_get_text(in, AOR_MAX - 1), *key = record_get_text(in, AOR_MAX + URI_MAX);
	int server = record_get_server(e, in), err = -EBADMSG;
	struct binding_new n = {.aor = aor, .key = key, .server = (unsigned)server};
	char *contact = record_get_text(in, URI_MAX), *agent = record_get_text(in, 128);
	struct record_streams had = {0};
	struct binding *b = NULL;
	unsigned flags = (unsigned)record_get(in, 1);
	uint64_t due = record_get(in, 8);

	n.outbound = flags & RECORD_OUTBOUND;
	in->bad |= flags > RECORD_FLAGS || (flags & RECORD_LOST && !(flags & RECORD_STREAMS));
	if (flags & RECORD_STREAMS)
		record_get_streams(in, &had);
	if (!in->bad && !in->n && aor && key && contact && server >= 0 && due > e->now &&
	    due <= e->now + UINT32_MAX * 1000ull && binding_id(e, aor, key) == id &&
	    !binding_find(e, id)) {
		b = binding_new(e, id, &n);
		err = b ? 0 : -ENOBUFS;
	}
	if (b) {
		b->contact = contact;
		b->user_agent = agent ? agent : strdup("");
		b->outbound = n.outbound;
		b->record.kept = true;
		b->at = had.at;
		b->lost = flags & RECORD_LOST || (had.n && e->c.servers[server].per_connection);
		timer_set(&e->timers, &b->expiry, due);
		binding_resume(e, b, &had);
		contact = agent = NULL;
	}
	free(aor);
	free(key);
	free(contact);
	free(agent);
	return err;
}

/* ---- nonces ---- */

int binding_init(struct engine *e)
{
	size_t sets = NONCE_MIN / NONCE_WAYS;

	while (sets * NONCE_WAYS < 4ull * e->c.bindings_max && sets < 1u << 20)
		sets *= 2;
	e->nonces = calloc(1, sizeof(*e->nonces) + sets * NONCE_WAYS * sizeof(struct nonce));
	if (!e->nonces)
		return -ENOMEM;
	e->nonces->sets = sets;
	return 0;
}

void binding_fini(struct engine *e)
{
	struct tnode *n;

	while (e->bindings.slots && (n = table_walk(&e->bindings, NULL)))
		binding_free(e, table_entry(n, struct binding, node));
}

uint64_t nonce_key(const struct engine *e, unsigned server, const char *whose, struct span value)
{
	uint64_t part[3] = {server, engine_hash(e, span_str(whose)), engine_hash(e, value)};
	uint64_t key = engine_hash(e, span_of(part, sizeof(part)));

	return key ? key : 1;
}

static struct nonce *nonce_set(const struct engine *e, uint64_t key)
{
	return e->nonces->slot + (key % e->nonces->sets) * NONCE_WAYS;
}

void nonce_seen(struct engine *e, uint64_t key)
{
	struct nonce *set = nonce_set(e, key), *old = set;
	unsigned i;

	for (i = 0; i < NONCE_WAYS; i++) {
		if (set[i].key == key || set[i].key == 0) {
			old = &set[i];
			break;
		}
		if (set[i].seen < old->seen)
			old = &set[i];
	}
	old->key = key;
	old->seen = e->now;
}

bool nonce_known(const struct engine *e, uint64_t key)
{
	const struct nonce *set = nonce_set(e, key);
	unsigned i;

	for (i = 0; i < NONCE_WAYS; i++)
		if (set[i].key == key)
			return e->now - set[i].seen <= NONCE_LIFE_MS;
	return false;
}
