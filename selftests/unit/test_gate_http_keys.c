/* selftests/unit/test_gate_http_keys.c -- the public keys of session tokens as cores tell them: rotation, whole or not at all, whose domain.
 * In: keys made here. Out: verdicts on tokens signed by them, good by the clock of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "user/gate_http_keys.h"
#include "user/http_token_sign.h"
#include "user/wall.h"

static struct http_token_signer *signers[3];

static struct http_token_signer *signer_new(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct http_token_signer *s = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char why[256] = "", *pem;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	assert_int_equal(http_token_signer_new(span_of(pem, (size_t)n), &s, why, sizeof(why)), 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return s;
}

static int keys_tell(struct gate_http_keys *k, unsigned core, unsigned first, unsigned n, bool bad)
{
	Sallyport__TokenKeys m = SALLYPORT__TOKEN_KEYS__INIT;
	Sallyport__TokenKey key[3], *list[3];
	uint8_t wrong[HTTP_TOKEN_KID] = {1};
	unsigned i;

	for (i = 0; i < n; i++) {
		struct http_token_key *from =
			(struct http_token_key *)http_token_signer_key(signers[first + i]);

		sallyport__token_key__init(&key[i]);
		key[i].kid = (ProtobufCBinaryData){8, bad ? wrong : from->kid};
		key[i].public_key = (ProtobufCBinaryData){32, from->public_key};
		list[i] = &key[i];
	}
	m.n_key = n;
	m.key = list;
	return gate_http_keys_set(k, core, &m);
}

/* Rotation as a core does it; what is wrong changes nothing; a domain's token is judged by the keys of each core that serves it. */
static void test_gate_http_keys(void **state)
{
	const char *one[] = {"example.com"}, *two[] = {"Example.com", "example.net"};
	struct config_edge_core cores[] = {{.name = "c1", .domains = one, .domains_count = 1},
					   {.name = "c2", .domains = two, .domains_count = 2}};
	const struct config_edge cfg = {.link = {.cores = cores, .cores_count = 2}};
	const struct span com = SPAN("example.com"), net = SPAN("example.net");
	struct gate_http_keys *k;
	char text[2][HTTP_TOKEN_TEXT_MAX];
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		signers[i] = signer_new();
	for (i = 0; i < 2; i++) {
		struct http_token t = {.user = "a",
				       .domain = "example.com",
				       .issued_s = wall_now_s() - 1,
				       .expires_s = wall_now_s() + 600};

		assert_true(http_token_sign(signers[i], &t, text[i]) > 0);
	}
	assert_int_equal(gate_http_keys_new(&cfg, &k), 0);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[0])), TOKEN_VERDICTS);
	assert_int_equal(keys_tell(k, 0, 0, 1, false), 0);
	assert_int_equal(gate_http_keys_count(k, 0), 1);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[0])), TOKEN_OK);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[1])), TOKEN_UNKNOWN_KEY);
	assert_int_equal(gate_http_keys_judge(k, net, span_str(text[0])), TOKEN_VERDICTS);
	assert_int_equal(gate_http_keys_judge(k, com, SPAN("6f0c")), TOKEN_MALFORMED);
	/* the other core signs by another key */
	assert_int_equal(keys_tell(k, 1, 1, 1, false), 0);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[0])), TOKEN_OK);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[1])), TOKEN_OK);
	assert_int_equal(gate_http_keys_judge(k, net, span_str(text[1])), TOKEN_OTHER_DOMAIN);
	/* refused as a whole */
	assert_int_equal(keys_tell(k, 0, 1, 2, true), -EINVAL);
	assert_int_equal(keys_tell(k, 2, 0, 1, false), -EINVAL);
	assert_int_equal(gate_http_keys_count(k, 0), 1);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[0])), TOKEN_OK);
	/* the last key goes */
	assert_int_equal(keys_tell(k, 0, 2, 1, false), 0);
	assert_int_equal(gate_http_keys_judge(k, com, span_str(text[0])), TOKEN_UNKNOWN_KEY);
	assert_int_equal(keys_tell(k, 0, 0, 0, false), 0);
	assert_int_equal(gate_http_keys_count(k, 0), 0);
	gate_http_keys_free(k);
	for (i = 0; i < 3; i++)
		http_token_signer_free(signers[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_http_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
