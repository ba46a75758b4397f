#!/bin/bash
# k_streams.sh -- streams on kernel TLS outlive the workers of both daemons: killed, upgraded, and killed again, no client reconnects
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
CORE_KEEPER=$(pid_of core)
export EDGE_KEEPER CORE_KEEPER B
script <<'PY'
from workers import *

N = int(E.get("STREAMS", 20))


def kernel_streams():
    return on_kernel(N)


def tls_shown():
    return sorted((x["stream"], x["tls_version"], x["tls_cipher"], x["sni"]) for x in stat("edge", "streams"))


def tls_stat():
    with in_ns("dmz"):
        return dict(l.split() for l in open("/proc/net/tls_stat"))


phones = [device(f"alice{i // 20}", i) for i in range(N)]
b = inside()
s = wait_until(20, f"{N} streams on kernel TLS both ways", kernel_streams)
check(all(x["reason"] == "" for x in s), f"a reason where there is none: {s[0]}")
t = tls_stat()
step(f"{N} streams on kernel TLS: {s[0]['tls_version']} {s[0]['tls_cipher']}; TlsCurrTxSw {t['TlsCurrTxSw']} TlsCurrRxSw {t['TlsCurrRxSw']}")
check(int(t["TlsCurrTxSw"]) >= 2 * N and int(t["TlsCurrRxSw"]) >= 2 * N, t)


def taken(daemon):
    s = stat(daemon, "status")
    s = s["streams"] if daemon == "edge" else s["kept"]["stream"]
    lost = s["lost_with_worker"] if daemon == "edge" else s["lost"] + s["lost_busy"]
    return s["taken_over"], lost


def round(name, act, *daemons):
    old = {d: worker(d) for d in daemons}
    ids = {d: {x["stream"] for x in stat(d, "streams")} for d in ("edge", "core")}
    shown = tls_shown()
    for d in daemons:
        act(d)
    for d in daemons:
        replaced(d, old[d])
        n, lost = taken(d)
        step(f"{d} {name}: worker {old[d]} -> {worker(d)}: {n} streams taken over, {lost} lost")
        check(n == N and lost == 0, stat(d, "status"))
    for d in ("edge", "core"):
        s = stat(d, "streams")
        check(len(s) == N and {x["stream"] for x in s} == ids[d], f"{d}: {len(s)} streams of {N}")
        check(all(x["admitted"] and x["rung"] == "kernel TLS" for x in s), s)
    check(tls_shown() == shown, f"what is shown of TLS: {tls_shown()} for {shown}")
    wait_until(10, "the link up again", link_up)
    for p in phones:
        r = p.register(cached="core" not in daemons)  # nonces end with the core's worker: it has the phone challenged once
        check(r.status == 200, f"a refresh over the same connection: {r.start}")


def call():
    c = Call(phones[-1], b)
    x, y = c.media(3)
    rx, ry = x.result(), y.result()
    check(rx["received"] > 100 and ry["received"] > 100, f"{rx} {ry}")
    hangup(c.d, b)
    flows_gone()


call()
round("killed", kill, "edge")
call()
round("upgraded", upgrade, "edge")
call()
round("killed", kill, "core")
call()
round("upgraded", upgrade, "core")
call()
round("killed", kill, "edge", "core")
call()
round("upgraded", upgrade, "core", "edge")
call()


def rekeyed():
    t = tls_stat()
    return int(t["TlsTxRekeyOk"]), int(t["TlsRxRekeyOk"])


if tuple(int(x) for x in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 14):
    step("new keys before a worker dies, and after: they come from secrets that lie beside the records")
    for times in (1, 2, 3):
        tx, rx = rekeyed()  # a worker's probe has some of its own
        for p in phones:
            key_update(p.conn)
            r = p.register(cached=True)
            check(r.status == 200, f"a refresh under new keys: {r.start}")
            check(p.register(cached=True).status == 200, "and one more, which reads the edge's new key")
        check(rekeyed() == (tx + N, rx + N), f"{rekeyed()}, before {tx} {rx}")
        if times < 3:
            round("killed" if times == 1 else "upgraded", kill if times == 1 else upgrade, "edge")
step("one client leaves, one vanishes: their slots go, too")
phones[0].conn.close()
phones[1].conn.abort()
N -= 2
phones = phones[2:]
wait_until(10, "two streams fewer", lambda: len(stat("edge", "streams")) == N and len(stat("core", "streams")) == N)


def leave_in_order(n):
    """The last @n phones: what came by a plain FIN, or with half a state, would be told as truncated."""
    global N, phones
    with open(f"{E['RUN']}/log/core.log") as log:
        seen = len(log.read())
    for p in phones[-n:]:
        p.conn.s.unwrap()
        p.conn.close()
    N -= n
    phones = phones[:-n]
    wait_until(10, f"{n} streams fewer", lambda: len(stat("edge", "streams")) == N and len(stat("core", "streams")) == N)
    with open(f"{E['RUN']}/log/core.log") as log:
        ends = [x for x in log.read()[seen:].splitlines() if "stream-closed" in x]
    check(len(ends) == n and all('reason="closed by the client"' in x for x in ends), f"ended in order: {ends}")


def come(n):
    global N, phones
    phones += [device("alice", 20 + i) for i in range(n)]
    N += n
    wait_until(20, f"{N} streams on kernel TLS both ways", kernel_streams)


step("two come and leave, and two more have their link connections and their slots")
come(2)
leave_in_order(2)
come(2)
round("killed", kill, "edge")
leave_in_order(2)
round("killed", kill, "edge", "core")
for p in phones:
    p.conn.close()
N = 0
wait_until(10, "no stream left", lambda: stat("edge", "streams") == [])
wait_until(10, "no stream left on the core", lambda: stat("core", "status")["counters"]["streams"] == 0)
PY
