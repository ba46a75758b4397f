/* tools/ctl_sniff.c -- datagrams of a capture's legs as the host's stack has them, by a packet socket. See ctl_capture.h.
 *
 * In: IP packets of all interfaces that a filter in the kernel lets through by their ports. Out: those with an end of a leg, address and port.
 * The first fragment of a datagram is taken, the others have no ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl_capture.h"

#define SNIFF_BUFFER (16 << 20)
#define FILTER_MAX   (16 + 2 * (CAPTURE_LEGS + 1)) /* what filter_make() writes for so many */

struct sniff {
	struct capture *c;
	int fd;
	unsigned loopback;
};

/* Classic BPF at the IP header: UDP whose source or destination port is one of ours. */
static unsigned filter_make(const struct capture *c, struct sock_filter *f)
{
	unsigned i, k, n = 0, first, ports = 0;
	uint16_t port[CAPTURE_LEGS];

	for (i = 0; i < c->n; i++)
		if (!c->legs[i].xdp)
			port[ports++] = c->legs[i].end.port;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 0, 4);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6); /* IPv6 */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 7);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 40);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 6, 0, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9); /* IPv4 */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 1, 0);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0);
	/* IPv6 comes here with X = 40: one further on */
	f[6].k = n - 7;
	first = n;
	for (k = 0; k < 2; k++) {
		f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2 * k);
		for (i = 0; i < ports; i++, n++)
			f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port[i],
							    (uint8_t)(first + 2 * (ports + 1) - n),
							    0);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0x40000);
	return n;
}

int sniff_open(struct capture *c, struct sniff **out, char *why, size_t why_n)
{
	struct sock_filter code[FILTER_MAX];
	struct sock_fprog prog = {.filter = code};
	struct sniff *s = calloc(1, sizeof(*s));
	const int size = SNIFF_BUFFER, on = 1;
	struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int err;

	if (!s)
		return -ENOMEM;
	s->c = c;
	s->loopback = if_nametoindex("lo");
	prog.len = (unsigned short)filter_make(c, code);
	/* With protocol 0 nothing comes before the filter is there. */
	s->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
	    bind(s->fd, (struct sockaddr *)&all, sizeof(all))) {
		err = -errno;
		snprintf(why, why_n, "packet socket: %s%s", strerror(-err),
			 err == -EPERM ? " (capture needs root)" : "");
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return err;
	}
	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	*out = s;
	return s->fd;
}

static bool ends_of(const uint8_t *p, size_t n, struct addr *src, struct addr *dst)
{
	size_t head = n && p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 40;

	memset(src, 0, sizeof(*src));
	memset(dst, 0, sizeof(*dst));
	if (n < head + 8)
		return false;
	if (head != 40 || p[0] >> 4 == 4) {
		src->ip[10] = src->ip[11] = dst->ip[10] = dst->ip[11] = 0xff;
		memcpy(src->ip + 12, p + 12, 4);
		memcpy(dst->ip + 12, p + 16, 4);
	} else {
		memcpy(src->ip, p + 8, 16);
		memcpy(dst->ip, p + 24, 16);
	}
	src->port = (uint16_t)(p[head] << 8 | p[head + 1]);
	dst->port = (uint16_t)(p[head + 2] << 8 | p[head + 3]);
	return true;
}

static void packet_take(struct sniff *s, const uint8_t *p, size_t kept, size_t len, uint64_t at_ns,
			bool out)
{
	struct capture *c = s->c;
	struct addr src, dst;
	unsigned i;

	if (!ends_of(p, kept, &src, &dst))
		return;
	for (i = 0; i < c->n; i++) {
		if (c->legs[i].xdp ||
		    (!addr_eq(&c->legs[i].end, &src) && !addr_eq(&c->legs[i].end, &dst)))
			continue;
		capture_take(c, i, at_ns, out, p, kept, len);
		return;
	}
}

static uint64_t time_of(struct msghdr *m)
{
	struct cmsghdr *c;
	struct timespec ts = {0};

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sniff_read(struct sniff *s)
{
	uint8_t buf[CAPTURE_SNAP];
	_Alignas(struct cmsghdr) char control[128];
	struct sockaddr_ll from;
	ssize_t n;

	while (!capture_full(s->c)) {
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr m = {.msg_name = &from,
				   .msg_namelen = sizeof(from),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};
		bool out;

		n = recvmsg(s->fd, &m, MSG_TRUNC);
		if (n < 0)
			return;
		out = from.sll_pkttype == PACKET_OUTGOING;
		if (out && (unsigned)from.sll_ifindex == s->loopback)
			continue; /* it comes again, as what came */
		packet_take(s, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf), (size_t)n,
			    time_of(&m), out);
	}
}

void sniff_close(struct sniff *s)
{
	struct tpacket_stats st = {0};
	socklen_t n = sizeof(st);

	if (!s)
		return;
	if (!getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &st, &n))
		s->c->lost += st.tp_drops;
	close(s->fd);
	free(s);
}
