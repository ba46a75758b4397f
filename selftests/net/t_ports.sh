#!/bin/bash
# t_ports.sh -- media ports are kept from the host's other sockets; out of them, a call gets 503 with Retry-After, and the next one works when a port has rested
#
#	203.0.113.50 alice --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
for d in edge core; do
	eval "all_$(declare -f ${d}_config)"
done
edge_config() {
	all_edge_config
	sed -i "s/ports: 2000/ports: ${EDGE_PORTS:-2000}/" "$RUN/edge.yaml"
}
core_config() {
	all_core_config
	sed -i "s/ports: 2000/ports: ${CORE_PORTS:-2000}/" "$RUN/core.yaml"
}
# Each call of a client takes two couples of ports: its INVITE is challenged first, and that one's couple rests then.
exhaust() {
	script <<-'PY'
	SUITE = "AES_CM_128_HMAC_SHA1_80"
	a, b = outside(), inside()


	def call(n):
	    """(dialog, None) in a call, or (None, the refusal)"""
	    tx = (SUITE, new_key(SUITE))
	    d, _ = a.invite(b.aor, make_sdp(a.ip, 40000 + 2 * n, [tx]), final=False)
	    r = a.wait("an answer", lambda m: m.status >= 200 and m.branch == d.branch)
	    a.inbox.insert(0, r)
	    if r.status == 503:
	        return None, d.final()
	    d.challenged()
	    try:
	        i = b.expect("INVITE", 2)
	    except Failed:
	        return None, d.final()
	    d.sdp_in = Sdp(i.body)
	    d.tx, d.rd = tx, inside_answer(b, i, make_sdp(b.ip, 41000 + 2 * n), d)
	    return d, None


	calls = [call(n)[0] for n in range(2)]
	check(all(calls), "two calls")
	for again in range(2):
	    none, r = call(3)
	    check(not none and r.status == 503 and r.get("retry-after"), f"the third: {r and r.text()}")
	step(f"two calls, then {r.start}, Retry-After: {r.get('retry-after')}")
	s = admin(E["FULL"], "status")["media"]
	check((s["refused"]["no-ports"] if E["FULL"] == "edge" else s["no_ports"]) == 2, f"counted: {s}")
	for n, d in enumerate(calls):
	    got = Sdp(d.rd.ok.body)
	    x = Rtp("inet", f"{a.ip}:{40000 + 2 * n}", got.addr, 1, 600, d.tx, got.key(SUITE))
	    y = Rtp("lan", f"{b.ip}:{41000 + 2 * n}", d.sdp_in.addr, 1, 1200)
	    tones(x.result(), y.result(), 1200, 600, 0.5)
	    hangup(d, b)
	flows_gone()
	fresh = wait_until(40, "ports that have rested", lambda: call(4)[0])
	step("and again, when ports have rested")
	hangup(fresh, b)
	flows_gone()
	PY
}
say "the edge's ports"
EDGE_PORTS=8 pair_up
FULL=edge exhaust
stop core
stop edge
wait_for 5 "no UDP socket of the core" bash -c "! nsenter --net=/run/netns/$P-in ss -Hlun 'src $CORE_LAN' | grep -q ."
say "the core's ports"
edge_up
CORE_PORTS=8 core_up
wait_for 10 "the link up" link_is_up
FULL=core exhaust
say "other sockets of the edge's host get none of its ports"
ns dmz sysctl -qw net.ipv4.ip_local_port_range="35990 38009"
case $(ns dmz sysctl -n net.ipv4.ip_local_reserved_ports) in
36000-37999) ;;
*) fail "reserved: $(ns dmz sysctl -n net.ipv4.ip_local_reserved_ports)" ;;
esac
ns dmz python3 - <<-'PY' || fail "an ephemeral port out of the media range"
	import socket

	held = []
	for family, ip in ((socket.AF_INET, "203.0.113.10"), (socket.AF_INET, "172.16.0.10"), (socket.AF_INET, "0.0.0.0")):
	    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
	        for _ in range(6):  # of 20 that are left in the range
	            s = socket.socket(family, kind)
	            s.bind((ip, 0))
	            held.append(s)
	            assert not 36000 <= s.getsockname()[1] <= 37999, s.getsockname()
	print(f"  {len(held)} sockets, on {sorted({s.getsockname()[1] for s in held})}")
PY
