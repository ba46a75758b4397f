#!/bin/bash
# t_quality.sh -- loss, order, duplicates and jitter as edge and core tell them are those of a capture behind a network that is bad by plan
#
#	load: u1, SRTP --[impair]-tls-- edge (dmz) ==[impair]link== core (inside) -- Kamailio 10.20.0.30 -- load: v1, plain RTP 10.20.0.40
#
# impair.bpf.c at the egress of both wires towards the edge drops, doubles and delays packets by their numbers, and all after number 200: then
# nothing moves, and what was counted can be compared. The captures are behind it, where frames enter the wire; the edge's XDP sees them at
# the wire's other end some microseconds later. Counts are equal. Jitter is equal but for the change of that delay from packet to packet:
# planned deviations are 40 ms, so 1 ms leaves room for a busy machine and none for a wrong formula, clock rate or packet.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool tshark
need_prog load
[ -s "$B/selftests/net/impair.bpf.o" ] || skip "impair.bpf.o is not built: make helpers"
net_up
kamailio_up
pair_up
LOAD=(-D "$DOMAIN" -n 1 -j)
record() { # record NAME NS DEV FILTER: a capture with nanoseconds
	start "cap-$1" "$2" tcpdump -i "$3" -n -U -B 16384 --immediate-mode --time-stamp-precision=nano -w "$RUN/$1.pcap" "$4"
	wait_log 5 "cap-$1" 'listening on'
}
quality() { # quality edge|core KEY: of the flow with RTP
	ctl "$1" flows | py "sys.exit('no flow with RTP') if not [f for f in d if f.get('$2') and f['$2']['in']] else json.dumps([f['$2'] for f in d if f['$2']['in']][0])"
}
planned_end() { # both ways a whole plan was counted
	quality edge quality | py 'd["out"] and min(d[w]["received"] - d[w]["duplicates"] + d[w]["lost"] for w in ("in", "out")) >= 199'
}
still() { # nothing was counted between two looks
	quality edge quality >"$RUN/look.1"
	sleep 0.2
	quality edge quality | cmp -s - "$RUN/look.1"
}
told() { # the core knows by report what the edge has
	quality core edge_quality | cmp -s - "$RUN/edge"
}
same() { # same WHAT JSON CAPTURE: counts, source, jitter
	py "all(d[0][k] == d[1][k] for k in ('received', 'expected', 'lost', 'reordered', 'duplicates', 'ssrc')) and \
		abs(d[0]['jitter_ms'] - d[1]['jitter_ms']) < 1 and d[0]['restarts'] == 0" <<<"[$2,$3]" || fail "$1: $2, capture: $3"
}
tshark_agrees() { # tshark_agrees NAME: its packets, its lost (RFC 3550 A.3: expected - received) and its largest jitter are the capture's
	local row

	row=$(tshark -n -r "$RUN/$1.pcap" -d udp.port==36000-37999,rtp -q -z rtp,streams 2>/dev/null |
		awk '$7 ~ /^0x/ { printf "[%d,%d,%s]", $9, $10, $17 }')
	py "d[1]['received'] == d[0][0] and d[1]['expected'] - d[1]['received'] == d[0][1] and abs(d[1]['worst_ms'] - d[0][2]) < 0.05" \
		<<<"[$row,$(cat "$RUN/$1.json")]" || fail "$1: tshark: $row, capture: $(cat "$RUN/$1.json")"
}

for at in "inet n0" "in i0"; do
	# shellcheck disable=SC2086
	set -- $at
	ns "$1" tc qdisc add dev "$2" clsact
	ns "$1" tc filter add dev "$2" egress bpf direct-action object-file "$B/selftests/net/impair.bpf.o" section tc
done
record in inet n0 'udp and dst host 203.0.113.10 and dst portrange 36000-37999'
record out in i0 'udp and dst host 172.16.0.10 and dst portrange 36000-37999'
start callee lan "$B/load" calls -s "$KAM:5060" --udp --local "$BOB:5080" -u v "${LOAD[@]}"
wait_log 10 callee 'load: ready'
start caller inet "$B/load" calls -s "$EDGE_OUT:5061" -H "$EDGE_NAME" -a "$RUN/pki/web-ca.pem" -u u "${LOAD[@]}" --to v:1 --calls 1 --rate 20 --hold 20000

say "a call, 200 packets each way"
wait_for 15 "the plan to end" planned_end
wait_for 5 "nothing more to come" still
quality edge quality >"$RUN/edge"
capture_end in
capture_end out
# What comes from inside ahead of the client's first packet has nowhere to go yet, and is not part of the count.
latch=$(tshark -n -r "$RUN/in.pcap" -c 1 -T fields -e frame.time_epoch 2>/dev/null)
tshark -n -r "$RUN/out.pcap" -Y "frame.time_epoch >= $latch" -F nsecpcap -w "$RUN/latched.pcap" 2>/dev/null || fail "tshark: out.pcap from $latch on"
mv "$RUN/latched.pcap" "$RUN/out.pcap"
for way in in out; do
	python3 "$NET/rtpquality.py" "$RUN/$way.pcap" >"$RUN/$way.json" || fail "rtpquality.py: $way"
	py 'd["lost"] >= 10 and d["reordered"] >= 10 and d["duplicates"] >= 4 and d["jitter_ms"] > 4' <"$RUN/$way.json" ||
		fail "$way: the plan was not carried out: $(cat "$RUN/$way.json")"
	same "$way" "$(py "json.dumps(d['$way'])" <"$RUN/edge")" "$(cat "$RUN/$way.json")"
	tshark_agrees "$way"
	say "  $way: $(py '"%(received)d of %(expected)d, lost %(lost)d, reordered %(reordered)d, duplicates %(duplicates)d, jitter %(jitter_ms).3f ms" % d' <"$RUN/$way.json") (edge: $(py "'%.3f' % d['$way']['jitter_ms']" <"$RUN/edge"))"
done

say "the core: the edge's view by its reports, and what it heard itself"
wait_for 5 "the edge's report" told
ctl core calls | py "[c['quality'] for c in d if c['state'] == 'up'] == [$(py "{'in': d['in'], 'out': d['out']}" <"$RUN/edge")]" || fail "calls: $(ctl core calls)"
quality core quality >"$RUN/core"
# From the edge: no duplicates, SRTP refuses them. From inside: all that was sent, lost were they only behind it.
py "(lambda e, c: c['in']['lost'] == e['lost'] and c['in']['reordered'] == e['reordered'] and c['in']['duplicates'] == 0 and
	c['in']['received'] == e['received'] - e['duplicates'] and c['in']['ssrc'] == e['ssrc'] and c['in']['jitter_ms'] > 4 and
	c['out']['lost'] == c['out']['reordered'] == c['out']['duplicates'] == 0 and c['out']['received'] >= 201 and
	c['out']['jitter_ms'] is not None)(d[0]['in'], d[1])" <<<"[$(cat "$RUN/edge"),$(cat "$RUN/core")]" ||
	fail "the core's own: $(cat "$RUN/core"), the edge's: $(cat "$RUN/edge")"
