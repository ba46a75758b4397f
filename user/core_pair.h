/* user/core_pair.h -- a stream on the core that is only bytes: an edge's data connection and a connection to a server inside.
 *
 * Data flow: readable() of one -> core_pair_from_link() or _to_link() -> copied to the other as far as it has room; then the reader is paused until
 * drained() of the other -> core_pair_drained(). Owner rules: the caller owns both connections and hears their ops; the pair only
 * moves. The end of what the edge sends is its word (link.h), not the connection's. */
#ifndef SALLYPORT_CORE_PAIR_H
#define SALLYPORT_CORE_PAIR_H

#include "user/conn_move.h"
#include "user/link.h"

struct core_pair {
	struct link_data *data;
	struct conn *link; /* of data */
	struct conn *in;
	uint64_t from_link, to_link; /* bytes so far */
	bool link_paused, in_paused; /* waits for the other's queue */
	uint8_t bulk;
};

/* From within readable() of .link, of .in: 1: nothing more now; 0: a clean end; or the negative errno of the end. */
ssize_t core_pair_from_link(struct core_pair *p, struct conn_mover *m);
ssize_t core_pair_to_link(struct core_pair *p, struct conn_mover *m);
/* From within drained() of either. */
void core_pair_drained(struct core_pair *p);

#endif
