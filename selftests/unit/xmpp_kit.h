/* selftests/unit/xmpp_kit.h -- read an XMPP stream in any split and write down what came of it, so that two readings can
 * be compared.
 *
 * In: bytes and how they are cut. Out: a line an event in the caller's buffer; white space that was cut is one line. Each
 * cut is a heap block of its own, so that a sanitizer sees any step outside of it. Shared by the unit tests and the fuzz
 * targets. */
#ifndef SALLYPORT_XMPP_KIT_H
#define SALLYPORT_XMPP_KIT_H

#include "xmpp/reader.h"

#define KIT_HEAD                                                               \
	"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"

enum kit_cut {
	KIT_WHOLE,
	KIT_BYTES,  /* a byte at a time */
	KIT_RANDOM, /* 1 to 40 bytes at a time, by @seed */
};

struct kit_way {
	enum kit_cut cut;
	uint32_t seed;
	bool rest;    /* give expat's memory back after every event */
	bool restart; /* a new document behind <starttls/>, <proceed/>, <success/> and <compress/> */
};

extern const struct xmpp_setup kit_client, kit_answer, kit_server; /* xmpp_limits_stranger */

/* Returns the last event's kind; @log is cut where it is full. */
enum xmpp_event_kind kit_read(const struct xmpp_setup *setup, struct span in,
			      const struct kit_way *way, char *log, size_t cap);

#endif
