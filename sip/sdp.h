/* sip/sdp.h -- session descriptions (RFC 8866, RFC 3264, RFC 4568, RFC 3605, RFC 5761) as slices; rewriting for a media anchor.
 *
 * In: a body's bytes. Out: struct sdp whose spans point into them. sdp_rewrite() copies the description line by line and
 * replaces only connection, port, profile, crypto, rtcp and ICE/DTLS lines of the m-lines it is told to. No allocation, no I/O. */
#ifndef SALLYPORT_SDP_H
#define SALLYPORT_SDP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/addr.h"
#include "user/span.h"

#define SDP_MEDIA_MAX  8
#define SDP_CRYPTO_MAX 8

enum sdp_why {
	SDP_OK,
	SDP_WHY_LINE,
	SDP_WHY_ORDER,
	SDP_WHY_VERSION,
	SDP_WHY_ORIGIN,
	SDP_WHY_CONNECTION,
	SDP_WHY_MEDIA,
	SDP_WHY_TOO_MANY,
	SDP_WHY_CRYPTO,
	SDP_WHY_RTCP,
	SDP_WHYS
};
const char *sdp_why_text(enum sdp_why w);

enum sdp_proto { SDP_RTP_AVP, SDP_RTP_AVPF, SDP_RTP_SAVP, SDP_RTP_SAVPF, SDP_PROTO_OTHER };
enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

struct sdp_crypto { /* a=crypto:TAG SUITE inline:KEY[|lifetime][|MKI:len] [params] */
	uint32_t tag;
	struct span suite;
	struct span key_b64;
	bool has_mki, has_lifetime;
	struct span params; /* session parameters as written */
	struct span line;
};

struct sdp_media {
	struct span type; /* "audio" */
	uint16_t port;
	uint16_t ports; /* port/ports */
	struct span proto_text, formats;
	enum sdp_proto proto;
	bool has_conn;	  /* own c= line */
	struct addr conn; /* effective address, its own or the session's; port 0 */
	bool conn_valid;  /* IN IP4/IP6 literal (a name or multicast is not) */
	bool rtcp_mux;
	uint16_t rtcp_port;    /* a=rtcp, else port + 1; 0 when neither is possible */
	struct addr rtcp_addr; /* a=rtcp with address, else conn; port 0 */
	enum sdp_direction direction;
	unsigned n_crypto;
	struct sdp_crypto crypto[SDP_CRYPTO_MAX];
	bool has_ice, has_dtls; /* a=candidate/ice-ufrag; a=fingerprint */
	struct span lines;	/* from m= to the end of the section */
};

struct sdp {
	struct span whole, session; /* session: lines before the first m= */
	struct span origin;
	struct addr conn;
	bool has_conn, conn_valid;
	unsigned n_media;
	struct sdp_media media[SDP_MEDIA_MAX];
};

/* v=, o=, s= and t= are required, v= first; the order of the others is not looked at. A crypto line of another key method than
 * inline, or with several keys, is not listed; a malformed one is refused. *out is filled in place: after a failure it means nothing.
 * Returns 0, -EBADMSG or -E2BIG with *why. Lines end in CRLF or (RFC 8866 section 9 tolerates it) LF. */
int sdp_parse(struct span in, struct sdp *out, enum sdp_why *why);

struct sdp_crypto_out { /* a line to write */
	uint32_t tag;
	const char *suite;
	const uint8_t *key;
	size_t key_len;
};

struct sdp_media_edit {
	bool reject;	  /* port 0, bare section: m= with its formats, no attributes but a=mid */
	struct addr addr; /* for c= */
	uint16_t port;
	uint16_t rtcp_port; /* 0: no a=rtcp line */
	bool rtcp_mux;	    /* keep/write a=rtcp-mux; false: removed */
	bool secure;	    /* RTP/SAVP(F), else RTP/AVP(F): the F is kept */
	const struct sdp_crypto_out *crypto;
	unsigned n_crypto; /* a=crypto lines that came are always removed, */
	const struct span
		*keep; /* but for these, whole lines that came with it; behind those above */
	unsigned n_keep;
};

/* Write @s with @edits (one an m-line, n == s->n_media) into @buf. o='s address and c= become @conn's (first edit's address),
 * ICE, DTLS, crypto and RFC 5939 capability attributes are removed everywhere. a=rtcp is left out where it is port + 1. The address of
 * the first edit that rejects nothing goes to session level. Returns length, -E2BIG, or -EINVAL for a wrong @n. */
ssize_t sdp_rewrite(const struct sdp *s, const struct sdp_media_edit *edits, unsigned n, void *buf,
		    size_t cap);

#endif
