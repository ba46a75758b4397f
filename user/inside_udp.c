/* user/inside_udp.c -- datagrams between the core and its call servers, and what ICMP tells of them. See inside.h. */
#include <errno.h>
#include <time.h> /* linux/errqueue.h wants struct timespec */
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "user/inside_int.h"
#include "user/log.h"

#define INSIDE_UDP_ROUND 64 /* datagrams read in one go: other descriptors get their turn */
#define INSIDE_UDP_TRIES 3

static void inside_udp_one(struct inside *in, const struct addr *from, size_t n)
{
	int server = inside_server_of(in, from);
	struct engine_inside_src src = {.transport = ENGINE_UDP, .from = *from};
	enum sip_why why = SIP_OK;
	struct sip_msg m;

	if (server < 0) {
		char text[ADDR_TEXT_MAX];

		in->foreign++;
		log_event(LOG_L_WARN, "inside-foreign", "from=%s transport=udp",
			  addr_text(from, text));
		return;
	}
	if (n <= 4) /* keepalives of 0, 2 or 4 bytes */
		return;
	in->servers[server].received++;
	src.server = (unsigned)server;
	if (sip_msg_parse(span_of(in->dgram, n), false, in->p.message_max, &m, &why) <= 0) {
		inside_malformed(in, src.server, why);
		return;
	}
	in->p.ops->message(in->p.arg, &src, &m);
}

/* One ICMP error. What was sent to a source that is no target (an answer) tells nothing of a target. */
static void inside_udp_error(struct inside *in, const struct addr *to, int err)
{
	unsigned i;

	if (err != ECONNREFUSED && err != EHOSTUNREACH && err != ENETUNREACH)
		return; /* e.g. EMSGSIZE: the path's MTU has become known */
	for (i = 0; i < in->p.n_servers; i++)
		if (in->servers[i].transport == ENGINE_UDP && inside_is_target(&in->servers[i], to))
			inside_failed(in, i, to,
				      err == ECONNREFUSED ? ENGINE_REFUSED : ENGINE_UNREACHABLE,
				      strerror(err));
}

static const struct sock_extended_err *inside_udp_why(struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			return (const struct sock_extended_err *)(const void *)CMSG_DATA(c);
	return NULL;
}

/* The socket is not connected, so the kernel tells errors only by its error queue (IP_RECVERR), with the address that they are about. */
static void inside_udp_errors(struct inside *in)
{
	_Alignas(struct cmsghdr) char control[256];
	unsigned i;

	for (i = 0; i < INSIDE_UDP_ROUND; i++) {
		struct sockaddr_storage ss = {0};
		struct msghdr m = {.msg_name = &ss,
				   .msg_namelen = sizeof(ss),
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};
		const struct sock_extended_err *e;
		struct addr to;

		if (recvmsg(in->p.udp_fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		e = inside_udp_why(&m);
		if (e && addr_from_sockaddr((struct sockaddr *)&ss, &to) == 0)
			inside_udp_error(in, &to, (int)e->ee_errno);
	}
}

static void inside_udp_ready(void *arg, int revents)
{
	struct inside *in = arg;
	unsigned i;

	if (revents < 0)
		log_event(LOG_L_ERROR, "inside-udp", "error=\"%s\"", strerror(-revents));
	if (revents > 0 && revents & POLLERR)
		inside_udp_errors(in);
	for (i = 0; revents >= 0 && i < INSIDE_UDP_ROUND; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct addr from;
		ssize_t n = recvfrom(in->p.udp_fd, in->dgram, in->p.message_max,
				     MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&ss, &len);

		if (n < 0 && errno != EAGAIN)
			continue; /* an error that the queue tells as well */
		if (n < 0)
			break;
		if (addr_from_sockaddr((struct sockaddr *)&ss, &from))
			continue;
		if ((size_t)n > in->p.message_max)
			in->malformed++;
		else
			inside_udp_one(in, &from, (size_t)n);
	}
	loop_poll(in->p.loop, in->p.udp_fd, POLLIN, false, inside_udp_ready, in, &in->udp);
}

/* An error of an earlier datagram, perhaps to another call server, is told by the next call, which then sends nothing: hence again. A
 * refusal is never this one's, which has not left: whose it is the error queue tells. */
int inside_udp_send(struct inside *in, const struct addr *to, struct span data)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss);
	unsigned i;

	if (in->p.udp_fd < 0)
		return -ENOTCONN;
	for (i = 0; i < INSIDE_UDP_TRIES; i++)
		if (sendto(in->p.udp_fd, data.p, data.n, MSG_DONTWAIT, (struct sockaddr *)&ss,
			   len) >= 0)
			return 0;
		else if (errno == EAGAIN || errno == EMSGSIZE)
			break;
	return errno == ECONNREFUSED ? -EAGAIN : -errno;
}

int inside_udp_start(struct inside *in)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	int on = 1;

	if (in->p.udp_fd < 0)
		return 0;
	/* Of a socket of both families both are wanted; one of IPv4 knows only the first. */
	(void)setsockopt(in->p.udp_fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	if (setsockopt(in->p.udp_fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)))
		return -errno;
	if (getsockname(in->p.udp_fd, (struct sockaddr *)&ss, &len) == 0)
		in->udp_v4_only = ss.ss_family == AF_INET;
	return loop_poll(in->p.loop, in->p.udp_fd, POLLIN, false, inside_udp_ready, in, &in->udp);
}
