/* selftests/fuzz/fuzz_media.c -- any bytes as what the media socket gets: SRTP to open, RTP to seal, a punch.
 *
 * The first byte chooses suite, RTP or RTCP, and provider. Held: our back end and libsrtp2 give the same verdict and the same bytes;
 * what was sealed opens again to the same; a punch that parses is built again byte for byte from what was read, with its key. */
#include <stdlib.h>

#include "user/punch.h"
#include "user/srtp_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define ROOM 2048

static struct srtp_session *session(enum srtp_backend b, bool evp, enum srtp_suite s, bool seal)
{
	static const uint8_t key[SRTP_KEY_MAX] = "a master key and its salt";
	struct srtp_session *out = NULL;

	HOLD(srtp_init(b) == 0);
	if (b == SRTP_FAST)
		srtp_fast_force_evp(evp);
	HOLD(srtp_session_new(s, span_of(key, srtp_suite_key_len(s)), seal, &out) == 0);
	return out;
}

/* By both back ends, fast first; bytes of the fast one stay in @p. */
static enum srtp_result both(struct srtp_session *fast, struct srtp_session *lib, uint8_t *p,
			     uint32_t *n, bool rtcp)
{
	uint8_t q[ROOM];
	struct srtp_packet a = {.session = fast, .p = p, .n = *n, .cap = ROOM, .rtcp = rtcp};
	struct srtp_packet b = {.session = lib, .p = q, .n = *n, .cap = ROOM, .rtcp = rtcp};

	memcpy(q, p, *n);
	if (fast->seal) {
		srtp_seal(&a, 1);
		srtp_seal(&b, 1);
	} else {
		srtp_open(&a, 1);
		srtp_open(&b, 1);
	}
	HOLD(a.result == b.result);
	*n = a.n;
	if (a.result == SRTP_OK)
		HOLD(a.n == b.n && memcmp(p, q, a.n) == 0);
	return a.result;
}

static void try_punch(struct span in)
{
	static const uint8_t key[PUNCH_KEY_LEN] = "key";
	uint8_t buf[PUNCH_MAX];
	struct punch p;
	size_t n;

	if (punch_parse(in, &p))
		return;
	n = punch_build(&p, key, in.p + 8, buf);
	HOLD(n == in.n && memcmp(buf, in.p, n - 20) == 0);
	HOLD(punch_verify(span_of(buf, n), key) == 0);
	HOLD((punch_verify(in, key) == 0) == (memcmp(buf, in.p, n) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srtp_session *s[4];
	uint8_t buf[ROOM];
	uint32_t n;
	bool rtcp;
	int i;

	if (!size || size > 1600)
		return 0;
	rtcp = data[0] & 4;
	for (i = 0; i < 4; i++)
		s[i] = session(i & 1 ? SRTP_LIBSRTP2 : SRTP_FAST, data[0] & 8, data[0] & 3, i < 2);
	data++;
	n = (uint32_t)--size;
	try_punch(span_of(data, n));
	memcpy(buf, data, n);
	both(s[2], s[3], buf, &n, rtcp);
	n = (uint32_t)size;
	memcpy(buf, data, n);
	if (both(s[0], s[1], buf, &n, rtcp) == SRTP_OK) {
		HOLD(both(s[2], s[3], buf, &n, rtcp) == SRTP_OK);
		HOLD(n == size && memcmp(buf, data, n) == 0);
	}
	for (i = 0; i < 4; i++)
		srtp_session_free(s[i]);
	return 0;
}
