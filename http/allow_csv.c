/* http/allow_csv.c -- allow rules as text: URLs, lists of methods, CSV; see allow.h. In: text. Out: values and slices of it. */
#include <errno.h>
#include <stdio.h>

#include "http/allow.h"
#include "http/scan.h"
#include "user/addr.h"

/* ---- URLs -------- */

/* Host and port as a descriptor has them. */
static const char *authority(struct span s, struct allow_url *u)
{
	struct http_authority a;
	char text[ADDR_TEXT_MAX];
	struct addr ip;
	size_t i;

	if (http_authority_parse(s, &a) || !a.host.n)
		return "wanted host or host:port behind \"//\"";
	u->port = a.port ? a.port : u->https ? 443 : 80;
	if (a.host_is_v6) {
		if (addr_parse(a.host, &ip) || addr_is_v4(&ip))
			return "wanted an IPv6 address in brackets, and not an IPv4 one in "
			       "disguise";
		snprintf(u->host, sizeof(u->host), "%s", addr_ip_text(&ip, text));
		return NULL;
	}
	if (span_copy(a.host, u->host, sizeof(u->host)) <= 0 || a.host.p[a.host.n - 1] == '.')
		return "wanted a host without a dot at its end";
	for (i = 0; u->host[i]; i++)
		u->host[i] = (char)span_lower((uint8_t)u->host[i]);
	return NULL;
}

int allow_url_parse(struct span url, struct allow_url *out, const char **detail)
{
	struct span rest = url, host;
	ssize_t n;

	out->https = span_ieq(span_cut(url, 0, 8), SPAN("https://"));
	if (!out->https && !span_ieq(span_cut(url, 0, 7), SPAN("http://"))) {
		*detail = "wanted http:// or https:// in front";
		return -EBADMSG;
	}
	http_skip(&rest, out->https ? 8 : 7);
	host = http_until(http_until(rest, '/'), '?');
	http_skip(&rest, host.n);
	*detail = authority(host, out);
	if (*detail)
		return -EBADMSG;
	out->written = http_until(rest, '?');
	out->query = span_cut(rest, out->written.n + 1, rest.n);
	if (!out->written.n)
		out->written = SPAN("/");
	n = allow_path_decode(out->written, out->path, sizeof(out->path), detail);
	return n < 0 ? (int)n : 0;
}

uint32_t allow_methods(struct span list, char sep)
{
	uint32_t bits = 0;

	for (;;) {
		struct span word = http_until(list, sep);
		enum http_method m = http_method_from_text(http_trim(word));

		if (m == HTTP_M_OTHER || m == HTTP_M_CONNECT || m == HTTP_M_TRACE)
			return 0;
		bits |= ALLOW_METHOD(m);
		if (word.n == list.n)
			return bits;
		http_skip(&list, word.n + 1);
	}
}

/* ---- CSV -------- */

/* A line without its end; false: no more. */
static bool line_next(struct allow_csv *c, struct span *out)
{
	if (!c->rest.n)
		return false;
	*out = http_until(c->rest, '\n');
	http_skip(&c->rest, out->n + 1);
	c->line++;
	if (out->n && out->p[out->n - 1] == '\r')
		out->n--;
	return true;
}

/* Take a field and the comma behind it off *line; *more: there was one. */
static const char *field_next(struct span *line, struct span *out, bool *more)
{
	*more = false;
	if (!line->n || line->p[0] != '"') {
		*out = http_until(*line, ',');
		http_skip(line, out->n);
		if (http_until(*out, '"').n < out->n)
			return "a '\"' inside a field that does not begin with one";
	} else {
		size_t n = 1;

		while (n < line->n &&
		       (line->p[n] != '"' || (n + 1 < line->n && line->p[n + 1] == '"')))
			n += line->p[n] == '"' ? 2 : 1;
		if (n >= line->n)
			return "a '\"' that is not closed in its line";
		*out = span_cut(*line, 1, n - 1);
		http_skip(line, n + 1);
		if (line->n && line->p[0] != ',')
			return "wanted ',' or the end of the line behind '\"'";
	}
	if (line->n) {
		http_skip(line, 1);
		*more = true;
	}
	return NULL;
}

static int column_of(struct span name)
{
	static const char *const names[ALLOW_CSV_COLUMNS] = {
		[ALLOW_CSV_URL] = "Url",
		[ALLOW_CSV_METHODS] = "HttpMethods",
		[ALLOW_CSV_MATCH] = "MatchType",
		[ALLOW_CSV_DESCRIPTION] = "Description",
		[ALLOW_CSV_DEPLOYMENT] = "Deployment",
	};
	int i;

	for (i = 0; i < ALLOW_CSV_COLUMNS; i++)
		if (span_ieq(name, span_str(names[i])))
			return i;
	return -1;
}

static const char *columns_read(struct allow_csv *c, struct span line)
{
	unsigned seen = 0;
	bool more = http_trim(line).n > 0;

	while (more) {
		struct span name;
		const char *fault = field_next(&line, &name, &more);
		int column = fault ? -1 : column_of(http_trim(name));

		if (fault)
			return fault;
		if (column < 0 || seen & 1u << column)
			return "wanted the column names Url, HttpMethods, MatchType, Description, "
			       "Deployment, each "
			       "once at most";
		seen |= 1u << column;
		c->columns[c->n_columns++] = (uint8_t)column;
	}
	return seen & 1u << ALLOW_CSV_URL ? NULL : "wanted a column Url";
}

int allow_csv_begin(struct allow_csv *c, struct span text, const char **detail)
{
	struct span line = {};

	*c = (struct allow_csv){.rest = text};
	if (span_eq(span_cut(text, 0, 3),
		    SPAN("\xef\xbb\xbf"))) /* a byte order mark of spreadsheets */
		http_skip(&c->rest, 3);
	while (line_next(c, &line) && !http_trim(line).n)
		;
	*detail = columns_read(c, line);
	return *detail ? -EBADMSG : 0;
}

int allow_csv_next(struct allow_csv *c, struct allow_csv_row *out, const char **detail)
{
	struct span line = {};
	bool more = true;
	unsigned i;

	do {
		if (!line_next(c, &line))
			return 0;
	} while (!http_trim(line).n);
	*out = (struct allow_csv_row){};
	for (i = 0; more; i++) {
		struct span field;

		*detail = field_next(&line, &field, &more);
		if (!*detail && i == c->n_columns)
			*detail = "more fields than column names";
		if (*detail)
			return -EBADMSG;
		out->fields[c->columns[i]] = http_trim(field);
	}
	return 1;
}
