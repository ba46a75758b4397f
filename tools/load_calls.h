/* tools/load_calls.h -- `load calls`: clients that call and are called, with media whose content is checked.
 *
 * Data flow: load_calls.c paces (register all, place calls, wait for their ends, unregister) -> load_call.c, one end of a call as a
 * state machine -> load_call_msg.c its messages -> the client's connection, or the one UDP socket. Answers and requests come back by
 * load_calls_message(). Media: load_media.h. A caller tells by the header `X-Load: call=ID;hold=MS;by=caller|callee` what the call is: both
 * ends send hold/20 packets each, the one named hangs up when both directions are complete (LOAD_GUARD_MS after its own last packet at
 * the latest), and BYE and its 200 tell by `X-Load-Sent: N` how many packets were sent. A client that answers needs no options: it takes every
 * call that bears X-Load.
 * Owner rules: the run owns its ends (a fixed table), an end owns its strings and its media. An end is known by its local tag (run,
 * slot, generation). Bounded: ends by -m, each state of an end by a deadline, the whole by -t and LOAD_END_S. */
#ifndef SALLYPORT_LOAD_CALLS_H
#define SALLYPORT_LOAD_CALLS_H

#include "tools/load.h"
#include "tools/load_media.h"

#define LOAD_ENDS_MAX	 8192
#define LOAD_HOLD_MAX_MS 3600000
#define LOAD_CALL_MS	 15000 /* INVITE to final answer, 200 to ACK, BYE to its answer */
#define LOAD_GUARD_MS	 1500
#define LOAD_LINGER_MS	 2000  /* an end that is over still answers what is repeated */
#define LOAD_OVERDUE_MS	 20000 /* the other side's BYE, after the last packet */
#define LOAD_T1_MS	 500
#define LOAD_REASONS	 24

enum load_call_state {
	CALL_FREE,
	CALL_INVITING, /* caller: no final answer yet */
	CALL_CANCELLED,
	CALL_ANSWERED, /* callee: 200 sent, no ACK yet */
	CALL_UP,
	CALL_BYE, /* ours is on its way, or waits for a connection */
	CALL_OVER,
};

struct load_call {
	struct load_calls *run;
	struct load_client *c;
	unsigned slot, generation, place; /* place: index in the list of those that live */
	bool caller, hang_up /* we do */, media_on, failed;
	enum load_call_state state;
	uint64_t id;
	uint32_t hold_ms;
	char call_id[96];
	char *local, *remote, *target, *routes; /* From/To values, URI, Route lines */
	char to_user[48];
	uint32_t cseq, invite_cseq;
	unsigned tries;
	enum srtp_suite suite;
	uint32_t crypto_tag;
	bool secure, mux;
	uint8_t key[SRTP_KEY_MAX]; /* ours: what we seal with */
	uint16_t port;
	char *text; /* what is repeated until it is answered */
	size_t text_n;
	unsigned repeat_ms;				     /* 0: not */
	uint64_t repeat_us, begun_us, deadline_us, quiet_us; /* quiet: our last packet was sent */
	int64_t peer_sent;
	struct load_end media;
};

struct load_reason {
	char text[48];
	uint64_t n;
};

struct load_calls_opts {
	char to[32];
	unsigned to_first, to_count; /* whom we call: users TO<first>.. */
	unsigned first, count;	     /* which of our clients call; 0: all */
	unsigned calls, rate, at_once, ends, refresh, hold_ms;
	bool by_caller, by_callee; /* who hangs up; both: in turns */
	int suite;		   /* -1: all in turns */
	bool strict;
};

struct load_calls {
	struct load l;
	struct load_calls_opts o;
	struct load_mill mill;
	struct load_call *ends;
	unsigned *live, *spare; /* slots */
	unsigned n_live, n_spare, n_calling;
	enum load_phase phase;
	bool closing; /* no more calls */
	bool waits;   /* with the first call, for a signal */
	uint64_t phase_us, calls_us;
	unsigned late_next;	  /* client that is looked at next */
	struct load_count answer; /* time from INVITE to 200 */
	struct load_reason reasons[LOAD_REASONS];
	uint64_t placed, answered, failed, taken, taken_failed, refused;
	uint64_t bye_sent, bye_answered, bye_received, cut_short, suites[SRTP_SUITES], plain;
	uint64_t refreshed, refresh_failed, left;
	double seconds;
};

int load_calls_main(int argc, char **argv);

/* ---- load_calls.c: from load_client.c ---- */
void load_calls_done(struct load_client *c, bool ok);
void load_calls_message(struct load_client *c, const struct sip_msg *m);
void load_calls_lost(struct load_client *c); /* its connection is gone */
void load_calls_back(struct load_client *c); /* registered again */
/* From load_calls_main.c. */
void load_calls_round(void *arg);
void load_calls_tick(struct load_calls *r);
void load_calls_hang_up(struct load_calls *r);
void load_calls_begin(struct load_calls *r);
struct load_call *load_call_new(struct load_calls *r, struct load_client *c, bool caller);
void load_call_free(struct load_call *k);
void load_calls_reason(struct load_calls *r, const char *text);
int load_calls_print(const struct load_calls *r); /* the exit status */

/* ---- load_call.c ---- */
int load_call_place(struct load_calls *r, struct load_client *c, unsigned number);
void load_call_invited(struct load_calls *r, struct load_client *c, const struct sip_msg *m);
void load_call_request(struct load_call *k, const struct sip_msg *m); /* in its dialog, or CANCEL */
void load_call_response(struct load_call *k, const struct sip_msg *m);
void load_call_tick(struct load_call *k, uint64_t now_us);
void load_call_lost(struct load_call *k);
void load_call_back(struct load_call *k);
void load_call_hang_up(struct load_call *k);

/* ---- load_call_msg.c: text in @buf, length or -E2BIG ---- */
ssize_t load_call_invite(struct load_call *k, char *buf, size_t n);
ssize_t load_call_cancel(const struct load_call *k, char *buf, size_t n);
/* ACK for a final answer other than 2xx: of the same transaction. */
ssize_t load_call_ack_failed(const struct load_call *k, const struct sip_msg *m, char *buf,
			     size_t n);
/* ACK, BYE in the dialog. */
ssize_t load_call_in_dialog(const struct load_call *k, const char *method, uint32_t cseq, char *buf,
			    size_t n);
/* @k NULL: without tag, Contact and body; its session description goes along with @sdp. */
ssize_t load_call_reply(const struct load_call *k, const struct sip_msg *m, unsigned status,
			const char *reason, bool sdp, char *buf, size_t n);
void load_call_tag(const struct load_call *k, char tag[40]);
/* Slot and generation of a tag that run @run_id gave. */
bool load_call_tag_read(struct span tag, uint32_t run_id, unsigned *slot, unsigned *generation);
/* Remote address, suite and key out of an offer or answer; 0 or -EBADMSG. @key: theirs. */
int load_call_sdp_read(struct load_call *k, struct span body, uint8_t key[SRTP_KEY_MAX]);
/* Route set, target and the other side's name, from the message that made the dialog; 0, -EBADMSG or -ENOMEM. */
int load_call_dialog(struct load_call *k, const struct sip_msg *m);
/* What X-Load says; 0 or -EBADMSG. *by_caller: who hangs up. */
int load_call_header(const struct sip_msg *m, uint64_t *id, uint32_t *hold_ms, bool *by_caller);
int64_t load_call_sent(const struct sip_msg *m); /* X-Load-Sent, or -1 */

#endif
