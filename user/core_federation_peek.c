/* user/core_federation_peek.c -- whom a server's first bytes want: a stream header in clear, TLS, or SOCKS5. See core_federation.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core_federation_impl.h"

#define SOCKS_VERSION 5
#define SOCKS_CONNECT 1
#define SOCKS_NAME    3
#define SOCKS_NONE    0xff /* no method that we know */
#define SOCKS_PORT    5269
#define TLS_HANDSHAKE 22

enum socks_reply {
	SOCKS_OK = 0,
	SOCKS_FAILED = 1,
	SOCKS_NOT_ALLOWED = 2,
	SOCKS_COMMAND = 7,
	SOCKS_ADDRESS = 8
};

static void socks_reply(struct fed_stream *s, enum socks_reply code)
{
	const uint8_t r[10] = {SOCKS_VERSION, (uint8_t)code, 0, 1};

	conn_write(s->pair.in, span_of(r, sizeof(r)));
}

void fed_socks_done(struct fed_stream *s)
{
	socks_reply(s, SOCKS_OK);
	s->peek->kind = FED_UNKNOWN;
}

static void used(struct fed_peek *p, size_t n)
{
	memmove(p->buf, p->buf + n, p->n - n);
	p->n -= n;
}

/* "5 n METHODS": 0 is among them. */
static int socks_greeting(struct fed_stream *s, const char **why)
{
	static const uint8_t yes[2] = {SOCKS_VERSION, 0}, no[2] = {SOCKS_VERSION, SOCKS_NONE};
	struct fed_peek *p = s->peek;
	size_t n = p->n >= 2 ? 2u + p->buf[1] : 0;
	bool good;

	if (!n || p->n < n)
		return -EAGAIN;
	good = memchr(p->buf + 2, 0, n - 2) != NULL;
	conn_write(s->pair.in, good ? span_of(yes, 2) : span_of(no, 2));
	if (!good) {
		*why = "SOCKS5: wanted a client without authentication";
		return -EACCES;
	}
	used(p, n);
	p->greeted = true;
	return 0;
}

/* "5 1 0 3 LEN NAME PORT". */
static int socks_request(struct fed_stream *s, const char **why)
{
	struct fed_peek *p = s->peek;
	enum xmpp_jid_why jid_why;
	size_t n;

	if (p->n < 5)
		return -EAGAIN;
	*why = "SOCKS5: wanted CONNECT to a domain's name";
	if (p->buf[0] != SOCKS_VERSION || p->buf[1] != SOCKS_CONNECT) {
		socks_reply(s, SOCKS_COMMAND);
		return -EPROTO;
	}
	if (p->buf[3] != SOCKS_NAME) {
		socks_reply(s, SOCKS_ADDRESS);
		return -EPROTO;
	}
	n = 5u + p->buf[4] + 2;
	if (p->n < n)
		return -EAGAIN;
	if ((p->buf[n - 2] << 8 | p->buf[n - 1]) != SOCKS_PORT ||
	    xmpp_domain_parse(span_of(p->buf + 5, p->buf[4]), &s->theirs, &jid_why) ||
	    s->theirs.literal) {
		*why = "SOCKS5: wanted a domain's name and port 5269";
		s->theirs.n = 0;
		socks_reply(s, SOCKS_NOT_ALLOWED);
		return -EPROTO;
	}
	used(p, n);
	return 1;
}

static int header_peek(struct fed_stream *s, struct xmpp_domain *to, struct xmpp_domain *from,
		       const char **why)
{
	struct fed_peek *p = s->peek;
	size_t done = (size_t)p->reader.at;
	enum xmpp_jid_why jid_why;
	struct xmpp_event e;

	switch (xmpp_reader_next(&p->reader, span_of(p->buf + done, p->n - done), &e)) {
	case XMPP_MORE:
		return -EAGAIN;
	case XMPP_OPEN:
		*to = e.to;
		if (e.open.from.n && xmpp_domain_parse(e.open.from, from, &jid_why)) {
			*why = "wanted a domain in the header's from";
			return -EBADMSG;
		}
		return 1;
	default:
		*why = xmpp_why_text(e.why);
		return -EBADMSG;
	}
}

static enum fed_kind kind_of(uint8_t first)
{
	if (first == SOCKS_VERSION)
		return FED_SOCKS;
	return first == TLS_HANDSHAKE ? FED_TLS : FED_HEADER;
}

int fed_peek_in(struct fed_stream *s, const char **why)
{
	struct fed_peek *p = s->peek;
	struct xmpp_domain to = {.n = 0};
	int ret;

	if (!p->n)
		return -EAGAIN;
	p->kind = kind_of(p->buf[0]);
	if (p->kind == FED_TLS)
		return 1;
	ret = header_peek(s, &to, &s->theirs, why);
	if (ret == 1 && !xmpp_domain_equal(&to, &s->ours)) {
		*why = "a header for another domain than the edge has read";
		return -EBADMSG;
	}
	return ret;
}

int fed_peek_out(struct fed_stream *s, const char **why)
{
	struct fed_peek *p = s->peek;
	int ret = 0;

	if (!p->n)
		return -EAGAIN;
	if (p->kind == FED_UNKNOWN)
		p->kind = kind_of(p->buf[0]);
	if (p->kind == FED_TLS) {
		*why = "wanted SOCKS5 or a stream header, came TLS";
		return -EPROTO;
	}
	if (p->kind == FED_HEADER)
		return header_peek(s, &s->theirs, &s->ours, why);
	if (!p->greeted)
		ret = socks_greeting(s, why);
	return ret ? ret : socks_request(s, why);
}

int fed_peek_shown(struct fed_stream *s, const char **why)
{
	struct fed_peek *p = s->peek;

	if (!p->n)
		return -EAGAIN;
	p->kind = p->buf[0] == TLS_HANDSHAKE ? FED_TLS : FED_HEADER;
	return p->kind == FED_TLS ? 1 : header_peek(s, &s->theirs, &s->ours, why);
}

/* ---- policy ---- */

static bool listed(const struct xmpp_domain *list, unsigned n, const struct xmpp_domain *d)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (xmpp_domain_equal(&list[i], d))
			return true;
	return false;
}

static bool federates(const struct core_federation *f, const struct xmpp_domain *d)
{
	const struct config_xmpp *cfg = f->p.cfg;
	unsigned i;

	for (i = 0; i < cfg->federation.domains_count; i++)
		if (span_ieq(span_str(cfg->federation.domains[i]), xmpp_domain_span(d)))
			return true;
	return false;
}

/* Then it does not matter which of them it is. */
static bool all_federate(const struct core_federation *f)
{
	const struct config_xmpp *cfg = f->p.cfg;
	struct xmpp_domain d;
	enum xmpp_jid_why why;
	unsigned i, j;

	for (i = 0; i < cfg->clusters_count; i++)
		for (j = 0; j < cfg->clusters[i].domains_count; j++)
			if (xmpp_domain_parse(span_str(cfg->clusters[i].domains[j]), &d, &why) ||
			    !federates(f, &d))
				return false;
	return true;
}

bool fed_may(const struct fed_stream *s, const char **why)
{
	const struct core_federation *f = s->f;
	const struct config_xmpp *cfg = f->p.cfg;
	unsigned n_allow = cfg->federation.allow_count, n_deny = cfg->federation.deny_count;

	if (s->ours.n && !federates(f, &s->ours)) {
		*why = "federation is off for this domain";
		return false;
	}
	if (!s->ours.n && s->out && s->peek->kind == FED_TLS && !all_federate(f)) {
		*why = "TLS hides which domain of ours it is, and not all of them federate";
		return false;
	}
	if (!s->ours.n && (!s->out || s->peek->kind == FED_HEADER)) {
		*why = "wanted a domain of ours in the header's from";
		return false;
	}
	if (!s->theirs.n && (n_allow || n_deny)) {
		*why = "its domain is not shown in clear, and there is a list";
		return false;
	}
	if (s->theirs.n && (listed(f->deny, n_deny, &s->theirs) ||
			    (n_allow && !listed(f->allow, n_allow, &s->theirs)))) {
		*why = "not a domain that we federate with";
		return false;
	}
	if (s->theirs.n && xmpp_nodes_cluster(f->p.nodes, xmpp_domain_span(&s->theirs))) {
		*why = "one of our own domains at the other end";
		return false;
	}
	return true;
}

static bool same_subscriber(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, addr_is_v4(a) ? 16 : 8) == 0; /* of IPv6 the /64 */
}

bool fed_in_full(const struct core_federation *f, const struct addr *peer)
{
	unsigned max = f->p.cfg->limits.federation, all = 0, his = 0;
	const struct fed_stream *s;

	for (s = f->streams; s; s = s->next)
		if (!s->out) {
			all++;
			his += same_subscriber(&s->peer, peer);
		}
	return all >= max - max / 4 || his >= (max + 3) / 4;
}

void fed_refuse(struct fed_stream *s, struct conn *to, const char *condition, const char *text)
{
	struct xmpp_header h = {.from = xmpp_domain_span(s->out ? &s->theirs : &s->ours),
				.to = xmpp_domain_span(s->out ? &s->ours : &s->theirs),
				.version = SPAN("1.0"),
				.lang = SPAN("en"),
				.server = true};
	struct xmpp_out o;
	uint8_t buf[2048];
	char id[20];
	ssize_t n;

	if (!s->peek || !to)
		return;
	if (s->peek->kind == FED_SOCKS && s->peek->greeted &&
	    s->theirs.n) /* its request was read */
		socks_reply(s, strcmp(condition, "policy-violation") ? SOCKS_FAILED
								     : SOCKS_NOT_ALLOWED);
	if (s->peek->kind != FED_HEADER)
		return;
	snprintf(id, sizeof(id), "%llx", (unsigned long long)s->id);
	h.id = span_str(id);
	xmpp_out_init(&o, buf, sizeof(buf));
	xmpp_write_header(&o, &h);
	xmpp_write_error(&o, condition, span_str(text));
	n = xmpp_out_end(&o);
	if (n > 0)
		conn_write(to, span_of(buf, (size_t)n));
}
