/* user/trace.c -- the ring. See trace.h.
 *
 * In: what happens. Out: records in shared memory. State: the mapping, one a process. A record's .what is cleared first and written last, so
 * that one that a dying worker has left half written is not shown. */
#include "user/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/trace_sip.h"
#include "user/wall.h"

#define TRACE_MAGIC 0x31656361727470ull
#define TRACE_HEAD  4096

enum { TRACE_QUIET, TRACE_BUSY, TRACE_RINGS };

struct trace_file {
	uint64_t magic;
	uint32_t records, seq; /* of each ring; of the last record */
	uint64_t written[TRACE_RINGS];
};

_Static_assert(sizeof(struct trace_record) == 128, "trace.h says so");

static struct {
	struct trace_file *file; /* NULL: closed */
	struct trace_record *ring[TRACE_RINGS];
	size_t bytes;
} trace_state;

const char *trace_what_name(enum trace_what w)
{
	static const char *const names[TRACE_WHATS] = {"none",
						       "stream-open",
						       "stream-taken",
						       "stream-admitted",
						       "stream-revoked",
						       "stream-rung",
						       "stream-refused",
						       "stream-closed",
						       "sip",
						       "registered",
						       "unregistered",
						       "refused",
						       "call-started",
						       "call-answered",
						       "call-ended",
						       "medium-open",
						       "medium-failed",
						       "medium-closed",
						       "flow-allocated",
						       "flow-punched",
						       "flow-latched",
						       "flow-counts",
						       "flow-freed",
						       "http",
						       "chat"};

	return w < TRACE_WHATS ? names[w] : "unknown";
}

size_t trace_bytes(unsigned records)
{
	return TRACE_HEAD + (size_t)records * sizeof(struct trace_record);
}

int trace_open(int fd, unsigned records)
{
	size_t n = trace_bytes(records);
	struct trace_file *f;
	struct stat st;

	if (records < TRACE_RECORDS_MIN || records > TRACE_RECORDS_MAX)
		return -EINVAL;
	if (fd >= 0 && (fstat(fd, &st) || st.st_size != (off_t)n))
		fd = -1; /* of another number than this worker's configuration says */
	f = mmap(NULL, n, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED,
		 fd, 0);
	if (f == MAP_FAILED)
		return -errno;
	trace_close();
	if (f->magic != TRACE_MAGIC || f->records != records / TRACE_RINGS) {
		memset(f, 0, n);
		f->records = records / TRACE_RINGS;
		f->magic = TRACE_MAGIC;
	}
	trace_state.file = f;
	trace_state.bytes = n;
	trace_state.ring[TRACE_QUIET] = (struct trace_record *)((char *)f + TRACE_HEAD);
	trace_state.ring[TRACE_BUSY] = trace_state.ring[TRACE_QUIET] + f->records;
	return 0;
}

void trace_close(void)
{
	if (trace_state.file)
		munmap(trace_state.file, trace_state.bytes);
	trace_state.file = NULL;
}

/* ---- records ---- */

static struct trace_record *record_begin(unsigned ring)
{
	struct trace_file *f = trace_state.file;
	struct trace_record *r = &trace_state.ring[ring][f->written[ring] % f->records];

	r->what = TRACE_NONE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->at_ms = wall_now_ms();
	r->seq = ++f->seq;
	return r;
}

static void record_end(struct trace_record *r, unsigned ring, enum trace_what what)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->what = (uint8_t)what;
	trace_state.file->written[ring]++;
}

static void plain(char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			*s = '?';
}

void trace_put(enum trace_what what, const struct trace_ids *ids, unsigned code, const char *fmt,
	       ...)
{
	unsigned ring =
		what == TRACE_FLOW_COUNTS || what == TRACE_HTTP || what == TRACE_STREAM_REFUSED
			? TRACE_BUSY
			: TRACE_QUIET;
	struct trace_record *r;
	va_list ap;

	if (!trace_state.file)
		return;
	r = record_begin(ring);
	r->user = ids->user;
	r->stream = ids->stream;
	r->call = ids->call;
	r->flow = ids->flow;
	r->dialog = ids->dialog;
	r->code = (uint16_t)code;
	r->way = TRACE_NO_WAY;
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	plain(r->text);
	record_end(r, ring, what);
}

static size_t text_add(char *text, size_t at, const void *p, size_t n)
{
	if (n > TRACE_TEXT_MAX - 1 - at)
		n = TRACE_TEXT_MAX - 1 - at;
	memcpy(text + at, p, n);
	return at + n;
}

static bool is_busy(struct span method)
{
	return span_eq(method, SPAN("REGISTER")) || span_eq(method, SPAN("OPTIONS"));
}

/* "METHOD NUMBER [SERVER]". Whose it is: the user's who is outside. He is in From of what comes from there, and of the answers to it. */
void trace_sip(enum trace_way way, uint64_t stream, const char *server, struct span msg)
{
	struct trace_record *r;
	struct trace_sip m;
	unsigned ring;
	bool outside;
	size_t at;

	if (!trace_state.file || !trace_sip_scan(msg, &m))
		return;
	outside = m.request == (way == TRACE_FROM_CLIENT || way == TRACE_TO_INSIDE);
	ring = is_busy(m.method) ? TRACE_BUSY : TRACE_QUIET;
	r = record_begin(ring);
	r->user = trace_user(outside ? m.from : m.to);
	r->stream = stream;
	r->call = r->flow = 0;
	r->dialog = trace_hash(m.call_id);
	r->code = (uint16_t)m.code;
	r->way = (uint8_t)way;
	at = text_add(r->text, 0, m.method.p, m.method.n < 20 ? m.method.n : 20);
	at = text_add(r->text, at, " ", 1);
	at = text_add(r->text, at, m.number.p, m.number.n < 10 ? m.number.n : 10);
	at = text_add(r->text, at, " ", 1);
	if (server)
		at = text_add(r->text, at, server, strlen(server));
	r->text[at] = 0;
	plain(r->text);
	record_end(r, ring, TRACE_SIP);
}

/* ---- hashes ---- */

static uint64_t fnv(uint64_t h, uint8_t c)
{
	return (h ^ c) * 1099511628211ull;
}

static uint64_t fnv_end(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ull;
	h ^= h >> 29;
	return h ? h : 1;
}

uint64_t trace_hash(struct span s)
{
	uint64_t h = 14695981039346656037ull;
	size_t i;

	for (i = 0; i < s.n; i++)
		h = fnv(h, s.p[i]);
	return fnv_end(h);
}

static int hex_of(uint8_t c)
{
	c = span_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint64_t user_hash(struct span user)
{
	uint64_t h = 14695981039346656037ull;
	size_t i;

	for (i = 0; i < user.n; i++) {
		uint8_t c = user.p[i];

		if (c == '%' && i + 2 < user.n && hex_of(user.p[i + 1]) >= 0 &&
		    hex_of(user.p[i + 2]) >= 0) {
			c = (uint8_t)(hex_of(user.p[i + 1]) << 4 | hex_of(user.p[i + 2]));
			i += 2;
		}
		h = fnv(h, c);
	}
	return h;
}

uint64_t trace_user(struct span aor)
{
	const uint8_t *at;
	size_t i, n;
	uint64_t h;

	if (aor.n > 4 && span_ieq(span_cut(aor, 0, 4), SPAN("sip:")))
		aor = span_cut(aor, 4, aor.n);
	else if (aor.n > 5 && span_ieq(span_cut(aor, 0, 5), SPAN("sips:")))
		aor = span_cut(aor, 5, aor.n);
	at = aor.n ? memrchr(aor.p, '@', aor.n) : NULL;
	n = at ? (size_t)(at - aor.p) : 0;
	if (!n)
		return 0;
	h = fnv(user_hash(span_of(aor.p, n)), '@');
	for (i = n + 1; i < aor.n; i++)
		h = fnv(h, span_lower(aor.p[i]));
	return fnv_end(h);
}

/* ---- reading ---- */

static uint64_t oldest(const struct trace_file *f, unsigned ring)
{
	return f->written[ring] > f->records ? f->written[ring] - f->records : 0;
}

static const struct trace_record *record_at(const struct trace_file *f, unsigned ring, uint64_t i)
{
	return i < f->written[ring] ? &trace_state.ring[ring][i % f->records] : NULL;
}

struct trace_stats trace_stats(void)
{
	const struct trace_file *f = trace_state.file;
	struct trace_stats s = {.written = 0};
	uint64_t
		first = 0,
		lost = 0; /* oldest record of all; the newest one that has lost something behind it */
	const struct trace_record *r;
	unsigned i;

	for (i = 0; f && i < TRACE_RINGS; i++) {
		r = record_at(f, i, oldest(f, i));
		s.records += f->records;
		s.written += f->written[i];
		s.overwritten += oldest(f, i);
		if (r && (!first || r->at_ms < first))
			first = r->at_ms;
		if (r && oldest(f, i) && r->at_ms > lost)
			lost = r->at_ms;
	}
	s.reaches_ms = lost ? lost : first;
	return s;
}

void trace_each(void (*fn)(void *arg, const struct trace_record *r), void *arg)
{
	const struct trace_file *f = trace_state.file;
	const struct trace_record *a, *b;
	uint64_t i, k;

	if (!f)
		return;
	i = oldest(f, TRACE_QUIET);
	k = oldest(f, TRACE_BUSY);
	while ((a = record_at(f, TRACE_QUIET, i)), (b = record_at(f, TRACE_BUSY, k)), a || b) {
		bool first = a && (!b || (int32_t)(a->seq - b->seq) < 0);

		*(first ? &i : &k) += 1;
		if (!first)
			a = b;
		if (a->what > TRACE_NONE && a->what < TRACE_WHATS)
			fn(arg, a);
	}
}
