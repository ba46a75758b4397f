/* tools/parse_main.c -- what do the daemons' parsers say about these files?
 *
 * In: files (or standard input, "-") with one SIP message, session description or XMPP stream each, or the bytes of one direction
 * of an HTTP connection. Out: a line a file, "FILE: accept consumed=N" or "FILE: refuse REASON consumed=N"; with -v what was
 * read, peer bytes escaped. HTTP adds "head=BYTES framing=none|length|chunked|until-close|tunnel content=BYTES" to what
 * was accepted, "status=CODE" to what was refused, and a line "FILE#2: ..." for each message behind the first. Exit 0
 * whatever the verdicts, 2 for a file that could not be read and for wrong usage. It is the same code as in the edge's
 * gate and the core, so it settles disputes about a message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/sdp.h"
#include "sip/sip.h"
#include "tools/parse.h"
#include "tools/parse_xmpp.h"

#define FILE_MAX (1 << 20)

static bool verbose, datagram, response, server;
static const char *method; /* of the request that HTTP responses answer */

static int usage(void)
{
	fputs("usage: parse [-v] [-d] [-m METHOD] [-r] [-s] "
	      "sip|sdp|http-request|http-response|xmpp FILE...\n"
	      "  -v  print the fields of what was accepted, and of HTTP why something was refused\n"
	      "  -d  each SIP file is one datagram, not the start of a stream\n"
	      "  -m  METHOD of the request that the HTTP responses answer, GET by default\n"
	      "  -r  each XMPP file is what the receiving side answers, not what the initiating "
	      "side says\n"
	      "  -s  the XMPP streams are between servers (jabber:server)\n"
	      "  an HTTP file is one direction of a connection: every message in it gets a line\n"
	      "  a FILE of - is standard input\n",
	      stderr);
	return 2;
}

void parse_put(const char *indent, const char *name, struct span s)
{
	size_t i;

	printf("%s%s: ", indent, name);
	for (i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '\r')
			fputs("\\r", stdout);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
	putchar('\n');
}

void parse_put_some(const char *indent, const char *name, struct span s)
{
	if (s.n)
		parse_put(indent, name, s);
}

static void put_uri(const char *name, const struct sip_uri *u)
{
	char aor[1024];
	ssize_t n = sip_uri_aor(u, aor, sizeof(aor));

	parse_put("  ", name, u->whole);
	parse_put("    ", "scheme", u->scheme);
	parse_put_some("    ", "user", u->user);
	if (u->password.n)
		printf("    password: (%zu bytes)\n", u->password.n);
	parse_put_some("    ", u->host_is_v6 ? "host (IPv6)" : "host", u->host);
	if (u->port)
		printf("    port: %u\n", u->port);
	parse_put_some("    ", "params", u->params);
	parse_put_some("    ", "headers", u->headers);
	if (n > 0)
		parse_put("    ", "aor", span_of(aor, (size_t)n));
}

static void put_via(const struct sip_via *v)
{
	parse_put("  ", "top via", v->whole);
	parse_put("    ", "transport", v->protocol);
	parse_put("    ", v->host_is_v6 ? "host (IPv6)" : "host", v->host);
	if (v->port)
		printf("    port: %u\n", v->port);
	parse_put_some("    ", "branch", v->branch);
	parse_put_some("    ", "received", v->received);
	if (v->has_rport)
		printf("    rport: %u\n", v->rport);
}

static void put_msg(const struct sip_msg *m)
{
	unsigned i;

	parse_put("  ", "start line", m->start_line);
	if (m->request) {
		parse_put("  ", "method", m->method_text);
		put_uri("request uri", &m->ruri);
	} else {
		printf("  status: %u\n", m->status);
		parse_put("  ", "reason", m->reason);
	}
	put_via(&m->via);
	put_uri("from uri", &m->from.uri);
	parse_put_some("    ", "tag", m->from_tag);
	put_uri("to uri", &m->to.uri);
	parse_put_some("    ", "tag", m->to_tag);
	parse_put("  ", "call-id", m->call_id);
	printf("  cseq: %u\n", m->cseq);
	parse_put("  ", "cseq method", m->cseq_method);
	if (m->max_forwards >= 0)
		printf("  max-forwards: %d\n", m->max_forwards);
	for (i = 0; i < m->n_headers; i++) {
		const struct sip_header *h = &m->headers[i];

		printf("  header %u: %s\n", i, h->id ? sip_hdr_name(h->id) : "other");
		parse_put("    ", "name", h->name);
		parse_put("    ", "value", h->value);
	}
	printf("  body: %zu bytes\n", m->body.n);
}

void parse_verdict(const char *file, const char *refused, size_t consumed)
{
	if (refused)
		printf("%s: refuse %s consumed=%zu\n", file, refused, consumed);
	else
		printf("%s: accept consumed=%zu\n", file, consumed);
}

static void file_sip(const char *file, struct span in)
{
	static struct sip_msg m;
	enum sip_why why = SIP_OK;
	ssize_t n = sip_msg_parse(in, !datagram, SIP_MESSAGE_MAX, &m, &why);

	if (n == -EAGAIN)
		parse_verdict(file, "incomplete", 0);
	else if (n < 0)
		parse_verdict(file, sip_why_text(why), 0);
	else
		parse_verdict(file, NULL, (size_t)n);
	if (n > 0 && verbose)
		put_msg(&m);
}

static void put_media(const struct sdp_media *m)
{
	static const char *const directions[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
	char text[ADDR_TEXT_MAX];
	unsigned i;

	parse_put("  ", "media", m->type);
	printf("    port: %u/%u\n", m->port, m->ports);
	parse_put("    ", "proto", m->proto_text);
	parse_put("    ", "formats", m->formats);
	printf("    connection: %s%s\n", m->conn_valid ? addr_ip_text(&m->conn, text) : "unusable",
	       m->has_conn ? "" : " (session)");
	printf("    rtcp: %u %s%s\n", m->rtcp_port,
	       m->conn_valid ? addr_ip_text(&m->rtcp_addr, text) : "-", m->rtcp_mux ? " mux" : "");
	printf("    direction: %s\n", directions[m->direction]);
	printf("    ice: %d dtls: %d\n", m->has_ice, m->has_dtls);
	for (i = 0; i < m->n_crypto; i++) {
		const struct sdp_crypto *c = &m->crypto[i];

		/* Keys are not for a terminal. */
		printf("    crypto %u, key of %zu characters, mki: %d lifetime: %d\n", c->tag,
		       c->key_b64.n, c->has_mki, c->has_lifetime);
		parse_put("      ", "suite", c->suite);
		parse_put_some("      ", "params", c->params);
	}
}

static void file_sdp(const char *file, struct span in)
{
	static struct sdp s;
	enum sdp_why why = SDP_OK;
	int r = sdp_parse(in, &s, &why);
	unsigned i;

	parse_verdict(file, r ? sdp_why_text(why) : NULL, r ? 0 : in.n);
	if (r || !verbose)
		return;
	parse_put("  ", "origin", s.origin);
	for (i = 0; i < s.n_media; i++)
		put_media(&s.media[i]);
}

static void file_xmpp(const char *file, struct span in)
{
	parse_xmpp(file, in, response, server, verbose);
}

/* All of @name into @buf. Bytes read or negative errno. */
static ssize_t file_read(const char *name, uint8_t *buf, size_t cap)
{
	bool in = strcmp(name, "-") == 0;
	FILE *f = in ? stdin : fopen(name, "rb");
	ssize_t r;

	if (!f)
		return -errno;
	r = (ssize_t)fread(buf, 1, cap, f);
	if (ferror(f))
		r = errno ? -errno : -EIO;
	else if ((size_t)r == cap)
		r = -EFBIG;
	if (!in)
		fclose(f);
	return r;
}

static void file_request(const char *file, struct span in)
{
	parse_http(file, in, true, span_str(""), verbose);
}

static void file_response(const char *file, struct span in)
{
	parse_http(file, in, false, span_str(method ? method : "GET"), verbose);
}

static const struct kind {
	const char *name;
	void (*fn)(const char *file, struct span in);
	bool takes_d, takes_m, takes_rs;
} kinds[] = {
	{"sip", file_sip, true, false, false},
	{"sdp", file_sdp, false, false, false},
	{"http-request", file_request, false, false, false},
	{"http-response", file_response, false, true, false},
	{"xmpp", file_xmpp, false, false, true},
};

static const struct kind *kind_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static uint8_t buf[FILE_MAX];
	const struct kind *kind;
	ssize_t n;
	int opt, status = 0;

	while ((opt = getopt(argc, argv, "vdm:rs")) != -1) {
		if (opt == 'v')
			verbose = true;
		else if (opt == 'd')
			datagram = true;
		else if (opt == 'm')
			method = optarg;
		else if (opt == 'r')
			response = true;
		else if (opt == 's')
			server = true;
		else
			return usage();
	}
	if (argc - optind < 2)
		return usage();
	kind = kind_find(argv[optind]);
	if (!kind || (datagram && !kind->takes_d) || (method && !kind->takes_m) ||
	    ((response || server) && !kind->takes_rs))
		return usage();
	for (optind++; optind < argc; optind++) {
		n = file_read(argv[optind], buf, sizeof(buf));
		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[optind], strerror((int)-n));
			status = 2;
		} else {
			kind->fn(argv[optind], span_of(buf, (size_t)n));
		}
	}
	return status;
}
