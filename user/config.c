/* user/config.c -- loading by schema, and the rules that fields have in common.
 *
 * In: text and a table of rules. Out: a struct with defaults filled in and addresses in one normal form ("1.2.3.4:5061"), or
 * "file:line: key: what was wanted". Texts are allocated with malloc, as libcyaml's own, so that cyaml_free() frees all. */
#include "user/config_lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cyaml_schema_value_t config_string = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

const cyaml_schema_field_t config_tls_fields[] = {
	CONFIG_STR(struct config_tls_files, certificate, "certificate", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_tls_files, key, "key", CYAML_FLAG_OPTIONAL),
	CONFIG_STR(struct config_tls_files, ca, "ca", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};

int config_fail(struct config_ctx *c, const char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(c->why, CONFIG_WHY_MAX, "%s:%u: %s: ", c->name, config_lines_of(c, path),
		     path);
	if (n < 0 || n >= CONFIG_WHY_MAX)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(c->why + n, CONFIG_WHY_MAX - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* libcyaml says the problem first, then a back trace from the inside outwards; the first line there is the one. */
static void __attribute__((format(printf, 3, 0)))
cyaml_said(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct config_ctx *c = ctx;
	char line[256], *p;

	(void)level;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	p = strstr(line, "(line: ");
	if (p && !c->found_line)
		c->found_line = (unsigned)strtoul(p + 7, NULL, 10);
	else if (!c->message[0])
		snprintf(c->message, sizeof(c->message), "%s",
			 strncmp(line, "Load: ", 6) ? line : line + 6);
}

const cyaml_config_t *config_cyaml(struct config_ctx *c)
{
	static cyaml_config_t cfg = {
		.log_fn = cyaml_said,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};

	cfg.log_ctx = c;
	return &cfg;
}

int config_parse(struct config_ctx *c, const char *text, size_t n,
		 const cyaml_schema_value_t *schema, void **out)
{
	static const char unknown[] = "Unexpected key: ";
	const struct config_line *l = NULL;
	cyaml_err_t rc;
	int err;

	if (n > CONFIG_TEXT_MAX) {
		snprintf(c->why, CONFIG_WHY_MAX, "%s:1: at most %d bytes", c->name,
			 CONFIG_TEXT_MAX);
		return -EINVAL;
	}
	err = config_lines_read(c, text, n);
	if (err)
		return err;
	rc = cyaml_load_data((const uint8_t *)text, n, config_cyaml(c), schema,
			     (cyaml_data_t **)out, NULL);
	if (rc == CYAML_OK && *out)
		return 0;
	if (!c->message[0])
		snprintf(c->message, sizeof(c->message), "%s", cyaml_strerror(rc));
	/* For an unknown key libcyaml only knows the line before it. */
	if (strncmp(c->message, unknown, sizeof(unknown) - 1) == 0)
		l = config_lines_key(c, c->message + sizeof(unknown) - 1, c->found_line);
	snprintf(c->why, CONFIG_WHY_MAX, "%s:%u: %s", c->name,
		 l		 ? l->line
		 : c->found_line ? c->found_line
				 : 1,
		 c->message);
	return -EINVAL;
}

void config_ctx_fini(struct config_ctx *c)
{
	free(c->lines);
	c->lines = NULL;
	c->n_lines = 0;
}

/* RFC 1123 labels, lower or upper case; no trailing dot. */
static bool is_domain(const char *s)
{
	size_t label = 0, i;

	for (i = 0; s[i]; i++) {
		if (s[i] == '.') {
			if (!label || s[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)s[i]) && (s[i] != '-' || !label))
			return false;
		if (++label > 63)
			return false;
	}
	return i > 0 && i <= 253 && label && s[i - 1] != '-';
}

static bool is_made_of(const char *s, const char *extra, size_t max)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i]))
			return false;
	return i > 0 && i <= max;
}

static bool is_word(const char *s, const char *words)
{
	size_t n = strlen(s), len;
	const char *p;

	for (p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
		len = strcspn(p, "|");
		if (len == n && memcmp(p, s, n) == 0)
			return true;
	}
	return false;
}

static int replace(const char **text, const char *with)
{
	char *copy = strdup(with);

	if (!copy)
		return -ENOMEM;
	free((char *)*text);
	*text = copy;
	return 0;
}

/* Does the text of an address have a port, whatever its value? */
static bool has_port(const char *s)
{
	const char *colon = strrchr(s, ':'), *bracket = strchr(s, ']');

	return bracket ? bracket[1] == ':' : colon && strchr(s, ':') == colon;
}

static int check_addr(struct config_ctx *c, const char *path, const char **text,
		      enum config_kind kind, uint32_t port)
{
	char buf[ADDR_TEXT_MAX];
	struct addr a;

	if (addr_parse(span_str(*text), &a))
		return config_fail(c, path, "an IP address%s wanted, got \"%.64s\"",
				   kind == CONFIG_ADDR ? "" : " and port", *text);
	if (kind == CONFIG_ADDR && has_port(*text))
		return config_fail(c, path, "an address without a port wanted, got \"%.64s\"",
				   *text);
	if (kind == CONFIG_ADDR && addr_is_any(&a))
		return config_fail(c, path, "one certain address wanted, got \"%.64s\"", *text);
	if (kind != CONFIG_ADDR && has_port(*text) && !a.port)
		return config_fail(c, path, "port 1..65535 wanted, got \"%.64s\"", *text);
	if (kind != CONFIG_ADDR && !a.port)
		a.port = (uint16_t)port;
	return replace(text, kind == CONFIG_ADDR ? addr_ip_text(&a, buf) : addr_text(&a, buf));
}

/* What only this host reaches. */
static int check_loopback(struct config_ctx *c, const char *path, const char **text, uint32_t port)
{
	struct addr a;
	int err = check_addr(c, path, text, CONFIG_LOOPBACK, port);

	if (err)
		return err;
	if (addr_parse(span_str(*text), &a) == 0 && addr_is_loopback(&a))
		return 0;
	return config_fail(c, path,
			   "a loopback address wanted (127.0.0.1:%u or [::1]:%u; reach it from "
			   "elsewhere by ssh -L), got \"%.64s\"",
			   port, port, *text);
}

/* Name or address, with an optional port that defaults to @port. */
static int check_hostport(struct config_ctx *c, const char *path, const char **text, uint32_t port)
{
	char host[256], full[272], *colon, *end;
	struct addr a;
	unsigned long v;

	if (addr_parse(span_str(*text), &a) == 0)
		return check_addr(c, path, text, CONFIG_ADDRPORT, port);
	if (span_copy(span_str(*text), host, sizeof(host)) < 0)
		return config_fail(c, path, "at most 255 bytes");
	colon = strchr(host, ':');
	if (colon) {
		*colon = 0;
		v = isdigit((unsigned char)colon[1]) ? strtoul(colon + 1, &end, 10) : 0;
		if (!v || v > 65535 || *end)
			return config_fail(c, path, "port 1..65535 wanted, got \"%.64s\"", *text);
		port = (uint32_t)v;
	}
	if (!is_domain(host))
		return config_fail(c, path, "host:port wanted, got \"%.64s\"", *text);
	snprintf(full, sizeof(full), "%s:%u", host, port);
	return replace(text, full);
}

static int check_text(struct config_ctx *c, const char *path, const char **text,
		      enum config_kind kind, const char *words, uint32_t port)
{
	const char *s = *text;
	struct addr a;

	switch (kind) {
	case CONFIG_DOMAIN:
		return is_domain(s) ? 0
				    : config_fail(c, path, "a DNS name wanted, got \"%.64s\"", s);
	case CONFIG_HOST:
		if (addr_parse(span_str(s), &a) == 0)
			return check_addr(c, path, text, CONFIG_ADDR, 0);
		return is_domain(s) ? 0
				    : config_fail(c, path,
						  "a DNS name or address wanted, got \"%.64s\"", s);
	case CONFIG_HOSTPORT:
		return check_hostport(c, path, text, port);
	case CONFIG_ADDR:
	case CONFIG_ADDRPORT:
		return check_addr(c, path, text, kind, port);
	case CONFIG_LOOPBACK:
		return check_loopback(c, path, text, port);
	case CONFIG_SRV:
		if (addr_parse(span_str(s), &a) == 0)
			return check_addr(c, path, text, CONFIG_ADDRPORT, port);
		return is_domain(s) ? 0
				    : config_fail(c, path,
						  "address:port or a DNS name without a port "
						  "wanted, got \"%.64s\"",
						  s);
	case CONFIG_FILE:
		return s[0] == '/'
			       ? 0
			       : config_fail(c, path, "an absolute path wanted, got \"%.64s\"", s);
	case CONFIG_ID:
		return is_made_of(s, "-_.", 32) && s[0] != '.' && s[0] != '-'
			       ? 0
			       : config_fail(c, path,
					     "1..32 letters, digits, \"-\", \"_\" or \".\" wanted, "
					     "got \"%.64s\"",
					     s);
	case CONFIG_HEADER:
		return is_made_of(s, "-.!%*_+`'~", 64)
			       ? 0
			       : config_fail(c, path, "a header's name wanted, got \"%.64s\"", s);
	case CONFIG_WORD:
		return is_word(s, words)
			       ? 0
			       : config_fail(c, path, "one of %s wanted, got \"%.64s\"", words, s);
	case CONFIG_NUM16:
	case CONFIG_NUM32:
		break;
	}
	return -EINVAL;
}

static int rule_number(struct config_ctx *c, const char *path, void *field,
		       const struct config_rule *r)
{
	uint32_t v = r->kind == CONFIG_NUM16 ? *(uint16_t *)field : *(uint32_t *)field;

	if (!v && !config_lines_has(c, path))
		v = r->def;
	else if (v < r->min || v > r->max)
		return config_fail(c, path, "%u..%u wanted, got %u", r->min, r->max, v);
	if (r->kind == CONFIG_NUM16)
		*(uint16_t *)field = (uint16_t)v;
	else
		*(uint32_t *)field = v;
	return 0;
}

int config_rules(struct config_ctx *c, const char *prefix, void *base,
		 const struct config_rule *rules, unsigned n)
{
	char path[CONFIG_PATH_MAX];
	unsigned i;
	int err;

	for (i = 0; i < n; i++) {
		const struct config_rule *r = &rules[i];
		void *field = (char *)base + r->off;
		const char **text = field;

		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", r->key);
		if (r->kind == CONFIG_NUM16 || r->kind == CONFIG_NUM32) {
			err = rule_number(c, path, field, r);
		} else if (!*text && !r->text) {
			err = r->optional ? 0 : config_fail(c, path, "is required");
		} else {
			err = *text ? 0 : replace(text, r->text);
			if (!err)
				err = check_text(c, path, text, r->kind, r->words, r->def);
		}
		if (err == -ENOMEM)
			return config_fail(c, path, "out of memory");
		if (err)
			return err;
	}
	return 0;
}

int config_list(struct config_ctx *c, const char *path, const char **list, unsigned n,
		enum config_kind kind, uint32_t def)
{
	char one[CONFIG_PATH_MAX];
	unsigned i, j;
	int err;

	for (i = 0; i < n; i++) {
		snprintf(one, sizeof(one), "%s[%u]", path, i);
		err = check_text(c, one, &list[i], kind, NULL, def);
		if (err == -ENOMEM)
			return config_fail(c, one, "out of memory");
		if (err)
			return err;
		for (j = 0; j < i; j++)
			if (strcasecmp(list[i], list[j]) == 0)
				return config_fail(c, one, "\"%.64s\" is here twice", list[i]);
	}
	return 0;
}

int config_words(struct config_ctx *c, const char *path, const char **list, unsigned n,
		 const char *words)
{
	char one[CONFIG_PATH_MAX];
	unsigned i, j;

	for (i = 0; i < n; i++) {
		snprintf(one, sizeof(one), "%s[%u]", path, i);
		if (!is_word(list[i], words))
			return config_fail(c, one, "one of %s wanted, got \"%.64s\"", words,
					   list[i]);
		for (j = 0; j < i; j++)
			if (strcmp(list[i], list[j]) == 0)
				return config_fail(c, one, "\"%.64s\" is here twice", list[i]);
	}
	return 0;
}

int config_unique(struct config_ctx *c, const char *list, const void *base, unsigned n,
		  size_t stride)
{
	char path[CONFIG_PATH_MAX];
	unsigned i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++) {
			const char *a = *(const char *const *)((const char *)base + i * stride);
			const char *b = *(const char *const *)((const char *)base + j * stride);

			if (strcasecmp(a, b) == 0) {
				snprintf(path, sizeof(path), "%s[%u].name", list, i);
				return config_fail(c, path, "\"%.64s\" is here twice", a);
			}
		}
	return 0;
}
