/* tools/ctl_init.c -- `sallyctl init edge`: see ctl_setup.h. In: options and this machine's addresses. Out: files, a token, a core. */
#include "tools/ctl_setup.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "tools/join_wait.h"
#include "tools/pki_cert.h"
#include "tools/setup_file.h"
#include "tools/stage.h"

struct init {
	const char *dir, *name, *core, *host, *user;
	const char *cert, *key;
	const char *domains[JOIN_DOMAINS_MAX];
	unsigned n_domains;
	struct host_wish wish;
	uint64_t seconds;
	bool self_signed, force, no_wait;

	char edge_name[JOIN_NAME_MAX], core_name[JOIN_NAME_MAX]; /* defaults */
	char cert_path[JOIN_PATH_MAX], key_path[JOIN_PATH_MAX];
	struct host_addr addrs[HOST_ADDRS_MAX];
	struct host_choice at;
	struct stage files;
};

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("sallyctl init: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- options ---- */

static int option(struct init *i, int c)
{
	switch (c) {
	case 'd':
		if (i->n_domains == JOIN_DOMAINS_MAX)
			return complain("--domain: at most %d", JOIN_DOMAINS_MAX);
		i->domains[i->n_domains++] = optarg;
		return 0;
	case 'n':
		i->name = optarg;
		return 0;
	case 'c':
		i->core = optarg;
		return 0;
	case 'h':
		i->host = optarg;
		return 0;
	case 'p':
		i->wish.public_ = optarg;
		return 0;
	case 'o':
		i->wish.outside = optarg;
		return 0;
	case 'i':
		i->wish.inside = optarg;
		return 0;
	case 'D':
		i->dir = optarg;
		return 0;
	case 'u':
		i->user = optarg;
		return 0;
	case 'C':
		i->cert = optarg;
		return 0;
	case 'K':
		i->key = optarg;
		return 0;
	case 'S':
		i->self_signed = true;
		return 0;
	case 'F':
		i->force = true;
		return 0;
	case 'W':
		i->no_wait = true;
		return 0;
	case 'v':
		i->seconds = setup_seconds(optarg);
		return i->seconds ? 0 : complain("--valid: wanted 1s to 7d, got \"%s\"", optarg);
	default:
		return CTL_USAGE;
	}
}

static int parse(struct init *i, int argc, char **argv)
{
	static const struct option longs[] = {
		{"domain", required_argument, NULL, 'd'}, {"name", required_argument, NULL, 'n'},
		{"core", required_argument, NULL, 'c'},	  {"host", required_argument, NULL, 'h'},
		{"public", required_argument, NULL, 'p'}, {"outside", required_argument, NULL, 'o'},
		{"inside", required_argument, NULL, 'i'}, {"dir", required_argument, NULL, 'D'},
		{"user", required_argument, NULL, 'u'},	  {"cert", required_argument, NULL, 'C'},
		{"key", required_argument, NULL, 'K'},	  {"self-signed", no_argument, NULL, 'S'},
		{"force", no_argument, NULL, 'F'},	  {"no-wait", no_argument, NULL, 'W'},
		{"valid", required_argument, NULL, 'v'},  {NULL, 0, NULL, 0}};
	int c, err = 0;

	optind = 0; /* GNU: start afresh, with permutation */
	while (!err && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		err = option(i, c);
	if (err)
		return err;
	return argc - optind == 1 && !strcmp(argv[optind], "edge") ? 0 : CTL_USAGE;
}

static int check_names(const struct init *i)
{
	const char *const names[] = {i->name, i->core, i->host};
	unsigned k;

	for (k = 0; k < i->n_domains; k++)
		if (!setup_is_name(i->domains[k]))
			return complain("--domain: wanted a DNS name, got \"%s\"", i->domains[k]);
	for (k = 0; k < 3; k++)
		if (!setup_is_name(names[k]))
			return complain("--name, --core, --host: wanted a DNS name, got \"%s\"",
					names[k]);
	if (!strcasecmp(i->name, i->core))
		return complain("--name and --core are the same: %s", i->name);
	if (!setup_is_path(i->dir))
		return complain("--dir: wanted an absolute path without quotes, got \"%s\"",
				i->dir);
	return 0;
}

static int defaults(struct init *i)
{
	char why[HOST_WHY_MAX];
	int err;

	if (!i->n_domains)
		return complain("--domain D is wanted: the part behind the @ of your users");
	snprintf(i->edge_name, sizeof(i->edge_name), "edge.%.240s", i->domains[0]);
	snprintf(i->core_name, sizeof(i->core_name), "core.%.240s", i->domains[0]);
	i->name = i->name ? i->name : i->edge_name;
	i->core = i->core ? i->core : i->core_name;
	i->host = i->host ? i->host : i->name;
	err = check_names(i);
	if (err)
		return err;
	if (i->self_signed ? i->cert || i->key : !i->cert || !i->key)
		return complain(
			"clients want a certificate for %s: --cert FILE --key FILE (chain and "
			"key in PEM), or --self-signed for a trial, "
			"which ACME may replace later (example: sallyport-acme-hook)",
			i->host);
	if (!host_choose(i->addrs, host_list(i->addrs), &i->wish, &i->at, why))
		return 0;
	return complain("%s", why);
}

/* ---- files ---- */

static int path_of(char out[JOIN_PATH_MAX], const struct init *i, const char *folder,
		   const char *name, const char *ext)
{
	int n = snprintf(out, JOIN_PATH_MAX, "%s/%s%s%s", i->dir, folder, name, ext);

	return n < 0 || n >= JOIN_PATH_MAX ? complain("%s: too long", i->dir) : 0;
}

static int add(struct init *i, const char *folder, const char *name, const char *ext, mode_t mode,
	       char *text)
{
	char path[JOIN_PATH_MAX], why[STAGE_WHY_MAX];
	int err = path_of(path, i, folder, name, ext);

	if (!err && !text)
		err = complain("OpenSSL has no memory, or no Ed25519");
	if (!err && stage_add(&i->files, path, mode, span_str(text), why))
		err = complain("%s", why);
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	return err;
}

static int add_pair(struct init *i, const char *folder, const char *name, X509 *x, EVP_PKEY *key)
{
	int err = add(i, folder, name, ".key", 0600, x && key ? pki_key_pem(key) : NULL);

	return err ? err : add(i, folder, name, ".crt", 0644, pki_cert_pem(x));
}

static int make_link(struct init *i)
{
	const char *san[] = {i->name};
	struct pki_wish w = {san, 1, PKI_ISSUE_DAYS, NULL};
	EVP_PKEY *ca_key = pki_key_new(), *key = pki_key_new();
	char cn[64];
	X509 *ca, *x;
	int err;

	snprintf(cn, sizeof(cn), "%.40s sallyport link CA", i->domains[0]);
	ca = ca_key ? pki_ca_new(ca_key, cn, PKI_CA_DAYS, NULL) : NULL;
	x = ca && key ? pki_cert_new(key, &w, ca, ca_key) : NULL;
	err = add_pair(i, "pki/", "ca", ca, ca_key);
	if (!err)
		err = add_pair(i, "pki/", i->name, x, key);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return err;
}

/* Phones and browsers know P-256, and not all know Ed25519. */
static int make_trial(struct init *i)
{
	const char *san[1 + JOIN_DOMAINS_MAX] = {i->host};
	struct pki_wish w = {san, 1, 90, NULL};
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *x;
	unsigned k;
	int err;

	for (k = 0; k < i->n_domains; k++)
		if (strcasecmp(i->domains[k], i->host) != 0)
			san[w.n_san++] = i->domains[k];
	x = key ? pki_self_new(key, &w) : NULL;
	err = add_pair(i, "tls/", i->host, x, key);
	X509_free(x);
	EVP_PKEY_free(key);
	return err;
}

/* What the operator gave has to fit together, and should have the name. */
static int check_given(const struct init *i)
{
	char why[CONFIG_WHY_MAX], *crt = NULL, *key = NULL;
	EVP_PKEY *k = NULL;
	X509 *x = NULL;
	int err = 0;

	if (!setup_is_path(i->cert) || !setup_is_path(i->key))
		return complain("--cert, --key: wanted absolute paths without quotes");
	crt = setup_read(i->cert, why);
	key = crt ? setup_read(i->key, why) : NULL;
	if (!key) {
		err = complain("%s", why);
		goto out;
	}
	x = pki_cert_parse(crt);
	k = pki_key_parse(key);
	if (!x || !k)
		err = complain("%s: not PEM", x ? i->key : i->cert);
	else if (X509_check_private_key(x, k) != 1)
		err = complain("%s is not the key of %s", i->key, i->cert);
	else if (X509_check_host(x, i->host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
		err = complain(
			"%s is not for %s: clients would refuse it; another name for clients: "
			"--host NAME",
			i->cert, i->host);
out:
	X509_free(x);
	EVP_PKEY_free(k);
	if (key)
		OPENSSL_cleanse(key, strlen(key));
	free(crt);
	free(key);
	return err;
}

static int make_config(struct init *i)
{
	struct setup_edge e = {.dir = i->dir,
			       .name = i->name,
			       .host = i->host,
			       .user = i->user,
			       .at = &i->at,
			       .cert = i->cert,
			       .key = i->key,
			       .core = i->core,
			       .domains = i->domains,
			       .n_domains = i->n_domains};
	char why[CONFIG_WHY_MAX], *text;

	if (i->self_signed) {
		if (path_of(i->cert_path, i, "tls/", i->host, ".crt") ||
		    path_of(i->key_path, i, "tls/", i->host, ".key"))
			return 1;
		e.cert = i->cert_path;
		e.key = i->key_path;
	}
	text = setup_edge_text(&e, why);
	return text ? add(i, "", "edge", ".yaml", 0644, text) : complain("%s", why);
}

/* All files are looked for before the first is made: what is there already is told at once. */
static int check_places(struct init *i)
{
	const char *const names[][3] = {{"", "edge", ".yaml"},
					{"pki/", "ca", ".key"},
					{"pki/", "ca", ".crt"},
					{"pki/", i->name, ".key"},
					{"pki/", i->name, ".crt"}};
	char path[JOIN_PATH_MAX], why[STAGE_WHY_MAX];
	unsigned k;

	for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (path_of(path, i, names[k][0], names[k][1], names[k][2]))
			return 1;
		if (stage_check(&i->files, path, why))
			return complain("%s", why);
	}
	return 0;
}

static int write_all(struct init *i)
{
	char why[STAGE_WHY_MAX];
	int err;

	i->files.force = i->force;
	err = check_places(i);
	if (!err && mkdir(i->dir, 0755) && errno != EEXIST)
		err = complain("%s: %s", i->dir, strerror(errno));
	if (!err)
		err = i->self_signed ? make_trial(i) : check_given(i);
	if (!err)
		err = make_link(i);
	if (!err)
		err = make_config(i);
	if (!err && stage_commit(&i->files, why))
		err = complain("%s", why);
	return err;
}

/* ---- what the operator sees ---- */

static void tell(const struct init *i)
{
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX], c[ADDR_TEXT_MAX];
	unsigned k;

	printf("%s\n"
	       "  towards clients   %s (%s)%s%s, they use %s:5061\n"
	       "  towards the core  %s (%s), port 7001\n"
	       "written:\n",
	       i->name, addr_ip_text(&i->at.outside, a), i->at.outside_dev,
	       addr_ip_eq(&i->at.outside, &i->at.public_) ? "" : ", seen as ",
	       addr_ip_eq(&i->at.outside, &i->at.public_) ? "" : addr_ip_text(&i->at.public_, b),
	       i->host, addr_ip_text(&i->at.inside, c), i->at.inside_dev);
	for (k = 0; k < i->files.n; k++)
		printf("  %s\n", i->files.files[k].path);
	if (i->self_signed)
		printf("The certificate for clients is signed by itself, for a trial: they must be "
		       "told "
		       "to trust %s.\n",
		       i->cert_path);
}

static void tell_next(const struct init *i)
{
	if (!getpwnam(i->user))
		printf("There is no account %s yet: useradd --system --no-create-home %s\n",
		       i->user, i->user);
	printf("Next: systemctl enable --now sallyport-edge   (or: sallyport-edge -c "
	       "%s/edge.yaml)\n",
	       i->dir);
	fflush(stdout);
}

int ctl_init(const struct ctl_options *o, int argc, char **argv)
{
	struct init i = {.dir = SETUP_DIR, .user = "sallyport", .seconds = 3600};
	char path[JOIN_PATH_MAX], why[CONFIG_WHY_MAX], *text;
	struct config_edge *cfg = NULL;
	struct join_server s = {};
	int err = parse(&i, argc, argv);

	if (err)
		return err;
	stage_guard(&i.files);
	err = defaults(&i);
	if (!err)
		err = write_all(&i);
	stage_guard(
		NULL); /* all is written: a signal ends the wait for the core, and nothing else */
	if (err)
		goto out;
	path_of(path, &i, "", "edge", ".yaml");
	text = setup_read(path, why);
	if (!text || config_edge_load(path, text, strlen(text), &cfg, why) ||
	    join_server_open(&s, i.dir, cfg, why)) {
		free(text);
		err = complain("%s", why);
		goto out;
	}
	free(text);
	if (!o->json)
		tell(&i);
	err = join_invite(o, &s, cfg, o->chosen ? o->sockets[0].path : cfg->admin, i.core,
			  i.domains, i.n_domains, i.seconds, !i.no_wait);
	if (!o->json)
		tell_next(&i);
out:
	join_server_close(&s);
	config_edge_free(cfg);
	stage_drop(&i.files);
	return err;
}
