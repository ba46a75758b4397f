#!/bin/bash
# t_transports.sh -- the way to the call server: UDP found by DNS SRV, TCP, TLS; calls in both directions over each.
#
#	alice --tls-- edge (dmz) ==link== core (inside) --udp|tcp|tls-- Kamailio 10.20.0.30
#	                                       \--DNS 10.20.0.30:5353        \-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft dnsmasq ethtool
net_up
kamailio_up
start inside-dns lan dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
	--listen-address="$KAM" --port=5353 --local="/$DOMAIN/" --address="/kamailio.$DOMAIN/$KAM" \
	--srv-host="_sip._udp.pbx.$DOMAIN,kamailio.$DOMAIN,5060,10,50"
wait_for 5 "DNS listening" udp_bound lan "$KAM:5353"
pki_up
edge_up

both_ways() { # both_ways PROTO: and the call server saw the core by it
	: >"$RUN/log/kamailio.log"
	wait_for 10 "the link up" link_is_up
	script <<-'PY'
	a, b = outside(), inside()
	call = Call(a, b)
	x, y = call.media(1)
	tones(x.result(), y.result(), 1200, 600, 0.5)
	hangup(call.rd, a)
	flows_gone()
	d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
	d.challenged()
	i = a.expect("INVITE")
	tx = ("AES_CM_128_HMAC_SHA1_80", new_key("AES_CM_128_HMAC_SHA1_80"))
	rd = inside_answer(a, i, srtp_answer(a.ip, 40000, Sdp(i.body), tx), d)
	hangup(rd, b)
	flows_gone()
	check(a.register(expires=0, cached=True).status == 200, "unregistered")
	PY
	grep -Eq "seen INVITE proto=$1 from=$CORE_LAN:" "$RUN/log/kamailio.log" || fail "no INVITE came by $1"
	grep -E "proto=[a-z]* from=$CORE_LAN:" "$RUN/log/kamailio.log" | grep -v "proto=$1" && fail "not only by $1"
	return 0
}

say "UDP, found by SRV"
CORE_DNS=$KAM:5353 KAM_ADDRESS=pbx.$DOMAIN core_up
both_ways udp
stop core
say "TCP"
KAM_TRANSPORT=tcp core_up
both_ways tcp
stop core
say "TLS"
KAM_TRANSPORT=tls KAM_ADDRESS=$KAM:5061 core_up
both_ways tls
