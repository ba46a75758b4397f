#!/bin/bash
# t_status_page.sh -- the status page in a real browser, from the edge's admin port, while a call has media: every figure is that of
# sallyctl, it lives without reload, asks nobody else, fits a phone, and says when it is old
#
#	alice --tls-- edge (dmz: Chromium on 127.0.0.1:9061) ==link== core (in) -- Kamailio, bob
#
# status_page.mjs looks; what is to happen on the network it asks for here, a word a line. Screenshots: $B/status-page/.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need baresip dnsmasq
need chromium node
driver=$(find /var/cache/sallyport -maxdepth 1 -name 'playwright-core-*' 2>/dev/null | sort -V | tail -1)
[ -n "$driver" ] || skip "no playwright-core in /var/cache/sallyport (tools/deps test)"
net_up
# The rest of a browser's home, and none of this machine's.
export HOME=$RUN/home XDG_RUNTIME_DIR=$RUN/home
mkdir -p "$HOME" "$B/status-page"
PKI_DAYS=90 pki_up
kamailio_up
EDGE_MORE="admin_http: 127.0.0.1:9061" CORE_MORE="admin_http: 127.0.0.1:9062" pair_up
phones_up alice bob
phone alice dial "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "alice in a call" phone_established alice
wait_for 5 "bob in a call" phone_established bob

coproc BROWSER { ns dmz node "$NET/status_page.mjs" "$driver" http://127.0.0.1:9061/ "$B/status-page" 2>&1; }
echo "$BROWSER_PID" >"$RUN/pids/browser"
exec {words}<&"${BROWSER[0]}" {answer}>&"${BROWSER[1]}"
passed=
while read -r word text <&$words; do
	case $word in
	hangup)
		phone alice hangup >/dev/null
		wait_for 5 "alice idle" phone_idle alice
		;;
	kill) # the edge with its keeper: nobody answers any more
		signal_all edge KILL
		stop edge 2>/dev/null
		;;
	start) # with a certificate that ends soon
		PKI_DAYS=5 pki_issue web-ca sip "$EDGE_NAME" "$EDGE_OUT"
		EDGE_MORE="admin_http: 127.0.0.1:9061" edge_up
		;;
	cut) stop core ;;
	say) say "$text" ; continue ;;
	passed) passed=1 ; continue ;;
	*) fail "the browser: $word $text$(timeout 2 cat <&$words)" ;;
	esac
	echo "$word" >&$answer
done
[ -n "$passed" ] || fail "the browser ended before its end"
