/* selftests/unit/test_admin_http.c -- requests on real TCP and a real loop: statuses, limits, connections; readers of events that are slow.
 *
 * The client is a child process; the loop runs here until the child has ended. The child exits 0 when what it saw was right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/admin_http.h"
#include "user/log.h"
#include "user/span.h"

#define BIG \
	400000 /* bytes of an event: more than the sockets' buffers take, which are made small */

static struct loop *l;
static struct admin_http *admin;
static int listener;
static struct sockaddr_in sa;
static struct loop_timer watch;
static pid_t client;
static int client_status;
static bool big;
static unsigned made;

static json_t *nodes(void *arg)
{
	json_t *j = json_pack("{s:i, s:[]}", "at_ms", (int)++made, "nodes");
	char *text;

	(void)arg;
	if (!big)
		return j;
	text = malloc(BIG + 1);
	memset(text, 'x', BIG);
	text[BIG] = 0;
	json_object_set_new(j, "big", json_string_nocheck(text));
	free(text);
	return j;
}

static char *metrics(void *arg, bool openmetrics, size_t *n)
{
	char *text = strdup(openmetrics ? "new\n" : "old\n");

	(void)arg;
	*n = 4;
	return text;
}

static void look(void *arg)
{
	(void)arg;
	if (waitpid(client, &client_status, WNOHANG) == client)
		loop_stop(l);
	else
		loop_timer_set(l, &watch, 5);
}

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

static unsigned long long count(const char *key)
{
	json_t *j = admin_http_show(admin);
	unsigned long long v = (unsigned long long)json_integer_value(json_object_get(j, key));

	json_decref(j);
	return v;
}

static int dial(int rcvbuf)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		_exit(90);
	return fd;
}

static int asked(const char *text, int rcvbuf)
{
	int fd = dial(rcvbuf);

	if ((size_t)send(fd, text, strlen(text), MSG_NOSIGNAL) != strlen(text))
		_exit(91);
	return fd;
}

/* All of the answer. */
static char *answer(const char *text)
{
	static char buf[65536];
	int fd = asked(text, 0);
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, buf + at, sizeof(buf) - 1 - at)) > 0)
		at += (size_t)n;
	close(fd);
	buf[at] = 0;
	return n < 0 ? strcpy(buf, "reset") : buf;
}

static const struct {
	const char *request, *status, *has;
} table[] = {
	{"GET /v1/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", "\r\n\r\n{\"at_ms\":"},
	{"GET /v1/nodes?x=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", "200", "application/json"},
	{"GET /metrics HTTP/1.1\r\nHost: [::1]:9061\r\n\r\n", "200", "\r\n\r\nnew\n"},
	{"GET /metrics HTTP/1.1\r\nHost: LOCALHOST\r\nAccept: text/plain\r\n\r\n", "200",
	 "\r\n\r\nold\n"},
	{"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain, "
	 "application/openmetrics-text\r\n\r\n",
	 "200", "\r\n\r\nnew\n"},
	{"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", "Content-Length: 4\r\n\r\n"},
	{"HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", "text/event-stream"},
	{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200",
	 "Content-Security-Policy: default-src 'self'"},
	{"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", "404", ""},
	{"GET //metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "404", ""},
	{"GET /%6detrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "404", ""},
	{"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "405",
	 "Allow: GET, HEAD\r\n"},
	{"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "405", ""},
	{"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "400", ""},
	{"GET / HTTP/1.1\r\n\r\n", "400", ""},
	{"GET / HTTP/1.0\r\n\r\n", "403", ""},
	{"GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", "403", "wanted localhost"},
	{"GET / HTTP/1.1\r\nHost: localhost.example\r\n\r\n", "403", ""},
	{"GET / HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n", "403", ""},
	{"GET http://rebound.example/ HTTP/1.1\r\nHost: rebound.example\r\n\r\n", "403", ""},
	{"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\nY: b\r\n\r\n", "400", "bare LF"},
	{"PRI * HTTP/2.0\r\n\r\n", "505", ""},
};

static int table_client(void)
{
	char status[32];
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *got = answer(table[i].request);

		snprintf(status, sizeof(status), "HTTP/1.1 %s ", table[i].status);
		if (strncmp(got, status, strlen(status)) || !strstr(got, table[i].has) ||
		    !strstr(got, "Connection: close\r\n")) {
			fprintf(stderr, "%s-> %s\n", table[i].request, got);
			return 1;
		}
		if (strncmp(table[i].request, "HEAD", 4) == 0 &&
		    strcmp(strstr(got, "\r\n\r\n"), "\r\n\r\n") != 0)
			return 2;
	}
	return 0;
}

static void test_admin_http_answers(void **state)
{
	(void)state;
	assert_int_equal(with_client(table_client), 0);
	assert_int_equal(count("connections"), 0);
	assert_true(count("refused_host") == 5 && count("refused") >= 6);
}

static int long_client(void)
{
	static char text[20000];

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "GET /", 5);
	if (strncmp(answer(text), "HTTP/1.1 414 ", 13)) /* no end in sight */
		return 1;
	strcpy(text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
	while (strlen(text) < 17000)
		strcat(text, "X-Filler: 0123456789012345678901234567890123456789"
			     "01234567890123456789012345678901234567890123456789"
			     "01234567890123456789012345678901234567890123456789\r\n");
	return strncmp(answer(text), "HTTP/1.1 431 ", 13) ? 2 : 0;
}

static void test_admin_http_long_heads(void **state)
{
	(void)state;
	assert_int_equal(with_client(long_client), 0);
	assert_int_equal(count("connections"), 0);
}

/* 32 that say nothing: one more is closed at once; when one of them leaves there is room again. */
static int many_client(void)
{
	int fd[ADMIN_HTTP_CONNS + 1], i;
	struct pollfd p;
	char c;

	for (i = 0; i < ADMIN_HTTP_CONNS + 1; i++)
		fd[i] = dial(0);
	p = (struct pollfd){.fd = fd[ADMIN_HTTP_CONNS], .events = POLLIN};
	if (poll(&p, 1, 3000) != 1 || read(fd[ADMIN_HTTP_CONNS], &c, 1) > 0)
		return 1;
	for (i = 0; i < ADMIN_HTTP_CONNS; i++)
		close(fd[i]);
	for (i = 0; i < 50; i++) {
		poll(NULL, 0, 10);
		if (!strncmp(answer("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
			     "HTTP/1.1 200", 12))
			return 0;
	}
	return 2;
}

static void test_admin_http_many(void **state)
{
	(void)state;
	assert_int_equal(with_client(many_client), 0);
	assert_true(count("closed_full") >= 1);
}

/* Reads nothing for long enough that events are left out; then every event that comes is whole, and their numbers only rise. */
static int slow_client(void)
{
	static const char ask[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static char line[BIG + 4096];
	FILE *f = fdopen(asked(ask, 4096), "r");
	int last = 0, n = 0, at;

	poll(NULL, 0, 120);
	while (n < 3 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "data: {\"at_ms\":", 15))
			continue;
		at = atoi(line + 15);
		if (at <= last || strlen(line) < BIG || strcmp(line + strlen(line) - 3, "\"}\n"))
			return 1;
		last = at;
		n++;
	}
	return n == 3 && last > 3 ? 0 : 2; /* 3 events, and some in between were never sent */
}

static void test_admin_http_slow_events(void **state)
{
	(void)state;
	big = true;
	assert_int_equal(with_client(slow_client), 0);
	assert_true(count("events_skipped") > 0);
	big = false;
}

/* Reads nothing at all: it is given up. */
static int deaf_client(void)
{
	static const char ask[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct pollfd p = {.fd = asked(ask, 4096)};

	return poll(&p, 1, 5000) == 1 && p.revents & (POLLHUP | POLLERR) ? 0 : 1;
}

static void test_admin_http_deaf_events(void **state)
{
	unsigned long long before = count("closed_slow");

	(void)state;
	big = true;
	assert_int_equal(with_client(deaf_client), 0);
	big = false;
	assert_int_equal(count("closed_slow"), before + 1);
	assert_int_equal(count("listeners"), 0);
}

static int setup(void **state)
{
	struct loop_params lp = {.entries = 64, .ops_max = 128};
	struct admin_http_params p = {.nodes = nodes, .metrics = metrics, .event_ms = 10};
	socklen_t n = sizeof(sa);
	int small = 16384;

	(void)state;
	log_set_level(LOG_L_ERROR);
	sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)); /* of what it accepts */
	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&sa, &n) || loop_new(&lp, &l))
		return -1;
	p.loop = l;
	p.listen_fd = listener;
	return admin_http_new(&p, &admin);
}

static int teardown(void **state)
{
	(void)state;
	admin_http_free(admin);
	loop_free(l);
	close(listener);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin_http_answers),
		cmocka_unit_test(test_admin_http_long_heads),
		cmocka_unit_test(test_admin_http_many),
		cmocka_unit_test(test_admin_http_slow_events),
		cmocka_unit_test(test_admin_http_deaf_events),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
