/* selftests/unit/test_link.c -- both ends of the link in one loop, and a raw client that breaks the rules: who is let in, what
 * is logged on which side, the pool, limits, silence, replacement. */
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "selftests/unit/link_kit.h"

/* ---- good days ---- */

static void test_link_up(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	assert_int_equal(w.e.ups, 1);
	assert_int_equal(w.c.ups, 1);
	assert_string_equal(w.c.text, "sip.example.org:5061");
	assert_string_equal(w.live_edge, "edge1.example");
	assert_string_equal(link_peer_name(w.e.peer), "core1.example");
	assert_true(link_peer_session(w.e.peer) == link_peer_session(w.c.peer));
	assert_ptr_equal(link_edge_route(w.edge, SPAN("EXAMPLE.org")), w.e.peer);
	/* announced, but the configuration does not give it to this core */
	assert_null(link_edge_route(w.edge, SPAN("other.example")));
	assert_true(logged("link-domain-refused", "core1.example", "Other.Example"));
	run_until(&w, never, 100);
	assert_int_equal(w.e.downs + w.c.downs, 0);
	assert_int_equal(link_core_stats(w.core)->dials, 1 + POOL);
	world_close(&w);
}

static void test_link_many_flows_in_several_hellos(void **state)
{
	struct world w;

	(void)state;
	world_good(&w);
	w.n_live = 23456;
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, e_is_up, 5000));
	assert_int_equal(w.e.n_flows, 23456);
	assert_true(w.e.flow_sum == 23456ull * 23457ull / 2);
	world_close(&w);
}

static bool c_got_message(struct world *w)
{
	return w->c.messages > 0;
}

static void test_link_messages_both_ways(void **state)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Allocate a = SALLYPORT__ALLOCATE__INIT;
	struct world w;

	(void)state;
	world_up(&w);
	a.flow = 77;
	m.m_case = SALLYPORT__LINK__M_ALLOCATE;
	m.allocate = &a;
	assert_int_equal(link_send(w.c.peer, &m), 0);
	assert_true(run_until(&w, c_got_message, 2000));
	assert_string_equal(w.c.text, "no-ports");
	assert_int_equal(w.e.last_case, SALLYPORT__LINK__M_ALLOCATE);
	world_close(&w);
}

static void test_link_open_and_refill(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	open_stream(&w);
	assert_string_equal(w.c.text, "sip sip.example.org");
	assert_true(w.last_open.stream == 4711);
	assert_int_equal(w.last_open.client_port, 50000);
	assert_true(run_until(&w, pool_full, 2000));
	assert_int_equal(link_core_stats(w.core)->dials, 1 + POOL + 1);
	world_close(&w);
}

static bool all_opened(struct world *w)
{
	return w->c.opens == POOL && pool_full(w);
}

static void test_link_pool_runs_empty(void **state)
{
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	static uint8_t ip[16];
	struct link_data *d[POOL + 1] = {};
	struct world w;
	int i;

	(void)state;
	world_up(&w);
	o.client_ip = o.local_ip = (ProtobufCBinaryData){.len = 16, .data = ip};
	for (i = 0; i < POOL; i++) {
		o.stream = (uint64_t)i + 1;
		assert_int_equal(link_edge_open(w.e.peer, &o, &s_edge_ops, &w, &d[i]), 0);
	}
	assert_int_equal(link_edge_open(w.e.peer, &o, &s_edge_ops, &w, &d[POOL]), -EAGAIN);
	assert_int_equal(link_edge_stats(w.edge)->pool_empty, 1);
	/* the core's end refuses all but one; not this case's matter */
	for (i = 0; i < POOL; i++)
		link_edge_end(d[i], NULL);
	assert_true(run_until(&w, all_opened, 3000));
	world_close(&w);
}

static bool data_gone(struct world *w)
{
	return link_edge_stats(w->edge)->data_lost > 0 && pool_full(w);
}

/* ---- who is let in ---- */

static bool core_refused(struct world *w)
{
	(void)w;
	return strstr(logs, "event=link-refused ") && strstr(logs, "event=link-refused-by-peer ");
}

static bool one_refused(struct world *w)
{
	return core_refused(w) ||
	       (strstr(logs, "event=link-refused ") && strstr(logs, "event=link-failed "));
}

static void test_link_core_with_strange_certificate(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &edge_cert, &ca, &stranger_cert, &ca);
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, core_refused, 3000));
	assert_true(logged("link-refused", "wanted=\"core1.example, core3.example\"",
			   "seen=\"stranger.example\""));
	assert_true(logged("link-refused-by-peer", "own_names=\"stranger.example\"",
			   "name: wanted core1.example"));
	assert_int_equal(w.e.ups + w.c.ups, 0);
	world_close(&w);
}

/* The certificate is a configured core's, but Hello says another configured core. */
static void test_link_core_lies_in_hello(void **state)
{
	struct world w;

	(void)state;
	world_good(&w);
	dial(&w, &w.core, "core3.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, core_refused, 3000));
	assert_true(logged("link-refused", "wanted=\"core3.example\"", "seen=\"core1.example\""));
	assert_int_equal(w.e.ups + w.c.ups, 0);
	world_close(&w);
}

static void test_link_edge_with_strange_certificate(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &stranger_cert, &ca, &core_cert, &ca);
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, one_refused, 3000));
	assert_true(
		logged("link-refused", "wanted=\"edge1.example\"", "seen=\"stranger.example\""));
	/* the edge's side: the alert, and its own names */
	assert_true(logged("link-failed", "alert received: bad certificate",
			   "own_names=\"stranger.example\""));
	world_close(&w);
}

static void test_link_core_of_a_foreign_ca(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &edge_cert, &ca, &foreign_cert, &ca);
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, core_refused, 3000));
	assert_true(logged("link-refused", "unable to get local issuer certificate",
			   "seen=\"core1.example\""));
	assert_true(logged("link-refused-by-peer", "alert received: unknown CA",
			   "own_names=\"core1.example\""));
	assert_int_equal(w.e.ups + w.c.ups, 0);
	world_close(&w);
}

static void test_link_core_without_certificate(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, &edge_cert, &ca, NULL, &ca);
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, core_refused, 3000));
	assert_true(logged("link-refused", "the peer sent none", "wanted="));
	assert_true(logged("link-refused-by-peer", "alert received: ", "certificate required"));
	world_close(&w);
}

static void test_link_version_mismatch(void **state)
{
	struct world w;

	(void)state;
	world_good(&w);
	raw_connect(&w);
	raw_hello(&w, 7, 1, false);
	assert_true(run_until(&w, raw_ended, 2000));
	assert_string_equal(w.raw.close_reason, "version: wanted 2, got 7");
	assert_int_equal(w.raw.err, -ENODATA); /* a clean end */
	assert_int_equal(w.e.ups, 0);
	assert_true(logged("link-refused", "version: wanted 2, got 7", "peer=127.0.0.1:"));
	world_close(&w);
}

static void test_link_first_frames_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\0\0\0\0", 4},		 /* empty */
		{"\0\1\0\1", 4},		 /* 64 KiB + 1 */
		{"\377\377\377\377", 4},	 /* 4 GiB */
		{"\0\0\0\4\377\377\377\377", 8}, /* no protobuf */
		{"\0\0\0\2\x72\0", 6},		 /* Health before Hello */
		{"\0\0\0\4\x0a\2\x08\1", 8},	 /* Hello without a session */
		{"GET / HTTP/1.1\r\n\r\n", 18},	 /* something else */
	};
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		world_good(&w);
		raw_connect(&w);
		assert_int_equal(conn_write(w.raw.c, span_of(bad[i].bytes, bad[i].n)), 0);
		assert_true(run_until(&w, raw_ended, 2000));
		assert_int_equal(w.raw.last_case, SALLYPORT__LINK__M_CLOSE);
		assert_int_equal(w.e.ups, 0);
		assert_int_equal(link_edge_stats(w.edge)->refused, 1);
		world_close(&w);
	}
}

static void test_link_data_of_an_unknown_session(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	raw_connect(&w);
	raw_hello(&w, LINK_VERSION, link_peer_session(w.e.peer) + 1, true);
	assert_true(run_until(&w, raw_ended, 2000));
	assert_string_equal(w.raw.close_reason, "session: no such control connection");
	assert_int_equal(link_peer_idle(w.e.peer), POOL);
	world_close(&w);
}

static bool raw_in_pool(struct world *w)
{
	return link_peer_idle(w->e.peer) == POOL + 1;
}

static void test_link_data_that_speaks_early(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	raw_connect(&w);
	raw_hello(&w, LINK_VERSION, link_peer_session(w.e.peer), true);
	assert_true(run_until(&w, raw_in_pool, 2000));
	assert_int_equal(conn_write(w.raw.c, SPAN("x")), 0);
	assert_true(run_until(&w, raw_ended, 2000));
	assert_int_equal(link_edge_stats(w.edge)->early_bytes, 1);
	assert_true(run_until(&w, data_gone, 2000));
	world_close(&w);
}

static bool e_is_down(struct world *w)
{
	return w->e.downs > 0;
}

static void test_link_silence(void **state)
{
	struct world w;

	(void)state;
	world_good(&w);
	w.times.health = 20;
	w.times.silence = 120;
	link_edge_set_times(w.edge, &w.times);
	raw_connect(&w);
	raw_hello(&w, LINK_VERSION, 9, false);
	assert_true(run_until(&w, e_is_up, 2000));
	assert_true(run_until(&w, e_is_down, 2000));
	assert_string_equal(w.e.down_why, "silence");
	assert_true(w.raw.frames >= 4); /* HelloAck and several Health: ours went on */
	assert_int_equal(link_edge_stats(w.edge)->silent, 1);
	world_close(&w);
}

/* Health in both directions keeps an idle link up for many times the silence limit. */
static void test_link_health_keeps_it_up(void **state)
{
	struct world w;

	(void)state;
	world_good(&w);
	w.times.health = 100;
	w.times.silence = 800; /* handshakes on a slow machine keep the loop for a while */
	link_edge_set_times(w.edge, &w.times);
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, pool_full, 3000));
	run_until(&w, never, 1700);
	assert_int_equal(w.e.downs + w.c.downs, 0);
	world_close(&w);
}

static void test_link_message_of_the_wrong_side(void **state)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__FlowReport r = SALLYPORT__FLOW_REPORT__INIT;
	struct world w;

	(void)state;
	world_good(&w);
	raw_connect(&w);
	raw_hello(&w, LINK_VERSION, 9, false);
	assert_true(run_until(&w, e_is_up, 2000));
	m.m_case = SALLYPORT__LINK__M_FLOW_REPORT;
	m.flow_report = &r;
	assert_int_equal(link_write(w.raw.c, &m), 0);
	assert_true(run_until(&w, e_is_down, 2000));
	assert_int_equal(link_edge_stats(w.edge)->bad_frames, 1);
	assert_int_equal(w.e.messages, 0);
	world_close(&w);
}

static void test_link_peer_that_does_not_read(void **state)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__CloseStream c = SALLYPORT__CLOSE_STREAM__INIT;
	static char reason[60001];
	struct world w;
	int i, ret = 0;

	(void)state;
	world_good(&w);
	raw_connect(&w);
	raw_hello(&w, LINK_VERSION, 9, false);
	assert_true(run_until(&w, e_is_up, 2000));
	conn_pause(w.raw.c, true);
	memset(reason, 'x', sizeof(reason) - 1);
	c.reason = reason;
	m.m_case = SALLYPORT__LINK__M_CLOSE_STREAM;
	m.close_stream = &c;
	for (i = 0; i < 1000 && !ret; i++)
		ret = link_send(w.e.peer, &m);
	assert_int_equal(ret, -ENOBUFS);
	assert_int_equal(w.e.downs, 0); /* not from inside link_send */
	assert_int_equal(link_send(w.e.peer, &m), -ENOBUFS);
	assert_true(run_until(&w, e_is_down, 2000));
	assert_string_equal(w.e.down_why, "the peer does not read");
	run_until(&w, never, 50);
	assert_int_equal(w.e.downs, 1);
	world_close(&w);
}

/* ---- loss and replacement ---- */

static bool second_is_up(struct world *w)
{
	return w->c2.ups == 1 && w->c.downs == 1 && w->e.downs == 1 && w->e.ups == 2;
}

static void test_link_newer_core_replaces(void **state)
{
	struct world w;

	(void)state;
	world_up(&w);
	open_stream(&w);
	w.times.retry_max = 60000; /* the replaced one stays away */
	link_core_set_times(w.core, &w.times);
	dial(&w, &w.core2, "core1.example", "edge1.example", &c2_ops);
	assert_true(run_until(&w, second_is_up, 3000));
	assert_string_equal(w.e.down_why, "replaced by a newer connection");
	assert_string_equal(w.c.down_why, "closed by the peer: replaced by a newer connection");
	assert_int_equal(link_edge_stats(w.edge)->replaced, 1);
	/* the stream lives on without its control connection */
	assert_int_equal(conn_write(link_data_conn(w.s_edge), SPAN("second line!")), 0);
	assert_int_equal(conn_write(link_data_conn(w.s_core), SPAN("fine")), 0);
	assert_true(run_until(&w, stream_echoed, 2000));
	assert_string_equal(w.got_core, "second line!");
	world_close(&w);
}

static bool up_again(struct world *w)
{
	return w->c.ups == 2 && pool_full(w);
}

static void test_link_edge_restarts(void **state)
{
	struct link_edge_params ep;
	struct world w;

	(void)state;
	world_up(&w);
	ep = w.edge->p;
	link_edge_free(w.edge);
	w.e.peer = NULL;
	assert_int_equal(link_edge_new(&ep, &w.edge), 0);
	link_edge_set_times(w.edge, &w.times);
	assert_int_equal(link_edge_listen(w.edge, w.fd), 0);
	assert_true(run_until(&w, up_again, 5000));
	assert_int_equal(w.c.downs, 1);
	world_close(&w);
}

static bool all_late(struct world *w)
{
	return link_edge_stats(w->edge)->no_hello == LINK_PENDING_MAX;
}

static bool all_accepted(struct world *w)
{
	return link_edge_stats(w->edge)->accepted == LINK_PENDING_MAX + 10;
}

static void test_link_pending_is_bounded(void **state)
{
	struct sockaddr_storage ss;
	struct world w;
	int fds[LINK_PENDING_MAX + 10];
	size_t i;

	(void)state;
	world_good(&w);
	w.times.hello = 300;
	link_edge_set_times(w.edge, &w.times);
	for (i = 0; i < LINK_PENDING_MAX + 10; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(
			connect(fds[i], (struct sockaddr *)&ss, addr_to_sockaddr(&w.addr, &ss)), 0);
	}
	assert_true(run_until(&w, all_accepted, 2000));
	assert_int_equal(link_edge_stats(w.edge)->over_pending, 10);
	assert_true(run_until(&w, all_late, 2000));
	for (i = 0; i < LINK_PENDING_MAX + 10; i++)
		close(fds[i]);
	/* and the place is free again */
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, pool_full, 3000));
	world_close(&w);
}

static bool loopback_banned(void *arg, const struct addr *peer)
{
	(void)arg;
	return addr_is_v4(peer) && peer->ip[12] == 127;
}

static bool one_banned(struct world *w)
{
	return link_edge_stats(w->edge)->banned == 1;
}

/* Where no BPF drops the SYN: closed before a byte is read, and for good only as long as the ban. */
static void test_link_banned(void **state)
{
	struct sockaddr_storage ss;
	struct world w;
	char b;
	int fd;

	(void)state;
	world_good(&w);
	w.edge->p.banned = loopback_banned;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, addr_to_sockaddr(&w.addr, &ss)), 0);
	assert_true(run_until(&w, one_banned, 2000));
	assert_int_equal(recv(fd, &b, 1, 0), 0);
	close(fd);
	w.edge->p.banned = NULL;
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, pool_full, 3000));
	world_close(&w);
}

/* Strangers that connect and say nothing hold all places: the core comes in all the same, long before their time is over. */
static void test_link_strangers_keep_no_core_out(void **state)
{
	struct sockaddr_storage ss;
	struct world w;
	int fds[LINK_PENDING_MAX];
	size_t i;

	(void)state;
	world_good(&w);
	w.times.hello = 20000;
	link_edge_set_times(w.edge, &w.times);
	for (i = 0; i < LINK_PENDING_MAX; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(
			connect(fds[i], (struct sockaddr *)&ss, addr_to_sockaddr(&w.addr, &ss)), 0);
	}
	dial(&w, &w.core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(&w, pool_full, 3000));
	assert_true(link_edge_stats(w.edge)->over_pending > 0);
	for (i = 0; i < LINK_PENDING_MAX; i++)
		close(fds[i]);
	world_close(&w);
}

/* The network forgets packets for a while: in a namespace of our own, the loopback goes down and up again. */
static bool lo_set(bool up)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), ret = ioctl(fd, SIOCSIFFLAGS, &r);

	close(fd);
	return ret == 0;
}

static struct loop_timer outage_timer;
static unsigned outage_sent;

#define OUTAGE_MESSAGES 500

static void outage_tick(void *arg)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Free f = SALLYPORT__FREE__INIT;
	struct world *w = arg;

	if (outage_sent == 100)
		assert_true(lo_set(false));
	if (outage_sent == 400) {
		assert_true(w->e.messages <= 101); /* it was an outage */
		assert_true(lo_set(true));
	}
	f.flow = ++outage_sent;
	m.m_case = SALLYPORT__LINK__M_FREE;
	m.free = &f;
	assert_int_equal(link_send(w->c.peer, &m), 0);
	if (outage_sent < OUTAGE_MESSAGES)
		loop_timer_set(w->l, &outage_timer, 4);
}

static bool outage_over(struct world *w)
{
	return w->e.messages == OUTAGE_MESSAGES;
}

static void test_link_outage_loses_nothing(void **state)
{
	struct world w;

	(void)state;
	if (unshare(CLONE_NEWNET)) {
		print_message("needs CAP_SYS_ADMIN for a network namespace\n");
		skip();
	}
	assert_true(lo_set(true));
	world_up(&w);
	open_stream(&w);
	outage_sent = 0;
	outage_timer = (struct loop_timer){.fn = outage_tick, .arg = &w};
	loop_timer_set(w.l, &outage_timer, 0);
	assert_true(run_until(&w, outage_over, 20000));
	assert_int_equal(conn_write(link_data_conn(w.s_edge), SPAN("second line!")), 0);
	assert_int_equal(conn_write(link_data_conn(w.s_core), SPAN("fine")), 0);
	assert_true(run_until(&w, stream_echoed, 5000));
	assert_int_equal(w.e.downs + w.c.downs, 0);
	assert_true(pool_full(&w));
	world_close(&w);
}

/* ---- frames ---- */

static void test_link_frame_roundtrip(void **state)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT, *out;
	Sallyport__Admit a = SALLYPORT__ADMIT__INIT;
	uint8_t buf[128];
	ssize_t n, i;

	(void)state;
	a.stream = 0x1122334455667788ull;
	a.max_bytes = 5;
	m.m_case = SALLYPORT__LINK__M_ADMIT;
	m.admit = &a;
	n = link_frame_pack(&m, buf, sizeof(buf));
	assert_true(n > LINK_HEAD);
	assert_int_equal(link_frame_pack(&m, buf, (size_t)n - 1), -EMSGSIZE);
	n = link_frame_pack(&m, buf, sizeof(buf));
	for (i = 0; i < n; i++)
		assert_int_equal(link_frame_unpack(span_of(buf, (size_t)i), &out), -EAGAIN);
	assert_int_equal(link_frame_unpack(span_of(buf, sizeof(buf)), &out), n);
	assert_int_equal(out->m_case, SALLYPORT__LINK__M_ADMIT);
	assert_true(out->admit->stream == a.stream);
	sallyport__link__free_unpacked(out, NULL);
}

/* A key as the edge wants it passes; one byte less of either part does not. */
static void test_link_token_keys(void **state)
{
	uint8_t bytes[LINK_TOKEN_KEY] = {1}, frame[256];
	Sallyport__Link m = SALLYPORT__LINK__INIT, *out;
	Sallyport__TokenKeys keys = SALLYPORT__TOKEN_KEYS__INIT;
	Sallyport__TokenKey key = SALLYPORT__TOKEN_KEY__INIT, *list[LINK_TOKEN_KEYS_MAX + 1];
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i <= LINK_TOKEN_KEYS_MAX; i++)
		list[i] = &key;
	m.m_case = SALLYPORT__LINK__M_TOKEN_KEYS;
	m.token_keys = &keys;
	keys.key = list;
	for (i = 0; i < 5; i++) {
		uint8_t many[1024];

		keys.n_key = i == 3 ? LINK_TOKEN_KEYS_MAX : i == 4 ? LINK_TOKEN_KEYS_MAX + 1 : 1;
		key.kid = (ProtobufCBinaryData){LINK_TOKEN_KID - (i == 1), bytes};
		key.public_key = (ProtobufCBinaryData){LINK_TOKEN_KEY - (i == 2), bytes};
		n = link_frame_pack(&m, many, sizeof(many));
		assert_true(n > 0);
		if (i != 0 && i != 3) {
			assert_int_equal(link_frame_unpack(span_of(many, (size_t)n), &out),
					 -EBADMSG);
			continue;
		}
		assert_int_equal(link_frame_unpack(span_of(many, (size_t)n), &out), n);
		assert_int_equal(out->token_keys->n_key, keys.n_key);
		sallyport__link__free_unpacked(out, NULL);
	}
	keys.n_key = 0; /* none any more */
	n = link_frame_pack(&m, frame, sizeof(frame));
	assert_int_equal(link_frame_unpack(span_of(frame, (size_t)n), &out), n);
	sallyport__link__free_unpacked(out, NULL);
}

/* At most 8 a direction, each a payload type with a clock that is worth measuring by. */
static void test_link_clocks(void **state)
{
	static const struct {
		uint32_t clock;
		size_t n;
		bool good;
	} cases[] = {
		{8000u << 8 | 0x80, 1, true},
		{0xffffffffu, LINK_CLOCKS_MAX, true},
		{LINK_CLOCK_HZ_MIN << 8 | 0xff, 2, true},
		{0, 0, true},
		{8000u << 8 | 0x80, LINK_CLOCKS_MAX + 1, false},
		{8000u << 8 | 0x7f, 1, false},
		{(LINK_CLOCK_HZ_MIN - 1) << 8 | 0x80, 1, false},
		{0, 1, false},
	};
	Sallyport__Link m = SALLYPORT__LINK__INIT, *out;
	Sallyport__Clocks c = SALLYPORT__CLOCKS__INIT;
	uint32_t list[LINK_CLOCKS_MAX + 1];
	uint8_t frame[256];
	ssize_t n;
	size_t i, k;

	(void)state;
	m.m_case = SALLYPORT__LINK__M_CLOCKS;
	m.clocks = &c;
	for (i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		for (k = 0; k < cases[i / 2].n; k++)
			list[k] = cases[i / 2].clock;
		c.in = c.out = list;
		c.n_in = i % 2 ? cases[i / 2].n : 0;
		c.n_out = i % 2 ? 0 : cases[i / 2].n;
		n = link_frame_pack(&m, frame, sizeof(frame));
		assert_true(n > 0);
		if (!cases[i / 2].good) {
			assert_int_equal(link_frame_unpack(span_of(frame, (size_t)n), &out),
					 -EBADMSG);
			continue;
		}
		assert_int_equal(link_frame_unpack(span_of(frame, (size_t)n), &out), n);
		assert_int_equal(out->clocks->n_in, c.n_in);
		sallyport__link__free_unpacked(out, NULL);
	}
}

static void test_link_frame_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\0\0\0\0", 4},
		{"\0\1\0\1", 4},
		{"\0\0\0\1\xff", 5},
		{"\0\0\0\2\x7a\5", 6},		      /* Close that is cut */
		{"\0\0\0\3\xa2\6\0", 7},	      /* a message of the future: not known */
		{"\0\0\0\2\x1a\0", 6},		      /* Open without addresses */
		{"\0\0\0\5\x52\3\x1a\1\1", 9},	      /* Punched with a one-byte... wrong type */
		{"\0\0\0\6\x62\4\x0a\2\1\1", 10},     /* Ban with a 2-byte address */
		{"\0\0\0\7\x3a\5\x12\3\1\2\3", 11},   /* Allocate with a 3-byte address */
		{"\0\0\0\6\x12\4\x20\xff\xff\7", 10}, /* HelloAck with port 131,071 */
		{"\0\0\0\6\x12\4\x30\xff\xff\7", 10}, /* the same for HTTPS */
		{"\0\0\0\6\x12\4\x48\xff\xff\7", 10}, /* and for XMPP over TLS */
		{"\0\0\0\5\x92\1\2\x0a\0", 9},	      /* TokenKeys with an empty key */
		{"\0\0\0\5\x0a\3\x38\x81\x10", 9},    /* Hello with a pool of 2,049 */
		{"\0\0\0\4\x0a\2\x2a\0", 8},	      /* Hello with an empty domain */
		{"\0\0\0\10\x6a\0\x85\0\0\2j\0", 12}, /* Drain and a field 0, in two bytes */
		{"\0\0\0\10\x6a\6\x85\0\0\2j\0", 12}, /* the same inside Drain */
		{"\0\0\0\3\x9a\1\0", 7},	      /* Dial, DialResult without an id */
		{"\0\0\0\3\xa2\1\0", 7},
		/* StreamEnd, StreamIdle with 2^64 - 1 bytes */
		{"\0\0\0\x0e\x82\1\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 18},
		{"\0\0\0\x0e\x8a\1\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 18},
	};
	Sallyport__Link *out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(link_frame_unpack(span_of(bad[i].bytes, bad[i].n), &out),
				 -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_frame_roundtrip),
		cmocka_unit_test(test_link_frame_refused),
		cmocka_unit_test(test_link_token_keys),
		cmocka_unit_test(test_link_clocks),
		cmocka_unit_test(test_link_up),
		cmocka_unit_test(test_link_many_flows_in_several_hellos),
		cmocka_unit_test(test_link_messages_both_ways),
		cmocka_unit_test(test_link_open_and_refill),
		cmocka_unit_test(test_link_pool_runs_empty),
		cmocka_unit_test(test_link_core_with_strange_certificate),
		cmocka_unit_test(test_link_core_lies_in_hello),
		cmocka_unit_test(test_link_edge_with_strange_certificate),
		cmocka_unit_test(test_link_core_of_a_foreign_ca),
		cmocka_unit_test(test_link_core_without_certificate),
		cmocka_unit_test(test_link_version_mismatch),
		cmocka_unit_test(test_link_first_frames_refused),
		cmocka_unit_test(test_link_data_of_an_unknown_session),
		cmocka_unit_test(test_link_data_that_speaks_early),
		cmocka_unit_test(test_link_silence),
		cmocka_unit_test(test_link_health_keeps_it_up),
		cmocka_unit_test(test_link_message_of_the_wrong_side),
		cmocka_unit_test(test_link_peer_that_does_not_read),
		cmocka_unit_test(test_link_newer_core_replaces),
		cmocka_unit_test(test_link_edge_restarts),
		cmocka_unit_test(test_link_banned),
		cmocka_unit_test(test_link_pending_is_bounded),
		cmocka_unit_test(test_link_strangers_keep_no_core_out),
		cmocka_unit_test(
			test_link_outage_loses_nothing), /* last: it leaves our namespace */
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
