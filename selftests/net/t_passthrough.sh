#!/bin/bash
# t_passthrough.sh -- SRTP inside: keys from end to end, packets carried by the core's kernel; its worker killed in a call
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40, SRTP
#
# Real softphones at both ends first: each hears the other's tone, the wires carry the same SRTP on both sides of the core under keys
# that the phones made, and no media packet reaches a socket of the core. Then calls under the script's control.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq
net_up
kamailio_up
CORE_MEDIA=passthrough
pair_up
BOB_MEDIAENC=srtp-mand
phones_up alice carol bob

core_flows() { ctl core flows | py "$1"; }
core_pinned() { ls -d "/sys/fs/bpf/sallyport/$INSTANCE-core"/v*/"$1"; }
no_core_flows() { [ "$(bpftool -j map dump pinned "$(core_pinned live)" | py 'len(d)')" = 0 ] && core_flows 'len(d) == 0'; }
busy() { core_flows 'any(f["packets_in"] > 25 and f["packets_out"] > 25 for f in d)'; }
media_packets() { core_flows 'sum(f["packets_in"] + f["packets_out"] for f in d)'; }
# Datagrams that reached the UDP of the core's host, sockets or not; those of SIP are seen on the wire and taken off.
core_udp_in() { ns in cat /proc/net/snmp | awk '/^Udp: [0-9]/ { print $2 + $3 + $4 }'; }
user_space_check() {
	local before after packets others

	capture others in any 'inbound and udp and dst host 10.20.0.20 and port 5060'
	before=$(core_udp_in)
	packets=$(media_packets)
	sleep 3 # the time that is measured
	after=$(core_udp_in)
	packets=$(($(media_packets) - packets))
	capture_end others
	others=$(tcpdump -n -r "$RUN/others.pcap" 2>/dev/null | wc -l)
	[ "$packets" -ge 200 ] || fail "only $packets packets in 3 s through the core"
	[ $((after - before)) -le "$others" ] || fail "$((after - before)) datagrams reached the core's sockets, $others of them SIP"
	say "  $packets media packets in 3 s, $((after - before)) datagrams in all at the core's sockets ($others SIP)"
}

for pair in "alice bob" "bob alice"; do
	# shellcheck disable=SC2086
	set -- $pair
	say "$1 calls $2"
	forget_recordings
	capture outside inet n0 'udp and not port 53'
	capture inside lan l0 'udp and not port 5060'
	phone "$1" dial "sip:$2@$DOMAIN" >/dev/null
	wait_for 10 "$1 in a call" phone_established "$1"
	wait_for 5 "$2 in a call" phone_established "$2"
	wait_for 5 "media both ways" busy
	user_space_check
	core_flows 'all(f["media"] == "passthrough" and f["rung"] == "xdp-native" and f["reason"] for f in d)' || fail "the core's flows: $(ctl core flows)"
	phone bob hangup >/dev/null
	for p in alice bob; do wait_for 5 "$p idle" phone_idle "$p"; done
	both_heard alice bob 2
	wait_for 5 "the flows to end" no_flows
	wait_for 5 "the core's maps empty" no_core_flows
	capture_end outside
	capture_end inside
	negotiated_keys >"$RUN/keys"
	# The same packets: what is authentic outside is inside under the same key. Clear RTCP of baresip passes as it is.
	for wire in outside inside; do
		"$B/selftests/net/pcapcheck" --ports 36000-37999 --ports 12000-12599 --min-packets 200 --min-flows 2 --keys "$RUN/keys" \
			--baresip-from "$ALICE" --baresip-from "$BOB" --baresip-from "$KAM" --baresip-from "$EDGE_OUT" --baresip-from "$CORE_LAN" \
			"$RUN/$wire.pcap" >"$RUN/$wire.json" || fail "$wire: $(cat "$RUN/$wire.json")"
		say "  $wire: $(py '"%(rtp)d RTP packets in %(rtp_flows)d flows, all authentic under the %(keys)d keys of the phones" % d' <"$RUN/$wire.json")"
	done
done

say "alice calls carol: joined on the core, from edge to edge"
forget_recordings
phone alice dial "sip:carol@$DOMAIN" >/dev/null
wait_for 10 "alice in a call" phone_established alice
wait_for 5 "carol in a call" phone_established carol
wait_for 5 "media both ways" busy
core_flows 'len(d) == 4 and all(f["joined"] for f in d)' || fail "not joined: $(ctl core flows)"
ctl core calls | py 'len(d) == 2 and all(len(c["joined"]) == 1 and c["suite"] == "end-to-end" for c in d)' || fail "calls: $(ctl core calls)"
user_space_check
phone carol hangup >/dev/null
for p in alice carol; do wait_for 5 "$p idle" phone_idle "$p"; done
both_heard alice carol 2
wait_for 5 "the flows to end" no_flows
wait_for 5 "the core's maps empty" no_core_flows

say "kill -9 of the core's worker in a call"
OLD_WORKER=$(worker_of core) CORE_KEEPER=$(pid_of core)
export OLD_WORKER CORE_KEEPER
script <<'PY'
import signal

a, b = outside("dave"), inside("erin")
call = PassCall(a, b)
x, y = call.media(10)
wait_until(5, "packets counted", lambda: any(f["packets_in"] > 50 for f in admin("core", "flows")))
before = {f["flow"]: f for f in admin("core", "flows")}
os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
step("killed")
log_wait("core", "event=resumed calls=1 .* media_ended=0", 5)


def again():
    try:
        return {f["flow"]: f for f in admin("core", "flows")}
    except (OSError, ValueError):
        return None


after = wait_until(5, "the new worker's flows", again)
check(set(after) == set(before), f"the same flows: {before} {after}")
for k in after:
    check(after[k]["packets_in"] >= before[k]["packets_in"] and after[k]["inside"] == before[k]["inside"], f"{before[k]} {after[k]}")
check(a.conn.closed_within(5), "the client's connection ended")
wait_until(10, "the link up again", lambda: admin("core", "status")["links"][0]["state"] == "up"
           and admin("core", "status")["links"][0]["pool_idle"] > 0)
a.connect()
check(a.register().status == 200, "registered again")
wait_until(5, "punched again", lambda: all(f["state"] == "punched" for f in admin("core", "flows")))
rx, ry = x.result(), y.result()
for name, r in (("outside", rx), ("inside", ry)):
    step(f"{name}: {r['received']} received, {r['lost']} lost, {r['duplicates']} doubled, longest gap {r['max_gap_ms']} ms")
    check(r["lost"] == 0 and r["duplicates"] == 0 and r["received"] >= 490, f"{name} lost media: {r}")
tones(rx, ry, 1200, 600, 8)
step("inside hangs up")
hangup(call.rd, a)
flows_gone()
PY
wait_for 5 "the core's maps empty" no_core_flows
wait_for 5 "the edge's live map empty" no_live_flows
[ "$(inner_dropped)" = 0 ] || fail "the inner firewall had to drop $(inner_dropped) packets"
