/* user/trace_query.h -- which records belong to a user, a call, or to streams and flows.
 *
 * Data flow: what is asked for (ids, hashes) -> trace_relate() over all records, oldest first: who is there, which streams, calls, dialogs and
 * flows are theirs -> trace_wanted() for each record, in any order. Streams found are asked of the edges by their ids.
 * Whose is a SIP message? The user's in its From or To (trace.h). One of somebody else who has registered here is his alone; another one
 * (a number that the call server knows him by, a party inside) belongs to the stream or the dialog that it is in.
 * Owner: the caller; sets of a fixed size, a full one is said in .full. */
#ifndef SALLYPORT_TRACE_QUERY_H
#define SALLYPORT_TRACE_QUERY_H

#include "user/trace.h"

#define TRACE_IDS_MAX 4096 /* power of two; 3/4 of it are used */

struct trace_set {
	unsigned n;
	uint64_t slot[TRACE_IDS_MAX];
};

struct trace_query {
	struct trace_set users;		 /* asked for, or those of the calls asked for */
	struct trace_set others;	 /* who has registered, users included */
	struct trace_set streams, flows; /* flows with their media */
	struct trace_set calls, dialogs;
	bool by_user, full;
	bool found; /* by_user: a record names one of them */
};

/* False: full, or 0. */
bool trace_set_add(struct trace_query *q, struct trace_set *s, uint64_t id);
bool trace_set_has(const struct trace_set *s, uint64_t id);
/* In no order; at most @max. Their number. */
unsigned trace_set_list(const struct trace_set *s, uint64_t *out, unsigned max);

/* trace_each()'s function, with the query as its argument. */
void trace_relate(void *query, const struct trace_record *r);
bool trace_wanted(const struct trace_query *q, const struct trace_record *r);

#endif
