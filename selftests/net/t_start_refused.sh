#!/bin/bash
# t_start_refused.sh -- a kernel without what is asked for: either daemon gives up at once, in one line that says why and what to do
#
# kernel.io_uring_disabled is the whole machine's: it is put back in any case, and no other test may run meanwhile.
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need_prog sallyport-edge sallyport-core
net_up
pki_up
edge_config
core_config

# refused edge|core NS WANTED: its start fails within 10 s, and the one line of level error says WANTED.
refused() {
	local rc=0

	ns "$2" timeout 10 "$B/sallyport-$1" -c "$RUN/$1.yaml" >"$RUN/log/refused" 2>&1 || rc=$?
	[ "$rc" != 0 ] && [ "$rc" != 124 ] || fail "$1 started, or hung: $rc"
	[ "$(grep -c 'event=start-failed' "$RUN/log/refused")" = 1 ] || fail "$(cat "$RUN/log/refused")"
	grep -Eq "event=start-failed reason=\"[^\"]*$3" "$RUN/log/refused" || fail "wanted $3: $(cat "$RUN/log/refused")"
	say "$1: $(grep 'event=start-failed' "$RUN/log/refused")"
}

was=$(sysctl -n kernel.io_uring_disabled 2>/dev/null) || skip "this kernel has no kernel.io_uring_disabled"
trap 'sysctl -q kernel.io_uring_disabled="$was"; net_exit' EXIT
sysctl -q kernel.io_uring_disabled=2
refused edge dmz 'io_uring: .*kernel\.io_uring_disabled'
refused core in 'io_uring: .*kernel\.io_uring_disabled'
sysctl -q kernel.io_uring_disabled="$was"

if [ -e /proc/net/tls_stat ]; then
	say "ktls: on: this kernel has TLS, selftests/vm/t_streams starts with it"
	exit 0
fi
KTLS=on edge_config
refused edge dmz 'sip\.ktls: on, but ENOENT: .*modprobe tls'
edge_config
sed -i 's/^  tls: {certificate: .*link-ca.pem"}$/&\n  ktls: on/' "$RUN/edge.yaml"
refused edge dmz 'link\.ktls: on, but ENOENT: .*modprobe tls'
sed -i 's/^  tls: {certificate: .*link-ca.pem"}$/&\n  ktls: on/' "$RUN/core.yaml"
refused core in 'link\.ktls: on, but ENOENT: .*modprobe tls'
