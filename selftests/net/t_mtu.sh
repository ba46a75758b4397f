#!/bin/bash
# t_mtu.sh -- a media packet over the egress MTU is answered with Frag Needed or Packet Too Big and counted; the call does not notice
#
#	203.0.113.50, 2001:db8:1::50 alice ==1500== edge ==1400, then the other way round== core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
export EDGE_OUT6=2001:db8:1::10
net_up
ip -n "$P-inet" addr add 2001:db8:1::50/64 dev br0 nodad
ip -n "$P-dmz" addr add $EDGE_OUT6/64 dev d0 nodad
ip -n "$P-dmz" link set d1 mtu 1400 # of the sender alone: a veth would not take in what is larger than its own
kamailio_up
pair_up
script <<'PY'
from rawudp import *
SIZE4, SIZE6 = 28, 48  # of IP and UDP headers


def counted():
    x = admin("edge", "status")["xdp"]
    return x["told_too_big"], x["drop_too_big"]


def failed_auth():
    return admin("core", "flows")[0]["refused"].get("auth", 0)  # of the medium, on each of its rows


def too_big(a, call, mtu, head):
    """The packets of the client's own address and port, as large as they may be, one byte larger, and full size."""
    six = ":" in a.ip
    raw, icmp = Raw(a.ns, six), Icmp(a.ns, six)
    src, dst = (a.ip, call.out_port), (call.out_sdp.ip, call.out_sdp.port)
    before = counted()
    raw.send(src, dst, rtp(1, mtu - head))
    wait_until(3, f"{mtu} bytes to reach the core, which has no such key", lambda: failed_auth() == 1)
    check(counted() == before, f"{mtu} bytes fit: {counted()}")
    sent = 0
    for size in (mtu + 1, 1500):
        got = None
        while not got and sent < 10:  # one answer a tick of the kernel's clock; what comes between is dropped as too big
            raw.send(src, dst, rtp(2, size - head))
            got, sent = icmp.too_big(1), sent + 1
        check(got == (mtu, dst[1]), f"{size} bytes are answered with an MTU of {mtu}: {got}")
    told, dropped = [a - b for a, b in zip(counted(), before)]
    check(told >= 2 and told + dropped == sent, f"each of {sent} is counted: {counted()}, before {before}")
    check(path_mtu(a.ns, dst[0]) == mtu, f"the client's stack believes it: {path_mtu(a.ns, dst[0])}")
    check(failed_auth() == 1, "no other one reached the core")


def mtus(**devices):
    for d, mtu in devices.items():
        check(ns_run("dmz", "ip", "link", "set", d, "mtu", str(mtu)).returncode == 0, f"{d} {mtu}")


b = inside()
step("IPv4: client to core")
a = outside()
call = Call(a, b)
x, y = call.media(3)
wait_until(3, "the latch", lambda: any(f["latched"] for f in flows()))
too_big(a, call, 1400, SIZE4)
step("IPv4: core to client: the core's stack is told")
before, lan, seq = counted(), Raw("lan"), iter(range(1000))  # never the same packet twice: it would not be sealed
mtus(d0=1400, d1=1500)
wait_until(3, "the core's path MTU",
           lambda: lan.send((b.ip, call.in_port), (call.in_sdp.ip, call.in_sdp.port), rtp(next(seq), 1500 - SIZE4 - 10))
           or path_mtu("in", E["EDGE_IN"]) == 1400)
check(counted()[0] > before[0], f"told_too_big counts it: {counted()}")
step("  and still sends whole packets, each answered or dropped as too big, none as a fragment")
before = sum(counted())
for _ in range(5):
    lan.send((b.ip, call.in_port), (call.in_sdp.ip, call.in_sdp.port), rtp(next(seq), 1500 - SIZE4 - 10))
wait_until(3, f"5 more, not {sum(counted()) - before}", lambda: sum(counted()) - before >= 5)
check(admin("edge", "status")["xdp"]["drop_fragment"] == 0, "fragments at the edge")
mtus(d0=1500, d1=1400)
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600, 2.5)
check(rx["lost"] == 0 and ry["lost"] == 0, f"media lost: {rx} {ry}")
hangup(call.d, b)
flows_gone()
step("IPv6 client, IPv4 inside: 20 bytes more are told, since its header is that much longer")
a = Ua("alice", "inet", "2001:db8:1::50", server=(E["EDGE_OUT6"], 5061))
check(a.register().status == 200, "alice registers over IPv6")
call = Call(a, b)
x, y = call.media(2)
wait_until(3, "the latch", lambda: any(f["latched"] for f in flows()))
too_big(a, call, 1420, SIZE6)
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600, 1.5)
check(rx["lost"] == 0 and ry["lost"] == 0, f"media lost: {rx} {ry}")
hangup(call.d, b)
flows_gone()
PY
