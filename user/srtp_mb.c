/* user/srtp_mb.c -- crypto for the fast back end by libipsec-mb: HMAC-SHA1 of a batch side by side, VAES for AES-CTR and GCM.
 *
 * In: jobs of one key each. Out: key stream applied, HMAC-SHA1 or GCM tag. The library's manager and the job array are one a
 * thread, made with the thread's first session, freed never (the thread's life is the process's); keys are the sessions'. */
#include "user/srtp_int.h"

#if !HAVE_IPSEC_MB

const struct srtp_provider *srtp_mb_get(const char **why)
{
	*why = "not built in";
	return NULL;
}

#else

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

struct mb_cm {
	uint8_t round[16 * 11] __attribute__((aligned(64)));
	uint8_t ipad[20], opad[20];
};

/* Lanes of AVX-512 HMAC-SHA1; with fewer packets, and on anything older, SHA instructions (two at a time) are faster: measured
 * 106 ns a packet against 117 (AVX2, full) and 1,100 (AVX2, one packet in eight lanes). Keys are the same for both. */
#define WIDE 16

struct mb_thread {
	IMB_MGR *mgr;
	IMB_MGR *sha; /* with SHA instructions; NULL: the CPU has none */
	bool wide;
	IMB_JOB jobs[SRTP_BATCH_MAX];
};

static _Thread_local struct mb_thread *mb;
static char text[64];

/* Without it HMACs go through the first manager, only slower. */
static void sha_init(struct mb_thread *t)
{
	if (!(t->mgr->features & IMB_FEATURE_SHANI))
		return;
	t->sha = alloc_mb_mgr(0);
	if (!t->sha)
		return;
	init_mb_mgr_sse(t->sha);
	if (imb_get_errno(t->sha)) {
		free_mb_mgr(t->sha);
		t->sha = NULL;
	}
}

static struct mb_thread *mb_thread(const char **why)
{
	static const char *const names[IMB_ARCH_NUM] = {
		[IMB_ARCH_NONE] = "none", [IMB_ARCH_NOAESNI] = "noaesni",
		[IMB_ARCH_SSE] = "sse",	  [IMB_ARCH_AVX] = "avx",
		[IMB_ARCH_AVX2] = "avx2", [IMB_ARCH_AVX512] = "avx512",
	};
	IMB_ARCH arch = IMB_ARCH_NONE;
	struct mb_thread *t;

	if (mb)
		return mb;
	*why = "no memory";
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->mgr = alloc_mb_mgr(0);
	if (!t->mgr)
		goto fail;
	init_mb_mgr_auto(t->mgr, &arch);
	*why = imb_get_strerror(imb_get_errno(t->mgr));
	if (imb_get_errno(t->mgr) || arch < IMB_ARCH_SSE || arch >= IMB_ARCH_NUM)
		goto fail;
	t->wide = arch == IMB_ARCH_AVX512;
	sha_init(t);
	snprintf(text, sizeof(text), "ipsec-mb %.20s, %s%s", imb_get_version_str(), names[arch],
		 t->sha ? " and sha" : "");
	mb = t;
	return t;
fail:
	if (t->mgr)
		free_mb_mgr(t->mgr);
	free(t);
	return NULL;
}

static const char *mb_text(void)
{
	return text;
}

/* The state of SHA-1 after the block key XOR @pad. */
static void hmac_half(IMB_MGR *m, const uint8_t key[20], uint8_t pad, uint8_t out[20])
{
	uint8_t block[64];
	unsigned i;

	memset(block, pad, sizeof(block));
	for (i = 0; i < 20; i++)
		block[i] ^= key[i];
	IMB_SHA1_ONE_BLOCK(m, block, out);
	OPENSSL_cleanse(block, sizeof(block));
}

static size_t key_size(enum srtp_suite s)
{
	size_t n = srtp_suite_gcm(s) ? sizeof(struct gcm_key_data) : sizeof(struct mb_cm);

	return (n + 63) / 64 * 64;
}

static void mb_key_free(enum srtp_suite s, void *key)
{
	OPENSSL_cleanse(key, key_size(s));
	free(key);
}

static int mb_key_new(enum srtp_suite s, const struct srtp_keys *k, void **out)
{
	const char *why;
	struct mb_thread *t = mb_thread(&why);
	void *key = t ? aligned_alloc(64, key_size(s)) : NULL;
	uint8_t unused[16 * 11] __attribute__((aligned(16)));
	struct mb_cm *cm = key;

	if (!key)
		return -ENOMEM;
	memset(key, 0, key_size(s));
	if (s == SRTP_AEAD_AES_256_GCM) {
		IMB_AES256_GCM_PRE(t->mgr, k->cipher, key);
	} else if (s == SRTP_AEAD_AES_128_GCM) {
		IMB_AES128_GCM_PRE(t->mgr, k->cipher, key);
	} else {
		IMB_AES_KEYEXP_128(t->mgr, k->cipher, cm->round, unused);
		OPENSSL_cleanse(unused, sizeof(unused));
		hmac_half(t->mgr, k->auth, 0x36, cm->ipad);
		hmac_half(t->mgr, k->auth, 0x5c, cm->opad);
	}
	*out = key;
	return 0;
}

/* Measured: with 10,000 sessions the cache misses on keys cost more than the cipher. */
static void mb_prefetch(enum srtp_suite s, const void *key)
{
	const char *p = key;
	size_t i, n = key_size(s);

	for (i = 0; i < n; i += 64)
		__builtin_prefetch(p + i);
}

static bool mb_ctr(struct srtp_job *j, unsigned n)
{
	IMB_JOB *b;
	unsigned i;

	for (i = 0; i < n; i++) {
		b = &mb->jobs[i];
		b->enc_keys = b->dec_keys = ((struct mb_cm *)j[i].key)->round;
		b->key_len_in_bytes = 16;
		b->src = b->dst = j[i].p;
		b->cipher_start_src_offset_in_bytes = 0;
		b->msg_len_to_cipher_in_bytes = j[i].n;
		b->iv = j[i].iv;
		b->iv_len_in_bytes = 16;
		b->cipher_mode = IMB_CIPHER_CNTR;
		b->cipher_direction = IMB_DIR_ENCRYPT;
	}
	return IMB_SUBMIT_CIPHER_BURST_NOCHECK(mb->mgr, mb->jobs, n, IMB_CIPHER_CNTR,
					       IMB_DIR_ENCRYPT, IMB_KEY_128_BYTES) == n;
}

static bool mb_hmac(struct srtp_job *j, unsigned n)
{
	const struct mb_cm *k;
	IMB_MGR *m;
	IMB_JOB *b;
	unsigned i;

	for (i = 0; i < n; i++) {
		k = j[i].key;
		b = &mb->jobs[i];
		b->src = j[i].p;
		b->hash_start_src_offset_in_bytes = 0;
		b->msg_len_to_hash_in_bytes = j[i].n;
		b->auth_tag_output = j[i].tag;
		b->auth_tag_output_len_in_bytes = sizeof(j[i].tag);
		b->u.HMAC._hashed_auth_key_xor_ipad = k->ipad;
		b->u.HMAC._hashed_auth_key_xor_opad = k->opad;
		b->hash_alg = IMB_AUTH_HMAC_SHA_1;
	}
	m = mb->sha && !(mb->wide && n >= WIDE) ? mb->sha : mb->mgr;
	return IMB_SUBMIT_HASH_BURST_NOCHECK(m, mb->jobs, n, IMB_AUTH_HMAC_SHA_1) == n;
}

static bool mb_gcm(enum srtp_suite s, bool seal, const struct srtp_gcm *g, uint8_t tag[16])
{
	struct gcm_context_data ctx;
	IMB_MGR *m = mb->mgr;

	if (s == SRTP_AEAD_AES_256_GCM && seal)
		IMB_AES256_GCM_ENC(m, g->key, &ctx, g->p, g->p, g->n, g->iv, g->aad, g->aad_n, tag,
				   16);
	else if (s == SRTP_AEAD_AES_256_GCM)
		IMB_AES256_GCM_DEC(m, g->key, &ctx, g->p, g->p, g->n, g->iv, g->aad, g->aad_n, tag,
				   16);
	else if (seal)
		IMB_AES128_GCM_ENC(m, g->key, &ctx, g->p, g->p, g->n, g->iv, g->aad, g->aad_n, tag,
				   16);
	else
		IMB_AES128_GCM_DEC(m, g->key, &ctx, g->p, g->p, g->n, g->iv, g->aad, g->aad_n, tag,
				   16);
	return true;
}

static const struct srtp_provider srtp_mb = {
	.text = mb_text,
	.key_new = mb_key_new,
	.key_free = mb_key_free,
	.prefetch = mb_prefetch,
	.ctr = mb_ctr,
	.hmac = mb_hmac,
	.gcm = mb_gcm,
};

const struct srtp_provider *srtp_mb_get(const char **why)
{
	return mb_thread(why) ? &srtp_mb : NULL;
}

#endif
