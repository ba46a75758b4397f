/* user/link_core_impl.h -- what the files of the core's end of the link share: link_core.c (control connections), link_core_data.c
 * (data connections). Nobody else includes this.
 *
 * In: nothing. Out: the two structs and the calls between those files. Owner: see link_core.c. */
#ifndef SALLYPORT_LINK_CORE_IMPL_H
#define SALLYPORT_LINK_CORE_IMPL_H

#include "user/link_impl.h"

#define LINK_DIALS_BURST 64

struct core_edge {
	struct link_core *core;
	struct link_core_edge cfg;
	struct conn *conn; /* control, until the peer takes it */
	struct link_rx rx;
	struct loop_timer timer; /* dial again; or: no HelloAck in time */
	struct link_peer *peer;
	uint64_t session;
	unsigned retry_ms;

	struct link_early *early, **early_end; /* StreamEnd that overtook its Open, oldest first */
	unsigned n_early;

	struct link_data *data; /* dialling and idle */
	unsigned n_data, n_dialing;
	unsigned data_retry_ms; /* 0: the last one went well */
	uint64_t data_wait_ms;	/* no data dial before */
	uint64_t tokens, tokens_ms;
	struct loop_timer fill_timer;
};

struct link_core {
	struct link_core_params p;
	struct link_times times;
	struct link_stats stats;
	struct core_edge *edges;
};

uint64_t link_random64(void);
unsigned link_jitter(unsigned ms); /* three quarters to all of @ms */
void link_core_conn_params(const struct core_edge *e, const struct conn_ops *ops, void *arg,
			   struct conn_params *out);
/* Dial until the pool is full, as fast as the limits let. */
void link_core_fill(struct core_edge *e);
void link_core_fill_late(void *arg); /* the fill timer */
/* Close what is dialling or idle; streams go on alone. */
void link_core_data_close(struct core_edge *e);
void link_core_data_end(struct link_peer *p, const Sallyport__Link *m); /* StreamEnd */

#endif
