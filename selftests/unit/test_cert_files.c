/* selftests/unit/test_cert_files.c -- certificates: which one a client gets by SNI; files that are replaced under the keeper. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/unit/certs.h"
#include "user/cert_files.h"

static struct cert ca, one, two, wild;
static char dir[64];

static int setup(void **state)
{
	(void)state;
	cert_make_ca("test CA", &ca);
	cert_make(&ca, "one", "DNS:one.example", false, &one);
	cert_make(&ca, "two", "DNS:two.example,DNS:zwei.example", false, &two);
	cert_make(&ca, "wild", "DNS:*.wild.example", false, &wild);
	strcpy(dir, "/tmp/test_certs_XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

/* The names in the certificate that a client which asks for @name is shown. */
static void shown(struct tls_ctx *server, struct tls_ctx *client, const char *name,
		  const char *want)
{
	struct tls_conn *s, *c;
	int fd[2], sret = -EAGAIN, cret = -EAGAIN, i;
	char names[128];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(tls_conn_new(server, fd[0], NULL, &s), 0);
	assert_int_equal(tls_conn_new(client, fd[1], name, &c), 0);
	for (i = 0; i < 20 && (sret || cret); i++) {
		cret = cret ? tls_handshake(c) : 0;
		sret = sret ? tls_handshake(s) : 0;
	}
	assert_int_equal(sret | cret, 0);
	assert_string_equal(tls_peer_names(c, names, sizeof(names)), want);
	tls_conn_free(s);
	tls_conn_free(c);
	close(fd[0]);
	close(fd[1]);
}

static void test_cert_files_sni(void **state)
{
	const struct tls_pair more[2] = {{cert_pem(&two), cert_key(&two)},
					 {cert_pem(&wild), cert_key(&wild)}};
	struct tls_params p = {.server = true,
			       .tickets = true,
			       .cert_pem = cert_pem(&one),
			       .key_pem = cert_key(&one),
			       .more = more,
			       .n_more = 2},
			  q = {};
	struct tls_ctx *server, *client;
	char why[TLS_WHY_MAX], names[128];

	(void)state;
	assert_int_equal(tls_ctx_new(&p, &server, why), 0);
	assert_int_equal(tls_ctx_new(&q, &client, why), 0);
	shown(server, client, "one.example", "one.example");
	shown(server, client, "two.example", "two.example, zwei.example");
	shown(server, client, "ZWEI.example", "two.example, zwei.example");
	shown(server, client, "a.wild.example", "*.wild.example");
	shown(server, client, "wild.example", "one.example");
	shown(server, client, "nobody.example", "one.example");
	shown(server, client, "192.0.2.1", "one.example"); /* no SNI */
	shown(server, client, NULL, "one.example");
	assert_true(tls_own_not_after(server, 2, names, sizeof(names)) > 1700000000u);
	assert_string_equal(names, "*.wild.example");
	assert_int_equal(tls_own_not_after(server, 3, names, sizeof(names)), 0);
	tls_ctx_free(server);
	p.more = &(struct tls_pair){cert_pem(&two), cert_key(&one)};
	p.n_more = 1;
	assert_int_equal(tls_ctx_new(&p, &server, why), -EINVAL);
	assert_non_null(strstr(why, "certificate 2 of the list: key"));
	tls_ctx_free(client);
}

static void put(const char *name, struct span text)
{
	char path[128], temp[140];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(temp, sizeof(temp), "%s.new", path);
	f = fopen(temp, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
	assert_int_equal(rename(temp, path), 0);
}

static struct config_edge *config(void)
{
	static const char form[] =
		"name: e.example\nlink:\n  listen: [192.0.2.1]\n"
		"  tls: {certificate: %1$s/l.crt, key: %1$s/l.key, ca: %1$s/ca.crt}\n"
		"  cores: [{name: c.example, domains: [example.com]}]\n"
		"sip:\n  listen: [192.0.2.1]\n  host: one.example\n"
		"  tls:\n    certificates:\n"
		"      - {certificate: %1$s/1.crt, key: %1$s/1.key}\n"
		"      - {certificate: %1$s/2.crt, key: %1$s/2.key}\n"
		"https: {listen: [192.0.2.1], host: two.example}\n"
		"media: {pairs: [{outside: 192.0.2.1, inside: 192.0.2.2}]}\n";
	char text[2048], why[CONFIG_WHY_MAX];
	struct config_edge *cfg = NULL;
	int n = snprintf(text, sizeof(text), form, dir);

	if (config_edge_load("f", text, (size_t)n, &cfg, why))
		fail_msg("%s", why);
	return cfg;
}

/* What the plan's entry @name holds now. */
static size_t held(const struct keeper_plan *p, const char *name, char *buf, size_t max)
{
	unsigned i;

	for (i = 0; i < p->n_fds; i++)
		if (!strcmp(p->fds[i].name, name))
			return (size_t)pread(p->fds[i].fd, buf, max, 0);
	fail_msg("no %s", name);
	return 0;
}

static void test_cert_files_watch(void **state)
{
	static struct keeper_plan plan;
	struct config_edge *cfg;
	struct cert_names f[3];
	struct cert_files c;
	struct tls_pair more[CONFIG_CERTIFICATES_MAX];
	char why[512] = "", buf[16384];
	size_t n;

	(void)state;
	put("l.crt", cert_pem(&one));
	put("l.key", cert_key(&one));
	put("ca.crt", cert_pem(&ca));
	put("1.crt", cert_pem(&one));
	put("1.key", cert_key(&one));
	put("2.crt", cert_pem(&two));
	put("2.key", cert_key(&two));
	cfg = config();
	f[0] = (struct cert_names){"link", &cfg->link.tls, true};
	f[1] = (struct cert_names){"sip", &cfg->sip.tls, false};
	f[2] = (struct cert_names){"https", &cfg->https.tls, false};
	assert_string_equal(cfg->sip.tls.key + strlen(dir), "/1.key");
	assert_int_equal(cfg->https.tls.certificates_count, 2); /* those of sip */
	assert_int_equal(cert_files_open(&c, &plan, f, 3, why, sizeof(why)), 0);
	n = held(&plan, "https.more", buf, sizeof(buf));
	assert_int_equal(cert_files_more(buf, n, more), 1);
	assert_true(span_eq(more[0].cert_pem, cert_pem(&two)));
	assert_true(span_eq(more[0].key_pem, cert_key(&two)));
	assert_int_equal(cert_files_more(buf, n - more[0].key_pem.n - 1, more), -EBADMSG);
	assert_int_equal(cert_files_more(buf, 0, more), 0);

	assert_false(cert_files_changed(&c, f, 3));
	/* One of two: it comes to rest, is refused once, and the old ones stay. */
	put("2.key", cert_key(&wild));
	assert_false(cert_files_changed(&c, f, 3));
	assert_true(cert_files_changed(&c, f, 3));
	assert_int_equal(cert_files_reopen(&c, &plan, f, 3, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "sip.tls: certificate 2 of the list: key does not belong"));
	assert_false(cert_files_changed(&c, f, 3));
	assert_false(cert_files_changed(&c, f, 3));
	held(&plan, "sip.more", buf, sizeof(buf));
	assert_memory_equal(buf, two.cert, two.n_cert);
	/* The other one while it is looked at: only when nothing moves any more. */
	put("2.crt", cert_pem(&wild));
	assert_false(cert_files_changed(&c, f, 3));
	put("1.crt", cert_pem(&one));
	assert_false(cert_files_changed(&c, f, 3));
	assert_true(cert_files_changed(&c, f, 3));
	if (cert_files_reopen(&c, &plan, f, 3, why, sizeof(why)))
		fail_msg("%s", why);
	keeper_reopened(&plan, true);
	held(&plan, "sip.more", buf, sizeof(buf));
	assert_memory_equal(buf, wild.cert, wild.n_cert);
	/* Gone: refused; back again: nothing is new but the file. */
	snprintf(buf, sizeof(buf), "%s/1.key", dir);
	assert_int_equal(unlink(buf), 0);
	assert_false(cert_files_changed(&c, f, 3));
	assert_true(cert_files_changed(&c, f, 3));
	assert_true(cert_files_reopen(&c, &plan, f, 3, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "1.key: No such file"));
	config_edge_free(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cert_files_sni),
		cmocka_unit_test(test_cert_files_watch),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
