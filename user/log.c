/* user/log.c -- one key=value line an event, written with one write(2). See log.h.
 *
 * In: event name and text. Out: a line on stderr. The only state is a small table of event names with the lines they wrote
 * in the current second; when it is full, new names share its last entry, so the bound holds for everything. One thread. */
#include "user/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX  2048
#define LOG_PER_SEC   20
#define LOG_NAMES_MAX 128

struct log_rate {
	char name[48];
	time_t second;
	unsigned written, suppressed;
};

static struct {
	char name[32];
	enum log_level max;
	bool journal;
	struct log_rate rates[LOG_NAMES_MAX];
	unsigned n_rates;
} log_state = {.max = LOG_L_INFO};

static const struct {
	const char *text;
	int priority; /* syslog's, for the journal's <N> prefix */
} levels[] = {
	[LOG_L_ERROR] = {"error", 3},
	[LOG_L_WARN] = {"warn", 4},
	[LOG_L_INFO] = {"info", 6},
	[LOG_L_DEBUG] = {"debug", 7},
};

void log_open(const char *name, enum log_level max)
{
	snprintf(log_state.name, sizeof(log_state.name), "%s", name);
	log_state.max = max;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level max)
{
	log_state.max = max;
}

static struct log_rate *rate_of(const char *event)
{
	unsigned i;

	for (i = 0; i < log_state.n_rates; i++)
		if (strncmp(log_state.rates[i].name, event, sizeof(log_state.rates[i].name) - 1) ==
		    0)
			return &log_state.rates[i];
	if (log_state.n_rates == LOG_NAMES_MAX)
		return &log_state.rates[LOG_NAMES_MAX - 1];
	i = log_state.n_rates++;
	snprintf(log_state.rates[i].name, sizeof(log_state.rates[i].name), "%s", event);
	return &log_state.rates[i];
}

/* May one more line of @event be written now? *out_left: how many were left out since its last one. */
static bool rate_take(const char *event, unsigned *out_left)
{
	struct log_rate *r = rate_of(event);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (r->second != now.tv_sec) {
		r->second = now.tv_sec;
		r->written = 0;
	}
	if (r->written == LOG_PER_SEC) {
		r->suppressed++;
		return false;
	}
	r->written++;
	*out_left = r->suppressed;
	r->suppressed = 0;
	return true;
}

/* Append to @buf at *at, never past @max - 1. */
static void __attribute__((format(printf, 4, 0)))
put(char *buf, size_t *at, size_t max, const char *fmt, va_list ap)
{
	int n = vsnprintf(buf + *at, max - *at, fmt, ap);

	if (n > 0)
		*at += (size_t)n < max - *at ? (size_t)n : max - *at - 1;
}

static void __attribute__((format(printf, 4, 5)))
putf(char *buf, size_t *at, size_t max, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(buf, at, max, fmt, ap);
	va_end(ap);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	unsigned left = 0;
	size_t at = 0, i, text;
	va_list ap;

	if (level > log_state.max || !rate_take(event, &left))
		return;
	if (log_state.journal)
		putf(line, &at, sizeof(line), "<%d>", levels[level].priority);
	else if (log_state.name[0])
		putf(line, &at, sizeof(line), "%s: ", log_state.name);
	putf(line, &at, sizeof(line), "level=%s event=%s ", levels[level].text, event);
	if (left)
		putf(line, &at, sizeof(line), "suppressed=%u ", left);
	text = at;
	va_start(ap, fmt);
	put(line, &at, sizeof(line), fmt, ap);
	va_end(ap);
	/* A line is a line: a forgotten log_esc() must not let a peer forge the next one. */
	for (i = text; i < at; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	while (at && line[at - 1] == ' ')
		at--;
	line[at++] = '\n';
	/* stderr may be a closed pipe or a full disk: there is nobody left to tell. */
	if (write(STDERR_FILENO, line, at) < 0)
		return;
}

static bool esc_plain(uint8_t c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Does all of @s fit into @n bytes with its quotes and NUL? Looks at no more than @n bytes. */
static bool esc_fits(struct span s, size_t n)
{
	size_t need = 3, i;

	for (i = 0; i < s.n && need <= n; i++)
		need += esc_plain(s.p[i]) ? 1 : 4;
	return need <= n;
}

const char *log_esc(struct span s, char *buf, size_t n)
{
	static const char tail[] = "...\"";
	bool whole = esc_fits(s, n);
	size_t at = 0, i;

	if (n < sizeof(tail) + 1) {
		if (n)
			buf[0] = 0;
		return buf;
	}
	buf[at++] = '"';
	for (i = 0; i < s.n; i++) {
		size_t need = esc_plain(s.p[i]) ? 1 : 4;

		if (!whole && at + need + sizeof(tail) > n)
			break;
		if (need == 1)
			buf[at++] = (char)s.p[i];
		else
			at += (size_t)snprintf(buf + at, n - at, "\\x%02x", s.p[i]);
	}
	memcpy(buf + at, whole ? tail + 3 : tail, whole ? 2 : sizeof(tail));
	return buf;
}
