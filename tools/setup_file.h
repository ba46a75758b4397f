/* tools/setup_file.h -- the configuration files that `init edge` and `join` write, and the one place where one is changed later.
 *
 * Data flow: what was asked for and found out -> a whole file with comments, checked by the daemons' own loader (user/config.h) before
 * anybody writes it. setup_add_core() adds lines to a text that a person may have edited: everything else in it stays byte by byte.
 * Owner rules: texts are malloc'd and the caller's. */
#ifndef SALLYPORT_SETUP_FILE_H
#define SALLYPORT_SETUP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/host_choice.h"
#include "user/config.h"

struct setup_edge {
	const char *dir; /* absolute; holds pki/NAME.crt and so on */
	const char *name, *host, *user;
	const struct host_choice *at;
	const char *cert, *key; /* for clients */
	const char *core;
	const char *const *domains;
	unsigned n_domains;
};

struct setup_core {
	const char *dir, *name, *user;
	const char *edge, *edge_address; /* with a port */
	const char *link;		 /* our UDP socket towards edges */
	const char *inside;
	const char *call_server, *transport, *mode;
	const char *note; /* about .call_server; "" */
	const char *const *domains;
	unsigned n_domains;
};

/* NULL with @why. */
char *setup_edge_text(const struct setup_edge *e, char why[CONFIG_WHY_MAX]);
char *setup_core_text(const struct setup_core *c, char why[CONFIG_WHY_MAX]);

/* @text of an edge, its core @core with @domains added to link.cores. NULL with @why: the list is not written as lines of its own. */
char *setup_add_core(const char *path, const char *text, const char *core,
		     const char *const *domains, unsigned n, char why[CONFIG_WHY_MAX]);

/* A DNS name; an absolute path that a quoted text may hold: what may stand in these files. */
bool setup_is_name(const char *s);
bool setup_is_path(const char *s);
/* "90", "90s", "30m", "2h", "1d": seconds, 1 to 7 days; 0: not that. */
uint64_t setup_seconds(const char *s);

/* A file of at most 256 KiB; NULL with @why. */
char *setup_read(const char *path, char why[CONFIG_WHY_MAX]);

#endif
