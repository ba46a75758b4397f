/* selftests/unit/test_engine_offer.c -- offer/answer through the engine: what is refused, suites and keys, early
 * media, offers in answers, re-INVITE. In: literal messages of both sides. Out: what the other side gets, media
 * actions, and that nothing is left. */
#include "selftests/unit/call_kit.h"

static void test_offer_refused(void **state)
{
	static const struct {
		const char *sdp, *reason;
	} rows[] = {
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/AVP 0\n", "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\n", "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/AVP 0\na=crypto:1 "
					 "AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		 "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 F8_128_HMAC_SHA1_80 "
					 "inline:" KEY_CLIENT "\n",
		 "plain-rtp"},
		/* a key too short, an MKI, parameters that change the stream */
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 "
					 "AES_CM_128_HMAC_SHA1_80 "
					 "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\n",
		 "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 "
					 "AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "|2^20|1:4\n",
		 "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 "
					 "AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
					 " UNENCRYPTED_SRTP\n",
		 "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 "
					 "AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT " KDR=1\n",
		 "plain-rtp"},
		{SDP_HEAD("192.168.1.9") "m=image 4000 udptl t38\n", "plain-rtp"},
		{"v=1\nnonsense\n", "bad-sdp"},
	};
	char want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();

		kit_client(k, 1, INVITE_OUT CT_SDP "%s", rows[i].sdp);
		(void)kit_client_answer(k, 1, 100);
		(void)kit_client_answer(k, 1, 488);
		kit_nothing(k);
		(void)snprintf(want, sizeof(want), "event=call-refused reason=%s ", rows[i].reason);
		assert_non_null(strstr(k->logs, want));
		assert_int_equal(engine_stats(k->e)->refused_plain_rtp,
				 strcmp(rows[i].reason, "plain-rtp") == 0);
		assert_int_equal(k->n_media, 0);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_offer_suites(void **state)
{
	static const char k44[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=";
	static const char k28[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==";
	static const struct {
		const char *lines, *answer;
		enum engine_suite suite;
	} rows[] = {
		/* ours is the order of preference; the tag is echoed; unusable lines are passed over */
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" KEY_CLIENT
		 "\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		 "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:", ENGINE_CM80},
		{"a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:" KEY_CLIENT "|2^31 WSH=64 -x\n",
		 "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:", ENGINE_CM32},
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		 "\na=crypto:5 AEAD_AES_256_GCM inline:%44$s\n",
		 "a=crypto:5 AEAD_AES_256_GCM inline:", ENGINE_GCM256},
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		 "\na=crypto:6 AEAD_AES_128_GCM inline:%28$s\n",
		 "a=crypto:6 AEAD_AES_128_GCM inline:", ENGINE_GCM128},
		{"a=crypto:1 AEAD_AES_256_GCM inline:" KEY_CLIENT
		 "\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		 "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:", ENGINE_CM80},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();
		struct kit_msg *m;
		char lines[600], *at;

		(void)snprintf(lines, sizeof(lines), "%s", rows[i].lines);
		at = strchr(lines, '%');
		if (at)
			(void)sprintf(at, "%s\n", at[1] == '4' ? k44 : k28);
		kit_client(k, 1,
			   INVITE_OUT CT_SDP SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVPF 0\n%s",
			   lines);
		m = kit_inside_request(k, "INVITE");
		assert_non_null(strstr(kit_body(m), "RTP/AVPF 0"));
		kit_inside(k,
			   "%s" CONTACT_B CT_SDP SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/AVPF 0\n",
			   kit_answer(k, m, "200 OK", "b1"));
		(void)kit_client_answer(k, 1, 100);
		m = kit_client_answer(k, 1, 200);
		assert_non_null(strstr(kit_body(m), "RTP/SAVPF 0"));
		assert_non_null(strstr(kit_body(m), rows[i].answer));
		assert_null(strstr(strstr(kit_body(m), "a=crypto") + 1, "a=crypto"));
		assert_int_equal(k->media[0].set.open_suite, rows[i].suite);
		assert_int_equal(k->media[0].set.seal_suite, rows[i].suite);
		assert_int_equal(k->media[0].set.open_key[27], 27);
		assert_memory_not_equal(k->media[0].set.open_key, k->media[0].set.seal_key, 28);
		kit_free(k);
	}
}

#define CLOCK(type, hz)	 ((uint32_t)(hz) << 8 | 0x80 | (type))
#define CLOCKS_CLIENT	 "96 0 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/48000\n"
#define CLOCKS_INSIDE	 "0 98\na=rtpmap:98 speex/16000\n"
#define CRYPTO_CLIENT(t) "a=crypto:" t " AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n"

static void clocks_check(struct kit *k)
{
	/* The client sends what the inside wants, and the other way round; what both know comes first. */
	const uint32_t in[8] = {CLOCK(0, 8000), CLOCK(98, 16000)},
		       out[8] = {CLOCK(0, 8000), CLOCK(96, 48000)};
	const struct engine_medium_set *set = &k->media[0].set;

	assert_true(set->clocks_in[0] == in[0] && set->clocks_in[1] == in[1] && !set->clocks_in[2]);
	assert_int_equal(set->clocks_out[0] ^ set->clocks_out[1], out[0] ^ out[1]);
	assert_true(set->clocks_out[0] == out[0] || set->clocks_out[0] == out[1]);
	assert_int_equal(set->clocks_out[2], 0);
}

static void test_offer_clocks_out(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_client(
		k, 1,
		INVITE_OUT CT_SDP SDP_HEAD(
			"192.168.1.9") "m=audio 4000 RTP/SAVP " CLOCKS_CLIENT CRYPTO_CLIENT("1"));
	m = kit_inside_request(k, "INVITE");
	kit_inside(
		k,
		"%s" CONTACT_B CT_SDP SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/AVP " CLOCKS_INSIDE,
		kit_answer(k, m, "200 OK", "b1"));
	clocks_check(k);
	assert_int_equal(k->media[0].set.clocks_out[0], CLOCK(0, 8000));
	kit_free(k);
}

static void test_offer_clocks_in(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_inside(k, INVITE_IN CT_SDP SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/AVP " CLOCKS_INSIDE,
		   kit_path);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1,
		   "%s" CONTACT_A CT_SDP SDP_HEAD(
			   "192.168.1.9") "m=audio 4000 RTP/SAVP " CLOCKS_CLIENT CRYPTO_CLIENT("3"),
		   kit_answer(k, m, "200 OK", "a1"));
	clocks_check(k);
	kit_free(k);
}

static void test_offer_inside_offer_refused(void **state)
{
	struct kit *k = kit_alice();

	(void)state;
	kit_inside(k,
		   INVITE_IN CT_SDP SDP_HEAD(
			   "10.0.0.77") "m=audio 5000 RTP/SAVP 0\na=crypto:1 "
					"AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		   kit_path);
	(void)kit_inside_answer(k, 100);
	(void)kit_inside_answer(k, 488);
	kit_nothing(k);
	assert_non_null(strstr(k->logs, "event=call-refused reason=srtp-inside"));
	kit_settled(k);
	kit_free(k);
}

/* Lines that cannot be anchored, or are too many, get port 0 and come back rejected. */
static void test_offer_more_lines(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;
	unsigned i;

	(void)state;
	kit_client(
		k, 1,
		INVITE_OUT CT_SDP OFFER_CLIENT
		"m=video 4002 RTP/AVP 96\nm=application 4004 UDP/BFCP *\nm=video 4006 RTP/SAVP "
		"97\na=rtcp-mux\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:" KEY_CLIENT
		"\nm=audio 4008 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		"\nm=audio 4010 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		"\nm=audio 4012 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		"\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_int_equal(k->n_media, 4);
	assert_non_null(strstr(kit_body(m), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_non_null(strstr(kit_body(m), "m=video 0 RTP/AVP 96\r\n"));
	assert_non_null(strstr(kit_body(m), "m=application 0 UDP/BFCP *\r\n"));
	assert_non_null(strstr(kit_body(m), "m=video 37002 RTP/AVP 97\r\n"));
	assert_non_null(strstr(kit_body(m), "m=audio 37006 RTP/AVP 0\r\n"));
	assert_non_null(strstr(kit_body(m), "m=audio 0 RTP/AVP 0\r\n"));
	assert_true(k->media[0].with_rtcp);
	assert_false(k->media[1].with_rtcp);
	kit_inside(k,
		   "%s" CONTACT_B CT_SDP ANSWER_INSIDE
		   "m=video 0 RTP/AVP 96\nm=application 0 UDP/BFCP *\nm=video 5002 RTP/AVP "
		   "97\nm=audio 0 RTP/AVP 0\nm=audio 5008 RTP/AVP 0\nm=audio 0 RTP/AVP 0\n",
		   kit_answer(k, m, "200 OK", "b1"));
	m = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(m), "m=video 36002 RTP/SAVP 97\r\n"));
	assert_non_null(strstr(kit_body(m), "a=rtcp-mux\r\n"));
	assert_non_null(strstr(kit_body(m), "m=audio 36006 RTP/SAVP 0\r\n"));
	assert_int_equal(k->media[2].closes, 1); /* the callee did not want it */
	assert_int_equal(kit_media_live(k), 3);
	for (i = 0; i < 4; i++)
		assert_int_equal(k->media[i].sets, i != 2);
	kit_free(k);
}

/* The inside's offer of rtcp-mux is not taken up, so its RTCP goes to a port of its own. */
static void test_offer_inside_mux(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m;

	(void)state;
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE "a=rtcp-mux\n", kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	assert_null(strstr(kit_body(m), "rtcp-mux"));
	kit_client(k, 1,
		   "%s" CONTACT_A CT_SDP SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP "
								 "0\na=rtcp-mux\na=crypto:3 "
								 "AES_CM_128_HMAC_SHA1_80 "
								 "inline:" KEY_CLIENT "\n",
		   kit_answer(k, m, "200 OK", "a1"));
	m = kit_inside_answer(k, 200);
	assert_null(strstr(kit_body(m), "rtcp-mux"));
	assert_true(k->media[0].with_rtcp);
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	assert_int_equal(k->media[0].set.remote_rtcp.port, 5001);
	kit_free(k);
}

#define OFFER_MUX(more)                                                                          \
	SDP_HEAD("192.168.1.9")                                                                  \
	"m=audio 4000 RTP/SAVP 0\n" more "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT \
	"\n"

/* A call of alice's whose RTCP is muxed outside. */
static struct up call_muxed(void)
{
	struct up u = {.k = kit_alice(), .out = true};
	struct kit *k = u.k;
	struct kit_msg *m;

	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_MUX("a=rtcp-mux\n"));
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	m = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(m), "a=rtcp-mux\r\n"));
	up_client(&u, 1, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	assert_false(k->media[0].with_rtcp);
	return u;
}

/* The inside offers again: towards the client it stays as it is. */
static void test_offer_mux_again(void **state)
{
	struct up u = call_muxed();
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	up_inside(&u, "INVITE", 8, CONTACT_B CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	assert_non_null(strstr(kit_body(m), "a=rtcp-mux\r\n"));
	kit_client(k, 1, "%s" CONTACT_A CT_SDP OFFER_MUX("a=rtcp-mux\n"),
		   kit_answer(k, m, "200 OK", NULL));
	m = kit_inside_answer(k, 200);
	assert_null(strstr(kit_body(m), "rtcp"));
	up_inside(&u, "ACK", 8, "");
	(void)kit_client_request(k, 1, "ACK");
	assert_int_equal(k->media[0].parted, 0);
	up_end(&u);
}

/* The client offers again without: RTCP gets a port of its own before the offer goes on. */
static void test_offer_mux_no_more(void **state)
{
	struct up u = call_muxed();
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	k->hold_media = true;
	up_client(&u, 1, "INVITE", 2, CONTACT_A CT_SDP OFFER_MUX(""));
	(void)kit_client_answer(k, 1, 100);
	assert_int_equal(k->media[0].parted, 1);
	kit_nothing(k);
	engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
	kit_drain(k);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", NULL));
	m = kit_client_answer(k, 1, 200);
	assert_null(strstr(kit_body(m), "rtcp")); /* the port above */
	up_client(&u, 1, "ACK", 2, "");
	(void)kit_inside_request(k, "ACK");
	up_end(&u);
}

/* The edge has no such port: 503 for this offer, the call goes on and may ask again. */
static void test_offer_mux_stays(void **state)
{
	struct up u = call_muxed();
	struct kit *k = u.k;

	(void)state;
	k->hold_media = true;
	up_client(&u, 1, "INVITE", 2, CONTACT_A CT_SDP OFFER_MUX(""));
	(void)kit_client_answer(k, 1, 100);
	engine_medium_failed(k->e, k->media[0].id, "no-ports", k->now);
	kit_drain(k);
	(void)kit_client_answer(k, 1, 503);
	kit_nothing(k);
	assert_int_equal(engine_stats(k->e)->calls, 1);
	k->media[0].with_rtcp = false;
	k->hold_media = false;
	up_client(&u, 1, "INVITE", 3, CONTACT_A CT_SDP OFFER_MUX(""));
	(void)kit_client_answer(k, 1, 100);
	(void)kit_inside_request(k, "INVITE");
	assert_int_equal(k->media[0].parted, 2);
	kit_free(k);
}

static void test_offer_early_media(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *r;
	char key[4][64];
	unsigned i;
	static const struct {
		const char *status, *tag;
		unsigned code;
	} rows[] = {{"183 Session Progress", "f1", 183},
		    {"183 Session Progress", "f2", 183},
		    {"183 Session Progress", "f1", 183},
		    {"200 OK", "f2", 200}};

	(void)state;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	for (i = 0; i < 4; i++) {
		kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
			   kit_answer(k, m, rows[i].status, rows[i].tag));
		r = kit_client_answer(k, 1, rows[i].code);
		(void)snprintf(key[i], sizeof(key[i]), "%.40s", strstr(kit_body(r), "inline:") + 7);
	}
	assert_string_equal(key[0], key[2]); /* a branch keeps its key */
	assert_string_equal(key[1], key[3]);
	assert_string_not_equal(key[0], key[1]);
	assert_int_equal(k->n_media, 1);
	assert_int_equal(k->media[0].closes, 0);
	/* f1, f2 came into force, f1's repetition set nothing anew, nor did f2's 200: no key comes back. */
	assert_int_equal(k->media[0].sets, 2);
	/* The other branch answers too: it is sent away here. */
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "f1"));
	r = kit_inside_request(k, "ACK");
	assert_string_equal(kit_hdr(k, r, "To"), "<sip:bob@stand.test>;tag=f1");
	r = kit_inside_request(k, "BYE");
	assert_string_equal(kit_hdr(k, r, "To"), "<sip:bob@stand.test>;tag=f1");
	kit_inside(k, "%s", kit_answer(k, r, "200 OK", NULL));
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	kit_free(k);
}

/* A branch that came and went answers for good: it gets the media back, but never under a key that was in force
 * before. */
static void test_offer_branch_returns(void **state)
{
	struct kit *k = kit_alice();
	struct engine_medium_set first;
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "183 Session Progress", "f1"));
	first = k->media[0].set;
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "183 Session Progress", "f2"));
	assert_memory_not_equal(first.seal_key, k->media[0].set.seal_key, 30);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "f1"));
	assert_int_equal(k->media[0].sets, 3);
	assert_memory_not_equal(first.seal_key, k->media[0].set.seal_key, 30);
	kit_free(k);
}

/* An answer in a provisional response to a re-INVITE changes nothing that would have to be put back when it fails. */
static void test_offer_reinvite_early(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		up_client(&u, 1, "INVITE", 2 + i,
			  CONTACT_A CT_SDP OFFER_AT("4444", "sendrecv",
						    "EAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"));
		(void)kit_client_answer(k, 1, 100);
		m = kit_inside_request(k, "INVITE");
		kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
			   kit_answer(k, m, "183 Session Progress", NULL));
		(void)kit_client_answer(k, 1, 183);
		assert_int_equal(k->media[0].sets, 1);
		/* First it fails, then it stands, with the answer's description in the 183 only. */
		kit_inside(k, "%s" CONTACT_B, kit_answer(k, m, i ? "200 OK" : "500 No", NULL));
		(void)kit_client_answer(k, 1, i ? 200 : 500);
		assert_int_equal(k->media[0].sets, 1 + i);
		if (i == 0)
			(void)kit_inside_request(k, "ACK");
	}
	assert_true(k->media[0].set.reopen);
	assert_int_equal(k->media[0].set.open_key[0], 0x10);
	up_end(&u);
}

static void test_offer_less_out(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *r;
	struct up u = {.k = k, .out = true};

	(void)state;
	kit_client(k, 1, INVITE_OUT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	assert_int_equal(k->n_media, 0);
	/* A description in an unreliable provisional answer is no offer yet. */
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "183 Session Progress", "b1"));
	r = kit_client_answer(k, 1, 183);
	assert_string_equal(kit_body(r), "");
	k->hold_media = true;
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", "b1"));
	kit_nothing(k);
	assert_int_equal(k->n_media, 1);
	engine_medium_opened(k->e, k->media[0].id, &k->media[0].a, k->now);
	kit_drain(k);
	r = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(r), "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"));
	up_client(&u, 1, "ACK", 1, CT_SDP ANSWER_CLIENT);
	r = kit_inside_request(k, "ACK");
	assert_non_null(strstr(kit_body(r), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_int_equal(k->media[0].sets, 1);
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	up_client(&u, 1, "ACK", 1,
		  CT_SDP ANSWER_CLIENT); /* again: the same, and nothing set anew */
	r = kit_inside_request(k, "ACK");
	assert_non_null(strstr(kit_body(r), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_int_equal(k->media[0].sets, 1);
	kit_nothing(k);
	up_end(&u);
}

static void test_offer_less_in(void **state)
{
	struct kit *k = kit_alice();
	struct kit_msg *m, *r;
	struct up u = {.k = k, .out = false};

	(void)state;
	kit_inside(k, INVITE_IN, kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	up_routes(&u, m);
	kit_client(k, 1, "%s" CONTACT_A CT_SDP OFFER_CLIENT, kit_answer(k, m, "200 OK", "a1"));
	r = kit_inside_answer(k, 200);
	assert_non_null(strstr(kit_body(r), "m=audio 37000 RTP/AVP 0\r\n"));
	up_inside(&u, "ACK", 7, CT_SDP ANSWER_INSIDE);
	r = kit_client_request(k, 1, "ACK");
	assert_non_null(strstr(kit_body(r), "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"));
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	kit_nothing(k);
	up_end(&u);
}

/* An answer from the client that fits none of our lines: that leg gets ACK and BYE, the other 488. */
static void test_offer_bad_answer(void **state)
{
	static const char *const rows[] = {
		SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/AVP 0\n",
		SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\n",
		SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:9 "
					"AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:4 "
					"AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
		SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM "
					"inline:" KEY_CLIENT "\n",
		ANSWER_CLIENT "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:" KEY_CLIENT "\n",
		ANSWER_CLIENT "m=audio 4000 RTP/SAVP 0\n",
		"v=0\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = kit_alice();
		struct kit_msg *m, *r;

		kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
		(void)kit_inside_answer(k, 100);
		m = kit_client_request(k, 1, "INVITE");
		kit_client(k, 1, "%s" CONTACT_A CT_SDP "%s", kit_answer(k, m, "200 OK", "a1"),
			   rows[i]);
		r = kit_client_request(k, 1, "ACK");
		assert_string_equal(kit_hdr(k, r, "CSeq"), "7 ACK");
		r = kit_client_request(k, 1, "BYE");
		assert_string_equal(kit_hdr(k, r, "CSeq"), "8 BYE");
		assert_string_equal(kit_hdr(k, r, "From"), "<sip:bob@stand.test>;tag=b1");
		assert_string_equal(kit_hdr(k, r, "To"), "<sip:alice@stand.test>;tag=a1");
		kit_client(k, 1, "%s", kit_answer(k, r, "200 OK", NULL));
		(void)kit_inside_answer(k, 488);
		kit_nothing(k);
		assert_int_equal(k->media[0].closes, 1);
		kit_settled(k);
		kit_free(k);
	}
}

static void test_offer_hold_and_move(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m, *r;
	struct engine_medium_set before = k->media[0].set;

	(void)state;
	up_client(&u, 1, "INVITE", 2, CONTACT_A CT_SDP OFFER_AT("4000", "sendonly", KEY_CLIENT));
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_non_null(strstr(kit_body(m), "a=sendonly\r\n"));
	assert_non_null(strstr(kit_body(m), "m=audio 37000 RTP/AVP 0\r\n")); /* the same medium */
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE "a=recvonly\n",
		   kit_answer(k, m, "200 OK", NULL));
	r = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(r), "a=recvonly\r\n"));
	up_client(&u, 1, "ACK", 2, "");
	(void)kit_inside_request(k, "ACK");
	assert_memory_equal(before.seal_key, k->media[0].set.seal_key,
			    30); /* the client's line is as it was: so is ours */
	assert_false(k->media[0].set.reopen);
	/* On hold a silence does not end the call at once. */
	engine_medium_silent(k->e, k->media[0].id, k->now);
	kit_drain(k);
	kit_nothing(k);

	/* Resumed from another port with another key: the latch window opens again. */
	up_client(&u, 1, "INVITE", 3,
		  CONTACT_A CT_SDP OFFER_AT("4444", "sendrecv",
					    "EAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"));
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 3, "");
	(void)kit_inside_request(k, "ACK");
	assert_true(k->media[0].set.reopen);
	assert_int_equal(k->media[0].set.open_key[0], 0x10);
	assert_memory_not_equal(before.seal_key, k->media[0].set.seal_key, 30);
	assert_int_equal(k->n_media, 1);
	kit_nothing(k);
	up_end(&u);
}

static void test_offer_reinvite_refused(void **state)
{
	struct up u = up_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	/* Adds video; refused: its medium goes, the session stays. */
	up_client(&u, 1, "INVITE", 2,
		  CONTACT_A CT_SDP OFFER_CLIENT
		  "m=video 4002 RTP/SAVP 96\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_CLIENT
		  "\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_int_equal(k->n_media, 2);
	/* Glare: the other side's re-INVITE meanwhile. */
	up_inside(&u, "INVITE", 8, CONTACT_B CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	(void)kit_inside_answer(k, 491);
	kit_inside(k, "%s", kit_answer(k, m, "488 Not Acceptable Here", NULL));
	(void)kit_inside_request(k, "ACK");
	(void)kit_client_answer(k, 1, 488);
	assert_int_equal(k->media[1].closes, 1);
	assert_int_equal(k->media[0].closes, 0);
	assert_int_equal(k->media[0].sets, 1);
	assert_int_equal(engine_stats(k->e)->calls, 1);
	kit_time(k, 1000);
	while (kit_to_inside(k)) /* 491 again: nobody acknowledged it */
		;
	/* In force is what was: a further exchange works, and closes a line that is disabled. */
	up_client(&u, 1, "INVITE", 3,
		  CONTACT_A CT_SDP SDP_HEAD("192.168.1.9") "m=audio 0 RTP/SAVP 0\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	assert_non_null(strstr(kit_body(m), "m=audio 0 RTP/"));
	kit_inside(k, "%s" CONTACT_B CT_SDP SDP_HEAD("10.0.0.77") "m=audio 0 RTP/AVP 0\n",
		   kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 3, "");
	(void)kit_inside_request(k, "ACK");
	assert_int_equal(k->media[0].closes, 1);
	kit_time(k, 33000);
	while (kit_to_inside(k))
		;
	up_end(&u);
}

static void test_offer_reinvite_inside(void **state)
{
	struct up u = up_call(false);
	struct kit *k = u.k;
	struct kit_msg *m, *r;

	(void)state;
	/* c=0.0.0.0: the old way to hold. */
	up_inside(&u, "INVITE", 8, CONTACT_B CT_SDP SDP_HEAD("0.0.0.0") "m=audio 5000 RTP/AVP 0\n");
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	assert_non_null(strstr(kit_body(m), "c=IN IP4 0.0.0.0\r\n"));
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", NULL));
	r = kit_inside_answer(k, 200);
	assert_non_null(strstr(kit_body(r), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_int_equal(k->media[0].set.remote_rtp.port, 0);
	assert_false(k->media[0].set.reopen);
	up_inside(&u, "ACK", 8, "");
	(void)kit_client_request(k, 1, "ACK");
	/* A held call is ended by two hours of silence, not before. */
	engine_medium_silent(k->e, k->media[0].id, k->now);
	kit_register(k, 1, "alice");
	kit_time(k, 500000);
	kit_nothing(k);
	kit_time(k, 6700000);
	(void)kit_inside_request(k, "BYE");
	(void)kit_client_request(k, 1, "BYE");
	assert_non_null(strstr(k->logs, "reason=silence-on-hold"));
	kit_time(k, 33000);
	while (kit_to_inside(k) || kit_to_client(k, 1))
		;
	kit_settled(k);
	kit_free(k);
}

static void test_offer_update_and_prack(void **state)
{
	struct kit *k = kit_alice();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m, *r, *p;

	(void)state;
	kit_client(k, 1, INVITE_OUT "Supported: 100rel\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B "Require: 100rel\nRSeq: 1\n" CT_SDP ANSWER_INSIDE,
		   kit_answer(k, m, "183 Session Progress", "b1"));
	r = kit_client_answer(k, 1, 183);
	assert_non_null(strstr(kit_body(r), "a=crypto:1 AEAD_AES_256_GCM"));
	up_client(&u, 1, "PRACK", 2, "RAck: 1 1 INVITE\n" CT_SDP ANSWER_CLIENT);
	p = kit_inside_request(k, "PRACK");
	assert_non_null(strstr(kit_body(p), "m=audio 37000 RTP/AVP 0\r\n"));
	assert_int_equal(k->media[0].sets, 1);
	kit_inside(k, "%s", kit_answer(k, p, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	/* The early session changes by UPDATE. */
	up_client(&u, 1, "UPDATE", 3, CONTACT_A CT_SDP OFFER_AT("4000", "inactive", KEY_CLIENT));
	p = kit_inside_request(k, "UPDATE");
	assert_non_null(strstr(kit_body(p), "a=inactive\r\n"));
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE "a=inactive\n",
		   kit_answer(k, p, "200 OK", NULL));
	r = kit_client_answer(k, 1, 200);
	assert_non_null(strstr(kit_body(r), "a=crypto:3 AES_CM_128_HMAC_SHA1_80"));
	assert_int_equal(k->media[0].sets, 2);
	kit_inside(k, "%s" CONTACT_B, kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	up_end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer_refused),
		cmocka_unit_test(test_offer_suites),
		cmocka_unit_test(test_offer_clocks_out),
		cmocka_unit_test(test_offer_clocks_in),
		cmocka_unit_test(test_offer_inside_offer_refused),
		cmocka_unit_test(test_offer_more_lines),
		cmocka_unit_test(test_offer_inside_mux),
		cmocka_unit_test(test_offer_mux_again),
		cmocka_unit_test(test_offer_mux_no_more),
		cmocka_unit_test(test_offer_mux_stays),
		cmocka_unit_test(test_offer_early_media),
		cmocka_unit_test(test_offer_branch_returns),
		cmocka_unit_test(test_offer_reinvite_early),
		cmocka_unit_test(test_offer_less_out),
		cmocka_unit_test(test_offer_less_in),
		cmocka_unit_test(test_offer_bad_answer),
		cmocka_unit_test(test_offer_hold_and_move),
		cmocka_unit_test(test_offer_reinvite_refused),
		cmocka_unit_test(test_offer_reinvite_inside),
		cmocka_unit_test(test_offer_update_and_prack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
