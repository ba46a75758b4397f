/* user/core_chat.c -- see core_chat.h. */
#include "user/core_chat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core_federation.h"
#include "user/core_https.h"
#include "user/core_int.h"
#include "user/core_xmpp.h"

int core_chat_plan(struct keeper_plan *p, const struct config_core *cfg, char *why, size_t why_n)
{
	char name[32];
	unsigned i;
	int err = 0;

	for (i = 0; i < cfg->xmpp.clusters_count && !err; i++) {
		if (!cfg->xmpp.clusters[i].ca)
			continue;
		snprintf(name, sizeof(name), "xmpp.%u.ca", i);
		err = keeper_open_file(p, name, cfg->xmpp.clusters[i].ca, why, why_n);
	}
	if (!err && cfg->xmpp.federation.listen)
		err = keeper_listen_tcp(p, "xmpp.dial", cfg->xmpp.federation.listen, why, why_n);
	return err;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool core_chat_same(const struct config_core *a, const struct config_core *b)
{
	unsigned i;

	if (a->xmpp.clusters_count != b->xmpp.clusters_count ||
	    !same(a->xmpp.federation.listen, b->xmpp.federation.listen))
		return false;
	for (i = 0; i < a->xmpp.clusters_count; i++)
		if (!same(a->xmpp.clusters[i].ca, b->xmpp.clusters[i].ca))
			return false;
	return true;
}

/* ---- what chat asks of the core ---- */

static void chat_admit(void *arg, const char *edge, uint64_t stream)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Admit admit = SALLYPORT__ADMIT__INIT;

	admit.stream = stream;
	m.m_case = SALLYPORT__LINK__M_ADMIT;
	m.admit = &admit;
	core_tell_edge(arg, edge, stream, &m, "admit");
}

/* One IPv4 address, or the /64 that an IPv6 subscriber has. */
static void chat_ban(void *arg, const char *edge, const struct addr *client, unsigned seconds,
		     const char *reason)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Ban ban = SALLYPORT__BAN__INIT;
	uint8_t ip[16];

	memcpy(ip, client->ip, sizeof(ip));
	if (!addr_is_v4(client))
		memset(ip + 8, 0, 8);
	ban.prefix_ip = (ProtobufCBinaryData){.data = ip, .len = sizeof(ip)};
	ban.prefix_len = addr_is_v4(client) ? 128 : 64;
	ban.seconds = seconds;
	ban.reason = (char *)reason;
	m.m_case = SALLYPORT__LINK__M_BAN;
	m.ban = &ban;
	core_tell_edge(arg, edge, 0, &m, "ban");
}

/* Whether @name, "user@domain", has one form only: a localpart of @domain in ASCII (RFC 7622 3.3.1). A server that prepares names takes a
 * fullwidth "alice" for alice, and some take a domain off that we do not know. */
static bool has_one_form(const char *name, const char *at, const char *domain)
{
	const char *p;

	for (p = name; p < at; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("\"&'/:<>", *p))
			return false;
	return at > name && strcasecmp(at + 1, domain) == 0;
}

/* The list of users and their access is that of HTTPS. Who cannot be known (@name NULL, or one that may be read in two ways) may where
 * everybody of the domain may. */
static bool chat_may(void *arg, const char *name, const char *domain)
{
	const struct core *c = arg;
	const struct config_https *h = &c->cfg->https;
	const char *at = name ? strchr(name, '@') : NULL;
	unsigned i;

	if (at && has_one_form(name, at, domain))
		return core_https_may(c, span_str(domain), span_of(name, (size_t)(at - name)),
				      POLICY_CHAT);
	if (!core_https_may(c, span_str(domain), SPAN(""), POLICY_CHAT))
		return false;
	for (i = 0; i < h->users_count; i++)
		if (!strcasecmp(h->users[i].domain, domain) &&
		    !core_https_may(c, span_str(domain), span_str(h->users[i].user), POLICY_CHAT))
			return false;
	return true;
}

static uint64_t chat_id(void *arg)
{
	return core_streams_new_id(((struct core *)arg)->streams);
}

/* One that drains only when no other will. */
static const char *chat_dial(void *arg, uint64_t *tried, uint64_t dial, const char *domain)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Dial d = SALLYPORT__DIAL__INIT;
	struct core *c = arg;
	unsigned drain, i;

	d.dial = dial;
	d.domain = (char *)domain;
	d.service = (char *)"xmpp-server";
	m.m_case = SALLYPORT__LINK__M_DIAL;
	m.dial = &d;
	for (drain = 0; drain < 2; drain++)
		for (i = 0; i < c->n_edges && i < 64; i++) {
			if (*tried >> i & 1 || c->edges[i].draining != (drain == 1))
				continue;
			*tried |= 1ull << i;
			if (c->edges[i].peer && link_send(c->edges[i].peer, &m) == 0)
				return c->edges[i].name;
		}
	return NULL;
}

static const struct core_xmpp_ops chat_ops = {
	.admit = chat_admit, .ban = chat_ban, .may = chat_may, .id = chat_id};
static const struct core_federation_ops federation_ops = {
	.admit = chat_admit, .dial = chat_dial, .id = chat_id};

bool core_chat_open(struct core *c, const char *edge, struct link_data *d, const Sallyport__Open *o)
{
	if (!c->xmpp)
		return false;
	if (!strcmp(o->service, "xmpp"))
		core_xmpp_open(c->xmpp, edge, d, o);
	else if (!strcmp(o->service, "xmpp-server"))
		core_federation_open(c->federation, edge, d, o);
	else if (!strcmp(o->service, "xmpp-dial"))
		core_federation_dialled(c->federation, edge, d, o);
	else
		return false;
	return true;
}

bool core_chat_message(struct core *c, const char *edge, const Sallyport__Link *m)
{
	if (!c->federation || m->m_case != SALLYPORT__LINK__M_DIAL_RESULT)
		return false;
	core_federation_result(c->federation, edge, m->dial_result);
	return true;
}

void core_chat_count(const struct core *c, unsigned *out_clients, unsigned *out_servers)
{
	*out_clients = core_xmpp_count(c->xmpp);
	*out_servers = core_federation_count(c->federation);
}

json_t *core_chat_show(const struct core *c)
{
	json_t *j;

	if (!c->xmpp)
		return NULL;
	j = core_xmpp_show(c->xmpp);
	json_object_set_new(j, "federation", core_federation_show(c->federation));
	return j;
}

void core_chat_rows(const struct core *c, json_t *list)
{
	core_xmpp_rows(c->xmpp, list);
	core_federation_rows(c->federation, list);
}

/* ---- start ---- */

static int chat_tls(struct core *c, enum ktls_mode mode, char *why, size_t why_n)
{
	const struct config_xmpp *x = &c->cfg->xmpp;
	char name[32], reason[TLS_WHY_MAX] = "", *ca;
	struct tls_params p;
	unsigned i;
	size_t n;
	int err = 0;

	c->tls_xmpp = calloc(x->clusters_count, sizeof(*c->tls_xmpp));
	if (!c->tls_xmpp)
		return -ENOMEM;
	for (i = 0; i < x->clusters_count && !err; i++) {
		if (!strcmp(x->clusters[i].tls, "none"))
			continue;
		snprintf(name, sizeof(name), "xmpp.%u.ca", i);
		ca = NULL;
		err = keeper_read(name, &ca, &n);
		if (!err) {
			p = (struct tls_params){.ca_pem = span_of(ca, n),
						.kernel = mode != KTLS_MODE_OFF ? &c->ktls : NULL};
			err = tls_ctx_new(&p, &c->tls_xmpp[i], reason);
		}
		free(ca);
		if (err)
			snprintf(why, why_n, "xmpp.clusters[%u].ca: %s", i,
				 reason[0] ? reason : strerror(-err));
	}
	return err;
}

static int chat_federation(struct core *c)
{
	const struct core_federation_params p = {.loop = c->loop,
						 .cfg = &c->cfg->xmpp,
						 .nodes = core_xmpp_nodes(c->xmpp),
						 .fd = keeper_fd("xmpp.dial"),
						 .ops = &federation_ops,
						 .arg = c};

	return core_federation_new(&p, &c->federation);
}

int core_chat_start(struct core *c, char *why, size_t why_n)
{
	struct core_xmpp_params p = {
		.loop = c->loop, .dns = c->dns, .cfg = &c->cfg->xmpp, .ops = &chat_ops, .arg = c};
	int err;

	if (!c->cfg->xmpp.clusters_count)
		return 0;
	err = ktls_policy("xmpp.ktls", c->cfg->xmpp.ktls, &c->ktls, &p.ktls, why, why_n);
	if (!err)
		err = chat_tls(c, p.ktls, why, why_n);
	p.tls = c->tls_xmpp;
	if (!err)
		err = core_xmpp_new(&p, &c->xmpp);
	if (!err)
		err = chat_federation(c);
	if (err && !why[0])
		snprintf(why, why_n, "xmpp: %s", strerror(-err));
	return err;
}

void core_chat_stop(struct core *c)
{
	unsigned i;

	core_federation_free(c->federation);
	core_xmpp_free(c->xmpp);
	for (i = 0; c->tls_xmpp && i < c->cfg->xmpp.clusters_count; i++)
		tls_ctx_free(c->tls_xmpp[i]);
	free(c->tls_xmpp);
}
