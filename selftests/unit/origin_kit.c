/* selftests/unit/origin_kit.c -- see origin_kit.h. */
#include "selftests/unit/origin_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE (256u << 10)

struct origin_conn {
	struct origin *o;
	struct conn *c;
	struct origin_conn *prev, *next;
	uint8_t in[65536];
	size_t n;
	bool body, websocket, close, quiet, chunked;
	struct http_body b;
	uint64_t left, at; /* of the pattern to be sent */
};

void origin_pattern(uint64_t from, uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)((from + i) * 2654435761u >> 13);
}

uint64_t origin_sum(uint64_t sum, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 1099511628211ull;
	return sum;
}

static void over(struct origin_conn *x, bool orderly)
{
	*(x->prev ? &x->prev->next : &x->o->list) = x->next;
	if (x->next)
		x->next->prev = x->prev;
	x->o->open--;
	(orderly ? conn_close : conn_abort)(x->c);
	free(x);
}

static void say(struct origin_conn *x, const char *text)
{
	if (conn_write(x->c, span_str(text)))
		abort();
}

/* As much of the pattern as there is room for. False: the connection is over. */
static bool send_pattern(struct origin_conn *x)
{
	static uint8_t block[32768];
	char size[32];

	while (x->left && conn_room(x->c) >= sizeof(block) + 64) {
		size_t n = x->left < sizeof(block) ? (size_t)x->left : sizeof(block);

		origin_pattern(x->at, block, n);
		if (x->chunked) {
			(void)snprintf(size, sizeof(size), "%zx;x=\"y\"\r\n", n);
			say(x, size);
		}
		if (conn_write(x->c, span_of(block, n)))
			return true; /* down() follows */
		if (x->chunked)
			say(x, "\r\n");
		x->at += n;
		x->left -= n;
		if (!x->left && x->chunked)
			say(x, "0\r\nX-Trailer: t\r\n\r\n");
	}
	if (!x->left && x->close) {
		over(x, true);
		return false;
	}
	return true;
}

static bool answer_bytes(struct origin_conn *x, struct span path, size_t skip, const char *fields)
{
	char text[256];

	x->left = strtoull((const char *)path.p + skip, NULL, 10);
	x->at = 0;
	if (strstr(fields, "Length"))
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s: %llu\r\n\r\n", fields,
			       (unsigned long long)x->left);
	else
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", fields);
	say(x, text);
	return send_pattern(x);
}

static bool begins(struct span s, const char *with)
{
	return s.n >= strlen(with) && !memcmp(s.p, with, strlen(with));
}

/* Every user is at home here, with any password. */
static void answer_uds(struct origin_conn *x, struct span path)
{
	const char *body =
		begins(path, "/cucm-uds/clusterUser")
			? "<clusterUser><result uri=\"x\" found=\"true\"/><homeCluster "
			  "serversUri=\"https://127.0.0.1:8443/cucm-uds/servers\">127.0.0.1"
			  "</homeCluster></clusterUser>"
			: "<user><id>1</id><userName>alice</userName></user>";
	char text[512];

	(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		       strlen(body), body);
	say(x, text);
}

static bool answer(struct origin_conn *x, const struct http_head *h)
{
	struct span path = h->target.path;
	char text[sizeof(x->o->head) + 256];

	if (x->o->answer) {
		say(x, x->o->answer);
	} else if (begins(path, "/bytes/")) {
		x->chunked = false;
		return answer_bytes(x, path, 7, "Content-Length");
	} else if (begins(path, "/chunked/")) {
		x->chunked = true;
		return answer_bytes(x, path, 9, "Transfer-Encoding: chunked\r\n");
	} else if (begins(path, "/close/")) {
		x->close = true;
		return answer_bytes(x, path, 7, "");
	} else if (begins(path, "/ws")) {
		x->websocket = true;
		say(x, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		       "Upgrade\r\n"
		       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
		x->left = begins(path, "/ws/") ? strtoull((const char *)path.p + 4, NULL, 10) : 0;
		x->chunked = false;
		return send_pattern(x);
	} else if (begins(path, "/drop")) {
		over(x, true);
		return false;
	} else if (begins(path, "/cut")) {
		say(x, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
		over(x, true);
		return false;
	} else if (begins(path, "/bad")) {
		say(x, "HTTP/1.1 200 OK\nContent-Length: 0\n\n");
	} else if (begins(path, "/last")) {
		say(x, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
		over(x, true);
		return false;
	} else if (begins(path, "/quiet")) {
		say(x, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
		over(x, true);
		return false;
	} else if (begins(path, "/cucm-uds/")) {
		answer_uds(x, path);
	} else if (!begins(path, "/silent")) {
		(void)snprintf(text, sizeof(text),
			       "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			       h->method == HTTP_M_HEAD ? (size_t)5 : strlen(x->o->head),
			       h->method == HTTP_M_HEAD ? "" : x->o->head);
		say(x, text);
	}
	return true;
}

static void answer_body(struct origin_conn *x)
{
	char body[64], text[256];

	(void)snprintf(body, sizeof(body), "n=%llu sum=%llx", (unsigned long long)x->o->body_bytes,
		       (unsigned long long)x->o->body_sum);
	(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		       strlen(body), body);
	say(x, text);
}

static bool take_head(struct origin_conn *x)
{
	struct http_refusal why;
	struct http_head h;
	ssize_t n = http_request_parse(span_of(x->in, x->n), &http_limits_default, &h, &why);

	if (n == -EAGAIN)
		return false;
	if (n < 0) { /* what the relay sends is HTTP */
		char text[HTTP_REFUSAL_TEXT];

		(void)fprintf(stderr, "origin: %s\n", http_refusal_text(&why, text, sizeof(text)));
		abort();
	}
	x->o->requests++;
	(void)snprintf(x->o->head, sizeof(x->o->head), "%.*s", (int)n, (const char *)x->in);
	http_body_request(&h, &http_limits_default, &x->b);
	if (!x->b.done) {
		x->body = true;
		x->o->body_bytes = 0;
		x->o->body_sum = 0;
		if (begins(h.target.path, "/continue"))
			say(x, "HTTP/1.1 100 Continue\r\n\r\n");
		if (begins(h.target.path, "/early")) {
			say(x, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
			conn_pause(x->c, true);
		}
	} else if (!answer(x, &h)) {
		return false;
	}
	memmove(x->in, x->in + n, x->n - (size_t)n);
	x->n -= (size_t)n;
	return true;
}

static bool take_body(struct origin_conn *x)
{
	struct http_refusal why;
	struct http_piece p;

	if (!x->n)
		return false;
	if (http_body_next(&x->b, span_of(x->in, x->n), &p, &why))
		abort();
	x->o->body_bytes += p.content;
	x->o->body_sum = origin_sum(x->o->body_sum, x->in + p.framing, p.content);
	x->n -= p.framing + p.content;
	memmove(x->in, x->in + p.framing + p.content, x->n);
	if (x->b.done) {
		x->body = false;
		answer_body(x);
	}
	return true;
}

static void on_readable(void *arg)
{
	struct origin_conn *x = arg;
	struct origin *o = x->o;

	for (;;) {
		ssize_t n = conn_read(x->c, x->in + x->n, sizeof(x->in) - x->n);
		unsigned open = o->open;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			over(x, n == 0);
			return;
		}
		x->n += (size_t)n;
		if (x->websocket) {
			if (!x->left && conn_write(x->c, span_of(x->in, x->n)))
				abort();
			x->n = 0;
			continue;
		}
		while (open == o->open && x->n && (x->body ? take_body(x) : take_head(x)))
			;
		if (open != o->open)
			return;
	}
}

static void on_drained(void *arg)
{
	struct origin_conn *x = arg;

	if (x->left)
		(void)send_pattern(x);
}

static void on_down(void *arg, int err, const char *why)
{
	(void)err;
	(void)why;
	over(arg, false);
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static const struct conn_ops ops = {
	.up = on_nothing, .readable = on_readable, .drained = on_drained, .down = on_down};

static void on_accept(void *arg, int fd)
{
	struct origin *o = arg;
	struct origin_conn *x = calloc(1, sizeof(*x));
	struct conn_params cp = {
		.loop = o->loop, .tls = o->tls, .queue_max = QUEUE, .ops = &ops, .arg = x};

	if (fd < 0 || !x)
		abort();
	x->o = o;
	o->conns++;
	if (conn_accept(&cp, fd, &x->c)) {
		free(x);
		return;
	}
	o->open++;
	x->next = o->list;
	if (o->list)
		o->list->prev = x;
	o->list = x;
}

void origin_open(struct origin *o, struct loop *l, struct tls_ctx *tls, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t n = sizeof(in);
	int one = 1;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*o = (struct origin){.loop = l, .tls = tls};
	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	(void)setsockopt(o->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(o->fd, (struct sockaddr *)&in, n) || listen(o->fd, 128) ||
	    getsockname(o->fd, (struct sockaddr *)&in, &n) ||
	    addr_from_sockaddr((struct sockaddr *)&in, &o->addr) ||
	    loop_accept(l, o->fd, on_accept, o, &o->accept))
		abort();
}

void origin_close(struct origin *o)
{
	if (o->fd < 0)
		return;
	loop_cancel(o->loop, &o->accept);
	close(o->fd);
	o->fd = -1;
	while (o->list)
		over(o->list, false);
}

void origin_hang_up(struct origin *o)
{
	struct origin_conn *x, *next;

	for (x = o->list; x; x = next) {
		next = x->next;
		if (!x->body && !x->left && !x->websocket)
			over(x, true);
	}
}
