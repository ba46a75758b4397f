/* user/media_user_socket.c -- control messages and options of media sockets. See media_user_socket.h and media_user.h. */
#include "user/media_user_socket.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "user/media_user.h"
#include "user/sockpool.h"

/* linux/in.h and linux/in6.h have them, netinet/in.h not yet. */
#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25
#endif
#ifndef IPV6_RECVFRAGSIZE
#define IPV6_RECVFRAGSIZE 77
#endif

static void meta4(const struct cmsghdr *c, struct media_user_meta *out)
{
	struct in_pktinfo info;
	int v;

	if (c->cmsg_type == IP_TTL) {
		memcpy(&v, CMSG_DATA(c), sizeof(v));
		out->ttl = (uint8_t)v;
	} else if (c->cmsg_type == IP_TOS) {
		out->tos = *CMSG_DATA(c);
	} else if (c->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		out->ifindex = (uint32_t)info.ipi_ifindex;
	} else if (c->cmsg_type == IP_RECVFRAGSIZE) {
		out->fragments = true;
	}
}

static void meta6(const struct cmsghdr *c, struct media_user_meta *out)
{
	struct in6_pktinfo info;
	int v;

	if (c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		out->ifindex = info.ipi6_ifindex;
	} else if (c->cmsg_type == IPV6_RECVFRAGSIZE) {
		out->fragments = true;
	} else if (c->cmsg_type == IPV6_HOPLIMIT || c->cmsg_type == IPV6_TCLASS) {
		memcpy(&v, CMSG_DATA(c), sizeof(v));
		*(c->cmsg_type == IPV6_TCLASS ? &out->tos : &out->ttl) = (uint8_t)v;
	}
}

void media_user_meta(const void *control, size_t n, struct media_user_meta *out)
{
	struct msghdr m = {.msg_control = (void *)(uintptr_t)control, .msg_controllen = n};
	struct cmsghdr *c;

	*out = (struct media_user_meta){};
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == IPPROTO_IP)
			meta4(c, out);
		else if (c->cmsg_level == IPPROTO_IPV6)
			meta6(c, out);
	}
}

static uint8_t *control_put(uint8_t *at, int level, int type, int v)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)at;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(sizeof(v));
	memcpy(CMSG_DATA(c), &v, sizeof(v));
	return at + CMSG_SPACE(sizeof(v));
}

_Static_assert(2 * CMSG_SPACE(sizeof(int)) <= LOOP_CONTROL_MAX, "room for both");
_Static_assert(3 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) <=
		       MEDIA_USER_CONTROL,
	       "room for all four");

size_t media_user_control(bool v4, uint8_t ttl, uint8_t tos, uint8_t *buf)
{
	uint8_t *at = buf;

	at = v4 ? control_put(at, IPPROTO_IP, IP_TTL, ttl)
		: control_put(at, IPPROTO_IPV6, IPV6_HOPLIMIT, ttl);
	at = v4 ? control_put(at, IPPROTO_IP, IP_TOS, tos)
		: control_put(at, IPPROTO_IPV6, IPV6_TCLASS, tos);
	return (size_t)(at - buf);
}

uint32_t media_user_ifindex(const struct addr *ip)
{
	struct ifaddrs *all, *e;
	struct addr have;
	uint32_t index = 0;

	if (getifaddrs(&all))
		return 0;
	for (e = all; e && !index; e = e->ifa_next)
		if (e->ifa_addr && !addr_from_sockaddr(e->ifa_addr, &have) && addr_ip_eq(&have, ip))
			index = if_nametoindex(e->ifa_name);
	freeifaddrs(all);
	return index;
}

int media_user_wake(int fd)
{
	return sockpool_resting(fd) ? sockpool_wake(fd) : 0;
}

/* PROBE: may not be fragmented, by the MTU of the interface; a forged "too big" from the internet changes nothing. */
int media_user_socket(int fd, bool v4)
{
	static const struct {
		int level, name, value;
	} all[2][5] = {{{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1},
			{IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
			{IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
			{IPPROTO_IPV6, IPV6_RECVFRAGSIZE, 1},
			{IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE}},
		       {{IPPROTO_IP, IP_RECVTTL, 1},
			{IPPROTO_IP, IP_RECVTOS, 1},
			{IPPROTO_IP, IP_PKTINFO, 1},
			{IPPROTO_IP, IP_RECVFRAGSIZE, 1},
			{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE}}};
	unsigned i;

	for (i = 0; i < 5; i++)
		if (setsockopt(fd, all[v4][i].level, all[v4][i].name, &all[v4][i].value,
			       sizeof(all[v4][i].value)))
			return -errno;
	return 0;
}
