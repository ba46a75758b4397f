/* selftests/unit/test_upgrade.c -- the next worker beside the old one, with the real keeper: every step, and every death at
 * every step.
 *
 * This program is keeper and worker. The binary that an upgrade opens is a copy of it with a word behind its end, which says
 * how the worker that is started from it behaves: "slow", "refuse", ... (as --worker MODE says for the first one). Workers
 * own one word of the file "state" from GO to DONE: two at a time would be seen. Orders come by a pipe to the worker that is
 * in place; its reports go by another. Needs root, as test_keeper.c. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/keeper_kit.h"
#include "user/keeper.h"
#include "user/lodge.h"
#include "user/log.h"
#include "user/loop.h"
#include "user/version.h"

#define WAIT_MS 20000
#define MARK	"\n#WORKER:"

static char dir[] = "/tmp/sallyport-upgrade-XXXXXX";
static char config_path[64], exe_path[64];

/* ---- the worker ---- */

static struct w {
	const char *mode;
	struct loop *loop;
	struct lodge *lodge;
	volatile int32_t *owner; /* in the file "state" */
	struct loop_handle order;
	struct loop_timer late;
	unsigned taken;
	int pipe[2];
} w;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n = snprintf(line, sizeof(line), "%d ", getpid());

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	if (write(keeper_fd("report"), line, (size_t)n) < 0)
		_exit(20);
}

static bool mode_is(const char *word)
{
	return strcmp(w.mode, word) == 0;
}

/* What stands behind the end of our binary, if anything. */
static const char *mode_of_binary(const char *mode)
{
	static char tail[64];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t end = lseek(fd, 0, SEEK_END);
	char *at;
	ssize_t n = pread(fd, tail, sizeof(tail) - 1, end - (off_t)sizeof(tail) + 1);

	close(fd);
	at = n > 0 ? memmem(tail, (size_t)n, MARK, strlen(MARK)) : NULL;
	return at ? at + strlen(MARK) : mode;
}

static void answered(void *arg, const char *refused, const char *version, int pid)
{
	(void)arg;
	if (refused)
		say("refused: %s", refused);
	else
		say("upgraded %s %d", version, pid);
}

static void ordered(void *arg, int revents)
{
	char c = 0;
	int err;

	(void)arg;
	(void)revents;
	w.order = (struct loop_handle){};
	if (read(keeper_fd("order"), &c, 1) != 1)
		return;
	if (loop_poll(w.loop, keeper_fd("order"), POLLIN, false, ordered, NULL, &w.order))
		_exit(21);
	if (c == 'u') {
		err = lodge_upgrade(w.lodge, answered, NULL);
		if (err)
			say("refused: %s", strerrorname_np(-err));
	} else if (c == 'p') {
		uint32_t slot;

		if (write(w.pipe[1], "kept", 4) != 4 ||
		    lodge_put(w.lodge, 1, w.pipe, 2, "a pipe", 6, &slot))
			_exit(22);
		say("lodged %d", lodge_held(w.lodge, slot));
	}
}

static bool take(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES], void *record)
{
	char text[5] = "";

	(void)arg;
	(void)slot;
	(void)kind;
	if (strcmp(record, "a pipe") || read(fds[0], text, 4) != 4 || strcmp(text, "kept") ||
	    write(fds[1], "kept", 4) != 4)
		_exit(24);
	w.taken++;
	return true;
}

static void left(void *arg)
{
	(void)arg;
	if (mode_is("linger"))
		return; /* with what it has */
	_exit(0);
}

static void let_go(void *arg)
{
	(void)arg;
	*w.owner = 0;
	lodge_done(w.lodge, left, NULL);
}

static void hand_over(void *arg)
{
	(void)arg;
	loop_cancel(w.loop, &w.order);
	if (mode_is("hang"))
		return;
	if (mode_is("die"))
		_exit(0);
	if (mode_is("late")) {
		say("late");
		w.late = (struct loop_timer){.fn = let_go};
		if (loop_timer_set(w.loop, &w.late, 1000))
			_exit(25);
		return;
	}
	let_go(NULL);
}

static int worker(const char *mode)
{
	struct loop_params lp = {.entries = 16, .ops_max = 16};
	const char *objection = NULL;
	char why[256] = "";
	int32_t before;

	w.mode = mode_of_binary(mode);
	if (mode_is("fail"))
		return 3;
	if (mode_is("tell")) {
		lodge_refuse("something is wrong with it");
		return 1;
	}
	if (mode_is("silent"))
		poll(NULL, 0, -1);
	if (mode_is("slow") || mode_is("slowfail"))
		poll(NULL, 0, 1000);
	if (mode_is("slowfail"))
		return 1;
	if (mode_is("object"))
		objection = "state is of version 3, and this binary knows 2";
	w.owner = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, keeper_fd("state"), 0);
	if (w.owner == MAP_FAILED || pipe2(w.pipe, O_CLOEXEC) || loop_new(&lp, &w.loop) ||
	    lodge_open(&w.lodge, why, sizeof(why)) || lodge_wait_go(w.lodge, objection))
		return 7;
	before = *w.owner;
	*w.owner = getpid();
	lodge_on_handover(w.lodge, hand_over, NULL);
	if (lodge_take(w.lodge, take, NULL) || lodge_attach(w.lodge, w.loop) ||
	    loop_poll(w.loop, keeper_fd("order"), POLLIN, false, ordered, NULL, &w.order))
		return 8;
	if (sandbox_enter(why, sizeof(why)))
		return 5;
	say("runs mode=%s before=%d taken=%u", w.mode, before, w.taken);
	return loop_run(w.loop) ? 9 : 0;
}

/* ---- the keeper, in a child ---- */

static int reload_it(void *arg, struct keeper_plan *plan)
{
	char why[256];

	(void)arg;
	return keeper_reopen_file(plan, "config", config_path, why, sizeof(why));
}

static int run_keeper(const char *mode, int report, int order, uint16_t port)
{
	static struct keeper_plan plan;
	char *argv[] = {(char *)"test_upgrade", (char *)"--worker", (char *)mode, NULL};
	char why[256] = "", address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	plan.user = "nobody";
	plan.worker_argv = argv;
	plan.exe = exe_path;
	plan.reload = reload_it;
	if (keeper_open_file(&plan, "config", config_path, why, sizeof(why)) ||
	    keeper_listen_tcp(&plan, "listen", address, why, sizeof(why)) ||
	    keeper_state(&plan, 4096, why, sizeof(why)) || keeper_add(&plan, "report", report) ||
	    keeper_add(&plan, "order", order) || lodge_plan(&plan, 16, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return 99;
	}
	return keeper_run(&plan);
}

static pid_t begin(struct kept *k, const char *mode)
{
	int report[2], order[2];

	memset(k, 0, sizeof(*k));
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	assert_int_equal(pipe2(order, O_CLOEXEC | O_NONBLOCK), 0);
	k->port = free_port();
	k->keeper = fork();
	assert_true(k->keeper >= 0);
	if (k->keeper == 0) {
		close(report[0]);
		close(order[1]);
		_exit(run_keeper(mode, report[1], order[0], k->port));
	}
	close(report[1]);
	close(order[0]);
	k->report = report[0];
	k->order = order[1];
	assert_true(next_report(k, WAIT_MS));
	assert_non_null(strstr(k->line, "runs "));
	return k->worker;
}

static void end(struct kept *k)
{
	close(k->order);
	stop(k);
}

/* The binary that an upgrade finds: this program, then @mode. Another file each time, as a package manager makes it. */
static void binary(const char *mode)
{
	char new_path[80], buf[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	snprintf(new_path, sizeof(new_path), "%s.new", exe_path);
	to = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(from >= 0 && to >= 0);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		assert_int_equal(write(to, buf, (size_t)n), n);
	assert_int_equal(write(to, MARK, strlen(MARK)), strlen(MARK));
	assert_int_equal(write(to, mode, strlen(mode)), strlen(mode));
	close(from);
	close(to);
	assert_int_equal(chmod(new_path, 0755), 0);
	assert_int_equal(rename(new_path, exe_path), 0);
}

static void order(struct kept *k, char c)
{
	assert_int_equal(write(k->order, &c, 1), 1);
}

/* The next report is of this kind; its pid. */
static pid_t want(struct kept *k, const char *text)
{
	if (!next_report(k, WAIT_MS))
		fail_msg("wanted a report \"%s\", got none", text);
	if (!strstr(k->line, text))
		fail_msg("wanted a report \"%s\", got %s", text, k->line);
	return k->worker;
}

/* The upgrade works: the next worker's pid. */
static pid_t upgrade(struct kept *k, const char *mode)
{
	char text[64];
	pid_t next;

	binary(mode);
	order(k, 'u');
	want(k, "upgraded " SALLYPORT_VERSION " ");
	next = (pid_t)strtol(strrchr(k->line, ' '), NULL, 10);
	snprintf(text, sizeof(text), "runs mode=%s before=0 ", mode);
	assert_int_equal(want(k, text), next);
	return next;
}

static bool alive(pid_t pid)
{
	return !gone(pid, 1);
}

static unsigned fds_of(pid_t pid)
{
	char cmd[80];
	unsigned n = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls /proc/%d/fd | wc -l", pid);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	pclose(f);
	return n;
}

/* ---- it works ---- */

static void test_upgrade_changes_places(void **state)
{
	struct kept k;
	pid_t first, next;
	char link[64], path[128] = "";

	(void)state;
	need_root();
	first = begin(&k, "live");
	next = upgrade(&k, "two");
	assert_int_not_equal(first, next);
	assert_true(gone(first, WAIT_MS));
	assert_true(alive(next));
	assert_int_equal(connects(k.port), 0);
	assert_int_equal(status_of(next, "CapEff", 16), 0);
	assert_int_equal(status_of(next, "NoNewPrivs", 10), 1);
	/* After a crash it is the new binary that is started. */
	kill(next, SIGKILL);
	first = want(&k, "runs mode=two before=");
	assert_int_not_equal(first, next);
	snprintf(link, sizeof(link), "/proc/%d/exe", first);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	assert_string_equal(path, exe_path);
	/* And once more, from the upgraded one. */
	upgrade(&k, "three");
	end(&k);
}

static void test_upgrade_keeps_descriptors(void **state)
{
	unsigned before, i;
	struct kept k;
	char text[64];

	(void)state;
	need_root();
	begin(&k, "live");
	order(&k, 'p');
	want(&k, "lodged 1");
	kill(k.worker, SIGKILL);
	want(&k, "runs mode=live before=");
	assert_non_null(strstr(k.line, "taken=1"));
	before = fds_of(k.keeper);
	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "turn%u", i);
		upgrade(&k, text);
		assert_non_null(strstr(k.line, "taken=1"));
	}
	/* The binary, nothing else. */
	assert_true(gone(k.worker, 1) == false);
	for (i = 0; i < 200 && fds_of(k.keeper) != before + 1; i++)
		poll(NULL, 0, 10);
	assert_int_equal(fds_of(k.keeper), before + 1);
	end(&k);
}

/* ---- it is refused ---- */

static void refused(struct kept *k, const char *mode, const char *why)
{
	pid_t old = k->worker;

	binary(mode);
	order(k, 'u');
	want(k, why);
	assert_int_equal(k->worker, old);
	assert_true(alive(old));
}

static void test_upgrade_refused(void **state)
{
	unsigned before;
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "live");
	before = fds_of(k.keeper);
	refused(&k, "object", "refused: state is of version 3, and this binary knows 2");
	refused(&k, "fail", "refused: the next worker ended with status 3");
	refused(&k, "tell", "refused: something is wrong with it");
	assert_int_equal(unlink(exe_path), 0);
	order(&k, 'u');
	want(&k, "No such file or directory");
	for (int i = 0; i < 200 && fds_of(k.keeper) != before; i++)
		poll(NULL, 0, 10);
	assert_int_equal(fds_of(k.keeper), before);
	/* A crash starts what was good. */
	kill(old, SIGKILL);
	want(&k, "runs mode=live before=");
	upgrade(&k, "two");
	end(&k);
}

static void test_upgrade_silent(void **state)
{
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "live");
	binary("silent");
	order(&k, 'u');
	order(&k, 'u');
	want(&k, "refused: EBUSY");
	want(&k, "refused: the next worker was not ready within 10 s");
	assert_true(alive(old));
	end(&k);
}

/* ---- deaths ---- */

static void ask_and_kill(struct kept *k, const char *mode)
{
	binary(mode);
	order(k, 'u');
	poll(NULL, 0, 300); /* the next one is being slow; nothing to wait on but time */
	kill(k->worker, SIGKILL);
}

static void test_upgrade_old_dies_while_next_starts(void **state)
{
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "live");
	ask_and_kill(&k, "slow");
	assert_int_not_equal(want(&k, "runs mode=slow before="), old);
	/* It is the good one now. */
	kill(k.worker, SIGKILL);
	want(&k, "runs mode=slow before=");
	end(&k);
}

static void test_upgrade_old_dies_and_next_fails(void **state)
{
	struct kept k;

	(void)state;
	need_root();
	begin(&k, "live");
	ask_and_kill(&k, "slowfail");
	want(&k, "runs mode=live before=");
	upgrade(&k, "two");
	end(&k);
}

static void test_upgrade_old_hangs(void **state)
{
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "hang");
	binary("two");
	order(&k, 'u');
	want(&k, "upgraded ");
	assert_int_not_equal(want(&k, "runs mode=two before="), old);
	assert_true(gone(old, 1));
	end(&k);
}

static void test_upgrade_old_dies_handing_over(void **state)
{
	struct kept k;

	(void)state;
	need_root();
	begin(&k, "die");
	binary("two");
	order(&k, 'u');
	want(&k, "upgraded ");
	want(&k, "runs mode=two before=");
	end(&k);
}

static void test_upgrade_next_dies_waiting(void **state)
{
	struct kept k;
	pid_t next;

	(void)state;
	need_root();
	begin(&k, "late");
	binary("two");
	order(&k, 'u');
	want(&k, "upgraded ");
	next = (pid_t)strtol(strrchr(k.line, ' '), NULL, 10);
	want(&k, "late");
	kill(next, SIGKILL);
	assert_int_not_equal(want(&k, "runs mode=two before=0"), next);
	end(&k);
}

static void test_upgrade_stop_meanwhile(void **state)
{
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "live");
	binary("slow");
	order(&k, 'u');
	poll(NULL, 0, 300);
	end(&k);
	assert_true(gone(old, 1));
}

/* ---- those that live on ---- */

static void test_upgrade_lingering(void **state)
{
	pid_t pids[KEEPER_OLD_MAX + 3];
	struct kept k;
	unsigned i, n = sizeof(pids) / sizeof(pids[0]);

	(void)state;
	need_root();
	pids[0] = begin(&k, "linger");
	for (i = 1; i < n; i++)
		pids[i] = upgrade(&k, "linger");
	/* The worker, and the last four before it. */
	for (i = 0; i < n - 1 - KEEPER_OLD_MAX; i++)
		assert_true(gone(pids[i], WAIT_MS));
	for (; i < n; i++)
		assert_true(alive(pids[i]));
	/* One that ends is not started again. */
	kill(pids[n - 2], SIGKILL);
	assert_true(gone(pids[n - 2], WAIT_MS));
	assert_false(next_report(&k, 300));
	end(&k);
	for (i = 0; i < n; i++)
		assert_true(gone(pids[i], WAIT_MS));
}

/* SIGHUP takes the same way, with the same binary. */
static void test_upgrade_reload(void **state)
{
	struct kept k;
	pid_t old;

	(void)state;
	need_root();
	old = begin(&k, "live");
	binary("two");
	kill(k.keeper, SIGHUP);
	assert_int_not_equal(want(&k, "runs mode=live before=0"), old);
	assert_true(gone(old, WAIT_MS));
	end(&k);
}

static int setup(void **state)
{
	FILE *f;

	(void)state;
	if (!mkdtemp(dir) || chmod(dir, 0700)) /* the worker's user may not even look in */
		return -1;
	snprintf(config_path, sizeof(config_path), "%s/config", dir);
	snprintf(exe_path, sizeof(exe_path), "%s/worker", dir);
	f = fopen(config_path, "w");
	return f ? fclose(f) : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(config_path);
	unlink(exe_path);
	return rmdir(dir);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade_changes_places),
		cmocka_unit_test(test_upgrade_keeps_descriptors),
		cmocka_unit_test(test_upgrade_refused),
		cmocka_unit_test(test_upgrade_silent),
		cmocka_unit_test(test_upgrade_old_dies_while_next_starts),
		cmocka_unit_test(test_upgrade_old_dies_and_next_fails),
		cmocka_unit_test(test_upgrade_old_hangs),
		cmocka_unit_test(test_upgrade_old_dies_handing_over),
		cmocka_unit_test(test_upgrade_next_dies_waiting),
		cmocka_unit_test(test_upgrade_stop_meanwhile),
		cmocka_unit_test(test_upgrade_lingering),
		cmocka_unit_test(test_upgrade_reload),
	};

	log_open("test_upgrade", LOG_L_INFO);
	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker(argv[2]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
