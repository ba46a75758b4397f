/* sip/txn.h -- transactions (RFC 3261 section 17, RFC 6026): one proxied request with its server side and its client
 * side.
 *
 * In: requests and responses that route.c hands on, times. Out: messages in the action queue; route_response() for
 * what has to be passed upstream, route_failed() when no final answer will come. A transaction lives until both sides
 * have ended; it copies the request it was made of. Bounded by transactions_max. */
#ifndef SALLYPORT_SIP_TXN_H
#define SALLYPORT_SIP_TXN_H

#include "sip/engine_int.h"

enum txn_state {
	TXN_NONE,   /* this side does not exist (yet) */
	TXN_TRYING, /* client INVITE: Calling */
	TXN_PROCEEDING,
	TXN_COMPLETED,
	TXN_CONFIRMED,
	TXN_ACCEPTED, /* RFC 6026 */
	TXN_ENDED,
};

enum txn_use {
	TXN_PROXY,
	TXN_REGISTER,
	TXN_OWN,  /* a request of our own: its answer ends here */
	TXN_PING, /* so does this: OPTIONS that asks a target whether it lives (target.h) */
};

enum txn_gone { TXN_GONE_FAILED, TXN_GONE_CLOSED, TXN_GONE_SILENT };

#define TXN_TRIES_MAX 4 /* targets for one request */

struct txn {
	struct tnode by_branch, by_name;
	struct record record; /* of a call's first INVITE, by the call's id; else id is 0 */
	uint64_t id;	      /* in our branch; a CANCEL has its INVITE's */
	bool is_cancel, named, counted, kept;
	enum sip_method method;
	enum txn_use use;
	struct peer up, down;
	enum txn_state server, client;
	struct timer server_again, server_end, client_again,
		client_end; /* G; H I J L; A E; B C D F K M */
	uint32_t server_wait, client_wait;
	struct blob name; /* what a retransmission, ACK or CANCEL from upstream is matched by */
	struct blob req;  /* as it came */
	struct blob sent; /* as it went on */
	struct blob last; /* last answer that went up */
	unsigned last_status;
	bool cancelled; /* CANCEL is wanted */
	bool cancel_sent;
	struct txn *stream_next, **stream_prev;

	/* what route.c and call.c plan for the request while it waits and when its answers come */
	struct call *call;
	bool initial;	   /* the INVITE that made the call */
	bool had_offer;	   /* its body was an offer */
	bool offered_back; /* an answer of its made an offer */
	bool record_route;
	bool timer_added,
		timer_uac; /* RFC 4028: Session-Expires is ours; the caller knows the extension */
	bool held;	   /* the request waits for media ports */
	bool orphan; /* of an engine before this one: whom an answer goes to may not be known at once */
	struct blob held_response; /* so does this answer */
	unsigned skip_routes;
	bool reg_known,
		reg_stale; /* REGISTER: credentials answered a nonce of ours; unknown ones were taken out */
	uint64_t reg_nonce;
	uint64_t key;	    /* of its user: picks among the call server's targets */
	bool pinned, again; /* its dialog says where; it went to its target a second time */
	uint8_t n_tried;
	struct addr tried[TXN_TRIES_MAX];
	uint64_t binding; /* towards a client: the binding it was resolved by */
};

/* The server side for a request from @up; INVITE is answered 100 at once. NULL: table full or no memory. */
struct txn *txn_new_server(struct engine *e, const struct peer *up, const struct sip_msg *m);
/* A transaction without server side, for a request of our own: *@id goes into its branch. */
struct txn *txn_new_own(struct engine *e, enum sip_method method);

#define TXN_NAME_MAX 1024
/* What a request from @up is matched by, as if its method were @method. Length or -E2BIG: one over TXN_NAME_MAX is refused. */
ssize_t txn_name(const struct peer *up, const struct sip_msg *m, enum sip_method method, char *buf,
		 size_t cap);
/* The transaction that @m (a request from @up) belongs to as if its method were @method; NULL: none. */
struct txn *txn_match(const struct engine *e, const struct peer *up, const struct sip_msg *m,
		      enum sip_method method);
/* The one whose branch is topmost in response @m that came from @from; NULL: none. */
struct txn *txn_match_response(const struct engine *e, const struct peer *from,
			       const struct sip_msg *m);

void txn_retransmitted(struct engine *e, struct txn *t); /* its request came again */
void txn_acked(struct engine *e, struct txn *t); /* ACK for a final answer that was not 2xx */
void txn_cancel(struct engine *e,
		struct txn *t); /* CANCEL downstream, now or when a provisional answer came */

/* Start the client side: send @data to t->down and repeat it as its transport wants. */
void txn_send(struct engine *e, struct txn *t, struct span data);
/* A response came: handles states and ACK, calls route_response() when it is to be passed. */
void txn_response(struct engine *e, struct txn *t, const struct sip_msg *m);
/* Send @data with @status up. No effect after a final answer, but for further 2xx. */
void txn_respond(struct engine *e, struct txn *t, unsigned status, struct span data);
/* The same for an answer of our own. @more: fields with CRLF or NULL. */
void txn_reply(struct engine *e, struct txn *t, unsigned status, const char *reason,
	       const char *more);
/* ACK a final answer that is refused downstream although it is 2xx: see dialog.c. Give up the client side without a
 * word. */
void txn_client_end(struct engine *e, struct txn *t);

/* What is sent on for @t, or how far it is, has changed: a call's first INVITE is kept until its final answer on the inside. */
void txn_keep(struct engine *e, struct txn *t);

void txn_stream_gone(struct engine *e, struct stream *s);
/* Target @to of @server: FAILED, what waits for it goes to another one or gets 503; CLOSED, the same, but once more to
 * itself first; SILENT, it goes to another one if there is one. */
void txn_target_gone(struct engine *e, unsigned server, const struct addr *to, enum txn_gone how);
void txn_free_all(struct engine *e);

/* ---- between txn.c, txn_move.c and txn_record.c ---- */
struct txn *txn_alloc(struct engine *e, enum sip_method method, uint64_t id);
/* It is matched by the name of @m from now on, and holds a copy of it. 0, -E2BIG, -ENOMEM. */
int txn_name_set(struct engine *e, struct txn *t, const struct sip_msg *m);
void txn_free(struct engine *e, struct txn *t);
/* One of its sides has ended: its record goes if that was the inside one, and else tells of that one alone. */
void txn_keep_over(struct engine *e, struct txn *t);
bool txn_unanswered(const struct txn *t);
/* It ends with the stream that @p is, if it is one. */
void txn_link_stream(struct engine *e, struct txn *t, const struct peer *p);
void txn_client_start(struct engine *e, struct txn *t);
void txn_send_hop(struct engine *e, struct txn *t, const char *method, struct span to,
		  struct txn *with);
void txn_down_gone(struct engine *e, struct txn *t, unsigned status, const char *reason);
/* Answer @m is a 503 and the request of @t goes on elsewhere. */
bool txn_busy(struct engine *e, struct txn *t, const struct sip_msg *m);

/* The source to write into Via as received; NULL for none. */
const struct addr *txn_source(const struct engine *e, const struct peer *up);
/* Answer a request that has no transaction (stateless: RFC 3261 8.2.7). */
void txn_stateless(struct engine *e, const struct peer *up, const struct sip_msg *m,
		   unsigned status, const char *reason, const char *more);

#endif
