#!/bin/bash
# t_link_drop.sh -- the link's TCP dropped for 10 s: no stream lost; reset: clients come back by themselves; media untouched in both
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq
net_up
kamailio_up
pair_up
PHONE_REGINT=30 phones_up carol
script <<'PY'
def nft(ns, text):
    r = ns_run(ns, "nft", text)
    check(r.returncode == 0, r.stderr)


a, b = outside(), inside()
call = Call(a, b)
step("tcp/7001 dropped for 10 s")
x, y = call.media(28)
time.sleep(1)
nft("dmz", "add table inet cut; add chain inet cut inp { type filter hook input priority 0; }; add rule inet cut inp tcp dport 7001 drop; "
    "add chain inet cut out { type filter hook output priority 0; }; add rule inet cut out tcp sport 7001 drop")
time.sleep(10)
nft("dmz", "delete table inet cut")
r = wait_until(1, "an answer", lambda: a.register(cached=True))
check(r.status == 200, f"the same stream goes on: {r.start}")
step("reset")
nft("in", "add table inet rst; add chain inet rst out { type filter hook output priority 0; }; "
    "add rule inet rst out tcp dport 7001 reject with tcp reset")
nft("dmz", "add table inet rst; add chain inet rst out { type filter hook output priority 0; }; "
    "add rule inet rst out tcp sport 7001 reject with tcp reset")
check(a.conn.closed_within(15), "the client's connection ends with its stream")
log_wait("edge", "event=link-down", 15)
log_wait("core", "event=link-down", 15)
nft("in", "delete table inet rst")
nft("dmz", "delete table inet rst")
wait_until(15, "the link up again", lambda: admin("core", "status")["links"][0]["state"] == "up"
           and admin("core", "status")["links"][0]["pool_idle"] > 0)
a.connect()
check(a.register(cached=True).status == 200, "alice is back")
rx, ry = x.result(), y.result()
for name, r in (("outside", rx), ("inside", ry)):
    step(f"{name}: {r['received']} received, {r['lost']} lost, longest gap {r['max_gap_ms']} ms")
    check(r["lost"] == 0 and r["received"] >= 1390, f"{name} lost media: {r}")
tones(rx, ry, 1200, 600, 26)
hangup(call.d, b)
flows_gone()
step("the softphone comes back by itself")
wait_until(30, "carol admitted", lambda: [r for r in admin("core", "streams") if r["admitted"] and "carol" in r["aors"]])
PY
