/* user/upstream_impl.h -- what the files of upstream.h share: upstream.c (requests: choice, failover, time), upstream_target.c
 * (targets: names, addresses, health, for sallyctl), upstream_conn.c (connections: dialling, pool, answers), upstream_get.c
 * (one GET). Nobody else includes this. Owner: see upstream.h. */
#ifndef SALLYPORT_UPSTREAM_IMPL_H
#define SALLYPORT_UPSTREAM_IMPL_H

#include "user/upstream.h"

#define UPSTREAM_BUCKETS   256	       /* power of two */
#define UPSTREAM_READ	   (64u << 10) /* bytes of one read */
#define UPSTREAM_HEAD	   (32u << 10) /* of an answer's head, as http_limits_default has it */
#define UPSTREAM_TEXT	   400	       /* of a failure */
#define UPSTREAM_INTERIMS  32	       /* 1xx before a final answer */
#define UPSTREAM_SWEEP_MS  250
#define UPSTREAM_FORGET_MS 600000 /* a target that nobody asks */
#define UPSTREAM_DOWN_MIN  1000
#define UPSTREAM_DOWN_MAX  30000
#define UPSTREAM_TTL_STALE \
	300000 /* how long old addresses are good while no new ones are to be had */
#define UPSTREAM_DNS_AGAIN 2000 /* before a name without an answer is asked for again */

struct up_queue {
	struct upstream_req *first, *last;
};

struct up_addr {
	struct addr addr;
	uint64_t down_until_ms;
	unsigned fails;
};

struct up_conn {
	struct up_target *t;
	struct conn *conn;
	struct upstream_req *req;    /* NULL: idle */
	struct up_conn *prev, *next; /* t->idle */
	struct addr addr;
	bool up, used;	   /* handshaken; an exchange went over it */
	uint64_t since_ms; /* idle */
};

struct up_target {
	struct upstream *u;
	struct up_target *next; /* in its bucket */
	struct upstream_target pub;
	struct up_addr addrs[UPSTREAM_ADDRS];
	unsigned n_addrs;
	bool asking, serve;	 /* a look-up is under way; its queue is to be looked at */
	uint64_t fresh_until_ms; /* addresses; 0: never asked, or a literal's for ever UINT64_MAX */
	uint64_t stale_until_ms, dns_again_ms;
	int dns_err;
	uint64_t down_until_ms, used_ms;
	unsigned fails, refs, n_conns, n_idle, n_tunnels; /* n_conns: with idle, without tunnels */
	bool answered;
	uint64_t requests, failures;
	char last_failure[UPSTREAM_TEXT];
	struct up_conn *idle;  /* newest first */
	struct up_queue queue; /* wait for addresses or a connection */
	char text[];	       /* host, tls_name */
};

enum up_state {
	UP_NEW,
	UP_QUEUED, /* in t->queue */
	UP_DIAL,   /* .conn is on its way */
	UP_OPEN,   /* .conn is the request's */
	UP_FAILED, /* in u->failed */
};

struct upstream_req {
	struct upstream *u;
	struct upstream_req *prev, *next; /* u->reqs */
	struct upstream_req *q_prev, *q_next;
	struct up_queue *q;
	const struct upstream_ops *ops;
	void *arg;
	struct up_target *list[UPSTREAM_LIST];
	unsigned n_list, at;
	unsigned addrs_tried; /* bits, of list[at] */
	struct up_conn *conn;
	enum up_state state;
	bool repeatable, content, paused, sent, final, seen, tunnel;
	bool again, waited, keep;
	bool in_op, gone;
	struct http_asked asked;
	struct http_body body;
	uint8_t *part; /* the first part of a head */
	size_t part_n;
	uint64_t due_ms;
	unsigned answer_ms, interims;
	enum upstream_why why; /* of the last failure */
	char text[UPSTREAM_TEXT];
};

struct upstream {
	struct upstream_params p;
	struct up_target *bucket[UPSTREAM_BUCKETS];
	struct upstream_req *reqs;
	struct up_queue failed;
	struct up_get *gets;
	struct upstream_stats stats;
	struct loop_timer kick, sweep;
	bool serve;	       /* some target is to be */
	struct http_head head; /* of the answer being read */
	uint8_t buf[UPSTREAM_HEAD + UPSTREAM_READ];
};

/* ---- upstream.c ---- */
void up_queue_add(struct up_queue *q, struct upstream_req *r);
void up_queue_del(struct upstream_req *r); /* from whichever it is in */
void up_kick(struct upstream *u); /* look after failed requests and queues, from the loop */
/* Find the request a connection: 1: it has one (ready is owed); 0: it waits; its failure is owed otherwise, which is 0 as well. */
int up_req_go(struct upstream_req *r);
/* The same for one that waited, with ops.ready(). */
void up_req_step(struct upstream_req *r);
/* What was tried failed: note it, to be told if nothing else helps. */
void up_req_note(struct upstream_req *r, enum upstream_why why, const char *text);
void up_req_fail(struct upstream_req *r); /* with what was noted, from the loop */
/* The connection is gone before anything of an answer came: elsewhere, or the failure. @how: as noted. */
void up_req_lost(struct upstream_req *r, bool stale);
void up_req_free(struct upstream_req *r);
/* Call an op. False: the request is gone. */
bool up_op(struct upstream_req *r, void (*fn)(void *arg));

/* ---- upstream_target.c ---- */
int up_target_get(struct upstream *u, const struct upstream_target *t, struct up_target **out);
bool up_target_down(const struct up_target *t);
/* Addresses are there to be tried; else a look-up is under way (-EAGAIN), or has failed: its errno. */
int up_target_addrs(struct up_target *t);
/* The best address that is not in @tried; -1: none is left. */
int up_target_pick(const struct up_target *t, unsigned tried);
void up_target_failed(struct up_target *t, const char *text);
void up_target_good(struct up_target *t, const struct addr *a);
void up_addr_failed(struct up_target *t, const struct addr *a);
void up_target_sweep(struct upstream *u, uint64_t now);
void up_targets_free(struct upstream *u);
void up_target_serve(struct up_target *t); /* its queue may go on */

/* ---- upstream_conn.c ---- */
/* 0: r->conn is on its way; -EAGAIN: a limit, wait; another negative errno: it failed, and is noted. */
int up_conn_dial(struct upstream_req *r, unsigned addr);
bool up_conn_reuse(struct upstream_req *r);	    /* r->conn was idle */
void up_conn_drop(struct up_conn *c, bool orderly); /* off everything, closed or reset */
bool up_conns_room(struct upstream *u, struct up_target *t);

/* ---- upstream_get.c ---- */
void up_gets_free(struct upstream *u);

#endif
