/* user/admin.h -- the daemons' unix socket for sallyctl.
 *
 * Data flow: one line of JSON in ({"cmd":"flows","arg":"…"}) -> the command's function -> one line of JSON out, connection closed.
 * Owner rules: owns its connections (at most 16, request <= 4 KiB, 5 s); the listening descriptor is the keeper's. The socket's
 * mode (0660, group sallyport) is the access control. Requests are read-only in this version. */
#ifndef SALLYPORT_ADMIN_H
#define SALLYPORT_ADMIN_H

#include <jansson.h>

#include "user/loop.h"

struct admin;

struct admin_cmd {
	const char *name;
	/* Returns a new reference: an object or array; or an object with "error". @req: the whole request. */
	json_t *(*fn)(void *arg, const json_t *req);
};

int admin_new(struct loop *l, int listen_fd, const struct admin_cmd *cmds, unsigned n, void *arg,
	      struct admin **out);
void admin_free(struct admin *a);

#endif
