#!/bin/bash
# t_core_kill_ringing.sh -- kill -9 of the core's worker while calls ring: the new one ends them. The phone inside that rings stops, the
# one inside that calls gets a final answer, forks and a 200 that crossed the CANCEL included; no flow and no record is left
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob, dora 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio baresip dnsmasq nft ethtool
net_up
kamailio_up
pair_up

kill_worker() { # and wait for the next one, the link and what it says of the last one
	local old k

	k=$(count_log core 'event=resumed')
	old=$(worker_of core)
	[ -n "$old" ] || fail "the core has no worker"
	kill -KILL "$old"
	wait_for 5 "what the next worker found" resumed $((k + 1))
	wait_for 10 "the link up" link_is_up
	grep 'event=resumed' "$RUN/log/core.log" | tail -1 | sed 's/.*event=/  /'
}
admitted() { [ "$(count_log core 'event=admitted')" -ge "$1" ]; }
resumed() { [ "$(count_log core 'event=resumed')" = "$1" ]; }
ringing_kept() { ctl core status | py "d['kept']['invite']['records'] == $1"; }
nothing_left() {
	wait_for 40 "no INVITE kept" ringing_kept 0 # over TCP the 487 does not find us: the transaction ends by its time
	wait_for 5 "no flow" no_flows
	wait_for 5 "the live map empty" no_live_flows
	ctl core status | py 'not any(d["kept"][k]["records"] for k in ("call", "medium", "session"))' || fail "records are left"
}
rings() { phone "$1" listcalls | grep -Eq 'INCOMING|RINGING'; }
calls() { phone "$1" listcalls | grep -Eq 'OUTGOING|RINGING|EARLY'; }

say "  softphones that only ring: alice outside, bob inside"
dns_up
PHONE_REGINT=10
phone_up alice inet "$ALICE" 1 400 "$EDGE_NAME:5061" tls srtp-mand ';answermode=manual'
phone_up bob lan "$BOB" 2 700 "$KAM:5060" udp '' ';answermode=manual'
wait_for 15 "alice registered" phone_registered alice
wait_for 15 "bob registered" phone_registered bob

phone alice dial "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "bob's phone to ring" rings bob
wait_for 5 "the INVITE kept" ringing_kept 1
n=$(count_log core 'event=admitted')
kill_worker
wait_for 10 "bob's phone to stop" phone_idle bob
grep -aq '^CANCEL sip:bob' "$RUN/log/phone-bob.log" || fail "no CANCEL to bob"
say "  alice called: bob's phone got CANCEL and is idle"
nothing_left

phone alice hangup >/dev/null # her connection went with the worker: nobody can tell her
wait_for 5 "alice idle" phone_idle alice
wait_for 60 "alice registered again" admitted $((n + 1))
phone bob dial "sip:alice@$DOMAIN" >/dev/null
wait_for 10 "alice's phone to ring" rings alice
calls bob || fail "bob does not call"
wait_for 5 "the INVITE kept" ringing_kept 1
kill_worker
wait_for 10 "bob's call to end" phone_idle bob
wait_log 5 phone-bob 'SIP/2.0 4[38]0'
say "  bob called: his call ended with $(grep -aEo 'SIP/2.0 4[38]0 [A-Za-z ]*' "$RUN/log/phone-bob.log" | tail -1)"
nothing_left
stop phone-alice
stop phone-bob

say "  both directions at once, a fork, and an answer that crosses the CANCEL"
OLD_WORKER=$(worker_of core)
export OLD_WORKER
script <<'PY'
import signal

SUITE = "AES_CM_128_HMAC_SHA1_80"


def kept():
    return admin("core", "status")["kept"]["invite"]


b, dora = inside(), inside("dora")
one, two = outside("carol", ip=E["CAROL"]), Ua("carol", ip=E["ALICE"])
two.instance = "urn:uuid:" + str(uuid.uuid4())
check(two.register().status == 200, "the second device registers")
out, _ = one.invite(b.aor, make_sdp(one.ip, 40000, [(SUITE, new_key(SUITE))]), final=False)
out.challenged()
rung = b.expect("INVITE")
b.reply(rung, 180, "Ringing", [f"Contact: {b.contact}"], totag="ring")
out.provisional(180)
call, _ = dora.invite(one.aor, make_sdp(dora.ip, 42000), final=False)
call.challenged()
for u in (one, two):
    u.reply(u.expect("INVITE"), 180, "Ringing", [f"Contact: {u.contact}"], totag=u.ip)
call.provisional(180)
check(len(flows()) >= 3, f"flows of three that ring: {flows()}")
wait_until(5, "three INVITEs kept", lambda: kept()["records"] == 3)
check(not kept()["too_large"] and not kept()["no_slot"], f"all is kept: {kept()}")
os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
log_wait("core", "event=resumed calls=0 bindings=[0-9]+ refused=0 media_ended=3 ringing_ended=3", 5)
r = call.final()
check(r.status in (430, 480), f"the caller inside gets a final answer: {r.start}")
step(f"the caller inside got {r.start}, once for both devices")
c = b.expect("CANCEL")
check(c.branch == rung.branch and c.get("call-id") == rung.get("call-id"), "CANCEL of the INVITE that rang")
b.reply(rung, 200, "OK", [f"Contact: {b.contact}"], make_sdp(b.ip, 41000), totag="ring")  # picked up just now
b.reply(c, 200, "OK", totag="ring")
b.expect("ACK")
bye = b.expect("BYE")
check(tag_of(bye.get("to")) == "ring" and bye.get("call-id") == rung.get("call-id"), f"BYE for what was picked up: {bye.text()}")
b.reply(bye, 200, "OK")
step("the answer that crossed the CANCEL got ACK and BYE")
wait_until(40, "no INVITE kept", lambda: kept()["records"] == 0)
flows_gone()
PY
nothing_left
