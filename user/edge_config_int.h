/* user/edge_config_int.h -- what edge_config.c (who asked, what is known) and edge_config_write.c (the bodies) share. Owner
 * rules: edge_config.h. */
#ifndef SALLYPORT_EDGE_CONFIG_INT_H
#define SALLYPORT_EDGE_CONFIG_INT_H

#include "user/edge_config.h"

enum edge_service { EDGE_TFTP_SRV, EDGE_CUPLOGIN, EDGE_UDS, EDGE_SERVICES };

struct edge_facts { /* of which a body is made; spans and strings are the caller's */
	const char *domain;
	bool wanted[EDGE_SERVICES];
	struct edge_srv {
		const char *error; /* instead of records; NULL */
		struct dns_srv records[DNS_TARGETS_MAX];
		unsigned n;
	} srv[EDGE_SERVICES];
	const char *tftp[DNS_TARGETS_MAX];
	unsigned n_tftp;
	const struct edge_config_edge *edges;
	unsigned n_edges;
	const struct cluster_node *user_uds; /* NULL: no user */
	bool inside; /* JSON: the inside's facts, too: for who is logged on */
};

extern const char *const edge_service_names[EDGE_SERVICES]; /* "_cisco-uds" */

/* Lengths; 0: it does not fit, which EDGE_CONFIG_BODY_MAX rules out. */
size_t edge_config_xml(const struct edge_facts *f, char *out, size_t cap);
size_t edge_config_json(const struct edge_facts *f, char *out, size_t cap);
size_t edge_config_sso_xml(char *out, size_t cap);

#endif
