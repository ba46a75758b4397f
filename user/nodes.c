/* user/nodes.c -- see nodes.h. In: own(), peers' reports. Out: NodeReports, JSON. */
#include "user/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/log.h"
#include "user/summary.h"
#include "user/wall.h"

#define EARLY_MS 1000

_Static_assert(SUMMARY_MAX == LINK_REPORT_MAX, "a report is a summary");

struct node {
	char *name;
	json_t *report;		  /* as it came, only known keys */
	uint64_t at_ms, tried_ms; /* it came; the last one came, good or not */
};

struct nodes {
	struct nodes_params p;
	struct loop_timer timer;
	struct node peers[NODES_MAX]; /* by name */
	unsigned n_peers;
	uint64_t sent, not_sent, taken, refused, too_early;
};

/* ---- in ------------------------------------------------------------------------------------------------------------------- */

static struct node *node_of(struct nodes *n, const char *name)
{
	unsigned i = 0;
	char *copy;

	while (i < n->n_peers && strcmp(n->peers[i].name, name) < 0)
		i++;
	if (i < n->n_peers && !strcmp(n->peers[i].name, name))
		return &n->peers[i];
	copy = n->n_peers < NODES_MAX ? strdup(name) : NULL;
	if (!copy)
		return NULL;
	memmove(&n->peers[i + 1], &n->peers[i], (n->n_peers - i) * sizeof(n->peers[0]));
	n->n_peers++;
	n->peers[i] = (struct node){.name = copy};
	return &n->peers[i];
}

void nodes_report(struct nodes *n, const char *name, struct span text, uint64_t now_ms)
{
	struct node *node = node_of(n, name);
	char why[SUMMARY_WHY_MAX] = "no room for another node", quoted[SUMMARY_WHY_MAX];
	json_t *report = NULL;
	int err = -ENOMEM;

	if (node && node->tried_ms && now_ms - node->tried_ms < EARLY_MS) {
		n->too_early++;
		return;
	}
	if (node)
		node->tried_ms = now_ms;
	if (node)
		err = summary_take(text, n->p.peer_role, name, &report, why);
	if (err) {
		n->refused++;
		log_event(LOG_L_WARN, "node-report-refused", "node=%s reason=%s", name,
			  log_esc(span_str(why), quoted, sizeof(quoted)));
		return;
	}
	n->taken++;
	json_decref(node->report);
	node->report = report;
	node->at_ms = now_ms;
}

bool nodes_message(struct nodes *n, struct link_peer *p, const Sallyport__Link *m)
{
	if (m->m_case != SALLYPORT__LINK__M_NODE_REPORT)
		return false;
	nodes_report(n, link_peer_name(p),
		     span_of(m->node_report->json.data, m->node_report->json.len),
		     loop_now_ms(n->p.loop));
	return true;
}

/* ---- out ------------------------------------------------------------------------------------------------------------------ */

struct sending {
	struct nodes *n;
	char *text; /* made for the first peer that takes it */
	size_t len;
	bool tried;
};

static void send_one(void *arg, struct link_peer *p)
{
	Sallyport__NodeReport r = SALLYPORT__NODE_REPORT__INIT;
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	struct sending *s = arg;
	json_t *own;

	if (!link_peer_takes(p, LINK_F_REPORT))
		return;
	if (!s->tried) {
		s->tried = true;
		own = s->n->p.own(s->n->p.arg, false);
		s->text = json_dumps(own, JSON_COMPACT | JSON_REAL_PRECISION(15));
		s->len = s->text ? strlen(s->text) : 0;
		json_decref(own);
	}
	r.json = (ProtobufCBinaryData){s->len, (uint8_t *)s->text};
	m.m_case = SALLYPORT__LINK__M_NODE_REPORT;
	m.node_report = &r;
	if (!s->text || s->len > LINK_REPORT_MAX || link_send(p, &m))
		s->n->not_sent++;
	else
		s->n->sent++;
}

static void report(void *arg)
{
	struct nodes *n = arg;
	struct sending s = {.n = n};

	n->p.each_peer(n->p.arg, send_one, &s);
	free(s.text);
	loop_timer_set(n->p.loop, &n->timer, NODES_REPORT_MS);
}

json_t *nodes_show(struct nodes *n, bool zeros)
{
	uint64_t now = loop_now_ms(n->p.loop), age;
	json_t *list = json_array(), *o = n->p.own(n->p.arg, zeros);
	unsigned i;

	json_object_set_new(o, "age_ms", json_integer(0));
	json_object_set_new(o, "stale", json_false());
	json_array_append_new(list, o);
	for (i = 0; i < n->n_peers; i++) {
		if (!n->peers[i].report)
			continue;
		age = now - n->peers[i].at_ms;
		o = json_copy(n->peers[i].report);
		json_object_set_new(o, "age_ms", json_integer((json_int_t)age));
		json_object_set_new(o, "stale", json_boolean(age > NODES_STALE_MS));
		json_array_append_new(list, o);
	}
	return json_pack("{s:I, s:o}", "at_ms", (json_int_t)wall_now_ms(), "nodes", list);
}

json_t *nodes_counts(const struct nodes *n)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "sent", (json_int_t)n->sent, "not_sent",
			 (json_int_t)n->not_sent, "taken", (json_int_t)n->taken, "refused",
			 (json_int_t)n->refused, "too_early", (json_int_t)n->too_early);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

int nodes_new(const struct nodes_params *p, struct nodes **out)
{
	struct nodes *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->p = *p;
	n->timer = (struct loop_timer){.fn = report, .arg = n};
	err = loop_timer_set(p->loop, &n->timer, NODES_REPORT_MS / 5); /* the link comes up first */
	if (err)
		free(n);
	else
		*out = n;
	return err;
}

void nodes_free(struct nodes *n)
{
	unsigned i;

	if (!n)
		return;
	loop_timer_cancel(n->p.loop, &n->timer);
	for (i = 0; i < n->n_peers; i++) {
		free(n->peers[i].name);
		json_decref(n->peers[i].report);
	}
	free(n);
}
