/* tools/ctl_setup.h -- `sallyctl init edge`, `invite` and `join`: two bare hosts become a pair.
 *
 * Data flow: init edge: addresses, names -> the private CA, the edge's certificate, edge.yaml, a token, and the wait for its core. join: token
 * -> the edge -> the core's certificate, token.key, core.yaml. invite: another core, or the same one again; or the wait alone.
 * Each is a command of tools/ctl.h; everything is written whole or not at all (tools/stage.h). Root only, for files that are root's. */
#ifndef SALLYPORT_CTL_SETUP_H
#define SALLYPORT_CTL_SETUP_H

#include "tools/ctl.h"

#define SETUP_DIR "/etc/sallyport"

ctl_fn ctl_init;
ctl_fn ctl_invite;
ctl_fn ctl_join;

#endif
