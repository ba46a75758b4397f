/* user/bpf_ports.h -- keeps the kernel from giving media ports to others.
 *
 * In: port ranges. Out: net.ipv4.ip_local_reserved_ports (both families) of this network namespace holds them beside what
 * was there. XDP takes what comes to a media port, so an answer to a local socket that was given one would be lost. */
#ifndef SALLYPORT_BPF_PORTS_H
#define SALLYPORT_BPF_PORTS_H

#include <stddef.h>
#include <stdint.h>

struct port_range {
	uint16_t first, last;
};

#define PORTS_SYSCTL "/proc/sys/net/ipv4/ip_local_reserved_ports"

/* @text (e.g. "8080,9148-9150\n") and @n ranges, merged, into @out. 0, -EBADMSG, or -E2BIG (over @out_n). */
int ports_merge(const char *text, const struct port_range *ranges, unsigned n, char *out,
		size_t out_n);
/* 0 or negative errno with @why. */
int ports_reserve(const struct port_range *ranges, unsigned n, char *why, size_t why_n);

#endif
