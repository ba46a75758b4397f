#!/bin/bash
# t_reinvite_port.sh -- a client moves its media to another port: it follows; nobody else can take the leg
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
script <<'PY'
a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(4)
time.sleep(1)
step("outside a window the leg is pinned: same address, other port; and another address")
thief = Rtp("inet", f"{a.ip}:40020", call.out_sdp.addr, 1, 1700, call.tx)
other = Rtp("inet2", f"{E['CAROL']}:40000", call.out_sdp.addr, 1, 1700, call.tx)
check(thief.result()["received"] == 0 and other.result()["received"] == 0, "media went to a stranger")
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600, 2)
check(ry["ssrcs"] == 1 and ry["lost"] == 0, f"a stranger's packets came through: {ry}")
step("re-INVITE with another port")
seen, got = reoffer(call.d, b, make_sdp(a.ip, 40010, [call.tx], version=2), make_sdp(b.ip, 41000, version=2))
check(got.addr == call.out_sdp.addr, "the edge's port stays")
x = Rtp("inet", f"{a.ip}:40010", got.addr, 3, 700, call.tx, got.crypto[0][1:])
y = Rtp("lan", f"{b.ip}:41000", call.in_sdp.addr, 3, 1200)
time.sleep(1)
old = Rtp("inet", f"{a.ip}:40000", got.addr, 1, 1700, call.tx)
check(old.result()["received"] == 0, "media still goes to the old port")
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 700, 2)
hangup(call.d, b)
flows_gone()
PY
