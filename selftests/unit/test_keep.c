/* selftests/unit/test_keep.c -- records in the keeper's file: put, replace, delete, limits, and what a worker finds that follows one
 * that was killed between any two steps. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/keep.h"

static const struct keep_kind kinds[] = {{"small", 4, 32, 0}, {"large", 100, 3000, 200}};

static int file_new(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)keep_size(kinds, 2)), 0);
	return fd;
}

static struct keep *keep_of(int fd, bool want_fresh)
{
	struct keep *k = NULL;
	bool fresh;

	assert_int_equal(keep_open(fd, kinds, 2, &k, &fresh), 0);
	assert_int_equal(fresh, want_fresh);
	return k;
}

static void has(const struct keep *k, unsigned kind, uint64_t id, const char *want)
{
	struct span s = SPAN("");

	assert_int_equal(keep_get(k, kind, id, &s), want != NULL);
	if (want)
		assert_true(span_eq(s, span_str(want)));
}

static void test_keep_put_replace_delete(void **state)
{
	int fd = file_new();
	struct keep *k = keep_of(fd, true);

	(void)state;
	assert_int_equal(keep_put(k, 0, 7, SPAN("seven")), 0);
	assert_int_equal(keep_put(k, 0, 8, SPAN("eight")), 0);
	assert_int_equal(keep_put(k, 1, 7, SPAN("another kind")), 0);
	assert_int_equal(keep_put(k, 0, 7, SPAN("again")), 0);
	has(k, 0, 7, "again");
	has(k, 0, 8, "eight");
	has(k, 1, 7, "another kind");
	keep_del(k, 0, 8);
	keep_del(k, 0, 8);
	has(k, 0, 8, NULL);
	assert_int_equal(keep_stats(k, 0).records, 1);
	keep_close(k);
	k = keep_of(fd, false);
	has(k, 0, 7, "again");
	has(k, 0, 8, NULL);
	has(k, 1, 7, "another kind");
	assert_int_equal(keep_stats(k, 0).records, 1);
	keep_close(k);
	close(fd);
}

static void test_keep_limits(void **state)
{
	int fd = file_new();
	struct keep *k = keep_of(fd, true);
	char big[33] = "";
	unsigned i;

	(void)state;
	for (i = 1; i <= 4; i++)
		assert_int_equal(keep_put(k, 0, i, SPAN("x")), 0);
	assert_int_equal(keep_put(k, 0, 5, SPAN("x")), -ENOBUFS);
	assert_int_equal(keep_put(k, 0, 4, SPAN("y")), 0); /* replaced even when full */
	assert_int_equal(keep_put(k, 0, 4, span_of(big, sizeof(big))), -E2BIG);
	has(k, 0, 4, "y");
	keep_del(k, 0, 2);
	assert_int_equal(keep_put(k, 0, 5, SPAN("z")), 0);
	assert_int_equal(keep_stats(k, 0).no_slot, 1);
	assert_int_equal(keep_stats(k, 0).too_large, 1);
	keep_close(k);
	close(fd);
}

static void test_keep_sizes(void **state)
{
	static uint8_t data[3000];
	int fd = file_new(), i;
	struct keep *k = keep_of(fd, true);
	struct stat st;
	struct span s;

	(void)state;
	for (i = 0; i < 4; i++) { /* small, large, small, large */
		assert_int_equal(keep_put(k, 1, 7, span_of(data, i % 2 ? 201 : 200)), 0);
		assert_int_equal(keep_stats(k, 1).records, 1);
		assert_true(keep_get(k, 1, 7, &s) && s.n == (i % 2 ? 201 : 200));
		keep_close(k);
		k = keep_of(fd, false);
		assert_true(keep_get(k, 1, 7, &s) && s.n == (i % 2 ? 201 : 200));
	}
	keep_del(k, 1, 7);
	assert_null(keep_live(k, 1, 7));
	/* The limit is one for both. */
	for (i = 1; i <= 100; i++)
		assert_int_equal(keep_put(k, 1, (uint64_t)i, span_of(data, i % 5 ? 200 : 0)), 0);
	assert_int_equal(keep_put(k, 1, 101, span_of(data, 200)), -ENOBUFS);
	assert_int_equal(keep_put(k, 1, 101, span_of(data, 201)), -ENOBUFS);
	assert_int_equal(keep_put(k, 1, 50, span_of(data, 3000)), 0);
	assert_int_equal(keep_stats(k, 1).records, 100);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 12 * 4096); /* 100 of 256 bytes, two of 3 KiB */
	keep_close(k);
	close(fd);
}

static void test_keep_live_is_in_place(void **state)
{
	int fd = file_new();
	struct keep *k = keep_of(fd, true);

	(void)state;
	assert_int_equal(keep_put(k, 0, 3, SPAN("abc")), 0);
	memcpy(keep_live(k, 0, 3), "xyz", 3);
	assert_null(keep_live(k, 0, 4));
	keep_close(k);
	k = keep_of(fd, false);
	has(k, 0, 3, "xyz");
	keep_close(k);
	close(fd);
}

static void test_keep_deleted_bytes_are_gone(void **state)
{
	int fd = file_new();
	struct keep *k = keep_of(fd, true);
	uint64_t n = keep_size(kinds, 2), i;
	const char *p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);

	(void)state;
	assert_int_equal(keep_put(k, 1, 3, SPAN("secret-key-1")), 0);
	assert_int_equal(keep_put(k, 1, 3, SPAN("secret-key-2")), 0);
	keep_del(k, 1, 3);
	for (i = 0; i + 10 < n; i++)
		assert_memory_not_equal(p + i, "secret-key", 10);
	munmap((void *)p, n);
	keep_close(k);
	close(fd);
}

static void test_keep_other_layout_begins_empty(void **state)
{
	static const struct keep_kind other[] = {{"small", 4, 32, 0}, {"large", 60, 6032, 0}};
	int fd = file_new();
	struct keep *k = keep_of(fd, true);
	bool fresh;

	(void)state;
	assert_int_equal(keep_put(k, 0, 3, SPAN("abc")), 0);
	keep_close(k);
	assert_int_equal(keep_open(fd, other, 2, &k, &fresh), -EINVAL); /* another size */
	assert_int_equal(ftruncate(fd, (off_t)keep_size(other, 2)), 0);
	assert_int_equal(keep_open(fd, other, 2, &k, &fresh), 0);
	assert_true(fresh);
	has(k, 0, 3, NULL);
	keep_close(k);
	close(fd);
}

struct seen {
	struct keep *k;
	unsigned n;
	bool id[92];
};

static void see(void *arg, uint64_t id, struct span data)
{
	struct seen *s = arg;

	assert_true(data.n == 3000 || data.n == 150);
	assert_int_equal(data.p[0], data.p[data.n - 1]); /* whole */
	assert_false(s->id[id]);			 /* and once, whichever slots it is in */
	s->id[id] = true;
	s->n++;
	if (id % 2)
		keep_del(s->k, 1, id);
}

/* What a next worker asks before it takes over. */
static void test_keep_check(void **state)
{
	const struct keep_kind other[2] = {kinds[1], kinds[0]};
	int fd = file_new();
	char why[160] = "";
	uint32_t version;
	struct keep *k;

	(void)state;
	assert_int_equal(keep_check(fd, kinds, 2, why, sizeof(why)), 0); /* empty */
	k = keep_of(fd, true);
	assert_int_equal(keep_check(fd, kinds, 2, why, sizeof(why)), 0);
	keep_close(k);
	assert_int_equal(keep_check(fd, kinds, 1, why, sizeof(why)), -EPROTO);
	assert_non_null(strstr(why, "bytes"));
	assert_int_equal(keep_check(fd, other, 2, why, sizeof(why)), -EPROTO);
	assert_string_equal(why, "state is of version 5, but its records differ: large");
	version = KEEP_VERSION + 1;
	assert_int_equal(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
	assert_int_equal(keep_check(fd, kinds, 2, why, sizeof(why)), -EPROTO);
	assert_string_equal(why, "state is of version 6, and this binary knows 5");
	close(fd);
}

/* A child writes without end; it is killed at any instruction; each record must then be one whole version. */
static void test_keep_killed_writer(void **state)
{
	static uint8_t data[3000];
	int fd = file_new(), round;
	struct keep *k;

	(void)state;
	for (round = 0; round < 40; round++) {
		struct seen s = {};
		int ready[2];
		uint64_t i;
		pid_t pid;
		char b;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0) {
			bool fresh;

			if (keep_open(fd, kinds, 2, &k, &fresh))
				_exit(1);
			for (i = 0;; i++) {
				memset(data, (int)(i + i / 7), sizeof(data));
				/* Neither size divides 90: each record goes from one to the other. */
				if (keep_put(k, 1, 1 + i % 90,
					     span_of(data, i % 7 < 4 ? sizeof(data) : 150)))
					_exit(1);
				if (i % 5 == 0)
					keep_del(k, 1, 1 + i % 31);
				if (i == 100 && write(ready[1], "x", 1) != 1)
					_exit(1);
			}
		}
		assert_int_equal(read(ready[0], &b, 1), 1);
		close(ready[0]);
		close(ready[1]);
		usleep(137 * (unsigned)round);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
		k = keep_of(fd, false);
		s.k = k;
		keep_each(k, 1, see, &s);
		assert_true(s.n > 0 && s.n <= 91);
		keep_close(k);
	}
	close(fd);
}

/* A worker that is killed, and takes nothing back. */
static void dies(int fd, bool settles)
{
	pid_t pid = fork();
	bool fresh;
	int st;

	if (pid == 0) {
		struct keep *k;

		if (keep_open(fd, kinds, 2, &k, &fresh))
			_exit(1);
		if (settles)
			keep_settled(k);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st));
}

static void test_keep_deaths(void **state)
{
	int fd = file_new(), i;
	struct keep *k = keep_of(fd, true);

	(void)state;
	assert_int_equal(keep_put(k, 0, 7, SPAN("poison")), 0);
	keep_close(k);
	for (i = 0; i < 20; i++)
		dies(fd, true); /* later, each: no fault of the file's */
	for (i = 0; i < KEEP_DEATHS - 1; i++)
		dies(fd, false);
	k = keep_of(fd, false); /* in good order: the count begins again */
	has(k, 0, 7, "poison");
	keep_close(k);
	for (i = 0; i < KEEP_DEATHS; i++)
		dies(fd, false);
	k = keep_of(fd, true);
	assert_int_equal(keep_deaths(k), KEEP_DEATHS);
	has(k, 0, 7, NULL);
	assert_int_equal(keep_put(k, 0, 8, SPAN("new")), 0);
	keep_close(k);
	k = keep_of(fd, false);
	has(k, 0, 8, "new");
	keep_close(k);
	close(fd);
}

/* What was written into a slot that did not become valid, or was not wiped to its end. */
static void test_keep_wipes_remains(void **state)
{
	int fd = file_new();
	struct keep *k = keep_of(fd, true);
	uint8_t buf[4096], key[] = "a key that must go";
	ssize_t n;

	(void)state;
	assert_int_equal(keep_put(k, 1, 7, span_of(key, sizeof(key))), 0);
	((uint32_t *)keep_live(k, 1, 7))[-4] = 0; /* valid: four words before the bytes */
	keep_close(k);
	keep_close(keep_of(fd, false));
	for (off_t at = 0; (n = pread(fd, buf, sizeof(buf), at)) > 0; at += n)
		assert_null(memmem(buf, (size_t)n, key, sizeof(key)));
	close(fd);
}

/* Slots that were never used take no memory, whoever looks. */
static void test_keep_memory(void **state)
{
	int fd = file_new(), i;
	struct keep *k = keep_of(fd, true);
	struct stat st;

	(void)state;
	assert_int_equal(keep_put(k, 1, 7, SPAN("one")), 0);
	for (i = 0; i < 3; i++) {
		keep_close(k);
		k = keep_of(fd, false);
		has(k, 1, 7, "one");
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 4 * 4096);
	keep_close(k);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_put_replace_delete),
		cmocka_unit_test(test_keep_limits),
		cmocka_unit_test(test_keep_sizes),
		cmocka_unit_test(test_keep_live_is_in_place),
		cmocka_unit_test(test_keep_deleted_bytes_are_gone),
		cmocka_unit_test(test_keep_other_layout_begins_empty),
		cmocka_unit_test(test_keep_check),
		cmocka_unit_test(test_keep_killed_writer),
		cmocka_unit_test(test_keep_deaths),
		cmocka_unit_test(test_keep_wipes_remains),
		cmocka_unit_test(test_keep_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
