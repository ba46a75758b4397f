/* tools/ctl_nodes.h -- the commands "nodes" and "metrics --doc". In: options, words. Out: an exit status (tools/ctl.h). Owns nothing. */
#ifndef SALLYPORT_CTL_NODES_H
#define SALLYPORT_CTL_NODES_H

#include "tools/ctl.h"

int ctl_nodes_main(const struct ctl_options *o, int argc, char **argv);
int ctl_metrics_main(const struct ctl_options *o, int argc, char **argv);

#endif
