/* selftests/bpf/frame.h -- frames for the packet tables: built from a description, checked by full checksums.
 *
 * In: struct spec. Out: bytes. The expected output of the relay is built from a spec as well, so that one comparison covers
 * every byte; the checksums of what the relay emitted are computed anew besides. */
#ifndef SALLYPORT_TEST_FRAME_H
#define SALLYPORT_TEST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/addr.h"

#define FRAME_MAX 2048

enum body {
	BODY_RTP,
	BODY_RTCP,
	BODY_RTCP_8, /* an empty receiver report: 8 bytes */
	BODY_RTP_11, /* one byte short of a header */
	BODY_STUN_REQUEST,
	BODY_STUN_ANSWER,
	BODY_STUN_COOKIE, /* wrong magic cookie */
	BODY_DTLS,
	BODY_TEXT,
	BODY_EMPTY,
	BODY_SHORT, /* 4 bytes that begin like RTP */
};

struct spec {
	struct addr src, dst; /* family of src */
	uint8_t ttl;	      /* 0: 64 */
	bool ttl_zero;
	uint8_t tags;	 /* VLAN tags, 0..2; 3 to be more than we know */
	uint8_t options; /* words of IPv4 options */
	uint16_t frag;	 /* flags and offset, host order */
	uint8_t proto;	 /* 0: UDP */
	uint8_t tcp_flags;
	enum body body;
	uint16_t body_len;  /* 0: by kind */
	const uint8_t *rtp; /* its first 12 bytes; NULL: by kind */
	bool translated;    /* IPv4: no ID, may not be fragmented; IPv6: no flow label */
	bool no_checksum;
	int udp_len_add;    /* UDP length field is off by so much */
	int ip_len_add;	    /* IP length field is off by so much */
	uint8_t version;    /* 0: right */
	uint8_t ihl;	    /* 0: right */
	uint16_t ethertype; /* 0: right */
	uint8_t next_header; /* IPv6: a header of 8 zero bytes of this kind before UDP; 255: hop-by-hop */
	uint8_t pad;	     /* bytes behind the IP packet */
	uint16_t cut;	     /* cut the frame to this length */
	uint8_t src_mac[6], dst_mac[6];
};

size_t frame_build(const struct spec *s, uint8_t out[FRAME_MAX]);
/* Length of the IP packet that frame_build() makes. */
size_t frame_ip_len(const struct spec *s);
/* Write the right UDP checksum of the untagged frame whose UDP header is at @udp, with its checksum field 0. */
void frame_udp_check(uint8_t *frame, size_t udp);
/* Both checksums of an IPv4 or IPv6 UDP frame recomputed over all bytes. @zero: the UDP checksum has to be absent. */
/* The same for an untagged ICMP or ICMPv6 frame without IP options. */
bool frame_icmp_right(const uint8_t *frame, size_t n);
bool frame_checksums_right(const uint8_t *frame, size_t n, bool zero);

#endif
