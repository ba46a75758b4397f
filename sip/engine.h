/* sip/engine.h -- the core's SIP: a transaction-stateful, record-routing proxy with admission, identity, bindings, calls.
 * Sans-I/O: input is a message, an event or a time; output is a queue of actions.
 *
 * Data flow:
 *   stream bytes (framed by the caller)  -> engine_stream_recv() \
 *   datagram or inside stream message    -> engine_inside_recv() -> identity, tokens, transaction, SDP, call
 *   media answers                        -> engine_medium_*()    /        |
 *   time                                 -> engine_tick()                 v
 *                     engine_next_action(): send, admit, open/set/close medium, close stream, log
 *
 * Owner rules: the engine owns transactions, bindings, calls and their ids; it copies what it keeps from messages. Spans
 * in an action live until the next action is taken. The caller owns transports: a stream id is the caller's (unique for
 * ever, also over engines that follow each other; a later stream has a larger one), an inside destination is call server + transport + address. Every table is bounded by struct engine_config; a
 * full one is 503 with Retry-After and a counter.
 *
 * What must outlive the engine (calls that stand, bindings, INVITEs without a final answer) leaves as ENGINE_KEEP and comes back by engine_restore().
 * Streams that the caller kept open itself are opened before that: each is admitted again by the bindings that it carried.
 *
 * Split of files: engine.c life, streams, actions; route.c what becomes of a message; register.c and binding.c
 * registrations and admission; identity.c From and Route; txn.c, txn_match.c transactions; call.c, dialog.c, offer.c,
 * medium.c, sdes.c, pass.c, body.c calls; record.c, call_record.c, txn_record.c what is kept; token.c MACs; forward.c messages copied with edits; view.c what is shown; table.c,
 * timer.c; credentials.c challenges and who answers them; contact.c mode `contact`;
 * target.c addresses of call servers; lines.c phones with several lines; drain.c edges that are taken out of service. */
#ifndef SALLYPORT_ENGINE_H
#define SALLYPORT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "sip/sip.h"
#include "user/addr.h"
#include "user/span.h"

struct engine;

enum engine_transport { ENGINE_UDP, ENGINE_TCP, ENGINE_TLS };

#define ENGINE_TARGETS_MAX 16

struct engine_server { /* a call server; strings live as long as the engine */
	const char *name;
	enum engine_transport transport;
	const char *const *domains;
	unsigned n_domains;
	const char *const *trusted_headers;
	unsigned n_trusted_headers;
	bool contact_mode;    /* it has no Path: Contacts are rewritten (contact.h) */
	bool any_digest_user; /* REGISTER: whose Digest credentials are is its own affair */
	bool pass;	      /* its phones speak SRTP: keys and packets pass as they are */
	bool per_connection;  /* registrations end with our connection to it (lines.h) */
};

struct engine_config {
	const char *core_name;
	const char *
		inside_host; /* advertised towards the inside: Via, Record-Route, Path; literal or name */
	uint16_t inside_port;
	uint16_t inside_tls_port;
	const struct engine_server *servers;
	unsigned n_servers;
	struct span token_key; /* >= 32 bytes */
	uint32_t bindings_max, calls_max, calls_user_max, transactions_max;
	uint32_t message_max;
	bool keep;  /* ENGINE_KEEP and ENGINE_FORGET are wanted */
	bool calls; /* ENGINE_CALL is wanted */
	/* Cryptographic random bytes; tests give a fixed sequence. */
	void (*random)(void *arg, void *buf, size_t n);
	/* HMAC-SHA256 of the token key over the parts, for tokens and nonces; the caller binds it to the crypto
	 * library. */
	void (*hmac)(void *arg, struct span key, struct span data, uint8_t out[32]);
	/* Whether a user, escapes decoded, of a domain may register at all; NULL: everybody may. */
	bool (*may_register)(void *arg, struct span user, struct span domain);
	void *arg;
};

struct engine_stream { /* a client's stream, from the link's Open */
	uint64_t id;
	struct addr client;
	const char *edge;      /* edge's name; copied */
	const char *edge_host; /* advertised SIP name and port: Record-Route, Via towards clients */
	uint16_t edge_port;
};

enum engine_suite {
	ENGINE_GCM256,
	ENGINE_GCM128,
	ENGINE_CM80,
	ENGINE_CM32,
	ENGINE_SUITES
}; /* = enum srtp_suite */

enum engine_action_kind {
	ENGINE_SEND_STREAM, /* bytes to client stream .stream */
	ENGINE_SEND_INSIDE, /* bytes to call server .server at .to, by .transport; .answer: to what came from .to */
	ENGINE_ADMIT, /* stream: its user has authenticated */
	ENGINE_REVOKE,
	ENGINE_CLOSE_STREAM, /* .text: reason */
	ENGINE_MEDIUM_OPEN, /* .medium, .id (its call's), .stream (whose edge and client address), .with_rtcp, .pass; of one that is open
				without: RTCP gets ports of its own */
	ENGINE_MEDIUM_SET,  /* .medium, .pass and .set */
	ENGINE_MEDIUM_CLOSE, /* .medium, .pass */
	ENGINE_KEEP, /* .record, .id, .data: what must outlive the engine (sip/record.h); comes before what it was caused by */
	ENGINE_FORGET, /* .record, .id */
	ENGINE_CALL, /* .id (of the call), .stream, .server, .call, .text: why it ended; its media are still open then */
	ENGINE_LOG, /* .level (log.h order), .event, .text "key=value ..." already escaped */
};

enum engine_record {
	ENGINE_RECORD_BINDING,
	ENGINE_RECORD_CALL,
	ENGINE_RECORD_INVITE, /* of a call that only rings; after the other kinds */
	ENGINE_RECORDS
};

struct engine_medium_set { /* mirrors struct media_set of user/media_core.h */
	bool have_keys;
	enum engine_suite open_suite, seal_suite;
	uint8_t open_key[46], seal_key[46];
	struct addr remote_rtp, remote_rtcp;
	struct addr client; /* where its signalling comes from: it alone may latch */
	bool reopen;
	/* Clock rates of payload types, by who sends them: the client, we to it (sip/clocks.h). Empty: as before. */
	uint32_t clocks_in[8], clocks_out[8];
};

/* Of a call with media, what people and call records want to know. An end is told once for each call that was told to have started, in this
 * engine or one before it; not of those that ring when an engine ends. */
struct engine_call_event {
	enum engine_call_what { ENGINE_CALL_STARTED, ENGINE_CALL_ANSWERED, ENGINE_CALL_ENDED } what;
	bool outbound;			  /* the client called */
	uint64_t started_ms, answered_ms; /* 0: it was not answered */
	const char *user, *from, *to,
		*call_id; /* AOR; URIs with display names and tags; in .data */
	unsigned n_media;
	uint64_t media[8];
};

struct engine_action {
	enum engine_action_kind kind;
	uint64_t stream, medium;
	unsigned server;
	enum engine_transport transport;
	struct addr to; /* port 0: no address of the call server is known */
	bool answer;
	uint64_t inside_conn; /* not 0: on this inside stream (responses), else .to */
	bool with_rtcp;
	bool pass; /* SRTP from end to end: no keys, packets are carried as they are */
	enum engine_record record;
	uint64_t id;
	struct span data;
	union {
		struct engine_medium_set set;  /* ENGINE_MEDIUM_SET */
		struct engine_call_event call; /* ENGINE_CALL */
	};
	int level;
	const char *event;
	char text[256];
};

struct engine_inside_src { /* where an inside message came from */
	unsigned
		server; /* the caller matched its address to a configured call server; others never get here */
	enum engine_transport transport;
	struct addr from;
	uint64_t conn; /* inside stream id; 0 for UDP */
};

int engine_new(const struct engine_config *c, uint64_t now_ms, struct engine **out);
void engine_free(struct engine *e);

/* What an engine before this one kept, kind after kind, before anything else but engine_stream_open() of the streams that outlived it.
 * 0, -EBADMSG (not such a record: drop it), -EEXIST (an INVITE whose call stands: drop it), -ENOENT (one that nobody waits for any
 * more: drop it), -ENOBUFS, -ENOMEM. A call that only rang
 * ends: its CANCEL or answer is an action.
 * Then the caller tells each medium that it has and this engine does not know (close it), and each that this engine has
 * (engine_each_medium) and the caller lost: engine_medium_failed(). */
int engine_restore(struct engine *e, enum engine_record kind, uint64_t id, struct span data,
		   uint64_t now_ms);
bool engine_medium_known(const struct engine *e, uint64_t medium);
/* The media of calls that stand. */
void engine_each_medium(struct engine *e, void (*fn)(void *arg, uint64_t medium), void *arg);

/* 0, -EEXIST, -ENOBUFS, -ENOMEM. */
int engine_stream_open(struct engine *e, const struct engine_stream *s);
bool engine_stream_admitted(const struct engine *e, uint64_t stream);
void engine_stream_closed(struct engine *e, uint64_t stream, uint64_t now_ms);
/* One parsed message whose spans live during the call. */
void engine_stream_recv(struct engine *e, uint64_t stream, const struct sip_msg *m,
			uint64_t now_ms);
void engine_inside_recv(struct engine *e, const struct engine_inside_src *src,
			const struct sip_msg *m, uint64_t now_ms);

/* Where a call server is now: from DNS, or configured. What is known of an address stays with it. */
struct engine_target {
	struct addr addr;
	uint16_t priority, weight; /* RFC 2782 */
};
void engine_targets(struct engine *e, unsigned server, const struct engine_target *list, unsigned n,
		    uint64_t now_ms);

enum engine_failure {
	ENGINE_UNREACHABLE, /* no way there, or it is not who it should be */
	ENGINE_REFUSED,	    /* nobody listens there */
	ENGINE_CLOSED,	    /* the connection ended in order; perhaps only that */
	ENGINE_RESET, /* it was reset, or its time ran out: the other end knows nothing of it */
};
/* A transport towards address @to of @server failed (port 0: no address is known). What waits for it goes on to another
 * address, once more to the same one after ENGINE_CLOSED and ENGINE_RESET, or gets 503. What of it means that registrations are lost:
 * sip/lines.h. */
void engine_inside_failed(struct engine *e, unsigned server, const struct addr *to,
			  enum engine_failure how, const char *why, uint64_t now_ms);

/* Answers to ENGINE_MEDIUM_OPEN. addresses: outside ones go into SDP towards the client, inside ones towards the
 * call server. */
struct engine_medium_addrs {
	struct addr outside_rtp, outside_rtcp, inside_rtp, inside_rtcp;
};
void engine_medium_opened(struct engine *e, uint64_t medium, const struct engine_medium_addrs *a,
			  uint64_t now_ms);
void engine_medium_failed(struct engine *e, uint64_t medium, const char *reason, uint64_t now_ms);
/* Both ways silent for the configured time: the call ends with BYE to both. */
void engine_medium_silent(struct engine *e, uint64_t medium, uint64_t now_ms);

/* The edge @edge drains, or this core does (sip/drain.h): 0, or these bits. 0 or -ENOMEM. */
enum engine_drain_bits {
	ENGINE_DRAIN_ON = 1,  /* nothing new on its streams */
	ENGINE_DRAIN_ASK = 2, /* phones may have somewhere else to go: they are asked to */
	ENGINE_DRAIN_MOVE = 4 /* who connects anew to this very edge is taken in by another core */
};
int engine_drain(struct engine *e, const char *edge, unsigned how, uint64_t now_ms);
/* Calls with a stream of @edge (NULL: all), and bindings that no edge reaches but such as drain. */
void engine_drain_left(const struct engine *e, const char *edge, unsigned *out_calls,
		       unsigned *out_phones);

void engine_tick(struct engine *e, uint64_t now_ms);
uint64_t engine_next_due(const struct engine *e); /* ms; UINT64_MAX: nothing is due */

/* Pop the oldest action. false: none left. */
bool engine_next_action(struct engine *e, struct engine_action *out);

struct engine_stats {
	uint64_t streams, admitted, bindings, calls, transactions; /* now */
	uint64_t requests, responses, registers_ok, registers_refused, calls_total;
	uint64_t refused_identity, refused_route, refused_plain_rtp, refused_token, refused_full,
		retransmits, timeouts;
	uint64_t half_registered; /* streams closed for it */
	uint64_t refused_draining,
		drain_moved; /* requests; streams closed so that their phones move */
	uint64_t not_kept
		[ENGINE_RECORDS]; /* larger than RECORD_MAX (sip/record.h): each counts once */
};
const struct engine_stats *engine_stats(const struct engine *e);

struct engine_binding_view {
	const char *aor, *instance, *contact, *user_agent, *server;
	uint64_t stream; /* newest live one; 0: none */
	uint64_t expires_ms;
};
struct engine_call_view {
	uint64_t call; /* token */
	const char *from, *to, *call_id, *direction /* "out-in", "in-out" */, *state, *user;
	uint64_t stream, since_ms;
	unsigned n_media;
	uint64_t media[8];
	const char *suite;
};
struct engine_target_view {
	struct engine_target t;
	bool up, heard;	 /* passed over now; has it ever said anything */
	const char *why; /* it was down last; "" */
	uint64_t down_ms, heard_ms, failures;
	uint64_t losses; /* of its registrations */
	uint64_t moved;	 /* requests that went on to another target, of the whole call server */
};
void engine_each_target(const struct engine *e, unsigned server,
			void (*fn)(void *arg, const struct engine_target_view *t), void *arg);
void engine_each_binding(const struct engine *e,
			 void (*fn)(void *arg, const struct engine_binding_view *v), void *arg);
void engine_each_call(const struct engine *e,
		      void (*fn)(void *arg, const struct engine_call_view *v), void *arg);
/* Admitted AORs of a stream, comma separated; "" when not admitted. */
const char *engine_stream_aors(const struct engine *e, uint64_t stream);

#endif
