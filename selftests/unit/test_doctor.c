/* selftests/unit/test_doctor.c -- doctor_judge(): a healthy report has no finding, and each change of it just the one that it should.
 *
 * In: selftests/data/doctor/healthy.json, a report of a real pair (edge, core, a client outside), at a fixed time. A row changes one place of
 * it and names the findings that are to come; whatever else is not ok fails the test. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/doctor.h"

#define HEALTHY "selftests/data/doctor/healthy.json"
#define AT	"1800000000"
#define EDGE	"nodes/0/"
#define CORE	"nodes/1/"
#define CLIENT	"nodes/2/"

static json_t *healthy(void)
{
	json_error_t err;
	json_t *r = json_load_file(HEALTHY, 0, &err);

	if (!r)
		fail_msg("%s: %s", HEALTHY, err.text);
	return r;
}

/* "a/0/b": the value there becomes @text's; "-": it is gone. The way has to be there, but for the last key. */
static void change(json_t *root, const char *path, const char *text)
{
	char way[200], *key, *next;
	json_t *at = root, *v = strcmp(text, "-") ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	assert_true(strlen(path) < sizeof(way));
	assert_true(v || !strcmp(text, "-"));
	strcpy(way, path);
	for (key = way; (next = strchr(key, '/')); key = next + 1) {
		*next = 0;
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key))
				       : json_object_get(at, key);
		if (!at)
			fail_msg("%s: nothing at %s", path, key);
	}
	if (json_is_array(at))
		assert_int_equal(json_array_set_new(at, (size_t)atoi(key), v), 0);
	else if (v)
		assert_int_equal(json_object_set_new(at, key, v), 0);
	else
		assert_int_equal(json_object_del(at, key), 0);
}

static const char *word(const json_t *f, const char *key)
{
	return json_string_value(json_object_get(f, key));
}

/* "fail:dns.srv-wrong warn:..." of all that is not ok, once each, in their order. */
static void summary(const json_t *findings, char *out, size_t n)
{
	const json_t *f;
	char one[80];
	size_t i;

	out[0] = 0;
	json_array_foreach(findings, i, f)
	{
		if (!strcmp(word(f, "severity"), "ok"))
			continue;
		if (!*word(f, "why") || !*word(f, "fix") || !*word(f, "what") || !*word(f, "node"))
			fail_msg("%s: half a finding", word(f, "id"));
		snprintf(one, sizeof(one), "%s:%s", word(f, "severity"), word(f, "id"));
		if (strstr(out, one))
			continue;
		snprintf(out + strlen(out), n - strlen(out), "%s%s", *out ? " " : "", one);
	}
}

static const struct row {
	const char *what, *path, *value, *want;
} rows[] = {
	{"configuration", EDGE "error", "\"edge.yaml:3: unknown key\"", "fail:config"},
	{"daemon", EDGE "status", "-", "fail:daemon"},
	{"older worker", EDGE "status/version", "\"0.0.9\"", "warn:version"},
	{"drain", EDGE "status/drain", "{\"on\": true}", "warn:drain"},
	{"no drain", EDGE "status/drain", "{\"on\": false}", ""},
	{"not root", CORE "uid", "1000", "warn:root"},
	/* DNS outside */
	{"no SRV", EDGE "dns/1/records", "[]", "fail:dns.srv-missing"},
	{"no SRV of SIP, but the web's answer tells", EDGE "dns/0/records", "[]",
	 "warn:dns.srv-missing"},
	{"other host", EDGE "dns/1/records/0/host", "\"old.corp.example\"", "fail:dns.srv-wrong"},
	{"other port", EDGE "dns/0/records/0/port", "5060", "fail:dns.srv-wrong"},
	{"host in other case", EDGE "dns/1/records/0/host", "\"EDGE.corp.example\"", ""},
	{"a second edge beside us", EDGE "dns/1/records",
	 "[{\"host\":\"edge.corp.example\",\"port\":8443},{\"host\":\"edge2.corp.example\","
	 "\"port\":8443}]",
	 ""},
	{"no answer", EDGE "dns/1/error", "\"Timeout while contacting DNS servers\"",
	 "fail:dns.server"},
	{"inside record", EDGE "dns/4/records",
	 "[{\"host\":\"cucm1.in.corp.example\",\"port\":8443}]", "fail:dns.inside-visible"},
	{"the older one", CLIENT "dns/5/records",
	 "[{\"host\":\"cup.in.corp.example\",\"port\":8443}]", "fail:dns.inside-visible"},
	{"no address", EDGE "dns/6/addresses", "[]", "fail:dns.address-missing"},
	{"other address", EDGE "dns/6/addresses", "[\"203.0.113.99\"]", "fail:dns.address-wrong"},
	{"two, one not ours", EDGE "dns/6/addresses", "[\"203.0.113.10\",\"203.0.113.99\"]",
	 "fail:dns.address-two"},
	{"AAAA of another machine", EDGE "dns/6/addresses", "[\"203.0.113.10\",\"2001:db8::9\"]",
	 "fail:dns.address-wrong"},
	{"alias", EDGE "dns/6/alias", "\"lb.example.net\"", "warn:dns.alias"},
	/* and inside */
	{"name of a web server", CORE "dns/0/addresses", "[]", "fail:dns.inside"},
	{"SRV of a chat domain", CORE "dns/0",
	 "{\"side\":\"inside\",\"for\":\"chat\",\"name\":\"_xmpp-client._tcp.corp.example\","
	 "\"type\":\"SRV\",\"server\":\"x\",\"error\":\"none\",\"records\":[]}",
	 "fail:dns.inside"},
	/* certificates: 0 link, 1 sip, 2 https, 3 xmpp */
	{"no file", EDGE "certificates/1/error", "\"No such file or directory\"", "fail:cert.file"},
	{"other name", EDGE "certificates/1/names", "[\"sip.example.org\"]", "fail:cert.names"},
	{"no SAN", EDGE "certificates/2/names", "[]", "fail:cert.names"},
	{"another certificate of the service has it", EDGE "certificates/0",
	 "{\"what\": \"https\", \"names\": [\"sip.corp.example\"], \"wanted\": "
	 "[\"edge.corp.example\"], \"not_after\": 1900000000}",
	 ""},
	{"none has it", EDGE "certificates/2",
	 "{\"what\": \"https\", \"names\": [\"a.example\"], \"wanted\": [\"edge.corp.example\"], "
	 "\"not_after\": 1900000000, \"fingerprint\": \"1\"}",
	 "fail:cert.names warn:cert.stale"},
	{"wildcard", EDGE "certificates/2/names", "[\"*.corp.example\"]", ""},
	{"wildcard of two labels", EDGE "certificates/2/names", "[\"*.example\"]",
	 "fail:cert.names"},
	{"chat: the domain is what counts", EDGE "certificates/3/names", "[\"edge.corp.example\"]",
	 "fail:cert.names"},
	{"link's name", EDGE "certificates/0/names", "[\"core.corp.example\"]", "fail:cert.names"},
	{"core's inside name", CORE "certificates/1/names", "[\"elsewhere\"]", "warn:cert.names"},
	{"ends this second", EDGE "certificates/1/not_after", AT, "fail:cert.expired"},
	{"begins in a minute", EDGE "certificates/1/not_before", "1800000060", "fail:cert.not-yet"},
	{"ten days left", EDGE "certificates/1/not_after", "1800864000", "warn:cert.soon"},
	{"fifteen", EDGE "certificates/1/not_after", "1801296000", ""},
	{"an intermediate one ended", EDGE "certificates/1/chain_not_after", "1799999999",
	 "fail:cert.expired"},
	{"chain", EDGE "certificates/1/chain", "\"unable to get local issuer certificate\"",
	 "fail:cert.chain"},
	{"link of another CA", CORE "certificates/0/chain",
	 "\"unable to get local issuer certificate\"", "fail:cert.chain"},
	{"key", EDGE "certificates/1/key", "\"it does not belong to the certificate\"",
	 "fail:cert.key"},
	{"key that we may not read", EDGE "certificates/1/key", "\"Permission denied\"",
	 "warn:cert.key"},
	{"key for all", EDGE "certificates/1/key_mode", "\"0644\"", "warn:cert.key-mode"},
	{"key for a group", EDGE "certificates/1/key_mode", "\"0640\"", ""},
	{"not for servers", EDGE "certificates/1/server_auth", "false", "fail:cert.use"},
	{"a server's need not be a client's", EDGE "certificates/1/client_auth", "false", ""},
	{"the core dials the link", CORE "certificates/0/client_auth", "false", "fail:cert.use"},
	{"and is no server there", CORE "certificates/0/server_auth", "false", ""},
	{"towards call servers: what public CAs still issue", CORE "certificates/1/client_auth",
	 "false", "warn:cert.use"},
	{"no signature", EDGE "certificates/2/signs", "false", "fail:cert.use"},
	{"short key", EDGE "certificates/1/key_type", "\"RSA\"", "fail:cert.weak"},
	{"reload forgotten", EDGE "probes/0/fingerprint", "\"00\"", "warn:cert.stale"},
	/* sockets */
	{"no listener", EDGE "listeners/1/bound", "false", "fail:port.listen"},
	{"not reserved", EDGE "ports/reserved", "\"\"", "warn:port.reserved"},
	{"one is missing", EDGE "ports/reserved", "\"36000-37998\"", "warn:port.reserved"},
	{"in pieces", EDGE "ports/reserved", "\"53,35999-36500,36501-37999\"", ""},
	{"taken", EDGE "ports/media/0/taken", "[36010]", "warn:port.taken"},
	{"few left", EDGE "ports/local_last", "33000", "warn:port.few"},
	/* what clients meet: 0 sip, 1 https, 2 xmpp, 3 xmpps */
	{"closed", CLIENT "probes/0",
	 "{\"group\":\"client\",\"what\":\"sip\",\"kind\":\"sip-tls\",\"error\":\"Connection "
	 "refused\"}",
	 "fail:reach.connect"},
	{"chat closed", CLIENT "probes/2",
	 "{\"group\":\"client\",\"what\":\"xmpp\",\"kind\":\"xmpp\",\"error\":\"no answer\"}",
	 "fail:reach.connect"},
	{"no TLS there", CLIENT "probes/0",
	 "{\"group\":\"client\",\"what\":\"sip\",\"kind\":\"sip-tls\",\"error\":\"TLS: wrong "
	 "version number\"}",
	 "fail:reach.tls"},
	{"wrong name", CLIENT "probes/1/tls", "\"wanted the name edge, it has none\"",
	 "fail:reach.tls"},
	{"core away", CLIENT "probes/1/answer", "\"HTTP/1.1 503 Service Unavailable\"",
	 "fail:reach.answer"},
	{"domain unknown", CLIENT "probes/1/answer", "\"HTTP/1.1 403 Forbidden\"",
	 "fail:reach.answer"},
	{"SIP unavailable", CLIENT "probes/0/answer", "\"SIP/2.0 503 Service Unavailable\"",
	 "fail:reach.answer"},
	{"SIP not found is an answer", CLIENT "probes/0/answer", "\"SIP/2.0 404 Not Found\"", ""},
	{"silent after TLS", CLIENT "probes/3/error", "\"no answer within 2 s\"",
	 "fail:reach.answer"},
	/* the link */
	{"edge's side", EDGE "status/links/0/state", "\"down\"", "fail:link"},
	{"core's side", CORE "status/links/0/state", "\"down\"", "fail:link"},
	{"pool empty", EDGE "status/links/0/pool_idle", "0", "warn:link.pool"},
	{"clocks", EDGE "status/links/0/clock_ahead_s", "-300", "fail:clock.peer"},
	{"a little", EDGE "status/links/0/clock_ahead_s", "6", "warn:clock.peer"},
	{"hardly", EDGE "status/links/0/clock_ahead_s", "5", ""},
	{"a server's clock", CORE "probes/2/date_s", "1799999000", "warn:clock.peer"},
	{"nobody sets it", CORE "clock/synchronised", "false", "warn:clock.ntp"},
	/* servers: 0 call, 1 chat, 2 and 3 web */
	{"call server refuses", CORE "probes/0/error", "\"Connection refused (ICMP)\"",
	 "fail:server.call"},
	{"call server silent to a stranger", CORE "probes/0/error",
	 "\"no answer to OPTIONS within 2 s\"", "warn:server.call"},
	{"chat server", CORE "probes/1/error", "\"Connection refused\"", "fail:server.chat"},
	{"chat server's certificate", CORE "probes/1/tls", "\"certificate has expired\"",
	 "fail:server.chat"},
	{"one web server of two", CORE "probes/2/error", "\"Connection refused\"",
	 "warn:server.web"},
	{"its name", CORE "probes/3/tls", "\"wanted the name a, it has b\"", "warn:server.web"},
	/* kernel, interfaces, limits */
	{"no tls module", EDGE "kernel/tls", "\"ENOENT: the kernel has no tls module loaded\"",
	 "warn:kernel.tls"},
	{"io_uring off", CORE "kernel/io_uring_disabled", "2", "fail:kernel.io_uring"},
	{"io_uring forbidden", EDGE "kernel/io_uring", "\"Operation not permitted\"",
	 "fail:kernel.io_uring"},
	{"no bpffs", EDGE "kernel/bpffs", "false", "warn:kernel.bpffs"},
	{"no need of it", CORE "kernel/bpffs", "false", ""},
	{"no JIT", EDGE "kernel/bpf_jit", "0", "warn:kernel.jit"},
	{"one host", EDGE "status/media_pairs/0",
	 "{\"rung\": \"user\", \"reason\": \"media.pairs[0]: 127.0.0.1 is on loopback\"}", ""},
	{"a core's relay", CORE "status/relay",
	 "{\"pairs\": [{\"link\": \"172.16.0.20\", \"inside\": \"10.20.0.20\", \"rung\": \"tc\", "
	 "\"reason\": \"i0: x\"}]}",
	 "warn:kernel.rung"},
	{"tc", EDGE "status/media_pairs/0/rung", "\"tc\"", "warn:kernel.rung"},
	{"down", EDGE "nics/0/up", "false", "fail:nic.up"},
	{"generic XDP", EDGE "nics/0/xdp", "\"generic\"", "warn:nic.xdp"},
	{"MTU 1200", EDGE "nics/0/mtu", "1200", "fail:nic.mtu"},
	{"MTU 1280", EDGE "nics/0/mtu", "1280", "warn:nic.mtu"},
	{"MTU of a cloud", EDGE "nics/0/mtu", "1460", ""},
	{"GRO off", CORE "nics/0/gro", "false", "warn:nic.gro"},
	{"with XDP of its own NAPI runs", EDGE "nics/0/gro", "false", ""},
	{"checksums", CORE "nics/1/tx_checksum", "true", "warn:nic.checksum"},
	{"a card may have both", CORE "nics/1",
	 "{\"name\":\"eth0\",\"driver\":\"ixgbe\",\"up\":true,\"gro\":false,\"tx_checksum\":true,"
	 "\"mtu\":1500,\"xdp\":\"none\"}",
	 ""},
	{"short ring", EDGE "nics/0/rx_ring", "256", ""},
	{"that could be longer", EDGE "nics/1",
	 "{\"name\":\"eth0\",\"driver\":\"ixgbe\",\"up\":true,\"mtu\":1500,\"xdp\":\"native\",\"rx_"
	 "ring\":256,\"rx_ring_max\":4096}",
	 "warn:nic.ring"},
	{"1024 files", EDGE "limits/files", "1024", "fail:limit.files"},
	{"20000 files", EDGE "limits/files", "20000", "warn:limit.files"},
	{"that is enough for the core", CORE "limits/files", "20000", ""},
	{"nearly all open", CORE "limits/files_used", "64000", "fail:limit.files"},
	{"conntrack filling", CORE "limits/conntrack", "50000", "warn:limit.conntrack"},
	{"conntrack full", EDGE "limits/conntrack", "65000", "fail:limit.conntrack"},
};

static void test_judge_healthy(void **state)
{
	json_t *r = healthy(), *f = doctor_judge(r);
	char got[500];

	(void)state;
	summary(f, got, sizeof(got));
	assert_string_equal(got, "");
	assert_true(json_array_size(f) > 50);
	json_decref(f);
	json_decref(r);
}

static void test_judge_rows(void **state)
{
	char got[500];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *r = healthy(), *f;

		change(r, rows[i].path, rows[i].value);
		f = doctor_judge(r);
		summary(f, got, sizeof(got));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: wanted \"%s\", got \"%s\"", rows[i].what, rows[i].want, got);
		json_decref(f);
		json_decref(r);
	}
}

/* A core that has no link tells what a handshake of its own met. */
static void test_judge_link(void **state)
{
	static const struct {
		const char *probe, *what;
	} links[] = {
		{"{\"group\":\"link\",\"what\":\"edge.corp.example\",\"address\":\"172.16.0.10:"
		 "7001\",\"error\":\"Connection refused\"}",
		 "is not reached: Connection refused"},
		{"{\"group\":\"link\",\"what\":\"edge.corp.example\",\"error\":\"TLS: tlsv1 alert "
		 "unknown ca\"}",
		 "refuses the link: TLS: tlsv1 alert unknown ca"},
		{"{\"group\":\"link\",\"what\":\"edge.corp.example\",\"error\":\"\",\"tls\":"
		 "\"wanted the name edge, it has x\"}",
		 "shows the wrong certificate: wanted the name edge, it has x"},
		{"{\"group\":\"link\",\"what\":\"edge.corp.example\",\"error\":\"\",\"tls\":\"\"}",
		 "is down: name, wanted core2"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		json_t *r = healthy(), *f;

		change(r, CORE "status/links/0/state", "\"down\"");
		change(r, CORE "status/link/last_error", "\"name, wanted core2\"");
		json_array_append_new(
			json_object_get(json_array_get(json_object_get(r, "nodes"), 1), "probes"),
			json_loads(links[i].probe, 0, NULL));
		f = doctor_judge(r);
		assert_string_equal(word(json_array_get(f, 0), "id"), "link");
		if (!strstr(word(json_array_get(f, 0), "what"), links[i].what))
			fail_msg("wanted \"%s\", got \"%s\"", links[i].what,
				 word(json_array_get(f, 0), "what"));
		json_decref(f);
		json_decref(r);
	}
}

/* A daemon that does not answer is one finding, not one for each of its ports; a port that somebody has nevertheless is another. */
static void test_judge_down(void **state)
{
	static const struct {
		const char *error;
		bool bound;
		const char *want;
	} downs[] = {
		{"Connection refused", false, "fail:daemon"},
		{"Connection refused", true, "fail:daemon fail:port.listen"},
		{"No such file or directory", true, "fail:daemon fail:port.listen"},
		{"Permission denied", true, "warn:daemon"},
		{"Resource temporarily unavailable", true, "fail:daemon"},
	};
	json_t *r, *f, *edge, *l;
	char got[500];
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(downs) / sizeof(downs[0]); i++) {
		r = healthy();
		edge = json_array_get(json_object_get(r, "nodes"), 0);
		json_object_del(edge, "status");
		json_object_set_new(edge, "status_error", json_string(downs[i].error));
		json_array_foreach(json_object_get(edge, "listeners"), k, l)
		{
			json_object_set_new(l, "bound", json_boolean(downs[i].bound && k == 1));
		}
		json_object_set_new(json_object_get(edge, "ports"), "reserved", json_string(""));
		f = doctor_judge(r);
		summary(f, got, sizeof(got));
		assert_string_equal(got, downs[i].want);
		json_decref(f);
		json_decref(r);
	}
}

/* A client's view without a configuration: what there is has to work, and something has to be there. */
static void test_judge_domain_only(void **state)
{
	json_t *r = healthy(), *f,
	       *client = json_incref(json_array_get(json_object_get(r, "nodes"), 2)), *s;
	char got[500];
	size_t i;

	(void)state;
	json_array_clear(json_object_get(r, "nodes"));
	json_array_append_new(json_object_get(r, "nodes"), client);
	json_object_set_new(client, "addresses", json_array());
	json_array_foreach(json_object_get(client, "services"), i, s)
	{
		json_object_set_new(s, "host", json_string(""));
		json_object_set_new(s, "port", json_integer(0));
	}
	f = doctor_judge(r);
	summary(f, got, sizeof(got));
	assert_string_equal(got, "");
	json_decref(f);
	json_array_foreach(json_object_get(client, "dns"), i, s)
	{
		json_object_set_new(s, "records", json_array());
		json_object_set_new(s, "error", json_string("none"));
		json_object_set_new(s, "type", json_string("SRV"));
	}
	json_array_clear(json_object_get(client, "probes"));
	f = doctor_judge(r);
	summary(f, got, sizeof(got));
	assert_string_equal(got, "fail:dns.srv-missing");
	json_decref(f);
	json_decref(r);
}

/* Without a daemon's status, with nothing but a role, with the wrong types: no crash, and no verdict out of nothing. */
static void test_judge_odd_reports(void **state)
{
	static const char *const bad[] = {"{}", "[]", "{\"doctor\": 2, \"nodes\": []}",
					  "{\"doctor\": 1, \"nodes\": {}}"};
	static const char *const odd[] = {
		"{\"doctor\": 1, \"nodes\": [{\"role\": \"outside\"}]}",
		"{\"doctor\": 1, \"nodes\": [7, null, {}, {\"role\": 1}]}",
		"{\"doctor\": 1, \"nodes\": [{\"role\": \"edge\", \"dns\": 3, \"certificates\": "
		"[null, 4, {}], \"probes\": [[]], \"nics\": {}, \"ports\": [], "
		"\"domains\": [1], \"services\": [2], \"limits\": {\"files\": \"x\"}, \"status\": "
		"{\"links\": [1], \"media_pairs\": [2]}}]}",
	};
	json_t *r, *f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = json_loads(bad[i], 0, NULL);
		assert_null(doctor_judge(r));
		json_decref(r);
	}
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		r = json_loads(odd[i], 0, NULL);
		f = doctor_judge(r);
		assert_non_null(f);
		json_decref(f);
		json_decref(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge_healthy), cmocka_unit_test(test_judge_rows),
		cmocka_unit_test(test_judge_link),    cmocka_unit_test(test_judge_domain_only),
		cmocka_unit_test(test_judge_down),    cmocka_unit_test(test_judge_odd_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
