#!/bin/bash
# k_keeper_restart.sh -- streams on kernel TLS outlive the keepers: killed and restarted, no client reconnects; a stream's end leaves the store
#
#	203.0.113.50 alice ... --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30
#
# Needs a kernel with TLS: selftests/vm/t_streams runs it. Not among the host's tests for that (k_, not t_).
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
KTLS=on KTLS_AFTER=0 SUPERVISE=1
export KTLS KTLS_AFTER
net_up
kamailio_up
pair_up
EDGE_SUPERVISOR=$(pid_of edge)
CORE_SUPERVISOR=$(pid_of core)
export EDGE_SUPERVISOR CORE_SUPERVISOR
script <<'PY'
import signal

N = 6
ROLES = {"edge": 2, "core": 1}  # descriptors a stream


def stat(daemon, what):
    try:
        return admin(daemon, what)
    except (OSError, ValueError):
        return None


def service(d):
    with open(f"{E['RUN']}/{d}.sup/status.json") as f:
        return json.load(f)


def lodged(d):
    return sum(k for n, k in service(d)["names"].items() if n[0].isdigit())


def all_stored(n):
    return all(lodged(d) == ROLES[d] * n for d in ROLES)


def kernel_streams():
    s = stat("edge", "streams")
    return s and len(s) == N and all(x["rung"] == "kernel TLS" and x["link_rung"] == "kernel TLS" for x in s) and s


def link_up():
    s = stat("core", "status")
    return s and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0


def device(i):
    u = Ua("alice")
    u.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'alice{i}')}"
    r = u.register()
    check(r.status == 200, f"alice {i} registers: {r.start}")
    return u


def end_keeper(d, how):
    before = service(d)
    if how == "killed":
        os.kill(before["pid"], signal.SIGKILL)
    else:
        os.kill(int(E[f"{d.upper()}_SUPERVISOR"]), signal.SIGUSR1)
    return before["starts"] + 1


def round(how, *daemons):
    ids = {d: {x["stream"] for x in stat(d, "streams")} for d in ROLES}
    starts = {d: end_keeper(d, how) for d in daemons}
    for d in daemons:
        wait_until(20, f"another keeper of the {d}", lambda: service(d)["starts"] == starts[d] and service(d)["ready"] and stat(d, "status"))
        s = stat(d, "status")
        s = s["streams"] if d == "edge" else s["kept"]["stream"]
        step(f"{d} {how}: {s['taken_over']} streams taken over")
        check(s["taken_over"] == len(phones), s)
    for d in ROLES:
        s = stat(d, "streams")
        check({x["stream"] for x in s} == ids[d], f"{d}: {len(s)} streams of {len(phones)}")
        check(all(x["admitted"] and x["rung"] == "kernel TLS" for x in s), s)
    wait_until(20, "the link up again", link_up)
    for p in phones:
        r = p.register(cached="core" not in daemons)
        check(r.status == 200, f"a refresh over the same connection: {r.start}")
    check(all_stored(len(phones)), f"stored: {[service(d)['names'] for d in ROLES]}")


phones = [device(i) for i in range(N)]
wait_until(20, f"{N} streams on kernel TLS both ways", kernel_streams)
wait_until(10, "all of them stored", lambda: all_stored(N))
round("killed", "core")
round("killed", "edge")
round("killed", "edge", "core")
round("restarted", "core", "edge")
step("one client leaves, one vanishes: the store forgets them, and they end")
phones[0].conn.close()
phones[1].conn.abort()
phones = phones[2:]
wait_until(10, "two streams fewer in the store", lambda: all_stored(len(phones)))
wait_until(10, "two streams fewer", lambda: all(len(stat(d, "streams")) == len(phones) for d in ROLES))
round("killed", "core")
for p in phones:
    p.conn.close()
wait_until(10, "none in the store", lambda: all_stored(0))
wait_until(10, "no stream left", lambda: stat("edge", "streams") == [])
PY
