/* user/basic.h -- HTTP Basic credentials (RFC 7617), read strictly.
 *
 * In: the value of an Authorization field. Out: user and password, to be wiped by the caller. One reading: base64 with its
 * padding and without left-over bits, the user up to the first colon, no control characters in either, and a user name that
 * can stand in a URL's segment as it is: no '/', '\' or '%', and not only dots. No allocation. */
#ifndef SALLYPORT_BASIC_H
#define SALLYPORT_BASIC_H

#include "user/http_token.h"

#define BASIC_PASSWORD_MAX 512 /* bytes */
#define BASIC_TEXT_MAX	   ((HTTP_TOKEN_USER_MAX + BASIC_PASSWORD_MAX + 2) / 3 * 4)

struct basic {
	char user[HTTP_TOKEN_USER_MAX];
	char password[BASIC_PASSWORD_MAX + 1];
	char text[BASIC_TEXT_MAX + 1]; /* the base64, to be sent on */
};

/* 0; -ENOENT: another scheme; -EBADMSG with *detail: Basic that cannot be read. */
int basic_parse(struct span value, struct basic *out, const char **detail);
void basic_wipe(struct basic *b);

#endif
