#!/bin/bash
# t_snat.sh -- source NAT between core and edge, random ports: calls still work both ways
#
#	203.0.113.50 alice          edge              core            Kamailio
#	203.0.113.51 carol --tls-- (dmz) ==link==>-- (inside) --udp-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft tcpdump socat ethtool
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
tag, suite, key = next(c for c in offer.crypto if c[1] == "AES_CM_128_HMAC_SHA1_80")
tx = (suite, new_key(suite))
answer = make_sdp(a.ip, 40000, [tx]).replace(b"a=crypto:1 ", f"a=crypto:{tag} ".encode())
rd = inside_answer(a, i, answer, d)
x = Rtp("inet", f"{a.ip}:40000", offer.addr, 3, 600, tx, (suite, key))
y = Rtp("lan", f"{b.ip}:41000", Sdp(rd.ok.body).addr, 3, 1200)
tones(x.result(), y.result(), 1200, 600, 2)
hangup(d, a)
flows_gone()
PY
