/* selftests/unit/http_kit.c -- see http_kit.h. What a gate or relay does with the parser: keep a head, move a body.
 *
 * In: pieces of a connection's bytes. Out: the transcript. */
#include "selftests/unit/http_kit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void http_kit_init(struct http_kit *k, bool request, enum http_method asked)
{
	memset(k, 0, offsetof(struct http_kit, pending)); /* not the buffer */
	k->n = k->tried = 0;
	k->request = request;
	k->asked = (struct http_asked){asked, true};
	k->limits = http_limits_default;
}

static void add(char *buf, size_t *n, const char *fmt, va_list ap)
{
	int r = vsnprintf(buf + *n, HTTP_KIT_TEXT - *n, fmt, ap);

	if (r < 0 || (size_t)r >= HTTP_KIT_TEXT - *n)
		buf[*n] = 0; /* many messages: the rest is not told */
	else
		*n += (size_t)r;
}

/* To the detail alone. */
__attribute__((format(printf, 2, 3))) static void tell(struct http_kit *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(k->detail, &k->detail_n, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void say(struct http_kit *k, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	add(k->text, &k->text_n, fmt, ap);
	add(k->detail, &k->detail_n, fmt, again);
	va_end(again);
	va_end(ap);
}

static void message_begin(struct http_kit *k)
{
	if (k->messages++)
		say(k, " | ");
}

static void refused(struct http_kit *k, const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT];

	if (k->in_body)
		say(k, "refuse %s consumed=0 status=%u head=%zd framing=%s content=%llu",
		    http_why_text(why->why), why->status, k->head_n,
		    http_framing_text(k->body.framing), (unsigned long long)k->body.content);
	else
		say(k, "refuse %s consumed=0 status=%u", http_why_text(why->why), why->status);
	tell(k, " (%s)", http_refusal_text(why, text, sizeof(text)));
	k->stopped = true;
}

static void body_done(struct http_kit *k)
{
	say(k, "accept consumed=%llu head=%zd framing=%s content=%llu",
	    (unsigned long long)k->head_n + k->body.content + k->body.overhead, k->head_n,
	    http_framing_text(k->body.framing), (unsigned long long)k->body.content);
	tell(k, " (chunks %llu, sum %u)", (unsigned long long)k->body.chunks, k->sum);
	k->in_body = false;
	k->sum = 0;
}

/* Bytes of @in that belong to the body. */
static size_t body_feed(struct http_kit *k, struct span in)
{
	struct http_refusal why;
	struct http_piece p;
	size_t at = 0, i;

	while (!k->body.done && at < in.n && !k->stopped) {
		if (http_body_next(&k->body, span_cut(in, at, in.n), &p, &why)) {
			message_begin(k);
			refused(k, &why);
			return in.n;
		}
		if (p.framing + p.content == 0 || p.framing + p.content > in.n - at)
			abort();
		for (i = 0; i < p.content; i++)
			k->sum = k->sum * 31 + in.p[at + p.framing + i];
		at += p.framing + p.content;
	}
	if (k->body.done) {
		message_begin(k);
		body_done(k);
	}
	return at;
}

/* Bytes of the head at the start of @s; 0: it is not whole, or was refused. */
static size_t head_feed(struct http_kit *k, struct span s)
{
	static struct http_head h;
	struct http_refusal why;
	ssize_t n = k->request ? http_request_parse(s, &k->limits, &h, &why)
			       : http_response_parse(s, &k->limits, &h, &why);

	k->tried = s.n;
	if (n == -EAGAIN) {
		if (s.n >= k->limits.head_max)
			abort();
		return 0;
	}
	if (n > 0 && k->request)
		http_body_request(&h, &k->limits, &k->body);
	if (n < 0 ||
	    (!k->request && http_body_response(&h, &k->asked, &k->limits, &k->body, &why))) {
		message_begin(k);
		refused(k, &why);
		return 0;
	}
	if (k->head)
		k->head(k, &h, span_cut(s, 0, (size_t)n));
	k->head_n = n;
	k->in_body = true;
	k->tried = 0;
	return (size_t)n;
}

static void pending_drop(struct http_kit *k, size_t n)
{
	memmove(k->pending, k->pending + n, k->n - n);
	k->n -= n;
}

static void pending_work(struct http_kit *k)
{
	struct span s;
	bool more = true;
	size_t n;

	while (more && !k->stopped) {
		s = span_of(k->pending, k->n);
		more = k->in_body && k->body.done;
		n = 0;
		if (k->in_body)
			n = body_feed(k, s);
		else if (k->n && (!k->retry || http_head_retry(s, k->tried, &k->limits)))
			n = head_feed(k, s);
		more |= n > 0 || (k->in_body && k->body.done);
		pending_drop(k, n);
	}
}

void http_kit_feed(struct http_kit *k, struct span in)
{
	while (in.n && !k->stopped) {
		size_t room = sizeof(k->pending) - k->n, n = in.n < room ? in.n : room;

		memcpy(k->pending + k->n, in.p, n);
		k->n += n;
		in = span_cut(in, n, in.n);
		pending_work(k);
	}
}

void http_kit_end(struct http_kit *k)
{
	struct http_refusal why;

	if (k->stopped)
		return;
	if (k->in_body) {
		message_begin(k);
		if (http_body_eof(&k->body, &why))
			refused(k, &why);
		else
			body_done(k);
	} else if (k->n || !k->messages) {
		size_t n = k->n ? head_feed(k, span_of(k->pending, k->n)) : 0;

		if (n)
			abort(); /* it would have been taken before */
		if (!k->stopped) {
			message_begin(k);
			say(k, "refuse incomplete consumed=0");
		}
	}
	k->stopped = true;
}

/* ---- write and read again ---- */

static bool is_framing(const struct http_field *f)
{
	return f->id == HTTP_H_CONTENT_LENGTH || f->id == HTTP_H_TRANSFER_ENCODING;
}

static ssize_t rewrite(const struct http_head *h, void *buf, size_t cap, struct http_refusal *why)
{
	struct http_out o;
	unsigned i;

	http_out_init(&o, buf, cap);
	if (h->request)
		http_out_request(&o, h->method_text, h->target.whole);
	else
		http_out_response(&o, h->status, h->reason);
	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->id == HTTP_H_CONTENT_LENGTH)
			http_out_length(&o, h->length);
		else if (f->id == HTTP_H_TRANSFER_ENCODING)
			http_out_chunked(&o);
		else
			http_out_field(&o, f->name, f->value);
	}
	return http_out_end(&o, why);
}

const char *http_kit_rewrite(const struct http_head *h)
{
	static uint8_t buf[2 * HTTP_KIT_HEAD];
	static struct http_head c;
	struct http_refusal why;
	ssize_t n = rewrite(h, buf, sizeof(buf), &why);
	unsigned i;

	if (n < 0)
		return h->request && h->minor == 0 && !h->host.whole.n &&
				       why.why == HTTP_WHY_HOST_MISSING
			       ? NULL
			       : "not written";
	if ((h->request
		     ? http_request_parse(span_of(buf, (size_t)n), &http_limits_default, &c, &why)
		     : http_response_parse(span_of(buf, (size_t)n), &http_limits_default, &c,
					   &why)) != n)
		return why.status == 431 || why.status == 414 ? NULL : "refused when read again";
	if (c.minor != 1 || c.method != h->method || c.status != h->status ||
	    c.n_fields != h->n_fields || c.chunked != h->chunked || c.length != h->length ||
	    c.has_length != h->has_length || c.target.form != h->target.form ||
	    !span_eq(c.method_text, h->method_text) || !span_eq(c.reason, h->reason) ||
	    !span_eq(c.target.whole, h->target.whole) || !span_eq(c.host.whole, h->host.whole))
		return "another start line or framing";
	if (c.says_close != h->says_close || c.says_upgrade != h->says_upgrade ||
	    c.says_keep_alive != h->says_keep_alive)
		return "another Connection";
	for (i = 0; i < h->n_fields; i++)
		if (c.fields[i].id != h->fields[i].id ||
		    (!is_framing(&c.fields[i]) && !span_eq(c.fields[i].name, h->fields[i].name)) ||
		    !span_eq(c.fields[i].value, h->fields[i].value))
			return "another field";
	return NULL;
}

static bool inside(struct span s, struct span in)
{
	return s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n);
}

bool http_kit_inside(const struct http_head *h, struct span whole)
{
	const struct http_target *t = &h->target;
	unsigned i;

	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (!inside(f->line, h->whole) || !inside(f->name, f->line) ||
		    !inside(f->value, f->line) || !f->name.n)
			return false;
	}
	return inside(h->whole, whole) && h->whole.p + h->whole.n == whole.p + whole.n &&
	       inside(h->start_line, h->whole) && inside(h->method_text, h->start_line) &&
	       inside(h->reason, h->start_line) && inside(t->whole, h->start_line) &&
	       inside(t->path, t->whole) && inside(t->query, t->whole) &&
	       inside(t->auth.whole, t->whole) && inside(t->auth.host, t->auth.whole) &&
	       inside(h->host.whole, h->whole) && inside(h->host.host, h->host.whole);
}
