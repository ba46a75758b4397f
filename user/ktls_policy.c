/* user/ktls_policy.c -- see ktls_policy.h. In: a probe and a word. Out: a mode, log lines, JSON. */
#include "user/ktls_policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/log.h"

static const char *direction_name(enum ktls_dir d)
{
	return d == KTLS_RX ? "receive" : "send";
}

/* Each rung that is missing, or one call for all where the kernel has no TLS at all. */
static void missing_each(const struct ktls_probe *p,
			 void (*fn)(void *arg, const char *version, const char *cipher,
				    const char *direction, const char *reason),
			 void *arg)
{
	char why[KTLS_WHY_MAX];
	unsigned v, c, d;

	if (p->ulp) {
		fn(arg, "all", "all", "both",
		   ktls_why(p, KTLS_1_3, KTLS_AES_128_GCM, KTLS_TX, why));
		return;
	}
	for (v = 0; v < KTLS_VERSIONS; v++)
		for (c = 0; c < KTLS_CIPHERS; c++)
			for (d = 0; d < KTLS_DIRS; d++)
				if (p->of[v][c].dir[d])
					fn(arg, ktls_version_name(v), ktls_cipher_name(c),
					   direction_name(d), ktls_why(p, v, c, d, why));
}

static void missing_log(void *arg, const char *version, const char *cipher, const char *direction,
			const char *reason)
{
	(void)arg;
	log_event(LOG_L_WARN, "kernel-tls-missing",
		  "version=%s cipher=%s direction=%s reason=\"%s\"", version, cipher, direction,
		  reason);
}

void ktls_log(const struct ktls_probe *p)
{
	missing_each(p, missing_log, NULL);
	if (!p->ulp)
		log_event(LOG_L_INFO, "kernel-tls", "usable=%d new_keys=%d", ktls_usable(p),
			  !p->of[KTLS_1_3][KTLS_AES_128_GCM].rekey);
}

static void missing_row(void *arg, const char *version, const char *cipher, const char *direction,
			const char *reason)
{
	json_array_append_new(arg, json_pack("{s:s,s:s,s:s,s:s}", "version", version, "cipher",
					     cipher, "direction", direction, "reason", reason));
}

json_t *ktls_show(const struct ktls_probe *p)
{
	json_t *have = json_array(), *missing = json_array();
	char name[48];
	unsigned v, c;

	for (v = 0; v < KTLS_VERSIONS; v++)
		for (c = 0; c < KTLS_CIPHERS; c++)
			if (!p->of[v][c].dir[KTLS_RX] && !p->of[v][c].dir[KTLS_TX]) {
				snprintf(name, sizeof(name), "%s %s", ktls_version_name(v),
					 ktls_cipher_name(c));
				json_array_append_new(have, json_string(name));
			}
	missing_each(p, missing_row, missing);
	return json_pack("{s:o,s:b,s:o}", "rung_a", have, "new_keys",
			 !p->of[KTLS_1_3][KTLS_AES_128_GCM].rekey, "missing", missing);
}

int ktls_policy(const char *key, const char *word, const struct ktls_probe *p, enum ktls_mode *out,
		char *why, size_t why_n)
{
	char reason[KTLS_WHY_MAX];
	unsigned v, c, d;

	*out = !strcmp(word, "off")  ? KTLS_MODE_OFF
	       : !strcmp(word, "tx") ? KTLS_MODE_TX
				     : KTLS_MODE_BOTH;
	for (v = 0; !strcmp(word, "on") && v < KTLS_VERSIONS; v++)
		for (c = 0; c < KTLS_CIPHERS; c++)
			for (d = 0; d < KTLS_DIRS; d++)
				if (p->of[v][c].dir[d]) {
					snprintf(why, why_n,
						 "%s: on, but %s (auto goes on without)", key,
						 ktls_why(p, v, c, d, reason));
					return -EOPNOTSUPP;
				}
	if (!ktls_usable(p))
		*out = KTLS_MODE_OFF;
	return 0;
}
