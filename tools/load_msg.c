/* tools/load_msg.c -- what a load client says: REGISTER, with Digest credentials (RFC 2617, MD5) once it was challenged.
 *
 * In: the client's identity, its challenge and counters. Out: text in the caller's buffer. The password of a user is "pw-" and
 * its name, as the test bed's registrars have it. A client keeps its Contact over connections, so the registrar's table does not grow. */
#include "tools/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "sip/write.h"

static void load_md5(char out[33], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void load_md5(char out[33], const char *fmt, ...)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	char text[1024];
	unsigned n = 0, i;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Every part is bounded by struct load_challenge or by us; MD5 may be forbidden by a FIPS policy, though. */
	if (len < 0 || len >= (int)sizeof(text) ||
	    !EVP_Digest(text, (size_t)len, sum, &n, EVP_md5(), NULL)) {
		fprintf(stderr, "load: no MD5 here\n");
		exit(1);
	}
	for (i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

void load_ha1(const char *user, const char *realm, const char *password, char out[33])
{
	load_md5(out, "%s:%s:%s", user, realm, password);
}

void load_digest(const char *ha1, const char *nonce, const char *method, const char *uri,
		 uint32_t nc, const char *cnonce, char out[33])
{
	char ha2[33];

	load_md5(ha2, "%s:%s", method, uri);
	if (cnonce)
		load_md5(out, "%s:%s:%08x:%s:auth:%s", ha1, nonce, nc, cnonce, ha2);
	else
		load_md5(out, "%s:%s:%s", ha1, nonce, ha2);
}

static bool load_param(const struct sip_auth *a, const char *name, char *buf, size_t n)
{
	struct span v;

	buf[0] = 0;
	return sip_auth_param(a, span_str(name), &v) && span_copy(v, buf, n) >= 0;
}

int load_challenge(struct load_client *c, const struct sip_msg *m)
{
	bool proxy = m->status == 407;
	const struct sip_header *h = sip_header_find(
		m, proxy ? SIP_H_PROXY_AUTHENTICATE : SIP_H_WWW_AUTHENTICATE, 0, NULL);
	struct load_challenge *ch = proxy ? &c->proxy : &c->challenge;
	char user[64], password[72];
	struct sip_auth a;
	struct span v;

	if (!h || sip_auth_parse(h->value, &a) || !span_ieq(a.scheme, SPAN("Digest")) ||
	    !load_param(&a, "realm", ch->realm, sizeof(ch->realm)) ||
	    !load_param(&a, "nonce", ch->nonce, sizeof(ch->nonce)))
		return -EBADMSG;
	if (sip_auth_param(&a, SPAN("algorithm"), &v) && !span_ieq(v, SPAN("MD5")))
		return -EBADMSG;
	load_param(&a, "opaque", ch->opaque, sizeof(ch->opaque));
	ch->qop = sip_auth_param(&a, SPAN("qop"), &v);
	ch->known = true;
	ch->nc = 0;
	snprintf(user, sizeof(user), "%s%u", c->load->o.prefix, c->index);
	snprintf(password, sizeof(password), "pw-%s", user);
	load_ha1(user, ch->realm, password, ch->ha1);
	return 0;
}

void load_credentials(struct load_client *c, struct load_challenge *ch, struct sip_out *o,
		      const char *method, const char *uri)
{
	char response[33], cnonce[20];

	if (!ch->known)
		return;
	snprintf(cnonce, sizeof(cnonce), "%08x%04x", c->load->run_id, c->index & 0xffff);
	ch->nc++;
	load_digest(ch->ha1, ch->nonce, method, uri, ch->nc, ch->qop ? cnonce : NULL, response);
	sip_out_text(o,
		     "%s: Digest username=\"%s%u\", realm=\"%s\", nonce=\"%s\", "
		     "uri=\"%s\", algorithm=MD5, response=\"%s\"",
		     ch == &c->proxy ? "Proxy-Authorization" : "Authorization", c->load->o.prefix,
		     c->index, ch->realm, ch->nonce, uri, response);
	if (ch->qop)
		sip_out_text(o, ", qop=auth, nc=%08x, cnonce=\"%s\"", ch->nc, cnonce);
	if (ch->opaque[0])
		sip_out_text(o, ", opaque=\"%s\"", ch->opaque);
	sip_out_text(o, "\r\n");
}

void load_contact(const struct load_client *c, const struct addr *local, char *buf, size_t n)
{
	const struct load_opts *o = &c->load->o;
	char ip[ADDR_TEXT_MAX];
	struct addr a = *local;

	if (!o->udp)
		a.port = (uint16_t)(20000 + c->index % 40000);
	addr_text(&a, ip);
	snprintf(buf, n, "sip:%s%u@%s%s", o->prefix, c->index, ip, o->udp ? "" : ";transport=tls");
}

ssize_t load_register(struct load_client *c, const struct addr *local, char *buf, size_t n)
{
	const struct load_opts *o = &c->load->o;
	char host[ADDR_TEXT_MAX], contact[160], uri[300];
	unsigned run = c->load->run_id;
	struct sip_out w;

	addr_text(local, host);
	load_contact(c, local, contact, sizeof(contact));
	snprintf(uri, sizeof(uri), "sip:%s", o->domain);
	c->cseq++;
	sip_out_init(&w, buf, n);
	sip_out_text(&w, "REGISTER %s SIP/2.0\r\n", uri);
	sip_out_text(&w, "Via: SIP/2.0/%s %s;rport;branch=z9hG4bK%08x%06x%06x\r\n",
		     o->udp ? "UDP" : "TLS", host, run, c->index, c->cseq);
	sip_out_text(&w, "Max-Forwards: 70\r\nFrom: <sip:%s%u@%s>;tag=%08x%x\r\n", o->prefix,
		     c->index, o->domain, run, c->cseq);
	sip_out_text(&w, "To: <sip:%s%u@%s>\r\nCall-ID: %08x-%u@load\r\nCSeq: %u REGISTER\r\n",
		     o->prefix, c->index, o->domain, run, c->index, c->cseq);
	sip_out_text(&w, "Contact: <%s>", contact);
	if (!o->udp)
		sip_out_text(&w,
			     ";+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-%012x>\";reg-id=1",
			     c->index);
	sip_out_text(&w, "\r\nSupported: %s\r\nExpires: %u\r\n", o->udp ? "path" : "path, outbound",
		     c->leaving ? 0 : 600);
	load_credentials(c, &c->challenge, &w, "REGISTER", uri);
	return sip_out_body(&w, (struct span){});
}
