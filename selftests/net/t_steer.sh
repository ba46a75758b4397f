#!/bin/bash
# t_steer.sh -- an admitted client tries to steer the inside: by its answers' Via and Record-Route, hidden descriptions, foreign dialogs
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40, a listener 10.20.0.40:5999
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
EDGE_LIMITS='  ban_score: 1000000'
pair_up
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"
a, b = outside(), inside()
crypto = [(SUITE, new_key(SUITE))]
sdp, plain = make_sdp(a.ip, 40000, crypto), make_sdp("10.20.0.40", 5998)
with in_ns("lan"):
    trap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    trap.bind((E["BOB"], 5999))
TRAP = f"{E['BOB']}:5999"


def untouched(what, seconds=1):
    check(not select.select([trap], [], [], seconds)[0], f"{what}: a packet reached {TRAP}")


def seen(call_id):
    return [l for l in log_text("kamailio").splitlines() if "seen " in l and f"id={call_id}" in l]


def rung():
    """bob calls alice: (his dialog, the INVITE she gets)."""
    d, _ = b.invite(a.aor, plain, final=False)
    d.challenged()
    return d, a.expect("INVITE")


step("an answer's second Via: the call server does not send it there")
d, i = rung()
for vias in ([i.all("via")[0], f"SIP/2.0/UDP {TRAP};branch=z9hG4bKnone"],
             [i.all("via")[0] + f", SIP/2.0/UDP {TRAP};branch=z9hG4bKnone"],
             [i.all("via")[0], i.all("via")[1].replace("branch=z9hG4bK", "branch=z9hG4bKx"), f"SIP/2.0/UDP {TRAP}"]):
    a.send(["SIP/2.0 180 Ringing", *["v: " + v for v in vias], f"From: {i.get('from')}", f"To: {i.get('to')};tag=t", f"Call-ID: {i.get('call-id')}",
            f"CSeq: {i.get('cseq')}", f"Contact: <sip:alice@{TRAP}>"])
    d.provisional(180)
untouched("180")

step("an answer without Record-Route, or with another: the core stays in the dialog")
r = [f"Contact: <sip:alice@{TRAP}>", f"Record-Route: <sip:{TRAP};lr>"]
keep, i.headers = i.headers, [h for h in i.headers if h[0] != "record-route"]
a.reply(i, 200, "OK", r, srtp_answer(a.ip, 40000, Sdp(i.body), crypto[0]), totag="t")
ok = d.final()
check(ok.status == 200, ok.start)
check(TRAP not in " ".join(ok.all("record-route")), ok.text())
check([f for f in ok.uris("record-route") if "@" in f], "the core's own are there")
a.expect("ACK")
d.cseq += 1
b.send(d.lines("BYE"))
a.reply(a.expect("BYE"), 200, "OK")
b.response(b.last_branch, "BYE")
untouched("ACK and BYE")
flows_gone()

step("answers without end, each as another branch: so many BYEs, and others still get through")
d, i = rung()
n = 0
for k in range(300):
    a.reply(i, 200, "OK", [f"Contact: {a.contact}"], srtp_answer(a.ip, 40000, Sdp(i.body), crypto[0]), totag=f"t{k}")
d.final()
while m := a.conn.recv(1):
    n += m.method == "BYE"
check(n == 32, f"{n} BYEs")
step("a BYE with other tags does not take the media away")
wrong = d.remote
d.remote = re.sub("tag=.*", "tag=wrong", d.remote)
d.cseq += 1
b.send(d.lines("BYE"))
r = b.response(b.last_branch, "BYE")
check(r.status == 481 and len(flows()) > 0, f"{r.start}, {len(flows())} flows")
d.remote = wrong
d.cseq += 1
b.send(d.lines("BYE"))
a.reply(a.expect("BYE"), 200, "OK")
check(b.response(b.last_branch, "BYE").status == 200, "the right one does")
a.connect()  # what it has answered is forgotten with the old stream
check(a.register(cached=True).status == 200, "again")
flows_gone()

step("descriptions that only some readers see: refused, the call server sees none")
part = b"Content-Type: application/sdp\r\n\r\n" + plain
for what, ctype, body in (
        ("a part whose head does not end", "multipart/mixed;boundary=x", b"--x\r\nA: b\r\n--x\r\n" + part + b"\r\n--x--\r\n"),
        ("parts within a part", "multipart/mixed;boundary=x",
         b"--x\r\nContent-Type: multipart/mixed;boundary=y\r\n\r\n--y\r\n" + part + b"\r\n--y--\r\n--x--\r\n"),
        ("a folded type", "multipart/mixed;boundary=x", b"--x\r\nContent-Type:\r\n application/sdp\r\n\r\n" + plain + b"\r\n--x--\r\n"),
        ("white space in the type", "application / sdp", plain),
        ("a type on two lines", "application/\r\n sdp", plain),
        ("1,000 parts", "multipart/mixed;boundary=x", b"--x\r\nA: b\r\n\r\n\r\n" * 1000 + b"--x\r\n" + part + b"\r\n--x--\r\n"),
        ("3,000 lines of media", "application/sdp", b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\nc=IN IP4 1.1.1.1\r\n" + b"m=a 1 b 0\r\n" * 2500)):
    d = Dialog(a, b.aor)
    d.cseq += 1
    a.send(d.lines("INVITE"), body, ctype)
    r = a.response(a.last_branch, "INVITE")
    check(r.status in (415, 488), f"{what}: {r.start}")
    check(not seen(d.call_id), f"{what}: the call server saw it")

step("REGISTERs without measure")
for what, contacts, want in (
        ("100 contacts", [f"Contact: <sip:a{k}@192.0.2.1>" for k in range(100)], (400, 403, 513)),
        ("two contacts", ["Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>"], (403,)),
        ("an endless one", [f"Contact: {a.contact};expires=99999999999"], (401, 403)),
        ("a star with a contact", ["Contact: *", f"Contact: {a.contact}", "Expires: 0"], (400,))):
    u = Ua("alice")
    u.send([f"REGISTER sip:{DOMAIN} SIP/2.0", u.via(), "Max-Forwards: 70", f"From: <{u.aor}>;tag=1", f"To: <{u.aor}>", "Call-ID: " + uuid.uuid4().hex,
            "CSeq: 1 REGISTER", *contacts])
    r = u.conn.recv(5)
    check(r and r.status in want, f"{what}: {r and r.start}")
    u.conn.abort()

step("a call goes through as if nothing had been")
call = Call(a, b)
x, y = call.media(1)
tones(x.result(), y.result(), 1200, 600, 0.5)
hangup(call.d, b)
flows_gone()
PY
