#!/bin/bash
# t_https_wrong_cert.sh -- a server inside shows another's certificate, or one of a stranger's CA: 502, and log and sallyctl name the names
#
#	203.0.113.50 curl --tls-- edge (dmz) ==link== core (inside) --tls-- wrong 10.20.0.68 (other.in.corp.example)
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
https_up cucm1 wrong
logon alice
wrong=$(relay_url https "wrong.$INSIDE" 8443 /files/1k.bin)
want 502 "the target shows the certificate of other.$INSIDE" -b "$(jar alice)" "$wrong"
wait_log 3 core "wrong.$INSIDE.*other.$INSIDE"
say "  $(grep "other.$INSIDE" "$RUN/log/core.log" | tail -n 1 | cut -c1-250)"
[ "$(asked wrong .)" = 0 ] || fail "it was asked all the same"
ctl core status | py 'any(t["host"].startswith("wrong.") and "other." in t["last_failure"] for t in d["https"]["targets"])' || fail "status does not say it"
rc=0
"$B/sallyctl" -s "$RUN/core.sock" allow check >"$RUN/check" 2>&1 || rc=$?
[ $rc = 1 ] || fail "allow check ended with $rc: $(cat "$RUN/check")"
grep -q "wrong.$INSIDE.*other.$INSIDE" "$RUN/check" || fail "allow check does not say it: $(cat "$RUN/check")"
say "  $(grep "other.$INSIDE" "$RUN/check" | cut -c1-200)"
! grep "cucm1.$INSIDE" "$RUN/check" | grep -qi "other.$INSIDE" || fail "allow check blames cucm1"

say "a certificate of its name by a CA that nobody trusts"
stop wrong
pki_ca stranger-ca
pki_issue stranger-ca wrong2 "wrong.$INSIDE" "${NODE[wrong]}"
NGINX_CERT=wrong2 nginx_up wrong services
nodes_listening
want 502 "the target's CA is not trusted" -b "$(jar alice)" "$wrong"
say "mended: no restart of the core"
stop wrong
rm "$RUN/pki/wrong2".*
NGINX_CERT=wrong nginx_up wrong services
nodes_listening
mended() { [ "$(status -b "$(jar alice)" "$wrong")" = 200 ]; }
wait_for 15 "the mended target served" mended
"$B/sallyctl" -s "$RUN/core.sock" allow check | grep "wrong.$INSIDE" | grep -q ok || fail "allow check: $("$B/sallyctl" -s "$RUN/core.sock" allow check)"
