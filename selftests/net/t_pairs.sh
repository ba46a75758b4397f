#!/bin/bash
# t_pairs.sh -- a dual-stack edge with two public addresses of each family: every pair carries media, of its client's family, at the same time
#
#	203.0.113.50, 2001:db8:1::50 alice --+-- 203.0.113.10, .11              edge ==link== core (inside) --+-- Kamailio 10.20.0.30
#	203.0.113.51, 2001:db8:1::51 carol --+-- 2001:db8:1::10, ::11                                         +-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
export EDGE_OUT6=2001:db8:1::10
net_up
ip -n "$P-inet" addr add 2001:db8:1::50/64 dev br0 nodad
ip -n "$P-inet2" addr add 2001:db8:1::51/64 dev c0 nodad
ip -n "$P-dmz" addr add 203.0.113.11/24 dev d0
for a in 2001:db8:1::10/64 2001:db8:1::11/64; do
	ip -n "$P-dmz" addr add $a dev d0 nodad
done
eval "one_$(declare -f edge_config)"
edge_config() {
	one_edge_config
	sed -i -e 's/^  listen: .*:5061.*/  listen: ["203.0.113.10:5061", "203.0.113.11:5061", "[2001:db8:1::10]:5061", "[2001:db8:1::11]:5061"]/' \
		-e "s/^  pairs:/&\n    - {outside: 203.0.113.11, inside: $EDGE_IN, outside_first: 36000, inside_first: 40000, ports: 2000}\n    - {outside: \"2001:db8:1::11\", inside: $EDGE_IN, outside_first: 36000, inside_first: 42000, ports: 2000}/" \
		"$RUN/edge.yaml"
}
kamailio_up
pair_up
script <<'PY'
from shapes import *
EDGES = {4: {"203.0.113.10", "203.0.113.11"}, 6: {"2001:db8:1::10", "2001:db8:1::11"}}


class Wide(Party):
    """A party on one of several public addresses."""

    def sees(self, body):
        s = self.seen = Sdp(body)
        family = 6 if ":" in self.ua.ip else 4
        check(s.ip in (EDGES[family] if self.out else {E["CORE_LAN"]}), f"{self.ua.ip}: {s.text}")
        self.to, self.rx = s.addr, s.key(SUITE) if self.out else None
        return s

    def rtp(self, **more):
        return Rtp(self.ua.ns, f"{bracket(self.ua.ip)}:{self.port}", self.to, 2, self.hz, self.tx, self.rx, 300, **more)


def client(user, ns, ip, edge):
    u = Ua(user, ns, ip, server=(edge, 5061))
    u.instance = f"urn:uuid:{uuid.uuid4()}"
    check(u.register().status == 200, f"{user} registers at {edge}")
    return u


bad = csum_errors()
outsiders = [client("alice", "inet", E["ALICE"], "203.0.113.11"), client("carol", "inet2", "2001:db8:1::51", "2001:db8:1::11"),
             client("frank", "inet", "2001:db8:1::50", "2001:db8:1::10"), client("grace", "inet2", E["CAROL"], "203.0.113.10")]
bob = inside()
calls = []
for n in range(8):  # four out-in, four in-out; two of each client
    out, direction = outsiders[n % 4], n // 4
    x, y = Wide(out, 40000 + 10 * n, 300 + 100 * n), Wide(bob, 41000 + 10 * n, 1700 - 100 * n)
    d, rd = established(*((y, x) if direction else (x, y)))
    calls.append((x, y, d, (x if direction else y).ua))
used = {4: [], 6: []}
for x, *_ in calls:
    used[6 if ":" in x.ua.ip else 4].append(x.seen.ip)
check(all(set(used[f]) == EDGES[f] for f in used), f"each pair has calls: {used}")
step(f"eight calls at once, on all of {sorted(EDGES[4] | EDGES[6])}")
running = [(x, y, x.rtp(), y.rtp()) for x, y, *_ in calls]
for x, y, rx, ry in running:
    rx, ry = rx.result(), ry.result()
    tones(rx, ry, y.hz, x.hz)
    check(rx["lost"] == ry["lost"] == 0, f"{rx} {ry}")
for _, _, d, other in calls:
    hangup(d, other)
nothing_left()
x, y = Wide(outsiders[0], 40500, 600), Wide(outsiders[1], 41500, 1200)
d, rd = established(x, y)
talk(x, y)
hangup(rd, x.ua)
nothing_left()
step("outside IPv4 to outside IPv6")
check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
unregistered([*outsiders, bob])
PY
no_live_flows || fail "entries left in the live map"
