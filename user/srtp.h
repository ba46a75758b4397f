/* user/srtp.h -- SRTP and SRTCP (RFC 3711, RFC 7714) in batches, with two back ends that give the same bytes.
 *
 * Data flow: a batch of packets, each with its session -> open (authenticate, replay check, decrypt) or seal (encrypt,
 * tag) in place -> a result a packet. Which back end runs is chosen once: `fast` (ipsec-mb, else OpenSSL EVP) or
 * `libsrtp2`.
 * A seal session refuses an SSRC that it has forgotten (its indices must not be used twice under one key), and after 24 such
 * every new one. A packet whose result is not SRTP_OK holds undefined bytes.
 * Owner rules: a session is one direction of one leg under one master key; it holds the state of up to SRTP_SSRC_MAX
 * SSRCs for RTP and RTCP (ROC, index, replay window). The caller owns sessions and packets. One thread a session. */
#ifndef SALLYPORT_SRTP_H
#define SALLYPORT_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/span.h"

/* In the order offered. Names as in a=crypto (RFC 4568, RFC 7714). */
enum srtp_suite {
	SRTP_AEAD_AES_256_GCM,
	SRTP_AEAD_AES_128_GCM,
	SRTP_AES_CM_128_HMAC_SHA1_80,
	SRTP_AES_CM_128_HMAC_SHA1_32,
	SRTP_SUITES
};

#define SRTP_KEY_MAX   46 /* master key and salt: 44 (GCM-256), 28 (GCM-128), 30 (CM) */
#define SRTP_TRAIL_MAX 20 /* what seal may add: tag, and for RTCP the index: 14, 20 (GCM RTCP) */
#define SRTP_SSRC_MAX \
	8 /* SSRCs a session; the least recently used is forgotten only when it is 30 s old */
#define SRTP_BATCH_MAX	64
#define SRTP_STATE_SIZE 640

enum srtp_backend { SRTP_AUTO, SRTP_FAST, SRTP_LIBSRTP2 };

enum srtp_result {
	SRTP_OK,
	SRTP_SHORT,	 /* no room for header and tag */
	SRTP_MALFORMED,	 /* version, CSRC or extension length wrong */
	SRTP_AUTH,	 /* tag wrong */
	SRTP_REPLAY,	 /* index seen already */
	SRTP_OLD,	 /* left of the replay window (128) */
	SRTP_SSRC_LIMIT, /* a further SSRC than the session may hold */
	SRTP_KEY_LIMIT,	 /* 2^48 RTP or 2^31 RTCP packets under one key */
	SRTP_NO_ROOM,	 /* seal: capacity too small */
	SRTP_CRYPTO,	 /* the crypto library failed */
	SRTP_RESULTS
};

struct srtp_session;

struct srtp_packet {
	struct srtp_session *session;
	uint8_t *p; /* RTP or RTCP packet, transformed in place */
	uint32_t n; /* length; on SRTP_OK the new one */
	uint32_t cap;
	bool rtcp; /* told apart by the caller: RFC 5761 */
	enum srtp_result result;
};

/* Key and salt length of a suite in bytes, e.g. 30. */
size_t srtp_suite_key_len(enum srtp_suite s);
const char *srtp_suite_name(enum srtp_suite s);
const char *srtp_result_name(enum srtp_result r); /* "auth", for counters */
bool srtp_suite_from_name(struct span name, enum srtp_suite *out);

/* Choose the back end; once, before anything else and before seccomp. SRTP_AUTO is fast. 0 or -ENOTSUP. */
int srtp_init(enum srtp_backend want) __asm__(
	"sallyport_srtp_init"); /* libsrtp2 exports a srtp_init, too */
enum srtp_backend srtp_backend(void);
const char *srtp_backend_text(void); /* "fast (ipsec-mb 1.3.0, avx512)" */

/* @key: master key then salt, of just srtp_suite_key_len() bytes. @seal: direction.
 * 0, -EINVAL (length, no srtp_init), -ENOMEM, -EIO (crypto library). */
int srtp_session_new(enum srtp_suite s, struct span key, bool seal, struct srtp_session **out);
void srtp_session_free(struct srtp_session *s); /* wipes; NULL is fine */
/* From now on the session keeps its indices and replay windows at @place: SRTP_STATE_SIZE bytes, aligned to 8, of the caller until the session ends;
 * they are changed before a packet is sent or handed on, so that whoever finds the place after a crash uses no index twice and takes
 * no packet twice. @resume: the place holds those of a session under the same @key, which go on; else the session's own are copied there.
 * 0, -EBADMSG (not the state of such a session), -ENOMEM, -EIO. */
int srtp_session_place(struct srtp_session *s, struct span key, void *place, bool resume);

/* Transform packets in place; each gets its own result; order within a session is kept. n <= SRTP_BATCH_MAX. */
void srtp_open(struct srtp_packet *packets, unsigned n);
void srtp_seal(struct srtp_packet *packets, unsigned n);

#endif
