/* user/addr.h -- an IP address and a UDP or TCP port, in one fixed-size form.
 *
 * In: text, sockaddr or protocol bytes. Out: the same thing in the other two forms. IPv4 is kept as an IPv4-mapped IPv6
 * address (::ffff:a.b.c.d), as in bpf/abi.h, so that one comparison serves both families. Plain values, no owner. */
#ifndef SALLYPORT_ADDR_H
#define SALLYPORT_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "user/span.h"

struct addr {
	uint8_t ip[16]; /* network order; ::ffff:0:0/96 for IPv4 */
	uint16_t port;	/* host order; 0 where there is none */
};

/* "[2001:db8::1]:65535" and its NUL. */
#define ADDR_TEXT_MAX 56

bool addr_is_v4(const struct addr *a);
bool addr_is_any(const struct addr *a);
bool addr_is_loopback(const struct addr *a); /* 127.0.0.0/8, ::1 */
bool addr_ip_eq(const struct addr *a, const struct addr *b);
bool addr_eq(const struct addr *a, const struct addr *b);

/* Parse "1.2.3.4", "::1", "[::1]", each with an optional ":port" (IPv6 with a port needs the brackets). Names are
 * refused: no look-up happens here. Returns 0 or -EINVAL. */
int addr_parse(struct span text, struct addr *out);

/* Write "1.2.3.4:5" or "[::1]:5"; without the port when it is 0. Always terminates; returns @buf. */
const char *addr_text(const struct addr *a, char buf[ADDR_TEXT_MAX]);
/* The address alone, without brackets: as SDP and Via's received want it. */
const char *addr_ip_text(const struct addr *a, char buf[ADDR_TEXT_MAX]);

/* To and from sockaddr. IPv4-mapped addresses become AF_INET. addr_from_sockaddr returns -EAFNOSUPPORT for others. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);
int addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);

#endif
