/* selftests/fuzz/fuzz_xmpp_login.c -- any bytes of a client and of its server until the client has authenticated, in any order, with servers
 * that come and go.
 *
 * In: pieces, each behind a byte that says whose it is and how long; some say what the caller does. Held: nothing is ever written to the
 * server but what the client sent (its header, then whole elements of SASL), our own header and <starttls/>; no more is held than the limits say;
 * after ADMIT and END nothing follows; what passes to the server has passed the rules once: no byte of it is given twice, unless to another server. */
#include <stdlib.h>

#include "xmpp/login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)
#define CLIENT_MAX 65536

static struct {
	uint8_t sent[CLIENT_MAX]; /* all that the client has sent */
	size_t n;
} all;

static bool begins(struct span s, struct span with)
{
	return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

static bool ours(struct span s)
{
	return begins(s, SPAN("<?xml version='1.0'?><stream:stream ")) ||
	       begins(s, SPAN("<starttls "));
}

/* One event; false: over. */
static bool event(struct xmpp_login *l, uint8_t choice)
{
	struct xmpp_login_event e;

	switch (xmpp_login_next(l, &e)) {
	case XMPP_LOGIN_MORE:
		return false;
	case XMPP_LOGIN_DIAL:
		HOLD(e.domain->n);
		if (choice & 64)
			HOLD(xmpp_login_again(l));
		else
			xmpp_login_up(l, choice & 1);
		return !(choice & 64);
	case XMPP_LOGIN_START_TLS:
		xmpp_login_up(l, false);
		break;
	case XMPP_LOGIN_TO_SERVER:
		HOLD(e.bytes.n);
		HOLD(ours(e.bytes) || memmem(all.sent, all.n, e.bytes.p, e.bytes.n));
		break;
	case XMPP_LOGIN_TO_CLIENT:
	case XMPP_LOGIN_FAILED:
		HOLD(e.bytes.n);
		break;
	case XMPP_LOGIN_USER:
		HOLD(strlen(e.sasl.mechanism) && strlen(e.sasl.user) < XMPP_USER_MAX);
		if (choice & 2)
			xmpp_login_other(l);
		else if (choice & 4)
			xmpp_login_deny(l, "not-authorized", "");
		else
			xmpp_login_go(l);
		break;
	case XMPP_LOGIN_ELSEWHERE:
		HOLD(e.host[0] && strlen(e.host) < sizeof(e.host));
		HOLD(xmpp_login_again(l));
		break;
	case XMPP_LOGIN_SERVER_BAD:
		HOLD(e.why[0]);
		if (choice & 8 || !xmpp_login_again(l))
			xmpp_login_fail(l, "remote-connection-failed", "");
		break;
	case XMPP_LOGIN_ADMIT:
		HOLD(xmpp_login_rest(l, XMPP_CLIENT).n <= XMPP_LOGIN_CLIENT_MAX);
		HOLD(xmpp_login_rest(l, XMPP_SERVER).n <= XMPP_LOGIN_SERVER_MAX);
		HOLD(xmpp_login_next(l, &e) == XMPP_LOGIN_MORE);
		return false;
	case XMPP_LOGIN_END:
		HOLD(!xmpp_login_again(l));
		HOLD(xmpp_login_next(l, &e) == XMPP_LOGIN_MORE);
		return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xmpp_login l;
	unsigned rounds = 0;

	all.n = 0;
	xmpp_login_init(&l, "0123456789abcdef", 1);
	while (size >= 3 && rounds < 10000) {
		uint8_t choice = data[0];
		enum xmpp_side side = choice & 128 ? XMPP_SERVER : XMPP_CLIENT;
		size_t n = (size_t)data[1] << 4 | (data[2] & 15);

		data += 3;
		size -= 3;
		n = n < size ? n : size;
		if (n > xmpp_login_room(&l, side))
			n = xmpp_login_room(&l, side);
		if (side == XMPP_CLIENT && n > CLIENT_MAX - all.n)
			n = CLIENT_MAX - all.n;
		HOLD(xmpp_login_put(&l, side, span_of(data, n)) == 0);
		if (side == XMPP_CLIENT) {
			memcpy(all.sent + all.n, data, n);
			all.n += n;
		}
		data += n;
		size -= n;
		while (rounds++ < 10000 && event(&l, choice))
			;
		if (choice & 32)
			xmpp_login_again(&l);
	}
	xmpp_login_fini(&l);
	return 0;
}
