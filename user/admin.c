/* user/admin.c -- the daemons' unix socket for sallyctl. See admin.h.
 *
 * In: one line of JSON a connection. Out: the command's answer as one line, then the end. Owns its connections: a fixed table, so a
 * client can neither fill memory nor stay: 5 s for the request, and 5 s for each time the answer does not move. */
#include "user/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/log.h"

#define ADMIN_CONNS_MAX	  16
#define ADMIN_REQUEST_MAX 4096
#define ADMIN_TIMEOUT_MS  5000
#define ADMIN_LATER_MS	  20000

struct admin_conn {
	struct admin *a;
	int fd;	      /* -1: free */
	uint32_t gen; /* rises with every connection */
	bool later;   /* its answer was promised */
	struct loop_handle poll;
	struct loop_timer timer;
	char in[ADMIN_REQUEST_MAX];
	size_t n_in;
	char *out; /* NULL: still reading */
	size_t n_out, at;
};

struct admin {
	struct loop *loop;
	struct loop_handle accept;
	const struct admin_cmd *cmds;
	unsigned n_cmds;
	void *arg;
	struct admin_conn conns[ADMIN_CONNS_MAX];
	struct admin_conn *asking; /* whose command's function runs */
};

static void conn_end(struct admin_conn *c)
{
	loop_cancel(c->a->loop, &c->poll);
	loop_timer_cancel(c->a->loop, &c->timer);
	close(c->fd);
	c->fd = -1;
	free(c->out);
	c->out = NULL;
}

static void conn_timeout(void *arg)
{
	struct admin_conn *c = arg;

	log_event(LOG_L_WARN, "admin-closed", "reason=%s", c->later ? "\"no answer\"" : "timeout");
	conn_end(c);
}

static void conn_ready(void *arg, int revents);

/* Wait for @events with a fresh time limit; the connection ends if the loop has no room for it. */
static void conn_wait(struct admin_conn *c, short events)
{
	if (loop_timer_set(c->a->loop, &c->timer, ADMIN_TIMEOUT_MS) ||
	    loop_poll(c->a->loop, c->fd, events, false, conn_ready, c, &c->poll)) {
		log_event(LOG_L_WARN, "admin-closed", "reason=\"no loop operation free\"");
		conn_end(c);
	}
}

/* NULL: it comes later. */
static json_t *answer(struct admin_conn *c, const char *line, size_t n)
{
	struct admin *a = c->a;
	json_error_t e;
	json_t *req = json_loadb(line, n, JSON_REJECT_DUPLICATES, &e), *res = NULL;
	const char *cmd = json_string_value(json_object_get(req, "cmd"));
	unsigned i;

	if (!req)
		return json_pack("{s:s, s:s}", "error", "not a JSON request", "detail", e.text);
	a->asking = c;
	for (i = 0; cmd && i < a->n_cmds && !res && !c->later && c->fd >= 0; i++)
		if (strcmp(a->cmds[i].name, cmd) == 0)
			res = a->cmds[i].fn(a->arg, req);
	a->asking = NULL;
	if (!res && !c->later && c->fd >= 0)
		res = json_pack("{s:s}", "error", cmd ? "unknown command" : "no command");
	json_decref(req);
	return res;
}

static void conn_write_on(struct admin_conn *c)
{
	while (c->at < c->n_out) {
		ssize_t n =
			send(c->fd, c->out + c->at, c->n_out - c->at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			conn_wait(c, POLLOUT);
			return;
		}
		if (n < 0)
			break;
		c->at += (size_t)n;
	}
	conn_end(c);
}

/* Takes @res. */
static void conn_answer(struct admin_conn *c, json_t *res)
{
	c->later = false;
	c->out = json_dumps(res, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(res);
	if (!c->out) {
		log_event(LOG_L_ERROR, "admin-closed",
			  "reason=\"answer cannot be written as JSON\"");
		conn_end(c);
		return;
	}
	/* The line's end takes the place of the terminating NUL: the length says where it stops. */
	c->n_out = strlen(c->out);
	c->out[c->n_out++] = '\n';
	c->at = 0;
	conn_write_on(c);
}

static void conn_ask(struct admin_conn *c, size_t n)
{
	json_t *res = answer(c, c->in, n);

	if (res)
		conn_answer(c, res);
	else if (c->fd >= 0 && loop_timer_set(c->a->loop, &c->timer, ADMIN_LATER_MS))
		conn_end(c);
}

struct admin_ticket admin_later(struct admin *a)
{
	a->asking->later = true;
	return (struct admin_ticket){(unsigned)(a->asking - a->conns), a->asking->gen};
}

int admin_take(struct admin *a)
{
	struct admin_conn *c = a->asking;
	int fd = c->fd;

	loop_cancel(a->loop, &c->poll);
	loop_timer_cancel(a->loop, &c->timer);
	c->fd = -1;
	return fd;
}

void admin_answer(struct admin *a, struct admin_ticket t, json_t *res)
{
	struct admin_conn *c = &a->conns[t.conn];

	if (c->fd >= 0 && c->gen == t.gen && c->later)
		conn_answer(c, res);
	else
		json_decref(res);
}

static void conn_read_on(struct admin_conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		conn_wait(c, POLLIN);
		return;
	}
	if (n <= 0) {
		conn_end(c);
		return;
	}
	c->n_in += (size_t)n;
	end = memchr(c->in, '\n', c->n_in);
	if (end) {
		conn_ask(c, (size_t)(end - c->in));
	} else if (c->n_in == sizeof(c->in)) {
		log_event(LOG_L_WARN, "admin-closed", "reason=\"request over %d bytes\"",
			  ADMIN_REQUEST_MAX);
		conn_end(c);
	} else {
		/* The time limit is the request's, not the byte's: it keeps running. */
		if (loop_poll(c->a->loop, c->fd, POLLIN, false, conn_ready, c, &c->poll))
			conn_end(c);
	}
}

static void conn_ready(void *arg, int revents)
{
	struct admin_conn *c = arg;

	c->poll = (struct loop_handle){};
	if (revents < 0)
		conn_end(c);
	else if (c->out)
		conn_write_on(c);
	else
		conn_read_on(c);
}

static void accepted(void *arg, int fd)
{
	struct admin *a = arg;
	unsigned i;

	if (fd < 0) {
		log_event(LOG_L_WARN, "admin-accept", "error=\"%s\"", strerror(-fd));
		return;
	}
	for (i = 0; i < ADMIN_CONNS_MAX; i++) {
		struct admin_conn *c = &a->conns[i];

		if (c->fd >= 0)
			continue;
		c->fd = fd;
		c->gen++;
		c->later = false;
		c->n_in = 0;
		conn_wait(c, POLLIN);
		return;
	}
	log_event(LOG_L_WARN, "admin-closed", "reason=\"%d connections already\"", ADMIN_CONNS_MAX);
	close(fd);
}

int admin_new(struct loop *l, int listen_fd, const struct admin_cmd *cmds, unsigned n, void *arg,
	      struct admin **out)
{
	struct admin *a = calloc(1, sizeof(*a));
	unsigned i;
	int err;

	if (!a)
		return -ENOMEM;
	a->loop = l;
	a->cmds = cmds;
	a->n_cmds = n;
	a->arg = arg;
	for (i = 0; i < ADMIN_CONNS_MAX; i++) {
		a->conns[i].a = a;
		a->conns[i].fd = -1;
		a->conns[i].timer.fn = conn_timeout;
		a->conns[i].timer.arg = &a->conns[i];
	}
	/* jansson seeds its hash tables from /dev/urandom at its first object: now, before the sandbox closes. */
	json_object_seed(0);
	err = loop_accept(l, listen_fd, accepted, a, &a->accept);
	if (err)
		free(a);
	else
		*out = a;
	return err;
}

void admin_free(struct admin *a)
{
	unsigned i;

	if (!a)
		return;
	loop_cancel(a->loop, &a->accept);
	for (i = 0; i < ADMIN_CONNS_MAX; i++)
		if (a->conns[i].fd >= 0)
			conn_end(&a->conns[i]);
	free(a);
}
