/* user/core_federation.h -- chat between servers on the core: other organisations' servers to ours, and ours to them. Off unless configured.
 *
 * Data flow in: an edge's Open with service "xmpp-server" and the domain of ours -> its stream header is looked at as far as it is in clear:
 * may that domain? -> a server of the domain's cluster, federation port -> Admit, and bytes both ways. Out: our server connects to
 * federation.listen and says whom it wants: by SOCKS5 (RFC 1928, CONNECT to a name, no authentication; its stream header is looked at once the way is there), or by its stream header itself
 * (then DNS inside names us as the other domain's server) -> may it? -> Dial to an edge -> Open "xmpp-dial" -> bytes both ways, the
 * header first, as it came.
 *
 * TLS is between the two servers, so certificates, dialback and all else are theirs to check; nothing is changed on the way. Where there is an
 * allow or deny list and a stream from outside does not show in clear whose it is (TLS from the first byte on, no "from"), it is
 * refused. A list here is no proof of identity: that comes with the servers' own checks.
 *
 * Owner rules: owns its streams, their connections inside, and the listener's operation; a data connection is the link's. Streams end with
 * the worker. Limits: federation streams in all, three quarters of them from outside, one quarter from one address (IPv6: /64); 4 KiB and 30 s until it is known where to; 40 s for a dial; only addresses of
 * federation.sources may dial. */
#ifndef SALLYPORT_CORE_FEDERATION_H
#define SALLYPORT_CORE_FEDERATION_H

#include <jansson.h>

#include "user/config.h"
#include "user/link.h"
#include "user/loop.h"
#include "user/xmpp_nodes.h"

struct core_federation_ops {
	void (*admit)(void *arg, const char *edge, uint64_t stream);
	/* Ask an edge that is not in @tried (bits in the order of the configuration; it adds the one it takes). Its name, or NULL. */
	const char *(*dial)(void *arg, uint64_t *tried, uint64_t dial, const char *domain);
	uint64_t (*id)(void *arg);
};

struct core_federation;
struct core_federation_params {
	struct loop *loop;
	const struct config_xmpp *cfg;
	struct xmpp_nodes *nodes;
	int fd; /* listening, the keeper's; -1: ours do not dial */
	const struct core_federation_ops *ops;
	void *arg;
};
/* Also where federation is off: then every stream is refused. */
int core_federation_new(const struct core_federation_params *p, struct core_federation **out);
void core_federation_free(struct core_federation *f);
/* Take over @d: Open "xmpp-server", and "xmpp-dial". */
void core_federation_open(struct core_federation *f, const char *edge, struct link_data *d,
			  const Sallyport__Open *o);
void core_federation_dialled(struct core_federation *f, const char *edge, struct link_data *d,
			     const Sallyport__Open *o);
/* Only the edge that was asked has a say. */
void core_federation_result(struct core_federation *f, const char *edge,
			    const Sallyport__DialResult *r);
/* {"streams", "in", "out", ...}; and rows for `streams`. */
/* For the summary; NULL: no chat. As those of core_xmpp.h. */
struct summary_streams;
void core_federation_sum(const struct core_federation *f, struct summary_streams *out);
unsigned core_federation_count(const struct core_federation *f); /* streams now; 0 for NULL */
uint64_t core_federation_refused(const struct core_federation *f, unsigned i, const char **name);
json_t *core_federation_show(const struct core_federation *f);
void core_federation_rows(const struct core_federation *f, json_t *list);

#endif
