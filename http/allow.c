/* http/allow.c -- see allow.h. In: rules, a request. Out: a verdict. No allocation. */
#include "http/allow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/scan.h"

#define FILE_MAX   128
#define DEVICE_MAX 15 /* characters of a device's name */

const char *allow_why_text(enum allow_why why)
{
	static const char *const texts[ALLOW_WHYS] = {
		[ALLOW_OK] = "allowed",
		[ALLOW_PATH_FORM] = "a path that two servers could read differently",
		[ALLOW_NO_HOST] = "no rule for this host",
		[ALLOW_OTHER_PORT] = "no rule for this port and protocol",
		[ALLOW_OTHER_PATH] = "no rule for this path",
		[ALLOW_OTHER_USER] = "a resource of another user",
		[ALLOW_METHOD_NOT] = "no rule for this method",
	};

	return (unsigned)why < ALLOW_WHYS ? texts[why] : "unknown";
}

/* ---- segments of decoded paths -------- */

/* Take "/segment" off the start of *path: without the slash. False at the end. "/a/" has the segments "a" and "". */
static bool segment_next(struct span *path, struct span *out)
{
	if (!path->n)
		return false;
	*out = http_until(span_cut(*path, 1, path->n), '/');
	*path = span_cut(*path, 1 + out->n, path->n);
	return true;
}

static bool is_file(struct span s)
{
	return s.n && s.n <= FILE_MAX && s.p[0] != '.' && http_run(s, HTTP_C_HOST) == s.n;
}

/* The next letter or digit of *s in small; 0: no more. */
static uint8_t next_alnum(struct span *s)
{
	uint8_t c;

	while (s->n) {
		c = s->p[0];
		http_skip(s, 1);
		if (http_is(c, HTTP_C_ALPHA | HTTP_C_DIGIT))
			return span_lower(c);
	}
	return 0;
}

/* @device is what a user's soft client is called by convention: the user's letters and digits; the whole name has room for 15. */
static bool device_is(struct span device, struct span user)
{
	bool full = device.n + 3 == DEVICE_MAX;
	uint8_t d, u;

	do {
		d = next_alnum(&device);
		u = next_alnum(&user);
		if (!d && full)
			return true;
	} while (d == u && d);
	return d == u;
}

/* A soft client's configuration that belongs to another user. */
static bool file_is_others(struct span file, struct span user)
{
	static const char kinds[][4] = {"CSF", "BOT", "TCT", "TAB"};
	size_t i, n = 0;

	while (n < file.n && !span_ieq(span_cut(file, n, 5), SPAN(".cnf.")))
		n++;
	if (n == file.n || n <= 3 || n > DEVICE_MAX)
		return false;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_ieq(span_cut(file, 0, 3), span_str(kinds[i])))
			return !device_is(span_cut(file, 3, n - 3), user);
	return false;
}

enum fit { FIT_NOT, FIT_OTHER_USER, FIT };

static enum fit segment_fits(struct span rule, struct span is, struct span user)
{
	if (span_eq(rule, SPAN("{any}")))
		return is.n ? FIT : FIT_NOT;
	if (span_eq(rule, SPAN("{user}")))
		return !is.n ? FIT_NOT : span_ieq(is, user) ? FIT : FIT_OTHER_USER;
	if (span_eq(rule, SPAN("{file}")))
		return !is_file(is) ? FIT_NOT : file_is_others(is, user) ? FIT_OTHER_USER : FIT;
	return span_eq(rule, is) ? FIT : FIT_NOT;
}

static enum fit path_fits(const struct allow_rule *r, struct span path, struct span user)
{
	struct span rule = span_str(r->path), want, is;
	enum fit all = FIT, one;

	while (segment_next(&rule, &want)) {
		/* A prefix that ends in '/' has everything below, and not itself without the slash. */
		if (r->prefix && !want.n && !rule.n)
			return path.n ? all : FIT_NOT;
		if (!segment_next(&path, &is))
			return FIT_NOT;
		one = segment_fits(want, is, user);
		if (one == FIT_NOT)
			return FIT_NOT;
		if (one == FIT_OTHER_USER)
			all = one;
	}
	return r->prefix || !path.n ? all : FIT_NOT;
}

/* ---- queries -------- */

/* Undo escapes and '+' of a query's value; false: cannot be read, or longer than any user's name. */
static bool query_decode(struct span s, char *out, size_t cap, size_t *out_n)
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '%') {
			int high = i + 2 < s.n ? http_hex(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? http_hex(s.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (n == cap)
			return false;
		out[n++] = (char)c;
	}
	*out_n = n;
	return true;
}

static bool names_user(struct span name)
{
	return span_ieq(name, SPAN("username")) || span_ieq(name, SPAN("userid")) ||
	       span_ieq(name, SPAN("user")) || span_ieq(name, SPAN("userobjectid"));
}

/* No parameter names another user. ';' is an old separator: read as one, too. A parameter's name that cannot be read is not
 * ours. */
static bool query_is_own(struct span query, struct span user)
{
	char name[64], value[256];
	size_t name_n, value_n;

	while (query.n) {
		size_t n = 0;
		struct span one, key;

		while (n < query.n && query.p[n] != '&' && query.p[n] != ';')
			n++;
		one = span_cut(query, 0, n);
		query = span_cut(query, n + 1, query.n);
		key = http_until(one, '=');
		if (!query_decode(key, name, sizeof(name), &name_n))
			return false;
		if (!names_user(http_trim(span_of(name, name_n))))
			continue;
		if (!query_decode(span_cut(one, key.n + 1, one.n), value, sizeof(value),
				  &value_n) ||
		    !span_ieq(span_of(value, value_n), user))
			return false;
	}
	return true;
}

/* ---- rules -------- */

static int by_host(const void *a, const void *b)
{
	const struct allow_rule *x = a, *y = b;
	int d = strcmp(x->host, y->host);

	if (!d)
		d = (int)x->port - (int)y->port;
	return d ? d : (int)x->https - (int)y->https;
}

int allow_compile(struct allow *a, char *why, size_t why_n)
{
	unsigned i;

	for (i = 0; i < a->n; i++) {
		const struct allow_rule *r = &a->rules[i];
		const char *fault = r->methods ? allow_path_fault(r->path) : "no method";

		if (!fault && (!*r->host || !r->port))
			fault = "no host or port";
		if (!fault)
			continue;
		snprintf(why, why_n, "%s: %s", r->name, fault);
		return -EINVAL;
	}
	if (a->n) /* qsort() may not be given a NULL */
		qsort(a->rules, a->n, sizeof(*a->rules), by_host);
	return 0;
}

/* The first rule of @host, or a->n. */
static unsigned host_first(const struct allow *a, struct span host)
{
	unsigned low = 0, high = a->n;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		struct span is = span_str(a->rules[mid].host);
		size_t n = is.n < host.n ? is.n : host.n;
		int d = n ? memcmp(is.p, host.p, n) : 0;

		if (d < 0 || (d == 0 && is.n < host.n))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* How near a rule comes: ALLOW_OK, or what it fails of; the later in the list of whys, the nearer. */
static enum allow_why judge(const struct allow_rule *r, const struct allow_ask *q, struct span path)
{
	enum fit fit;

	if (r->port != q->port || r->https != q->https)
		return ALLOW_OTHER_PORT;
	fit = path_fits(r, path, q->user);
	if (fit == FIT_NOT)
		return ALLOW_OTHER_PATH;
	if (fit == FIT_OTHER_USER || (r->domain && !span_ieq(q->domain, span_str(r->domain))) ||
	    (r->own_query && !query_is_own(q->query, q->user)))
		return ALLOW_OTHER_USER;
	return r->methods & ALLOW_METHOD(q->method) ? ALLOW_OK : ALLOW_METHOD_NOT;
}

void allow_match(const struct allow *a, const struct allow_ask *q, struct allow_verdict *out)
{
	char decoded[ALLOW_PATH_MAX + 1];
	struct allow_verdict v = {.why = ALLOW_NO_HOST, .detail = ""};
	ssize_t n = allow_path_decode(q->path, decoded, sizeof(decoded), &v.detail);
	unsigned i;

	if (n < 0) {
		v.why = ALLOW_PATH_FORM;
		*out = v;
		return;
	}
	v.detail = "";
	for (i = host_first(a, q->host); i < a->n && span_eq(span_str(a->rules[i].host), q->host);
	     i++) {
		const struct allow_rule *r = &a->rules[i];
		enum allow_why why = judge(r, q, span_of(decoded, (size_t)n));

		if (why == ALLOW_OK) {
			*out = (struct allow_verdict){.rule = r, .why = ALLOW_OK, .detail = ""};
			return;
		}
		if (!v.nearest || why > v.why) {
			v.why = why;
			v.nearest = r;
		}
	}
	*out = v;
}
