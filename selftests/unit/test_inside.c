/* selftests/unit/test_inside.c -- whose datagram it is: call servers by address and port on loopback, strangers dropped.
 * How a stream ends: in order, reset, refused. In: datagrams and connections of the test's sockets. Out: ops.message() with the server it
 * came from, ops.failed() with what happened. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/inside.h"
#include "user/log.h"

struct seen {
	struct loop *loop;
	unsigned n, server;
	uint16_t port;
};

static void on_message(void *arg, const struct engine_inside_src *src, const struct sip_msg *m)
{
	struct seen *s = arg;

	assert_true(m->request);
	s->n++;
	s->server = src->server;
	s->port = src->from.port;
	loop_stop(s->loop);
}

static void on_failed(void *arg, unsigned server, const struct addr *to, enum engine_failure how,
		      const char *why)
{
	(void)arg;
	(void)to;
	(void)how;
	fail_msg("server %u failed: %s", server, why);
}

static void on_targets(void *arg, unsigned server, const struct engine_target *t, unsigned n)
{
	(void)arg;
	(void)server;
	assert_int_equal(n, 1);
	assert_int_not_equal(t->addr.port, 0);
}

static void on_time(void *arg)
{
	loop_stop(arg);
}

/* A socket on @ip at any port. */
static int udp_at(const char *ip, uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void say(int fd, uint16_t port)
{
	static const char text[] =
		"OPTIONS sip:core SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK1\r\nFrom: "
		"<sip:a>;tag=1\r\nTo: <sip:core>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &a.sin_addr), 1);
	assert_int_equal(sendto(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&a, sizeof(a)),
			 sizeof(text) - 1);
}

static void test_inside_server_of(void **state)
{
	struct loop_params lp = {
		.entries = 64, .ops_max = 64, .recv_bufs = 16, .send_bufs = 16, .buf_size = 2048};
	static const struct inside_ops ops = {on_message, on_failed, on_targets};
	char address[2][32], why[200] = "";
	uint16_t port, ports[4];
	int fd = udp_at("127.0.0.1", &port);
	/* two servers on one host, a third socket there, a stranger */
	int from[4] = {udp_at("127.0.0.2", &ports[0]), udp_at("127.0.0.2", &ports[1]),
		       udp_at("127.0.0.2", &ports[2]), udp_at("127.0.0.3", &ports[3])};
	static const unsigned want[4] = {0, 1, 0, 99};
	struct config_call_server servers[2] = {{.name = "one", .transport = "udp"},
						{.name = "two", .transport = "udp"}};
	struct seen s = {};
	struct inside_params p = {.servers = servers,
				  .n_servers = 2,
				  .udp_fd = fd,
				  .tcp_fd = -1,
				  .tls_fd = -1,
				  .message_max = 4096,
				  .ops = &ops,
				  .arg = &s};
	struct loop_timer timer = {.fn = on_time};
	struct inside *in;
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "127.0.0.2:%u", ports[i]);
		servers[i].address = address[i];
	}
	assert_int_equal(loop_new(&lp, &s.loop), 0);
	timer.arg = p.loop = s.loop;
	if (inside_new(&p, &in, why, sizeof(why)))
		fail_msg("%s", why);
	for (i = 0; i < 4; i++) {
		s.n = 0;
		s.server = 99;
		say(from[i], port);
		loop_timer_set(s.loop, &timer, i == 3 ? 100 : 2000);
		assert_int_equal(loop_run(s.loop), 0);
		assert_int_equal(s.server, want[i]);
		assert_int_equal(s.n, i != 3);
		assert_true(i == 3 || s.port == ports[i]);
		close(from[i]);
	}
	loop_timer_cancel(s.loop, &timer);
	inside_free(in);
	loop_free(s.loop);
	close(fd);
}

/* ---- what was refused ---- */

struct blame {
	struct loop *loop;
	unsigned refused[2];
};

static void blame_failed(void *arg, unsigned server, const struct addr *to, enum engine_failure how,
			 const char *why)
{
	struct blame *x = arg;

	(void)to;
	(void)why;
	assert_int_equal(how, ENGINE_REFUSED);
	x->refused[server]++;
}

/* Two call servers over one socket, one of them gone: each send may find the other's error waiting, and tells nothing by it. */
static void test_inside_udp_refused(void **state)
{
	static const struct inside_ops ops = {on_message, blame_failed, on_targets};
	struct loop_params lp = {
		.entries = 64, .ops_max = 64, .recv_bufs = 16, .send_bufs = 16, .buf_size = 2048};
	struct config_call_server servers[2] = {{.name = "gone", .transport = "udp"},
						{.name = "there", .transport = "udp"}};
	char address[2][32], why[200] = "", buf[16];
	uint16_t port, ports[2];
	struct blame x = {};
	struct inside_params p = {.servers = servers,
				  .n_servers = 2,
				  .udp_fd = udp_at("127.0.0.1", &port),
				  .tcp_fd = -1,
				  .tls_fd = -1,
				  .message_max = 4096,
				  .ops = &ops,
				  .arg = &x};
	int fd[2] = {udp_at("127.0.0.2", &ports[0]), udp_at("127.0.0.2", &ports[1])};
	struct inside_out o = {.transport = ENGINE_UDP, .data = SPAN("\r\n\r\n")};
	struct loop_timer timer = {.fn = on_time};
	struct inside *in;
	unsigned i;

	(void)state;
	close(fd[0]);
	for (i = 0; i < 2; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "127.0.0.2:%u", ports[i]);
		servers[i].address = address[i];
	}
	assert_int_equal(loop_new(&lp, &x.loop), 0);
	timer.arg = p.loop = x.loop;
	if (inside_new(&p, &in, why, sizeof(why)))
		fail_msg("%s", why);
	for (i = 0; i < 20; i++) {
		o.server = i & 1;
		assert_int_equal(addr_parse(span_str(address[i & 1]), &o.to), 0);
		assert_int_equal(inside_send(in, &o), 0);
	}
	loop_timer_set(x.loop, &timer, 50);
	assert_int_equal(loop_run(x.loop), 0);
	assert_int_equal(x.refused[0], 10);
	assert_int_equal(x.refused[1], 0);
	for (i = 0; recv(fd[1], buf, sizeof(buf), 0) == 4; i++)
		;
	assert_int_equal(i, 10);
	loop_timer_cancel(x.loop, &timer);
	inside_free(in);
	loop_free(x.loop);
	close(fd[1]);
	close(p.udp_fd);
}

/* ---- how a stream ends ---- */

struct ends {
	struct loop *loop;
	struct inside *in;
	struct addr to;
	unsigned n;
	enum engine_failure how;
};

static void ends_message(void *arg, const struct engine_inside_src *src, const struct sip_msg *m)
{
	(void)arg;
	(void)src;
	(void)m;
	fail_msg("nothing was said");
}

static void ends_failed(void *arg, unsigned server, const struct addr *to, enum engine_failure how,
			const char *why)
{
	struct ends *x = arg;

	assert_int_equal(server, 0);
	assert_true(addr_eq(to, &x->to));
	assert_int_not_equal(why[0], 0);
	x->n++;
	x->how = how;
	loop_stop(x->loop);
}

/* One message goes out; the test's server takes the connection and reads it. Its descriptor. */
static int ends_dial(struct ends *x, int listener)
{
	struct inside_out o = {.transport = ENGINE_TCP, .to = x->to, .data = SPAN("\r\n\r\n")};
	struct loop_timer timer = {.fn = on_time, .arg = x->loop};
	char buf[16];
	int fd;

	x->n = 0;
	assert_int_equal(inside_send(x->in, &o), 0);
	loop_timer_set(x->loop, &timer, 100);
	assert_int_equal(loop_run(x->loop), 0);
	loop_timer_cancel(x->loop, &timer);
	if (listener < 0)
		return -1;
	assert_int_equal(x->n, 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 4);
	return fd;
}

static void ends_wait(struct ends *x, enum engine_failure want)
{
	struct loop_timer timer = {.fn = on_time, .arg = x->loop};

	loop_timer_set(x->loop, &timer, 5000);
	if (!x->n)
		assert_int_equal(loop_run(x->loop), 0);
	loop_timer_cancel(x->loop, &timer);
	assert_int_equal(x->n, 1);
	assert_int_equal(x->how, want);
}

static void test_inside_stream_ends(void **state)
{
	static const struct inside_ops ops = {ends_message, ends_failed, on_targets};
	static const struct linger rst = {.l_onoff = 1};
	struct loop_params lp = {
		.entries = 64, .ops_max = 64, .recv_bufs = 16, .send_bufs = 16, .buf_size = 2048};
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	char address[32], why[200] = "";
	struct config_call_server server = {.name = "one", .transport = "tcp", .address = address};
	struct ends x = {};
	struct inside_params p = {.servers = &server,
				  .n_servers = 1,
				  .udp_fd = -1,
				  .tcp_fd = -1,
				  .tls_fd = -1,
				  .message_max = 4096,
				  .ops = &ops,
				  .arg = &x};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	(void)state;
	assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &a.sin_addr), 1);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 5), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.2:%u", ntohs(a.sin_port));
	assert_int_equal(addr_parse(span_str(address), &x.to), 0);
	assert_int_equal(loop_new(&lp, &x.loop), 0);
	p.loop = x.loop;
	if (inside_new(&p, &x.in, why, sizeof(why)))
		fail_msg("%s", why);
	close(ends_dial(&x, listener));
	ends_wait(&x, ENGINE_CLOSED);
	fd = ends_dial(&x, listener); /* another one: the first is over */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst)), 0);
	close(fd);
	ends_wait(&x, ENGINE_RESET);
	fd = ends_dial(&x, listener);
	assert_int_equal(send(fd, "no SIP at all\r\n\r\n", 17, 0), 17);
	ends_wait(&x, ENGINE_CLOSED); /* we end it: that is nobody's loss */
	close(fd);
	close(listener);
	(void)ends_dial(&x, -1);
	ends_wait(&x, ENGINE_REFUSED);
	inside_free(x.in);
	loop_free(x.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside_server_of),
		cmocka_unit_test(test_inside_udp_refused),
		cmocka_unit_test(test_inside_stream_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
