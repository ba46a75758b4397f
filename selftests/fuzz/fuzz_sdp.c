/* selftests/fuzz/fuzz_sdp.c -- any bytes as a session description, rewritten as for a client and as for the inside.
 *
 * Held: slices lie inside; what sdp_rewrite() writes parses again and says just what the edits say, without a trace of old
 * addresses, keys, ICE or DTLS. */
#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/sip_spans.h"
#include "sip/clocks.h"
#include "sip/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct sdp sdp, again;

static const uint8_t key[46] = {1, 2, 3};
static const struct sdp_crypto_out crypto[] = {
	{.tag = 1, .suite = "AEAD_AES_256_GCM", .key = key, .key_len = 44},
	{.tag = 2, .suite = "AES_CM_128_HMAC_SHA1_80", .key = key, .key_len = 30},
	{.tag = 3, .suite = "X", .key = key, .key_len = 46},
};

static void edits_fill(struct sdp_media_edit *edits, unsigned n, uint8_t seed)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct sdp_media_edit *e = &edits[i];
		bool secure = seed & 1;

		*e = (struct sdp_media_edit){.reject = (seed >> 1 & 3) == i,
					     .port = (uint16_t)(40000 + 2 * i),
					     .rtcp_mux = seed >> 3 & 1,
					     .secure = secure,
					     .rtcp_port = seed >> 4 & 1 ? (uint16_t)(50001 + i) : 0,
					     .crypto = crypto,
					     .n_crypto = secure ? 3 : 0};
		HOLD(addr_parse(i == 2 ? SPAN("192.0.2.77") : SPAN("2001:db8::77"), &e->addr) == 0);
	}
}

/* The lines that pass, instead of ours: what was read of them before is read again. */
static void keep_fill(struct sdp_media_edit *e, const struct sdp_media *m, struct span *lines)
{
	struct pass_offer o;

	e->n_crypto = 0;
	e->keep = lines;
	e->n_keep = pass_lines(m, lines);
	HOLD(e->n_keep <= m->n_crypto && pass_offer_read(m, &o) == (e->n_keep > 0));
}

static void hold_kept(const struct sdp_media *was, const struct sdp_media *m,
		      const struct sdp_media_edit *e)
{
	struct pass_offer before, after;

	HOLD(m->n_crypto == e->n_keep);
	HOLD(pass_offer_read(was, &before) == pass_offer_read(m, &after));
	HOLD(after.n == e->n_keep && before.n == after.n);
	HOLD(memcmp(before.tag, after.tag, before.n * sizeof(before.tag[0])) == 0);
	if (m->n_crypto == 1 && pass_secure(m))
		HOLD(pass_answer_ok(&before, m));
}

/* Rates are told once each, and rewriting changes none. */
static void hold_clocks(const struct sdp_media *was, const struct sdp_media *m, bool rejected)
{
	uint32_t before[CLOCKS_OFFER], after[CLOCKS_OFFER], picked[CLOCKS_MAX];
	unsigned n = clocks_read(was, before, CLOCKS_OFFER), i;

	HOLD(n <= CLOCKS_OFFER);
	for (i = 0; i < n; i++)
		HOLD((before[i] & 0x80) && before[i] >> 8 >= 1000);
	clocks_pick(before, n, before, picked);
	HOLD(memcmp(picked, before, sizeof(picked)) == 0);
	if (!rejected)
		HOLD(clocks_read(m, after, CLOCKS_OFFER) == n &&
		     memcmp(before, after, sizeof(after)) == 0);
}

static void hold_media(const struct sdp_media *was, const struct sdp_media *m,
		       const struct sdp_media_edit *e)
{
	bool rtp = was->proto != SDP_PROTO_OTHER;
	unsigned i;

	HOLD(span_eq(m->type, was->type) && span_eq(m->formats, was->formats));
	hold_clocks(was, m, e->reject);
	HOLD(!m->has_ice && !m->has_dtls && m->ports == 1);
	HOLD(m->port == (e->reject ? 0 : e->port));
	HOLD(!rtp || (m->proto == SDP_RTP_SAVP || m->proto == SDP_RTP_SAVPF) == e->secure);
	HOLD(!rtp || (m->proto == SDP_RTP_AVPF || m->proto == SDP_RTP_SAVPF) ==
			     (was->proto == SDP_RTP_AVPF || was->proto == SDP_RTP_SAVPF));
	if (e->reject) {
		HOLD(m->n_crypto == 0 && !m->rtcp_mux && !m->has_conn);
		return;
	}
	HOLD(m->conn_valid && addr_ip_eq(&m->conn, &e->addr));
	HOLD(m->rtcp_port == (e->rtcp_port ? e->rtcp_port : e->port + 1));
	HOLD(addr_ip_eq(&m->rtcp_addr, &e->addr) && m->rtcp_mux == e->rtcp_mux);
	HOLD(m->direction == was->direction);
	if (e->keep) {
		hold_kept(was, m, e);
		return;
	}
	HOLD(m->n_crypto == e->n_crypto);
	for (i = 0; i < m->n_crypto; i++)
		HOLD(m->crypto[i].tag == i + 1 &&
		     span_eq(m->crypto[i].suite, span_str(crypto[i].suite)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[65536];
	struct sdp_media_edit edits[SDP_MEDIA_MAX];
	struct span lines[SDP_MEDIA_MAX][SDP_CRYPTO_MAX];
	struct span in = span_of(data, size);
	enum sdp_why why = SDP_OK;
	int r = sdp_parse(in, &sdp, &why);
	unsigned i;
	ssize_t n;

	if (size > 16384)
		return 0;
	if (r) {
		HOLD((r == -EBADMSG || r == -E2BIG) && why != SDP_OK && why < SDP_WHYS);
		return 0;
	}
	HOLD(sdp_inside(&sdp, in));
	edits_fill(edits, sdp.n_media, data[size - 1] ^ (uint8_t)size);
	for (i = 0; i < sdp.n_media && size % 3 == 0; i++)
		keep_fill(&edits[i], &sdp.media[i], lines[i]);
	n = sdp_rewrite(&sdp, edits, sdp.n_media, buf, sizeof(buf));
	HOLD(n > 0);
	HOLD(sdp_rewrite(&sdp, edits, sdp.n_media, buf, (size_t)n - 1) == -E2BIG);
	n = sdp_rewrite(&sdp, edits, sdp.n_media, buf, sizeof(buf));
	HOLD(sdp_parse(span_of(buf, (size_t)n), &again, &why) == 0);
	HOLD(again.n_media == sdp.n_media && (sdp.n_media == 0 || again.conn_valid));
	for (i = 0; i < sdp.n_media; i++)
		hold_media(&sdp.media[i], &again.media[i], &edits[i]);
	return 0;
}
