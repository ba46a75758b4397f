/* user/rung.h -- how the media of an address pair is moved, and why not better: said by the keeper, shown by the worker.
 *
 * In: what the keeper found out. Out: an array in a memfd ("rungs"), one a pair, read by the worker of the same binary. */
#ifndef SALLYPORT_RUNG_H
#define SALLYPORT_RUNG_H

#define RUNG_WHY_MAX   400
#define RUNG_PAIRS_MAX 8

enum rung { RUNG_AUTO, RUNG_XDP, RUNG_TC, RUNG_USER }; /* media.rung: auto|xdp|tc|user */

struct media_rung {
	enum rung rung;		/* never RUNG_AUTO */
	char why[RUNG_WHY_MAX]; /* what is against a better one; XDP: "" */
};

#endif
