#!/bin/bash
# t_edge_kill.sh -- kill -9 of the edge's worker in a call: no packet lost, counters go on, the client comes back and hangs up
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
old=$(worker_of edge)
[ -n "$old" ] || fail "the edge has no worker"
EDGE_KEEPER=$(pid_of edge)
export OLD_WORKER=$old EDGE_KEEPER
script <<'PY'
import signal


def row():
    return flows()[0]


def packets(r):
    return sum(v for k, v in r.items() if k.startswith("packets") and isinstance(v, int))


a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(12)
time.sleep(1.5)
before = wait_until(5, "packets counted", lambda: flows() and packets(row()) > 50 and row())
os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
step("killed")


def new_worker():
    p = subprocess.run(["pgrep", "-P", E["EDGE_KEEPER"]], capture_output=True, text=True).stdout.split()
    return p and p[0] != E["OLD_WORKER"] and p[0]


step(f"new worker {wait_until(5, 'a new worker', new_worker)}")


def again():
    try:
        return admin("edge", "flows") and row()
    except (OSError, ValueError):
        return None


after = wait_until(5, "the new worker's flows", again)
check(after["flow"] == before["flow"], "the same flow")
check(packets(after) >= packets(before), f"counters go on: {before} {after}")
step("the client's stream is gone: it reconnects with its cached nonce")
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
