/* selftests/bpf/tables.c -- runs the packet table and the sequences through a rig.
 *
 * Of every packet it checks: verdict, that exactly the expected reason was counted, every byte of the frame that comes out
 * (against a frame built from what is expected, plus both checksums computed anew), and the flow's counters and latch.
 * A row that a kind cannot express is named with its reason, counted apart, and what is counted instead is checked. */
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "selftests/bpf/cases.h"
#include "selftests/bpf/relay.h"

struct totals totals;

bool check(bool good, const char *fmt, ...)
{
	va_list ap;

	totals.passed += good;
	totals.failed += !good;
	if (good)
		return true;
	va_start(ap, fmt);
	printf("  FAIL ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	return false;
}

static uint32_t verdict_of(enum relay_reason why)
{
	if (why <= R_FORWARD_OUT)
		return XDP_REDIRECT;
	return why < R_DROP_LENGTH ? XDP_PASS : XDP_DROP;
}

static const char *reason_text(int why)
{
	return why < 0 ? "none or several" : maps_reason_name((unsigned)why);
}

static const char *const pair_names[RIG_PAIRS] = {"IPv4", "IPv6", "IPv4 to IPv6", "IPv6 to IPv4"};

/* ---- one row ------------------------------------------------------------------------------------------------------ */

static struct addr row_source(const struct rig *r, const struct row *row, int pair)
{
	struct addr a = row->who == FROM_STRANGER ? r->stranger[pair]
			: row->outward		  ? r->core[pair]
						  : r->client[pair];

	if (row->who == FROM_PEER_PORT)
		a.port += 2;
	return a;
}

static struct addr row_target(const struct rig *r, const struct row *row, int pair)
{
	struct addr a = row->outward ? r->inside[pair] : r->outside[pair];
	uint16_t base = row->outward ? RIG_INSIDE : RIG_OUTSIDE;

	switch (row->where) {
	case TO_FLOW:
		a.port = (uint16_t)(base + row->flow);
		break;
	case TO_BELOW:
		a.port = (uint16_t)(base - 1);
		break;
	case TO_ABOVE:
		a.port = (uint16_t)(base + RIG_RANGE);
		break;
	case TO_STACK:
		a.port = 53;
		break;
	}
	return a;
}

/* What a socket sends: no ID, no options, no padding, no flow label, always a checksum. */
static void spec_of_socket(struct spec *s)
{
	s->translated = true;
	s->options = 0;
	s->pad = 0;
	s->no_checksum = false;
}

/* What a router between the two sides would have made of @in. */
static struct spec row_expected(const struct rig *r, const struct row *row, int pair,
				const struct spec *in)
{
	bool hairpin = row->flow == FLOW_HAIRPIN;
	struct spec out = *in;

	if (row->want == R_PUNCH) {
		out.dst.port = RIG_PUNCH;
		return out;
	}
	if (row->want > R_FORWARD_OUT)
		return out;
	out.src = row->outward ? r->outside[pair] : r->inside[pair];
	out.src.port = (uint16_t)((row->outward ? RIG_OUTSIDE : RIG_INSIDE) + row->flow);
	out.dst = row->outward ? r->client[pair] : r->core[pair];
	out.ttl = (uint8_t)((in->ttl ? in->ttl : 64) - 1);
	out.tags = hairpin ? in->tags : 0;
	if (pair >= 2) {
		out.translated = true;
		out.options = 0;
	}
	rig_macs(hairpin		    ? HOP_LO
		 : row->flow == FLOW_NARROW ? HOP_NARROW
					    : HOP_FAR,
		 out.src_mac, out.dst_mac);
	if (r->kind->sockets)
		spec_of_socket(&out);
	return out;
}

static bool frame_check(const char *name, const struct rig_result *got, const struct spec *want,
			enum relay_reason why)
{
	uint8_t frame[FRAME_MAX];
	size_t n = frame_build(want, frame), i = 0;

	if (why >= R_DROP_LENGTH)
		return true;
	while (i < n && i < got->n && frame[i] == got->frame[i])
		i++;
	if (!check(got->n == n && i == n, "%s: frame of %zu bytes, wanted %zu; differs at %zu",
		   name, got->n, n, i))
		return false;
	if (why <= R_FORWARD_OUT || why == R_PUNCH)
		check(frame_checksums_right(got->frame, got->n, want->no_checksum), "%s: checksum",
		      name);
	return true;
}

/* Counters and latch after one packet to a flow that is on. */
static void flow_check(const struct rig *r, const char *name, const struct row *row, int pair,
		       const struct spec *in)
{
	uint32_t slot = (uint32_t)(pair * RIG_RANGE) + row->flow;
	bool fin = row->want == R_FORWARD_IN, fout = row->want == R_FORWARD_OUT;
	struct maps_flow_report rep;
	struct spec seen = *in;
	uint64_t bytes;

	if (r->kind->sockets)
		spec_of_socket(&seen);
	bytes = frame_ip_len(&seen);
	if (row->where != TO_FLOW || row->flow >= RIG_FLOWS ||
	    maps_flow_read(r->maps, slot, &rep) || row->want == R_DROP_NO_TX)
		return;
	check(rep.packets_in == fin && rep.bytes_in == fin * bytes && !rep.last_in_ns == !fin,
	      "%s: counters in", name);
	check(rep.packets_out == fout && rep.bytes_out == fout * bytes && !rep.last_out_ns == !fout,
	      "%s: counters out", name);
	if (fin && (row->who != FROM_PEER || row->flow == FLOW_FRESH || row->flow == FLOW_ONE_PORT))
		check(addr_eq(&rep.latched, &in->src) && !rep.window_open, "%s: took the leg",
		      name);
	else if (row->flow == FLOW_LATCHED || row->flow == FLOW_EXPIRED)
		check(addr_eq(&rep.latched, &r->client[pair]) && !rep.window_open,
		      "%s: leg stays pinned", name);
	else if (row->flow == FLOW_REOPENED)
		check(addr_eq(&rep.latched, &r->client[pair]) && rep.window_open,
		      "%s: window stays open", name);
}

/* Since 6.18 (and for a bare Ethernet header in 6.1) the kernel makes no skb for a test run whose IP header is cut off. */
static bool untried(const struct rig *r, const struct row *row, int pair, int e)
{
	size_t ip = addr_is_v4(row->outward ? &r->inside[pair] : &r->outside[pair]) ? 20 : 40;

	return r->kind->headers_whole && e == -EINVAL && row->mod.cut && row->mod.cut < 14 + ip;
}

static void row_run(struct rig *r, const struct group *g, const struct row *row, int pair)
{
	struct spec in = row->mod, want;
	uint8_t frame[FRAME_MAX];
	struct rig_difference differs;
	struct rig_result got;
	char name[128];
	int e;

	snprintf(name, sizeof(name), "%s %s, %s, %s", r->kind->name, g->name, row->name,
		 pair_names[pair]);
	in.src = row_source(r, row, pair);
	in.dst = row_target(r, row, pair);
	memcpy(in.src_mac, "\2\0\0\0\11\1", 6);
	memcpy(in.dst_mac, "\2\0\0\0\11\2", 6);
	rig_reset(r);
	e = rig_run(r, frame, frame_build(&in, frame), &got);
	if (r->kind->difference && r->kind->difference(row, pair, &differs)) {
		totals.not_applicable++;
		printf("  n/a  %s: %s\n", name, differs.why);
		check(!e && got.reason == differs.reason, "%s: reason %s, wanted %s", name,
		      reason_text(got.reason), reason_text(differs.reason));
		return;
	}
	if (untried(r, row, pair, e)) {
		totals.untried++;
		return;
	}
	totals.cases++;
	if (!check(!e, "%s: test run: %s", name, strerror(-e)))
		return;
	check(got.reason == (int)row->want, "%s: reason %s, wanted %s", name,
	      reason_text(got.reason), reason_text((int)row->want));
	check(got.verdict == verdict_of(row->want), "%s: verdict %u", name, got.verdict);
	want = row_expected(r, row, pair, &in);
	frame_check(name, &got, &want, row->want);
	flow_check(r, name, row, pair, &in);
}

static void group_run(struct rig *r, const struct group *g)
{
	struct totals before = totals;

	for (unsigned i = 0; i < g->n; i++)
		for (int pair = 0; pair < RIG_PAIRS; pair++)
			if (g->rows[i].pairs & (1u << pair))
				row_run(r, g, &g->rows[i], pair);
	printf("bpf %-4s %-12s %3u packets, %u checks failed\n", r->kind->name, g->name,
	       totals.cases - before.cases, totals.failed - before.failed);
}

/* Sends one packet outside the table; returns the reason that was counted. */
int send_one(struct rig *r, const struct spec *s, struct rig_result *got)
{
	uint8_t frame[FRAME_MAX];

	totals.cases++;
	return rig_run(r, frame, frame_build(s, frame), got) ? -1 : got->reason;
}

static void story_run(struct rig *r, const struct story *s)
{
	const char *why = r->kind->story_difference ? r->kind->story_difference(s->name) : NULL;
	struct totals before = totals;

	if (why) {
		totals.not_applicable++;
		printf("  n/a  %s story, %s: %s\n", r->kind->name, s->name, why);
		return;
	}
	for (int pair = 0; pair < 2; pair++) {
		rig_reset(r);
		s->run(r, pair);
	}
	printf("bpf %-4s %-12s %3u packets, %u checks failed\n", r->kind->name, s->name,
	       totals.cases - before.cases, totals.failed - before.failed);
}

void tables_run(struct rig *r)
{
	for (unsigned i = 0; i < groups_n; i++)
		group_run(r, &groups[i]);
	for (unsigned i = 0; i < stories_n; i++)
		story_run(r, &stories[i]);
}
