/* tools/load_call_msg.c -- what an end of a call says and reads: INVITE, ACK, CANCEL, BYE, answers, session descriptions.
 *
 * In: the end's record and a parsed message. Out: text in the caller's buffer, or fields of the record. RFC 3261 12.1 (dialogs), 17.1.1.3
 * (ACK of a refusal), RFC 4568 (keys). */
#include "tools/load_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "sip/sdp.h"
#include "sip/write.h"

#define ROUTES_MAX 16
#define SDP_MAX	   1024

void load_call_tag(const struct load_call *k, char tag[40])
{
	snprintf(tag, 40, "%08x.%x.%x", k->run->l.run_id, k->slot, k->generation);
}

bool load_call_tag_read(struct span tag, uint32_t run_id, unsigned *slot, unsigned *generation)
{
	char text[40];
	unsigned run;
	int end = 0;

	return span_copy(tag, text, sizeof(text)) > 0 &&
	       sscanf(text, "%8x.%x.%x%n", &run, slot, generation, &end) == 3 && !text[end] &&
	       run == run_id;
}

/* ---- session descriptions ------------------------------------------------------------------------------------------------ */

static ssize_t sdp_text(const struct load_call *k, char *buf, size_t n)
{
	char ip[ADDR_TEXT_MAX], key[2 * SRTP_KEY_MAX];
	const struct addr *a = load_client_local(k->c);
	int family;
	struct sip_out w;

	addr_ip_text(a, ip);
	family = addr_is_v4(a) ? 4 : 6;
	sip_out_init(&w, buf, n);
	sip_out_text(&w, "v=0\r\no=- %u 1 IN IP%d %s\r\ns=load\r\nc=IN IP%d %s\r\nt=0 0\r\n",
		     k->slot + 1, family, ip, family, ip);
	sip_out_text(&w, "m=audio %u RTP/%s 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n", k->port,
		     k->secure ? "SAVP" : "AVP");
	if (k->mux)
		sip_out_text(&w, "a=rtcp-mux\r\n");
	if (k->secure) {
		EVP_EncodeBlock((uint8_t *)key, k->key, (int)srtp_suite_key_len(k->suite));
		sip_out_text(&w, "a=crypto:%u %s inline:%s\r\n", k->crypto_tag,
			     srtp_suite_name(k->suite), key);
	}
	return w.overflow ? -E2BIG : (ssize_t)w.n;
}

/* Padding may be left out, but only the right amount may be there: EVP_DecodeBlock() counts it as bytes. */
static bool key_read(const struct sdp_crypto *cr, enum srtp_suite s, uint8_t key[SRTP_KEY_MAX])
{
	size_t want = srtp_suite_key_len(s), pad = (3 - want % 3) % 3, whole = (want + pad) / 3 * 4;
	uint8_t raw[SRTP_KEY_MAX + 3], text[2 * SRTP_KEY_MAX];
	struct span b64 = cr->key_b64;

	if (cr->has_mki || (b64.n != whole && b64.n != whole - pad))
		return false;
	memset(text + whole - pad, '=', pad);
	memcpy(text, b64.p, b64.n);
	if (memchr(text, '=', whole - pad) || memcmp(text + whole - pad, "==", pad) != 0 ||
	    EVP_DecodeBlock(raw, text, (int)whole) != (int)(want + pad))
		return false;
	memcpy(key, raw, want);
	return true;
}

int load_call_sdp_read(struct load_call *k, struct span body, uint8_t key[SRTP_KEY_MAX])
{
	static struct sdp s;
	enum sdp_why why;
	enum srtp_suite suite;
	const struct sdp_media *m = &s.media[0];
	unsigned i;

	if (sdp_parse(body, &s, &why) || s.n_media != 1 || !m->conn_valid || !m->port)
		return -EBADMSG;
	k->media.remote = m->conn;
	k->media.remote.port = m->port;
	k->mux = k->caller ? k->mux : m->rtcp_mux;
	if ((m->proto == SDP_RTP_SAVP || m->proto == SDP_RTP_SAVPF) != k->secure)
		return -EBADMSG;
	if (!k->secure)
		return 0;
	/* The suite that this call is to have, if it is there. */
	for (i = 0; i < m->n_crypto; i++)
		if (srtp_suite_from_name(m->crypto[i].suite, &suite) && suite == k->suite &&
		    key_read(&m->crypto[i], suite, key)) {
			k->crypto_tag = m->crypto[i].tag;
			return 0;
		}
	return -EBADMSG;
}

/* ---- the dialog ---------------------------------------------------------------------------------------------------------- */

/* Record-Route elements as Route lines: in order for the callee, turned round for the caller (RFC 3261 12.1.1, 12.1.2). */
static int routes_read(struct load_call *k, const struct sip_msg *m)
{
	struct span uri[ROUTES_MAX], rest;
	unsigned n = 0, i, at;
	const struct sip_header *h;
	char text[LOAD_TEXT];
	struct sip_addr a;
	struct sip_out w;
	int r;

	for (h = sip_header_find(m, SIP_H_RECORD_ROUTE, 0, &at); h;
	     h = sip_header_find(m, SIP_H_RECORD_ROUTE, at + 1, &at)) {
		rest = h->value;
		while ((r = sip_addr_next(&rest, &a)) == 1) {
			if (n == ROUTES_MAX)
				return -EBADMSG;
			uri[n++] = a.whole;
		}
		if (r)
			return r;
	}
	sip_out_init(&w, text, sizeof(text) - 1);
	for (i = 0; i < n; i++)
		sip_out_header(&w, "Route", uri[k->caller ? n - 1 - i : i]);
	if (w.overflow)
		return -EBADMSG;
	text[w.n] = 0;
	k->routes = strdup(text);
	return k->routes ? 0 : -ENOMEM;
}

static char *span_dup(struct span s)
{
	return strndup((const char *)s.p, s.n);
}

int load_call_dialog(struct load_call *k, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_CONTACT, 0, NULL);
	struct span rest = h ? h->value : (struct span){};
	const struct sip_header *who =
		sip_header_find(m, m->request ? SIP_H_FROM : SIP_H_TO, 0, NULL);
	struct sip_addr a;

	if (!h || !who || sip_addr_next(&rest, &a) != 1)
		return -EBADMSG;
	free(k->target);
	free(k->remote);
	free(k->routes);
	k->target = span_dup(a.uri.whole);
	k->remote = span_dup(who->value);
	k->routes = NULL;
	return k->target && k->remote ? routes_read(k, m) : -ENOMEM;
}

int load_call_header(const struct sip_msg *m, uint64_t *id, uint32_t *hold_ms, bool *by_caller)
{
	const struct sip_header *h = sip_header_named(m, SPAN("X-Load"), 0, NULL);
	unsigned long long v;
	char text[80], by[8];
	unsigned hold;

	if (!h || span_copy(h->value, text, sizeof(text)) < 0 ||
	    sscanf(text, "call=%llx;hold=%u;by=%7s", &v, &hold, by) != 3 || hold > LOAD_HOLD_MAX_MS)
		return -EBADMSG;
	*id = v;
	*hold_ms = hold;
	*by_caller = !strcmp(by, "caller");
	return 0;
}

int64_t load_call_sent(const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_named(m, SPAN("X-Load-Sent"), 0, NULL);
	uint32_t v;

	return h && !sip_number(h->value, UINT32_MAX, &v) ? (int64_t)v : -1;
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static void via(const struct load_call *k, struct sip_out *w, uint32_t cseq, char kind)
{
	char host[ADDR_TEXT_MAX], tag[40];

	load_call_tag(k, tag);
	addr_text(load_client_local(k->c), host);
	sip_out_text(w, "Via: SIP/2.0/%s %s;rport;branch=z9hG4bK%s.%u%c\r\nMax-Forwards: 70\r\n",
		     k->c->load->o.udp ? "UDP" : "TLS", host, tag, cseq, kind);
}

static void contact(const struct load_call *k, struct sip_out *w)
{
	char uri[160];

	load_contact(k->c, load_client_local(k->c), uri, sizeof(uri));
	sip_out_text(w, "Contact: <%s>\r\n", uri);
}

ssize_t load_call_invite(struct load_call *k, char *buf, size_t n)
{
	const struct load_opts *o = &k->c->load->o;
	char uri[400], sdp[SDP_MAX];
	ssize_t sdp_n = sdp_text(k, sdp, sizeof(sdp));
	struct sip_out w;

	if (sdp_n < 0)
		return sdp_n;
	snprintf(uri, sizeof(uri), "sip:%s@%s", k->to_user, o->domain);
	sip_out_init(&w, buf, n);
	sip_out_text(&w, "INVITE %s SIP/2.0\r\n", uri);
	via(k, &w, k->invite_cseq, 'i');
	sip_out_text(&w, "From: %s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: %u INVITE\r\n", k->local,
		     uri, k->call_id, k->invite_cseq);
	contact(k, &w);
	load_credentials(k->c, &k->c->proxy, &w, "INVITE", uri);
	sip_out_text(&w,
		     "X-Load: call=%016llx;hold=%u;by=%s\r\nAllow: INVITE, ACK, CANCEL, BYE, "
		     "OPTIONS\r\nContent-Type: application/sdp\r\n",
		     (unsigned long long)k->id, k->hold_ms, k->hang_up ? "caller" : "callee");
	return sip_out_body(&w, span_of(sdp, (size_t)sdp_n));
}

ssize_t load_call_cancel(const struct load_call *k, char *buf, size_t n)
{
	struct sip_out w;

	sip_out_init(&w, buf, n);
	sip_out_text(&w, "CANCEL sip:%s@%s SIP/2.0\r\n", k->to_user, k->c->load->o.domain);
	via(k, &w, k->invite_cseq, 'i');
	sip_out_text(&w, "From: %s\r\nTo: <sip:%s@%s>\r\nCall-ID: %s\r\nCSeq: %u CANCEL\r\n",
		     k->local, k->to_user, k->c->load->o.domain, k->call_id, k->invite_cseq);
	return sip_out_body(&w, (struct span){});
}

ssize_t load_call_ack_failed(const struct load_call *k, const struct sip_msg *m, char *buf,
			     size_t n)
{
	const struct sip_header *to = sip_header_find(m, SIP_H_TO, 0, NULL);
	struct sip_out w;

	sip_out_init(&w, buf, n);
	sip_out_text(&w, "ACK sip:%s@%s SIP/2.0\r\n", k->to_user, k->c->load->o.domain);
	via(k, &w, m->cseq, 'i');
	sip_out_text(&w, "From: %s\r\n", k->local);
	sip_out_header(&w, "To", to->value);
	sip_out_text(&w, "Call-ID: %s\r\nCSeq: %u ACK\r\n", k->call_id, m->cseq);
	return sip_out_body(&w, (struct span){});
}

ssize_t load_call_in_dialog(const struct load_call *k, const char *method, uint32_t cseq, char *buf,
			    size_t n)
{
	bool bye = !strcmp(method, "BYE");
	struct sip_out w;

	sip_out_init(&w, buf, n);
	sip_out_text(&w, "%s %s SIP/2.0\r\n", method, k->target);
	via(k, &w, cseq, bye ? 'b' : 'a');
	sip_out_span(&w, span_str(k->routes));
	sip_out_text(&w, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n", k->local,
		     k->remote, k->call_id, cseq, method);
	if (bye)
		sip_out_text(&w, "X-Load-Sent: %u\r\n", k->media.sent);
	return sip_out_body(&w, (struct span){});
}

static void copy_headers(struct sip_out *w, const struct sip_msg *m, enum sip_hdr id)
{
	const struct sip_header *h;
	unsigned at;

	for (h = sip_header_find(m, id, 0, &at); h; h = sip_header_find(m, id, at + 1, &at))
		sip_out_header(w, sip_hdr_name(id), h->value);
}

ssize_t load_call_reply(const struct load_call *k, const struct sip_msg *m, unsigned status,
			const char *reason, bool sdp, char *buf, size_t n)
{
	char tag[40], body[SDP_MAX];
	ssize_t body_n = sdp ? sdp_text(k, body, sizeof(body)) : 0;
	const struct sip_header *to = sip_header_find(m, SIP_H_TO, 0, NULL);
	struct sip_out w;

	if (body_n < 0)
		return body_n;
	sip_out_init(&w, buf, n);
	sip_out_text(&w, "SIP/2.0 %u %s\r\n", status, reason);
	copy_headers(&w, m, SIP_H_VIA);
	copy_headers(&w, m, SIP_H_RECORD_ROUTE);
	copy_headers(&w, m, SIP_H_FROM);
	sip_out_text(&w, "To: ");
	sip_out_span(&w, to->value);
	if (k && !m->to_tag.n) {
		load_call_tag(k, tag);
		sip_out_text(&w, ";tag=%s", tag);
	}
	sip_out_text(&w, "\r\n");
	copy_headers(&w, m, SIP_H_CALL_ID);
	copy_headers(&w, m, SIP_H_CSEQ);
	if (k && m->method == SIP_M_INVITE)
		contact(k, &w);
	if (k && m->method == SIP_M_BYE)
		sip_out_text(&w, "X-Load-Sent: %u\r\n", k->media.sent);
	if (sdp)
		sip_out_text(&w, "Content-Type: application/sdp\r\n");
	return sip_out_body(&w, span_of(body, (size_t)body_n));
}
