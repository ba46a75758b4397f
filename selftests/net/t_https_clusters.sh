#!/bin/bash
# t_https_clusters.sh -- two call-server clusters: users of both log on, look-ups spread, and a dead node, UDS or voicemail, is not noticed
#
#	                  +-- edge (dmz) --+
#	203.0.113.50 curl-+                +==link== core (inside) --tls--+-- hq: cucm1, cucm2; vm1, vm2
#	                  +-- edge2 (dmz) -+                              +-- branch: cucm3, cucm4
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
https_up cucm1 cucm2 cucm3 cucm4 vm1 vm2

EDGE2=203.0.113.11
edge2_up() { # a second edge beside the first, for the same core
	"$B/sallyctl" pki issue "$RUN/pki/link" "edge2.$DOMAIN" >>"$RUN/log/pki.log"
	ip -n "$P-dmz" addr add "$EDGE2/24" dev d0
	ip -n "$P-dmz" addr add 172.16.0.11/24 dev d1
	sed -e "s#$EDGE_OUT#$EDGE2#g;s#$EDGE_IN#172.16.0.11#g;s#^name: .*#name: edge2.$DOMAIN#;s#^instance: .*#instance: $INSTANCE-2#" \
		-e "s#edge\.sock#edge2.sock#;s#rung: auto#rung: user#;s#ports: 2000#ports: 20#" \
		-e "s#$RUN/pki/edge\.pem#$RUN/pki/link/edge2.$DOMAIN.crt#;s#$RUN/pki/edge\.key#$RUN/pki/link/edge2.$DOMAIN.key#" \
		"$RUN/edge.yaml" >"$RUN/edge2.yaml"
	start edge2 dmz "$B/sallyport-edge" -c "$RUN/edge2.yaml"
	wait_for 10 "the second edge" tcp_bound dmz 172.16.0.11:7001
	sed -i "s#^    - {name: $EDGE_NAME, .*#&\n    - {name: edge2.$DOMAIN, address: \"172.16.0.11:7001\", pool: 4}#" "$RUN/core.yaml"
	kill -HUP "$(pid_of core)"
	wait_for 10 "the second link" two_links
}
two_links() { ctl core status | py '[l["state"] for l in d["links"]] == ["up", "up"] and all(l["pool_idle"] > 0 for l in d["links"])'; }
home_of() { # the UDS server that the last answer names
	python3 -c 'import sys, xml.etree.ElementTree as ET
print(ET.parse(sys.argv[1]).find("edgeConfig/userUdsServer/server/address").text)' "$RUN/body"
}
lookups() { asked "$1" '^GET /cucm-uds/clusterUser\?username='; }

say "users of both clusters"
logon alice
case $(home_of) in cucm[12].*) ;; *) fail "alice is at home at $(home_of)" ;; esac
for u in dora emil; do # hq says where dora is; of emil only his own cluster knows
	logon $u
	case $(home_of) in cucm[34].*) ;; *) fail "$u is at home at $(home_of)" ;; esac
done
want 200 "dora's devices, at her own cluster" -b "$(jar dora)" -u dora:pw-dora "$(relay_url https "cucm3.$INSIDE" 8443 /cucm-uds/user/dora/devices)"
want 401 "dora with alice's password" -u dora:pw-alice "$(config_url)"

say "through another edge"
edge2_up
VIA=$EDGE2 logon bob
more_users branch cucm3 v2
VIA=$EDGE2 logon v2
case $(home_of) in cucm[34].*) ;; *) fail "v2 is at home at $(home_of)" ;; esac
VIA=$EDGE2 want 200 "dora's session, from the first edge" -b "$(jar dora)" -u dora:pw-dora "$(relay_url https "cucm3.$INSIDE" 8443 /cucm-uds/user/dora/devices)"

say "look-ups spread evenly"
more_users hq cucm1 $(seq -f u%g 24)
before=() n=()
for i in 1 2 3 4; do before[i]=$(lookups cucm$i); done
for i in $(seq 20); do # each another user: who is known is not asked about
	st=$(status -u "u$i:pw-u$i" "$(config_url)")
	[ "$st" = 200 ] || fail "log on of u$i: $st $(cat "$RUN/body")"
done
for i in 1 2 3 4; do n[i]=$(($(lookups cucm$i) - before[i])); done
say "  20 log ons: cucm1..4 were asked ${n[*]} times"
[ "${n[*]}" = "5 5 5 5" ] || fail "not evenly"

say "the first cluster's first node is killed"
stop cucm1 KILL 2>/dev/null
logon u21
VIA=$EDGE2 logon u24
want 200 "directory search at the dead node" -b "$(jar alice)" "$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")"
grep -qi '^X-Node: cucm2' "$RUN/head" || fail "answered by another: $(cat "$RUN/head")"
want 401 "a wrong password is still one" -u u22:nonsense "$(config_url)"
more_users branch cucm3 v1
logon v1

say "both are stopped: 502, never 401; back again: served within seconds"
signal_all cucm2 STOP
want 502 "nobody there to ask" -u u23:pw-u23 "$(config_url)"
logon emil
signal_all cucm2 CONT
served() { [ "$(status -u u23:pw-u23 "$(config_url)")" = 200 ]; }
wait_for 15 "u23 served" served

say "voicemail: the first server is killed between two requests and then comes back"
vm=$(relay_url https "vm1.$INSIDE" 8443 /vmrest/messages)
want 200 "by the first" -b "$(jar alice)" -u alice:pw-alice "$vm"
grep -qi '^X-Node: vm1' "$RUN/head" || fail "answered by $(grep -i x-node "$RUN/head")"
stop vm1 KILL 2>/dev/null
want 200 "the first dead" -b "$(jar alice)" -u alice:pw-alice "$vm"
grep -qi '^X-Node: vm2' "$RUN/head" || fail "answered by $(grep -i x-node "$RUN/head")"
nginx_up vm1 services
nodes_listening
by_first() { [ "$(status -b "$(jar alice)" -u alice:pw-alice "$vm")" = 200 ] && grep -qi '^X-Node: vm1' "$RUN/head"; }
wait_for 20 "the first voicemail server used again" by_first
