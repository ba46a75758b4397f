/* user/media_user_socket.h -- what the kernel tells with a datagram, and what it is told with one. Between media_user.c and the keeper.
 *
 * In: control messages, descriptors. Out: plain values, control messages, socket options. Pure but for the options; no owner. */
#ifndef SALLYPORT_MEDIA_USER_SOCKET_H
#define SALLYPORT_MEDIA_USER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/addr.h"

#define MEDIA_USER_LOOPBACK 1u		  /* the index of lo in every network namespace */
#define MAPPED		    htonl(0xffff) /* third word of an IPv4 address in 16 bytes */

struct media_user_meta { /* 0 where the kernel did not say */
	uint32_t ifindex;
	uint8_t ttl, tos;
	bool fragments; /* it came in several */
};

void media_user_meta(const void *control, size_t n, struct media_user_meta *out);
/* TTL and TOS (hop limit and traffic class) for a datagram; @buf is aligned and zero. Returns the length. */
size_t media_user_control(bool v4, uint8_t ttl, uint8_t tos, uint8_t *buf);
/* The interface that carries @ip, or 0. Opens a netlink socket: before the sandbox. */
uint32_t media_user_ifindex(const struct addr *ip);
/* A socket that rests takes datagrams from now on; of one that does not, what waits in it stays. 0 or negative errno. */
int media_user_wake(int fd);

#endif
