#!/bin/bash
# t_load_calls.sh -- tools/load calls: many clients, four suites, three directions, the content of every packet checked, nothing left
#
#	load: users u, SRTP --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30 -- load: users v, plain RTP 10.20.0.40
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need_prog load
net_up
kamailio_up
pair_up
outside() { # outside ARGUMENTS...: clients of the edge
	ns inet "$B/load" calls -s "$EDGE_OUT:5061" -H "$EDGE_NAME" -a "$RUN/pki/web-ca.pem" -D "$DOMAIN" -u u -n 8 -j --strict "$@"
}
inside() { # inside ARGUMENTS...: clients of Kamailio
	ns lan "$B/load" calls -s "$KAM:5060" --udp --local "$BOB:5080" -D "$DOMAIN" -u v -n 8 -j --strict "$@"
}
answering() { # answering NAME outside|inside: in the background, until SIGTERM
	local ns=inet args=(-s "$EDGE_OUT:5061" -H "$EDGE_NAME" -a "$RUN/pki/web-ca.pem" -u u)

	[ "$2" = outside ] || ns=lan args=(-s "$KAM:5060" --udp --local "$BOB:5080" -u v)
	start "$1" "$ns" "$B/load" calls "${args[@]}" -D "$DOMAIN" -n 8 -j --strict
	wait_log 10 "$1" 'load: ready'
}
ended() { # ended NAME: its summary, a clean one; by SIGTERM it unregisters and tells
	stop "$1"
	grep '^{' "$RUN/log/$1.log"
}
nothing_left() {
	wait_for 5 "the flows to end" no_flows
	wait_for 5 "the live map empty" no_live_flows
	wait_for 5 "the calls to end" nothing_of calls
	wait_for 5 "the bindings to go" nothing_of regs
}
calls_up() { ctl core calls | py "len([c for c in d if c['state'] == 'up']) == $1"; }
nothing_of() { ctl core "$1" | py 'not [c for c in d if c.get("state") != "ended"]'; }
judge() { # judge WHAT CALLS [EXPRESSION]: a caller's summary in $RUN/out; --strict has judged the media
	py "d['calls']['placed'] == d['calls']['answered'] == $2 and d['media']['callers']['received'] > 40 * $2 and ${3:-True}" \
		<"$RUN/out" || fail "$1: $(cat "$RUN/out")"
	nothing_left
}
call() { # call outside|inside WHAT CALLS ARGUMENTS...
	local from=$1 what=$2 calls=$3

	shift 3
	"$from" --calls "$calls" --rate 20 "$@" >"$RUN/out" || fail "$what: $(cat "$RUN/out")"
}
suites='all(n == SUITE for s, n in d["suites"].items() if s != "plain")'

say "outside calls inside, four suites, hung up from both sides in turns"
answering inside-answers inside
call outside "outside calls inside" 20 --to v:8 --hold 1000
judge "outside calls inside" 20 "d['hangups']['sent'] == d['hangups']['received'] == 10 and ${suites/SUITE/5}"
say "the edge's worker is killed in 12 calls: the clients come back, the media go on, both sides hang up"
outside --to v:8 --calls 12 --rate 100 --hold 6000 --reconnect >"$RUN/out" &
caller=$!
wait_for 5 "twelve calls up" calls_up 12
kill -KILL "$(worker_of edge)"
wait "$caller" || fail "killed in calls: $(cat "$RUN/out")"
judge "killed in calls" 12 "d['reconnected'] == 8 and d['hangups']['sent'] == d['hangups']['received'] == 6"
ended inside-answers | py 'd["calls"]["taken"] == 32 and d["media"]["callees"]["received"] > 1200 + 12 * 250' || fail "what the inside heard"

say "inside calls outside"
answering outside-answers outside
call inside "inside calls outside" 20 --to u:8 --hold 1000
ended outside-answers | py "d['calls']['taken'] == 20 and ${suites/SUITE/5}" || fail "what the outside heard"
judge "inside calls outside" 20

say "outside calls outside: each conversation passes the core twice"
call outside "outside calls outside" 20 --callers 4:0 --to u:4:4 --hold 1000
judge "outside calls outside" 20 "${suites/SUITE/10}"
[ "$(inner_dropped)" = 0 ] || fail "the inner firewall had to drop $(inner_dropped) packets"
