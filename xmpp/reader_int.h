/* xmpp/reader_int.h -- what reader.c (scanner, limits, events) and expat.c (expat's handlers, memory) share. Private to xmpp/.
 *
 * reader.c owns when expat is fed and what an event looks like; expat.c owns the parser and all of the heap. */
#ifndef SALLYPORT_XMPP_READER_INT_H
#define SALLYPORT_XMPP_READER_INT_H

#include <expat.h>

#include "xmpp/reader.h"

/* A parser as this project wants it: UTF-8, namespaces with prefixes as "NS\nNAME\nPREFIX", no reparse deferral. @memory may be
 * NULL. NULL: no memory. */
XML_Parser xmpp_expat_new(const XML_Memory_Handling_Suite *memory, unsigned long salt);

/* The parts of a name in expat's form; ns and prefix may be empty. */
struct xmpp_qname {
	struct span ns, name, prefix;
};
struct xmpp_qname xmpp_qname(const char *expat);

/* Give @n bytes to expat. 0, or -EBADMSG: r->why is set. r->pending is the event that they completed, or XMPP_MORE. */
int xmpp_expat_feed(struct xmpp_reader *r, const uint8_t *p, size_t n);
void xmpp_expat_drop(struct xmpp_reader *r); /* the parser's memory */
/* Refuse, with the text of a format; only the first refusal counts. */
void xmpp_refuse(struct xmpp_reader *r, enum xmpp_why why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Counted memory, at most limits.memory for each reader. */
void *xmpp_memory_grow(struct xmpp_reader *r, void *p, size_t n);
void xmpp_memory_free(struct xmpp_reader *r, void *p);
/* Append to the store; its offset there in *at. False: refused. */
bool xmpp_store(struct xmpp_reader *r, struct span s, uint32_t *at);

/* open.c: check the start tag of a stream (RFC 6120 4.7, 4.8) and keep its fields as r->attrs, in the order of this enum. */
enum xmpp_open_field {
	XMPP_OPEN_TO,
	XMPP_OPEN_FROM,
	XMPP_OPEN_ID,
	XMPP_OPEN_VERSION,
	XMPP_OPEN_LANG,
	XMPP_OPEN_FIELDS
};
void xmpp_open_check(struct xmpp_reader *r, const char *name, const char **atts);

#endif
