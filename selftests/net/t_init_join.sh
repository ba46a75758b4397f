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
no_leftover() { [ -z "$(find "$RUN/e" "$RUN/c" -name '*.new-*')" ] || fail "half written: $(find "$RUN/e" "$RUN/c" -name '*.new-*')"; }
token_of() { grep -o 'sallyport1-[^ "]*' "$1"; }
EDGE=(init edge --domain "$DOMAIN" --dir "$RUN/e" --user daemon)
JOIN=(--call-server "$KAM" --dir "$RUN/c" --user daemon)

say "init: what is asked, and what is refused"
refused 'self-signed for a trial' edge "${EDGE[@]}"
refused 'wanted a DNS name' edge init edge --domain 'a b' --self-signed
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
phone_up alice inet "$ALICE" 1 400 "$EDGE_NAME:5061" tls srtp-mand
phone_up bob lan "$BOB" 2 700 "$KAM:5060" udp ""
wait_for 15 "alice registered" phone_registered alice
wait_for 15 "bob registered" phone_registered bob
talk alice bob 2
both_heard alice bob 1
