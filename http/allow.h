/* http/allow.h -- which requests may be relayed: rules, default deny.
 *
 * In: rules (protocol, host, port, path, methods), one request. Out: the rule that lets it through, or why none does and which
 * came nearest. The path is judged before the rules are: what two servers could read differently is refused, never normalised
 * (dot segments, empty segments, ';', '\', escaped '.', '/', '\', '%', ';', control characters, bytes that are no UTF-8). What
 * passes is sent on as the client wrote it. A path of a rule may hold, each as one whole segment:
 *   {user}   the user who is logged on, without regard to ASCII case
 *   {file}   one name: letters, digits, '.', '_', '-', 1..128 of them, not beginning with '.'. The configuration of a soft client
 *            (CSF, BOT, TCT or TAB, then letters and digits of the user's name, 15 characters at most, then .cnf.) is its
 *            user's only
 *   {any}    one segment of any kind
 * Match: exact, or prefix: the path itself and what lies below it, so "/a" is not a prefix of "/ab".
 * Owner rules: the caller owns rules and their strings; struct allow sorts them in place once and points at them. No
 * allocation, no I/O. */
#ifndef SALLYPORT_HTTP_ALLOW_H
#define SALLYPORT_HTTP_ALLOW_H

#include "http/msg.h"

#define ALLOW_PATH_MAX 4096 /* bytes of a path as written; longer ones are refused */

struct allow_rule {
	const char *name; /* for people: "uds-user hq", "allow[3]", "allow.csv:7" */
	bool https;
	const char *
		host; /* as a descriptor gives it: small letters, IPv6 canonical without brackets */
	uint16_t port;
	const char *path; /* decoded; begins with '/' */
	bool prefix;
	bool own_query; /* parameters that name a user (username, userid, user, userobjectid) may only name this one */
	uint32_t methods;   /* bits ALLOW_METHOD(m) */
	const char *domain; /* of the users that it is for; NULL: all */
	unsigned group;	    /* servers that stand in for each other, from 1 on; 0: none */
};
#define ALLOW_METHOD(m) (1u << (m))

struct allow {
	struct allow_rule *rules; /* sorted by allow_compile() */
	unsigned n;
};

enum allow_why {
	ALLOW_OK,
	ALLOW_PATH_FORM,  /* a path that could be read in two ways */
	ALLOW_NO_HOST,	  /* no rule for this host */
	ALLOW_OTHER_PORT, /* rules for the host, not for this port and protocol */
	ALLOW_OTHER_PATH, /* ... not for this path */
	ALLOW_OTHER_USER, /* ... a path, file or query that is another user's, or users' of another domain */
	ALLOW_METHOD_NOT, /* ... not with this method */
	ALLOW_WHYS
};
const char *allow_why_text(enum allow_why why); /* "no rule for this method" */

struct allow_ask {
	struct span user, domain; /* who is logged on */
	enum http_method method;
	bool https;
	struct span host; /* as a descriptor gives it */
	uint16_t port;
	struct span path, query; /* as written; the query without '?' */
};

struct allow_verdict {
	const struct allow_rule *rule; /* NULL: denied */
	enum allow_why why;
	const struct allow_rule
		*nearest;   /* denied: the rule that came nearest; NULL: none is for this host */
	const char *detail; /* static: of ALLOW_PATH_FORM, "escaped dot"; "" */
};

/* Sort rules for allow_match(). -EINVAL: @why names a rule with a path that no request could have, or without methods. */
int allow_compile(struct allow *a, char *why, size_t why_n);
void allow_match(const struct allow *a, const struct allow_ask *q, struct allow_verdict *out);

/* A path as written, its escapes undone, into @out with a NUL. Length; or -EBADMSG, -E2BIG with *detail. */
ssize_t allow_path_decode(struct span path, char *out, size_t cap, const char **detail);
/* A rule's path: as a request's, decoded, with {user}, {file}, {any}. NULL or what is wrong. */
const char *allow_path_fault(const char *path);

/* "http://host[:port]/path[?query]" or https. The path is decoded, and may be a rule's; without one it is "/". 0; -EBADMSG or
 * -E2BIG with *detail. */
struct allow_url {
	bool https;
	char host[HTTP_HOST_MAX + 1]; /* as a descriptor gives it */
	uint16_t port;
	char path[ALLOW_PATH_MAX + 1];
	struct span written, query; /* of the caller's text; the path as it stands there */
};
int allow_url_parse(struct span url, struct allow_url *out, const char **detail);

/* Methods of a list that is separated by @sep ("GET,PUT"): their bits, or 0: an unknown or no word. */
uint32_t allow_methods(struct span list, char sep);

/* ---- rules as CSV (RFC 4180): a line of column names, then a rule a line --------
 * Columns, in any order, by name without regard to case: Url (required), HttpMethods, MatchType, Description, Deployment (the
 * last two are not looked at). A field may stand in quotes; a line break may not stand in one. Empty lines are skipped. */
enum {
	ALLOW_CSV_URL,
	ALLOW_CSV_METHODS,
	ALLOW_CSV_MATCH,
	ALLOW_CSV_DESCRIPTION,
	ALLOW_CSV_DEPLOYMENT,
	ALLOW_CSV_COLUMNS
};
struct allow_csv {
	struct span rest;
	unsigned line; /* of the row that allow_csv_next() gave last */
	unsigned n_columns;
	uint8_t columns[ALLOW_CSV_COLUMNS]; /* what the first, second, ... is */
};
struct allow_csv_row {
	struct span fields[ALLOW_CSV_COLUMNS]; /* empty where there is none; without quotes */
};
/* Read the names. 0, or -EBADMSG with *detail and c->line. */
int allow_csv_begin(struct allow_csv *c, struct span text, const char **detail);
/* 1: *out is the next row; 0: no more; -EBADMSG with *detail. */
int allow_csv_next(struct allow_csv *c, struct allow_csv_row *out, const char **detail);

#endif
