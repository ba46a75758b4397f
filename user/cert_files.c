/* user/cert_files.c -- see cert_files.h. In: paths. Out: descriptors in a plan, or which file is wrong. */
#include "user/cert_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/log.h"

#define FILE_MAX 262144u
char *cert_files_read(const char *path, size_t *n, char *why, size_t why_n)
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(FILE_MAX + 1) : NULL;

	if (!text) {
		snprintf(why, why_n, "%s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	*n = fread(text, 1, FILE_MAX, f);
	text[*n] = 0;
	if (ferror(f) || fgetc(f) != EOF || strlen(text) != *n) {
		snprintf(why, why_n, "%s: cannot be read, is no text, or is over %u bytes", path,
			 FILE_MAX);
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static void wipe(char *text, size_t n)
{
	if (text)
		explicit_bzero(text, n);
	free(text);
}

/* ---- further certificates: one descriptor for all of a service ---- */

/* Chain and key of each but the first, a NUL behind each. NULL with @why. */
static char *more_text(const struct config_tls_files *t, size_t *out_n, char *why, size_t why_n)
{
	char *all = malloc(1), *grown;
	size_t at = 0, n = 0, i;

	for (i = 2; all && i < 2 * (size_t)t->certificates_count; i++) {
		const struct config_certificate *c = &t->certificates[i / 2];
		char *one = cert_files_read(i % 2 ? c->key : c->certificate, &n, why, why_n);

		grown = one ? malloc(at + n + 1) : NULL;
		if (grown) {
			memcpy(grown, all, at);
			memcpy(grown + at, one, n + 1);
		} else if (one) {
			snprintf(why, why_n, "out of memory");
		}
		wipe(one, one ? n : 0);
		wipe(all, at);
		all = grown;
		at += n + 1;
	}
	*out_n = at;
	return all;
}

int cert_files_more(const char *text, size_t n, struct tls_pair out[CONFIG_CERTIFICATES_MAX])
{
	unsigned i = 0;
	size_t at = 0;

	while (at < n) {
		struct span s = span_str(text + at);

		if (i == 2 * CONFIG_CERTIFICATES_MAX)
			return -EBADMSG;
		if (i % 2)
			out[i / 2].key_pem = s;
		else
			out[i / 2].cert_pem = s;
		i++;
		at += s.n + 1;
	}
	return i % 2 || at != n ? -EBADMSG : (int)i / 2;
}

/* ---- opening ---- */

static int put_file(struct keeper_plan *p, bool again, const char *name, const char *end,
		    const char *path, char *why, size_t why_n)
{
	char full[48];

	snprintf(full, sizeof(full), "%s.%s", name, end);
	return again ? keeper_reopen_file(p, full, path, why, why_n)
		     : keeper_open_file(p, full, path, why, why_n);
}

static int put_more(struct keeper_plan *p, bool again, const struct cert_names *f, char *why,
		    size_t why_n)
{
	char full[48], *text;
	size_t n;
	int err;

	text = more_text(f->tls, &n, why, why_n);
	if (!text)
		return -EINVAL;
	snprintf(full, sizeof(full), "%s.more", f->name);
	err = again ? keeper_reopen_data(p, full, text, n, why, why_n)
		    : keeper_data(p, full, text, n);
	if (err && !again)
		snprintf(why, why_n, "%s: %s", full, strerror(-err));
	wipe(text, n);
	return err;
}

static int put_all(struct keeper_plan *p, bool again, const struct cert_names *f, unsigned n,
		   char *why, size_t why_n)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		err = put_file(p, again, f[i].name, "cert", f[i].tls->certificate, why, why_n);
		if (!err)
			err = put_file(p, again, f[i].name, "key", f[i].tls->key, why, why_n);
		if (!err && f[i].ca)
			err = put_file(p, again, f[i].name, "ca", f[i].tls->ca, why, why_n);
		else if (!err)
			err = put_more(p, again, &f[i], why, why_n);
	}
	return err;
}

/* ---- checking: what fits must be known before the worker that uses the old ones is sent away ---- */

static int check_one(const struct cert_names *f, char *why, size_t why_n)
{
	struct tls_pair more[CONFIG_CERTIFICATES_MAX];
	struct tls_params p = {.server = true, .more = more};
	char *text[4] = {}, reason[TLS_WHY_MAX] = "";
	struct tls_ctx *ctx = NULL;
	size_t n[4] = {};
	int err = -EINVAL, i, k;

	text[0] = cert_files_read(f->tls->certificate, &n[0], why, why_n);
	text[1] = text[0] ? cert_files_read(f->tls->key, &n[1], why, why_n) : NULL;
	if (text[1])
		text[2] = f->ca ? cert_files_read(f->tls->ca, &n[2], why, why_n)
				: more_text(f->tls, &n[2], why, why_n);
	if (!text[2])
		goto out;
	p.cert_pem = span_of(text[0], n[0]);
	p.key_pem = span_of(text[1], n[1]);
	p.require_peer = f->ca;
	if (f->ca) {
		p.ca_pem = span_of(text[2], n[2]);
	} else {
		k = cert_files_more(text[2], n[2], more);
		p.n_more = k > 0 ? (unsigned)k : 0;
	}
	err = tls_ctx_new(&p, &ctx, reason);
	if (err)
		snprintf(why, why_n, "%s.tls: %s", f->name, reason);
out:
	tls_ctx_free(ctx);
	for (i = 0; i < 4; i++)
		wipe(text[i], n[i]);
	return err;
}

static int check_all(const struct cert_names *f, unsigned n, char *why, size_t why_n)
{
	unsigned i;
	int err = 0;

	for (i = 0; i < n && !err; i++)
		err = check_one(&f[i], why, why_n);
	return err;
}

/* ---- watching ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3ull;
}

static uint64_t look_at(uint64_t h, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return mix(h, (uint64_t)errno);
	h = mix(mix(h, st.st_dev), st.st_ino);
	h = mix(mix(h, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
	return mix(h, (uint64_t)st.st_mtim.tv_nsec);
}

/* One number for the state of all files, which differs when any of them was replaced or written. */
static uint64_t look(const struct cert_names *f, unsigned n)
{
	unsigned i, k;
	uint64_t h = 0xcbf29ce484222325ull;

	for (i = 0; i < n; i++) {
		h = look_at(look_at(h, f[i].tls->certificate), f[i].tls->key);
		if (f[i].ca)
			h = look_at(h, f[i].tls->ca);
		for (k = 1; k < f[i].tls->certificates_count; k++)
			h = look_at(look_at(h, f[i].tls->certificates[k].certificate),
				    f[i].tls->certificates[k].key);
	}
	return h;
}

static void seen(struct cert_files *c, uint64_t mark)
{
	*c = (struct cert_files){.seen = mark, .last = mark};
}

/* The look comes before the reading: what changes in between is another change. */
int cert_files_open(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		    unsigned n, char *why, size_t why_n)
{
	seen(c, look(f, n));
	return put_all(p, false, f, n, why, why_n);
}

int cert_files_reopen(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		      unsigned n, char *why, size_t why_n)
{
	int err;

	seen(c, look(f, n));
	err = check_all(f, n, why, why_n);
	return err ? err : put_all(p, true, f, n, why, why_n);
}

bool cert_files_changed(struct cert_files *c, const struct cert_names *f, unsigned n)
{
	uint64_t now = look(f, n);
	bool rest = now == c->last;

	c->last = now;
	if (now == c->seen || !rest)
		return false;
	c->seen = now; /* if they are not good, that is told once */
	return true;
}

int cert_files_watch(struct cert_files *c, struct keeper_plan *p, const struct cert_names *f,
		     unsigned n)
{
	char why[512] = "";

	if (!cert_files_changed(c, f, n))
		return -EAGAIN;
	if (!cert_files_reopen(c, p, f, n, why, sizeof(why)))
		return 0;
	log_event(LOG_L_ERROR, "certificates-refused", "kept=old reason=\"%s\"", why);
	return -EINVAL;
}

void cert_files_log(bool good)
{
	log_event(good ? LOG_L_INFO : LOG_L_ERROR,
		  good ? "certificates-reloaded" : "certificates-refused", "kept=%s",
		  good ? "new" : "old");
}
