/* user/config_lines.c -- the line of every key in a YAML text.
 *
 * In: text. Out: a bounded table of "path -> line" for later errors; syntax errors, anchors, aliases, tags, second documents and NUL
 * bytes are refused here, each with its line, so that libcyaml sees only plain mappings, sequences and scalars. */
#include "user/config_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 8

struct walk {
	struct config_ctx *c;
	yaml_parser_t yaml;
	yaml_event_t ev;
	char path[CONFIG_PATH_MAX];
};

static int fail_at(struct walk *w, size_t line, const char *what)
{
	snprintf(w->c->why, CONFIG_WHY_MAX, "%s:%zu: %s", w->c->name, line + 1, what);
	return -EINVAL;
}

/* The next event in w->ev; the one before is freed. */
static int step(struct walk *w)
{
	const char *problem;

	yaml_event_delete(&w->ev);
	if (yaml_parser_parse(&w->yaml, &w->ev))
		return 0;
	memset(&w->ev, 0, sizeof(w->ev));
	problem = w->yaml.problem ? w->yaml.problem : "not YAML";
	/* Bytes that are no UTF-8 are reported by offset only: problem_mark is not set then. */
	if (w->yaml.error == YAML_READER_ERROR)
		return fail_at(w, w->yaml.mark.line, problem);
	return fail_at(w, w->yaml.problem_mark.line, problem);
}

static int remember(struct walk *w)
{
	struct config_ctx *c = w->c;
	struct config_line *l;

	if (config_lines_has(c, w->path))
		return fail_at(w, w->ev.start_mark.line, "this key is here twice");
	if (c->n_lines == CONFIG_LINES_MAX)
		return fail_at(w, w->ev.start_mark.line, "too many keys");
	if ((c->n_lines & (c->n_lines - 1)) == 0) {
		l = realloc(c->lines, (c->n_lines ? 2 * (size_t)c->n_lines : 1) * sizeof(*l));
		if (!l)
			return fail_at(w, w->ev.start_mark.line, "out of memory");
		c->lines = l;
	}
	l = &c->lines[c->n_lines++];
	memcpy(l->path, w->path, sizeof(l->path));
	l->line = (unsigned)w->ev.start_mark.line + 1;
	return 0;
}

/* Append ".key", or "[i]" where @key is NULL, to the path; returns its old length for the caller to cut back to, or -EINVAL. */
static int enter(struct walk *w, const char *key, unsigned i)
{
	size_t len = strlen(w->path), room = sizeof(w->path) - len;
	char *at = w->path + len;
	int n;

	if (key)
		n = snprintf(at, room, "%s%s", len ? "." : "", key);
	else
		n = snprintf(at, room, "[%u]", i);
	if (n < 0 || (size_t)n >= room) {
		*at = 0;
		return fail_at(w, w->ev.start_mark.line, "key too long");
	}
	return (int)len;
}

static int plain_scalar(struct walk *w)
{
	const yaml_event_t *e = &w->ev;

	if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
		return fail_at(w, e->start_mark.line, "NUL byte in a text");
	return 0;
}

static int node(struct walk *w, int depth);

static int mapping(struct walk *w, int depth)
{
	int err, len;

	for (;;) {
		err = step(w);
		if (err || w->ev.type == YAML_MAPPING_END_EVENT)
			return err;
		if (w->ev.type != YAML_SCALAR_EVENT)
			return fail_at(w, w->ev.start_mark.line, "a key must be a plain word");
		if (plain_scalar(w))
			return -EINVAL;
		len = enter(w, (const char *)w->ev.data.scalar.value, 0);
		if (len < 0)
			return len;
		err = remember(w);
		if (!err)
			err = step(w);
		if (!err)
			err = node(w, depth + 1);
		if (err)
			return err;
		w->path[len] = 0;
	}
}

static int sequence(struct walk *w, int depth)
{
	unsigned i;
	int err, len;

	for (i = 0;; i++) {
		err = step(w);
		if (err || w->ev.type == YAML_SEQUENCE_END_EVENT)
			return err;
		len = enter(w, NULL, i);
		if (len < 0)
			return len;
		err = remember(w);
		if (!err)
			err = node(w, depth + 1);
		if (err)
			return err;
		w->path[len] = 0;
	}
}

/* The node that w->ev opens, up to its end. */
static int node(struct walk *w, int depth)
{
	const yaml_event_t *e = &w->ev;

	if (depth > DEPTH_MAX)
		return fail_at(w, e->start_mark.line, "nested too deeply");
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		if (e->data.scalar.anchor || e->data.scalar.tag)
			return fail_at(w, e->start_mark.line, "anchors and tags are not allowed");
		return plain_scalar(w);
	case YAML_MAPPING_START_EVENT:
		if (e->data.mapping_start.anchor || e->data.mapping_start.tag)
			return fail_at(w, e->start_mark.line, "anchors and tags are not allowed");
		return mapping(w, depth);
	case YAML_SEQUENCE_START_EVENT:
		if (e->data.sequence_start.anchor || e->data.sequence_start.tag)
			return fail_at(w, e->start_mark.line, "anchors and tags are not allowed");
		return sequence(w, depth);
	case YAML_ALIAS_EVENT:
		return fail_at(w, e->start_mark.line, "aliases are not allowed");
	default:
		return fail_at(w, e->start_mark.line, "unexpected YAML");
	}
}

static int stream(struct walk *w)
{
	int err = step(w); /* stream start */

	if (!err)
		err = step(w);
	if (!err && w->ev.type == YAML_STREAM_END_EVENT)
		return fail_at(w, 0, "the file is empty");
	if (!err)
		err = step(w);
	if (!err && w->ev.type != YAML_MAPPING_START_EVENT)
		return fail_at(w, w->ev.start_mark.line, "keys and values wanted (a mapping)");
	if (!err)
		err = node(w, 0);
	if (!err)
		err = step(w); /* document end */
	if (!err)
		err = step(w);
	if (!err && w->ev.type != YAML_STREAM_END_EVENT)
		return fail_at(w, w->ev.start_mark.line, "a second document is not allowed");
	return err;
}

int config_lines_read(struct config_ctx *c, const char *text, size_t n)
{
	struct walk w = {.c = c};
	int err;

	if (!yaml_parser_initialize(&w.yaml))
		return fail_at(&w, 0, "out of memory");
	yaml_parser_set_input_string(&w.yaml, (const unsigned char *)text, n);
	err = stream(&w);
	yaml_event_delete(&w.ev);
	yaml_parser_delete(&w.yaml);
	return err;
}

unsigned config_lines_of(const struct config_ctx *c, const char *path)
{
	char want[CONFIG_PATH_MAX];
	size_t len;
	unsigned i;

	snprintf(want, sizeof(want), "%s", path);
	for (len = strlen(want); len > 0; want[len] = 0) {
		for (i = 0; i < c->n_lines; i++)
			if (strcmp(c->lines[i].path, want) == 0)
				return c->lines[i].line;
		while (--len > 0 && want[len] != '.' && want[len] != '[')
			;
	}
	return 1;
}

bool config_lines_has(const struct config_ctx *c, const char *path)
{
	unsigned i;

	for (i = 0; i < c->n_lines; i++)
		if (strcmp(c->lines[i].path, path) == 0)
			return true;
	return false;
}

const struct config_line *config_lines_key(const struct config_ctx *c, const char *key,
					   unsigned line)
{
	size_t n = strlen(key), have;
	unsigned i;

	for (i = 0; i < c->n_lines; i++) {
		const char *p = c->lines[i].path;

		have = strlen(p);
		if (c->lines[i].line >= line && have >= n && strcmp(p + have - n, key) == 0 &&
		    (have == n || p[have - n - 1] == '.'))
			return &c->lines[i];
	}
	return NULL;
}
