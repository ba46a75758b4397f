/* user/config_int.h -- what config_edge.c and config_core.c share: rules about fields, and errors that name a line.
 *
 * In: the text, walked once by libyaml for the line of every key, then loaded by libcyaml into a struct. Out: defaults filled
 * in, texts in one normal form, or -EINVAL and ctx->why. The context lives on the loader's stack. */
#ifndef SALLYPORT_CONFIG_INT_H
#define SALLYPORT_CONFIG_INT_H

#include <cyaml/cyaml.h>

#include "user/addr.h"
#include "user/config.h"

#define CONFIG_TEXT_MAX	 262144 /* bytes of a file */
#define CONFIG_LINES_MAX 4096	/* keys and list entries of a file */
#define CONFIG_PATH_MAX	 128
#define CONFIG_LIST_MAX	 256 /* entries of one list */

struct config_line {
	char path[CONFIG_PATH_MAX]; /* "media.pairs[0].outside" */
	unsigned line;
};

struct config_ctx {
	const char *name;
	char *why;
	struct config_line *lines;
	unsigned n_lines;
	char message[256];   /* libcyaml's first complaint */
	unsigned found_line; /* and where it was */
};

enum config_kind {
	CONFIG_NUM16,
	CONFIG_NUM32,
	CONFIG_DOMAIN,	 /* DNS name */
	CONFIG_HOST,	 /* DNS name or address */
	CONFIG_HOSTPORT, /* the same with a port */
	CONFIG_ADDR,	 /* an address of this host or a peer: no port, not 0.0.0.0 */
	CONFIG_ADDRPORT, /* address and port */
	CONFIG_LOOPBACK, /* address and port of this host that nobody else reaches: 127.0.0.0/8 or ::1 */
	CONFIG_SRV,	 /* address and port, or DNS name without a port */
	CONFIG_FILE,   /* absolute path */
	CONFIG_ID,     /* letters, digits, "-", "_", "."; one component of a path */
	CONFIG_HEADER, /* a header field's name: RFC 3261 token */
	CONFIG_WORD,   /* one of the words in .words */
};

/* One scalar field. Text without a default is required, except where .optional; numbers always have .def. */
struct config_rule {
	const char *key; /* path below the struct, "tls.ca" */
	size_t off;
	enum config_kind kind;
	bool optional;
	const char *text;	/* default */
	const char *words;	/* "a|b|c" */
	uint32_t def, min, max; /* numbers; .def is also the default port of addresses */
};

/* "name:line: path: message"; the line is that of @path, or of the nearest enclosing key. Returns -EINVAL. */
int config_fail(struct config_ctx *c, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Load @text by @schema into *out (freed by cyaml_free with config_cyaml()). 0 or -EINVAL. */
int config_parse(struct config_ctx *c, const char *text, size_t n,
		 const cyaml_schema_value_t *schema, void **out);
const cyaml_config_t *config_cyaml(struct config_ctx *c);
void config_ctx_fini(struct config_ctx *c);

/* Defaults and checks for the fields of one struct at @base; @prefix "" or "media.pairs[0]". */
int config_rules(struct config_ctx *c, const char *prefix, void *base,
		 const struct config_rule *rules, unsigned n);
/* Checks a list of texts and that none comes twice; @def: default port. */
int config_list(struct config_ctx *c, const char *path, const char **list, unsigned n,
		enum config_kind kind, uint32_t def);
/* -EINVAL when two of the @n names (every @stride bytes) are equal; the path is "list[i].name". */
int config_unique(struct config_ctx *c, const char *list, const void *base, unsigned n,
		  size_t stride);

/* The key and place of a rule: the YAML path is the member path. */
#define CONFIG_AT(t, path)	  .key = #path, .off = offsetof(t, path)
#define CONFIG_STR(t, m, k, f)	  CYAML_FIELD_STRING_PTR(k, CYAML_FLAG_POINTER | (f), t, m, 1, 4096)
#define CONFIG_UINT(t, m, k)	  CYAML_FIELD_UINT(k, CYAML_FLAG_OPTIONAL, t, m)
#define CONFIG_MAP(t, m, k, f, s) CYAML_FIELD_MAPPING(k, f, t, m, s)
#define CONFIG_LIST(t, m, k, f, e)                                                     \
	CYAML_FIELD_SEQUENCE_COUNT(k, CYAML_FLAG_POINTER | (f), t, m, m##_count, e, 1, \
				   CONFIG_LIST_MAX)

/* A list of words, each one of "a|b|c", none twice; exactly these bytes. */
int config_words(struct config_ctx *c, const char *path, const char **list, unsigned n,
		 const char *words);

/* config_https.c: the core's https section. Defaults and checks; nothing where there is none. */
extern const cyaml_schema_field_t config_https_fields[];
int config_https_check(struct config_ctx *c, struct config_https *h);

extern const cyaml_schema_value_t config_string;
/* config_core_xmpp.c: the core's xmpp section. */
extern const cyaml_schema_field_t config_xmpp_fields[];
int config_xmpp_check(struct config_ctx *c, struct config_xmpp *x);
extern const cyaml_schema_field_t config_tls_fields[];

#endif
