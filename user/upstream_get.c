/* user/upstream_get.c -- one GET with its answer in memory: the core's own questions to servers inside. See upstream.h.
 *
 * In: target, path, fields. Out: status and body, once. Owner: the upstream owns each question until it is answered or forgotten. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/write.h"
#include "user/upstream_impl.h"
#include "user/version.h"

struct up_get {
	struct upstream *u;
	struct up_get *prev, *next; /* u->gets */
	struct upstream_req *req;
	upstream_got_fn *fn;
	void *arg;
	struct loop_timer timer;
	uint8_t *body;
	size_t body_n, body_cap, body_max;
	unsigned status;
	struct span path, fields; /* in text */
	uint8_t text[];
};

static void get_free(struct up_get *g)
{
	struct upstream *u = g->u;

	*(g->prev ? &g->prev->next : &u->gets) = g->next;
	if (g->next)
		g->next->prev = g->prev;
	loop_timer_cancel(u->p.loop, &g->timer);
	upstream_close(g->req, false);
	free(g->body);
	free(g);
}

/* The request is no longer there, or is to end with this. */
static void get_tell(struct up_get *g, int err, const char *why)
{
	upstream_got_fn *fn = g->fn;
	void *arg = g->arg;
	unsigned status = g->status;
	uint8_t *body = g->body;
	size_t n = g->body_n;

	g->body = NULL;
	get_free(g);
	fn(arg, err, why, err ? 0 : status, err ? SPAN("") : span_of(body, n));
	free(body);
}

/* Field lines as the caller wrote them; the writer judges each, and the whole. */
static int get_fields(struct http_out *o, struct span fields)
{
	while (fields.n) {
		const uint8_t *end = memmem(fields.p, fields.n, "\r\n", 2);
		const uint8_t *colon = end ? memchr(fields.p, ':', (size_t)(end - fields.p)) : NULL;
		size_t line;

		if (!colon || colon + 2 > end || colon[1] != ' ')
			return -EINVAL;
		line = (size_t)(end - fields.p) + 2;
		http_out_field(o, span_of(fields.p, (size_t)(colon - fields.p)),
			       span_of(colon + 2, (size_t)(end - colon - 2)));
		fields = span_cut(fields, line, fields.n);
	}
	return 0;
}

static ssize_t get_head(const struct upstream_target *t, struct span path, struct span fields,
			void *buf, size_t cap)
{
	bool v6 = strchr(t->host, ':') != NULL;
	struct http_refusal why;
	struct http_out o;
	char host[300];

	(void)snprintf(host, sizeof(host), "%s%s%s:%u", v6 ? "[" : "", t->host, v6 ? "]" : "",
		       t->port);
	http_out_init(&o, buf, cap);
	http_out_request(&o, SPAN("GET"), path);
	http_out_field(&o, SPAN("Host"), span_str(host));
	http_out_field(&o, SPAN("User-Agent"), SPAN("sallyport/" SALLYPORT_VERSION));
	if (get_fields(&o, fields))
		return -EINVAL;
	return http_out_end(&o, &why);
}

static void get_ready(void *arg)
{
	struct up_get *g = arg;
	uint8_t head[8192];
	ssize_t n = get_head(upstream_req_target(g->req), g->path, g->fields, head, sizeof(head));

	if (n > 0 && upstream_write(g->req, span_of(head, (size_t)n)) == 0)
		upstream_sent(
			g->req); /* a failure comes by failed(); a head that cannot be was refused at first */
}

static void get_nothing(void *arg)
{
	(void)arg;
}

static void get_answer(void *arg, const struct http_head *h, enum http_framing framing)
{
	struct up_get *g = arg;

	(void)framing;
	g->status = h->status;
	g->body_n = 0;
}

static void get_body(void *arg, struct span bytes)
{
	struct up_get *g = arg;
	size_t cap = g->body_cap ? g->body_cap : 4096;
	uint8_t *body;

	if (bytes.n > g->body_max - g->body_n) {
		get_tell(g, -EMSGSIZE, "the answer is too large");
		return;
	}
	while (cap < g->body_n + bytes.n)
		cap *= 2;
	if (cap != g->body_cap) {
		body = realloc(g->body, cap);
		if (!body) {
			get_tell(g, -ENOMEM, "out of memory");
			return;
		}
		g->body = body;
		g->body_cap = cap;
	}
	memcpy(g->body + g->body_n, bytes.p, bytes.n);
	g->body_n += bytes.n;
}

static void get_done(void *arg, bool sent)
{
	struct up_get *g = arg;

	(void)sent;
	g->req = NULL;
	get_tell(g, 0, "");
}

static int get_errno(enum upstream_why why)
{
	static const int errs[UPSTREAM_WHYS] = {
		[UPSTREAM_OK] = -EIO,
		[UPSTREAM_NAME] = -ENOENT,
		[UPSTREAM_CONNECT] = -ECONNREFUSED,
		[UPSTREAM_CERTIFICATE] = -EKEYREJECTED,
		[UPSTREAM_TLS] = -EPROTO,
		[UPSTREAM_TIMEOUT] = -ETIMEDOUT,
		[UPSTREAM_BUSY] = -EBUSY,
		[UPSTREAM_CUT] = -ECONNRESET,
		[UPSTREAM_ANSWER] = -EBADMSG,
	};

	return errs[why];
}

static void get_failed(void *arg, enum upstream_why why, const char *text)
{
	struct up_get *g = arg;
	char copy[UPSTREAM_TEXT];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	g->req = NULL;
	get_tell(g, get_errno(why), copy);
}

static void get_late(void *arg)
{
	get_tell(arg, -ETIMEDOUT, "no answer in time");
}

static const struct upstream_ops get_ops = {
	.ready = get_ready,
	.writable = get_nothing,
	.head = get_answer,
	.body = get_body,
	.flush = get_nothing,
	.done = get_done,
	.failed = get_failed,
};

static struct up_get *get_new(struct upstream *u, struct span path, struct span fields)
{
	struct up_get *g = calloc(1, sizeof(*g) + path.n + fields.n);

	if (!g)
		return NULL;
	if (path.n)
		memcpy(g->text, path.p, path.n);
	if (fields.n)
		memcpy(g->text + path.n, fields.p, fields.n);
	g->path = span_of(g->text, path.n);
	g->fields = span_of(g->text + path.n, fields.n);
	g->u = u;
	g->next = u->gets;
	if (u->gets)
		u->gets->prev = g;
	u->gets = g;
	return g;
}

int upstream_get(struct upstream *u, const struct upstream_target *t, struct span path,
		 struct span extra_fields, size_t body_max, unsigned ms, upstream_got_fn *fn,
		 void *arg)
{
	const struct upstream_want want = {.targets = t,
					   .n_targets = 1,
					   .asked = {.method = HTTP_M_GET},
					   .repeatable = true,
					   .content = true,
					   .answer_ms = ms};
	uint8_t head[8192];
	struct up_get *g;
	int ret;

	if (strlen(t->host) > 255 || get_head(t, path, extra_fields, head, sizeof(head)) < 0)
		return -EINVAL;
	g = get_new(u, path, extra_fields);
	if (!g)
		return -ENOMEM;
	g->fn = fn;
	g->arg = arg;
	g->body_max = body_max;
	g->timer = (struct loop_timer){.fn = get_late, .arg = g};
	ret = loop_timer_set(u->p.loop, &g->timer, ms);
	if (!ret)
		ret = upstream_open(u, &want, &get_ops, g, &g->req);
	if (ret < 0) {
		g->req = NULL;
		get_free(g);
		return ret;
	}
	if (ret == 1)
		get_ready(g);
	return 0;
}

void upstream_get_forget(struct upstream *u, void *arg)
{
	struct up_get *g, *next;

	for (g = u->gets; g; g = next) {
		next = g->next;
		if (g->arg == arg)
			get_free(g);
	}
}

void up_gets_free(struct upstream *u)
{
	while (u->gets)
		get_free(u->gets);
}
