/* selftests/unit/media_kit.c -- see media_kit.h. */
#include "selftests/unit/media_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/time.h>

/* ---- the link's double ---- */
Sallyport__Link *sent[SENT_MAX];
unsigned n_sent;
uint32_t peer_features = LINK_FEATURES;

bool link_peer_takes(const struct link_peer *p, uint32_t feature)
{
	assert_non_null(p);
	return peer_features & feature;
}

const char *link_peer_name(const struct link_peer *p)
{
	return p->name;
}

int link_send(struct link_peer *p, const Sallyport__Link *m)
{
	uint8_t buf[512];
	size_t n = sallyport__link__get_packed_size(m);

	assert_non_null(p);
	assert_in_range(n, 1, sizeof(buf));
	assert_true(n_sent < SENT_MAX);
	sallyport__link__pack(m, buf);
	sent[n_sent++] = sallyport__link__unpack(NULL, n, buf);
	return 0;
}

void sent_clear(void)
{
	while (n_sent)
		sallyport__link__free_unpacked(sent[--n_sent], NULL);
}

/* ---- the world around ---- */
static void on_opened(void *arg, uint64_t medium, const struct media_addrs *a)
{
	struct world *w = arg;

	w->opened++;
	w->last_medium = medium;
	w->addrs = *a;
	if (w->close_in_opened)
		media_core_close(w->m, medium);
}

static void on_failed(void *arg, uint64_t medium, const char *reason)
{
	struct world *w = arg;

	w->failed++;
	w->last_medium = medium;
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

static void on_silent(void *arg, uint64_t medium, uint32_t idle_ms)
{
	struct world *w = arg;

	w->silent++;
	w->last_medium = medium;
	assert_in_range(idle_ms, 1, 60000);
}

static const struct media_core_ops ops = {on_opened, on_failed, on_silent};

static void stop_fn(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

void run(struct world *w, unsigned ms)
{
	w->stop.fn = stop_fn;
	w->stop.arg = w;
	assert_int_equal(loop_timer_set(w->loop, &w->stop, ms), 0);
	assert_int_equal(loop_run(w->loop), 0);
}

struct addr local(uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &a), 0);
	a.port = port;
	return a;
}

int udp(struct addr *out)
{
	struct addr any = local(0);
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	socklen_t an = addr_to_sockaddr(&any, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, an), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, out), 0);
	return fd;
}

/* Ports of its own: a ring that was closed lets go of its sockets a little later. */
static void pool_new(struct world *w, unsigned sockets)
{
	static uint16_t base = 20102;
	struct sockpool_wish wish = {.name = "media.inside",
				     .setting = "media.max",
				     .first = local(base),
				     .end = base + sockets,
				     .n = sockets,
				     .step = 2,
				     .rcvbuf = 128 << 10};
	char why[256] = "";

	base = (uint16_t)(base + 200);
	if (sockpool_bind(&w->plan, &wish, why, sizeof(why)))
		fail_msg("%s", why);
	w->pool = (struct sockpool){w->plan.fds[0].fd, sockets};
}

void world_start(struct world *w)
{
	struct loop_params lp = {.entries = 256,
				 .ops_max = 256,
				 .recv_bufs = 512,
				 .send_bufs = 512,
				 .buf_size = 2048};
	struct media_core_params p = {.ops = &ops,
				      .silence_ms = w->silence_ms,
				      .link_fd = w->link_fd,
				      .link_bind = w->link_addr,
				      .inside = local(0),
				      .inside_sockets = w->pool,
				      .media_max = w->media_max,
				      .keep = w->keep,
				      .keep_session = 1,
				      .arg = w};

	assert_int_equal(loop_new(&lp, &w->loop), 0);
	p.loop = w->loop;
	assert_int_equal(media_core_new(&p, &w->m), 0);
	run(w, 1);
}

void world_new(struct world *w, uint32_t silence_ms, unsigned media_max, uint16_t range)
{
	int i;

	memset(w, 0, sizeof(*w));
	w->edge.name = "edge1";
	w->other.name = "edge2";
	w->silence_ms = silence_ms;
	w->media_max = media_max;
	w->link_fd = udp(&w->link_addr);
	pool_new(w, range & ~1u);
	for (i = 0; i < 2; i++) {
		w->edge_fd[i] = udp(&w->edge_addr[i]);
		w->phone[i] = udp(&w->phone_addr[i]);
	}
	world_start(w);
}

void world_stop(struct world *w)
{
	media_core_free(w->m);
	loop_free(w->loop);
	w->m = NULL;
}

void world_free(struct world *w)
{
	unsigned i;

	world_stop(w);
	for (i = 0; i < w->pool.n; i++)
		close(w->pool.first + (int)i);
	close(w->link_fd);
	for (i = 0; i < 2; i++) {
		close(w->edge_fd[i]);
		close(w->phone[i]);
	}
	srtp_session_free(w->client_open);
	srtp_session_free(w->client_seal);
	sent_clear();
}

/* The edge's answer to an Allocate. */
void allocated_at(struct world *w, struct link_peer *from, uint64_t flow, const char *error,
		  const struct addr *inside, uint16_t outside_port)
{
	Sallyport__Allocated a = SALLYPORT__ALLOCATED__INIT;
	Sallyport__Link l = SALLYPORT__LINK__INIT;
	struct addr out;

	assert_int_equal(addr_parse(SPAN("203.0.113.1"), &out), 0);
	a.flow = flow;
	a.error = (char *)error;
	a.outside_ip = (ProtobufCBinaryData){16, out.ip};
	a.outside_port = outside_port;
	a.inside_ip = (ProtobufCBinaryData){16, (uint8_t *)inside->ip};
	a.inside_port = inside->port;
	l.m_case = SALLYPORT__LINK__M_ALLOCATED;
	l.allocated = &a;
	media_core_message(w->m, from, &l);
}

void allocated(struct world *w, uint64_t flow, unsigned i, const char *error)
{
	allocated_at(w, &w->edge, flow, error, &w->edge_addr[i], (uint16_t)(40000 + i));
}

void punched(struct world *w, uint64_t flow)
{
	Sallyport__Punched p = SALLYPORT__PUNCHED__INIT;
	Sallyport__Link l = SALLYPORT__LINK__INIT;

	p.flow = flow;
	p.from_ip = (ProtobufCBinaryData){16, w->edge_addr[0].ip};
	p.from_port = 2776;
	l.m_case = SALLYPORT__LINK__M_PUNCHED;
	l.punched = &p;
	media_core_message(w->m, &w->edge, &l);
}

const Sallyport__Allocate *sent_allocate(unsigned i)
{
	assert_true(i < n_sent);
	assert_int_equal(sent[i]->m_case, SALLYPORT__LINK__M_ALLOCATE);
	return sent[i]->allocate;
}

ssize_t take(int fd, uint8_t *buf, size_t n, struct addr *from)
{
	struct sockaddr_storage ss;
	socklen_t sn = sizeof(ss);
	ssize_t r = recvfrom(fd, buf, n, MSG_DONTWAIT, (struct sockaddr *)&ss, &sn);

	if (r >= 0 && from)
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, from), 0);
	return r;
}

void give(int fd, const struct addr *to, const uint8_t *p, size_t n)
{
	struct sockaddr_storage ss;
	socklen_t sn = addr_to_sockaddr(to, &ss);

	assert_int_equal(sendto(fd, p, n, 0, (struct sockaddr *)&ss, sn), n);
}

/* Open medium @id and let the edge answer: flows[] are its flow ids. */
void open_medium(struct world *w, uint64_t id, bool rtcp, uint64_t flows[2])
{
	struct addr client = local(0);
	unsigned i;

	sent_clear();
	assert_int_equal(media_core_open(w->m, id, &w->edge, &client, rtcp), 0);
	assert_int_equal(n_sent, rtcp ? 2 : 1);
	for (i = 0; i < n_sent; i++)
		flows[i] = sent_allocate(i)->flow;
	for (i = 0; i < n_sent; i++)
		allocated(w, flows[i], i, "");
}

/* Keys of both directions, and the client's two sessions; the inside party is w->phone. */
void key_medium(struct world *w, uint64_t id, enum srtp_suite s)
{
	unsigned i;

	memset(&w->set, 0, sizeof(w->set));
	w->set.have_keys = true;
	w->set.open_suite = w->set.seal_suite = s;
	for (i = 0; i < srtp_suite_key_len(s); i++) {
		w->set.open_key[i] = (uint8_t)(i + 1);
		w->set.seal_key[i] = (uint8_t)(200 - i);
	}
	w->set.remote_rtp = w->phone_addr[0];
	w->set.remote_rtcp = w->phone_addr[1];
	srtp_session_free(w->client_seal);
	srtp_session_free(w->client_open);
	assert_int_equal(srtp_session_new(s, span_of(w->set.open_key, srtp_suite_key_len(s)), true,
					  &w->client_seal),
			 0);
	assert_int_equal(srtp_session_new(s, span_of(w->set.seal_key, srtp_suite_key_len(s)), false,
					  &w->client_open),
			 0);
	assert_int_equal(media_core_set(w->m, id, &w->set), 0);
}

uint32_t plain(uint8_t *p, bool rtcp, uint16_t seq)
{
	uint32_t i;

	for (i = 0; i < 172; i++)
		p[i] = (uint8_t)(i + seq);
	p[0] = 0x80;
	p[1] = rtcp ? 200 : 8;
	if (!rtcp) {
		p[2] = (uint8_t)(seq >> 8);
		p[3] = (uint8_t)seq;
	}
	memset(p + (rtcp ? 4 : 8), 0x42, 4);
	return 172;
}

enum srtp_result transform(struct srtp_session *s, uint8_t *p, uint32_t *n, bool rtcp, bool seal)
{
	struct srtp_packet k = {.session = s, .p = p, .n = *n, .cap = 2048, .rtcp = rtcp};

	if (seal)
		srtp_seal(&k, 1);
	else
		srtp_open(&k, 1);
	*n = k.n;
	return k.result;
}
