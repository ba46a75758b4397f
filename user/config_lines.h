/* user/config_lines.h -- the line of every key in a YAML text.
 *
 * In: a file's text. Out: c->lines, owned by the context; -EINVAL with c->why for what is not plain YAML. */
#ifndef SALLYPORT_CONFIG_LINES_H
#define SALLYPORT_CONFIG_LINES_H

#include "user/config_int.h"

int config_lines_read(struct config_ctx *c, const char *text, size_t n);
/* Line of @path, or of the nearest enclosing key that the text has; 1 when there is none. */
unsigned config_lines_of(const struct config_ctx *c, const char *path);
/* Is @path written in the text? */
bool config_lines_has(const struct config_ctx *c, const char *path);
/* The first entry from @line on whose last component is @key, or NULL. */
const struct config_line *config_lines_key(const struct config_ctx *c, const char *key,
					   unsigned line);

#endif
