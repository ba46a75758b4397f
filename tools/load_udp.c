/* tools/load_udp.c -- the one UDP socket of clients that stand inside, beside the call server.
 *
 * In: datagrams of the loop. Out: load_client_message() of the client that is meant: a request by the user of its Request-URI, an
 * answer to REGISTER by its Call-ID, another answer by the tag that we gave (load_calls finds the call, whoever the client is). */
#include "tools/load.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define RCVBUF (8 << 20)

static struct sip_msg udp_msg; /* large; only one is read at a time */

static struct load_client *udp_client(struct load *l, const struct sip_msg *m)
{
	char text[80];
	size_t prefix = strlen(l->o.prefix);
	unsigned run, index = 0;
	struct span user = m->ruri.user;
	uint32_t v;

	if (m->request) {
		if (user.n <= prefix || memcmp(user.p, l->o.prefix, prefix) != 0 ||
		    sip_number(span_cut(user, prefix, user.n), l->o.clients - 1, &v))
			return NULL;
		index = v;
	} else if (m->method == SIP_M_REGISTER) {
		if (span_copy(m->call_id, text, sizeof(text)) < 0 ||
		    sscanf(text, "%8x-%u@load", &run, &index) != 2 || run != l->run_id ||
		    index >= l->o.clients)
			return NULL;
	}
	return &l->clients[index];
}

static void udp_dgram(void *arg, struct loop_dgram *d)
{
	struct load *l = arg;
	struct load_client *c;
	enum sip_why why;

	if (sip_msg_parse(span_of(d->p, d->n), false, LOAD_BUF, &udp_msg, &why) <= 0) {
		if (d->n > 4)
			snprintf(l->last_why, sizeof(l->last_why), "datagram: %s",
				 sip_why_text(why));
		return;
	}
	c = udp_client(l, &udp_msg);
	if (c)
		load_client_message(c, &udp_msg);
}

int load_udp_open(struct load *l)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(&l->o.local, &ss);
	int size = RCVBUF;

	l->udp_fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->udp_fd < 0)
		return -errno;
	if (setsockopt(l->udp_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(l->udp_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(l->udp_fd, (struct sockaddr *)&ss, n))
		return -errno;
	return loop_recv(l->loop, l->udp_fd, udp_dgram, l, &l->udp_recv);
}
