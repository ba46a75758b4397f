/* selftests/bpf/rig_user.c -- sockets behind a TAP; see rig_user.h.
 *
 * One frame is carried through by running the loop until a datagram that was sent behind it on loopback has come round twice: the first
 * time all that came before has been read, the second time all sends have ended. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "selftests/bpf/cases.h"
#include "selftests/bpf/rig_user.h"
#include "selftests/bpf/rig_wire.h"
#include "user/maps_memory.h"
#include "user/media_user.h"
#include "user/sockpool.h"

#define ELSEWHERE 1000u /* added to the number of an interface that is not rig0 */

static struct {
	struct keeper_plan plan;
	struct maps_pair pairs[RIG_PAIRS];
	struct loop *loop;
	struct media_user_params p;
	struct media_user *user;
	struct loop_handle echo;
	int echo_fd, memory;
	unsigned echoes;
	/* the last punch, and how many since the frame */
	unsigned punches;
	struct addr from;
	uint8_t body[FRAME_MAX];
	size_t body_n;
} u;

static void punched(void *arg, const struct addr *from, struct span data)
{
	(void)arg;
	u.punches++;
	u.from = *from;
	u.body_n = data.n;
	memcpy(u.body, data.p, data.n);
}

static void echo_send(void)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	rig_must(getsockname(u.echo_fd, (struct sockaddr *)&ss, &n) ? -errno : 0, "echo");
	rig_must(sendto(u.echo_fd, "", 1, 0, (struct sockaddr *)&ss, n) == 1 ? 0 : -errno, "echo");
}

static void echo_came(void *arg, struct loop_dgram *d)
{
	(void)arg;
	(void)d;
	if (++u.echoes < 2)
		echo_send();
	else
		loop_stop(u.loop);
}

/* ---- one frame ---------------------------------------------------------------------------------------------------- */

struct heads { /* where things are in a frame without tags and options of its own making */
	bool v4;
	size_t udp;
};

static bool heads_of(const uint8_t *f, size_t n, struct heads *h)
{
	h->v4 = n >= 42 && f[12] == 8 && f[13] == 0;
	if (!h->v4 && (n < 62 || f[12] != 0x86 || f[13] != 0xdd))
		return false;
	h->udp = h->v4 ? 14 + (f[14] & 15) * 4u : 54;
	return h->udp + 8 <= n;
}

/* The routing table takes the way that the flow's next hops say. */
static void routes_follow(struct rig *r, const uint8_t *f, size_t n)
{
	struct maps_flow flow;
	struct heads h;
	struct addr to;
	uint16_t port;
	int pair, outward;

	if (!heads_of(f, n, &h))
		return;
	port = (uint16_t)(f[h.udp + 2] << 8 | f[h.udp + 3]);
	to = rig_addr("0.0.0.0", 0);
	memcpy(to.ip + (h.v4 ? 12 : 0), f + (h.v4 ? 30 : 38), h.v4 ? 4 : 16);
	for (int i = 0; i < 2 * RIG_PAIRS; i++) {
		pair = i / 2;
		outward = i & 1;
		port = (uint16_t)(port - (outward ? RIG_INSIDE : RIG_OUTSIDE));
		if (addr_ip_eq(&to, outward ? &r->inside[pair] : &r->outside[pair]) &&
		    port < RIG_RANGE &&
		    !maps_flow_get(r->maps, (uint32_t)pair * RIG_RANGE + port, &flow)) {
			wire_route(&r->core[pair], (enum rig_hop)flow.nh_in);
			wire_route(&r->client[pair], (enum rig_hop)flow.nh_out);
			return;
		}
		port = (uint16_t)(port + (outward ? RIG_INSIDE : RIG_OUTSIDE));
	}
}

/* What BPF would have passed up to the punch socket, with the sender and the payload that we were told. */
static void punch_frame(const uint8_t *frame, size_t n, struct rig_result *out)
{
	struct heads h;

	memcpy(out->frame, frame, n);
	out->n = n;
	out->verdict = XDP_PASS;
	if (!heads_of(frame, n, &h) || h.udp + 8 + u.body_n > n)
		return;
	memcpy(out->frame + (h.v4 ? 26 : 22), u.from.ip + (h.v4 ? 12 : 0), h.v4 ? 4 : 16);
	out->frame[h.udp] = (uint8_t)(u.from.port >> 8);
	out->frame[h.udp + 1] = (uint8_t)u.from.port;
	out->frame[h.udp + 2] = RIG_PUNCH >> 8;
	out->frame[h.udp + 3] = RIG_PUNCH & 255;
	memcpy(out->frame + h.udp + 8, u.body, u.body_n);
	if (frame[h.udp + 6] || frame[h.udp + 7]) {
		memset(out->frame + h.udp + 6, 0, 2);
		frame_udp_check(out->frame, h.udp);
	}
}

static int user_fire(struct rig *r, const uint8_t *frame, size_t n, struct rig_result *out)
{
	uint8_t more[FRAME_MAX], src[6], dst[6];
	enum rig_hop hop;
	int e;

	routes_follow(r, frame, n);
	u.punches = u.echoes = 0;
	e = wire_in(frame, n);
	if (e)
		return e;
	echo_send();
	e = loop_run(u.loop);
	if (e)
		return e;
	out->verdict = XDP_DROP;
	out->n = wire_out(out->frame, &hop);
	if (out->n) {
		out->verdict = XDP_REDIRECT;
		rig_macs(hop, src, dst);
		if (hop == HOP_LO) /* rig0 has the address that frames come in by */
			memcpy(out->frame + 6, src, 6);
	} else if (u.punches) {
		punch_frame(frame, n, out);
	}
	return wire_out(more, &hop) || u.punches > 1 ? -EPROTO : 0;
}

static void user_state_set(struct rig *r, uint32_t slot, const struct flow_state *s)
{
	*maps_memory_state(r->maps, slot) = *s;
}

static uint32_t user_generation(struct rig *r, uint32_t slot)
{
	return maps_memory_flow(r->maps, slot)->generation;
}

/* A worker looks for the interfaces when it starts. */
static void user_interface(struct rig *r, uint32_t side, uint32_t ifindex)
{
	(void)r;
	media_user_free(u.user);
	u.p.side[side / 2][side & 1].ifindex = ifindex == RIG_LO ? wire_ifindex()
					       : ifindex	 ? ELSEWHERE + ifindex
								 : 0;
	rig_must(media_user_new(&u.p, &u.user), "worker");
}

/* ---- what a socket cannot express --------------------------------------------------------------------------------- */

static bool pass(enum relay_reason why)
{
	return why >= R_PASS_NOT_IP && why <= R_PASS_NO_FLOW;
}

static bool user_difference(const struct row *row, int pair, struct rig_difference *out)
{
	static const struct rig_difference
		tags = {"a VLAN device takes tags off before any socket", -1},
		headers = {"the stack takes extension headers off", R_FORWARD_IN},
		atomic = {"the stack takes a fragment header off and tells", R_DROP_FRAGMENT},
		none = {"no socket of ours is there", -1},
		before = {"the stack has it before any socket", -1},
		length = {"the stack drops what contradicts itself", -1},
		waits = {"the stack waits for the other fragments", -1},
		six = {"the stack drops UDP over IPv6 without a checksum", -1},
		made = {"the kernel makes a new checksum", R_FORWARD_IN},
		routed = {"the kernel routes: no interface is none of ours", R_FORWARD_IN},
		wide = {"an IPv6 interface takes 1280 bytes at least", R_FORWARD_IN};
	bool in6 = row->outward ? pair == 1 || pair == 2 : pair == 1 || pair == 3;
	bool out6 = row->outward ? pair == 1 || pair == 3 : pair == 1 || pair == 2;
	const struct rig_difference *d = NULL;

	if (row->mod.tags)
		d = &tags;
	else if (row->mod.next_header)
		d = row->mod.next_header == 44 ? &atomic : &headers;
	else if (pass(row->want))
		d = row->want == R_PASS_NO_FLOW ? &none : &before;
	else if (row->want == R_DROP_LENGTH)
		d = &length;
	else if (row->want == R_DROP_FRAGMENT)
		d = &waits;
	else if (row->want == R_DROP_ZERO_CHECKSUM)
		d = in6 ? &six : &made;
	else if (row->want == R_DROP_NO_TX)
		d = &routed;
	else if (row->flow == FLOW_NARROW && out6)
		d = &wide;
	if (d)
		*out = *d;
	return d != NULL;
}

static const char *user_story_difference(const char *story)
{
	if (!strcmp(story, "race"))
		return "one thread carries everything";
	if (!strcmp(story, "ban"))
		return "SYNs are the stack's; accept asks maps_ban_hit() (test_maps_memory)";
	if (!strcmp(story, "too big"))
		return "a socket cannot answer with ICMP; the rows of the MTU say drop_too_big";
	return NULL;
}

const struct rig_kind rig_user = {
	.name = "user",
	.sockets = true,
	.fire = user_fire,
	.state_set = user_state_set,
	.generation = user_generation,
	.interface = user_interface,
	.difference = user_difference,
	.story_difference = user_story_difference,
};

/* ---- open --------------------------------------------------------------------------------------------------------- */

static int sockets_open(void)
{
	char why[256] = "", names[2 * RIG_PAIRS][16];
	int e = 0;

	for (int i = 0; i < 2 * RIG_PAIRS && !e; i++) {
		const struct maps_pair *p = &u.pairs[i / 2];
		struct sockpool_wish w = {.name = names[i],
					  .setting = "RIG_RANGE",
					  .first = i & 1 ? p->inside : p->outside,
					  .n = RIG_RANGE,
					  .step = 1,
					  .rcvbuf = MEDIA_USER_RCVBUF};

		snprintf(names[i], sizeof(names[i]), "%d.%d", i / 2, i & 1);
		w.first.port = i & 1 ? RIG_INSIDE : RIG_OUTSIDE;
		w.end = w.first.port + RIG_RANGE;
		e = sockpool_bind(&u.plan, &w, why, sizeof(why));
		for (int k = 0; k < RIG_RANGE && !e; k++)
			e = media_user_socket(u.plan.fds[i].fd + k, addr_is_v4(&w.first));
		u.p.side[i / 2][i & 1] = (struct media_user_side){.first_fd = u.plan.fds[i].fd,
								  .ifindex = wire_ifindex()};
	}
	if (e)
		printf("user: sockets: %s %s\n", strerror(-e), why);
	return e;
}

static int echo_open(void)
{
	struct sockaddr_in lo = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	u.echo_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u.echo_fd < 0 || bind(u.echo_fd, (struct sockaddr *)&lo, sizeof(lo)))
		return -errno;
	return loop_recv(u.loop, u.echo_fd, echo_came, NULL, &u.echo);
}

static int worker_open(struct rig *r)
{
	struct loop_params lp = {.entries = 2048,
				 .ops_max = 2048,
				 .recv_bufs = 64,
				 .send_bufs = 64,
				 .buf_size = 2048,
				 .recv_control = MEDIA_USER_CONTROL};
	int e = loop_new(&lp, &u.loop);

	u.memory = e ? e : maps_memory_make(u.pairs, RIG_PAIRS);
	e = u.memory < 0 ? u.memory : maps_memory_open(u.memory, u.pairs, RIG_PAIRS, &r->maps);
	if (e)
		return e;
	u.p.loop = u.loop;
	u.p.maps = r->maps;
	u.p.pairs = u.pairs;
	u.p.n_pairs = RIG_PAIRS;
	u.p.punch = punched;
	e = media_user_new(&u.p, &u.user);
	return e ? e : echo_open();
}

int rig_user_open(struct rig *r)
{
	struct rlimit files = {4096, 4096};
	int e;

	r->kind = &rig_user;
	rig_addrs(r);
	rig_pairs(r, u.pairs);
	setrlimit(RLIMIT_NOFILE, &files);
	e = wire_open(r);
	if (!e)
		e = sockets_open();
	if (!e)
		e = worker_open(r);
	return e;
}

void rig_user_close(struct rig *r)
{
	media_user_free(u.user);
	maps_close(r->maps);
	loop_free(u.loop);
	close(u.echo_fd);
	close(u.memory);
}
