/* sip/write.c -- a bounded writer of SIP messages. See write.h.
 *
 * In: slices and formats. Out: bytes in the caller's buffer. Once something did not fit, nothing more is written, and the end
 * tells it. */
#include "sip/write.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void sip_out_init(struct sip_out *o, void *buf, size_t cap)
{
	*o = (struct sip_out){.p = buf, .cap = cap};
}

void sip_out_span(struct sip_out *o, struct span s)
{
	if (o->overflow || s.n > o->cap - o->n) {
		o->overflow = true;
		return;
	}
	if (s.n)
		memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
}

void sip_out_text(struct sip_out *o, const char *fmt, ...)
{
	size_t room = o->cap - o->n;
	va_list ap;
	int n;

	if (o->overflow || room == 0) {
		o->overflow = true;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf((char *)o->p + o->n, room, fmt, ap);
	va_end(ap);
	/* The NUL needs room as well, so text that fits to the last byte counts as too long. */
	if (n < 0 || (size_t)n >= room)
		o->overflow = true;
	else
		o->n += (size_t)n;
}

void sip_out_header(struct sip_out *o, const char *name, struct span value)
{
	sip_out_span(o, span_str(name));
	sip_out_span(o, SPAN(": "));
	sip_out_span(o, value);
	sip_out_span(o, SPAN("\r\n"));
}

ssize_t sip_out_body(struct sip_out *o, struct span body)
{
	sip_out_text(o, "Content-Length: %zu\r\n\r\n", body.n);
	sip_out_span(o, body);
	return o->overflow ? -E2BIG : (ssize_t)o->n;
}
