#!/bin/bash
# t_package.sh -- from two bare Debian roots, with only the .deb, to the first call; an upgrade in the middle of it; removed, purged
#
#	203.0.113.50 alice --tls-- root "edge" (dmz) ==link== root "core" (inside) --udp-- Kamailio 10.20.0.30, bob 10.20.0.40
#
# Each root runs systemd as its own process 1 (debroot.sh), so units, seccomp filter, descriptor store and maintainer scripts are what an
# operator has. Prints the commands as he gives them, and how long each took. A base that has to be made first takes its time:
# seconds: 240
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
. "$NET/debroot.sh"
need kamailio baresip dnsmasq nft ethtool mmdebstrap apt-get lintian dpkg-buildpackage dh systemd-analyze
need_prog sallyport-edge sallyport-core sallyctl
deb_base
net_up
now() { date +%s%N; }
took() { awk -v ns=$(($(now) - $1)) 'BEGIN { printf "%.1f", ns / 1e9 }'; }
# at NAME COMMAND...: as an operator does it there; output in $RUN/log/NAME.out. in_root's options first.
at() {
	local from net=''

	[ "$1" != -w ] || { net=-w && shift; }
	from=$(now)
	in_root $net "$1" timeout 60 "${@:2}" >"$RUN/log/$1.out" 2>&1 ||
		fail "$*: $(tail -n 15 "$RUN/log/$1.out")
$(root_journal "$1" | grep sallyport | tail -n 15)"
	say "$(printf '%6s s  %s# %s' "$(took "$from")" "$1" "${*:2}")"
}
ctl() { in_root "$1" sallyctl -j -s "/run/sallyport/$1.sock" "${@:2}"; }
active() { in_root "$1" systemctl -q is-active "sallyport-$1"; }
pid() { ctl "$1" status | py 'd["pid"]'; }

say "the package: built, lintian, units"
from=$(now)
"$TOP/tools/deb" "$B" >"$RUN/log/deb" 2>&1 || fail "$(cat "$RUN/log/deb")"
deb=$TOP/$(sed -n 's/^deb: //p' "$RUN/log/deb")
say "$(printf '%6s s  make deb' "$(took "$from")")"
lintian --allow-root --fail-on error,warning "$deb" >"$RUN/log/lintian" 2>&1 || fail "lintian: $(cat "$RUN/log/lintian")"
for d in edge core; do
	systemd-analyze security --offline=true --threshold=25 --no-pager "$TOP/tools/systemd/sallyport-$d.service" >"$RUN/log/security" 2>&1 ||
		fail "sallyport-$d.service: $(tail -n 1 "$RUN/log/security")"
done

say "two bare roots, from here on it counts:"
root_prepare
root_up edge dmz &
root_up core in &
wait %1 %2
for d in edge core; do cp "$deb" "/mnt/$d/root/sallyport.deb"; done
bare=$(in_root edge dpkg-query -f '${Package}\n' -W | wc -l)
begin=$(now)
for d in edge core; do
	(
		at -w $d apt-get -q update
		at -w $d apt-get -q install -y --no-install-recommends ./sallyport.deb
	) &
done
wait %1 %2
for d in edge core; do
	[ -z "$(in_root $d dpkg -V sallyport)" ] || fail "dpkg -V: $(in_root $d dpkg -V sallyport)"
	in_root $d getent passwd sallyport | grep -q nologin || fail "no account on $d"
	[ "$(in_root $d systemctl show -P ConditionResult sallyport-$d)" = no ] || fail "sallyport-$d is not held back by its condition"
	in_root $d systemctl -q is-enabled sallyport-$d || fail "sallyport-$d is not enabled"
	[ -z "$(in_root $d systemctl --failed --no-legend)" ] || fail "$d: $(in_root $d systemctl --failed)"
done

say "the pair"
dns_up
kamailio_up
# init prints the token and waits for the core that brings it.
from=$(now)
in_root edge sallyctl init edge --domain "$DOMAIN" --self-signed >"$RUN/log/init.log" 2>&1 </dev/null &
init=$!
wait_log 10 init 'sallyport1-'
token=$(grep -o 'sallyport1-[^ "]*' "$RUN/log/init.log" | head -1)
at core sallyctl join "$token" --call-server "$KAM"
wait $init || fail "init: $(cat "$RUN/log/init.log")"
say "$(printf '%6s s  %s' "$(took "$from")" "edge# sallyctl init edge --domain $DOMAIN --self-signed")"
at edge systemctl enable --now sallyport-edge
at core systemctl enable --now sallyport-core
from=$(now)
wait_for 10 "the link up" eval 'ctl core status | py "d[\"links\"][0][\"state\"] == \"up\" and d[\"links\"][0][\"pool_idle\"] > 0"'
phone_up alice inet "$ALICE" 1 400 "$EDGE_NAME:5061" tls srtp-mand
phone_up bob lan "$BOB" 2 700 "$KAM:5060" udp ""
wait_for 15 "alice registered" phone_registered alice
wait_for 15 "bob registered" phone_registered bob
phone alice dial "sip:bob@$DOMAIN" >/dev/null
wait_for 10 "alice in a call" phone_established alice
wait_for 5 "bob in a call" phone_established bob
packets() { ctl edge flows | py 'max([min(r["packets_in"], r["packets_out"]) for r in d], default=0)'; } # of RTP, by the kernel's count
heard_more() { [ "$(packets)" -gt "$1" ]; }
wait_for 10 "media both ways" heard_more 20
say "$(printf '%6s s  the link is up, two phones have registered and called, media goes both ways' "$(took "$from")")"
say "$(printf '%6s s  in all, from two bare roots to the first call' "$(took "$begin")")"

say "in the middle of the call: reload, an upgrade of the package, a restart"
next() { # next NAME PID: another worker than that one answers
	local now

	now=$(pid "$1") && [ "$now" != "$2" ]
}
for d in edge core; do
	before=$(pid $d)
	at $d systemctl reload sallyport-$d
	wait_for 10 "$d's next worker" next $d "$before"
done
for d in edge core; do
	before=$(pid $d) keeper=$(in_root $d systemctl show -P MainPID sallyport-$d)
	at -w $d apt-get -q install -y --reinstall ./sallyport.deb
	grep -q "$d: version .* runs as process .* in place of $before" "$RUN/log/$d.out" || fail "no hand-over: $(tail "$RUN/log/$d.out")"
	[ "$(in_root $d systemctl show -P MainPID sallyport-$d)" = "$keeper" ] || fail "$d was restarted"
done
wait_for 5 "media after it" heard_more $(($(packets) + 50))
for d in core edge; do
	at $d systemctl restart sallyport-$d
	wait_for 10 "$d after its restart" active $d
done
wait_for 10 "media after it" heard_more $(($(packets) + 50))
wait_for 1 "alice still in the call" phone_established alice
wait_for 1 "bob still in the call" phone_established bob

say "removed, purged, in the middle of the call"
[ -n "$(in_root edge ls /sys/fs/bpf/sallyport)" ] || fail "nothing was pinned"
for d in edge core; do
	at $d apt-get -q remove -y sallyport
	in_root $d test ! -e /sys/fs/bpf/sallyport || fail "$d: left in bpffs: $(in_root $d ls -R /sys/fs/bpf)"
	[ -z "$(in_root $d pgrep sallyport 2>/dev/null)" ] || fail "$d still runs"
	[ -e "/mnt/$d/etc/sallyport/$d.yaml" ] || fail "remove took the configuration"
	at $d apt-get -q purge -y sallyport
	left=$(find "/mnt/$d" -xdev -name '*sallyport*' ! -path '*/var/log/*' ! -name sallyport.deb ! -name '*.list.d' 2>/dev/null)
	[ -z "$left" ] || fail "purge left $left"
	left=$(grep -rl --exclude='*-' sallyport "/mnt/$d/etc" "/mnt/$d/var/lib/systemd" || true) # passwd- is the file before the last change
	[ -z "$left" ] || fail "purge left its name in $left"
	[ -z "$(in_root $d systemctl --failed --no-legend)" ] || fail "$d: $(in_root $d systemctl --failed)"
done
! ip -n "$P-dmz" -d link show | grep -q 'prog/xdp' || fail "a program is still on an interface"
