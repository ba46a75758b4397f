/* user/edge.h -- the edge's two processes: the keeper opens, the worker puts the modules together and runs the loop.
 *
 * In: the keeper's descriptors (config, link.cert, link.key, link.ca, sip.cert, sip.key and the same of https and xmpp,
 * NAME.more, listen.link.N, listen.sip.N, listen.https.N, listen.xmpp.N, listen.xmpps.N, map.*, punch.N, admin).
 * Out: the process's exit status. Owns every module for as long as it runs. */
#ifndef SALLYPORT_EDGE_H
#define SALLYPORT_EDGE_H

#include "user/config.h"

/* The worker. @cfg stays the caller's. */
int edge_run(const struct config_edge *cfg);

/* The keeper; takes @cfg. Returns the exit status. */
int edge_keeper(const char *path, struct config_edge *cfg);
/* The configuration in the file @path, or NULL with @why. */
struct config_edge *edge_file_read(const char *path, char why[CONFIG_WHY_MAX]);

#endif
