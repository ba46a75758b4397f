#!/bin/bash
# t_flaps.sh -- a wire goes down and up at each step of a call: outside, between edge and core, inside; the call is set up, heard and ended all the same
#
#	203.0.113.50 alice --d0-- edge (dmz) --d1-- core (inside) --i1-- Kamailio 10.20.0.30, bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
script <<'PY'
from shapes import *
WIRES = {"outside": ("dmz", "d0"), "the link": ("dmz", "d1"), "inside": ("in", "i1")}
STEPS = ("INVITE", "challenge", "INVITE again", "180", "200", "ACK", "talk", "BYE")


def flap(ns, dev):
    """Down, so that what is being sent is lost or waits, and up again."""
    def way(state):
        check(ns_run(ns, "ip", "link", "set", dev, state).returncode == 0, f"{dev} {state}")
    way("down")
    yield
    way("up")


def call(x, y, wire, at):
    """The wire is down while this step's message is sent."""
    def step_of(name, send):
        if name != at:
            return send()
        f = flap(*WIRES[wire])
        next(f)
        r = send()
        next(f, None)
        return r

    d = Dialog(x.ua, y.ua.aor)
    step_of("INVITE", lambda: d.send_invite(x.offer()))
    if x.ua.transport == "udp" and at == "INVITE":
        d.challenged(10)
    else:
        r = x.ua.response(d.branch, "INVITE", 10)
        x.ua.inbox.insert(0, r)
        if r.status != 407:  # the call server had no route
            return d.final().start
        step_of("challenge", d._authorize)
    d.invite_cseq = d.cseq
    end = time.monotonic() + 10
    while True:  # a call whose client has no route at this instant is refused
        try:
            i = y.ua.expect("INVITE", 0.5)
            break
        except Failed:
            check(time.monotonic() < end, "the INVITE arrives")
        with contextlib.suppress(Failed):
            return d.final(0.1).start
    y.sees(i.body)
    step_of("180", lambda: y.ua.reply(i, 180, "Ringing", contact(y), totag="t"))
    step_of("200", lambda: y.ua.reply(i, 200, "OK", contact(y), y.answer(), "t"))
    rd = Dialog(y.ua, i.uris("contact")[0])
    rd.from_invite(i, "t")
    end = time.monotonic() + 15
    while True:  # bob's 2xx over UDP is his to repeat
        try:
            ok = x.ua.response(d.branch, "INVITE", 1)
            break
        except Failed:
            check(time.monotonic() < end, "the 200 arrives")
            y.ua.conn.send(y.ua.answered[i.branch, "INVITE"])
    check(ok.status == 200, ok.start)
    d.learn(ok)
    x.sees(ok.body)
    ack = d.lines("ACK", cseq=d.invite_cseq, extra=d.auth)
    step_of("ACK", lambda: x.ua.send(ack))
    while True:  # and its ACK the caller's, for each
        try:
            y.ua.expect("ACK", 1)
            break
        except Failed:
            check(time.monotonic() < end, "the ACK arrives")
            y.ua.conn.send(y.ua.answered[i.branch, "INVITE"])
            x.ua.send(ack)
    if at == "talk":
        f = flap(*WIRES[wire])
        next(f)
        next(f, None)
        wait_until(5, "the wire's neighbours", lambda: all(r["rung"] for r in flows()))
    media_again(x, y)
    rd.cseq += 1
    bye = rd.lines("BYE")
    branch = y.ua.last_branch
    step_of("BYE", lambda: y.ua.send(bye))
    end = time.monotonic() + 15
    while True:
        try:
            q = x.ua.expect("BYE", 1)
            break
        except Failed:
            check(time.monotonic() < end, "the BYE arrives")
            if y.ua.transport == "udp":
                y.ua.send(bye)
    x.ua.reply(q, 200, "OK")
    check(y.ua.response(branch, "BYE", 10).status == 200, "200 to BYE")
    for u in (x.ua, y.ua):
        u.inbox = [m for m in u.inbox if m.status and m.status not in (100, 180, 200)]


def media_again(x, y):
    """Both hear each other, once the neighbours are known again: at most a few tries of a second."""
    for tries in range(6):
        rx, ry = [r.result() for r in (x.rtp(), y.rtp())]
        if rx["tone_hz"] == y.hz and ry["tone_hz"] == x.hz and rx["lost"] == ry["lost"] == 0 and rx["tone_seconds"] > 0.5 and ry["tone_seconds"] > 0.5:
            return
    tones(rx, ry, y.hz, x.hz, 0.5)


alice, bob = outside(), inside()
n = 0
for wire in WIRES:
    for at in STEPS:
        if at == "INVITE again":
            continue
        ends = (alice, bob) if n % 2 == 0 else (bob, alice)
        try:
            parties = Party(ends[0], 40000 + 10 * n, 600), Party(ends[1], 41000 + 10 * n, 1200)
            if r := call(*parties, wire, at):
                log_wait("core", r'event=media-failed .*reason="no-route"|event=inside-send .*unreachable')
                nothing_left()
                step(f"{wire} at {at}: {r.split(' ', 1)[1]}, and again:")
                check(not call(*parties, wire, None), "the next one is not refused")
            nothing_left()
        except Exception as e:
            raise Failed(f"{wire} at {at}, from {ends[0].user}: {type(e).__name__}: {e}") from e
        n += 1
    step(f"{wire}: " + ", ".join(s for s in STEPS if s != "INVITE again"))
check(admin("core", "status")["links"][0]["state"] == "up", "the link is up")
PY
no_live_flows || fail "entries left in the live map"
