/* selftests/unit/test_keeper.c -- the keeper as a process: what its worker gets, is, and survives; the sandbox from inside.
 *
 * This program is keeper and worker too: a forked child runs keeper_run(), whose worker is this binary again with "--worker MODE".
 * The worker writes a line to the pipe "report"; /proc tells the rest. Needs root, to change users. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "selftests/unit/keeper_kit.h"
#include "user/addr.h"
#include "user/keeper.h"
#include "user/lodge.h"
#include "user/log.h"
#include "user/loop.h"

#if defined(__SANITIZE_ADDRESS__)
#define SECCOMP_MODE 0
#else
#define SECCOMP_MODE 2
#endif

static char dir[] = "/tmp/sallyport-keeper-XXXXXX";
static char config_path[64], socket_path[64];

/* ---- the worker ---- */

static int worker(const char *mode)
{
	struct loop_params lp = {.entries = 16, .ops_max = 16};
	char why[256] = "", *text = NULL, line[256];
	int listening = 0, fd = keeper_fd("listen");
	socklen_t len = sizeof(listening);
	struct lodge *lodge = NULL;
	struct loop *loop = NULL;
	struct stat st = {};
	size_t n = 0;

	if (strcmp(mode, "fail") == 0)
		return 3;
	if (keeper_read("config", &text, &n))
		return 4;
	if (strcmp(mode, "fickle") == 0 && *text == '?') {
		free(text);
		return 3;
	}
	if (strcmp(mode, "stubborn") == 0)
		signal(SIGTERM, SIG_IGN);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) ||
	    fstat(keeper_fd("state"), &st))
		return 4;
	if (loop_new(&lp, &loop) || lodge_open(&lodge, why, sizeof(why)) ||
	    lodge_wait_go(lodge, NULL) || lodge_take(lodge, NULL, NULL) ||
	    lodge_attach(lodge, loop))
		return 7;
	if (sandbox_enter(why, sizeof(why)))
		return 5;
	snprintf(line, sizeof(line), "%d %s %zu %d %d %d\n", getpid(), text, n, listening,
		 (int)st.st_size, keeper_fd("nothing"));
	if (write(keeper_fd("report"), line, strlen(line)) < 0)
		return 6;
	free(text);
	return loop_run(loop) ? 8 : 0;
}

/* ---- the keeper, in a child ---- */

static void write_config(const char *text)
{
	FILE *f = fopen(config_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int reload_it(void *arg, struct keeper_plan *plan)
{
	char why[256];
	FILE *f = fopen(config_path, "r");
	int c = f ? fgetc(f) : EOF;

	(void)arg;
	if (f)
		fclose(f);
	return c == '!' ? -EINVAL
			: keeper_reopen_file(plan, "config", config_path, why, sizeof(why));
}

static void content_is(const struct keeper_plan *p, const char *want)
{
	char buf[16] = "";

	assert_int_equal(pread(p->fds[0].fd, buf, sizeof(buf), 0), strlen(want));
	assert_string_equal(buf, want);
}

/* In place of an entry, and back again where the reload comes to nothing. */
static void test_keeper_reopen_data(void **state)
{
	static struct keeper_plan plan;
	char why[256] = "";

	(void)state;
	assert_int_equal(keeper_data(&plan, "key", "old", 3), 0);
	assert_int_equal(keeper_reopen_data(&plan, "key", "new!", 4, why, sizeof(why)), 0);
	content_is(&plan, "new!");
	keeper_reopened(&plan, false);
	content_is(&plan, "old");
	assert_int_equal(keeper_reopen_data(&plan, "key", "", 0, why, sizeof(why)), 0);
	keeper_reopened(&plan, true);
	content_is(&plan, "");
	assert_int_equal(keeper_reopen_data(&plan, "other", "", 0, why, sizeof(why)), -ENOENT);
	close(plan.fds[0].fd);
}

static int run_keeper(const char *mode, int report, uint16_t port)
{
	static struct keeper_plan plan;
	char *argv[] = {(char *)"test_keeper", (char *)"--worker", (char *)mode, NULL};
	char why[256] = "", address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	plan.user = "nobody";
	plan.worker_argv = argv;
	plan.reload = reload_it;
	if (keeper_open_file(&plan, "config", config_path, why, sizeof(why)) ||
	    keeper_listen_tcp(&plan, "listen", address, why, sizeof(why)) ||
	    keeper_state(&plan, 4096, why, sizeof(why)) ||
	    lodge_plan(&plan, 16, why, sizeof(why)) ||
	    keeper_listen_unix(&plan, "admin", socket_path, NULL, why, sizeof(why)) ||
	    keeper_add(&plan, "report", report)) {
		fprintf(stderr, "%s\n", why);
		return 99;
	}
	return keeper_run(&plan);
}

static void start(struct kept *k, const char *mode)
{
	int report[2];

	memset(k, 0, sizeof(*k));
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	k->port = free_port();
	k->keeper = fork();
	assert_true(k->keeper >= 0);
	if (k->keeper == 0) {
		close(report[0]);
		_exit(run_keeper(mode, report[1], k->port));
	}
	close(report[1]);
	k->report = report[0];
}

static void test_keeper_descriptors_arrive(void **state)
{
	char want[128];
	struct stat st;
	struct kept k;

	(void)state;
	need_root();
	write_config("abc");
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	snprintf(want, sizeof(want), "%d abc 3 1 4096 -1\n", k.worker);
	assert_string_equal(k.line, want);
	assert_int_equal(stat(socket_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0660);
	stop(&k);
	assert_true(gone(k.worker, 10000));
}

static void test_keeper_worker_is_nobody(void **state)
{
	const struct passwd *pw = getpwnam("nobody");
	struct kept k;

	(void)state;
	need_root();
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	assert_non_null(pw);
	assert_int_equal(status_of(k.worker, "Uid", 10), pw->pw_uid);
	assert_int_equal(status_of(k.worker, "Gid", 10), pw->pw_gid);
	assert_int_equal(status_of(k.worker, "CapEff", 16), 0);
	assert_int_equal(status_of(k.worker, "CapPrm", 16), 0);
	assert_int_equal(status_of(k.worker, "CapInh", 16), 0);
	assert_int_equal(status_of(k.worker, "CapBnd", 16), 0);
	assert_int_equal(status_of(k.worker, "NoNewPrivs", 10), 1);
	assert_int_equal(status_of(k.worker, "Seccomp", 10), SECCOMP_MODE);
	assert_int_equal(status_of(k.keeper, "CapEff", 16),
			 1 << 7 | 1 << 6); /* CAP_SETUID, CAP_SETGID */
	assert_int_equal(status_of(k.keeper, "CapPrm", 16), 1 << 7 | 1 << 6);
	stop(&k);
}

static void test_keeper_replaces_killed(void **state)
{
	struct kept k;
	uint64_t killed;
	pid_t first;

	(void)state;
	need_root();
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	first = k.worker;
	killed = now_ms();
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(connects(k.port), 0); /* the listener never closed */
	assert_true(next_report(&k, 5000));
	print_message("new worker ready after %llu ms\n", (unsigned long long)(now_ms() - killed));
	assert_true(now_ms() - killed < (SECCOMP_MODE ? 300 : 3000));
	assert_int_not_equal(k.worker, first);
	assert_int_equal(connects(k.port), 0);
	stop(&k);
}

static void test_keeper_limits_restarts(void **state)
{
	uint64_t t = 0;
	struct kept k;
	int i;

	(void)state;
	need_root();
	start(&k, "live");
	for (i = 0; i < 5; i++) {
		assert_true(next_report(&k, 5000));
		t = now_ms();
		kill(k.worker, SIGKILL);
	}
	assert_true(next_report(&k, 5000));
	assert_true(now_ms() - t >= 950);
	stop(&k);
}

static void test_keeper_reloads_whole_or_not(void **state)
{
	struct kept k;
	pid_t first;

	(void)state;
	need_root();
	write_config("one");
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	first = k.worker;
	write_config("!bad");
	kill(k.keeper, SIGHUP);
	assert_false(
		next_report(&k, 300)); /* refused: the old one stays, nothing to wait on but time */
	assert_int_equal(kill(first, 0), 0);
	/* A new file, as an editor writes it: the old descriptor would still read the old text. */
	unlink(config_path);
	write_config("two");
	kill(k.keeper, SIGHUP);
	assert_true(next_report(&k, 5000));
	assert_int_not_equal(k.worker, first);
	assert_non_null(strstr(k.line, " two 3 "));
	assert_true(gone(first, 10000));
	stop(&k);
}

/* An edit in place is not taken by a worker that only had to be started again. */
static void test_keeper_restart_reads_what_was_opened(void **state)
{
	struct kept k;

	(void)state;
	need_root();
	write_config("one");
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	write_config("half of an ed");
	kill(k.worker, SIGKILL);
	assert_true(next_report(&k, 5000));
	assert_non_null(strstr(k.line, " one 3 "));
	write_config("edited");
	kill(k.keeper, SIGHUP);
	assert_true(next_report(&k, 5000));
	assert_non_null(strstr(k.line, " edited 6 "));
	stop(&k);
}

/* A reload whose worker gives up at once (the check could not see why) changes nothing. */
static void test_keeper_survives_bad_reload(void **state)
{
	struct kept k;
	pid_t first;

	(void)state;
	need_root();
	write_config("one");
	start(&k, "fickle");
	assert_true(next_report(&k, 5000));
	first = k.worker;
	write_config("?");
	kill(k.keeper, SIGHUP);
	assert_false(next_report(&k, 500)); /* nothing to wait on but time */
	assert_int_equal(kill(first, 0), 0);
	/* What was opened for it is given up, too. */
	kill(first, SIGKILL);
	assert_true(next_report(&k, 5000));
	assert_int_not_equal(k.worker, first);
	assert_non_null(strstr(k.line, " one 3 "));
	write_config("mended");
	kill(k.keeper, SIGHUP);
	assert_true(next_report(&k, 5000));
	assert_non_null(strstr(k.line, " mended 6 "));
	stop(&k);
}

static void test_keeper_kills_stubborn(void **state)
{
	struct kept k;
	uint64_t t;

	(void)state;
	need_root();
	start(&k, "stubborn");
	assert_true(next_report(&k, 5000));
	t = now_ms();
	stop(&k);
	assert_true(now_ms() - t >= 4900 && now_ms() - t < 7000);
	assert_true(gone(k.worker, 10000));
}

static void test_keeper_tells_failed_start(void **state)
{
	struct kept k;
	int status;

	(void)state;
	need_root();
	start(&k, "fail");
	status = wait_exit(k.keeper);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	close(k.report);
}

static void test_keeper_death_ends_worker(void **state)
{
	struct kept k;

	(void)state;
	need_root();
	start(&k, "live");
	assert_true(next_report(&k, 5000));
	kill(k.keeper, SIGKILL);
	wait_exit(k.keeper);
	assert_true(gone(k.worker, 10000));
	close(k.report);
}

static void test_keeper_plan_errors(void **state)
{
	static struct keeper_plan p;
	char why[256] = "", name[64], address[32], bytes[16];
	uint16_t port = free_port();
	unsigned i;

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(keeper_listen_tcp(&p, "a", "nonsense", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "nonsense"));
	assert_int_equal(keeper_listen_tcp(&p, "a", address, why, sizeof(why)), 0);
	assert_int_equal(keeper_listen_tcp(&p, "b", address, why, sizeof(why)), -EADDRINUSE);
	assert_int_equal(keeper_bind_udp(&p, "b", address, why, sizeof(why)), 0);
	assert_int_equal(keeper_bind_udp(&p, "c", address, why, sizeof(why)), -EADDRINUSE);
	assert_int_equal(keeper_listen_tcp(&p, "a", "127.0.0.1:0", why, sizeof(why)), -EINVAL);
	assert_int_equal(keeper_open_file(&p, "f", "/nonexistent/file", why, sizeof(why)), -ENOENT);
	assert_int_equal(keeper_open_file(&p, "f", "/", why, sizeof(why)), -EINVAL);
	assert_int_equal(keeper_data(&p, "d", "some\0bytes", 10), 0);
	assert_int_equal(keeper_data(&p, "d", "more", 4), -EINVAL);
	assert_int_equal(pread(p.fds[p.n_fds - 1].fd, bytes, sizeof(bytes), 0), 10);
	assert_memory_equal(bytes, "some\0bytes", 10);
	assert_int_equal(keeper_add(&p, "a", 0), -EINVAL);
	assert_int_equal(keeper_add(&p, "x=y", 0), -EINVAL);
	assert_int_equal(keeper_listen_unix(&p, "u", config_path, NULL, why, sizeof(why)), -EEXIST);
	assert_int_equal(
		keeper_listen_unix(&p, "u", socket_path, "no-such-group", why, sizeof(why)),
		-ENOENT);
	unlink(socket_path);
	assert_int_equal(keeper_listen_unix(&p, "u", socket_path, NULL, why, sizeof(why)), 0);
	assert_int_equal(keeper_listen_unix(&p, "v", socket_path, NULL, why, sizeof(why)),
			 -EADDRINUSE);
	close(p.fds[--p.n_fds].fd);
	assert_int_equal(keeper_listen_unix(&p, "v", socket_path, NULL, why, sizeof(why)),
			 0); /* stale: replaced */
	for (i = p.n_fds; i < KEEPER_FDS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(keeper_add(&p, name, dup(0)), 0);
	}
	assert_int_equal(keeper_add(&p, "more", 0), -ENOSPC);
	for (i = 0; i < p.n_fds; i++)
		close(p.fds[i].fd);
}

static void test_keeper_state_is_sealed(void **state)
{
	static struct keeper_plan p;
	char why[256];

	(void)state;
	assert_int_equal(keeper_state(&p, 4096, why, sizeof(why)), 0);
	assert_int_equal(ftruncate(p.fds[0].fd, 8192), -1);
	assert_int_equal(ftruncate(p.fds[0].fd, 16), -1);
	close(p.fds[0].fd);
}

/* Each call in a process of its own behind the filter: 0 = it worked, else its errno; 200 + N: ended by signal N. */
static int inside(int (*call)(void))
{
	char why[256];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		log_set_level(LOG_L_ERROR);
		if (sandbox_enter(why, sizeof(why)))
			_exit(150);
		_exit(call());
	}
	status = wait_exit(pid);
	return WIFSIGNALED(status) ? 200 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define CALL(name, expr)                       \
	static int call_##name(void)           \
	{                                      \
		return (expr) < 0 ? errno : 0; \
	}
CALL(open, open("/etc/passwd", O_RDONLY | O_CLOEXEC))
CALL(creat, creat("/tmp/sallyport-never", 0600))
CALL(unix_socket, socket(AF_UNIX, SOCK_STREAM, 0))
CALL(packet_socket, socket(AF_PACKET, SOCK_RAW, 0))
CALL(inet_socket, socket(AF_INET, SOCK_STREAM, 0))
CALL(inet6_socket, socket(AF_INET6, SOCK_DGRAM, 0))
CALL(netlink_socket, socket(AF_NETLINK, SOCK_RAW, 0))
CALL(exec_memory,
     (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1
											     : 0)
CALL(memory, (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0)
CALL(fork, fork())
CALL(execve, execl("/bin/true", "true", (char *)NULL))
CALL(ptrace, syscall(SYS_ptrace, 0, 0, 0, 0))
CALL(module, syscall(SYS_init_module, NULL, 0, ""))
CALL(ring, syscall(SYS_io_uring_setup, 1, NULL))
CALL(setuid, setresuid(0, 0, 0))
CALL(kill, kill(getppid(), 0))
CALL(map_create, syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0))
CALL(map_lookup, syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, NULL, 0))
CALL(fstat, fstat(0, &(struct stat){0}))
CALL(unlink, unlink("/tmp/sallyport-never"))

static void test_sandbox_calls(void **state)
{
	static const struct {
		const char *name;
		int (*call)(void);
		int want;
	} t[] = {
		{"open", call_open, EPERM},
		{"creat", call_creat, EPERM},
		{"unlink", call_unlink, EPERM},
		{"unix_socket", call_unix_socket, EPERM},
		{"packet_socket", call_packet_socket, EPERM},
		{"inet_socket", call_inet_socket, 0},
		{"inet6_socket", call_inet6_socket, 0},
		{"netlink_socket", call_netlink_socket, 0},
		{"exec_memory", call_exec_memory, EPERM},
		{"memory", call_memory, 0},
		{"fstat", call_fstat, 0},
		{"fork", call_fork, EPERM},
		{"kill", call_kill, EPERM},
		{"setuid", call_setuid, EPERM},
		{"execve", call_execve, 200 + SIGSYS},
		{"ptrace", call_ptrace, 200 + SIGSYS},
		{"module", call_module, 200 + SIGSYS},
		{"ring", call_ring, 200 + SIGSYS},
		{"map_create", call_map_create, EPERM},
		{"map_lookup", call_map_lookup,
		 EINVAL}, /* reaches the kernel, which misses the argument */
	};
	size_t i;
	int got;

	(void)state;
	if (!SECCOMP_MODE) {
		printf("skip: no seccomp filter under AddressSanitizer\n");
		skip();
	}
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got = inside(t[i].call);
		if (got != t[i].want)
			fail_msg("%s: wanted %d, got %d", t[i].name, t[i].want, got);
	}
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || chmod(dir, 0755))
		return -1;
	snprintf(config_path, sizeof(config_path), "%s/config", dir);
	snprintf(socket_path, sizeof(socket_path), "%s/run/admin.sock", dir);
	write_config("abc");
	return 0;
}

static int teardown(void **state)
{
	char run[64];

	(void)state;
	unlink(socket_path);
	unlink(config_path);
	snprintf(run, sizeof(run), "%s/run", dir);
	rmdir(run);
	return rmdir(dir);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeper_reopen_data),
		cmocka_unit_test(test_keeper_descriptors_arrive),
		cmocka_unit_test(test_keeper_worker_is_nobody),
		cmocka_unit_test(test_keeper_replaces_killed),
		cmocka_unit_test(test_keeper_limits_restarts),
		cmocka_unit_test(test_keeper_reloads_whole_or_not),
		cmocka_unit_test(test_keeper_restart_reads_what_was_opened),
		cmocka_unit_test(test_keeper_survives_bad_reload),
		cmocka_unit_test(test_keeper_kills_stubborn),
		cmocka_unit_test(test_keeper_tells_failed_start),
		cmocka_unit_test(test_keeper_death_ends_worker),
		cmocka_unit_test(test_keeper_plan_errors),
		cmocka_unit_test(test_keeper_state_is_sealed),
		cmocka_unit_test(test_sandbox_calls),
	};

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker(argv[2]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
