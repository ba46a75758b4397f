#!/bin/bash
# t_rung_tc.sh -- where redirected XDP frames do not cross, media takes tc: the reason shown, checksums right, kill -9, the end
#
#	203.0.113.50 alice --+--tls-- edge (dmz) ==link== core (inside) --+-- Kamailio 10.20.0.30, bob 10.20.0.40
#
# No wire has GRO, so that veth takes no redirected frame. The edge's peers leave checksums to their device and the edge's
# devices do not sum: so what tc forwards arrives half summed, is finished at the egress, and is verified by its receiver.
set -eu
. "$(dirname "$0")/lib.sh"
wire() { # wire NS DEV NS DEV
	local n d

	ip link add "$2" netns "$P-$1" type veth peer name "$4" netns "$P-$3"
	for n in "$1 $2" "$3 $4"; do
		d=${n#* } n=${n% *}
		ip -n "$P-$n" link set "$d" up
		ns "$n" ethtool -K "$d" gro off tx "$([ "$n" = dmz ] && echo off || echo on)" >/dev/null
	done
}
net_isolate "$@"
need kamailio nft ethtool tc
filters() { # of the edge's devices
	local d

	for d in d0 d1; do
		ns dmz tc filter show dev $d ingress | grep -c tc_relay || true
	done | paste -sd' '
}
net_up
kamailio_up
pair_up
[ "$(filters)" = "1 1" ] || fail "filters on d0 and d1: $(filters)"
! ns dmz ip -d link show | grep -q 'prog/xdp' || fail "an XDP program is attached as well"
OLD_WORKER=$(worker_of edge)
[ -n "$OLD_WORKER" ] || fail "the edge has no worker"
EDGE_KEEPER=$(pid_of edge)
export OLD_WORKER EDGE_KEEPER
script <<'PY'
import signal

WHY = "interface d0: XDP redirect does not cross"


def row():
    return flows()[0]


def packets(r):
    return sum(v for k, v in r.items() if k.startswith("packets") and isinstance(v, int))


s = admin("edge", "status")
check(s["media_rung"] == "tc", s["media_rung"])
check(s["media_pairs"][0]["reason"].startswith(WHY), s["media_pairs"])
a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(12)
before = wait_until(5, "packets counted", lambda: flows() and packets(row()) > 50 and row())
check(before["rung"] == "tc", before)
why = admin("edge", "why", before["flow"])
check(why["rung"] == "tc" and why["reason"].startswith(WHY), why)
step(why["reason"])
os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
step("killed")


def new_worker():
    p = subprocess.run(["pgrep", "-P", E["EDGE_KEEPER"]], capture_output=True, text=True).stdout.split()
    return p and p[0] != E["OLD_WORKER"] and p[0]


wait_until(5, "a new worker", new_worker)


def again():
    try:
        return admin("edge", "flows") and row()
    except (OSError, ValueError):
        return None


after = wait_until(5, "the new worker's flows", again)
check(after["flow"] == before["flow"] and after["rung"] == "tc", f"the same flow, on tc: {after}")
check(packets(after) >= packets(before), f"counters go on: {before} {after}")
check(a.conn.closed_within(5), "the old connection ended")
wait_until(10, "the link up again", lambda: admin("core", "status")["links"][0]["state"] == "up"
           and admin("core", "status")["links"][0]["pool_idle"] > 0)
a.connect()
check(a.register(cached=True).status == 200, "registered again")
rx, ry = x.result(), y.result()
for name, r in (("outside", rx), ("inside", ry)):
    step(f"{name}: {r['received']} received, {r['lost']} lost, longest gap {r['max_gap_ms']} ms")
    check(r["lost"] == 0 and r["duplicates"] == 0 and r["received"] >= 590, f"{name} lost media: {r}")
tones(rx, ry, 1200, 600, 10)
hangup(call.d, b)
flows_gone()
PY
wait_for 5 "the live map empty" no_live_flows
say "the filters outlive the daemon, are replaced by the next one, and go with --unload"
stop edge
[ "$(filters)" = "1 1" ] || fail "filters after the end of the daemon: $(filters)"
edge_up
[ "$(filters)" = "1 1" ] || fail "filters after another start: $(filters)"
stop edge
ns dmz "$B/sallyport-edge" --unload -c "$RUN/edge.yaml" || fail "--unload"
[ "$(filters)" = "0 0" ] || fail "filters after --unload: $(filters)"
