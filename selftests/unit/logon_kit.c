/* selftests/unit/logon_kit.c -- see logon_kit.h. */
#include "selftests/unit/logon_kit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/dns.h"
#include "user/uds_xml.h"

uint64_t kit_ms = 1000;

/* ---- the loop ---- */

#define TIMERS 8
static struct loop_timer *timers[TIMERS];

uint64_t loop_now_ms(const struct loop *l)
{
	(void)l;
	return kit_ms;
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	unsigned i;

	(void)l;
	for (i = 0; i < TIMERS; i++)
		if (timers[i] == t)
			timers[i] = NULL;
	t->pos = 0;
}

int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t in_ms)
{
	unsigned i;

	loop_timer_cancel(l, t);
	t->due_ms = kit_ms + in_ms;
	for (i = 0; i < TIMERS && timers[i]; i++)
		;
	assert_true(i < TIMERS);
	timers[i] = t;
	t->pos = 1;
	return 0;
}

static bool timers_run(void)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < TIMERS; i++) {
		struct loop_timer *t = timers[i];

		if (!t || t->due_ms > kit_ms)
			continue;
		timers[i] = NULL;
		t->pos = 0;
		t->fn(t->arg);
		any = true;
	}
	return any;
}

/* ---- clusters ---- */

static struct get {
	char host[256], path[512], fields[2048];
	upstream_got_fn *fn;
	void *arg;
} gets[KIT_GETS];
static unsigned first_get, n_gets;

int upstream_get(struct upstream *u, const struct upstream_target *t, struct span path,
		 struct span extra_fields, size_t body_max, unsigned ms, upstream_got_fn *fn,
		 void *arg)
{
	struct get *g = &gets[(first_get + n_gets) % KIT_GETS];

	(void)u;
	assert_true(n_gets++ < KIT_GETS);
	assert_true(body_max == UDS_BODY_MAX && ms > 0 && ms <= LOGON_TRY_MS);
	assert_true(span_copy(span_str(t->host), g->host, sizeof(g->host)) > 0);
	assert_true(span_copy(path, g->path, sizeof(g->path)) > 0);
	assert_true(span_copy(extra_fields, g->fields, sizeof(g->fields)) >= 0);
	g->fn = fn;
	g->arg = arg;
	return 0;
}

void upstream_get_forget(struct upstream *u, void *arg)
{
	unsigned i;

	(void)u;
	for (i = 0; i < n_gets; i++)
		if (gets[(first_get + i) % KIT_GETS].arg == arg)
			gets[(first_get + i) % KIT_GETS].fn = NULL;
}

unsigned kit_waiting(void)
{
	unsigned i, n = 0;

	for (i = 0; i < n_gets; i++)
		n += gets[(first_get + i) % KIT_GETS].fn != NULL;
	return n;
}

struct kit_host *kit_host(struct kit *k, const char *name)
{
	unsigned i;

	for (i = 0; i < k->n_hosts; i++)
		if (!strcmp(k->hosts[i].name, name))
			return &k->hosts[i];
	fail_msg("no host %s", name);
	return NULL;
}

static const struct kit_user *user_of(const struct kit *k, const char *name)
{
	const struct kit_user *u;

	for (u = k->users; u && u->name; u++) {
		char path[UDS_PATH_MAX];

		if (!strcasecmp(strrchr(uds_path_user(u->name, path), '/') + 1, name))
			return u;
	}
	return NULL;
}

static const char *home_node(const struct kit *k, const char *cluster)
{
	unsigned i;

	for (i = 0; i < k->n_hosts; i++)
		if (!strcmp(k->hosts[i].cluster, cluster))
			return k->hosts[i].name;
	return cluster;
}

static unsigned answer_body(struct kit *k, struct kit_host *h, const struct get *g, char *body,
			    size_t n)
{
	static const char cluster_user[] = "/cucm-uds/clusterUser?username=",
			  user[] = "/cucm-uds/user/";
	const struct kit_user *u;

	if (!strncmp(g->path, cluster_user, sizeof(cluster_user) - 1)) {
		h->cluster_user++;
		assert_null(strstr(g->fields, "Authorization"));
		u = user_of(k, g->path + sizeof(cluster_user) - 1);
		if (!u || (h->local && strcmp(u->home, h->cluster) != 0))
			snprintf(body, n,
				 "<clusterUser version=\"1\"><result uri=\"x\" "
				 "found=\"false\"/></clusterUser>");
		else
			snprintf(body, n,
				 "<?xml version=\"1.0\" encoding=\"UTF-8\"?><clusterUser><result "
				 "uri=\"x\" found=\"true\"/>"
				 "<homeCluster "
				 "serversUri=\"https://%s:8443/cucm-uds/servers\">%s</"
				 "homeCluster></clusterUser>",
				 home_node(k, u->home), u->home);
		return 200;
	}
	h->user++;
	assert_int_equal(strncmp(g->path, user, sizeof(user) - 1), 0);
	u = user_of(k, g->path + sizeof(user) - 1);
	if (!u || strcmp(u->home, h->cluster) != 0)
		return 404;
	if (!strstr(g->fields, kit_basic(u->name, u->password)) &&
	    !strstr(g->fields, kit_basic("ANNA", u->password)))
		return 401;
	snprintf(body, n, "<user><id>1</id><userName>%s</userName></user>", u->name);
	return 200;
}

static bool gets_run(struct kit *k)
{
	struct kit_host *h;
	char body[4096] = "";
	unsigned status;
	struct get g;

	if (!n_gets)
		return false;
	g = gets[first_get];
	first_get = (first_get + 1) % KIT_GETS;
	n_gets--;
	if (!g.fn)
		return true;
	h = kit_host(k, g.host);
	status = answer_body(k, h, &g, body, sizeof(body));
	if (h->err)
		g.fn(g.arg, h->err, "it is dead", 0, SPAN(""));
	else if (h->body)
		g.fn(g.arg, 0, "", 200, span_str(h->body));
	else
		g.fn(g.arg, 0, "", h->status ? h->status : status, span_str(body));
	return true;
}

void kit_run(struct kit *k)
{
	while (gets_run(k) || timers_run())
		;
}

/* ---- made and asked ---- */

static const char base[] = "name: core.example.com\ntoken_key: /k\nlink: {tls: {certificate: /c, "
			   "key: /k, ca: /a}, edges: [{name: e, address: "
			   "'192.0.2.1'}]}\nsip: {listen: '192.0.2.2:5060'}\ncall_servers: [{name: "
			   "p, domains: [example.com], address: "
			   "'192.0.2.3:5060'}]\nmedia: {inside: 192.0.2.2}\nhttps:\n  token_keys: "
			   "[/k]\n  tls: {ca: /ca}\n";

static void keys_make(struct kit *k)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
	const struct http_token_key *key;
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *pkey = NULL;
	char why[200], *pem;
	long n;

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_keygen(ctx, &pkey), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	assert_int_equal(
		http_token_signer_new(span_of(pem, (size_t)n), &k->signer, why, sizeof(why)), 0);
	assert_int_equal(http_token_keys_new(&k->keys), 0);
	key = http_token_signer_key(k->signer);
	assert_int_equal(http_token_keys_add(k->keys, SPAN(""), span_of(key->public_key, 32)), 0);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
}

struct kit *kit_new(const char *yaml, const struct kit_user *users)
{
	struct kit *k = calloc(1, sizeof(*k));
	char text[8192], why[CONFIG_WHY_MAX] = "";
	struct logon_params p = {.loop = (struct loop *)k, .upstream = (struct upstream *)k};
	unsigned i, j;

	snprintf(text, sizeof(text), "%s%s", base, yaml);
	if (config_core_load("f", text, strlen(text), &k->cfg, why))
		fail_msg("%s", why);
	assert_int_equal(clusters_new(k->cfg, &k->clusters), 0);
	if (policy_new(k->cfg, k->clusters, SPAN(""), &k->policy, why, sizeof(why)))
		fail_msg("%s", why);
	for (i = 0; i < clusters_n(k->clusters); i++)
		for (j = 0; j < clusters_at(k->clusters, i)->n_nodes; j++)
			k->hosts[k->n_hosts++] = (struct kit_host){
				.name = clusters_at(k->clusters, i)->nodes[j].host,
				.cluster = clusters_at(k->clusters, i)->name};
	keys_make(k);
	k->users = users;
	p.clusters = k->clusters;
	p.policy = k->policy;
	p.signer = k->signer;
	p.keys = k->keys;
	p.token_seconds = k->cfg->https.token_seconds;
	p.failures_pair = k->cfg->https.logon.failures;
	p.failures_user = k->cfg->https.logon.failures_user;
	p.failures_seconds = k->cfg->https.logon.seconds;
	assert_int_equal(logon_new(&p, &k->logon), 0);
	return k;
}

void kit_free(struct kit *k)
{
	logon_free(k->logon);
	assert_int_equal(timers[0] || timers[1], 0);
	n_gets = 0;
	policy_free(k->policy);
	clusters_free(k->clusters);
	http_token_keys_free(k->keys);
	http_token_signer_free(k->signer);
	config_core_free(k->cfg);
	free(k);
}

static void on_done(void *arg, const struct logon_answer *a)
{
	struct kit_answer *out = arg;

	out->n++;
	out->a = *a;
	snprintf(out->set_cookie, sizeof(out->set_cookie), "%s", a->set_cookie);
	snprintf(out->reason, sizeof(out->reason), "%s", a->reason);
}

void kit_ask(struct kit *k, enum http_service_path what, const char *domain, const char *client,
	     const char *fields, struct kit_answer *out)
{
	struct http_head head;
	struct http_refusal why;
	struct addr addr;
	char text[4096];
	struct logon_ask q = {.domain = span_str(domain),
			      .client = &addr,
			      .edge_host = "edge.example.com",
			      .head = &head,
			      .what = what,
			      .now_s = KIT_NOW + kit_ms / 1000};

	*out = (struct kit_answer){};
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: e\r\n%s\r\n", fields);
	assert_true(http_request_parse(span_str(text), &http_limits_default, &head, &why) > 0);
	assert_int_equal(addr_parse(span_str(client), &addr), 0);
	assert_int_equal(logon_check(k->logon, &q, on_done, out), 0);
	assert_int_equal(out->n, 0); /* never from inside */
}

const char *kit_basic(const char *user, const char *password)
{
	static char out[2048];
	char raw[1024];
	unsigned char text[1400];
	int n = snprintf(raw, sizeof(raw), "%s:%s", user, password);

	EVP_EncodeBlock(text, (const unsigned char *)raw, n);
	snprintf(out, sizeof(out), "Authorization: Basic %s\r\n", text);
	return out;
}

struct kit_answer kit_logon(struct kit *k, const char *client, const char *user,
			    const char *password)
{
	struct kit_answer out;

	kit_ask(k, HTTP_PATH_EDGE_CONFIG, "example.com", client, kit_basic(user, password), &out);
	kit_run(k);
	assert_int_equal(out.n, 1);
	return out;
}
