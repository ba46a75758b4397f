/* user/wall.h -- the time of day, for what needs it: how long a session token or a certificate is good, when a page was made or something
 * was, for people to read; and how far the clocks of edge and core are apart, which is shown (sallyctl doctor) and decides nothing.
 *
 * A token is signed on one machine and judged on others, and outlives both processes: its times are UTC. All else in the daemons
 * goes by the loop's monotonic clock, and selftests/unit/no-wall-clock lets only wall.c ask for this one. A clock that steps can
 * end a session early, or let one live longer by as much; it ends no stream, call or binding. Records of what has happened (user/trace.h,
 * user/cdr.h) bear it, and nothing is decided by them. No state. */
#ifndef SALLYPORT_WALL_H
#define SALLYPORT_WALL_H

#include <stdint.h>

uint64_t wall_now_s(void);  /* seconds since 1970, UTC */
uint64_t wall_now_ms(void); /* the same in milliseconds */

/* "Wed, 21 Oct 2015 07:28:00 GMT" (RFC 9110 5.6.7: IMF-fixdate), also for 9999 and beyond its end. Returns @out. */
#define WALL_DATE_MAX 32
const char *wall_date(uint64_t s, char out[WALL_DATE_MAX]);

#endif
