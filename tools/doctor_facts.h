/* tools/doctor_facts.h -- how the parts of the report are gathered; see doctor.h for their shapes.
 *
 * Data flow: doctor_setup_*() turn a configuration into a node with what it wants; then each part reads the node so far and adds its own:
 * dns -> certificates -> sockets and host -> probes (which need the addresses of dns). All blocking, all bounded in time.
 * Owner rules: a node is the gatherer's; parts add to it and keep nothing. */
#ifndef SALLYPORT_DOCTOR_FACTS_H
#define SALLYPORT_DOCTOR_FACTS_H

#include "tools/doctor.h"
#include "user/addr.h"
#include "user/config.h"

/* A node of a configuration; it has "error" where the file is no good. @edge or @core is set where it is. The caller frees them. */
json_t *doctor_setup_file(const char *path, struct config_edge **edge, struct config_core **core);
json_t *doctor_setup_edge(const struct config_edge *cfg);
json_t *doctor_setup_core(const struct config_core *cfg);
/* What a client sees of an edge's configuration, or of domains alone. */
json_t *doctor_setup_outside(const struct config_edge *cfg, const char *const *domains, unsigned n);

/* Ask DNS for what @node wants; @cfg (or NULL): the core's servers by name. @server: the resolver, NULL: the system's. */
void doctor_dns(json_t *node, const char *server, const struct config_core *cfg);

/* The certificates that the configuration names. @ca: what clients trust. */
void doctor_certs_edge(json_t *node, const struct config_edge *cfg, const char *ca);
void doctor_certs_core(json_t *node, const struct config_core *cfg);

/* Listeners, media ports, clock, kernel, interfaces, limits. Reads "status" for the process. */
void doctor_sockets(json_t *node, const struct config_edge *edge, const struct config_core *core);
void doctor_host(json_t *node);
void doctor_nics(json_t *node, const struct config_edge *edge, const struct config_core *core);

/* One question to one server; all are asked side by side. Strings are kept by pointer until doctor_probes_run() is done. */
enum doctor_kind {
	PROBE_TCP,   /* connect */
	PROBE_TLS,   /* and a handshake */
	PROBE_HTTP,  /* and HEAD / */
	PROBE_HTTPS, /* the same over TLS */
	PROBE_EDGE, /* GET /BASE64(domain)/get_edge_config, without a password: 401 from the core */
	PROBE_XMPP, /* stream, STARTTLS, handshake */
	PROBE_XMPPS,   /* handshake, stream */
	PROBE_SIP_UDP, /* OPTIONS */
	PROBE_SIP_TCP,
	PROBE_SIP_TLS,
};
struct doctor_probe {
	enum doctor_kind kind;
	const char *group;
	char what[160];
	char host
		[256]; /* SNI, Host, "to"; the name to be found in the certificate where .name is "" */
	char name[256];	      /* wanted in the certificate */
	char domain[256];     /* XMPP's "to", PROBE_EDGE's domain, the SIP URI's host; "": host */
	struct addr to, from; /* .from: our address; all zero: any */
	const char *ca, *cert, *key; /* PEM paths; ca NULL: the system's */
	/* found */
	char error[200], tls[300], names[400], fingerprint[65], answer[160];
	long long not_after, date_s, asked_s;
};
/* Appends one to @node's plan; NULL when there are too many. */
struct doctor_probes;
struct doctor_probes *doctor_probes_new(void);
struct doctor_probe *doctor_probe_add(struct doctor_probes *all, enum doctor_kind kind,
				      const char *group, const struct addr *to);
/* Run all, add "probes" to @node, free @all. */
void doctor_probes_run(struct doctor_probes *all, json_t *node);
void doctor_probe_run(struct doctor_probe *p); /* one of them, by its thread */

/* What to ask: own listeners and the link (edge, core), servers inside (core), what clients use (outside). */
void doctor_plan_edge(struct doctor_probes *all, const json_t *node, const struct config_edge *cfg,
		      const char *ca);
void doctor_plan_core(struct doctor_probes *all, const json_t *node, const struct config_core *cfg);
void doctor_plan_outside(struct doctor_probes *all, const json_t *node, const char *ca);

/* "host:port", "[v6]:port", "host" -> both; *port is left alone where none is given. */
void doctor_host_port(const char *text, char *host, size_t n, uint16_t *port);
/* The addresses that "dns" has for a host (an address stands for itself), with @port: how many, at most @n. */
unsigned doctor_addresses(const json_t *node, const char *host, uint16_t port, struct addr *out,
			  unsigned n);

#endif
