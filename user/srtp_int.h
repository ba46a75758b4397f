/* user/srtp_int.h -- what the parts of the SRTP module share: session layout, SSRC table, derived keys, crypto providers.
 *
 * srtp.c checks headers and limits and calls a back end; srtp_stream.c keeps indices and replay windows; srtp_fast.c is our
 * back end over one of two providers (srtp_mb.c, srtp_evp.c); srtp_lib.c is the back end on libsrtp2.
 * Nobody outside user/srtp* and its tests includes this. Owner rules as in srtp.h. */
#ifndef SALLYPORT_SRTP_INT_H
#define SALLYPORT_SRTP_INT_H

#include "user/srtp.h"

#define SRTP_WINDOW	   128 /* both kinds; libsrtp2's SRTCP has no other */
#define SRTP_FORGET_MS	   30000
#define SRTP_FORGOTTEN_MAX 24
#define SRTP_RTP_MAX	   (1ULL << 48) /* packets under one key and index limit: RFC 3711 section 9.2 */
#define SRTP_RTCP_MAX	   (1ULL << 31)
#define SRTP_RTCP_HEADER   8
#define SRTP_RTCP_INDEX	   4 /* E bit and index */

/* ---- SSRC table: indices and replay windows (srtp_stream.c) ---- */
struct srtp_stream {
	uint32_t ssrc;
	uint32_t rtcp_top; /* highest SRTCP index */
	uint64_t rtp_top;  /* highest RTP index: ROC << 16 | sequence number */
	uint64_t used_ms;
	uint64_t rtp_seen[SRTP_WINDOW / 64], rtcp_seen[SRTP_WINDOW / 64]; /* bit index mod window */
};

struct srtp_streams { /* all that changes with a packet: may live in memory that outlives the process */
	uint8_t n, last, n_forgotten;
	bool seal;
	uint64_t count[2];			/* packets under this key: RTP, RTCP */
	uint32_t forgotten[SRTP_FORGOTTEN_MAX]; /* seal only */
	struct srtp_stream s[SRTP_SSRC_MAX];
};

struct srtp_stream *srtp_streams_find(struct srtp_streams *t, uint32_t ssrc);
/* SRTP_OK: @ssrc is known or may be added now. */
enum srtp_result srtp_streams_admit(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms);
/* Find or add @ssrc, which srtp_streams_admit() let in. *out_forgot: an older SSRC gave way, *out_ssrc. */
struct srtp_stream *srtp_streams_take(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms,
				      bool *out_forgot, uint32_t *out_ssrc);
/* Index of sequence number @seq by RFC 3711 section 3.3.1, checked against the window. */
enum srtp_result srtp_rtp_check(struct srtp_streams *t, uint32_t ssrc, uint16_t seq,
				uint64_t now_ms, uint64_t *out_index);
enum srtp_result srtp_rtcp_check(struct srtp_streams *t, uint32_t ssrc, uint32_t index,
				 uint64_t now_ms);
/* Next SRTCP index to send. libsrtp2 begins at 1, and so do we. */
enum srtp_result srtp_rtcp_next(struct srtp_streams *t, uint32_t ssrc, uint64_t now_ms,
				uint64_t *out_index);
/* The packet was authentic (open) or is being sent (seal): store its index. */
void srtp_index_commit(struct srtp_streams *t, uint32_t ssrc, bool rtcp, uint64_t index,
		       uint64_t now_ms);

/* ---- keys (srtp_kdf.c) ---- */
struct srtp_keys { /* session keys of RTP or of RTCP */
	uint8_t cipher[32], auth[20], salt[14];
};

/* RFC 3711 section 4.3 with a key derivation rate of 0; RFC 6188 for 256 bits, RFC 7714 section 11 for GCM. 0 or -EIO. */
int srtp_kdf(enum srtp_suite s, struct span master, bool rtcp, struct srtp_keys *out);
size_t srtp_suite_cipher_len(enum srtp_suite s);
size_t srtp_suite_salt_len(enum srtp_suite s);
size_t srtp_suite_tag_len(enum srtp_suite s, bool rtcp);
static inline bool srtp_suite_gcm(enum srtp_suite s)
{
	return s == SRTP_AEAD_AES_128_GCM || s == SRTP_AEAD_AES_256_GCM;
}

/* ---- session ---- */
struct srtp_provider;
struct srtp_session {
	const struct srtp_back *back;
	enum srtp_suite suite;
	bool seal;
	uint8_t tag[2];			      /* RTP, RTCP */
	const struct srtp_provider *provider; /* fast: of its keys */
	void *key
		[2]; /* fast: provider's; libsrtp2: its context; the master key if it has to go on from an earlier session */
	uint8_t late
		[2]; /* libsrtp2: places in streams->s that its context has not heard of, for RTP and RTCP */
	uint8_t salt[2][14];
	struct srtp_streams *streams; /* &own, or srtp_session_place()'s */
	struct srtp_streams own;
};
_Static_assert(sizeof(struct srtp_streams) <= SRTP_STATE_SIZE, "fits its place");

/* ---- back ends: get packets with a good header, set each result ---- */
struct srtp_head {
	uint32_t ssrc, len; /* header with CSRCs and extension */
	uint16_t seq;
};

struct srtp_item {
	struct srtp_packet *p;
	struct srtp_head h;
};

struct srtp_back {
	enum srtp_backend id;
	int (*init)(void);
	const char *(*text)(void);
	int (*session_new)(struct srtp_session *s, struct span key);
	void (*session_free)(struct srtp_session *s);
	int (*resume)(struct srtp_session *s, struct span key); /* go on from s->streams */
	void (*open)(struct srtp_item *it, unsigned n, uint64_t now_ms);
	void (*seal)(struct srtp_item *it, unsigned n, uint64_t now_ms);
};
extern const struct srtp_back srtp_back_fast, srtp_back_lib;

/* ---- crypto providers of the fast back end ---- */
struct srtp_job {
	void *key;
	uint8_t *p;
	uint32_t n;
	uint8_t iv[16];
	uint8_t tag[20];
};

struct srtp_gcm {
	void *key;
	const uint8_t *iv, *aad; /* 12 bytes; any */
	uint32_t aad_n, n;
	uint8_t *p; /* in place */
};

struct srtp_provider {
	const char *(*text)(void);
	int (*key_new)(enum srtp_suite s, const struct srtp_keys *k, void **out);
	void (*key_free)(enum srtp_suite s, void *key); /* wipes */
	void (*prefetch)(enum srtp_suite s, const void *key);
	/* XOR AES-CTR key stream into p, n > 0; HMAC-SHA1 of p into tag. Any number up to SRTP_BATCH_MAX. */
	bool (*ctr)(struct srtp_job *j, unsigned n);
	bool (*hmac)(struct srtp_job *j, unsigned n);
	bool (*gcm)(enum srtp_suite s, bool seal, const struct srtp_gcm *g,
		    uint8_t tag[16]); /* open: the tag it should have */
};
extern const struct srtp_provider srtp_evp;
/* NULL where the library or the CPU does not have it, with *why. */
const struct srtp_provider *srtp_mb_get(const char **why);
/* Test hook: sessions made from now on use OpenSSL EVP under the fast back end. */
void srtp_fast_force_evp(bool on);

/* Monotonic milliseconds, read once a batch. Replaced by tests. */
extern uint64_t (*srtp_clock)(void);

#endif
