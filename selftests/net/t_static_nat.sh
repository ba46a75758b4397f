#!/bin/bash
# t_static_nat.sh -- static NAT on every side: what is advertised is not what is bound, outside, between edge and core, and inside
#
#	alice .50 --+                +--- nat ---+                             172.31.0.10 = 172.16.0.10
#	carol .51 --+-- 203.0.113.10 |  = 192.168.100.10 edge (dmz) 172.16.0.10 ==link== core (inside) 10.20.0.20 = 10.20.99.20 -- Kamailio, bob
#
# A router of its own translates outside; the namespace of the core translates what it calls the edge, and its own inside address.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
ip netns add "$P-nat"
ip -n "$P-nat" link set lo up
ip -n "$P-inet" link del n0
wire inet n0 nat r0
wire nat r1 dmz d0
ip -n "$P-inet" link set n0 master br0
ip -n "$P-nat" addr add 203.0.113.10/24 dev r0
ip -n "$P-nat" addr add 192.168.100.1/24 dev r1
ip -n "$P-dmz" addr add 192.168.100.10/24 dev d0
ip -n "$P-dmz" route add default via 192.168.100.1
ns nat sysctl -qw net.ipv4.ip_forward=1
ns nat nft -f - <<-X
	table ip nat {
		chain pre {
			type nat hook prerouting priority -100;
			iifname "r0" ip daddr 203.0.113.10 counter dnat to 192.168.100.10
		}
		chain post {
			type nat hook postrouting priority 100;
			oifname "r0" ip saddr 192.168.100.10 counter snat to 203.0.113.10
		}
	}
X
ip -n "$P-in" route add 172.31.0.0/24 via "$EDGE_IN"
ip -n "$P-lan" route add 10.20.99.0/24 via "$CORE_LAN"
ns in nft -f - <<-X
	table ip nat {
		chain out {
			type nat hook output priority -100;
			ip daddr 172.31.0.10 counter dnat to $EDGE_IN
		}
		chain pre {
			type nat hook prerouting priority -100;
			iifname "i1" ip daddr 10.20.99.20 counter dnat to $CORE_LAN
		}
		chain post {
			type nat hook postrouting priority 100;
			oifname "i1" ip saddr $CORE_LAN counter snat to 10.20.99.20
		}
	}
X
for d in edge core; do
	eval "plain_$(declare -f ${d}_config)"
done
edge_config() {
	plain_edge_config
	sed -i "s/outside: $EDGE_OUT, inside: $EDGE_IN/outside: $EDGE_OUT, outside_advertise: 203.0.113.10, inside: $EDGE_IN, inside_advertise: 172.31.0.10/" \
		"$RUN/edge.yaml"
}
core_config() {
	plain_core_config
	sed -i "s/^  listen: .*:5060.*/&\n  advertise: \"10.20.99.20:5060\"/;s/^  inside: .*/&\n  inside_advertise: 10.20.99.20/" "$RUN/core.yaml"
}
kamailio_up
EDGE_OUT=192.168.100.10 LINK_ADDR=172.31.0.10:7001 pair_up
export EDGE_OUT=203.0.113.10 CORE_LAN=10.20.99.20 # as the world knows them
script <<'PY'
from shapes import *


def call(x, y):
    """Party.sees() compares each description with what is advertised; so it is with the signalling inside."""
    d, i = begin(x, y, x.offer())
    y.sees(i.body)
    rd = accept(d, y, i, y.answer())
    x.sees(rd.ok.body)
    if not y.out:
        check("10.20.99.20" in " ".join(i.all("via")) and any("@10.20.99.20:" in u for u in i.uris("record-route")), i.text())
        check("10.20.0.20" not in i.text(), i.text())
    talk(x, y)
    f = flows()
    check(all(r["outside"].startswith("192.168.100.10:") and r["inside"].startswith(E["EDGE_IN"] + ":") for r in f), f"bound addresses: {f}")
    hangup(rd, x.ua)


bad = csum_errors()
uas = [outside(), inside(), outside("carol", E["CAROL"])]
ends = {"out-in": (0, 1), "in-out": (1, 0), "out-out": (0, 2)}
table((call,), uas, lambda way, n: [Party(uas[i], 40000 + 1000 * k + 20 * n, 600 * (k + 1)) for k, i in enumerate(ends[way])])
check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
