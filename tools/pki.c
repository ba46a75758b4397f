/* tools/pki.c -- `sallyctl pki`: the private CA of the link, and what it issues.
 *
 * In: a folder, names. Out: ca.crt, ca.key, NAME.crt, NAME.key in that folder (keys 0600), or a readable page about a certificate.
 * What is in them: tools/pki_cert.h. */
#include "tools/pki.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/pki_cert.h"

#define SANS_MAX 16
#define DAYS_MAX 36500

struct pki_args {
	const char *dir, *name; /* positional */
	const char *ca_name, *not_after;
	const char *san[SANS_MAX];
	unsigned n_san;
	long days;
};

static int usage(void)
{
	fputs("usage: sallyctl pki init DIR --name CA-NAME [--days N]\n"
	      "       sallyctl pki issue DIR NAME [--san NAME-OR-ADDRESS]... [--days N | "
	      "--not-after YYYYMMDDHHMMSSZ]\n"
	      "       sallyctl pki show FILE\n",
	      stderr);
	return 2;
}

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "sallyctl pki: %s: %s\n", what, why);
	return 1;
}

static int complain_ssl(const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	return complain(what, why ? why : "failed");
}

/* ---- files ---- */

static int path_of(char *buf, size_t n, const char *dir, const char *name, const char *ext)
{
	int len = snprintf(buf, n, "%s/%s.%s", dir, name, ext);

	return len < 0 || (size_t)len >= n ? -ENAMETOOLONG : 0;
}

/* A new file; nothing is ever overwritten: an old key may be in use. */
static FILE *create(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		complain(path, strerror(errno));
	if (!f && fd >= 0)
		close(fd);
	return f;
}

static int finish(FILE *f, const char *path, int written)
{
	if (fclose(f) == 0 && written)
		return 0;
	unlink(path);
	return complain(path, "cannot write");
}

/* DIR/NAME.key and DIR/NAME.crt; both or none. */
static int save(const char *dir, const char *name, EVP_PKEY *key, X509 *crt)
{
	char key_path[512], crt_path[512];
	FILE *f;
	int err;

	if (path_of(key_path, sizeof(key_path), dir, name, "key") ||
	    path_of(crt_path, sizeof(crt_path), dir, name, "crt"))
		return complain(dir, strerror(ENAMETOOLONG));
	f = create(key_path, 0600);
	if (!f)
		return 1;
	err = finish(f, key_path, PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	f = err ? NULL : create(crt_path, 0644);
	if (f)
		err = finish(f, crt_path, PEM_write_X509(f, crt));
	if (!err && f) {
		printf("%s\n%s\n", crt_path, key_path);
		return 0;
	}
	unlink(key_path);
	return 1;
}

static X509 *load_crt(const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if (!f)
		complain(path, strerror(errno));
	else if (!x)
		complain(path, "not a PEM certificate");
	if (f)
		fclose(f);
	return x;
}

static EVP_PKEY *load_key(const char *path)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if (!f)
		complain(path, strerror(errno));
	else if (!k)
		complain(path, "not a PEM key");
	if (f)
		fclose(f);
	return k;
}

/* ---- certificates ---- */

static int pki_init(struct pki_args *a)
{
	EVP_PKEY *key;
	X509 *x = NULL;
	int err = 1;

	if (!a->ca_name || !*a->ca_name || strlen(a->ca_name) > 64)
		return usage();
	if (!a->days)
		a->days = PKI_CA_DAYS;
	if (mkdir(a->dir, 0755) && errno != EEXIST)
		return complain(a->dir, strerror(errno));
	key = pki_key_new();
	x = key ? pki_ca_new(key, a->ca_name, a->days, a->not_after) : NULL;
	if (x)
		err = save(a->dir, "ca", key, x);
	else
		complain_ssl("ca");
	X509_free(x);
	EVP_PKEY_free(key);
	return err;
}

static int issue_with(const struct pki_args *a, X509 *ca, EVP_PKEY *ca_key)
{
	struct pki_wish w = {a->san, a->n_san, a->days, a->not_after};
	EVP_PKEY *key = pki_key_new();
	X509 *x = key ? pki_cert_new(key, &w, ca, ca_key) : NULL;
	int err = 1;

	if (x)
		err = save(a->dir, a->name, key, x);
	else
		complain_ssl(a->name);
	X509_free(x);
	EVP_PKEY_free(key);
	return err;
}

/* A name that becomes a file's: no slash, no leading dot, and not the CA itself. */
static bool is_file_name(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i]))
			return false;
	return i > 0 && i <= 128 && s[0] != '.' && strcmp(s, "ca") != 0;
}

static int pki_issue(struct pki_args *a)
{
	char crt[512], key[512];
	EVP_PKEY *ca_key = NULL;
	X509 *ca = NULL;
	int err = 1;

	if (!is_file_name(a->name))
		return complain(a->name,
				"a name of letters, digits, \".\", \"-\" and \"_\" is wanted");
	if (!a->n_san)
		a->san[a->n_san++] = a->name;
	if (!a->days)
		a->days = PKI_ISSUE_DAYS;
	if (path_of(crt, sizeof(crt), a->dir, "ca", "crt") ||
	    path_of(key, sizeof(key), a->dir, "ca", "key"))
		return complain(a->dir, strerror(ENAMETOOLONG));
	ca = load_crt(crt);
	ca_key = ca ? load_key(key) : NULL;
	if (ca_key && X509_check_private_key(ca, ca_key) != 1)
		complain(key, "is not the key of ca.crt");
	else if (ca_key)
		err = issue_with(a, ca, ca_key);
	EVP_PKEY_free(ca_key);
	X509_free(ca);
	return err;
}

/* ---- show ---- */

static void show_sans(X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		BIO *out = BIO_new_fp(stdout, BIO_NOCLOSE);

		if (!out)
			break;
		BIO_printf(out, "name: ");
		GENERAL_NAME_print(out, sk_GENERAL_NAME_value(names, i));
		BIO_printf(out, "\n");
		BIO_free(out);
	}
	GENERAL_NAMES_free(names);
}

static void show_line(BIO *out, const char *label, X509_NAME *n)
{
	BIO_printf(out, "%s: ", label);
	X509_NAME_print_ex(out, n, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	BIO_printf(out, "\n");
}

static int show_times(BIO *out, const X509 *x)
{
	int day = 0, sec = 0;

	BIO_printf(out, "from: ");
	ASN1_TIME_print(out, X509_get0_notBefore(x));
	BIO_printf(out, "\nuntil: ");
	ASN1_TIME_print(out, X509_get0_notAfter(x));
	if (!ASN1_TIME_diff(&day, &sec, NULL, X509_get0_notAfter(x)))
		return -EINVAL;
	if (day < 0 || sec < 0)
		BIO_printf(out, "\nstate: expired\n");
	else
		BIO_printf(out, "\nstate: %d days left\n", day);
	return 0;
}

static int pki_show(const char *path)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	BIO *out = BIO_new_fp(stdout, BIO_NOCLOSE);
	X509 *x = load_crt(path);
	unsigned n = 0, i;
	int err = 1;

	if (x && out && X509_digest(x, EVP_sha256(), md, &n)) {
		show_line(out, "subject", X509_get_subject_name(x));
		show_line(out, "issuer", X509_get_issuer_name(x));
		BIO_printf(out, "ca: %s\n", X509_check_ca(x) ? "yes" : "no");
		BIO_flush(out);
		show_sans(x);
		err = show_times(out, x) ? 1 : 0;
		BIO_printf(out, "sha256: ");
		for (i = 0; i < n; i++)
			BIO_printf(out, "%02x", md[i]);
		BIO_printf(out, "\n");
	}
	X509_free(x);
	BIO_free(out);
	return err;
}

/* ---- command line ---- */

static int parse(struct pki_args *a, int argc, char **argv, int positional)
{
	static const struct option longs[] = {{"name", required_argument, NULL, 'n'},
					      {"san", required_argument, NULL, 's'},
					      {"days", required_argument, NULL, 'd'},
					      {"not-after", required_argument, NULL, 'a'},
					      {NULL, 0, NULL, 0}};
	char *end = NULL;
	int c;

	optind = 0; /* GNU: start afresh, with permutation */
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'n')
			a->ca_name = optarg;
		else if (c == 'a')
			a->not_after = optarg;
		else if (c == 's' && a->n_san < SANS_MAX && *optarg)
			a->san[a->n_san++] = optarg;
		else if (c == 'd' && (a->days = strtol(optarg, &end, 10)) > 0 &&
			 a->days <= DAYS_MAX && !*end)
			continue;
		else
			return -EINVAL;
	}
	if (argc - optind != positional)
		return -EINVAL;
	a->dir = argv[optind];
	a->name = positional > 1 ? argv[optind + 1] : NULL;
	return 0;
}

int pki_main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";
	struct pki_args a = {};
	bool init = !strcmp(cmd, "init"), issue = !strcmp(cmd, "issue"),
	     show = !strcmp(cmd, "show");

	if ((!init && !issue && !show) || parse(&a, argc - 1, argv + 1, issue ? 2 : 1))
		return usage();
	if (init)
		return pki_init(&a);
	return issue ? pki_issue(&a) : pki_show(a.dir);
}
