/* user/admin.c -- the unix socket for sallyctl: one request line in, one answer line out, closed. See admin.h. */
#include "user/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADMIN_CONNS   16
#define ADMIN_REQUEST 4096
#define ADMIN_LIFE_MS 5000

struct admin_conn {
	struct admin *admin;
	int fd;
	struct loop_handle op;
	struct loop_timer timer;
	char request[ADMIN_REQUEST];
	size_t n;
	char *answer; /* NULL while the request is read */
	size_t len, sent;
};

struct admin {
	struct loop *loop;
	const struct admin_cmd *cmds;
	unsigned n_cmds;
	void *arg;
	struct loop_handle accept;
	struct admin_conn *conns[ADMIN_CONNS];
};

static void admin_conn_end(struct admin_conn *c)
{
	unsigned i;

	for (i = 0; i < ADMIN_CONNS; i++)
		if (c->admin->conns[i] == c)
			c->admin->conns[i] = NULL;
	loop_cancel(c->admin->loop, &c->op);
	loop_timer_cancel(c->admin->loop, &c->timer);
	close(c->fd);
	free(c->answer);
	free(c);
}

static void admin_on_timeout(void *arg)
{
	admin_conn_end(arg);
}

static json_t *admin_run(struct admin *a, const char *line, size_t n)
{
	json_error_t err;
	json_t *req = json_loadb(line, n, 0, &err), *answer = NULL;
	const char *cmd = json_string_value(json_object_get(req, "cmd"));
	unsigned i;

	for (i = 0; cmd && i < a->n_cmds; i++)
		if (!strcmp(a->cmds[i].name, cmd))
			answer = a->cmds[i].fn(a->arg, req);
	if (!answer && !req)
		answer = json_pack("{s:s}", "error",
				   "wanted one line of JSON: {\"cmd\":\"status\"}");
	else if (!answer)
		answer = json_pack("{s:s, s:s}", "error", "unknown command", "cmd", cmd ? cmd : "");
	json_decref(req);
	return answer;
}

static void admin_on_writable(void *arg, int revents);

static void admin_write(struct admin_conn *c)
{
	ssize_t n = 0;

	while (c->sent < c->len) {
		n = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	if (c->sent == c->len || errno != EAGAIN ||
	    loop_poll(c->admin->loop, c->fd, POLLOUT, false, admin_on_writable, c, &c->op))
		admin_conn_end(c);
}

static void admin_on_writable(void *arg, int revents)
{
	struct admin_conn *c = arg;

	c->op = (struct loop_handle){0, 0};
	if (revents < 0)
		admin_conn_end(c);
	else
		admin_write(c);
}

static void admin_answer(struct admin_conn *c, size_t line_n)
{
	json_t *answer = admin_run(c->admin, c->request, line_n);
	size_t n;

	c->answer = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!c->answer) {
		admin_conn_end(c);
		return;
	}
	n = strlen(c->answer);
	c->answer[n] = '\n'; /* in place of the terminator: len tells the end */
	c->len = n + 1;
	admin_write(c);
}

static void admin_on_readable(void *arg, int revents)
{
	struct admin_conn *c = arg;
	char *end;
	ssize_t n;

	c->op = (struct loop_handle){0, 0};
	n = revents < 0 ? revents
			: recv(c->fd, c->request + c->n, sizeof(c->request) - c->n, MSG_DONTWAIT);
	if (n <= 0) {
		admin_conn_end(c);
		return;
	}
	c->n += (size_t)n;
	end = memchr(c->request, '\n', c->n);
	if (end)
		admin_answer(c, (size_t)(end - c->request));
	else if (c->n == sizeof(c->request) ||
		 loop_poll(c->admin->loop, c->fd, POLLIN, false, admin_on_readable, c, &c->op))
		admin_conn_end(c);
}

static void admin_on_accept(void *arg, int fd)
{
	struct admin *a = arg;
	struct admin_conn *c;
	unsigned i;

	if (fd < 0)
		return;
	for (i = 0; i < ADMIN_CONNS && a->conns[i]; i++)
		;
	c = i < ADMIN_CONNS ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	c->admin = a;
	c->fd = fd;
	c->timer = (struct loop_timer){.fn = admin_on_timeout, .arg = c};
	a->conns[i] = c;
	if (loop_timer_set(a->loop, &c->timer, ADMIN_LIFE_MS) ||
	    loop_poll(a->loop, fd, POLLIN, false, admin_on_readable, c, &c->op))
		admin_conn_end(c);
}

int admin_new(struct loop *l, int listen_fd, const struct admin_cmd *cmds, unsigned n, void *arg,
	      struct admin **out)
{
	struct admin *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	*a = (struct admin){.loop = l, .cmds = cmds, .n_cmds = n, .arg = arg};
	err = loop_accept(l, listen_fd, admin_on_accept, a, &a->accept);
	if (err) {
		free(a);
		return err;
	}
	*out = a;
	return 0;
}

void admin_free(struct admin *a)
{
	unsigned i;

	if (!a)
		return;
	loop_cancel(a->loop, &a->accept);
	for (i = 0; i < ADMIN_CONNS; i++)
		if (a->conns[i])
			admin_conn_end(a->conns[i]);
	free(a);
}
