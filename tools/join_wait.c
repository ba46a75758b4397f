/* tools/join_wait.c -- see join_wait.h. In: connections. Out: lines for the operator, an exit status. */
#include "tools/join_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_MS	   1000 /* how often the open tokens are looked at */
#define ANSWER_S   5
#define ANSWER_MAX 4096

struct waiting {
	const struct ctl_options *o;
	const struct join_server *s;
	int listener, worker; /* -1: not that one */
};

/* ---- where connections come from ---- */

static int listen_at(const char *text)
{
	struct sockaddr_storage ss;
	struct addr a;
	int fd, one = 1, err;
	socklen_t len;

	if (addr_parse(span_str(text), &a))
		return -EINVAL;
	len = addr_to_sockaddr(&a, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&ss, len) || listen(fd, 16)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* One line, byte by byte: what follows it carries descriptors. */
static json_t *answer_line(int fd)
{
	char line[ANSWER_MAX];
	json_error_t e;
	size_t n = 0;

	while (n < sizeof(line) && read(fd, line + n, 1) == 1)
		if (line[n++] == '\n')
			return json_loadb(line, n, 0, &e);
	return NULL;
}

/* The worker's end of our connection to it; -ENOENT and -ECONNREFUSED: there is none. */
static int worker_open(const char *path, char *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = ANSWER_S}, none = {};
	const char *error;
	json_t *a;
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    write(fd, "{\"cmd\":\"invite\"}\n", 17) != 17) {
		err = -errno;
		close(fd);
		return err;
	}
	a = answer_line(fd);
	error = json_string_value(json_object_get(a, "error"));
	if (json_is_true(json_object_get(a, "waiting"))) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
		json_decref(a);
		return fd;
	}
	snprintf(why, JOIN_WHY_MAX, "the running sallyport-edge does not help: %.200s",
		 error ? error : "it does not answer");
	json_decref(a);
	close(fd);
	return -EPROTO;
}

/* The next connection from the worker; -EAGAIN: a byte without one; -EPIPE: it is gone. */
static int worker_take(int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c;
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	int got;

	if (n < 0 && errno == EINTR)
		return -EAGAIN;
	if (n <= 0)
		return -EPIPE;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EAGAIN;
	memcpy(&got, CMSG_DATA(c), sizeof(got));
	return got;
}

static int source_open(struct waiting *w, const struct config_edge *cfg, const char *admin)
{
	char why[JOIN_WHY_MAX] = "";

	w->listener = -1;
	w->worker = worker_open(admin, why);
	if (w->worker >= 0)
		return 0;
	if (w->worker != -ENOENT && w->worker != -ECONNREFUSED) {
		fprintf(stderr, "sallyctl: %s: %s\n", admin, *why ? why : strerror(-w->worker));
		return w->worker;
	}
	w->listener = listen_at(cfg->link.listen[0]);
	if (w->listener >= 0)
		return 0;
	fprintf(stderr, "sallyctl: cannot listen on %s, the link's address: %s%s\n",
		cfg->link.listen[0], strerror(-w->listener),
		w->listener == -EADDRINUSE ? "; is sallyport-edge running with another \"admin\" "
					     "socket (-s SOCKET), or an invitation waiting already?"
					   : "");
	return w->listener;
}

static void source_close(struct waiting *w)
{
	if (w->listener >= 0)
		close(w->listener);
	if (w->worker >= 0)
		close(w->worker);
}

/* ---- what the operator sees ---- */

static const char *utc(uint64_t s, char out[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm);
	return out;
}

/* @why: NULL: @core has joined. */
static void tell(const struct waiting *w, const char *core, const char *from, const char *why)
{
	char plain[JOIN_WHY_MAX];
	json_t *o;

	if (w->o->json) {
		o = json_pack("{s:s,s:s}", why ? "refused" : "joined", why ? why : core, "from",
			      from);
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else if (!why) {
		printf("%s has joined, from %s.\n", core, from);
	} else {
		printf("%s: refused: %s\n", from, ctl_plain(why, plain, sizeof(plain)));
	}
	fflush(stdout);
}

static void open_row(void *arg, const struct join_record *r)
{
	const struct waiting *w = arg;
	char when[32];

	if (!w->o->json)
		printf("waiting for %s, until %s\n", r->core, utc(r->expires, when));
}

static int source_next(struct waiting *w)
{
	struct pollfd p = {.fd = w->worker >= 0 ? w->worker : w->listener, .events = POLLIN};
	int fd;

	if (poll(&p, 1, LOOK_MS) <= 0)
		return -EAGAIN;
	if (w->worker >= 0)
		return worker_take(w->worker);
	fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	return fd < 0 ? -EAGAIN : fd;
}

int join_wait(const struct ctl_options *o, const struct join_server *s,
	      const struct config_edge *cfg, const char *admin)
{
	struct waiting w = {.o = o, .s = s};
	unsigned left = join_store_each(s->dir, (uint64_t)time(NULL), NULL, NULL), joined = 0;
	unsigned wanted = left;
	char core[JOIN_NAME_MAX], from[ADDR_TEXT_MAX], why[JOIN_WHY_MAX];
	int fd, err;

	if (!left) {
		fprintf(stderr,
			"sallyctl: no token is open: sallyctl invite --core NAME makes one\n");
		return 1;
	}
	if (source_open(&w, cfg, admin))
		return 1;
	join_store_each(s->dir, (uint64_t)time(NULL), open_row, &w);
	fflush(stdout);
	while (left) {
		fd = source_next(&w);
		if (fd == -EPIPE) { /* a worker that changed places: its successor has the port */
			source_close(&w);
			usleep(200000);
			if (source_open(&w, cfg, admin))
				return 1;
		} else if (fd >= 0) {
			err = join_serve_one(s, fd, core, from, why);
			tell(&w, core, from, err ? why : NULL);
			joined += !err;
		}
		left = join_store_each(s->dir, (uint64_t)time(NULL), NULL, NULL);
	}
	source_close(&w);
	if (joined >= wanted)
		return 0;
	fprintf(stderr,
		"sallyctl: %u of %u tokens were not used in time, or in vain: sallyctl invite "
		"--core NAME makes another one\n",
		wanted - joined, wanted);
	return 1;
}

int join_invite(const struct ctl_options *o, const struct join_server *s,
		const struct config_edge *cfg, const char *admin, const char *core,
		const char *const *domains, unsigned n, uint64_t seconds, bool wait)
{
	char text[JOIN_TOKEN_MAX], when[32];
	struct join_token t;
	int err = join_server_token(s, core, domains, n, cfg->link.listen[0],
				    (uint64_t)time(NULL) + seconds, &t);

	if (!err)
		err = join_token_write(&t, text);
	OPENSSL_cleanse(t.secret, sizeof(t.secret));
	if (err) {
		fprintf(stderr, "sallyctl: %s/join: no token could be made: %s\n", s->dir,
			strerror(-err));
		return 1;
	}
	if (o->json)
		printf("{\"token\":\"%s\",\"core\":\"%s\",\"expires\":%llu}\n", text, core,
		       (unsigned long long)t.expires);
	else
		printf("\nToken for %s, good once, until %s:\n\n%s\n\n"
		       "On the core, as root:\n\n  sallyctl join TOKEN --call-server "
		       "HOST[:PORT]\n\n",
		       core, utc(t.expires, when), text);
	OPENSSL_cleanse(text, sizeof(text));
	fflush(stdout);
	return wait ? join_wait(o, s, cfg, admin) : 0;
}
