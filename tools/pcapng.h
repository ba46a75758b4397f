/* tools/pcapng.h -- a small writer of pcapng files (draft-ietf-opsawg-pcapng): one section, interfaces, packets, interface statistics.
 *
 * In: packets with their time in nanoseconds since 1970 (UTC). Out: blocks in this machine's byte order to a stdio file. Errors are the file's:
 * ferror(), and what fclose() says. Owns nothing. Texts are cut to 255 bytes. */
#ifndef SALLYPORT_PCAPNG_H
#define SALLYPORT_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAPNG_ETHERNET 1   /* LINKTYPE_ETHERNET */
#define PCAPNG_RAW	101 /* LINKTYPE_RAW: begins with the IP header */

void pcapng_begin(FILE *f, const char *program);
/* Interfaces are numbered from 0 in the order they are told, all ahead of the first packet. @snap: bytes kept of a packet at most. */
void pcapng_interface(FILE *f, uint16_t link, uint32_t snap, const char *name, const char *what);
struct pcapng_packet {
	uint32_t interface;
	uint64_t at_ns;
	uint32_t len, kept; /* on the wire; of @data */
	bool out;	    /* it left here */
	const void *data;
};
void pcapng_packet(FILE *f, const struct pcapng_packet *p);
/* At the end: packets taken, and those lost for want of room. */
void pcapng_statistics(FILE *f, uint32_t interface, uint64_t at_ns, uint64_t taken, uint64_t lost);

#endif
