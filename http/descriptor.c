/* http/descriptor.c -- see descriptor.h. In: a request target. Out: service, domain, target, rest. Owns nothing. */
#include "http/descriptor.h"

#include <errno.h>
#include <stdio.h>

#include "http/scan.h"
#include "user/addr.h"
#include "user/base64.h"

const char *http_service_path_text(enum http_service_path p)
{
	static const char *const texts[] = {"none", "edge-config", "edge-sso", "well-known",
					    "relay"};

	return p <= HTTP_PATH_RELAY ? texts[p] : "";
}

const char *http_descriptor_why_text(enum http_descriptor_why why)
{
	static const char *const texts[HTTP_DESCRIPTOR_WHYS] = {
		[HTTP_DESCRIPTOR_OK] = "ok",
		[HTTP_DESCRIPTOR_FORM] = "the target has no path",
		[HTTP_DESCRIPTOR_EMPTY] = "the path has no first segment",
		[HTTP_DESCRIPTOR_LONG] = "the first segment is too long",
		[HTTP_DESCRIPTOR_BASE64] = "the first segment is no base64",
		[HTTP_DESCRIPTOR_PARTS] = "neither DOMAIN nor DOMAIN/PROTOCOL/HOST/PORT",
		[HTTP_DESCRIPTOR_DOMAIN] = "bad domain",
		[HTTP_DESCRIPTOR_PROTO] = "neither http nor https",
		[HTTP_DESCRIPTOR_HOST] = "bad host",
		[HTTP_DESCRIPTOR_PORT] = "bad port",
		[HTTP_DESCRIPTOR_SERVICE] = "unknown service",
		[HTTP_DESCRIPTOR_REST] = "a query without a path",
	};

	return why < HTTP_DESCRIPTOR_WHYS ? texts[why] : "";
}

/* The next character of @s, an escape as what it stands for; only those that base64 may need to escape. -1: none such. */
static int next_char(struct span *s)
{
	int c = s->p[0], hi, lo;

	if (c != '%') {
		http_skip(s, 1);
		return c == '/' ? -1 : c;
	}
	hi = s->n > 2 ? http_hex(s->p[1]) : -1;
	lo = s->n > 2 ? http_hex(s->p[2]) : -1;
	if (hi < 0 || lo < 0)
		return -1;
	http_skip(s, 3);
	c = hi * 16 + lo;
	return c == '=' || c == '+' || c == '/' ? c : -1;
}

/* Decode @s into @out. Bytes, or -1 with *why. */
static ssize_t decode(struct span s, uint8_t *out, size_t cap, enum http_descriptor_why *why)
{
	size_t n = 0, chars = 0, pads = 0;
	uint32_t bits = 0;

	*why = HTTP_DESCRIPTOR_BASE64;
	while (s.n) {
		int c = next_char(&s), v = c < 0 ? -1 : base64_digit((uint8_t)c, BASE64_ANY);

		if (c == '=') {
			pads++;
			continue;
		}
		if (v < 0 || pads)
			return -1;
		bits = bits << 6 | (uint32_t)v;
		if (++chars % 4 == 1)
			continue; /* six bits are no byte yet */
		if (n == cap) {
			*why = HTTP_DESCRIPTOR_LONG;
			return -1;
		}
		out[n++] = (uint8_t)(bits >> (6 - 2 * ((chars - 1) % 4)));
	}
	if (chars % 4 == 1 || (pads && (chars + pads) % 4) || pads > 2)
		return -1;
	if ((chars % 4 == 2 && bits & 15) || (chars % 4 == 3 && bits & 3))
		return -1;
	return (ssize_t)n;
}

static void copy_lower(struct span s, char *out)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		out[i] = (char)span_lower(s.p[i]);
	out[s.n] = 0;
}

static bool domain_parse(struct span s, char *out)
{
	struct http_authority a;
	struct addr ip;

	if (s.n > HTTP_DOMAIN_MAX || http_authority_parse(s, &a) || a.host.n != s.n ||
	    s.p[s.n - 1] == '.' || addr_parse(s, &ip) == 0)
		return false;
	copy_lower(s, out);
	return true;
}

/* A name, an IPv4 address, or an IPv6 address with brackets or without. */
static bool host_parse(struct span s, struct http_descriptor *d)
{
	char text[ADDR_TEXT_MAX];
	struct http_authority a;
	struct addr ip;

	if (s.n && s.p[0] != '[' && memchr(s.p, ':', s.n)) {
		if (s.n + 2 > sizeof(text))
			return false;
		(void)snprintf(text, sizeof(text), "[%.*s]", (int)s.n, (const char *)s.p);
		s = span_str(text);
	}
	if (http_authority_parse(s, &a) || a.port || a.whole.n == 0 || a.host.n == 0)
		return false;
	if (!a.host_is_v6) {
		if (a.host.n != s.n || s.p[s.n - 1] == '.')
			return false;
		copy_lower(s, d->host);
		return true;
	}
	if (addr_parse(a.host, &ip) || addr_is_v4(&ip))
		return false;
	(void)addr_ip_text(&ip, d->host);
	d->host_is_v6 = true;
	return true;
}

static bool port_parse(struct span s, uint16_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0' || http_run(s, HTTP_C_DIGIT) != s.n)
		return false;
	for (i = 0; i < s.n; i++)
		v = v * 10 + (unsigned)(s.p[i] - '0');
	*out = (uint16_t)v;
	return v <= 65535;
}

/* Up to the next '/' of *rest, which goes behind it; false: there was none. */
static bool part_next(struct span *rest, struct span *out)
{
	*out = http_until(*rest, '/');
	if (out->n == rest->n)
		return false;
	http_skip(rest, out->n + 1);
	return true;
}

/* DOMAIN, or DOMAIN/PROTOCOL/HOST/PORT. */
static enum http_descriptor_why text_parse(struct span text, struct http_descriptor *d)
{
	struct span part, rest = text;
	bool relay = part_next(&rest, &part);

	if (!domain_parse(part, d->domain))
		return HTTP_DESCRIPTOR_DOMAIN;
	if (!relay)
		return HTTP_DESCRIPTOR_OK;
	d->what = HTTP_PATH_RELAY;
	if (!part_next(&rest, &part))
		return HTTP_DESCRIPTOR_PARTS;
	d->https = span_eq(part, SPAN("https"));
	if (!d->https && !span_eq(part, SPAN("http")))
		return HTTP_DESCRIPTOR_PROTO;
	if (!part_next(&rest, &part))
		return HTTP_DESCRIPTOR_PARTS;
	if (!host_parse(part, d))
		return HTTP_DESCRIPTOR_HOST;
	return port_parse(rest, &d->port) ? HTTP_DESCRIPTOR_OK : HTTP_DESCRIPTOR_PORT;
}

/* Behind a mere domain. */
static enum http_descriptor_why service_parse(struct span path, struct http_descriptor *d)
{
	if (path.n && path.p[path.n - 1] == '/')
		path.n--;
	if (span_eq(path, SPAN("/get_edge_config")))
		d->what = HTTP_PATH_EDGE_CONFIG;
	else if (span_eq(path, SPAN("/get_edge_sso")))
		d->what = HTTP_PATH_EDGE_SSO;
	else
		return HTTP_DESCRIPTOR_SERVICE;
	return HTTP_DESCRIPTOR_OK;
}

static enum http_descriptor_why parse(const struct http_target *t, struct http_descriptor *d)
{
	size_t whole = t->path.n + (t->has_query ? 1 + t->query.n : 0);
	uint8_t text[HTTP_DESCRIPTOR_TEXT];
	enum http_descriptor_why why;
	struct span seg;
	ssize_t n;

	if (t->form != HTTP_ORIGIN && t->form != HTTP_ABSOLUTE)
		return HTTP_DESCRIPTOR_FORM;
	if (span_eq(t->path, SPAN("/.well-known/sallyport"))) {
		d->what = HTTP_PATH_WELL_KNOWN;
		return HTTP_DESCRIPTOR_OK;
	}
	seg = http_until(span_cut(t->path, 1, t->path.n), '/');
	if (seg.n == 0)
		return HTTP_DESCRIPTOR_EMPTY;
	n = decode(seg, text, sizeof(text), &why);
	if (n < 0)
		return why;
	why = text_parse(span_of(text, (size_t)n), d);
	if (why != HTTP_DESCRIPTOR_OK)
		return why;
	d->segment = span_cut(t->path, 0, 1 + seg.n);
	if (d->what != HTTP_PATH_RELAY)
		return service_parse(span_cut(t->path, 1 + seg.n, t->path.n), d);
	d->rest = (struct span){t->path.p + 1 + seg.n, whole - 1 - seg.n};
	if (d->rest.n == 0)
		d->rest = SPAN("/");
	return d->rest.p[0] == '/' ? HTTP_DESCRIPTOR_OK : HTTP_DESCRIPTOR_REST;
}

int http_descriptor_parse(const struct http_target *t, struct http_descriptor *out,
			  enum http_descriptor_why *why)
{
	struct http_descriptor d;
	enum http_descriptor_why w;

	d.what = HTTP_PATH_NONE; /* the arrays are long: no clearing of all */
	d.domain[0] = d.host[0] = 0;
	d.https = d.host_is_v6 = false;
	d.port = 0;
	d.segment = d.rest = (struct span){};
	w = parse(t, &d);
	if (w != HTTP_DESCRIPTOR_OK) {
		*why = w;
		return -EBADMSG;
	}
	out->what = d.what;
	memcpy(out->domain, d.domain, strlen(d.domain) + 1);
	out->https = d.https;
	memcpy(out->host, d.host, strlen(d.host) + 1);
	out->host_is_v6 = d.host_is_v6;
	out->port = d.port;
	out->segment = d.segment;
	out->rest = d.rest;
	return 0;
}

ssize_t http_descriptor_write(const char *domain, bool https, struct span host, bool host_is_v6,
			      uint16_t port, char *buf, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char text[HTTP_DESCRIPTOR_TEXT + 1];
	int len = snprintf(text, sizeof(text), "%s/%s/%s%.*s%s/%u", domain,
			   https ? "https" : "http", host_is_v6 ? "[" : "", (int)host.n,
			   (const char *)host.p, host_is_v6 ? "]" : "", port);
	size_t i, at = 0, left;
	uint32_t v;

	if (len < 0 || (size_t)len >= sizeof(text) || n < 1 + ((size_t)len * 4 + 2) / 3 + 1)
		return -E2BIG;
	buf[at++] = '/';
	for (i = 0; i < (size_t)len; i += 3) {
		left = (size_t)len - i;
		v = (uint32_t)(uint8_t)text[i] << 16 |
		    (left > 1 ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0) |
		    (left > 2 ? (uint32_t)(uint8_t)text[i + 2] : 0);
		buf[at++] = digits[v >> 18];
		buf[at++] = digits[v >> 12 & 63];
		if (left > 1)
			buf[at++] = digits[v >> 6 & 63];
		if (left > 2)
			buf[at++] = digits[v & 63];
	}
	buf[at] = 0;
	return (ssize_t)at;
}
