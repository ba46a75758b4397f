/* user/core_https.c -- HTTPS on the core, from its configuration. See core_https.h.
 *
 * In: the https section, the keeper's descriptors, links that come up. Out: streams for core_http, token keys for edges. Owner:
 * struct core. */
#include "user/core_https.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_https_int.h"
#include "user/log.h"

#define TOKEN_SECONDS 28800

static bool enabled(const struct config_core *cfg)
{
	return cfg->https.token_keys_count > 0;
}

/* ---- the keeper's side ---- */

static const char *key_name(unsigned i, char buf[32])
{
	(void)snprintf(buf, 32, "https.key.%u", i);
	return buf;
}

/* A place for the file, so that a reload may fill it. */
static int plan_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		     size_t why_n)
{
	int err;

	if (path)
		return keeper_open_file(p, name, path, why, why_n);
	err = keeper_data(p, name, "", 0);
	if (err)
		snprintf(why, why_n, "https: %s", strerror(-err));
	return err;
}

typedef int file_fn(struct keeper_plan *p, const char *name, const char *path, char *why,
		    size_t why_n);

static int each_file(struct keeper_plan *p, const struct config_core *cfg, file_fn *fn, char *why,
		     size_t why_n)
{
	const struct config_https *h = &cfg->https;
	char name[32];
	unsigned i;
	int err = 0;

	for (i = 0; !err && i < HTTP_TOKEN_KEYS_MAX; i++)
		err = fn(p, key_name(i, name), i < h->token_keys_count ? h->token_keys[i] : NULL,
			 why, why_n);
	if (!err)
		err = fn(p, "https.ca", enabled(cfg) ? h->tls.ca : NULL, why, why_n);
	if (!err)
		err = fn(p, "https.csv", enabled(cfg) ? h->allow_csv : NULL, why, why_n);
	return err;
}

int core_https_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	return each_file(p, cfg, plan_file, why, why_n);
}

/* A key that is no longer named does not stay in anybody's memory. */
static int reopen_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		       size_t why_n)
{
	return path ? keeper_reopen_file(p, name, path, why, why_n)
		    : keeper_reopen_data(p, name, "", 0, why, why_n);
}

int core_https_reopen(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	return each_file(p, cfg, reopen_file, why, why_n);
}

/* ---- parts ---- */

static void wipe(char *text, size_t n)
{
	if (text)
		explicit_bzero(text, n);
	free(text);
}

/* The first one signs, all verify. */
static int read_key(struct core_https *x, const struct config_https *cfg, unsigned i, char *why,
		    size_t why_n)
{
	struct http_token_signer *signer = NULL;
	const struct http_token_key *k;
	char name[32], *pem = NULL, reason[200] = "";
	size_t n = 0;
	int err = keeper_read(key_name(i, name), &pem, &n);

	if (!err)
		err = http_token_signer_new(span_of(pem, n), &signer, reason, sizeof(reason));
	wipe(pem, n);
	if (err) {
		snprintf(why, why_n, "https.token_keys: %s: %s", cfg->token_keys[i],
			 *reason ? reason : strerror(-err));
		return err;
	}
	k = http_token_signer_key(signer);
	err = http_token_keys_add(x->keys, span_of(k->kid, sizeof(k->kid)),
				  span_of(k->public_key, sizeof(k->public_key)));
	if (err)
		snprintf(why, why_n, "https.token_keys: %s: %s", cfg->token_keys[i],
			 err == -EEXIST ? "the same key twice" : strerror(-err));
	if (err || i)
		http_token_signer_free(signer);
	else
		x->signer = signer;
	return err;
}

static int read_keys(struct core_https *x, const struct config_https *cfg, char *why, size_t why_n)
{
	unsigned i;
	int err = http_token_keys_new(&x->keys);

	for (i = 0; !err && i < cfg->token_keys_count; i++)
		err = read_key(x, cfg, i, why, why_n);
	return err;
}

static int read_tls(struct core_https *x, const struct config_https *cfg, char *why, size_t why_n)
{
	struct tls_params p = {.alpn = "http/1.1"};
	char reason[TLS_WHY_MAX] = "", *pem = NULL;
	size_t n = 0;
	int err;

	if (!cfg->tls.ca)
		return 0; /* nothing inside is https then: the configuration's check */
	err = keeper_read("https.ca", &pem, &n);
	if (!err) {
		p.ca_pem = span_of(pem, n);
		err = tls_ctx_new(&p, &x->tls, reason);
	}
	if (err)
		snprintf(why, why_n, "https.tls.ca: %s", *reason ? reason : strerror(-err));
	free(pem);
	return err;
}

static int read_policy(struct core_https *x, const struct config_core *cfg, char *why, size_t why_n)
{
	char *csv = NULL;
	size_t n = 0;
	int err = clusters_new(cfg, &x->clusters);

	if (!err && cfg->https.allow_csv)
		err = keeper_read("https.csv", &csv, &n);
	if (err)
		snprintf(why, why_n, "https: %s", strerror(-err));
	else
		err = policy_new(cfg, x->clusters, span_of(csv, n), &x->policy, why, why_n);
	free(csv);
	return err;
}

/* ---- what core_http asks of the core ---- */

static void tell(void *arg, const char *edge, uint64_t edge_stream, const char *revoke)
{
	struct core *c = arg;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Admit a = SALLYPORT__ADMIT__INIT;
	Sallyport__Revoke r = SALLYPORT__REVOKE__INIT;

	if (revoke) {
		r.stream = edge_stream;
		r.reason = (char *)revoke;
		m.m_case = SALLYPORT__LINK__M_REVOKE;
		m.revoke = &r;
	} else {
		a.stream = edge_stream;
		m.m_case = SALLYPORT__LINK__M_ADMIT;
		m.admit = &a;
	}
	core_tell_edge(c, edge, edge_stream, &m, revoke ? "revoke" : "admit");
}

static bool edge_serves(const struct core_edge *e, struct edge_config_edge *out)
{
	if (!e->peer)
		return false;
	*out = (struct edge_config_edge){.sip_host = e->sip_host,
					 .sip_port = e->sip_port,
					 .https_host = e->https_host,
					 .https_port = e->https_port,
					 .xmpp_host = e->xmpp_host,
					 .xmpp_port = e->xmpp_port};
	return true;
}

/* Those that drain only if all do. */
static unsigned edges(void *arg, const char *edge, struct edge_config_edge *out, unsigned max)
{
	struct core *c = arg;
	unsigned n = 0, drain, own, i;

	for (drain = 0; drain < 2 && !n; drain++)
		for (own = 1; own < 2; own--)
			for (i = 0; i < c->n_edges && n < max; i++)
				if (!strcmp(c->edges[i].name, edge) == (own == 1) &&
				    c->edges[i].draining == (drain == 1) &&
				    edge_serves(&c->edges[i], &out[n]))
					n++;
	return n;
}

static bool ending(void *arg, const char *edge)
{
	return core_drain_edge(arg, edge);
}

static const struct core_http_ops ops = {.tell = tell, .edges = edges, .ending = ending};

/* ---- life ---- */

static int make_logon(struct core *c, struct core_https *x)
{
	const struct config_https *cfg = &c->cfg->https;
	struct logon_params p = {.loop = c->loop,
				 .upstream = x->upstream,
				 .clusters = x->clusters,
				 .policy = x->policy,
				 .signer = x->signer,
				 .keys = x->keys,
				 .token_seconds =
					 cfg->token_seconds ? cfg->token_seconds : TOKEN_SECONDS,
				 .failures_pair = cfg->logon.failures,
				 .failures_user = cfg->logon.failures_user,
				 .failures_seconds = cfg->logon.seconds};
	struct edge_config_params ep = {.loop = c->loop, .dns = c->dns, .clusters = x->clusters};
	int err = logon_new(&p, &x->logon);

	ep.logon = x->logon;
	return err ? err : edge_config_new(&ep, &x->edge_config);
}

static int make_http(struct core *c, struct core_https *x)
{
	struct core_http_params p = {.loop = c->loop,
				     .upstream = x->upstream,
				     .logon = x->logon,
				     .clusters = x->clusters,
				     .policy = x->policy,
				     .edge_config = x->edge_config,
				     .user_rate = c->cfg->https.user_requests,
				     .ops = &ops,
				     .arg = c};

	return core_http_new(&p, &x->http);
}

int core_https_load(struct core *c, char *why, size_t why_n)
{
	struct core_https *x;
	int err;

	if (!enabled(c->cfg))
		return 0;
	x = c->https = calloc(1, sizeof(*x));
	if (!x) {
		snprintf(why, why_n, "https: out of memory");
		return -ENOMEM;
	}
	err = read_keys(x, &c->cfg->https, why, why_n);
	if (!err)
		err = read_tls(x, &c->cfg->https, why, why_n);
	if (!err)
		err = read_policy(x, c->cfg, why, why_n);
	return err;
}

int core_https_start(struct core *c, char *why, size_t why_n)
{
	struct upstream_params up = {.loop = c->loop, .dns = c->dns};
	struct core_https *x = c->https;
	int err;

	if (!x)
		return 0;
	up.tls = x->tls;
	err = upstream_new(&up, &x->upstream);
	if (!err)
		err = make_logon(c, x);
	if (!err)
		err = make_http(c, x);
	if (err)
		snprintf(why, why_n, "https: %s", strerror(-err));
	return err;
}

void core_https_stop(struct core *c)
{
	struct core_https *x = c->https;

	if (!x)
		return;
	core_https_check_free(x->check);
	c->https = NULL;
	core_http_free(x->http);
	upstream_free(x->upstream); /* log on is freed after it: logon.h */
	edge_config_free(x->edge_config);
	logon_free(x->logon);
	policy_free(x->policy);
	clusters_free(x->clusters);
	http_token_signer_free(x->signer);
	http_token_keys_free(x->keys);
	tls_ctx_free(x->tls);
	free(x);
}

unsigned core_https_stream_count(const struct core *c)
{
	return c->https ? core_http_stats(c->https->http)->streams : 0;
}

void core_https_open(struct core *c, const struct core_edge *e, struct link_data *d,
		     const Sallyport__Open *o)
{
	if (c->https) {
		core_http_open(c->https->http, e->name, d, o);
		return;
	}
	log_event(LOG_L_WARN, "stream-refused", "edge=%s service=https reason=\"no https section\"",
		  e->name);
	link_core_end(d, false);
}

void core_https_link_up(struct core *c, struct core_edge *e)
{
	Sallyport__TokenKey keys[HTTP_TOKEN_KEYS_MAX], *list[HTTP_TOKEN_KEYS_MAX];
	Sallyport__TokenKeys all = SALLYPORT__TOKEN_KEYS__INIT;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	const struct http_token_key *k;
	unsigned i;

	if (!c->https || !e->peer)
		return;
	for (i = 0; i < HTTP_TOKEN_KEYS_MAX && (k = http_token_keys_at(c->https->keys, i)); i++) {
		sallyport__token_key__init(&keys[i]);
		keys[i].kid = (ProtobufCBinaryData){sizeof(k->kid), (uint8_t *)k->kid};
		keys[i].public_key =
			(ProtobufCBinaryData){sizeof(k->public_key), (uint8_t *)k->public_key};
		list[i] = &keys[i];
	}
	all.n_key = i;
	all.key = list;
	m.m_case = SALLYPORT__LINK__M_TOKEN_KEYS;
	m.token_keys = &all;
	if (link_send(e->peer, &m))
		log_event(LOG_L_WARN, "link-send", "edge=%s what=token-keys", e->name);
}

bool core_https_may(const struct core *c, struct span domain, struct span user,
		    enum policy_access what)
{
	return !c->https || !clusters_serve(c->https->clusters, domain) ||
	       policy_access(c->https->policy, domain, user) & what;
}

json_t *core_https_show(const struct core *c)
{
	json_t *j;

	if (!c->https)
		return NULL;
	j = core_http_show(c->https->http);
	json_object_set_new(j, "nodes", clusters_show(c->https->clusters, loop_now_ms(c->loop)));
	return j;
}

void core_https_streams(const struct core *c, json_t *list)
{
	if (c->https)
		core_http_streams(c->https->http, list);
}
