/* sip/offer.c -- offer/answer (RFC 3264) across the two legs of a call, SDES keys (RFC 4568), and the media of a call.
 *
 * In: session descriptions in the order they pass, media events. Out: descriptions for the other side, ENGINE_MEDIUM_* actions. A
 * medium belongs to the offer that opened it until that is finished, then to the call; each is closed once, whatever happens. */
#include "sip/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/forward.h"

#define KEY_MAX 46

static const struct offer_suite { /* in our order of preference, by enum engine_suite */
	const char *name;
	size_t key_len;
} offer_suites[ENGINE_SUITES] = {
	{"AEAD_AES_256_GCM", 44},
	{"AEAD_AES_128_GCM", 28},
	{"AES_CM_128_HMAC_SHA1_80", 30},
	{"AES_CM_128_HMAC_SHA1_32", 30},
};

struct medium {
	struct tnode node;
	uint64_t id;
	struct call *call;
	bool ready, with_rtcp, silent, in_force, hold;
	struct engine_medium_addrs a;
	struct engine_medium_set cur; /* in force; have_keys: was set */
	struct addr client_sdp, client_src;
};

struct offer_line {
	bool use, fresh, accepted, mux, hold;
	struct medium *m;
	uint32_t tag; /* the client's offered line that we take */
	enum engine_suite suite;
	uint8_t key[KEY_MAX];
	uint8_t ours[ENGINE_SUITES][KEY_MAX];
	struct addr remote_rtp, remote_rtcp, client;
	struct engine_medium_set set; /* by the last answer */
};

struct offer {
	enum { OFFER_NONE, OFFER_OPEN, OFFER_ANSWERED, OFFER_DONE } state;
	enum side from;
	unsigned n;
	uint64_t answer; /* hash of the last answer: repeated ones get the same keys */
	struct offer_line line[SDP_MEDIA_MAX];
};

/* ---- media ---- */

static struct medium *medium_find(const struct engine *e, uint64_t id)
{
	struct tnode *n = table_find(&e->media, id);

	return n ? table_entry(n, struct medium, node) : NULL;
}

static struct medium *medium_open(struct engine *e, struct call *c, bool with_rtcp)
{
	struct stream *s = call_stream(e, c);
	struct medium *m = s ? calloc(1, sizeof(*m)) : NULL;
	struct engine_action *a;

	if (!m)
		return NULL;
	m->id = engine_random64(e);
	m->call = c;
	m->with_rtcp = with_rtcp;
	a = engine_action(e, ENGINE_MEDIUM_OPEN, SPAN(""));
	if (!a || medium_find(e, m->id)) {
		free(m);
		return NULL;
	}
	a->medium = m->id;
	a->stream = s->id;
	a->with_rtcp = with_rtcp;
	table_add(&e->media, &m->node, m->id);
	return m;
}

static void medium_close(struct engine *e, struct medium *m)
{
	struct engine_action *a = engine_action(e, ENGINE_MEDIUM_CLOSE, SPAN(""));

	if (a)
		a->medium = m->id;
	table_del(&e->media, &m->node);
	explicit_bzero(m, sizeof(*m));
	free(m);
}

static void medium_set(struct engine *e, struct medium *m, const struct engine_medium_set *set)
{
	struct engine_action *a = engine_action(e, ENGINE_MEDIUM_SET, SPAN(""));

	m->silent = false;
	if (!a)
		return;
	a->medium = m->id;
	a->set = *set;
}

/* ---- finding the description in a body ---- */

static bool offer_type_is(struct span v, struct span type)
{
	return v.n >= type.n && span_ieq(span_cut(v, 0, type.n), type) &&
	       (v.n == type.n || v.p[type.n] == ';' || v.p[type.n] == ' ' || v.p[type.n] == '\t');
}

static ssize_t offer_seek(struct span s, struct span what, size_t from)
{
	const uint8_t *p = from <= s.n ? memmem(s.p + from, s.n - from, what.p, what.n) : NULL;

	return p ? p - s.p : -1;
}

/* One part's header lines: is it a session description as it stands? 1 yes, 0 no, -EBADMSG one in an encoding. */
static int offer_part_is_sdp(struct span head)
{
	bool is = false, encoded = false;

	while (head.n) {
		ssize_t end = offer_seek(head, SPAN("\r\n"), 0);
		struct span line = span_cut(head, 0, end < 0 ? head.n : (size_t)end);
		const uint8_t *colon = memchr(line.p, ':', line.n);
		struct span name, value;

		head = span_cut(head, line.n + 2, head.n);
		if (!colon)
			continue;
		name = span_of(line.p, (size_t)(colon - line.p));
		value = span_cut(line, name.n + 1, line.n);
		while (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
			value = span_cut(value, 1, value.n);
		if (span_ieq(name, SPAN("Content-Type")))
			is = offer_type_is(value, SPAN("application/sdp"));
		if (span_ieq(name, SPAN("Content-Transfer-Encoding")) &&
		    !span_ieq(value, SPAN("binary")) && !span_ieq(value, SPAN("8bit")) &&
		    !span_ieq(value, SPAN("7bit")))
			encoded = true;
		if (span_ieq(name, SPAN("Content-Length")) ||
		    span_ieq(name, SPAN("Content-Encoding")))
			encoded = true; /* would be wrong once the part is rewritten */
	}
	return is && encoded ? -EBADMSG : is;
}

/* The one description in a multipart body (RFC 2046 5.1, RFC 5621). */
static int offer_multipart(const struct sip_msg *m, struct span type, struct span *out)
{
	struct sip_param p;
	struct span b = m->body;
	const uint8_t *params = memchr(type.p, ';', type.n);
	char mark[80];
	ssize_t at, end, head;
	int n = 0;

	if (!params || !sip_param_find(span_of(params, type.n - (size_t)(params - type.p)),
				       SPAN("boundary"), &p))
		return -EBADMSG;
	if (p.value.n >= 2 && p.value.p[0] == '"')
		p.value = span_cut(p.value, 1, p.value.n - 2);
	if (p.value.n == 0 || p.value.n > 70)
		return -EBADMSG;
	(void)snprintf(mark, sizeof(mark), "\r\n--%.*s", (int)p.value.n, (const char *)p.value.p);
	at = offer_seek(b, span_cut(span_str(mark), 2, 80), 0);
	while (at >= 0 && (at = offer_seek(b, SPAN("\r\n"), (size_t)at + 2)) >= 0) {
		end = offer_seek(b, span_str(mark), (size_t)at);
		head = offer_seek(b, SPAN("\r\n\r\n"), (size_t)at);
		if (end < 0 || head < 0 || head + 4 > end)
			break;
		switch (offer_part_is_sdp(
			span_of(b.p + at + 2, (size_t)(head - at > 2 ? head - at - 2 : 0)))) {
		case 1:
			*out = span_of(b.p + head + 4, (size_t)(end - head - 4));
			n++;
			break;
		case 0:
			break;
		default:
			return -EBADMSG;
		}
		at = end + 2;
	}
	return n > 1 ? -EBADMSG : n;
}

int offer_body(const struct sip_msg *m, struct span *out)
{
	const struct sip_header *type = sip_header_find(m, SIP_H_CONTENT_TYPE, 0, NULL);
	const struct sip_header *enc = sip_header_find(m, SIP_H_CONTENT_ENCODING, 0, NULL);

	if (m->body.n == 0)
		return 0;
	if (!type || (enc && !span_ieq(enc->value, SPAN("identity"))))
		return -EBADMSG; /* what it holds cannot be known, and it may be a description */
	if (offer_type_is(type->value, SPAN("application/sdp"))) {
		*out = m->body;
		return 1;
	}
	if (type->value.n > 10 && span_ieq(span_cut(type->value, 0, 10), SPAN("multipart/")))
		return offer_multipart(m, type->value, out);
	return 0;
}

/* Put @sdp where @old was in the body of @m. */
static struct span offer_rebody(struct engine *e, const struct sip_msg *m, struct span old,
				struct span sdp)
{
	size_t before = (size_t)(old.p - m->body.p), after = m->body.n - before - old.n;

	if (before == 0 && after == 0)
		return sdp;
	if (before + sdp.n + after > e->buf_cap)
		return SPAN("");
	memcpy(e->body, m->body.p, before);
	memcpy(e->body + before, sdp.p, sdp.n);
	memcpy(e->body + before + sdp.n, old.p + old.n, after);
	return span_of(e->body, before + sdp.n + after);
}

/* ---- reading lines ---- */

static bool offer_params_ok(struct span params)
{
	while (params.n) {
		size_t i = 0;
		struct span one;

		while (i < params.n && params.p[i] != ' ')
			i++;
		one = span_cut(params, 0, i);
		params = span_cut(params, i + 1, params.n);
		/* RFC 4568 6.3: WSH is a hint; an unknown one with "-" in front may be ignored; all others change the stream. */
		if (one.n && one.p[0] != '-' && !(one.n > 4 && memcmp(one.p, "WSH=", 4) == 0))
			return false;
	}
	return true;
}

static bool offer_crypto_ok(const struct sdp_crypto *cr, enum engine_suite suite,
			    uint8_t key[KEY_MAX])
{
	const struct offer_suite *su = &offer_suites[suite];

	return span_eq(cr->suite, span_str(su->name)) && !cr->has_mki &&
	       offer_params_ok(cr->params) &&
	       token_base64(cr->key_b64, key, KEY_MAX) == (ssize_t)su->key_len;
}

static bool offer_is_av(const struct sdp_media *sm)
{
	return span_ieq(sm->type, SPAN("audio")) || span_ieq(sm->type, SPAN("video"));
}

/* Our order decides, not the client's. */
static bool offer_pick(const struct sdp_media *sm, struct offer_line *l)
{
	unsigned s, i;

	for (s = 0; s < ENGINE_SUITES; s++)
		for (i = 0; i < sm->n_crypto; i++)
			if (offer_crypto_ok(&sm->crypto[i], (enum engine_suite)s, l->key)) {
				l->tag = sm->crypto[i].tag;
				l->suite = (enum engine_suite)s;
				return true;
			}
	return false;
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
	rtcp->port = sm->rtcp_mux ? sm->port : sm->rtcp_port;
}

static bool offer_line_usable(enum side from, const struct sdp_media *sm, struct offer_line *l)
{
	if (sm->port == 0 || !offer_is_av(sm))
		return false;
	if (from == SIDE_CLIENT)
		return (sm->proto == SDP_RTP_SAVP || sm->proto == SDP_RTP_SAVPF) &&
		       offer_pick(sm, l);
	return (sm->proto == SDP_RTP_AVP || sm->proto == SDP_RTP_AVPF) && sm->conn_valid;
}

/* ---- taking an offer ---- */

static void offer_keys(struct engine *e, struct offer_line *l)
{
	unsigned s;

	for (s = 0; s < ENGINE_SUITES; s++)
		e->c.random(e->c.arg, l->ours[s], offer_suites[s].key_len);
	/* A session that goes on keeps its key, so that a client that answers as before need not change anything. */
	if (l->m && l->m->in_force)
		memcpy(l->ours[l->m->cur.seal_suite], l->m->cur.seal_key, KEY_MAX);
}

static bool offer_anchor(struct engine *e, struct call *c, enum side from,
			 const struct sdp_media *sm, unsigned i, struct offer_line *l)
{
	l->use = true;
	l->mux = sm->rtcp_mux;
	l->hold = addr_is_any(&sm->conn) && sm->conn_valid;
	l->m = c->media[i];
	l->fresh = !l->m;
	if (from == SIDE_CLIENT)
		l->client = offer_client_addr(sm);
	else
		offer_remote(sm, &l->remote_rtp, &l->remote_rtcp);
	if (l->fresh)
		l->m = medium_open(e, c, from == SIDE_INSIDE || !sm->rtcp_mux);
	if (l->m)
		offer_keys(e, l);
	return l->m != NULL;
}

static bool offer_waits(const struct offer *o)
{
	unsigned i;

	for (i = 0; i < o->n; i++)
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
		if (used == CALL_MEDIA_MAX ||
		    !offer_line_usable(o->from, &s->media[i], &o->line[i]))
			continue;
		used++;
		if (!offer_anchor(e, c, o->from, &s->media[i], i, &o->line[i]))
			return OFFER_FULL;
	}
	if (active && !used)
		return o->from == SIDE_CLIENT ? OFFER_PLAIN : OFFER_SECURE;
	return offer_waits(o) ? OFFER_WAIT : OFFER_READY;
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
	r = offer_lines(e, c, c->offer, &s);
	if (r != OFFER_READY && r != OFFER_WAIT)
		offer_abort(e, c);
	return r;
}

/* ---- writing ---- */

struct offer_edits {
	struct sdp_media_edit edit[SDP_MEDIA_MAX];
	struct sdp_crypto_out crypto[SDP_MEDIA_MAX][ENGINE_SUITES];
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
	ed->secure = to == SIDE_CLIENT;
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
	return n > 0 ? offer_rebody(e, m, s->whole, span_of(e->sdp, (size_t)n)) : SPAN("");
}

static struct sdp_crypto_out offer_crypto(uint32_t tag, enum engine_suite s, const uint8_t *key)
{
	return (struct sdp_crypto_out){tag, offer_suites[s].name, key, offer_suites[s].key_len};
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
		if (to != SIDE_CLIENT)
			continue;
		ed.edit[i].rtcp_mux = e->c.offer_rtcp_mux;
		for (k = 0; k < ENGINE_SUITES; k++)
			ed.crypto[i][k] = offer_crypto(k + 1, (enum engine_suite)k, l->ours[k]);
		ed.edit[i].crypto = ed.crypto[i];
		ed.edit[i].n_crypto = ENGINE_SUITES;
	}
	return offer_rewrite(e, m, &s, &ed);
}

/* ---- the answer ---- */

/* Fill l->set from one answered line. False: it does not fit the offer. */
static bool offer_accept_inside(struct engine *e, struct offer_line *l, const struct sdp_media *sm,
				bool again)
{
	const struct engine_medium_set *cur = &l->m->cur;
	size_t n = offer_suites[l->suite].key_len;

	if ((sm->proto != SDP_RTP_AVP && sm->proto != SDP_RTP_AVPF) || !sm->conn_valid)
		return false;
	if (l->m->in_force && cur->open_suite == l->suite && memcmp(cur->open_key, l->key, n) == 0)
		memcpy(l->ours[l->suite], cur->seal_key,
		       KEY_MAX); /* the client's line is unchanged: so is ours */
	else if (!again)
		e->c.random(e->c.arg, l->ours[l->suite], n);
	memcpy(l->set.open_key, l->key, KEY_MAX);
	offer_remote(sm, &l->set.remote_rtp, &l->set.remote_rtcp);
	return true;
}

static bool offer_accept_client(struct offer_line *l, const struct sdp_media *sm)
{
	uint32_t tag = sm->n_crypto == 1 ? sm->crypto[0].tag : 0;

	if ((sm->proto != SDP_RTP_SAVP && sm->proto != SDP_RTP_SAVPF) || tag < 1 ||
	    tag > ENGINE_SUITES ||
	    !offer_crypto_ok(&sm->crypto[0], (enum engine_suite)(tag - 1), l->set.open_key))
		return false;
	l->suite = (enum engine_suite)(tag - 1);
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

static bool offer_answer_line(struct engine *e, struct call *c, enum side from,
			      const struct sdp_media *sm, struct offer_line *l, bool again)
{
	l->accepted = false;
	if (!l->use || !l->m || sm->port == 0)
		return true;
	if (!(from == SIDE_INSIDE ? offer_accept_inside(e, l, sm, again)
				  : offer_accept_client(l, sm)))
		return false;
	l->accepted = true;
	l->set.have_keys = true;
	l->set.open_suite = l->set.seal_suite = l->suite;
	memcpy(l->set.seal_key, l->ours[l->suite], KEY_MAX);
	l->m->hold = l->hold || sm->direction != SDP_SENDRECV || addr_is_any(&sm->conn);
	if (!again)
		offer_apply(e, c, l);
	return true;
}

static uint64_t offer_hash(const struct engine *e, const struct sip_msg *m, struct span text)
{
	uint64_t part[2] = {engine_hash(e, m->request ? m->from_tag : m->to_tag),
			    engine_hash(e, text)};

	return engine_hash(e, span_of(part, sizeof(part)));
}

enum offer_result offer_answer(struct engine *e, struct call *c, enum side from,
			       const struct sip_msg *m, struct span text, struct span *out)
{
	struct offer *o = c->offer;
	uint64_t hash = offer_hash(e, m, text);
	struct offer_edits ed = {0};
	enum sdp_why why;
	struct sdp s;
	bool again;
	unsigned i;

	if (sdp_parse(text, &s, &why) || s.n_media != o->n)
		return OFFER_BAD;
	again = o->state != OFFER_OPEN && o->answer == hash;
	for (i = 0; i < s.n_media; i++) {
		struct offer_line *l = &o->line[i];

		if (!offer_answer_line(e, c, from, &s.media[i], l, again))
			return OFFER_BAD;
		ed.edit[i].reject = !l->accepted;
		if (!l->accepted)
			continue;
		offer_edit(l, from == SIDE_INSIDE ? SIDE_CLIENT : SIDE_INSIDE,
			   addr_is_any(&s.media[i].conn), &ed.edit[i]);
		if (from != SIDE_INSIDE)
			continue;
		ed.edit[i].rtcp_mux = l->mux && !l->m->with_rtcp;
		ed.crypto[i][0] = offer_crypto(l->tag, l->suite, l->ours[l->suite]);
		ed.edit[i].crypto = ed.crypto[i];
		ed.edit[i].n_crypto = 1;
	}
	if (o->state == OFFER_OPEN)
		o->state = OFFER_ANSWERED;
	o->answer = hash;
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

		if (m && l->accepted) {
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
		else if (l->m && l->accepted && c->state != CALL_ENDED)
			medium_set(e, l->m, &l->m->cur); /* an early answer had changed it */
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
		if (c->media[i] && c->media[i]->in_force)
			return offer_suites[c->media[i]->cur.seal_suite].name;
	return "";
}

/* ---- media events ---- */

void engine_medium_opened(struct engine *e, uint64_t medium, const struct engine_medium_addrs *a,
			  uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (!m || m->ready)
		return;
	m->ready = true;
	m->a = *a;
	if (m->call->offer && !offer_waits(m->call->offer))
		call_resume(e, m->call);
}

void engine_medium_failed(struct engine *e, uint64_t medium, const char *reason, uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (m)
		call_media_failed(e, m->call, reason);
}

void engine_medium_silent(struct engine *e, uint64_t medium, uint64_t now_ms)
{
	struct medium *m = medium_find(e, medium);

	e->now = now_ms;
	if (!m)
		return;
	m->silent = true;
	call_silent(e, m->call);
}
