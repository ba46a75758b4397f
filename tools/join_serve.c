/* tools/join_serve.c -- see join_serve.h. In: a request. Out: a certificate, or what is wrong with it and what mends it. */
#include "tools/join_serve.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/pki_cert.h"
#include "tools/setup_file.h"

static X509 *cert_at(const char *path, char *why)
{
	char *text = setup_read(path, why);
	X509 *x = text ? pki_cert_parse(text) : NULL;

	if (text && !x)
		snprintf(why, JOIN_WHY_MAX, "%.300s: not a PEM certificate", path);
	free(text);
	return x;
}

static EVP_PKEY *key_at(const char *path, char *why)
{
	char *text = setup_read(path, why);
	EVP_PKEY *k = text ? pki_key_parse(text) : NULL;

	if (text && !k)
		snprintf(why, JOIN_WHY_MAX, "%.300s: not a PEM key", path);
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	return k;
}

/* "…/ca.crt" -> "…/ca.key" */
static int beside(const char *crt, char *out, size_t n)
{
	const char *dot = strrchr(crt, '.');
	int len = dot && !strchr(dot, '/') ? (int)(dot - crt) : (int)strlen(crt);

	len = snprintf(out, n, "%.*s.key", len, crt);
	return len < 0 || (size_t)len >= n ? -ENAMETOOLONG : 0;
}

int join_server_open(struct join_server *s, const char *dir, const struct config_edge *cfg,
		     char why[JOIN_WHY_MAX])
{
	char ca_key[JOIN_PATH_MAX];

	*s = (struct join_server){.dir = dir, .name = cfg->name};
	s->cert = cert_at(cfg->link.tls.certificate, why);
	s->key = s->cert ? key_at(cfg->link.tls.key, why) : NULL;
	s->ca = s->key ? cert_at(cfg->link.tls.ca, why) : NULL;
	if (s->ca && beside(cfg->link.tls.ca, ca_key, sizeof(ca_key)) == 0)
		s->ca_key = key_at(ca_key, why);
	if (s->ca_key && X509_check_private_key(s->ca, s->ca_key) == 1 &&
	    X509_check_private_key(s->cert, s->key) == 1)
		return 0;
	if (s->ca_key)
		snprintf(why, JOIN_WHY_MAX,
			 "%.200s or %.200s: the key is not that of the certificate",
			 cfg->link.tls.certificate, cfg->link.tls.ca);
	join_server_close(s);
	return -EINVAL;
}

void join_server_close(struct join_server *s)
{
	X509_free(s->cert);
	X509_free(s->ca);
	EVP_PKEY_free(s->key);
	EVP_PKEY_free(s->ca_key);
	*s = (struct join_server){};
}

int join_server_token(const struct join_server *s, const char *core, const char *const *domains,
		      unsigned n, const char *address, uint64_t expires, struct join_token *t)
{
	struct join_record r = {.expires = expires};
	unsigned i;
	int err;

	*t = (struct join_token){.expires = expires};
	if (n > JOIN_DOMAINS_MAX || strlen(core) >= sizeof(r.core) ||
	    strlen(address) >= sizeof(t->address))
		return -E2BIG;
	if (RAND_bytes(t->secret, JOIN_SECRET) != 1 ||
	    !pki_key_hash(X509_get0_pubkey(s->cert), t->pin))
		return -EIO;
	strcpy(t->address, address);
	strcpy(t->core, core);
	strcpy(r.core, core);
	for (i = 0; i < n; i++)
		snprintf(r.domains[r.n_domains++], JOIN_NAME_MAX, "%s", domains[i]);
	join_token_id(t->secret, r.id);
	memcpy(r.secret, t->secret, JOIN_SECRET);
	err = join_store_put(s->dir, &r);
	OPENSSL_cleanse(&r, sizeof(r));
	return err;
}

/* ---- one request ---- */

static const char mend_new[] =
	"run \"sallyctl invite --core NAME\" on the edge for a new token, and join with that";

static json_t *no(const char *mend, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static json_t *no(const char *mend, const char *fmt, ...)
{
	char text[JOIN_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:s,s:s}", "error", text, "mend", mend);
}

static const char *utc(uint64_t s, char out[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return out;
}

/* One that is encrypted must not ask for a password at the operator's terminal. */
static char no_password[] = "";

/* An Ed25519 key that the sender has. NULL: something else. */
static EVP_PKEY *requested_key(const char *pem)
{
	BIO *b = pem ? BIO_new_mem_buf(pem, -1) : NULL;
	X509_REQ *req = b ? PEM_read_bio_X509_REQ(b, NULL, NULL, no_password) : NULL;
	EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;

	if (key && (!EVP_PKEY_is_a(key, "ED25519") || X509_REQ_verify(req, key) != 1)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	X509_REQ_free(req);
	BIO_free(b);
	return key;
}

static bool is_id(const char *id)
{
	uint8_t raw[JOIN_ID_MAX / 2];

	return join_unhex(id, raw, sizeof(raw)) == 0;
}

static bool proves(const struct join_record *r, const uint8_t exporter[JOIN_HASH],
		   const char *request, const char *hex)
{
	uint8_t want[JOIN_HASH], got[JOIN_HASH];

	if (join_unhex(hex, got, sizeof(got)))
		return false;
	join_proof(r->secret, exporter, span_str(request), want);
	return CRYPTO_memcmp(want, got, JOIN_HASH) == 0;
}

/* NULL: it is in order, and *r and *key are what to make a certificate of. */
static json_t *objection(const struct join_server *s, const json_t *q,
			 const uint8_t exporter[JOIN_HASH], uint64_t now, struct join_record *r,
			 EVP_PKEY **key)
{
	const char *id = json_string_value(json_object_get(q, "id")),
		   *name = json_string_value(json_object_get(q, "name")),
		   *pem = json_string_value(json_object_get(q, "request")),
		   *proof = json_string_value(json_object_get(q, "proof"));
	char when[32], ended[32];
	int err;

	if (json_integer_value(json_object_get(q, "v")) != 1)
		return no("install the same release of sallyport on both machines",
			  "join: wanted version 1");
	if (!is_id(id) || !pem || !proof || (name && !setup_is_name(name)))
		return no("install the same release of sallyport on both machines",
			  "join: the request is not complete");
	err = join_store_get(s->dir, id, r);
	if (err == -EALREADY)
		return no(mend_new, "this token was used already, at %s, from %s",
			  utc(r->used, when), *r->by ? r->by : "an address that was not noted");
	if (err)
		return no(mend_new, "%s does not know this token", s->name);
	if (!proves(r, exporter, pem, proof))
		return no("copy the whole token once more", "the token was changed on its way");
	if (r->expires <= now)
		return no(mend_new, "this token ended at %s; it is %s here", utc(r->expires, ended),
			  utc(now, when));
	if (name && strcmp(name, r->core) != 0)
		return no(
			"join without --name, or have a token made for it: sallyctl invite --core "
			"NAME",
			"this token is for %s, not for %.200s", r->core, name);
	*key = requested_key(pem);
	return *key ? NULL
		    : no("install the same release of sallyport on both machines",
			 "join: no certificate request with an Ed25519 key");
}

static json_t *issue(const struct join_server *s, const struct join_record *r, EVP_PKEY *key)
{
	const char *san[] = {r->core};
	struct pki_wish w = {san, 1, PKI_ISSUE_DAYS, NULL};
	X509 *x = pki_cert_new(key, &w, s->ca, s->ca_key);
	char *cert = x ? pki_cert_pem(x) : NULL, *ca = cert ? pki_cert_pem(s->ca) : NULL;
	json_t *o = NULL;
	unsigned i;

	if (ca)
		o = json_pack("{s:i,s:s,s:s,s:[],s:s,s:s}", "v", 1, "edge", s->name, "name",
			      r->core, "domains", "certificate", cert, "ca", ca);
	for (i = 0; o && i < r->n_domains; i++)
		json_array_append_new(json_object_get(o, "domains"), json_string(r->domains[i]));
	free(cert);
	free(ca);
	X509_free(x);
	return o;
}

json_t *join_serve_answer(const struct join_server *s, const json_t *request,
			  const uint8_t exporter[JOIN_HASH], const struct addr *from, uint64_t now,
			  char out_core[JOIN_NAME_MAX])
{
	struct join_record r = {};
	EVP_PKEY *key = NULL;
	json_t *o = objection(s, request, exporter, now, &r, &key);
	int err;

	out_core[0] = 0;
	if (o)
		goto out;
	err = join_store_take(s->dir, r.id);
	if (err) {
		o = no(mend_new, "this token was used a moment ago");
		goto out;
	}
	r.used = now;
	addr_text(from, r.by);
	err = join_store_used(s->dir, &r);
	o = err ? NULL : issue(s, &r, key);
	if (o)
		strcpy(out_core, r.core);
	else
		o = no(mend_new, "%s could not make a certificate: %s", s->name,
		       err ? strerror(-err) : "OpenSSL refused");
out:
	EVP_PKEY_free(key);
	OPENSSL_cleanse(&r, sizeof(r));
	return o;
}

int join_serve_one(const struct join_server *s, int fd, char out_core[JOIN_NAME_MAX],
		   char from[ADDR_TEXT_MAX], char why[JOIN_WHY_MAX])
{
	uint8_t exporter[JOIN_HASH];
	json_t *q = NULL, *o = NULL;
	struct join_conn *c = NULL;
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr peer = {};
	int err;

	out_core[0] = 0;
	if (!getpeername(fd, (struct sockaddr *)&ss, &n))
		addr_from_sockaddr((struct sockaddr *)&ss, &peer);
	addr_text(&peer, from);
	err = join_accept(fd, s->cert, s->key, JOIN_STEP_MS, &c, why);
	if (!err)
		err = join_receive(c, JOIN_STEP_MS, &q, why);
	if (!err)
		err = join_exporter(c, exporter);
	if (err)
		goto out;
	o = join_serve_answer(s, q, exporter, &peer, (uint64_t)time(NULL), out_core);
	err = join_send(c, o, JOIN_STEP_MS, why);
	if (!err && !*out_core) {
		snprintf(why, JOIN_WHY_MAX, "%s", json_string_value(json_object_get(o, "error")));
		err = -EACCES;
	} else if (err && *out_core) {
		snprintf(why, JOIN_WHY_MAX,
			 "%s proved itself, but did not take its certificate: invite it again",
			 out_core);
	}
out:
	json_decref(q);
	json_decref(o);
	join_close(c);
	return err;
}
