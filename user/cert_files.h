/* user/cert_files.h -- a daemon's certificate files as its keeper has them: opened, checked, opened anew, watched.
 *
 * Data flow: the configuration's paths, a struct cert_names for each use -> descriptors "link.cert", "link.key", and "link.ca" or "sip.more":
 * further certificates of a server, chosen by SNI, as texts that each end with a NUL: chain, key, chain, key ... Whoever replaces a
 * file need tell nobody: cert_files_changed() is asked every second, and when the files have come to rest, and fit together, the
 * next worker gets them. Until then the old ones stay: key and chain are two files, and one is always replaced first.
 * Owner rules: struct cert_files is the keeper's; descriptors are the plan's. Parses PEM of files that root wrote, nothing of a peer. */
#ifndef SALLYPORT_CERT_FILES_H
#define SALLYPORT_CERT_FILES_H

#include "user/config.h"
#include "user/keeper.h"
#include "user/tls.h"

#define CERT_NAMES_MAX 4

struct cert_names {
	const char *name; /* "link", "sip": of the section and of the descriptors */
	const struct config_tls_files *tls;
	bool ca; /* peers show certificates, too: .ca, and no further ones */
};

struct cert_files {
	uint64_t seen,
		last; /* what the files looked like when they were opened, and at the last look */
};

int cert_files_open(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		    unsigned n, char *why, size_t why_n);
/* Whole or not at all: everything is read and tried first. 0 or a negative errno with @why; the old ones stay then. */
int cert_files_reopen(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		      unsigned n, char *why, size_t why_n);
/* Whether they are others than those that were opened, and have been so for two looks. True once for each change. */
bool cert_files_changed(struct cert_files *c, const struct cert_names *f, unsigned n);

/* For keeper_plan.watch: -EAGAIN: nothing new; 0: reopened; else refused, and logged. And for .reloaded, of what came of it. */
int cert_files_watch(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		     unsigned n);
void cert_files_log(bool good);

/* A whole file of at most 256 KiB, NUL-terminated; NULL with @why. free() it. */
char *cert_files_read(const char *path, size_t *n, char *why, size_t why_n);

/* In the worker: the pairs of "NAME.more" as slices of @text. Returns their number, or -EBADMSG. */
int cert_files_more(const char *text, size_t n, struct tls_pair out[CONFIG_CERTIFICATES_MAX]);

#endif
