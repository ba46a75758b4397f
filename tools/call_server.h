/* tools/call_server.h -- the call server that an operator names, as the core's configuration takes it.
 *
 * Data flow: "HOST[:PORT]" -> an address and port as it is; a name: with SRV records it stays a name, else it is looked up once, here, and
 * only one address will do. Blocking look-ups (the system's resolver): for sallyctl only. Plain values, no owner. */
#ifndef SALLYPORT_CALL_SERVER_H
#define SALLYPORT_CALL_SERVER_H

#include "user/addr.h"

#define CALL_SERVER_TEXT 272
#define CALL_SERVER_WHY	 512

struct call_server {
	char text[CALL_SERVER_TEXT];	  /* of call_servers[].address */
	char note[CALL_SERVER_TEXT + 32]; /* where it comes from, for a comment; "" */
	struct addr at;			  /* one of its addresses */
};

/* @transport: udp, tcp or tls, for the SRV name. 0 or -EINVAL with @why. */
int call_server_find(const char *text, const char *transport, struct call_server *out,
		     char why[CALL_SERVER_WHY]);

#endif
