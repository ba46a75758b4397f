#!/bin/bash
# t_bleed.sh -- who else sends to a call's ports is refused under a reason: before and after the latch, spoofed, replayed, flooding; the call's audio is untouched
#
#	203.0.113.50 alice ------+                                           +-- Kamailio 10.20.0.30
#	203.0.113.51 attacker ---+-- edge (dmz) ==link== core (inside) ------+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
ip -n "$P-in" addr add 172.16.0.21/24 dev i0
kamailio_up
pair_up
script <<'PY'
from rawudp import *
N = 25


def count(name):
    return admin("edge", "status")["xdp"][name]


def refused(name):
    return admin("core", "flows")[0]["refused"].get(name, 0)  # of the medium, on each of its rows


def punches(name):
    return admin("edge", "status")["media"]["punches"][name]


def attack(what, counter, name, send, n=N, exact=True):
    """n packets by send(i), each counted under this reason and nothing forwarded to the inside."""
    step(what)
    before = counter(name)
    for i in range(n):
        send(i)
    wait_until(3, f"{n} under {name}, not {counter(name) - before}", lambda: counter(name) - before >= n)
    check(not exact or counter(name) - before == n, f"{name}: {counter(name) - before}, not {n}")


wire = Sniff("in", "i0")
a, b = outside(), inside()
call = Call(a, b)
port, rtcp = (E["EDGE_OUT"], call.out_sdp.port), (E["EDGE_OUT"], call.out_sdp.port + 1)
carol, alice = Raw("inet2"), Raw("inet")
BAD = (E["CAROL"], 40000)
me = [f for f in flows() if f["outside"].endswith(f":{port[1]}")][0]["flow"]


def flow():
    return [f for f in flows() if f["flow"] == me][0]


attack("another address before the latch", count, "drop_client", lambda i: carol.send(BAD, port, rtp(i)))
check(not flow()["latched"], f"not latched: {flow()}")
x, y = call.media(6)
wait_until(3, "the latch", lambda: flow()["latched"] == f"{a.ip}:{call.out_port}" and flow()["state"] == "established")
taps = [Sniff("inet", "n0"), Sniff("inet2", "c0")]
attack("another address after it", count, "drop_latched", lambda i: carol.send(BAD, port, rtp(i)))
attack("a second port of the same address", count, "drop_latched", lambda i: alice.send((a.ip, call.out_port + 2), port, rtp(i)))
attack("what is not media, from the right one", count, "drop_shape", lambda i: alice.send((a.ip, call.out_port), port, b"GET / HTTP/1.1\r\n" * 3))
attack("a stream in the name of the client: only its key would let it in", refused, "auth",
       lambda i: carol.send((a.ip, call.out_port), port, rtp(i)))

step("the client's own packets once more")
fresh = []
wait_until(3, "some of them on the wire", lambda: fresh.extend(
    taps[0].udp(lambda s, d, p: s == (a.ip, call.out_port) and d == port and p[8:12] != rtp(0)[8:12] and len(p) == 182)) or len(fresh) >= N)
fresh = [p for _, _, p in fresh[:N]]
before = refused("replay")
for p in fresh:
    carol.send((a.ip, call.out_port), port, p)
wait_until(3, "all refused as replayed", lambda: refused("replay") - before == N)

step("punches: the core's own ones from another address, and one that nobody signed")
seen = wire.udp(lambda s, d, p: d[0] == E["EDGE_IN"] and p[:2] == b"\0\1" and len(p) == 68 and p[24:32] == int(me, 16).to_bytes(8, "big"))
check(seen, "the core punches")
core, leg, punch = seen[-1]
check(flow()["core_addr"] == f"{core[0]}:{core[1]}", f"{flow()}")
inner = Raw("in")
attack("  replayed", punches, "replayed", lambda i: inner.send(("172.16.0.21", 2776), leg, punch), 5)
attack("  of a counter to come, its MAC a guess", punches, "bad-mac",
       lambda i: inner.send(("172.16.0.21", 2776), leg, punch[:36] + (1 << 60).to_bytes(8, "big") + punch[44:]), 5)
attack("  of no flow", punches, "unknown-flow", lambda i: inner.send(("172.16.0.21", 2776), leg, punch[:24] + bytes(7) + b"\1" + punch[32:]), 5)
check(flow()["core_addr"] == f"{core[0]}:{core[1]}", f"the leg did not move: {flow()}")
attack("  at the outside port", count, "drop_latched", lambda i: carol.send(BAD, port, punch), 5)
attack("media at the inside port, not from the core", count, "drop_core", lambda i: inner.send(("172.16.0.21", 2776), leg, rtp(i)))
attack("media at the core's inside port, not from the phone", refused, "source",
       lambda i: Raw("lan").send((E["KAM"], 41000), (call.in_sdp.ip, call.in_sdp.port), rtp(i)))

flood = datagram(BAD, port, rtp(1)), datagram(BAD, rtcp, rtp(1)), datagram(BAD, (port[0], port[1] + 2), rtp(1))
names = ("drop_latched", "drop_client", "drop_slot_off")
before, k, end = [count(n) for n in names], 0, time.monotonic() + 1
while time.monotonic() < end and k < 5000:  # bounded: whoever runs this may have little time for the receiver
    for p in flood:
        carol.s.sendto(p, (port[0], 0))
    k += 1
step(f"{k} packets at once to its RTP port, to its RTCP port and to a port without a flow")
check(k > 1000, "a flood")
wait_until(3, f"each under its reason: {names}", lambda: [count(n) - v for n, v in zip(names, before)] == [k] * 3)
check(flow()["latched"] == f"{a.ip}:{call.out_port}", f"still latched: {flow()}")

step("the audio all the while; not one packet to the attacker")
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600, 5)
for r in (rx, ry):
    check(r["lost"] == 0 and r["duplicates"] == 0 and r["replayed"] == 0 and r["ssrcs"] == 1, f"{r}")
got = taps[1].udp(lambda s, d, p: d[0] == E["CAROL"] and s[0] == port[0])
check(not got, f"{len(got)} packets from the edge to the attacker")
hangup(call.d, b)
flows_gone()
PY
no_live_flows || fail "entries left in the live map"
