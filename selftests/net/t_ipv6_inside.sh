#!/bin/bash
# t_ipv6_inside.sh -- clients on IPv4 and on IPv6, all that is inside on IPv6: the link, the media legs, call server and phone
#
#	203.0.113.50   alice --tls-- 203.0.113.10    edge 2001:db8:2::10 ==link== core 2001:db8:3::20 -- Kamailio ::30, bob ::40
#	2001:db8:1::51 carol --tls-- 2001:db8:1::10 /
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need_prog sallyctl
export EDGE_OUT6=2001:db8:1::10
net_up
ns in sysctl -qw net.netfilter.nf_conntrack_checksum=0 # or the firewall drops what is wrong before the stack can count it
for a in "inet2 2001:db8:1::51 c0" "dmz $EDGE_OUT6 d0" "dmz 2001:db8:2::10 d1" "in 2001:db8:2::20 i0" "in 2001:db8:3::20 i1" \
	"lan 2001:db8:3::30 l0" "lan 2001:db8:3::40 l0"; do
	# shellcheck disable=SC2086
	set -- $a
	ip -n "$P-$1" addr add "$2/64" dev "$3" nodad
done
ns in nft insert rule inet inner input iifname i0 icmpv6 type '{nd-neighbor-solicit, nd-neighbor-advert}' accept
pki_up
KAM='[2001:db8:3::30]' CORE_LAN='[2001:db8:3::20]' LINK_ADDR='[2001:db8:2::10]:7001'
kamailio_up
# The configuration of the bed, its inside addresses on IPv6. The link still listens on IPv4 as well: the bed waits for that.
for d in edge core; do
	eval "v4_$(declare -f ${d}_config)"
done
edge_config() {
	v4_edge_config
	sed -i "s/inside: $EDGE_IN/inside: \"2001:db8:2::10\"/;s/\"$EDGE_IN:7001\"/&, \"[2001:db8:2::10]:7001\"/" "$RUN/edge.yaml"
}
core_config() {
	v4_core_config
	sed -i "s/inside: \[\(.*\)\]/inside: \"\1\"/;s/\"$CORE_OUT:2776\"/\"[2001:db8:2::20]:2776\"/" "$RUN/core.yaml"
}
pair_up
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"
CORE6 = "2001:db8:3::20"
bad = csum_errors()
b = Ua("bob", "lan", "2001:db8:3::40", server=("2001:db8:3::30", 5060), transport="udp")
a, c = Ua("alice"), Ua("carol", "inet2", "2001:db8:1::51", server=(E["EDGE_OUT6"], 5061))
for u in (a, b, c):
    check(u.register().status == 200, f"{u.user} registers")
for u, edge, name in ((a, E["EDGE_OUT"], "IPv4"), (c, E["EDGE_OUT6"], "IPv6")):
    step(f"outside ({name}) calls inside (IPv6)")
    call = Call(u, b)
    check((call.out_sdp.ip, call.in_sdp.ip) == (edge, CORE6), call.out_sdp.text)
    x, y = call.media(2)
    wait_until(2, "a flow from one to the other", lambda: any(f["latched"] for f in flows()))
    check(all(f["inside"].startswith("[2001:db8:2::10]:") and f["core_addr"] == "[2001:db8:2::20]:2776" for f in flows()), f"{flows()}")
    rx, ry = x.result(), y.result()
    tones(rx, ry, 1200, 600)
    check(rx["lost"] == 0 and ry["lost"] == 0, f"media lost: {rx} {ry}")
    hangup(call.d, b)
    flows_gone()
step("inside (IPv6) calls outside (IPv4)")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i = a.expect("INVITE")
offer, tx = Sdp(i.body), (SUITE, new_key(SUITE))
check(offer.ip == E["EDGE_OUT"], offer.text)
rd = inside_answer(a, i, srtp_answer(a.ip, 40000, offer, tx), d)
got = Sdp(rd.ok.body)
check(got.ip == CORE6, got.text)
x = Rtp("inet", f"{a.ip}:40000", offer.addr, 2, 600, tx, offer.key(SUITE))
y = Rtp("lan", f"[{b.ip}]:41000", got.addr, 2, 1200)
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600)
check(rx["lost"] == 0 and ry["lost"] == 0, f"media lost: {rx} {ry}")
hangup(d, a)
flows_gone()
check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
PY
