/* tools/ctl_print.c -- the daemons' answers as tables for people. In: JSON. Out: text on standard output. See tools/ctl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"

#define COLUMNS 40

const char *ctl_plain(const char *s, char *buf, size_t n)
{
	size_t i;

	for (i = 0; s[i] && i + 1 < n; i++) {
		unsigned char c = (unsigned char)s[i], before = i ? (unsigned char)s[i - 1] : 0;
		bool c1 = before == 0xc2 && c >= 0x80 && c < 0xa0;

		buf[i] = c < ' ' || c == 0x7f || c1 ? '?' : s[i];
		if (c1)
			buf[i - 1] = '?';
	}
	buf[i] = 0;
	return buf;
}

const char *ctl_cell(const json_t *v)
{
	static char texts[2][512];
	static unsigned turn;
	char *t = texts[turn ^= 1], *dump;

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_STRING:
		return ctl_plain(json_string_value(v), t, sizeof(texts[0]));
	case JSON_INTEGER:
		snprintf(t, sizeof(texts[0]), "%lld", (long long)json_integer_value(v));
		return t;
	case JSON_REAL:
		snprintf(t, sizeof(texts[0]), "%.3g", json_real_value(v));
		return t;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_NULL:
		return "-";
	default:
		dump = json_dumps(v, JSON_COMPACT);
		ctl_plain(dump ? dump : "?", t, sizeof(texts[0]));
		free(dump);
		return t;
	}
}

static unsigned ctl_columns(const json_t *rows, const char *names[COLUMNS], size_t widths[COLUMNS])
{
	unsigned n = 0, c;
	const char *key;
	json_t *row, *v;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_object_foreach(row, key, v)
		{
			size_t w = strlen(ctl_cell(v));

			for (c = 0; c < n && strcmp(names[c], key); c++)
				;
			if (c == n && n == COLUMNS)
				continue;
			if (c == n) {
				names[n] = key;
				widths[n++] = strlen(key);
			}
			if (w > widths[c])
				widths[c] = w;
		}
	}
	return n;
}

static void ctl_print_rows(const json_t *rows, int indent)
{
	const char *names[COLUMNS];
	size_t widths[COLUMNS], i;
	unsigned n = ctl_columns(rows, names, widths), c;
	json_t *row;

	printf("%*s", indent, "");
	if (!json_array_size(rows))
		puts("(none)");
	for (c = 0; c < n; c++)
		printf("%-*s%s", c + 1 == n ? 0 : (int)widths[c], names[c],
		       c + 1 == n ? "\n" : "  ");
	json_array_foreach(rows, i, row)
	{
		printf("%*s", indent, "");
		for (c = 0; c < n; c++)
			printf("%-*s%s", c + 1 == n ? 0 : (int)widths[c],
			       ctl_cell(json_object_get(row, names[c])), c + 1 == n ? "\n" : "  ");
	}
}

static void ctl_print_object(const json_t *o, int indent)
{
	const char *key;
	size_t width = 0;
	json_t *v;

	json_object_foreach((json_t *)o, key, v) if (strlen(key) > width) width = strlen(key);
	json_object_foreach((json_t *)o, key, v)
	{
		if (json_is_object(v) ||
		    (json_is_array(v) &&
		     (!json_array_size(v) || json_is_object(json_array_get(v, 0))))) {
			printf("%*s%s:\n", indent, "", key);
			ctl_print(v, indent + 2);
		} else {
			printf("%*s%-*s  %s\n", indent, "", (int)width, key, ctl_cell(v));
		}
	}
}

void ctl_print(const json_t *v, int indent)
{
	if (json_is_array(v))
		ctl_print_rows(v, indent);
	else if (json_is_object(v))
		ctl_print_object(v, indent);
	else
		printf("%s\n", ctl_cell(v));
}

void ctl_print_json(const json_t *v)
{
	json_dumpf(v, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	putchar('\n');
}
