/* user/basic.c -- see basic.h. In: a field's value. Out: credentials, or what is wrong with them. */
#include "user/basic.h"

#include <errno.h>
#include <string.h>

#include "user/base64.h"

static bool user_good(const char *s)
{
	return http_token_user_good(span_str(s)) && !strpbrk(s, "/\\%") && s[strspn(s, ".")];
}

static bool password_good(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

int basic_parse(struct span value, struct basic *out, const char **detail)
{
	char raw[HTTP_TOKEN_USER_MAX + BASIC_PASSWORD_MAX];
	struct span text, colon;
	ssize_t n;
	int err = -EBADMSG;

	if (!span_ieq(span_cut(value, 0, 6), SPAN("Basic ")))
		return -ENOENT;
	text = span_cut(value, 6, value.n);
	while (text.n && text.p[0] == ' ') /* RFC 9110 11.4: 1*SP */
		text = span_cut(text, 1, text.n);
	n = base64_read(text, BASE64, raw, sizeof(raw));
	colon = span_of(raw, n > 0 ? (size_t)n : 0);
	colon.p = n > 0 ? memchr(raw, ':', (size_t)n) : NULL;
	*detail = "wanted base64 of USER:PASSWORD";
	if (!colon.p)
		goto out;
	*detail = "wanted a user name of 1..127 bytes of UTF-8 without control characters, '/', "
		  "'\\' and '%'";
	if (span_copy(span_of(raw, (size_t)((const char *)colon.p - raw)), out->user,
		      sizeof(out->user)) <= 0 ||
	    !user_good(out->user))
		goto out;
	*detail = "wanted a password of at most 512 bytes without control characters";
	colon = span_of(colon.p + 1, (size_t)(raw + n - (const char *)colon.p) - 1);
	if (!password_good(colon) || span_copy(colon, out->password, sizeof(out->password)) < 0 ||
	    span_copy(text, out->text, sizeof(out->text)) < 0)
		goto out;
	err = 0;
out:
	explicit_bzero(raw, sizeof(raw));
	if (err)
		basic_wipe(out);
	return err;
}

void basic_wipe(struct basic *b)
{
	explicit_bzero(b, sizeof(*b));
}
