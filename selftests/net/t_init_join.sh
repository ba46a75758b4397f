#!/bin/bash
# t_init_join.sh -- two bare hosts, the built programs only: init, join, first call; then what must not work, and what mends it
#
#	203.0.113.50 alice --tls-- edge (dmz) ==link== core (inside) --udp-- Kamailio 10.20.0.30, bob 10.20.0.40
# Both hosts have an /etc of their own; every file of the pair is what init and join wrote, none is touched.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool baresip dnsmasq
need_prog sallyport-edge sallyport-core sallyctl
net_up
# bare NS-NAME: what /etc/sallyport, /run/sallyport of that host are, for one command
mkdir -p /run/sallyport "$RUN/e" "$RUN/c"
mount -t tmpfs none /run/sallyport
CTL=$B/sallyctl
edge() { ns dmz timeout 20 "$CTL" "$@"; }
core() { ns in timeout 20 "$CTL" "$@"; }
# refused WANTED COMMAND...: fails, and its complaint has WANTED in it
refused() {
	local want=$1 rc=0

	shift
	"$@" >"$RUN/out" 2>&1 || rc=$?
	[ "$rc" = 1 ] || fail "$*: exit $rc: $(cat "$RUN/out")"
	grep -q -- "$want" "$RUN/out" || fail "$*: wanted \"$want\", got $(cat "$RUN/out")"
}
no_leftover() { [ -z "$(find "$RUN" -name '*.new-*')" ] || fail "half written: $(find "$RUN" -name '*.new-*')"; }
token_of() { grep -o 'sallyport1-[^ "]*' "$1"; }
# forge TOKEN later|pin|secret|name: what it says is changed, and its check made anew
forge() {
	python3 - "$1" "$2" <<-'PY'
	import base64, hashlib, sys

	raw = bytearray(base64.urlsafe_b64decode(sys.argv[1].split("-", 1)[1]))
	end = 56
	end += 1 + raw[end]
	core = end
	end += 1 + raw[end]
	body = raw[:end]
	if sys.argv[2] == "later":
	    body[3] += 1
	elif sys.argv[2] == "name":
	    body = body[:core] + bytes([18]) + b"core9.corp.example"
	else:
	    body[{"pin": 8, "secret": 40}[sys.argv[2]]] ^= 1
	check = 4 + (3 - (len(body) + 4) % 3) % 3
	print("sallyport1-" + base64.urlsafe_b64encode(bytes(body) + hashlib.sha256(body).digest()[:check]).decode())
	PY
}
EDGE=(init edge --domain "$DOMAIN" --dir "$RUN/e" --user daemon)
JOIN=(--call-server "$KAM" --dir "$RUN/c" --user daemon)

say "init: what is asked, and what is refused"
refused 'self-signed for a trial' edge "${EDGE[@]}"
refused 'wanted a DNS name' edge init edge --domain 'a b' --self-signed
pki_ca web-ca
pki_issue web-ca public "$EDGE_NAME"
pki_issue web-ca other other.example
refused "is not for $EDGE_NAME" edge "${EDGE[@]}" --cert "$RUN/pki/other.pem" --key "$RUN/pki/other.key"
refused 'is not the key of' edge "${EDGE[@]}" --cert "$RUN/pki/public.pem" --key "$RUN/pki/other.key"
ip -n "$P-dmz" addr add 172.16.0.11/24 dev d1
refused '--inside ADDR; this machine has .*172.16.0.11 (d1)' edge "${EDGE[@]}" --self-signed
ip -n "$P-dmz" addr del 172.16.0.11/24 dev d1
[ -z "$(ls -A "$RUN/e")" ] || fail "refused, but it left $(ls "$RUN/e")"

say "init edge, join, first call"
dns_up
kamailio_up
start init dmz "$CTL" "${EDGE[@]}" --self-signed
wait_log 5 init 'waiting for'
t1=$(token_of "$RUN/log/init.log")
bad=${t1%???}$([ "${t1: -3}" = AAA ] && echo BBB || echo AAA)
refused 'not a whole token' core join "$bad" "${JOIN[@]}"
refused 'not a whole token' core join "${t1%?}" "${JOIN[@]}"
refused 'is for core.corp.example, not for other' core join "$t1" "${JOIN[@]}" --name other.corp.example
refused 'nobody listens' core join "$t1" "${JOIN[@]}" --edge "$EDGE_IN:7002"
[ -z "$(find "$RUN/c" -type f)" ] || fail "refused, but it left $(find "$RUN/c" -type f)"
echo "$t1" | core join - "${JOIN[@]}" >"$RUN/log/join.log"
wait_log 3 init 'has joined, from 172.16.0.20'
wait_for 3 "init to end" gone "$(pid_of init)"
no_leftover
"$B/sallyport-edge" -n -c "$RUN/e/edge.yaml" >/dev/null && "$B/sallyport-core" -n -c "$RUN/c/core.yaml" >/dev/null || fail "not valid"
for k in "$RUN"/e/pki/*.key "$RUN"/e/tls/*.key "$RUN"/c/pki/*.key "$RUN/c/token.key"; do
	[ "$(stat -c %a "$k")" = 600 ] || fail "$k: $(stat -c %a "$k")"
done
[ ! -e "$RUN/c/pki/ca.key" ] || fail "the CA's key left the edge"
up() { # the pair, from these files
	start edge dmz "$B/sallyport-edge" -c "$RUN/e/edge.yaml"
	wait_for 10 "the edge's SIP listener" tcp_bound dmz "$EDGE_OUT:5061"
	start core in "$B/sallyport-core" -c "$RUN/c/core.yaml"
	wait_for 10 "the link up" link_is_up
}
ctl() {
	local d=$1

	shift
	"$CTL" -j -s "/run/sallyport/$d.sock" "$@"
}
up
start unused dmz "$CTL" invite --dir "$RUN/e" --core "$CORE_NAME" --valid 1s
phone_up alice inet "$ALICE" 1 400 "$EDGE_NAME:5061" tls srtp-mand
phone_up bob lan "$BOB" 2 700 "$KAM:5060" udp ""
wait_for 15 "alice registered" phone_registered alice
wait_for 15 "bob registered" phone_registered bob
talk alice bob 2
both_heard alice bob 1
wait_log 3 unused '1 of 1 tokens were not used in time'

say "the edge runs: whoever waits gets the connections of its port"
up_s() { ctl edge status | py 'd["links"][0]["up_s"]'; }
edge invite --dir "$RUN/e" --core "$CORE_NAME" --no-wait --valid 1s >"$RUN/log/short.log"
short=$(token_of "$RUN/log/short.log")
refused 'runs, but waits for no core' core join "$(forge "$short" later)" --dir "$RUN/x" --user daemon --call-server "$KAM"
start invite dmz "$CTL" invite --dir "$RUN/e" --core core2.corp.example
wait_log 8 invite 'waiting for core2.corp.example'
grep -A1 'name: core2.corp.example' "$RUN/e/edge.yaml" | grep -q 'domains: \[corp.example\]' || fail "$(cat "$RUN/e/edge.yaml")"
"$B/sallyport-edge" -n -c "$RUN/e/edge.yaml" >/dev/null || fail "edge.yaml is not valid any more"
ctl edge status | py '[r["state"] for r in d["links"] if r["core"] == "core2.corp.example"] == ["down"]' || fail "the running edge does not know core2"
t2=$(token_of "$RUN/log/invite.log")
X=(--dir "$RUN/x" --user daemon --call-server "$KAM")
start mute in socat -u "TCP:$EDGE_IN:7001" - # says nothing
start other dmz openssl s_server -accept "$EDGE_IN:7003" -cert "$RUN/pki/kamailio.pem" -key "$RUN/pki/kamailio.key" -tls1_3 -alpn sallyport-join -www
wait_for 5 "the other machine" tcp_bound dmz "$EDGE_IN:7003"
refused 'was used already, at 2.*, from 172.16.0.20' core join "$t1" "${X[@]}"
refused 'has another key. Nothing was sent' core join "$t2" "${X[@]}" --edge "$EDGE_IN:7003"
refused 'has another key' core join "$(forge "$t2" pin)" "${X[@]}"
refused 'does not know this token' core join "$(forge "$t2" secret)" "${X[@]}"
refused 'this token ended at' core join "$short" "${X[@]}"
refused 'edge refuses: this token ended at' core join "$(forge "$short" later)" "${X[@]}"
refused 'edge refuses: this token is for core2.corp.example' core join "$(forge "$t2" name)" "${X[@]}" --name core9.corp.example
refused 'core.yaml is there already' core join "$t2" "${JOIN[@]}"
refused 'an invitation is waiting already' edge invite --dir "$RUN/e"
[ -z "$(find "$RUN/x" -type f)" ] || fail "refused, but it left $(find "$RUN/x" -type f)"
core join "$t2" --dir "$RUN/c2" "${X[@]:2}" >"$RUN/log/c2.log" 2>&1 &
core join "$t2" --dir "$RUN/c3" "${X[@]:2}" >"$RUN/log/c3.log" 2>&1 || true
wait $! || true
[ "$(find "$RUN/c2" "$RUN/c3" -name core.yaml | wc -l)" = 1 ] || fail "both or none: $(cat "$RUN/log/c2.log" "$RUN/log/c3.log")"
wait_for 3 "invite to end" gone "$(pid_of invite)"
grep -q 'core2.corp.example has joined, from 172.16.0.20' "$RUN/log/invite.log" || fail "$(cat "$RUN/log/invite.log")"
start deaf dmz socat "TCP-LISTEN:7004,bind=$EDGE_IN" 'EXEC:sleep 20' # takes the connection, and that is all
wait_for 5 "the deaf one" tcp_bound dmz "$EDGE_IN:7004"
start ended in "$CTL" join "$t2" "${X[@]}" --edge "$EDGE_IN:7004"
wait_for 5 "a join under way" eval '[ -n "$(find "$RUN/x" -name "*.new-*")" ]'
kill -TERM "$(pid_of ended)"
wait_for 5 "it to end" gone "$(pid_of ended)"
no_leftover
c2=$(dirname "$(find "$RUN/c2" "$RUN/c3" -name core.yaml)")
openssl verify -CAfile "$RUN/e/pki/ca.crt" -verify_hostname core2.corp.example "$c2/pki/core2.corp.example.crt" >/dev/null || fail "core2's certificate"
[ "$("$CTL" pki show "$c2/pki/core2.corp.example.crt" | grep -c 'name:')" = 1 ] || fail "more names than its own"

say "a new certificate for the core"
refused '--renew leaves core.yaml as it is' core join "$t2" "${JOIN[@]}" --renew
refused '--renew: there is no' core join "$t2" --dir "$RUN/x" --renew
was=$(cat "$RUN/c/core.yaml" "$RUN/c/token.key" | sha256sum)
old=$(cat "$RUN/c/pki/$CORE_NAME.crt")
start again dmz "$CTL" invite --dir "$RUN/e" --core "$CORE_NAME"
wait_log 5 again "waiting for $CORE_NAME"
core join "$(token_of "$RUN/log/again.log")" --dir "$RUN/c" --renew >"$RUN/log/renew.log"
wait_for 3 "invite to end" gone "$(pid_of again)"
[ "$(cat "$RUN/c/core.yaml" "$RUN/c/token.key" | sha256sum)" = "$was" ] || fail "more was changed than the certificate"
[ "$(cat "$RUN/c/pki/$CORE_NAME.crt")" != "$old" ] || fail "the old certificate"
wait_log 8 core 'event=certificates-reloaded kept=new'
ends() { date -ud "$(openssl x509 -in "$RUN/c/pki/$CORE_NAME.crt" -noout -enddate | cut -d= -f2)" +%s; }
wait_for 5 "the core to show it" eval 'ctl core status | py "[c[\"not_after\"] for c in d[\"certificates\"]] == [$(ends)]"'
wait_for 10 "the link up" link_is_up
no_leftover
link_is_up || fail "the link: $(ctl core status)"
