/* selftests/bpf/frame.c -- builds and checks frames; see frame.h. Shares no code with bpf/, on purpose. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "selftests/bpf/frame.h"

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Sum over pseudo header and UDP; a right checksum in place gives 0. */
static uint16_t udp_sum(const uint8_t *addrs, size_t addrs_n, const uint8_t *udp, size_t n)
{
	uint32_t sum = sum_bytes(0, addrs, addrs_n);

	sum += IPPROTO_UDP + (uint32_t)n;
	return sum_fold(sum_bytes(sum, udp, n));
}

static size_t body_write(const struct spec *s, uint8_t *p)
{
	static const struct {
		size_t n;
		uint8_t head[8];
	} kinds[] = {
		[BODY_RTP] = {172, {0x80, 0, 0x12, 0x34, 0, 1, 0, 0}},
		[BODY_RTCP] = {28, {0x81, 201, 0, 6, 1, 2, 3, 4}},
		[BODY_RTCP_8] = {8, {0x80, 201, 0, 1, 1, 2, 3, 4}},
		[BODY_RTP_11] = {11, {0x80, 0, 0x12, 0x34, 0, 1, 0, 0}},
		[BODY_STUN_REQUEST] = {28, {0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}},
		[BODY_STUN_ANSWER] = {20, {1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}},
		[BODY_STUN_COOKIE] = {28, {0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x43}},
		[BODY_DTLS] = {60, {22, 0xfe, 0xfd, 0, 0, 0, 0, 0}},
		[BODY_TEXT] = {40, {'O', 'P', 'T', 'I', 'O', 'N', 'S', ' '}},
		[BODY_EMPTY] = {0, {0}},
		[BODY_SHORT] = {4, {0x80, 0, 0, 1}},
	};
	size_t n = s->body_len ? s->body_len : kinds[s->body].n;

	for (size_t i = 0; i < n; i++)
		p[i] = s->rtp && i < 12 ? s->rtp[i]
		       : i < 8		? kinds[s->body].head[i]
					: (uint8_t)(i * 7 + 3);
	return n;
}

/* UDP or TCP at @p; returns its length. */
static size_t l4_write(const struct spec *s, uint8_t *p, const uint8_t *addrs, size_t addrs_n)
{
	struct udphdr udp = {.source = htons(s->src.port), .dest = htons(s->dst.port)};
	struct tcphdr tcp = {.source = htons(s->src.port), .dest = htons(s->dst.port), .doff = 5};
	size_t n = sizeof(udp) + body_write(s, p + sizeof(udp));
	uint16_t check;

	if (s->proto == IPPROTO_TCP) {
		tcp.th_flags = s->tcp_flags;
		memcpy(p, &tcp, sizeof(tcp));
		return sizeof(tcp);
	}
	udp.len = htons((uint16_t)n);
	memcpy(p, &udp, sizeof(udp));
	check = udp_sum(addrs, addrs_n, p, n);
	udp.check = s->no_checksum ? 0 : check ? htons(check) : 0xffff;
	udp.len = htons((uint16_t)((int)n + s->udp_len_add));
	memcpy(p, &udp, sizeof(udp));
	return n;
}

static size_t ip4_write(const struct spec *s, uint8_t *p)
{
	size_t header = sizeof(struct iphdr) + 4u * s->options, n;
	struct iphdr ip = {.version = s->version ? s->version : 4,
			   .ihl = (s->ihl ? s->ihl : (unsigned)header / 4) & 15,
			   .tos = 0xb8,
			   .id = s->translated ? 0 : htons(0x4711),
			   .frag_off = htons(s->translated ? 0x4000 : s->frag),
			   .ttl = s->ttl_zero ? 0
				  : s->ttl    ? s->ttl
					      : 64,
			   .protocol = s->proto ? s->proto : IPPROTO_UDP};

	memcpy(&ip.saddr, s->src.ip + 12, 4);
	memcpy(&ip.daddr, s->dst.ip + 12, 4);
	n = header + l4_write(s, p + header, (uint8_t *)&ip.saddr, 8);
	ip.tot_len = htons((uint16_t)((int)n + s->ip_len_add));
	memset(p + sizeof(ip), 1, header - sizeof(ip)); /* no-operation options */
	memcpy(p, &ip, sizeof(ip));
	ip.check = htons(sum_fold(sum_bytes(0, p, header)));
	memcpy(p, &ip, sizeof(ip));
	return n;
}

static size_t ip6_write(const struct spec *s, uint8_t *p)
{
	struct ip6_hdr ip = {.ip6_flow = htonl((s->version ? s->version : 6u) << 28 | 0xb8u << 20 |
					       (s->translated ? 0u : 0x12345u))};
	uint8_t proto = s->proto ? s->proto : IPPROTO_UDP;
	size_t extra = s->next_header ? 8 : 0, n;

	ip.ip6_nxt = s->next_header == 255 ? 0 : s->next_header ? s->next_header : proto;
	ip.ip6_hlim = s->ttl_zero ? 0 : s->ttl ? s->ttl : 64;
	memcpy(&ip.ip6_src, s->src.ip, 16);
	memcpy(&ip.ip6_dst, s->dst.ip, 16);
	memset(p + sizeof(ip), 0, extra);
	if (extra)
		p[sizeof(ip)] = proto;
	n = extra + l4_write(s, p + sizeof(ip) + extra, (uint8_t *)&ip.ip6_src, 32);
	ip.ip6_plen = htons((uint16_t)((int)n + s->ip_len_add));
	memcpy(p, &ip, sizeof(ip));
	return sizeof(ip) + n;
}

size_t frame_build(const struct spec *s, uint8_t out[FRAME_MAX])
{
	bool v4 = addr_is_v4(&s->src);
	uint16_t type = htons(s->ethertype ? s->ethertype : v4 ? ETH_P_IP : ETH_P_IPV6);
	size_t n = 12;

	memcpy(out, s->dst_mac, 6);
	memcpy(out + 6, s->src_mac, 6);
	for (int i = 0; i < s->tags; i++) {
		uint16_t tag[2] = {htons(i + 1 < s->tags ? ETH_P_8021AD : ETH_P_8021Q),
				   htons((uint16_t)(100 + i))};

		memcpy(out + n, tag, 4);
		n += 4;
	}
	memcpy(out + n, &type, 2);
	n += 2;
	n += v4 ? ip4_write(s, out + n) : ip6_write(s, out + n);
	memset(out + n, 0, s->pad);
	n += s->pad;
	return s->cut && s->cut < n ? s->cut : n;
}

size_t frame_ip_len(const struct spec *s)
{
	uint8_t scratch[FRAME_MAX];

	return addr_is_v4(&s->src) ? ip4_write(s, scratch) : ip6_write(s, scratch);
}

bool frame_checksums_right(const uint8_t *f, size_t n, bool zero)
{
	size_t at = 14, header, len;
	uint16_t type, field;
	bool v6;

	for (memcpy(&type, f + 12, 2); type == htons(ETH_P_8021Q) || type == htons(ETH_P_8021AD);
	     at += 4)
		memcpy(&type, f + at + 2, 2);
	v6 = type == htons(ETH_P_IPV6);
	if (!v6) {
		header = (f[at] & 15) * 4u;
		len = ((size_t)f[at + 2] << 8 | f[at + 3]) - header;
		if (sum_fold(sum_bytes(0, f + at, header)))
			return false;
	} else {
		header = 40;
		len = (size_t)f[at + 4] << 8 | f[at + 5];
	}
	if (at + header + len > n)
		return false;
	memcpy(&field, f + at + header + 6, 2);
	if (!field)
		return zero && !v6;
	if (v6)
		return !udp_sum(f + at + 8, 32, f + at + header, len);
	return !zero && !udp_sum(f + at + 12, 8, f + at + header, len);
}

void frame_udp_check(uint8_t *f, size_t udp)
{
	size_t len = (size_t)f[udp + 4] << 8 | f[udp + 5];
	uint16_t check =
		udp == 54 ? udp_sum(f + 22, 32, f + udp, len) : udp_sum(f + 26, 8, f + udp, len);

	check = check ? htons(check) : 0xffff;
	memcpy(f + udp + 6, &check, 2);
}

bool frame_icmp_right(const uint8_t *f, size_t n)
{
	size_t len4 = (size_t)f[16] << 8 | f[17], len6 = (size_t)f[18] << 8 | f[19];

	if (f[12] == 8) /* 0x0800 */
		return f[23] == IPPROTO_ICMP && n == 14 + len4 &&
		       !sum_fold(sum_bytes(0, f + 14, 20)) &&
		       !sum_fold(sum_bytes(0, f + 34, n - 34));
	return f[20] == IPPROTO_ICMPV6 && n == 54 + len6 &&
	       !sum_fold(sum_bytes(IPPROTO_ICMPV6 + (uint32_t)len6, f + 22, n - 22));
}
