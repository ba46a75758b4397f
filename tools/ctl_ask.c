/* tools/ctl_ask.c -- one question to a daemon's unix socket. In: a command. Out: its answer. See tools/ctl.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/ctl.h"

#define ANSWER_MAX (64u * 1024 * 1024)

static int ctl_connect(const char *path, int seconds)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = seconds};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static json_t *ctl_read(int fd)
{
	char *text = NULL, *grown;
	size_t n = 0, cap = 0;
	json_t *answer = NULL;
	json_error_t err;
	ssize_t got;

	do {
		if (n == cap) {
			cap = cap ? 2 * cap : 65536;
			grown = cap <= ANSWER_MAX ? realloc(text, cap) : NULL;
			if (!grown)
				goto out;
			text = grown;
		}
		got = read(fd, text + n, cap - n);
		if (got > 0)
			n += (size_t)got;
	} while (got > 0);
	answer = json_loadb(text, n, 0, &err);
out:
	free(text);
	return answer;
}

json_t *ctl_ask(const char *path, const char *cmd, const char *arg, int seconds)
{
	json_t *req = json_pack("{s:s}", "cmd", cmd), *answer;
	int fd = ctl_connect(path, seconds);
	char *line;

	if (fd < 0) {
		json_decref(req);
		errno = -fd;
		return NULL;
	}
	if (arg)
		json_object_set_new(req, "arg", json_string(arg));
	line = json_dumps(req, JSON_COMPACT);
	json_decref(req);
	if (!line || dprintf(fd, "%s\n", line) < 0) {
		free(line);
		close(fd);
		return NULL;
	}
	free(line);
	answer = ctl_read(fd);
	close(fd);
	if (!answer)
		errno = EPROTO;
	return answer;
}
