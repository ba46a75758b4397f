/* tools/ctl_nodes.c -- sallyctl nodes, metrics: what the admin port shows, without the port.
 *
 * In: "nodes" asked of the first daemon that answers (its answer has the other node too). Out: a table a node, or JSON as GET /v1/nodes
 * has it. "metrics --doc": the table of metrics, asks nobody. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl_nodes.h"
#include "user/metrics.h"

int ctl_nodes_main(const struct ctl_options *o, int argc, char **argv)
{
	json_t *answer = NULL, *list, *node;
	unsigned i;
	size_t k;

	(void)argv;
	if (argc != 1)
		return CTL_USAGE;
	for (i = 0; i < o->n && !answer; i++)
		answer = ctl_ask(o->sockets[i].path, "nodes", NULL, CTL_ASK_S);
	if (!answer || json_object_get(answer, "error")) {
		fprintf(stderr, "sallyctl: nodes: %s\n",
			answer ? ctl_cell(json_object_get(answer, "error")) : strerror(errno));
		json_decref(answer);
		return 1;
	}
	list = json_object_get(answer, "nodes");
	if (o->json)
		ctl_print_json(answer);
	else
		json_array_foreach(list, k, node)
		{
			printf("%s %s\n", ctl_cell(json_object_get(node, "role")),
			       ctl_cell(json_object_get(node, "name")));
			ctl_print(node, 2);
		}
	json_decref(answer);
	return 0;
}

int ctl_metrics_main(const struct ctl_options *o, int argc, char **argv)
{
	(void)o;
	if (argc != 2 || strcmp(argv[1], "--doc") != 0)
		return CTL_USAGE;
	metrics_doc(stdout);
	return 0;
}
