#!/bin/bash
# t_shapes_fork.sh -- a callee with two devices, in every direction: both ring, both may be heard early, one answers, the other's branch ends
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob, bob's other phone, erin 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
script <<'PY'
from shapes import *


def ring(x, ys):
    """x calls; both devices see an INVITE. Where they are outside, each with an address and keys of its own."""
    d = Dialog(x.ua, ys[0].ua.aor)
    d.send_invite(x.offer())
    d.challenged()
    d.invite_cseq = d.cseq
    invites = [y.ua.expect("INVITE") for y in ys]
    for y, i in zip(ys, invites):
        y.ua.reply(i, 100, "Trying")
    seen = [y.sees(i.body) for y, i in zip(ys, invites)]
    if ys[0].out:
        check(seen[0].port != seen[1].port and not {k for _, _, k in seen[0].crypto} & {k for _, _, k in seen[1].crypto}, "each branch has its own")
    return d, invites


def cancelled(y, i, tag):
    q = y.ua.expect("CANCEL")
    check(q.branch == i.branch, "CANCEL of this INVITE")
    y.ua.reply(q, 200, "OK", totag=tag)
    y.ua.reply(i, 487, "Request Terminated", totag=tag)
    y.ua.expect("ACK")


def answered(d, x, y, i, tag):
    """y's 200 and ACK; x takes its media from there."""
    y.ua.reply(i, 200, "OK", contact(y), y.answer(), tag)
    ok = d.final()
    check(ok.status == 200 and tag_of(ok.get("to")) == tag, ok.text())
    y.ua.expect("ACK")
    return x.sees(ok.body)


def media_left(x, y):
    """The edge has no flow but of these two."""
    ips = {p.ua.ip for p in (x, y) if p.out}
    wait_until(3, "the other branch's flows to end", lambda: {f["client"] for f in flows()} <= ips)


def loser(x, one, two):
    """Both ring, the second answers, the first gets CANCEL."""
    d, (i1, i2) = ring(x, (one, two))
    one.ua.reply(i1, 180, "Ringing", contact(one), totag="one")
    two.ua.reply(i2, 180, "Ringing", contact(two), totag="two")
    d.provisional(180)
    answered(d, x, two, i2, "two")
    cancelled(one, i1, "one")
    media_left(x, two)
    talk(x, two)
    x.ua.inbox = [m for m in x.ua.inbox if m.status != 180]
    hangup(d, two.ua)


def busy(x, one, two):
    """One declines: the other goes on ringing, then answers."""
    d, (i1, i2) = ring(x, (one, two))
    one.ua.reply(i1, 486, "Busy Here", totag="one")
    one.ua.expect("ACK")
    two.ua.reply(i2, 180, "Ringing", contact(two), totag="two")
    d.provisional(180)
    answered(d, x, two, i2, "two")
    media_left(x, two)
    talk(x, two)
    hangup(d, two.ua)


def abandoned(x, one, two):
    """The caller gives up while both ring: both get CANCEL."""
    d, (i1, i2) = ring(x, (one, two))
    for y, i, tag in ((one, i1, "one"), (two, i2, "two")):
        y.ua.reply(i, 180, "Ringing", contact(y), totag=tag)
        d.provisional(180)
    check(d.cancel().status == 200, "CANCEL is taken")
    cancelled(one, i1, "one")
    cancelled(two, i2, "two")
    check(d.final().status == 487, "487")


def early_media(x, one, two):
    """Both are heard before one of them answers: each branch has its own keys, and a caller outside is told of each change. The first one
    answers in the end, after the second was heard."""
    d, invites = ring(x, (one, two))
    told = []
    for y, i, tag in ((one, invites[0], "one"), (two, invites[1], "two")):
        y.ua.reply(i, 183, "Session Progress", contact(y), y.answer(), totag=tag)
        r = d.provisional(183)
        check(tag_of(r.get("to")) == tag, r.text())
        told.append(x.sees(r.body))
        talk(x, y)
    told.append(answered(d, x, one, invites[0], "one"))
    cancelled(two, invites[1], "two")
    if x.out:
        check(len({s.crypto[0][2] for s in told}) == 3, "no key serves two branches, nor a branch again after another")
    else:
        check(told[0].addr != told[1].addr and told[0].addr == told[2].addr, "each branch has its own address inside")
    media_left(x, one)
    talk(x, one)
    hangup(d, one.ua)


alice, carol, bob, erin = outside(), outside("carol", E["CAROL"]), inside(), inside("erin")
second = {}
for u in (alice, bob):
    v = second[u.user] = Ua(u.user, "lan", server=KAMAILIO, transport="udp") if u is bob else Ua("alice", ip=E["CAROL"])
    v.instance = "urn:uuid:" + str(uuid.uuid4())
    check(v.register().status == 200, f"{u.user}'s other device registers")
check(len([r for r in admin("core", "regs") if "alice" in r["aor"]]) == 2, "two bindings")
ends = {"out-in": (carol, bob, second["bob"]), "in-out": (erin, alice, second["alice"]), "out-out": (carol, alice, second["alice"])}
uas = [alice, carol, bob, erin, *second.values()]
table((loser, busy, abandoned, early_media), uas,
      lambda way, n: [Party(u, 40000 + 1000 * k + 20 * n, hz) for k, (u, hz) in enumerate(zip(ends[way], (600, 1200, 900)))])
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
