/* user/ktls_policy.h -- what a daemon does with kernel TLS: the configuration's word, the log lines, the rows of `sallyctl status`.
 *
 * Data flow: ktls_probe() at a worker's start -> ktls_policy() a listener -> enum ktls_mode in the parameters of streams and link.
 * Owner rules: none; a probe lives as long as the contexts made with it. */
#ifndef SALLYPORT_KTLS_POLICY_H
#define SALLYPORT_KTLS_POLICY_H

#include <jansson.h>

#include "user/ktls.h"

#define KTLS_WORDS "auto|on|tx|off"

enum ktls_mode { KTLS_MODE_OFF, KTLS_MODE_TX, KTLS_MODE_BOTH };

/* auto: as far as the kernel goes; on: both ways, or the start fails; tx: sending only; off. @key is the setting's name, for *why:
 * "sip.ktls: on, but ENOENT: ...". 0 or -EOPNOTSUPP. */
int ktls_policy(const char *key, const char *word, const struct ktls_probe *p, enum ktls_mode *out,
		char *why, size_t why_n);
/* A line a missing rung, once where all are missing for the same reason. */
void ktls_log(const struct ktls_probe *p);
/* {"rung_a": [suites], "new_keys": bool, "missing": [{"version", "cipher", "direction", "reason"}]} */
json_t *ktls_show(const struct ktls_probe *p);

#endif
