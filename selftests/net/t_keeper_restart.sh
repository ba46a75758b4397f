#!/bin/bash
# t_keeper_restart.sh -- kill -9 of a keeper in calls, and a restart of the service: what it held is in the service manager's store, the
# next keeper takes it up, calls go on both ways and are hung up from both sides; the store does not grow
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	                     +--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
SUPERVISE=1
net_up
kamailio_up
pair_up
EDGE_SUPERVISOR=$(pid_of edge)
CORE_SUPERVISOR=$(pid_of core)
export EDGE_SUPERVISOR CORE_SUPERVISOR RUN
script <<'PY'
import signal

LOST = ("replay", "old", "auth", "ssrc-limit", "key-limit", "crypto")
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM")


def service(d):
    with open(f"{E['RUN']}/{d}.sup/status.json") as f:
        return json.load(f)


def core_calls():
    try:
        c = admin("core", "calls")
    except (OSError, ValueError):
        return None
    return c if isinstance(c, list) else c["calls"]


def link_up():
    try:
        s = admin("core", "status")
    except (OSError, ValueError):
        return None
    return s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0 and s


def stored(d):
    """What is in the store for good."""
    return {n: k for n, k in service(d)["names"].items() if not n[0].isdigit()}


def end_keeper(d, how):
    before = service(d)
    if how == "kill":
        os.kill(before["pid"], signal.SIGKILL)
    else:
        os.kill(int(E[f"{d.upper()}_SUPERVISOR"]), signal.SIGUSR1)
    wait_until(10, f"another keeper of the {d}", lambda: service(d)["starts"] == before["starts"] + 1 and service(d)["ready"])
    log_wait(d, "event=store-taken entries=[1-9]", 5)
    step([l for l in log_text(d).splitlines() if "event=store-taken" in l][-1].split("event=")[1])


def again(a):
    wait_until(10, "the link up again", link_up)
    check(a.conn.closed_within(5), "the client's connection ended")
    a.connect()
    check(a.register().status == 200, "registered again")


def media_good(media, least, most_lost):
    res = [m.result() for m in media]
    for name, r in zip(("outside 1", "inside 1", "outside 2", "inside 2"), res):
        step(f"{name}: {r['received']} received, {r['lost']} lost, {r['duplicates']} doubled, longest gap {r['max_gap_ms']} ms")
    for r in res:
        check(r["lost"] <= most_lost and r["duplicates"] == 0 and r["received"] >= least, f"lost media: {r}")
    for x, y in zip(res[::2], res[1::2]):
        tones(x, y, 1200, 600, 2)
    for f in admin("core", "flows"):
        bad = {k: n for k, n in f.get("refused", {}).items() if k in LOST}
        check(not bad, f"packets refused after the restart: {f}")


a, b = outside(), inside()
for d in ("edge", "core"):
    wait_until(5, f"the {d}'s store", lambda: service(d)["ready"] and "worker" in service(d)["names"])
first = {d: stored(d) for d in ("edge", "core")}
step(f"stored: {first}")
check({"store", "state", "lodge.state", "sip.udp", "sip.tcp", "sip.tls", "ml", "mi"} <= set(first["core"]), "the core's store")
check({"store", "listen.sip.0", "listen.link.0", "punch.0", "lodge.state"} <= set(first["edge"]), "the edge's store")

for n, (d, how) in enumerate((("core", "kill"), ("edge", "kill"), ("core", "restart"))):
    calls = [Call(a, b, out_port=40000 + 100 * n + 10 * i, in_port=41000 + 100 * n + 10 * i, suite=s) for i, s in enumerate(SUITES)]
    media = [m for c in calls for m in c.media(3)]
    time.sleep(0.5)
    before = wait_until(5, "two calls", lambda: len(core_calls() or ()) == 2 and core_calls())
    seen = len(log_text("core"))
    end_keeper(d, how)
    if d == "core":
        log_wait("core", "event=resumed calls=2 bindings=1 refused=0 media_ended=0", 5)
    else:
        check("event=resumed" not in log_text("core")[seen:], "the core has not noticed")
    after = wait_until(5, "the calls", core_calls)
    check({c["call"] for c in after} == {c["call"] for c in before}, f"the same calls: {before} {after}")
    again(a)
    media_good(media, 140, 1 if d == "core" else 0)
    hangup(calls[0].d, b)
    hangup(calls[1].rd, a)
    wait_until(5, "no call left", lambda: core_calls() == [])
    flows_gone()
    check(stored(d) == first[d], f"the {d}'s store holds what it held: {stored(d)}")

step("an edge that drains drains on, for the keeper that follows a killed one as well")
admin("edge", "drain", "on")
end_keeper("edge", "kill")
check(wait_until(10, "the link up again", link_up) and admin("edge", "status")["drain"]["on"], "it drains")
admin("edge", "drain", "off")

for d in ("edge", "core"):
    s = service(d)
    check(s["foreign"] == 0 and s["polled"] == 0, f"notifications are the keeper's, FDPOLL=0: {s}")
    check("store-refused" not in log_text(d), f"the {d} refused nothing of it")
PY
wait_for 5 "the live map empty" no_live_flows
