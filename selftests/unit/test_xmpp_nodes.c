/* selftests/unit/test_xmpp_nodes.c -- which chat server a stream goes to: turns, health, homes, SRV; and the memory of recent things. The
 * resolver is the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/memo.h"
#include "user/xmpp_nodes.h"

/* ---- a resolver that answers when it is told ---- */

struct question {
	dns_fn *fn;
	void *arg;
	char service[32], name[256];
	uint16_t port;
};
static struct question asked[32];
static unsigned n_asked;

int dns_service(struct dns *d, const char *service, const char *name, uint16_t default_port,
		dns_fn *fn, void *arg)
{
	struct question *q = &asked[n_asked++];

	(void)d;
	*q = (struct question){.fn = fn, .arg = arg, .port = default_port};
	snprintf(q->service, sizeof(q->service), "%s", service);
	snprintf(q->name, sizeof(q->name), "%s", name);
	return 0;
}

int dns_host(struct dns *d, const char *name, uint16_t port, dns_fn *fn, void *arg)
{
	return dns_service(d, "", name, port, fn, arg);
}

static void answer(unsigned i, int err, unsigned n, const struct dns_target *t)
{
	struct question q = asked[i];

	q.fn(q.arg, err, t, n, 60);
}

static struct dns_target target(const char *addr, uint16_t port, uint16_t priority, uint16_t weight)
{
	struct dns_target t = {.priority = priority, .weight = weight};

	assert_int_equal(addr_parse(span_str(addr), &t.addr), 0);
	t.addr.port = port;
	return t;
}

/* ---- */

static struct loop *loop;
static unsigned n_found;

static void found(void *arg)
{
	(void)arg;
	n_found++;
}

static const char *one[] = {"corp.example", "Other.example"};
static const char *two[] = {"srv.example"};
static const char *hosts[] = {"10.0.0.1:5222", "im2.in.example:5222", "10.0.0.3:5222"};
static struct config_xmpp_cluster clusters[] = {
	{.name = "a",
	 .domains = one,
	 .domains_count = 2,
	 .nodes = hosts,
	 .nodes_count = 3,
	 .tls = "starttls"},
	{.name = "b", .domains = two, .domains_count = 1, .tls = "direct"},
};
static const struct config_xmpp cfg = {.clusters = clusters, .clusters_count = 2};

static struct xmpp_nodes *start(void)
{
	struct loop_params lp = {.entries = 8, .ops_max = 8};
	struct xmpp_nodes_params p = {.cfg = &cfg, .found = found};
	struct xmpp_nodes *x;

	n_asked = n_found = 0;
	assert_int_equal(loop_new(&lp, &loop), 0);
	p.loop = loop;
	assert_int_equal(xmpp_nodes_new(&p, &x), 0);
	return x;
}

static void stop(struct xmpp_nodes *x)
{
	xmpp_nodes_free(x);
	loop_free(loop);
}

static struct xmpp_node *pick(struct xmpp_cluster *k, struct xmpp_tried *t)
{
	struct xmpp_node *n = NULL;

	return xmpp_nodes_pick(k, "corp.example", NULL, t, &n) ? NULL : n;
}

static void test_nodes_turns_and_health(void **state)
{
	struct xmpp_nodes *x = start();
	struct xmpp_cluster *k = xmpp_nodes_cluster(x, SPAN("other.EXAMPLE"));
	struct dns_target t = target("10.0.0.2", 5222, 0, 0);
	unsigned count[3] = {0}, i;
	struct xmpp_tried tried = {0}, none = {0};
	struct xmpp_node *n, *first;

	(void)state;
	assert_null(xmpp_nodes_cluster(x, SPAN("x.example")));
	assert_string_equal(xmpp_cluster_config(k)->name, "a");
	answer(0, 0, 1, &t);
	for (i = 0; i < 30; i++) {
		none.set = 0;
		count[xmpp_node_index(k, pick(k, &none))]++;
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(count[i], 10);
	first = pick(k, &tried);
	xmpp_node_failed(k, first, "refused");
	assert_false(xmpp_node_well(k, first));
	for (i = 0; i < 10; i++) {
		none.set = 0;
		assert_ptr_not_equal(pick(k, &none), first);
	}
	/* A stream never gets one twice, and the one that failed when no other is left. */
	assert_ptr_not_equal(pick(k, &tried), first);
	assert_ptr_not_equal(pick(k, &tried), first);
	assert_null(pick(k, &tried));
	for (i = 0; i < 3; i++)
		xmpp_node_failed(k, xmpp_node_at(k, i), "refused");
	none.set = 0;
	assert_non_null(pick(k, &none));
	xmpp_node_ok(first);
	assert_true(xmpp_node_well(k, first));
	none.set = 0;
	assert_int_equal(xmpp_nodes_pick(k, "corp.example", xmpp_node_at(k, 2), &none, &n), 0);
	assert_ptr_equal(n, first); /* who is preferred must be well */
	assert_ptr_equal(xmpp_nodes_find(k, "IM2.in.example", 0), xmpp_node_at(k, 1));
	assert_ptr_equal(xmpp_nodes_find(k, "10.0.0.2", 5222), xmpp_node_at(k, 1));
	assert_null(xmpp_nodes_find(k, "10.0.0.2", 5223));
	assert_null(xmpp_nodes_find(k, "evil.example", 0));
	stop(x);
}

/* Homes are spread, the same for everybody who asks, and only those of a node that goes move. */
static void test_nodes_home(void **state)
{
	struct xmpp_nodes *x = start();
	struct xmpp_cluster *k = xmpp_nodes_cluster(x, SPAN("corp.example"));
	struct dns_target t = target("10.0.0.2", 5222, 0, 0);
	unsigned count[3] = {0}, i, homes[300], moved = 0;
	char user[32];

	(void)state;
	for (i = 0; i < 300; i++) { /* two of three are known */
		snprintf(user, sizeof(user), "u%u@corp.example", i);
		homes[i] = xmpp_node_index(k, xmpp_nodes_home(k, "corp.example", user));
		assert_int_not_equal(homes[i], 1);
	}
	answer(0, 0, 1, &t);
	for (i = 0; i < 300; i++) {
		unsigned h;

		snprintf(user, sizeof(user), "U%u@corp.example", i);
		h = xmpp_node_index(k, xmpp_nodes_home(k, "CORP.example", user));
		count[h]++;
		assert_true(h == homes[i] || h == 1);
		moved += h != homes[i];
	}
	for (i = 0; i < 3; i++)
		assert_in_range(count[i], 60, 140);
	assert_int_equal(moved, count[1]);
	stop(x);
}

static void test_nodes_srv(void **state)
{
	struct xmpp_nodes *x = start();
	struct xmpp_cluster *k = xmpp_nodes_cluster(x, SPAN("srv.example"));
	struct xmpp_tried tried = {0};
	struct xmpp_node *n = NULL;
	struct dns_target t[4];
	unsigned count[4] = {0}, i;

	(void)state;
	assert_int_equal(n_asked, 2);
	assert_string_equal(asked[1].service, "_xmpps-client._tcp");
	assert_string_equal(asked[1].name, "srv.example");
	assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), -EAGAIN);
	t[0] = target("10.1.0.1", 5223, 10, 30);
	t[1] = target("10.1.0.2", 5223, 10, 10);
	t[2] = target("10.1.0.3", 5223, 20, 0);
	answer(1, 0, 3, t);
	assert_int_equal(n_found, 1);
	for (i = 0; i < 420; i++) {
		tried.set = 0;
		assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), 0);
		count[xmpp_node_index(k, n)]++;
	}
	assert_int_equal(count[2], 0); /* the next priority only where the first is down */
	assert_int_equal(count[0], 310);
	assert_int_equal(count[1], 110);
	xmpp_node_failed(k, xmpp_node_at(k, 0), "x");
	xmpp_node_failed(k, xmpp_node_at(k, 1), "x");
	tried.set = 0;
	assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), 0);
	assert_int_equal(xmpp_node_index(k, n), 2);
	stop(x);
}

/* No name, no node: but it is asked again, and nobody waits for ever. */
/* More addresses than there is room for, one after the other: those that nobody names and nobody uses make room. */
static void test_nodes_move(void **state)
{
	struct xmpp_nodes *x = start();
	struct xmpp_cluster *k = xmpp_nodes_cluster(x, SPAN("srv.example"));
	struct xmpp_node *used = NULL, *n = NULL;
	struct dns_target t;
	struct xmpp_tried tried;
	char addr[32];
	unsigned i;

	(void)state;
	for (i = 0; i < 3 * XMPP_NODES_MAX; i++) {
		snprintf(addr, sizeof(addr), "10.1.%u.1", i);
		t = target(addr, 5223, 0, 0);
		answer(1, 0, 1, &t);
		tried.set = 0;
		assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), 0);
		assert_true(addr_eq(&n->addrs[0], &t.addr));
		assert_true(n != used);
		if (i == 0) {
			used = n;
			used->streams++;
		}
	}
	assert_string_equal(used->host, "10.1.0.1");
	stop(x);
}

static void test_nodes_nothing_found(void **state)
{
	struct xmpp_nodes *x = start();
	struct xmpp_cluster *k = xmpp_nodes_cluster(x, SPAN("srv.example"));
	struct xmpp_tried tried = {0};
	struct xmpp_node *n = NULL;

	(void)state;
	assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), -EAGAIN);
	answer(1, -ENOENT, 0, NULL);
	assert_int_equal(n_found, 1);
	assert_int_equal(xmpp_nodes_pick(k, "srv.example", NULL, &tried, &n), -ENOENT);
	stop(x);
}

static void test_memo(void **state)
{
	struct memo m;
	unsigned i;

	(void)state;
	assert_int_equal(memo_init(&m, 1, 1000), 0);
	assert_null(memo_get(&m, 7, 0));
	memo_put(&m, 7, 42, 100);
	assert_int_equal(*memo_get(&m, 7, 1099), 42);
	assert_null(memo_get(&m, 7, 1100));
	assert_int_equal(memo_count(&m, 9, 100), 1);
	assert_int_equal(memo_count(&m, 9, 600), 2); /* the time is that of the first */
	assert_int_equal(memo_count(&m, 9, 1100), 1);
	for (i = 0; i < 8; i++)
		memo_put(&m, 100 + i, i, 2000 + i);
	assert_int_equal(m.pushed_out, 1);
	assert_null(memo_get(&m, 9, 2000));
	memo_put(&m, 200, 1, 2010); /* the oldest goes */
	assert_int_equal(m.pushed_out, 2);
	assert_null(memo_get(&m, 100, 2010));
	assert_int_equal(*memo_get(&m, 101, 2010), 1);
	memo_forget(&m, 101);
	assert_null(memo_get(&m, 101, 2010));
	memo_fini(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_turns_and_health),
		cmocka_unit_test(test_nodes_home),
		cmocka_unit_test(test_nodes_srv),
		cmocka_unit_test(test_nodes_move),
		cmocka_unit_test(test_nodes_nothing_found),
		cmocka_unit_test(test_memo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
