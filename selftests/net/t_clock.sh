#!/bin/bash
# t_clock.sh -- the daemons' wall clock steps by hours and by years, in calls: nothing ends, nothing is lost; only certificates are looked at by it
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
#
# The clock of the machine stays: both daemons and their workers run with stepclock.c, which steps what they are told.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool gcc
net_up
gcc -shared -fPIC -O2 -o "$RUN/stepclock.so" "$NET/stepclock.c"
head -c 8 /dev/zero >"$RUN/offset"
kamailio_up
export STEPCLOCK=$RUN/offset
LD_PRELOAD=$RUN/stepclock.so pair_up
unset STEPCLOCK
for d in edge core; do
	grep -q stepclock.so "/proc/$(worker_of $d)/maps" || fail "the $d's worker has its own clock"
done
script <<'PY'
from shapes import *
HOUR, YEAR = 3600, 365 * 86400


def step_to(seconds):
    with open(E["RUN"] + "/offset", "r+b") as f:
        f.write(struct.pack("=q", seconds))


def lively(what):
    """Both registrations and the call are there, and both ends of it can be reached."""
    check(len([r for r in admin("core", "regs") if "user" not in r["aor"]]) == 2 and len(admin("core", "calls")) == 1, f"{what}: {admin('core', 'regs')} {admin('core', 'calls')}")
    for dlg, other in ((call.d, bob), (call.rd, alice)):
        q, r = exchange(dlg, other, "INFO", body=b"x", ctype="text/plain")
        check(r.status == 200, f"{what}: {r.start}")
    check(admin("core", "status")["links"][0]["state"] == "up", f"{what}: the link is up")


def fresh(what):
    """A new TLS connection, registration and call."""
    u = Ua("dave", ip=E["CAROL"])
    check(u.register().status == 200, f"{what}: a new client registers")
    x, y = Party(u, 42000, 500), Party(bob, 43000, 900)
    d, rd = established(x, y)
    talk(x, y)
    hangup(d, bob)
    check(u.register(0).status == 200, f"{what}: and leaves")
    u.conn.close()
    wait_until(5, "its binding gone", lambda: not [r for r in admin("core", "regs") if "dave" in r["aor"]])


alice, bob, carol = outside(), inside(), outside("carol", E["CAROL"])
call = Call(alice, bob)
x, y = call.media(30)
wait_until(5, "the latch", lambda: any(f["latched"] for f in flows()))
for seconds, name in ((20 * HOUR, "20 hours on"), (-HOUR // 2, "back, to half an hour before"), (0, "to the right time")):
    step_to(seconds)
    lively(name)
    fresh(name)
    step(name)
step_to(10 * YEAR)
lively("10 years on")
step("10 years on: what is established goes on; the edge's certificate is out of date for a new connection of the link")
held = []
with contextlib.suppress(Closed, Failed):
    for n in range(12):  # streams that hold what is in the pool, until it cannot be filled again
        held.append(Ua(f"user{n}", ip=E["CAROL"]))
        check(held[-1].register().status == 200, "registered")
check(len(held) > 1, "some came in by what was in the pool")
log_wait("core", "certificate has expired", 10)
lively("10 years on, with a pool that is not filled")
for u in held:
    u.conn.close()
step_to(0)
wait_until(20, "a pool again", lambda: admin("core", "status")["links"][0]["pool_idle"] > 0)
fresh("the right time again")
rx, ry = x.result(), y.result()
tones(rx, ry, 1200, 600, 25)
check(rx["lost"] == ry["lost"] == 0, f"media lost: {rx} {ry}")
hangup(call.d, bob)
nothing_left()
PY
no_live_flows || fail "entries left in the live map"
