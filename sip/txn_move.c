/* sip/txn_move.c -- a request whose target failed goes on to another one (RFC 3263 4.3).
 *
 * In: what became of a target, 503s. Out: the same request on a branch of its own, or its failure. Owns nothing. */
#include <stdlib.h>

#include "sip/route.h"
#include "sip/target.h"
#include "sip/txn.h"

/* Whether @t may still go elsewhere: nothing of it has been answered upstream, and its dialog does not say where. */
static bool txn_next_target(const struct engine *e, const struct txn *t, enum txn_gone how,
			    struct addr *out)
{
	if (t->down.kind != PEER_INSIDE || t->use == TXN_OWN || t->use == TXN_PING ||
	    t->cancelled || t->last_status > 100 || !txn_unanswered(t) ||
	    (t->client != TXN_TRYING && t->client != TXN_PROCEEDING))
		return false;
	if (how == TXN_GONE_CLOSED && t->client == TXN_TRYING && !t->again) {
		*out = t->down.to;
		return true;
	}
	return !t->pinned && t->n_tried < TXN_TRIES_MAX &&
	       target_pick(e, t->down.server, t->key, t->tried, t->n_tried, out);
}

/* The same message but for the branch: to the next hop it is another transaction. The branch's length is always the same. */
static bool txn_new_branch(struct engine *e, struct txn *t)
{
	struct token tok = {.kind = TOKEN_BRANCH};
	char text[TOKEN_TEXT_MAX];
	struct sip_msg m;
	enum sip_why why;

	if (sip_msg_parse(blob_span(&t->sent), false, t->sent.n, &m, &why) <= 0)
		return false;
	tok.id = engine_random64(e);
	token_make(e, &tok, text);
	if (m.via.branch.n != 7 + strlen(text))
		return false;
	memcpy(t->sent.p + (m.via.branch.p - t->sent.p) + 7, text, strlen(text));
	table_del(&e->txns_branch, &t->by_branch);
	t->id = tok.id;
	table_add(&e->txns_branch, &t->by_branch, engine_hash(e, span_of(&t->id, sizeof(t->id))));
	return true;
}

static bool txn_move(struct engine *e, struct txn *t, enum txn_gone how)
{
	struct addr next;
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];

	if (!txn_next_target(e, t, how, &next) || !txn_new_branch(e, t))
		return false;
	if (addr_eq(&next, &t->down.to)) {
		t->again = true;
		t->n_tried--;
	} else {
		e->targets[t->down.server].moved++;
		engine_log(e, 2, "request-moved", "server=%s method=%s from=%s to=%s",
			   e->c.servers[t->down.server].name, sip_method_name(t->method),
			   addr_text(&t->down.to, from), addr_text(&next, to));
	}
	t->down.to = next;
	if (t->client_end.due > e->now + TIMEOUT_MS) /* timer C: it had been answered 100 */
		timer_set(&e->timers, &t->client_end, e->now + TIMEOUT_MS);
	txn_client_start(e, t);
	return true;
}

/* A 503: its target is not to be asked for as long as it says; the request goes on to another one (RFC 3261 16.7). */
bool txn_busy(struct engine *e, struct txn *t, const struct sip_msg *m)
{
	const struct sip_header *to = sip_header_find(m, SIP_H_TO, 0, NULL);
	struct addr next;

	if (t->down.kind != PEER_INSIDE || m->status != 503 || t->use == TXN_PING)
		return false;
	target_busy(e, t->down.server, &t->down.to, target_retry_after(m));
	if (!txn_next_target(e, t, TXN_GONE_FAILED, &next))
		return false;
	if (t->method == SIP_M_INVITE && to)
		txn_send_hop(e, t, "ACK", to->value, NULL);
	return txn_move(e, t, TXN_GONE_FAILED);
}

static bool txn_waits_for(const struct txn *t, unsigned server, const struct addr *to)
{
	return t->down.kind == PEER_INSIDE && t->down.server == server &&
	       (to->port ? addr_eq(&t->down.to, to) : t->down.to.port == 0) &&
	       (t->client == TXN_TRYING || t->client == TXN_PROCEEDING);
}

/* Those that wait for it, as a list of its own: what is done with one changes the table. Ended ones are freed by
 * engine_tick() only. NULL: none, or no memory; then their timers end them. */
static struct txn **txn_waiting(const struct engine *e, unsigned server, const struct addr *to,
				size_t *n)
{
	struct tnode *node = NULL;
	struct txn **v;

	*n = 0;
	while ((node = table_walk(&e->txns_branch, node)))
		*n += txn_waits_for(table_entry(node, struct txn, by_branch), server, to);
	v = *n ? calloc(*n, sizeof(struct txn *)) : NULL;
	*n = 0;
	while (v && (node = table_walk(&e->txns_branch, node))) {
		struct txn *t = table_entry(node, struct txn, by_branch);

		if (txn_waits_for(t, server, to))
			v[(*n)++] = t;
	}
	return v;
}

void txn_target_gone(struct engine *e, unsigned server, const struct addr *to, enum txn_gone how)
{
	struct txn **v;
	size_t n, i;

	v = txn_waiting(e, server, to, &n);
	for (i = 0; i < n; i++) {
		struct txn *t = v[i];

		if (!txn_waits_for(t, server, to))
			continue; /* what was done with one before has ended it */
		if (t->use == TXN_PING && how != TXN_GONE_SILENT)
			txn_client_end(e, t);
		else if (!txn_move(e, t, how) && how != TXN_GONE_SILENT)
			txn_down_gone(e, t, 503, "Service Unavailable");
	}
	free(v);
}
