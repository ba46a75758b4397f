/* user/inside_int.h -- what the files of inside.h share: inside.c (which call server, where it is, life), inside_udp.c, inside_stream.c.
 * Owner rules: see inside.h. */
#ifndef SALLYPORT_INSIDE_INT_H
#define SALLYPORT_INSIDE_INT_H

#include "user/conn.h"
#include "user/inside.h"

#define INSIDE_STREAMS 256
#define INSIDE_QUEUE   (256u * 1024)
#define INSIDE_SOURCES 16

struct inside_stream {
	struct inside *in;
	struct conn *conn;
	uint64_t id;
	unsigned server;
	enum engine_transport transport;
	bool outgoing, up;
	struct addr peer;
	uint8_t *buf;
	size_t n;
	struct inside_stream *next;
};

struct inside_server {
	struct inside *in;
	const struct config_call_server *cfg;
	enum engine_transport transport;
	struct addr sources[INSIDE_SOURCES];
	unsigned n_sources;
	struct addr targets[DNS_TARGETS_MAX];
	unsigned n_targets;
	bool asking;
	struct loop_timer refresh;
	uint64_t sent, received, failures;
};

struct inside {
	struct inside_params p;
	struct inside_server *servers;
	struct inside_stream *streams;
	unsigned n_streams;
	uint64_t next_id;
	struct loop_handle udp, tcp, tls;
	uint8_t *dgram;
	bool udp_v4_only;
	uint64_t foreign, malformed, full;
};

extern const char *const inside_transport_names[3];

/* The call server at @from, or -1: a stranger. */
int inside_server_of(const struct inside *in, const struct addr *from);
/* @server's target @from is one of, exactly. */
bool inside_is_target(const struct inside_server *v, const struct addr *at);
void inside_malformed(struct inside *in, unsigned server, enum sip_why why);
void inside_failed(struct inside *in, unsigned server, const struct addr *to,
		   enum engine_failure how, const char *why);

/* ---- inside_udp.c ---- */
int inside_udp_start(struct inside *in);
int inside_udp_send(struct inside *in, const struct addr *to, struct span data);

/* ---- inside_stream.c ---- */
int inside_stream_listen(struct inside *in);
void inside_stream_end_all(struct inside *in);
struct inside_stream *inside_stream_by_id(struct inside *in, uint64_t id);
/* The outgoing stream to @to (@exact: address and port), dialled if there is none. */
int inside_stream_to(struct inside *in, unsigned server, enum engine_transport t,
		     const struct addr *to, struct inside_stream **out);
/* One to the host of @to, for an answer whose stream is gone; NULL: none. */
struct inside_stream *inside_stream_any(struct inside *in, unsigned server, const struct addr *to);
unsigned inside_stream_count(const struct inside *in, unsigned server);

#endif
