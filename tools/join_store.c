/* tools/join_store.c -- see join_store.h. In: records. Out: small JSON files in DIR/join. */
#include "tools/join_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "tools/stage.h"

#define KEEP_S	 (30u * 86400)
#define OPEN_EXT ".open"
#define USED_EXT ".used"

static int place(char out[JOIN_PATH_MAX], const char *dir, const char *id, const char *ext)
{
	int n = snprintf(out, JOIN_PATH_MAX, "%s/join/%s%s", dir, id, ext);

	return n < 0 || n >= JOIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

static json_t *to_json(const struct join_record *r)
{
	json_t *o = json_pack("{s:s,s:I,s:[]}", "core", r->core, "expires", (json_int_t)r->expires,
			      "domains");
	char hex[2 * JOIN_SECRET + 1];
	unsigned i;

	for (i = 0; i < r->n_domains; i++)
		json_array_append_new(json_object_get(o, "domains"), json_string(r->domains[i]));
	if (r->used) {
		json_object_set_new(o, "used", json_integer((json_int_t)r->used));
		json_object_set_new(o, "by", json_string(r->by));
		return o;
	}
	join_hex(r->secret, JOIN_SECRET, hex);
	json_object_set_new(o, "secret", json_string(hex));
	OPENSSL_cleanse(hex, sizeof(hex));
	return o;
}

static int from_json(const json_t *o, struct join_record *r)
{
	const char *core = json_string_value(json_object_get(o, "core")), *s;
	const json_t *v;
	size_t i;

	if (!core || strlen(core) >= sizeof(r->core) ||
	    json_integer_value(json_object_get(o, "expires")) <= 0)
		return -EBADMSG;
	strcpy(r->core, core);
	r->expires = (uint64_t)json_integer_value(json_object_get(o, "expires"));
	r->used = (uint64_t)json_integer_value(json_object_get(o, "used"));
	json_array_foreach(json_object_get(o, "domains"), i, v)
	{
		s = json_string_value(v);
		if (!s || strlen(s) >= JOIN_NAME_MAX || r->n_domains == JOIN_DOMAINS_MAX)
			return -EBADMSG;
		strcpy(r->domains[r->n_domains++], s);
	}
	s = json_string_value(json_object_get(o, "by"));
	snprintf(r->by, sizeof(r->by), "%s", s ? s : "");
	s = json_string_value(json_object_get(o, "secret"));
	return r->used || !join_unhex(s, r->secret, JOIN_SECRET) ? 0 : -EBADMSG;
}

static int write_record(const char *dir, const struct join_record *r, const char *ext)
{
	struct stage s = {.force = true};
	char path[JOIN_PATH_MAX], old[JOIN_PATH_MAX + 8], why[STAGE_WHY_MAX];
	json_t *o = to_json(r);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int err = place(path, dir, r->id, ext);

	if (!text)
		err = -ENOMEM;
	if (!err)
		err = stage_add(&s, path, 0600, span_str(text), why);
	if (!err)
		err = stage_commit(&s, why);
	stage_drop(&s);
	snprintf(old, sizeof(old), "%s.old", path); /* it would still have the secret in it */
	unlink(old);
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	json_decref(o);
	return err;
}

/* "0123456789abcdef.open" */
static bool is_record(const char *name, const char *ext, char id[JOIN_ID_MAX])
{
	uint8_t raw[JOIN_ID_MAX / 2];

	if (strlen(name) != JOIN_ID_MAX - 1 + strlen(ext) || strcmp(name + JOIN_ID_MAX - 1, ext))
		return false;
	memcpy(id, name, JOIN_ID_MAX - 1);
	id[JOIN_ID_MAX - 1] = 0;
	return join_unhex(id, raw, sizeof(raw)) == 0;
}

static void remove_old(const char *dir)
{
	char folder[JOIN_PATH_MAX], path[JOIN_PATH_MAX + 300], id[JOIN_ID_MAX];
	time_t now = time(NULL);
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/join", dir);
	d = opendir(folder);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if ((is_record(e->d_name, OPEN_EXT, id) || is_record(e->d_name, USED_EXT, id)) &&
		    !stat(path, &st) && st.st_mtime + KEEP_S < now)
			unlink(path);
	}
	if (d)
		closedir(d);
}

int join_store_put(const char *dir, const struct join_record *r)
{
	char folder[JOIN_PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/join", dir);
	if (mkdir(folder, 0700) && errno != EEXIST)
		return -errno;
	remove_old(dir);
	return write_record(dir, r, OPEN_EXT);
}

static int read_record(const char *dir, const char *id, const char *ext, struct join_record *out)
{
	struct join_record r = {};
	char path[JOIN_PATH_MAX];
	json_error_t e;
	json_t *o;
	int err = place(path, dir, id, ext);

	if (err)
		return err;
	if (access(path, R_OK))
		return -errno;
	o = json_load_file(path, 0, &e);
	snprintf(r.id, sizeof(r.id), "%s", id);
	err = o ? from_json(o, &r) : -EBADMSG;
	json_decref(o);
	if (!err)
		*out = r;
	OPENSSL_cleanse(&r, sizeof(r));
	return err;
}

int join_store_get(const char *dir, const char *id, struct join_record *out)
{
	int err = read_record(dir, id, OPEN_EXT, out);

	if (err != -ENOENT)
		return err;
	err = read_record(dir, id, USED_EXT, out);
	return err ? err : -EALREADY;
}

int join_store_take(const char *dir, const char *id)
{
	char from[JOIN_PATH_MAX], to[JOIN_PATH_MAX];
	int err = place(from, dir, id, OPEN_EXT);

	if (!err)
		err = place(to, dir, id, USED_EXT);
	if (!err && rename(from, to))
		err = errno == ENOENT ? -EALREADY : -errno;
	return err;
}

int join_store_used(const char *dir, const struct join_record *r)
{
	return write_record(dir, r, USED_EXT);
}

unsigned join_store_each(const char *dir, uint64_t now,
			 void (*fn)(void *arg, const struct join_record *r), void *arg)
{
	char folder[JOIN_PATH_MAX], id[JOIN_ID_MAX];
	struct join_record r;
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/join", dir);
	d = opendir(folder);
	while (d && (e = readdir(d))) {
		if (!is_record(e->d_name, OPEN_EXT, id) || read_record(dir, id, OPEN_EXT, &r) ||
		    r.expires <= now)
			continue;
		if (fn)
			fn(arg, &r);
		n++;
	}
	if (d)
		closedir(d);
	OPENSSL_cleanse(&r, sizeof(r));
	return n;
}
