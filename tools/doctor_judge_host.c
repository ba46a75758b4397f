/* tools/doctor_judge_host.c -- rules for kernel, interfaces and limits. See doctor_rules.h. */
#include <stdio.h>
#include <string.h>

#include "tools/doctor_rules.h"

#define FILES_WANTED 65536 /* the edge's keeper asks for so many */
#define FILES_FEW    4096
#define MTU_IPV6     1280
#define MTU_VIDEO    1400
#define RING_SHORT   512

static void rule_rung(struct judge *j, const json_t *p)
{
	const char *rung = text_of(p, "rung"), *reason = text_of(p, "reason"),
		   *out = text_of(p, "outside"), *in = text_of(p, "inside");

	if (!*out) /* a core's relay: towards edges, and inside or, between two clients, to itself */
		out = text_of(p, "link");
	if (!*in)
		in = text_of(p, "joined_to");
	if (!strcmp(rung, "xdp-native")) {
		say(j, SEV_OK, "kernel.rung", "media %s - %s goes by native XDP", out, in);
		return;
	}
	if (strcmp(text_of(j->node, "rung"), "auto") != 0) { /* asked for */
		say(j, SEV_OK, "kernel.rung", "media %s - %s goes by %s, as media.rung asks", out,
		    in, rung);
		return;
	}
	if (strstr(reason, "loopback")) { /* edge and core on one host: nothing to redirect to */
		say(j, SEV_OK, "kernel.rung", "media %s - %s goes by %s: %s", out, in, rung,
		    reason);
		return;
	}
	say(j, SEV_WARN, "kernel.rung", "media %s - %s goes by %s, not by native XDP: %s", out, in,
	    rung, reason);
	mend(j, "%s; then systemctl restart sallyport-%s",
	     strstr(reason, "probe")
		     ? "on veth: ethtool -K PEER gro on; else a card or driver that forwards "
		       "redirected frames"
		     : "take away what the reason names (another XDP program: ip link set dev DEV "
		       "xdp off; xdpgeneric off)",
	     j->role);
}

void judge_kernel(struct judge *j)
{
	const json_t *k = part(j, "kernel"), *p;
	const char *tls = text_of(k, "tls");
	size_t i;

	if (!k)
		return;
	if (*tls) {
		say(j, SEV_WARN, "kernel.tls", "no kernel TLS: %s", tls);
		mend(j,
		     "modprobe tls && echo tls >/etc/modules-load.d/tls.conf; systemctl restart "
		     "sallyport-%s",
		     j->role);
	} else {
		say(j, SEV_OK, "kernel.tls", "kernel TLS works");
	}
	if (number_of(k, "io_uring_disabled", 0)) {
		say(j, SEV_FAIL, "kernel.io_uring", "kernel.io_uring_disabled is %lld",
		    number_of(k, "io_uring_disabled", 0));
		mend(j, "sysctl -w kernel.io_uring_disabled=0; and take out of /etc/sysctl.d what "
			"sets it");
	} else if (*text_of(k, "io_uring")) {
		say(j, SEV_FAIL, "kernel.io_uring", "io_uring cannot be used: %s",
		    text_of(k, "io_uring"));
		mend(j, "Linux 6.1 or later; in a container, a seccomp profile that allows "
			"io_uring_setup, io_uring_enter and io_uring_register");
	} else {
		say(j, SEV_OK, "kernel.io_uring", "io_uring works (Linux %s)",
		    text_of(k, "release"));
	}
	if (is_role(j, "edge") && strcmp(text_of(j->node, "rung"), "user") != 0) {
		if (!flag_of(k, "bpffs", true)) {
			say(j, SEV_WARN, "kernel.bpffs", "/sys/fs/bpf is not mounted");
			mend(j, "mount -t bpf bpf /sys/fs/bpf");
		}
		if (!number_of(k, "bpf_jit", 1)) {
			say(j, SEV_WARN, "kernel.jit", "net.core.bpf_jit_enable is 0");
			mend(j, "sysctl -w net.core.bpf_jit_enable=1");
		}
	}
	json_array_foreach(json_object_get(part(j, "status"), "media_pairs"), i, p)
	{
		rule_rung(j, p);
	}
	json_array_foreach(json_object_get(json_object_get(part(j, "status"), "relay"), "pairs"), i,
			   p)
	{
		rule_rung(j, p);
	}
}

static bool rule_veth(struct judge *j, const json_t *n)
{
	const char *name = text_of(n, "name");
	bool good = true;

	if (strcmp(text_of(n, "driver"), "veth") != 0)
		return true;
	if (!flag_of(n, "gro", true) && strcmp(text_of(n, "xdp"), "native") != 0) {
		say(j, SEV_WARN, "nic.gro", "%s is a veth with GRO off", name);
		mend(j, "ethtool -K %s gro on", name);
		good = false;
	}
	if (flag_of(n, "tx_checksum", false)) {
		say(j, SEV_WARN, "nic.checksum", "%s is a veth with TX checksum offload on", name);
		mend(j, "ethtool -K %s tx off", name);
		good = false;
	}
	return good;
}

static bool rule_mtu(struct judge *j, const json_t *n)
{
	long long mtu = number_of(n, "mtu", 1500);

	if (mtu >= MTU_VIDEO)
		return true;
	say(j, mtu < MTU_IPV6 ? SEV_FAIL : SEV_WARN, "nic.mtu", "%s has an MTU of %lld",
	    text_of(n, "name"), mtu);
	mend(j,
	     "ip link set dev %s mtu 1500, if the network there carries it (ping -M do -s 1472 "
	     "PEER)",
	     text_of(n, "name"));
	return false;
}

static void rule_nic(struct judge *j, const json_t *n)
{
	const char *name = text_of(n, "name"), *xdp = text_of(n, "xdp");
	long long ring = number_of(n, "rx_ring", 0), max = number_of(n, "rx_ring_max", 0);
	bool good = true;

	if (!flag_of(n, "up", true)) {
		say(j, SEV_FAIL, "nic.up", "%s is down or has no carrier", name);
		mend(j, "ip link set dev %s up; look at the cable or the peer", name);
		good = false;
	}
	if (!strcmp(xdp, "generic")) {
		say(j, SEV_WARN, "nic.xdp", "%s has an XDP program in generic mode", name);
		mend(j, "ip link set dev %s xdpgeneric off; systemctl restart sallyport-%s", name,
		     j->role);
		good = false;
	}
	good = rule_mtu(j, n) && good;
	good = rule_veth(j, n) && good;
	if (ring && ring < RING_SHORT && max >= 2 * ring) {
		say(j, SEV_WARN, "nic.ring", "%s receives into a ring of %lld, it could be %lld",
		    name, ring, max);
		mend(j, "ethtool -G %s rx %lld", name, max < 4096 ? max : 4096);
		good = false;
	}
	if (good)
		say(j, SEV_OK, "nic", "%s is up, MTU %lld, XDP %s", name, number_of(n, "mtu", 0),
		    xdp);
}

void judge_nics(struct judge *j)
{
	const json_t *n;
	size_t i;

	json_array_foreach(part(j, "nics"), i, n)
	{
		rule_nic(j, n);
	}
}

static void rule_files(struct judge *j, const json_t *l)
{
	long long files = number_of(l, "files", -1), used = number_of(l, "files_used", 0);
	long long wanted = is_role(j, "edge") ? FILES_WANTED : FILES_FEW;
	bool few = files<FILES_FEW, full = used * 10> files * 9;

	if (files < 0)
		return;
	if (!few && !full && files >= wanted) {
		say(j, SEV_OK, "limit.files", "%lld open files of %lld", used, files);
		return;
	}
	say(j, few || full ? SEV_FAIL : SEV_WARN, "limit.files",
	    "the worker may open %lld files, %lld are open, %lld are wanted", files, used, wanted);
	mend(j,
	     "LimitNOFILE=%d in a drop-in: systemctl edit sallyport-%s; systemctl restart "
	     "sallyport-%s. Now: prlimit --pid %lld --nofile=%d",
	     FILES_WANTED, j->role, j->role, number_of(l, "pid", 0), FILES_WANTED);
}

void judge_limits(struct judge *j)
{
	const json_t *l = part(j, "limits");
	long long max = number_of(l, "conntrack_max", 0), now = number_of(l, "conntrack", 0),
		  kib = number_of(l, "memlock_kib", -1);
	int major = 6, minor = 1;

	if (!l)
		return;
	rule_files(j, l);
	sscanf(text_of(part(j, "kernel"), "release"), "%d.%d", &major, &minor);
	if (kib >= 0 && kib < 65536 && (major < 5 || (major == 5 && minor < 12))) {
		say(j, SEV_WARN, "limit.memlock", "the worker may lock %lld KiB, on Linux %d.%d",
		    kib, major, minor);
		mend(j,
		     "LimitMEMLOCK=infinity: systemctl edit sallyport-%s; better a kernel of 6.1 "
		     "or later",
		     j->role);
	}
	if (max && now * 10 > max * 7) {
		say(j, now * 10 > max * 9 ? SEV_FAIL : SEV_WARN, "limit.conntrack",
		    "%lld of %lld connections are tracked", now, max);
		mend(j,
		     "sysctl -w net.netfilter.nf_conntrack_max=%lld; or notrack for the media "
		     "ports",
		     max * 4);
	} else if (max) {
		say(j, SEV_OK, "limit.conntrack", "%lld of %lld connections are tracked", now, max);
	}
}
