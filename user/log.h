/* user/log.h -- one key=value line an event, to stderr or the journal.
 *
 * In: a level, an event name and printf-style "key=value" text. Out: one line, rate-limited a reason. Peer bytes go through
 * log_esc(), which escapes and cuts them. Only mains, sessions and the loader log; libraries return codes. */
#ifndef SALLYPORT_LOG_H
#define SALLYPORT_LOG_H

#include <stddef.h>

#include "user/span.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

/* @name: "sallyport-edge". JOURNAL_STREAM set: with <N> priority prefixes. */
void log_open(const char *name, enum log_level max);
void log_set_level(enum log_level max);

/* e.g. log_event(LOG_L_WARN, "gate-refused", "stream=%llx reason=%s peer=%s", ...) writes
 * `level=warn event=gate-refused stream=1f reason=... peer=...`. At most 20 lines a second an event name; what is left out is
 * counted and told as suppressed=N on the next line of that name. */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* @s in double quotes, bytes outside printable ASCII, quotes and backslashes as \xNN, cut with "..." to fit @n. Returns @buf. */
const char *log_esc(struct span s, char *buf, size_t n);

#endif
