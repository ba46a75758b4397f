/* user/link_frame.c -- messages as frames: 4 bytes length (network order) and that many bytes of protobuf.
 *
 * In: a Link message, or bytes of the other machine. Out: bytes, or a message whose limits are checked.
 * Owner: the caller frees what is unpacked. Every field that a consumer would use as an address or a count is checked here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/link_impl.h"

ssize_t link_frame_pack(const Sallyport__Link *m, uint8_t *buf, size_t n)
{
	size_t len = sallyport__link__get_packed_size(m);

	if (len == 0 || len > LINK_FRAME_MAX || len + LINK_HEAD > n)
		return -EMSGSIZE;
	buf[0] = (uint8_t)(len >> 24);
	buf[1] = (uint8_t)(len >> 16);
	buf[2] = (uint8_t)(len >> 8);
	buf[3] = (uint8_t)len;
	sallyport__link__pack(m, buf + LINK_HEAD);
	return (ssize_t)(len + LINK_HEAD);
}

static bool port_ok(uint32_t port)
{
	return port <= UINT16_MAX;
}

static bool ip_ok(const ProtobufCBinaryData *ip)
{
	return ip->len == 16;
}

static bool ip_or_none(const ProtobufCBinaryData *ip)
{
	return ip->len == 16 || ip->len == 0;
}

static bool hello_ok(const Sallyport__Hello *h)
{
	size_t i;

	if (h->n_domain > LINK_DOMAINS_MAX || h->pool > LINK_POOL_MAX ||
	    strlen(h->core) > LINK_DOMAIN_LEN)
		return false;
	for (i = 0; i < h->n_domain; i++)
		if (!*h->domain[i] || strlen(h->domain[i]) > LINK_DOMAIN_LEN)
			return false;
	return true;
}

static bool hello_ack_ok(const Sallyport__HelloAck *h)
{
	return port_ok(h->sip_port) && port_ok(h->https_port) && port_ok(h->xmpp_port) &&
	       port_ok(h->xmpp_tls_port) && strlen(h->edge) <= LINK_DOMAIN_LEN &&
	       strlen(h->sip_host) <= LINK_DOMAIN_LEN && strlen(h->https_host) <= LINK_DOMAIN_LEN &&
	       strlen(h->xmpp_host) <= LINK_DOMAIN_LEN;
}

static bool token_keys_ok(const Sallyport__TokenKeys *k)
{
	size_t i;

	if (k->n_key > LINK_TOKEN_KEYS_MAX)
		return false;
	for (i = 0; i < k->n_key; i++)
		if (k->key[i]->kid.len != LINK_TOKEN_KID ||
		    k->key[i]->public_key.len != LINK_TOKEN_KEY)
			return false;
	return true;
}

static bool allocated_ok(const Sallyport__Allocated *a)
{
	if (!port_ok(a->outside_port) || !port_ok(a->inside_port))
		return false;
	if (*a->error)
		return ip_or_none(&a->outside_ip) && ip_or_none(&a->inside_ip);
	return ip_ok(&a->outside_ip) && ip_ok(&a->inside_ip);
}

static bool clock_list_ok(const uint32_t *clocks, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!(clocks[i] & 0x80) || clocks[i] >> 8 < LINK_CLOCK_HZ_MIN)
			return false;
	return n <= LINK_CLOCKS_MAX;
}

static bool clocks_ok(const Sallyport__Clocks *c)
{
	return clock_list_ok(c->in, c->n_in) && clock_list_ok(c->out, c->n_out);
}

static bool message_ok(const Sallyport__Link *m)
{
	switch (m->m_case) {
	case SALLYPORT__LINK__M_HELLO:
		return hello_ok(m->hello);
	case SALLYPORT__LINK__M_HELLO_ACK:
		return hello_ack_ok(m->hello_ack);
	case SALLYPORT__LINK__M_OPEN:
		return ip_ok(&m->open->client_ip) && ip_ok(&m->open->local_ip) &&
		       port_ok(m->open->client_port) && port_ok(m->open->local_port) &&
		       strlen(m->open->domain) <= LINK_DOMAIN_LEN;
	case SALLYPORT__LINK__M_ALLOCATE:
		return ip_or_none(&m->allocate->client_ip) &&
		       (m->allocate->punch_key.len == 20 || m->allocate->punch_key.len == 0);
	case SALLYPORT__LINK__M_ALLOCATED:
		return allocated_ok(m->allocated);
	case SALLYPORT__LINK__M_PUNCHED:
		return ip_ok(&m->punched->from_ip) && port_ok(m->punched->from_port);
	case SALLYPORT__LINK__M_FLOW_REPORT:
		return ip_or_none(&m->flow_report->latched_ip) &&
		       port_ok(m->flow_report->latched_port);
	case SALLYPORT__LINK__M_NODE_REPORT:
		return m->node_report->json.len <= LINK_REPORT_MAX;
	case SALLYPORT__LINK__M_CLOCKS:
		return clocks_ok(m->clocks);
	case SALLYPORT__LINK__M_BAN:
		return ip_ok(&m->ban->prefix_ip) && m->ban->prefix_len <= 128;
	case SALLYPORT__LINK__M_STREAM_END:
		return m->stream_end->bytes_sent <= LINK_BYTES_MAX;
	case SALLYPORT__LINK__M_STREAM_IDLE:
		return m->stream_idle->bytes_sent <= LINK_BYTES_MAX;
	case SALLYPORT__LINK__M_TOKEN_KEYS:
		return token_keys_ok(m->token_keys);
	case SALLYPORT__LINK__M_DIAL:
		return m->dial->dial && strlen(m->dial->domain) <= LINK_DOMAIN_LEN;
	case SALLYPORT__LINK__M_DIAL_RESULT:
		return m->dial_result->dial != 0;
	case SALLYPORT__LINK__M__NOT_SET:
		return false;
	default:
		return true;
	}
}

static bool fields_ok(const ProtobufCMessage *m);

static bool member_ok(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *at = (const uint8_t *)m + f->offset, *q;
	const ProtobufCMessage *const *sub = (const ProtobufCMessage *const *)at;
	size_t i, n = 1;

	q = (const uint8_t *)m + f->quantifier_offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		sub = *(const ProtobufCMessage *const *const *)at;
		n = *(const size_t *)q;
	} else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)q != f->id) {
		return true;
	}
	for (i = 0; i < n; i++)
		if (sub[i] && !fields_ok(sub[i]))
			return false;
	return true;
}

/* Fields of a later version are kept, but a field 0 is no protobuf: the library refuses its short spelling, not a longer one. */
static bool fields_ok(const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	unsigned i;

	for (i = 0; i < m->n_unknown_fields; i++)
		if (m->unknown_fields[i].tag == 0)
			return false;
	for (i = 0; i < d->n_fields; i++)
		if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && !member_ok(m, &d->fields[i]))
			return false;
	return true;
}

static int body_unpack(const uint8_t *p, size_t n, Sallyport__Link **out)
{
	Sallyport__Link *m = sallyport__link__unpack(NULL, n, p);

	if (!m)
		return -EBADMSG;
	if (!message_ok(m) || !fields_ok(&m->base)) {
		sallyport__link__free_unpacked(m, NULL);
		return -EBADMSG;
	}
	*out = m;
	return 0;
}

static uint32_t head_length(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

ssize_t link_frame_unpack(struct span in, Sallyport__Link **out)
{
	uint32_t len;
	int ret;

	if (in.n < LINK_HEAD)
		return -EAGAIN;
	len = head_length(in.p);
	if (len == 0 || len > LINK_FRAME_MAX)
		return -EBADMSG;
	if (in.n - LINK_HEAD < len)
		return -EAGAIN;
	ret = body_unpack(in.p + LINK_HEAD, len, out);
	return ret ? ret : (ssize_t)(len + LINK_HEAD);
}

void link_rx_fini(struct link_rx *rx)
{
	free(rx->body);
	*rx = (struct link_rx){};
}

static ssize_t rx_some(struct link_rx *rx, struct conn *c)
{
	ssize_t n;

	if (rx->got < LINK_HEAD)
		n = conn_read(c, rx->head + rx->got, LINK_HEAD - rx->got);
	else
		n = conn_read(c, rx->body + (rx->got - LINK_HEAD), rx->need + LINK_HEAD - rx->got);
	if (n > 0)
		rx->got += (uint32_t)n;
	return n;
}

int link_rx_read(struct link_rx *rx, struct conn *c, Sallyport__Link **out)
{
	ssize_t n;
	int ret;

	while (!rx->body || rx->got < LINK_HEAD + rx->need) {
		n = rx_some(rx, c);
		if (n == 0)
			return rx->got ? -EBADMSG : -ENODATA;
		if (n < 0)
			return (int)n;
		if (rx->got != LINK_HEAD || rx->body)
			continue;
		rx->need = head_length(rx->head);
		if (rx->need == 0 || rx->need > LINK_FRAME_MAX)
			return -EBADMSG;
		rx->body = malloc(rx->need);
		if (!rx->body)
			return -ENOMEM;
	}
	ret = body_unpack(rx->body, rx->need, out);
	link_rx_fini(rx);
	return ret;
}

static int frame_write(struct conn *c, const Sallyport__Link *m, bool later, unsigned ms)
{
	size_t n = sallyport__link__get_packed_size(m) + LINK_HEAD;
	uint8_t small[512], *buf = small;
	ssize_t len;
	int ret;

	if (n > LINK_FRAME_MAX + LINK_HEAD)
		return -EMSGSIZE;
	if (n > sizeof(small))
		buf = malloc(n);
	if (!buf)
		return -ENOBUFS;
	len = link_frame_pack(m, buf, n);
	ret = len < 0 ? (int)len
	      : later ? conn_write_later(c, span_of(buf, (size_t)len), ms)
		      : conn_write(c, span_of(buf, (size_t)len));
	/* Allocate carries the punch key. */
	explicit_bzero(buf, n);
	if (buf != small)
		free(buf);
	return ret;
}

int link_write(struct conn *c, const Sallyport__Link *m)
{
	return frame_write(c, m, false, 0);
}

int link_write_later(struct conn *c, const Sallyport__Link *m, unsigned ms)
{
	return frame_write(c, m, true, ms);
}
