#!/bin/bash
# t_https_large.sh -- 64 MiB up and down through edge and core: the same bytes, and neither daemon holds them; one of two nodes dies meanwhile
#
#	203.0.113.50 curl --tls-- edge (dmz) ==link== core (inside) --tls-- files: nginx; cucm1, cucm2
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
dns_up
https_up cucm1 cucm2 files
logon alice
files=$(relay_url https "files.$INSIDE" 8443 /files/)
head -c 67108864 /dev/urandom >"$RUN/large"
sum=$(sha "$RUN/large")
edge_before=$(held edge) core_before=$(held core)

say "64 MiB up, then down; what the daemons hold is looked at all the time"
(
	most_e=0 most_c=0
	while [ ! -e "$RUN/stop" ]; do
		e=$(held edge) c=$(held core)
		[ "${e:-0}" -gt $most_e ] && most_e=$e
		[ "${c:-0}" -gt $most_c ] && most_c=$c
		echo "$most_e $most_c" >"$RUN/most"
		sleep 0.1
	done
) &
watcher=$!
want 201 "up" -b "$(jar alice)" -T "$RUN/large" "${files}up/large"
[ "$(sha "$WEB/www/services/files/up/large")" = "$sum" ] || fail "not the bytes that were sent"
client -b "$(jar alice)" -o "$RUN/down" -w '%{http_code}' "${files}up/large" | grep -q '^200$' || fail "down"
[ "$(sha "$RUN/down")" = "$sum" ] || fail "not the bytes that were stored"
touch "$RUN/stop"
wait $watcher
read -r most_e most_c <"$RUN/most"
say "  anonymous memory of the workers in KiB: edge $edge_before, at most $most_e; core $core_before, at most $most_c"
[ $((most_e - edge_before)) -lt 4096 ] || fail "the edge held $((most_e - edge_before)) KiB more"
[ $((most_c - core_before)) -lt 4096 ] || fail "the core held $((most_c - core_before)) KiB more"

say "a node dies: its users do not notice"
url=$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")
want 200 "directory search" -b "$(jar alice)" "$url"
first=$(asked cucm2 '/cucm-uds/users')
kill -KILL -- "-$(pid_of cucm1)"
for _ in 1 2 3; do
	want 200 "directory search, cucm1 dead" -b "$(jar alice)" "$url"
	grep -q smythe "$RUN/body" || fail "not what the directory says"
done
[ "$(asked cucm2 '/cucm-uds/users')" = $((first + 3)) ] || fail "cucm2 was not asked instead"
