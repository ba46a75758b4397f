/* user/tls_climb.c -- a connection of OpenSSL leaves for the kernel: its keys, its record numbers, and when it may. See tls_impl.h.
 *
 * In: OpenSSL's key log and its message callback, while a connection is in its hands. Out: a struct ktls in the connection; the SSL is
 * freed (rung A) or only reads from then on (rung B). Owner: the connection; the secrets noted here are wiped when they are used, when
 * the connection ends, or when it turns out that it will not climb.
 *
 * TLS 1.3: the two application traffic secrets come by the key log callback, which writes nowhere. TLS 1.2: the key block comes from the
 * master secret and both randoms (RFC 5246 section 6.3). Records are counted by their headers: from ChangeCipherSpec on in TLS 1.2, from
 * the secret's coming on in TLS 1.3. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "user/tls_impl.h"

#define RECORD_CCS   20
#define UPDATE	     24
#define GCM_FIXED_IV 4
#define CHACHA_IV    12

struct tls_track {
	uint64_t n[KTLS_DIRS]; /* records under the present key */
	uint8_t secret[KTLS_DIRS][KTLS_SECRET_MAX];
	uint8_t secret_n[KTLS_DIRS];
	bool updated; /* keys changed since: those noted are old */
	bool asked;   /* rung B: the peer wants ours to change */
};

/* ---- noting ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t hex_read(const char *s, uint8_t *out, size_t max)
{
	size_t n;

	for (n = 0; n < max && hex_digit(s[2 * n]) >= 0 && hex_digit(s[2 * n + 1]) >= 0; n++)
		out[n] = (uint8_t)(hex_digit(s[2 * n]) << 4 | hex_digit(s[2 * n + 1]));
	return n;
}

/* "CLIENT_TRAFFIC_SECRET_0 <client random> <secret>" */
static void key_line(const SSL *ssl, const char *line)
{
	static const char *const labels[2] = {"CLIENT_TRAFFIC_SECRET_0 ",
					      "SERVER_TRAFFIC_SECRET_0 "};
	struct tls_conn *t = tls_conn_of(ssl);
	struct tls_track *k = t ? t->track : NULL;
	const char *secret = strrchr(line, ' ');
	enum ktls_dir d;
	int i;

	for (i = 0; k && secret && i < 2; i++) {
		if (strncmp(line, labels[i], strlen(labels[i])))
			continue;
		/* The server sends with the server's secret. */
		d = t->ctx->server == (i == 1) ? KTLS_TX : KTLS_RX;
		k->secret_n[d] = (uint8_t)hex_read(secret + 1, k->secret[d], KTLS_SECRET_MAX);
		k->n[d] = 0;
	}
}

static void message(int write, int version, int type, const void *buf, size_t n, SSL *ssl,
		    void *arg)
{
	struct tls_conn *t = tls_conn_of(ssl);
	struct tls_track *k = t ? t->track : NULL;
	enum ktls_dir d = write ? KTLS_TX : KTLS_RX;
	const uint8_t *p = buf;

	(void)version, (void)arg;
	if (!k || !n)
		return;
	if (type == SSL3_RT_HEADER && p[0] == RECORD_CCS)
		k->n[d] = 0;
	else if (type == SSL3_RT_HEADER)
		k->n[d]++;
	else if (type == SSL3_RT_HANDSHAKE && p[0] == UPDATE)
		k->updated = true;
	if (type == SSL3_RT_HANDSHAKE && p[0] == UPDATE && !write && n == 5)
		k->asked |= p[4] == 1;
}

void tls_track_ctx(struct tls_ctx *c)
{
	SSL_CTX_set_keylog_callback(c->ssl, key_line);
	SSL_CTX_set_msg_callback(c->ssl, message);
}

int tls_track_new(struct tls_conn *t)
{
	t->track = calloc(1, sizeof(*t->track));
	return t->track ? 0 : -ENOMEM;
}

void tls_track_free(struct tls_conn *t)
{
	if (!t->track)
		return;
	if (t->ssl)
		SSL_set_msg_callback(t->ssl, NULL);
	OPENSSL_cleanse(t->track, sizeof(*t->track));
	free(t->track);
	t->track = NULL;
}

/* ---- keys ---- */

static int cipher_of(const SSL *ssl)
{
	switch (SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))) {
	case 0x1301:
	case 0xc02b:
	case 0xc02f:
		return KTLS_AES_128_GCM;
	case 0x1302:
	case 0xc02c:
	case 0xc030:
		return KTLS_AES_256_GCM;
	case 0x1303:
	case 0xcca8:
	case 0xcca9:
		return KTLS_CHACHA20;
	default:
		return -ENOTSUP;
	}
}

/* key_block = PRF(master_secret, "key expansion", server_random + client_random); no MAC keys with AEAD: the two keys, the two IVs. */
static int keys_1_2(const struct tls_conn *t, const struct ktls *k, struct ktls_keys out[KTLS_DIRS])
{
	static const char label[] = "key expansion";
	size_t key = ktls_key_size(k->cipher),
	       iv = k->cipher == KTLS_CHACHA20 ? CHACHA_IV : GCM_FIXED_IV;
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(t->ssl));
	uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], seed[2 * SSL3_RANDOM_SIZE], block[2 * (32 + 12)];
	size_t master_n =
		SSL_SESSION_get_master_key(SSL_get_session(t->ssl), master, sizeof(master));
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[5] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)(uintptr_t)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, master_n),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)(uintptr_t)label,
						  sizeof(label) - 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_construct_end(),
	};
	int ret = -ENOMEM, own = t->ctx->server ? 1 : 0;

	SSL_get_server_random(t->ssl, seed, SSL3_RANDOM_SIZE);
	SSL_get_client_random(t->ssl, seed + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
	if (ctx && EVP_KDF_derive(ctx, block, 2 * (key + iv), params) == 1) {
		/* The client's first in both halves. */
		memcpy(out[KTLS_TX].key, block + (own ? key : 0), key);
		memcpy(out[KTLS_RX].key, block + (own ? 0 : key), key);
		memcpy(out[KTLS_TX].iv, block + 2 * key + (own ? iv : 0), iv);
		memcpy(out[KTLS_RX].iv, block + 2 * key + (own ? 0 : iv), iv);
		ret = 0;
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(block, sizeof(block));
	return ret;
}

static int keys_1_3(struct tls_conn *t, struct ktls *k, struct ktls_keys out[KTLS_DIRS])
{
	struct tls_track *from = t->track;
	int ret;

	if (!from->secret_n[KTLS_RX] || from->secret_n[KTLS_RX] != from->secret_n[KTLS_TX])
		return -ENOKEY;
	k->secret_n = from->secret_n[KTLS_RX];
	memcpy(ktls_secrets(k)->of, from->secret, sizeof(from->secret));
	ret = ktls_keys_from_secret(k, KTLS_RX, &out[KTLS_RX]);
	if (!ret)
		ret = ktls_keys_from_secret(k, KTLS_TX, &out[KTLS_TX]);
	if (ret || !k->rekey)
		OPENSSL_cleanse(ktls_secrets(k), sizeof(struct ktls_secrets));
	return ret;
}

/* ---- climbing ---- */

/* 0, or why not now (-EAGAIN) or not ever. */
static int may_climb(const struct tls_conn *t, const char **why)
{
	if (!t->track) {
		*why = "kernel TLS is off";
		return -ENOTSUP;
	}
	if (t->over || !t->established || SSL_in_init(t->ssl)) {
		*why = "the handshake is not done";
		return -EAGAIN;
	}
	if (SSL_get_shutdown(t->ssl)) {
		*why = "the connection ends";
		return -ENOTSUP;
	}
	if (t->track->updated) {
		*why = "its keys were changed in user space";
		return -ENOTSUP;
	}
	/* One of which just the header was read does not count as pending. */
	if (SSL_has_pending(t->ssl) || !strcmp(SSL_rstate_string(t->ssl), "RB")) {
		*why = "a record is half read";
		return -EAGAIN;
	}
	if (cipher_of(t->ssl) < 0) {
		*why = "a cipher that kernels do not know";
		return -ENOTSUP;
	}
	return 0;
}

/* What the connection is still asked for when the SSL is gone. */
static void names_keep(struct tls_conn *t)
{
	const char *alpn = tls_alpn(t);

	t->alpn = *alpn ? (uint8_t)(alpn - t->ctx->alpn_text + 1) : 0;
	free(t->want);
	t->cipher_name = SSL_get_cipher_name(t->ssl);
}

static int start(struct tls_conn *t, struct ktls *k, bool tx_only)
{
	struct ktls_keys keys[KTLS_DIRS] = {};
	/* Rung B: OpenSSL goes on reading and must never write again, its alerts would reach the socket as data. */
	BIO *null = tx_only ? BIO_new(BIO_s_null()) : NULL;
	int ret = tx_only && !null ? -ENOMEM : 0;

	if (!ret)
		ret = k->version == KTLS_1_3 ? keys_1_3(t, k, keys) : keys_1_2(t, k, keys);
	keys[KTLS_RX].seq = t->track->n[KTLS_RX];
	keys[KTLS_TX].seq = t->track->n[KTLS_TX];
	if (!ret)
		ret = ktls_start(k, t->fd, tx_only ? NULL : &keys[KTLS_RX], &keys[KTLS_TX]);
	OPENSSL_cleanse(keys, sizeof(keys));
	if (!ret && tx_only)
		SSL_set0_wbio(t->ssl, null);
	else
		BIO_free(null);
	return ret;
}

/* The SSL's last day: nothing of it is sent any more. */
static void ssl_leave(struct tls_conn *t)
{
	tls_track_free(t);
	SSL_set_quiet_shutdown(t->ssl, 1);
	SSL_free(t->ssl);
	t->ssl = NULL;
}

int tls_climb(struct tls_conn *t, bool tx_only, const char **why)
{
	const struct ktls_probe *p = t->ctx->kernel;
	int ret = t->kernel ? -EALREADY : may_climb(t, why);
	struct ktls *k;

	if (ret)
		return ret;
	k = ktls_new();
	if (!k) {
		*why = "out of memory";
		tls_track_free(t);
		return -ENOMEM;
	}
	k->version = SSL_version(t->ssl) == TLS1_3_VERSION ? KTLS_1_3 : KTLS_1_2;
	k->cipher = (uint8_t)cipher_of(t->ssl);
	k->rekey = k->version == KTLS_1_3 && !p->of[k->version][k->cipher].rekey;
	tx_only |= p->of[k->version][k->cipher].dir[KTLS_RX] != 0;
	*why = "the kernel does not send with this version and cipher: see status";
	if (p->of[k->version][k->cipher].dir[KTLS_TX])
		ret = -ENOTSUP;
	if (!ret) {
		*why = "the kernel refused the keys";
		ret = start(t, k, tx_only);
	}
	if (ret) {
		tls_track_free(t);
		ktls_wipe(k);
		free(k);
		return ret;
	}
	*why = NULL;
	names_keep(t);
	t->kernel = k;
	if (tx_only)
		OPENSSL_cleanse(t->track->secret, sizeof(t->track->secret));
	else
		ssl_leave(t);
	return 0;
}

/* Rung B, after a read: the peer may want new keys of ours, and OpenSSL would answer with its next write, which never comes. */
int tls_climbed_read(struct tls_conn *t)
{
	if (!t->track->asked)
		return 0;
	t->track->asked = false;
	if (!t->kernel->rekey) {
		tls_why_set(t, "the peer asks for new keys, which this kernel cannot take (Linux "
			       "6.14 can)");
		return -EKEYEXPIRED;
	}
	t->kernel->answer = 1; /* our next write begins with it */
	return 0;
}
