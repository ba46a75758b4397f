/* selftests/unit/test_edge_config.c -- what clients are told: the XML element by element, JSON, SRV records with their expiry
 * and failures. In: clusters, records, edges. Out: bodies, read again by expat and jansson. DNS is a table, the clock the
 * test's. */
#include "selftests/unit/logon_kit.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/edge_config.h"

/* ---- DNS ---- */

struct record {
	const char *name;
	struct dns_srv srv;
	int err;
};
static const struct record *records;
static unsigned asked;
static int refuse;
#define HELD_MAX 8
static struct held {
	char name[300];
	dns_srv_fn *fn;
	void *arg;
} held[HELD_MAX];
static unsigned n_held;

static void dns_answer(const char *name, dns_srv_fn *fn, void *arg)
{
	const struct record *r;
	struct dns_srv out[8];
	int err = -ENOENT;
	unsigned n = 0;

	for (r = records; r && r->name; r++)
		if (!strcmp(r->name, name)) {
			err = r->err;
			if (!err)
				out[n++] = r->srv;
		}
	fn(arg, err, out, n, 60);
}

int dns_srv(struct dns *d, const char *name, dns_srv_fn *fn, void *arg)
{
	(void)d;
	asked++;
	if (refuse)
		return refuse;
	assert_true(n_held < HELD_MAX);
	held[n_held] = (struct held){.fn = fn, .arg = arg};
	snprintf(held[n_held++].name, sizeof(held[0].name), "%s", name);
	return 0;
}

static void dns_run(void)
{
	unsigned i, n = n_held;

	n_held = 0;
	for (i = 0; i < n; i++)
		dns_answer(held[i].name, held[i].fn, held[i].arg);
}

/* ---- one answer ---- */

static const char yaml[] = "  clusters:\n"
			   "    - {name: hq, domains: [example.com], nodes: [cucm1.in, cucm2.in], "
			   "tftp: [198.51.100.30, tftp2.in]}\n"
			   "    - {name: branch, domains: [example.com], nodes: ['cucm3.in:9443'], "
			   "tftp: [198.51.100.40]}\n";
static const struct kit_user users[] = {
	{"anna", "p", "hq"}, {"berta", "p", "branch"}, {NULL, NULL, NULL}};
static const struct record good[] = {
	{"_cisco-uds._tcp.example.com", {"CUCM2.in", 8443, 5, 10}, 0},
	{"_cisco-uds._tcp.example.com", {"cucm1.in", 8443, 10, 20}, 0},
	{"_cisco-uds._tcp.example.com", {"stranger.in", 8443, 20, 0}, 0},
	{"_cuplogin._tcp.example.com", {"imp1.in", 8443, 1, 2}, 0},
	{"_cisco-phone-tftp._tcp.example.com", {"tftp1.in", 69, 3, 4}, 0},
	{NULL, {"", 0, 0, 0}, 0},
};
static const struct edge_config_edge edges[] = {
	{"edge1.example.com", "edge1.example.com", "im.example.com", 5061, 8443, 5222, 5223},
	{"2001:db8::e", "edge2.example.com", "", 5061, 443, 0, 0},
};

struct got {
	unsigned n, status;
	char type[64], body[EDGE_CONFIG_BODY_MAX + 1];
};

static void on_done(void *arg, unsigned status, const char *type, struct span body)
{
	struct got *g = arg;

	g->n++;
	g->status = status;
	snprintf(g->type, sizeof(g->type), "%s", type);
	assert_true(span_copy(body, g->body, sizeof(g->body)) >= 0);
}

static struct kit *kit;
static struct edge_config *ec;

static void start(const struct record *r)
{
	struct edge_config_params p = {.dns = (struct dns *)&records};

	kit = kit_new(yaml, users);
	records = r;
	asked = n_held = 0;
	refuse = 0;
	p.loop = (struct loop *)kit;
	p.logon = kit->logon;
	p.clusters = kit->clusters;
	assert_int_equal(edge_config_new(&p, &ec), 0);
}

static void stop(void)
{
	edge_config_free(ec);
	dns_run(); /* after its end: nobody is told */
	kit_free(kit);
}

static void make(enum http_service_path what, const char *domain, const char *user,
		 const char *query, struct got *g)
{
	struct edge_config_ask ask = {.what = what,
				      .domain = domain,
				      .user = user,
				      .query = span_str(query),
				      .edges = edges,
				      .n_edges = 2};

	memset(g, 0, sizeof(*g));
	assert_int_equal(edge_config_make(ec, &ask, on_done, g), 0);
	assert_int_equal(g->n, 0); /* never from inside */
}

static void run(void)
{
	kit_run(kit);
	dns_run();
	kit_run(kit);
}

/* ---- the XML as a list of "path=text", in its order ---- */

struct list {
	char path[512], lines[16384], text[1024];
	size_t n;
};

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **a)
{
	struct list *l = arg;

	strcat(l->path, "/");
	strcat(l->path, name);
	l->text[0] = 0;
	for (; *a; a += 2)
		l->n += (size_t)snprintf(l->lines + l->n, sizeof(l->lines) - l->n, "%s@%s=%s\n",
					 l->path, a[0], a[1]);
	if (!strcmp(name, "server") || !strcmp(name, "service") || strstr(name, "Server") ||
	    !strcmp(name, "sipRequest"))
		l->n += (size_t)snprintf(l->lines + l->n, sizeof(l->lines) - l->n, "%s\n", l->path);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct list *l = arg;

	strncat(l->text, s, (size_t)n);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct list *l = arg;

	(void)name;
	if (l->text[0] && l->text[0] != '\n')
		l->n += (size_t)snprintf(l->lines + l->n, sizeof(l->lines) - l->n, "%s=%s\n",
					 l->path, l->text);
	l->text[0] = 0;
	*strrchr(l->path, '/') = 0;
}

static const char *listed(const char *xml)
{
	static struct list l;
	XML_Parser p = XML_ParserCreate(NULL);

	memset(&l, 0, sizeof(l));
	XML_SetUserData(p, &l);
	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	if (XML_Parse(p, xml, (int)strlen(xml), 1) != XML_STATUS_OK)
		fail_msg("no XML: %s", xml);
	XML_ParserFree(p);
	return l.lines;
}

#define R  "/getEdgeConfigResponse"
#define S  R "/serviceConfig/service"
#define SV S "/server"
#define E  R "/edgeConfig"
#define EDGES                                                                                      \
	E "/sipEdgeServer\n" E "/sipEdgeServer/server\n" E                                         \
	  "/sipEdgeServer/server/address=edge1.example.com\n" E                                    \
	  "/sipEdgeServer/server/tlsPort=5061\n" E "/sipEdgeServer/server\n" E                     \
	  "/sipEdgeServer/server/address=2001:db8::e\n" E "/sipEdgeServer/server/tlsPort=5061\n" E \
	  "/sipRequest\n" E "/sipRequest/route=<sip:edge1.example.com:5061;transport=tls;lr>\n" E  \
	  "/sipRequest/route=<sip:[2001:db8::e]:5061;transport=tls;lr>\n" E "/xmppEdgeServer\n" E  \
	  "/xmppEdgeServer/server\n" E "/xmppEdgeServer/server/address=im.example.com\n" E         \
	  "/xmppEdgeServer/server/tlsPort=5222\n" E "/httpEdgeServer\n" E                          \
	  "/httpEdgeServer/server\n" E "/httpEdgeServer/server/address=edge1.example.com\n" E      \
	  "/httpEdgeServer/server/tlsPort=8443\n" E "/httpEdgeServer/server\n" E                   \
	  "/httpEdgeServer/server/address=edge2.example.com\n" E                                   \
	  "/httpEdgeServer/server/tlsPort=443\n" E "/turnEdgeServer\n" E "/userUdsServer\n" E      \
	  "/userUdsServer/server\n"

static void test_edge_config_elements(void **state)
{
	static const char want[] = R
		"@version=1.0\n" S "\n" S "/name=_cisco-phone-tftp\n" SV "\n" SV "/priority=3\n" SV
		"/weight=4\n" SV "/port=69\n" SV "/address=tftp1.in\n" S "\n" S
		"/name=_cuplogin\n" SV "\n" SV "/priority=1\n" SV "/weight=2\n" SV "/port=8443\n" SV
		"/address=imp1.in\n" S "\n" S "/name=_cisco-uds\n" SV "\n" SV "/priority=5\n" SV
		"/weight=10\n" SV "/port=8443\n" SV "/address=CUCM2.in\n" SV "\n" SV
		"/priority=10\n" SV "/weight=20\n" SV "/port=8443\n" SV "/address=cucm1.in\n" S
		"\n" S "/name=tftpServer\n" S "/address=198.51.100.40\n" EDGES E
		"/userUdsServer/server/address=cucm3.in\n" E "/userUdsServer/server/tlsPort=9443\n";
	struct got g;

	(void)state;
	start(good);
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "berta",
	     "service_name=_cisco-uds&service_name=_cuplogin", &g);
	run();
	assert_int_equal(g.n, 1);
	assert_int_equal(g.status, 200);
	assert_string_equal(g.type, "text/xml; charset=utf-8");
	assert_string_equal(listed(g.body), want);
	/* The Route is text, with its brackets escaped. */
	assert_non_null(strstr(
		g.body, "<route>&lt;sip:edge1.example.com:5061;transport=tls;lr&gt;</route>"));
	stop();
}

/* What does not resolve says why; UDS falls back on the nodes that are configured, the user's home first. */
static void test_edge_config_failures(void **state)
{
	static const struct record bad[] = {
		{"_cuplogin._tcp.example.com", {"", 0, 0, 0}, -ETIMEDOUT},
		{"_cisco-uds._tcp.example.com", {"", 0, 0, 0}, -EIO},
		{NULL, {"", 0, 0, 0}, 0}};
	static const char want[] = R
		"@version=1.0\n" S "\n" S "/name=_cisco-phone-tftp\n" S "/error=NameError\n" S
		"\n" S "/name=_cuplogin\n" S "/error=TimeoutError\n" S "\n" S
		"/name=_cisco-uds\n" SV "\n" SV "/priority=1\n" SV "/weight=1\n" SV
		"/port=8443\n" SV "/address=cucm1.in\n" SV "\n" SV "/priority=1\n" SV
		"/weight=1\n" SV "/port=8443\n" SV "/address=cucm2.in\n" SV "\n" SV
		"/priority=2\n" SV "/weight=1\n" SV "/port=9443\n" SV "/address=cucm3.in\n" S "\n" S
		"/name=tftpServer\n" S "/address=198.51.100.30\n" S "/address=tftp2.in\n" EDGES E
		"/userUdsServer/server/address=cucm2.in\n" E "/userUdsServer/server/tlsPort=8443\n";
	struct got g;

	(void)state;
	start(bad);
	make(HTTP_PATH_EDGE_CONFIG, "EXAMPLE.com", "anna", "", &g);
	run();
	assert_string_equal(listed(g.body), want);
	/* A server inside our own limit: an error this time, asked again the next. */
	stop();
	start(good);
	refuse = -EBUSY;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "service_name=_cuplogin", &g);
	run();
	assert_non_null(strstr(listed(g.body), S "/name=_cuplogin\n" S "/error=ServerError\n"));
	assert_null(strstr(listed(g.body), "_cisco-uds"));
	refuse = 0;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "service_name=_cuplogin", &g);
	run();
	assert_non_null(strstr(listed(g.body), SV "/address=imp1.in\n"));
	stop();
}

/* A node that failed is left out, and comes back. */
static void test_edge_config_health(void **state)
{
	struct cluster_node *n;
	struct got g;

	(void)state;
	start(good);
	n = &clusters_at(kit->clusters, 0)->nodes[1];
	cluster_node_failed(n, kit_ms, "dead");
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &g);
	run();
	assert_null(strstr(g.body, "CUCM2.in"));
	assert_non_null(strstr(listed(g.body), SV "/address=cucm1.in\n"));
	assert_non_null(strstr(listed(g.body), E "/userUdsServer/server/address=cucm1.in\n"));
	kit_ms += CLUSTER_BAD_MS;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &g);
	run();
	assert_non_null(strstr(g.body, "CUCM2.in"));
	stop();
}

/* Asked once for all who wait, kept for the records' life, failures for ten seconds. */
static void test_edge_config_expiry(void **state)
{
	struct got a, b, c;

	(void)state;
	start(good);
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &a);
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &b);
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "berta", "", &c);
	edge_config_forget(ec, &b);
	run();
	assert_true(a.n == 1 && b.n == 0 && c.n == 1);
	assert_int_equal(asked, 3);
	kit_ms += 59999;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &a);
	run();
	assert_int_equal(asked, 3);
	kit_ms += 1;
	records = NULL;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &a);
	run();
	assert_int_equal(asked, 6);
	assert_non_null(strstr(a.body, "<error>NameError</error>"));
	records = good;
	kit_ms += 9999;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &a);
	run();
	assert_non_null(strstr(a.body, "<error>NameError</error>"));
	kit_ms += 1;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", "", &a);
	run();
	assert_null(strstr(a.body, "<error>"));
	assert_int_equal(asked, 9);
	/* Freed with questions under way. */
	kit_ms += 60000;
	make(HTTP_PATH_EDGE_CONFIG, "example.com", "nobody", "", &a);
	stop();
	assert_int_equal(a.n, 0);
}

static void test_edge_config_queries(void **state)
{
	static const struct {
		const char *query;
		unsigned status;
		bool uds, cup;
	} rows[] = {
		{"", 200, true, true},
		{"service_name=_cisco-uds", 200, true, false},
		{"service_name=%5Fcuplogin", 200, false, true},
		{"service_name=_cisco-uds&service_name=_cisco-uds", 200, true, false},
		{"service_name=_ldap", 200, false, false},
		{"service_name=<b>&x=y", 200, false, false},
		{"service_name=_cisco-uds%00x", 200, false, false},
		{"x=y", 200, true, true},
		{"service_name=%5", 400, false, false},
		{"service_name=%zz", 400, false, false},
		{"a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", 400, false, false},
	};
	struct got g;
	size_t i;

	(void)state;
	start(good);
	for (i = 0; i < KIT_N(rows); i++) {
		make(HTTP_PATH_EDGE_CONFIG, "example.com", "anna", rows[i].query, &g);
		run();
		if (g.n != 1 || g.status != rows[i].status ||
		    !strstr(g.body, ">_cisco-uds<") != !rows[i].uds ||
		    !strstr(g.body, ">_cuplogin<") != !rows[i].cup)
			fail_msg("%s: %u %s", rows[i].query, g.status, g.body);
		assert_null(strstr(g.body, "_ldap"));
	}
	make(HTTP_PATH_EDGE_CONFIG, "example.org", "anna", "", &g);
	run();
	assert_int_equal(g.status, 403);
	assert_int_equal(asked, 3);
	stop();
}

static void test_edge_sso(void **state)
{
	struct got g;

	(void)state;
	start(good);
	make(HTTP_PATH_EDGE_SSO, "example.com", NULL, "email=anna%40example.com", &g);
	run();
	assert_int_equal(g.status, 200);
	assert_string_equal(listed(g.body),
			    "/getEdgeSsoResponse@version=1.0\n/getEdgeSsoResponse/sso=false\n");
	make(HTTP_PATH_EDGE_SSO, "example.org", NULL, "", &g);
	run();
	assert_int_equal(g.status, 403);
	assert_int_equal(asked, 0); /* no question inside for somebody who is not logged on */
	stop();
}

static void test_well_known(void **state)
{
	json_t *j, *inside;
	struct got g;

	(void)state;
	start(good);
	make(HTTP_PATH_WELL_KNOWN, "example.com", NULL, "", &g);
	run();
	assert_string_equal(g.type, "application/json");
	assert_int_equal(asked, 0);
	j = json_loads(g.body, JSON_REJECT_DUPLICATES, NULL);
	assert_null(json_object_get(j, "inside")); /* names inside are for who is logged on */
	assert_string_equal(json_string_value(json_object_get(j, "domain")), "example.com");
	assert_int_equal(
		json_integer_value(json_object_get(
			json_array_get(json_object_get(json_object_get(j, "edges"), "https"), 1),
			"tls_port")),
		443);
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(json_object_get(j, "edges"), "sip_routes"), 1)),
			    "<sip:[2001:db8::e]:5061;transport=tls;lr>");
	json_decref(j);
	make(HTTP_PATH_WELL_KNOWN, "example.com", "berta", "", &g);
	run();
	j = json_loads(g.body, JSON_REJECT_DUPLICATES, NULL);
	inside = json_object_get(j, "inside");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(inside, "user_uds"), "address")),
		"cucm3.in");
	assert_int_equal(json_array_size(json_object_get(
				 json_object_get(json_object_get(inside, "services"), "_cisco-uds"),
				 "servers")),
			 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(inside, "tftp"), 0)),
			    "198.51.100.40");
	json_decref(j);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edge_config_elements),
		cmocka_unit_test(test_edge_config_failures),
		cmocka_unit_test(test_edge_config_health),
		cmocka_unit_test(test_edge_config_expiry),
		cmocka_unit_test(test_edge_config_queries),
		cmocka_unit_test(test_edge_sso),
		cmocka_unit_test(test_well_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
