/* user/cdr.c -- see cdr.h. */
#include "user/cdr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/log.h"
#include "user/wall.h"

struct lines { /* bytes of whole lines; of the one being written, what is still to be written */
	char *p;
	size_t n, cap;
};

struct cdr {
	struct loop *loop;
	int fd;
	struct lines next, now;
	size_t done; /* of .now */
	struct loop_handle write;
	struct loop_timer retry;
	bool writing;
	uint64_t lines, lost, errors;
	int last_error;
};

static void write_begin(struct cdr *c);

static void failed(struct cdr *c, int err)
{
	if (!c->last_error)
		log_event(LOG_L_ERROR, "cdr", "error=\"%s\" waiting_bytes=%zu", strerror(err),
			  c->now.n - c->done + c->next.n);
	c->errors++;
	c->last_error = err;
	loop_timer_set(c->loop, &c->retry, CDR_RETRY_MS);
}

static void wrote(void *arg, int res)
{
	struct cdr *c = arg;

	c->writing = false;
	c->write = (struct loop_handle){};
	if (res > 0)
		c->done += (size_t)res;
	if (res <= 0) {
		failed(c, res ? -res : EIO);
		return;
	}
	if (c->done == c->now.n)
		c->last_error = 0;
	write_begin(c);
}

static void write_begin(struct cdr *c)
{
	struct lines l = c->now;

	if (c->writing)
		return;
	if (c->done == c->now.n) {
		c->now = c->next;
		l.n = 0;
		c->next = l;
		c->done = 0;
	}
	if (c->done == c->now.n)
		return;
	if (loop_write(c->loop, c->fd, span_of(c->now.p + c->done, c->now.n - c->done), wrote, c,
		       &c->write))
		failed(c, ENOBUFS);
	else
		c->writing = true;
}

static void retry(void *arg)
{
	write_begin(arg);
}

int cdr_new(struct loop *l, int fd, struct cdr **out)
{
	struct cdr *c;

	*out = NULL;
	if (fd < 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->loop = l;
	c->fd = fd;
	c->retry = (struct loop_timer){.fn = retry, .arg = c};
	*out = c;
	return 0;
}

/* The process ends: it may wait now. */
static void rest(struct cdr *c, const char *p, size_t n)
{
	ssize_t got = 1;

	while (n && got > 0) {
		got = write(c->fd, p, n);
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
	if (n)
		log_event(LOG_L_ERROR, "cdr", "error=\"%s\" lost_bytes=%zu", strerror(errno), n);
}

void cdr_free(struct cdr *c)
{
	if (!c)
		return;
	while (c->writing) { /* wrote() begins the next one, if there is one, or the rest of a short one */
		if (!loop_write_wait(c->loop, &c->write, CDR_STOP_MS))
			continue;
		log_event(LOG_L_ERROR, "cdr", "error=\"the disk does not answer\" lost_bytes=%zu",
			  c->now.n - c->done + c->next.n);
		return; /* the kernel reads from it still */
	}
	rest(c, c->now.p + c->done, c->now.n - c->done);
	rest(c, c->next.p, c->next.n);
	loop_timer_cancel(c->loop, &c->retry);
	free(c->now.p);
	free(c->next.p);
	free(c);
}

static bool lines_add(struct lines *l, const char *text, size_t n)
{
	size_t cap = l->cap ? l->cap : 8192;
	char *p;

	while (cap < l->n + n)
		cap *= 2;
	if (cap != l->cap) {
		p = realloc(l->p, cap);
		if (!p)
			return false;
		l->p = p;
		l->cap = cap;
	}
	memcpy(l->p + l->n, text, n);
	l->n += n;
	return true;
}

void cdr_put(struct cdr *c, json_t *row)
{
	char *text = c && row ? json_dumps(row, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(row);
	if (!c)
		return;
	if (text)
		text[n++] = '\n'; /* in place of its NUL */
	if (!text || c->next.n + n > CDR_QUEUE || !lines_add(&c->next, text, n))
		c->lost++;
	else
		c->lines++;
	free(text);
	if (!c->writing && !c->last_error)
		write_begin(c);
}

json_t *cdr_show(const struct cdr *c)
{
	if (!c)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:s}", "lines", (json_int_t)c->lines, "lost",
			 (json_int_t)c->lost, "errors", (json_int_t)c->errors, "waiting_bytes",
			 (json_int_t)(c->now.n - c->done + c->next.n), "last_error",
			 c->last_error ? strerror(c->last_error) : "");
}

const char *cdr_time(uint64_t ms, char out[CDR_TIME_MAX])
{
	char date[WALL_DATE_MAX];
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned d, y, m;
	char month[4], time[9];

	/* "Wed, 21 Oct 2015 07:28:00 GMT" */
	if (sscanf(wall_date(ms / 1000, date), "%*4s %2u %3s %4u %8s", &d, month, &y, time) != 4)
		return strcpy(out, "");
	m = (unsigned)(strstr(months, month) - months) / 3 + 1;
	snprintf(out, CDR_TIME_MAX, "%04u-%02u-%02uT%sZ", y % 10000, m % 100, d % 100, time);
	snprintf(out + strlen(out) - 1, 8, ".%03uZ", (unsigned)(ms % 1000));
	return out;
}
