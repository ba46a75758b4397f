#!/bin/bash
# t_fds.sh -- a worker without a descriptor left: what is established goes on, who comes waits or is refused, nothing spins, and it recovers
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 many  --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool prlimit
net_up
kamailio_up
eval "all_$(declare -f core_config)"
core_config() {
	all_core_config
	sed -i "s/ports: 2000/ports: 100/" "$RUN/core.yaml"
}
EDGE_LIMITS='  unadmitted_prefix: 1000' pair_up
EDGE_KEEPER=$(pid_of edge) CORE_KEEPER=$(pid_of core)
export EDGE_KEEPER CORE_KEEPER
script <<'PY'
import signal
from shapes import *


def worker(name):
    p = subprocess.run(["pgrep", "-P", E[f"{name.upper()}_KEEPER"]], capture_output=True, text=True).stdout.split()
    return int(p[0]) if p else 0


def highest(pid):
    return max(int(f) for f in os.listdir(f"/proc/{pid}/fd"))


def ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        return sum(int(t) for t in f.read().rpartition(")")[2].split()[11:13])


def limit(pid, n):
    r = subprocess.run(["prlimit", "-p", str(pid), f"--nofile={n}:"], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr)


def again(name, n):
    """A new worker of this daemon that may open n descriptors: an accept that waits keeps the limit that it began with."""
    old = worker(name)
    limit(E[f"{name.upper()}_KEEPER"], n)
    os.kill(old, signal.SIGKILL)
    wait_until(10, "a new worker", lambda: worker(name) not in (0, old))

    def up():
        with contextlib.suppress(OSError, ValueError):
            l = admin("core", "status")["links"][0]
            return l["state"] == "up" and l["pool_idle"] > 0 and admin("edge", "status")
    wait_until(20, "the link up", up)
    return worker(name)


def call_works(what):
    q, r = exchange(call.rd, alice, "INFO", body=b"x", ctype="text/plain")
    check(r.status == 200, f"{what}: {r.start}")
    x, y = call.media(1)
    tones(x.result(), y.result(), 1200, 600, 0.5)


def back():
    alice.connect()
    r = wait_until(10, "alice is back", alice.register)
    check(r.status == 200, r.start)
    alice.inbox.clear()


alice, bob = outside(), inside()
call = Call(alice, bob)
call_works("before")

step("the edge")
room = highest(worker("edge")) + 8  # a keeper hands its descriptors on by numbers from 200
w = again("edge", room)
back()
with in_ns("inet2"):
    crowd = [socket.socket() for _ in range(260)]
for s in crowd:
    s.bind((E["CAROL"], 0))
    s.settimeout(5)
    s.connect(EDGE)  # the kernel does, whether or not the edge ever accepts
wait_until(5, "none left", lambda: len(os.listdir(f"/proc/{w}/fd")) >= room)
used = ticks(w)
begun = time.monotonic()
call_works("with no descriptor left")
took = (time.monotonic() - begun) * os.sysconf("SC_CLK_TCK")
check(ticks(w) - used < took / 2, f"the worker does not spin: {ticks(w) - used} of {took:.0f} ticks")
for s in crowd:
    s.close()
carol = wait_until(15, "a new client", lambda: outside("carol", E["CAROL"]))
n = admin("edge", "status")["loop"]["accept_errors"]
check(n > 0, "counted")
step(f"  {n} times none was left; a new client comes in when the others have gone")
check(carol.register(0).status == 200, "carol leaves")
carol.conn.close()

step("the core")
again("edge", 20000)
core = again("core", highest(worker("core")) + 2)
back()
held, refused = [], None
while not refused and len(held) < 600:  # each takes a connection of the pool, which cannot all be replaced
    u = Ua(f"user{len(held)}", ip=E["CAROL"])
    try:
        r = u.register()
        check(r.status in (200, 503), r.start)
    except Closed as e:
        r = e
    if isinstance(r, Msg) and r.status == 200:
        held.append(u)
    else:
        refused = r
check(refused and (not isinstance(refused, Msg) or refused.get("retry-after")), f"{refused}, after {len(held)}")
step(f"  {len(held)} came in, the next one: {refused.start if isinstance(refused, Msg) else refused}")
used, begun = ticks(core), time.monotonic()
call_works("with no descriptor left")
took = (time.monotonic() - begun) * os.sysconf("SC_CLK_TCK")
check(ticks(core) - used < took / 2, f"the worker does not spin: {ticks(core) - used} of {took:.0f} ticks")
for u in held:
    u.conn.close()
carol = wait_until(20, "a new client", lambda: outside("carol", E["CAROL"]))
step("  a new client comes in when others have gone")
hangup(call.d, bob)
step("  sallyctl is heard again when the idle connections of the link have been trimmed")


def heard():
    with contextlib.suppress(OSError):
        return admin("core", "status")["counters"]["accept_errors"]


check(wait_until(60, "the core's admin socket", heard) > 0, "counted")
nothing_left()
PY
no_live_flows || fail "entries left in the live map"
