/* user/admin_http.h -- status page and metrics by HTTP, for this host only.
 *
 * Data flow: a connection to a loopback address -> one request (http/ parser) -> its answer, and the connection ends: GET / and the
 * files of user/page.h, /metrics, /v1/nodes; or /v1/events, which goes on: server-sent events, one `data:` line with /v1/nodes at once and
 * every second.
 * Who may: everybody on this host, without a password; it shows numbers and names of nodes, never a user, and changes nothing. A browser on
 * this host may be made to ask by a page from anywhere (DNS rebinding): the Host of a request must be localhost, 127.0.0.1 or [::1], with any
 * port (ssh -L may have another one). Answers carry no CORS permission, so pages from elsewhere read none of them.
 * Limits: 32 connections, 16 of them with events; head 16 KiB, start line 2 KiB; 5 s for the request, 10 s for the answer to be
 * taken. A reader of events that is slow gets fewer of them: a next one is written when the one before has left, and after 15 s without
 * that the connection ends.
 * Owner rules: owns its connections and their buffers; the listening descriptor is the keeper's, so the port is open whatever becomes of
 * a worker. */
#ifndef SALLYPORT_ADMIN_HTTP_H
#define SALLYPORT_ADMIN_HTTP_H

#include <jansson.h>

#include "user/loop.h"

#define ADMIN_HTTP_CONNS  32
#define ADMIN_HTTP_EVENTS 16

struct admin_http_params {
	struct loop *loop;
	int listen_fd;
	json_t *(*nodes)(void *arg); /* a new reference */
	/* Text, to be freed, with its length; NULL: no memory, or too long. */
	char *(*metrics)(void *arg, bool openmetrics, size_t *n);
	void *arg;
	unsigned event_ms; /* 0: 1,000; tests make it shorter */
};

struct admin_http;
int admin_http_new(const struct admin_http_params *p,
		   struct admin_http **out); /* 0 or negative errno */
void admin_http_free(struct admin_http *a);
json_t *admin_http_show(const struct admin_http *a); /* for status; NULL without a port */

#endif
