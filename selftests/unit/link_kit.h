/* selftests/unit/link_kit.h -- both ends of the link in one loop, and a raw client that may break the rules; the log is caught.
 *
 * In: certificates made once by certs_make(). Out: a world whose edge is up; who dials, and what happens then, is the case's.
 * Owner: the case; world_close() ends everything that is still there. */
#ifndef SALLYPORT_LINK_KIT_H
#define SALLYPORT_LINK_KIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "selftests/unit/certs.h"
#include "user/link_impl.h"

#define POOL 5

struct side {
	struct link_peer *peer;
	unsigned ups, downs, messages, opens, last_case;
	char down_why[256], text[64];
	uint64_t n_flows, flow_sum;
};

struct raw {
	struct conn *c;
	struct link_rx rx;
	bool up, ended, hold;
	unsigned frames;
	char close_reason[256];
	int last_case, err;
};

struct world {
	struct loop *l;
	struct tls_ctx *edge_tls, *core_tls;
	struct link_edge *edge;
	struct link_core *core, *core2;
	struct side e, c, c2;
	struct raw raw;
	struct link_data *s_edge, *s_core; /* a stream's two ends */
	int core_end, edge_end;		   /* how they ended: 0 cleanly */
	unsigned core_ends, edge_ends;
	bool core_holds;   /* the core's stream reads nothing */
	bool core_answers; /* it does not end when the edge's half does */
	char got_edge[256], got_core[256];
	Sallyport__Open last_open;
	struct addr addr;
	int fd;
	unsigned n_live;
	const char *live_edge;
	struct loop_timer limit, tick;
	bool (*done)(struct world *w);
	bool late;
	struct link_times times;
};

extern struct cert ca, other_ca, edge_cert, core_cert, stranger_cert, foreign_cert;
extern char logs[65536];
extern const char *const link_domains[2];
extern const struct link_edge_core link_cores[2]; /* core1.example, core3.example */
extern const struct link_ops e_ops, c_ops, c2_ops;
extern const struct conn_ops s_edge_ops;

int certs_make(void **state); /* group setup */
/* One line of the log that holds all of these. */
bool logged(const char *event, const char *a, const char *b);

struct tls_ctx *tls_make(bool server, const struct cert *leaf, const struct cert *trust);
/* The edge is up; who dials is the case's. */
void world_open(struct world *w, const struct cert *e_cert, const struct cert *e_trust,
		const struct cert *c_cert, const struct cert *c_trust);
void world_good(struct world *w);
void world_up(struct world *w); /* with core1, its pool full */
void world_close(struct world *w);
void dial(struct world *w, struct link_core **core, const char *name, const char *edge_name,
	  const struct link_ops *ops);
bool run_until(struct world *w, bool (*done)(struct world *w), unsigned ms);
bool never(struct world *w);
bool pool_full(struct world *w);
bool e_is_up(struct world *w);

void open_only(struct world *w, uint64_t id); /* Open is written, nothing more */
void open_stream(struct world *w);	      /* and "first bytes!" and "back" went to and fro */
bool stream_echoed(struct world *w);
bool core_has_stream(struct world *w);

void raw_connect(struct world *w);
void raw_hello(struct world *w, uint32_t version, uint64_t session, bool data);
bool raw_is_up(struct world *w);
bool raw_ended(struct world *w);

#endif
