/* tools/parse.h -- what the parts of tools/parse share: printing peer bytes, and the HTTP subcommands.
 *
 * In: spans of a file. Out: lines on standard output. Owns nothing. */
#ifndef SALLYPORT_TOOLS_PARSE_H
#define SALLYPORT_TOOLS_PARSE_H

#include "user/span.h"

/* "NAME: BYTES", with what is not printable escaped. */
void parse_put(const char *indent, const char *name, struct span s);
/* The same unless @s is empty. */
void parse_put_some(const char *indent, const char *name, struct span s);

/* Every message of a connection's bytes, a line each; the end of @in is the end of the connection. @method: of the
 * requests that responses answer. See parse_main.c for the form. */
void parse_http(const char *file, struct span in, bool request, struct span method, bool verbose);

#endif
