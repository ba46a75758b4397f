#!/bin/bash
# t_nat.sh -- a client behind NAT that tells a private address: media goes where its packets come from, never to its SDP
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
ns inet nft -f - <<-X
table ip count {
	chain watch {
		type filter hook prerouting priority 0;
		udp sport 36000-37999 counter
	}
}
X
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"
a, b = outside(), inside()
a_real = a.ip


def got():
    return int(re.search(r"packets (\d+)", ns_run("inet", "nft", "list", "table", "ip", "count").stdout).group(1))


for what, private in (("a private address", "192.168.7.7"), ("another client's address", E["CAROL"]), ("the call server's", "10.20.0.30")):
    step("SDP with " + what)
    a.ip = private
    call = Call(a, b)
    a.ip = a_real
    n = got()
    y = Rtp("lan", f"{b.ip}:41000", call.in_sdp.addr, 1, 1200)
    y.result()
    check(got() == n and not [f for f in flows() if f["packets_out"]], f"sent before the latch: {flows()}")
    x, y = call.media(2)
    tones(x.result(), y.result(), 1200, 600)
    hangup(call.d, b)
    flows_gone()
PY
