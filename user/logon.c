/* user/logon.c -- see logon.h: who asks, what is known already, what is too much, and the answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/logon_int.h"

#define FRIEND_MS 86400000 /* an address where a user was let in is remembered */

const char *logon_why_text(enum logon_why why)
{
	static const char *const texts[LOGON_WHYS] = {
		[LOGON_TOKEN] = "token",
		[LOGON_PASSWORD] = "password",
		[LOGON_NOTHING] = "no-credentials",
		[LOGON_TOKEN_BAD] = "bad-token",
		[LOGON_TOKEN_OLD] = "expired-token",
		[LOGON_COOKIES] = "two-tokens",
		[LOGON_FORM] = "malformed-credentials",
		[LOGON_BAD_PASSWORD] = "bad-password",
		[LOGON_BAD_CACHED] = "bad-password-again",
		[LOGON_NO_USER] = "unknown-user",
		[LOGON_NO_DOMAIN] = "unknown-domain",
		[LOGON_POLICY] = "policy",
		[LOGON_REFUSED] = "refused-by-cluster",
		[LOGON_LIMIT_PAIR] = "limit-user-address",
		[LOGON_LIMIT_USER] = "limit-user",
		[LOGON_BUSY] = "busy",
		[LOGON_NO_ANSWER] = "no-answer",
		[LOGON_NO_HOME] = "home-not-configured",
	};

	return (unsigned)why < LOGON_WHYS ? texts[why] : "unknown";
}

static unsigned why_status(enum logon_why why)
{
	switch (why) {
	case LOGON_TOKEN:
	case LOGON_PASSWORD:
		return 200;
	case LOGON_NO_DOMAIN:
	case LOGON_POLICY:
	case LOGON_REFUSED:
		return 403;
	case LOGON_LIMIT_PAIR:
	case LOGON_LIMIT_USER:
	case LOGON_BUSY:
		return 429;
	case LOGON_NO_ANSWER:
	case LOGON_NO_HOME:
		return 502;
	default:
		return 401;
	}
}

/* ---- answers -------- */

static void ask_in(struct ask **list, struct ask *a)
{
	a->prev = NULL;
	a->next = *list;
	if (*list)
		(*list)->prev = a;
	*list = a;
}

static void ask_out(struct ask **list, struct ask *a)
{
	if (a->next)
		a->next->prev = a->prev;
	if (a->prev)
		a->prev->next = a->next;
	else
		*list = a->next;
}

static void ready(struct logon *l, struct ask *a, enum logon_why why)
{
	a->check = NULL;
	a->reply.why = why;
	a->next = NULL;
	a->prev = l->ready_last;
	if (l->ready_last)
		l->ready_last->next = a;
	else
		l->ready_first = a;
	l->ready_last = a;
	loop_timer_set(l->p.loop, &l->timer, 0);
}

static void ready_out(struct logon *l, struct ask *a)
{
	if (a->next)
		a->next->prev = a->prev;
	else
		l->ready_last = a->prev;
	if (a->prev)
		a->prev->next = a->next;
	else
		l->ready_first = a->next;
}

/* A session for who came with a good password. */
static void token_make(struct logon *l, struct ask *a, char cookie[HTTP_TOKEN_COOKIE_MAX])
{
	struct http_token t = {.issued_s = a->now_s, .expires_s = a->now_s + l->p.token_seconds};
	char text[HTTP_TOKEN_TEXT_MAX];

	snprintf(t.user, sizeof(t.user), "%s", a->reply.user);
	snprintf(t.domain, sizeof(t.domain), "%s", a->domain);
	if (getrandom(t.id, sizeof(t.id), 0) != (ssize_t)sizeof(t.id) ||
	    http_token_sign(l->p.signer, &t, text) < 0) {
		cookie[0] = 0; /* the answer is good, each further one by password */
		return;
	}
	a->reply.expires_s = t.expires_s;
	http_token_set_cookie(&t, text, a->edge_host, cookie);
	explicit_bzero(text, sizeof(text));
}

static void answer(struct logon *l, struct ask *a)
{
	char cookie[HTTP_TOKEN_COOKIE_MAX] = "";
	struct logon_answer out = {
		.status = why_status(a->reply.why), .why = a->reply.why, .set_cookie = cookie};

	if (a->reply.why == LOGON_PASSWORD)
		token_make(l, a, cookie);
	snprintf(out.user, sizeof(out.user), "%s", out.status == 200 ? a->reply.user : a->claimed);
	snprintf(out.domain, sizeof(out.domain), "%s", a->domain);
	out.admitted = out.status == 200;
	out.forget = out.status == 401;
	out.expires_s = a->reply.expires_s;
	out.retry_after_s = a->reply.retry_after_s;
	if (out.status == 502)
		out.retry_after_s = CLUSTER_BAD_MS / 1000;
	out.reason = a->reply.reason;
	l->stats.answers[a->reply.why]++;
	l->stats.asks--;
	a->done(a->arg, &out);
	explicit_bzero(cookie, sizeof(cookie));
	free(a);
}

/* All that are ready now; what becomes ready meanwhile comes in the next round. */
static void answer_ready(void *arg)
{
	struct logon *l = arg;
	struct home_ask *homes = l->homes_ready, *h;
	struct ask *a;
	unsigned n = 0;

	l->homes_ready = NULL;
	for (a = l->ready_first; a; a = a->next)
		n++;
	for (; n && (a = l->ready_first); n--) { /* a done() may forget others of them */
		ready_out(l, a);
		answer(l, a);
	}
	while ((h = homes)) {
		homes = h->next;
		h->fn(h->arg, h->home);
		free(h);
	}
	if (l->ready_first || l->homes_ready)
		loop_timer_set(l->p.loop, &l->timer, 0);
}

/* ---- checks that are over ------------------------------------------------------------------------------------------- */

static void home_checked(struct check *c, enum logon_why why)
{
	struct logon *l = c->logon;
	struct home_ask *h = c->home_ask;

	h->home = why == LOGON_PASSWORD ? logon_home_kept(l, c->domain, c->who.user) : NULL;
	h->next = l->homes_ready;
	l->homes_ready = h;
	loop_timer_set(l->p.loop, &l->timer, 0);
}

void logon_checked(struct check *c, enum logon_why why, const char *user)
{
	struct logon *l = c->logon;
	struct ask *a;

	if (c->home_ask) {
		home_checked(c, why);
		check_free(c);
		return;
	}
	logon_verdict_keep(l, c, why, user);
	while ((a = c->asks)) {
		ask_out(&c->asks, a);
		if (why != LOGON_BAD_PASSWORD && why != LOGON_NO_USER)
			logon_limits_give(l, a);
		if (why == LOGON_PASSWORD) {
			struct friend *f = recent_put(l->friends, a->pair);

			f->until_ms = loop_now_ms(l->p.loop) + FRIEND_MS;
			snprintf(a->reply.user, sizeof(a->reply.user), "%s", user);
		}
		snprintf(a->reply.reason, sizeof(a->reply.reason), "%s",
			 why == LOGON_PASSWORD ? "" : c->reason);
		ready(l, a, why);
	}
	check_free(c);
}

/* ---- asking -------- */

static bool allowed(const struct logon *l, struct span domain, struct span user)
{
	return policy_access(l->p.policy, domain, user) & POLICY_HTTPS;
}

/* Join the check of the same credentials, or begin one. LOGON_PASSWORD: the ask waits for it. */
static enum logon_why check_for(struct logon *l, struct ask *a, const struct basic *who,
				const uint8_t *key)
{
	struct check *c;
	enum logon_why why;

	for (c = l->checks; c; c = c->next)
		if (!c->home_ask && !memcmp(c->key, key, RECENT_KEY)) {
			l->stats.joined++;
			ask_in(&c->asks, a);
			a->check = c;
			return LOGON_PASSWORD;
		}
	why = logon_limits_take(l, a);
	if (why != LOGON_PASSWORD)
		return why;
	if (l->stats.checks >= LOGON_CHECKS_MAX || check_new(l, who, a->domain, key, &c)) {
		logon_limits_give(l, a);
		a->reply.retry_after_s = 1;
		return LOGON_BUSY;
	}
	ask_in(&c->asks, a);
	a->check = c;
	check_start(c); /* may be over already: then the ask is ready */
	return LOGON_PASSWORD;
}

/* By user and password. LOGON_PASSWORD with a->check or a ready ask: nothing more is to be done. */
static enum logon_why by_password(struct logon *l, struct ask *a, const struct logon_ask *q,
				  const struct basic *who, bool *waits)
{
	uint8_t key[RECENT_KEY];
	struct verdict *v;
	enum logon_why why;

	snprintf(a->claimed, sizeof(a->claimed), "%s", who->user);
	if (!allowed(l, q->domain, span_str(who->user)))
		return LOGON_POLICY;
	logon_key(l, 'u', a->domain, who->user, SPAN(""), a->user);
	logon_key(l, 'p', a->domain, who->user, span_of(q->client->ip, sizeof(q->client->ip)),
		  a->pair);
	/* The cluster decides whether passwords' case matters; user names' never does. */
	logon_key(l, 'v', a->domain, who->user, span_str(who->password), key);
	v = recent_find(l->verdicts, key);
	if (v && v->until_ms > loop_now_ms(l->p.loop)) {
		snprintf(a->reply.user, sizeof(a->reply.user), "%s", v->user);
		return v->good ? LOGON_PASSWORD : LOGON_BAD_CACHED;
	}
	why = check_for(l, a, who, key);
	*waits = why == LOGON_PASSWORD;
	return why;
}

static enum logon_why by_authorization(struct logon *l, struct ask *a, const struct logon_ask *q,
				       struct span value, bool *waits)
{
	struct basic who;
	const char *detail = "";
	enum logon_why why = LOGON_FORM;
	int err = basic_parse(value, &who, &detail);

	if (err)
		snprintf(a->reply.reason, sizeof(a->reply.reason), "%s",
			 err == -ENOENT ? "wanted the scheme Basic" : detail);
	else
		why = by_password(l, a, q, &who, waits);
	basic_wipe(&who);
	return why;
}

enum http_token_verdict logon_token(const struct logon *l, const struct http_head *h,
				    struct span domain, uint64_t now_s, struct http_token *out)
{
	enum http_token_verdict v;
	struct http_token t;
	struct span text;

	if (http_token_cookie(h, &text))
		return TOKEN_MALFORMED;
	v = http_token_check(l->p.keys, text, domain, now_s, &t);
	if (v == TOKEN_OK && !allowed(l, span_str(t.domain), span_str(t.user)))
		return TOKEN_OTHER_DOMAIN;
	if (v == TOKEN_OK)
		*out = t;
	return v;
}

static enum logon_why by_token(struct logon *l, struct ask *a, const struct logon_ask *q,
			       struct span text)
{
	struct http_token t = {};
	enum http_token_verdict v = http_token_check(l->p.keys, text, q->domain, q->now_s, &t);

	snprintf(a->claimed, sizeof(a->claimed), "%s", t.user);
	if (v != TOKEN_OK) {
		snprintf(a->reply.reason, sizeof(a->reply.reason), "%s",
			 http_token_verdict_text(v));
		return v == TOKEN_EXPIRED ? LOGON_TOKEN_OLD : LOGON_TOKEN_BAD;
	}
	if (!allowed(l, span_str(t.domain), span_str(t.user)))
		return LOGON_POLICY;
	snprintf(a->reply.user, sizeof(a->reply.user), "%s", t.user);
	a->reply.expires_s = t.expires_s;
	return LOGON_TOKEN;
}

static enum logon_why judge(struct logon *l, struct ask *a, const struct logon_ask *q, bool *waits)
{
	const struct http_field *auth = http_field_find(q->head, HTTP_H_AUTHORIZATION, 0, NULL);
	struct span token = {};
	int cookie = http_token_cookie(q->head, &token);

	if (!q->domain.n || !clusters_serve(l->p.clusters, q->domain))
		return LOGON_NO_DOMAIN;
	if (cookie == -EBADMSG)
		return LOGON_COOKIES;
	if (auth && (q->what != HTTP_PATH_RELAY || cookie == -ENOENT))
		return by_authorization(l, a, q, auth->value, waits);
	return cookie == 0 ? by_token(l, a, q, token) : LOGON_NOTHING;
}

int logon_check(struct logon *l, const struct logon_ask *q, logon_done_fn *done, void *arg)
{
	struct ask *a = calloc(1, sizeof(*a));
	enum logon_why why;
	bool waits = false;

	if (!a)
		return -ENOMEM;
	a->done = done;
	a->arg = arg;
	a->now_s = q->now_s;
	span_copy(q->domain, a->domain, sizeof(a->domain));
	snprintf(a->edge_host, sizeof(a->edge_host), "%s", q->edge_host ? q->edge_host : "");
	l->stats.asks++;
	if (l->stats.asks > LOGON_ASKS_MAX) {
		a->reply.retry_after_s = 1;
		why = LOGON_BUSY;
	} else {
		why = judge(l, a, q, &waits);
	}
	if (!waits)
		ready(l, a, why);
	return 0;
}

void logon_forget(struct logon *l, void *arg)
{
	struct ask *a, *next;
	struct check *c;

	for (c = l->checks; c; c = c->next)
		for (a = c->asks; a; a = next) {
			next = a->next;
			if (a->arg != arg)
				continue;
			ask_out(&c->asks, a);
			l->stats.asks--;
			free(a);
		}
	for (a = l->ready_first; a; a = next) {
		next = a->next;
		if (a->arg != arg)
			continue;
		ready_out(l, a);
		l->stats.asks--;
		free(a);
	}
}

int logon_home(struct logon *l, const char *domain, const char *user, logon_home_fn *fn, void *arg)
{
	struct home_ask *h = calloc(1, sizeof(*h));
	static const uint8_t no_key[RECENT_KEY];
	struct basic who = {};
	struct check *c;

	if (!h)
		return -ENOMEM;
	*h = (struct home_ask){.fn = fn, .arg = arg, .home = logon_home_kept(l, domain, user)};
	snprintf(who.user, sizeof(who.user), "%s", user);
	if (h->home || l->stats.checks >= LOGON_CHECKS_MAX ||
	    check_new(l, &who, domain, no_key, &c)) {
		h->next = l->homes_ready;
		l->homes_ready = h;
		loop_timer_set(l->p.loop, &l->timer, 0);
		return 0;
	}
	c->home_ask = h;
	check_start(c);
	return 0;
}

/* ---- life -------- */

int logon_new(const struct logon_params *p, struct logon **out)
{
	struct logon *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->p = *p;
	l->timer = (struct loop_timer){.fn = answer_ready, .arg = l};
	if (getrandom(l->secret, sizeof(l->secret), 0) != (ssize_t)sizeof(l->secret) ||
	    recent_new(LOGON_CACHE_MAX, sizeof(struct verdict), &l->verdicts) ||
	    recent_new(LOGON_CACHE_MAX, sizeof(struct home), &l->homes) ||
	    recent_new(LOGON_LIMIT_ENTRIES, sizeof(struct pace), &l->pairs) ||
	    recent_new(LOGON_LIMIT_ENTRIES, sizeof(struct pace), &l->users) ||
	    recent_new(LOGON_LIMIT_ENTRIES, sizeof(struct friend), &l->friends)) {
		logon_free(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

void logon_free(struct logon *l)
{
	struct home_ask *h;
	struct ask *a;

	if (!l)
		return;
	l->p.upstream = NULL; /* gone already, and with it the questions */
	while (l->checks) {
		while ((a = l->checks->asks)) {
			ask_out(&l->checks->asks, a);
			free(a);
		}
		free(l->checks->home_ask);
		check_free(l->checks);
	}
	while ((a = l->ready_first)) {
		ready_out(l, a);
		free(a);
	}
	while ((h = l->homes_ready)) {
		l->homes_ready = h->next;
		free(h);
	}
	loop_timer_cancel(l->p.loop, &l->timer);
	recent_free(l->verdicts);
	recent_free(l->homes);
	recent_free(l->pairs);
	recent_free(l->users);
	recent_free(l->friends);
	explicit_bzero(l->secret, sizeof(l->secret));
	free(l);
}

const struct logon_stats *logon_stats(const struct logon *l)
{
	return &l->stats;
}

json_t *logon_show(const struct logon *l)
{
	json_t *answers = json_object();
	unsigned i;

	for (i = 0; i < LOGON_WHYS; i++)
		json_object_set_new(answers, logon_why_text((enum logon_why)i),
				    json_integer((json_int_t)l->stats.answers[i]));
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i}", "answers", answers,
			 "asked_cluster_user", (json_int_t)l->stats.asked_cluster_user,
			 "asked_user", (json_int_t)l->stats.asked_user, "next_node",
			 (json_int_t)l->stats.next_node, "joined", (json_int_t)l->stats.joined,
			 "waiting", (int)l->stats.asks, "checks", (int)l->stats.checks,
			 "users_with_failures", (int)recent_n(l->users), "known_homes",
			 (int)recent_n(l->homes));
}
