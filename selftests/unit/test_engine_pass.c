/* selftests/unit/test_engine_pass.c -- calls of a server whose phones speak SRTP: keys pass unchanged, addresses do not. In:
 * literal messages of both sides. Out: what the other side gets, media actions, and that nothing is left. */
#include "selftests/unit/call_kit.h"

#define KEY_INSIDE "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMC"
#define CM80	   " AES_CM_128_HMAC_SHA1_80 inline:"
#define CM32	   " AES_CM_128_HMAC_SHA1_32 inline:"
/* A lifetime, an MKI, a hint, a suite that we know nothing of but that it encrypts: the parties' business. */
#define LINES                                             \
	"a=crypto:3" CM80 KEY_CLIENT "|2^20|1:4 WSH=64\n" \
	"a=crypto:9 AES_256_CM_HMAC_SHA1_80 inline:" KEY_CLIENT "\n"
#define OFFER_SAVP SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\n" LINES "a=rtcp-mux\n"
#define ANSWER_SAVP \
	SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/SAVP 0\na=crypto:3" CM80 KEY_INSIDE "|2^20|1:4\n"
#define INSIDE_SAVP SDP_HEAD("10.0.0.77") "m=audio 5000 RTP/SAVP 0\na=crypto:7" CM80 KEY_INSIDE "\n"
#define CLIENT_SAVP \
	SDP_HEAD("192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:7" CM80 KEY_CLIENT "\n"

static struct engine_server servers[2];

static struct kit *pass_kit(void)
{
	struct kit *k = kit_new();

	memcpy(servers, k->c.servers, sizeof(servers));
	servers[0].pass = true;
	k->c.servers = servers;
	kit_restart(k);
	kit_stream(k, 1);
	kit_register(k, 1, "alice");
	return k;
}

static void has(const struct kit_msg *m, const char *text)
{
	if (!strstr(kit_body(m), text))
		fail_msg("no \"%s\" in:\n%s", text, kit_body(m));
}

static void has_not(const struct kit_msg *m, const char *text)
{
	if (strstr(kit_body(m), text))
		fail_msg("\"%s\" in:\n%s", text, kit_body(m));
}

/* Both set alike, whoever called: no key, where the inside listens, where the client signals from. */
static void carried(const struct kit *k, unsigned i, uint16_t port)
{
	const struct kit_medium *m = &k->media[i];
	char text[ADDR_TEXT_MAX];

	assert_true(m->pass);
	assert_true(m->with_rtcp);
	assert_false(m->set.have_keys);
	assert_string_equal(addr_ip_text(&m->set.remote_rtp, text), "10.0.0.77");
	assert_int_equal(m->set.remote_rtp.port, port);
	assert_int_equal(m->set.remote_rtcp.port, port + 1);
	assert_string_equal(addr_ip_text(&m->set.client, text), "198.51.100.1");
}

/* A call that is up, by an offer from either side. */
static struct up pass_call(bool out)
{
	struct up u = {.k = pass_kit(), .out = out};
	struct kit *k = u.k;
	struct kit_msg *m;

	if (out) {
		kit_client(k, 1, INVITE_OUT CT_SDP OFFER_SAVP);
		(void)kit_client_answer(k, 1, 100);
		m = kit_inside_request(k, "INVITE");
		up_routes(&u, m);
		kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_SAVP, kit_answer(k, m, "200 OK", "b1"));
		(void)kit_client_answer(k, 1, 200);
		up_client(&u, 1, "ACK", 1, "");
		(void)kit_inside_request(k, "ACK");
	} else {
		kit_inside(k, INVITE_IN CT_SDP INSIDE_SAVP, kit_path);
		(void)kit_inside_answer(k, 100);
		m = kit_client_request(k, 1, "INVITE");
		up_routes(&u, m);
		kit_client(k, 1, "%s" CONTACT_A CT_SDP CLIENT_SAVP,
			   kit_answer(k, m, "200 OK", "a1"));
		(void)kit_inside_answer(k, 200);
		up_inside(&u, "ACK", 7, "");
		(void)kit_client_request(k, 1, "ACK");
	}
	kit_nothing(k);
	assert_int_equal(kit_media_live(k), 1);
	return u;
}

static void test_pass_out(void **state)
{
	struct kit *k = pass_kit();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_SAVP);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	has(m, "c=IN IP4 10.0.0.2\r\n");
	has(m, "a=crypto:3" CM80 KEY_CLIENT "|2^20|1:4 WSH=64\r\n");
	has(m, "a=crypto:9 AES_256_CM_HMAC_SHA1_80 inline:" KEY_CLIENT "\r\n");
	has(m, "a=rtcp-mux\r\n");
	has_not(m, "192.168.1.9");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_SAVP, kit_answer(k, m, "200 OK", "b1"));
	m = kit_client_answer(k, 1, 200);
	has(m, "m=audio 36000 RTP/SAVP 0\r\n");
	has(m, "a=crypto:3" CM80 KEY_INSIDE "|2^20|1:4\r\n");
	has_not(m, "rtcp-mux");
	has_not(m, "10.0.0.77");
	carried(k, 0, 5000);
	up_client(&u, 1, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	up_end(&u);
}

static void test_pass_in(void **state)
{
	struct kit *k = pass_kit();
	struct up u = {.k = k};
	struct kit_msg *m;

	(void)state;
	kit_inside(k, INVITE_IN CT_SDP INSIDE_SAVP, kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	up_routes(&u, m);
	has(m, "m=audio 36000 RTP/SAVP 0\r\n");
	has(m, "a=crypto:7" CM80 KEY_INSIDE "\r\n");
	assert_null(strstr(strstr(kit_body(m), "a=crypto") + 1, "a=crypto"));
	kit_client(k, 1, "%s" CONTACT_A CT_SDP CLIENT_SAVP, kit_answer(k, m, "200 OK", "a1"));
	m = kit_inside_answer(k, 200);
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	has(m, "a=crypto:7" CM80 KEY_CLIENT "\r\n");
	carried(k, 0, 5000);
	up_inside(&u, "ACK", 7, "");
	(void)kit_client_request(k, 1, "ACK");
	up_end(&u);
}

/* An inside party without SRTP calls: the core ends it as with any other server, and goes on so. */
static void test_pass_inside_plain(void **state)
{
	struct kit *k = pass_kit();
	struct up u = {.k = k};
	struct kit_msg *m;

	(void)state;
	kit_inside(k, INVITE_IN CT_SDP ANSWER_INSIDE, kit_path);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	up_routes(&u, m);
	has(m, "a=crypto:1 AEAD_AES_256_GCM");
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", "a1"));
	m = kit_inside_answer(k, 200);
	has(m, "RTP/AVP 0");
	has_not(m, "crypto");
	assert_false(k->media[0].pass);
	assert_true(k->media[0].set.have_keys);
	up_inside(&u, "ACK", 7, "");
	(void)kit_client_request(k, 1, "ACK");
	up_client(&u, 1, "INVITE", 2, CONTACT_A CT_SDP OFFER_CLIENT);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	has(m, "RTP/AVP 0");
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_INSIDE, kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 2, "");
	(void)kit_inside_request(k, "ACK");
	assert_int_equal(k->n_media, 1);
	up_end(&u);
}

/* What the inside answers in clear, or with a line that was not offered, is taken back. */
static void test_pass_answer_refused(void **state)
{
	static const struct {
		const char *media, *reason;
	} rows[] = {
		{"m=audio 5000 RTP/AVP 0\n", "plain-rtp-answer"},
		{"m=audio 5000 RTP/AVP 0\na=crypto:3" CM80 KEY_INSIDE "\n", "plain-rtp-answer"},
		{"m=audio 5000 RTP/SAVP 0\n", "bad-answer"},
		{"m=audio 5000 RTP/SAVP 0\na=crypto:4" CM80 KEY_INSIDE "\n", "bad-answer"},
		{"m=audio 5000 RTP/SAVP 0\na=crypto:3" CM32 KEY_INSIDE "\n", "bad-answer"},
		{"m=audio 5000 RTP/SAVP 0\na=crypto:3" CM80 KEY_INSIDE " UNENCRYPTED_SRTP\n",
		 "bad-answer"},
		{"m=audio 5000 RTP/SAVP 0\na=crypto:3" CM80 KEY_INSIDE " -UNAUTHENTICATED_SRTP\n",
		 "bad-answer"},
		{"m=audio 5000 RTP/SAVP 0\na=crypto:3" CM80 KEY_INSIDE
		 "\na=crypto:9 AES_256_CM_HMAC_SHA1_80 inline:" KEY_INSIDE "\n",
		 "bad-answer"},
	};
	char want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kit *k = pass_kit();
		struct kit_msg *m;

		kit_client(k, 1, INVITE_OUT CT_SDP OFFER_SAVP);
		(void)kit_client_answer(k, 1, 100);
		m = kit_inside_request(k, "INVITE");
		kit_inside(k, "%s" CONTACT_B CT_SDP SDP_HEAD("10.0.0.77") "%s",
			   kit_answer(k, m, "200 OK", "b1"), rows[i].media);
		(void)kit_client_answer(k, 1, 488);
		(void)kit_inside_request(k, "ACK");
		m = kit_inside_request(k, "BYE");
		kit_inside(k, "%s", kit_answer(k, m, "200 OK", NULL));
		(void)snprintf(want, sizeof(want), "reason=%s\n", rows[i].reason);
		assert_non_null(strstr(k->logs, want));
		assert_int_equal(kit_media_live(k), 0);
		kit_settled(k);
		kit_free(k);
	}
}

/* A client's leg is always SRTP: lines that switch it off do not pass, and without any other the offer is refused. */
static void test_pass_offer_clear(void **state)
{
	static const char *const refused[] = {
		"m=audio 4000 RTP/AVP 0\na=crypto:1" CM80 KEY_CLIENT "\n",
		"m=audio 4000 RTP/SAVP 0\n",
		"m=audio 4000 RTP/SAVP 0\na=crypto:1" CM80 KEY_CLIENT " UNENCRYPTED_SRTP\n",
		"m=audio 4000 RTP/SAVP 0\na=crypto:1" CM80 KEY_CLIENT " KDR=1 UNENCRYPTED_SRTCP\n",
		"m=audio 4000 RTP/SAVP 0\na=crypto:1 NULL_HMAC_SHA1_80 inline:" KEY_CLIENT "\n",
	};
	struct kit_msg *m;
	struct kit *k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		k = pass_kit();
		kit_client(k, 1, INVITE_OUT CT_SDP SDP_HEAD("192.168.1.9") "%s", refused[i]);
		(void)kit_client_answer(k, 1, 100);
		(void)kit_client_answer(k, 1, 488);
		assert_non_null(strstr(k->logs, "event=call-refused reason=plain-rtp "));
		assert_int_equal(k->n_media, 0);
		kit_settled(k);
		kit_free(k);
	}
	k = pass_kit();
	kit_client(k, 1,
		   INVITE_OUT CT_SDP SDP_HEAD(
			   "192.168.1.9") "m=audio 4000 RTP/SAVP 0\na=crypto:1" CM80 KEY_CLIENT
					  " UNENCRYPTED_SRTP\na=crypto:2" CM80 KEY_CLIENT "\n");
	m = kit_inside_request(k, "INVITE");
	has_not(m, "a=crypto:1");
	has(m, "a=crypto:2" CM80 KEY_CLIENT "\r\n");
	kit_free(k);
}

/* The inside changes from SRTP to plain RTP and back (a transfer to another kind of phone): another medium each time, and the one
 * before goes only when the answer has come. */
static void test_pass_changes(void **state)
{
	struct up u = pass_call(false);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	up_inside(&u, "INVITE", 8, CONTACT_B CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	has(m, "m=audio 36002 RTP/SAVP 0\r\n");
	has(m, "a=crypto:1 AEAD_AES_256_GCM");
	assert_int_equal(kit_media_live(k), 2);
	kit_client(k, 1, "%s", kit_answer(k, m, "488 Not Acceptable Here", NULL));
	(void)kit_inside_answer(k, 488);
	(void)kit_client_request(k, 1, "ACK");
	assert_int_equal(kit_media_live(k), 1);
	assert_int_equal(k->media[0].closes, 0);

	up_inside(&u, "INVITE", 9, CONTACT_B CT_SDP ANSWER_INSIDE);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	kit_client(k, 1, "%s" CONTACT_A CT_SDP ANSWER_CLIENT, kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	up_inside(&u, "ACK", 9, "");
	(void)kit_client_request(k, 1, "ACK");
	assert_int_equal(k->media[0].closes, 1);
	assert_int_equal(kit_media_live(k), 1);
	assert_true(k->media[2].set.have_keys);
	assert_false(k->media[2].pass);

	up_inside(&u, "INVITE", 10, CONTACT_B CT_SDP INSIDE_SAVP);
	(void)kit_inside_answer(k, 100);
	m = kit_client_request(k, 1, "INVITE");
	has(m, "a=crypto:7" CM80 KEY_INSIDE "\r\n");
	kit_client(k, 1, "%s" CONTACT_A CT_SDP CLIENT_SAVP, kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	up_inside(&u, "ACK", 10, "");
	(void)kit_client_request(k, 1, "ACK");
	assert_int_equal(k->media[2].closes, 1);
	assert_int_equal(kit_media_live(k), 1);
	carried(k, 3, 5000);
	kit_nothing(k);
	up_end(&u);
}

/* A client that moves its media port, and one that comes back from another address: the edge's window opens, no key is touched. */
static void test_pass_reopen(void **state)
{
	struct up u = pass_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	assert_false(k->media[0].set.reopen);
	up_client(&u, 1, "INVITE", 2,
		  CONTACT_A CT_SDP SDP_HEAD(
			  "192.168.1.9") "m=audio 4444 RTP/SAVP 0\na=crypto:3" CM80 KEY_CLIENT
					 "\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	kit_inside(k,
		   "%s" CONTACT_B CT_SDP SDP_HEAD(
			   "10.0.0.77") "m=audio 5002 RTP/SAVP 0\na=crypto:3" CM80 KEY_INSIDE "\n",
		   kit_answer(k, m, "200 OK", NULL));
	(void)kit_client_answer(k, 1, 200);
	up_client(&u, 1, "ACK", 2, "");
	(void)kit_inside_request(k, "ACK");
	assert_true(k->media[0].set.reopen);
	carried(k, 0, 5002);
	up_end(&u);
}

/* An INVITE without offer: what the inside's answer offers decides. */
static void test_pass_late_offer(void **state)
{
	struct kit *k = pass_kit();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1, INVITE_OUT "\n");
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B CT_SDP INSIDE_SAVP, kit_answer(k, m, "200 OK", "b1"));
	m = kit_client_answer(k, 1, 200);
	has(m, "a=crypto:7" CM80 KEY_INSIDE "\r\n");
	up_client(&u, 1, "ACK", 1, CT_SDP CLIENT_SAVP);
	m = kit_inside_request(k, "ACK");
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	has(m, "a=crypto:7" CM80 KEY_CLIENT "\r\n");
	carried(k, 0, 5000);
	up_end(&u);
}

/* Two branches answer with keys of their own: media go to the newest, then to who is final. */
static void test_pass_fork(void **state)
{
	struct kit *k = pass_kit();
	struct up u = {.k = k, .out = true};
	struct kit_msg *m, *r;

	(void)state;
	kit_client(k, 1, INVITE_OUT CT_SDP OFFER_SAVP);
	(void)kit_client_answer(k, 1, 100);
	m = kit_inside_request(k, "INVITE");
	up_routes(&u, m);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_SAVP,
		   kit_answer(k, m, "183 Session Progress", "b2"));
	r = kit_client_answer(k, 1, 183);
	has(r, "inline:" KEY_INSIDE);
	assert_int_equal(k->media[0].set.remote_rtp.port, 5000);
	kit_inside(k,
		   "%s" CONTACT_B CT_SDP SDP_HEAD(
			   "10.0.0.77") "m=audio 5008 RTP/SAVP 0\na=crypto:3" CM80 KEY_CLIENT "\n",
		   kit_answer(k, m, "183 Session Progress", "b1"));
	r = kit_client_answer(k, 1, 183);
	has(r, "a=crypto:3" CM80 KEY_CLIENT "\r\n");
	assert_int_equal(k->media[0].set.remote_rtp.port, 5008);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_SAVP, kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 200);
	carried(k, 0, 5000);
	up_client(&u, 1, "ACK", 1, "");
	(void)kit_inside_request(k, "ACK");
	up_end(&u);
}

/* Hold and back, from inside; a second line that cannot be carried stays rejected. */
static void test_pass_lines(void **state)
{
	struct kit *k = pass_kit();
	struct kit_msg *m;

	(void)state;
	kit_client(k, 1,
		   INVITE_OUT CT_SDP OFFER_SAVP
		   "m=video 4002 RTP/SAVPF 96\na=crypto:1" CM80 KEY_CLIENT
		   "\nm=image 4004 udptl t38\nm=video 4006 RTP/AVP 97\n");
	m = kit_inside_request(k, "INVITE");
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	has(m, "m=video 37002 RTP/SAVPF 96\r\n");
	has(m, "m=image 0 udptl t38\r\n");
	has(m, "m=video 0 RTP/AVP 97\r\n");
	kit_inside(k,
		   "%s" CONTACT_B CT_SDP ANSWER_SAVP
		   "m=video 0 RTP/SAVPF 96\nm=image 0 udptl t38\nm=video 0 RTP/AVP 97\n",
		   kit_answer(k, m, "200 OK", "b1"));
	(void)kit_client_answer(k, 1, 100);
	m = kit_client_answer(k, 1, 200);
	has(m, "m=video 0 RTP/SAVPF 96\r\n");
	assert_int_equal(kit_media_live(k), 1);
	assert_int_equal(k->media[1].closes, 1);
	kit_free(k);
}

/* An engine that follows goes on with it as what it is: no keys of ours, and the client's offer passes as before. */
static void test_pass_kept(void **state)
{
	struct up u = pass_call(true);
	struct kit *k = u.k;
	struct kit_msg *m;

	(void)state;
	kit_crash(k);
	assert_int_equal(k->not_restored, 0);
	assert_int_equal(kit_media_live(k), 1);
	kit_stream(k, 3);
	kit_register(k, 3, "alice");
	up_client(&u, 3, "INVITE", 20, CONTACT_A CT_SDP OFFER_SAVP);
	(void)kit_client_answer(k, 3, 100);
	m = kit_inside_request(k, "INVITE");
	has(m, "m=audio 37000 RTP/SAVP 0\r\n");
	has(m, "a=crypto:3" CM80 KEY_CLIENT);
	kit_inside(k, "%s" CONTACT_B CT_SDP ANSWER_SAVP, kit_answer(k, m, "200 OK", NULL));
	m = kit_client_answer(k, 3, 200);
	has(m, "inline:" KEY_INSIDE);
	assert_false(k->media[0].set.have_keys);
	up_client(&u, 3, "ACK", 20, "");
	(void)kit_inside_request(k, "ACK");
	assert_int_equal(k->n_media, 1);
	up_inside(&u, "BYE", 21, "");
	m = kit_client_request(k, 3, "BYE");
	assert_int_equal(kit_media_live(k), 0);
	kit_client(k, 3, "%s", kit_answer(k, m, "200 OK", NULL));
	(void)kit_inside_answer(k, 200);
	kit_settled(k);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_out),
		cmocka_unit_test(test_pass_in),
		cmocka_unit_test(test_pass_inside_plain),
		cmocka_unit_test(test_pass_answer_refused),
		cmocka_unit_test(test_pass_offer_clear),
		cmocka_unit_test(test_pass_changes),
		cmocka_unit_test(test_pass_reopen),
		cmocka_unit_test(test_pass_late_offer),
		cmocka_unit_test(test_pass_fork),
		cmocka_unit_test(test_pass_lines),
		cmocka_unit_test(test_pass_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
