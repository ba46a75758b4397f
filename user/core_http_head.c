/* user/core_http_head.c -- heads through the relay. See core_http_head.h. In: parsed heads. Out: bytes. Owns nothing. */
#include "user/core_http_head.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/http_token.h"

void core_http_put(struct core_http_buf *b, struct span s)
{
	if (b->full || s.n > b->cap - b->n) {
		b->full = true;
		return;
	}
	if (s.n)
		memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
}

static void put_field(struct core_http_buf *b, struct span name, struct span value)
{
	core_http_put(b, name);
	core_http_put(b, SPAN(": "));
	core_http_put(b, value);
	core_http_put(b, SPAN("\r\n"));
}

static void put_number(struct core_http_buf *b, unsigned v)
{
	char digits[12];
	unsigned n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
	} while (v /= 10);
	core_http_put(b, span_of(digits + n, sizeof(digits) - n));
}

/* @name begins with, or is, @want, which is in small letters and hyphens; underscores count as hyphens: CGI-like readers do so. */
static bool name_is(struct span name, const char *want, bool prefix)
{
	size_t n = strlen(want), i;

	if (prefix ? name.n < n : name.n != n)
		return false;
	for (i = 0; i < n; i++)
		if ((name.p[i] == '_' ? '-' : span_lower(name.p[i])) != (uint8_t)want[i])
			return false;
	return true;
}

/* Claims about the client that only a proxy may make, and what would have a server read another method than the rules did. */
static bool is_claim(struct span name)
{
	static const char *const prefixes[] = {"x-forwarded-", "x-original-", "x-rewrite-",
					       "x-remote-",    "x-ssl-",      "ssl-client-",
					       "x-client-"};
	static const char *const names[] = {
		"remote-user",	    "true-client-ip", "x-cluster-client-ip",
		"cf-connecting-ip", "x-user",	      "x-auth",
		"client-ip",	    "x-forwarded",    "x-host",
		"x-http-method",    "x-method",	      "x-http-method-override",
		"x-method-override"};
	uint8_t first = name.n ? span_lower(name.p[0]) : 0;
	size_t i;

	if (first != 'x' && first != 's' && first != 'r' && first != 't' && first != 'c')
		return false;
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (name_is(name, prefixes[i], true))
			return true;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name_is(name, names[i], false))
			return true;
	return false;
}

/* As http_hop_by_hop(), with the look for Connection done once a head. */
static bool ends_here(const struct http_head *h, const struct http_field *f, bool named)
{
	return (f->id != HTTP_H_OTHER && http_hdr_hop_by_hop(f->id)) ||
	       (named && http_field_has(h, HTTP_H_CONNECTION, f->name));
}

static bool names_fields(const struct http_head *h)
{
	return http_field_find(h, HTTP_H_CONNECTION, 0, NULL) != NULL;
}

static bool request_field_stays(const struct http_head *h, const struct http_field *f, bool named)
{
	switch (f->id) {
	case HTTP_H_HOST:
	case HTTP_H_FORWARDED:
	case HTTP_H_X_FORWARDED_FOR:
	case HTTP_H_X_FORWARDED_HOST:
	case HTTP_H_X_FORWARDED_PROTO:
	case HTTP_H_X_REAL_IP:
	case HTTP_H_COOKIE:
		return false;
	case HTTP_H_EXPECT:
		return h->minor == 1;
	case HTTP_H_OTHER:
		return !is_claim(f->name) && !ends_here(h, f, named);
	default:
		return !ends_here(h, f, named);
	}
}

static void put_cookie(struct core_http_buf *b, struct span value)
{
	char text[16384];
	ssize_t n = http_token_cookie_strip(value, text, sizeof(text));

	if (n < 0)
		b->full = true;
	else if (n > 0)
		put_field(b, SPAN("Cookie"), span_of(text, (size_t)n));
}

static void put_host(struct core_http_buf *b, const struct upstream_target *to)
{
	bool v6 = strchr(to->host, ':') != NULL;

	core_http_put(b, v6 ? SPAN("Host: [") : SPAN("Host: "));
	core_http_put(b, span_str(to->host));
	if (v6)
		core_http_put(b, SPAN("]"));
	if (to->port != (to->tls ? 443 : 80)) {
		core_http_put(b, SPAN(":"));
		put_number(b, to->port);
	}
	core_http_put(b, SPAN("\r\n"));
}

int core_http_request_head(struct core_http_buf *b, const struct http_head *h, struct span rest,
			   const struct upstream_target *to, const char *client, bool upgrade)
{
	bool named = names_fields(h);
	unsigned i;

	core_http_put(b, h->method_text);
	core_http_put(b, SPAN(" "));
	core_http_put(b, rest);
	core_http_put(b, SPAN(" HTTP/1.1\r\n"));
	put_host(b, to);
	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (request_field_stays(h, f, named))
			core_http_put(b, f->line);
		else if (f->id == HTTP_H_COOKIE)
			put_cookie(b, f->value);
	}
	if (h->chunked)
		core_http_put(b, SPAN("Transfer-Encoding: chunked\r\n"));
	if (upgrade)
		core_http_put(b, SPAN("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
	put_field(b, SPAN("X-Forwarded-For"), span_str(client));
	core_http_put(b, h->minor ? SPAN("Via: 1.1 sallyport\r\n\r\n")
				  : SPAN("Via: 1.0 sallyport\r\n\r\n"));
	return b->full ? -E2BIG : 0;
}

/* ---- answers ---- */

static bool answer_field_stays(const struct http_head *h, const struct http_field *f, bool named)
{
	switch (f->id) {
	case HTTP_H_SET_COOKIE:
	case HTTP_H_LOCATION:
	case HTTP_H_TRANSFER_ENCODING:
	case HTTP_H_UPGRADE:
	case HTTP_H_VIA:
		return false;
	case HTTP_H_OTHER:
		return !name_is(f->name, "alt-svc", false) &&
		       !name_is(f->name, "strict-transport-security", false) &&
		       !name_is(f->name, "clear-site-data", false) &&
		       !name_is(f->name, "service-worker-allowed", false) &&
		       !ends_here(h, f, named);
	default:
		return !ends_here(h, f, named);
	}
}

static struct span trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_cut(s, 1, s.n);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Up to the next @c of *rest, which goes behind it. */
static struct span next_part(struct span *rest, char c)
{
	const uint8_t *hit = rest->n ? memchr(rest->p, c, rest->n) : NULL;
	struct span part = hit ? span_cut(*rest, 0, (size_t)(hit - rest->p)) : *rest;

	*rest = span_cut(*rest, part.n + 1, rest->n);
	return part;
}

static void put_set_cookie(struct core_http_buf *b, struct span value,
			   const struct core_http_answer *a)
{
	struct span rest = value, pair = next_part(&rest, ';'), name = pair, attr, key, v;

	name = trim(next_part(&name, '='));
	/* One without a name comes back as its value alone, which may read as one of ours. */
	if (!name.n || span_ieq(name, SPAN("X-Auth")))
		return;
	core_http_put(b, SPAN("Set-Cookie: "));
	core_http_put(b, trim(pair));
	while (rest.n) {
		attr = trim(next_part(&rest, ';'));
		v = attr;
		key = trim(next_part(&v, '='));
		v = trim(v);
		if (!attr.n || span_ieq(key, SPAN("Domain")) ||
		    (span_ieq(key, SPAN("Path")) && (!v.n || v.p[0] != '/')))
			continue;
		core_http_put(b, SPAN("; "));
		if (span_ieq(key, SPAN("Path"))) {
			core_http_put(b, SPAN("Path="));
			core_http_put(b, a->segment);
			core_http_put(b, v);
		} else {
			core_http_put(b, attr);
		}
	}
	core_http_put(b, SPAN("\r\n"));
}

/* "scheme://authority" or "//authority" at the front of @s. False: none that we could ask. */
static bool location_parse(struct span s, bool https, struct span *rest, bool *out_https,
			   struct http_authority *auth)
{
	size_t n = 0;

	*out_https = https;
	if (s.n > 8 && span_ieq(span_cut(s, 0, 8), SPAN("https://"))) {
		*out_https = true;
		s = span_cut(s, 8, s.n);
	} else if (s.n > 7 && span_ieq(span_cut(s, 0, 7), SPAN("http://"))) {
		*out_https = false;
		s = span_cut(s, 7, s.n);
	} else if (s.n > 2 && span_eq(span_cut(s, 0, 2), SPAN("//"))) {
		s = span_cut(s, 2, s.n);
	} else {
		return false;
	}
	while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	*rest = span_cut(s, n, s.n);
	if (http_authority_parse(span_cut(s, 0, n), auth))
		return false;
	if (!auth->port)
		auth->port = *out_https ? 443 : 80;
	return true;
}

/* The path alone, for the rules. */
static struct span path_of(struct span rest)
{
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '?' && rest.p[n] != '#')
		n++;
	return n ? span_cut(rest, 0, n) : SPAN("/");
}

static void put_location(struct core_http_buf *b, struct span value,
			 const struct core_http_answer *a)
{
	struct http_authority auth;
	char segment[HTTP_DESCRIPTOR_MAX];
	struct span rest;
	bool https, same;

	core_http_put(b, SPAN("Location: "));
	if (value.n && value.p[0] == '/' && (value.n == 1 || value.p[1] != '/')) {
		core_http_put(b, a->segment);
		core_http_put(b, value);
	} else if (location_parse(value, a->https, &rest, &https, &auth)) {
		same = https == a->https && auth.port == a->port && span_ieq(auth.host, a->host);
		if (!same &&
		    (!a->may || !a->may(a->arg, https, auth.host, auth.port, path_of(rest)) ||
		     http_descriptor_write(a->domain, https, auth.host, auth.host_is_v6, auth.port,
					   segment, sizeof(segment)) < 0)) {
			core_http_put(b, value);
		} else {
			core_http_put(b, same ? a->segment : span_str(segment));
			if (!rest.n || rest.p[0] != '/')
				core_http_put(b, SPAN("/"));
			core_http_put(b, rest);
		}
	} else {
		core_http_put(b, value);
	}
	core_http_put(b, SPAN("\r\n"));
}

static void put_connection(struct core_http_buf *b, const struct core_http_answer *a)
{
	if (a->framing == HTTP_BODY_TUNNEL)
		core_http_put(b, SPAN("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
	else if (a->close)
		core_http_put(b, SPAN("Connection: close\r\n"));
	else if (a->keep_alive)
		core_http_put(b, SPAN("Connection: keep-alive\r\n"));
}

int core_http_answer_head(struct core_http_buf *b, const struct http_head *h,
			  const struct core_http_answer *a)
{
	bool named = names_fields(h);
	unsigned i;

	core_http_put(b, SPAN("HTTP/1.1 "));
	put_number(b, h->status);
	core_http_put(b, SPAN(" "));
	core_http_put(b, h->reason);
	core_http_put(b, SPAN("\r\n"));
	for (i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		if (answer_field_stays(h, f, named))
			core_http_put(b, f->line);
		else if (f->id == HTTP_H_SET_COOKIE)
			put_set_cookie(b, f->value, a);
		else if (f->id == HTTP_H_LOCATION)
			put_location(b, f->value, a);
	}
	if (h->chunked && !a->dechunk)
		core_http_put(b, SPAN("Transfer-Encoding: chunked\r\n"));
	put_connection(b, a);
	if (a->set_cookie && *a->set_cookie)
		put_field(b, SPAN("Set-Cookie"), span_str(a->set_cookie));
	core_http_put(b, SPAN("\r\n"));
	return b->full ? -E2BIG : 0;
}
