/* xmpp/reader.h -- one direction of an XMPP stream (RFC 6120): header, stanza boundaries, white space, close.
 *
 * In: the bytes of the stream as they come, in any split. Out: one event a call, with its offset and length in the stream.
 * Nothing is ever re-serialised: whoever relays a stanza passes on the bytes that came, between the two offsets. No I/O,
 * no clock, no logging.
 *
 *   bytes -> UTF-8 check, scan for where tags end, own limits (reader.c) -> expat (expat.c) -> depth, names, attributes -> event
 *
 * What expat gets is cut by this reader, not by the network: a piece ends where a tag ends, or after XMPP_PIECE bytes. So
 * every split of the same bytes gives the same events and refusals, an event's last byte is the last that was taken, and
 * what stands behind a restart point (TLS, SASL success, compression) has never been seen by the document before it. The
 * caller that restarts after an element must itself refuse bytes that are already there behind it where they would be read
 * under other rules (STARTTLS injection): they are in[used..].
 *
 * Refused, since each could be read in two ways or cost more than it says: document types, entities, comments, processing
 * instructions (RFC 6120 11.1), text between stanzas, bad UTF-8, a content namespace that is not the default one, a prefix
 * of the stream namespace other than "stream"; and what is over a limit. A refusal is final and names the stream error to
 * send (RFC 6120 4.9.3).
 *
 * Owner: the caller owns struct xmpp_reader (xmpp_reader_init, _fini) and every input; the reader owns the heap memory of
 * expat and of the strings of the current event, never more than limits.memory together. Spans of an event live until the
 * next call on this reader.
 *
 * Memory of one stream, measured with expat 2.5.0: sizeof(struct xmpp_reader) is 1,056 bytes; expat holds 11 KiB between
 * two small stanzas and nothing after xmpp_reader_rest(): then only the namespace declarations of the header stay (300
 * bytes of heap), and the next stanza makes a new parser from them, which costs 3 microseconds. A stream that was admitted
 * needs no reader at all where its bytes pass as they come: xmpp_reader_fini() frees everything. */
#ifndef SALLYPORT_XMPP_READER_H
#define SALLYPORT_XMPP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "user/span.h"
#include "xmpp/element.h"
#include "xmpp/jid.h"
#include "user/utf8.h"
#include "xmpp/write.h"

#define XMPP_PIECE 512 /* most bytes that wait for the end of their tag before expat gets them */
#define XMPP_ATTRS 8   /* attributes of an event; a known element with more is refused */

enum xmpp_why { /* each with xmpp_why_text() and xmpp_why_condition() */
		XMPP_OK,
		/* XML */
		XMPP_WHY_XML,	      /* not well-formed */
		XMPP_WHY_UTF8,	      /* RFC 6120 4.9.3.22 */
		XMPP_WHY_ENCODING,    /* declared other than UTF-8 */
		XMPP_WHY_XML_VERSION, /* declared other than 1.0 */
		XMPP_WHY_PREFIX,      /* undeclared, or not "stream" where it must be */
		XMPP_WHY_DOCTYPE,
		XMPP_WHY_ENTITY,
		XMPP_WHY_COMMENT,
		XMPP_WHY_PI, /* processing instruction */
		/* stream */
		XMPP_WHY_ROOT,	    /* the first element is no stream header */
		XMPP_WHY_NAMESPACE, /* of the header, or its content namespace */
		XMPP_WHY_VERSION,
		XMPP_WHY_TO,
		XMPP_WHY_FROM,
		XMPP_WHY_ID,
		XMPP_WHY_LANG,
		XMPP_WHY_TEXT, /* character data between stanzas */
		/* limits */
		XMPP_WHY_HEADER_BYTES,
		XMPP_WHY_STANZA_BYTES,
		XMPP_WHY_TOTAL_BYTES,
		XMPP_WHY_TOKEN_BYTES,
		XMPP_WHY_DEPTH,
		XMPP_WHY_ATTRS,
		XMPP_WHY_ATTR_BYTES,
		XMPP_WHY_NAMESPACES,
		XMPP_WHY_MEMORY,
		XMPP_WHYS
};
const char *xmpp_why_text(enum xmpp_why why);	   /* "too-deep", for logs and tools/parse */
const char *xmpp_why_condition(enum xmpp_why why); /* "policy-violation" (RFC 6120 4.9.3) */

struct xmpp_limits {
	size_t header;	     /* bytes of a document up to the end of its stream header */
	size_t stanza;	     /* bytes of one stanza */
	size_t token;	     /* bytes of one tag, or of anything else that expat must hold whole */
	size_t attr_bytes;   /* of one attribute's value */
	size_t memory;	     /* heap of the reader: expat and strings; at least 32 KiB */
	uint64_t total;	     /* bytes since xmpp_reader_init, restarts included; 0: no limit */
	unsigned depth;	     /* elements inside each other, a stanza's own counts as the first */
	unsigned attrs;	     /* attributes of one element, without namespace declarations */
	unsigned namespaces; /* namespace declarations in force at the same time */
};
/* Before authentication, from anybody: 2 KiB, 16 KiB, 4 KiB, 1 KiB, 64 KiB, total 64 KiB, 16, 16, 16. */
extern const struct xmpp_limits xmpp_limits_stranger;
/* After it, and from servers inside: 4 KiB, 1 MiB, 64 KiB, 32 KiB, 512 KiB, no total, 128, 64, 128. */
extern const struct xmpp_limits xmpp_limits_known;

enum xmpp_role {		  /* who sends what is read */
		 XMPP_INITIATING, /* to: required, a domain. from: optional */
		 XMPP_RECEIVING,  /* id: required. to and from: optional */
};

struct xmpp_setup {
	enum xmpp_role role;
	bool server; /* the content namespace is jabber:server, else jabber:client */
	struct xmpp_limits limits;
	/* Random, the same for all: expat's defence against chosen names that collide. 0: expat draws one by itself, by a system
	 * call. */
	unsigned long salt;
};

enum xmpp_event_kind {
	XMPP_MORE,    /* all of the input is taken; wait for more */
	XMPP_OPEN,    /* a stream header: .open */
	XMPP_STANZA,  /* one whole child of the stream: .element and what follows it */
	XMPP_SPACE,   /* white space between stanzas, .length bytes: a keepalive (RFC 6120 4.6.1) */
	XMPP_CLOSE,   /* </stream:stream>; nothing behind it is taken */
	XMPP_REFUSED, /* .why and .text */
};

struct xmpp_attr {
	struct span name, value; /* references resolved */
};

struct xmpp_event {
	enum xmpp_event_kind kind;
	size_t used; /* bytes of the input that were taken by this call */
	/* In the stream, from its first byte since xmpp_reader_init. A header's begins with its document, so an XML
	 * declaration is in it. For a refusal the offset of the byte, or of the end of the piece, that was refused. */
	uint64_t offset, length;
	struct xmpp_header open;
	struct xmpp_domain to; /* of XMPP_INITIATING: .open.to in comparable form */
	/* Namespaces that the header declares. More than the two that it must (jabber:server: three, with dialback's): stanzas may
	 * use their prefixes, so who relays them under a header of its own must refuse them or declare them too. */
	unsigned namespaces;
	/* XMPP_STANZA */
	enum xmpp_element element;
	struct span ns, name; /* of the top-level element; no prefix */
	/* Attributes without namespace; of iq, message and presence only to, from, id and type; none of XMPP_E_OTHER. */
	struct xmpp_attr attrs[XMPP_ATTRS];
	unsigned n_attrs;
	uint64_t inner, inner_length; /* what stands between start tag and end tag */
	/* XMPP_REFUSED */
	enum xmpp_why why;
	struct span
		text; /* what was wanted and what came, printable ASCII: for the log and the stream error */
};

struct XML_ParserStruct;

struct xmpp_reader { /* one direction of a stream; private but for reading .at, .heap and .heap_peak */
	struct xmpp_setup setup;
	struct XML_ParserStruct
		*parser; /* NULL before the first piece of a document and while resting */
	uint64_t at;	 /* offset of the next byte */
	uint64_t mark;	 /* where the document, or the stanza, began */
	uint64_t tag;	 /* offset of the last tag's '<' */
	uint64_t inner, inner_length;
	uint64_t fed; /* bytes that this expat parser got */
	struct utf8 utf8;
	enum xmpp_why why;
	enum xmpp_element element;
	uint8_t scan;	 /* where the scanner is: enum scan of reader.c */
	uint8_t pending; /* the event that the handlers of expat have ready: enum xmpp_event_kind */
	bool open, closed;
	bool between; /* between stanzas: nothing of the next one has come */
	bool priming; /* expat is being given the header's namespaces again */
	bool content; /* the header declared the wanted content namespace as its default */
	unsigned depth, namespaces, n_attrs;
	/* Heap, all counted: */
	size_t heap, heap_peak;
	char *prime; /* a start tag that declares what the header declared */
	size_t prime_n, prime_cap;
	char *store; /* strings of the event */
	size_t store_n, store_cap;
	struct {
		uint32_t name, name_n, value, value_n;
	} attrs[XMPP_ATTRS];   /* in the store */
	uint32_t ns_n, name_n; /* the first two strings in the store */
	uint16_t text_n;
	char text[160];
	uint16_t piece_n;
	uint8_t piece[XMPP_PIECE];
};

void xmpp_reader_init(struct xmpp_reader *r, const struct xmpp_setup *setup);
void xmpp_reader_fini(struct xmpp_reader *r);

/* Take bytes of @in, which begins at r->at, up to the next event. To be called again with in[used..] until XMPP_MORE,
 * XMPP_CLOSE or XMPP_REFUSED; the last two come again, with nothing used, if it is called after them. */
enum xmpp_event_kind xmpp_reader_next(struct xmpp_reader *r, struct span in,
				      struct xmpp_event *out);

/* The next byte begins a new document: after TLS, SASL success or compression (RFC 6120 4.3.3). 0, or -EINVAL: not between
 * stanzas. */
int xmpp_reader_restart(struct xmpp_reader *r);
/* Other limits from here on, as after authentication; .total counts on. */
void xmpp_reader_limits(struct xmpp_reader *r, const struct xmpp_limits *limits);
/* Give expat's memory back while the stream is idle. False: in the middle of something, nothing was done. */
bool xmpp_reader_rest(struct xmpp_reader *r);
/* The header's namespaces as a start tag, for xmpp_features_rewrite(); empty before XMPP_OPEN. Lives until a restart. */
struct span xmpp_reader_context(const struct xmpp_reader *r);

/* An attribute of @e by name, or an empty span. */
struct span xmpp_event_attr(const struct xmpp_event *e, struct span name);

#endif
