/* user/srtp_fast.c -- our SRTP back end: order, indices and packet formats; the crypto itself is a provider's.
 *
 * Data flow, open: guess every index -> HMAC of all AES-CM packets at once -> in order: check again, compare tag, store index ->
 * AES-CTR of all that passed. A guess that an earlier packet of the batch made wrong is repeated alone, so the results are those of
 * one packet after the other. GCM needs no batch and goes packet by packet. Seal: indices in order -> AES-CTR -> HMAC.
 * An index is stored only after its packet authenticated (RFC 3711 section 3.3). Owner of sessions: the caller. */
#include "user/srtp_int.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/crypto.h>

static const struct srtp_provider *provider; /* of sessions made from now on */
static char text[96];

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* RFC 3711 section 4.1.1: salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16. */
static void cm_iv(const uint8_t salt[14], uint32_t ssrc, uint64_t index, uint8_t iv[16])
{
	uint8_t x[16] = {};
	unsigned i;

	put32(x + 4, ssrc);
	put32(x + 8, (uint32_t)(index >> 16));
	x[12] = (uint8_t)(index >> 8);
	x[13] = (uint8_t)index;
	memcpy(iv, salt, 14);
	iv[14] = iv[15] = 0;
	for (i = 4; i < 14; i++)
		iv[i] ^= x[i];
}

/* RFC 7714 sections 8.1 and 9.1: 0, SSRC, then ROC and sequence number, or 0 and the SRTCP index. */
static void gcm_iv(const uint8_t salt[14], uint32_t ssrc, uint64_t index, uint8_t iv[12])
{
	uint8_t x[12] = {};
	unsigned i;

	put32(x + 2, ssrc);
	x[6] = (uint8_t)(index >> 40);
	x[7] = (uint8_t)(index >> 32);
	put32(x + 8, (uint32_t)index);
	for (i = 0; i < 12; i++)
		iv[i] = salt[i] ^ x[i];
}

/* ---- one packet's index ---- */
static enum srtp_result open_check(const struct srtp_item *it, uint64_t now, uint64_t *index)
{
	struct srtp_session *s = it->p->session;
	const uint8_t *word;

	if (!it->p->rtcp)
		return srtp_rtp_check(s->streams, it->h.ssrc, it->h.seq, now, index);
	word = it->p->p + it->p->n - SRTP_RTCP_INDEX - (srtp_suite_gcm(s->suite) ? 0 : s->tag[1]);
	*index = get32(word) & 0x7fffffff;
	return srtp_rtcp_check(s->streams, it->h.ssrc, (uint32_t)*index, now);
}

static enum srtp_result seal_index(const struct srtp_item *it, uint64_t now, uint64_t *index)
{
	struct srtp_streams *t = it->p->session->streams;
	enum srtp_result r;

	if (it->p->rtcp)
		r = srtp_rtcp_next(t, it->h.ssrc, now, index);
	else
		r = srtp_rtp_check(t, it->h.ssrc, it->h.seq, now, index);
	if (r == SRTP_OK)
		srtp_index_commit(t, it->h.ssrc, it->p->rtcp, *index, now);
	return r;
}

/* ---- GCM, packet by packet ---- */
static bool gcm_run(const struct srtp_item *it, bool seal, uint64_t index, uint32_t n,
		    uint8_t tag[16])
{
	struct srtp_packet *p = it->p;
	struct srtp_session *s = p->session;
	uint8_t iv[12], aad[SRTP_RTCP_HEADER + SRTP_RTCP_INDEX];
	struct srtp_gcm g = {.key = s->key[p->rtcp], .iv = iv, .aad = p->p, .aad_n = it->h.len};

	gcm_iv(s->salt[p->rtcp], it->h.ssrc, index, iv);
	g.p = p->p + it->h.len;
	g.n = n - it->h.len;
	if (p->rtcp) { /* RFC 7714 section 9.2: the header, then E and index */
		memcpy(aad, p->p, SRTP_RTCP_HEADER);
		put32(aad + SRTP_RTCP_HEADER, (uint32_t)index | 0x80000000);
		g.aad = aad;
		g.aad_n = sizeof(aad);
	}
	return s->provider->gcm(s->suite, seal, &g, tag);
}

static enum srtp_result gcm_open(const struct srtp_item *it, uint64_t now)
{
	struct srtp_packet *p = it->p;
	uint8_t want[16], *tag;
	uint64_t index = 0;
	enum srtp_result r = open_check(it, now, &index);

	if (r != SRTP_OK)
		return r;
	tag = p->p + p->n - 16 - (p->rtcp ? SRTP_RTCP_INDEX : 0);
	if (!gcm_run(it, false, index, (uint32_t)(tag - p->p), want))
		return SRTP_CRYPTO;
	if (CRYPTO_memcmp(want, tag, 16))
		return SRTP_AUTH;
	srtp_index_commit(p->session->streams, it->h.ssrc, p->rtcp, index, now);
	p->n = (uint32_t)(tag - p->p);
	return SRTP_OK;
}

static enum srtp_result gcm_seal(const struct srtp_item *it, uint64_t now)
{
	struct srtp_packet *p = it->p;
	uint64_t index = 0;
	enum srtp_result r = seal_index(it, now, &index);

	if (r != SRTP_OK)
		return r;
	if (!gcm_run(it, true, index, p->n, p->p + p->n))
		return SRTP_CRYPTO;
	p->n += 16;
	if (p->rtcp) {
		put32(p->p + p->n, (uint32_t)index | 0x80000000);
		p->n += SRTP_RTCP_INDEX;
	}
	return SRTP_OK;
}

/* ---- AES-CM with HMAC-SHA1, all together ---- */
struct cm {
	struct srtp_item *it;
	uint64_t index;
	uint8_t tag[10]; /* as received; SRTP's ROC is hashed in its place */
	int job;	 /* in the HMAC batch, or -1 */
};

static bool cm_ctr_job(const struct cm *c, uint32_t body, struct srtp_job *j)
{
	struct srtp_packet *p = c->it->p;

	j->key = p->session->key[p->rtcp];
	j->p = p->p + c->it->h.len;
	j->n = body - c->it->h.len;
	cm_iv(p->session->salt[p->rtcp], c->it->h.ssrc, c->index, j->iv);
	return j->n > 0;
}

/* What is hashed: the packet and the ROC, or all of an SRTCP packet up to the tag (RFC 3711 section 4.2). */
static void cm_hmac_job(const struct cm *c, uint32_t authed, struct srtp_job *j)
{
	struct srtp_packet *p = c->it->p;

	j->key = p->session->key[p->rtcp];
	j->p = p->p;
	j->n = authed;
	if (!p->rtcp) {
		put32(p->p + authed, (uint32_t)(c->index >> 16));
		j->n += 4;
	}
}

static uint32_t cm_authed(const struct srtp_packet *p)
{
	return p->n - p->session->tag[p->rtcp];
}

/* After the HMACs, in order: is the guess still right, is the tag? */
static enum srtp_result cm_judge(struct cm *c, struct srtp_job *hmac, uint64_t now)
{
	struct srtp_packet *p = c->it->p;
	struct srtp_session *s = p->session;
	struct srtp_job one, *j = c->job >= 0 ? &hmac[c->job] : &one;
	uint64_t index = 0;
	enum srtp_result r = open_check(c->it, now, &index);

	if (r != SRTP_OK)
		return r;
	if (c->job < 0 || index != c->index) {
		c->index = index;
		cm_hmac_job(c, cm_authed(p), j);
		if (!s->provider->hmac(j, 1))
			return SRTP_CRYPTO;
	}
	if (CRYPTO_memcmp(j->tag, c->tag, s->tag[p->rtcp]))
		return SRTP_AUTH;
	srtp_index_commit(s->streams, c->it->h.ssrc, p->rtcp, index, now);
	return SRTP_OK;
}

static void cm_open_finish(struct cm *c, unsigned n, struct srtp_job *hmac, uint64_t now)
{
	struct srtp_job ctr[SRTP_BATCH_MAX];
	const struct srtp_provider *pr = c[0].it->p->session->provider;
	struct srtp_packet *p;
	unsigned i, k = 0;

	for (i = 0; i < n; i++) {
		p = c[i].it->p;
		p->result = cm_judge(&c[i], hmac, now);
		if (p->result != SRTP_OK)
			continue;
		p->n = cm_authed(p) - (p->rtcp ? SRTP_RTCP_INDEX : 0u);
		k += cm_ctr_job(&c[i], p->n, &ctr[k]);
	}
	if (k && !pr->ctr(ctr, k))
		for (i = 0; i < n; i++)
			c[i].it->p->result = SRTP_CRYPTO;
}

static void cm_open(struct cm *c, unsigned n, uint64_t now)
{
	struct srtp_job hmac[SRTP_BATCH_MAX];
	const struct srtp_provider *pr = c[0].it->p->session->provider;
	struct srtp_packet *p;
	unsigned i, k = 0;

	for (i = 0; i < n; i++) {
		p = c[i].it->p;
		c[i].index = 0;
		c[i].job = -1;
		memcpy(c[i].tag, p->p + cm_authed(p), p->session->tag[p->rtcp]);
		if (open_check(c[i].it, now, &c[i].index) != SRTP_OK)
			continue; /* judged again in its turn */
		c[i].job = (int)k;
		cm_hmac_job(&c[i], cm_authed(p), &hmac[k++]);
	}
	if (k && !pr->hmac(hmac, k)) {
		for (i = 0; i < n; i++)
			c[i].it->p->result = SRTP_CRYPTO;
		return;
	}
	cm_open_finish(c, n, hmac, now);
}

static void cm_seal_tags(struct cm *c, unsigned n)
{
	struct srtp_job hmac[SRTP_BATCH_MAX];
	const struct srtp_provider *pr = c[0].it->p->session->provider;
	struct srtp_packet *p;
	unsigned i;
	bool good;

	for (i = 0; i < n; i++) {
		p = c[i].it->p;
		if (p->rtcp) {
			put32(p->p + p->n, (uint32_t)c[i].index | 0x80000000);
			p->n += SRTP_RTCP_INDEX;
		}
		cm_hmac_job(&c[i], p->n, &hmac[i]);
	}
	good = pr->hmac(hmac, n);
	for (i = 0; i < n; i++) {
		p = c[i].it->p;
		p->result = good ? SRTP_OK : SRTP_CRYPTO;
		memcpy(p->p + p->n, hmac[i].tag, p->session->tag[p->rtcp]);
		p->n += p->session->tag[p->rtcp];
	}
}

static void cm_seal(struct cm *c, unsigned n, uint64_t now)
{
	struct srtp_job ctr[SRTP_BATCH_MAX];
	const struct srtp_provider *pr = c[0].it->p->session->provider;
	unsigned i, k = 0, m = 0;

	for (i = 0; i < n; i++) {
		c[m] = c[i];
		c[m].it->p->result = seal_index(c[m].it, now, &c[m].index);
		if (c[m].it->p->result != SRTP_OK)
			continue;
		k += cm_ctr_job(&c[m], c[m].it->p->n, &ctr[k]);
		m++;
	}
	if (!m)
		return;
	if (k && !pr->ctr(ctr, k)) {
		for (i = 0; i < m; i++)
			c[i].it->p->result = SRTP_CRYPTO;
		return;
	}
	cm_seal_tags(c, m);
}

/* ---- back end ---- */
static void prefetch(const struct srtp_item *it, unsigned n)
{
	const struct srtp_session *s;
	unsigned i;

	for (i = 0; i < n; i++) {
		s = it[i].p->session;
		s->provider->prefetch(s->suite, s->key[it[i].p->rtcp]);
	}
}

static void fast_run(struct srtp_item *it, unsigned n, uint64_t now, bool seal)
{
	struct cm c[SRTP_BATCH_MAX];
	unsigned i, k = 0;

	prefetch(it, n);
	for (i = 0; i < n; i++) {
		if (!srtp_suite_gcm(it[i].p->session->suite))
			c[k++].it = &it[i];
		else
			it[i].p->result = seal ? gcm_seal(&it[i], now) : gcm_open(&it[i], now);
	}
	if (k && seal)
		cm_seal(c, k, now);
	else if (k)
		cm_open(c, k, now);
}

static void fast_open(struct srtp_item *it, unsigned n, uint64_t now)
{
	fast_run(it, n, now, false);
}

static void fast_seal(struct srtp_item *it, unsigned n, uint64_t now)
{
	fast_run(it, n, now, true);
}

static int fast_session_new(struct srtp_session *s, struct span key)
{
	struct srtp_keys k;
	int i, r = 0;

	s->provider = provider;
	for (i = 0; i < 2 && r == 0; i++) {
		r = srtp_kdf(s->suite, key, i == 1, &k);
		if (r)
			break;
		memcpy(s->salt[i], k.salt, sizeof(k.salt));
		r = provider->key_new(s->suite, &k, &s->key[i]);
	}
	OPENSSL_cleanse(&k, sizeof(k));
	return r;
}

static void fast_session_free(struct srtp_session *s)
{
	int i;

	for (i = 0; i < 2; i++)
		if (s->key[i])
			s->provider->key_free(s->suite, s->key[i]);
}

void srtp_fast_force_evp(bool on)
{
	const char *why = NULL;
	const struct srtp_provider *mb = on ? NULL : srtp_mb_get(&why);

	provider = mb ? mb : &srtp_evp;
	if (mb || on)
		snprintf(text, sizeof(text), "fast (%s)", provider->text());
	else
		snprintf(text, sizeof(text), "fast (%s; ipsec-mb: %s)", provider->text(), why);
}

static int fast_init(void)
{
	srtp_fast_force_evp(false);
	return 0;
}

static const char *fast_text(void)
{
	return text;
}

const struct srtp_back srtp_back_fast = {
	.id = SRTP_FAST,
	.init = fast_init,
	.text = fast_text,
	.session_new = fast_session_new,
	.session_free = fast_session_free,
	.open = fast_open,
	.seal = fast_seal,
};
