/* tools/join_wait.h -- the edge waits for cores that hold a token.
 *
 * Data flow: where sallyport-edge runs, its worker holds the link's port: it is asked over the admin socket ("invite") to pass on every
 * connection whose ClientHello offers ALPN "sallyport-join", by SCM_RIGHTS (user/link_join.h); else we listen on that port ourselves. Either way
 * join_serve_one() answers. Over when every open token was used or has ended.
 * The CA's key is in this process only, which runs as long as somebody is waited for. */
#ifndef SALLYPORT_JOIN_WAIT_H
#define SALLYPORT_JOIN_WAIT_H

#include "tools/ctl.h"
#include "tools/join_serve.h"

/* Exit status: 0: everybody who was waited for has joined. @admin: the daemon's socket. */
int join_wait(const struct ctl_options *o, const struct join_server *s,
	      const struct config_edge *cfg, const char *admin);
/* A token for @core, told to the operator; with @wait until it is used. Exit status. */
int join_invite(const struct ctl_options *o, const struct join_server *s,
		const struct config_edge *cfg, const char *admin, const char *core,
		const char *const *domains, unsigned n, uint64_t seconds, bool wait);

#endif
