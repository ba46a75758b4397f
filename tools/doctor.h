/* tools/doctor.h -- `sallyctl doctor`: what could stop a user, found before a user does.
 *
 * Data flow: configuration files, DNS, certificates, sockets, the kernel, the daemons' status -> doctor_gather() -> the report, one JSON
 * document of plain facts -> doctor_judge(), which looks at nothing else -> findings. So a report that was saved on one machine can be judged
 * on another, and every verdict has a unit test without a network.
 *
 * Owner rules: reports and findings are the caller's references. Nothing secret is in a report: no key, no password, no user's name;
 * names, addresses, dates, sizes and counters are.
 *
 * The report: {"doctor": DOCTOR_VERSION, "sallyport": version, "at_s": UTC seconds, "host": name, "nodes": [NODE, ...]}. A node is a daemon
 * of this host ("role": "edge" or "core"), or a client's view of one ("outside"). Its parts, each left out where it does not apply:
 *   role, config (path), error (why there is no configuration), name, domains, uid (of who asked)
 *   services     [{what: sip|https|xmpp|xmpps|xmpp-server, srv, host, port, listen: [address]}]; "host" "": not known (no configuration)
 *   addresses    [IP that clients may be sent to]
 *   edges        [{name, address}]                  core: whom it dials
 *   status       what the daemon says of itself (parts of it), or status_error
 *   dns          [{side: outside|inside, for, name, type: SRV|A, server, error, records: [{host, port, priority, weight}], addresses}]
 *   certificates [{what, use: server|client|both, public, file, error, names, wanted, not_before, not_after, issuer, subject,
 *                 chain ("" or why not), aia, key ("" or why not), key_mode, key_type, key_bits, server_auth, client_auth, signs,
 *                 fingerprint, chain_not_after}]
 *   probes       [{group: client|link|call|chat|web|own, what, kind, host, address, name, error, tls, names, fingerprint, answer, date_s,
 *                 asked_s}]
 *   listeners    [{what, proto: tcp|udp, address, bound}]
 *   ports        {reserved, local_first, local_last, media: [{what, address, first, last, kernel, taken: [port]}]}
 *   clock        {synchronised, error_ms}
 *   kernel       {release, tls, io_uring, io_uring_disabled, bpffs, bpf_jit}: "" or what is wrong, numbers of sysctls
 *   nics         [{name, addresses, driver, mtu, up, xdp, gro, tx_checksum, rx_ring, rx_ring_max}]
 *   limits       {pid, files, files_used, memlock_kib, conntrack, conntrack_max} */
#ifndef SALLYPORT_DOCTOR_H
#define SALLYPORT_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define DOCTOR_VERSION	   1
#define DOCTOR_CONFIGS_MAX 4
#define DOCTOR_DOMAINS_MAX 64
#define DOCTOR_PROBES_MAX  256 /* questions to servers, 32 at once, some seconds each at most */

struct doctor_ask {
	const char *configs
		[DOCTOR_CONFIGS_MAX]; /* YAML files; the role is read from what stands in them */
	unsigned n_configs;
	const char *domains[DOCTOR_DOMAINS_MAX]; /* outside, without a configuration */
	unsigned n_domains;
	bool outside; /* the client's view, from here */
	const char *
		dns; /* resolver that stands for the internet's, address[:port]; NULL: the system's */
	const char *ca;	   /* PEM: what clients trust; NULL: what this system trusts */
	const char *admin; /* of the one configuration, instead of its own */
};

/* A new report; NULL: out of memory. What could not be found out is in it as an error. */
json_t *doctor_gather(const struct doctor_ask *ask);

/* Findings, the worst first: [{"id", "node", "severity": "fail"|"warn"|"ok", "what", "why", "fix"}]. fail: it stops users, or some of them.
 * NULL: @report is not one of ours. */
json_t *doctor_judge(const json_t *report);

#endif
