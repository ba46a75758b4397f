#!/bin/bash
# t_calls.sh -- calls between real softphones in three directions, tones heard both ways, flows gone afterwards
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq
net_up
kamailio_up
pair_up
phones_up alice carol bob
for pair in "alice bob" "bob alice" "alice carol"; do
	# shellcheck disable=SC2086
	set -- $pair
	say "$1 calls $2"
	talk "$1" "$2" 2
	both_heard "$1" "$2" 1
	wait_for 5 "the flows to end" no_flows
	wait_for 5 "the live map empty" no_live_flows
done
[ "$(inner_dropped)" = 0 ] || fail "the inner firewall had to drop $(inner_dropped) packets"
