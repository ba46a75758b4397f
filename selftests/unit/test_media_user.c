/* selftests/unit/test_media_user.c -- the rung on sockets over real sockets of loopback: a flow's life, both families, what the kernel
 * refuses, two workers in a row. The packet tables run through the same code in selftests/bpf/user. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/maps_memory.h"
#include "user/media_user.h"
#include "user/media_user_socket.h"
#include "user/sockpool.h"

#define RANGE 4
#define PORT  ((uint16_t)(10000 + getpid() % 5000 * 4)) /* tests run side by side */

struct kit {
	struct keeper_plan plan;
	struct maps_pair pairs[2];
	struct media_user_params p;
	struct loop *loop;
	struct media_user *user;
	int memory;
	unsigned punches;
	struct addr punched_from;
	char punched[64];
};

static struct addr text_addr(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	a.port = port;
	return a;
}

static int udp_at(const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(a, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	if (addr_is_v4(a)) {
		setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
	}
	return fd;
}

static void send_to(int fd, const struct addr *to, struct span data)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(to, &ss);

	assert_int_equal(sendto(fd, data.p, data.n, 0, (struct sockaddr *)&ss, n), (long)data.n);
}

/* What came, its source and its TTL and TOS; -EAGAIN when nothing did. */
static int receive(int fd, uint8_t *buf, size_t n, struct addr *from, struct media_user_meta *meta)
{
	_Alignas(struct cmsghdr) uint8_t control[128];
	struct sockaddr_storage ss;
	struct iovec iov = {buf, n};
	struct msghdr m = {.msg_name = &ss,
			   .msg_namelen = sizeof(ss),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT);

	if (got < 0)
		return -errno;
	addr_from_sockaddr((struct sockaddr *)&ss, from);
	media_user_meta(control, m.msg_controllen, meta);
	return (int)got;
}

static void punch_fn(void *arg, const struct addr *from, struct span data)
{
	struct kit *k = arg;

	k->punches++;
	k->punched_from = *from;
	assert_true(data.n < sizeof(k->punched));
	memcpy(k->punched, data.p, data.n);
}

static void worker_start(struct kit *k)
{
	struct loop_params lp = {.entries = 64,
				 .ops_max = 64,
				 .recv_bufs = 16,
				 .send_bufs = 16,
				 .buf_size = 2048,
				 .recv_control = MEDIA_USER_CONTROL};

	assert_int_equal(loop_new(&lp, &k->loop), 0);
	assert_int_equal(maps_memory_open(k->memory, k->pairs, 2, &k->p.maps), 0);
	k->p.loop = k->loop;
	k->p.pairs = k->pairs;
	k->p.n_pairs = 2;
	k->p.punch = punch_fn;
	k->p.arg = k;
	assert_int_equal(media_user_new(&k->p, &k->user), 0);
}

static void worker_stop(struct kit *k)
{
	media_user_free(k->user);
	maps_close(k->p.maps);
	loop_free(k->loop);
}

static void stop_fn(void *arg)
{
	loop_stop(arg);
}

static void run_ms(struct kit *k, unsigned ms)
{
	struct loop_timer t = {.fn = stop_fn, .arg = k->loop};

	assert_int_equal(loop_timer_set(k->loop, &t, ms), 0);
	assert_int_equal(loop_run(k->loop), 0);
	loop_timer_cancel(k->loop, &t);
}

static int setup(void **state)
{
	static struct kit kit;
	struct kit *k = &kit;
	struct rlimit files = {4096, 4096};
	char why[256] = "", name[2][2][16];

	setrlimit(RLIMIT_NOFILE, &files);
	memset(k, 0, sizeof(*k));
	for (unsigned i = 0; i < 2; i++)
		k->pairs[i] = (struct maps_pair){.outside = text_addr(i ? "::1" : "127.0.0.1", 0),
						 .inside = text_addr("127.0.0.2", 0),
						 .outside_base = 20000,
						 .inside_base = (uint16_t)(21000 + 100 * i),
						 .range = RANGE};
	for (unsigned i = 0; i < 4; i++) {
		const struct maps_pair *p = &k->pairs[i / 2];
		struct sockpool_wish w = {.name = name[i / 2][i & 1],
					  .setting = "ports",
					  .first = i & 1 ? p->inside : p->outside,
					  .n = RANGE,
					  .step = 1,
					  .rcvbuf = MEDIA_USER_RCVBUF};

		snprintf(name[i / 2][i & 1], 16, "%u.%u", i / 2, i & 1);
		w.first.port = i & 1 ? p->inside_base : p->outside_base;
		w.end = w.first.port + (uint32_t)RANGE;
		if (sockpool_bind(&k->plan, &w, why, sizeof(why)))
			fail_msg("%s", why);
		k->p.side[i / 2][i & 1].first_fd = k->plan.fds[i].fd;
		for (int j = 0; j < RANGE; j++)
			assert_int_equal(
				media_user_socket(k->plan.fds[i].fd + j, addr_is_v4(&w.first)), 0);
	}
	k->memory = maps_memory_make(k->pairs, 2);
	assert_true(k->memory >= 0);
	worker_start(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	worker_stop(k);
	close(k->memory);
	for (unsigned i = 0; i < k->plan.n_fds; i++)
		for (unsigned j = 0; j < k->plan.fds[i].count; j++)
			close(k->plan.fds[i].fd + (int)j);
	return 0;
}

static const uint8_t rtp[172] = {0x80, 0}, stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};

static uint64_t reason(struct kit *k, enum relay_reason why)
{
	return maps_reason_count(k->p.maps, why);
}

/* A flow on slot 1 of @pair, from before its punch to its end; for each pair of families. */
static void flow_life(struct kit *k, unsigned pair)
{
	struct addr client = text_addr(pair ? "::1" : "127.0.0.3", PORT),
		    core = text_addr("127.0.0.4", PORT), outside = k->pairs[pair].outside,
		    inside = k->pairs[pair].inside, from;
	struct maps_flow f = {.id = 7, .client = client, .nh_out = 1, .nh_in = 1};
	int c = udp_at(&client), s = udp_at(&core), ttl = 9, tos = 0xb8, n;
	uint32_t slot = pair * RANGE + 1;
	struct media_user_meta meta;
	struct maps_flow_report rep;
	uint8_t buf[2048];

	f.client.port = 0;
	outside.port = (uint16_t)(k->pairs[pair].outside_base + 1);
	inside.port = (uint16_t)(k->pairs[pair].inside_base + 1);
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	assert_int_equal(reason(k, R_DROP_SLOT_OFF), pair + 1);
	assert_int_equal(maps_flow_install(k->p.maps, slot, &f), 0);
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	send_to(s, &inside, span_of(stun, sizeof(stun)));
	run_ms(k, 5);
	assert_int_equal(reason(k, R_DROP_NO_CORE), pair + 1);
	assert_int_equal(reason(k, R_PUNCH), pair + 1);
	assert_int_equal(k->punches, pair + 1);
	assert_true(addr_eq(&k->punched_from, &core));
	assert_memory_equal(k->punched, stun, sizeof(stun));

	f.core = core;
	assert_int_equal(maps_flow_update(k->p.maps, slot, &f), 0);
	if (pair) {
		setsockopt(c, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
		setsockopt(c, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	} else {
		setsockopt(c, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
		setsockopt(c, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	}
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	n = receive(s, buf, sizeof(buf), &from, &meta);
	assert_int_equal(n, sizeof(rtp));
	assert_memory_equal(buf, rtp, sizeof(rtp));
	assert_true(addr_eq(&from, &inside));
	assert_int_equal(meta.ttl, 8);
	assert_int_equal(meta.tos, 0xb8);

	tos = 0x20;
	ttl = 64;
	setsockopt(s, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	setsockopt(s, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	send_to(s, &inside, span_of(rtp, 100));
	run_ms(k, 5);
	n = receive(c, buf, sizeof(buf), &from, &meta);
	assert_int_equal(n, 100);
	assert_true(addr_eq(&from, &outside));
	assert_int_equal(meta.ttl, 63);
	assert_int_equal(meta.tos, 0x20);

	assert_int_equal(maps_flow_read(k->p.maps, slot, &rep), 0);
	assert_true(addr_eq(&rep.latched, &client));
	assert_int_equal(rep.packets_in, 1);
	assert_int_equal(rep.bytes_in, sizeof(rtp) + 8 + (pair ? 40 : 20));
	assert_int_equal(rep.packets_out, 1);
	assert_int_equal(rep.bytes_out, 128);
	assert_true(rep.last_in_ns && rep.last_out_ns);
	assert_int_equal(reason(k, R_FORWARD_IN), pair + 1);
	assert_int_equal(reason(k, R_FORWARD_OUT), pair + 1);
	maps_flow_free(k->p.maps, slot);
	close(c);
	close(s);
}

static void test_media_user_flow_life(void **state)
{
	flow_life(*state, 0);
	flow_life(*state, 1); /* across */
}

/* The kernel's refusals have their reasons, and count nothing as carried. */
static void test_media_user_refused(void **state)
{
	struct kit *k = *state;
	struct addr client = text_addr("127.0.0.3", PORT), core = text_addr("240.0.0.1", 2776),
		    outside = k->pairs[0].outside;
	struct maps_flow f = {.id = 8, .client = client, .core = core, .nh_out = 1, .nh_in = 1};
	int c = udp_at(&client), ttl = 1;
	uint64_t none = reason(k, R_DROP_NO_NEXT_HOP), odd = reason(k, R_DROP_NO_TX),
		 over = reason(k, R_DROP_TTL);
	struct maps_flow_report rep;

	outside.port = (uint16_t)(k->pairs[0].outside_base + 2);
	f.client.port = 0;
	assert_int_equal(maps_flow_install(k->p.maps, 2, &f), 0);
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	/* Class E: unreachable, or by way of a default route that may not be taken from loopback's address. */
	assert_int_equal(reason(k, R_DROP_NO_NEXT_HOP) + reason(k, R_DROP_NO_TX), none + odd + 1);
	setsockopt(c, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	assert_int_equal(reason(k, R_DROP_TTL), over + 1);
	assert_int_equal(maps_flow_read(k->p.maps, 2, &rep), 0);
	assert_int_equal(rep.packets_in, 0);
	assert_int_equal(rep.latched.port, PORT);
	maps_flow_free(k->p.maps, 2);
	close(c);
}

/* What came while no worker ran is carried by the next one; a latch and counters go on. */
static void test_media_user_restart(void **state)
{
	struct kit *k = *state;
	struct addr client = text_addr("127.0.0.3", PORT), core = text_addr("127.0.0.4", PORT),
		    outside = k->pairs[0].outside, from;
	struct maps_flow f = {.id = 9, .client = client, .core = core, .nh_out = 1, .nh_in = 1};
	int c = udp_at(&client), s = udp_at(&core), i;
	struct media_user_meta meta;
	struct maps_flow_report rep;
	uint8_t buf[2048];

	outside.port = (uint16_t)(k->pairs[0].outside_base + 3);
	f.client.port = 0;
	assert_int_equal(maps_flow_install(k->p.maps, 3, &f), 0);
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	assert_int_equal(receive(s, buf, sizeof(buf), &from, &meta), sizeof(rtp));
	worker_stop(k);
	for (i = 0; i < 40; i++)
		send_to(c, &outside, span_of(rtp, 20 + (size_t)i));
	worker_start(k);
	run_ms(k, 20);
	for (i = 0; i < 40; i++)
		assert_int_equal(receive(s, buf, sizeof(buf), &from, &meta), 20 + i);
	assert_int_equal(receive(s, buf, sizeof(buf), &from, &meta), -EAGAIN);
	assert_int_equal(maps_flow_read(k->p.maps, 3, &rep), 0);
	assert_int_equal(rep.packets_in, 41);
	assert_true(addr_eq(&rep.latched, &client));
	maps_flow_free(k->p.maps, 3);
	close(c);
	close(s);
}

/* Neither the latch nor the counters of the flow that had the slot before are the next one's. */
static void test_media_user_slot_again(void **state)
{
	struct kit *k = *state;
	struct addr client = text_addr("127.0.0.3", PORT), core = text_addr("127.0.0.4", PORT),
		    inside = k->pairs[0].inside;
	struct maps_flow f = {.id = 10, .client = client, .core = core, .nh_out = 1, .nh_in = 1};
	struct addr outside = k->pairs[0].outside;
	int c = udp_at(&client), s = udp_at(&core);
	struct maps_flow_report rep;

	outside.port = k->pairs[0].outside_base;
	inside.port = k->pairs[0].inside_base;
	f.client.port = 0;
	assert_int_equal(maps_flow_install(k->p.maps, 0, &f), 0);
	send_to(c, &outside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	maps_flow_free(k->p.maps, 0);
	f.id = 11;
	assert_int_equal(maps_flow_install(k->p.maps, 0, &f), 0);
	send_to(s, &inside, span_of(rtp, sizeof(rtp)));
	run_ms(k, 5);
	assert_true(reason(k, R_DROP_NOT_LATCHED) >
		    0); /* the earlier flow's latch is not this one's */
	assert_int_equal(maps_flow_read(k->p.maps, 0, &rep), 0);
	assert_int_equal(rep.packets_in + rep.packets_out, 0);
	maps_flow_free(k->p.maps, 0);
	close(c);
	close(s);
}

static void test_media_user_interface_of(void **state)
{
	struct addr lo = text_addr("127.0.0.1", 0), none = text_addr("203.0.113.77", 0);

	(void)state;
	assert_int_equal(media_user_ifindex(&lo), MEDIA_USER_LOOPBACK);
	assert_int_equal(media_user_ifindex(&none), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_user_flow_life),
		cmocka_unit_test(test_media_user_refused),
		cmocka_unit_test(test_media_user_restart),
		cmocka_unit_test(test_media_user_slot_again),
		cmocka_unit_test(test_media_user_interface_of),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
