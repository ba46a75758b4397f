/* user/gate_http_keys.c -- see gate_http_keys.h. Owns a set of public keys a core; no secret. */
#include "user/gate_http_keys.h"

#include <errno.h>
#include <stdlib.h>

#include "user/wall.h"

struct gate_http_keys {
	const struct config_edge *cfg;
	struct http_token_keys *sets[]; /* by core; NULL: it has told none */
};

int gate_http_keys_new(const struct config_edge *cfg, struct gate_http_keys **out)
{
	struct gate_http_keys *k =
		calloc(1, sizeof(*k) + cfg->link.cores_count * sizeof(k->sets[0]));

	if (!k)
		return -ENOMEM;
	k->cfg = cfg;
	*out = k;
	return 0;
}

void gate_http_keys_free(struct gate_http_keys *k)
{
	unsigned i;

	for (i = 0; k && i < k->cfg->link.cores_count; i++)
		http_token_keys_free(k->sets[i]);
	free(k);
}

int gate_http_keys_set(struct gate_http_keys *k, unsigned core, const Sallyport__TokenKeys *m)
{
	struct http_token_keys *set;
	size_t i;
	int err;

	if (core >= k->cfg->link.cores_count)
		return -EINVAL;
	err = http_token_keys_new(&set);
	if (err)
		return err;
	for (i = 0; i < m->n_key && !err; i++)
		err = http_token_keys_add(
			set, span_of(m->key[i]->kid.data, m->key[i]->kid.len),
			span_of(m->key[i]->public_key.data, m->key[i]->public_key.len));
	if (err) {
		http_token_keys_free(set);
		return err;
	}
	http_token_keys_free(k->sets[core]);
	k->sets[core] = set;
	return 0;
}

unsigned gate_http_keys_count(const struct gate_http_keys *k, unsigned core)
{
	unsigned n = 0;

	while (k->sets[core] && http_token_keys_at(k->sets[core], n))
		n++;
	return n;
}

static bool serves(const struct config_edge_core *c, struct span domain)
{
	unsigned i;

	for (i = 0; i < c->domains_count; i++)
		if (span_ieq(span_str(c->domains[i]), domain))
			return true;
	return false;
}

enum http_token_verdict gate_http_keys_judge(void *keys, struct span domain, struct span text)
{
	const struct gate_http_keys *k = keys;
	enum http_token_verdict v = TOKEN_VERDICTS, one;
	struct http_token token;
	unsigned i;

	for (i = 0; i < k->cfg->link.cores_count && v != TOKEN_OK; i++) {
		if (!serves(&k->cfg->link.cores[i], domain) || !gate_http_keys_count(k, i))
			continue;
		one = http_token_check(k->sets[i], text, domain, wall_now_s(), &token);
		if (v == TOKEN_VERDICTS ||
		    one != TOKEN_UNKNOWN_KEY) /* whose key it is knows best */
			v = one;
	}
	return v;
}
