#!/bin/bash
# t_fork.sh -- one user on two devices: both ring, each with its own keys; one answers, the other is cancelled, its flows end
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
b = inside()
one, two = outside(), Ua("alice", ip=E["CAROL"])
two.instance = "urn:uuid:" + str(uuid.uuid4())
check(two.register().status == 200, "the second device registers")
check(len([r for r in admin("core", "regs") if "alice" in r["aor"]]) == 2, "two bindings")
d, _ = b.invite(one.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i1, i2 = one.expect("INVITE"), two.expect("INVITE")
o1, o2 = Sdp(i1.body), Sdp(i2.body)
check(o1.port != o2.port and not {k for _, _, k in o1.crypto} & {k for _, _, k in o2.crypto}, "each branch has its own port and keys")
one.reply(i1, 180, "Ringing", totag="one")
two.reply(i2, 180, "Ringing", totag="two")
d.provisional(180)
tx = (SUITE, new_key(SUITE))
two.reply(i2, 200, "OK", [f"Contact: {two.contact}"], srtp_answer(two.ip, 40000, o2, tx), totag="two")
r = d.final()
check(r.status == 200, r.start)
two.expect("ACK")
c = one.expect("CANCEL")
one.reply(c, 200, "OK", totag="one")
one.reply(i1, 487, "Request Terminated", totag="one")
one.expect("ACK")
step("the second device answered, the first was cancelled")
x = Rtp("inet2", f"{two.ip}:40000", o2.addr, 2, 600, tx, o2.key(SUITE))
y = Rtp("lan", f"{b.ip}:41000", Sdp(r.body).addr, 2, 1200)
tones(x.result(), y.result(), 1200, 600)
check(all(f["client"] == two.ip for f in flows()), f"the first device's flows ended: {flows()}")
hangup(d, two)
flows_gone()
PY
