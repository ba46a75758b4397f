/* user/page.h -- the status page as the daemons carry it: the files of user/page/, byte for byte.
 *
 * Data flow: build time: tools/embed turns the files into tables (build/user/page_files.c) -> page_find(): a request's path -> the file.
 * What the page shows comes by itself from /v1/events and /v1/nodes of the same server (user/admin_http.h).
 * Owner rules: all of it is constant and lives as long as the program; nothing is made, kept or counted here. */
#ifndef SALLYPORT_PAGE_H
#define SALLYPORT_PAGE_H

#include "user/span.h"

struct page_file {
	const char *path; /* of the request: "/", "/status.css", ... */
	const char *type; /* Content-Type */
	const char *
		etag; /* strong, with its quotes (RFC 9110 8.8.3): 32 hex digits of the content's SHA-256 */
	struct span body;
};

/* Header of every answer with a file: nothing from elsewhere, nothing inline, in nobody's frame (CSP 3). With it go
 * X-Content-Type-Options: nosniff, Referrer-Policy: no-referrer and Cache-Control: no-cache (ask again, by ETag). */
#define PAGE_CSP                                                                       \
	"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; " \
	"frame-ancestors 'none'"

/* The file at @path, the target's path without its query, as it came. NULL: there is none. */
const struct page_file *page_find(struct span path);

/* Made by tools/embed. */
extern const struct page_file page_files[];
extern const size_t page_files_n;

#endif
