/* tools/parse_main.c -- what do the daemons' parsers say about these files?
 *
 * In: files (or standard input, "-") with one SIP message or session description each. Out: a line a file, "FILE: accept consumed=N" or
 * "FILE: refuse REASON consumed=N"; with -v what was read, peer bytes escaped. Exit 0 whatever the verdicts, 2 for a file that could not
 * be read and for wrong usage. It is the same code as in the edge's gate and the core, so it settles disputes about a message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/sdp.h"
#include "sip/sip.h"

#define FILE_MAX (1 << 20)

static bool verbose, datagram;

static int usage(void)
{
	fputs("usage: parse [-v] [-d] sip|sdp FILE...\n"
	      "  -v  print the fields of what was accepted\n"
	      "  -d  each SIP file is one datagram, not the start of a stream\n"
	      "  a FILE of - is standard input\n",
	      stderr);
	return 2;
}

static void put(const char *indent, const char *name, struct span s)
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

static void put_some(const char *indent, const char *name, struct span s)
{
	if (s.n)
		put(indent, name, s);
}

static void put_uri(const char *name, const struct sip_uri *u)
{
	char aor[1024];
	ssize_t n = sip_uri_aor(u, aor, sizeof(aor));

	put("  ", name, u->whole);
	put("    ", "scheme", u->scheme);
	put_some("    ", "user", u->user);
	if (u->password.n)
		printf("    password: (%zu bytes)\n", u->password.n);
	put_some("    ", u->host_is_v6 ? "host (IPv6)" : "host", u->host);
	if (u->port)
		printf("    port: %u\n", u->port);
	put_some("    ", "params", u->params);
	put_some("    ", "headers", u->headers);
	if (n > 0)
		put("    ", "aor", span_of(aor, (size_t)n));
}

static void put_via(const struct sip_via *v)
{
	put("  ", "top via", v->whole);
	put("    ", "transport", v->protocol);
	put("    ", v->host_is_v6 ? "host (IPv6)" : "host", v->host);
	if (v->port)
		printf("    port: %u\n", v->port);
	put_some("    ", "branch", v->branch);
	put_some("    ", "received", v->received);
	if (v->has_rport)
		printf("    rport: %u\n", v->rport);
}

static void put_msg(const struct sip_msg *m)
{
	unsigned i;

	put("  ", "start line", m->start_line);
	if (m->request) {
		put("  ", "method", m->method_text);
		put_uri("request uri", &m->ruri);
	} else {
		printf("  status: %u\n", m->status);
		put("  ", "reason", m->reason);
	}
	put_via(&m->via);
	put_uri("from uri", &m->from.uri);
	put_some("    ", "tag", m->from_tag);
	put_uri("to uri", &m->to.uri);
	put_some("    ", "tag", m->to_tag);
	put("  ", "call-id", m->call_id);
	printf("  cseq: %u\n", m->cseq);
	put("  ", "cseq method", m->cseq_method);
	if (m->max_forwards >= 0)
		printf("  max-forwards: %d\n", m->max_forwards);
	for (i = 0; i < m->n_headers; i++) {
		const struct sip_header *h = &m->headers[i];

		printf("  header %u: %s\n", i, h->id ? sip_hdr_name(h->id) : "other");
		put("    ", "name", h->name);
		put("    ", "value", h->value);
	}
	printf("  body: %zu bytes\n", m->body.n);
}

static void verdict(const char *file, const char *refused, size_t consumed)
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
		verdict(file, "incomplete", 0);
	else if (n < 0)
		verdict(file, sip_why_text(why), 0);
	else
		verdict(file, NULL, (size_t)n);
	if (n > 0 && verbose)
		put_msg(&m);
}

static void put_media(const struct sdp_media *m)
{
	static const char *const directions[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
	char text[ADDR_TEXT_MAX];
	unsigned i;

	put("  ", "media", m->type);
	printf("    port: %u/%u\n", m->port, m->ports);
	put("    ", "proto", m->proto_text);
	put("    ", "formats", m->formats);
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
		put("      ", "suite", c->suite);
		put_some("      ", "params", c->params);
	}
}

static void file_sdp(const char *file, struct span in)
{
	static struct sdp s;
	enum sdp_why why = SDP_OK;
	int r = sdp_parse(in, &s, &why);
	unsigned i;

	verdict(file, r ? sdp_why_text(why) : NULL, r ? 0 : in.n);
	if (r || !verbose)
		return;
	put("  ", "origin", s.origin);
	for (i = 0; i < s.n_media; i++)
		put_media(&s.media[i]);
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

int main(int argc, char **argv)
{
	static uint8_t buf[FILE_MAX];
	bool sip;
	ssize_t n;
	int opt, status = 0;

	while ((opt = getopt(argc, argv, "vd")) != -1) {
		if (opt == 'v')
			verbose = true;
		else if (opt == 'd')
			datagram = true;
		else
			return usage();
	}
	if (argc - optind < 2)
		return usage();
	sip = strcmp(argv[optind], "sip") == 0;
	if (!sip && (strcmp(argv[optind], "sdp") != 0 || datagram))
		return usage();
	for (optind++; optind < argc; optind++) {
		n = file_read(argv[optind], buf, sizeof(buf));
		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[optind], strerror((int)-n));
			status = 2;
		} else if (sip) {
			file_sip(argv[optind], span_of(buf, (size_t)n));
		} else {
			file_sdp(argv[optind], span_of(buf, (size_t)n));
		}
	}
	return status;
}
