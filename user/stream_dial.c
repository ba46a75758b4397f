/* user/stream_dial.c -- streams that begin inside: a connection that a core asked for becomes one. See stream_impl.h, edge_dial.h.
 *
 * In: a connection that is up. Out: an admitted stream between it and a data connection of that core. Owner: the streams, on success. */
#include <errno.h>
#include <stdlib.h>

#include "user/log.h"
#include "user/stream_impl.h"

static int core_open(struct stream *s, struct link_peer *p, uint64_t dial, const char *domain)
{
	const struct addr *local = conn_local(s->client);
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	char text[ADDR_TEXT_MAX];
	int ret;

	o.stream = s->id;
	o.service = (char *)"xmpp-dial";
	o.client_ip = (ProtobufCBinaryData){16, s->peer.ip};
	o.client_port = s->peer.port;
	o.local_ip = (ProtobufCBinaryData){16, (uint8_t *)local->ip};
	o.local_port = local->port;
	o.sni = o.alpn = o.tls_version = o.tls_cipher = (char *)"";
	o.dial = dial;
	o.domain = (char *)domain;
	ret = link_edge_open(p, &o, &stream_core_ops, s, &s->data);
	if (ret)
		return ret;
	s->core = link_data_conn(s->data);
	log_event(LOG_L_INFO, "stream-open",
		  "stream=%llx service=xmpp-dial peer=%s core=%s dial=%llx domain=%s",
		  (unsigned long long)s->id, addr_text(&s->peer, text), link_peer_name(p),
		  (unsigned long long)dial, domain);
	return 0;
}

int streams_dialled(struct streams *t, struct link_peer *p, struct conn *c, uint64_t dial,
		    const char *domain, uint64_t *out_stream)
{
	const struct stream_use *use = &t->p.use[STREAM_XMPP_SERVER];
	int core = stream_core_index(t, link_peer_name(p)), ret;
	struct stream *s;

	if (core < 0 || !use->service)
		return -ENOENT;
	if (t->n >= STREAM_MAX)
		return -EUSERS;
	if (!conn_fit(c))
		return -EPIPE;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stream){.all = t,
			     .use = use,
			     .id = t->next_id++,
			     .state = STREAM_ADMITTED,
			     .client = c,
			     .core_index = core,
			     .tls_version = "",
			     .tls_cipher = "",
			     .peer = *conn_peer(c),
			     .since_ms = loop_now_ms(t->p.loop)};
	s->pipe_in = s->pipe_out = (struct conn_pipe){.in = -1, .out = -1};
	stream_timers(s);
	ret = core_open(s, p, dial, domain);
	if (ret) {
		free(s);
		return ret;
	}
	streams_insert(s);
	stream_counts(s)->opened++;
	stream_counts(s)->admitted++;
	conn_set_ops(c, &stream_client_ops, s);
	stream_lodge(s);
	*out_stream = s->id;
	return 0;
}
