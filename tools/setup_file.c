/* tools/setup_file.c -- see setup_file.h. In: names and addresses. Out: configuration texts that the loaders accept. */
#include "tools/setup_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX 262144

bool setup_is_name(const char *s)
{
	size_t label = 0, i;

	for (i = 0; s[i]; i++) {
		if (s[i] == '.') {
			if (!label || s[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if ((!isalnum((unsigned char)s[i]) && (s[i] != '-' || !label)) || ++label > 63)
			return false;
	}
	return i && i <= 253 && label && s[i - 1] != '-';
}

bool setup_is_path(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (*p != '/' || strlen(s) > 300)
		return false;
	while (*p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\')
		p++;
	return !*p;
}

uint64_t setup_seconds(const char *s)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end = NULL;
	uint64_t v = isdigit((unsigned char)*s) ? strtoul(s, &end, 10) : 0;
	size_t i;

	for (i = 0; v && v <= 604800 && i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit))
			return v * units[i].seconds <= 604800 ? v * units[i].seconds : 0;
	return 0;
}

static void domains_text(FILE *f, const char *const *domains, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		fprintf(f, "%s%s", i ? ", " : "", domains[i]);
}

static void edge_head(FILE *f, const struct setup_edge *e)
{
	fprintf(f,
		"# sallyport-edge, made by `sallyctl init edge`. What is not here has its default; "
		"example-edge.yaml explains "
		"every setting.\n"
		"# `sallyport-edge -n -c FILE` checks this file; a SIGHUP (systemctl reload "
		"sallyport-edge) takes it over, whole or "
		"not at all.\n\n"
		"name: %s # ours on the link, in link.tls.certificate\n"
		"user: %s # account that the worker runs as\n\n",
		e->name, e->user);
}

static void edge_link(FILE *f, const struct setup_edge *e)
{
	char text[ADDR_TEXT_MAX];

	fprintf(f, "link: # cores dial in here; nothing on the inside is ever dialled\n"
		   "  listen:\n"
		   "    - \"");
	fprintf(f, addr_is_v4(&e->at->inside) ? "%s:7001\"\n" : "[%s]:7001\"\n",
		addr_ip_text(&e->at->inside, text));
	fprintf(f,
		"  tls: # of the private CA, which only cores and edges know; `sallyctl pki` "
		"issues more\n"
		"    certificate: \"%s/pki/%s.crt\"\n"
		"    key: \"%s/pki/%s.key\"\n"
		"    ca: \"%s/pki/ca.crt\"\n"
		"  cores: # who may connect, and what domains each may announce; `sallyctl invite "
		"--core NAME` adds one\n"
		"    - name: %s\n"
		"      domains: [",
		e->dir, e->name, e->dir, e->name, e->dir, e->core);
	domains_text(f, e->domains, e->n_domains);
	fputs("]\n\n", f);
}

static void edge_sip(FILE *f, const struct setup_edge *e)
{
	char text[ADDR_TEXT_MAX];

	fputs("sip: # SIP over TLS for phones\n"
	      "  listen:\n"
	      "    - \"",
	      f);
	fprintf(f, addr_is_v4(&e->at->outside) ? "%s:5061\"\n" : "[%s]:5061\"\n",
		addr_ip_text(&e->at->outside, text));
	fprintf(f,
		"  host: %s # the name that clients use, and that the certificate must have\n"
		"  port: 5061 # as seen from outside\n"
		"  tls: # what clients see; replaced files are taken up within seconds. Several "
		"names: see the example\n"
		"    certificate: \"%s\"\n"
		"    key: \"%s\"\n\n"
		"# https: and xmpp: sections like this one switch web services and chat on: see "
		"the example\n\n",
		e->host, e->cert, e->key);
}

static void edge_media(FILE *f, const struct setup_edge *e)
{
	const struct host_choice *at = e->at;
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX], c[ADDR_TEXT_MAX];
	bool one = addr_ip_eq(&at->outside, &at->inside);

	fprintf(f,
		"media: # UDP: firewalls have to let these ports in, from clients and from the "
		"core\n"
		"  pairs:\n"
		"    - outside: \"%s\" # towards clients\n"
		"      outside_advertise: \"%s\" # what they are told: differs behind a static "
		"NAT\n"
		"      inside: \"%s\" # towards the core\n"
		"      outside_first: 36000 # first port of each side%s\n"
		"      inside_first: %u\n"
		"      ports: %u # a side, one a media stream\n",
		addr_ip_text(&at->outside, a), addr_ip_text(&at->public_, b),
		addr_ip_text(&at->inside, c), one ? "; both sides share the address" : "",
		one ? 48000 : 36000, one ? 12000 : 24000);
}

/* What @write makes of @arg; malloc'd. */
static char *text_of(void (*const *parts)(FILE *f, const struct setup_edge *e), unsigned n,
		     const struct setup_edge *e)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	unsigned i;

	if (!f)
		return NULL;
	for (i = 0; i < n; i++)
		parts[i](f, e);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

char *setup_edge_text(const struct setup_edge *e, char why[CONFIG_WHY_MAX])
{
	static void (*const parts[])(FILE * f, const struct setup_edge *e) = {edge_head, edge_link,
									      edge_sip, edge_media};
	char *text = text_of(parts, sizeof(parts) / sizeof(parts[0]), e);
	struct config_edge *cfg = NULL;

	if (!text)
		snprintf(why, CONFIG_WHY_MAX, "out of memory");
	else if (config_edge_load("edge.yaml", text, strlen(text), &cfg, why) == 0)
		config_edge_free(cfg);
	else
		free(text), text = NULL;
	return text;
}

char *setup_core_text(const struct setup_core *c, char why[CONFIG_WHY_MAX])
{
	bool v4 = !strchr(c->inside, ':');
	struct config_core *cfg = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f) {
		snprintf(why, CONFIG_WHY_MAX, "out of memory");
		return NULL;
	}
	fprintf(f,
		"# sallyport-core, made by `sallyctl join`. What is not here has its default; "
		"example-core.yaml explains every "
		"setting.\n"
		"# `sallyport-core -n -c FILE` checks this file; a SIGHUP (systemctl reload "
		"sallyport-core) takes it over, whole or "
		"not at all.\n\n"
		"name: %s # ours on the link, in link.tls.certificate\n"
		"user: %s # account that the worker runs as\n"
		"token_key: \"%s/token.key\" # of SIP tokens; all cores of a site share it\n\n"
		"link:\n"
		"  tls: # of the edge's private CA\n"
		"    certificate: \"%s/pki/%s.crt\"\n"
		"    key: \"%s/pki/%s.key\"\n"
		"    ca: \"%s/pki/ca.crt\"\n"
		"  edges: # that we dial\n"
		"    - name: %s\n"
		"      address: \"%s\"\n\n",
		c->name, c->user, c->dir, c->dir, c->name, c->dir, c->name, c->dir, c->edge,
		c->edge_address);
	fprintf(f, v4 ? "sip:\n  listen: \"%s:5060\"" : "sip:\n  listen: \"[%s]:5060\"", c->inside);
	fprintf(f, " # UDP and TCP towards call servers\n\n"
		   "call_servers:\n"
		   "  - name: main\n"
		   "    domains: [");
	domains_text(f, c->domains, c->n_domains);
	fprintf(f,
		"]\n"
		"    address: \"%s\"%s%s\n"
		"    transport: %s # udp or tcp; tls needs certificates: see the example\n"
		"    mode: %s # path: it knows Path (RFC 3327); contact: it does not\n\n"
		"media:\n"
		"  link: \"%s\" # our UDP socket towards edges\n"
		"  inside: \"%s\" # address of the legs towards call servers and phones, ports "
		"36000 to 59999\n",
		c->call_server, *c->note ? " # " : "", c->note, c->transport, c->mode, c->link,
		c->inside);
	if (fclose(f)) {
		free(text);
		snprintf(why, CONFIG_WHY_MAX, "out of memory");
		return NULL;
	}
	if (config_core_load("core.yaml", text, strlen(text), &cfg, why) == 0) {
		config_core_free(cfg);
		return text;
	}
	free(text);
	return NULL;
}

/* ---- one more core ---- */

struct place {		 /* of the list link.cores in the text */
	size_t end;	 /* offset of the end of its last entry */
	unsigned indent; /* column of its dashes */
	bool found, block;
};

/* The value of @key in the mapping @m. */
static yaml_node_t *member(yaml_document_t *d, const yaml_node_t *m, const char *key)
{
	yaml_node_pair_t *p;

	if (!m || m->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = m->data.mapping.pairs.start; p < m->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(d, p->key);

		if (k && k->type == YAML_SCALAR_NODE &&
		    !strcmp((const char *)k->data.scalar.value, key))
			return yaml_document_get_node(d, p->value);
	}
	return NULL;
}

/* The end of the deepest last node: a block's own mark stands behind the comments that follow it. */
static size_t last_end(yaml_document_t *d, const yaml_node_t *n)
{
	if (n->type == YAML_SEQUENCE_NODE && n->data.sequence.style == YAML_BLOCK_SEQUENCE_STYLE &&
	    n->data.sequence.items.top > n->data.sequence.items.start)
		return last_end(d, yaml_document_get_node(d, n->data.sequence.items.top[-1]));
	if (n->type == YAML_MAPPING_NODE && n->data.mapping.style == YAML_BLOCK_MAPPING_STYLE &&
	    n->data.mapping.pairs.top > n->data.mapping.pairs.start)
		return last_end(d, yaml_document_get_node(d, n->data.mapping.pairs.top[-1].value));
	return n->end_mark.index;
}

static struct place cores_place(const char *text)
{
	struct place p = {};
	yaml_node_t *cores;
	yaml_document_t d;
	yaml_parser_t y;

	if (!yaml_parser_initialize(&y))
		return p;
	yaml_parser_set_input_string(&y, (const unsigned char *)text, strlen(text));
	if (yaml_parser_load(&y, &d)) {
		cores = member(&d, member(&d, yaml_document_get_root_node(&d), "link"), "cores");
		p.found = cores && cores->type == YAML_SEQUENCE_NODE;
		p.block = p.found && cores->data.sequence.style == YAML_BLOCK_SEQUENCE_STYLE;
		if (p.found) {
			p.indent = (unsigned)cores->start_mark.column;
			p.end = last_end(&d, cores);
		}
		yaml_document_delete(&d);
	}
	yaml_parser_delete(&y);
	return p;
}

char *setup_add_core(const char *path, const char *text, const char *core,
		     const char *const *domains, unsigned n, char why[CONFIG_WHY_MAX])
{
	struct place p = cores_place(text);
	char *out = NULL;
	size_t size = 0, ascii = 0;
	FILE *f;

	/* Marks count characters: only where all are bytes do they say where that is. */
	while (text[ascii] && (unsigned char)text[ascii] < 0x80)
		ascii++;
	if (!p.block || (text[ascii] && ascii < p.end)) {
		snprintf(why, CONFIG_WHY_MAX,
			 "%.200s: link.cores is not a list with an entry a line; add \"{name: %s, "
			 "domains: [...]}\" there by hand",
			 path, core);
		return NULL;
	}
	p.end += strcspn(text + p.end, "\n");
	f = open_memstream(&out, &size);
	if (!f) {
		snprintf(why, CONFIG_WHY_MAX, "out of memory");
		return NULL;
	}
	fprintf(f, "%.*s\n%*s- name: %s\n%*s  domains: [", (int)p.end, text, (int)p.indent, "",
		core, (int)p.indent, "");
	domains_text(f, domains, n);
	fprintf(f, "]%s%s", text[p.end] ? "" : "\n", text + p.end);
	if (fclose(f) == 0)
		return out;
	free(out);
	snprintf(why, CONFIG_WHY_MAX, "out of memory");
	return NULL;
}

char *setup_read(const char *path, char why[CONFIG_WHY_MAX])
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(FILE_MAX + 1) : NULL;
	size_t n = 0;

	if (text)
		n = fread(text, 1, FILE_MAX, f);
	if (!text || ferror(f) || (n == FILE_MAX && fgetc(f) != EOF) || memchr(text, 0, n)) {
		snprintf(why, CONFIG_WHY_MAX, "%.300s: %s", path,
			 text && !ferror(f) ? "not a text of at most 256 KiB" : strerror(errno));
		free(text);
		text = NULL;
	}
	if (f)
		fclose(f);
	if (text)
		text[n] = 0;
	return text;
}
