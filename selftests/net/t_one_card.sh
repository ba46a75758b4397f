#!/bin/bash
# t_one_card.sh -- an edge with one network card for both sides, then with one address on it for both: media turns round where it came in
#
#	203.0.113.50 alice --+            203.0.113.10
#	203.0.113.51 carol --+-- bridge --  one card  -- edge        core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
#	                     |            172.16.0.10               |
#	                     +--------------------------------------+ 172.16.0.20
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
ip -n "$P-dmz" link del d1
wire in i0 inet i9
ip -n "$P-inet" link set i9 master br0
ip -n "$P-in" addr add "$CORE_OUT/24" dev i0
ip -n "$P-dmz" addr add "$EDGE_IN/24" dev d0
kamailio_up
# Both ranges on one address must not overlap: the inside one is 38000-39999 throughout.
eval "two_$(declare -f edge_config)"
edge_config() {
	two_edge_config
	sed -i "s/inside_first: 36000/inside_first: 38000/" "$RUN/edge.yaml"
}
pair_up
calls() {
	script <<-'PY'
	from shapes import *


	def call(x, y):
	    d, rd = established(x, y)
	    talk(x, y)
	    f = flows()
	    check(all(r["rung"] == E["SHOWN"] for r in f), f"{f}")
	    check(all(r["inside"].startswith(E["EDGE_IN"] + ":") and r["outside"].startswith(E["EDGE_OUT"] + ":") for r in f), f"{f}")
	    hangup(rd, x.ua)


	bad = csum_errors()
	uas = [outside(), inside(), outside("carol", E["CAROL"])]
	ends = {"out-in": (0, 1), "in-out": (1, 0), "out-out": (0, 2)}
	table((call,), uas, lambda way, n: [Party(uas[i], 40000 + 1000 * k + 20 * n, 600 * (k + 1)) for k, i in enumerate(ends[way])])
	check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
	unregistered(uas)
	PY
}
RUNG=xdp
export SHOWN=xdp-native
say "one card, two addresses"
calls
[ "$(ns dmz ip -d link show | grep -c 'prog/xdp')" = 1 ] || fail "one XDP program on the one card"
say "  and on tc"
stop edge
RUNG=tc edge_up
wait_for 10 "the link up" link_is_up
SHOWN=tc calls
say "one card, one address"
stop core
stop edge
ip -n "$P-dmz" addr del "$EDGE_IN/24" dev d0
ip -n "$P-in" addr add 203.0.113.20/24 dev i0
EDGE_IN=$EDGE_OUT CORE_OUT=203.0.113.20
export EDGE_IN CORE_OUT
pair_up
calls
no_live_flows || fail "entries left in the live map"
