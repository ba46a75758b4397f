/* user/logon_check.c -- one user's credentials, asked of the clusters over UDS; see logon.h and logon_int.h.
 *
 * clusterUser of the node whose turn it is; the next one of its cluster where one does not answer; the next cluster of the
 * domain where the user is not known (one without a common directory knows its own users only). Then user/NAME of the home
 * cluster with the credentials. No node is asked twice in one stage, and the whole ends after LOGON_ALL_MS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/log.h"
#include "user/logon_int.h"
#include "user/uds_xml.h"

#define HOST_TEXT 272

static void check_on_answer(void *arg, int err, const char *why, unsigned status, struct span body);

int check_new(struct logon *l, const struct basic *who, const char *domain,
	      const uint8_t key[RECENT_KEY], struct check **out)
{
	struct check *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->logon = l;
	c->who = *who;
	snprintf(c->domain, sizeof(c->domain), "%s", domain);
	memcpy(c->key, key, RECENT_KEY);
	c->started_ms = loop_now_ms(l->p.loop);
	c->next = l->checks;
	if (l->checks)
		l->checks->prev = c;
	l->checks = c;
	l->stats.checks++;
	*out = c;
	return 0;
}

void check_free(struct check *c)
{
	struct logon *l = c->logon;

	if (l->p.upstream)
		upstream_get_forget(l->p.upstream, c);
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		l->checks = c->next;
	l->stats.checks--;
	basic_wipe(&c->who);
	free(c);
}

/* ---- asking one node after the other -------- */

static const char *node_text(const struct cluster_node *n, char out[HOST_TEXT])
{
	bool v6 = strchr(n->host, ':');

	snprintf(out, HOST_TEXT, "%s%s%s:%u", v6 ? "[" : "", n->host, v6 ? "]" : "", n->port);
	return out;
}

static int ask_node(struct check *c, struct cluster_node *n)
{
	struct logon *l = c->logon;
	struct upstream_target t = {.host = n->host, .port = n->port, .tls = n->https};
	char path[UDS_PATH_MAX], fields[BASIC_TEXT_MAX + 64];
	int err;

	n->asked++;
	if (c->stage == CHECK_CLUSTER_USER) {
		l->stats.asked_cluster_user++;
		return upstream_get(l->p.upstream, &t,
				    span_str(uds_path_cluster_user(c->who.user, path)),
				    SPAN("Accept: text/xml\r\n"), UDS_BODY_MAX, LOGON_TRY_MS,
				    check_on_answer, c);
	}
	l->stats.asked_user++;
	snprintf(fields, sizeof(fields), "Accept: text/xml\r\nAuthorization: Basic %s\r\n",
		 c->who.text);
	err = upstream_get(l->p.upstream, &t, span_str(uds_path_user(c->who.user, path)),
			   span_str(fields), UDS_BODY_MAX, LOGON_TRY_MS, check_on_answer, c);
	explicit_bzero(fields, sizeof(fields));
	return err;
}

/* The node in hand does not serve: remember why. */
static void node_failed(struct check *c, const char *why)
{
	struct cluster_node *n = c->order[c->at];
	char host[HOST_TEXT];

	cluster_node_failed(n, loop_now_ms(c->logon->p.loop), why);
	snprintf(c->reason, sizeof(c->reason), "%s: %s", node_text(n, host), why);
	log_event(LOG_L_WARN, "uds-node", "cluster=%s node=%s reason=\"%s\"", c->cluster->name,
		  host, why);
}

/* Ask the node in hand, or one of those behind it; false: none is left. */
static bool ask_next(struct check *c)
{
	for (; c->at < c->n_order; c->at++) {
		int err;

		if (loop_now_ms(c->logon->p.loop) - c->started_ms > LOGON_ALL_MS) {
			snprintf(c->reason, sizeof(c->reason), "no answer within %u s",
				 LOGON_ALL_MS / 1000);
			return false;
		}
		err = ask_node(c, c->order[c->at]);
		if (!err)
			return true;
		node_failed(c, strerror(-err));
	}
	return false;
}

/* ---- stages -------- */

static void stage_user(struct check *c, struct cluster *home)
{
	c->stage = CHECK_USER;
	c->cluster = home;
	c->n_order = cluster_order(home, NULL, loop_now_ms(c->logon->p.loop), c->order);
	c->at = 0;
	if (!ask_next(c))
		logon_checked(c, LOGON_NO_ANSWER, "");
}

static unsigned place_of(struct logon *l, const struct cluster *k)
{
	return (unsigned)(k - clusters_at(l->p.clusters, 0));
}

/* Another cluster of the domain: one that was not asked yet. */
static struct cluster *cluster_next(struct check *c)
{
	struct clusters *all = c->logon->p.clusters;
	unsigned n = clusters_n(all), from = c->cluster ? place_of(c->logon, c->cluster) : 0, i;

	for (i = 1; i <= n; i++) {
		unsigned at = (from + i) % n;
		struct cluster *k = clusters_at(all, at);

		if (!(c->tried >> at & 1) && cluster_serves(k, span_str(c->domain)))
			return k;
	}
	return NULL;
}

static void stage_cluster(struct check *c, struct cluster *k, struct cluster_node *first)
{
	while (k) {
		c->stage = CHECK_CLUSTER_USER;
		c->cluster = k;
		c->tried |= 1ULL << place_of(c->logon, k);
		c->n_order = cluster_order(k, first, loop_now_ms(c->logon->p.loop), c->order);
		c->at = 0;
		if (ask_next(c))
			return;
		c->unanswered = true;
		first = NULL;
		k = cluster_next(c);
	}
	logon_checked(c, c->unanswered ? LOGON_NO_ANSWER : LOGON_NO_USER, "");
}

/* From the node whose turn it is. */
static void stage_turn(struct check *c)
{
	struct cluster *k = NULL;
	struct cluster_node *first = clusters_turn(c->logon->p.clusters, span_str(c->domain),
						   loop_now_ms(c->logon->p.loop), &k);

	stage_cluster(c, first ? k : NULL, first);
}

void check_start(struct check *c)
{
	struct cluster *home = logon_home_kept(c->logon, c->domain, c->who.user);

	if (home && !c->home_ask) {
		c->home_known = true;
		stage_user(c, home);
		return;
	}
	stage_turn(c);
}

/* ---- answers -------- */

static void on_cluster_user(struct check *c, struct span body)
{
	struct uds_cluster_user u;
	struct cluster *home;
	const char *why;

	if (uds_cluster_user(body, &u, &why)) {
		node_failed(c, why);
		c->at++;
		if (!ask_next(c)) {
			c->unanswered = true;
			stage_cluster(c, cluster_next(c), NULL);
		}
		return;
	}
	cluster_node_good(c->order[c->at]);
	if (!u.found) {
		stage_cluster(c, cluster_next(c), NULL);
		return;
	}
	home = clusters_by_host(c->logon->p.clusters, span_str(c->domain), span_str(u.home));
	if (!home) {
		snprintf(c->reason, sizeof(c->reason),
			 "the home cluster's node %.200s is in no cluster of https.clusters with "
			 "this domain",
			 u.home);
		logon_checked(c, LOGON_NO_HOME, "");
		return;
	}
	logon_home_keep(c->logon, c->domain, c->who.user, home);
	if (c->home_ask)
		logon_checked(c, LOGON_PASSWORD, ""); /* the home was all that was wanted */
	else
		stage_user(c, home);
}

static void user_next(struct check *c, const char *why)
{
	node_failed(c, why);
	c->at++;
	if (!ask_next(c))
		logon_checked(c, LOGON_NO_ANSWER, "");
}

static void on_user(struct check *c, struct span body)
{
	char name[HTTP_TOKEN_USER_MAX];
	const char *why;

	if (uds_user(body, name, &why)) {
		user_next(c, why);
		return;
	}
	if (name[0] && !span_ieq(span_str(name), span_str(c->who.user))) {
		user_next(c, "answered with another user than it was asked for");
		return;
	}
	cluster_node_good(c->order[c->at]);
	logon_checked(c, LOGON_PASSWORD, name[0] ? name : c->who.user);
}

/* The home cluster does not let them in; the node is well. */
static void on_user_refused(struct check *c, unsigned status)
{
	char host[HOST_TEXT];

	cluster_node_good(c->order[c->at]);
	if (status == 404 && c->home_known) { /* moved to another cluster? */
		c->home_known = false;
		logon_home_drop(c->logon, c->domain, c->who.user);
		stage_turn(c);
		return;
	}
	snprintf(c->reason, sizeof(c->reason), "%s answered %u", node_text(c->order[c->at], host),
		 status);
	logon_checked(c,
		      status == 401   ? LOGON_BAD_PASSWORD
		      : status == 404 ? LOGON_NO_USER
				      : LOGON_REFUSED,
		      "");
}

static void check_on_answer(void *arg, int err, const char *why, unsigned status, struct span body)
{
	struct check *c = arg;
	char text[64];

	if (!err && status == 200) {
		if (c->stage == CHECK_CLUSTER_USER)
			on_cluster_user(c, body);
		else
			on_user(c, body);
		return;
	}
	if (!err && c->stage == CHECK_USER && (status == 401 || status == 403 || status == 404)) {
		on_user_refused(c, status);
		return;
	}
	if (!err) {
		snprintf(text, sizeof(text), "answered %u", status);
		why = text;
	}
	c->logon->stats.next_node++;
	if (c->stage == CHECK_USER) {
		user_next(c, why && *why ? why : strerror(-err));
		return;
	}
	node_failed(c, why && *why ? why : strerror(-err));
	c->at++;
	if (ask_next(c))
		return;
	c->unanswered = true;
	stage_cluster(c, cluster_next(c), NULL);
}
