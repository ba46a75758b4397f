/* user/inside.h -- the core's transports towards call servers: UDP, TCP and TLS, framed into SIP messages.
 *
 * Data flow in: datagram or stream bytes -> source matched to a configured call server (others are dropped and counted) -> sip_msg_parse
 * -> ops.message(). Out: inside_send() by UDP, on the inside stream a request came on, or on the one outgoing stream a target,
 * dialled when first needed and again after it ended. ICMP errors, refused and ended streams -> ops.failed().
 * Where a call server is: its address, or DNS SRV asked again when the answer's time is over -> ops.targets(). Which target a message
 * goes to, the engine says (sip/target.h).
 * Owner rules: owns outgoing and accepted streams; the listening and UDP descriptors are the keeper's. A message's spans live until
 * ops.message() returns. Limits: 256 streams, one message of limits.message_bytes in each one's buffer, 256 KiB queued a stream. */
#ifndef SALLYPORT_INSIDE_H
#define SALLYPORT_INSIDE_H

#include <jansson.h>

#include "sip/engine.h"
#include "user/config.h"
#include "user/dns.h"
#include "user/loop.h"
#include "user/tls.h"

struct inside;

struct inside_ops {
	void (*message)(void *arg, const struct engine_inside_src *src, const struct sip_msg *m);
	/* The transport to address @to of a call server failed, or a stream to it ended. Never from inside inside_send(). */
	void (*failed)(void *arg, unsigned server, const struct addr *to, enum engine_failure how,
		       const char *why);
	/* Where it is now; also from inside inside_new(). */
	void (*targets)(void *arg, unsigned server, const struct engine_target *t, unsigned n);
};

struct inside_params {
	struct loop *loop;
	struct dns *dns;
	const struct config_call_server *servers;
	unsigned n_servers;
	int udp_fd, tcp_fd, tls_fd; /* -1: not configured */
	struct tls_ctx *tls_server, *tls_client;
	uint32_t message_max;
	const struct inside_ops *ops;
	void *arg;
};

/* 0 or a negative errno; @why names the call server whose address is wrong. */
int inside_new(const struct inside_params *p, struct inside **out, char *why, size_t why_n);
void inside_free(struct inside *in);

struct inside_out { /* one message or keepalive */
	unsigned server;
	enum engine_transport transport;
	struct addr to; /* a target; of an answer, where its request came from */
	uint64_t conn;	/* an answer's stream, if it is still there; 0: none */
	bool answer;
	struct span data;
};
/* 0, -ENOENT (no address is known yet), -ENOBUFS, or the socket's errno. */
int inside_send(struct inside *in, const struct inside_out *o);
json_t *inside_show(const struct inside *in);

#endif
