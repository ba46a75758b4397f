/* selftests/unit/test_maps_memory.c -- the records without BPF: made once, opened by one worker after another, bans and reasons. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/maps_memory.h"

#define RANGE  100
#define SECOND 1000000000ull

static struct addr text_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a), 0);
	return a;
}

static void pairs_make(struct maps_pair p[2])
{
	for (unsigned i = 0; i < 2; i++)
		p[i] = (struct maps_pair){.outside = text_addr(i ? "2001:db8::1" : "192.0.2.1"),
					  .inside = text_addr(i ? "fd00::1" : "127.0.0.1"),
					  .outside_base = 36000,
					  .inside_base = 40000,
					  .range = RANGE};
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* What one worker installed and counted, the next one finds. */
static void test_maps_memory_outlives(void **state)
{
	struct maps_flow f = {.id = 7,
			      .client = text_addr("198.51.100.7"),
			      .core = text_addr("127.0.0.1:2776"),
			      .nh_out = 1,
			      .nh_in = 1,
			      .core_index = 3},
			 got;
	struct maps_flow_report rep;
	struct maps_pair pairs[2];
	struct flow_state *s;
	struct maps *m;
	int fd;

	(void)state;
	pairs_make(pairs);
	fd = maps_memory_make(pairs, 2);
	assert_true(fd >= 0);
	assert_int_equal(maps_memory_open(fd, pairs, 2, &m), 0);
	assert_int_equal(maps_slots(m), 2 * RANGE);
	assert_int_equal(maps_flow_install(m, 5, &f), 0);
	assert_int_equal(maps_flow_install(m, 5, &f), -EEXIST);
	assert_int_equal(maps_flow_install(m, RANGE + 5, &f), -EINVAL); /* of the other family */
	assert_int_equal(maps_memory_flow(m, 5)->status, FLOW_ON);
	s = maps_memory_state(m, 5);
	s->packets_in = 9;
	s->latched = (struct sp_ep4){.ip = htonl(0xc6336407), .port = htons(5004)};
	s->latch = LATCH_WORD(maps_memory_flow(m, 5)->generation, 1, LATCH_VALID);
	maps_memory_count(m, R_FORWARD_IN);
	maps_memory_count(m, R_DROP_BAN_UDP);
	maps_close(m);

	assert_int_equal(maps_memory_open(fd, pairs, 2, &m), 0);
	assert_int_equal(maps_flow_get(m, 5, &got), 0);
	assert_int_equal(got.id, 7);
	assert_int_equal(got.core_index, 3);
	assert_true(addr_eq(&got.core, &f.core));
	assert_int_equal(maps_flow_read(m, 5, &rep), 0);
	assert_int_equal(rep.packets_in, 9);
	assert_int_equal(rep.latched.port, 5004);
	assert_int_equal(maps_reason_count(m, R_FORWARD_IN), 1);
	assert_int_equal(maps_reason_count(m, R_DROP_BAN_UDP), 1);
	assert_int_equal(maps_reason_count(m, R_FORWARD_OUT), 0);
	assert_int_equal(maps_reason_count(m, RELAY_REASON_COUNT), 0);
	maps_flow_free(m, 5);
	assert_int_equal(maps_flow_get(m, 5, &got), -ENOENT);
	assert_int_equal(maps_live_sweep(m), 0);
	maps_close(m);
	close(fd);
}

static void test_maps_memory_refuses(void **state)
{
	struct maps_pair pairs[2], more[2];
	struct maps *m;
	int fd, other;

	(void)state;
	pairs_make(pairs);
	pairs_make(more);
	more[1].range = RANGE + 1;
	assert_int_equal(maps_memory_make(pairs, 0), -EINVAL);
	fd = maps_memory_make(pairs, 2);
	assert_int_equal(maps_memory_open(fd, more, 2, &m), -EPROTO);
	assert_int_equal(maps_memory_open(fd, pairs, 1, &m), -EPROTO);
	assert_int_equal(ftruncate(fd, 0), -1); /* sealed: nobody pulls it from under a worker */
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(maps_memory_open(fd, pairs, 2, &m), -EPROTO);
	close(fd);
	other = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(maps_memory_open(other, pairs, 2, &m), -EPROTO);
	close(other);
	assert_int_equal(maps_memory_open(-1, pairs, 2, &m), -EBADF);
}

static void test_maps_memory_bans(void **state)
{
	struct addr in = text_addr("198.51.100.77"), out = text_addr("198.51.101.1"),
		    in6 = text_addr("2001:db8:f:1::7"), out6 = text_addr("2001:db8:f:2::7"),
		    net = text_addr("198.51.100.0"), net6 = text_addr("2001:db8:f:1::");
	struct maps_pair pairs[2];
	struct addr one = net;
	struct maps *m;
	unsigned i;
	int fd;

	(void)state;
	pairs_make(pairs);
	fd = maps_memory_make(pairs, 2);
	assert_int_equal(maps_memory_open(fd, pairs, 2, &m), 0);
	assert_false(maps_ban_hit(m, &in));
	assert_int_equal(maps_ban_set(m, &net, 24, now_ns() + 60 * SECOND), 0);
	assert_int_equal(maps_ban_set(m, &net6, 64, now_ns() + 60 * SECOND), 0);
	assert_true(maps_ban_hit(m, &in));
	assert_true(maps_ban_hit(m, &in6));
	assert_false(maps_ban_hit(m, &out));
	assert_false(maps_ban_hit(m, &out6));
	assert_int_equal(maps_reason_count(m, R_DROP_BAN_TCP), 2);
	maps_close(m); /* a ban outlives the worker */
	assert_int_equal(maps_memory_open(fd, pairs, 2, &m), 0);
	assert_true(maps_ban_hit(m, &in));
	assert_int_equal(maps_ban_set(m, &net, 24, now_ns() - SECOND), 0); /* the same one, over */
	assert_false(maps_ban_hit(m, &in));
	assert_int_equal(maps_bans_expire(m, now_ns()), 1);
	assert_int_equal(maps_ban_clear(m, &net, 24), -ENOENT);
	assert_int_equal(maps_ban_clear(m, &net6, 64), 0);
	assert_false(maps_ban_hit(m, &in6));
	assert_int_equal(maps_ban_set(m, &net, 33, 0), -EINVAL);
	for (i = 0; i < MAPS_MEMORY_BANS; i++) {
		one.ip[14] = (uint8_t)(i >> 8);
		one.ip[15] = (uint8_t)i;
		assert_int_equal(maps_ban_set(m, &one, 32, now_ns() + 60 * SECOND), 0);
	}
	one.ip[13]++;
	assert_int_equal(maps_ban_set(m, &one, 32, now_ns() + 60 * SECOND), -ENOSPC);
	assert_int_equal(maps_bans_expire(m, UINT64_MAX), MAPS_MEMORY_BANS);
	assert_int_equal(maps_ban_set(m, &one, 32, now_ns() + 60 * SECOND), 0);
	maps_close(m);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps_memory_outlives),
		cmocka_unit_test(test_maps_memory_refuses),
		cmocka_unit_test(test_maps_memory_bans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
