#!/bin/bash
# t_shapes_media.sh -- what a session's media do, in every direction: hold and resume, many m-lines, RTCP on a port of its own
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


def redirect(dlg, a, b, offered, answered):
    """A re-INVITE of a's in its dialog with a direction each; what either side sees of it."""
    def answer(o):
        b.sees(o.text.encode())
        return b.answer([f"a={answered}"])
    seen, got = reoffer(dlg, b.ua, a.offer([f"a={offered}"]), answer)
    check((seen.direction, got.direction) == (offered, answered), f"{seen.text} {got.text}")
    return seen, a.sees(got.text.encode())


def hold(x, y):
    """Each side holds the other, with music one way or with nothing at all, and resumes."""
    d, rd = established(x, y)
    talk(x, y)
    for dlg, a, b in ((d, x, y), (rd, y, x)):
        before = a.to, b.to
        redirect(dlg, a, b, "sendonly", "recvonly")
        check((a.to, b.to) == before, "the addresses stay")
        ra, rb = a.rtp(), Rtp(b.ua.ns, f"{b.ua.ip}:{b.port}", None, 1, 0, b.tx, b.rx, 300)
        ra, rb = ra.result(), rb.result()
        check(rb["tone_hz"] == a.hz and rb["lost"] == 0 and ra["received"] == 0, f"music, one way: {ra} {rb}")
        redirect(dlg, a, b, "inactive", "inactive")
        redirect(dlg, a, b, "sendrecv", "sendrecv")
        talk(x, y)
    hangup(d, y.ua)


class Line:
    """One more RTP m-line of a party: its port, its key, its tone, what the other side was told of it."""

    def __init__(self, p, kind, port, hz, more=()):
        self.p, self.kind, self.port, self.hz, self.more = p, kind, port, hz, list(more)
        self.tx = (SUITE, new_key(SUITE)) if p.out else None

    def text(self, tag=1):
        return [f"m={self.kind} {self.port} {'RTP/SAVP' if self.p.out else 'RTP/AVP'} 0", *self.more,
                *([f"a=crypto:{tag} {SUITE} inline:{self.tx[1]}"] if self.p.out else [])]

    def rtp(self, seen):
        return Rtp(self.p.ua.ns, f"{self.p.ua.ip}:{self.port}", seen.addr, 1, self.hz, self.tx, seen.key(SUITE) if self.p.out else None, 300)


def sections(s):
    """Each m-line as if it were alone."""
    head, *rest = re.split(r"^(?=m=)", s.text, flags=re.M)
    return [Sdp((head + m).encode()) for m in rest]


def tag_in(seen):
    return next((t for t, s, _ in seen.crypto if s == SUITE), 1)


FLOOR = ["a=floorctrl:c-only", "a=confid:4321", "a=userid:1234", "a=floorid:1 mstrm:12"]
BFCP = [["m=application 50000 UDP/BFCP *", *FLOOR], ["m=application 50002 TCP/BFCP *", "a=setup:actpass", "a=connection:new", *FLOOR],
        ["m=application 50004 TCP/TLS/BFCP *", "a=setup:actpass", *FLOOR]]


def conference(x, y):
    """Audio, video, the slides as a second video; BFCP over UDP, TCP and TLS cannot be anchored and encrypted: port 0 for the callee, and
    back as rejected, in its place."""
    def more(p):
        return [Line(p, "video", p.port + 2, p.hz + 200, ["a=content:main", "a=label:11"]),
                Line(p, "video", p.port + 4, p.hz + 400, ["a=content:slides", "a=label:12"])]

    def body(p, lines, tags=(1, 1)):
        l = [l.text(t) for l, t in zip(lines, tags)]
        return [*l[0], *BFCP[0], *l[1], *BFCP[1], *BFCP[2]]

    def shape(s):
        check(re.findall(r"^m=(\w+) (\d+) (\S+)", s.text, re.M)[2::2] == [("application", "0", "UDP/BFCP"), ("application", "0", "TCP/BFCP")]
              and s.text.count("m=") == 6 and "\r\nm=application 0 TCP/TLS/BFCP" in s.text, s.text)
        m = sections(s)
        ports = [m[i].port for i in (0, 1, 3)]
        check(all(ports) and len(set(ports)) == 3, s.text)
        check("a=content:main" in m[1].text and "a=content:slides" in m[3].text and "a=label:12" in m[3].text, s.text)
        return m[1], m[3]

    xs, ys = more(x), more(y)
    d, i = begin(x, y, x.offer(body(x, xs)))
    to_y = shape(y.sees(i.body))
    none = [l[0].replace(l[0].split()[1], "0", 1) for l in BFCP]
    lines = [l.text(tag_in(t)) for l, t in zip(ys, to_y)]
    rd = accept(d, y, i, y.answer([*lines[0], none[0], *lines[1], none[1], none[2]]))
    to_x = shape(x.sees(rd.ok.body))
    videos = [(a.rtp(ta), b.rtp(tb), a, b) for a, ta, b, tb in zip(xs, to_x, ys, to_y)]
    talk(x, y)
    for ra, rb, a, b in videos:
        ra, rb = ra.result(), rb.result()
        tones(ra, rb, b.hz, a.hz, 0.5)
        check(ra["lost"] == rb["lost"] == 0, f"{ra} {rb}")
    hangup(d, y.ua)


def too_many(x, y):
    """Six RTP lines: four are carried, the rest is rejected, and the session stands."""
    lines = [Line(x, "video", x.port + 2 + 2 * k, 0) for k in range(5)]
    d, i = begin(x, y, x.offer([t for l in lines for t in l.text()]))
    m = sections(y.sees(i.body))
    check([bool(s.port) for s in m] == [True] * 4 + [False] * 2, i.text())
    mine = [Line(y, "video", y.port + 2 + 2 * k, 0).text(tag_in(s)) if s.port else ["m=video 0 RTP/AVP 0"] for k, s in enumerate(m[1:])]
    rd = accept(d, y, i, y.answer([t for l in mine for t in l]))
    m = sections(x.sees(rd.ok.body))
    check([bool(s.port) for s in m] == [True] * 4 + [False] * 2, rd.ok.text())
    talk(x, y)
    hangup(d, y.ua)


def separate_rtcp(x, y):
    """No rtcp-mux anywhere: reports on the port behind, or on the one that a=rtcp names, both ways; SRTCP outside."""
    d, i = begin(x, y, x.offer([f"a=rtcp:{x.port + 1} IN IP4 {x.ua.ip}"]))
    check("rtcp-mux" not in y.sees(i.body).text, i.text())
    rd = accept(d, y, i, y.answer())
    x.sees(rd.ok.body)
    reports = [x.rtcp(), y.rtcp()]
    talk(x, y)
    for r in [r.result() for r in reports]:
        check(r["rtcp_received"] > 4 and r["received"] == r["not_authentic"] == r["other"] == 0, f"reports, and nothing else: {r}")
    hangup(d, y.ua)


uas = [outside(), inside(), outside("carol", E["CAROL"])]
ends = {"out-in": (0, 1), "in-out": (1, 0), "out-out": (0, 2)}
table((hold, conference, too_many, separate_rtcp), uas, lambda way, n: [Party(uas[i], 40000 + 1000 * k + 20 * n, 600 * (k + 1)) for k, i in enumerate(ends[way])])
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
