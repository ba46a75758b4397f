/* user/uds_xml.c -- see uds_xml.h. */
#include "user/uds_xml.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "http/allow.h"

#define DEPTH_MAX    16
#define ELEMENTS_MAX 2000

/* ---- paths -------- */

static const char *path(const char *before, const char *user, char out[UDS_PATH_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	size_t n = (size_t)snprintf(out, UDS_PATH_MAX, "%s", before);

	for (; *user && n + 4 < UDS_PATH_MAX; user++) {
		uint8_t c = (uint8_t)*user;

		if (strchr(plain, c)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = 0;
	return out;
}

const char *uds_path_cluster_user(const char *user, char out[UDS_PATH_MAX])
{
	return path("/cucm-uds/clusterUser?username=", user, out);
}

const char *uds_path_user(const char *user, char out[UDS_PATH_MAX])
{
	return path("/cucm-uds/user/", user, out);
}

/* ---- one reader for both answers -------- */

struct reading {
	XML_Parser parser;
	const char *root;
	unsigned depth, elements;
	const char *why;
	/* of clusterUser */
	unsigned results, homes;
	bool found;
	char uri[512];
	/* of user */
	unsigned names;
	bool in_name;
	char name[HTTP_TOKEN_USER_MAX];
	size_t name_n;
};

static void stop(struct reading *r, const char *why)
{
	if (!r->why)
		r->why = why;
	XML_StopParser(r->parser, XML_FALSE);
}

static const char *attribute(const XML_Char **a, const char *name)
{
	for (; *a; a += 2)
		if (!strcmp(a[0], name))
			return a[1];
	return NULL;
}

static void on_result(struct reading *r, const XML_Char **a)
{
	const char *found = attribute(a, "found");

	if (r->results++ || !found || (strcmp(found, "true") != 0 && strcmp(found, "false") != 0))
		stop(r, "wanted one <result> with found=\"true\" or \"false\"");
	else
		r->found = strcmp(found, "true") == 0;
}

static void on_home(struct reading *r, const XML_Char **a)
{
	const char *uri = attribute(a, "serversUri");

	if (r->homes++ || !uri || span_copy(span_str(uri), r->uri, sizeof(r->uri)) <= 0)
		stop(r, "wanted one <homeCluster> with serversUri=\"https://HOST/...\"");
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **a)
{
	struct reading *r = arg;

	r->depth++;
	if (r->depth > DEPTH_MAX || ++r->elements > ELEMENTS_MAX)
		stop(r, "more than 16 levels or 2000 elements");
	else if (r->in_name)
		stop(r, "wanted just text in <userName>");
	else if (r->depth == 1 && strcmp(name, r->root) != 0)
		stop(r, "another root element than asked for");
	else if (r->depth == 2 && !strcmp(r->root, "clusterUser") && !strcmp(name, "result"))
		on_result(r, a);
	else if (r->depth == 2 && !strcmp(r->root, "clusterUser") && !strcmp(name, "homeCluster"))
		on_home(r, a);
	else if (r->depth == 2 && !strcmp(r->root, "user") && !strcmp(name, "userName"))
		r->in_name = true;
	if (r->in_name && r->names++ && r->depth == 2)
		stop(r, "wanted at most one <userName>");
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reading *r = arg;

	(void)name;
	r->depth--;
	r->in_name = false;
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct reading *r = arg;

	if (!r->in_name)
		return;
	if (r->name_n + (size_t)n >= sizeof(r->name)) {
		stop(r, "a <userName> of more than 127 bytes");
		return;
	}
	memcpy(r->name + r->name_n, s, (size_t)n);
	r->name_n += (size_t)n;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
			       const XML_Char *public, int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	stop(arg, "a document type, which no answer needs");
}

static int read_body(struct reading *r, struct span body, const char *root)
{
	r->root = root;
	if (!body.n || body.n > UDS_BODY_MAX) {
		r->why = "wanted XML of at most 64 KiB";
		return -EBADMSG;
	}
	r->parser = XML_ParserCreate("UTF-8");
	if (!r->parser) {
		r->why = "out of memory";
		return -EBADMSG;
	}
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	if (XML_Parse(r->parser, (const char *)body.p, (int)body.n, XML_TRUE) != XML_STATUS_OK &&
	    !r->why)
		r->why = "not well-formed XML";
	XML_ParserFree(r->parser);
	return r->why ? -EBADMSG : 0;
}

int uds_cluster_user(struct span body, struct uds_cluster_user *out, const char **why)
{
	struct reading r = {};
	struct allow_url url;
	struct uds_cluster_user o = {};

	read_body(&r, body, "clusterUser");
	if (!r.why && !r.results)
		r.why = "no <result> in it";
	o.found = r.found;
	if (!r.why && r.found) {
		if (!r.homes)
			r.why = "no <homeCluster> though the user was found";
		else if (allow_url_parse(span_str(r.uri), &url, &r.why))
			r.why = "a serversUri that is no URL";
		else
			snprintf(o.home, sizeof(o.home), "%s", url.host);
	}
	*why = r.why;
	if (r.why)
		return -EBADMSG;
	*out = o;
	return 0;
}

int uds_user(struct span body, char name[HTTP_TOKEN_USER_MAX], const char **why)
{
	struct reading r = {};

	read_body(&r, body, "user");
	if (!r.why && r.name_n && !http_token_user_good(span_of(r.name, r.name_n)))
		r.why = "a <userName> with control characters";
	*why = r.why;
	if (r.why)
		return -EBADMSG;
	memcpy(name, r.name, r.name_n);
	name[r.name_n] = 0;
	return 0;
}
