/* selftests/unit/test_srtp.c -- SRTP by the RFCs' vectors, and its limits, with both crypto providers and both back ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "user/srtp_int.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t now_ms;

static uint64_t fake_clock(void)
{
	return now_ms;
}

static size_t unhex(const char *s, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	for (; *s; s += 2, n++) {
		assert_int_equal(sscanf(s, "%2x", &v), 1);
		out[n] = (uint8_t)v;
	}
	return n;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A plain RTP packet of @n bytes in @p. */
static void rtp(uint8_t *p, uint32_t n, uint16_t seq, uint32_t ssrc)
{
	memset(p, 0x5a, n);
	p[0] = 0x80;
	p[1] = 0;
	put16(p + 2, seq);
	put16(p + 8, ssrc >> 16);
	put16(p + 10, ssrc & 0xffff);
}

static struct srtp_session *session(enum srtp_suite s, bool seal)
{
	uint8_t key[SRTP_KEY_MAX];
	struct srtp_session *out = NULL;
	unsigned i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(srtp_session_new(s, span_of(key, srtp_suite_key_len(s)), seal, &out), 0);
	return out;
}

static enum srtp_result one(struct srtp_session *s, uint8_t *p, uint32_t *n, uint32_t cap,
			    bool rtcp)
{
	struct srtp_packet k = {.session = s, .p = p, .n = *n, .cap = cap, .rtcp = rtcp};

	if (s->seal)
		srtp_seal(&k, 1);
	else
		srtp_open(&k, 1);
	*n = k.n;
	return k.result;
}

static void test_srtp_kdf(void **state) /* RFC 3711 appendix B.3 */
{
	uint8_t master[30], want[32];
	struct srtp_keys k;

	(void)state;
	unhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6", master);
	assert_int_equal(srtp_kdf(SRTP_AES_CM_128_HMAC_SHA1_80, span_of(master, 30), false, &k), 0);
	unhex("c61e7a93744f39ee10734afe3ff7a087", want);
	assert_memory_equal(k.cipher, want, 16);
	unhex("30cbbc08863d8c85d49db34a9ae1", want);
	assert_memory_equal(k.salt, want, 14);
	unhex("cebe321f6ff7716b6fd4ab49af256a156d38baa4", want);
	assert_memory_equal(k.auth, want, 20);
}

static void cm_vector(const struct srtp_provider *pr) /* RFC 3711 appendix B.2 */
{
	struct srtp_keys k = {};
	uint8_t zero[48] = {}, want[48];
	struct srtp_job j = {.p = zero, .n = 48};

	unhex("2b7e151628aed2a6abf7158809cf4f3c", k.cipher);
	unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", j.iv);
	unhex("e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd4779"
	      "01e4fca894c0",
	      want);
	assert_int_equal(pr->key_new(SRTP_AES_CM_128_HMAC_SHA1_80, &k, &j.key), 0);
	assert_true(pr->ctr(&j, 1));
	assert_memory_equal(zero, want, 48);
	pr->key_free(SRTP_AES_CM_128_HMAC_SHA1_80, j.key);
}

static void hmac_vector(
	const struct srtp_provider *pr) /* RFC 2202 case 1: 20 bytes of 0x0b, "Hi There" */
{
	struct srtp_keys k = {};
	uint8_t text[] = "Hi There", want[20];
	struct srtp_job j = {.p = text, .n = 8};

	memset(k.auth, 0x0b, 20);
	unhex("b617318655057264e28bc0b6fb378c8ef146be00", want);
	assert_int_equal(pr->key_new(SRTP_AES_CM_128_HMAC_SHA1_80, &k, &j.key), 0);
	assert_true(pr->hmac(&j, 1));
	assert_memory_equal(j.tag, want, 20);
	pr->key_free(SRTP_AES_CM_128_HMAC_SHA1_80, j.key);
}

static void test_srtp_provider_vectors(void **state)
{
	const char *why;
	const struct srtp_provider *mb = srtp_mb_get(&why);

	(void)state;
	cm_vector(&srtp_evp);
	hmac_vector(&srtp_evp);
	if (HAVE_IPSEC_MB)
		assert_non_null(mb);
	if (mb) {
		cm_vector(mb);
		hmac_vector(mb);
	}
}

/* RFC 7714 sections 16.1.1, 16.2.1, 17.1, 17.2: session keys as they stand, no derivation. */
static const struct {
	enum srtp_suite suite;
	bool rtcp;
	uint32_t before; /* SRTCP index of the packet before */
	const char *plain, *sealed;
} gcm_vectors[] = {
	{SRTP_AEAD_AES_128_GCM, false, 0,
	 "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361"
	 "20696e207061727465732074726573",
	 "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b3"
	 "6de3adf8833"
	 "899d7f27beb16a9152cf765ee4390cce"},
	{SRTP_AEAD_AES_256_GCM, false, 0,
	 "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361"
	 "20696e207061727465732074726573",
	 "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1"
	 "ba63799b87b"
	 "7aa3db36dfffd6b0f9bb7878d7a76c13"},
	{SRTP_AEAD_AES_128_GCM, true, 0x5d3,
	 "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefd"
	 "eadbeefdeadbeef",
	 "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b468"
	 "6303ded0bb9275b"
	 "c84aa45896cf4d2fc5abf87245d9eade800005d4"},
	{SRTP_AEAD_AES_256_GCM, true, 0x5d3,
	 "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefd"
	 "eadbeefdeadbeef",
	 "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c"
	 "61de0476f1b6fad"
	 "1d1eb30c4446839f57ff6f6cb26ac3be800005d4"},
};

static void use_vector_keys(struct srtp_session *s)
{
	struct srtp_keys k = {};
	unsigned i;

	for (i = 0; i < 32; i++)
		k.cipher[i] = (uint8_t)i;
	for (i = 0; i < 2; i++) {
		s->provider->key_free(s->suite, s->key[i]);
		assert_int_equal(s->provider->key_new(s->suite, &k, &s->key[i]), 0);
		unhex("517569642070726f2071756f", s->salt[i]);
	}
}

static void test_srtp_gcm_vectors(void **state)
{
	uint8_t plain[128], sealed[128], buf[128];
	uint32_t n, pn, sn, gone;
	bool forgot;
	unsigned i, evp;
	struct srtp_session *s, *o;

	(void)state;
	for (i = 0; i < 2 * COUNT(gcm_vectors); i++) {
		evp = i & 1;
		srtp_fast_force_evp(evp);
		s = session(gcm_vectors[i / 2].suite, true);
		o = session(gcm_vectors[i / 2].suite, false);
		use_vector_keys(s);
		use_vector_keys(o);
		n = pn = (uint32_t)unhex(gcm_vectors[i / 2].plain, plain);
		sn = (uint32_t)unhex(gcm_vectors[i / 2].sealed, sealed);
		memcpy(buf, plain, pn);
		if (gcm_vectors[i / 2].rtcp)
			srtp_streams_take(s->streams, 0x4d617273, 0, &forgot, &gone)->rtcp_top =
				gcm_vectors[i / 2].before;
		assert_int_equal(one(s, buf, &n, sizeof(buf), gcm_vectors[i / 2].rtcp), SRTP_OK);
		assert_int_equal(n, sn);
		assert_memory_equal(buf, sealed, sn);
		assert_int_equal(one(o, buf, &n, sizeof(buf), gcm_vectors[i / 2].rtcp), SRTP_OK);
		assert_int_equal(n, pn);
		assert_memory_equal(buf, plain, pn);
		srtp_session_free(s);
		srtp_session_free(o);
	}
	srtp_fast_force_evp(false);
}

static void test_srtp_suites(void **state)
{
	static const size_t lens[SRTP_SUITES] = {44, 28, 30, 30};
	uint8_t key[64] = {};
	struct srtp_session *s = NULL;
	enum srtp_suite back;
	unsigned i, n;

	(void)state;
	for (i = 0; i < SRTP_SUITES; i++) {
		assert_true(srtp_suite_from_name(span_str(srtp_suite_name(i)), &back));
		assert_int_equal(back, i);
		assert_int_equal(srtp_suite_key_len(i), lens[i]);
		for (n = 0; n < sizeof(key); n++)
			if (n != lens[i])
				assert_int_equal(srtp_session_new(i, span_of(key, n), true, &s),
						 -EINVAL);
	}
	assert_false(srtp_suite_from_name(SPAN("AES_CM_128_HMAC_SHA1_8"), &back));
	assert_false(srtp_suite_from_name(SPAN("aes_cm_128_hmac_sha1_80"), &back));
	assert_int_equal(srtp_session_new(SRTP_SUITES, span_of(key, 30), true, &s), -EINVAL);
	assert_null(s);
	for (i = 0; i < SRTP_RESULTS; i++)
		assert_non_null(srtp_result_name(i));
}

/* Headers that must not be read past their end, nor be believed. */
static void test_srtp_header_refused(void **state)
{
	static const struct {
		bool rtcp;
		const char *hex; /* before what SRTP adds */
		enum srtp_result want;
	} t[] = {
		{false, "8000000100000000000000", SRTP_SHORT},
		{false, "", SRTP_SHORT},
		{false, "400000010000000000000000", SRTP_MALFORMED}, /* version 1 */
		{false, "c00000010000000000000000", SRTP_MALFORMED}, /* version 3 */
		{false, "810000010000000000000000", SRTP_MALFORMED}, /* one CSRC, not there */
		{false, "8f00000100000000000000000000000000000000", SRTP_MALFORMED},
		{false, "900000010000000000000000", SRTP_MALFORMED}, /* extension, no head */
		{false, "900000010000000000000000bede0001", SRTP_MALFORMED}, /* head, no body */
		{false, "900000010000000000000000bedeffff00000000", SRTP_MALFORMED},
		{false, "910000010000000000000000bede0001", SRTP_MALFORMED},
		{true, "80c80001000000", SRTP_SHORT},
		{true, "40c8000100000000", SRTP_MALFORMED},
	};
	struct srtp_session *s, *o;
	uint8_t buf[64], *exact;
	uint32_t n, extra;
	unsigned i, suite;

	(void)state;
	for (suite = 0; suite < SRTP_SUITES; suite++) {
		s = session(suite, true);
		o = session(suite, false);
		for (i = 0; i < COUNT(t); i++) {
			n = (uint32_t)unhex(t[i].hex, buf);
			assert_int_equal(one(s, buf, &n, sizeof(buf), t[i].rtcp), t[i].want);
			extra = (uint32_t)srtp_suite_tag_len(suite, t[i].rtcp) +
				(t[i].rtcp ? 4 : 0);
			exact = calloc(1, n + extra);
			memcpy(exact, buf, n);
			memset(exact + n, 0xff, extra); /* E bit set */
			n += extra;
			assert_int_equal(one(o, exact, &n, n, t[i].rtcp), t[i].want);
			free(exact);
		}
		assert_int_equal(o->streams->n, 0);
		assert_int_equal(s->streams->n, 0);
		srtp_session_free(s);
		srtp_session_free(o);
	}
}

static void test_srtp_room(void **state)
{
	struct srtp_session *s = session(SRTP_AEAD_AES_256_GCM, true);
	uint8_t buf[256];
	uint32_t n = 100;

	(void)state;
	rtp(buf, 100, 1, 7);
	assert_int_equal(one(s, buf, &n, 115, false), SRTP_NO_ROOM);
	assert_int_equal(one(s, buf, &n, 119, true), SRTP_NO_ROOM);
	assert_int_equal(one(s, buf, &n, 99, false), SRTP_NO_ROOM);
	assert_int_equal(n, 100);
	assert_int_equal(one(s, buf, &n, 116, false), SRTP_OK);
	assert_int_equal(n, 116);
	srtp_session_free(s);
}

static enum srtp_result send_ssrc(struct srtp_session *s, uint16_t seq, uint32_t ssrc)
{
	uint8_t buf[128];
	uint32_t n = 60;

	rtp(buf, n, seq, ssrc);
	return one(s, buf, &n, sizeof(buf), false);
}

static enum srtp_result pass_ssrc(struct srtp_session *s, struct srtp_session *o, uint16_t seq,
				  uint32_t ssrc, bool spoil)
{
	uint8_t buf[128];
	uint32_t n = 60;

	rtp(buf, n, seq, ssrc);
	assert_int_equal(one(s, buf, &n, sizeof(buf), false), SRTP_OK);
	buf[n - 1] ^= spoil;
	return one(o, buf, &n, sizeof(buf), false);
}

static void ssrc_open(enum srtp_suite suite)
{
	struct srtp_session *o = session(suite, false), *s[12];
	unsigned i;

	for (i = 0; i < 12; i++) /* one sender each: the limit under test is the receiver's */
		s[i] = session(suite, true);
	now_ms = 1000;
	for (i = 0; i < SRTP_SSRC_MAX; i++, now_ms++) {
		assert_int_equal(pass_ssrc(s[i], o, 1, i, true), SRTP_AUTH);
		assert_int_equal(o->streams->n,
				 i); /* never by a packet that did not authenticate */
		assert_int_equal(pass_ssrc(s[i], o, 2, i, false), SRTP_OK);
		assert_int_equal(o->streams->n, i + 1);
	}
	assert_int_equal(pass_ssrc(s[8], o, 1, 8, false), SRTP_SSRC_LIMIT);
	now_ms = 1000 + SRTP_FORGET_MS - 1;
	assert_int_equal(pass_ssrc(s[8], o, 2, 8, false), SRTP_SSRC_LIMIT);
	assert_int_equal(pass_ssrc(s[0], o, 3, 0, false), SRTP_OK); /* now SSRC 1 is the oldest */
	now_ms = 1001 + SRTP_FORGET_MS;
	assert_int_equal(pass_ssrc(s[8], o, 3, 8, true), SRTP_AUTH);
	assert_int_equal(pass_ssrc(s[1], o, 3, 1, false),
			 SRTP_OK); /* still there; 2 is the oldest */
	now_ms++;
	assert_int_equal(pass_ssrc(s[8], o, 4, 8, false), SRTP_OK);
	assert_int_equal(pass_ssrc(s[0], o, 4, 0, false), SRTP_OK);
	assert_int_equal(o->streams->n, SRTP_SSRC_MAX);
	assert_null(srtp_streams_find(o->streams, 2));
	for (i = 0; i < 12; i++)
		srtp_session_free(s[i]);
	srtp_session_free(o);
}

/* A sender must not come back to an SSRC whose indices it forgot: the key stream would be used twice. */
static void ssrc_seal(enum srtp_suite suite)
{
	struct srtp_session *s = session(suite, true);
	unsigned i;

	now_ms = 1000;
	for (i = 0; i < SRTP_SSRC_MAX; i++)
		assert_int_equal(send_ssrc(s, 1, i), SRTP_OK);
	assert_int_equal(send_ssrc(s, 1, 99), SRTP_SSRC_LIMIT);
	for (i = 0; i < SRTP_FORGOTTEN_MAX; i++) {
		now_ms += SRTP_FORGET_MS;
		assert_int_equal(send_ssrc(s, 1, 100 + i), SRTP_OK);
	}
	assert_int_equal(send_ssrc(s, 2, 0), SRTP_SSRC_LIMIT);
	now_ms += SRTP_FORGET_MS;
	assert_int_equal(send_ssrc(s, 2, 0), SRTP_SSRC_LIMIT);
	assert_int_equal(send_ssrc(s, 1, 500), SRTP_SSRC_LIMIT);
	assert_int_equal(send_ssrc(s, 2, 100 + SRTP_FORGOTTEN_MAX - 1), SRTP_OK);
	srtp_session_free(s);
}

static void test_srtp_ssrc_limit(void **state)
{
	unsigned suite;

	(void)state;
	srtp_clock = fake_clock;
	for (suite = 0; suite < SRTP_SUITES; suite++) {
		ssrc_open(suite);
		ssrc_seal(suite);
		assert_int_equal(srtp_init(SRTP_LIBSRTP2), 0);
		ssrc_open(suite);
		ssrc_seal(suite);
		assert_int_equal(srtp_init(SRTP_FAST), 0);
	}
}

static void test_srtp_key_limit(void **state)
{
	struct srtp_session *s = session(SRTP_AES_CM_128_HMAC_SHA1_80, true);
	uint8_t buf[128];
	uint32_t n = 60;

	(void)state;
	assert_int_equal(send_ssrc(s, 1, 7), SRTP_OK);
	srtp_streams_find(s->streams, 7)->rtcp_top = SRTP_RTCP_MAX - 2;
	rtp(buf, n, 1, 7);
	put16(buf + 4, 0);
	put16(buf + 6, 7);
	assert_int_equal(one(s, buf, &n, sizeof(buf), true), SRTP_OK);
	assert_int_equal(one(s, buf, &n, sizeof(buf), true), SRTP_KEY_LIMIT);

	srtp_streams_find(s->streams, 7)->rtp_top = SRTP_RTP_MAX - 1;
	assert_int_equal(send_ssrc(s, 0, 7), SRTP_KEY_LIMIT); /* ROC would wrap */
	s->streams->count[0] = SRTP_RTP_MAX - 1;
	assert_int_equal(send_ssrc(s, 0, 8), SRTP_OK);
	assert_int_equal(send_ssrc(s, 1, 8), SRTP_KEY_LIMIT);
	s->streams->count[1] = SRTP_RTCP_MAX;
	n = 60;
	rtp(buf, n, 1, 9);
	assert_int_equal(one(s, buf, &n, sizeof(buf), true), SRTP_KEY_LIMIT);
	srtp_session_free(s);
}

static void test_srtp_window_edges(void **state)
{
	struct srtp_session *s, *o;
	uint8_t buf[130][128];
	uint32_t n[130];
	unsigned i;

	(void)state;
	s = session(SRTP_AES_CM_128_HMAC_SHA1_32, true);
	o = session(SRTP_AES_CM_128_HMAC_SHA1_32, false);
	for (i = 0; i < 130; i++) {
		n[i] = 60;
		rtp(buf[i], 60, (uint16_t)(65500 + i), 7); /* over a wrap */
		assert_int_equal(one(s, buf[i], &n[i], 128, false), SRTP_OK);
	}
	assert_int_equal(one(o, buf[1], &n[1], 128, false), SRTP_OK);
	assert_int_equal(one(o, buf[129], &n[129], 128, false), SRTP_OK);
	assert_int_equal(one(o, buf[0], &n[0], 128, false), SRTP_OLD);
	assert_int_equal(one(o, buf[2], &n[2], 128, false),
			 SRTP_OK); /* 127 behind: the last in the window */
	assert_int_equal(srtp_streams_find(o->streams, 7)->rtp_top, 65500 + 129);
	srtp_session_free(s);
	srtp_session_free(o);
}

static int setup(void **state)
{
	(void)state;
	return srtp_init(SRTP_AUTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_srtp_kdf),
		cmocka_unit_test(test_srtp_provider_vectors),
		cmocka_unit_test(test_srtp_gcm_vectors),
		cmocka_unit_test(test_srtp_suites),
		cmocka_unit_test(test_srtp_header_refused),
		cmocka_unit_test(test_srtp_room),
		cmocka_unit_test(test_srtp_ssrc_limit),
		cmocka_unit_test(test_srtp_key_limit),
		cmocka_unit_test(test_srtp_window_edges),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
