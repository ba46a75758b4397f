/* user/policy.h -- who may use what: access of users, and the allow list.
 *
 * In: the core's https section and its CSV file. Out: questions answered from tables made once. Access: a user's own entry,
 * else the default; names and domains without regard to ASCII case. Allow list (http/allow.h): rules generated for the
 * clusters (UDS, provisioning, voicemail), bound to the user's own resources, then the operator's, then those of the CSV file.
 * Owner rules: owns rules, strings and groups; read-only after policy_new(); the configuration must live as long. No clock, no
 * I/O. */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

#include "http/allow.h"
#include "user/cluster.h"

enum policy_access { POLICY_SIP = 1, POLICY_HTTPS = 2, POLICY_CHAT = 4 };

struct policy;

/* @csv: the allow_csv file's text, or empty; its path is in the configuration. 0; -EINVAL or -ENOMEM with @why: file, line,
 * what was wanted. */
int policy_new(const struct config_core *cfg, const struct clusters *clusters, struct span csv,
	       struct policy **out, char *why, size_t why_n);
void policy_free(struct policy *p);

/* Bits of enum policy_access. */
unsigned policy_access(const struct policy *p, struct span domain, struct span user);

const struct allow *policy_allow(const struct policy *p);

/* Who stands in for a rule's target: the members of its group, the target itself first. At most @max; 0: no group, or the
 * target is not in it. */
struct policy_host {
	const char *host;
	uint16_t port;
	bool https;
};
unsigned policy_group(const struct policy *p, const struct allow_rule *rule,
		      struct policy_host *out, unsigned max);

#endif
