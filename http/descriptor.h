/* http/descriptor.h -- what a client's request asks for: its configuration, or a server inside that the path's first segment
 * names.
 *
 * In: a parsed request target. Out: the service, the domain it is asked of, and of a relayed request the target and what is
 * left of the path. Edge and core use this same code, so both route by one reading. Paths:
 *   /BASE64(domain)/get_edge_config[/][?query]      the client's configuration
 *   /BASE64(domain)/get_edge_sso[/][?query]         whether single sign-on is to be had
 *   /BASE64(domain/http|https/host/port)/path?query the rest, from that server
 *   /.well-known/sallyport[?query]                  the configuration as JSON; the domain is the Host field's business
 * BASE64 is RFC 4648's, either alphabet, padded in full or not at all; '=', '+' and '/' may be written as %3D, %2B, %2F.
 * Strict: bits left over must be zero, names have no trailing dot, ports no leading zero, an IPv6 host may stand in brackets
 * and not be an IPv4 one in disguise. Domain and host come out in small letters, IPv6 in its canonical text (RFC 5952), so
 * equal targets are equal strings. Owns nothing: out.rest and out.segment point into the target's bytes. No allocation. */
#ifndef SALLYPORT_HTTP_DESCRIPTOR_H
#define SALLYPORT_HTTP_DESCRIPTOR_H

#include "http/msg.h"

#define HTTP_DOMAIN_MAX	     253
#define HTTP_DESCRIPTOR_TEXT (HTTP_DOMAIN_MAX + 1 + 5 + 1 + HTTP_HOST_MAX + 2 + 1 + 5) /* decoded */
#define HTTP_DESCRIPTOR_MAX  (1 + (HTTP_DESCRIPTOR_TEXT + 2) / 3 * 4 + 1) /* "/BASE64" and its NUL */

enum http_service_path {
	HTTP_PATH_NONE,
	HTTP_PATH_EDGE_CONFIG,
	HTTP_PATH_EDGE_SSO,
	HTTP_PATH_WELL_KNOWN,
	HTTP_PATH_RELAY,
};
const char *http_service_path_text(
	enum http_service_path p); /* "none", "edge-config", "relay", ... */

enum http_descriptor_why {
	HTTP_DESCRIPTOR_OK,
	HTTP_DESCRIPTOR_FORM,	 /* CONNECT and OPTIONS * have no path */
	HTTP_DESCRIPTOR_EMPTY,	 /* no first segment */
	HTTP_DESCRIPTOR_LONG,	 /* longer than any descriptor */
	HTTP_DESCRIPTOR_BASE64,	 /* a character, padding or bits that are not base64 */
	HTTP_DESCRIPTOR_PARTS,	 /* neither DOMAIN nor DOMAIN/PROTO/HOST/PORT */
	HTTP_DESCRIPTOR_DOMAIN,	 /* no domain name */
	HTTP_DESCRIPTOR_PROTO,	 /* neither http nor https */
	HTTP_DESCRIPTOR_HOST,	 /* no name and no address */
	HTTP_DESCRIPTOR_PORT,	 /* not 1..65535 */
	HTTP_DESCRIPTOR_SERVICE, /* behind a domain: an unknown service */
	HTTP_DESCRIPTOR_REST,	 /* a query right behind the segment, without a path */
	HTTP_DESCRIPTOR_WHYS
};
const char *http_descriptor_why_text(
	enum http_descriptor_why why); /* "no base64", for logs and 404 bodies */

struct http_descriptor {
	enum http_service_path what;
	char domain[256]; /* "" for HTTP_PATH_WELL_KNOWN */
	/* of HTTP_PATH_RELAY */
	bool https;
	char host[256]; /* without brackets */
	bool host_is_v6;
	uint16_t port;
	struct span segment; /* "/BASE64" as the client wrote it */
	struct span rest;    /* path?query for the target, beginning with '/' */
};

/* 0, or -EBADMSG with *why and *out untouched. */
int http_descriptor_parse(const struct http_target *t, struct http_descriptor *out,
			  enum http_descriptor_why *why);

/* "/BASE64" of a target (URL-safe alphabet, no padding), as http_descriptor_parse() reads it. @host without brackets. Length without
 * the NUL, or -E2BIG (HTTP_DESCRIPTOR_MAX holds every one). */
ssize_t http_descriptor_write(const char *domain, bool https, struct span host, bool host_is_v6,
			      uint16_t port, char *buf, size_t n);

#endif
