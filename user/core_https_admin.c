/* user/core_https_admin.c -- `sallyctl allow test` and `sallyctl allow check`; see core_https.h.
 *
 * In: a request as a client would make it; or nothing. Out: the verdict of the rules; or a row for each https server that
 * rules name, from one question to each, CHECK_AT_ONCE of them at a time, all within CHECK_MS. One check at a time; it is
 * owned by struct core_https. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_https_int.h"

#define CHECK_MAX     512
#define CHECK_AT_ONCE 32
#define CHECK_ONE_MS  5000
#define CHECK_MS      18000
#define CHECK_BODY    65536

static json_t *error(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

/* ---- allow test -------- */

/* Up to the next space, which is skipped. */
static struct span word(struct span *rest)
{
	const uint8_t *hit = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
	struct span one = span_cut(*rest, 0, hit ? (size_t)(hit - rest->p) : rest->n);

	*rest = span_cut(*rest, one.n + 1, rest->n);
	return one;
}

/* "anna", "anna@example.com": the domain behind the last '@' if it is one of ours, else the first that there is. */
static void who(const struct core_https *x, struct span text, struct allow_ask *q)
{
	const uint8_t *at = text.n ? memrchr(text.p, '@', text.n) : NULL;
	struct span domain = at ? span_cut(text, (size_t)(at - text.p) + 1, text.n) : SPAN("");

	q->user = text;
	q->domain = span_str(clusters_at(x->clusters, 0)->domains[0]);
	if (domain.n && clusters_serve(x->clusters, domain)) {
		q->user = span_cut(text, 0, text.n - domain.n - 1);
		q->domain = domain;
	}
}

static json_t *rule_json(const struct allow_rule *r)
{
	return r ? json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "rule", r->name, "scheme",
			     r->https ? "https" : "http", "host", r->host, "port", (int)r->port,
			     "path", r->path, "match", r->prefix ? "prefix" : "exact")
		 : json_null();
}

static json_t *verdict_json(const struct allow_verdict *v)
{
	char why[256];

	snprintf(why, sizeof(why), "%s%s%s", allow_why_text(v->why), *v->detail ? ": " : "",
		 v->detail);
	if (v->rule)
		return json_pack("{s:s, s:s, s:o}", "verdict", "allowed", "rule", v->rule->name,
				 "by", rule_json(v->rule));
	return json_pack("{s:s, s:s, s:o}", "verdict", "denied", "why", why, "nearest",
			 rule_json(v->nearest));
}

json_t *core_https_allow_test(const struct core *c, const json_t *req)
{
	const char *arg = json_string_value(json_object_get(req, "arg")), *detail = "";
	struct span rest = span_str(arg ? arg : ""), method = word(&rest), url = word(&rest);
	const struct core_https *x = c->https;
	struct allow_verdict v;
	struct allow_ask q = {};
	struct allow_url u = {};
	char text[300];
	int err;

	if (!x)
		return error("there is no https section in the configuration");
	if (!method.n || !url.n)
		return error("wanted METHOD URL [USER[@DOMAIN]]");
	who(x, rest, &q);
	err = allow_url_parse(url, &u, &detail);
	if (err && !*u.host) {
		snprintf(text, sizeof(text), "the URL: %s", detail);
		return error(text);
	}
	q.method = http_method_from_text(method);
	q.https = u.https;
	q.host = span_str(u.host);
	q.port = u.port;
	q.path = u.written; /* may be one that is refused */
	q.query = u.query;
	if (q.user.n && !(policy_access(x->policy, q.domain, q.user) & POLICY_HTTPS))
		return json_pack("{s:s, s:s}", "verdict", "denied", "why",
				 "https.users: this user may not use HTTPS");
	allow_match(policy_allow(x->policy), &q, &v);
	return verdict_json(&v);
}

/* ---- allow check -------- */

struct check_row {
	struct https_check *check;
	const struct allow_rule *rule; /* the first with this target */
	unsigned rules;
	enum { ROW_WAITS, ROW_ASKED, ROW_DONE } state;
	int err;
	unsigned status;
	char why[400];
};

struct https_check {
	struct core *core;
	struct admin_ticket ticket;
	struct loop_timer timer;
	struct check_row *rows;
	unsigned n, next, under_way;
};

static const char *row_state(const struct check_row *r)
{
	if (!r->rule->https)
		return "plain";
	if (r->state != ROW_DONE)
		return "no-time";
	return r->err == 0 || r->err == -EMSGSIZE ? "ok"
	       : r->err == -EKEYREJECTED	  ? "certificate-refused"
						  : "not-reached";
}

static json_t *rows_json(const struct https_check *k)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < k->n; i++) {
		const struct check_row *r = &k->rows[i];

		json_array_append_new(
			list, json_pack("{s:s, s:i, s:s, s:s, s:i, s:s, s:s*}", "host",
					r->rule->host, "port", (int)r->rule->port, "scheme",
					r->rule->https ? "https" : "http", "state", row_state(r),
					"rules", (int)r->rules, "first_rule", r->rule->name,
					"reason", r->why[0] ? r->why : NULL));
	}
	return list;
}

void core_https_check_free(struct https_check *k)
{
	unsigned i;

	if (!k)
		return;
	for (i = 0; i < k->n; i++)
		if (k->rows[i].state == ROW_ASKED)
			upstream_get_forget(k->core->https->upstream, &k->rows[i]);
	loop_timer_cancel(k->core->loop, &k->timer);
	k->core->https->check = NULL;
	free(k->rows);
	free(k);
}

static void check_end(void *arg)
{
	struct https_check *k = arg;
	struct admin *admin = k->core->admin;
	struct admin_ticket ticket = k->ticket;
	json_t *res = rows_json(k);

	core_https_check_free(k);
	admin_answer(admin, ticket, res);
}

static void check_go_on(struct https_check *k);

static void on_got(void *arg, int err, const char *why, unsigned status, struct span body)
{
	struct check_row *r = arg;
	struct https_check *k = r->check;

	(void)body;
	r->state = ROW_DONE;
	r->err = err;
	r->status = status;
	if (err && err != -EMSGSIZE)
		snprintf(r->why, sizeof(r->why), "%s", why && *why ? why : strerror(-err));
	k->under_way--;
	check_go_on(k);
}

static void ask(struct check_row *r)
{
	struct upstream_target t = {.host = r->rule->host, .port = r->rule->port, .tls = true};
	struct https_check *k = r->check;
	int err = upstream_get(k->core->https->upstream, &t, SPAN("/"), SPAN(""), CHECK_BODY,
			       CHECK_ONE_MS, on_got, r);

	r->state = err ? ROW_DONE : ROW_ASKED;
	r->err = err;
	if (err)
		snprintf(r->why, sizeof(r->why), "%s", strerror(-err));
	else
		k->under_way++;
}

static void check_go_on(struct https_check *k)
{
	while (k->next < k->n && k->under_way < CHECK_AT_ONCE) {
		struct check_row *r = &k->rows[k->next++];

		if (r->rule->https)
			ask(r);
	}
	if (!k->under_way) /* from the loop: the ticket may have been given just now */
		loop_timer_set(k->core->loop, &k->timer, 0);
}

/* Rules of one host and port stand together: allow_compile(). */
static int rows_make(struct https_check *k, const struct allow *all)
{
	const struct allow_rule *before = NULL;
	unsigned i;

	k->rows = calloc(all->n ? all->n : 1, sizeof(*k->rows));
	if (!k->rows)
		return -ENOMEM;
	for (i = 0; i < all->n; i++) {
		const struct allow_rule *r = &all->rules[i];

		if (!before || strcmp(before->host, r->host) != 0 || before->port != r->port ||
		    before->https != r->https) {
			if (k->n == CHECK_MAX)
				return -E2BIG;
			k->rows[k->n].check = k;
			k->rows[k->n++].rule = r;
		}
		k->rows[k->n - 1].rules++;
		before = r;
	}
	return 0;
}

json_t *core_https_allow_check(struct core *c)
{
	struct core_https *x = c->https;
	struct https_check *k;
	int err;

	if (!x)
		return error("there is no https section in the configuration");
	if (x->check)
		return error("a check is under way already");
	k = calloc(1, sizeof(*k));
	if (!k)
		return error("out of memory");
	k->core = c;
	k->timer = (struct loop_timer){.fn = check_end, .arg = k};
	x->check = k;
	err = rows_make(k, policy_allow(x->policy));
	if (err) {
		core_https_check_free(k);
		return error(err == -E2BIG ? "rules name more than 512 servers" : "out of memory");
	}
	k->ticket = admin_later(c->admin);
	loop_timer_set(c->loop, &k->timer, CHECK_MS);
	check_go_on(k);
	return NULL;
}
