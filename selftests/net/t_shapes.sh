#!/bin/bash
# t_shapes.sh -- every shape of a SIP session in every direction: the right messages, the right tones, and nothing left behind
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
from shapes import *


def no_sdp(x, y):
    d, i = begin(x, y, b"")
    check(not i.body, i.text())

    def answer(ok):
        x.sees(ok.body)
        return x.answer()
    rd = accept(d, y, i, y.offer(), answer)
    y.sees(rd.ack_seen.body)
    talk(x, y)
    hangup(d, y.ua)


def reliably(d, y, i, body, answer=None):
    """A 183 under 100rel and its PRACK, with the answer to `body` if it was an offer. (183 as seen, PRACK as seen)"""
    check("100rel" in i.get("supported"), i.text())
    y.ua.reply(i, 183, "Session Progress", contact(y, "Require: 100rel", "RSeq: 7001"), body, totag="t")
    r = d.provisional(183)
    check(r.get("require") == "100rel" and r.get("rseq") == "7001", r.text())
    d.learn(r)
    rack = f"7001 {d.invite_cseq} INVITE"
    q, p = exchange(d, y.ua, "PRACK", body=answer(r) if answer else b"", headers=[f"RAck: {rack}"])
    check(p.status == 200 and q.get("rack") == rack, q.text())
    return r, q


def prack(x, y):
    d, i = begin(x, y, x.offer(), ["Supported: 100rel"])
    y.sees(i.body)
    r, q = reliably(d, y, i, y.answer())
    x.sees(r.body)
    check(not q.body, q.text())
    talk(x, y)
    rd = accept(d, y, i)
    check(not rd.ok.body, rd.ok.text())
    hangup(d, y.ua)


def prack_answer(x, y):
    d, i = begin(x, y, b"", ["Supported: 100rel"])
    check(not i.body, i.text())

    def answer(r):
        x.sees(r.body)
        return x.answer()
    _, q = reliably(d, y, i, y.offer(), answer)
    y.sees(q.body)
    talk(x, y)
    check(not accept(d, y, i).ok.body, "no description in the 200")
    hangup(d, y.ua)


def update(x, y):
    d, rd = established(x, y)
    for a, b, dlg in ((x, y, d), (y, x, rd)):
        a.port += 10
        dlg.cseq += 1
        dlg.ua.send(dlg.lines("UPDATE"), a.offer())
        branch = dlg.ua.last_branch
        q = b.ua.expect("UPDATE")
        b.sees(q.body)
        b.ua.reply(q, 200, "OK", contact(b), b.answer())
        r = dlg.ua.response(branch, "UPDATE")
        check(r.status == 200, r.start)
        a.sees(r.body)
    talk(x, y)
    hangup(rd, x.ua)


def early(x, y):
    d, i = begin(x, y, x.offer())
    y.sees(i.body)
    body = y.answer()
    y.ua.reply(i, 183, "Session Progress", contact(y), body, totag="t")
    first = x.sees(d.provisional(183).body)
    talk(x, y)
    rd = accept(d, y, i, body)
    again = x.sees(rd.ok.body)
    check(again.addr == first.addr and again.crypto == first.crypto, "the same media in the 200")
    hangup(d, y.ua)


def refer(x, y):
    d, rd = established(x, y)
    to = f"<sip:dave@{DOMAIN};method=INVITE?Subject=blind>"
    q, r = exchange(rd, x.ua, "REFER", 202, "Accepted", headers=[f"Refer-To: {to}", f"Referred-By: <{y.ua.aor}>"])
    check(r.status == 202 and q.get("refer-to") == to and q.get("referred-by") == f"<{y.ua.aor}>", q.text())
    for frag, state in ((b"SIP/2.0 100 Trying\r\n", "active;expires=60"), (b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")):
        q, r = exchange(d, y.ua, "NOTIFY", body=frag, ctype="message/sipfrag", headers=["Event: refer", f"Subscription-State: {state}"])
        check(r.status == 200 and q.body == frag and q.get("subscription-state") == state, q.text())
        check(q.get("content-type") == "message/sipfrag", q.text())
    talk(x, y)
    hangup(rd, x.ua)


def passing(x, y):
    d, rd = established(x, y)
    for dlg, other in ((d, y), (rd, x)):
        q, r = exchange(dlg, other.ua, "INFO", body=b"Signal=5\r\nDuration=160\r\n", ctype="application/dtmf-relay", headers=["Info-Package: x"])
        check(r.status == 200 and q.body == b"Signal=5\r\nDuration=160\r\n" and q.get("info-package") == "x", q.text())
    hangup(d, y.ua)
    m = Dialog(x.ua, y.ua.aor)
    branch = m.send_authorized("MESSAGE", ["X-Odd: 1"], b"hello", "text/plain")
    q = y.ua.expect("MESSAGE")
    check((q.body, q.get("x-odd"), q.get("content-type")) == (b"hello", "1", "text/plain"), q.text())
    y.ua.reply(q, 202, "Accepted", totag="m")
    check(x.ua.response(branch, "MESSAGE").status == 202, "the answer passes")
    s = Dialog(x.ua, y.ua.aor)
    branch = s.send_authorized("SUBSCRIBE", ["Event: presence", "Expires: 300"])
    q = y.ua.expect("SUBSCRIBE")
    check((q.get("event"), q.get("expires")) == ("presence", "300"), q.text())
    y.ua.reply(q, 200, "OK", contact(y, "Expires: 300"), totag="s")
    r = x.ua.response(branch, "SUBSCRIBE")
    check(r.status == 200, r.start)
    s.learn(r)
    n = Dialog(y.ua, q.uris("contact")[0])
    n.from_invite(q, "s")
    states = ["active;expires=299", "terminated;reason=timeout"]
    for state in states:
        if state == states[1]:
            q, r = exchange(s, y.ua, "SUBSCRIBE", headers=["Event: presence", "Expires: 0"])
            check(r.status == 200 and q.get("expires") == "0", q.text())
        q, r = exchange(n, x.ua, "NOTIFY", body=b"<presence/>", ctype="application/pidf+xml",
                        headers=["Event: presence", f"Subscription-State: {state}"])
        check((r.status, q.body, q.get("subscription-state")) == (200, b"<presence/>", state), q.text())


def multipart(x, y):
    other = b"Content-Type: application/pidf+xml\r\nContent-ID: <here@x>\r\n\r\n<presence entity='pres:a'/>"
    frame = b"--cut\r\nContent-Type: application/sdp\r\n\r\n%s\r\n--cut\r\n" + other + b"\r\n--cut--\r\n"
    mixed = "multipart/mixed;boundary=cut"

    def inner(m):
        """The description in it, once all around it is as it was."""
        check(m.get("content-type") == mixed, m.text())
        sdp = m.body.split(b"\r\n\r\n", 1)[1].split(b"\r\n--cut\r\n", 1)[0]
        check(m.body == frame % sdp, m.text())
        return sdp
    d, i = begin(x, y, frame % x.offer(), ["MIME-Version: 1.0"], mixed)
    y.sees(inner(i))
    rd = accept(d, y, i, frame % y.answer(), ctype=mixed)
    x.sees(inner(rd.ok))
    talk(x, y)
    hangup(d, y.ua)


def uncarried(x, y):
    secure = [f"a=crypto:1 {SUITE} inline:{new_key(SUITE)}"]
    video = ["m=video 40100 RTP/AVP 96"] if x.out else ["m=video 40100 RTP/SAVP 96", *secure]
    d, i = begin(x, y, x.offer([*video, "a=rtpmap:96 H264/90000", "m=application 40200 TCP/BFCP *", "a=setup:active", "a=floorctrl:c-only"]))

    def lines(sdp, audio):
        got = re.findall(r"^m=(\w+) (\d+) (\S+)", sdp.text, re.M)
        check([g[0] for g in got] == ["audio", "video", "application"] and got[2][2] == "TCP/BFCP", sdp.text)
        check([int(g[1]) for g in got] == [audio, 0, 0], f"the others are rejected: {sdp.text}")
        check("crypto" not in sdp.text.split("m=video")[1] and "setup" not in sdp.text, sdp.text)
    seen = y.sees(i.body)
    lines(seen, seen.port)
    rd = accept(d, y, i, y.answer(["m=video 0 RTP/AVP 96", "m=application 0 TCP/BFCP *"]))
    got = x.sees(rd.ok.body)
    lines(got, got.port)
    talk(x, y)
    hangup(d, y.ua)


def two_media(x, y):
    """Audio and video, both carried; then a re-INVITE without the video, whose flows end."""
    def video(p, port):
        p.vtx = (SUITE, new_key(SUITE)) if p.out else None
        return [f"m=video {port} {'RTP/SAVP' if p.out else 'RTP/AVP'} 96", "a=rtpmap:96 H264/90000"]

    def key(p, tag):
        return [f"a=crypto:{tag} {SUITE} inline:{p.vtx[1]}"] if p.out else []

    def second(sdp):
        head, _, rest = sdp.text.partition("m=audio")
        return Sdp((head + "m=video" + rest.partition("m=video")[2]).encode())

    d, i = begin(x, y, x.offer([*video(x, x.port + 2), *key(x, 1)]))
    vy = second(y.sees(i.body))
    tag = next((t for t, s, _ in vy.crypto if s == SUITE), 0)
    rd = accept(d, y, i, y.answer([*video(y, y.port + 2), *key(y, tag)]))
    vx = second(x.sees(rd.ok.body))
    legs = (x, vx, 800), (y, vy, 1000)
    seen = [Rtp(p.ua.ns, f"{p.ua.ip}:{p.port + 2}", v.addr, 1, hz, p.vtx, v.key(SUITE) if p.out else None, 300) for p, v, hz in legs]
    talk(x, y)
    tones(seen[0].result(), seen[1].result(), 1000, 800, 0.5)
    before = len(flows())
    none = ["m=video 0 RTP/AVP 96"]
    y.seen, got = reoffer(d, y.ua, x.offer(none), lambda o: (setattr(y, "seen", o), y.answer(none))[1])
    check([int(p) for p in re.findall(r"^m=video (\d+)", y.seen.text + got.text, re.M)] == [0, 0], y.seen.text + got.text)
    wait_until(3, "the video's flows to end", lambda: len(flows()) * 2 == before)
    hangup(d, y.ua)


def rtcp_mux(x, y):
    d, i = begin(x, y, x.offer(["a=rtcp-mux"]))
    seen = y.sees(i.body)
    check("rtcp-mux" not in seen.text, f"each leg has its own way: {seen.text}")
    rd = accept(d, y, i, y.answer())
    got = x.sees(rd.ok.body)
    check(("a=rtcp-mux" in got.text) == x.out, f"answered where a client offered it: {got.text}")
    want = (1 if x.out else 0) + (2 if y.out else 0)
    check(len(flows()) == want, f"{want} flows: one port where muxed, two where not: {flows()}")
    on_rtp, on_rtcp = [p.rtp(rtcp_ms=100 if mux else 0) for p, mux in ((x, x.out), (y, False))], [y.rtcp()] + ([] if x.out else [x.rtcp()])
    rx, ry = [r.result() for r in on_rtp]
    tones(rx, ry, y.hz, x.hz, 0.5)
    check(ry["rtcp_received"] == 0 and (rx["rtcp_received"] > 4) == x.out, f"reports on the port of the tone only where muxed: {rx} {ry}")
    for r in [r.result() for r in on_rtcp]:
        check(r["rtcp_received"] > 4 and r["received"] == r["not_authentic"] == r["other"] == 0, f"reports, and nothing else, beside it: {r}")
    hangup(d, y.ua)


uas = [outside(), inside(), outside("carol", E["CAROL"])]
ends = {"out-in": (0, 1), "in-out": (1, 0), "out-out": (0, 2)}
table((no_sdp, prack, prack_answer, update, early, refer, passing, multipart, uncarried, two_media, rtcp_mux), uas,
      lambda way, n: [Party(uas[i], 40000 + 1000 * k + 20 * n, 600 * (k + 1)) for k, i in enumerate(ends[way])])
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
