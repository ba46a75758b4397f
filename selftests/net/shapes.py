"""shapes.py -- the parties and steps of a session's shape, its three directions, and the table of what held.

In: a test's shapes (`from shapes import *`), each a function of two parties that calls, checks what either sees, hears the tones, and hangs up.
Out: a line `| shape | out-in PASS | in-out PASS | out-out PASS |` a shape, or the first cell that does not hold. After every cell nothing is
left: no flow at the edge, in its maps or at the core, no call, no message that nobody waited for."""
import glob

from sipclient import *

SUITE = "AES_CM_128_HMAC_SHA1_80"


class Party:
    """One end of a cell: what it offers and answers, what it must see, its media."""

    def __init__(self, ua, port, hz):
        self.ua, self.port, self.hz, self.out = ua, port, hz, ua.transport == "tls"
        self.fresh()

    def fresh(self):
        self.tx, self.rx, self.to, self.version = (SUITE, new_key(SUITE)) if self.out else None, None, None, 0

    def offer(self, extra=()):
        self.version += 1
        return make_sdp(self.ua.ip, self.port, [self.tx] if self.out else (), version=self.version, extra=extra)

    def answer(self, extra=()):
        self.version += 1
        make = (lambda *a, **k: srtp_answer(a[0], a[1], self.seen, self.tx, **k)) if self.out else make_sdp
        return make(self.ua.ip, self.port, version=self.version, extra=extra)

    def sees(self, body):
        """A description from the other side: of our own addresses, SRTP outside, RTP inside. Returns it."""
        s = self.seen = Sdp(body)
        check((s.proto, s.ip) == (("RTP/SAVP", E["EDGE_OUT"]) if self.out else ("RTP/AVP", E["CORE_LAN"])), s.text)
        check(bool(s.crypto) == self.out, s.text)
        self.to, self.rx = s.addr, s.key(SUITE) if self.out else None
        return s

    def rtp(self, **more):
        return Rtp(self.ua.ns, f"{self.ua.ip}:{self.port}", self.to, 1, self.hz, self.tx, self.rx, 300, **more)

    def rtcp(self):
        """The port behind, where RTCP is not muxed."""
        m = re.search(r"^a=rtcp:(\d+)", self.seen.text, re.M)
        to = f"{self.seen.ip}:{m.group(1) if m else self.seen.port + 1}"
        return Rtp(self.ua.ns, f"{self.ua.ip}:{self.port + 1}", to, 1, 0, self.tx, self.rx, 300, rtcp_ms=100)


def talk(x, y):
    """Both hear the other's tone, and no packet is missing."""
    rx, ry = [r.result() for r in (x.rtp(), y.rtp())]
    tones(rx, ry, y.hz, x.hz, 0.5)
    check(rx["lost"] == 0 and ry["lost"] == 0, f"{rx} {ry}")


def begin(x, y, body, headers=(), ctype="application/sdp"):
    d = Dialog(x.ua, y.ua.aor)
    d.ctype = ctype
    d.send_invite(body, headers)
    d.challenged()
    d.invite_cseq = d.cseq
    return d, y.ua.expect("INVITE")


def contact(y, *more):
    return [f"Contact: {y.ua.contact}", *more]


def accept(d, y, i, body=b"", ack=b"", ctype="application/sdp"):
    """200, ACK. The callee's dialog, with .ok and .ack_seen."""
    y.ua.reply(i, 200, "OK", contact(y), body, "t", ctype)
    rd = Dialog(y.ua, i.uris("contact")[0])
    rd.from_invite(i, "t")
    rd.ok = d.final(ack=False)
    check(rd.ok.status == 200, rd.ok.start)
    d.ua.send(d.lines("ACK", cseq=d.invite_cseq, extra=d.auth), ack(rd.ok) if ack else b"")
    rd.ack_seen = y.ua.expect("ACK")
    return rd


def established(x, y, extra=()):
    d, i = begin(x, y, x.offer(extra))
    y.sees(i.body)
    rd = accept(d, y, i, y.answer())
    x.sees(rd.ok.body)
    check(not rd.ack_seen.body, rd.ack_seen.text())
    return d, rd


def nothing_left():
    flows_gone()
    wait_until(3, "no call on the core", lambda: admin("core", "calls") == [])
    wait_until(3, "no media on the core", lambda: admin("core", "flows") == [] and admin("core", "status")["media"]["media"] == 0)
    left = ns_run("dmz", "bpftool", "-j", "map", "dump", "pinned", glob.glob(f"/sys/fs/bpf/sallyport/{E['INSTANCE']}/v*/live")[0])
    check(json.loads(left.stdout) == [], f"entries in the live map: {left.stdout}{left.stderr}")


WAYS = ("out-in", "in-out", "out-out")


def table(shapes, uas, pick):
    """Every shape in every direction: pick(way, n) makes the arguments of the n-th cell. `uas`: whose queues must be empty in the end."""
    n = 0
    for shape in shapes:
        for way in WAYS:
            try:
                shape(*pick(way, n))
                nothing_left()
            except Exception as e:
                tb = e.__traceback__
                while tb.tb_next:
                    tb = tb.tb_next
                raise Failed(f"{shape.__name__} {way}: {type(e).__name__}: {e} ({tb.tb_frame.f_code.co_name}:{tb.tb_lineno})") from e
            unread = [(u.user, m.start) for u in uas for m in u.inbox if m.status != 100]
            check(not unread, f"{shape.__name__} {way}: nobody waited for {unread}")
            for u in uas:
                u.inbox.clear()
            n += 1
        step(f"| {shape.__name__.replace('_', ' ')} | " + " | ".join(f"{way} PASS" for way in WAYS) + " |")


def unregistered(uas):
    for u in uas:
        check(u.register(0).status == 200, f"{u.user} unregisters")
    wait_until(3, "no binding left", lambda: admin("core", "regs") == [])
