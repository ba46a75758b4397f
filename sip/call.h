/* sip/call.h -- calls: one pass of a session through the core, its two legs, its media; other dialogs that we
 * record-route.
 *
 * In: requests and answers of the dialog (from route.c), media events, silence. Out: rewritten messages through
 * route.c, media actions, BYEs of our own. A call is found by its random id in our token, never by Call-ID. Split:
 * call_life.c life, call_record.c what outlives the engine, call.c SIP side, dialog.c what is recorded of both legs
 * and requests of our own, offer.c offer/answer and media. Bounded by calls_max and calls_user_max. */
#ifndef SALLYPORT_SIP_CALL_H
#define SALLYPORT_SIP_CALL_H

#include "sip/engine_int.h"
#include "sip/identity.h"
#include "sip/sdp.h"

#define CALL_MEDIA_MAX	  4
#define CALL_LINGER_MS	  TIMEOUT_MS
#define CALL_REFUSALS_MAX 32
#define DIALOG_LIFE_MS	  3900000
#define CALL_IDLE_MS \
	7200000 /* a call on hold, or without media, with no sign of life for so long is dead */

enum call_state { CALL_NEW, CALL_EARLY, CALL_UP, CALL_ENDED };
enum side { SIDE_CLIENT, SIDE_INSIDE };

struct leg {	      /* what a request of our own towards this party needs; NULL: not known */
	char *uri;    /* its From or To value with its tag */
	char *target; /* its Contact URI, and the one before */
	char *target_before;
	char *routes;  /* Route elements behind us on this side, one a line */
	uint32_t cseq; /* highest of its requests */
};

struct offer;
struct medium;

struct call {
	struct tnode node;
	struct record record;
	uint64_t id, binding, stream;
	unsigned server;
	struct addr
		inside_at; /* the target that the dialog came from or went to; port 0: not known */
	struct user *user;
	enum call_state state;
	bool plain;    /* a dialog without media: SUBSCRIBE, REFER */
	bool outbound; /* the client called */
	bool answered; /* plain: its first request was answered 2xx */
	bool over;     /* only transactions keep it */
	bool unheard;  /* restored, and its caller may not know that it was answered */
	char *call_id;
	char *to_tag;	  /* of the final answer: others are other branches */
	unsigned refused; /* answers taken back: each costs a BYE of our own */
	struct leg leg[2];
	struct medium *media[SDP_MEDIA_MAX]; /* the session in force, by m-line */
	struct offer *offer;
	struct txn *waiting; /* whose message waits for media ports */
	unsigned n_txns;
	struct timer timer; /* life of a plain dialog or an idle call; linger after the end */
	uint64_t
		session_end; /* RFC 4028: without a refresh both parties hold it to be over; 0: never */
	uint64_t since;	     /* of its state: asked for, then answered */
	uint64_t started;
};

/* ---- call_life.c, call.c ---- */
struct call_from {
	struct stream *s;
	const struct binding *b;
	unsigned server;
	bool outbound, plain;
};
/* NULL with *status: 503 (full) or 486 (the user's calls). */
struct call *call_new(struct engine *e, const struct call_from *f, const struct sip_msg *m,
		      unsigned *status);
/* A call with nothing but an id, in the table; then either call_adopted() or call_discard(). NULL: no memory. */
struct call *call_alloc(struct engine *e, uint64_t id);
void call_adopted(struct engine *e, struct call *c); /* restored: it counts from now on */
void call_discard(struct engine *e, struct call *c);
struct call *call_find(const struct engine *e, uint64_t id);
/* Whether requests of @m or their answers hold session descriptions of a call. */
bool call_bears_sdp(enum sip_method m);
/* Request @m of @t, made by @from: session descriptions, BYE; then it goes on. */
void call_request(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m);
void call_response(struct engine *e, struct txn *t, const struct sip_msg *m);
void call_failed(struct engine *e, struct txn *t, unsigned status);
/* ACK for 2xx: 0 with the body to send (*new_body), or -EBADMSG: both legs were ended. */
int call_ack(struct engine *e, struct call *c, enum side from, const struct sip_msg *m,
	     bool *new_body, struct span *body);
/* The client's stream: its binding's newest, else the last one used. NULL: none is open. */
struct stream *call_stream(const struct engine *e, const struct call *c);
/* @s has become the newest stream of binding @id: its calls' media may move there. */
void call_client_moved(struct engine *e, uint64_t id, const struct stream *s);
/* Its timer anew: idle, or the session's end. */
void call_arm(struct engine *e, struct call *c);
/* BYE to both, then the end. */
void call_hang_up(struct engine *e, struct call *c, const char *reason);
/* ENGINE_CALL; @reason: "" but at the end. */
void call_tell(struct engine *e, const struct call *c, enum engine_call_what what,
	       const char *reason);
void call_log(struct engine *e, const struct call *c, int level, const char *event,
	      const char *reason);
/* Close media, log, keep the record a while for late messages. */
void call_end(struct engine *e, struct call *c, const char *reason);
void call_txn_attach(struct call *c, struct txn *t);
void call_txn_gone(struct engine *e, struct txn *t);
void call_free_all(struct engine *e);
/* The messages that wait for media of @c may go on; or may not. */
void call_resume(struct engine *e, struct call *c);
void call_media_failed(struct engine *e, struct call *c, const char *reason);
/* One more of its media is silent. */
void call_silent(struct engine *e, struct call *c);

/* ---- dialog.c ---- */
void leg_free(struct leg *l);
/* From the request that made the dialog, and from its answers and target refreshes. */
void dialog_from_request(const struct engine *e, struct call *c, enum side from,
			 const struct sip_msg *m);
void dialog_from_response(const struct engine *e, struct call *c, enum side from,
			  const struct sip_msg *m);
void dialog_refresh(struct call *c, enum side from, const struct sip_msg *m);
void dialog_seen(struct call *c, enum side from, const struct sip_msg *m);
/* Whether an in-dialog request's Route (what is left) and Request-URI are what the dialog of @to's leg has recorded.
 * */
bool dialog_routes_ok(const struct call *c, enum side to, const struct routes *ri);
bool dialog_target_ok(const struct call *c, enum side to, const struct sip_uri *ruri);
/* From names @side's party as the dialog knows it. */
bool dialog_from_ok(const struct call *c, enum side side, const struct sip_msg *m);
/* An answered call's request has the tags of its dialog: a BYE that its far end will not take must not take the
 * media away. */
bool dialog_tags_ok(const struct call *c, enum side from, const struct sip_msg *m);
/* BYE of our own to @to. */
void dialog_bye(struct engine *e, struct call *c, enum side to);
/* Take back a 2xx that cannot stand: ACK and BYE to who sent @m. */
void dialog_refuse_answer(struct engine *e, struct call *c, struct txn *t, const struct sip_msg *m);

/* ---- offer.c ---- */
enum offer_result {
	OFFER_READY,   /* go on */
	OFFER_WAIT,    /* media ports were asked for: hold the message */
	OFFER_PLAIN,   /* no usable a=crypto from a client */
	OFFER_SECURE,  /* only SRTP from inside */
	OFFER_BAD,     /* not a session description, or an answer that does not fit */
	OFFER_PENDING, /* another offer has no answer yet: 491 */
	OFFER_FULL,
};
enum offer_result offer_take(struct engine *e, struct call *c, enum side from, struct span sdp);
/* What the other side gets for the offer taken, as a whole body (parts around it kept). Empty: too large. */
struct span offer_write(struct engine *e, struct call *c, const struct sip_msg *m, struct span sdp);
/* An answer, perhaps one of several before the final one; sets media. Then what the other side gets. */
enum offer_result offer_answer(struct engine *e, struct call *c, enum side from,
			       const struct sip_msg *m, struct span sdp, struct span *out_body);
/* The exchange is over and stands: media that it left out are closed. */
void offer_finish(struct engine *e, struct call *c);
/* The exchange failed: its new media are closed, the session before stays. */
void offer_abort(struct engine *e, struct call *c);
bool offer_waits(const struct call *c);		    /* for media ports */
bool offer_pending(const struct call *c);	    /* taken, not answered */
bool offer_from(const struct call *c, enum side s); /* the last offer came from @s */
void offer_close_all(struct engine *e, struct call *c);
bool offer_held(const struct call *c); /* a medium is on hold by its last answer */
/* The client signals from @client now: its media may come from there. */
void offer_moved(struct engine *e, struct call *c, const struct addr *client);
void offer_unsilence(struct call *c);
bool offer_silent(const struct call *c); /* all media have been told silent */
unsigned offer_media(const struct call *c, uint64_t ids[8]);
const char *offer_suite(const struct call *c);

#endif
