#!/bin/bash
# t_kill_loop.sh [KILLS=25] -- kill -9 of a worker, edge's or core's by chance, again and again while calls are set up and torn down: nobody
# hears another call, and after the last call no call, flow or map entry is left
#
#	load: users u, SRTP --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30 -- load: users v, plain RTP 10.20.0.40
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need_prog load
kills=${KILLS:-25}
RANDOM=${SEED:-$$}
net_up
kamailio_up
SILENCE=6 pair_up
nothing_of() { ctl core "$1" | py 'not [c for c in d if c.get("state") != "ended"]'; }
start answers lan "$B/load" calls -s "$KAM:5060" --udp --local "$BOB:5080" -D "$DOMAIN" -u v -n 16 -j
wait_log 10 answers 'load: ready'
ns inet "$B/load" calls -s "$EDGE_OUT:5061" -H "$EDGE_NAME" -a "$RUN/pki/web-ca.pem" -D "$DOMAIN" -u u -n 16 -j \
	--to v:16 --calls 100000 --rate 8 --hold 1500 --reconnect -t $((kills * 17 / 10 + 5)) >"$RUN/out" &
caller=$!
killed_edge=0 killed_core=0
for _ in $(seq "$kills"); do
	sleep "1.$((RANDOM % 10))" # at any moment of a call: no condition
	d=$([ $((RANDOM % 2)) = 0 ] && echo edge || echo core)
	p=$(worker_of $d)
	[ -n "$p" ] || continue
	kill -KILL "$p"
	eval "killed_$d=\$((killed_$d + 1))"
done
wait "$caller" || true # some calls fail, of course
stop answers
grep '^{' "$RUN/log/answers.log" >"$RUN/in"
say "killed: edge $killed_edge times, core $killed_core times"
say "calls: $(py 'd["calls"]' <"$RUN/out")"
say "outside: $(py 'd["media"]["callers"]' <"$RUN/out")"
say "inside: $(py 'd["media"]["callees"]' <"$RUN/in")"
right='m["foreign"] == m["garbled"] == m["auth_failed"] == 0 and m["received"] > 1000'
py "all($right for m in [d['media']['callers']])" <"$RUN/out" || fail "wrong audio outside"
py "all($right for m in [d['media']['callees']])" <"$RUN/in" || fail "wrong audio inside"
py "d['calls']['answered'] > $kills" <"$RUN/out" || fail "hardly any call was made"
wait_for 30 "the calls to end" nothing_of calls
wait_for 10 "the flows to end" no_flows
wait_for 5 "the live map empty" no_live_flows
ctl core flows | py 'len(d) == 0' || fail "the core holds flows: $(ctl core flows | head -c 1000)"
