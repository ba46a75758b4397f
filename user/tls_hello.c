/* user/tls_hello.c -- name and protocols of a ClientHello (RFC 8446 4.1.2). See tls_hello.h.
 *
 * In: bytes. Out: slices of them. Every field is cut from what is left; one that is longer than that is an error. */
#include "user/tls_hello.h"

#include <errno.h>

#define EXT_SERVER_NAME 0
#define EXT_ALPN	16

/* Cut @n bytes off the front of @s. */
static bool take(struct span *s, size_t n, struct span *out)
{
	if (n > s->n)
		return false;
	*out = span_cut(*s, 0, n);
	*s = span_cut(*s, n, s->n);
	return true;
}

/* Cut a field off that begins with its length in @bytes bytes. */
static bool take_field(struct span *s, size_t bytes, struct span *out)
{
	struct span head;
	size_t n = 0, i;

	if (!take(s, bytes, &head))
		return false;
	for (i = 0; i < bytes; i++)
		n = n << 8 | head.p[i];
	return take(s, n, out);
}

/* One host_name, and nothing else (RFC 6066 3). */
static const char *server_name(struct span ext, struct tls_hello *out)
{
	struct span list, type, name;
	size_t i;

	if (!take_field(&ext, 2, &list) || ext.n)
		return "server name: lengths";
	if (!take(&list, 1, &type) || type.p[0] != 0 || !take_field(&list, 2, &name) || list.n ||
	    !name.n || name.n > 255)
		return "server name: wanted one host name";
	for (i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return "server name: wanted printable ASCII";
	out->sni = name;
	return NULL;
}

static const char *alpn(struct span ext, struct tls_hello *out)
{
	struct span list, rest, name;

	if (!take_field(&ext, 2, &list) || ext.n || !list.n)
		return "ALPN: lengths";
	for (rest = list; rest.n;)
		if (!take_field(&rest, 1, &name) || !name.n)
			return "ALPN: lengths";
	out->alpn = list;
	return NULL;
}

static const char *extensions(struct span all, struct tls_hello *out)
{
	bool named = false, protocols = false;
	struct span type, ext;
	const char *why = NULL;
	unsigned id;

	while (all.n && !why) {
		if (!take(&all, 2, &type) || !take_field(&all, 2, &ext))
			return "extensions: lengths";
		id = (unsigned)type.p[0] << 8 | type.p[1];
		if ((id == EXT_SERVER_NAME && named) || (id == EXT_ALPN && protocols))
			return "an extension twice";
		named |= id == EXT_SERVER_NAME;
		protocols |= id == EXT_ALPN;
		if (id == EXT_SERVER_NAME)
			why = server_name(ext, out);
		else if (id == EXT_ALPN)
			why = alpn(ext, out);
	}
	return why;
}

static const char *body(struct span s, struct tls_hello *out)
{
	struct span skip, all;

	/* version, random, session id, cipher suites, compression methods */
	if (!take(&s, 2, &skip) || skip.p[0] != 3 || !take(&s, 32, &skip) ||
	    !take_field(&s, 1, &skip) || skip.n > 32 || !take_field(&s, 2, &skip) ||
	    !take_field(&s, 1, &skip))
		return "ClientHello: lengths";
	if (!s.n)
		return NULL; /* no extensions at all */
	if (!take_field(&s, 2, &all) || s.n)
		return "ClientHello: lengths";
	return extensions(all, out);
}

ssize_t tls_hello_parse(struct span in, struct tls_hello *out, const char **why)
{
	struct tls_hello h = {};
	struct span rest = in, head, record, message;
	const char *bad = NULL;

	if (in.n && in.p[0] != 0x16)
		bad = "wanted a handshake record";
	else if (in.n > 1 && in.p[1] != 3)
		bad = "wanted TLS";
	else if (in.n < 5)
		return -EAGAIN;
	else if (((size_t)in.p[3] << 8 | in.p[4]) > TLS_HELLO_MAX - 5)
		bad = "record too long";
	if (bad) {
		*why = bad;
		return -EBADMSG;
	}
	take(&rest, 3, &head);
	if (!take_field(&rest, 2, &record))
		return -EAGAIN;
	if (!take(&record, 1, &head) || head.p[0] != 1)
		bad = "wanted a ClientHello";
	else if (!take_field(&record, 3, &message) || record.n)
		bad = "wanted one ClientHello in one record";
	else
		bad = body(message, &h);
	if (bad) {
		*why = bad;
		return -EBADMSG;
	}
	*out = h;
	return (ssize_t)(in.n - rest.n);
}

bool tls_hello_alpn(const struct tls_hello *h, struct span protocol)
{
	struct span rest = h->alpn, name;

	while (take_field(&rest, 1, &name))
		if (span_eq(name, protocol))
			return true;
	return false;
}

void tls_alert_write(uint8_t description, uint8_t out[TLS_ALERT_BYTES])
{
	const uint8_t alert[TLS_ALERT_BYTES] = {0x15, 3, 3, 0, 2, 2, description};

	memcpy(out, alert, sizeof(alert));
}
