/* user/rung.h -- how the media of an address pair is moved, and why not better: said by the loader, shown by the worker.
 *
 * In: what the keeper's loader found out. Out: an array in a memfd ("rungs"), one a pair, read by the worker of the same binary. */
#ifndef SALLYPORT_RUNG_H
#define SALLYPORT_RUNG_H

#include <stdbool.h>

#define RUNG_WHY_MAX   200
#define RUNG_PAIRS_MAX 8

enum rung_wish { RUNG_AUTO, RUNG_XDP, RUNG_TC }; /* media.rung: auto|xdp|tc */

struct media_rung {
	bool tc;		/* else XDP native */
	char why[RUNG_WHY_MAX]; /* tc: what is against XDP */
};

#endif
