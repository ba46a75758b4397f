/* user/quality_show.c -- see quality_show.h. In: numbers, messages. Out: JSON, messages. */
#include "user/quality_show.h"

#include <stdio.h>

static void set_count(json_t *o, const char *name, uint32_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *direction_json(const struct quality *q)
{
	char ssrc[16];
	json_t *o;

	if (!q->heard)
		return json_null();
	o = json_object();
	set_count(o, "received", q->received);
	if (q->mixed) {
		json_object_set_new(o, "mixed", json_true());
	} else {
		set_count(o, "expected", q->expected);
		set_count(o, "lost", q->lost);
		set_count(o, "reordered", q->reordered);
		set_count(o, "duplicates", q->duplicates);
	}
	set_count(o, "restarts", q->restarts);
	json_object_set_new(o, "jitter_ms",
			    q->timed && !q->mixed ? json_real((double)q->jitter_ns / 1e6)
						  : json_null());
	snprintf(ssrc, sizeof(ssrc), "0x%08x", q->ssrc);
	json_object_set_new(o, "ssrc", json_string(ssrc));
	return o;
}

json_t *quality_json(const struct quality *in, const struct quality *out)
{
	json_t *o = json_object();

	json_object_set_new(o, "in", direction_json(in));
	json_object_set_new(o, "out", direction_json(out));
	return o;
}

const char *quality_text(const struct quality *in, const struct quality *out,
			 char buf[QUALITY_TEXT_MAX])
{
	const struct quality *q[2] = {in, out};
	char lost[2][12] = {"-", "-"}, jitter[2][12] = {"-", "-"};
	unsigned i;

	for (i = 0; i < 2; i++) {
		if (!q[i]->heard || q[i]->mixed)
			continue;
		snprintf(lost[i], sizeof(lost[i]), "%u", q[i]->lost);
		if (q[i]->timed)
			snprintf(jitter[i], sizeof(jitter[i]), "%.1f",
				 (double)(q[i]->jitter_ns < 99999000000u ? q[i]->jitter_ns
									 : 99999000000u) /
					 1e6);
	}
	snprintf(buf, QUALITY_TEXT_MAX, "lost %s/%s, jitter %s/%s ms", lost[0], lost[1], jitter[0],
		 jitter[1]);
	return buf;
}

void quality_to_link(const struct quality *q, Sallyport__Quality *out)
{
	out->ssrc = q->ssrc;
	out->received = q->received;
	out->expected = q->expected;
	out->lost = q->lost;
	out->reordered = q->reordered;
	out->duplicates = q->duplicates;
	out->restarts = q->restarts;
	out->mixed = q->mixed;
	out->timed = q->timed;
	out->jitter_ns = q->jitter_ns;
}

void quality_from_link(const Sallyport__Quality *q, struct quality *out)
{
	*out = (struct quality){};
	if (!q || !q->received)
		return;
	*out = (struct quality){.heard = true,
				.mixed = q->mixed,
				.timed = q->timed,
				.ssrc = q->ssrc,
				.received = q->received,
				.expected = q->expected,
				.lost = q->lost,
				.reordered = q->reordered,
				.duplicates = q->duplicates,
				.restarts = q->restarts,
				.jitter_ns = q->jitter_ns};
}
