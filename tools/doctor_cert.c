/* tools/doctor_cert.c -- the certificates that a configuration names, as facts. See doctor_facts.h.
 *
 * In: PEM paths. Out: rows of "certificates". Reads a private key to compare it, and keeps nothing of it. Times are not judged here: the
 * chain is checked without them. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/doctor_cert.h"
#include "tools/doctor_facts.h"

#define CHAIN_MAX 8
#define NAMES_MAX 200

static int no_password(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1;
}

long long doctor_cert_time(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (long long)timegm(&tm) : 0;
}

static void name_text(const X509_NAME *name, char *out, size_t n)
{
	BIO *b = BIO_new(BIO_s_mem());
	int got = b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0
			  ? BIO_read(b, out, (int)n - 1)
			  : 0;

	out[got > 0 ? got : 0] = 0;
	BIO_free(b);
}

json_t *doctor_cert_names(const X509 *x)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	json_t *list = json_array();
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(all) && i < NAMES_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		char text[256] = "", ip[ADDR_TEXT_MAX];
		struct addr a = {.ip = {[10] = 0xff, [11] = 0xff}};

		if (g->type == GEN_DNS)
			snprintf(text, sizeof(text), "%.*s", ASN1_STRING_length(g->d.dNSName),
				 (const char *)ASN1_STRING_get0_data(g->d.dNSName));
		if (g->type == GEN_IPADD && ASN1_STRING_length(g->d.iPAddress) == 4) {
			memcpy(a.ip + 12, ASN1_STRING_get0_data(g->d.iPAddress), 4);
			snprintf(text, sizeof(text), "%s", addr_ip_text(&a, ip));
		} else if (g->type == GEN_IPADD && ASN1_STRING_length(g->d.iPAddress) == 16) {
			memcpy(a.ip, ASN1_STRING_get0_data(g->d.iPAddress), 16);
			snprintf(text, sizeof(text), "%s", addr_ip_text(&a, ip));
		}
		if (*text) { /* not UTF-8: no name of ours */
			json_t *j = json_string(text);

			if (j)
				json_array_append_new(list, j);
		}
	}
	GENERAL_NAMES_free(all);
	return list;
}

void doctor_cert_fingerprint(const X509 *x, char out[65])
{
	unsigned char d[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	out[0] = 0;
	if (X509_digest(x, EVP_sha256(), d, &n))
		for (i = 0; i < n && i < 32; i++)
			snprintf(out + 2 * i, 3, "%02x", d[i]);
}

X509_STORE *doctor_cert_store(const char *ca)
{
	X509_STORE *s = X509_STORE_new();

	if (s && (ca ? !X509_STORE_load_file(s, ca) : !X509_STORE_set_default_paths(s))) {
		X509_STORE_free(s);
		s = NULL;
	}
	return s;
}

/* "" or why the chain does not lead to a CA of @ca. */
static const char *chain_why(X509 *leaf, STACK_OF(X509) * rest, const char *ca)
{
	X509_STORE *store = doctor_cert_store(ca);
	X509_STORE_CTX *ctx = store ? X509_STORE_CTX_new() : NULL;
	const char *why = store ? "out of memory" : "the file of trusted CAs cannot be read";

	if (ctx && X509_STORE_CTX_init(ctx, store, leaf, rest)) {
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME);
		why = X509_verify_cert(ctx) == 1
			      ? ""
			      : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return why;
}

/* "", or why @path's key does not serve @leaf. */
static const char *key_why(X509 *leaf, const char *path, char *buf, size_t n)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;
	const char *why = "";

	if (!f) {
		snprintf(buf, n, "%s", strerror(errno));
		return buf;
	}
	key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
	fclose(f);
	if (!key)
		why = "there is no private key without a password in it";
	else if (X509_check_private_key(leaf, key) != 1)
		why = "it does not belong to the certificate";
	EVP_PKEY_free(key);
	return why;
}

static void leaf_facts(json_t *row, X509 *leaf)
{
	uint32_t use = X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE
			       ? X509_get_extended_key_usage(leaf)
			       : UINT32_MAX;
	uint32_t ku = X509_get_key_usage(leaf); /* UINT32_MAX without the extension */
	EVP_PKEY *pub = X509_get0_pubkey(leaf);
	char subject[256], issuer[256], fp[65];
	AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(leaf, NID_info_access, NULL, NULL);

	name_text(X509_get_subject_name(leaf), subject, sizeof(subject));
	name_text(X509_get_issuer_name(leaf), issuer, sizeof(issuer));
	doctor_cert_fingerprint(leaf, fp);
	json_object_set_new(row, "names", doctor_cert_names(leaf));
	json_object_set_new(row, "subject", json_string(subject));
	json_object_set_new(row, "issuer", json_string(issuer));
	json_object_set_new(row, "fingerprint", json_string(fp));
	json_object_set_new(row, "not_before",
			    json_integer(doctor_cert_time(X509_get0_notBefore(leaf))));
	json_object_set_new(row, "not_after",
			    json_integer(doctor_cert_time(X509_get0_notAfter(leaf))));
	json_object_set_new(row, "server_auth", json_boolean(use & XKU_SSL_SERVER));
	json_object_set_new(row, "client_auth", json_boolean(use & XKU_SSL_CLIENT));
	json_object_set_new(row, "signs", json_boolean(ku & KU_DIGITAL_SIGNATURE));
	json_object_set_new(row, "aia", json_boolean(aia != NULL));
	json_object_set_new(row, "key_type",
			    json_string(pub && EVP_PKEY_get0_type_name(pub)
						? EVP_PKEY_get0_type_name(pub)
						: "unknown"));
	json_object_set_new(row, "key_bits", json_integer(pub ? EVP_PKEY_get_bits(pub) : 0));
	AUTHORITY_INFO_ACCESS_free(aia);
}

/* The certificate and what stands behind it in the file; the earliest end of those behind it. */
static X509 *file_chain(const char *path, STACK_OF(X509) * rest, long long *rest_ends, char *why,
			size_t n)
{
	FILE *f = fopen(path, "re");
	X509 *leaf = NULL, *x;

	*rest_ends = 0;
	if (!f) {
		snprintf(why, n, "%s", strerror(errno));
		return NULL;
	}
	leaf = PEM_read_X509(f, NULL, no_password, NULL);
	while (leaf && sk_X509_num(rest) < CHAIN_MAX &&
	       (x = PEM_read_X509(f, NULL, no_password, NULL))) {
		long long ends = doctor_cert_time(X509_get0_notAfter(x));

		if (!*rest_ends || ends < *rest_ends)
			*rest_ends = ends;
		sk_X509_push(rest, x);
	}
	fclose(f);
	if (!leaf)
		snprintf(why, n, "there is no certificate in PEM in it");
	return leaf;
}

struct wanted {
	const char *what, *use;
	bool public; /* clients see it */
	const char *certificate, *key;
	const char *ca;
	json_t *names; /* a reference that is taken */
};

static void cert_row(json_t *list, const struct wanted *w)
{
	json_t *row = json_pack("{s:s, s:s, s:b, s:s, s:s, s:o, s:s}", "what", w->what, "use",
				w->use, "public", w->public, "file", w->certificate, "key_file",
				w->key, "wanted", w->names, "error", "");
	STACK_OF(X509) *rest = sk_X509_new_null();
	char why[200] = "", mode[8];
	long long rest_ends = 0;
	struct stat st;
	X509 *leaf = file_chain(w->certificate, rest, &rest_ends, why, sizeof(why));

	json_array_append_new(list, row);
	json_object_set_new(row, "error", json_string(why));
	if (leaf) {
		leaf_facts(row, leaf);
		json_object_set_new(row, "chain", json_string(chain_why(leaf, rest, w->ca)));
		json_object_set_new(row, "chain_n", json_integer(sk_X509_num(rest)));
		json_object_set_new(row, "chain_not_after", json_integer(rest_ends));
		json_object_set_new(row, "key",
				    json_string(key_why(leaf, w->key, why, sizeof(why))));
	}
	if (!stat(w->key, &st)) {
		snprintf(mode, sizeof(mode), "%04o", (unsigned)st.st_mode & 07777);
		json_object_set_new(row, "key_mode", json_string(mode));
	}
	X509_free(leaf);
	sk_X509_pop_free(rest, X509_free);
}

/* The first stands for all of the service: any of them may have the names that are wanted. */
static void service_rows(json_t *list, const char *what, const struct config_tls_files *t,
			 const char *ca, json_t *names)
{
	unsigned i;

	cert_row(list, &(struct wanted){what, "server", true, t->certificate, t->key, ca, names});
	for (i = 1; i < t->certificates_count; i++)
		cert_row(list,
			 &(struct wanted){what, "server", true, t->certificates[i].certificate,
					  t->certificates[i].key, ca, json_array()});
}

void doctor_certs_edge(json_t *node, const struct config_edge *c, const char *ca)
{
	json_t *list = json_array();

	json_object_set_new(node, "certificates", list);
	cert_row(list,
		 &(struct wanted){"link", "server", false, c->link.tls.certificate, c->link.tls.key,
				  c->link.tls.ca, json_pack("[s]", c->name)});
	service_rows(list, "sip", &c->sip.tls, ca, json_pack("[s]", c->sip.host));
	if (c->https.host)
		service_rows(list, "https", &c->https.tls, ca, json_pack("[s]", c->https.host));
	if (c->xmpp.host) /* RFC 6120 section 13.7.2.1: the domain, not the host that SRV names */
		service_rows(list, "xmpp", &c->xmpp.tls, ca,
			     json_deep_copy(json_object_get(node, "domains")));
}

void doctor_certs_core(json_t *node, const struct config_core *c)
{
	json_t *list = json_array();
	char host[256] = "";
	uint16_t port;

	json_object_set_new(node, "certificates", list);
	cert_row(list,
		 &(struct wanted){"link", "client", false, c->link.tls.certificate, c->link.tls.key,
				  c->link.tls.ca, json_pack("[s]", c->name)});
	if (!c->sip.tls.certificate)
		return;
	doctor_host_port(c->sip.advertise ? c->sip.advertise : c->sip.listen, host, sizeof(host),
			 &port);
	cert_row(list, &(struct wanted){"inside", c->sip.tls_listen ? "both" : "client", false,
					c->sip.tls.certificate, c->sip.tls.key, c->sip.tls.ca,
					json_pack("[s]", host)});
}
