#!/bin/bash
# t_core_kill.sh -- kill -9 of the core's worker in two calls: media go on both ways, no packet is refused for replay or authentication,
# the phone registers again, and each side can hang up
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	                     +--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
old=$(worker_of core)
[ -n "$old" ] || fail "the core has no worker"
CORE_KEEPER=$(pid_of core)
export OLD_WORKER=$old CORE_KEEPER
script <<'PY'
import signal

LOST = ("replay", "old", "auth", "ssrc-limit", "key-limit", "crypto")


def core_calls():
    c = admin("core", "calls")
    return c if isinstance(c, list) else c["calls"]


def no_calls():
    return not core_calls()


a, b = outside(), inside()
one = Call(a, b, out_port=40000, in_port=41000, suite="AES_CM_128_HMAC_SHA1_80")
two = Call(a, b, out_port=40010, in_port=41010, suite="AEAD_AES_256_GCM")
x, y = one.media(10)
u, v = two.media(10)
time.sleep(1.5)
before = wait_until(5, "two calls", lambda: len(core_calls()) == 2 and core_calls())
os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
step("killed")
log_wait("core", "event=resumed calls=2 bindings=1 refused=0 media_ended=0", 5)
step("resumed: " + [l for l in log_text("core").splitlines() if "event=resumed" in l][-1].split("event=")[1])
check(a.conn.closed_within(5), "the client's connection ended")
after = wait_until(5, "the calls", lambda: core_calls())
kept, media = admin("core", "status")["kept"], admin("core", "status")["media"]
check(kept["call"]["records"] == 2 and kept["medium"]["records"] == 2 and kept["session"]["records"] == 4, f"kept: {kept}")
check(not [k for k, n in kept.items() if n["too_large"] or n["no_slot"]], f"all is kept: {kept}")
check(media["taken_up"] == 2 and media["not_taken_up"] == media["not_kept"] == 0, f"taken up: {media}")
check({c["call"] for c in after} == {c["call"] for c in before}, f"the same calls: {before} {after}")
wait_until(10, "the link up again", lambda: admin("core", "status")["links"][0]["state"] == "up"
           and admin("core", "status")["links"][0]["pool_idle"] > 0)
a.connect()
check(a.register().status == 200, "registered again")
res = [m.result() for m in (x, y, u, v)]
for name, r in zip(("outside 1", "inside 1", "outside 2", "inside 2"), res):
    step(f"{name}: {r['received']} received, {r['lost']} lost, {r['duplicates']} doubled, longest gap {r['max_gap_ms']} ms")
for name, r in zip(("outside 1", "inside 1", "outside 2", "inside 2"), res):
    check(r["lost"] <= 1 and r["duplicates"] == 0 and r["received"] >= 480, f"{name} lost media: {r}")
tones(res[0], res[1], 1200, 600, 8)
tones(res[2], res[3], 1200, 600, 8)
for f in admin("core", "flows"):
    bad = {k: n for k, n in f.get("refused", {}).items() if k in LOST}
    check(not bad, f"packets refused after the restart: {f}")
step("the client hangs up the first, inside the second")
hangup(one.d, b)
hangup(two.rd, a)
wait_until(5, "no call left", no_calls)
flows_gone()
PY
wait_for 5 "the live map empty" no_live_flows
