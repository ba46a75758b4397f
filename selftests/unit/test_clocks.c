/* selftests/unit/test_clocks.c -- clock rates of payload types out of session descriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sip/clocks.h"

#define CLOCK(type, hz) ((uint32_t)(hz) << 8 | 0x80 | (type))
#define HEAD		"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

static unsigned read_text(const char *text, uint32_t *out, unsigned max)
{
	enum sdp_why why;
	struct sdp s;

	assert_int_equal(sdp_parse(span_str(text), &s, &why), 0);
	return clocks_read(&s.media[0], out, max);
}

static void test_clocks_of_an_answer(void **state)
{
	static const struct {
		const char *section;
		uint32_t want[CLOCKS_MAX];
	} cases[] = {
		{"m=audio 4000 RTP/AVP 0\r\n", {CLOCK(0, 8000)}},
		{"m=audio 4000 RTP/AVP 0 8 9 18 13\r\n",
		 {CLOCK(0, 8000), CLOCK(8, 8000), CLOCK(9, 8000), CLOCK(18, 8000),
		  CLOCK(13, 8000)}},
		{"m=audio 4000 RTP/SAVP 96 101 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 x=1\r\n"
		 "a=rtpmap:101 telephone-event/8000\r\n",
		 {CLOCK(96, 48000), CLOCK(0, 8000)}},
		{"m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 TELEPHONE-EVENT/48000\r\n", {0}},
		{"m=video 4000 RTP/AVP 99 34\r\na=RTPMAP:99 H264/90000\r\n",
		 {CLOCK(99, 90000), CLOCK(34, 90000)}},
		{"m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:98 speex/16000\r\n", {CLOCK(98, 16000)}},
		{"m=audio 4000 RTP/AVP 1 2 19 20 35 72 127\r\n", {0}},
		{"m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:0 L16/44100\r\n",
		 {CLOCK(0, 8000)}}, /* the first counts */
		{"m=audio 4000 RTP/AVP 96 97 98 99\r\na=rtpmap:96 a/999\r\na=rtpmap:97 "
		 "b/16777216\r\n"
		 "a=rtpmap:98 c\r\na=rtpmap:99 d/16777215\r\n",
		 {CLOCK(99, 16777215)}},
		{"m=audio 4000 RTP/AVP 96 97 98 99\r\na=rtpmap:96 a/+8000\r\na=rtpmap:97\r\n"
		 "a=rtpmap:98 c/8k\r\na=rtpmap:99 d/\r\n",
		 {0}},
		{"m=audio 4000 RTP/AVP 128 300 x 0\r\n", {CLOCK(0, 8000)}},
		{"m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 96\r\na=rtpmap:0 x/16000\r\n",
		 {CLOCK(0, 8000)}}, /* another section's lines are not ours */
	};
	uint32_t got[CLOCKS_MAX];
	char text[1024];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", cases[i].section);
		read_text(text, got, CLOCKS_MAX);
		assert_memory_equal(got, cases[i].want, sizeof(got));
	}
}

static void test_clocks_have_a_limit(void **state)
{
	static const char many[] = HEAD "m=audio 4000 RTP/AVP 0 3 4 5 7 8 9 12 15 18\r\n";
	uint32_t got[CLOCKS_MAX + 1] = {[CLOCKS_MAX] = 77}, all[CLOCKS_OFFER];

	(void)state;
	assert_int_equal(read_text(many, got, CLOCKS_MAX), CLOCKS_MAX);
	assert_int_equal(got[CLOCKS_MAX - 1], CLOCK(12, 8000));
	assert_int_equal(got[CLOCKS_MAX], 77);
	assert_int_equal(read_text(many, all, CLOCKS_OFFER), 10);
	assert_int_equal(all[10], 0);
}

/* An offer may have more than there is room for: what the answer chose has to be among them. */
static void test_pick_takes_the_chosen_first(void **state)
{
	uint32_t all[12], got[CLOCKS_MAX],
		chosen[CLOCKS_MAX] = {CLOCK(111, 8000), CLOCK(102, 48000), CLOCK(5, 8000)};
	unsigned i;

	(void)state;
	for (i = 0; i < 12; i++)
		all[i] = CLOCK(100 + i, 16000);
	clocks_pick(all, 12, chosen, got);
	assert_int_equal(got[0], CLOCK(102, 16000)); /* by the offer's rate */
	assert_int_equal(got[1], CLOCK(111, 16000));
	for (i = 2; i < CLOCKS_MAX; i++)
		assert_int_equal(got[i], CLOCK(100 + (i < 4 ? i - 2 : i - 1), 16000));
	clocks_pick(all, 0, chosen, got);
	assert_int_equal(got[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks_of_an_answer),
		cmocka_unit_test(test_clocks_have_a_limit),
		cmocka_unit_test(test_pick_takes_the_chosen_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
