/* tools/doctor_cert.h -- what doctor reads off a certificate, for files and for what a server shows. Owns nothing: the X509 is the
 * caller's, and so is what comes back. */
#ifndef SALLYPORT_DOCTOR_CERT_H
#define SALLYPORT_DOCTOR_CERT_H

#include <jansson.h>
#include <openssl/x509.h>

long long doctor_cert_time(const ASN1_TIME *t); /* UTC seconds; 0: no time */
json_t *doctor_cert_names(const X509 *x);	/* SAN: DNS names and addresses, as text */
void doctor_cert_fingerprint(const X509 *x, char out[65]); /* SHA-256 in hex */
X509_STORE *doctor_cert_store(
	const char *ca); /* of a PEM file, NULL: the system's; NULL when it cannot be read */

#endif
