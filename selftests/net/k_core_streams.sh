#!/bin/bash
# k_core_streams.sh -- clients' streams on kernel TLS outlive the core's worker: killed, upgraded, and killed again, no client reconnects or
# registers, and each can be called at once; what was in the worker's hands when it was killed is told by a reset
#
#	203.0.113.50 alice ... --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
#
# Needs a kernel with TLS: selftests/vm/t_streams runs it. Not among the host's tests for that (k_, not t_).
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
KTLS=on KTLS_AFTER=0
export KTLS KTLS_AFTER
net_up
kamailio_up
pair_up
CORE_KEEPER=$(pid_of core)
export CORE_KEEPER B
script <<'PY'
from workers import *

N = 10


def streams():
    return stat("core", "streams") or []


def all_kept():
    s = streams()
    return len(s) == N and all(x["admitted"] and x["kept"] and x["rung"] == "kernel TLS" for x in s) and s


def core():
    return wait_until(15, "the core answers", lambda: stat("core", "status"))


def killed():
    old = worker("core")
    kill("core")
    return replaced("core", old)


def message(text):
    """From inside to carol, without media: as soon as the core listens."""
    d = Dialog(b, carol.aor)
    branch = d.send_authorized("MESSAGE", [], text.encode(), "text/plain")
    m = carol.expect("MESSAGE", 15)
    check(m.body.decode() == text, m.text)
    carol.reply(m, 200, "OK", totag="m")
    check(b.response(branch, "MESSAGE").status == 200, "carol's answer")


def called():
    """From inside to carol; who hangs up is carol."""
    d, _ = b.invite(carol.aor, make_sdp(b.ip, 41000), final=False)
    d.challenged(15)
    i = carol.expect("INVITE", 15)
    o = Sdp(i.body)
    suite = o.crypto[0][1]
    tag = uuid.uuid4().hex[:10]
    carol.reply(i, 180, "Ringing", [f"Contact: {carol.contact}"], totag=tag)
    carol.reply(i, 200, "OK", [f"Contact: {carol.contact}"], srtp_answer(carol.ip, 40000, o, (suite, new_key(suite))), totag=tag)
    check(d.final().status == 200, "the call is up")
    carol.expect("ACK")
    rd = Dialog(carol, i.uris("contact")[0])
    rd.from_invite(i, tag)
    hangup(rd, b)
    flows_gone()


def round(name, act, lost=0):
    """@lost: so many clients have half a message under way, which a kill costs."""
    global N
    old, ids = worker("core"), {x["stream"]: x["edge_stream"] for x in streams()}
    act("core")
    new = replaced("core", old)
    kept = new["kept"]["stream"]
    step(f"{name}: worker {old} -> {worker('core')}: {kept['taken_over']} streams taken over, {kept['lost_busy']} lost")
    check(kept["taken_over"] == N - lost and kept["lost_busy"] == lost and kept["lost"] == 0, kept)
    N -= lost
    s = streams()
    check(len(s) == N and all(ids[x["stream"]] == x["edge_stream"] for x in s), f"{len(s)} streams: {s}")
    check(all(x["admitted"] and x["kept"] and x["taken_over"] and x["rung"] == "kernel TLS" and x["aors"] for x in s), s)
    message(name)
    wait_until(15, "the link up again", link_up)
    check(core()["counters"]["registers_ok"] == 0, "nobody registered")
    called()
    check(len(stat("edge", "streams")) == N, "the edge has the same streams")


phones = [device("alice", i) for i in range(N - 1)]
carol = outside("carol", E["ALICE"])
b = inside()
s = wait_until(20, f"{N} streams with the keeper", all_kept)
step(f"{N} streams on kernel TLS")
message("before")
called()
round("killed", kill)

step("each client says what it may, and no more")
for p in phones[:3]:
    check(p.register().status == 200, "a refresh over the same connection")
    br = p.request("MESSAGE", b.aor, from_="<sip:carol@corp.example>", body=b"x")
    check(p.response(br, "MESSAGE").status == 403, "another's From")

step("a call that is up goes on and is hung up by the stream that it was made on")
c = Call(carol, b)
round_b = c.media(6)
check(killed()["counters"]["calls"] == 1, "one call")
wait_until(15, "the link up again", link_up)
rx, ry = (m.result() for m in round_b)
check(rx["received"] > 200 and ry["received"] > 200, f"{rx} {ry}")
hangup(c.rd, carol)
flows_gone()

step("a call that only rings ends on both sides")
d, _ = b.invite(carol.aor, make_sdp(b.ip, 41000), final=False)
d.challenged(15)
i = carol.expect("INVITE", 15)
carol.reply(i, 180, "Ringing", [f"Contact: {carol.contact}"], totag="r1")
d.provisional(180)
killed()
x = carol.expect("CANCEL", 15)
carol.reply(x, 200, "OK", totag="r1")
carol.reply(i, 487, "Request Terminated", totag="r1")
carol.expect("ACK")
step(f"inside hears {d.final().status}")
wait_until(15, "the link up again", link_up)
d, _ = carol.invite(b.aor, make_sdp(carol.ip, 40000, [("AES_CM_128_HMAC_SHA1_80", new_key("AES_CM_128_HMAC_SHA1_80"))]), final=False)
d.challenged(15)
i = b.expect("INVITE", 15)
b.reply(i, 180, "Ringing", [f"Contact: {b.contact}"], totag="r2")
d.provisional(180)
killed()
check(d.final(15).status == 500, "the caller outside")
x = b.expect("CANCEL", 15)
b.reply(x, 200, "OK", totag="r2")
b.reply(i, 487, "Request Terminated", totag="r2")
b.expect("ACK")
wait_until(15, "the link up again", link_up)
flows_gone()
called()

step("half a message goes over with an upgrade, and is a reset with a kill")
half = phones.pop(0)
whole = f"OPTIONS sip:corp.example SIP/2.0\r\n{half.via()}\r\nMax-Forwards: 70\r\nFrom: <{half.aor}>;tag=h\r\nTo: <{half.aor}>\r\n" \
        f"Call-ID: half\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
half.conn.send(whole[:100])
time.sleep(0.5)
round("upgraded", upgrade)
half.conn.send(whole[100:])
step(f"answered: {half.response(half.last_branch, 'OPTIONS').start}")
half.conn.send(whole[:100])
time.sleep(0.5)
round("killed with half a message", kill, lost=1)
check(half.conn.closed_within(10), "its client hears of it")

step("one client leaves, one vanishes: their slots go, too")
phones[0].conn.close()
phones[1].conn.abort()
N -= 2
phones = phones[2:]
wait_until(10, "two streams fewer", lambda: len(streams()) == N)
round("killed", kill)
check(core()["kept"]["stream"]["records"] == N, "as many slots")
for p in phones + [carol]:
    p.conn.close()
wait_until(10, "no stream left", lambda: stat("core", "streams") == [])
check(core()["kept"]["stream"]["records"] == 0, "no slot")
wait_until(10, "no stream left on the edge", lambda: stat("edge", "streams") == [])
PY
