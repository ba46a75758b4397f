/* selftests/unit/test_dns.c -- SRV and address look-ups against a real dnsmasq on loopback: order, fallback, missing names, no server. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/dns.h"

#define PORT "25353"

struct answer {
	struct loop *loop;
	int err;
	unsigned n, calls;
	struct dns_target targets[DNS_TARGETS_MAX];
};

static pid_t server;

static int start_dnsmasq(void **state)
{
	(void)state;
	server = fork();
	if (server == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a sanitizer ends the test */
		dup2(null, 1);
		dup2(null, 2);
		execlp("dnsmasq", "dnsmasq", "-k", "-C", "/dev/null", "--port=" PORT,
		       "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
		       "--no-hosts", "--user=", "--pid-file=", "--local=/test.example/",
		       "--local-ttl=40", "--host-record=a.test.example,192.0.2.1,2001:db8::1",
		       "--host-record=b.test.example,192.0.2.2",
		       "--srv-host=_sip._udp.test.example,b.test.example,5070,10,7",
		       "--srv-host=_sip._udp.test.example,a.test.example,5060,5,3", (char *)NULL);
		_exit(127);
	}
	usleep(300000); /* the first question is repeated by c-ares if it is not up yet */
	return server > 0 && kill(server, 0) == 0 ? 0 : -1;
}

static int stop_dnsmasq(void **state)
{
	(void)state;
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	return 0;
}

static void on_answer(void *arg, int err, const struct dns_target *targets, unsigned n,
		      unsigned ttl_s)
{
	struct answer *a = arg;

	assert_in_range(ttl_s, 0, 300);
	a->err = err;
	a->n = n;
	a->calls++;
	if (n)
		memcpy(a->targets, targets, n * sizeof(*targets));
	loop_stop(a->loop);
}

/* @service NULL: the host's addresses. */
static void ask_of(const char *resolver, const char *service, const char *name, struct answer *a)
{
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct dns *d;

	*a = (struct answer){.err = 1};
	assert_int_equal(loop_new(&lp, &a->loop), 0);
	assert_int_equal(dns_new(a->loop, resolver, &d), 0);
	if (service)
		assert_int_equal(dns_service(d, service, name, 5060, on_answer, a), 0);
	else
		assert_int_equal(dns_host(d, name, 8443, on_answer, a), 0);
	assert_true(service || !a->calls); /* never from inside */
	if (!a->calls)
		assert_int_equal(loop_run(a->loop), 0);
	dns_free(d);
	loop_free(a->loop);
	assert_int_equal(a->calls, 1);
}

static void ask(const char *resolver, const char *name, struct answer *a)
{
	ask_of(resolver, "_sip._udp", name, a);
}

/* Without SRV, though there is one for that name. */
static void test_dns_host(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct answer a;

	(void)state;
	ask_of("127.0.0.1:" PORT, NULL, "a.test.example", &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.n, 2);
	assert_true(addr_is_v4(&a.targets[0].addr) != addr_is_v4(&a.targets[1].addr));
	assert_int_equal(a.targets[0].addr.port, 8443);
	assert_int_equal(a.targets[1].addr.port, 8443);
	ask_of("127.0.0.1:" PORT, NULL, "test.example", &a);
	assert_int_equal(a.err, -ENOENT);
	ask_of("127.0.0.1:" PORT, NULL, "192.0.2.9", &a);
	assert_int_equal(a.n, 1);
	assert_string_equal(addr_text(&a.targets[0].addr, text), "192.0.2.9:8443");
}

static void test_dns_srv_order(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct answer a;

	(void)state;
	ask("127.0.0.1:" PORT, "test.example", &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.n, 3);
	assert_int_equal(a.targets[0].addr.port, 5060); /* priority 5 first, both its families */
	assert_int_equal(a.targets[1].addr.port, 5060);
	assert_true(addr_is_v4(&a.targets[0].addr) != addr_is_v4(&a.targets[1].addr));
	assert_string_equal(addr_text(&a.targets[2].addr, text), "192.0.2.2:5070");
	assert_int_equal(a.targets[0].priority, 5);
	assert_int_equal(a.targets[0].weight, 3);
	assert_int_equal(a.targets[1].weight, 0); /* of the same host: after the first */
	assert_int_equal(a.targets[2].priority, 10);
	assert_int_equal(a.targets[2].weight, 7);
}

static struct alone {
	struct loop *loop;
	int err;
	unsigned n, ttl_s, calls;
	struct dns_srv records[DNS_TARGETS_MAX];
} alone;

static void on_alone(void *arg, int err, const struct dns_srv *records, unsigned n, unsigned ttl_s)
{
	(void)arg;
	alone.err = err;
	alone.n = n;
	alone.ttl_s = ttl_s;
	alone.calls++;
	memcpy(alone.records, records, n * sizeof(*records));
	loop_stop(alone.loop);
}

static void ask_alone(const char *name)
{
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct dns *d;

	alone = (struct alone){.err = 1};
	assert_int_equal(loop_new(&lp, &alone.loop), 0);
	assert_int_equal(dns_new(alone.loop, "127.0.0.1:" PORT, &d), 0);
	assert_int_equal(dns_srv(d, name, on_alone, NULL), 0);
	if (!alone.calls)
		assert_int_equal(loop_run(alone.loop), 0);
	dns_free(d);
	loop_free(alone.loop);
	assert_int_equal(alone.calls, 1);
}

/* The records as they are, with their time to live, which c-ares does not tell. */
static void test_dns_srv_alone(void **state)
{
	(void)state;
	ask_alone("_sip._udp.test.example");
	assert_int_equal(alone.err, 0);
	assert_int_equal(alone.n, 2);
	assert_int_equal(alone.ttl_s, 40);
	assert_string_equal(alone.records[0].host, "a.test.example");
	assert_int_equal(alone.records[0].port, 5060);
	assert_int_equal(alone.records[0].priority, 5);
	assert_int_equal(alone.records[0].weight, 3);
	assert_string_equal(alone.records[1].host, "b.test.example");
	ask_alone("_none._udp.test.example");
	assert_int_equal(alone.err, -ENOENT);
	ask_alone("a.test.example");
	assert_int_equal(alone.err, -ENOENT);
}

static void test_dns_without_srv(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct answer a;

	(void)state;
	ask("127.0.0.1:" PORT, "b.test.example", &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.n, 1);
	assert_string_equal(addr_text(&a.targets[0].addr, text), "192.0.2.2:5060");
}

static void test_dns_no_such_name(void **state)
{
	struct answer a;

	(void)state;
	ask("127.0.0.1:" PORT, "missing.test.example", &a);
	assert_int_equal(a.err, -ENOENT);
	assert_int_equal(a.n, 0);
}

static void test_dns_no_server(void **state)
{
	struct answer a;

	(void)state;
	ask("127.0.0.1:9", "test.example",
	    &a); /* nothing listens there: refused or timed out, never a name error */
	assert_true(a.err == -ETIMEDOUT || a.err == -EIO);
}

static void test_dns_freed_while_asking(void **state)
{
	struct loop_params lp = {.entries = 64, .ops_max = 64};
	struct answer a = {.err = 1};
	struct dns *d;

	(void)state;
	assert_int_equal(loop_new(&lp, &a.loop), 0);
	assert_int_equal(dns_new(a.loop, "127.0.0.1:" PORT, &d), 0);
	assert_int_equal(dns_service(d, "_sip._udp", "test.example", 5060, on_answer, &a), 0);
	dns_free(d);
	loop_free(a.loop);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err, -ECANCELED);
	a = (struct answer){.err = 1};
	assert_int_equal(loop_new(&lp, &a.loop), 0);
	assert_int_equal(dns_new(a.loop, "127.0.0.1:" PORT, &d), 0);
	assert_int_equal(dns_host(d, "test.example", 5060, on_answer, &a), 0);
	dns_free(d);
	loop_free(a.loop);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err, -ECANCELED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dns_host),
		cmocka_unit_test(test_dns_srv_order),
		cmocka_unit_test(test_dns_srv_alone),
		cmocka_unit_test(test_dns_without_srv),
		cmocka_unit_test(test_dns_no_such_name),
		cmocka_unit_test(test_dns_no_server),
		cmocka_unit_test(test_dns_freed_while_asking),
	};

	return cmocka_run_group_tests(tests, start_dnsmasq, stop_dnsmasq);
}
