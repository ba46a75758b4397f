#!/bin/bash
# t_ipv6.sh -- a client on IPv6 and the inside on IPv4: media is offered in the client's family and crosses in XDP, both directions of call.
#
#	2001:db8:1::50 alice --tls-- 2001:db8:1::10 edge 172.16.0.10 ==link== core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
#	203.0.113.51   carol --tls-- 203.0.113.10  /
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
EDGE_OUT6=2001:db8:1::10
net_up
ns in sysctl -qw net.netfilter.nf_conntrack_checksum=0 # or the firewall drops what is wrong before the stack can count it
ip -n "$P-inet" addr add 2001:db8:1::50/64 dev br0 nodad
ip -n "$P-dmz" addr add $EDGE_OUT6/64 dev d0 nodad
kamailio_up
pair_up
script <<'PY'
from rawudp import *
SUITE = "AEAD_AES_128_GCM"
bad = csum_errors()


def intact(x, y):
    tones(x, y, 1200, 600)
    check(x["lost"] == 0 and y["lost"] == 0, f"media lost: {x} {y}")


a = Ua("alice", "inet", "2001:db8:1::50", server=("2001:db8:1::10", 5061))
check(a.register().status == 200, "alice registers over IPv6")
b, c = inside(), outside("carol", E["CAROL"])
step("outside (IPv6) calls inside (IPv4)")
call = Call(a, b, suite=SUITE)
check(call.out_sdp.ip == "2001:db8:1::10" and call.in_sdp.ip == E["CORE_LAN"], call.out_sdp.text)
x, y = call.media(2)
intact(x.result(), y.result())
hangup(call.d, b)
flows_gone()
step("inside calls outside (IPv6)")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i = a.expect("INVITE")
offer, tx = Sdp(i.body), (SUITE, new_key(SUITE))
check(offer.ip == "2001:db8:1::10", offer.text)
rd = inside_answer(a, i, srtp_answer(a.ip, 40000, offer, tx), d)
x = Rtp("inet", "[2001:db8:1::50]:40000", offer.addr, 2, 600, tx, offer.key(SUITE))
y = Rtp("lan", f"{b.ip}:41000", Sdp(rd.ok.body).addr, 2, 1200)
intact(x.result(), y.result())
hangup(d, a)
flows_gone()
step("outside IPv6 calls outside IPv4")
tx, tx2 = (SUITE, new_key(SUITE)), (SUITE, new_key(SUITE))
d, _ = a.invite(c.aor, make_sdp(a.ip, 40000, [tx]), final=False)
d.challenged()
i = c.expect("INVITE")
offer = Sdp(i.body)
check(offer.ip == E["EDGE_OUT"], offer.text)
rd = inside_answer(c, i, srtp_answer(c.ip, 40000, offer, tx2), d)
got = Sdp(rd.ok.body)
x = Rtp("inet", "[2001:db8:1::50]:40000", got.addr, 2, 600, tx, got.key(SUITE))
y = Rtp("inet2", f"{c.ip}:40000", offer.addr, 2, 1200, tx2, offer.key(SUITE))
intact(x.result(), y.result())
hangup(d, c)
flows_gone()
check(csum_errors() == bad, f"{csum_errors() - bad} datagrams with a wrong checksum")
step("that the stacks do look: a checksum that was wrong before the edge is wrong behind it, and is refused, both ways")
call = Call(a, b, suite=SUITE)
x, y = call.media(3)
f = wait_until(3, "the latch", lambda: [f for f in flows() if f["latched"]])[0]
port = lambda text: (text.rpartition(":")[0].strip("[]"), int(text.rpartition(":")[2]))
for what, raw, src, dst in (("IPv6 to IPv4", Raw("inet", True), port(f["latched"]), port(f["outside"])), ("IPv4 to IPv6", Raw("in"), port(f["core_addr"]), port(f["inside"]))):
    before = csum_errors()
    for i in range(5):
        raw.send(src, dst, rtp(i), 0x0101)
    wait_until(3, f"five of {what} refused for their checksum, not {csum_errors() - before}", lambda: csum_errors() - before == 5)
intact(x.result(), y.result())
hangup(call.d, b)
flows_gone()
PY
