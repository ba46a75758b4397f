/* sip/txn_match.c -- which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3).
 *
 * In: requests by their topmost Via, answers by our branch. Out: the transaction, or NULL. Changes nothing. */
#include <errno.h>

#include "sip/forward.h"
#include "sip/txn.h"

/* RFC 3261 17.2.3: branch and sent-by of the topmost Via and the method, on this hop; without the magic cookie also
 * Call-ID, CSeq and From tag. */
ssize_t txn_name(const struct peer *up, const struct sip_msg *m, enum sip_method method, char *buf,
		 size_t cap)
{
	struct sip_out o;
	struct span cookie = span_cut(m->via.branch, 0, 7);

	sip_out_init(&o, buf, cap);
	sip_out_text(&o, "%d %llx %u ", up->kind,
		     up->kind == PEER_STREAM ? (unsigned long long)up->stream : 0ull,
		     up->kind == PEER_INSIDE ? up->server : 0);
	sip_out_text(&o, "%d ", method == SIP_M_OTHER ? 100 : (int)method);
	if (method == SIP_M_OTHER)
		sip_out_span(&o, m->method_text);
	sip_out_span(&o, m->via.host);
	sip_out_text(&o, ":%u ", m->via.port);
	sip_out_span(&o, m->via.branch);
	if (!span_eq(cookie, SPAN("z9hG4bK"))) {
		sip_out_text(&o, " %u ", m->cseq);
		sip_out_span(&o, m->call_id);
		sip_out_text(&o, " ");
		sip_out_span(&o, m->from_tag);
	}
	return o.overflow ? -E2BIG : (ssize_t)o.n;
}

struct txn *txn_match(const struct engine *e, const struct peer *up, const struct sip_msg *m,
		      enum sip_method method)
{
	char name[TXN_NAME_MAX];
	ssize_t len = txn_name(up, m, method, name, sizeof(name));
	struct tnode *n;

	if (len <= 0)
		return NULL;
	for (n = table_find(&e->txns_name, engine_hash(e, span_of(name, (size_t)len))); n;
	     n = table_find_next(n)) {
		struct txn *t = table_entry(n, struct txn, by_name);

		if (t->server != TXN_ENDED &&
		    span_eq(blob_span(&t->name), span_of(name, (size_t)len)))
			return t;
	}
	return NULL;
}

static bool txn_from_down(const struct txn *t, const struct peer *from)
{
	if (t->down.kind != from->kind)
		return false;
	return from->kind == PEER_STREAM ? t->down.stream == from->stream
					 : t->down.server == from->server;
}

/* An answer that is to go on must still have the Via of whom it goes to. */
static bool txn_next_via(const struct sip_msg *m)
{
	const struct sip_header *h;
	struct span rest;
	struct sip_via v;
	unsigned at = 0, n = 0;

	for (; n < 2 && (h = sip_header_find(m, SIP_H_VIA, at, &at)); at++)
		for (rest = h->value; n < 2 && sip_via_next(&rest, &v) == 1;)
			n++;
	return n == 2;
}

struct txn *txn_match_response(const struct engine *e, const struct peer *from,
			       const struct sip_msg *m)
{
	struct span b = m->via.branch;
	bool cancel = m->method == SIP_M_CANCEL;
	struct token tok;
	struct tnode *n;

	if (b.n < 7 || memcmp(b.p, "z9hG4bK", 7) != 0 || token_read(e, span_cut(b, 7, b.n), &tok) ||
	    tok.kind != TOKEN_BRANCH)
		return NULL;
	for (n = table_find(&e->txns_branch, engine_hash(e, span_of(&tok.id, sizeof(tok.id)))); n;
	     n = table_find_next(n)) {
		struct txn *t = table_entry(n, struct txn, by_branch);

		if (t->id == tok.id && t->is_cancel == cancel && t->method == m->method &&
		    txn_from_down(t, from))
			return t->use == TXN_OWN || t->use == TXN_PING || txn_next_via(m) ? t
											  : NULL;
	}
	return NULL;
}
