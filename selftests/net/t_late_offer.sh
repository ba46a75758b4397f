#!/bin/bash
# t_late_offer.sh -- INVITE without SDP both ways, the offer in the 200 and the answer in the ACK; early media; a new offer in UPDATE
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
SUITE = "AES_CM_128_HMAC_SHA1_80"
a, b = outside(), inside()
tx = (SUITE, new_key(SUITE))


def media(out_addr, rx, in_addr, what):
    x = Rtp("inet", f"{a.ip}:40000", out_addr, 1, 600, tx, rx)
    y = Rtp("lan", f"{b.ip}:41000", in_addr, 1, 1200)
    step(what)
    tones(x.result(), y.result(), 1200, 600, 0.5)


def late(caller, callee, offer, answer):
    """INVITE without SDP. Returns (caller's dialog, offer as the caller sees it, answer as the callee sees it)."""
    d, _ = caller.invite(callee.aor, b"", final=False)
    d.challenged()
    i = callee.expect("INVITE")
    check(not i.body, f"no body: {i.text()}")
    callee.reply(i, 200, "OK", [f"Contact: {callee.contact}"], offer, totag="late")
    r = d.final(ack=False)
    check(r.status == 200, r.start)
    seen = Sdp(r.body)
    d.ua.send(d.lines("ACK", extra=d.auth), answer(seen))
    return d, seen, Sdp(callee.expect("ACK").body)


d, seen, got = late(a, b, make_sdp(b.ip, 41000), lambda o: srtp_answer(a.ip, 40000, o, tx))
media(seen.addr, seen.key(SUITE), got.addr, "from outside: offer from inside in the 200, answer in the ACK")
check(got.proto == "RTP/AVP" and not got.crypto, got.text)
hangup(d, b)
flows_gone()
d, seen, got = late(b, a, make_sdp(a.ip, 40000, [tx]), lambda o: make_sdp(b.ip, 41000))
media(got.addr, got.crypto[0][1:], seen.addr, "from inside: offer from outside in the 200, answer in the ACK")
check(seen.proto == "RTP/AVP" and not seen.crypto, seen.text)
hangup(d, a)
flows_gone()

step("early media: 183 with SDP, then 200")
d, _ = a.invite(b.aor, make_sdp(a.ip, 40000, [tx]), final=False)
d.challenged()
i = b.expect("INVITE")
b.reply(i, 183, "Session Progress", [f"Contact: {b.contact}"], make_sdp(b.ip, 41000), totag="early")
early = Sdp(d.provisional(183).body)
media(early.addr, early.crypto[0][1:], Sdp(i.body).addr, "  heard both ways before the answer")
b.reply(i, 200, "OK", [f"Contact: {b.contact}"], make_sdp(b.ip, 41000), totag="early")
r = d.final()
check(Sdp(r.body).addr == early.addr and Sdp(r.body).crypto == early.crypto, "the same media in the 200")
b.expect("ACK")
step("UPDATE with a new offer")
offer = make_sdp(a.ip, 40010, [tx], version=2)
req, r = exchange(d, b, "UPDATE", body=offer, answer=make_sdp(b.ip, 41000, version=2))
check(r.status == 200 and Sdp(req.body).proto == "RTP/AVP", r.start)
x = Rtp("inet", f"{a.ip}:40010", Sdp(r.body).addr, 1, 800, tx, Sdp(r.body).crypto[0][1:])
y = Rtp("lan", f"{b.ip}:41000", Sdp(req.body).addr, 1, 1200)
tones(x.result(), y.result(), 1200, 800, 0.5)
hangup(d, b)
flows_gone()
PY
