/* selftests/unit/test_admin.c -- requests on a real unix socket and loop: answers, errors, limits, a client that says nothing.
 *
 * The client is a child process; the loop runs here until the child has ended. The child exits 0 when what it saw was right. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/admin.h"
#include "user/log.h"

#define BIG 20000 /* rows: more than a socket buffer takes */

static struct loop *l;
static struct admin *admin;
static int listener;
static struct sockaddr_un sa;
static socklen_t sa_len;
static struct loop_timer watch;
static pid_t client;
static int client_status;

static json_t *cmd_echo(void *arg, const json_t *req)
{
	return json_pack("{s:s, s:O}", "who", (const char *)arg, "arg",
			 json_object_get(req, "arg"));
}

static json_t *cmd_big(void *arg, const json_t *req)
{
	json_t *all = json_array();
	int i;

	(void)arg;
	(void)req;
	for (i = 0; i < BIG; i++)
		json_array_append_new(all,
				      json_pack("{s:i, s:s}", "n", i, "text", "0123456789abcdef"));
	return all;
}

static struct admin_ticket ticket;
static struct loop_timer later_timer;
static unsigned later_n;

static void answer_later(void *arg)
{
	(void)arg;
	admin_answer(admin, ticket, json_pack("{s:i}", "later", (int)++later_n));
	admin_answer(admin, ticket, json_pack("{s:s}", "again", "never seen"));
}

static json_t *cmd_later(void *arg, const json_t *req)
{
	(void)arg;
	(void)req;
	ticket = admin_later(admin);
	later_timer = (struct loop_timer){.fn = answer_later};
	assert_int_equal(loop_timer_set(l, &later_timer, 50), 0);
	return NULL;
}

static const struct admin_cmd cmds[] = {{"echo", cmd_echo}, {"big", cmd_big}, {"later", cmd_later}};

static void look(void *arg)
{
	(void)arg;
	if (waitpid(client, &client_status, WNOHANG) == client)
		loop_stop(l);
	else
		loop_timer_set(l, &watch, 5);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sa_len))
		_exit(90);
	return fd;
}

/* Send @text, read to the end; returns malloc'ed text. */
static char *ask(int fd, const char *text)
{
	size_t at = 0, max = 4 << 20;
	char *buf = malloc(max);
	ssize_t n;

	if (!buf || (size_t)send(fd, text, strlen(text), MSG_NOSIGNAL) != strlen(text))
		_exit(91);
	while ((n = read(fd, buf + at, max - 1 - at)) > 0)
		at += (size_t)n;
	buf[at] = 0;
	return buf;
}

/* Run @fn in a child against the loop here; its exit status. */
static int with_client(int (*fn)(void))
{
	client = fork();
	assert_true(client >= 0);
	if (client == 0)
		_exit(fn());
	watch = (struct loop_timer){.fn = look};
	assert_int_equal(loop_timer_set(l, &watch, 5), 0);
	assert_int_equal(loop_run(l), 0);
	assert_true(WIFEXITED(client_status));
	return WEXITSTATUS(client_status);
}

static int says(const char *request, const char *want)
{
	char *got = ask(dial(), request);
	int bad = strcmp(got, want) != 0;

	if (bad)
		fprintf(stderr, "%s -> %s", request, got);
	free(got);
	return bad;
}

static int table_client(void)
{
	return says("{\"cmd\":\"echo\",\"arg\":\"x\"}\n", "{\"who\":\"me\",\"arg\":\"x\"}\n") ||
	       says("{\"cmd\":\"nope\"}\n", "{\"error\":\"unknown command\"}\n") ||
	       says("{\"cmd\":7}\n", "{\"error\":\"no command\"}\n") ||
	       says("[1]\n", "{\"error\":\"no command\"}\n");
}

static void test_admin_answers(void **state)
{
	(void)state;
	assert_int_equal(with_client(table_client), 0);
}

/* Answered later; and one that does not wait for it: its place may be another's by then. */
static int later_client(void)
{
	int fd;

	if (says("{\"cmd\":\"later\"}\n", "{\"later\":1}\n"))
		return 1;
	fd = dial();
	if (send(fd, "{\"cmd\":\"later\"}\n", 16, 0) != 16)
		return 2;
	close(fd);
	poll(NULL, 0, 200);
	return says("{\"cmd\":\"later\"}\n", "{\"later\":3}\n");
}

static void test_admin_answers_later(void **state)
{
	(void)state;
	assert_int_equal(with_client(later_client), 0);
	assert_int_equal(later_n, 3);
}

static int bad_client(void)
{
	static const char *const bad[] = {"\n", "{\n", "{\"cmd\":\"echo\"\n",
					  "{\"cmd\":1,\"cmd\":2}\n", "\xff\n"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *got = ask(dial(), bad[i]);

		if (strncmp(got, "{\"error\":\"not a JSON request\"", 28))
			return 1;
		free(got);
	}
	return 0;
}

static void test_admin_refuses_non_json(void **state)
{
	(void)state;
	assert_int_equal(with_client(bad_client), 0);
}

static int split_client(void)
{
	int fd = dial();

	if (send(fd, "{\"cmd\":\"echo\",", 14, 0) != 14)
		return 2;
	poll(NULL, 0, 30); /* so that it arrives in two pieces; either way the answer is the same */
	return strcmp(ask(fd, "\"arg\":1}\n"), "{\"who\":\"me\",\"arg\":1}\n");
}

static void test_admin_takes_pieces(void **state)
{
	(void)state;
	assert_int_equal(with_client(split_client), 0);
}

static int big_client(void)
{
	int fd = dial();
	char *got;
	json_t *all;

	if (send(fd, "{\"cmd\":\"big\"}\n", 14, 0) != 14)
		return 2;
	poll(NULL, 0, 100); /* let the socket buffer fill */
	got = ask(fd, "");
	all = json_loads(got, 0, NULL);
	return json_array_size(all) != BIG || got[strlen(got) - 1] != '\n';
}

static void test_admin_big_answer(void **state)
{
	(void)state;
	assert_int_equal(with_client(big_client), 0);
}

static int long_client(void)
{
	char text[5000];
	int fd = dial();

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	return strcmp(ask(fd, text), "") != 0;
}

static void test_admin_long_request(void **state)
{
	(void)state;
	assert_int_equal(with_client(long_client), 0);
}

/* 16 silent connections: the 17th is refused, and after 5 s there is room again. */
static int silent_client(void)
{
	int fd[17], i;
	struct pollfd p;

	for (i = 0; i < 17; i++)
		fd[i] = dial();
	p = (struct pollfd){.fd = fd[16], .events = POLLIN};
	if (poll(&p, 1, 3000) != 1 || !(p.revents & POLLHUP))
		return 1;
	p.fd = fd[0];
	if (poll(&p, 1, 100) != 0 || poll(&p, 1, 7000) != 1)
		return 2;
	poll(NULL, 0, 200);
	return says("{\"cmd\":\"echo\",\"arg\":\"x\"}\n", "{\"who\":\"me\",\"arg\":\"x\"}\n") ? 3
											      : 0;
}

static void test_admin_bounds_clients(void **state)
{
	(void)state;
	assert_int_equal(with_client(silent_client), 0);
}

static int setup(void **state)
{
	static const struct loop_params params = {.entries = 64, .ops_max = 64};
	int err;

	(void)state;
	log_open("test_admin", LOG_L_ERROR);
	sa.sun_family = AF_UNIX;
	/* An abstract name: nothing is left behind. */
	snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "sallyport-test-admin-%d", getpid());
	sa_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sa.sun_path + 1));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sa_len) || listen(listener, 64))
		return -1;
	err = loop_new(&params, &l);
	if (err) {
		fprintf(stderr, "loop_new: %s\n", strerror(-err));
		return -1;
	}
	return admin_new(l, listener, cmds, 3, (void *)"me", &admin);
}

static int teardown(void **state)
{
	(void)state;
	admin_free(admin);
	loop_free(l);
	close(listener);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin_answers),
		cmocka_unit_test(test_admin_answers_later),
		cmocka_unit_test(test_admin_refuses_non_json),
		cmocka_unit_test(test_admin_takes_pieces),
		cmocka_unit_test(test_admin_big_answer),
		cmocka_unit_test(test_admin_long_request),
		cmocka_unit_test(test_admin_bounds_clients),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
