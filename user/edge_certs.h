/* user/edge_certs.h -- the edge's certificate files as its keeper has them: opened, checked, opened anew, watched.
 *
 * Data flow: the configuration's paths -> descriptors "link.cert", "link.key", "link.ca", "sip.cert", "sip.key" and the same of https and xmpp,
 * and "sip.more" and so on: further certificates, chosen by SNI, as texts that each end with a NUL: chain, key, chain, key ... Whoever replaces a
 * file need tell nobody: edge_certs_changed() is asked every few seconds, and when the files have come to rest, and fit together, the
 * next worker gets them. Until then the old ones stay: key and chain are two files, and one is always replaced first.
 * Owner rules: struct edge_certs is the keeper's; descriptors are the plan's. Parses PEM of files that root wrote, nothing of a peer. */
#ifndef SALLYPORT_EDGE_CERTS_H
#define SALLYPORT_EDGE_CERTS_H

#include "user/config.h"
#include "user/keeper.h"
#include "user/tls.h"

struct edge_certs {
	uint64_t seen,
		last; /* what the files looked like when they were opened, and at the last look */
};

int edge_certs_open(struct edge_certs *c, struct keeper_plan *p, const struct config_edge *cfg,
		    char *why, size_t why_n);
/* Whole or not at all: everything is read and tried first. 0 or a negative errno with @why; the old ones stay then. */
int edge_certs_reopen(struct edge_certs *c, struct keeper_plan *p, const struct config_edge *cfg,
		      char *why, size_t why_n);
/* Whether they are others than those that were opened, and have been so for two looks. True once for each change. */
bool edge_certs_changed(struct edge_certs *c, const struct config_edge *cfg);

/* A whole file of at most 256 KiB, NUL-terminated; NULL with @why. free() it. */
char *edge_certs_read(const char *path, size_t *n, char *why, size_t why_n);

/* In the worker: the pairs of "NAME.more" as slices of @text. Returns their number, or -EBADMSG. */
int edge_certs_more(const char *text, size_t n, struct tls_pair out[CONFIG_CERTIFICATES_MAX]);

#endif
