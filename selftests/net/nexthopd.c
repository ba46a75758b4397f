/* selftests/net/nexthopd.c -- user/nexthop behind the sandbox, for t_nexthop.sh.
 *
 * In: lines "get ADDR", "put N", "show N", "reserve N", "adopt N ADDR", "end" on stdin. Out: "= ..." answers, and a "map ..." line for
 * every write into the next_hops map, which is this program's own here: the test needs neither BPF nor privileges. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/keeper.h"
#include "user/log.h"
#include "user/nexthop.h"

static struct loop *l;
static struct nexthop *n;
static char line[256];
static size_t at;
static char map; /* stands for the maps, which are printed */

int maps_next_hop_set(struct maps *m, uint32_t index, const struct maps_next_hop *nh)
{
	const uint8_t *s = nh->src_mac, *d = nh->dst_mac;

	(void)m;
	printf("map %u ifindex %u src %02x:%02x:%02x:%02x:%02x:%02x dst "
	       "%02x:%02x:%02x:%02x:%02x:%02x mtu %u\n",
	       index, nh->ifindex, s[0], s[1], s[2], s[3], s[4], s[5], d[0], d[1], d[2], d[3], d[4],
	       d[5], nh->mtu);
	return 0;
}

static void show(uint32_t index)
{
	char text[ADDR_TEXT_MAX];
	const char *state;
	struct addr gw;
	uint32_t ifindex;

	if (nexthop_show(n, index, &gw, &ifindex, &state))
		printf("= %u gateway %s ifindex %u %s\n", index, addr_text(&gw, text), ifindex,
		       state);
	else
		printf("= %u unused\n", index);
}

static void command(const char *cmd)
{
	char addr[64];
	uint32_t index = 0;
	struct addr a;
	int err;

	if (sscanf(cmd, "put %u", &index) == 1) {
		nexthop_put(n, index);
	} else if (sscanf(cmd, "show %u", &index) == 1) {
		show(index);
	} else if (sscanf(cmd, "reserve %u", &index) == 1) {
		nexthop_reserve(n, index);
	} else if (strcmp(cmd, "end") == 0) {
		nexthop_reserve_end(n);
	} else if (sscanf(cmd, "get %63s", addr) == 1 && addr_parse(span_str(addr), &a) == 0) {
		err = nexthop_get(n, &a, &index);
		printf("= get %s %d %u\n", addr, err, index);
	} else if (sscanf(cmd, "adopt %u %63s", &index, addr) == 2 &&
		   addr_parse(span_str(addr), &a) == 0) {
		err = nexthop_adopt(n, index, &a, &index);
		printf("= adopt %s %d %u\n", addr, err, index);
	} else {
		printf("= what? %s\n", cmd);
	}
}

static void on_stdin(void *arg, int revents)
{
	char *end;
	ssize_t got = revents < 0 ? 0 : read(0, line + at, sizeof(line) - 1 - at);

	(void)arg;
	if (got <= 0) {
		loop_stop(l);
		return;
	}
	at += (size_t)got;
	line[at] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		command(line);
		at -= (size_t)(end + 1 - line);
		memmove(line, end + 1, at + 1);
	}
	loop_poll(l, 0, POLLIN, false, on_stdin, NULL, &(struct loop_handle){0});
}

int main(void)
{
	static const struct loop_params params = {.entries = 32, .ops_max = 32};
	char why[256] = "";
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_open("nexthopd", LOG_L_INFO);
	err = loop_new(&params, &l);
	if (!err)
		err = nexthop_new(l, (struct maps *)&map, &n);
	if (!err)
		err = loop_poll(l, 0, POLLIN, false, on_stdin, NULL, &(struct loop_handle){0});
	if (!err && setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0)
		err = sandbox_enter(why, sizeof(why));
	if (err) {
		fprintf(stderr, "nexthopd: %s %s\n", strerror(-err), why);
		return 1;
	}
	printf("= ready\n");
	err = loop_run(l);
	nexthop_free(n);
	loop_free(l);
	return err ? 1 : 0;
}
