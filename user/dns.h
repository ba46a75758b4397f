/* user/dns.h -- where a service is: SRV, then A and AAAA (RFC 3263 section 4.2), or a host, by c-ares on our loop.
 *
 * Data flow: dns_service("_sip._udp", "example.com") -> SRV records by priority (RFC 2782) -> addresses of each target
 * -> one call back with them. Without SRV records: the name's own addresses with the default port. Who chooses among targets by weight
 * is the caller; a host's second and further addresses come with weight 0: they are tried after its first.
 * Owner rules: owns the c-ares channel and its sockets' poll operations. A callback is called exactly once, also when dns_free()
 * ends the channel (-ECANCELED). All files that c-ares reads are read in dns_new(), before the sandbox.
 * Limits: 16 targets an answer, 64 questions at once, 3 s a try and 2 tries. */
#ifndef SALLYPORT_DNS_H
#define SALLYPORT_DNS_H

#include "user/addr.h"
#include "user/loop.h"

#define DNS_TARGETS_MAX 16

struct dns;

/* @err 0, -ENOENT (no such name or no addresses), -ETIMEDOUT, -EIO (server answered with a failure), -ECANCELED.
 * @ttl_s: the smallest of the records', within 5..300. */
struct dns_target {
	struct addr addr;
	uint16_t priority, weight;
};
typedef void dns_fn(void *arg, int err, const struct dns_target *targets, unsigned n,
		    unsigned ttl_s);

/* @server: "address" or "address:port" of the resolver; NULL: the system's. */
int dns_new(struct loop *l, const char *server, struct dns **out);
void dns_free(struct dns *d);
/* 0 or -EBUSY (64 questions are open), -EINVAL (name too long), -ENOMEM; then @fn is not called. */
int dns_service(struct dns *d, const char *service, const char *name, uint16_t default_port,
		dns_fn *fn, void *arg);
/* The addresses of a host: A and AAAA alone, in any order, with @port, priority and weight 0. The same results and limits. */
int dns_host(struct dns *d, const char *name, uint16_t port, dns_fn *fn, void *arg);

/* The SRV records of @name ("_cisco-uds._tcp.example.com") as they are, by priority, without addresses; those that say that the service is not
 * offered (".") are left out. -ENOENT: none. @ttl_s as above. Exactly once, maybe from inside dns_srv() (c-ares answers at once what it cannot
 * send). 0 or -EBUSY, -EINVAL, -ENOMEM; then @fn is not called. */
struct dns_srv {
	char host[256];
	uint16_t port, priority, weight;
};
typedef void dns_srv_fn(void *arg, int err, const struct dns_srv *records, unsigned n,
			unsigned ttl_s);
int dns_srv(struct dns *d, const char *name, dns_srv_fn *fn, void *arg);

#endif
