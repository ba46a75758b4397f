#!/bin/bash
# t_passthrough_ipv6.sh -- calls that stay SRTP, a client on IPv4, the link on IPv4, all of the inside on IPv6: the core translates
#
#	203.0.113.50 alice --tls-- edge 172.16.0.10 ==link== 172.16.0.20 core 2001:db8:3::20 -- Kamailio ::30, bob ::40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
for a in "in 2001:db8:3::20 i1" "lan 2001:db8:3::30 l0" "lan 2001:db8:3::40 l0"; do
	# shellcheck disable=SC2086
	set -- $a
	ip -n "$P-$1" addr add "$2/64" dev "$3" nodad
done
pki_up
KAM='[2001:db8:3::30]' CORE_LAN='[2001:db8:3::20]' CORE_MEDIA=passthrough
kamailio_up
eval "v4_$(declare -f core_config)"
core_config() {
	v4_core_config
	sed -i 's/inside: \[\(.*\)\]/inside: "\1"/' "$RUN/core.yaml"
}
pair_up
script <<'PY'
bad = csum_errors()
a, b = outside(), Ua("bob", "lan", "2001:db8:3::40", server=("2001:db8:3::30", 5060), transport="udp")
check(b.register().status == 200, "bob registers inside")
step("both ways, for each suite")
for suite in SUITES:
    call = PassCall(a, b, suite=suite)
    check(call.in_sdp.ip == "2001:db8:3::20" and call.out_sdp.ip == EDGE[0], f"{call.in_sdp.text} {call.out_sdp.text}")
    x, y = call.media(2)
    rx, ry = x.result(), y.result()
    tones(rx, ry, 1200, 600)
    check(rx["lost"] == 0 and ry["lost"] == 0, f"lost: {rx} {ry}")
    for f in admin("core", "flows"):
        check(f["rung"] == "xdp-native" and f["edge_inside"].startswith("172.") and f["inside"].startswith("[2001:db8:3::20]"), f"{f}")
    hangup(call.rd, a)
    flows_gone()
check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
PY
