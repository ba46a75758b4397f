/* user/core.h -- the core's worker: wires streams from the link, the SIP engine, media and call servers together.
 *
 * Data flow: link Open -> struct core_stream (frames bytes into SIP messages) -> engine -> actions -> streams, inside, media_core, link.
 * After every input the actions are carried out until none is left, then the engine's timer is set anew.
 * Owner rules: struct core owns every part and frees them in reverse order; a core_stream owns its data connection from Open on. One
 * thread, one loop; the parts never call each other, only through core. */
#ifndef SALLYPORT_CORE_H
#define SALLYPORT_CORE_H

#include "user/config.h"

/* Build everything from the configuration and the keeper's descriptors, enter the sandbox, run until told to stop.
 * Returns the exit status. */
int core_run(const struct config_core *cfg);

#endif
