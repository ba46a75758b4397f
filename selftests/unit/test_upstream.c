/* selftests/unit/test_upstream.c -- requests to servers inside: reuse, failover, repetition, back-pressure, certificates,
 * limits, one GET. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "selftests/unit/origin_kit.h"
#include "user/log.h"
#include "user/upstream_impl.h"

static struct loop *loop;
static struct upstream *up;
static struct origin a, b;
static struct loop_timer limit;
static bool late;
static struct cert ca, good_cert, wrong_cert;
static char log_text[8192];

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	va_list ap;
	size_t n = strlen(log_text);

	(void)level;
	(void)snprintf(log_text + n, sizeof(log_text) - n, "%s ", event);
	n = strlen(log_text);
	va_start(ap, fmt);
	(void)vsnprintf(log_text + n, sizeof(log_text) - n, fmt, ap);
	va_end(ap);
}

const char *log_esc(struct span s, char *buf, size_t n)
{
	(void)snprintf(buf, n, "\"%.*s\"", (int)s.n, (const char *)s.p);
	return buf;
}

/* ---- a request and what became of it ---- */

struct ask {
	struct upstream_req *r;
	const char *method, *path, *body;
	unsigned readies, heads, flushes, status, over;
	enum http_framing framing;
	enum upstream_why why;
	bool failed, sent, hold, ws;
	unsigned nth;		/* to be over */
	struct ask *then;	/* asked for as this one is over */
	uint64_t n, sum, limit; /* pauses when n passes it */
	char text[UPSTREAM_TEXT], body_text[9000];
};

static void stop(void)
{
	loop_stop(loop);
}

static void ask_write(struct ask *q)
{
	char head[512];

	q->readies++;
	(void)snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: h\r\n%s", q->method, q->path,
		       q->ws ? "Upgrade: websocket\r\nConnection: Upgrade\r\n" : "");
	if (q->body)
		(void)snprintf(head + strlen(head), sizeof(head) - strlen(head),
			       "Content-Length: %zu\r\n", strlen(q->body));
	(void)strcat(head, "\r\n");
	if (upstream_write(q->r, span_str(head)))
		return;
	if (q->body && !q->hold && upstream_write(q->r, span_str(q->body)))
		return;
	if (!q->hold)
		upstream_sent(q->r);
}

static void on_ready(void *arg)
{
	ask_write(arg);
}

static void on_writable(void *arg)
{
	(void)arg;
}

static void on_head(void *arg, const struct http_head *h, enum http_framing framing)
{
	struct ask *q = arg;

	q->heads++;
	q->status = h->status;
	q->framing = framing;
	if (framing == HTTP_BODY_TUNNEL)
		stop();
}

static void on_body(void *arg, struct span bytes)
{
	struct ask *q = arg;

	if (q->n + bytes.n < sizeof(q->body_text))
		memcpy(q->body_text + q->n, bytes.p, bytes.n);
	q->n += bytes.n;
	q->sum = origin_sum(q->sum, bytes.p, bytes.n);
	if (q->limit && q->n >= q->limit) {
		q->limit = 0;
		upstream_pause(q->r, true);
		stop();
	}
}

static void on_flush(void *arg)
{
	struct ask *q = arg;

	q->flushes++;
	if (q->ws)
		stop();
}

static void again(struct ask *q);

static void on_done(void *arg, bool sent)
{
	static unsigned nth;
	struct ask *q = arg;

	q->over++;
	q->nth = ++nth;
	q->sent = sent;
	q->r = NULL;
	if (q->then)
		again(q->then);
	stop();
}

static void on_failed(void *arg, enum upstream_why why, const char *text)
{
	struct ask *q = arg;

	q->over++;
	q->failed = true;
	q->why = why;
	(void)snprintf(q->text, sizeof(q->text), "%s", text);
	q->r = NULL;
	stop();
}

static const struct upstream_ops ops = {on_ready, on_writable, on_head,	 on_body,
					on_flush, on_done,     on_failed};

static void on_limit(void *arg)
{
	(void)arg;
	late = true;
	loop_stop(loop);
}

static void run(unsigned ms)
{
	late = false;
	loop_timer_set(loop, &limit, ms);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_cancel(loop, &limit);
}

static void wait_over(struct ask *q)
{
	while (!q->over) {
		run(5000);
		assert_false(late);
	}
}

static struct upstream_target to(const struct origin *o, const char *host, bool tls)
{
	return (struct upstream_target){host, o->addr.port, tls, NULL};
}

/* Ask, and wait for the end. */
static void ask_list(struct ask *q, const struct upstream_target *t, unsigned n, const char *method,
		     const char *path, const char *body)
{
	struct upstream_want w = {.targets = t,
				  .n_targets = n,
				  .asked = {.method = http_method_from_text(span_str(method))},
				  .repeatable = !body};
	int ret;

	q->method = method;
	q->path = path;
	q->body = body;
	w.asked.upgrade = q->ws;
	ret = upstream_open(up, &w, &ops, q, &q->r);
	assert_true(ret == 0 || ret == 1);
	if (ret == 1)
		ask_write(q);
}

static void again(struct ask *q)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);

	ask_list(q, &t, 1, "GET", "/bytes/3", NULL);
}

static void get(struct ask *q, const char *path)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);

	*q = (struct ask){};
	ask_list(q, &t, 1, "GET", path, NULL);
	wait_over(q);
}

static int setup(void **state)
{
	struct loop_params lp = {.entries = 256, .ops_max = 2048};
	struct upstream_params p = {};

	(void)state;
	log_text[0] = 0;
	assert_int_equal(loop_new(&lp, &loop), 0);
	limit = (struct loop_timer){.fn = on_limit};
	origin_open(&a, loop, NULL, 0);
	origin_open(&b, loop, NULL, 0);
	p.loop = loop;
	p.per_target = 2;
	assert_int_equal(upstream_new(&p, &up), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	upstream_free(up);
	origin_close(&a);
	origin_close(&b);
	loop_free(loop);
	return 0;
}

/* ---- cases ---- */

static void test_upstream_reuse(void **state)
{
	const struct upstream_stats *st = upstream_stats(up);
	struct ask q;
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		get(&q, i % 2 ? "/bytes/1000" : "/chunked/1000");
		assert_false(q.failed);
		assert_true(q.sent);
		assert_int_equal(q.status, 200);
		assert_int_equal(q.readies, 1);
	}
	assert_int_equal(a.conns, 1);
	assert_int_equal(a.requests, 20);
	assert_int_equal(st->reused, 19);
	assert_int_equal(st->dialed, 1);
	assert_int_equal(st->idle, 1);
	/* What says that it is the last, or shows it, is not used again. */
	get(&q, "/last");
	assert_int_equal(st->idle, 0);
	get(&q, "/close/5");
	assert_int_equal(q.framing, HTTP_BODY_CLOSE);
	assert_int_equal(q.n, 5);
	assert_int_equal(a.conns, 2);
	get(&q, "/bytes/1");
	assert_int_equal(a.conns, 3);
}

static void test_upstream_framing(void **state)
{
	struct ask q = {};
	struct upstream_target t = to(&a, "127.0.0.1", false);
	uint8_t want[3000];
	struct upstream_want w = {
		.targets = &t, .n_targets = 1, .asked = {.method = HTTP_M_GET}, .content = true};

	(void)state;
	get(&q, "/chunked/10");
	assert_non_null(strstr(q.body_text, "a;x=\"y\"\r\n"));
	assert_non_null(memmem(q.body_text, q.n, "\r\n0\r\nX-Trailer: t\r\n\r\n", 21));
	q = (struct ask){.method = "GET", .path = "/chunked/3000"};
	assert_int_equal(upstream_open(up, &w, &ops, &q, &q.r), 1);
	ask_write(&q);
	wait_over(&q);
	origin_pattern(0, want, sizeof(want));
	assert_int_equal(q.n, sizeof(want));
	assert_memory_equal(q.body_text, want, sizeof(want));
	/* HEAD has no body, whatever its head says. */
	q = (struct ask){};
	ask_list(&q, &t, 1, "HEAD", "/", NULL);
	wait_over(&q);
	assert_int_equal(q.framing, HTTP_BODY_NONE);
	assert_int_equal(q.n, 0);
	get(&q, "/bytes/1");
	assert_int_equal(a.conns, 1);
}

/* The server closed an idle connection: it is seen before it is used, or the request is repeated once. */
static void test_upstream_stale(void **state)
{
	struct ask q;

	(void)state;
	get(&q, "/bytes/1");
	origin_hang_up(&a);
	get(&q, "/bytes/1"); /* in the same turn: the end is not seen yet */
	assert_false(q.failed);
	assert_int_equal(q.status, 200);
	get(&q, "/quiet");
	get(&q, "/bytes/1");
	assert_false(q.failed);
	/* A server that closes instead of answering is no stale connection: not asked for ever. */
	get(&q, "/drop");
	assert_true(q.failed);
	assert_int_equal(q.why, UPSTREAM_CUT);
	assert_in_range(q.readies, 1, 2);
	get(&q, "/cut");
	assert_true(q.failed);
	assert_int_equal(q.readies, 1);
	assert_int_equal(q.status, 200);
	assert_int_equal(q.n, 4);
	get(&q, "/bad");
	assert_int_equal(q.why, UPSTREAM_ANSWER);
	assert_non_null(strstr(q.text, "bare LF"));
}

/* A body may have been acted upon: no second try. */
static void test_upstream_no_repeat(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask q;

	(void)state;
	get(&q, "/bytes/1");
	a.answer = NULL;
	q = (struct ask){};
	ask_list(&q, &t, 1, "POST", "/x", "hello");
	wait_over(&q);
	assert_false(q.failed);
	assert_non_null(strstr(q.body_text, "n=5 "));
	origin_hang_up(&a);
	q = (struct ask){};
	ask_list(&q, &t, 1, "POST", "/x", "hello");
	wait_over(&q);
	if (q.failed) {
		assert_int_equal(q.why, UPSTREAM_CUT);
		assert_int_equal(q.readies, 1);
	}
}

static void test_upstream_failover(void **state)
{
	struct upstream_target list[2];
	struct ask q = {};
	unsigned i;

	(void)state;
	list[0] = to(&a, "127.0.0.1", false);
	list[1] = to(&b, "127.0.0.1", false);
	origin_close(&a); /* nobody listens there any more */
	for (i = 0; i < 5; i++) {
		q = (struct ask){};
		ask_list(&q, list, 2, "GET", "/bytes/3", NULL);
		wait_over(&q);
		assert_false(q.failed);
		assert_int_equal(q.n, 3);
	}
	assert_int_equal(b.requests, 5);
	assert_int_equal(upstream_stats(up)->failed_over, 1); /* known to be down after the first */
	assert_non_null(strstr(log_text, "upstream-failed target=127.0.0.1"));
	/* One that answers with nothing: on to the next, for what may be repeated. */
	q = (struct ask){};
	list[0] = list[1];
	ask_list(&q, list, 1, "GET", "/drop", NULL);
	wait_over(&q);
	assert_true(q.failed);
	/* All are down: they are asked all the same. */
	q = (struct ask){};
	ask_list(&q, list, 1, "GET", "/bytes/3", NULL);
	wait_over(&q);
	assert_false(q.failed);
}

/* A node that is starting says 503: the other one is asked; the last one's word is passed on. */
static void test_upstream_unavailable(void **state)
{
	struct upstream_target list[2] = {to(&a, "127.0.0.1", false), to(&b, "127.0.0.1", false)};
	struct ask q = {};

	(void)state;
	a.answer = "HTTP/1.1 503 Starting\r\nContent-Length: 2\r\n\r\nno";
	ask_list(&q, list, 2, "GET", "/bytes/3", NULL);
	wait_over(&q);
	assert_int_equal(q.status, 200);
	assert_int_equal(q.heads, 1);
	assert_int_equal(q.readies, 2);
	assert_int_equal(a.requests, 1);
	assert_non_null(strstr(log_text, "answered 503"));
	b.answer = a.answer;
	q = (struct ask){};
	ask_list(&q, list, 2, "GET", "/bytes/3", NULL);
	wait_over(&q);
	assert_int_equal(q.status, 503);
	assert_false(q.failed);
	q = (struct ask){};
	ask_list(&q, list, 2, "POST", "/bytes/3", "x"); /* it may have been done */
	wait_over(&q);
	assert_int_equal(q.readies, 1);
}

static void test_upstream_refused(void **state)
{
	struct ask q;

	(void)state;
	origin_close(&a);
	get(&q, "/");
	assert_true(q.failed);
	assert_int_equal(q.why, UPSTREAM_CONNECT);
	assert_int_equal(upstream_why_status(q.why), 502);
	assert_non_null(strstr(q.text, "refused"));
	assert_int_equal(upstream_stats(up)->failures[UPSTREAM_CONNECT], 1);
}

/* A whole body of 8 MiB, with a reader who stops: the server is held back. */
static void test_upstream_pressure(void **state)
{
	const uint64_t all = 8u << 20;
	static uint8_t block[65536];
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask q = {.limit = 1u << 20};
	uint64_t sum = 0, at;

	(void)state;
	ask_list(&q, &t, 1, "GET", "/bytes/8388608", NULL);
	run(5000);
	assert_in_range(q.n, 1u << 20, (1u << 20) + UPSTREAM_READ);
	at = q.n;
	run(100); /* paused: no more comes */
	assert_true(late);
	assert_int_equal(q.n, at);
	upstream_pause(q.r, false);
	wait_over(&q);
	assert_int_equal(q.n, all);
	for (at = 0; at < all; at += sizeof(block)) {
		origin_pattern(at, block, sizeof(block));
		sum = origin_sum(sum, block, sizeof(block));
	}
	assert_true(q.sum == sum);
}

static void test_upstream_tunnel(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask q = {.ws = true};

	(void)state;
	ask_list(&q, &t, 1, "GET", "/ws", NULL);
	run(5000);
	assert_int_equal(q.status, 101);
	assert_int_equal(upstream_stats(up)->tunnels, 1);
	assert_int_equal(upstream_write(q.r, SPAN("ping")), 0);
	while (q.n < 4)
		run(5000);
	assert_memory_equal(q.body_text, "ping", 4);
	upstream_close(q.r, true);
	assert_int_equal(upstream_stats(up)->tunnels, 0);
	/* 101 that nobody asked for. */
	get(&q, "/ws");
	assert_int_equal(q.why, UPSTREAM_ANSWER);
}

/* Two connections at most: the others wait, in order, and get theirs. */
/* Who asks again as soon as it was answered comes behind those that wait. */
static void test_upstream_turns(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask silent = {}, waits[3] = {}, next[4] = {}, greedy = {.then = &next[0]};
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		next[i].then = &next[i + 1];
	ask_list(&silent, &t, 1, "GET", "/silent", NULL);
	ask_list(&greedy, &t, 1, "GET", "/bytes/1", NULL);
	for (i = 0; i < 3; i++)
		ask_list(&waits[i], &t, 1, "GET", "/bytes/2", NULL);
	wait_over(&next[3]);
	for (i = 0; i < 3; i++) {
		assert_int_equal(waits[i].over, 1);
		assert_int_equal(waits[i].nth, greedy.nth + 1 + i);
	}
	assert_int_equal(a.conns, 2);
	upstream_close(silent.r, false);
}

static void test_upstream_limit(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask q[6] = {};
	unsigned i;

	(void)state;
	for (i = 0; i < 6; i++)
		ask_list(&q[i], &t, 1, "GET", "/bytes/100", NULL);
	assert_int_equal(upstream_stats(up)->waiters, 4);
	for (i = 0; i < 6; i++)
		wait_over(&q[i]);
	for (i = 0; i < 6; i++)
		assert_int_equal(q[i].n, 100);
	assert_int_equal(a.conns, 2);
	assert_int_equal(upstream_stats(up)->waiters, 0);
	/* One that goes away while it waits leaves the others alone. */
	for (i = 0; i < 4; i++) {
		q[i] = (struct ask){};
		ask_list(&q[i], &t, 1, "GET", "/silent", NULL);
	}
	upstream_close(q[2].r, false);
	upstream_close(q[0].r, false);
	q[4] = (struct ask){};
	ask_list(&q[4], &t, 1, "GET", "/bytes/1", NULL);
	upstream_close(q[3].r, false);
	wait_over(&q[4]);
	assert_int_equal(q[4].n, 1);
	upstream_close(q[1].r, false);
	assert_int_equal(upstream_stats(up)->conns, upstream_stats(up)->idle);
}

static void test_upstream_early(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	struct ask q = {.hold = true};

	(void)state;
	ask_list(&q, &t, 1, "POST", "/early", "0123456789");
	wait_over(&q);
	assert_int_equal(q.status, 413);
	assert_false(q.sent);
	assert_int_equal(upstream_stats(up)->idle, 0);
	q = (struct ask){};
	ask_list(&q, &t, 1, "POST", "/continue", "0123456789");
	wait_over(&q);
	assert_int_equal(q.heads, 2);
	assert_int_equal(q.status, 200);
}

/* Names: one that nobody answers for, and all of it gone while it is asked. */
static void test_upstream_names(void **state)
{
	struct upstream_target t = {"uds1.in.example.com", 1, false, NULL};
	struct ask q = {};
	struct dns *dns;

	(void)state;
	assert_int_equal(dns_new(loop, "127.0.0.1:9", &dns), 0); /* nobody listens there */
	up->p.dns = dns;
	ask_list(&q, &t, 1, "GET", "/", NULL);
	wait_over(&q);
	assert_int_equal(q.why, UPSTREAM_NAME);
	assert_int_equal(upstream_why_status(q.why), 502);
	assert_non_null(strstr(q.text, "uds1.in.example.com: DNS"));
	t.host = "uds2.in.example.com";
	q = (struct ask){};
	ask_list(&q, &t, 1, "GET", "/", NULL);
	upstream_free(up);
	up = NULL;
	dns_free(dns);
	assert_int_equal(q.over, 0);
}

/* ---- TLS ---- */

static struct tls_ctx *tls(bool server, const struct cert *leaf, const struct cert *trust)
{
	struct tls_params p = {.server = server};
	struct tls_ctx *ctx = NULL;
	char why[TLS_WHY_MAX] = "";

	if (leaf) {
		p.cert_pem = cert_pem(leaf);
		p.key_pem = cert_key(leaf);
	}
	if (trust)
		p.ca_pem = cert_pem(trust);
	if (tls_ctx_new(&p, &ctx, why))
		fail_msg("%s", why);
	return ctx;
}

static void test_upstream_certificate(void **state)
{
	struct tls_ctx *client = tls(false, NULL, &ca), *good = tls(true, &good_cert, NULL),
		       *wrong = tls(true, &wrong_cert, NULL);
	struct origin g, w;
	struct upstream_target t[2];
	struct ask q = {};
	json_t *show;

	(void)state;
	up->p.tls = client;
	origin_open(&g, loop, good, 0);
	origin_open(&w, loop, wrong, 0);
	t[0] = to(&g, "127.0.0.1", true);
	t[0].tls_name = "uds1.in.example.com";
	ask_list(&q, t, 1, "GET", "/bytes/70000", NULL);
	wait_over(&q);
	assert_false(q.failed);
	assert_int_equal(q.n, 70000);
	/* The names that were wanted, and those that came. */
	t[1] = to(&w, "127.0.0.1", true);
	t[1].tls_name = "uds2.in.example.com";
	q = (struct ask){};
	ask_list(&q, &t[1], 1, "GET", "/", NULL);
	wait_over(&q);
	assert_true(q.failed);
	assert_int_equal(q.why, UPSTREAM_CERTIFICATE);
	assert_non_null(strstr(
		q.text,
		"wanted uds2.in.example.com, the certificate has cucm9.in.example.com, 10.0.0.9"));
	assert_non_null(strstr(log_text, "the certificate has cucm9.in.example.com, 10.0.0.9"));
	show = upstream_show(up);
	assert_int_equal(json_array_size(show), 2);
	json_decref(show);
	/* An address is verified as one. */
	t[0].tls_name = NULL;
	q = (struct ask){};
	ask_list(&q, t, 1, "GET", "/bytes/1", NULL);
	wait_over(&q);
	assert_int_equal(q.why, UPSTREAM_CERTIFICATE);
	assert_non_null(strstr(q.text, "wanted 127.0.0.1"));
	/* The next one of a list takes over. */
	t[0].tls_name = "uds1.in.example.com";
	struct upstream_target list[2] = {t[1], t[0]};

	q = (struct ask){};
	ask_list(&q, list, 2, "GET", "/bytes/5", NULL);
	wait_over(&q);
	assert_int_equal(q.n, 5);
	up->p.tls = NULL;
	q = (struct ask){};
	t[0].tls_name = "other";
	ask_list(&q, t, 1, "GET", "/bytes/5", NULL);
	wait_over(&q);
	assert_int_equal(q.why, UPSTREAM_TLS);
	origin_close(&g);
	origin_close(&w);
	upstream_free(up);
	up = NULL;
	tls_ctx_free(client);
	tls_ctx_free(good);
	tls_ctx_free(wrong);
}

/* ---- one GET ---- */

static int got_err;
static unsigned got_n, got_status;
static char got_body[9000];

static void on_got(void *arg, int err, const char *why, unsigned status, struct span body)
{
	(void)arg;
	(void)why;
	got_n++;
	got_err = err;
	got_status = status;
	(void)snprintf(got_body, sizeof(got_body), "%.*s", (int)body.n, (const char *)body.p);
	stop();
}

static void test_upstream_get(void **state)
{
	struct upstream_target t = to(&a, "127.0.0.1", false);
	unsigned i;

	(void)state;
	got_n = 0;
	assert_int_equal(upstream_get(up, &t, SPAN("/echo?x=y"),
				      SPAN("Authorization: Basic abc\r\nX-B: c\r\n"), 8192, 1000,
				      on_got, NULL),
			 0);
	run(2000);
	assert_int_equal(got_n, 1);
	assert_int_equal(got_err, 0);
	assert_int_equal(got_status, 200);
	assert_non_null(strstr(got_body, "GET /echo?x=y HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_non_null(strstr(got_body, "Authorization: Basic abc\r\nX-B: c\r\n\r\n"));
	assert_int_equal(
		upstream_get(up, &t, SPAN("/chunked/100"), SPAN(""), 100, 1000, on_got, NULL), 0);
	run(2000);
	assert_int_equal(got_err, 0);
	assert_int_equal(
		upstream_get(up, &t, SPAN("/chunked/100"), SPAN(""), 99, 1000, on_got, NULL), 0);
	run(2000);
	assert_int_equal(got_err, -EMSGSIZE);
	assert_int_equal(upstream_get(up, &t, SPAN("/silent"), SPAN(""), 99, 50, on_got, NULL), 0);
	run(2000);
	assert_int_equal(got_err, -ETIMEDOUT);
	/* What could not be HTTP is refused at once. */
	assert_int_equal(upstream_get(up, &t, SPAN("/a b"), SPAN(""), 99, 50, on_got, NULL),
			 -EINVAL);
	assert_int_equal(upstream_get(up, &t, SPAN("/"), SPAN("X: a\r\nb"), 99, 50, on_got, NULL),
			 -EINVAL);
	i = got_n;
	assert_int_equal(upstream_get(up, &t, SPAN("/bytes/1"), SPAN(""), 99, 50, on_got, &t), 0);
	upstream_get_forget(up, &t);
	run(80);
	assert_int_equal(got_n, i);
	origin_close(&a);
	assert_int_equal(upstream_get(up, &t, SPAN("/"), SPAN(""), 99, 1000, on_got, NULL), 0);
	assert_int_equal(got_n, i); /* never from inside */
	run(2000);
	assert_int_equal(got_err, -ECONNREFUSED);
	assert_int_equal(upstream_stats(up)->conns, 0);
}

static int certs(void **state)
{
	(void)state;
	cert_make_ca("inside CA", &ca);
	cert_make(&ca, "x", "DNS:uds1.in.example.com", false, &good_cert);
	cert_make(&ca, "uds2.in.example.com", "DNS:cucm9.in.example.com,IP:10.0.0.9", false,
		  &wrong_cert);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_upstream_reuse),	 CASE(test_upstream_framing),
		CASE(test_upstream_stale),	 CASE(test_upstream_no_repeat),
		CASE(test_upstream_failover),	 CASE(test_upstream_refused),
		CASE(test_upstream_pressure),	 CASE(test_upstream_tunnel),
		CASE(test_upstream_turns),	 CASE(test_upstream_limit),
		CASE(test_upstream_early),	 CASE(test_upstream_names),
		CASE(test_upstream_unavailable), CASE(test_upstream_certificate),
		CASE(test_upstream_get),
	};

	return cmocka_run_group_tests(tests, certs, NULL);
}
