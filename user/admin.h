/* user/admin.h -- the daemons' unix socket for sallyctl.
 *
 * Data flow: one line of JSON in ({"cmd":"flows","arg":"…"}) -> the command's function -> one line of JSON out, connection closed.
 * Owner rules: owns its connections (at most 16, request <= 4 KiB, 5 s); the listening descriptor is the keeper's. The socket's
 * mode (0660, group sallyport) is the access control. Requests only read, but for "upgrade", "drain" and "tap"
 * (a lease on copies of one flow's packets). An answer that takes its time is
 * promised by admin_later(), and given by admin_answer() within 20 s. A command that wants to go on talking takes the connection over:
 * admin_take(). */
#ifndef SALLYPORT_ADMIN_H
#define SALLYPORT_ADMIN_H

#include <jansson.h>

#include "user/loop.h"

struct admin;

struct admin_cmd {
	const char *name;
	/* Returns a new reference: an object or array; or an object with "error". @req: the whole request. NULL after
	 * admin_later(). */
	json_t *(*fn)(void *arg, const json_t *req);
};

int admin_new(struct loop *l, int listen_fd, const struct admin_cmd *cmds, unsigned n, void *arg,
	      struct admin **out);
void admin_free(struct admin *a);

struct admin_ticket {
	unsigned conn;
	uint32_t gen;
};
/* Within a command's function: its answer comes later. */
struct admin_ticket admin_later(struct admin *a);
/* Within a command's function: its connection is the caller's from here on, nonblocking and with nothing sent; the function returns NULL. */
int admin_take(struct admin *a);
/* Takes @res. Whoever asked may be gone: fine. */
void admin_answer(struct admin *a, struct admin_ticket t, json_t *res);

#endif
