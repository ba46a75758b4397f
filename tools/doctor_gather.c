/* tools/doctor_gather.c -- one report of all that is to be looked at here. See doctor.h and doctor_facts.h.
 *
 * The order is that of need: configuration, the daemon's status, DNS, files, this host, then the questions to servers. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/doctor_facts.h"
#include "user/version.h"

/* The parts of a daemon's status that are judged; the rest is for `sallyctl status`, and may name addresses of users. */
static void status(json_t *node, const char *path)
{
	static const char *const parts[] = {"role",	    "name",	  "version",	 "pid",
					    "uptime_s",	    "media_rung", "media_pairs", "links",
					    "call_servers", "kernel_tls", "link",	 "relay",
					    "drain"};
	json_t *all = ctl_ask(path, "status", NULL, CTL_ASK_S), *some, *v;
	size_t i;

	if (!all) {
		json_object_set_new(node, "status_error", json_string(strerror(errno)));
		return;
	}
	some = json_object();
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		v = json_object_get(all, parts[i]);
		if (v)
			json_object_set(some, parts[i], v);
	}
	json_decref(all);
	json_object_set_new(node, "status", some);
	json_object_set_new(node, "admin", json_string(path));
}

static void node_of_daemon(const struct doctor_ask *ask, json_t *node,
			   const struct config_edge *edge, const struct config_core *core)
{
	struct doctor_probes *probes = doctor_probes_new();

	status(node, ask->admin ? ask->admin : edge ? edge->admin : core->admin);
	if (edge) {
		doctor_dns(node, ask->dns, NULL);
		doctor_certs_edge(node, edge, ask->ca);
	} else {
		doctor_dns(node, core->dns, core);
		doctor_certs_core(node, core);
	}
	doctor_sockets(node, edge, core);
	doctor_host(node);
	doctor_nics(node, edge, core);
	if (edge)
		doctor_plan_edge(probes, node, edge, ask->ca);
	else
		doctor_plan_core(probes, node, core);
	doctor_probes_run(probes, node);
}

static void node_of_client(const struct doctor_ask *ask, json_t *node)
{
	struct doctor_probes *probes = doctor_probes_new();

	doctor_dns(node, ask->dns, NULL);
	doctor_plan_outside(probes, node, ask->ca);
	doctor_probes_run(probes, node);
}

static json_t *node_of_file(const struct doctor_ask *ask, const char *path)
{
	struct config_edge *edge = NULL;
	struct config_core *core = NULL;
	json_t *node = doctor_setup_file(path, &edge, &core);

	if (ask->outside && edge) {
		json_decref(node);
		node = doctor_setup_outside(edge, NULL, 0);
		json_object_set_new(node, "config", json_string(path));
		node_of_client(ask, node);
	} else if (ask->outside && core) {
		json_object_set_new(node, "error",
				    json_string("--outside: wanted the configuration of an edge, "
						"came that of a core"));
	} else if (edge || core) {
		node_of_daemon(ask, node, edge, core);
	}
	config_edge_free(edge);
	config_core_free(core);
	return node;
}

json_t *doctor_gather(const struct doctor_ask *ask)
{
	json_t *nodes = json_array(), *node;
	char host[256] = "";
	unsigned i;

	for (i = 0; i < ask->n_configs; i++)
		json_array_append_new(nodes, node_of_file(ask, ask->configs[i]));
	if (ask->n_domains) {
		node = doctor_setup_outside(NULL, ask->domains, ask->n_domains);
		node_of_client(ask, node);
		json_array_append_new(nodes, node);
	}
	gethostname(host, sizeof(host) - 1);
	return json_pack("{s:i, s:s, s:I, s:s, s:o}", "doctor", DOCTOR_VERSION, "sallyport",
			 SALLYPORT_VERSION, "at_s", (json_int_t)time(NULL), "host", host, "nodes",
			 nodes);
}
