/* sip/offer.c -- offer/answer (RFC 3264) across the two legs of a call, SDES keys (RFC 4568), and the media of a
 * call.
 *
 * In: session descriptions in the order they pass, media events. Out: descriptions for the other side, ENGINE_MEDIUM_*
 * actions. A medium belongs to the offer that opened it until that is finished, then to the call; each is closed once,
 * whatever happens. */
#include "sip/call.h"

#include <stdlib.h>

#include "sip/body.h"
#include "sip/clocks.h"
#include "sip/medium.h"
#include "sip/pass.h"
#include "sip/record.h"
#include "sip/sdes.h"

#define OFFER_BRANCHES 8

struct offer_line {
	bool use, fresh, accepted, mux, hold;
	bool pass;	  /* the keys are the parties' own */
	bool secure;	  /* offered as SRTP: an answer that rejects it says so, too (RFC 3264 6) */
	bool later;	  /* the last answer is not in force yet: offer_finish() puts it there */
	uint64_t applied; /* hash of the answer in force */
	struct medium *m;
	uint32_t tag; /* the client's offered line that we take */
	enum engine_suite suite;
	uint8_t key[SDES_KEY_MAX];
	uint8_t ours[ENGINE_SUITES][SDES_KEY_MAX];
	struct pass_offer offered;
	uint32_t clocks[CLOCKS_OFFER]; /* of the offer */
	unsigned n_clocks;
	struct addr remote_rtp, remote_rtcp, client;
	struct engine_medium_set set; /* by the last answer */
};

struct offer {
	enum { OFFER_NONE, OFFER_OPEN, OFFER_ANSWERED, OFFER_DONE } state;
	enum side from;
	unsigned n;
	uint8_t secret[32]; /* answerers' keys come from it */
	unsigned n_seen,
		current; /* answerers whose keys have been in force, by hash of their tags; whose are now */
	uint64_t seen[OFFER_BRANCHES];
	uint8_t epoch[OFFER_BRANCHES];
	struct offer_line line[SDP_MEDIA_MAX];
};

struct answer { /* one answer to it */
	struct offer *o;
	struct span tag;
	bool final, applies; /* applies: its keys go into force */
	unsigned epoch;
	uint64_t hash;
};

/* ---- reading lines ---- */

static bool offer_is_av(const struct sdp_media *sm)
{
	return span_ieq(sm->type, SPAN("audio")) || span_ieq(sm->type, SPAN("video"));
}

static struct addr offer_client_addr(const struct sdp_media *sm)
{
	struct addr a = sm->conn_valid ? sm->conn : (struct addr){0};

	a.port = sm->port;
	return a;
}

static void offer_remote(const struct sdp_media *sm, struct addr *rtp, struct addr *rtcp)
{
	*rtp = *rtcp = (struct addr){0};
	if (addr_is_any(&sm->conn))
		return; /* hold by address (RFC 3264 8.4): nothing is to be sent */
	*rtp = sm->conn;
	rtp->port = sm->port;
	*rtcp = sm->rtcp_addr;
	/* We never agree to rtcp-mux on this side, so an offer of it falls back (RFC 5761 5.1.1). */
	rtcp->port = sm->rtcp_port;
}

/* Whether the keys of this line pass. @m: what carries it now; a client goes on as the inside began. */
static bool offer_line_passes(const struct engine *e, const struct call *c, enum side from,
			      const struct sdp_media *sm, const struct medium *m)
{
	return e->c.servers[c->server].pass && pass_secure(sm) &&
	       (from == SIDE_INSIDE || !m || m->pass);
}

static bool offer_line_usable(enum side from, const struct sdp_media *sm, struct offer_line *l)
{
	if (sm->port == 0 || !offer_is_av(sm))
		return false;
	if (l->pass)
		return (from == SIDE_CLIENT || sm->conn_valid) && pass_offer_read(sm, &l->offered);
	if (from == SIDE_CLIENT)
		return pass_secure(sm) && sdes_pick(sm, &l->tag, &l->suite, l->key);
	return (sm->proto == SDP_RTP_AVP || sm->proto == SDP_RTP_AVPF) && sm->conn_valid;
}

/* ---- taking an offer ---- */

static void offer_keys(struct engine *e, struct offer_line *l)
{
	unsigned s;

	for (s = 0; s < ENGINE_SUITES; s++)
		e->c.random(e->c.arg, l->ours[s], sdes_key_len((enum engine_suite)s));
	/* A session that goes on keeps its key, so that a client that answers as before need not change anything. */
	if (l->m && l->m->in_force)
		memcpy(l->ours[l->m->cur.seal_suite], l->m->cur.seal_key, SDES_KEY_MAX);
}

static bool offer_anchor(struct engine *e, struct call *c, enum side from,
			 const struct sdp_media *sm, unsigned i, struct offer_line *l)
{
	l->use = true;
	l->mux = sm->rtcp_mux;
	l->n_clocks = clocks_read(sm, l->clocks, CLOCKS_OFFER);
	l->hold = addr_is_any(&sm->conn) && sm->conn_valid;
	l->m = c->media[i] && c->media[i]->pass == l->pass ? c->media[i] : NULL;
	l->fresh = !l->m;
	if (from == SIDE_CLIENT)
		l->client = offer_client_addr(sm);
	else
		offer_remote(sm, &l->remote_rtp, &l->remote_rtcp);
	if (l->fresh)
		l->m = medium_open(e, c, from == SIDE_INSIDE || l->pass || !sm->rtcp_mux, l->pass);
	else if (from == SIDE_CLIENT && !sm->rtcp_mux && !l->m->with_rtcp &&
		 medium_part_rtcp(e, l->m))
		return false;
	if (l->m && !l->pass)
		offer_keys(e, l);
	return l->m != NULL;
}

bool offer_waits(const struct call *c)
{
	const struct offer *o = c->offer;
	unsigned i;

	for (i = 0; o && i < o->n; i++)
		if (o->line[i].m && !o->line[i].m->ready)
			return true;
	return false;
}

static enum offer_result offer_lines(struct engine *e, struct call *c, struct offer *o,
				     const struct sdp *s)
{
	unsigned i, active = 0, used = 0;

	for (i = 0; i < s->n_media; i++) {
		active += s->media[i].port != 0;
		o->line[i].secure = pass_secure(&s->media[i]);
		o->line[i].pass = offer_line_passes(e, c, o->from, &s->media[i], c->media[i]);
		if (used == CALL_MEDIA_MAX ||
		    !offer_line_usable(o->from, &s->media[i], &o->line[i]))
			continue;
		used++;
		if (!offer_anchor(e, c, o->from, &s->media[i], i, &o->line[i]))
			return OFFER_FULL;
	}
	if (active && !used)
		return o->from == SIDE_CLIENT ? OFFER_PLAIN : OFFER_SECURE;
	return offer_waits(c) ? OFFER_WAIT : OFFER_READY;
}

enum offer_result offer_take(struct engine *e, struct call *c, enum side from, struct span text)
{
	enum offer_result r;
	enum sdp_why why;
	struct sdp s;

	if (offer_pending(c))
		return OFFER_PENDING;
	if (sdp_parse(text, &s, &why))
		return OFFER_BAD;
	if (!c->offer)
		c->offer = calloc(1, sizeof(*c->offer));
	if (!c->offer)
		return OFFER_FULL;
	offer_finish(e, c); /* an early exchange that UPDATE follows */
	explicit_bzero(c->offer, sizeof(*c->offer));
	c->offer->state = OFFER_OPEN;
	c->offer->from = from;
	c->offer->n = s.n_media;
	e->c.random(e->c.arg, c->offer->secret, sizeof(c->offer->secret));
	r = offer_lines(e, c, c->offer, &s);
	if (r != OFFER_READY && r != OFFER_WAIT)
		offer_abort(e, c);
	return r;
}

/* ---- writing ---- */

struct offer_edits {
	struct sdp_media_edit edit[SDP_MEDIA_MAX];
	struct sdp_crypto_out crypto[SDP_MEDIA_MAX][ENGINE_SUITES];
	struct span keep[SDP_MEDIA_MAX][SDP_CRYPTO_MAX];
};

static void offer_edit(const struct offer_line *l, enum side to, bool hold,
		       struct sdp_media_edit *ed)
{
	const struct medium *m = l->m;
	const struct addr *rtp = to == SIDE_CLIENT ? &m->a.outside_rtp : &m->a.inside_rtp;
	const struct addr *rtcp = to == SIDE_CLIENT ? &m->a.outside_rtcp : &m->a.inside_rtcp;
	static const struct addr any4 = {.ip = {[10] = 0xff, [11] = 0xff}};

	ed->reject = false;
	ed->addr = hold ? any4 : *rtp;
	ed->port = rtp->port;
	if (to == SIDE_CLIENT ? m->with_rtcp : rtcp->port != rtp->port + 1)
		ed->rtcp_port = rtcp->port;
	ed->secure = to == SIDE_CLIENT || l->pass;
}

/* RTCP on one port is for the parties to agree on as well: each port is carried, whatever comes on it. */
static void offer_edit_pass(struct offer_edits *ed, unsigned i, const struct sdp_media *sm)
{
	ed->edit[i].n_keep = pass_lines(sm, ed->keep[i]);
	ed->edit[i].keep = ed->keep[i];
	ed->edit[i].rtcp_mux = sm->rtcp_mux;
}

/* Rejected lines still need an address family that fits. */
static void offer_fill_rejected(struct offer_edits *ed, unsigned n)
{
	struct addr a = {.ip = {[10] = 0xff, [11] = 0xff}};
	unsigned i;

	for (i = 0; i < n; i++)
		if (!ed->edit[i].reject) {
			a = ed->edit[i].addr;
			break;
		}
	for (i = 0; i < n; i++)
		if (ed->edit[i].reject)
			ed->edit[i].addr = a;
}

static struct span offer_rewrite(struct engine *e, const struct sip_msg *m, const struct sdp *s,
				 struct offer_edits *ed)
{
	ssize_t n;

	offer_fill_rejected(ed, s->n_media);
	n = sdp_rewrite(s, ed->edit, s->n_media, e->sdp, e->buf_cap);
	return n > 0 ? body_replace(m, s->whole, span_of(e->sdp, (size_t)n), e->body, e->buf_cap)
		     : SPAN("");
}

struct span offer_write(struct engine *e, struct call *c, const struct sip_msg *m, struct span text)
{
	enum side to = c->offer->from == SIDE_CLIENT ? SIDE_INSIDE : SIDE_CLIENT;
	struct offer_edits ed = {0};
	enum sdp_why why;
	struct sdp s;
	unsigned i, k;

	if (sdp_parse(text, &s, &why))
		return SPAN("");
	for (i = 0; i < s.n_media; i++) {
		const struct offer_line *l = &c->offer->line[i];

		ed.edit[i].reject = true;
		if (!l->use)
			continue;
		offer_edit(l, to, l->hold, &ed.edit[i]);
		if (l->pass)
			offer_edit_pass(&ed, i, &s.media[i]);
		if (l->pass || to != SIDE_CLIENT)
			continue;
		ed.edit[i].rtcp_mux = !l->m->with_rtcp; /* as it is: RFC 5761 5.1.1 */
		for (k = 0; k < ENGINE_SUITES; k++)
			ed.crypto[i][k] = sdes_line(k + 1, (enum engine_suite)k, l->ours[k]);
		ed.edit[i].crypto = ed.crypto[i];
		ed.edit[i].n_crypto = ENGINE_SUITES;
	}
	return offer_rewrite(e, m, &s, &ed);
}

/* ---- the answer ---- */

/* Our key of line @i towards the client: several branches may answer, each gets its own, and the same
 * one again in a repeated answer, whatever came between. */
static void offer_answer_key(struct engine *e, unsigned i, const struct answer *an,
			     enum engine_suite suite, uint8_t key[SDES_KEY_MAX])
{
	uint8_t in[3 + 256] = {(uint8_t)i, (uint8_t)an->epoch}, out[64];
	size_t n = an->tag.n > 256 ? 256 : an->tag.n;

	memcpy(in + 3, an->tag.p, n);
	for (in[2] = 0; in[2] < 2; in[2]++)
		e->c.hmac(e->c.arg, span_of(an->o->secret, sizeof(an->o->secret)),
			  span_of(in, n + 3), out + 32 * in[2]);
	memset(key, 0, SDES_KEY_MAX);
	memcpy(key, out, sdes_key_len(suite));
	explicit_bzero(out, sizeof(out));
}

/* Fill l->set from one answered line. False: it does not fit the offer. */
static bool offer_accept_inside(struct engine *e, const struct answer *an, unsigned i,
				const struct sdp_media *sm)
{
	struct offer_line *l = &an->o->line[i];
	const struct engine_medium_set *cur = &l->m->cur;

	if ((sm->proto != SDP_RTP_AVP && sm->proto != SDP_RTP_AVPF) || !sm->conn_valid)
		return false;
	if (l->m->in_force && cur->open_suite == l->suite &&
	    memcmp(cur->open_key, l->key, sdes_key_len(l->suite)) == 0)
		memcpy(l->ours[l->suite], cur->seal_key,
		       SDES_KEY_MAX); /* the client's line is unchanged: so is ours */
	else
		offer_answer_key(e, i, an, l->suite, l->ours[l->suite]);
	memcpy(l->set.open_key, l->key, SDES_KEY_MAX);
	offer_remote(sm, &l->set.remote_rtp, &l->set.remote_rtcp);
	return true;
}

static bool offer_accept_client(struct offer_line *l, const struct sdp_media *sm)
{
	uint32_t tag = sm->n_crypto == 1 ? sm->crypto[0].tag : 0;

	if ((sm->proto != SDP_RTP_SAVP && sm->proto != SDP_RTP_SAVPF) || tag < 1 ||
	    tag > ENGINE_SUITES ||
	    !sdes_read(&sm->crypto[0], (enum engine_suite)(tag - 1), l->set.open_key))
		return false;
	l->suite = (enum engine_suite)(tag - 1);
	l->client = offer_client_addr(sm);
	l->set.remote_rtp = l->remote_rtp;
	l->set.remote_rtcp = l->remote_rtcp;
	return true;
}

static bool offer_accept_pass(enum side offerer, struct offer_line *l, const struct sdp_media *sm)
{
	if (!pass_answer_ok(&l->offered, sm) || (offerer == SIDE_CLIENT && !sm->conn_valid))
		return false;
	if (offerer == SIDE_CLIENT) {
		offer_remote(sm, &l->set.remote_rtp, &l->set.remote_rtcp);
		return true;
	}
	l->client = offer_client_addr(sm);
	l->set.remote_rtp = l->remote_rtp;
	l->set.remote_rtcp = l->remote_rtcp;
	return true;
}

static void offer_apply(struct engine *e, struct call *c, struct offer_line *l)
{
	const struct stream *s = call_stream(e, c);
	struct medium *m = l->m;

	l->set.reopen = m->in_force && (!addr_eq(&l->client, &m->client_sdp) ||
					(s && !addr_ip_eq(&s->client, &m->client_src)));
	medium_set(e, m, &l->set);
}

/* A description says what its party wants to get, so the client's tells of what goes out. */
static void offer_clocks(struct offer_line *l, enum side from, const struct sdp_media *answer)
{
	uint32_t *theirs = from == SIDE_CLIENT ? l->set.clocks_in : l->set.clocks_out;

	_Static_assert(sizeof(l->set.clocks_in) == CLOCKS_MAX * sizeof(uint32_t), "one length");
	clocks_read(answer, theirs, CLOCKS_MAX);
	clocks_pick(l->clocks, l->n_clocks, theirs,
		    from == SIDE_CLIENT ? l->set.clocks_out : l->set.clocks_in);
}

static bool offer_accept(struct engine *e, const struct answer *an, unsigned i,
			 const struct sdp_media *sm)
{
	struct offer_line *l = &an->o->line[i];

	offer_clocks(l, an->o->from, sm);
	if (l->pass)
		return offer_accept_pass(an->o->from, l, sm);
	if (!(an->o->from == SIDE_CLIENT ? offer_accept_inside(e, an, i, sm)
					 : offer_accept_client(l, sm)))
		return false;
	l->set.have_keys = true;
	l->set.open_suite = l->set.seal_suite = l->suite;
	memcpy(l->set.seal_key, l->ours[l->suite], SDES_KEY_MAX);
	return true;
}

static enum offer_result offer_answer_line(struct engine *e, struct call *c,
					   const struct answer *an, unsigned i,
					   const struct sdp_media *sm)
{
	struct offer_line *l = &an->o->line[i];

	l->accepted = false;
	if (!l->use || !l->m || sm->port == 0)
		return OFFER_READY;
	if (!offer_accept(e, an, i, sm))
		return l->pass && !pass_secure(sm) ? OFFER_PLAIN : OFFER_BAD;
	l->accepted = true;
	l->m->hold = l->hold || sm->direction != SDP_SENDRECV || addr_is_any(&sm->conn);
	l->later = l->m->in_force &&
		   !an->final; /* a re-INVITE may still fail, and no key may come back in force */
	if (an->applies && !l->later && l->applied != an->hash) {
		l->applied = an->hash;
		offer_apply(e, c, l);
	}
	return OFFER_READY;
}

/* Media serve one answerer at a time. A new one takes over; one that came and went gets them back only by its final
 * answer, and then under a new key: a session that starts again with an old key would use its key stream twice. */
static bool offer_applies(struct offer *o, uint64_t who, bool final, unsigned *epoch)
{
	unsigned i;

	for (i = 0; i < o->n_seen && o->seen[i] != who; i++)
		;
	*epoch = i < o->n_seen ? o->epoch[i] : 0;
	if (i == OFFER_BRANCHES)
		return final;
	if (i == o->n_seen)
		o->seen[o->n_seen++] = who;
	else if (i != o->current && !final)
		return false;
	else if (i != o->current)
		*epoch = ++o->epoch[i];
	o->current = i;
	return true;
}

static struct answer offer_answer_new(const struct engine *e, struct offer *o,
				      const struct sip_msg *m, struct span text)
{
	struct answer an = {.o = o,
			    .final = m->request || m->status >= 200,
			    .tag = m->request ? m->from_tag : m->to_tag};
	uint64_t part[2] = {engine_hash(e, an.tag), engine_hash(e, text)};

	an.hash = engine_hash(e, span_of(part, sizeof(part)));
	an.applies = offer_applies(o, part[0], an.final, &an.epoch);
	return an;
}

enum offer_result offer_answer(struct engine *e, struct call *c, enum side from,
			       const struct sip_msg *m, struct span text, struct span *out)
{
	struct offer *o = c->offer;
	struct offer_edits ed = {0};
	struct answer an;
	enum offer_result r;
	enum sdp_why why;
	struct sdp s;
	unsigned i;

	if (sdp_parse(text, &s, &why) || s.n_media != o->n)
		return OFFER_BAD;
	an = offer_answer_new(e, o, m, text);
	for (i = 0; i < s.n_media; i++) {
		struct offer_line *l = &o->line[i];

		r = offer_answer_line(e, c, &an, i, &s.media[i]);
		if (r != OFFER_READY)
			return r;
		ed.edit[i].reject = !l->accepted;
		ed.edit[i].secure = l->secure;
		if (!l->accepted)
			continue;
		offer_edit(l, from == SIDE_INSIDE ? SIDE_CLIENT : SIDE_INSIDE,
			   addr_is_any(&s.media[i].conn), &ed.edit[i]);
		if (l->pass)
			offer_edit_pass(&ed, i, &s.media[i]);
		if (l->pass || from != SIDE_INSIDE)
			continue;
		ed.edit[i].rtcp_mux = l->mux && !l->m->with_rtcp;
		ed.crypto[i][0] = sdes_line(l->tag, l->suite, l->ours[l->suite]);
		ed.edit[i].crypto = ed.crypto[i];
		ed.edit[i].n_crypto = 1;
	}
	if (o->state == OFFER_OPEN)
		o->state = OFFER_ANSWERED;
	*out = offer_rewrite(e, m, &s, &ed);
	return out->n ? OFFER_READY : OFFER_BAD;
}

/* ---- ends ---- */

void offer_finish(struct engine *e, struct call *c)
{
	const struct stream *s = call_stream(e, c);
	struct offer *o = c->offer;
	unsigned i;

	if (!o || o->state != OFFER_ANSWERED)
		return;
	for (i = 0; i < SDP_MEDIA_MAX; i++) {
		struct offer_line *l = &o->line[i];
		struct medium *m = i < o->n && l->m ? l->m : c->media[i];

		if (c->media[i] && c->media[i] != m) /* carried in another way from here on */
			medium_close(e, c->media[i]);
		if (m && l->accepted) {
			if (l->later)
				offer_apply(e, c, l);
			l->later = false;
			c->media[i] = m;
			m->cur = l->set;
			m->in_force = true;
			m->client_sdp = l->client;
			if (s)
				m->client_src = s->client;
			continue;
		}
		c->media[i] = l->m = NULL;
		if (m)
			medium_close(e, m);
	}
	o->state = OFFER_DONE;
}

void offer_abort(struct engine *e, struct call *c)
{
	struct offer *o = c->offer;
	unsigned i;

	if (!o || o->state == OFFER_NONE || o->state == OFFER_DONE)
		return;
	for (i = 0; i < o->n; i++) {
		struct offer_line *l = &o->line[i];

		if (l->m && l->fresh)
			medium_close(e, l->m);
		l->m = NULL;
	}
	o->state = OFFER_NONE;
}

void offer_close_all(struct engine *e, struct call *c)
{
	unsigned i;

	offer_abort(e, c);
	for (i = 0; i < SDP_MEDIA_MAX; i++) {
		if (c->media[i])
			medium_close(e, c->media[i]);
		c->media[i] = NULL;
	}
	if (c->offer) {
		explicit_bzero(c->offer, sizeof(*c->offer));
		free(c->offer);
		c->offer = NULL;
	}
}

bool offer_pending(const struct call *c)
{
	return c->offer && c->offer->state == OFFER_OPEN;
}

bool offer_from(const struct call *c, enum side s)
{
	return c->offer && c->offer->state != OFFER_NONE && c->offer->from == s;
}

bool offer_held(const struct call *c)
{
	unsigned i;

	for (i = 0; i < SDP_MEDIA_MAX; i++)
		if (c->media[i] && c->media[i]->hold)
			return true;
	return false;
}

void offer_moved(struct engine *e, struct call *c, const struct addr *client)
{
	unsigned i;

	for (i = 0; i < SDP_MEDIA_MAX; i++) {
		struct medium *m = c->media[i];

		if (!m || !m->in_force || addr_ip_eq(&m->client_src, client))
			continue;
		m->client_src = *client;
		record_touch(e, &c->record);
		m->cur.reopen = true;
		medium_set(e, m, &m->cur);
		m->cur.reopen = false;
	}
}

void offer_unsilence(struct call *c)
{
	unsigned i;

	for (i = 0; i < SDP_MEDIA_MAX; i++)
		if (c->media[i])
			c->media[i]->silent = false;
	for (i = 0; c->offer && i < c->offer->n; i++)
		if (c->offer->line[i].m)
			c->offer->line[i].m->silent = false;
}

bool offer_silent(const struct call *c)
{
	unsigned i;

	for (i = 0; i < SDP_MEDIA_MAX; i++)
		if (c->media[i] && !c->media[i]->silent)
			return false;
	return true;
}

unsigned offer_media(const struct call *c, uint64_t ids[8])
{
	unsigned i, n = 0;

	for (i = 0; i < SDP_MEDIA_MAX && n < 8; i++)
		if (c->media[i])
			ids[n++] = c->media[i]->id;
	for (i = 0; c->offer && i < c->offer->n && n < 8; i++)
		if (c->offer->line[i].m && c->offer->line[i].m != c->media[i])
			ids[n++] = c->offer->line[i].m->id;
	return n;
}

const char *offer_suite(const struct call *c)
{
	unsigned i;

	for (i = 0; i < SDP_MEDIA_MAX; i++)
		if (c->media[i] && c->media[i]->in_force && c->media[i]->pass)
			return "end-to-end";
		else if (c->media[i] && c->media[i]->in_force)
			return sdes_name(c->media[i]->cur.seal_suite);
	return "";
}
