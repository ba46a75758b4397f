#!/bin/bash
# t_passthrough_turns.sh -- calls that stay SRTP on tc: hold, another port, clear parties, both workers replaced, the relay taken out again
#
#	203.0.113.50 alice --+--tls-- edge (dmz) ==link== core (inside) --+-- Kamailio 10.20.0.30, bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool tc
net_up
kamailio_up
CORE_MEDIA=passthrough CORE_RUNG=tc
pair_up
CORE_KEEPER=$(pid_of core) EDGE_KEEPER=$(pid_of edge)
export CORE_KEEPER EDGE_KEEPER
relay_seen() { # programs of the relay on the core's devices
	local d

	for d in i0 i1; do
		ns in tc filter show dev $d ingress 2>/dev/null | grep -c tc_relay || true
	done | paste -sd' '
}
[ "$(relay_seen)" = "1 1" ] || fail "filters on i0 and i1: $(relay_seen)"
script <<'PY'
import signal

SUITE = "AES_CM_128_HMAC_SHA1_80"


def core_flows():
    return admin("core", "flows")


def worker_of(keeper):
    return int(subprocess.run(["pgrep", "-P", E[keeper]], capture_output=True, text=True).stdout.split()[-1])


def replaced(keeper, old):
    try:
        return worker_of(keeper) != old and admin("edge", "flows") is not None and core_flows() is not None
    except (OSError, ValueError, IndexError):
        return False


def link_up():
    link = admin("core", "status")["links"][0]
    return link["state"] == "up" and link["pool_idle"] > 0


a, b = outside(), inside()
step("a call; the rung is tc and says why")
call = PassCall(a, b)
x, y = call.media(2)
tones(x.result(), y.result(), 1200, 600)
for f in core_flows():
    check(f["rung"] == "tc" and f["reason"] == "rung: tc is configured", f"rung and reason: {f}")
    check(f["state"] == "punched" and f["punched_from"].startswith(E["CORE_OUT"] + ":"), f"punched: {f}")

step("hold from inside: the direction and the phone's key pass, media stops and comes back")
seen, got = reoffer(call.rd, a, make_sdp(b.ip, 41000, [call.rx], "sendonly", 2),
                    lambda offer: srtp_answer(a.ip, 40000, offer, call.tx, direction="recvonly", version=2))
check(seen.direction == "sendonly" and [c[1:] for c in seen.crypto] == [call.rx], f"the offer outside: {seen.text}")
check(got.direction == "recvonly" and [c[1:] for c in got.crypto] == [call.tx], f"the answer inside: {got.text}")
check(seen.addr == call.out_sdp.addr and got.addr == call.in_sdp.addr, "the media addresses stay")
step("resume from outside, while the phone moves to another port with another key")
key = (SUITE, new_key(SUITE))
seen, got = reoffer(call.d, b, make_sdp(a.ip, 40000, [call.tx], version=3),
                    lambda offer: srtp_answer(b.ip, 41010, offer, key, version=3))
check([c[1:] for c in got.crypto] == [key], f"the new key outside: {got.text}")
x = Rtp("inet", f"{a.ip}:40000", got.addr, 2, 600, call.tx, key)
y = Rtp("lan", f"{b.ip}:41010", seen.addr, 2, 1200, key, call.tx)
tones(x.result(), y.result(), 1200, 600)

step("the edge's worker is killed, then the core's is replaced by SIGHUP: no packet is lost")
call.rx, call.in_port = key, 41010
call.out_sdp, call.in_sdp = got, seen
x, y = call.media(8)
wait_until(5, "media", lambda: any(f["packets_in"] > 150 for f in core_flows()))
old = worker_of("EDGE_KEEPER")
os.kill(old, signal.SIGKILL)
wait_until(5, "another worker of the edge", lambda: replaced("EDGE_KEEPER", old))
check(a.conn.closed_within(5), "the client's connection ended")
wait_until(10, "the link up again", link_up)
a.connect()
check(a.register(cached=True).status == 200, "registered again")
wait_until(5, "punched again", lambda: all(f["state"] == "punched" for f in core_flows()))
old = worker_of("CORE_KEEPER")
os.kill(int(E["CORE_KEEPER"]), signal.SIGHUP)
wait_until(5, "another worker of the core", lambda: replaced("CORE_KEEPER", old))
rx, ry = x.result(), y.result()
for name, r in (("outside", rx), ("inside", ry)):
    step(f"{name}: {r['received']} received, {r['lost']} lost, longest gap {r['max_gap_ms']} ms")
    check(r["lost"] == 0 and r["duplicates"] == 0 and r["received"] >= 390, f"{name} lost media: {r}")
tones(rx, ry, 1200, 600, 6)
wait_until(10, "the link up again", link_up)
check(a.register().status == 200, "a refresh over the same connection")
hangup(call.d, b)
flows_gone()
check(not core_flows(), f"flows left on the core: {core_flows()}")

step("a phone without SRTP calls: terminated on the core, as ever")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
m = a.expect("INVITE")
offer = Sdp(m.body)
check(offer.proto == "RTP/SAVP" and len(offer.crypto) > 1, f"our keys outside: {offer.text}")
tx = (SUITE, new_key(SUITE))
rd = inside_answer(a, m, srtp_answer(a.ip, 40000, offer, tx), d)
got = Sdp(rd.ok.body)
check(got.proto == "RTP/AVP" and not got.crypto, f"plain RTP inside: {got.text}")
x = Rtp("inet", f"{a.ip}:40000", offer.addr, 2, 600, tx, offer.key(SUITE))
y = Rtp("lan", f"{b.ip}:41000", got.addr, 2, 1200)
tones(x.result(), y.result(), 1200, 600)
check(all(f["rung"].startswith("user-socket") for f in core_flows()), f"{core_flows()}")
hangup(d, a)
flows_gone()

step("a clear answer to an SRTP offer is refused at both ends")
tx = (SUITE, new_key(SUITE))
d, _ = a.invite(b.aor, make_sdp(a.ip, 40000, [tx]), final=False)
d.challenged()
m = b.expect("INVITE")
b.reply(m, 200, "OK", [f"Contact: {b.contact}"], make_sdp(b.ip, 41000), totag="clear")
r = d.final()
check(r.status == 488, f"the caller got {r.start}")
b.expect("ACK")
bye = b.expect("BYE")
b.reply(bye, 200, "OK")
log_wait("core", "event=call-ended .*reason=plain-rtp-answer")
flows_gone()
check(not core_flows(), f"flows left on the core: {core_flows()}")
PY
grep -q 'event=reload-refused' "$RUN/log/core.log" && fail "a reload was refused"
say "the relay's ports change by a restart only"
sed -i 's/ports: 400,/ports: 402,/' "$RUN/core.yaml"
kill -HUP "$CORE_KEEPER"
wait_log 5 core 'reload-refused .*instance or media.relay changed'
say "a core without media.relay takes the programs out again"
stop core
[ "$(relay_seen)" = "1 1" ] || fail "the programs went with the daemon: $(relay_seen)"
CORE_MEDIA=terminate
core_up
wait_log 5 core 'event=relay-removed .*result="ok"'
[ "$(relay_seen)" = "0 0" ] || fail "filters on i0 and i1: $(relay_seen)"
[ ! -d "/sys/fs/bpf/sallyport/$INSTANCE-core" ] || fail "the core's maps are left"
wait_for 10 "the link up" link_is_up
