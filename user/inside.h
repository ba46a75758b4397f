/* user/inside.h -- the core's transports towards call servers: UDP, TCP and TLS, framed into SIP messages.
 *
 * Data flow in: datagram or stream bytes -> source matched to a configured call server (others are dropped and counted) -> sip_msg_parse
 * -> ops.message(). Out: inside_send() by UDP, on the inside stream a request came on, or on the one outgoing stream a call server,
 * dialled when first needed and again after it ended.
 * Where a call server is: its address, or DNS SRV asked again when the answer's time is over; a target that fails hands over to the
 * next one of the answer.
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
	/* A call server cannot be reached: refused, timed out, or its name has no address. Never from inside inside_send(). */
	void (*failed)(void *arg, unsigned server, const char *why);
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

/* To stream @conn if it is not 0 and still there; else to @to (port not 0), else to the call server's current address.
 * 0, -ENOENT (address not known yet), -ENOBUFS, or the socket's errno. */
int inside_send(struct inside *in, unsigned server, enum engine_transport t, const struct addr *to,
		uint64_t conn, struct span data);
json_t *inside_show(const struct inside *in);

#endif
