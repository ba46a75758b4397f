#!/bin/bash
# t_join.sh -- a call between two outside users: its two passes are joined in the core, nothing of its media goes inside
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq
net_up
kamailio_up
pair_up
PHONE_REGINT=10 phones_up alice carol bob
# What leaves or reaches the core's inside media ports, by whatever device.
ns in nft -f - <<-X
table inet media {
	chain out { type filter hook output priority 0; udp sport 36000-37999 counter; }
	chain inp { type filter hook input priority 0; udp dport 36000-37999 counter; }
}
X
datagrams() { ns in nft -j list table inet media | python3 -c 'import json, sys
print(sum(x["counter"]["packets"] for r in json.load(sys.stdin)["nftables"] for x in r.get("rule", {}).get("expr", []) if "counter" in x))'; }
core_flows() { ctl core flows | py "$1"; }
joined() { # every flow of the core is joined to another, and that one to it
	core_flows 'len(d) == 4 and all({r["flow"]: r["joined"] for r in d}.get(r["joined"]) == r["flow"] for r in d)'
}
packets() { core_flows 'min(min(r["packets_in"], r["packets_out"]) for r in d if r["kind"] != "rtcp")'; }
more() { [ "$(packets)" -gt "$1" ]; } # RTP, each way through each pass
gone() {
	wait_for 5 "the flows to end" no_flows
	wait_for 5 "the live map empty" no_live_flows
	[ "$(core_flows 'len(d)')" = 0 ] || fail "flows are left on the core"
}
call() {
	forget_recordings
	phone "$1" dial "sip:$2@$DOMAIN" >/dev/null
	wait_for 10 "$1 in a call" phone_established "$1"
	wait_for 5 "$2 in a call" phone_established "$2"
}

say "alice calls carol"
call alice carol
wait_for 5 "the passes joined" joined
ctl core calls | py 'len(d) == 2 and d[0]["joined"] == d[1]["media"] and d[1]["joined"] == d[0]["media"]' ||
	fail "calls: $(ctl core calls)"
wait_for 5 "media" more 100
wait_for 15 "RTCP each way" core_flows 'all(r["packets_in"] and r["packets_out"] for r in d)'
say "hold and resume"
phone alice hold >/dev/null
phone alice resume >/dev/null
n=$(packets)
wait_for 5 "media after it" more $((n + 50))
joined || fail "not joined after it: $(ctl core flows)"
say "the core's worker is killed"
kill -KILL "$(worker_of core)"
wait_for 5 "the passes joined again" joined
wait_for 5 "media after it" more 50
wait_for 20 "both phones back" eval 'ctl core streams | py "sum(r[\"admitted\"] for r in d) == 2"'
phone carol hangup >/dev/null
wait_for 5 "alice idle" phone_idle alice
wait_for 5 "carol idle" phone_idle carol
both_heard alice carol 1
gone
[ "$(datagrams)" = 0 ] || fail "$(datagrams) datagrams at the core's inside ports"

say "alice calls carol and transfers her to bob, inside"
call alice carol
wait_for 5 "the passes joined" joined
phone alice transfer "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "bob in a call" phone_established bob
wait_for 10 "carol and bob alone" core_flows 'len(d) == 2 and not any(r["joined"] for r in d)'
wait_for 5 "media" more 100
phone carol hangup >/dev/null
wait_for 5 "bob idle" phone_idle bob
both_heard carol bob 1
gone

say "carol's phone is killed in a call"
call alice carol
wait_for 5 "the passes joined" joined
wait_for 5 "media" more 50
kill -KILL "$(pgrep -P "$(pid_of phone-carol)" baresip || pid_of phone-carol)"
phone alice hangup >/dev/null
wait_for 5 "alice idle" phone_idle alice
gone
