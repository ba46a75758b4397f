#!/bin/bash
# t_trace.sh -- what happened to a user and to a call, on both nodes in one time line; a second user's is not in it; a call's record
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq tshark
net_up
kamailio_up
mkdir -m 777 "$RUN/cdr"
CORE_MORE="cdr: $RUN/cdr/calls" pair_up
phones_up alice carol bob
trace() { # trace NODE ARG: JSON into $RUN/trace.json
	"$B/sallyctl" -j -s "$RUN/$1.sock" trace "$2" >"$RUN/trace.json"
}
check() { # check WHAT, a program on standard input: d is the answer, ev() finds events, say who called whom
	python3 -c "
import json, sys, re
d = json.load(open(sys.argv[1]))
E = d['events']
def ev(what, text='', node=None):
    return [e for e in E if e['what'] == what and re.search(text, e['text']) and (node is None or e.get('node') == node)]
edge, core = 'edge.$DOMAIN', 'core.$DOMAIN'
$(cat)" "$RUN/trace.json" || { py "\"\\n\".join(f\"{e}\" for e in d[\"events\"])" <"$RUN/trace.json" | head -80; fail "$1"; }
}

say "a call"
phone alice dial "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "alice in a call" phone_established alice
CALL=$(ctl core calls | py 'd[0]["call"]')
CALL_ID=$(ctl core calls | py 'd[0]["call_id"]')
latched() { ctl core trace "$CALL" | py '"flow-latched" in [e["what"] for e in d["events"]]'; }
wait_for 5 "the media latched" latched

say "its packets"
FLOW=$(ctl edge flows | py '[f["flow"] for f in d if f["packets_in"] > 9][0]')
start cap-core in "$B/sallyctl" -s "$RUN/core.sock" capture "$CALL" -w "$RUN/core.pcapng" -t 30
start cap-edge dmz "$B/sallyctl" -s "$RUN/edge.sock" capture "$FLOW" -w "$RUN/edge.pcapng" -c 120
cap_core=$(pid_of cap-core) cap_edge=$(pid_of cap-edge)
wait_for 10 "120 packets on the edge" gone "$cap_edge"
grep -q '120 packets, 0 lost for want of room; the end: packets' "$RUN/log/cap-edge.log" || fail "the edge's capture: $(cat "$RUN/log/cap-edge.log")"
phone alice hangup >/dev/null
wait_for 5 "bob idle" phone_idle bob
wait_for 5 "the flows to end" no_flows
wait_for 5 "the capture to end with the call" gone "$cap_core"
grep -q ' 0 lost for want of room; the end: the call ended' "$RUN/log/cap-core.log" || fail "the core's capture: $(cat "$RUN/log/cap-core.log")"
packets() { # packets FILE: interface, source, destination, RTP payload type and SSRC of each
	tshark -r "$1" -o rtp.heuristic_rtp:TRUE -T fields -e frame.interface_name -e ip.src -e udp.srcport -e ip.dst -e udp.dstport \
		-e rtp.p_type -e rtp.ssrc -e frame.interface_description 2>"$RUN/log/tshark.log"
}
[ "$(stat -c %a "$RUN/core.pcapng")" = 600 ] || fail "everybody may read the capture"
packets "$RUN/core.pcapng" >"$RUN/core.txt"
packets "$RUN/edge.pcapng" >"$RUN/edge.txt"
python3 - "$RUN/core.txt" "$RUN/edge.txt" <<'PY' || { head -4 "$RUN/core.txt" "$RUN/edge.txt"; fail "the captures"; }
import sys
rows = lambda f: [l.rstrip('\n').split('\t') for l in open(f)]
core, edge = rows(sys.argv[1]), rows(sys.argv[2])
ends = lambda r: ((r[1], int(r[2])), (r[3], int(r[4])))
def both_ways(rows, name, ours, theirs):
    mine = [r for r in rows if r[0] == name]
    out, come = ({(a[1], b) for a, b in ((ends(r)[i], ends(r)[not i]) for r in mine) if a[0] == ours} for i in (0, 1))
    assert out and come and {p for p, _ in out | come} == {out.copy().pop()[0]}, (name, 'one port of ours', out, come)
    assert {b[0] for _, b in out | come} <= set(theirs) and all(ours in (r[1], r[3]) for r in mine), (name, out, come)
    return mine
inside = both_ways(core, 'rtp inside', '10.20.0.20', ['10.20.0.40', '10.20.0.30']) # bob's host has both
link = both_ways(core, 'rtp towards the edge', '172.16.0.20', ['172.16.0.10'])
out = both_ways(edge, 'outside', '203.0.113.10', ['203.0.113.50'])
inn = both_ways(edge, 'inside', '172.16.0.10', ['172.16.0.20'])
assert {r[0] for r in core} <= {'rtp inside', 'rtp towards the edge', 'rtcp inside', 'rtcp towards the edge'} and len(edge) == 120
assert {x[0] for r in core for x in ends(r)} <= {'10.20.0.20', '10.20.0.30', '10.20.0.40', '172.16.0.20', '172.16.0.10'}
ssrc = lambda rows: {r[6] for r in rows if r[5] == '0'}
assert len(ssrc(inside)) == 2 and ssrc(inside) == ssrc(link) == ssrc(out) == ssrc(inn), (ssrc(inside), ssrc(link), ssrc(out), ssrc(inn))
assert sum(r[5] == '0' for r in inside) >= 40 and abs(len(out) - len(inn)) <= 2, (len(inside), len(out), len(inn))
PY
"$B/sallyctl" -s "$RUN/core.sock" capture "$CALL" >"$RUN/out" 2>&1 && fail "a call that is over was captured"
grep -q 'has this id now' "$RUN/out" || fail "of a call that is over: $(cat "$RUN/out")"

say "its record"
recorded() { [ "$(wc -l <"$RUN/cdr/calls")" = "$1" ]; }
wait_for 5 "the call's record" recorded 1
[ "$(stat -c %a "$RUN/cdr/calls")" = 640 ] || fail "the file's mode is $(stat -c %a "$RUN/cdr/calls")"
python3 - "$RUN/cdr/calls" "$CALL" <<'PY' || { cat "$RUN/cdr/calls"; fail "the record"; }
import json, sys, datetime as t
d = json.loads(open(sys.argv[1]).read())
at = lambda k: t.datetime.strptime(d[k], '%Y-%m-%dT%H:%M:%S.%fZ')
assert d['call'] == sys.argv[2] and d['direction'] == 'out-in' and d['user'] == 'sip:alice@corp.example', d
assert 'sip:alice@corp.example' in d['from'] and 'sip:bob@corp.example' in d['to'] and d['server'] == 'kamailio' and d['edge'] == 'edge.corp.example', d
assert at('start') <= at('answer') < at('end') and abs((at('end') - at('answer')).total_seconds() * 1000 - d['duration_ms']) <= 2, d
assert abs((at('end') - t.datetime.utcnow()).total_seconds()) < 3600 and d['ended_by'] == 'client' and d['code'] == 200 and d['reason'] == 'bye-client', d
rtp = d['media'][0]
assert rtp['open_suite'].startswith('A') and rtp['packets_in'] > 0 and rtp['bytes_in'] >= 172 * rtp['packets_in'] and rtp['rung'].startswith('user'), rtp
assert rtp['quality']['in']['received'] == rtp['packets_in'] and rtp['quality']['in']['lost'] == 0 and 'jitter_ms' in rtp['quality']['in'], rtp
assert rtp['edge_quality']['in']['received'] > 0, rtp
PY

say "by user"
trace core alice
check "alice's time line" <<'PY'
assert all(a['at_ms'] <= b['at_ms'] for a, b in zip(E, E[1:])), 'order'
assert ev('stream-open', r'^client 203\.0\.113\.50:\d+ sip TLSv1\.3 core', edge) and ev('stream-open', r'^client 203\.0\.113\.50:\d+ sip edge', core)
assert {e['stream'] for e in ev('stream-open')} == {ev('stream-open')[0]['stream']}, 'one id on both nodes'
assert ev('stream-admitted', node=edge) and ev('stream-admitted', node=core)
r = [e['text'] for e in ev('sip', 'REGISTER')][:6]
assert r[0] == 'from client: REGISTER (CSeq %s)' % r[0].split()[-1][:-1] and r[1].startswith('to inside kamailio: REGISTER'), r
assert any(t.startswith('to client: 401 to REGISTER') for t in r) or any(t.startswith('to client: 200 to REGISTER') for t in r), r
assert len(ev('registered', '^for 6[0-9] s', core)) == 1, ev('registered')
for text in ('from client: INVITE', 'to inside kamailio: INVITE', 'from inside kamailio: 200 to INVITE', 'to client: 200 to INVITE',
             'from client: ACK', 'from client: BYE', 'to client: 200 to BYE'):
    assert ev('sip', '^' + text, core), text
order = lambda rows: [E.index(e) for e in rows] == sorted(E.index(e) for e in rows)
assert order([ev('call-started')[0], ev('medium-open')[0], ev('call-answered')[0], ev('flow-latched')[0], ev('call-ended', 'bye-client')[0]])
assert order([ev('flow-allocated', node=edge)[-1], ev('flow-latched')[0], ev('flow-freed', node=edge)[-1]])
assert ev('flow-punched', node=edge) and ev('flow-punched', node=core)
assert ev('flow-allocated', r'203\.0\.113\.50 ports \d+/\d+ rung ', edge)
assert ev('flow-latched', r'^client 203\.0\.113\.50:', edge)
freed = ev('flow-freed', r'packets in [1-9]\d* out [1-9]\d* lost 0/0, jitter \d+\.\d/\d+\.\d ms', edge)
assert freed and freed[0]['flow'] in {e['flow'] for e in ev('flow-allocated', node=core)}
assert ev('medium-closed', r'packets in [1-9]\d* out [1-9]\d* refused \d+ lost ', core)
text = json.dumps(E)
for word in ('203.0.113.51', 'carol', 'Digest', 'nonce', 'a=crypto', 'pw-'):
    assert word not in text, word
n = {n['node']: n for n in d['nodes']}
assert set(n) == {edge, core} and abs(n[edge]['clock_ahead_ms']) < 1000 and n[core]['overwritten'] == 0, n
PY
say "by call, id and Call-ID"
trace core "$CALL"
check "the call's time line" <<'PY'
assert not ev('sip', 'REGISTER') and len(ev('call-ended')) == 1 and ev('flow-freed', node=edge) and ev('stream-open', node=edge)
PY
trace core "$CALL_ID"
check "the Call-ID's time line" <<'PY'
assert [e['text'] for e in ev('call-ended')] == ['out-in status-407', 'out-in bye-client'], ev('call-ended') # the first was challenged
assert not ev('sip', 'REGISTER') and len(ev('sip', 'from client: INVITE')) == 2
PY
trace core "carol@$DOMAIN"
check "carol's time line" <<'PY'
assert ev('registered') and ev('stream-open', r'203\.0\.113\.51', edge) and not ev('sip', 'INVITE') and not ev('call-started')
assert '203.0.113.50' not in json.dumps(E)
PY

say "on the edge, and for people"
trace edge "$CAROL"
check "the edge by address" <<'PY'
assert ev('stream-open', r'203\.0\.113\.51:\d+ sip') and ev('stream-admitted') and '203.0.113.50' not in json.dumps(E)
assert not ev('sip') and not ev('registered')
PY
"$B/sallyctl" -s "$RUN/edge.sock" trace alice >"$RUN/out" 2>&1 && fail "the edge knows alice"
grep -q 'known on the core only' "$RUN/out" || fail "the edge says $(cat "$RUN/out")"
"$B/sallyctl" -s "$RUN/core.sock" trace mallory >"$RUN/out" 2>&1 && fail "mallory is known"
grep -q 'nothing is known' "$RUN/out" && grep -q 'recorded since 20' "$RUN/out" || fail "of mallory: $(cat "$RUN/out")"
"$B/sallyctl" -s "$RUN/core.sock" trace alice >"$RUN/out"
grep -Eq '^20[0-9-]+ [0-9:]+\.[0-9]{3}Z  core\.corp\.example +sip +from client: INVITE \(CSeq [0-9]+\), stream [0-9a-f]+$' "$RUN/out" ||
	fail "the text: $(cat "$RUN/out")"

say "an edge that does not answer; and a worker's death"
kill -STOP "$(worker_of edge)"
"$B/sallyctl" -j -s "$RUN/core.sock" trace alice >"$RUN/trace.json"
kill -CONT "$(worker_of edge)"
check "one node is missing" <<'PY'
assert ev('registered') and not [e for e in E if e['node'] == edge]
assert [n['error'] for n in d['nodes'] if n['node'] == edge] == ['no answer within 5 s'], d['nodes']
PY
say "the record's file is rotated; a call outlives its worker, and has one record"
newest() { pgrep -n -P "$(pid_of core)"; } # the one before may live on as a relay
old=$(newest)
mv "$RUN/cdr/calls" "$RUN/cdr/calls.1"
kill -HUP "$(pid_of core)"
next() { [ -n "$(newest)" ] && [ "$(newest)" != "$old" ] && link_is_up; }
wait_for 10 "the next worker" next
recorded 0 || fail "the new file is not empty"
old=$(newest)
forget_recordings
wait_for 15 "alice registered" phone_registered alice
phone alice dial "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "alice in a call" phone_established alice
kill -KILL "$old"
wait_for 10 "the worker after that" next
again() { trace core "$CALL" && py 'len([e for e in d["events"] if e["what"] == "call-ended"]) == 1' <"$RUN/trace.json"; }
again || fail "the next worker has forgotten the first call"
phone bob hangup >/dev/null
wait_for 5 "the record" recorded 1
python3 -c '
import json, sys
d = json.loads(open(sys.argv[1]).read())
assert d["ended_by"] == "inside" and d["duration_ms"] > 0 and d["start"] <= d["answer"] < d["end"], d' "$RUN/cdr/calls" || { cat "$RUN/cdr/calls"; fail "the second record"; }
[ "$(wc -l <"$RUN/cdr/calls.1")" = 1 ] || fail "the old file has grown"
ctl core status | py 'd["call_records"]["lines"] == 1 and d["call_records"]["lost"] == 0' || fail "status: $(ctl core status | py 'd["call_records"]')"
say "whole"
