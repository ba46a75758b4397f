/* tools/pki_cert.h -- keys and certificates of the link, in memory: made, signed, turned into PEM and back.
 *
 * Data flow: names and times -> an Ed25519 key, a CA, a certificate under it -> PEM texts, which the caller writes. No file, no output.
 * Ed25519 throughout: a peer's certificate stays in memory as long as its connection, and 3 KiB of it are curve parameters with P-256. A
 * CA that was made with P-256 goes on signing.
 * Owner rules: everything returned is the caller's: X509_free(), EVP_PKEY_free(), free(); texts of private keys are to be wiped first.
 * NULL: OpenSSL has no memory, or refused; its error queue says why. */
#ifndef SALLYPORT_PKI_CERT_H
#define SALLYPORT_PKI_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_HASH       32
#define PKI_CA_DAYS    3650
#define PKI_ISSUE_DAYS 825

struct pki_wish {
	const char *const *san; /* DNS names and addresses */
	unsigned n_san;
	long days;	       /* from now on; certificates begin an hour ago */
	const char *not_after; /* YYYYMMDDHHMMSSZ; NULL: .days counts */
};

EVP_PKEY *pki_key_new(void);
X509 *pki_ca_new(EVP_PKEY *key, const char *cn, long days, const char *not_after);
/* For client and server authentication, under @ca; of @key the public half is enough. */
X509 *pki_cert_new(EVP_PKEY *key, const struct pki_wish *w, X509 *ca, EVP_PKEY *ca_key);
/* A server's, signed by itself: whoever is to trust it has to be given it. */
X509 *pki_self_new(EVP_PKEY *key, const struct pki_wish *w);

char *pki_cert_pem(X509 *x);
char *pki_key_pem(EVP_PKEY *key);
X509 *pki_cert_parse(const char *pem); /* the first in the text */
EVP_PKEY *pki_key_parse(const char *pem);

/* SHA-256 of the public key (SubjectPublicKeyInfo, as RFC 7469 2.4 pins it). */
bool pki_key_hash(EVP_PKEY *key, uint8_t out[PKI_HASH]);

#endif
