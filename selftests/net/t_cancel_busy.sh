#!/bin/bash
# t_cancel_busy.sh -- CANCEL from both sides and busy: right answers, no flow left
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


def ring(caller, callee, sdp):
    d, _ = caller.invite(callee.aor, sdp, final=False)
    d.challenged()
    i = callee.expect("INVITE")
    callee.reply(i, 180, "Ringing", [f"Contact: {callee.contact}"], totag="ring")
    d.provisional(180)
    return d, i


def cancel(caller, callee, sdp):
    d, i = ring(caller, callee, sdp)
    check(d.cancel().status == 200, "CANCEL is answered 200")
    c = callee.expect("CANCEL")
    callee.reply(c, 200, "OK", totag="ring")
    callee.reply(i, 487, "Request Terminated", totag="ring")
    check(d.final().status == 487, "INVITE ends with 487")
    callee.expect("ACK")
    flows_gone()


def busy(caller, callee, sdp):
    d, i = ring(caller, callee, sdp)
    callee.reply(i, 486, "Busy Here", totag="ring")
    check(d.final().status == 486, "INVITE ends with 486")
    callee.expect("ACK")
    flows_gone()


out_sdp, in_sdp = make_sdp(a.ip, 40000, [(SUITE, new_key(SUITE))]), make_sdp(b.ip, 41000)
step("outside cancels")
cancel(a, b, out_sdp)
step("inside cancels")
cancel(b, a, in_sdp)
step("inside is busy")
busy(a, b, out_sdp)
step("outside is busy")
busy(b, a, in_sdp)
PY
no_live_flows || fail "entries left in the live map"
