/* tools/stage.c -- see stage.h. In: texts and places. Out: files, all or none. */
#include "tools/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stage *volatile guarded; /* what a signal is to remove */

static void on_signal(int sig)
{
	unsigned i;

	for (i = 0; guarded && i < *(volatile unsigned *)&guarded->n; i++)
		if (guarded->files[i].temp)
			unlink(guarded->files[i].temp);
	_exit(128 + sig);
}

void stage_guard(struct stage *s)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = s ? on_signal : SIG_DFL};
	unsigned i;

	guarded = s;
	for (i = 0; i < 3; i++)
		sigaction(signals[i], &sa, NULL);
}

static int fail(char *why, const char *path, int err)
{
	snprintf(why, STAGE_WHY_MAX, "%.300s: %s", path, strerror(-err));
	return err;
}

int stage_check(const struct stage *s, const char *path, char why[STAGE_WHY_MAX])
{
	struct stat st;

	if (s->force || lstat(path, &st))
		return 0;
	snprintf(why, STAGE_WHY_MAX,
		 "%.300s is there already, and stays; --force writes it anew and keeps it as .old",
		 path);
	return -EEXIST;
}

static int make_folder(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, 0755) && errno != EEXIST ? -errno : 0;
}

static int write_all(int fd, struct span text)
{
	size_t at = 0;
	ssize_t n;

	while (at < text.n) {
		n = write(fd, text.p + at, text.n - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

/* The mode is the new file's whatever the umask: what an account may read is part of what was asked for. */
static int write_file(const char *path, mode_t mode, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, text);
	if (!err && fchmod(fd, mode))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (err)
		unlink(path);
	return err;
}

int stage_add(struct stage *s, const char *path, mode_t mode, struct span text,
	      char why[STAGE_WHY_MAX])
{
	struct stage_file *f = &s->files[s->n];
	int err = stage_check(s, path, why);

	if (err)
		return err;
	if (s->n == STAGE_MAX || strlen(path) + 32 > PATH_MAX)
		return fail(why, path, -ENAMETOOLONG);
	err = make_folder(path);
	if (err)
		return fail(why, path, err);
	*f = (struct stage_file){.path = strdup(path)};
	if (!f->path || asprintf(&f->temp, "%s.new-%d", path, (int)getpid()) < 0) {
		free(f->path);
		return fail(why, path, -ENOMEM);
	}
	s->n++; /* before there is a file: a signal may come at any time */
	err = write_file(f->temp, mode, text);
	if (!err)
		return 0;
	s->n--;
	fail(why, f->temp, err);
	free(f->path);
	free(f->temp);
	return err;
}

static void old_name(const char *path, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%.*s.old", PATH_MAX - 8, path);
}

static int put(struct stage *s, struct stage_file *f)
{
	char old[PATH_MAX];
	struct stat st;

	old_name(f->path, old);
	f->had = lstat(f->path, &st) == 0;
	if (f->had && !s->force)
		return -EEXIST;
	if (f->had) {
		if (unlink(old) && errno != ENOENT)
			return -errno;
		if (link(f->path, old))
			return -errno;
	}
	return rename(f->temp, f->path) ? -errno : 0;
}

static void take_back(const struct stage_file *f)
{
	char old[PATH_MAX];

	old_name(f->path, old);
	if (f->had ? rename(old, f->path) : unlink(f->path))
		fprintf(stderr, "sallyctl: %s: cannot be put back: %s\n", f->path, strerror(errno));
}

static void sync_folder(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int fd;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash)
		return;
	*slash = 0;
	fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

int stage_commit(struct stage *s, char why[STAGE_WHY_MAX])
{
	unsigned i, k;
	int err = 0;

	for (i = 0; i < s->n; i++) {
		err = put(s, &s->files[i]);
		if (err)
			break;
	}
	if (err) {
		fail(why, s->files[i].path, err);
		while (i-- > 0)
			take_back(&s->files[i]);
		return err;
	}
	for (k = 0; k < s->n; k++) {
		sync_folder(s->files[k].path);
		free(s->files[k].temp);
		s->files[k].temp = NULL;
	}
	return 0;
}

void stage_drop(struct stage *s)
{
	unsigned i;

	for (i = 0; i < s->n; i++) {
		if (s->files[i].temp)
			unlink(s->files[i].temp);
		free(s->files[i].temp);
		free(s->files[i].path);
	}
	s->n = 0;
}
