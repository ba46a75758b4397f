/* tools/call_server.c -- see call_server.h. In: what the operator typed. Out: what the configuration takes, or why not. */
#include "tools/call_server.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/setup_file.h"

#define SIP_PORT 5060

/* The target of the first SRV record (RFC 2782) into @out. */
static bool srv_target(const char *name, const char *transport, char out[NS_MAXDNAME])
{
	unsigned char answer[4096];
	char query[300];
	ns_msg msg;
	ns_rr rr;
	int n;

	snprintf(query, sizeof(query), "_%s._%s.%s", !strcmp(transport, "tls") ? "sips" : "sip",
		 !strcmp(transport, "udp") ? "udp" : "tcp", name);
	n = res_query(query, ns_c_in, ns_t_srv, answer, sizeof(answer));
	if (n < 0 || n > (int)sizeof(answer) || ns_initparse(answer, n, &msg) ||
	    ns_parserr(&msg, ns_s_an, 0, &rr) || ns_rr_type(rr) != ns_t_srv || ns_rr_rdlen(rr) < 7)
		return false;
	return ns_name_uncompress(answer, answer + n, ns_rr_rdata(rr) + 6, out, NS_MAXDNAME) > 0;
}

/* Its only address; -E2BIG: it has several. */
static int one_address(const char *name, struct addr *out, char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *all, *i;
	unsigned n = 0;
	int err = getaddrinfo(name, NULL, &hints, &all);

	if (err) {
		snprintf(text, CALL_SERVER_WHY, "%.200s: %s", name, gai_strerror(err));
		return -ENOENT;
	}
	for (i = all; i; i = i->ai_next)
		if (!addr_from_sockaddr(i->ai_addr, out))
			n++;
	freeaddrinfo(all);
	snprintf(text, CALL_SERVER_WHY,
		 "%.200s has %u addresses and no SRV record: say which one of them, ADDRESS:PORT",
		 name, n);
	return n == 1 ? 0 : -E2BIG;
}

int call_server_find(const char *text, const char *transport, struct call_server *out,
		     char why[CALL_SERVER_WHY])
{
	struct call_server c = {};
	char name[256], target[NS_MAXDNAME], *colon;
	unsigned long port = SIP_PORT;

	if (addr_parse(span_str(text), &c.at) == 0) {
		c.at.port = c.at.port ? c.at.port : SIP_PORT;
		addr_text(&c.at, c.text);
		*out = c;
		return 0;
	}
	snprintf(name, sizeof(name), "%s", text);
	colon = strchr(name, ':');
	if (colon) {
		*colon = 0;
		port = strtoul(colon + 1, &colon, 10);
	}
	if (strlen(text) >= sizeof(name) || !setup_is_name(name) || !port || port > 65535 ||
	    (colon && *colon)) {
		snprintf(why, CALL_SERVER_WHY, "wanted HOST or HOST:PORT, got \"%.100s\"", text);
		return -EINVAL;
	}
	if (!colon && srv_target(name, transport, target)) {
		snprintf(c.text, sizeof(c.text), "%s", name);
		snprintf(c.note, sizeof(c.note), "by its SRV records");
		if (one_address(target, &c.at, why) == -ENOENT)
			return -EINVAL;
		*out = c;
		return 0;
	}
	if (one_address(name, &c.at, why))
		return -EINVAL;
	c.at.port = (uint16_t)port;
	addr_text(&c.at, c.text);
	snprintf(c.note, sizeof(c.note), "%s, as it was looked up", name);
	*out = c;
	return 0;
}
