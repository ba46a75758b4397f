/* user/summary.c -- see summary.h. In: counters of this node; text of the other one. Out: JSON objects that the caller owns. */
#include "user/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/version.h"
#include "user/wall.h"

#define DAY_S	  86400
#define TEXT_MAX  255 /* bytes of a name */
#define KEY_MAX	  48  /* of a reason */
#define COUNT_MAX 64  /* reasons */
#define ROWS_MAX  64  /* links, certificates */
#define NUMBER_MAX \
	9007199254740992LL /* 2^53: what any reader of JSON has whole; counters do not get there */

/* ---- our own -------------------------------------------------------------------------------------------------------------- */

bool summary_walk_due(const struct summary_walk *w, uint64_t now_ms)
{
	return !w->at_ms || (now_ms - w->at_ms) * SUMMARY_WALK_A_SEC >= (uint64_t)w->n * 1000;
}

json_t *summary_new(const char *role, const char *name, uint64_t uptime_ms)
{
	return json_pack("{s:s, s:s, s:s, s:I}", "name", name, "role", role, "version",
			 SALLYPORT_VERSION, "uptime_s", (json_int_t)(uptime_ms / 1000));
}

void summary_set_streams(json_t *o, const struct summary_streams *s)
{
	json_object_set_new(o, "rungs",
			    json_pack("{s:i, s:i, s:i, s:i}", "kernel", (int)s->rungs[TLS_RUNG_A],
				      "kernel_send", (int)s->rungs[TLS_RUNG_B], "user",
				      (int)s->rungs[TLS_RUNG_C], "plain", (int)s->plain));
}

/* The lower middle one of the directions' jitters. */
static double jitter_median_ms(const struct summary_flows *f)
{
	uint32_t below = 0;
	unsigned i;

	for (i = 0; i < SUMMARY_JITTER - 1; i++) {
		below += f->jitter[i];
		if (2 * below >= f->timed)
			break;
	}
	return f->timed ? i / 10.0 : 0;
}

void summary_set_flows(json_t *o, const struct summary_flows *f, bool edge)
{
	json_t *media = json_pack(
		"{s:I, s:I, s:I, s:I, s:f, s:f}", "packets_in", (json_int_t)f->packets_in,
		"packets_out", (json_int_t)f->packets_out, "lost", (json_int_t)f->heard.lost,
		"reordered", (json_int_t)f->heard.reordered, "jitter_ms_p50", jitter_median_ms(f),
		"jitter_ms_max", (double)f->jitter_max_ns / 1e6);

	if (edge) {
		json_object_set_new(media, "bytes_in", json_integer((json_int_t)f->bytes_in));
		json_object_set_new(media, "bytes_out", json_integer((json_int_t)f->bytes_out));
	}
	json_object_set_new(o, "flows",
			    json_pack("{s:i, s:i, s:i, s:i}", "xdp", (int)f->xdp, "tc", (int)f->tc,
				      "user", (int)f->user, "terminated", (int)f->terminated));
	json_object_set_new(o, "media", media);
}

void summary_count(json_t *o, const char *key, uint64_t n, bool zeros)
{
	if (n || zeros)
		json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* Two rows for the same thing: two samples of one name. */
static bool same_row(const json_t *a, const json_t *b)
{
	static const char *const keys[] = {"what", "name", "peer"};
	unsigned i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *p = json_object_get(a, keys[i]), *q = json_object_get(b, keys[i]);

		if (p != q && !json_equal(p, q))
			return false;
	}
	return true;
}

/* Of several with one name (other names behind it, or another kind of key) the first that ends: a row is known by its name. */
static void certificate_put(json_t *list, json_t *row)
{
	json_int_t end = json_integer_value(json_object_get(row, "not_after"));
	json_t *other;
	size_t i;

	json_array_foreach(list, i, other)
	{
		if (!same_row(other, row))
			continue;
		if (json_integer_value(json_object_get(other, "not_after")) > end)
			json_array_set(list, i, row);
		json_decref(row);
		return;
	}
	json_array_append_new(list, row);
}

void summary_certificate(json_t *list, const char *what, const struct tls_ctx *c)
{
	char names[1024];
	uint64_t end, now = wall_now_s();
	long long left;
	unsigned i;

	for (i = 0; c && (end = tls_own_not_after(c, i, names, sizeof(names))); i++) {
		left = (long long)end - (long long)now;
		names[strcspn(names, ",")] = 0;
		names[TEXT_MAX] = 0;
		certificate_put(list,
				json_pack("{s:s, s:s, s:I, s:I}", "what", what, "name", names,
					  "days_left",
					  (json_int_t)(left >= 0 ? left / DAY_S
								 : -((-left + DAY_S - 1) / DAY_S)),
					  "not_after", (json_int_t)end));
	}
}

static int statm = -1;

void summary_process_open(void)
{
	if (statm < 0)
		statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void summary_set_process(json_t *o)
{
	struct timespec cpu = {0};
	char text[128];
	unsigned long total, resident;
	ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);

	if (n > 0) {
		text[n] = 0;
		if (sscanf(text, "%lu %lu", &total, &resident) == 2)
			json_object_set_new(o, "memory_kib",
					    json_integer((json_int_t)resident *
							 (sysconf(_SC_PAGESIZE) / 1024)));
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	json_object_set_new(
		o, "cpu_s",
		json_real((double)cpu.tv_sec + (double)(cpu.tv_nsec / 1000000) / 1000.0));
}

/* ---- of the other node ---------------------------------------------------------------------------------------------------- */

enum kind {
	KIND_COUNT,  /* integer from 0 on */
	KIND_SIGNED, /* integer */
	KIND_REAL,   /* number from 0 on */
	KIND_BOOL,
	KIND_TEXT,   /* printable ASCII, at most TEXT_MAX */
	KIND_OBJECT, /* .sub */
	KIND_ROWS,   /* array of such objects, at most ROWS_MAX */
	KIND_COUNTS, /* reason -> count, at most COUNT_MAX */
};

struct field {
	const char *key;
	enum kind kind;
	const struct field *sub; /* ends with a NULL key */
};

#define END                            \
	{                              \
		NULL, KIND_COUNT, NULL \
	}
#define COUNT(k)                    \
	{                           \
		k, KIND_COUNT, NULL \
	}

static const struct field peak_fields[] = {COUNT("now"), COUNT("peak"), COUNT("total"), END};
static const struct field flow_fields[] = {COUNT("xdp"), COUNT("tc"), COUNT("user"),
					   COUNT("terminated"), END};
static const struct field media_fields[] = {COUNT("packets_in"),
					    COUNT("packets_out"),
					    COUNT("bytes_in"),
					    COUNT("bytes_out"),
					    COUNT("lost"),
					    COUNT("reordered"),
					    {"jitter_ms_p50", KIND_REAL, NULL},
					    {"jitter_ms_max", KIND_REAL, NULL},
					    END};
static const struct field stream_fields[] = {
	COUNT("total"), COUNT("admitted"),   COUNT("sip"), COUNT("https"),
	COUNT("xmpp"),	COUNT("federation"), END};
static const struct field rung_fields[] = {COUNT("kernel"), COUNT("kernel_send"), COUNT("user"),
					   COUNT("plain"), END};
static const struct field ban_fields[] = {COUNT("active"), COUNT("total"), END};
static const struct field certificate_fields[] = {{"what", KIND_TEXT, NULL},
						  {"name", KIND_TEXT, NULL},
						  {"days_left", KIND_SIGNED, NULL},
						  COUNT("not_after"),
						  END};
static const struct field link_fields[] = {{"peer", KIND_TEXT, NULL},
					   {"state", KIND_TEXT, NULL},
					   COUNT("up_s"),
					   COUNT("pool_idle"),
					   END};
static const struct field drain_fields[] = {
	{"on", KIND_BOOL, NULL}, COUNT("since_s"), COUNT("calls_left"), COUNT("streams_left"), END};
static const struct field node_fields[] = {{"name", KIND_TEXT, NULL},
					   {"role", KIND_TEXT, NULL},
					   {"version", KIND_TEXT, NULL},
					   COUNT("uptime_s"),
					   {"registrations", KIND_OBJECT, peak_fields},
					   {"calls", KIND_OBJECT, peak_fields},
					   {"flows", KIND_OBJECT, flow_fields},
					   {"media", KIND_OBJECT, media_fields},
					   {"streams", KIND_OBJECT, stream_fields},
					   {"rungs", KIND_OBJECT, rung_fields},
					   {"refusals", KIND_COUNTS, NULL},
					   {"bans", KIND_OBJECT, ban_fields},
					   {"certificates", KIND_ROWS, certificate_fields},
					   {"links", KIND_ROWS, link_fields},
					   {"drain", KIND_OBJECT, drain_fields},
					   COUNT("memory_kib"),
					   {"cpu_s", KIND_REAL, NULL},
					   END};

void summary_set_drain(json_t *o, json_t *shown)
{
	json_t *d = json_pack("{s:b}", "on", shown != NULL);
	unsigned i;

	for (i = 1; shown && drain_fields[i].key; i++)
		json_object_set(d, drain_fields[i].key,
				json_object_get(shown, drain_fields[i].key));
	json_object_set_new(o, "drain", d);
	json_decref(shown);
}

struct taking {
	char *why;
};

static json_t *refuse(struct taking *t, const char *key, const char *wanted)
{
	snprintf(t->why, SUMMARY_WHY_MAX, "%.48s: wanted %s", key, wanted);
	return NULL;
}

static bool plain_text(const char *s, size_t n, size_t max)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return n <= max;
}

static bool count_ok(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0 &&
	       json_integer_value(v) <= NUMBER_MAX;
}

static json_t *take_counts(struct taking *t, const char *key, const json_t *in)
{
	json_t *out = json_object(), *v;
	const char *reason;

	if (json_object_size(in) > COUNT_MAX) {
		json_decref(out);
		return refuse(t, key, "at most 64 reasons");
	}
	json_object_foreach((json_t *)in, reason, v)
	{
		if (!count_ok(v) || !*reason || !plain_text(reason, strlen(reason), KEY_MAX)) {
			json_decref(out);
			return refuse(t, key, "reasons of 1 to 48 plain characters, with counts");
		}
		json_object_set(out, reason, v);
	}
	return out;
}

static json_t *take_object(struct taking *t, const char *key, const json_t *in,
			   const struct field *fields);

static bool row_is_known(const json_t *rows, const json_t *row)
{
	const json_t *other;
	size_t i;

	json_array_foreach(rows, i, other) if (same_row(other, row)) return true;
	return false;
}

static json_t *take_rows(struct taking *t, const char *key, const json_t *in,
			 const struct field *fields)
{
	json_t *out = json_array(), *row, *taken;
	size_t i;

	if (json_array_size(in) > ROWS_MAX) {
		json_decref(out);
		return refuse(t, key, "at most 64 rows");
	}
	json_array_foreach(in, i, row)
	{
		taken = take_object(t, key, row, fields);
		if (!taken || row_is_known(out, taken)) {
			json_decref(out);
			out = taken;
			json_decref(taken);
			return out ? refuse(t, key, "no row twice") : NULL;
		}
		json_array_append_new(out, taken);
	}
	return out;
}

static json_t *take_value(struct taking *t, const struct field *f, const json_t *v)
{
	switch (f->kind) {
	case KIND_COUNT:
		return count_ok(v) ? json_incref((json_t *)v) : refuse(t, f->key, "a count");
	case KIND_SIGNED:
		return json_is_integer(v) && json_integer_value(v) >= -NUMBER_MAX &&
				       json_integer_value(v) <= NUMBER_MAX
			       ? json_incref((json_t *)v)
			       : refuse(t, f->key, "an integer");
	case KIND_REAL:
		return json_is_number(v) && isfinite(json_number_value(v)) &&
				       json_number_value(v) >= 0 &&
				       json_number_value(v) <= (double)NUMBER_MAX
			       ? json_incref((json_t *)v)
			       : refuse(t, f->key, "a number");
	case KIND_BOOL:
		return json_is_boolean(v) ? json_incref((json_t *)v)
					  : refuse(t, f->key, "true or false");
	case KIND_TEXT:
		return json_is_string(v) && plain_text(json_string_value(v), json_string_length(v),
						       TEXT_MAX)
			       ? json_incref((json_t *)v)
			       : refuse(t, f->key, "plain text of at most 255 characters");
	case KIND_OBJECT:
		return take_object(t, f->key, v, f->sub);
	case KIND_ROWS:
		return json_is_array(v) ? take_rows(t, f->key, v, f->sub)
					: refuse(t, f->key, "an array");
	case KIND_COUNTS:
		return json_is_object(v) ? take_counts(t, f->key, v)
					 : refuse(t, f->key, "an object");
	}
	return NULL;
}

static json_t *take_object(struct taking *t, const char *key, const json_t *in,
			   const struct field *fields)
{
	json_t *out, *v;

	if (!json_is_object(in))
		return refuse(t, key, "an object");
	out = json_object();
	for (; fields->key; fields++) {
		v = json_object_get(in, fields->key);
		if (!v)
			continue;
		v = take_value(t, fields, v);
		if (!v) {
			json_decref(out);
			return NULL;
		}
		json_object_set_new(out, fields->key, v);
	}
	return out;
}

/* How deep objects and arrays are in one another, before a parser that calls itself sees them. */
static unsigned depth_of(struct span text)
{
	unsigned depth = 0, deepest = 0;
	bool quoted = false;
	size_t i;

	for (i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			deepest = ++depth > deepest ? depth : deepest;
		else if (!quoted && (c == '}' || c == ']') && depth)
			depth--;
	}
	return deepest;
}

static bool says(const json_t *o, const char *key, const char *text)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && !strcmp(s, text);
}

int summary_take(struct span text, const char *role, const char *name, json_t **out,
		 char why[SUMMARY_WHY_MAX])
{
	struct taking t = {why};
	json_error_t e;
	json_t *in, *taken;

	if (text.n > SUMMARY_MAX) {
		snprintf(why, SUMMARY_WHY_MAX, "wanted at most %u bytes, got %zu", SUMMARY_MAX,
			 text.n);
		return -E2BIG;
	}
	if (depth_of(text) > SUMMARY_DEPTH) {
		snprintf(why, SUMMARY_WHY_MAX, "wanted at most %u levels", SUMMARY_DEPTH);
		return -E2BIG;
	}
	in = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &e);
	if (!in) {
		snprintf(why, SUMMARY_WHY_MAX, "not JSON at byte %d", e.position);
		return -EBADMSG;
	}
	taken = take_object(&t, "report", in, node_fields);
	json_decref(in);
	if (taken && (!says(taken, "name", name) || !says(taken, "role", role))) {
		json_decref(taken);
		taken = refuse(&t, "name, role", "those of the node that sends it");
	}
	if (!taken)
		return -EBADMSG;
	*out = taken;
	return 0;
}
