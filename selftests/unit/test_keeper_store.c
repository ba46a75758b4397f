/* selftests/unit/test_keeper_store.c -- a keeper that follows another: what the service manager's store holds is taken up, or refused.
 *
 * This program is the manager (sd_notify's protocol, a list of descriptors), in forked children the keepers, and by "--worker" their
 * workers, which write a line to the pipe "report" and obey letters from the pipe "orders". Three socket pairs stand for connections:
 * one end is a worker's to lodge, the other tells when the last holder has closed it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
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
#include <unistd.h>

#include "selftests/unit/keeper_kit.h"
#include "user/keeper_carrier.h"
#include "user/keeper_store.h"
#include "user/lodge_hold.h"
#include "user/log.h"
#include "user/sockpool.h"

#define WAIT_MS 10000
#define CONNS	3
#define POOL	6
#define STATE	4096
#define KIND	7
#define HIGH	700 /* where a keeper's test descriptors wait for their places */

/* ---- the worker ---- */

static char taken[128];

static bool take(void *arg, uint32_t slot, uint32_t kind, const int fds[LODGE_ROLES], void *record)
{
	size_t at = strlen(taken);

	(void)arg;
	if (kind != KIND || send(fds[0], record, 1, 0) != 1)
		return false;
	snprintf(taken + at, sizeof(taken) - at, " %u:%c", slot, *(char *)record);
	return true;
}

static void obey(struct lodge *l, char order)
{
	char name[16], record = (char)('a' + order - '0');
	static uint32_t slot[CONNS];
	int fd;

	if (order >= '0' && order < '0' + CONNS) { /* lodge it */
		snprintf(name, sizeof(name), "conn%c", order);
		fd = keeper_fd(name);
		if (lodge_put(l, KIND, &fd, 1, &record, 1, &slot[order - '0']))
			_exit(9);
	} else { /* 'A': the one of '0' ends */
		snprintf(name, sizeof(name), "conn%c", order - 'A' + '0');
		close(keeper_fd(name));
		lodge_drop(l, slot[order - 'A']);
	}
}

/* PID, workers that had the state before, whether the listener is one, sockets of the pool, the port of the first, what was lodged. */
static int worker(void)
{
	int listening = 0, fd = keeper_fd("listen"), report = keeper_fd("report");
	socklen_t n = sizeof(listening);
	char why[256] = "", line[256], order;
	struct lodge *l = NULL;
	struct sockpool pool;
	unsigned char *s;

	if (getenv("NOTIFY_SOCKET") || getenv("LISTEN_FDS") ||
	    sockpool_get("media.inside", &pool) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) ||
	    lodge_open(&l, why, sizeof(why)) || lodge_wait_go(l, NULL) || lodge_take(l, take, NULL))
		return 3;
	s = mmap(NULL, STATE, PROT_READ | PROT_WRITE, MAP_SHARED, keeper_fd("state"), 0);
	if (s == MAP_FAILED)
		return 4;
	snprintf(line, sizeof(line), "%d state=%u listening=%d pool=%u,%u lodged%s\n", getpid(),
		 s[100]++, listening, pool.n, sockpool_port(pool.first), taken);
	if (write(report, line, strlen(line)) < 0)
		return 5;
	while (read(keeper_fd("orders"), &order, 1) == 1)
		obey(l, order);
	return 0;
}

/* ---- the manager ---- */

struct entry {
	char name[48];
	int fd;
};

static struct manager {
	int sock;
	char path[64];
	struct entry e[64];
	unsigned n, pushes, removals;
	bool ready;
} mgr;

static char dir[] = "/tmp/sallyport-store-XXXXXX", log_path[64];
static uint16_t tcp_port, udp_port;
static int orders[2], report[2], conns[CONNS][2];

static void remove_named(const char *name)
{
	unsigned i, k = 0;

	for (i = 0; i < mgr.n; i++) {
		if (strcmp(mgr.e[i].name, name) == 0)
			close(mgr.e[i].fd);
		else
			mgr.e[k++] = mgr.e[i];
	}
	mgr.n = k;
	mgr.removals++;
}

static bool hear(int ms)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
	char text[512] = "", name[48] = "";
	struct iovec v = {text, sizeof(text) - 1};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = mgr.sock, .events = POLLIN};
	struct cmsghdr *c;
	unsigned i, n;

	if (poll(&p, 1, ms) != 1)
		return false;
	assert_true(recvmsg(mgr.sock, &m, MSG_CMSG_CLOEXEC) > 0);
	if (strstr(text, "FDNAME="))
		assert_int_equal(sscanf(strstr(text, "FDNAME="), "FDNAME=%47s", name), 1);
	mgr.ready |= strstr(text, "READY=1") != NULL;
	if (strstr(text, "FDSTOREREMOVE=1"))
		remove_named(name);
	c = CMSG_FIRSTHDR(&m);
	if (!c)
		return true;
	assert_non_null(strstr(text, "FDSTORE=1\n"));
	assert_non_null(strstr(text, "FDPOLL=0\n"));
	n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	for (i = 0; i < n; i++) {
		assert_true(mgr.n < sizeof(mgr.e) / sizeof(mgr.e[0]));
		memcpy(&mgr.e[mgr.n].fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		memcpy(mgr.e[mgr.n++].name, name, sizeof(name));
		mgr.pushes++;
	}
	return true;
}

static unsigned count(const char *name)
{
	unsigned i, n = 0;

	for (i = 0; i < mgr.n; i++)
		n += !strcmp(mgr.e[i].name, name);
	return n;
}

/* Until @name is stored @n times. */
static void hear_until(const char *name, unsigned n)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (count(name) != n && now_ms() < end)
		hear(50);
	assert_int_equal(count(name), n);
}

static int stored(const char *name)
{
	unsigned i;

	for (i = 0; i < mgr.n; i++)
		if (!strcmp(mgr.e[i].name, name))
			return mgr.e[i].fd;
	fail_msg("%s is not stored", name);
	return -1;
}

/* ---- the keeper, in a child ---- */

static int run_keeper(void)
{
	static struct keeper_plan plan;
	char *argv[] = {(char *)"test_keeper_store", (char *)"--worker", NULL};
	char why[256] = "", address[32], name[16];
	struct sockpool_wish w = {
		.name = "media.inside", .setting = "x", .n = POOL, .step = 2, .rcvbuf = 4096};
	int i, err;

	log_open("keeper", LOG_L_INFO);
	snprintf(address, sizeof(address), "127.0.0.1:%u", tcp_port);
	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &w.first), 0);
	w.first.port = udp_port;
	w.end = udp_port + 40u;
	plan.worker_argv = argv;
	err = keeper_store_open(&plan, "test", why, sizeof(why)) ||
	      keeper_listen_tcp(&plan, "listen", address, why, sizeof(why)) ||
	      keeper_state(&plan, STATE, why, sizeof(why)) ||
	      sockpool_bind(&plan, &w, why, sizeof(why)) ||
	      lodge_plan(&plan, 16, why, sizeof(why)) || keeper_add(&plan, "report", HIGH - 1) ||
	      keeper_add(&plan, "orders", HIGH - 2);
	for (i = 0; i < CONNS && !err; i++) {
		snprintf(name, sizeof(name), "conn%d", i);
		if (fcntl(HIGH - 3 - i, F_GETFD) >= 0)
			err = keeper_add(&plan, name, HIGH - 3 - i);
	}
	if (err) {
		log_event(LOG_L_ERROR, "start-failed", "reason=\"%s\"", why);
		return 99;
	}
	return keeper_run(&plan);
}

/* As systemd does it: what is stored from 3 on, in LISTEN_*. */
static void child_fds(void)
{
	char text[32], names[2048] = "";
	unsigned i;

	dup2(report[1], HIGH - 1);
	dup2(orders[0], HIGH - 2);
	for (i = 0; i < CONNS; i++)
		if (conns[i][1] >= 0)
			dup2(conns[i][1], HIGH - 3 - (int)i);
	for (i = 0; i < mgr.n; i++) {
		dup2(mgr.e[i].fd, HIGH + (int)i);
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ":" : "",
			 mgr.e[i].name);
	}
	for (i = 0; i < mgr.n; i++)
		dup2(HIGH + (int)i, 3 + (int)i);
	close_range(3 + mgr.n, HIGH - 3 - CONNS, 0);
	close_range(HIGH, ~0u, 0);
	setenv("NOTIFY_SOCKET", mgr.path, 1);
	if (!mgr.n)
		return;
	snprintf(text, sizeof(text), "%u", mgr.n);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
}

static void start(struct kept *k)
{
	memset(k, 0, sizeof(*k));
	mgr.ready = false;
	mgr.pushes = mgr.removals = 0;
	k->keeper = fork();
	assert_true(k->keeper >= 0);
	if (k->keeper == 0) {
		int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, STDERR_FILENO);
		child_fds();
		_exit(run_keeper());
	}
	k->report = report[0];
}

static void up(struct kept *k)
{
	struct pollfd p = {.fd = report[0], .events = POLLIN};
	uint64_t over = now_ms() + WAIT_MS;

	start(k);
	while (poll(&p, 1, 0) != 1 &&
	       now_ms() < over) /* ports are free when we have let go of them, too */
		hear(5);
	assert_true(next_report(k, 0));
	while (!mgr.ready)
		assert_true(hear(WAIT_MS));
	hear_until("worker", 1);
}

/* Worker and keeper are gone; what they said was heard. */
static void killed(struct kept *k)
{
	kill(k->keeper, SIGKILL);
	wait_exit(k->keeper);
	while (hear(0))
		;
}

static bool logged(const char *what)
{
	static char text[65536];
	FILE *f = fopen(log_path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return strstr(text, what);
}

static void order(char what)
{
	assert_int_equal(write(orders[1], &what, 1), 1);
}

static void conn_lodged(unsigned i)
{
	char name[8];

	order((char)('0' + i));
	keeper_lodged_name(i, 0, name);
	hear_until(name, 1);
	close(conns[i][1]); /* it is the worker's, the keeper's and the store's */
	conns[i][1] = -1;
}

/* One byte came from the other end; 0: all holders have closed it. */
static char conn_got(unsigned i)
{
	struct pollfd p = {.fd = conns[i][0], .events = POLLIN};
	uint64_t end = now_ms() + WAIT_MS;
	char c = 0;

	while (poll(&p, 1, 20) != 1 && now_ms() < end)
		hear(0);
	return recv(conns[i][0], &c, 1, MSG_DONTWAIT) == 1 ? c : 0;
}

static int set_up(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	unsigned i;

	(void)state;
	memset(&mgr, 0, sizeof(mgr));
	snprintf(mgr.path, sizeof(mgr.path), "%s/notify", dir);
	strcpy(sa.sun_path, mgr.path);
	unlink(mgr.path);
	unlink(log_path);
	mgr.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(mgr.sock, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	for (i = 0; i < CONNS; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, conns[i]), 0);
	tcp_port = free_port();
	udp_port = (uint16_t)(free_port() & ~63u);
	return 0;
}

static int tear_down(void **state)
{
	unsigned i;

	(void)state;
	while (mgr.n)
		close(mgr.e[--mgr.n].fd);
	close(mgr.sock);
	for (i = 0; i < CONNS; i++) {
		close(conns[i][0]);
		if (conns[i][1] >= 0)
			close(conns[i][1]);
	}
	for (i = 0; i < 2; i++) {
		close(orders[i]);
		close(report[i]);
	}
	unlink(mgr.path);
	unlink(log_path);
	return 0;
}

static void end(struct kept *k)
{
	kill(k->keeper, SIGTERM);
	assert_int_equal(wait_exit(k->keeper), 0);
}

static void line_is(const struct kept *k, const char *rest)
{
	const char *at = strchr(k->line, ' ');

	assert_non_null(at);
	assert_string_equal(at + 1, rest);
}

/* ---- cases ---- */

static void test_store_taken_up(void **state)
{
	char first[128];
	struct kept k;
	unsigned i;

	(void)state;
	up(&k);
	snprintf(first, sizeof(first), "%s", strchr(k.line, ' ') + 1);
	assert_non_null(strstr(first, "state=0 listening=1 pool=6,"));
	assert_non_null(strstr(first, " lodged\n"));
	assert_int_equal(count("store"), 1);
	assert_int_equal(count("listen"), 1);
	assert_int_equal(count("state"), 1);
	assert_int_equal(count("lodge.state"), 1);
	assert_int_equal(count("mi"), 1); /* as one */
	for (i = 0; i < 2; i++)
		conn_lodged(i);
	killed(&k);
	assert_int_equal(connects(tcp_port), 0); /* waits in the listener */
	for (i = 0; i < mgr.n / 2; i++) {	 /* the order of the store means nothing */
		struct entry e = mgr.e[i];

		mgr.e[i] = mgr.e[mgr.n - 1 - i];
		mgr.e[mgr.n - 1 - i] = e;
	}
	up(&k);
	first[6] = '1';
	snprintf(strstr(first, " lodged"), 32, " lodged 0:a 1:b\n");
	line_is(&k, first);
	assert_int_equal(conn_got(0), 'a');
	assert_int_equal(conn_got(1), 'b');
	assert_int_equal(mgr.pushes, 1); /* its worker */
	assert_true(logged("event=store-taken entries=4 connections=2 closed=0"));
	killed(&k);
	up(&k); /* and once more */
	assert_non_null(strstr(k.line, " state=2 "));
	assert_non_null(strstr(k.line, " lodged 0:a 1:b\n"));
	assert_int_equal(mgr.n, 6 + 2);
	assert_false(logged("store-refused"));
	end(&k);
	up(&k); /* a restart in order: only the manager knows that it is none for good */
	assert_non_null(strstr(k.line, " state=3 "));
	assert_non_null(strstr(k.line, " lodged 0:a 1:b\n"));
	end(&k);
}

/* What ends is removed before the keeper closes it; what was short-lived never came. */
static void test_store_ends(void **state)
{
	struct kept k;

	(void)state;
	up(&k);
	mgr.pushes = 0;
	order('2'); /* slot 0, and it ends within the second */
	order('C');
	close(conns[2][1]);
	conns[2][1] = -1;
	assert_int_equal(conn_got(2), 0);
	order('0');
	hear_until("00", 1);
	assert_int_equal(mgr.pushes, 1);
	close(conns[0][1]);
	conns[0][1] = -1;
	order('A');
	hear_until("00", 0);
	assert_int_equal(conn_got(0), 0);
	assert_int_equal(mgr.n, 6);
	killed(&k);
	up(&k);
	assert_non_null(strstr(k.line, " lodged\n"));
	end(&k);
}

static void test_store_other_version(void **state)
{
	static const struct {
		off_t at;
		const char *what;
	} cases[] = {{0, "not a store of ours"},
		     {8, "of version 120, and this binary knows 1"},
		     {16, "of another daemon"}};
	struct kept k;
	unsigned i;

	(void)state;
	up(&k);
	conn_lodged(0);
	for (i = 0; i < 3; i++) {
		killed(&k);
		assert_int_equal(pwrite(stored("store"), "x", 1, cases[i].at), 1);
		up(&k);
		assert_non_null(strstr(k.line, " state=0 listening=1 pool=6,"));
		assert_non_null(strstr(k.line, " lodged\n"));
		assert_true(logged(cases[i].what));
		assert_int_equal(mgr.n, 6); /* its own, anew */
	}
	assert_int_equal(conn_got(0), 0);
	end(&k);
}

/* One thing of another shape takes nothing else with it. */
static void test_store_other_settings(void **state)
{
	struct kept k;
	uint16_t was = tcp_port, first = udp_port;

	(void)state;
	up(&k);
	conn_lodged(0);
	killed(&k);
	tcp_port = free_port();
	up(&k);
	assert_non_null(strstr(k.line, " state=1 listening=1 "));
	assert_non_null(strstr(k.line, " lodged 0:a\n"));
	assert_int_equal(conn_got(0), 'a');
	assert_true(logged("event=store-refused name=listen reason=\"of another address than the "
			   "configuration's\""));
	assert_int_equal(count("listen"), 1);
	assert_int_equal(connects(tcp_port), 0);
	assert_int_equal(connects(was), -1);
	killed(&k);
	udp_port += 20; /* the range moves: not in it any more */
	up(&k);
	assert_true(logged("event=store-refused name=mi reason=\"of another address or port"));
	assert_non_null(strstr(k.line, " state=2 "));
	assert_int_equal(count("mi"), 1); /* as one */
	killed(&k);
	udp_port = first;
	close(mgr.e[0].fd);
	memmove(&mgr.e[0], &mgr.e[1], --mgr.n * sizeof(mgr.e[0])); /* "store" */
	up(&k);
	assert_true(logged("reason=\"not a store of ours\""));
	assert_int_equal(conn_got(0), 'a');
	assert_int_equal(conn_got(0), 0);
	end(&k);
}

/* The state file and the connections have versions of their own. */
static void test_store_other_files(void **state)
{
	const uint32_t version = 99;
	char want[120];
	struct kept k;

	(void)state;
	snprintf(want, sizeof(want),
		 "event=store-refused name=lodge.state reason=\"not of version %d, 16 slots of %d "
		 "bytes\"",
		 LODGE_VERSION, LODGE_PAYLOAD);
	up(&k);
	conn_lodged(0);
	killed(&k);
	assert_int_equal(
		pwrite(stored("lodge.state"), &version, 4, offsetof(struct lodge_head, version)),
		4);
	up(&k);
	assert_true(logged(want));
	assert_non_null(strstr(k.line, " state=1 "));
	assert_non_null(strstr(k.line, " lodged\n"));
	assert_int_equal(conn_got(0), 0);
	assert_int_equal(mgr.n, 6);
	killed(&k);
	close(stored("state")); /* nothing that was ever sealed */
	for (unsigned i = 0; i < mgr.n; i++)
		if (!strcmp(mgr.e[i].name, "state"))
			mgr.e[i].fd = memfd_create("other", MFD_CLOEXEC);
	up(&k);
	assert_true(logged("event=store-refused name=state reason=\"not a file of ours\""));
	assert_non_null(strstr(k.line, " state=0 "));
	end(&k);
}

/* A keeper that died with words unread: its store has another connection than the record. Nobody else's bytes go over it. */
static void test_store_behind_the_record(void **state)
{
	struct kept k;
	unsigned i;

	(void)state;
	up(&k);
	conn_lodged(0);
	conn_lodged(1);
	killed(&k);
	for (i = 0; i < mgr.n; i++)
		if (!strcmp(mgr.e[i].name, "00"))
			strcpy(mgr.e[i].name, "01");
		else if (!strcmp(mgr.e[i].name, "01"))
			strcpy(mgr.e[i].name, "00");
	up(&k);
	assert_non_null(strstr(k.line, " lodged\n"));
	assert_int_equal(conn_got(0), 0);
	assert_int_equal(conn_got(1), 0);
	hear_until("00", 0);
	hear_until("01", 0);
	end(&k);
}

/* The state has one writer: the next one waits until the last is gone. */
static void test_store_worker_lives(void **state)
{
	struct kept k;
	pid_t other;
	char c = 0;
	int hold[2];

	(void)state;
	up(&k);
	killed(&k);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	other = fork();
	if (other == 0) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1) != 0);
	}
	close(stored("worker"));
	for (unsigned i = 0; i < mgr.n; i++)
		if (!strcmp(mgr.e[i].name, "worker"))
			mgr.e[i].fd = (int)syscall(SYS_pidfd_open, other, 0);
	start(&k);
	assert_false(next_report(&k, 200)); /* nothing to wait on but time */
	close(hold[1]);
	close(hold[0]);
	assert_int_equal(wait_exit(other), 0);
	assert_true(next_report(&k, WAIT_MS));
	assert_non_null(strstr(k.line, " state=1 "));
	end(&k);
}

/* More than one message; looked at twice, since the store keeps it for the keeper after the next. */
static void test_store_carrier(void **state)
{
	enum { N = 300, FROM = 500 };
	int fd, *out, i, round;
	struct stat a, b;

	(void)state;
	for (i = 0; i < N; i++) {
		fd = memfd_create("carried", MFD_CLOEXEC);
		assert_true(fd >= 0 && fd < FROM);
		assert_int_equal(dup2(fd, FROM + i), FROM + i);
		close(fd);
	}
	fd = carrier_pack(FROM, N);
	assert_true(fd >= 0);
	assert_true(carrier_is(fd));
	assert_false(carrier_is(FROM));
	for (round = 0; round < 2; round++) {
		assert_int_equal(carrier_unpack(fd, &out), N);
		for (i = 0; i < N; i++) {
			assert_int_equal(fstat(FROM + i, &a) || fstat(out[i], &b), 0);
			assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
			close(out[i]);
		}
		free(out);
	}
	for (i = 0; i < N; i++)
		close(FROM + i);
	close(fd);
}

static void test_store_names(void **state)
{
	static const char *const bad[] = {"",	 "0",	  "40",	   "001",   "0-1", "01Egg",
					  "0 1", "0zzzz", "00000", "store", "mi"};
	char name[16];
	uint32_t slot, got;
	unsigned role, r;

	(void)state;
	for (slot = 0; slot < LODGE_SLOTS_MAX; slot += slot % 97 + 1)
		for (role = 0; role < LODGE_ROLES; role++) {
			keeper_lodged_name(slot, role, name);
			assert_true(keeper_lodged_parse(name, &got, &r));
			assert_true(got == slot && r == role && strlen(name) <= 5);
		}
	for (r = 0; r < sizeof(bad) / sizeof(bad[0]); r++)
		if (keeper_lodged_parse(bad[r], &got, &role))
			fail_msg("\"%s\" is no name", bad[r]);
	keeper_range_name("media.inside", name);
	assert_string_equal(name, "mi");
	keeper_range_name("media.out.3", name);
	assert_string_equal(name, "mo3");
}

static int group_setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_store_taken_up),	    CASE(test_store_ends),
		CASE(test_store_other_version),	    CASE(test_store_other_settings),
		CASE(test_store_other_files),	    CASE(test_store_behind_the_record),
		CASE(test_store_worker_lives),	    cmocka_unit_test(test_store_carrier),
		cmocka_unit_test(test_store_names),
	};

	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker();
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
