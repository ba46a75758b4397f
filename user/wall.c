/* user/wall.c -- see wall.h. In: the system's clock, or seconds. Out: seconds, or a date in text. No state. */
#include "user/wall.h"

#include <stdio.h>
#include <time.h>

#define WALL_LAST 253402300799ULL /* 9999-12-31 23:59:59: the form has four digits for a year */

uint64_t wall_now_s(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_REALTIME, &ts); /* fails for no clock that exists */
	return ts.tv_sec > 0 ? (uint64_t)ts.tv_sec : 0;
}

uint64_t wall_now_ms(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec > 0 ? (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 : 0;
}

/* gmtime() would ask for the time zone's file, which the sandbox forbids. Days to a date of the Gregorian calendar: years
 * begin in March, so that the leap day is a year's last; 400 years have 146,097 days. */
const char *wall_date(uint64_t s, char out[WALL_DATE_MAX])
{
	static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	unsigned day, era, doe, yoe, doy, mp, d, m, y, left;

	if (s > WALL_LAST)
		s = WALL_LAST;
	day = (unsigned)(s / 86400);
	left = (unsigned)(s % 86400);
	era = (day + 719468) / 146097; /* days from 0000-03-01 to 1970-01-01 */
	doe = (day + 719468) % 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153; /* 0: March */
	d = doy - (153 * mp + 2) / 5 + 1;
	m = mp < 10 ? mp + 3 : mp - 9;
	y = yoe + era * 400 + (m <= 2);
	snprintf(out, WALL_DATE_MAX, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[day % 7], d % 100,
		 months[m - 1], y % 10000, left / 3600, left / 60 % 60, left % 60);
	return out;
}
