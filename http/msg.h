/* http/msg.h -- the head of one HTTP/1.x message as slices of the caller's buffer (RFC 9110, 9112). No allocation, no I/O,
 * no clock.
 *
 * In: bytes of a stream, from a message boundary on. Out: struct http_head, whose spans point into those bytes, and its
 * length; the body behind it is body.h's. The edge's gate and the core's relay use this same code, so there is one reading
 * of each message, however it was cut into reads: lines are judged in their order, and a line's bytes in theirs, so what
 * is refused, and why, depends only on the bytes. Strict: ambiguity is an error, never a guess. Refused although some peer
 * would take it: bare CR and LF, folded lines, space before a colon, more than one space in the start line, a status line
 * without its second space, Content-Length with a list, a sign or a leading zero, Transfer-Encoding other than just
 * "chunked" in small letters, both of them, an empty Host, fields of which two readers could take different ones, a known
 * name spelt with underscores, user names in authorities, empty elements in Connection. One CRLF before a request line is
 * skipped (RFC 9112 2.2) and counts as part of the head; a second one, and any before a response, is refused. Owns
 * nothing. */
#ifndef SALLYPORT_HTTP_MSG_H
#define SALLYPORT_HTTP_MSG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/span.h"

#define HTTP_FIELDS_MAX 100 /* header fields a head, whatever the limits say */
#define HTTP_METHOD_MAX 32  /* characters of a method */
#define HTTP_HOST_MAX	255 /* characters of a host name */

enum http_why { /* each with http_why_text(), what was wanted, and the status of an answer to a request */
		HTTP_OK,
		/* start line */
		HTTP_WHY_METHOD,
		HTTP_WHY_METHOD_LONG,
		HTTP_WHY_METHOD_CASE,
		HTTP_WHY_START_LINE,
		HTTP_WHY_START_LONG,
		HTTP_WHY_HTTP09,
		HTTP_WHY_VERSION_FORM,
		HTTP_WHY_VERSION,
		HTTP_WHY_PREFACE,
		HTTP_WHY_TARGET,
		HTTP_WHY_TARGET_FORM,
		HTTP_WHY_SCHEME,
		HTTP_WHY_AUTHORITY,
		HTTP_WHY_STATUS,
		/* lines and fields */
		HTTP_WHY_BARE_LF,
		HTTP_WHY_BARE_CR,
		HTTP_WHY_NUL,
		HTTP_WHY_CONTROL,
		HTTP_WHY_EMPTY_LINE,
		HTTP_WHY_SPACE_FIRST,
		HTTP_WHY_FOLD,
		HTTP_WHY_SPACE_COLON,
		HTTP_WHY_NO_COLON,
		HTTP_WHY_NAME_EMPTY,
		HTTP_WHY_NAME,
		HTTP_WHY_NAME_ALIAS,
		HTTP_WHY_FIELDS,
		HTTP_WHY_FIELD_LONG,
		HTTP_WHY_HEAD_LONG,
		HTTP_WHY_DUPLICATE,
		HTTP_WHY_HOST_MISSING,
		HTTP_WHY_HOST,
		HTTP_WHY_HOST_DIFFERS,
		HTTP_WHY_CONNECTION,
		HTTP_WHY_CONNECTION_NAMES,
		/* framing */
		HTTP_WHY_LENGTH,
		HTTP_WHY_LENGTHS,
		HTTP_WHY_CODING_FORM,
		HTTP_WHY_CODING,
		HTTP_WHY_CODING_10,
		HTTP_WHY_LENGTH_AND_CODING,
		HTTP_WHY_CONTENT,
		HTTP_WHY_SWITCH,
		/* body */
		HTTP_WHY_CHUNK_SIZE,
		HTTP_WHY_CHUNK_LARGE,
		HTTP_WHY_CHUNK_EXT,
		HTTP_WHY_CHUNK_EXT_LONG,
		HTTP_WHY_CHUNK_END,
		HTTP_WHY_TRAILER,
		HTTP_WHY_TRAILER_LONG,
		HTTP_WHY_TRAILER_FORBIDDEN,
		HTTP_WHY_CUT_SHORT,
		HTTP_WHYS
};

struct http_refusal {
	enum http_why why;
	unsigned
		status; /* to answer a request with (400, 414, 431, 501, 505); of a refused response: 502, for its client */
	unsigned line;	  /* of the head, the start line is 1; 0: in the body */
	struct span came; /* what was met, in the caller's bytes; may be empty */
};
const char *http_why_text(enum http_why why);	/* "bare LF", for logs, counters and tools/parse */
const char *http_why_wanted(enum http_why why); /* "every line to end in CR LF" */
/* "bare LF: wanted every line to end in CR LF, came \"Host: a\\n\" in line 2", peer bytes escaped and cut. Always
 * terminated; returns @buf. */
#define HTTP_REFUSAL_TEXT 400 /* bytes that hold every text */
const char *http_refusal_text(const struct http_refusal *r, char *buf, size_t n);

struct http_limits {		 /* what a peer may make long; bytes unless said */
	size_t head_max;	 /* the head with its blank line and a leading CRLF */
	size_t start_max;	 /* start line without CRLF */
	size_t field_max;	 /* one field line without CRLF */
	unsigned fields_max;	 /* fields; at most HTTP_FIELDS_MAX count */
	uint32_t chunk_ext_max;	 /* chunk extensions of one body, together */
	uint32_t trailer_max;	 /* trailer section of one body */
	uint32_t trailer_fields; /* fields in it */
};
extern const struct http_limits
	http_limits_default; /* 32 KiB, 8 KiB, 16 KiB, 100; 4 KiB, 8 KiB, 32 */

enum http_method {
	HTTP_M_OTHER, /* any other token: head.method_text */
	HTTP_M_GET,
	HTTP_M_HEAD,
	HTTP_M_POST,
	HTTP_M_PUT,
	HTTP_M_DELETE,
	HTTP_M_CONNECT,
	HTTP_M_OPTIONS,
	HTTP_M_TRACE,
	HTTP_M_PATCH,
	HTTP_METHODS
};

enum http_hdr { /* fields known by name; the rest is HTTP_H_OTHER */
		HTTP_H_OTHER,
		HTTP_H_AGE,
		HTTP_H_AUTHORIZATION,
		HTTP_H_CACHE_CONTROL,
		HTTP_H_CONNECTION,
		HTTP_H_CONTENT_ENCODING,
		HTTP_H_CONTENT_LENGTH,
		HTTP_H_CONTENT_RANGE,
		HTTP_H_CONTENT_TYPE,
		HTTP_H_COOKIE,
		HTTP_H_DATE,
		HTTP_H_EXPECT,
		HTTP_H_EXPIRES,
		HTTP_H_FORWARDED,
		HTTP_H_HOST,
		HTTP_H_HTTP2_SETTINGS,
		HTTP_H_IF_MATCH,
		HTTP_H_IF_MODIFIED_SINCE,
		HTTP_H_IF_NONE_MATCH,
		HTTP_H_IF_RANGE,
		HTTP_H_IF_UNMODIFIED_SINCE,
		HTTP_H_KEEP_ALIVE,
		HTTP_H_LOCATION,
		HTTP_H_MAX_FORWARDS,
		HTTP_H_ORIGIN,
		HTTP_H_PRAGMA,
		HTTP_H_PROXY_AUTHENTICATE,
		HTTP_H_PROXY_AUTHENTICATION_INFO,
		HTTP_H_PROXY_AUTHORIZATION,
		HTTP_H_PROXY_CONNECTION,
		HTTP_H_RANGE,
		HTTP_H_REFERER,
		HTTP_H_RETRY_AFTER,
		HTTP_H_SEC_WEBSOCKET_ACCEPT,
		HTTP_H_SEC_WEBSOCKET_EXTENSIONS,
		HTTP_H_SEC_WEBSOCKET_KEY,
		HTTP_H_SEC_WEBSOCKET_PROTOCOL,
		HTTP_H_SEC_WEBSOCKET_VERSION,
		HTTP_H_SERVER,
		HTTP_H_SET_COOKIE,
		HTTP_H_TE,
		HTTP_H_TRAILER,
		HTTP_H_TRANSFER_ENCODING,
		HTTP_H_UPGRADE,
		HTTP_H_USER_AGENT,
		HTTP_H_VARY,
		HTTP_H_VIA,
		HTTP_H_WWW_AUTHENTICATE,
		HTTP_H_X_FORWARDED_FOR,
		HTTP_H_X_FORWARDED_HOST,
		HTTP_H_X_FORWARDED_PROTO,
		HTTP_H_X_REAL_IP,
		HTTP_HDRS
};

struct http_field {
	enum http_hdr id;
	struct span name;  /* as written */
	struct span value; /* without the white space around it */
	struct span line;  /* the whole field with its CRLF */
};

struct http_authority { /* host [ ":" port ] of Host, absolute-form and authority-form (RFC 3986 3.2) */
	struct span whole, host;
	uint16_t port;	 /* 0: none */
	bool host_is_v6; /* host is without its brackets */
};

enum http_form {		 /* of a request target (RFC 9112 3.2) */
		 HTTP_ORIGIN,	 /* /path?query */
		 HTTP_ABSOLUTE,	 /* http://host/path?query; only http and https */
		 HTTP_AUTHORITY, /* host:port; only and always with CONNECT */
		 HTTP_ASTERISK,	 /* *; only with OPTIONS */
};

struct http_target {
	enum http_form form;
	struct span whole;
	bool https;		    /* scheme of an absolute-form */
	struct http_authority auth; /* of absolute- and authority-form */
	struct span
		path; /* as written, escapes and dots left in it; empty where an absolute-form has none */
	struct span query; /* behind the '?' */
	bool has_query;
};

struct http_head {
	bool request;
	unsigned minor; /* HTTP/1.minor: 0 or 1 */
	enum http_method method;
	struct span method_text;
	struct http_target target;
	struct http_authority host; /* of the Host field; whole is empty: none (HTTP/1.0) */
	unsigned status;	    /* 100..599, of a response */
	struct span reason;
	struct span start_line; /* without CRLF */
	unsigned n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
	struct span whole; /* from the start line to the blank line's end */

	/* what body.h and conn.h need, read once */
	bool chunked, has_length;
	uint64_t length;				/* Content-Length, at most INT64_MAX */
	bool says_close, says_keep_alive, says_upgrade; /* options in Connection */
};

/* Parse the head at the start of @in, a request's or a response's. Returns its length (> 0; a leading CRLF included);
 * -EAGAIN when more input is needed, never with @in already limits->head_max long; -EBADMSG, or -E2BIG over a limit, with
 * *why. *out is filled in place: unless the length came back it means nothing. RFC 9112 2-6. Pipelined requests: call
 * again behind the head and its body. */
ssize_t http_request_parse(struct span in, const struct http_limits *limits, struct http_head *out,
			   struct http_refusal *why);
ssize_t http_response_parse(struct span in, const struct http_limits *limits, struct http_head *out,
			    struct http_refusal *why);
/* Whether another try on a head that wanted more at @tried bytes can say anything new: a line ended, many bytes came, or
 * the limit is reached. So a head in dribbles costs its length times its lines, not its square. */
bool http_head_retry(struct span in, size_t tried, const struct http_limits *limits);

/* The first field @id at or after index @from, or NULL; *at gets its index (may be NULL). */
const struct http_field *http_field_find(const struct http_head *h, enum http_hdr id, unsigned from,
					 unsigned *at);
/* By name, ASCII case-insensitive, for names without an id. */
const struct http_field *http_field_named(const struct http_head *h, struct span name,
					  unsigned from, unsigned *at);
/* Whether @token is in any @id field (comma lists; ASCII case-insensitive). */
bool http_field_has(const struct http_head *h, enum http_hdr id, struct span token);
/* Elements of a comma list of tokens. *rest starts as the field's value. 1: *out is the next one; 0: no more; -EBADMSG (an empty
 * element is malformed). */
int http_token_next(struct span *rest, struct span *out);

enum http_hdr http_hdr_from_name(struct span name);
const char *http_hdr_name(enum http_hdr id); /* "Host"; "" for HTTP_H_OTHER */
/* @name would be a known one if its underscores were hyphens: a CGI-like reader takes it for that. */
bool http_hdr_alias(struct span name);
bool http_hdr_single(enum http_hdr id);	    /* at most one in a head */
bool http_hdr_hop_by_hop(enum http_hdr id); /* RFC 9110 7.6.1 and what proxies consume */
bool http_hdr_no_trailer(
	enum http_hdr id); /* framing, routing, authentication, control (RFC 9110 6.5.1) */
bool http_hdr_not_named(
	enum http_hdr id); /* Connection may not name it: it is for all recipients */
enum http_method http_method_from_text(struct span s); /* case-sensitive (RFC 9110 9.1) */
const char *http_method_name(enum http_method m);      /* "" for HTTP_M_OTHER */

/* Host field, or the authority of a URI: a name of letters, digits, '-', '_' and dots, an IPv4 address or an IPv6 address
 * in brackets; then a port of 1..65535 or none. 0 or -EBADMSG; all of @s. */
int http_authority_parse(struct span s, struct http_authority *out);
/* The target of a request with @method. HTTP_OK, or what is wrong. */
enum http_why http_target_parse(struct span s, enum http_method method, struct http_target *out);
/* Same host (IPv6 by value, names without regard to case) and, with 0 meaning @default_port, same port. */
bool http_authority_same(const struct http_authority *a, const struct http_authority *b,
			 uint16_t default_port);

#endif
