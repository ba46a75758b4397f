/* selftests/unit/test_sockpool.c -- pools of bound UDP sockets: ports and descriptors in order, gaps, limits, rest and wake. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/sockpool.h"

#define BASE 41000

static struct keeper_plan plan;
static struct sockpool pool;

static struct sockpool_wish wish(unsigned n, unsigned step)
{
	struct sockpool_wish w = {.name = "media.inside",
				  .setting = "media.max",
				  .end = BASE + 100,
				  .n = n,
				  .step = step,
				  .rcvbuf = 65536};

	assert_int_equal(addr_parse(SPAN("127.0.0.1:41000"), &w.first), 0);
	return w;
}

static void pool_end(void)
{
	unsigned i, k;

	for (i = 0; i < plan.n_fds; i++)
		for (k = 0; k < (plan.fds[i].count ? plan.fds[i].count : 1); k++)
			close(plan.fds[i].fd + (int)k);
	plan.n_fds = 0;
}

/* As the keeper tells its worker. */
static void pool_begin(unsigned n, unsigned step)
{
	struct sockpool_wish w = wish(n, step);
	char why[256] = "", text[64];

	if (sockpool_bind(&plan, &w, why, sizeof(why)))
		fail_msg("%s", why);
	snprintf(text, sizeof(text), "x=3,media.inside=%d+%u", plan.fds[0].fd, plan.fds[0].count);
	setenv("SALLYPORT_FDS", text, 1);
	assert_int_equal(sockpool_get("media.inside", &pool), 0);
	assert_int_equal(pool.n, n);
}

static int udp_at(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void send_to(int fd, uint16_t port, const char *text)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sa, sizeof(sa)),
			 strlen(text));
}

static void test_sockpool_ports_in_order(void **state)
{
	unsigned i;

	(void)state;
	pool_begin(8, 2);
	for (i = 0; i < 8; i++) {
		assert_int_equal(sockpool_port(pool.first + (int)i), BASE + i);
		assert_int_equal(fcntl(pool.first + (int)i, F_GETFD), 0); /* goes over exec */
	}
	assert_int_equal(sockpool_get("media", &pool), -ENOENT);
	pool_end();
}

/* A taken port costs its pair, and no descriptor. */
static void test_sockpool_gap_keeps_pairs(void **state)
{
	static const uint16_t want[] = {BASE, BASE + 1, BASE + 4, BASE + 5};
	int fd = udp_at(BASE + 3);
	unsigned i;

	(void)state;
	pool_begin(4, 2);
	for (i = 0; i < 4; i++)
		assert_int_equal(sockpool_port(pool.first + (int)i), want[i]);
	pool_end();
	close(fd);
}

static void test_sockpool_range_too_small(void **state)
{
	struct sockpool_wish w = wish(102, 2);
	char why[256] = "";

	(void)state;
	assert_int_equal(sockpool_bind(&plan, &w, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(
		strstr(why, "wanted 102 free UDP ports of 127.0.0.1 from 41000 to 41099, got 100"));
	assert_non_null(strstr(why, "media.max"));
	assert_int_equal(plan.n_fds, 0);
	pool_begin(2, 2); /* nothing was left bound */
	pool_end();
	w = wish(3, 2);
	assert_int_equal(sockpool_bind(&plan, &w, why, sizeof(why)), -EINVAL);
}

static void test_sockpool_descriptor_limit(void **state)
{
	struct sockpool_wish w = wish(100, 2);
	struct rlimit old, low;
	char why[256] = "";

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 2 * KEEPER_FDS_MAX + 20;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(sockpool_bind(&plan, &w, why, sizeof(why)), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_non_null(strstr(why, "descriptors end at 532"));
	assert_int_equal(plan.n_fds, 0);
}

static void test_sockpool_rest_queues_nothing(void **state)
{
	int stranger = udp_at(BASE + 50);
	char b[8];

	(void)state;
	pool_begin(2, 2);
	send_to(stranger, BASE, "a");
	assert_int_equal(recv(pool.first, b, sizeof(b), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(sockpool_resting(pool.first));
	assert_int_equal(sockpool_wake(pool.first), 0);
	assert_false(sockpool_resting(pool.first));
	send_to(stranger, BASE, "b");
	assert_int_equal(recv(pool.first, b, sizeof(b), MSG_DONTWAIT), 1);
	assert_int_equal(b[0], 'b');
	/* What the last flow left behind is not the next one's. */
	send_to(stranger, BASE, "c");
	assert_int_equal(sockpool_rest(pool.first), 0);
	send_to(stranger, BASE, "d");
	assert_int_equal(sockpool_wake(pool.first), 0);
	assert_int_equal(recv(pool.first, b, sizeof(b), MSG_DONTWAIT), -1);
	assert_int_equal(sockpool_port(pool.first), BASE);
	send_to(stranger, BASE, "e");
	assert_int_equal(recv(pool.first, b, sizeof(b), MSG_DONTWAIT), 1);
	assert_int_equal(b[0], 'e');
	pool_end();
	close(stranger);
}

/* The same for IPv6, and from another address than the socket's own: one that rested as a connected socket would never hear it. */
static void test_sockpool_rest_ipv6(void **state)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6}, from = at;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    stranger = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t n = sizeof(at);
	char b[8];

	(void)state;
	at.sin6_addr = in6addr_loopback;
	inet_pton(AF_INET6, "fd00::99", &from.sin6_addr);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		skip(); /* no IPv6 here */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(setsockopt(stranger, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)), 0);
	assert_int_equal(bind(stranger, (struct sockaddr *)&from, sizeof(from)), 0);
	for (int i = 0; i < 2; i++) {
		assert_false(sockpool_resting(fd));
		assert_int_equal(sockpool_rest(fd), 0);
		assert_true(sockpool_resting(fd));
		assert_int_equal(sendto(stranger, "a", 1, 0, (struct sockaddr *)&at, n), 1);
		assert_int_equal(recv(fd, b, sizeof(b), MSG_DONTWAIT), -1);
		assert_int_equal(sockpool_wake(fd), 0);
		assert_int_equal(sendto(stranger, "b", 1, 0, (struct sockaddr *)&at, n), 1);
		assert_int_equal(recv(fd, b, sizeof(b), MSG_DONTWAIT), 1);
		assert_int_equal(b[0], 'b');
	}
	close(fd);
	close(stranger);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockpool_ports_in_order),
		cmocka_unit_test(test_sockpool_gap_keeps_pairs),
		cmocka_unit_test(test_sockpool_range_too_small),
		cmocka_unit_test(test_sockpool_descriptor_limit),
		cmocka_unit_test(test_sockpool_rest_queues_nothing),
		cmocka_unit_test(test_sockpool_rest_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
