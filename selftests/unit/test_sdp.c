/* selftests/unit/test_sdp.c -- session descriptions: what is read, what is refused, and what a rewrite leaves of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "selftests/unit/sip_spans.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

#define V     "v=0\r\n"
#define O     "o=alice 1 2 IN IP4 198.51.100.7\r\n"
#define S     "s=-\r\n"
#define C     "c=IN IP4 198.51.100.7\r\n"
#define T     "t=0 0\r\n"
#define HEAD  V O S C T
#define AUDIO "m=audio 4000 RTP/SAVP 0 8\r\n"
#define KEY   "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define KEY44 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis="

static struct sdp sdp;

static const struct {
	const char *text;
	enum sdp_why why;
} bad[] = {
	{"", SDP_WHY_VERSION},
	{"v=1\r\n" O S C T, SDP_WHY_VERSION},
	{"v=0 \r\n" O S C T, SDP_WHY_VERSION},
	{"V=0\r\n" O S C T, SDP_WHY_VERSION},
	{O V S C T, SDP_WHY_VERSION},
	{"\r\n" HEAD, SDP_WHY_VERSION},
	{V S C T, SDP_WHY_ORDER},
	{V O C T, SDP_WHY_ORDER},
	{V O S C, SDP_WHY_ORDER},
	{V O O S C T, SDP_WHY_ORDER},
	{V O S S C T, SDP_WHY_ORDER},
	{HEAD V, SDP_WHY_LINE},
	{V O S C AUDIO T, SDP_WHY_ORDER},
	{HEAD AUDIO O, SDP_WHY_ORDER},
	{HEAD AUDIO S, SDP_WHY_ORDER},
	{HEAD AUDIO T, SDP_WHY_ORDER},
	{HEAD AUDIO "u=http://x\r\n", SDP_WHY_ORDER},
	/* lines */
	{HEAD "\r\n", SDP_WHY_LINE},
	{HEAD "a\r\n", SDP_WHY_LINE},
	{HEAD "a =x\r\n", SDP_WHY_LINE},
	{HEAD " a=x\r\n", SDP_WHY_LINE},
	{HEAD "A=x\r\n", SDP_WHY_LINE},
	{HEAD "q=x\r\n", SDP_WHY_LINE},
	{HEAD "a=x\ry\r\n", SDP_WHY_LINE},
	{HEAD "a=x\r\r\n", SDP_WHY_LINE},
	{HEAD AUDIO "a=sendonly\r\na=recvonly\r\n", SDP_WHY_LINE},
	/* origin */
	{V "o=alice 1 2 IN IP4\r\n" S C T, SDP_WHY_ORIGIN},
	{V "o=alice x 2 IN IP4 h\r\n" S C T, SDP_WHY_ORIGIN},
	{V "o=alice 1 -2 IN IP4 h\r\n" S C T, SDP_WHY_ORIGIN},
	{V "o=alice 1 2 IN IP5 h\r\n" S C T, SDP_WHY_ORIGIN},
	{V "o=alice  1 2 IN IP4 h\r\n" S C T, SDP_WHY_ORIGIN},
	{V "o=alice 1 2 IN IP4 h x\r\n" S C T, SDP_WHY_ORIGIN},
	/* connection */
	{V O S T "c=IN IP4\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP4 \r\n", SDP_WHY_CONNECTION},
	{V O S T "c=XX IP4 1.2.3.4\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=in ip4 1.2.3.4\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP4 ::1\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP6 1.2.3.4\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP6 [::1]\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP4 1.2.3.4 5\r\n", SDP_WHY_CONNECTION},
	{V O S T "c=IN IP4 1.2.3.4:5\r\n", SDP_WHY_CONNECTION},
	{HEAD C, SDP_WHY_CONNECTION},
	{HEAD AUDIO C C, SDP_WHY_CONNECTION},
	{V O S T AUDIO, SDP_WHY_CONNECTION},
	/* media */
	{HEAD "m=\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/AVP\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/AVP \r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/AVP 0 \r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/AVP 0  8\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio  1 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 65536 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 000001 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio -1 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1/0 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1/ RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1/2/3 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/AVP 0\t8\r\n", SDP_WHY_MEDIA},
	/* crypto */
	{HEAD AUDIO "a=crypto\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:x X inline:" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1234567890 X inline:" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto: 1 X inline:" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1  X inline:" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:AAAAA\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:AA=\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:A===\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X\x01Y inline:" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X :" KEY "\r\n", SDP_WHY_CRYPTO},
	{HEAD "m=au\x01 1 RTP/AVP 0\r\n", SDP_WHY_MEDIA},
	{HEAD "m=audio 1 RTP/\x01 0\r\n", SDP_WHY_MEDIA},
	{V O C T AUDIO, SDP_WHY_ORDER},
	{HEAD AUDIO "a=crypto:1 X inline:AA=A\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:AA-_\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:====\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|2^\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|x\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|1:\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|:4\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|1:1000\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|1:4|2^20\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|5|6\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "|1:4|1:4\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "  KDR=1\r\n", SDP_WHY_CRYPTO},
	{HEAD AUDIO "a=crypto:1 X inline:" KEY "\r\na=crypto:1 Y inline:" KEY "\r\n",
	 SDP_WHY_CRYPTO},
	/* rtcp */
	{HEAD AUDIO "a=rtcp\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:0\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:65536\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:x\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:1\r\na=rtcp:1\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:1 IN IP4 name\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:1 IN IP6 1.2.3.4\r\n", SDP_WHY_RTCP},
	{HEAD AUDIO "a=rtcp:1 1.2.3.4\r\n", SDP_WHY_RTCP},
};

static void test_sdp_refused(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LEN(bad); i++) {
		enum sdp_why why = SDP_OK;
		int r = sdp_parse(span_str(bad[i].text), &sdp, &why);

		if (r != -EBADMSG || why != bad[i].why)
			fail_msg("bad[%zu]: %d %s\n%s", i, r, sdp_why_text(why), bad[i].text);
	}
	for (i = 0; i < SDP_WHYS; i++)
		assert_true(*sdp_why_text((enum sdp_why)i) != 0);
}

static void test_sdp_nul(void **state)
{
	static const char text[] = HEAD "a=x\0y\r\n";
	enum sdp_why why = SDP_OK;

	(void)state;
	assert_int_equal(sdp_parse(span_of(text, sizeof(text) - 1), &sdp, &why), -EBADMSG);
	assert_int_equal(why, SDP_WHY_LINE);
}

static void test_sdp_limits(void **state)
{
	char text[4096] = HEAD;
	enum sdp_why why;
	unsigned i;

	(void)state;
	for (i = 0; i < SDP_MEDIA_MAX; i++)
		strcat(text, AUDIO);
	assert_int_equal(sdp_parse(span_str(text), &sdp, &why), 0);
	assert_int_equal(sdp.n_media, SDP_MEDIA_MAX);
	strcat(text, AUDIO);
	assert_int_equal(sdp_parse(span_str(text), &sdp, &why), -E2BIG);
	assert_int_equal(why, SDP_WHY_TOO_MANY);
	strcpy(text, HEAD AUDIO);
	for (i = 0; i <= SDP_CRYPTO_MAX; i++) {
		char line[] = "a=crypto:1 X inline:" KEY "\r\n";

		line[9] = (char)('1' + i);
		strcat(text, line);
		assert_int_equal(sdp_parse(span_str(text), &sdp, &why),
				 i < SDP_CRYPTO_MAX ? 0 : -E2BIG);
	}
	assert_int_equal(why, SDP_WHY_TOO_MANY);
}

/* What rtpengine answers: a GCM key of 28 or 44 bytes without its padding. */
static void test_sdp_key_without_padding(void **state)
{
	static const char *const keys[] = {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw", "AAAAAAA"};
	char text[512];
	enum sdp_why why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), HEAD AUDIO "a=crypto:1 X inline:%s|2^31\r\n", keys[i]);
		assert_int_equal(sdp_parse(span_str(text), &sdp, &why), 0);
		assert_int_equal(sdp.media[0].n_crypto, 1);
		assert_true(span_eq(sdp.media[0].crypto[0].key_b64, span_str(keys[i])));
	}
}

static struct addr ip(const char *s)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(s), &a), 0);
	return a;
}

static bool same_ip(const struct addr *a, const char *s)
{
	struct addr b = ip(s);

	return addr_ip_eq(a, &b);
}

static const char rich[] = V O S
	"i=x\r\nb=CT:9\r\n" T "a=sendonly\r\na=ice-ufrag:u\r\n"
	"m=audio 4000/2 RTP/SAVPF 0 101\r\nc=IN IP6 2001:db8::1\r\na=rtcp-mux\r\n"
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^31|1:4 KDR=1 UNENCRYPTED_SRTP\r\n"
	"a=crypto:999999999 AEAD_AES_256_GCM inline:" KEY44
	"\r\na=crypto:5 AEAD_AES_128_GCM inline:AAAAAA==\r\n"
	"a=crypto:3 X other:abc\r\na=crypto:4 X inline:" KEY "|1:4;inline:" KEY
	"|2:4\r\na=recvonly\r\n"
	"m=video 5000 RTP/AVP 31\r\nc=IN IP4 0.0.0.0\r\na=rtcp:5005 IN IP4 "
	"192.0.2.9\r\na=fingerprint:x y\r\n"
	"m=audio 65535 RTP/AVPF 0\r\nc=IN IP4 host.example.com\r\n"
	"m=image 0 udptl t38\r\n"
	"m=audio 7000 rtp/avp 0\r\nc=IN IP4 224.0.0.1/127\r\na=rtcp:1";

static void test_sdp_fields(void **state)
{
	struct span in = span_str(rich);
	const struct sdp_media *m = sdp.media;
	enum sdp_why why;

	(void)state;
	assert_int_equal(sdp_parse(in, &sdp, &why), 0);
	assert_true(sdp_inside(&sdp, in) && !sdp.has_conn && !sdp.conn_valid);
	assert_true(span_eq(sdp.origin, SPAN("alice 1 2 IN IP4 198.51.100.7")));
	assert_int_equal(sdp.n_media, 5);

	assert_true(m->port == 4000 && m->ports == 2 && m->proto == SDP_RTP_SAVPF);
	assert_true(span_eq(m->type, SPAN("audio")) && span_eq(m->formats, SPAN("0 101")));
	assert_true(m->has_conn && m->conn_valid && same_ip(&m->conn, "2001:db8::1"));
	assert_true(m->rtcp_mux && m->rtcp_port == 4001 && same_ip(&m->rtcp_addr, "2001:db8::1"));
	assert_true(m->direction == SDP_RECVONLY && m->has_ice && !m->has_dtls);
	assert_int_equal(m->n_crypto, 3);
	assert_true(span_eq(m->crypto[2].key_b64, SPAN("AAAAAA==")));
	assert_int_equal(m->crypto[0].tag, 1);
	assert_true(m->crypto[0].has_mki && m->crypto[0].has_lifetime);
	assert_true(span_eq(m->crypto[0].key_b64, SPAN(KEY)));
	assert_true(span_eq(m->crypto[0].params, SPAN("KDR=1 UNENCRYPTED_SRTP")));
	assert_int_equal(m->crypto[1].tag, 999999999);
	assert_true(span_eq(m->crypto[1].suite, SPAN("AEAD_AES_256_GCM")));
	assert_true(span_eq(m->crypto[1].key_b64, SPAN(KEY44)) && m->crypto[1].params.n == 0);
	assert_true(!m->crypto[1].has_mki && !m->crypto[1].has_lifetime);

	m++;
	assert_true(m->proto == SDP_RTP_AVP && m->direction == SDP_SENDONLY && m->has_dtls);
	assert_true(m->conn_valid && addr_is_any(&m->conn) && m->rtcp_port == 5005);
	assert_true(same_ip(&m->rtcp_addr, "192.0.2.9") && !m->rtcp_mux && m->ports == 1);
	m++;
	assert_true(m->proto == SDP_RTP_AVPF && m->has_conn && !m->conn_valid && m->rtcp_port == 0);
	m++;
	assert_true(m->port == 0 && m->proto == SDP_PROTO_OTHER && !m->has_conn &&
		    m->rtcp_port == 0);
	m++;
	assert_true(m->proto == SDP_PROTO_OTHER && !m->conn_valid && m->rtcp_port == 1);
}

/* Line ends do not change the reading, and cuts never read behind the end. */
static void test_sdp_line_ends(void **state)
{
	char text[sizeof(rich)];
	enum sdp_why why;
	size_t n = 0, i;

	(void)state;
	for (i = 0; i < sizeof(rich) - 1; i++)
		if (rich[i] != '\r')
			text[n++] = rich[i];
	assert_int_equal(sdp_parse(span_of(text, n), &sdp, &why), 0);
	assert_int_equal(sdp.n_media, 5);
	assert_true(span_eq(sdp.media[0].formats, SPAN("0 101")));
	for (i = 0; i < sizeof(rich); i++) {
		uint8_t *cut = malloc(i ? i : 1);
		int r;

		memcpy(cut, rich, i);
		r = sdp_parse(span_of(cut, i), &sdp, &why);
		assert_true(r == 0 || (r == -EBADMSG && why != SDP_OK));
		assert_true(r || sdp_inside(&sdp, span_of(cut, i)));
		free(cut);
	}
}

static const uint8_t key[44] = {0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14,
				15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
				30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43};
static const struct sdp_crypto_out crypto[] = {
	{.tag = 7, .suite = "AEAD_AES_256_GCM", .key = key, .key_len = 44},
	{.tag = 8, .suite = "AEAD_AES_128_GCM", .key = key, .key_len = 28},
};

static void rewrite(const char *text, const struct sdp_media_edit *edits, unsigned n,
		    const char *want)
{
	char buf[4096];
	enum sdp_why why;
	size_t cap;
	ssize_t len;

	assert_int_equal(sdp_parse(span_str(text), &sdp, &why), 0);
	len = sdp_rewrite(&sdp, edits, n, buf, sizeof(buf) - 1);
	assert_true(len > 0);
	buf[len] = 0;
	assert_string_equal(buf, want);
	for (cap = 0; cap < (size_t)len; cap++)
		assert_int_equal(sdp_rewrite(&sdp, edits, n, buf, cap), -E2BIG);
}

/* Towards a client: RTP becomes SRTP; everything that names the inside is gone, everything else is in its place. */
static void test_rewrite_secure(void **state)
{
	struct sdp_media_edit e[2] = {
		{.addr = ip("203.0.113.1"),
		 .port = 36000,
		 .rtcp_port = 36001,
		 .secure = true,
		 .crypto = crypto,
		 .n_crypto = 2},
		{.addr = ip("2001:db8::9"),
		 .port = 36002,
		 .rtcp_port = 40000,
		 .rtcp_mux = true,
		 .secure = true,
		 .crypto = crypto + 1,
		 .n_crypto = 1},
	};

	(void)state;
	rewrite(V O "s=a b\r\ni=info\r\nc=IN IP4 10.0.0.1\r\nb=AS:1\r\n" T "a=group:LS "
		    "1\r\na=candidate:x\r\na=ice-lite\r\na=fingerprint:f\r\na=setup:actpass\r\n"
		    "m=audio 5000/2 RTP/AVP 0 8\r\ni=one\r\nc=IN IP4 "
		    "10.0.0.2\r\nb=AS:64\r\na=rtcp:5003 IN IP4 10.0.0.3\r\n"
		    "a=rtcp-mux\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-fb:0 "
		    "nack\r\na=ICE-pwd:p\r\na=end-of-candidates\r\n"
		    "a=remote-candidates:1\r\na=tls-id:x\r\na=acap:1 crypto:1 X "
		    "inline:AAAA\r\na=sendonly\r\n"
		    "m=video 6000 RTP/AVPF 96\na=crypto:1 X inline:AAAA\na=mid:2\n",
		e, 2,
		V "o=alice 1 2 IN IP4 203.0.113.1\r\ns=a b\r\ni=info\r\nc=IN IP4 "
		  "203.0.113.1\r\nb=AS:1\r\n" T "a=group:LS 1\r\n"
		  "m=audio 36000 RTP/SAVP 0 8\r\ni=one\r\nb=AS:64\r\na=rtpmap:0 "
		  "PCMU/8000\r\na=rtcp-fb:0 nack\r\n"
		  "a=sendonly\r\na=crypto:7 AEAD_AES_256_GCM inline:" KEY44 "\r\n"
		  "a=crypto:8 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\r\n"
		  "m=video 36002 RTP/SAVPF 96\r\nc=IN IP6 2001:db8::9\r\na=mid:2\r\n"
		  "a=crypto:8 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\r\n"
		  "a=rtcp:40000\r\na=rtcp-mux\r\n");
}

/* Towards the inside: SRTP becomes RTP; an m-line that cannot be anchored is bare. */
static void test_rewrite_plain_and_reject(void **state)
{
	struct sdp_media_edit e[4] = {
		{.reject = true},
		{.addr = ip("2001:db8::9"), .port = 36000},
		{.reject = true},
		{.addr = ip("2001:db8::9"), .port = 36004},
	};

	(void)state;
	rewrite(V O S T
		"m=video 4000 RTP/SAVPF 96\r\ni=x\r\nc=IN IP4 10.0.0.1\r\na=mid:v\r\na=rtpmap:96 "
		"x/1\r\n"
		"m=audio 4002 RTP/SAVP 0\r\nc=IN IP4 10.0.0.1\r\na=crypto:1 X inline:AAAA\r\n"
		"m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n"
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=setup:active",
		e, 4,
		V "o=alice 1 2 IN IP6 2001:db8::9\r\n" S "c=IN IP6 2001:db8::9\r\n" T
		  "m=video 0 RTP/AVPF 96\r\na=mid:v\r\nm=audio 36000 RTP/AVP 0\r\n"
		  "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nm=audio 36004 RTP/AVPF 111\r\n");
}

/* A profile that is not RTP over UDP is not ours to rename. */
static void test_rewrite_other_profiles(void **state)
{
	struct sdp_media_edit e[4];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(e); i++)
		e[i] = (struct sdp_media_edit){.addr = ip("198.51.100.7"),
					       .port = (uint16_t)(36000 + i),
					       .secure = i == 3};
	rewrite(HEAD "m=image 4000 udptl t38\r\nm=audio 4002 TCP/RTP/AVP 0\r\n"
		     "m=audio 4004 UDP/TLS/RTP/SAVP 0\r\nm=audio 4006 UDP/TLS/RTP/SAVPF 0\r\n",
		e, 4,
		HEAD "m=image 36000 udptl t38\r\nm=audio 36001 TCP/RTP/AVP 0\r\n"
		     "m=audio 36002 RTP/AVP 0\r\nm=audio 36003 RTP/SAVPF 0\r\n");
}

static void test_rewrite_without_media(void **state)
{
	char buf[16];

	(void)state;
	rewrite(HEAD "a=crypto:1 x\r\n", NULL, 0, HEAD);
	assert_int_equal(sdp_rewrite(&sdp, NULL, 1, buf, sizeof(buf)), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sdp_refused),
		cmocka_unit_test(test_sdp_key_without_padding),
		cmocka_unit_test(test_sdp_nul),
		cmocka_unit_test(test_sdp_limits),
		cmocka_unit_test(test_sdp_fields),
		cmocka_unit_test(test_sdp_line_ends),
		cmocka_unit_test(test_rewrite_secure),
		cmocka_unit_test(test_rewrite_plain_and_reject),
		cmocka_unit_test(test_rewrite_other_profiles),
		cmocka_unit_test(test_rewrite_without_media),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
