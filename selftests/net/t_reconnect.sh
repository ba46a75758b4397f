#!/bin/bash
# t_reconnect.sh -- a client whose connection died is called on its new one, also in a dialog; without one the caller hears 430 or 480
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
call = Call(a, b)
step("in a call, the client's connection is reset; it registers again on a new one")
a.conn.abort()
a.connect()
check(a.register(cached=True).status == 200, "registered again")
step("a re-INVITE from inside finds the new connection")
seen, got = reoffer(call.rd, a, make_sdp(b.ip, 41010, version=2), lambda o: srtp_answer(a.ip, 40000, o, call.tx))
x = Rtp("inet", f"{a.ip}:40000", seen.addr, 1, 600, call.tx, seen.key(SUITE))
y = Rtp("lan", f"{b.ip}:41010", got.addr, 1, 1200)
tones(x.result(), y.result(), 1200, 600, 0.5)
step("BYE from inside too")
hangup(call.rd, a)
flows_gone()
step("gone and not back: the caller is told")
a.conn.abort()
wait_until(5, "the stream to end", lambda: not [s for s in admin("core", "streams") if s["admitted"]])
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
check(d.final().status in (430, 480), "430 or 480")
flows_gone()
step("a BYE on a connection that is not admitted yet, with the dialog's Route")
a.connect()
check(a.register(cached=True).status == 200, "back")
call = Call(a, b)
a.conn.abort()
a.connect()
hangup(call.d, b)
flows_gone()
PY
