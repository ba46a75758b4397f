/* sip/clocks.c -- see clocks.h. In: sections of session descriptions. Out: clock rates. */
#include "sip/clocks.h"

#include <string.h>

#include "sip/scan.h"
#include "sip/sdp_line.h"

#define HZ_MIN 1000
#define HZ_MAX 0xffffff

/* RFC 3551: of types that need no rtpmap. G722's clock is 8,000 by an old mistake that became the rule. */
static uint32_t static_hz(uint32_t type)
{
	switch (type) {
	case 6:
		return 16000;
	case 10:
	case 11:
		return 44100;
	case 14:
	case 25:
	case 26:
	case 28:
	case 31:
	case 32:
	case 33:
	case 34:
		return 90000;
	case 16:
		return 11025;
	case 17:
		return 22050;
	default:
		return type <= 18 && type != 1 && type != 2 ? 8000 : 0;
	}
}

struct clock_table { /* by payload type */
	uint32_t hz[128];
	bool mapped[128];
};

/* rtpmap:TYPE NAME/RATE[/CHANNELS]. The first of a type counts; a rate that cannot be is none. */
static void rtpmap(struct clock_table *t, struct span value)
{
	struct span number, name, rate;
	uint32_t type, hz;

	if (!sdp_field(&value, &number) || sip_number(number, 127, &type) || t->mapped[type])
		return;
	t->mapped[type] = true;
	t->hz[type] = 0;
	name = scan_until(value, '/');
	rate = scan_until(span_cut(value, name.n + 1, value.n), '/');
	if (!span_ieq(name, SPAN("telephone-event")) && !sip_number(rate, HZ_MAX, &hz) &&
	    hz >= HZ_MIN)
		t->hz[type] = hz;
}

static void table_read(const struct sdp_media *sm, struct clock_table *t)
{
	struct span rest = sm->lines, name, value;
	struct sdp_line l;
	uint32_t i;

	for (i = 0; i < 128; i++) {
		t->hz[i] = static_hz(i);
		t->mapped[i] = false;
	}
	while (sdp_line_next(&rest, &l) > 0) {
		if (l.type != 'a')
			continue;
		sdp_attribute(l.value, &name, &value);
		if (span_ieq(name, SPAN("rtpmap")))
			rtpmap(t, value);
	}
}

unsigned clocks_read(const struct sdp_media *sm, uint32_t *out, unsigned max)
{
	struct span rest = sm->formats, one;
	struct clock_table t;
	uint32_t type;
	unsigned n = 0;

	table_read(sm, &t);
	memset(out, 0, max * sizeof(*out));
	while (n < max && sdp_field(&rest, &one))
		if (!sip_number(one, 127, &type) && t.hz[type])
			out[n++] = t.hz[type] << 8 | 0x80 | type;
	return n;
}

static bool named(const uint32_t *list, uint32_t clock)
{
	unsigned i;

	for (i = 0; i < CLOCKS_MAX && list[i]; i++)
		if ((list[i] & 0xff) == (clock & 0xff))
			return true;
	return false;
}

void clocks_pick(const uint32_t *all, unsigned n, const uint32_t *chosen, uint32_t out[CLOCKS_MAX])
{
	unsigned i, k = 0;
	int pass;

	memset(out, 0, CLOCKS_MAX * sizeof(*out));
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < n && k < CLOCKS_MAX; i++)
			if (named(chosen, all[i]) == !pass)
				out[k++] = all[i];
}
