#!/bin/bash
# t_hold.sh -- hold and resume: directions pass, the ports and keys stay, tones come back
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
x, y = call.media(2)
tones(x.result(), y.result(), 1200, 600)
step("hold: offered sendonly, answered recvonly")
seen, got = reoffer(call.d, b, make_sdp(a.ip, 40000, [call.tx], "sendonly", 2), make_sdp(b.ip, 41000, direction="recvonly", version=2))
check(seen.direction == "sendonly" and seen.proto == "RTP/AVP" and not seen.crypto, f"the offer inside: {seen.text}")
check(got.direction == "recvonly" and got.proto == "RTP/SAVP", f"the answer outside: {got.text}")
check(got.addr == call.out_sdp.addr and seen.addr == call.in_sdp.addr, "the media addresses stay")
x = Rtp("inet", f"{a.ip}:40000", call.out_sdp.addr, 2, 600, call.tx, got.crypto[0][1:])
y = Rtp("lan", f"{b.ip}:41000", None, 2, 0)
rx, ry = x.result(), y.result()
check(ry["tone_hz"] == 600 and rx["received"] == 0, f"held: music inside only: {rx} {ry}")
step("resume, by a re-INVITE from inside")
seen, got = reoffer(call.rd, a, make_sdp(b.ip, 41000, version=3),
                    lambda offer: srtp_answer(a.ip, 40000, offer, call.tx, version=3))
check(seen.proto == "RTP/SAVP" and seen.addr == call.out_sdp.addr, f"SRTP is offered outside: {seen.text}")
x = Rtp("inet", f"{a.ip}:40000", seen.addr, 2, 600, call.tx, seen.key(call.tx[0]))
y = Rtp("lan", f"{b.ip}:41000", got.addr, 2, 1200)
tones(x.result(), y.result(), 1200, 600)
hangup(call.d, b)
flows_gone()
PY
