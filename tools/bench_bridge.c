/* tools/bench_bridge.c -- see bench_bridge.h. Four users, each on a stream, whose calls the call server behind the core answers at once. */
#include "tools/bench_bridge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "sip/sip.h"
#include "sip/write.h"
#include "user/link.h"

#define CLIENTS	   4  /* the core bounds what one leaves behind: 512 transactions in 32 s */
#define WINDOW	   16 /* calls being set up at once */
#define TEXT_MAX   8192
#define FIRST_PORT 10000

struct client {
	struct bridge *b;
	struct link_data *data;
	struct conn *conn; /* of data */
	char nonce[64];
	unsigned index, registers;
	bool registered;
	size_t rx_n;
	uint8_t rx[65536];
};

struct bridge {
	struct bridge_params p;
	struct loop *loop;
	struct tls_ctx *tls;
	struct link_edge *link;
	struct link_edge_core core;
	struct link_peer *peer;
	struct client client[CLIENTS];
	int link_fd, sip_fd;
	struct loop_handle sip_rx;
	struct loop_timer tick;
	uint64_t until_ms;
	unsigned registered, begun, up, refused, flows;
	char last[80]; /* start line of the last answer that was no success */
	struct sip_msg msg;
	char *held[BRIDGE_CALLS_MAX]; /* joined: the INVITE that waits for its neighbour's */
	size_t held_n[BRIDGE_CALLS_MAX];
	struct addr held_from[BRIDGE_CALLS_MAX];
	uint64_t flow[BRIDGE_CALLS_MAX]; /* id of the flow on port FIRST_PORT + 2 x index */
	struct bridge_call call[BRIDGE_CALLS_MAX];
};

const struct bridge_call *bridge_call(const struct bridge *b, unsigned i)
{
	return &b->call[i];
}

static void stream_text(struct client *c, struct sip_out *o, struct span body)
{
	ssize_t n = sip_out_body(o, body);

	if (n < 0 || conn_write(c->conn, span_of(o->p, (size_t)n)))
		fprintf(stderr, "bench: a message to the core did not fit\n");
}

/* ---- the client ---- */

static void client_register(struct client *c)
{
	const char *domain = c->b->p.domain;
	char text[TEXT_MAX];
	struct sip_out o;

	sip_out_init(&o, text, sizeof(text));
	sip_out_text(&o,
		     "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/TLS 198.51.100.7:5061;rport;"
		     "branch=z9hG4bKreg%u\r\nMax-Forwards: 70\r\nFrom: <sip:u%u@%s>;tag=r\r\n"
		     "To: <sip:u%u@%s>\r\nCall-ID: bench-reg%u\r\nCSeq: %u REGISTER\r\n",
		     domain, c->registers, c->index, domain, c->index, domain, c->index,
		     c->registers + 1);
	sip_out_text(&o,
		     "Contact: <sip:u%u@198.51.100.7:5061;transport=tls>;"
		     "+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-00000000000%u>\";"
		     "reg-id=1\r\nSupported: path, outbound\r\nExpires: 3600\r\n",
		     c->index, c->index);
	if (c->nonce[0])
		sip_out_text(&o,
			     "Authorization: Digest username=\"u%u\", realm=\"%s\", nonce=\"%s\", "
			     "uri=\"sip:%s\", response=\"0123456789abcdef0123456789abcdef\"\r\n",
			     c->index, domain, c->nonce, domain);
	c->registers++;
	stream_text(c, &o, (struct span){});
}

static void client_invite(struct bridge *b, unsigned i)
{
	struct client *c = &b->client[i % CLIENTS];
	struct bridge_call *call = &b->call[i];
	char text[TEXT_MAX], sdp[512];
	uint8_t key[48];
	struct sip_out o;
	unsigned k;
	int n;

	for (k = 0; k < BRIDGE_KEY; k++)
		call->client_key[k] = (uint8_t)(i * 31 + k * 7 + 1);
	EVP_EncodeBlock(key, call->client_key, BRIDGE_KEY);
	n = snprintf(sdp, sizeof(sdp),
		     "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\n"
		     "t=0 0\r\nm=audio 20000 RTP/SAVP 0\r\na=rtcp-mux\r\n"
		     "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\na=sendrecv\r\n",
		     key);
	sip_out_init(&o, text, sizeof(text));
	sip_out_text(&o,
		     "INVITE sip:b%u@%s SIP/2.0\r\nVia: SIP/2.0/TLS 198.51.100.7:5061;rport;"
		     "branch=z9hG4bKinv%u\r\nMax-Forwards: 70\r\nFrom: <sip:u%u@%s>;tag=c%u\r\n"
		     "To: <sip:b%u@%s>\r\nCall-ID: bench-%u\r\nCSeq: 1 INVITE\r\n",
		     i, b->p.domain, i, c->index, b->p.domain, i, i, b->p.domain, i);
	sip_out_text(&o,
		     "Contact: <sip:u%u@198.51.100.7:5061;transport=tls>\r\n"
		     "Content-Type: application/sdp\r\n",
		     c->index);
	stream_text(c, &o, span_of(sdp, (size_t)n));
}

static void client_more(struct bridge *b)
{
	while (b->registered == CLIENTS && b->begun < b->p.calls && b->begun - b->up < WINDOW)
		client_invite(b, b->begun++);
}

/* To the 2xx @m of call @i: along the Record-Routes, last one first. */
static void client_ack(struct client *c, const struct sip_msg *m, unsigned i)
{
	const struct sip_header *h, *rr[8], *contact;
	char text[TEXT_MAX];
	struct sip_addr target;
	struct sip_out o;
	unsigned at = 0, n = 0;

	contact = sip_header_find(m, SIP_H_CONTACT, 0, NULL);
	if (!contact || sip_addr_parse(contact->value, &target))
		return;
	for (; n < 8 && (h = sip_header_find(m, SIP_H_RECORD_ROUTE, at, &at)); at++)
		rr[n++] = h;
	sip_out_init(&o, text, sizeof(text));
	sip_out_text(&o, "ACK %.*s SIP/2.0\r\n", (int)target.uri.whole.n, target.uri.whole.p);
	sip_out_text(&o,
		     "Via: SIP/2.0/TLS 198.51.100.7:5061;rport;branch=z9hG4bKack%u\r\n"
		     "Max-Forwards: 70\r\n",
		     i);
	while (n)
		sip_out_header(&o, "Route", rr[--n]->value);
	sip_out_header(&o, "From", m->from.whole);
	sip_out_header(&o, "To", m->to.whole);
	sip_out_header(&o, "Call-ID", m->call_id);
	sip_out_text(&o, "CSeq: %u ACK\r\n", m->cseq);
	stream_text(c, &o, (struct span){});
}

static void client_answered(struct client *c, const struct sip_msg *m)
{
	struct bridge *b = c->b;
	char sdp[TEXT_MAX], id[32];
	unsigned i;
	const char *s;

	if (span_copy(m->call_id, id, sizeof(id)) < 0 || sscanf(id, "bench-%u", &i) != 1 ||
	    i >= b->p.calls || b->call[i].up || span_copy(m->body, sdp, sizeof(sdp)) < 0)
		return;
	s = strstr(sdp, "m=audio ");
	if (!s || sscanf(s, "m=audio %hu", &b->call[i].edge_port) != 1)
		return;
	client_ack(c, m, i);
	b->call[i].up = true;
	b->up++;
	client_more(b);
}

static void client_challenged(struct client *c, const struct sip_msg *m)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_WWW_AUTHENTICATE, 0, NULL);
	struct sip_auth a;
	struct span v;

	if (h && !sip_auth_parse(h->value, &a) && sip_auth_param(&a, SPAN("nonce"), &v))
		span_copy(v, c->nonce, sizeof(c->nonce));
	client_register(c);
}

static void client_message(struct client *c, const struct sip_msg *m)
{
	struct bridge *b = c->b;

	if (m->request || m->status < 200)
		return;
	if (m->status >= 300) {
		snprintf(b->last, sizeof(b->last), "%.*s", (int)m->start_line.n, m->start_line.p);
		b->refused += m->method == SIP_M_INVITE;
	}
	if (m->method == SIP_M_INVITE && m->status == 200) {
		client_answered(c, m);
	} else if (m->method == SIP_M_REGISTER && m->status == 200 && !c->registered) {
		c->registered = true;
		b->registered++;
		client_more(b);
	} else if (m->method == SIP_M_REGISTER && m->status == 401 && c->registers < 3) {
		client_challenged(c, m);
	}
}

static void stream_readable(void *arg)
{
	struct client *c = arg;
	enum sip_why why;
	size_t used;
	ssize_t n;

	while ((n = conn_read(c->conn, c->rx + c->rx_n, sizeof(c->rx) - c->rx_n)) > 0) {
		c->rx_n += (size_t)n;
		for (used = 0; used < c->rx_n; used += (size_t)n) {
			n = sip_msg_parse(span_of(c->rx + used, c->rx_n - used), true,
					  sizeof(c->rx), &c->b->msg, &why);
			if (n <= 0)
				break;
			client_message(c, &c->b->msg);
		}
		c->rx_n -= used;
		memmove(c->rx, c->rx + used, c->rx_n);
	}
}

static void stream_down(void *arg, int err, const char *why)
{
	(void)arg, (void)err;
	fprintf(stderr, "bench: the core ended the stream: %s\n", why);
}

static const struct conn_ops stream_ops = {.readable = stream_readable, .down = stream_down};

/* ---- the call server ---- */

static void server_head(struct sip_out *o, const struct sip_msg *m, const char *status)
{
	static const enum sip_hdr copy[] = {SIP_H_VIA, SIP_H_RECORD_ROUTE};
	const struct sip_header *h;
	unsigned k, at;

	sip_out_text(o, "SIP/2.0 %s\r\n", status);
	for (k = 0; k < 2; k++)
		for (at = 0; (h = sip_header_find(m, copy[k], at, &at)); at++)
			sip_out_span(o, h->line);
	sip_out_header(o, "From", m->from.whole);
	sip_out_text(o, "To: %.*s%s\r\n", (int)m->to.whole.n, m->to.whole.p,
		     m->to_tag.n ? "" : ";tag=s");
	sip_out_header(o, "Call-ID", m->call_id);
	sip_out_text(o, "CSeq: %u %.*s\r\n", m->cseq, (int)m->cseq_method.n, m->cseq_method.p);
}

static void server_send(struct bridge *b, const struct addr *to, struct sip_out *o,
			struct span body)
{
	ssize_t n = sip_out_body(o, body);

	if (n < 0 || loop_send(b->loop, b->sip_fd, to, span_of(o->p, (size_t)n)))
		fprintf(stderr, "bench: an answer to the core did not fit\n");
}

static void server_register(struct bridge *b, const struct sip_msg *m, const struct addr *from)
{
	const struct sip_header *h = sip_header_find(m, SIP_H_CONTACT, 0, NULL);
	char text[TEXT_MAX];
	struct sip_out o;

	sip_out_init(&o, text, sizeof(text));
	if (h && sip_header_find(m, SIP_H_AUTHORIZATION, 0, NULL)) {
		server_head(&o, m, "200 OK");
		sip_out_text(&o, "Contact: %.*s;expires=3600\r\n", (int)h->value.n, h->value.p);
	} else {
		server_head(&o, m, "401 Unauthorized");
		sip_out_text(&o, "WWW-Authenticate: Digest realm=\"%s\", nonce=\"n-0f1e2d\"\r\n",
			     b->p.domain);
	}
	server_send(b, from, &o, (struct span){});
}

/* 200 for the INVITE @m: media go to @media. */
static void server_accept(struct bridge *b, const struct sip_msg *m, const struct addr *from,
			  const struct addr *media)
{
	char text[TEXT_MAX], sdp[512], ip[ADDR_TEXT_MAX], us[ADDR_TEXT_MAX];
	struct sip_out o;
	int n;

	addr_ip_text(media, ip);
	n = snprintf(sdp, sizeof(sdp),
		     "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
		     "m=audio %u RTP/AVP 0\r\na=sendrecv\r\n",
		     ip, ip, media->port);
	sip_out_init(&o, text, sizeof(text));
	server_head(&o, m, "200 OK");
	sip_out_text(&o, "Contact: <sip:b@%s>\r\nContent-Type: application/sdp\r\n",
		     addr_text(&b->p.sip, us));
	server_send(b, from, &o, span_of(sdp, (size_t)n));
}

static struct addr server_phone(const struct bridge *b, unsigned i)
{
	struct addr a = b->p.phones;

	a.port = b->call[i].phone_port;
	return a;
}

/* The call server that lets @i and its neighbour talk to each other: answers both when it knows both addresses. */
static void server_pair(struct bridge *b, const struct sip_msg *m, const struct addr *from,
			unsigned i)
{
	unsigned other = i ^ 1;
	struct sip_msg *held;
	enum sip_why why;

	if (!b->held[other]) {
		free(b->held[i]);
		b->held[i] = malloc(m->whole.n);
		if (!b->held[i])
			return;
		memcpy(b->held[i], m->whole.p, m->whole.n);
		b->held_n[i] = m->whole.n;
		b->held_from[i] = *from;
		return;
	}
	server_accept(b, m, from, &b->call[other].core);
	held = malloc(sizeof(*held));
	if (held && sip_msg_parse(span_of(b->held[other], b->held_n[other]), false, TEXT_MAX, held,
				  &why) > 0)
		server_accept(b, held, &b->held_from[other], &b->call[i].core);
	free(held);
}

static void server_invite(struct bridge *b, const struct sip_msg *m, const struct addr *from)
{
	char sdp[TEXT_MAX], ip[64], user[16];
	const char *line, *conn;
	struct addr phone;
	uint16_t port;
	unsigned i;

	if (span_copy(m->ruri.user, user, sizeof(user)) < 0 || sscanf(user, "b%u", &i) != 1 ||
	    i >= b->p.calls || span_copy(m->body, sdp, sizeof(sdp)) < 0)
		return;
	line = strstr(sdp, "m=audio ");
	conn = strstr(sdp, "c=IN IP4 ");
	if (!line || !conn || sscanf(line, "m=audio %hu", &port) != 1 ||
	    sscanf(conn, "c=IN IP4 %63s", ip) != 1 || addr_parse(span_str(ip), &b->call[i].core))
		return;
	b->call[i].core.port = port;
	b->call[i].phone_port = (uint16_t)(FIRST_PORT + 2 * i);
	phone = server_phone(b, i);
	if (b->p.joined)
		server_pair(b, m, from, i);
	else
		server_accept(b, m, from, &phone);
}

static void server_message(void *arg, struct loop_dgram *d)
{
	struct bridge *b = arg;
	struct sip_msg *m = &b->msg;
	enum sip_why why;

	if (sip_msg_parse(span_of(d->p, d->n), false, TEXT_MAX, m, &why) <= 0 || !m->request)
		return;
	if (m->method == SIP_M_REGISTER)
		server_register(b, m, &d->from);
	else if (m->method == SIP_M_INVITE)
		server_invite(b, m, &d->from);
}

/* ---- the edge ---- */

static void edge_send(struct bridge *b, Sallyport__Link *m)
{
	if (link_send(b->peer, m))
		fprintf(stderr, "bench: the link's queue is full\n");
}

static void edge_allocate(struct bridge *b, const Sallyport__Allocate *a)
{
	Sallyport__Allocated done = SALLYPORT__ALLOCATED__INIT;
	Sallyport__Punched punched = SALLYPORT__PUNCHED__INIT;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	unsigned i;

	for (i = 0; i < b->flows && b->flow[i] != a->flow; i++)
		;
	if (i == BRIDGE_CALLS_MAX)
		return;
	b->flow[i] = a->flow;
	b->flows += i == b->flows;
	done.flow = punched.flow = a->flow;
	done.error = (char *)"";
	done.outside_ip = done.inside_ip = (ProtobufCBinaryData){16, b->p.edge_inside.ip};
	done.outside_port = done.inside_port = FIRST_PORT + 2 * i;
	m.m_case = SALLYPORT__LINK__M_ALLOCATED;
	m.allocated = &done;
	edge_send(b, &m);
	punched.from_ip = (ProtobufCBinaryData){16, b->p.edge_inside.ip};
	punched.from_port = 2776;
	m.m_case = SALLYPORT__LINK__M_PUNCHED;
	m.punched = &punched;
	edge_send(b, &m);
}

static void edge_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	(void)p;
	if (m->m_case == SALLYPORT__LINK__M_ALLOCATE)
		edge_allocate(arg, m->allocate);
}

static void edge_up(void *arg, struct link_peer *p, const Sallyport__Link *hello)
{
	(void)hello;
	((struct bridge *)arg)->peer = p;
}

static void edge_down(void *arg, struct link_peer *p, const char *why)
{
	(void)p;
	fprintf(stderr, "bench: the link is down: %s\n", why);
	((struct bridge *)arg)->peer = NULL;
}

static const struct link_ops edge_ops = {edge_up, edge_down, edge_message, NULL};

static void edge_stream(struct client *c)
{
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	struct addr from;

	if (addr_parse(SPAN("198.51.100.7"), &from))
		abort();
	o.stream = c->index + 1;
	o.service = (char *)"sip";
	o.client_ip = o.local_ip = (ProtobufCBinaryData){16, from.ip};
	o.client_port = o.local_port = 5061;
	if (link_edge_open(c->b->peer, &o, &stream_ops, c, &c->data))
		return;
	c->conn = link_data_conn(c->data);
	client_register(c);
}

/* ---- time ---- */

static void bridge_tick(void *arg)
{
	struct bridge *b = arg;
	unsigned i;

	for (i = 0; i < CLIENTS && b->peer; i++)
		if (!b->client[i].conn)
			edge_stream(&b->client[i]);
	if (b->up == b->p.calls || b->refused || loop_now_ms(b->loop) >= b->until_ms)
		loop_stop(b->loop);
	else
		loop_timer_set(b->loop, &b->tick, 10);
}

static void bridge_stop(void *arg)
{
	loop_stop(((struct bridge *)arg)->loop);
}

void bridge_run(struct bridge *b, unsigned ms)
{
	b->tick.fn = bridge_stop;
	if (loop_timer_set(b->loop, &b->tick, ms) || loop_run(b->loop))
		fprintf(stderr, "bench: the loop failed\n");
}

int bridge_up(struct bridge *b, unsigned seconds)
{
	int err;

	b->until_ms = loop_now_ms(b->loop) + seconds * 1000;
	b->tick.fn = bridge_tick;
	err = loop_timer_set(b->loop, &b->tick, 10);
	if (!err)
		err = loop_run(b->loop);
	if (!err && b->up == b->p.calls)
		return 0;
	fprintf(stderr,
		"bench: link %s, %u of %u registered, %u of %u calls up, %u refused, last: %s\n",
		b->peer ? "up" : "down", b->registered, CLIENTS, b->up, b->p.calls, b->refused,
		b->last);
	return err ? err : -ETIMEDOUT;
}

/* ---- start and end ---- */

static char *file_text(const char *dir, const char *name, const char *end)
{
	char path[512], *text = NULL;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%s", dir, name, end);
	f = fopen(path, "re");
	if (!f || getdelim(&text, &n, 0, f) <= 0)
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	if (f)
		fclose(f);
	return text ? text : strdup("");
}

static int bridge_tls(struct bridge *b)
{
	char *cert = file_text(b->p.pki, b->p.edge, ".crt"),
	     *key = file_text(b->p.pki, b->p.edge, ".key"), *ca = file_text(b->p.pki, "ca", ".crt"),
	     why[TLS_WHY_MAX] = "";
	struct tls_params tp = {.server = true, .tls13_only = true, .require_peer = true};
	int err;

	tp.cert_pem = span_str(cert);
	tp.key_pem = span_str(key);
	tp.ca_pem = span_str(ca);
	err = tls_ctx_new(&tp, &b->tls, why);
	if (err)
		fprintf(stderr, "bench: TLS: %s\n", why);
	free(cert);
	free(key);
	free(ca);
	return err;
}

static int bridge_socket(int type, const struct addr *a, int *out)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(a, &ss);
	int on = 1;

	*out = socket(ss.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*out < 0 || setsockopt(*out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(*out, (struct sockaddr *)&ss, n) || (type == SOCK_STREAM && listen(*out, 64)))
		return -errno;
	return 0;
}

static int bridge_start(struct bridge *b)
{
	struct loop_params lp = {.entries = 256,
				 .ops_max = 256,
				 .recv_bufs = 64,
				 .send_bufs = 64,
				 .buf_size = TEXT_MAX};
	struct link_edge_params ep = {.n_cores = 1, .ops = &edge_ops, .arg = b, .sip_port = 5061};
	unsigned i;
	int err = loop_new(&lp, &b->loop);

	if (!err)
		err = bridge_tls(b);
	if (!err)
		err = bridge_socket(SOCK_STREAM, &b->p.link_listen, &b->link_fd);
	if (!err)
		err = bridge_socket(SOCK_DGRAM, &b->p.sip, &b->sip_fd);
	if (err)
		return err;
	b->core = (struct link_edge_core){b->p.core, &b->p.domain, 1};
	ep.loop = b->loop;
	ep.tls = b->tls;
	ep.name = ep.sip_host = b->p.edge;
	ep.cores = &b->core;
	b->tick.arg = b;
	for (i = 0; i < CLIENTS; i++) {
		b->client[i].b = b;
		b->client[i].index = i;
	}
	err = link_edge_new(&ep, &b->link);
	if (!err)
		err = link_edge_listen(b->link, b->link_fd);
	if (!err)
		err = loop_recv(b->loop, b->sip_fd, server_message, b, &b->sip_rx);
	return err;
}

int bridge_open(const struct bridge_params *p, struct bridge **out)
{
	struct bridge *b = calloc(1, sizeof(*b));
	int err;

	if (!b || p->calls > BRIDGE_CALLS_MAX || (p->joined && p->calls % 2)) {
		free(b);
		return -EINVAL;
	}
	b->p = *p;
	b->link_fd = b->sip_fd = -1;
	err = bridge_start(b);
	if (err) {
		fprintf(stderr, "bench: bridge: %s\n", strerror(-err));
		bridge_close(b);
		return err;
	}
	*out = b;
	return 0;
}

void bridge_close(struct bridge *b)
{
	unsigned i;

	if (!b)
		return;
	for (i = 0; i < CLIENTS; i++)
		link_edge_end(b->client[i].data, "the bench is over");
	link_edge_free(b->link);
	if (b->loop)
		loop_cancel(b->loop, &b->sip_rx);
	loop_free(b->loop);
	if (b->link_fd >= 0)
		close(b->link_fd);
	if (b->sip_fd >= 0)
		close(b->sip_fd);
	tls_ctx_free(b->tls);
	for (i = 0; i < BRIDGE_CALLS_MAX; i++)
		free(b->held[i]);
	free(b);
}
