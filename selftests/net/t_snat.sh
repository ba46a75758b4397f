#!/bin/bash
# t_snat.sh -- source NAT between core and edge, random ports: calls still work both ways
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
ip -n "$P-in" addr add 172.16.0.21/24 dev i0
ns in nft -f - <<-X
table ip nat {
	chain post {
		type nat hook postrouting priority 100;
		oifname "i0" ip protocol tcp counter snat to 172.16.0.21:20000-29999 random
		oifname "i0" ip protocol udp counter snat to 172.16.0.21:30000-39999 random
	}
}
X
kamailio_up
pair_up
script <<'PY'
a, b = outside(), inside()
step("outside calls inside")
call = Call(a, b)
x, y = call.media(3)
tones(x.result(), y.result(), 1200, 600, 2)
row = json.dumps(flows())
check("172.16.0.21" in row, f"the edge sees the translated address: {row}")
hangup(call.d, b)
flows_gone()
step("inside calls outside")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i = a.expect("INVITE")
offer = Sdp(i.body)
tx = ("AES_CM_128_HMAC_SHA1_80", new_key("AES_CM_128_HMAC_SHA1_80"))
answer = srtp_answer(a.ip, 40000, offer, tx)
rd = inside_answer(a, i, answer, d)
x = Rtp("inet", f"{a.ip}:40000", offer.addr, 3, 600, tx, offer.key(tx[0]))
y = Rtp("lan", f"{b.ip}:41000", Sdp(rd.ok.body).addr, 3, 1200)
tones(x.result(), y.result(), 1200, 600, 2)
hangup(d, a)
flows_gone()
PY
