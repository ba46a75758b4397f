/* sip/token.h -- tokens that only cores can make and check: in Path, Contact, Record-Route and Via branches.
 *
 * In: a kind and the ids it names. Out: base64url text: kind and version (1 byte), core (4), ids (8 or 16), MAC (12),
 * all of HMAC-SHA256 truncated to 96 bits. Stateless: what a token names may be gone. Comparison takes constant time. */
#ifndef SALLYPORT_SIP_TOKEN_H
#define SALLYPORT_SIP_TOKEN_H

#include <stdint.h>

#include "user/span.h"

struct engine;

enum token_kind {			/* high nibble: version 1 */
		  TOKEN_PATH = 0x11,	/* id: binding */
		  TOKEN_CALL = 0x12,	/* id: call, binding: whose client */
		  TOKEN_BRANCH = 0x13,	/* id: transaction */
		  TOKEN_CONTACT = 0x14, /* id: binding */
};

struct token {
	enum token_kind kind;
	uint64_t id, binding;
};

#define TOKEN_TEXT_MAX 48

/* Returns @out. */
const char *token_make(const struct engine *e, const struct token *t, char out[TOKEN_TEXT_MAX]);
/* 0, -EBADMSG (not a token of ours by form or MAC), -ENOENT (another core's). */
int token_read(const struct engine *e, struct span text, struct token *out);

#endif
