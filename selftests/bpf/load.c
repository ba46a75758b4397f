/* selftests/bpf/load.c -- the loader against veth in a network namespace of its own: refusals, adoption, release.
 *
 *   this namespace: m0 192.0.2.1, n0 10.0.0.1 (later m0 again)      peers: m1, n1, in the same namespace
 *
 * Needs root. Prints `load: N passed, N failed, N skipped`; exit 77 where namespaces or BPF are not to be had. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "user/bpf_load.h"
#include "user/bpf_ports.h"

static unsigned passed, failed;
static char instance[32], why[256];

static void __attribute__((format(printf, 2, 3))) check(bool good, const char *fmt, ...)
{
	va_list ap;

	passed += good;
	failed += !good;
	if (good)
		return;
	va_start(ap, fmt);
	printf("  FAIL ");
	vprintf(fmt, ap);
	printf(" (%s)\n", why);
	va_end(ap);
}

static void sh(const char *command)
{
	if (system(command)) {
		printf("load: cannot do: %s\n", command);
		printf("load: %u passed, %u failed, 1 skipped\n", passed, failed);
		bpf_unload(instance);
		exit(77);
	}
}

static struct maps_pair pair_of(const char *outside, const char *inside, uint16_t base)
{
	struct maps_pair p = {.outside_base = base, .inside_base = base, .range = 100};

	if (addr_parse(span_str(outside), &p.outside) || addr_parse(span_str(inside), &p.inside))
		abort();
	return p;
}

static enum rung wish = RUNG_XDP;
static struct media_rung rungs[RUNG_PAIRS_MAX];

static int load(const struct maps_pair *pair, struct maps_fds *fds)
{
	static const uint16_t ports[] = {5061};
	struct bpf_load_params p = {.instance = instance,
				    .pairs = pair,
				    .n_pairs = 1,
				    .punch_port = 2777,
				    .tcp_ports = ports,
				    .n_tcp_ports = 1,
				    .rung = wish};

	snprintf(why, sizeof(why), "nothing");
	return bpf_load(&p, fds, rungs, why, sizeof(why));
}

static void fds_close(const struct maps_fds *f)
{
	const int all[] = {f->flows, f->flow_state, f->next_hops, f->bans, f->reasons, f->live};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		close(all[i]);
}

static bool pinned(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/bpf/sallyport/%s/v%d%s%s", instance, SP_ABI,
		 *name ? "/" : "", name);
	return !access(path, F_OK);
}

static uint32_t program_on(const char *iface)
{
	uint32_t id = 0;

	bpf_xdp_query_id((int)if_nametoindex(iface), XDP_FLAGS_DRV_MODE, &id);
	return id;
}

static void refusals(void)
{
	struct maps_pair good = pair_of("192.0.2.1", "10.0.0.1", 36000), p;
	struct maps_fds fds;

	p = pair_of("192.0.2.77", "10.0.0.1", 36000);
	check(load(&p, &fds) == -EADDRNOTAVAIL && strstr(why, "192.0.2.77"), "address of nobody");
	p = pair_of("192.0.2.1", "192.0.2.1", 36000);
	check(load(&p, &fds) == -EINVAL && strstr(why, "overlap"), "both sides the same");
	p = pair_of("192.0.2.1", "10.0.0.1", 65500);
	check(load(&p, &fds) == -EINVAL, "range over 65535");
	p = pair_of("127.0.0.1", "10.0.0.1", 36000);
	check(load(&p, &fds) == -EOPNOTSUPP && strstr(why, "interface lo:"), "no native XDP on lo");
	check(!pinned(""), "nothing is left after a refusal");
	check(load(&good, &fds) == -EHOSTUNREACH && strstr(why, "does not cross"),
	      "peer without GRO");
	check(!pinned("") && !program_on("m0"), "nothing is left after the probe failed");
	sh("ip link set n0 down");
	check(load(&good, &fds) == -ENETDOWN && strstr(why, "n0"), "interface down");
	sh("ip link set n0 up");
}

static void flow_install(const struct maps_fds *fds, const struct maps_pair *pair, int want)
{
	struct maps_flow f = {.id = 7, .client = pair->outside};
	struct maps *m;

	check(!maps_open(fds, pair, 1, &m), "maps open");
	check(maps_flow_install(m, 5, &f) == want, "install gives %d", want);
	maps_close(m);
}

static void adoption(void)
{
	struct maps_pair pair = pair_of("192.0.2.1", "10.0.0.1", 36000),
			 moved = pair_of("192.0.2.1", "10.0.0.1", 37000);
	struct maps_fds fds;
	uint32_t first, index;

	check(!load(&pair, &fds), "first start");
	check(pinned("flows") && pinned("link_m0") && pinned("link_n0"), "pinned");
	first = program_on("m0");
	check(first && first == program_on("n0"), "one program on both");
	flow_install(&fds, &pair, 0);
	fds_close(&fds);

	check(!load(&pair, &fds), "second start");
	check(program_on("m0") && program_on("m0") != first, "links switched to the new program");
	flow_install(&fds, &pair, -EEXIST);
	fds_close(&fds);

	index = if_nametoindex("m0");
	sh("ip link del m0 && ip link add m0 type veth peer name m1 && ip addr add 192.0.2.1/24 "
	   "dev m0 && "
	   "ip link set m1 up && ip link set m0 up && ethtool -K m1 gro on");
	check(if_nametoindex("m0") != index && !program_on("m0"),
	      "another device of the same name");
	check(!load(&pair, &fds), "start after the device was lost");
	check(program_on("m0") == program_on("n0"), "dead link replaced");
	flow_install(&fds, &pair, -EEXIST);
	fds_close(&fds);

	check(!load(&moved, &fds), "other ports");
	flow_install(&fds, &moved, 0);
	fds_close(&fds);
}

/* The id of our program at the ingress of @iface; 0: none. */
static uint32_t filter_on(const char *iface)
{
	char command[160];
	uint32_t id = 0;
	FILE *f;

	snprintf(
		command, sizeof(command),
		"tc filter show dev %s ingress | sed -n 's/.* tc_relay.* id \\([0-9]*\\) .*/\\1/p'",
		iface);
	f = popen(command, "r");
	if (!f || fscanf(f, "%u", &id) != 1)
		id = 0;
	if (f)
		pclose(f);
	return id;
}

static bool on_xdp(void)
{
	return rungs[0].rung == RUNG_XDP && program_on("m0") && program_on("n0") &&
	       !filter_on("m0") && !filter_on("n0");
}

static bool on_tc(const char *reason)
{
	return rungs[0].rung == RUNG_TC && strstr(rungs[0].why, reason) && filter_on("m0") &&
	       filter_on("n0") && !program_on("m0") && !program_on("n0") && !pinned("link_m0") &&
	       !pinned("link_n0");
}

/* Each step is a start of its own; the flow that the first one installed is there in every later one. */
static void change_rungs(void)
{
	struct maps_pair pair = pair_of("192.0.2.1", "10.0.0.1", 36000);
	static const struct {
		const char *before, *reason;
		enum rung wish;
	} steps[] = {
		{"ethtool -K m1 gro on; ethtool -K n1 gro off",
		 "interface n0: XDP redirect does not", RUNG_AUTO},
		{"true", "interface n0: XDP redirect does not", RUNG_AUTO},
		{"ethtool -K n1 gro on", NULL, RUNG_AUTO},
		{"true", "rung: tc is configured", RUNG_TC},
		{"true", NULL, RUNG_XDP},
		{"ethtool -K m1 gro off", "interface m0: XDP redirect does not", RUNG_AUTO},
	};
	struct maps_fds fds;
	uint32_t before = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		sh(steps[i].before);
		wish = steps[i].wish;
		check(!load(&pair, &fds), "start %zu", i);
		flow_install(&fds, &pair, i ? -EEXIST : 0);
		fds_close(&fds);
		check(steps[i].reason ? on_tc(steps[i].reason) : on_xdp(), "rung of step %zu: %s",
		      i, rungs[0].why);
		check(i != 1 || filter_on("m0") != before, "the filter's program is replaced");
		before = filter_on("m0");
	}
	check(!bpf_unload(instance) && !filter_on("m0") && !filter_on("n0") && !pinned(""),
	      "unload takes the filters off");
	sh("ethtool -K m1 gro on && ethtool -K n1 gro on");
	wish = RUNG_XDP;
}

/* A binary of another ABI was here: its programs come off the interfaces, its pins go; a start that fails leaves them. */
static void other_abi(void)
{
	struct maps_pair pair = pair_of("192.0.2.1", "10.0.0.1", 36000),
			 wrong = pair_of("192.0.2.99", "10.0.0.1", 36000);
	char ours[128], theirs[128];
	struct maps_fds fds;
	uint32_t before;

	snprintf(ours, sizeof(ours), "/sys/fs/bpf/sallyport/%s/v%d", instance, SP_ABI);
	snprintf(theirs, sizeof(theirs), "/sys/fs/bpf/sallyport/%s/v%d", instance, SP_ABI - 1);
	check(!load(&pair, &fds), "load");
	flow_install(&fds, &pair, 0);
	fds_close(&fds);
	before = program_on("m0");
	check(!rename(ours, theirs), "the maps are another ABI's now");
	check(load(&wrong, &fds) && !access(theirs, F_OK) && program_on("m0") == before,
	      "a start that fails");
	check(!load(&pair, &fds) && access(theirs, F_OK), "its pins are gone");
	check(program_on("m0") && program_on("m0") != before && pinned("link_m0"),
	      "our program took its place");
	flow_install(&fds, &pair, 0); /* nothing was adopted */
	fds_close(&fds);
	check(!bpf_unload(instance), "unload");
	check(!load(&pair, &fds), "load");
	fds_close(&fds);
	check(!rename(ours, theirs), "another ABI's again");
	check(!bpf_unload(instance) && access(theirs, F_OK) && !program_on("m0"),
	      "unload takes them off as well");
}

static void release(void)
{
	struct maps_pair one = pair_of("192.0.2.1", "192.0.2.1", 36000);
	struct maps_fds fds;

	one.inside_base = 46000;
	check(!load(&one, &fds), "both sides on one interface");
	check(pinned("link_m0") && !pinned("link_n0") && !program_on("n0"),
	      "the other interface is released");
	fds_close(&fds);
	check(!bpf_unload(instance), "unload");
	check(!pinned("") && !program_on("m0"), "nothing is left");
	check(bpf_unload(instance) == -ENOENT, "unload again");
	check(bpf_unload("../x") == -EINVAL, "instance with a path");
}

static void ports(void)
{
	char text[256] = "";
	int fd = open(PORTS_SYSCTL, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	check(n > 0 && !strcmp(text, "8080,36000-36099,37000-37099,46000-46099\n"),
	      "reserved ports: %s", text);
}

int main(void)
{
	snprintf(instance, sizeof(instance), "selftest-%d", (int)getpid());
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid() || unshare(CLONE_NEWNET)) {
		printf("load: skipped: needs root and network namespaces\nload: 0 passed, 0 "
		       "failed, 1 skipped\n");
		return 77;
	}
	sh("ip link set lo up && ip link add m0 type veth peer name m1 && ip link add n0 type veth "
	   "peer name n1 && "
	   "ip addr add 192.0.2.1/24 dev m0 && ip addr add 10.0.0.1/24 dev n0 && "
	   "for i in m0 m1 n0 n1; do ip link set $i up && ethtool -K $i gro off; done && "
	   "echo 8080 >" PORTS_SYSCTL);
	refusals();
	sh("ethtool -K m1 gro on && ethtool -K n1 gro on");
	change_rungs();
	adoption();
	other_abi();
	release();
	ports();
	bpf_unload(instance);
	printf("load: %u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
