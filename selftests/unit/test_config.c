/* selftests/unit/test_config.c -- both examples load with every value; each kind of error names its line.
 *
 * Error tables edit the example: "find" is replaced by "with", and the error must name the line on which "#!" then stands. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/config.h"

static char edge_text[32768], core_text[32768];

static int read_text(const char *path, char *buf, size_t max)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return -1;
	n = fread(buf, 1, max - 1, f);
	buf[n] = 0;
	fclose(f);
	return n < max - 1 ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	return read_text("tools/example-edge.yaml", edge_text, sizeof(edge_text)) ||
	       read_text("tools/example-core.yaml", core_text, sizeof(core_text));
}

struct edit {
	const char *find, *with, *want;
};

static void edited(const char *text, const struct edit *e, char *out, size_t max)
{
	const char *at = strstr(text, e->find);

	if (!at)
		fail_msg("not in the example: %s", e->find);
	assert_true((size_t)snprintf(out, max, "%.*s%s%s", (int)(at - text), text, e->with,
				     at + strlen(e->find)) < max);
}

/* The line of "#!" in @text, or 0. */
static unsigned marked_line(const char *text)
{
	const char *mark = strstr(text, "#!"), *p;
	unsigned line = 1;

	for (p = text; mark && p < mark; p++)
		line += *p == '\n';
	return mark ? line : 0;
}

static void check_why(const char *text, const struct edit *e, const char *why)
{
	unsigned line = marked_line(text);
	char want[64];

	snprintf(want, sizeof(want), "f.yaml:%u: ", line);
	if (!strstr(why, e->want) || (line && strncmp(why, want, strlen(want))))
		fail_msg("\"%s\": wanted %s...%s, got %s", e->with, want, e->want, why);
}

static void edge_refuses(const struct edit *e)
{
	char text[20000], why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;

	edited(edge_text, e, text, sizeof(text));
	if (config_edge_load("f.yaml", text, strlen(text), &c, why) != -EINVAL)
		fail_msg("taken: %s", e->with);
	assert_null(c);
	check_why(text, e, why);
}

static void core_refuses(const struct edit *e)
{
	char text[20000], why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	edited(core_text, e, text, sizeof(text));
	if (config_core_load("f.yaml", text, strlen(text), &c, why) != -EINVAL)
		fail_msg("taken: %s", e->with);
	assert_null(c);
	check_why(text, e, why);
}

static struct config_edge *edge_takes(const struct edit *e)
{
	char text[20000], why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;

	edited(edge_text, e, text, sizeof(text));
	if (config_edge_load("f.yaml", text, strlen(text), &c, why))
		fail_msg("refused: %s", why);
	return c;
}

static struct config_core *core_takes(const struct edit *e)
{
	char text[20000], why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	edited(core_text, e, text, sizeof(text));
	if (config_core_load("f.yaml", text, strlen(text), &c, why))
		fail_msg("refused: %s", why);
	return c;
}

static void test_config_edge_example(void **state)
{
	struct config_edge *c = edge_takes(&(struct edit){"name:", "name:", ""});

	(void)state;
	assert_string_equal(c->name, "edge.example.com");
	assert_string_equal(c->admin, "/run/sallyport/edge.sock");
	assert_int_equal(c->link.listen_count, 1);
	assert_string_equal(c->link.listen[0], "192.0.2.10:7001");
	assert_string_equal(c->link.cores[0].domains[0], "example.com");
	assert_string_equal(c->link.tls.ca, "/etc/sallyport/pki/ca.crt");
	assert_string_equal(c->sip.host, "sip.example.com");
	assert_string_equal(c->https.listen[0], "203.0.113.10:8443");
	assert_string_equal(c->https.host, "web.example.com");
	assert_string_equal(c->https.tls.key, "/etc/sallyport/web.key");
	assert_string_equal(c->xmpp.listen[0], "203.0.113.10:5222");
	assert_string_equal(c->xmpp.tls_listen[0], "203.0.113.10:5223");
	assert_int_equal(c->xmpp.tls_port, 5223);
	assert_string_equal(c->xmpp.federation.listen[0], "203.0.113.10:5269");
	assert_string_equal(c->xmpp.federation.dial, "off");
	assert_string_equal(c->xmpp.federation.dns, "9.9.9.9:53");
	assert_int_equal(c->media.pairs_count, 1);
	assert_string_equal(c->media.pairs[0].outside, "203.0.113.10");
	assert_int_equal(c->media.pairs[0].ports, 24000);
	assert_int_equal(c->limits.ban_seconds, 300);
	config_edge_free(c);
}

static const char edge_small[] = "name: e\n"
				 "link:\n"
				 "  listen: ['[::1]', 127.0.0.1:70]\n"
				 "  tls: {certificate: /c, key: /k, ca: /a}\n"
				 "  cores: [{name: c, domains: [x.org]}]\n"
				 "sip:\n"
				 "  listen: ['0.0.0.0']\n"
				 "  host: 192.0.2.1\n"
				 "  tls: {certificate: /c, key: /k}\n"
				 "media:\n"
				 "  pairs: [{outside: 192.0.2.1, inside: '2001:DB8::1'}]\n";

static void test_config_edge_defaults(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;

	(void)state;
	if (config_edge_load("f", edge_small, sizeof(edge_small) - 1, &c, why))
		fail_msg("%s", why);
	assert_string_equal(c->instance, "edge");
	assert_string_equal(c->user, "sallyport");
	assert_string_equal(c->admin, "/run/sallyport/edge.sock");
	assert_string_equal(c->log, "info");
	assert_string_equal(c->link.listen[0], "[::1]:7001");
	assert_string_equal(c->link.listen[1], "127.0.0.1:70");
	assert_string_equal(c->sip.listen[0], "0.0.0.0:5061");
	assert_int_equal(c->sip.port, 5061);
	assert_null(c->sip.tls.ca);
	assert_string_equal(c->media.pairs[0].outside_advertise, "192.0.2.1");
	assert_string_equal(c->media.pairs[0].inside, "2001:db8::1");
	assert_string_equal(c->media.pairs[0].inside_advertise, "2001:db8::1");
	assert_int_equal(c->media.pairs[0].outside_first, 36000);
	assert_int_equal(c->media.pairs[0].inside_first, 36000);
	assert_int_equal(c->media.pairs[0].ports, 24000);
	assert_int_equal(c->media.punch_port, 2777);
	assert_string_equal(c->media.rung, "auto");
	assert_int_equal(c->limits.unadmitted_total, 4096);
	assert_int_equal(c->limits.unadmitted_prefix, 128);
	assert_int_equal(c->limits.unadmitted_bytes, 65536);
	assert_int_equal(c->limits.unadmitted_seconds, 30);
	assert_int_equal(c->limits.message_bytes, 32768);
	assert_int_equal(c->limits.http_head_seconds, 10);
	assert_int_equal(c->limits.http_requests_unadmitted, 20);
	assert_int_equal(c->limits.handshake_ms, 5000);
	assert_int_equal(c->limits.flows_stream, 2048);
	assert_int_equal(c->limits.orphan_seconds, 300);
	assert_int_equal(c->limits.ban_score, 50);
	assert_int_equal(c->limits.ban_seconds, 300);
	config_edge_free(c);
}

/* Left out they are off; with what is required alone they take the rest from elsewhere. */
static void test_config_edge_services(void **state)
{
	static const char *const more = "https: {listen: [192.0.2.1], host: w.x.org}\n"
					"xmpp: {tls_listen: ['[::1]'], host: c.x.org}\n";
	char text[1024], why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;

	(void)state;
	assert_int_equal(config_edge_load("f", edge_small, sizeof(edge_small) - 1, &c, why), 0);
	assert_null(c->https.host);
	assert_int_equal(c->https.listen_count + c->xmpp.listen_count + c->xmpp.tls_listen_count,
			 0);
	assert_int_equal(c->https.port + c->xmpp.port + c->xmpp.tls_port, 0);
	assert_null(c->https.tls.certificate);
	assert_null(c->xmpp.host);
	config_edge_free(c);
	snprintf(text, sizeof(text), "%s%s", edge_small, more);
	if (config_edge_load("f", text, strlen(text), &c, why))
		fail_msg("%s", why);
	assert_string_equal(c->https.listen[0], "192.0.2.1:8443");
	assert_int_equal(c->https.port, 8443);
	assert_string_equal(c->https.tls.certificate, "/c");
	assert_string_equal(c->https.tls.key, "/k");
	assert_string_equal(c->https.ktls, "auto");
	assert_int_equal(c->https.ktls_after_seconds, 2);
	assert_int_equal(c->xmpp.listen_count, 0);
	assert_string_equal(c->xmpp.tls_listen[0], "[::1]:5223");
	assert_int_equal(c->xmpp.port, 5222);
	assert_int_equal(c->xmpp.tls_port, 5223);
	assert_string_equal(c->xmpp.tls.key, "/k");
	assert_int_equal(c->xmpp.federation.listen_count, 0);
	assert_string_equal(c->xmpp.federation.dial, "off");
	assert_string_equal(c->xmpp.federation.dial_private, "off");
	assert_null(c->xmpp.federation.dns);
	config_edge_free(c);
}

static void test_config_admin_http(void **state)
{
	struct config_edge *e = edge_takes(&(struct edit){"name:", "name:", ""});
	struct config_core *c;

	(void)state;
	assert_null(e->admin_http); /* off */
	config_edge_free(e);
	e = edge_takes(&(struct edit){"# admin_http: 127.0.0.1:9061", "admin_http: 127.0.0.1", ""});
	assert_string_equal(e->admin_http, "127.0.0.1:9061");
	config_edge_free(e);
	c = core_takes(&(struct edit){"# admin_http: 127.0.0.1:9062", "admin_http: \"[::1]\"", ""});
	assert_string_equal(c->admin_http, "[::1]:9062");
	config_core_free(c);
}

static void test_config_edge_errors(void **state)
{
	static const struct edit t[] = {
		/* YAML itself */
		{"log: info", "log: ] #!", ""},
		{"log: info", "log: info\n\tuser: x #!", "tab"},
		{"log: info", "log: &a info #!", "anchors"},
		{"log: info", "log: *a #!", "aliases"},
		{"log: info", "log: !!str info #!", "tags"},
		{"log: info", "log: \"in\\0fo\" #!", "NUL"},
		{"limits:", "--- #!\nlimits:", "document"},
		/* the admin port: for this host only */
		{"# admin_http: 127.0.0.1:9061", "admin_http: 203.0.113.10:9061 #!",
		 "admin_http: a loopback address wanted"},
		{"# admin_http: 127.0.0.1:9061", "admin_http: 0.0.0.0:9061 #!",
		 "a loopback address wanted"},
		{"# admin_http: 127.0.0.1:9061", "admin_http: \"[::2]:9061\" #!",
		 "a loopback address wanted"},
		{"# admin_http: 127.0.0.1:9061", "admin_http: localhost:9061 #!",
		 "an IP address and port wanted"},
		/* schema */
		{"log: info", "log: info\nlogg: info #!", "Unexpected key: logg"},
		{"  punch_port: 2777", "  punch: 2777 #!", "Unexpected key: punch"},
		{"log: info", "log: info\nlog: info #!", "twice"},
		{"log: info", "log: [info] #!", "Expecting STRING"},
		{"punch_port: 2777 ", "punch_port: 70000 #!", "70000"},
		{"punch_port: 2777 ", "punch_port: many #!", "many"},
		{"punch_port: 2777 ", "punch_port: -1 #!", "-1"},
		{"domains: [example.com]", "domains: [] #!", "Insufficient entries"},
		{"  host: sip", "  #", "Missing required mapping field: host"},
		/* fields */
		{"name: edge.example.com ", "name: edge_1 #!", "a DNS name wanted"},
		{"name: edge.example.com ", "name: -edge.example.com #!", "a DNS name wanted"},
		{"name: edge.example.com ", "name: edge..example.com #!", "a DNS name wanted"},
		{"instance: edge ", "instance: ../edge #!", "instance: 1..32 letters"},
		{"instance: edge ", "instance: .. #!", "instance: 1..32 letters"},
		{"log: info ", "log: loud #!",
		 "log: one of error|warn|info|debug wanted, got \"loud\""},
		{"certificate: /etc/sallyport/sip.crt", "certificate: sip.crt #!", "absolute path"},
		{"    key: /etc/sallyport/sip.key", "", "f.yaml:27: sip.tls.key: is required"},
		{"  ktls: auto                    # kernel TLS for", "  ktls: yes #!",
		 "sip.ktls: one of auto|on|tx|off wanted, got \"yes\""},
		{"ktls_after_seconds: 2", "ktls_after_seconds: 86401 #!", "0..86400 wanted"},
		{"- 192.0.2.10:7001", "- link.example.com:7001 #!",
		 "link.listen[0]: an IP address and port wanted"},
		{"- 192.0.2.10:7001", "- 192.0.2.10:0 #!", "port 1..65535"},
		{"- 192.0.2.10:7001", "- 192.0.2.10\n    - 192.0.2.10:7001 #!", "twice"},
		{"port: 5061 ", "port: 0 #!", "sip.port: 1..65535 wanted, got 0"},
		{"ban_score: 50 ", "ban_score: 0 #!", "limits.ban_score"},
		{"http_head_seconds: 10 ", "http_head_seconds: 0 #!", "1..3600 wanted"},
		{"  host: web.example.com", "  #", "Missing required mapping field: host"},
		{"- 203.0.113.10:8443", "- web.example.com #!", "https.listen[0]: an IP address"},
		{"    key: /etc/sallyport/web.key", "",
		 "https.tls: wanted certificate and key, came one of them"},
		{"certificate: /etc/sallyport/web.crt",
		 "certificates: [{certificate: /a, key: /b}] #!",
		 "https.tls.certificates: wanted certificate and key, or certificates, came both"},
		{"    certificate: /etc/sallyport/sip.crt\n    key: /etc/sallyport/sip.key",
		 "    certificates: [{certificate: /a, key: b}] #!",
		 "sip.tls.certificates[0].key: an absolute path wanted"},
		{"certificate: /etc/sallyport/chat.crt", "certificate: chat.crt #!",
		 "absolute path"},
		{"tls_port: 5223", "tls_port: 0 #!", "xmpp.tls_port: 1..65535 wanted"},
		{"- 203.0.113.10:5269", "- chat.example.com #!",
		 "xmpp.federation.listen[0]: an IP address"},
		{"dial: off ", "dial: yes #!",
		 "xmpp.federation.dial: one of on|off wanted, got \"yes\""},
		{"dns: 9.9.9.9 ", "dns: dns.example.com #!", "xmpp.federation.dns: an IP address"},
		{"  listen:                       # plain until STARTTLS, default port 5222; this "
		 "or "
		 "tls_listen, or both\n    - 203.0.113.10:5222\n  tls_listen:                   # "
		 "TLS at "
		 "once, default port 5223\n    - 203.0.113.10:5223\n",
		 "", "wanted listen (STARTTLS), tls_listen or both"},
		{"outside: 203.0.113.10 ", "outside: 203.0.113.10:5 #!", "without a port"},
		{"outside: 203.0.113.10 ", "outside: 0.0.0.0 #!", "one certain address"},
		{"outside_advertise: 203.0.113.10 ", "outside_advertise: \"::1\" #!",
		 "address family"},
		{"outside_first: 36000 ", "outside_first: 80 #!", "1024..65535"},
		{"ports: 24000 ", "ports: 30000 #!", "end past 65535"},
		{"rung: auto ", "rung: generic #!",
		 "media.rung: one of auto|xdp|tc|user wanted, got \"generic\""},
		{"punch_port: 2777 ", "punch_port: 36001 #!", "one of the ports of media.pairs[0]"},
		{"[example.com]", "[example.com, EXAMPLE.com] #!",
		 "domains[1]: \"EXAMPLE.com\" is here twice"},
		{"      domains: [example.com]",
		 "      domains: [a.org]\n    - name: CORE.example.com #!\n      domains: [b.org]",
		 "link.cores[1].name"},
		{"inside: 192.0.2.10 ", "inside: 203.0.113.10 #!",
		 "overlap 36000..59999 of media.pairs[0].outside"},
		{"ports: 24000 ",
		 "ports: 24000\n    - outside: 192.0.2.1\n      inside: 192.0.2.2\n      ports: "
		 "100 #!",
		 "same number of ports: 100 here, 24000"},
		{"ports: 24000 ",
		 "ports: 24000\n    - outside: 203.0.113.10 #!\n      inside: 192.0.2.2\n      "
		 "ports: 24000",
		 "media.pairs[1].outside: ports 36000..59999 of 203.0.113.10 overlap"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		edge_refuses(&t[i]);
}

/* One address on both sides is fine as long as the ranges are disjoint. */
static void test_config_edge_one_address(void **state)
{
	static const struct edit e = {
		"inside: '2001:DB8::1'",
		"inside: 192.0.2.1, outside_first: 10000, inside_first: 20000, ports: 10000", ""};
	char text[4096], why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;

	(void)state;
	edited(edge_small, &e, text, sizeof(text));
	if (config_edge_load("f", text, strlen(text), &c, why))
		fail_msg("%s", why);
	assert_int_equal(c->media.pairs[0].inside_first, 20000);
	config_edge_free(c);
}

static void test_config_edge_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} t[] = {
		{"", 0, "f:1: the file is empty"},
		{"# only words\n", 13, "f:1: the file is empty"},
		{"- a\n", 4, "f:1: keys and values wanted"},
		{"\nname: \xff\n", 9, "f:"},
		{"a: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", 35, "f:1: nested too deeply"},
		{"? [a]\n: b\n", 10, "f:1: a key must be a plain word"},
	};
	char why[CONFIG_WHY_MAX];
	struct config_edge *c = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		why[0] = 0;
		assert_int_equal(config_edge_load("f", t[i].text, t[i].n, &c, why), -EINVAL);
		if (strncmp(why, t[i].want, strlen(t[i].want)))
			fail_msg("wanted %s, got %s", t[i].want, why);
	}
}

/* Every prefix of a good file is good or refused with a reason: never read past, never leaked (SAN=1 checks that). */
static void test_config_edge_prefixes(void **state)
{
	char why[CONFIG_WHY_MAX];
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(edge_small) - 1; n++) {
		struct config_edge *c = NULL;
		char *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, edge_small, n);
		why[0] = 0;
		if (config_edge_load("f", copy, n, &c, why))
			assert_int_equal(strncmp(why, "f:", 2), 0);
		config_edge_free(c);
		free(copy);
	}
}

static void test_config_too_large(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n), why[CONFIG_WHY_MAX] = "";
	struct config_edge *c = NULL;
	size_t i;

	(void)state;
	assert_non_null(text);
	memset(text, '#', n);
	assert_int_equal(config_edge_load("f", text, n, &c, why), -EINVAL);
	assert_non_null(strstr(why, "at most"));
	for (i = 0; i + 4 <= 40000; i += 4)
		memcpy(text + i, "- a\n", 4);
	memcpy(text, "a:\n\n", 4);
	assert_int_equal(config_edge_load("f", text, i, &c, why), -EINVAL);
	assert_non_null(strstr(why, "too many keys"));
	free(text);
}

static void test_config_core_example(void **state)
{
	struct config_core *c = core_takes(&(struct edit){"name:", "name:", ""});

	(void)state;
	assert_string_equal(c->name, "core.example.com");
	assert_string_equal(c->dns, "192.0.2.53:53");
	assert_string_equal(c->link.edges[0].address, "192.0.2.10:7001");
	assert_int_equal(c->link.edges[0].pool, 16);
	assert_string_equal(c->sip.advertise, "core.example.com:5060");
	assert_string_equal(c->sip.tls.ca, "/etc/ssl/certs/ca-certificates.crt");
	assert_int_equal(c->call_servers_count, 1);
	assert_string_equal(c->call_servers[0].address, "198.51.100.20:5060");
	assert_string_equal(c->call_servers[0].trusted_headers[0], "X-Trusted-User");
	assert_string_equal(c->call_servers[0].sources[0], "198.51.100.21");
	assert_string_equal(c->media.srtp, "auto");
	assert_int_equal(c->limits.calls_user, 16);
	assert_string_equal(c->instance, "core");
	assert_string_equal(c->call_servers[0].media, "terminate");
	assert_int_equal(c->media.relay.pairs_count, 1);
	assert_string_equal(c->media.relay.rung, "auto");
	assert_string_equal(c->media.relay.pairs[0].link, "192.0.2.20");
	assert_int_equal(c->media.relay.pairs[0].joins, 2000);
	assert_int_equal(c->xmpp.clusters_count, 1);
	assert_string_equal(c->xmpp.clusters[0].nodes[0], "im1.in.example.com:5222");
	assert_string_equal(c->xmpp.clusters[0].nodes[1], "198.51.100.41:5222");
	assert_int_equal(c->xmpp.limits.streams, 20000);
	assert_string_equal(c->xmpp.federation.deny[0], "spam.example.net");
	config_core_free(c);
}

static void test_config_core_xmpp(void **state)
{
	static const struct edit t[] = {
		{"    - name: im\n      domains: [example.com]",
		 "    - {name: a, tls: none, domains: [x.org, EXAMPLE.com]}\n"
		 "    - name: im\n      domains: [example.com] #!",
		 "xmpp.clusters[1].domains[0]: \"example.com\" already belongs to \"a\""},
		{"      ca: /etc/ssl/certs/ca-certificates.crt # what", "      # what",
		 "tls: starttls needs ca"},
		{"tls: starttls  ", "tls: always #!", "starttls|direct|none"},
		{"off: [example.com]", "off: [example.org] #!", "is no domain of xmpp.clusters"},
		{"    domains: [example.com]      # required: of ours", "    domains: [x.org] #!",
		 "is no domain of xmpp.clusters"},
		{"    sources: [198.51.100.41]", "    #", "needs xmpp.federation.sources"},
		{"attempts: 5 ", "attempts: 0 #!", "1..100"},
	};
	struct config_core *c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		core_refuses(&t[i]);
	c = core_takes(&(struct edit){"tls: starttls  ", "tls: direct  ", ""});
	assert_string_equal(c->xmpp.clusters[0].nodes[0], "im1.in.example.com:5223");
	config_core_free(c);
}

/* The relay's ports are nobody else's, and a server may ask for it only where there is one. */
static void test_config_core_relay(void **state)
{
	static const struct edit t[] = {
		{"media: terminate", "media: both #!", "call_servers[0].media"},
		{"inside_first: 12000", "inside_first: 30000 #!",
		 "media.relay.pairs[0].inside_first"},
		{"link_first: 12000", "link_first: 60000 #!", "media.relay.pairs[0].link_first"},
		{"link: 0.0.0.0:2776", "link: 0.0.0.0:27776", "media.relay.pairs[0].link_first"},
		{"- link: 192.0.2.20 ", "- link: 198.51.100.5 #", "media.relay.pairs[0]"},
		{"inside: 198.51.100.5    #", "inside: \"2001:db8::5\" #!",
		 "media.relay.pairs[0].inside"},
		{"rung: auto", "rung: user #!", "media.relay.rung"},
		{"ports: 16000", "ports: 3 #!", "media.relay.pairs[0].ports"},
	};
	struct config_core *c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		core_refuses(&t[i]);
	c = core_takes(&(struct edit){"        inside: 198.51.100.5    #", "        #", ""});
	assert_string_equal(c->media.relay.pairs[0].inside, "198.51.100.5");
	assert_string_equal(c->media.relay.pairs[0].inside_advertise, "198.51.100.5");
	config_core_free(c);
	c = core_takes(&(struct edit){"media: terminate", "media: passthrough", ""});
	config_core_free(c);
	/* Of two pairs each needs room for joins with the other. */
	core_refuses(&(struct edit){
		"    pairs:                      # 1 or 2",
		"    pairs:\n      - {link: 192.0.2.21, inside: 198.51.100.6, joins: 4}",
		"media.relay.pairs[1].joins"});
	core_refuses(&(struct edit){"    pairs:                      # 1 or 2",
				    "    pairs:\n      - {link: 192.0.2.20, inside: 198.51.100.6, "
				    "link_first: 33999}",
				    "media.relay.pairs[1].link_first"});
	c = core_takes(
		&(struct edit){"    pairs:                      # 1 or 2",
			       "    pairs:\n      - {link: 192.0.2.21, inside: 198.51.100.6}", ""});
	assert_int_equal(c->media.relay.pairs_count, 2);
	config_core_free(c);
}

static const char core_small[] = "name: c\n"
				 "token_key: /t\n"
				 "link:\n"
				 "  tls: {certificate: /c, key: /k, ca: /a}\n"
				 "  edges: [{name: e, address: 192.0.2.1}]\n"
				 "sip:\n"
				 "  listen: 192.0.2.2\n"
				 "call_servers:\n"
				 "  - {name: a, domains: [a.org], address: 192.0.2.9}\n"
				 "  - {name: b, domains: [b.org], address: pbx.b.org}\n"
				 "media: {inside: 192.0.2.2}\n";

static void test_config_core_defaults(void **state)
{
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	(void)state;
	if (config_core_load("f", core_small, sizeof(core_small) - 1, &c, why))
		fail_msg("%s", why);
	assert_string_equal(c->user, "sallyport");
	assert_string_equal(c->admin, "/run/sallyport/core.sock");
	assert_null(c->dns);
	assert_string_equal(c->link.edges[0].address, "192.0.2.1:7001");
	assert_int_equal(c->link.edges[0].pool, 16);
	assert_string_equal(c->sip.listen, "192.0.2.2:5060");
	assert_string_equal(c->sip.advertise, "192.0.2.2:5060");
	assert_null(c->sip.tls_listen);
	assert_string_equal(c->call_servers[0].address, "192.0.2.9:5060");
	assert_string_equal(c->call_servers[0].transport, "udp");
	assert_string_equal(c->call_servers[0].tls_name, "192.0.2.9");
	assert_string_equal(c->call_servers[0].mode, "path");
	assert_string_equal(c->call_servers[0].digest_user, "aor");
	assert_string_equal(c->call_servers[0].registrations, "address");
	assert_string_equal(c->call_servers[1].address, "pbx.b.org");
	assert_string_equal(c->call_servers[1].tls_name, "pbx.b.org");
	assert_int_equal(c->call_servers[1].sources_count, 0);
	assert_string_equal(c->media.link, "0.0.0.0:2776");
	assert_string_equal(c->media.inside_advertise, "192.0.2.2");
	assert_int_equal(c->media.first_port, 36000);
	assert_int_equal(c->media.ports, 24000);
	assert_int_equal(c->media.silence_seconds, 60);
	assert_int_equal(c->media.max, 4000);
	assert_string_equal(c->media.srtp, "auto");
	assert_int_equal(c->limits.message_bytes, 32768);
	assert_int_equal(c->limits.bindings, 20000);
	assert_int_equal(c->limits.calls, 4000);
	assert_int_equal(c->limits.calls_user, 16);
	config_core_free(c);
}

static void test_config_core_errors(void **state)
{
	static const struct edit t[] = {
		{"token_key: /etc/sallyport/token.key", "",
		 "Missing required mapping field: token_key"},
		{"dns: 192.0.2.53:53 ", "dns: ns.example.com #!",
		 "dns: an IP address and port wanted"},
		{"address: 192.0.2.10:7001", "address: edge.example.com:7001 #!",
		 "link.edges[0].address"},
		{"pool: 16 ", "pool: 5000 #!", "1..1024"},
		{"advertise: core.example.com:5060", "advertise: core.example.com:x #!",
		 "port 1..65535"},
		{"advertise: core.example.com:5060", "advertise: core,example #!",
		 "host:port wanted"},
		{"tls_listen: 198.51.100.5:5061", "tls_listen: 198.51.100.5:5060 #!",
		 "sip.listen already"},
		{"    key: /etc/sallyport/inside.key\n", "",
		 "sip.tls: certificate, key and ca are given together"},
		{"domains: [example.com]      # required;", "domains: ['exa mple.com'] #!",
		 "DNS name or address wanted"},
		{"address: 198.51.100.20:5060", "address: pbx.example.com:5060 #!",
		 "DNS name without a port"},
		{"transport: udp ", "transport: sctp #!",
		 "one of udp|tcp|tls wanted, got \"sctp\""},
		{"mode: path ", "mode: outbound #!",
		 "one of path|contact wanted, got \"outbound\""},
		{"digest_user: aor ", "digest_user: none #!",
		 "one of aor|any wanted, got \"none\""},
		{"registrations: address ", "registrations: stream #!",
		 "one of address|connection wanted, got \"stream\""},
		{"registrations: address ", "registrations: connection #!",
		 "registrations: connection needs transport tcp or tls, got udp"},
		{"[X-Trusted-User]", "['X Trusted'] #!", "a header's name wanted"},
		{"[198.51.100.21]", "[198.51.100.21, 198.51.100.21] #!", "sources[1]"},
		{"[198.51.100.21] ",
		 "[198.51.100.21]\n  - name: other\n    domains: [a.org, Example.com] #!\n    "
		 "address: 192.0.2.1 ",
		 "\"Example.com\" already belongs to \"pbx\""},
		{"[198.51.100.21] ",
		 "[198.51.100.21]\n  - name: PBX #!\n    domains: [a.org]\n    address: 192.0.2.1 ",
		 "\"PBX\" is here twice"},
		{"first_port: 36000", "first_port: 50000",
		 "media.ports: 24000 ports from 50000 on end past 65535"},
		{"link: 0.0.0.0:2776 ", "link: 0.0.0.0:40000 #!",
		 "port 40000 is one of media.first_port"},
		{"srtp: auto ", "srtp: none #!", "one of auto|fast|libsrtp2"},
		{"listen: 198.51.100.5:5060     # required: UDP and TCP towards call servers\n  "
		 "advertise",
		 "listen: 0.0.0.0 #!\n  #",
		 "sip.advertise: is required where sip.listen is 0.0.0.0:5060"},
	};
	size_t i;

	(void)state;
	for (i = 1; i < sizeof(t) / sizeof(t[0]) - 1; i++)
		core_refuses(&t[i]);
	/* The two whose key is not in the text name the section's line. */
	core_refuses(&t[0]);
	core_refuses(&(struct edit){t[i].find, "listen: 0.0.0.0\n  #", t[i].want});
}

static void test_config_core_tls_needs_files(void **state)
{
	static const char tls[] =
		"name: c\ntoken_key: /t\nlink:\n  tls: {certificate: /c, key: /k, ca: /a}\n"
		"  edges: [{name: e, address: 192.0.2.1}]\nsip:\n  listen: "
		"192.0.2.2\ncall_servers:\n"
		"  - name: a\n    domains: [a.org]\n    address: 192.0.2.9\n    transport: tls\n"
		"media: {inside: 192.0.2.2}\n";
	char why[CONFIG_WHY_MAX] = "";
	struct config_core *c = NULL;

	(void)state;
	assert_int_equal(config_core_load("f", tls, sizeof(tls) - 1, &c, why), -EINVAL);
	assert_string_equal(
		why, "f:12: call_servers[0].transport: tls needs sip.tls (certificate, key, ca)");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_edge_example),
		cmocka_unit_test(test_config_edge_defaults),
		cmocka_unit_test(test_config_edge_services),
		cmocka_unit_test(test_config_edge_errors),
		cmocka_unit_test(test_config_admin_http),
		cmocka_unit_test(test_config_edge_one_address),
		cmocka_unit_test(test_config_edge_bytes),
		cmocka_unit_test(test_config_edge_prefixes),
		cmocka_unit_test(test_config_too_large),
		cmocka_unit_test(test_config_core_example),
		cmocka_unit_test(test_config_core_relay),
		cmocka_unit_test(test_config_core_xmpp),
		cmocka_unit_test(test_config_core_defaults),
		cmocka_unit_test(test_config_core_errors),
		cmocka_unit_test(test_config_core_tls_needs_files),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
