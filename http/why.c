/* http/why.c -- every reason for a refusal: its name, what was wanted, and the status that answers a request.
 *
 * In: a reason, or a refusal with the peer's bytes. Out: text for logs and for people, peer bytes escaped. Nothing is kept. */
#include "http/scan.h"

#include <stdio.h>

#define CAME_MAX 48 /* bytes of what came that are shown */

static const struct {
	const char *text, *wanted;
	unsigned status;
} reasons[HTTP_WHYS] = {
#define WHY(id, status, text, wanted) [HTTP_WHY_##id] = {text, wanted, status}
	[HTTP_OK] = {"ok", "nothing", 0},
	WHY(METHOD, 400, "method", "a method of token characters, then one space"),
	WHY(METHOD_LONG, 501, "method too long", "a method of at most 32 characters"),
	WHY(METHOD_CASE, 501, "method in the wrong case",
	    "methods as they are registered, in capital letters"),
	WHY(START_LINE, 400, "start line",
	    "METHOD TARGET HTTP/1.1 or HTTP/1.1 STATUS REASON, with one space between"),
	WHY(START_LONG, 414, "start line too long", "a start line within the limit"),
	WHY(HTTP09, 400, "HTTP/0.9", "a version behind the target"),
	WHY(VERSION_FORM, 400, "version form", "HTTP/ and digit.digit, in capital letters"),
	WHY(VERSION, 505, "version", "HTTP/1.1 or HTTP/1.0"),
	WHY(PREFACE, 505, "HTTP/2 preface", "HTTP/1.1: HTTP/2 is not offered here"),
	WHY(TARGET, 400, "request target",
	    "a path and query of URI characters, others escaped as %HH"),
	WHY(TARGET_FORM, 400, "target form",
	    "host:port with CONNECT, * with OPTIONS, else /path or http://host/path"),
	WHY(SCHEME, 400, "scheme", "http:// or https://"),
	WHY(AUTHORITY, 400, "authority", "host or host:port, without a user name"),
	WHY(STATUS, 502, "status code", "three digits, 100 to 599, and a space"),
	WHY(BARE_LF, 400, "bare LF", "every line to end in CR LF"),
	WHY(BARE_CR, 400, "bare CR", "LF behind every CR"),
	WHY(NUL, 400, "NUL", "text without NUL"),
	WHY(CONTROL, 400, "control character", "text without control characters"),
	WHY(EMPTY_LINE, 400, "empty line first",
	    "a start line, at most one CR LF before that of a request"),
	WHY(SPACE_FIRST, 400, "space before the first field",
	    "a field name right behind the start line"),
	WHY(FOLD, 400, "folded line", "each field in one line"),
	WHY(SPACE_COLON, 400, "space before the colon", "the colon right behind the field's name"),
	WHY(NO_COLON, 400, "field without a colon", "name: value"),
	WHY(NAME_EMPTY, 400, "empty field name", "a name before the colon"),
	WHY(NAME, 400, "field name", "a name of token characters"),
	WHY(NAME_ALIAS, 400, "field name with underscores",
	    "hyphens: some readers take this for the known name"),
	WHY(FIELDS, 431, "too many fields", "fewer header fields"),
	WHY(FIELD_LONG, 431, "field too long", "each field within the limit"),
	WHY(HEAD_LONG, 431, "head too long", "a head within the limit"),
	WHY(DUPLICATE, 400, "duplicate field", "this field at most once"),
	WHY(HOST_MISSING, 400, "Host missing", "a Host field in every HTTP/1.1 request"),
	WHY(HOST, 400, "Host", "host or host:port"),
	WHY(HOST_DIFFERS, 400, "Host differs from the target", "the host and port of the target"),
	WHY(CONNECTION, 400, "Connection", "a list of names, none of them empty"),
	WHY(CONNECTION_NAMES, 400, "Connection names a field for all",
	    "only fields for this connection to be named"),
	WHY(LENGTH, 400, "Content-Length", "one decimal number without sign or leading zero"),
	WHY(LENGTHS, 400, "several Content-Length", "one Content-Length with one number"),
	WHY(CODING_FORM, 400, "Transfer-Encoding", "just: chunked"),
	WHY(CODING, 501, "transfer coding", "no transfer coding but chunked"),
	WHY(CODING_10, 400, "Transfer-Encoding in HTTP/1.0", "Transfer-Encoding in HTTP/1.1 only"),
	WHY(LENGTH_AND_CODING, 400, "Content-Length and Transfer-Encoding", "one of the two"),
	WHY(CONTENT, 400, "content where none may be",
	    "no content with CONNECT, TRACE, 1xx, 204 and 2xx to CONNECT"),
	WHY(SWITCH, 502, "switch of protocols",
	    "101 in HTTP/1.1 only, with Upgrade and Connection: upgrade, to a request that asked"),
	WHY(CHUNK_SIZE, 400, "chunk size", "hexadecimal digits, then CR LF or an extension"),
	WHY(CHUNK_LARGE, 400, "chunk size too large", "at most 16 digits and a sum below 2^63"),
	WHY(CHUNK_EXT, 400, "chunk extension", ";name, ;name=token or ;name=\"text\""),
	WHY(CHUNK_EXT_LONG, 400, "chunk extensions too long", "chunk extensions within the limit"),
	WHY(CHUNK_END, 400, "chunk end", "CR LF behind the chunk's last byte"),
	WHY(TRAILER, 400, "trailer", "name: value in one line, names of at most 64 characters"),
	WHY(TRAILER_LONG, 431, "trailers too long", "trailers within the limits"),
	WHY(TRAILER_FORBIDDEN, 400, "forbidden trailer",
	    "no framing, routing, control or authentication in trailers"),
	WHY(CUT_SHORT, 400, "cut short", "the rest of the body"),
#undef WHY
};

const char *http_why_text(enum http_why why)
{
	return (unsigned)why < HTTP_WHYS ? reasons[why].text : "unknown";
}

const char *http_why_wanted(enum http_why why)
{
	return (unsigned)why < HTTP_WHYS ? reasons[why].wanted : "unknown";
}

unsigned http_why_status(enum http_why why)
{
	return (unsigned)why < HTTP_WHYS ? reasons[why].status : 400;
}

static const char *byte_text(uint8_t c, char buf[5])
{
	switch (c) {
	case '\r':
		return "\\r";
	case '\n':
		return "\\n";
	case '\\':
		return "\\\\";
	case '"':
		return "\\\"";
	default:
		(void)snprintf(buf, 5, c < 0x20 || c >= 0x7f ? "\\x%02x" : "%c", c);
		return buf;
	}
}

const char *http_refusal_text(const struct http_refusal *r, char *buf, size_t n)
{
	char came[CAME_MAX * 4 + 4], one[5], line[24] = "";
	size_t i, o = 0;

	came[0] = 0;
	for (i = 0; i < r->came.n && i < CAME_MAX; i++)
		o += (size_t)snprintf(came + o, sizeof(came) - o, "%s",
				      byte_text(r->came.p[i], one));
	if (i < r->came.n)
		(void)snprintf(came + o, sizeof(came) - o, "...");
	if (r->line)
		(void)snprintf(line, sizeof(line), " in line %u", r->line);
	if (r->came.n)
		(void)snprintf(buf, n, "%s: wanted %s, came \"%s\"%s", http_why_text(r->why),
			       http_why_wanted(r->why), came, line);
	else
		(void)snprintf(buf, n, "%s: wanted %s%s", http_why_text(r->why),
			       http_why_wanted(r->why), line);
	return buf;
}
