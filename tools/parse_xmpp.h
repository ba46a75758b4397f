/* tools/parse_xmpp.h -- tools/parse of XMPP streams, and what it shares with the other kinds of file.
 *
 * In: a whole file. Out: lines on standard output, peer bytes escaped. Nothing is kept. */
#ifndef SALLYPORT_TOOLS_PARSE_XMPP_H
#define SALLYPORT_TOOLS_PARSE_XMPP_H

#include "user/span.h"

/* Verdict of @in as one direction of a stream, then a line for each header, stanza, run of white space and close: what it
 * is, its offset and length, for a stanza its name and namespace. Where a stream header stands in a stanza's place a new
 * document begins (RFC 6120 4.3.3). */
void parse_xmpp(const char *file, struct span in, bool response, bool server, bool verbose);

/* "FILE: accept consumed=N", or "FILE: refuse REASON consumed=N" */
void parse_verdict(const char *file, const char *refused, size_t consumed);
void parse_put(const char *indent, const char *name, struct span s); /* escaped */
void parse_put_some(const char *indent, const char *name, struct span s);

#endif
