/* selftests/unit/test_xmpp_login.c -- a client's stream until its user has authenticated: what passes, what does not, other servers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "xmpp/login.h"

#define HEAD                                                                                 \
	"<?xml version='1.0'?><stream:stream to='Corp.example' from='Alice@corp.example/x' " \
	"version='1.0' "                                                                     \
	"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define SERVER_HEAD                                                                      \
	"<?xml version='1.0'?><stream:stream from='corp.example' id='s1' version='1.0' " \
	"xmlns='jabber:client' "                                                         \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define OFFER                         \
	"<stream:features><starttls " \
	"xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
#define PROCEED "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define SASL	"urn:ietf:params:xml:ns:xmpp-sasl"
#define PLAIN	"<mechanism>PLAIN</mechanism>"
#define FEATURES(plus)                                              \
	"<stream:features><mechanisms xmlns='" SASL "'>" plus PLAIN \
	"</mechanisms></stream:features>"
#define AUTH	 "<auth xmlns='" SASL "' mechanism='PLAIN'>AGFsaWNlAHB3</auth>" /* alice, pw */
#define SUCCESS	 "<success xmlns='" SASL "'/>"
#define FAILURE	 "<failure xmlns='" SASL "'><not-authorized/></failure>"
#define ERROR(c) "<stream:error>" c "</stream:error></stream:stream>"
#define ERRNS	 "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"

static struct xmpp_login l;
static struct xmpp_login_event e;
static unsigned split; /* bytes at a time; 0: all at once */

static void put(enum xmpp_side side, const char *text)
{
	struct span s = span_str(text);
	size_t n;

	while (s.n) {
		n = split && split < s.n ? split : s.n;
		assert_int_equal(xmpp_login_put(&l, side, span_cut(s, 0, n)), 0);
		s = span_cut(s, n, s.n);
		if (s.n)
			assert_int_equal(xmpp_login_next(&l, &e), XMPP_LOGIN_MORE);
	}
}

static void wants(enum xmpp_login_kind kind, const char *bytes)
{
	enum xmpp_login_kind got = xmpp_login_next(&l, &e);

	if (got != kind)
		fail_msg("wanted event %d, got %d: %s %.*s", kind, got, e.why, (int)e.bytes.n,
			 (const char *)e.bytes.p);
	if (bytes) {
		assert_int_equal(e.bytes.n, strlen(bytes));
		assert_memory_equal(e.bytes.p, bytes, e.bytes.n);
	}
}

static bool has(const char *text)
{
	return e.bytes.n && memmem(e.bytes.p, e.bytes.n, text, strlen(text));
}

static void to_dial(void)
{
	xmpp_login_init(&l, "0123456789abcdef", 1);
	put(XMPP_CLIENT, HEAD);
	wants(XMPP_LOGIN_DIAL, NULL);
	assert_string_equal(e.domain->text, "corp.example");
	assert_string_equal(l.from, "alice@corp.example");
	wants(XMPP_LOGIN_MORE, NULL);
}

/* A connection with STARTTLS, to where the client's header goes. */
static void start_tls(void)
{
	xmpp_login_up(&l, true);
	wants(XMPP_LOGIN_TO_SERVER, NULL);
	assert_true(has("to='corp.example'") && !has("from="));
	put(XMPP_SERVER, SERVER_HEAD OFFER);
	wants(XMPP_LOGIN_TO_SERVER, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
	put(XMPP_SERVER, PROCEED);
	wants(XMPP_LOGIN_START_TLS, NULL);
	wants(XMPP_LOGIN_MORE, NULL);
	xmpp_login_up(&l, false);
	wants(XMPP_LOGIN_TO_SERVER, HEAD);
	wants(XMPP_LOGIN_MORE, NULL);
}

static void direct(void)
{
	xmpp_login_up(&l, false);
	wants(XMPP_LOGIN_TO_SERVER, HEAD);
}

static void to_features(void)
{
	to_dial();
	direct();
	put(XMPP_SERVER, SERVER_HEAD FEATURES(""));
	wants(XMPP_LOGIN_TO_CLIENT, SERVER_HEAD FEATURES(""));
	wants(XMPP_LOGIN_MORE, NULL);
}

static void to_auth(void)
{
	to_features();
	put(XMPP_CLIENT, AUTH);
	wants(XMPP_LOGIN_USER, NULL);
	assert_string_equal(e.sasl.user, "alice");
	assert_string_equal(e.sasl.as, "");
	assert_string_equal(e.sasl.mechanism, "PLAIN");
}

static void test_login_starttls(void **state)
{
	static const unsigned splits[] = {0, 1, 7};
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		split = splits[i];
		to_dial();
		start_tls();
		put(XMPP_SERVER, SERVER_HEAD FEATURES("<mechanism>SCRAM-SHA-1-PLUS</mechanism>"));
		wants(XMPP_LOGIN_TO_CLIENT, SERVER_HEAD FEATURES(""));
		assert_int_equal(e.plus, 1);
		put(XMPP_CLIENT, " " AUTH);
		wants(XMPP_LOGIN_USER, NULL);
		xmpp_login_go(&l);
		wants(XMPP_LOGIN_TO_SERVER, NULL);
		assert_true(has(AUTH));
		put(XMPP_SERVER, FAILURE);
		wants(XMPP_LOGIN_FAILED, FAILURE);
		put(XMPP_CLIENT, AUTH);
		wants(XMPP_LOGIN_USER, NULL);
		xmpp_login_go(&l);
		wants(XMPP_LOGIN_TO_SERVER, AUTH);
		put(XMPP_SERVER, SUCCESS);
		wants(XMPP_LOGIN_ADMIT, SUCCESS);
		assert_int_equal(xmpp_login_rest(&l, XMPP_CLIENT).n, 0);
		xmpp_login_fini(&l);
	}
	split = 0;
}

/* What stands behind the last word before success is not read under the rules from before it. */
static void test_login_lock_step(void **state)
{
	struct span rest;

	(void)state;
	to_features();
	assert_int_equal(xmpp_login_put(&l, XMPP_CLIENT, SPAN(AUTH "<?xml version='1.0'?><stream")),
			 0);
	wants(XMPP_LOGIN_USER, NULL);
	xmpp_login_go(&l);
	wants(XMPP_LOGIN_TO_SERVER, AUTH);
	wants(XMPP_LOGIN_MORE, NULL);
	put(XMPP_SERVER, SUCCESS SERVER_HEAD);
	wants(XMPP_LOGIN_ADMIT, SUCCESS);
	rest = xmpp_login_rest(&l, XMPP_CLIENT);
	assert_true(span_eq(rest, SPAN("<?xml version='1.0'?><stream")));
	assert_true(span_eq(xmpp_login_rest(&l, XMPP_SERVER), SPAN(SERVER_HEAD)));
	xmpp_login_fini(&l);
}

static void test_login_challenge(void **state)
{
	(void)state;
	to_features();
	put(XMPP_CLIENT,
	    "<auth xmlns='" SASL "' mechanism='SCRAM-SHA-1'>bixhPWE9MkNiLG49Ym9iLHI9eA==</auth>");
	wants(XMPP_LOGIN_USER, NULL);
	assert_string_equal(e.sasl.user, "bob");
	assert_string_equal(e.sasl.as, "a,b"); /* n,a=a=2Cb,n=bob,r=x */
	xmpp_login_go(&l);
	wants(XMPP_LOGIN_TO_SERVER, NULL);
	put(XMPP_SERVER, "<challenge xmlns='" SASL "'>eA==</challenge>");
	wants(XMPP_LOGIN_TO_CLIENT, "<challenge xmlns='" SASL "'>eA==</challenge>");
	assert_false(xmpp_login_again(&l)); /* its proof will be for this server */
	put(XMPP_CLIENT, "<response xmlns='" SASL "'>eA==</response>");
	wants(XMPP_LOGIN_TO_SERVER, "<response xmlns='" SASL "'>eA==</response>");
	put(XMPP_SERVER, SUCCESS);
	wants(XMPP_LOGIN_ADMIT, SUCCESS);
	xmpp_login_fini(&l);
}

/* A server is lost while it has not answered an <auth/> yet: another one gets it, and the client sees nothing. */
static void test_login_another_server(void **state)
{
	(void)state;
	to_auth();
	xmpp_login_go(&l);
	wants(XMPP_LOGIN_TO_SERVER, AUTH);
	assert_true(xmpp_login_again(&l));
	wants(XMPP_LOGIN_DIAL, NULL);
	start_tls();
	put(XMPP_SERVER, SERVER_HEAD FEATURES("<mechanism>X-OTHER</mechanism>"));
	wants(XMPP_LOGIN_TO_SERVER, AUTH);
	put(XMPP_SERVER, SUCCESS);
	wants(XMPP_LOGIN_ADMIT, SUCCESS);
	xmpp_login_fini(&l);

	to_auth(); /* it is this user's other server */
	xmpp_login_other(&l);
	wants(XMPP_LOGIN_DIAL, NULL);
	direct();
	put(XMPP_SERVER, SERVER_HEAD FEATURES(""));
	wants(XMPP_LOGIN_TO_SERVER, AUTH);
	xmpp_login_fini(&l);

	to_features(); /* lost while the client thinks: with its next word */
	assert_true(xmpp_login_again(&l));
	wants(XMPP_LOGIN_MORE, NULL);
	put(XMPP_CLIENT, AUTH);
	wants(XMPP_LOGIN_USER, NULL);
	xmpp_login_go(&l);
	wants(XMPP_LOGIN_DIAL, NULL);
	xmpp_login_fini(&l);
}

static void test_login_see_other_host(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
	} t[] = {{"im2.corp.example", "im2.corp.example", 0},
		 {"im2.corp.example:5223", "im2.corp.example", 5223},
		 {"[2001:db8::1]:5222", "2001:db8::1", 5222},
		 {"192.0.2.1", "192.0.2.1", 0}};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		to_dial();
		direct();
		snprintf(text, sizeof(text),
			 SERVER_HEAD ERROR("<see-other-host " ERRNS ">%s</see-other-host>"),
			 t[i].text);
		put(XMPP_SERVER, text);
		wants(XMPP_LOGIN_ELSEWHERE, NULL);
		assert_string_equal(e.host, t[i].host);
		assert_int_equal(e.port, t[i].port);
		assert_true(xmpp_login_again(&l));
		wants(XMPP_LOGIN_DIAL, NULL);
		direct();
		put(XMPP_SERVER, SERVER_HEAD FEATURES(""));
		wants(XMPP_LOGIN_TO_CLIENT, SERVER_HEAD FEATURES(""));
		xmpp_login_fini(&l);
	}
}

static void test_login_server_trouble(void **state)
{
	static const char *const bad[] = {
		SERVER_HEAD ERROR("<system-shutdown " ERRNS "/>"),
		SERVER_HEAD "</stream:stream>",
		SERVER_HEAD "<iq/>",
		"HTTP/1.1 400 Bad Request\r\n",
		SERVER_HEAD
		"<stream:features><mechanisms xmlns='" SASL
		"'><mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms></stream:features>",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		to_dial();
		direct();
		put(XMPP_SERVER, bad[i]);
		wants(XMPP_LOGIN_SERVER_BAD, NULL);
		assert_true(e.why[0]);
		assert_true(xmpp_login_again(&l));
		wants(XMPP_LOGIN_DIAL, NULL);
		xmpp_login_fail(&l, "remote-connection-failed", "no server");
		wants(XMPP_LOGIN_END, NULL);
		assert_true(has("id='0123456789abcdef'") && has("<remote-connection-failed") &&
			    has("</stream:stream>"));
		xmpp_login_fini(&l);
	}
	to_dial(); /* no TLS, or something put in behind the word to begin it */
	xmpp_login_up(&l, true);
	wants(XMPP_LOGIN_TO_SERVER, NULL);
	put(XMPP_SERVER, SERVER_HEAD FEATURES(""));
	wants(XMPP_LOGIN_SERVER_BAD, NULL);
	xmpp_login_again(&l);
	wants(XMPP_LOGIN_DIAL, NULL);
	xmpp_login_up(&l, true);
	wants(XMPP_LOGIN_TO_SERVER, NULL);
	put(XMPP_SERVER, SERVER_HEAD OFFER);
	wants(XMPP_LOGIN_TO_SERVER, NULL);
	put(XMPP_SERVER, PROCEED "<x/>");
	wants(XMPP_LOGIN_SERVER_BAD, NULL);
	xmpp_login_fini(&l);
}

/* What is the client's own fault passes on as it came. */
static void test_login_stream_error_passes(void **state)
{
	(void)state;
	to_dial();
	direct();
	put(XMPP_SERVER, SERVER_HEAD ERROR("<host-unknown " ERRNS "/>"));
	wants(XMPP_LOGIN_END, SERVER_HEAD ERROR("<host-unknown " ERRNS "/>"));
	xmpp_login_fini(&l);
	to_features();
	put(XMPP_SERVER, ERROR("<policy-violation " ERRNS "/>"));
	wants(XMPP_LOGIN_END, ERROR("<policy-violation " ERRNS "/>"));
	xmpp_login_fini(&l);
}

static void test_login_client_refused(void **state)
{
	static const struct {
		const char *bytes, *condition;
	} t[] = {
		{"<iq type='get' id='1'/>", "<not-authorized"},
		{"<message to='bob@corp.example'><body>x</body></message>", "<not-authorized"},
		{"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<not-authorized"},
		{"<response xmlns='" SASL "'>eA==</response>", "<policy-violation"},
		{"<!DOCTYPE x>", "<restricted-xml"},
		{"<a", NULL},
		{"\xff", "<not-well-formed"},
		{"text", "<not-well-formed"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		to_features();
		put(XMPP_CLIENT, t[i].bytes);
		if (!t[i].condition) {
			wants(XMPP_LOGIN_MORE, NULL);
		} else {
			wants(XMPP_LOGIN_END, NULL);
			if (!has("<stream:error>"))
				fail_msg("%s: %s", t[i].bytes, e.why);
			if (!has(t[i].condition) && !has("<unsupported-encoding") &&
			    !has("<bad-format"))
				fail_msg("%s: %.*s", t[i].bytes, (int)e.bytes.n,
					 (const char *)e.bytes.p);
		}
		xmpp_login_fini(&l);
	}
}

static void test_login_deny(void **state)
{
	(void)state;
	to_auth();
	xmpp_login_deny(&l, "temporary-auth-failure", "too many attempts");
	wants(XMPP_LOGIN_TO_CLIENT, NULL);
	assert_true(has("<temporary-auth-failure/>") && has(SASL));
	put(XMPP_CLIENT, AUTH);
	wants(XMPP_LOGIN_USER, NULL);
	xmpp_login_fini(&l);
	to_features();
	put(XMPP_CLIENT,
	    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGFsaWNlAHB3"
	    "</initial-response></authenticate>");
	wants(XMPP_LOGIN_USER, NULL);
	assert_string_equal(e.sasl.user, "alice");
	xmpp_login_deny(&l, "not-authorized", "");
	wants(XMPP_LOGIN_TO_CLIENT, NULL);
	assert_true(has("urn:xmpp:sasl:2"));
	put(XMPP_CLIENT, "<auth xmlns='" SASL "' mechanism='PLAIN'>!!!!</auth>");
	wants(XMPP_LOGIN_TO_CLIENT, NULL);
	assert_true(has("<malformed-request/>"));
	xmpp_login_fini(&l);
}

static void test_login_bounds(void **state)
{
	static char big[XMPP_LOGIN_SERVER_MAX + 1];

	(void)state;
	memset(big, ' ', sizeof(big));
	to_features();
	assert_int_equal(xmpp_login_put(&l, XMPP_CLIENT, span_of(big, XMPP_LOGIN_CLIENT_MAX + 1)),
			 -ENOBUFS);
	assert_int_equal(xmpp_login_put(&l, XMPP_CLIENT, span_of(big, XMPP_LOGIN_CLIENT_MAX)), 0);
	assert_int_equal(xmpp_login_room(&l, XMPP_CLIENT), 0);
	wants(XMPP_LOGIN_MORE, NULL); /* white space is dropped */
	assert_int_equal(xmpp_login_room(&l, XMPP_CLIENT), XMPP_LOGIN_CLIENT_MAX);
	assert_int_equal(xmpp_login_put(&l, XMPP_SERVER, span_of(big, XMPP_LOGIN_SERVER_MAX + 1)),
			 -ENOBUFS);
	xmpp_login_fini(&l);
}

#define X30 "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4" /* 30 times x */

static void test_sasl_user(void **state)
{
	static const struct {
		const char *mechanism, *response, *user, *as;
		int ret;
	} t[] = {
		{"PLAIN", "AGFsaWNlAHB3", "alice", "", 0},
		{"PLAIN", "YkBjAGFsaWNlAHB3", "alice", "b@c", 0}, /* b@c NUL alice NUL pw */
		/* 270 times x NUL alice NUL pw: whose authorization is asked for is not known, so neither is who it is */
		{"PLAIN", X30 X30 X30 X30 X30 X30 X30 X30 X30 "AGFsaWNlAHB3", "", "", 0},
		{"PLAIN", "YWxpY2U=", "", "", -EBADMSG},
		{"PLAIN", "AGFsaWNlAA==", "", "", -EBADMSG}, /* no password */
		{"PLAIN", "A", "", "", -EBADMSG},
		{"PLAIN", "=", "", "", 0},
		{"PLAIN", "", "", "", 0},
		{"SCRAM-SHA-256", "eSwsbj1hPTNEYixyPXg=", "a=b", "", 0}, /* y,,n=a=3Db,r=x */
		{"SCRAM-SHA-256", "cD10bHMtdW5pcXVlLCxuPWEscj14", "a", "", 0},
		{"SCRAM-SHA-1", "bixuPWEscj14", "", "", -EBADMSG}, /* n,n=a,r=x */
		{"OAUTHBEARER", "bixhPXVAZCwBYXV0aD1CZWFyZXIgeAEB", "u@d", "u@d", 0},
		{"EXTERNAL", "dUBk", "", "", 0},
		{"plain", "AGFsaWNlAHB3", "", "", -EBADMSG},
	};
	struct xmpp_sasl s;
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int ret;

		snprintf(text, sizeof(text), "<auth xmlns='" SASL "' mechanism='%s'>%s</auth>",
			 t[i].mechanism, t[i].response);
		memset(&s, 0, sizeof(s));
		ret = xmpp_sasl_user(SPAN("<stream:stream xmlns='jabber:client' xmlns:stream='x'>"),
				     span_str(text), false, span_str(t[i].mechanism), &s);
		if (ret != t[i].ret || strcmp(s.user, t[i].user) || strcmp(s.as, t[i].as))
			fail_msg("%s %s: %d %s %s", t[i].mechanism, t[i].response, ret, s.user,
				 s.as);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login_starttls),
		cmocka_unit_test(test_login_lock_step),
		cmocka_unit_test(test_login_challenge),
		cmocka_unit_test(test_login_another_server),
		cmocka_unit_test(test_login_see_other_host),
		cmocka_unit_test(test_login_server_trouble),
		cmocka_unit_test(test_login_stream_error_passes),
		cmocka_unit_test(test_login_client_refused),
		cmocka_unit_test(test_login_deny),
		cmocka_unit_test(test_login_bounds),
		cmocka_unit_test(test_sasl_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
