/* user/metrics.c -- see metrics.h. In: JSON. Out: text. */
#include "user/metrics.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX  4   /* arrays in one another on a path */
#define STARS_MAX 4   /* members */
#define VALUE_MAX 128 /* bytes of a label's value; what is longer is cut */

struct text {
	char *p;
	size_t n, cap;
	bool failed;
};

struct writing {
	struct text out;
	bool open; /* OpenMetrics */
	const struct metric *family, *m;
	bool headed; /* the family's TYPE and HELP are written */
	const char *node;
	const json_t *rows[ROWS_MAX + 1]; /* outermost first: the root */
	unsigned n_rows;
	const char *stars[STARS_MAX];
	unsigned n_stars;
};

/* ---- text ----------------------------------------------------------------------------------------------------------------- */

static void put_bytes(struct text *t, const char *s, size_t n)
{
	size_t cap = t->cap ? t->cap : 16384;
	char *p;

	while (cap < t->n + n + 1)
		cap *= 2;
	if (cap > t->cap && !t->failed) {
		p = cap > METRICS_MAX ? NULL : realloc(t->p, cap);
		t->failed = !p;
		t->p = p ? p : t->p;
		t->cap = p ? cap : t->cap;
	}
	if (t->failed)
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = 0;
}

static void put(struct text *t, const char *s)
{
	put_bytes(t, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void putf(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	put(t, line);
}

/* \, line feed and, in a label's value, " are written with a backslash. A cut does not split a character. */
static void put_escaped(struct text *t, const char *s, size_t max, bool quotes)
{
	size_t n = strlen(s), i;

	if (n > max)
		for (n = max; n && ((unsigned char)s[n] & 0xc0) == 0x80;)
			n--;
	for (i = 0; i < n; i++) {
		if (s[i] == '\\' || (s[i] == '"' && quotes))
			put_bytes(t, "\\", 1);
		if (s[i] == '\n')
			put_bytes(t, "\\n", 2);
		else
			put_bytes(t, s + i, 1);
	}
}

/* ---- a sample ------------------------------------------------------------------------------------------------------------- */

static const char *suffix(const struct metric *m)
{
	return m->type == METRIC_COUNTER ? "_total" : m->type == METRIC_INFO ? "_info" : "";
}

/* 0.0.4 knows neither families apart from their samples nor infos. */
static void put_head(struct writing *w)
{
	const struct metric *f = w->family;
	const char *own = w->open ? "" : suffix(f);
	static const char *const types[] = {"gauge", "counter", "info"};

	if (w->headed)
		return;
	w->headed = true;
	putf(&w->out, "# TYPE %s%s %s\n", f->name, own,
	     w->open || f->type != METRIC_INFO ? types[f->type] : "gauge");
	if (w->open && *f->unit)
		putf(&w->out, "# UNIT %s %s\n", f->name, f->unit);
	putf(&w->out, "# HELP %s%s ", f->name, own);
	put_escaped(&w->out, f->help, SIZE_MAX, w->open);
	put(&w->out, "\n");
}

/* The text @key of the innermost row that has it. */
static const char *row_text(const struct writing *w, const char *key, size_t n)
{
	char name[32];
	const char *s;
	unsigned i;

	snprintf(name, sizeof(name), "%.*s", (int)n, key);
	for (i = w->n_rows; i-- > 0;) {
		s = json_string_value(json_object_get(w->rows[i], name));
		if (s)
			return s;
	}
	return "";
}

static void put_label(struct writing *w, const char *name, size_t name_n, const char *value)
{
	put(&w->out, ",");
	put_bytes(&w->out, name, name_n);
	put(&w->out, "=\"");
	put_escaped(&w->out, value, VALUE_MAX, true);
	put(&w->out, "\"");
}

static void put_labels(struct writing *w)
{
	const char *p = w->m->labels;
	unsigned star = 0;
	char fixed[32];

	put(&w->out, "{node=\"");
	put_escaped(&w->out, w->node, VALUE_MAX, true);
	put(&w->out, "\"");
	while (*p) {
		size_t name = strcspn(p, "=:"), n = strcspn(p + name + 1, ",");
		const char *value = p + name + 1;

		snprintf(fixed, sizeof(fixed), "%.*s", (int)n, value);
		if (p[name] == ':')
			put_label(w, p, name, fixed);
		else if (*value == '*')
			put_label(w, p, name, star < w->n_stars ? w->stars[star++] : "");
		else
			put_label(w, p, name, row_text(w, value, n));
		p = value + n + (value[n] == ',');
	}
	put(&w->out, "} ");
}

static void put_sample(struct writing *w, const json_t *v, int truth)
{
	double scale = w->m->scale;

	if (truth < 0 && !json_is_number(v) && (!json_is_boolean(v) || w->n_stars))
		return;
	put_head(w);
	putf(&w->out, "%s%s", w->family->name, suffix(w->family));
	put_labels(w);
	if (truth >= 0 || json_is_boolean(v))
		putf(&w->out, "%d\n", truth >= 0 ? truth : json_is_true(v));
	else if (json_is_integer(v) && scale == 0)
		putf(&w->out, "%lld\n", (long long)json_integer_value(v));
	else
		putf(&w->out, "%.15g\n", json_number_value(v) * (scale == 0 ? 1 : scale));
}

/* ---- paths ---------------------------------------------------------------------------------------------------------------- */

static void walk(struct writing *w, const json_t *v, const char *path);

static void walk_members(struct writing *w, const json_t *v, const char *but, size_t but_n,
			 const char *rest)
{
	const char *key;
	json_t *member;

	if (w->n_stars == STARS_MAX)
		return;
	json_object_foreach((json_t *)v, key, member)
	{
		if (but_n == strlen(key) && !strncmp(key, but, but_n))
			continue;
		w->stars[w->n_stars++] = key;
		walk(w, member, rest);
		w->n_stars--;
	}
}

static void walk_rows(struct writing *w, const json_t *list, const char *rest)
{
	json_t *row;
	size_t i;

	if (w->n_rows > ROWS_MAX)
		return;
	json_array_foreach(list, i, row)
	{
		w->rows[w->n_rows++] = row;
		walk(w, row, rest);
		w->n_rows--;
	}
}

static void walk(struct writing *w, const json_t *v, const char *path)
{
	size_t n = strcspn(path, ".[=!");
	const char *rest = path + n, *text = json_string_value(v);
	char key[48];

	if (!*path) {
		put_sample(w, v, w->m->type == METRIC_INFO ? 1 : -1);
		return;
	}
	if (*path == '=' || *path == '!') {
		if (text)
			put_sample(w, v, !strcmp(text, path + 1) == (*path == '='));
		return;
	}
	if (*rest == '.')
		rest++;
	if (*path == '*') {
		walk_members(w, v, path + 2, n > 1 ? n - 2 : 0, rest);
		return;
	}
	snprintf(key, sizeof(key), "%.*s", (int)n, path);
	v = json_object_get(v, key);
	if (!v)
		return;
	if (*rest == '[')
		walk_rows(w, v, rest[2] == '.' ? rest + 3 : rest + 2);
	else
		walk(w, v, rest);
}

static bool role_is(const json_t *root, const char *role)
{
	const char *s = json_string_value(json_object_get(root, "role"));

	return s && !strcmp(s, role);
}

static void document(struct writing *w, const json_t *root)
{
	if ((w->m->of == METRIC_EDGE && !role_is(root, "edge")) ||
	    (w->m->of == METRIC_CORE && !role_is(root, "core")))
		return;
	w->rows[0] = root;
	w->n_rows = 1;
	w->n_stars = 0;
	w->node = json_string_value(json_object_get(root, "name"));
	if (w->node)
		walk(w, root, w->m->path);
}

char *metrics_text(const json_t *nodes, const json_t *status, bool openmetrics, size_t *n)
{
	struct writing w = {.open = openmetrics};
	json_t *list = json_object_get(nodes, "nodes"), *node;
	unsigned i;
	size_t k;

	for (i = 0; i < metrics_table_n; i++) {
		w.m = &metrics_table[i];
		if (w.m->help) {
			w.family = w.m;
			w.headed = false;
		}
		if (w.m->of != METRIC_NODES)
			document(&w, status);
		else
			json_array_foreach(list, k, node) document(&w, node);
	}
	if (openmetrics)
		put(&w.out, "# EOF\n");
	if (w.out.failed) {
		free(w.out.p);
		return NULL;
	}
	*n = w.out.n;
	return w.out.p;
}

/* ---- documentation -------------------------------------------------------------------------------------------------------- */

static void doc_labels(FILE *f, const char *p)
{
	const char *sep = "";

	while (*p) {
		size_t name = strcspn(p, "=:"), n = strcspn(p, ",");

		fprintf(f, "%s`%.*s`", sep, (int)name, p);
		sep = ", ";
		p += n + (p[n] == ',');
	}
}

/* Of a family, whose rows may be of both roles. */
static const char *doc_of(const struct metric *m)
{
	static const char *const names[] = {"every node", "this node", "an edge", "a core"};
	const struct metric *end = metrics_table + metrics_table_n, *more;

	for (more = m + 1; more < end && !more->help; more++)
		if (more->of != m->of)
			return "this node";
	return names[m->of];
}

void metrics_doc(FILE *f)
{
	static const char *const types[] = {"gauge", "counter", "info"};
	unsigned i;

	fputs("| metric | type | labels besides `node` | of | meaning |\n|---|---|---|---|---|\n",
	      f);
	for (i = 0; i < metrics_table_n; i++) {
		const struct metric *m = &metrics_table[i];

		if (!m->help)
			continue;
		fprintf(f, "| `%s%s` | %s | ", m->name, suffix(m), types[m->type]);
		doc_labels(f, m->labels);
		fprintf(f, " | %s | %s |\n", doc_of(m), m->help);
	}
}
