#!/bin/bash
# t_nexthop.sh -- next hops follow neighbours and routes, from behind the sandbox, without a privilege
#
#   $P-a  10.99.0.1, fd99::1 --- bridge in $P-b --- gateways 10.99.0.2 fd99::2 ($P-g1), 10.99.0.3 fd99::3 ($P-g2)
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-$TOP/build}
P=spk$$
RUN=$(mktemp -d /tmp/sallyport-nexthop-XXXXXX)
pid=

[ "$(id -u)" = 0 ] || { echo "SKIP: needs root for network namespaces"; exit 77; }
down() {
	exec 3>&- || true
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
	for ns in a b g1 g2; do ip netns del $P-$ns 2>/dev/null || true; done
	rm -rf "$RUN"
}
trap down EXIT
trap 'exit 1' INT TERM
fail() { echo "FAIL: $*"; tail -n 20 "$RUN/out" "$RUN/err" 2>/dev/null; exit 1; }
# wait_out REGEX: until a line from number $mark on matches.
mark=1
wait_out() {
	local end=$(($(date +%s) + 8))

	until tail -n +$mark "$RUN/out" | grep -Eq -- "$1"; do
		[ "$(date +%s)" -lt $end ] || fail "waited in vain for: $1"
		sleep 0.05
	done
	echo "ok: $1"
}
tell() { mark=$(($(wc -l <"$RUN/out") + 1)); echo "$*" >&3; }
now() { mark=$(($(wc -l <"$RUN/out") + 1)); }
mac() { ip -n $P-$1 -br link show $2 | awk '{ print $3 }'; }
a() { ip -n $P-a "$@"; }

for ns in a b g1 g2; do ip netns add $P-$ns; ip -n $P-$ns link set lo up; done
ip -n $P-b link add br0 type bridge
ip -n $P-b link set br0 up
for ns in a g1 g2; do
	ip -n $P-b link add v$ns type veth peer name e0 netns $P-$ns
	ip -n $P-b link set v$ns master br0 up
	ip netns exec $P-$ns sysctl -q net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.e0.accept_dad=0
	ip -n $P-$ns link set e0 up
done
a link set e0 mtu 1400
n=1
for ns in a g1 g2; do
	ip -n $P-$ns addr add 10.99.0.$n/24 dev e0
	ip -n $P-$ns addr add fd99::$n/64 dev e0 nodad
	n=$((n + 1))
done
a route add 198.51.100.0/24 via 10.99.0.2
a route add default via 10.99.0.2
a route add 2001:db8::/32 via fd99::2

mkfifo "$RUN/in"
: >"$RUN/out"
nsenter --net=/run/netns/$P-a "$B/selftests/net/nexthopd" <"$RUN/in" >"$RUN/out" 2>"$RUN/err" &
pid=$!
exec 3>"$RUN/in"
wait_out '^= ready'
grep -Eq '^Seccomp:[[:space:]]*2' /proc/$pid/status || [ -n "${SAN:-}" ] || fail "no seccomp"
grep -Eq '^CapEff:[[:space:]]*0+$' /proc/$pid/status || fail "capabilities"
g1=$(mac g1 e0) g2=$(mac g2 e0) me=$(mac a e0) if=$(a -o link show e0 | cut -d: -f1)

# 1. A gateway that nobody has spoken to yet: found by asking. The second address of its route shares the entry.
tell get 198.51.100.7
wait_out "^= get 198.51.100.7 0 1"
wait_out "^map 1 ifindex $if src $me dst $g1 mtu 1400"
tell get 198.51.100.8
wait_out "^= get 198.51.100.8 0 1"
# 2. On the link, IPv4 and IPv6; by way of an IPv6 gateway; another route by the same gateway is another entry.
tell get 10.99.0.3
wait_out "^map 2 ifindex $if src $me dst $g2"
tell get fd99::3
wait_out "^map 3 ifindex $if src $me dst $g2"
tell get 2001:db8::99
wait_out "^map 4 ifindex $if src $me dst $g1"
tell get 192.0.2.1
wait_out "^map 5 ifindex $if src $me dst $g1"
tell show 4
wait_out "^= 4 gateway fd99::2 ifindex $if resolved"
# 3. Nobody lives here: unresolved, and resolved as soon as somebody does.
tell get 10.99.0.77
wait_out "^map 6 ifindex 0"
tell show 6
wait_out "^= 6 gateway 10.99.0.77 ifindex 0 resolving"
now
ip -n $P-g2 addr add 10.99.0.77/24 dev e0
wait_out "^map 6 ifindex $if src $me dst $g2"
# 4. The gateway gets another MAC: every entry of it is rewritten in place.
now
ip -n $P-g1 link set e0 down
ip -n $P-g1 link set e0 address 02:00:00:00:00:99
ip -n $P-g1 link set e0 up
a neigh replace 10.99.0.2 lladdr 02:00:00:00:00:99 dev e0 nud stale
wait_out "^map 1 ifindex $if src $me dst 02:00:00:00:00:99"
wait_out "^map 5 ifindex $if src $me dst 02:00:00:00:00:99"
# 5. A route moves to the other gateway: its entry follows, the one by default stays.
now
a route replace 198.51.100.0/24 via 10.99.0.3
wait_out "^map 1 ifindex $if src $me dst $g2"
! tail -n +$mark "$RUN/out" | grep -q '^map 5' || fail "the default route's entry was touched"
# 6. The kernel's neighbour entry goes away: what was learnt is kept.
now
a neigh del 10.99.0.3 dev e0
tell show 1
wait_out "^= 1 gateway 10.99.0.3 ifindex $if (kept|resolved)"
! tail -n +$mark "$RUN/out" | grep -q '^map 1 ifindex 0' || fail "a learnt MAC was thrown away"
# 7. No route: closed; the route comes back: open again.
now
a route del 198.51.100.0/24
a route add blackhole 198.51.100.0/24
wait_out "^map 1 ifindex 0"
tell get 198.51.100.9
wait_out "^= get 198.51.100.9 -113 0"
now
a route replace 198.51.100.0/24 via 10.99.0.3
a route del blackhole 198.51.100.0/24 2>/dev/null || true
wait_out "^map 1 ifindex $if src $me dst $g2"
# 8. A storm of events that overruns the socket's buffer: the last state wins.
now
{
	for i in $(seq 1 3000); do
		echo "route add 100.64.$((i / 250)).$((i % 250))/32 via 10.99.0.3"
	done
	echo "route replace 198.51.100.0/24 via 10.99.0.2"
} >"$RUN/batch"
kill -STOP $pid
for _ in 1 2 3; do a -batch "$RUN/batch" 2>/dev/null || true; a route flush root 100.64.0.0/16; done
kill -CONT $pid
wait_out "^map 1 ifindex $if src $me dst 02:00:00:00:00:99"
# 9. The MTU of the interface.
now
a link set e0 mtu 1300
wait_out "^map 1 ifindex $if .* mtu 1300"
# 10. The last user leaves: the entry is empty and its number free again.
tell put 6
wait_out "^map 6 ifindex 0"
tell show 6
wait_out "^= 6 unused"
# 11. A worker that follows another keeps numbers, and does not empty what it does not know yet.
tell reserve 9
tell reserve 10
tell adopt 9 10.99.0.88
wait_out "^= adopt 10.99.0.88 0 9"
tell get 10.99.0.89
wait_out "^= get 10.99.0.89 0 6"
! grep -q '^map 9' "$RUN/out" || fail "an adopted entry was overwritten before it was known"
tell end
wait_out "^map 10 ifindex 0"
now
ip -n $P-g2 addr add 10.99.0.88/24 dev e0
wait_out "^map 9 ifindex $if src $me dst $g2"
kill -0 $pid || fail "the program died"
echo "PASS: nexthop"
