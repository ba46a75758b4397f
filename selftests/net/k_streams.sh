#!/bin/bash
# k_streams.sh -- streams on kernel TLS outlive the edge's worker: killed, upgraded, and killed again, no client reconnects
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
EDGE_KEEPER=$(pid_of edge)
export EDGE_KEEPER B
script <<'PY'
import signal
import uuid

N = 20


def stat(daemon, what):
    try:
        return admin(daemon, what)
    except (OSError, ValueError):
        return None


def kernel_streams():
    s = stat("edge", "streams")
    return s and len(s) == N and all(x["rung"] == "kernel TLS" and x["link_rung"] == "kernel TLS" for x in s) and s


def tls_stat():
    with in_ns("dmz"):
        return dict(l.split() for l in open("/proc/net/tls_stat"))


def worker():
    p = subprocess.run(["pgrep", "-P", E["EDGE_KEEPER"]], capture_output=True, text=True).stdout.split()
    return p[-1] if p else ""


def link_up():
    s = stat("core", "status")
    return s and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0


def device(user, i):
    """One of several of a user, each with its own +sip.instance."""
    u = Ua(user)
    u.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'{user}{i}')}"
    r = u.register()
    check(r.status == 200, f"{user} {i} registers: {r.start}")
    return u


phones = [device("alice", i) for i in range(N)]
b = inside()
s = wait_until(20, f"{N} streams on kernel TLS both ways", kernel_streams)
check(all(x["reason"] == "" for x in s), f"a reason where there is none: {s[0]}")
t = tls_stat()
step(f"{N} streams on kernel TLS: {s[0]['tls_version']} {s[0]['tls_cipher']}; TlsCurrTxSw {t['TlsCurrTxSw']} TlsCurrRxSw {t['TlsCurrRxSw']}")
check(int(t["TlsCurrTxSw"]) >= 2 * N and int(t["TlsCurrRxSw"]) >= 2 * N, t)


def kill():
    os.kill(int(worker()), signal.SIGKILL)


def upgrade():
    r = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/edge.sock", "upgrade"], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr + r.stdout)


def round(name, act):
    old = worker()
    ids = {x["stream"] for x in stat("edge", "streams")}
    act()
    wait_until(10, "a new worker that answers", lambda: worker() not in ("", old) and stat("edge", "status"))
    s = stat("edge", "streams")
    st = stat("edge", "status")["streams"]
    step(f"{name}: worker {old} -> {worker()}: {st['taken_over']} streams taken over, {st['lost_with_worker']} lost")
    check(len(s) == N and {x["stream"] for x in s} == ids, f"{len(s)} streams of {N}")
    check(st["taken_over"] == N and st["lost_with_worker"] == 0, st)
    check(all(x["admitted"] and x["rung"] == "kernel TLS" for x in s), s)
    wait_until(10, "the link up again", link_up)
    for p in phones:
        check(p.register(cached=True).status == 200, "a refresh over the same connection")
    check(stat("core", "status")["counters"]["streams"] == N, "the core has the same streams")


def call():
    c = Call(phones[-1], b)
    x, y = c.media(3)
    rx, ry = x.result(), y.result()
    check(rx["received"] > 100 and ry["received"] > 100, f"{rx} {ry}")
    hangup(c.d, b)
    flows_gone()


call()
round("killed", kill)
call()
round("upgraded", upgrade)
call()
round("killed", kill)
call()
step("one client leaves, one vanishes: their slots go, too")
phones[0].conn.close()
phones[1].conn.abort()
N -= 2
phones = phones[2:]
wait_until(10, "two streams fewer", lambda: len(stat("edge", "streams")) == N)
round("killed", kill)
for p in phones:
    p.conn.close()
N = 0
wait_until(10, "no stream left", lambda: stat("edge", "streams") == [])
wait_until(10, "no stream left on the core", lambda: stat("core", "status")["counters"]["streams"] == 0)
PY
