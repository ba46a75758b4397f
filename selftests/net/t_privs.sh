#!/bin/bash
# t_privs.sh -- both workers: not root, no capabilities, no new privileges, seccomp on
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
for d in edge core; do
	w=$(worker_of $d)
	[ -n "$w" ] || fail "$d has no worker"
	s=/proc/$w/status
	say "$d worker: $(grep -E '^(Uid|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' "$s" | tr '\t\n' '  ')"
	for u in $(awk '/^[UG]id:/ { print $2, $3, $4, $5 }' "$s"); do
		[ "$u" != 0 ] || fail "$d: the worker has a root id"
	done
	for c in CapInh CapPrm CapEff CapAmb; do
		grep -Eq "^$c:[[:space:]]0+$" "$s" || fail "$d: $c is not empty"
	done
	grep -Eq '^NoNewPrivs:[[:space:]]1$' "$s" || fail "$d: no_new_privs is off"
	grep -Eq '^Seccomp:[[:space:]]2$' "$s" || fail "$d: seccomp is off"
	grep -q '^Groups:[[:space:]]*$' "$s" || fail "$d: supplementary groups: $(grep ^Groups "$s")"
	k=/proc/$(pid_of $d)/status
	# CAP_SETGID 6, CAP_SETUID 7, CAP_KILL 5
	left=$((0x$(awk '/^CapEff:/ { print $2 }' "$k") & ~0xe0))
	[ $left = 0 ] || fail "$d: the keeper keeps capabilities $(printf %x $left) beside SETUID, SETGID, KILL"
done
