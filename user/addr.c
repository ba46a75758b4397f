/* user/addr.c -- text, sockaddr and bytes of an IP address and port. See addr.h. */
#include "user/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	if (addr_is_v4(a))
		return memcmp(a->ip + 12, zero, 4) == 0;
	return memcmp(a->ip, zero, 16) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return addr_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

bool addr_ip_eq(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, 16) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_ip_eq(a, b) && a->port == b->port;
}

static int port_parse(const char *s, uint16_t *out)
{
	unsigned v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9' && p - s < 5; p++)
		v = v * 10 + (unsigned)(*p - '0');
	if (p == s || *p || v > 65535)
		return -EINVAL;
	*out = (uint16_t)v;
	return 0;
}

static int ip_parse(const char *s, uint8_t ip[16])
{
	memcpy(ip, v4_prefix, sizeof(v4_prefix));
	if (inet_pton(AF_INET, s, ip + 12) == 1)
		return 0;
	return inet_pton(AF_INET6, s, ip) == 1 ? 0 : -EINVAL;
}

int addr_parse(struct span text, struct addr *out)
{
	char buf[ADDR_TEXT_MAX], *host = buf, *colon, *port = NULL;
	struct addr a = {};

	if (span_copy(text, buf, sizeof(buf)) <= 0)
		return -EINVAL;
	if (buf[0] == '[') {
		char *end = strchr(buf, ']');

		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		if (end[1])
			port = end + 2;
		*end = 0;
		host = buf + 1;
		if (!strchr(host, ':'))
			return -EINVAL;
	} else if ((colon = strchr(buf, ':')) && !strchr(colon + 1, ':')) {
		*colon = 0;
		port = colon + 1;
	}
	if (ip_parse(host, a.ip) || (port && port_parse(port, &a.port)))
		return -EINVAL;
	*out = a;
	return 0;
}

const char *addr_ip_text(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->ip + 12, buf, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->ip, buf, ADDR_TEXT_MAX);
	return buf;
}

const char *addr_text(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_ip_text(a, ip);
	if (!a->port)
		snprintf(buf, ADDR_TEXT_MAX, "%.46s", ip);
	else
		snprintf(buf, ADDR_TEXT_MAX, addr_is_v4(a) ? "%.46s:%u" : "[%.46s]:%u", ip,
			 a->port);
	return buf;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (addr_is_v4(a)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
		memcpy(out->ip + 12, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		memcpy(out->ip, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}
