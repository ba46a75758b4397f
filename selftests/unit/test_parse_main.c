/* selftests/unit/test_parse_main.c -- tools/parse as its user runs it, from the top of the tree, over selftests/data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define DATA   "selftests/data/"

static void test_parse_verdicts(void **state)
{
	static const struct {
		const char *args, *want; /* what the output begins with */
		int status;
	} cases[] = {
		{"sip " DATA "sip/invite.sip", DATA "sip/invite.sip: accept consumed=1044\n", 0},
		{"sip " DATA "sip/refused_duplicate_length.sip",
		 DATA "sip/refused_duplicate_length.sip: refuse duplicate header consumed=0\n", 0},
		{"sip - <" DATA "sip/response.sip", "-: accept consumed=503\n", 0},
		{"-d sip " DATA "sip/register.sip",
		 DATA "sip/register.sip: refuse start line consumed=0\n", 0},
		{"sip - </dev/null", "-: refuse incomplete consumed=0\n", 0},
		{"-v sip " DATA "sip/register.sip",
		 DATA "sip/register.sip: accept consumed=640\n  start line: REGISTER "
		      "sip:example.com SIP/2.0\n",
		 0},
		{"sdp " DATA "sdp/webrtc.sdp", DATA "sdp/webrtc.sdp: accept consumed=540\n", 0},
		{"sdp " DATA "sip/invite.sip", DATA "sip/invite.sip: refuse version consumed=0\n",
		 0},
		{"-v sdp " DATA "sdp/offer_sdes.sdp",
		 DATA "sdp/offer_sdes.sdp: accept consumed=415\n  origin: alice", 0},
		{"sip " DATA "none.sip " DATA "sip/response.sip", DATA "sip/response.sip: accept",
		 2},
		{"http-request " DATA "http/torture/length.http " DATA "http/torture/lf-alone.http",
		 DATA "http/torture/length.http: accept consumed=62 head=57 framing=length "
		      "content=5\n" DATA
		      "http/torture/lf-alone.http: refuse bare LF consumed=0 status=400\n",
		 0},
		{"http-request - <" DATA "http/torture/pipelined-lead-crlf.http",
		 "-: accept consumed=58 head=56 framing=length content=2\n"
		 "-#2: accept consumed=39 head=39 framing=none content=0\n",
		 0},
		{"-v http-request " DATA "http/torture/fold.http",
		 DATA "http/torture/fold.http: refuse folded line consumed=0 status=400\n"
		      "  folded line: wanted each field in one line, came \" b\\r\\n\" in line 4\n",
		 0},
		{"http-response - <" DATA "http/torture/resp-head-length.http",
		 "-: refuse cut short consumed=0 status=502 head=40 framing=length content=0\n", 0},
		{"-m HEAD http-response - <" DATA "http/torture/resp-head-length.http",
		 "-: accept consumed=40 head=40 framing=none content=0\n", 0},
		{"http-request - </dev/null", "-: refuse incomplete consumed=0\n", 0},
		{"", "", 2},
		{"sip", "", 2},
		{"xmpp " DATA "xmpp/starttls.xml",
		 DATA "xmpp/starttls.xml: accept consumed=202\n  open: "
		      "0 151\n  stanza: 151 51 name: starttls\n",
		 0},
		{"-v xmpp " DATA "xmpp/login.xml",
		 DATA "xmpp/login.xml: accept consumed=796\n  open: 0 "
		      "151\n    to: example.com\n    domain: example.com\n",
		 0},
		{"-r xmpp - <" DATA "xmpp/answer.xml", "-: accept consumed=", 0},
		{"-s xmpp - <" DATA "xmpp/server.xml", "-: accept consumed=", 0},
		{"xmpp " DATA "xmpp/server.xml",
		 DATA "xmpp/server.xml: refuse namespace consumed=0\n  "
		      "refused: ",
		 0},
		{"xmpp " DATA "xmpp/refused_entities.xml",
		 DATA "xmpp/refused_entities.xml: refuse "
		      "document-type consumed=0\n  refused: 23 restricted-xml\n    text: wanted no "
		      "document "
		      "type\n",
		 0},
		{"xmpp " DATA "xmpp/refused_comment.xml",
		 DATA "xmpp/refused_comment.xml: refuse comment "
		      "consumed=151\n",
		 0},
		{"xmpp - </dev/null", "-: refuse incomplete consumed=0\n", 0},
		{"-d xmpp -", "", 2},
		{"-r sip -", "", 2},
		{"-s sdp -", "", 2},
		{"-m HEAD http-request -", "", 2},
		{"-m HEAD sip -", "", 2},
		{"-d http-response -", "", 2},
		{"-m HEAD xmpp -", "", 2},
		{"-d sdp -", "", 2},
		{"-x sip -", "", 2},
	};
	char cmd[256], out[512];
	size_t i, n;
	FILE *f;

	(void)state;
	if (access("tools/parse", X_OK))
		skip(); /* not at the top of the tree */
	for (i = 0; i < LEN(cases); i++) {
		int status;

		snprintf(cmd, sizeof(cmd), "tools/parse %s 2>/dev/null", cases[i].args);
		f = popen(cmd, "r");
		assert_non_null(f);
		n = fread(out, 1, sizeof(out) - 1, f);
		out[n] = 0;
		/* Read to the end, or the tool dies of a closed pipe. */
		while (fgetc(f) != EOF)
			;
		status = pclose(f);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != cases[i].status)
			fail_msg("%s: exit %d", cmd, WEXITSTATUS(status));
		out[strlen(cases[i].want)] = 0;
		assert_string_equal(out, cases[i].want);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
