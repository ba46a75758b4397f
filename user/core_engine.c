/* user/core_engine.c -- the SIP engine as the core has it: its configuration, and the services that it asks for (random bytes, HMAC, who may
 * register). See core_int.h. */
#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "user/core_int.h"
#include "user/log.h"

static void core_random(void *arg, void *buf, size_t n)
{
	(void)arg;
	if (getrandom(buf, n, 0) != (ssize_t)n) {
		log_event(LOG_L_ERROR, "random", "error=\"%s\"", strerror(errno));
		abort(); /* keys from anything else would be worse than a restart */
	}
}

static void core_hmac(void *arg, struct span key, struct span data, uint8_t out[32])
{
	unsigned n = 32;

	(void)arg;
	if (!HMAC(EVP_sha256(), key.p, (int)key.n, data.p, data.n, out, &n)) {
		log_event(LOG_L_ERROR, "hmac", "error=failed");
		abort();
	}
}

static bool core_may_register(void *arg, struct span user, struct span domain)
{
	return core_https_may(arg, domain, user, POLICY_SIP);
}

int core_make_engine(struct core *c, char *why, size_t why_n)
{
	const struct config_core *cfg = c->cfg;
	struct engine_config ec = {
		.core_name = cfg->name,
		.inside_host = c->inside_host,
		.inside_port = c->inside_port,
		.inside_tls_port = c->inside_tls_port,
		.servers = c->servers,
		.n_servers = cfg->call_servers_count,
		.token_key = span_of(c->token_key, c->token_key_n),
		.bindings_max = cfg->limits.bindings,
		.calls_max = cfg->limits.calls,
		.calls_user_max = cfg->limits.calls_user,
		.transactions_max = 4 * cfg->limits.calls + cfg->limits.bindings,
		.message_max = cfg->limits.message_bytes,
		.keep = true,
		.calls = true,
		.random = core_random,
		.hmac = core_hmac,
		.may_register = core_may_register,
		.arg = c,
	};
	int err = engine_new(&ec, loop_now_ms(c->loop), &c->engine);

	if (err)
		snprintf(why, why_n, "SIP engine: %s", strerror(-err));
	return err;
}
