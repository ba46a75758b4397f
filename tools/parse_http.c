/* tools/parse_http.c -- tools/parse http-request and http-response: heads, framing and lengths of the messages in a file.
 *
 * In: a file's bytes as one direction of a connection. Out: a line a message; a refusal is the last one, since what stands
 * behind it has no meaning. */
#include "tools/parse.h"

#include <errno.h>
#include <stdio.h>

#include "http/body.h"
#include "http/conn.h"

struct reader { /* of one file */
	const char *file;
	struct span in;
	bool request, verbose;
	struct http_asked asked;
	unsigned n; /* message, from 1 */
};

static void name_put(const struct reader *r)
{
	if (r->n == 1)
		printf("%s: ", r->file);
	else
		printf("%s#%u: ", r->file, r->n);
}

static void why_put(const struct reader *r, const struct http_refusal *why)
{
	char text[HTTP_REFUSAL_TEXT];

	if (r->verbose)
		printf("  %s\n", http_refusal_text(why, text, sizeof(text)));
}

static void target_put(const struct http_target *t)
{
	static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};

	parse_put("  ", "target", t->whole);
	printf("    form: %s\n", forms[t->form]);
	parse_put_some("    ", t->auth.host_is_v6 ? "host (IPv6)" : "host", t->auth.host);
	if (t->auth.port)
		printf("    port: %u\n", t->auth.port);
	parse_put_some("    ", "path", t->path);
	if (t->has_query)
		parse_put("    ", "query", t->query);
}

/* Not for a terminal. */
static bool is_secret(enum http_hdr id)
{
	return id == HTTP_H_AUTHORIZATION || id == HTTP_H_PROXY_AUTHORIZATION ||
	       id == HTTP_H_COOKIE || id == HTTP_H_SET_COOKIE;
}

static void head_put(const struct http_head *h)
{
	static const char *const websockets[] = {"none", "good", "bad", "other version"};
	unsigned i;

	parse_put("  ", "start line", h->start_line);
	if (h->request) {
		parse_put("  ", "method", h->method_text);
		target_put(&h->target);
		parse_put_some("  ", "host", h->host.whole);
		if (http_expect(h) == HTTP_EXPECT_CONTINUE)
			puts("  expects: 100-continue");
	} else {
		printf("  status: %u\n", h->status);
	}
	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		printf("  field %u: %s%s\n", i, f->id ? http_hdr_name(f->id) : "other",
		       http_hop_by_hop(h, f) ? ", ends at this hop" : "");
		parse_put("    ", "name", f->name);
		if (is_secret(f->id))
			printf("    value: (%zu bytes)\n", f->value.n);
		else
			parse_put("    ", "value", f->value);
	}
	printf("  persistent: %s\n", http_persistent(h) ? "yes" : "no");
	printf("  websocket: %s\n",
	       websockets[h->request ? http_websocket_request(h) : http_websocket_response(h)]);
}

/* All of a body. 0 with the bytes taken in *used. */
static int body_read(struct http_body *b, struct span in, size_t *used, struct http_refusal *why)
{
	struct http_piece p;
	size_t at = 0;
	int r;

	while (!b->done && at < in.n) {
		r = http_body_next(b, span_cut(in, at, in.n), &p, why);
		if (r)
			return r;
		at += p.framing + p.content;
	}
	*used = at;
	return http_body_eof(b, why);
}

/* A message at the start of @r->in; takes it off. False: there is no next one. */
static bool message_read(struct reader *r)
{
	static struct http_head h;
	struct http_refusal why;
	struct http_body b;
	size_t used = 0;
	ssize_t n = r->request ? http_request_parse(r->in, &http_limits_default, &h, &why)
			       : http_response_parse(r->in, &http_limits_default, &h, &why);

	name_put(r);
	if (n == -EAGAIN) {
		puts("refuse incomplete consumed=0");
		return false;
	}
	if (n > 0 && r->request)
		http_body_request(&h, &http_limits_default, &b);
	if (n < 0 ||
	    (!r->request && http_body_response(&h, &r->asked, &http_limits_default, &b, &why))) {
		printf("refuse %s consumed=0 status=%u\n", http_why_text(why.why), why.status);
		why_put(r, &why);
		return false;
	}
	if (body_read(&b, span_cut(r->in, (size_t)n, r->in.n), &used, &why)) {
		printf("refuse %s consumed=0 status=%u head=%zd framing=%s content=%llu\n",
		       http_why_text(why.why), why.status, n, http_framing_text(b.framing),
		       (unsigned long long)b.content);
		why_put(r, &why);
		return false;
	}
	used += (size_t)n;
	printf("accept consumed=%zu head=%zd framing=%s content=%llu\n", used, n,
	       http_framing_text(b.framing), (unsigned long long)b.content);
	if (r->verbose)
		head_put(&h);
	r->in = span_cut(r->in, used, r->in.n);
	return r->in.n > 0;
}

void parse_http(const char *file, struct span in, bool request, struct span method, bool verbose)
{
	struct reader r = {.file = file, .in = in, .request = request, .verbose = verbose};

	r.asked = (struct http_asked){http_method_from_text(method), true};
	do
		r.n++;
	while (message_read(&r));
}
