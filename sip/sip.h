/* sip/sip.h -- one SIP message as slices of the caller's buffer (RFC 3261). No allocation, no I/O, no clock.
 *
 * In: bytes of a stream (or one datagram). Out: struct sip_msg, whose spans point into those bytes. Edge gate and core use this same
 * code, so both read a message alike. Strict: ambiguity is an error, never a guess. Bare LF, duplicate Content-Length, a second
 * To/From/Call-ID/CSeq/Max-Forwards, a wrong compact form, NUL bytes are refused; folding and space before the colon are allowed (RFC 3261
 * 7.3.1, 25.1). On a stream Content-Length is required (RFC 3261 18.3). */
#ifndef SALLYPORT_SIP_H
#define SALLYPORT_SIP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/span.h"

#define SIP_HEADERS_MAX 128   /* header fields a message */
#define SIP_MESSAGE_MAX 32768 /* default of the configurable limit, bytes with body */

enum sip_why { /* each with sip_why_text() */
	       SIP_OK,
	       SIP_WHY_START_LINE,
	       SIP_WHY_VERSION,
	       SIP_WHY_METHOD,
	       SIP_WHY_STATUS,
	       SIP_WHY_URI,
	       SIP_WHY_BARE_LF,
	       SIP_WHY_HEADER_NAME,
	       SIP_WHY_HEADER_VALUE,
	       SIP_WHY_TOO_MANY_HEADERS,
	       SIP_WHY_TOO_LONG,
	       SIP_WHY_DUPLICATE,
	       SIP_WHY_MISSING,
	       SIP_WHY_CONTENT_LENGTH,
	       SIP_WHY_VIA,
	       SIP_WHY_FROM,
	       SIP_WHY_TO,
	       SIP_WHY_CALL_ID,
	       SIP_WHY_CSEQ,
	       SIP_WHY_MAX_FORWARDS,
	       SIP_WHY_CONTACT,
	       SIP_WHY_ROUTE,
	       SIP_WHY_PARAMETER,
	       SIP_WHY_SDP,
	       SIP_WHYS
};
const char *sip_why_text(enum sip_why why); /* "bare LF", for logs and tools/parse */

enum sip_method {
	SIP_M_OTHER, /* an extension method: msg.method_text */
	SIP_M_INVITE,
	SIP_M_ACK,
	SIP_M_BYE,
	SIP_M_CANCEL,
	SIP_M_REGISTER,
	SIP_M_OPTIONS,
	SIP_M_PRACK,
	SIP_M_SUBSCRIBE,
	SIP_M_NOTIFY,
	SIP_M_PUBLISH,
	SIP_M_INFO,
	SIP_M_REFER,
	SIP_M_MESSAGE,
	SIP_M_UPDATE,
	SIP_METHODS
};

enum sip_hdr { /* header fields known by name (compact forms folded in); the rest is SIP_H_OTHER */
	       SIP_H_OTHER,
	       SIP_H_VIA,
	       SIP_H_FROM,
	       SIP_H_TO,
	       SIP_H_CALL_ID,
	       SIP_H_CSEQ,
	       SIP_H_MAX_FORWARDS,
	       SIP_H_CONTACT,
	       SIP_H_ROUTE,
	       SIP_H_RECORD_ROUTE,
	       SIP_H_PATH,
	       SIP_H_SERVICE_ROUTE,
	       SIP_H_CONTENT_LENGTH,
	       SIP_H_CONTENT_TYPE,
	       SIP_H_CONTENT_ENCODING,
	       SIP_H_EXPIRES,
	       SIP_H_MIN_EXPIRES,
	       SIP_H_AUTHORIZATION,
	       SIP_H_PROXY_AUTHORIZATION,
	       SIP_H_WWW_AUTHENTICATE,
	       SIP_H_PROXY_AUTHENTICATE,
	       SIP_H_REQUIRE,
	       SIP_H_PROXY_REQUIRE,
	       SIP_H_SUPPORTED,
	       SIP_H_UNSUPPORTED,
	       SIP_H_RACK,
	       SIP_H_RSEQ,
	       SIP_H_SESSION_EXPIRES,
	       SIP_H_MIN_SE,
	       SIP_H_REFER_TO,
	       SIP_H_REFERRED_BY,
	       SIP_H_REPLACES,
	       SIP_H_EVENT,
	       SIP_H_SUBSCRIPTION_STATE,
	       SIP_H_P_ASSERTED_IDENTITY,
	       SIP_H_P_PREFERRED_IDENTITY,
	       SIP_H_REMOTE_PARTY_ID,
	       SIP_H_PRIVACY,
	       SIP_H_REASON,
	       SIP_H_RETRY_AFTER,
	       SIP_H_ALLOW,
	       SIP_H_USER_AGENT,
	       SIP_H_WARNING,
	       SIP_HDRS
};

struct sip_header {
	enum sip_hdr id;
	struct span name;  /* as written */
	struct span value; /* trimmed; folds still in it (sip_unfold) */
	struct span line;  /* the whole field with its CRLF: for removal and copying as it came */
};

struct sip_param { /* ;name or ;name=value; value may be a quoted string with its quotes */
	struct span name, value;
	bool has_value;
};

struct sip_uri { /* sip: and sips: parsed; others: scheme and whole only (RFC 3261 19.1) */
	struct span whole, scheme, user, password, host;
	struct span params;  /* from their first ';' on, for sip_param_next() */
	struct span headers; /* behind the '?' */
	uint16_t port;	     /* 0: none */
	bool is_sip, is_sips;
	bool host_is_v6; /* host is without its brackets */
};

struct sip_addr { /* name-addr or addr-spec with header parameters (From, To, Contact, Route, Path, ...) */
	struct span whole;   /* this element of a comma list */
	struct span display; /* with quotes where quoted */
	struct sip_uri uri;
	struct span params; /* behind the URI: ";tag=..." */
};

struct sip_via {
	struct span whole, protocol /* "TLS" */, host, params, branch, received;
	uint16_t port, rport;
	bool has_rport; /* with or without a value */
	bool host_is_v6;
};

struct sip_msg {
	bool request;
	enum sip_method method; /* of the request; of a response: CSeq's */
	struct span method_text;
	struct sip_uri ruri;
	unsigned status;
	struct span reason;
	struct span start_line; /* without CRLF */
	unsigned n_headers;
	struct sip_header headers[SIP_HEADERS_MAX];
	struct span body;
	struct span whole; /* from start line to the end of the body */

	/* required in every message, parsed once */
	struct sip_via via; /* topmost */
	struct sip_addr from, to;
	struct span from_tag, to_tag; /* empty: none */
	struct span call_id;
	uint32_t cseq;
	struct span cseq_method;
	int max_forwards; /* -1: absent */
};

/* Parse one message at the start of @in. @stream: leading CRLFs are skipped (they count as consumed) and Content-Length is
 * required; else @in is one datagram and a missing Content-Length means: to its end. @max: limit in bytes for the whole message.
 * Returns bytes consumed (> 0), -EAGAIN when more input is needed, -EBADMSG or -E2BIG with *why.
 * A datagram never gets more input, so what is incomplete in one is -EBADMSG. *out is filled in place: after a failure it means nothing.
 * -E2BIG is given as soon as it is certain, from Content-Length on. A message of leading CRLFs only is -EAGAIN: the caller
 * handles keepalives first (sip_keepalive). */
ssize_t sip_msg_parse(struct span in, bool stream, size_t max, struct sip_msg *out,
		      enum sip_why *why);

/* Double-CRLF ping at the start of @in (RFC 5626 3.5.1): bytes to consume (4) and *ping = true; a single CRLF between
 * messages: 2 and *ping = false; 0: neither; -EAGAIN: could still become one. */
ssize_t sip_keepalive(struct span in, bool *ping);

/* The first header @id at or after index @from, or NULL; *at gets its index (may be NULL). */
const struct sip_header *sip_header_find(const struct sip_msg *m, enum sip_hdr id, unsigned from,
					 unsigned *at);
/* By name, ASCII case-insensitive, for names without an id. */
const struct sip_header *sip_header_named(const struct sip_msg *m, struct span name, unsigned from,
					  unsigned *at);
/* Whether option tag @tag is in any @id field (Supported, Require, Proxy-Require; comma lists). */
bool sip_option_has(const struct sip_msg *m, enum sip_hdr id, struct span tag);
enum sip_hdr sip_hdr_from_name(struct span name);
const char *sip_hdr_name(enum sip_hdr id);
enum sip_method sip_method_from_text(struct span s);
const char *sip_method_name(enum sip_method m);

/* Elements of a comma list. *rest starts as the header's value. 1: *out is the next one; 0: no more; -EBADMSG. */
int sip_addr_next(struct span *rest, struct sip_addr *out);
int sip_via_next(struct span *rest, struct sip_via *out);
int sip_token_next(struct span *rest, struct span *out);

int sip_uri_parse(struct span s, struct sip_uri *out);	 /* 0 or -EBADMSG; @s is the URI alone */
int sip_addr_parse(struct span s, struct sip_addr *out); /* one element, all of @s */
/* 1: next of ";a=b;c"; 0: end; -EBADMSG. */
int sip_param_next(struct span *rest, struct sip_param *out);
bool sip_param_find(struct span params, struct span name, struct sip_param *out);
/* RFC 3261 19.1.4 comparison (escapes decoded, parameters by rule). */
bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b);
/* Address of record: scheme, user (escapes decoded) and lower-case host, no port or parameters (RFC 3261 10.3 step 5).
 * Writes e.g. "sip:alice@example.com"; length or -E2BIG. */
ssize_t sip_uri_aor(const struct sip_uri *u, char *buf, size_t n);
/* Copy a header's value with every fold made one space, NUL-terminated: for names and keys made of it. Length or -E2BIG. */
ssize_t sip_unfold(struct span value, char *buf, size_t n);
/* Decimal number of 1..10 digits, nothing else, at most @max. 0 or -EBADMSG. */
int sip_number(struct span s, uint32_t max, uint32_t *out);

/* Digest or Bearer credentials and challenges: scheme, then auth-params. */
struct sip_auth {
	struct span scheme, rest;
};
int sip_auth_parse(struct span value, struct sip_auth *out);
/* Value of auth-param @name without its quotes (escapes left in). */
bool sip_auth_param(const struct sip_auth *a, struct span name, struct span *out);

#endif
