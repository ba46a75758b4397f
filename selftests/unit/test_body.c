/* selftests/unit/test_body.c -- which bodies hold a session description, and which could hold one for another reader.
 * In: Content-Type and body of an INVITE. Out: body_sdp()'s verdict and the description it found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "sip/body.h"

#define SDP    "v=0\r\ns=-\r\n"
#define PART   "Content-Type: application/sdp\r\n\r\n" SDP
#define TEXT   "Content-Type: text/plain\r\n\r\nhello"
#define MIXED  "multipart/mixed;boundary=abc"
#define END    "\r\n--abc--\r\n"
#define OTHERS "\r\n--abc\r\n"

static int verdict(const char *type, const char *body, char *found, size_t n)
{
	static struct sip_msg m;
	enum sip_why why = SIP_OK;
	struct span sdp = {};
	char text[4000];
	int len, r;

	len = snprintf(text, sizeof(text),
		       "INVITE sip:b@h.test SIP/2.0\r\nVia: SIP/2.0/TLS h.test;branch=z9hG4bK1\r\n"
		       "From: <sip:a@h.test>;tag=1\r\nTo: <sip:b@h.test>\r\nCall-ID: 1\r\nCSeq: 1 "
		       "INVITE\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
		       type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "",
		       strlen(body), body);
	if (sip_msg_parse(span_of(text, (size_t)len), true, sizeof(text), &m, &why) != len)
		fail_msg("does not parse: %s\n%s", sip_why_text(why), text);
	found[0] = 0;
	r = body_sdp(&m, &sdp);
	if (r == 1)
		assert_true(span_copy(sdp, found, n) >= 0);
	return r;
}

static void test_body_verdicts(void **state)
{
	static const struct {
		const char *type, *body;
		int want;
	} rows[] = {
		{NULL, "", 0},
		{NULL, SDP, -EBADMSG},
		{"application/sdp", SDP, 1},
		{"Application/SDP;charset=utf-8", SDP, 1},
		{"application / sdp", SDP, 1},
		{"application/\r\n sdp", SDP, 1},
		{"application/sdpng", SDP, 0},
		{"text/plain", SDP, 0},
		{MIXED, "--abc\r\n" PART END, 1},
		{MIXED, "\r\n--abc\r\n" PART END, 1},
		{MIXED, "to be ignored\r\n--abc\r\n" PART END "as this", 1},
		{"Multipart / mixed ; boundary=\"abc\"", "--abc\r\n" PART END, 1},
		{MIXED, "--abc\r\n" TEXT OTHERS PART OTHERS TEXT END, 1},
		{MIXED, "--abc  \r\n" TEXT "\r\n--abc\t\r\n" PART "\r\n--abc--", 1},
		{MIXED, "--abc\r\n\r\nno fields" OTHERS PART END, 1},
		{MIXED, "--abc\r\nContent-Type : application / sdp\r\n\r\n" SDP END, 1},
		{MIXED, "--abc\r\nContent-Type: application/sdp\r\nX: 1\r\n\r\n" SDP END, 1},
		{MIXED, "--abc\r\n" TEXT END, 0},
		/* two of them */
		{MIXED, "--abc\r\n" PART OTHERS PART END, -EBADMSG},
		/* a part with no end to its head hides the ones behind it */
		{MIXED, "--abc\r\nX: 1" OTHERS PART END, -EBADMSG},
		{MIXED, "--abc\r\nnonsense\r\n\r\n" OTHERS PART END, -EBADMSG},
		/* a fold, a second type, an encoding, parts within */
		{MIXED, "--abc\r\nContent-Type:\r\n application/sdp\r\n\r\n" SDP END, -EBADMSG},
		{MIXED,
		 "--abc\r\nContent-Type: application/sdp\r\nContent-Type: text/plain\r\n\r\n" SDP
			 END,
		 1},
		{MIXED,
		 "--abc\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: "
		 "base64\r\n\r\ndj0w" END,
		 -EBADMSG},
		{MIXED,
		 "--abc\r\nContent-Type: multipart/alternative;boundary=x\r\n\r\n--x\r\n" PART
		 "\r\n--x--" END,
		 -EBADMSG},
		/* boundaries to one reader and text to another */
		{MIXED, "--abc\r\n" TEXT "\r\n--abcd\r\n" PART END, -EBADMSG},
		{MIXED, "--abc\r\n" TEXT "\n--abc\n" PART END, -EBADMSG},
		{MIXED, "--abc\r\n" TEXT END OTHERS PART END, -EBADMSG},
		{MIXED, "--abc\n" PART END, -EBADMSG},
		/* no end, no boundary, no parts */
		{MIXED, "--abc\r\n" PART, -EBADMSG},
		{MIXED, SDP, -EBADMSG},
		{"multipart/mixed", "--abc\r\n" PART END, -EBADMSG},
		{"multipart/mixed;boundary=\"a\\bc\"", "--abc\r\n" PART END, -EBADMSG},
		{MIXED, "--abc", -EBADMSG},
	};
	char found[400];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = verdict(rows[i].type, rows[i].body, found, sizeof(found));

		if (r != rows[i].want || (r == 1 && strcmp(found, SDP) != 0))
			fail_msg("row %zu: %d, not %d; found \"%s\"", i, r, rows[i].want, found);
	}
}

/* What is written back is the body with only the description changed. */
static void test_body_replace(void **state)
{
	static const char before[] = "--abc\r\n" TEXT OTHERS PART END;
	static struct sip_msg m;
	struct span sdp, out;
	char buf[400], small[20];

	(void)state;
	m.body = span_str(before);
	sdp = span_of(strstr(before, "v=0"), strlen(SDP));
	out = body_replace(&m, sdp, SPAN("new"), buf, sizeof(buf));
	assert_true(span_eq(
		out, SPAN("--abc\r\n" TEXT OTHERS "Content-Type: application/sdp\r\n\r\nnew" END)));
	assert_int_equal(body_replace(&m, sdp, SPAN("new"), small, sizeof(small)).n, 0);
	m.body = sdp;
	assert_true(span_eq(body_replace(&m, sdp, SPAN("new"), buf, sizeof(buf)), SPAN("new")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body_verdicts),
		cmocka_unit_test(test_body_replace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
