#!/bin/bash
# t_hostile.sh -- an admitted client, then the call server, send garbled SIP for seconds: refused, both workers live, calls still work
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
EDGE_LIMITS='  ban_score: 1000000'
pair_up
EDGE_WORKER=$(worker_of edge)
CORE_WORKER=$(worker_of core)
SEED=${SEED:-$RANDOM}
say "  seed $SEED (SEED=n runs it again)"
export SEED EDGE_WORKER CORE_WORKER
script <<'PY'
import random
rnd = random.Random(int(E["SEED"]))
SUITE = "AES_CM_128_HMAC_SHA1_80"
b, a = inside(), Ua("carol", ip=E["CAROL"])
good = outside()


def fresh():
    a.connect()
    r = a.register(cached=bool(a.challenge))
    check(r.status in (200, 503, 401, 403), r.start)


def a_message():
    """A whole valid message of a random kind, as bytes."""
    method = rnd.choice(["INVITE", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "BYE", "ACK", "CANCEL", "UPDATE", "PRACK", "REFER", "NOTIFY", "X-NEW"])
    body = make_sdp(a.ip, 40000, [(s, new_key(s)) for s in SUITES], extra=["a=rtcp:40001", "a=candidate:1 1 UDP 1 10.1.1.1 5 typ host"]) if rnd.random() < 0.7 else b""
    a.cseq += 1
    lines = [f"{method} {b.aor} SIP/2.0", a.via(), "Max-Forwards: 70", f"From: <{a.aor}>;tag={rnd.random()}", f"To: <{b.aor}>" + (";tag=x" if rnd.random() < 0.3 else ""),
             f"Call-ID: {rnd.getrandbits(64)}", f"CSeq: {a.cseq} {method}", f"Contact: {a.contact}", "Supported: 100rel, path", "Session-Expires: 90"]
    if rnd.random() < 0.3:
        lines.append("Route: <sip:" + "".join(rnd.choice("ABCDabcd0189_-") for _ in range(40)) + f"@edge.{DOMAIN}:5061;lr>")
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join(lines + [f"Content-Length: {len(body)}", "", ""]).encode() + body


def garble(m):
    m = bytearray(m)
    for _ in range(rnd.randint(0, 4)):
        at = rnd.randrange(len(m))
        kind = rnd.randrange(6)
        if kind == 0:
            m[at] = rnd.randrange(256)
        elif kind == 1:
            del m[at:at + rnd.randint(1, 30)]
        elif kind == 2:
            m[at:at] = m[at:at + rnd.randint(1, 200)]
        elif kind == 3:
            m[at:at] = bytes(rnd.choice(b"<>;:,\"@=\r\n\t %[]\\0") for _ in range(rnd.randint(1, 8)))
        elif kind == 4:
            m[at:at] = str(rnd.choice([-1, 0, 65536, 2**32, 2**64, 10**30])).encode()
        else:
            m = bytearray(bytes(m).replace(b"\r\n", b"\r\n" + rnd.choice([b"X: y\r\n", b" ", b"\r\n", b"v: SIP/2.0/TLS x\r\n", b"Route: <sip:x>\r\n"]), 1))
        if not m:
            break
    return bytes(m)


fresh()
end, n, closed, answers = time.monotonic() + 10, 0, 0, {}
while time.monotonic() < end:
    try:
        a.conn.send(garble(a_message()))
        n += 1
        while m := a.conn.recv(0.004):
            answers[m.status] = answers.get(m.status, 0) + 1
    except Closed:
        closed += 1
        fresh()
    except OSError:
        fresh()
step(f"{n} messages, {closed} times closed, answers {dict(sorted(answers.items()))}")
check(n > 300, "too few messages")
step("the call server's address sends garbled requests along alice's Path, and garbled responses")
path = re.findall(r"user=alice path=<([^>]+)>", log_text("kamailio"))[-1]
u = Ua("mallory", "lan", ip=E["KAM"], server=(E["CORE_LAN"], 5060), transport="udp")
end, n, through = time.monotonic() + 5, 0, 0
while time.monotonic() < end:
    method = rnd.choice(["INVITE", "INVITE", "CANCEL", "BYE", "NOTIFY", "ACK", "OPTIONS"])
    body = make_sdp("10.20.0.40", 41000) if rnd.random() < 0.7 else b""
    first = f"{method} {good.aor} SIP/2.0" if rnd.random() < 0.8 else f"SIP/2.0 {rnd.choice([100, 180, 200, 401, 487, 503])} Whatever"
    lines = [first, u.via(), f"Route: <{path}>", "Max-Forwards: 70", f"From: <{b.aor}>;tag={rnd.random()}", f"To: <{good.aor}>",
             f"Call-ID: {rnd.getrandbits(64)}", f"CSeq: 1 {method}", f"Contact: {u.contact}", "Content-Type: application/sdp",
             f"Content-Length: {len(body)}", "", ""]
    data = garble("\r\n".join(lines).encode() + body)
    if data:
        u.conn.s.send(data[:1400])
    n += 1
    try:
        while u.conn.recv(0.003):
            pass
    except (Closed, ValueError):
        pass
    while m := good.conn.recv(0.001):
        through += 1
        if m.method and m.method != "ACK":
            good.reply(m, 486 if m.method == "INVITE" else 200, "Whatever", totag="x")
step(f"{n} datagrams, {through} messages came through to alice")
check(through, "nothing came through: the Path was not right")
for p in ("EDGE", "CORE"):
    check(os.path.exists(f"/proc/{E[p + '_WORKER']}"), f"the {p} worker died")
a.conn.abort()
b = Ua("dave", "lan", server=KAMAILIO, transport="udp")
check(b.register().status == 200, "a fresh phone inside")
step("a call goes through as if nothing had been")
call = Call(good, b)
x, y = call.media(1)
tones(x.result(), y.result(), 1200, 600, 0.5)
hangup(call.d, b)
# What the garbled INVITEs left ringing at alice ends when the server transactions do.
flows_gone(45)
PY
