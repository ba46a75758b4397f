/* selftests/unit/test_lodge.c -- descriptors that outlive the worker: this process keeps, forked children put, die, and take.
 *
 * The keeper's half (user/lodge_hold.c) runs here, the worker's (user/lodge*.c) in children that are killed or end. A child
 * tells how far it is by bytes on a pipe. test_keeper.c has the same with the real keeper. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/keep.h"
#include "user/lodge_hold.h"
#include "user/lodge_impl.h"
#include "user/log.h"
#include "user/loop.h"

#define KIND	7
#define WAIT_MS 20000

/* ---- the keeper ---- */

struct rig {
	struct keeper_plan plan;
	struct lodge_hold *hold;
	struct lodge_channel ch;
	pid_t worker;
	int hear, tell; /* the worker's bytes; ours */
	unsigned fds;	/* at the start */
	struct lodge_head *head;
};
static struct rig rig;

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void rig_begin(uint32_t slots)
{
	char why[256] = "";

	memset(&rig, 0, sizeof(rig));
	rig.fds = count_fds();
	rig.ch.fd = rig.hear = rig.tell = -1;
	if (lodge_plan(&rig.plan, slots, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(lodge_hold_new(slots, &rig.hold), 0);
	rig.head =
		mmap(NULL, LODGE_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, rig.plan.fds[0].fd, 0);
	assert_true(rig.head != MAP_FAILED);
}

static void worker_end(void)
{
	if (rig.worker <= 0)
		return;
	kill(rig.worker, SIGKILL);
	waitpid(rig.worker, NULL, 0);
	lodge_channel_drain(rig.hold, &rig.ch, NULL, NULL);
	close(rig.hear);
	close(rig.tell);
	rig.worker = 0;
}

/* Every descriptor is back where it was. */
static void rig_end(void)
{
	worker_end();
	lodge_hold_free(rig.hold);
	munmap(rig.head, LODGE_HEAD);
	close(rig.plan.fds[0].fd);
	assert_int_equal(count_fds(), rig.fds);
}

/* ---- the worker, in a child ---- */

static int w_tell, w_hear; /* its ends of the pipes */

static void w_say(char c)
{
	if (write(w_tell, &c, 1) != 1)
		_exit(90);
}

static void w_wait(void)
{
	char c;

	if (read(w_hear, &c, 1) != 1)
		_exit(91);
}

static void w_check(bool good, int line)
{
	if (good)
		return;
	fprintf(stderr, "worker: line %d: not so\n", line);
	_exit(1);
}
#define W_CHECK(x) w_check(x, __LINE__)

static struct lodge *w_open(void)
{
	char why[256] = "";
	struct lodge *l = NULL;

	if (lodge_open(&l, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		_exit(92);
	}
	W_CHECK(lodge_wait_go(l, NULL) == 0);
	return l;
}

/* Start a worker that runs @fn, then waits to be killed. */
static void worker_begin(void (*fn)(void *arg), void *arg)
{
	int up[2], down[2], end;
	char text[64];

	assert_int_equal(lodge_channel_open(&rig.ch, &end), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	rig.worker = fork();
	assert_true(rig.worker >= 0);
	if (rig.worker == 0) {
		close(rig.ch.fd);
		close(up[0]);
		close(down[1]);
		w_tell = up[1];
		w_hear = down[0];
		snprintf(text, sizeof(text), "lodge=%d,lodge.state=%d+1", end, rig.plan.fds[0].fd);
		setenv("SALLYPORT_FDS", text, 1);
		fn(arg);
		w_say('.');
		poll(NULL, 0, -1);
		_exit(0);
	}
	close(end);
	close(up[1]);
	close(down[0]);
	rig.hear = up[0];
	rig.tell = down[1];
	lodge_channel_give(rig.hold, &rig.ch);
}

/* As the keeper does, until the worker says @want. @hold: also read its channel. */
static void keep_until(char want, bool hold)
{
	struct pollfd p[2];
	char c;

	for (;;) {
		p[0] = (struct pollfd){.fd = rig.hear, .events = POLLIN};
		p[1] = (struct pollfd){.fd = hold ? rig.ch.fd : -1,
				       .events = rig.ch.giving ? POLLIN | POLLOUT : POLLIN};
		if (poll(p, 2, rig.ch.stalled ? 10 : WAIT_MS) == 0 && !rig.ch.stalled)
			fail_msg("the worker is silent");
		if (p[1].revents & POLLIN)
			lodge_channel_read(rig.hold, &rig.ch, NULL, NULL);
		if (rig.ch.giving)
			lodge_channel_write(rig.hold, &rig.ch);
		if (!p[0].revents)
			continue;
		if (read(rig.hear, &c, 1) != 1)
			fail_msg("the worker ended");
		assert_int_equal(c, want);
		return;
	}
}

static void let_go_on(void)
{
	assert_int_equal(write(rig.tell, "", 1), 1);
}

/* ---- connections ---- */

/* A connected pair over loopback: [0] the worker's end, [1] the peer's. */
static void tcp_pair(int out[2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	W_CHECK(s >= 0 && !bind(s, (struct sockaddr *)&sa, n) && !listen(s, 1) &&
		!getsockname(s, (struct sockaddr *)&sa, &n));
	out[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	W_CHECK(out[1] >= 0 && !connect(out[1], (struct sockaddr *)&sa, n));
	out[0] = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	W_CHECK(out[0] >= 0);
	close(s);
}

static char peer_byte(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c = 0;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	return c;
}

/* ---- kill -9 ---- */

#define CONNS 3
static int pairs[CONNS][2];

struct note {
	uint64_t word;
	char text[24];
};

static void put_three(void *arg)
{
	struct lodge *l = w_open();
	struct note n = {};
	uint32_t slot;
	int i;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0);
	for (i = 0; i < CONNS; i++) {
		snprintf(n.text, sizeof(n.text), "connection %d", i);
		W_CHECK(lodge_put(l, KIND + (uint32_t)i, &pairs[i][0], 1, &n, sizeof(n), &slot) ==
			0);
		W_CHECK(slot == (uint32_t)i && lodge_held(l, slot));
		lodge_word_set(&((struct note *)lodge_record(l, slot))->word, 1000 + (uint64_t)i);
	}
}

static unsigned took;

static bool take_note(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
		      void *record)
{
	const struct note *n = record;
	char want[24];

	(void)arg;
	took++;
	snprintf(want, sizeof(want), "connection %u", slot);
	W_CHECK(kind == KIND + slot && !strcmp(n->text, want) && n->word == 1000 + slot);
	W_CHECK(fds[0] >= 0 && fds[1] < 0 && fds[2] < 0 && fds[3] < 0);
	W_CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	W_CHECK(send(fds[0], &want[11], 1, 0) == 1);
	close(fds[0]);
	return slot != 1; /* the middle one is not wanted */
}

static void take_three(void *arg)
{
	struct lodge *l = w_open();
	uint32_t slot;
	int fd[2];

	(void)arg;
	W_CHECK(lodge_take(l, take_note, NULL) == 0);
	W_CHECK(took == CONNS && lodge_deaths(l) == 1);
	W_CHECK(lodge_stats(l).taken == 2 && lodge_stats(l).dropped == 1 &&
		lodge_stats(l).used == 2);
	/* Its place is free again. */
	W_CHECK(!lodge_record(l, 1) && !pipe(fd));
	W_CHECK(lodge_put(l, KIND, fd, 2, NULL, 0, &slot) == 0 && slot == 1);
	lodge_drop(l, 0);
	lodge_drop(l, 1);
	lodge_drop(l, 2);
}

static void test_lodge_outlives_kill(void **state)
{
	int i;

	(void)state;
	rig_begin(64);
	for (i = 0; i < CONNS; i++)
		tcp_pair(pairs[i]);
	worker_begin(put_three, NULL);
	for (i = 0; i < CONNS; i++)
		close(pairs[i][0]); /* the worker's alone */
	keep_until('.', true);
	worker_end();
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, CONNS);
	worker_begin(take_three, NULL);
	keep_until('.', true);
	for (i = 0; i < CONNS; i++)
		assert_int_equal(peer_byte(pairs[i][1]), '0' + i);
	/* Dropped by all: now it ends. */
	worker_end();
	for (i = 0; i < CONNS; i++) {
		char c;

		assert_int_equal(recv(pairs[i][1], &c, 1, 0), 0);
		close(pairs[i][1]);
	}
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 0);
	assert_int_equal(lodge_hold_stats(rig.hold)->bad, 0);
	rig_end();
}

/* ---- a worker that spoils the file's head ---- */

static void put_and_spoil(void *arg)
{
	struct lodge *l = w_open();
	struct lodge_head *h = l->head;
	uint32_t slot;
	int i;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0);
	for (i = 0; i < CONNS; i++)
		W_CHECK(lodge_put(l, KIND, &pairs[i][0], 1, NULL, 0, &slot) == 0);
	strcpy(lodge_extra(l, 2), "secret");
	memset(h, 0xff, offsetof(struct lodge_head, deaths));
	h->high = 0;
}

static bool take_spoiled(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
			 void *record)
{
	struct lodge *l = *(struct lodge **)arg;

	(void)kind, (void)record;
	W_CHECK(slot != 2 || !strcmp(lodge_extra(l, 2), "secret"));
	close(fds[0]);
	return slot != 1;
}

static void go_on_spoiled(void *arg)
{
	struct lodge *l = w_open();
	const char *extra = (char *)l->map + lodge_extra_at(l->slots) + 2 * LODGE_EXTRA;
	uint32_t slot;
	int fd[2];

	(void)arg;
	W_CHECK(lodge_take(l, take_spoiled, &l) == 0 && lodge_stats(l).taken == 2);
	/* What it took is not given out a second time. */
	W_CHECK(!pipe(fd) && lodge_put(l, KIND, fd, 1, NULL, 0, &slot) == 0 && slot == 1);
	W_CHECK(lodge_put(l, KIND, fd + 1, 1, NULL, 0, &slot) == 0 && slot == 3);
	W_CHECK(!strcmp(extra, "secret"));
	lodge_drop(l, 2);
	W_CHECK(extra[0] == 0 && extra[5] == 0);
}

static void test_lodge_spoiled_head(void **state)
{
	int i;

	(void)state;
	rig_begin(64);
	for (i = 0; i < CONNS; i++)
		tcp_pair(pairs[i]);
	worker_begin(put_and_spoil, NULL);
	keep_until('.', true);
	worker_end();
	assert_int_equal(rig.head->slots, UINT32_MAX);
	lodge_head_again(&rig.plan);
	assert_int_equal(rig.head->slots, 64);
	worker_begin(go_on_spoiled, NULL);
	keep_until('.', true);
	worker_end();
	for (i = 0; i < CONNS; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	rig_end();
}

/* ---- a channel that is full ---- */

#define MANY 2000

static struct loop *w_loop(void)
{
	struct loop_params p = {.entries = 64, .ops_max = 64};
	struct loop *l = NULL;

	W_CHECK(loop_new(&p, &l) == 0);
	return l;
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void run_ms(struct loop *loop, unsigned ms)
{
	struct loop_timer t = {.fn = stop_loop, .arg = loop};

	W_CHECK(loop_timer_set(loop, &t, ms) == 0 && loop_run(loop) == 0);
}

static void put_many(void *arg)
{
	struct lodge *l = w_open();
	struct loop *loop = w_loop();
	uint32_t slot, held = 0, i;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0 && lodge_attach(l, loop) == 0);
	for (i = 0; i < MANY; i++) { /* the same pipe under many numbers */
		W_CHECK(lodge_put(l, KIND, pairs[0], 1, &i, sizeof(i), &slot) == 0 && slot == i);
		held += lodge_held(l, slot);
	}
	W_CHECK(held > 0 && held < MANY && lodge_stats(l).waiting == MANY - held);
	w_say('f');
	w_wait(); /* either we are killed here, or the keeper reads again */
	while (lodge_stats(l).waiting)
		run_ms(loop, 5);
	for (i = 0; i < MANY; i++)
		W_CHECK(lodge_held(l, i));
}

static uint32_t w_sum;

static bool take_count(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
		       void *record)
{
	uint32_t i;

	(void)arg;
	memcpy(&i, record, sizeof(i));
	W_CHECK(kind == KIND && i == slot && fds[0] >= 0);
	close(fds[0]);
	took++;
	w_sum += i;
	return true;
}

/* @arg: how many there are, 0: any number but all. */
static void take_many(void *arg)
{
	struct lodge *l = w_open();
	unsigned want = *(unsigned *)arg;
	uint32_t i;

	W_CHECK(lodge_take(l, take_count, NULL) == 0);
	W_CHECK(want ? took == want : took > 0 && took < MANY);
	W_CHECK(w_sum == took * (took - 1) / 2);
	w_say('t');
	W_CHECK(lodge_attach(l, w_loop()) == 0);
	for (i = 0; i < took; i++)
		lodge_drop(l, i);
	while (lodge_stats(l).waiting)
		run_ms(l->loop, 5);
}

static void test_lodge_full_channel(void **state)
{
	unsigned all = MANY;

	(void)state;
	rig_begin(4096);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	worker_begin(put_many, NULL);
	keep_until('f', false);
	let_go_on();
	keep_until('.', true);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, MANY);
	worker_end();
	worker_begin(take_many, &all);
	keep_until('t', true);
	keep_until('.', true);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 0);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

/* What never went is not there, what went is whole. */
static void test_lodge_killed_while_full(void **state)
{
	unsigned any = 0;

	(void)state;
	rig_begin(4096);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	worker_begin(put_many, NULL);
	keep_until('f', false);
	worker_end();
	worker_begin(take_many, &any);
	keep_until('t', true);
	keep_until('.', true);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 0);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

/* Slots that are dropped and used again while nothing can be sent. */
static void churn(void *arg)
{
	struct lodge *l = w_open();
	struct loop *loop = w_loop();
	uint32_t slot, i, k;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0 && lodge_attach(l, loop) == 0);
	for (k = 0; k < 40; k++) {
		for (i = 0; i < 100; i++)
			if (lodge_put(l, KIND, pairs[0], 2, NULL, 0, &slot))
				break;
		for (i = 0; i < l->slots; i += 2)
			lodge_drop(l, i);
		for (i = 1; i < l->slots; i += 2) {
			lodge_fd_drop(l, i, 1);
			lodge_fd_add(l, i, 1, pairs[0][0]);
		}
	}
	W_CHECK(lodge_stats(l).waiting > 0);
	w_say('f');
	w_wait();
	while (lodge_stats(l).waiting)
		run_ms(loop, 5);
	for (i = 0; i < l->slots; i++)
		if (lodge_record(l, i))
			W_CHECK(lodge_held(l, i) && lodge_at(l, i)->roles == 3);
}

static void test_lodge_churn_while_full(void **state)
{
	unsigned held;

	(void)state;
	rig_begin(512);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	worker_begin(churn, NULL);
	keep_until('f', false);
	let_go_on();
	keep_until('.', true);
	held = lodge_hold_stats(rig.hold)->descriptors;
	assert_true(held > 0 && held % 2 == 0);
	assert_int_equal(lodge_hold_stats(rig.hold)->bad, 0);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

/* ---- limits ---- */

static void put_full(void *arg)
{
	struct lodge *l = w_open();
	char big[LODGE_PAYLOAD + 1] = {};
	uint32_t slot, i;

	(void)arg;
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, NULL, 0, &slot) == -ENOSPC); /* not taken yet */
	W_CHECK(lodge_take(l, NULL, NULL) == 0);
	for (i = 0; i < 8; i++)
		W_CHECK(lodge_put(l, KIND, pairs[0], 2, NULL, 0, &slot) == 0);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, NULL, 0, &slot) == -ENOSPC);
	W_CHECK(lodge_stats(l).full == 2 && lodge_stats(l).used == 8);
	lodge_drop(l, 5);
	lodge_drop(l, 5);
	lodge_drop(l, 4000000);
	W_CHECK(lodge_put(l, 0, pairs[0], 1, NULL, 0, &slot) == -EINVAL);
	W_CHECK(lodge_put(l, KIND, pairs[0], 5, NULL, 0, &slot) == -EINVAL);
	W_CHECK(lodge_put(l, KIND, pairs[0], 0, NULL, 0, &slot) == -EINVAL);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, big, sizeof(big), &slot) == -EINVAL);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, big, sizeof(big) - 1, &slot) == 0 && slot == 5);
	W_CHECK(lodge_fd_add(l, 5, 0, pairs[0][0]) == -EEXIST);
	W_CHECK(lodge_fd_add(l, 5, LODGE_ROLES, pairs[0][0]) == -EINVAL);
	W_CHECK(lodge_fd_add(l, 8, 0, pairs[0][0]) == -EINVAL);
	W_CHECK(lodge_fd_add(l, 5, 3, pairs[0][0]) == 0 && lodge_held(l, 5));
	W_CHECK(lodge_generation(l, 5) == 2 && lodge_generation(l, 4) == 1);
}

static bool take_roles(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
		       void *record)
{
	unsigned i;

	(void)arg;
	(void)kind;
	(void)record;
	W_CHECK(fds[0] >= 0 && (fds[1] >= 0) == (slot != 5) && fds[2] < 0 &&
		(fds[3] >= 0) == (slot == 5));
	for (i = 0; i < LODGE_ROLES; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	took++;
	return true;
}

static void take_full(void *arg)
{
	struct lodge *l = w_open();

	(void)arg;
	W_CHECK(lodge_take(l, take_roles, NULL) == 0 && took == 8);
}

static void test_lodge_full_table(void **state)
{
	(void)state;
	rig_begin(8);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	worker_begin(put_full, NULL);
	keep_until('.', true);
	worker_end();
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 16);
	worker_begin(take_full, NULL);
	keep_until('.', true);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

/* The keeper has no descriptor free: the worker is told, and the next one gets only what is whole. */
static void put_lost(void *arg)
{
	struct lodge *l = w_open();
	struct loop *loop = w_loop();
	uint32_t slot, i, held = 0;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0 && lodge_attach(l, loop) == 0);
	for (i = 0; i < 8; i++)
		W_CHECK(lodge_put(l, KIND, pairs[0], 2, NULL, 0, &slot) == 0);
	while (lodge_stats(l).lost < 10)
		run_ms(loop, 5);
	for (i = 0; i < 8; i++)
		held += lodge_held(l, i);
	W_CHECK(held == 3);
	/* Without the role that was lost it is whole. */
	lodge_fd_drop(l, 3, 0);
	lodge_fd_drop(l, 3, 1);
	W_CHECK(lodge_fd_add(l, 3, 0, pairs[0][0]) == 0);
}

static void take_lost(void *arg)
{
	struct lodge *l = w_open();

	(void)arg;
	W_CHECK(lodge_take(l, take_roles, NULL) == 0 && took == 3);
	W_CHECK(lodge_stats(l).dropped == 5);
}

static void test_lodge_keeper_out_of_descriptors(void **state)
{
	struct rlimit old, low;
	int spare[6], i;

	(void)state;
	rig_begin(8);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	worker_begin(put_lost, NULL);
	for (i = 0; i < 6; i++) /* the lowest that are free, and no more */
		assert_true((spare[i] = dup(0)) >= 0);
	low = (struct rlimit){(rlim_t)spare[5] + 1, old.rlim_max};
	for (i = 0; i < 6; i++)
		close(spare[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	keep_until('.', true);
	worker_end();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(lodge_hold_stats(rig.hold)->no_room, 11);
	assert_int_equal(lodge_hold_stats(rig.hold)->bad, 0);
	worker_begin(take_lost, NULL);
	keep_until('.', true);
	worker_end();
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 6);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

/* ---- messages that no worker of ours sends ---- */

static void test_lodge_bad_messages(void **state)
{
	static const struct {
		struct lodge_msg m;
		unsigned n;
	} t[] = {
		{{.op = LODGE_PUT, .slot = 8}, 1},
		{{.op = LODGE_PUT, .slot = UINT32_MAX}, 1},
		{{.op = LODGE_PUT, .role = LODGE_ROLES}, 1},
		{{.op = LODGE_PUT, .role = UINT32_MAX}, 1},
		{{.op = LODGE_PUT}, 0},
		{{.op = LODGE_PUT}, 2},
		{{.op = LODGE_PUT}, LODGE_GIVEN_MAX},
		{{.op = LODGE_PUT, .slot = 1}, 1}, /* taken already */
		{{.op = LODGE_DROP, .slot = 8}, 0},
		{{.op = LODGE_DROP, .slot = 1}, 1},
		{{.op = LODGE_DROP_FD, .slot = 1, .role = 4}, 0},
		{{.op = LODGE_READY}, 3},
		{{.op = 0}, 0},
		{{.op = LODGE_GO}, 0},
		{{.op = LODGE_GIVE, .n = 4}, 4},
		{{.op = UINT32_MAX}, 1},
	};
	int end, fds[LODGE_GIVEN_MAX + 1];
	struct lodge_msg one = {.op = LODGE_PUT, .slot = 1};
	size_t i;

	(void)state;
	rig_begin(8);
	assert_int_equal(lodge_channel_open(&rig.ch, &end), 0);
	for (i = 0; i <= LODGE_GIVEN_MAX; i++)
		fds[i] = 0;
	assert_int_equal(lodge_msg_send(end, &one, fds, 1), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(lodge_msg_send(end, &t[i].m, fds, t[i].n), 0);
	assert_true(lodge_channel_read(rig.hold, &rig.ch, NULL, NULL));
	assert_int_equal(lodge_hold_stats(rig.hold)->bad, i);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 1);
	/* Of another size. */
	assert_int_equal(send(end, &one, sizeof(one) - 1, 0), sizeof(one) - 1);
	assert_true(lodge_channel_read(rig.hold, &rig.ch, NULL, NULL));
	assert_int_equal(lodge_hold_stats(rig.hold)->bad, i + 1);
	/* Nothing at all is the end. */
	assert_int_equal(send(end, &one, 0, 0), 0);
	assert_false(lodge_channel_read(rig.hold, &rig.ch, NULL, NULL));
	assert_int_equal(rig.ch.fd, -1);
	close(end);
	rig_end();
}

/* ---- ends of connections ---- */

static void put_reset(void *arg)
{
	struct lodge *l = w_open();
	struct linger now = {1, 0};
	uint32_t slot;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0);
	W_CHECK(lodge_put(l, KIND, &pairs[0][0], 1, NULL, 0, &slot) == 0);
	w_say('p');
	w_wait();
	W_CHECK(setsockopt(pairs[0][0], SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	close(pairs[0][0]);
	w_say('c');
	w_wait();
	lodge_drop(l, slot);
}

/* The worker's close says nothing yet, the keeper's is the reset. */
static void test_lodge_abort_resets(void **state)
{
	struct pollfd p;
	char c;

	(void)state;
	rig_begin(8);
	tcp_pair(pairs[0]);
	worker_begin(put_reset, NULL);
	close(pairs[0][0]);
	keep_until('p', true);
	let_go_on();
	keep_until('c', true);
	assert_int_equal(recv(pairs[0][1], &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	let_go_on();
	keep_until('.', true);
	lodge_channel_read(rig.hold, &rig.ch, NULL, NULL);
	p = (struct pollfd){.fd = pairs[0][1], .events = POLLIN};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recv(pairs[0][1], &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(pairs[0][1]);
	rig_end();
}

/* A worker cannot make the keeper's close wait for a peer that reads nothing. */
static void test_lodge_close_never_lingers(void **state)
{
	struct lodge_msg m = {.op = LODGE_PUT, .slot = 1};
	struct linger long_time = {1, 1000};
	static char bytes[65536];
	int end;

	(void)state;
	rig_begin(8);
	tcp_pair(pairs[0]);
	while (send(pairs[0][0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(
		setsockopt(pairs[0][0], SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)), 0);
	assert_int_equal(lodge_channel_open(&rig.ch, &end), 0);
	assert_int_equal(lodge_msg_send(end, &m, &pairs[0][0], 1), 0);
	lodge_channel_read(rig.hold, &rig.ch, NULL, NULL);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 1);
	m.op = LODGE_DROP;
	assert_int_equal(lodge_msg_send(end, &m, NULL, 0), 0);
	lodge_channel_read(rig.hold, &rig.ch, NULL, NULL);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 0);
	alarm(60); /* our close is the last, of the same socket: it would wait, had the keeper left that on */
	close(pairs[0][0]);
	alarm(0);
	lodge_channel_close(&rig.ch);
	close(pairs[0][1]);
	close(end);
	rig_end();
}

/* ---- what a next worker refuses ---- */

static void half(void *arg)
{
	struct lodge *l = w_open();
	uint32_t slot;

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, "secret", 6, &slot) == 0);
	W_CHECK(lodge_put(l, KIND, pairs[0], 2, "x", 1, &slot) == 0);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, "y", 1, &slot) == 0);
	W_CHECK(lodge_put(l, KIND, pairs[0], 1, "z", 1, &slot) == 0);
	/* As if killed between two instructions. */
	lodge_at(l, 0)->state = LODGE_INCOMPLETE;
	lodge_at(l, 1)->roles = 1; /* the second was on its way */
	lodge_at(l, 2)->state = LODGE_FREE;
	lodge_at(l, 3)->roles = 3; /* a descriptor that never came */
}

static bool take_second(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES],
			void *record)
{
	(void)arg;
	W_CHECK(slot == 1 && kind == KIND && fds[0] >= 0 && fds[1] < 0 && *(char *)record == 'x');
	took++;
	return true;
}

static void take_half(void *arg)
{
	struct lodge *l = w_open();
	unsigned i;

	(void)arg;
	W_CHECK(lodge_take(l, take_second, NULL) == 0 && took == 1);
	W_CHECK(lodge_stats(l).dropped == 2);
	for (i = 0; i < 6; i++)
		W_CHECK(lodge_at(l, 0)->payload[i] == 0);
}

static void test_lodge_half_slots_are_dropped(void **state)
{
	(void)state;
	rig_begin(8);
	assert_int_equal(pipe2(pairs[0], O_CLOEXEC), 0);
	worker_begin(half, NULL);
	keep_until('.', true);
	worker_end();
	worker_begin(take_half, NULL);
	keep_until('.', true);
	worker_end();
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 1);
	close(pairs[0][0]);
	close(pairs[0][1]);
	rig_end();
}

static void take_dead(void *arg)
{
	struct lodge *l = w_open();

	W_CHECK(lodge_take(l, take_note, NULL) == 0);
	_exit(took == *(unsigned *)arg ? 3 : 4);
}

static void take_settle(void *arg)
{
	struct lodge *l = w_open();
	struct loop *loop = w_loop();

	(void)arg;
	W_CHECK(lodge_take(l, NULL, NULL) == 0 && lodge_attach(l, loop) == 0);
	while (l->head->deaths)
		run_ms(loop, 20);
}

/* One of them is refused by take_note(), and gone after the first. */
static int take_and_die(unsigned want)
{
	int status;

	worker_begin(take_dead, &want);
	while (waitpid(rig.worker, &status, WNOHANG) == 0) {
		if (rig.ch.giving)
			lodge_channel_write(rig.hold, &rig.ch);
		poll(NULL, 0, 1);
	}
	rig.worker = 0;
	lodge_channel_drain(rig.hold, &rig.ch, NULL, NULL);
	close(rig.hear);
	close(rig.tell);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_lodge_deaths_empty_it(void **state)
{
	int i;

	(void)state;
	rig_begin(8);
	for (i = 0; i < CONNS; i++)
		tcp_pair(pairs[i]);
	worker_begin(put_three, NULL);
	keep_until('.', true);
	worker_end();
	for (i = 1; i < KEEP_DEATHS; i++) {
		assert_int_equal(rig.head->deaths, i);
		assert_int_equal(take_and_die(i == 1 ? CONNS : 2), 3);
	}
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 2);
	assert_int_equal(take_and_die(0), 3);
	assert_int_equal(lodge_hold_stats(rig.hold)->descriptors, 0);
	assert_int_equal(rig.head->deaths, 1);
	worker_begin(take_settle, NULL);
	keep_until('.', true);
	assert_int_equal(rig.head->deaths, 0);
	for (i = 0; i < CONNS; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	rig_end();
}

static void test_lodge_other_version(void **state)
{
	char why[256] = "", text[64];
	struct lodge *l = NULL;

	(void)state;
	rig_begin(8);
	snprintf(text, sizeof(text), "lodge=0,lodge.state=%d", rig.plan.fds[0].fd);
	setenv("SALLYPORT_FDS", text, 1);
	assert_int_equal(lodge_open(&l, why, sizeof(why)), 0);
	lodge_close(l);
	rig.head->version++;
	assert_int_equal(lodge_open(&l, why, sizeof(why)), -EPROTO);
	snprintf(text, sizeof(text), "of version %d, and this binary knows %d", LODGE_VERSION + 1,
		 LODGE_VERSION);
	assert_non_null(strstr(why, text));
	rig.head->version--;
	rig.head->slots = 100000;
	assert_int_equal(lodge_open(&l, why, sizeof(why)), -EPROTO);
	rig.head->slots = 8;
	rig.head->magic[0] = 'X';
	assert_int_equal(lodge_open(&l, why, sizeof(why)), -EPROTO);
	setenv("SALLYPORT_FDS", "config=3", 1);
	assert_int_equal(lodge_open(&l, why, sizeof(why)), -ENOENT);
	rig_end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lodge_outlives_kill),
		cmocka_unit_test(test_lodge_full_channel),
		cmocka_unit_test(test_lodge_killed_while_full),
		cmocka_unit_test(test_lodge_churn_while_full),
		cmocka_unit_test(test_lodge_full_table),
		cmocka_unit_test(test_lodge_keeper_out_of_descriptors),
		cmocka_unit_test(test_lodge_bad_messages),
		cmocka_unit_test(test_lodge_abort_resets),
		cmocka_unit_test(test_lodge_close_never_lingers),
		cmocka_unit_test(test_lodge_half_slots_are_dropped),
		cmocka_unit_test(test_lodge_deaths_empty_it),
		cmocka_unit_test(test_lodge_spoiled_head),
		cmocka_unit_test(test_lodge_other_version),
	};

	log_open("test_lodge", LOG_L_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
