/* sip/forward.h -- messages on their way through: copied field by field, a few replaced.
 *
 * In: a parsed message and a struct edit. Out: bytes in the caller's buffer, or -E2BIG. What no edit names is copied
 * byte for byte and in order. No allocation, no state. */
#ifndef SALLYPORT_SIP_FORWARD_H
#define SALLYPORT_SIP_FORWARD_H

#include "sip/engine_int.h"
#include "sip/write.h"

#define EDIT_LINES_MAX 8
#define SIP_BIT(id)    (1ull << (id))

struct edit {
	struct span ruri;  /* a request: in place of its Request-URI; empty: as it is */
	const char *first; /* fields with CRLF on top: our Via, Record-Route, Path; NULL: none */
	uint64_t drop;	   /* SIP_BIT()s of fields that do not pass */
	const struct engine_server *trusted; /* its trusted_headers do not pass; NULL: all pass */
	const struct addr
		*received; /* a request's source: goes into its topmost Via as received and rport */
	int max_forwards;  /* to write; -1: as it came */
	bool new_body;
	struct span body; /* empty: the description and its Content-Type are left out */
	unsigned n_lines;
	struct edit_line {
		unsigned index;	   /* of m->headers */
		struct span value; /* name is kept */
	} lines[EDIT_LINES_MAX];
	const struct sip_addr
		*routes; /* a request: the Route that is left (drop has SIP_H_ROUTE) */
	unsigned n_routes;
	/* A response: the request whose Via it gets, and the one whose Record-Route (drop has it), instead of what it
	 * says itself; NULL: its own. */
	const struct sip_msg *way_back, *records;
};

#define EDIT_INIT ((struct edit){.max_forwards = -1})

ssize_t forward_request(const struct sip_msg *m, const struct edit *ed, void *buf, size_t cap);
/* The topmost Via element is taken off. */
ssize_t forward_response(const struct sip_msg *m, const struct edit *ed, void *buf, size_t cap);

/* An answer of our own to @req. @tag: To tag if it has none; NULL: none is added (100). @more: fields with CRLF or
 * NULL. */
ssize_t forward_answer(const struct sip_msg *req, const struct addr *received, unsigned status,
		       const char *reason, const char *tag, const char *more, void *buf,
		       size_t cap);

/* Hop-by-hop ACK or CANCEL for the request in @sent (as we sent it). @to: the To field's value of the answer for
 * ACK, else empty. */
ssize_t forward_hop(const struct sip_msg *sent, const char *method, struct span to, void *buf,
		    size_t cap);

#endif
