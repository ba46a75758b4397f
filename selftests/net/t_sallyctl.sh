#!/bin/bash
# t_sallyctl.sh -- sallyctl: tables and JSON from a daemon's answers, exit codes, and certificates that openssl accepts
#
# The daemon is socat, which gives back a file: so every answer, also an evil one, can be tried. Needs no root.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-$TOP/build}
CTL=$B/sallyctl
RUN=$(mktemp -d /tmp/sallyport-ctl-XXXXXX)
pid=

down() {
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
	rm -rf "$RUN"
}
trap down EXIT
trap 'exit 1' INT TERM
for c in socat openssl; do
	command -v $c >/dev/null || { echo "SKIP: needs $c"; exit 77; }
done
fail() { echo "FAIL: $*"; cat "$RUN/out" "$RUN/err" 2>/dev/null; exit 1; }
# run STATUS ARGS...: sallyctl's output is in $RUN/out and $RUN/err.
run() {
	local want=$1 got=0

	shift
	"$CTL" "$@" >"$RUN/out" 2>"$RUN/err" || got=$?
	[ $got = "$want" ] || fail "sallyctl $*: exit $got, wanted $want"
}
ask() { printf '%s\n' "$2" >"$RUN/answer"; run "$1" -s "$RUN/sock" "${@:3}"; }
has() { grep -Fqx -- "$1" "$RUN/out" || fail "no line: $1"; }

cat >"$RUN/daemon" <<EOF
#!/bin/sh
read -r line
printf '%s\n' "\$line" >"$RUN/asked"
cat "$RUN/answer"
EOF
chmod +x "$RUN/daemon"
socat "UNIX-LISTEN:$RUN/sock,fork" "EXEC:$RUN/daemon" &
pid=$!
for _ in $(seq 100); do [ -S "$RUN/sock" ] && break; sleep 0.05; done

# Usage and sockets
run 2
run 2 nonsense
run 2 why
run 2 flows too-much
run 2 -x
run 0 -h
run 1 -s "$RUN/none" status
grep -q 'no daemon answered' "$RUN/err" || fail "does not say that nobody answered"

# Tables: the union of keys in first-seen order, aligned; what is missing is "-"
ask 0 '[{"flow":"1f","bytes":7},{"flow":"200","latched":true,"bytes":123456}]' flows
has '  flow  bytes   latched'
has '  1f    7       -'
has '  200   123456  yes'
[ "$(cat "$RUN/asked")" = '{"cmd":"flows"}' ] || fail "asked: $(cat "$RUN/asked")"
ask 0 '[]' calls
has '  (none)'
ask 0 '{"name":"e","uptime_s":5,"links":[{"core":"c","state":"up"}],"limits":{"a":1}}' status
has '  name      e'
has '  links:'
has '    core  state'
has '    c     up'
ask 0 '{"flow":"1f","rung":"xdp native"}' why 1f
[ "$(cat "$RUN/asked")" = '{"cmd":"why","arg":"1f"}' ] || fail "asked: $(cat "$RUN/asked")"
has '  rung  xdp native'

# JSON is raw; errors are errors
ask 0 '{"name":"e"}' -j status 2>/dev/null || true
run 0 -j -s "$RUN/sock" status
python3 -c 'import json, sys; assert json.load(open(sys.argv[1])) == {"sock": {"name": "e"}}' "$RUN/out" || fail "-j"
ask 1 '{"error":"why: no such id"}' why 7
grep -q 'no such id' "$RUN/err" || fail "the daemon's error is not shown"
ask 1 'not json' status
ask 1 '' status

# Bytes of a peer do not reach the terminal
ask 0 '[{"user_agent":"a\u001b]0;evil\u0007b\u009bc\nd"}]' regs
[ "$(LC_ALL=C tr -d '\n -~' <"$RUN/out" | wc -c)" = 0 ] || fail "control bytes on the terminal"
has '  a?]0;evil?b??c?d'

# Certificates
run 2 pki
run 2 pki init
run 2 pki init "$RUN/pki"
run 0 pki init "$RUN/pki" --name 'Test CA'
run 1 pki init "$RUN/pki" --name 'Test CA'
grep -q 'File exists' "$RUN/err" || fail "a CA was overwritten"
run 0 pki issue "$RUN/pki" edge.example.com
run 0 pki issue "$RUN/pki" multi --san a.example.com --san 192.0.2.1 --san 2001:db8::1 --days 3
run 0 pki issue "$RUN/pki" old --not-after 20200101000000Z
run 1 pki issue "$RUN/pki" ../evil
run 1 pki issue "$RUN/pki" ca
run 2 pki issue "$RUN/pki" x --days 0
run 2 pki issue "$RUN/pki" x --days 1x
run 1 pki issue "$RUN/pki" x --not-after tomorrow
run 1 pki issue "$RUN/nowhere" x
run 1 pki show "$RUN/pki/ca.key"
[ "$(stat -c %a "$RUN/pki/ca.key" "$RUN/pki/multi.key" | sort -u)" = 600 ] || fail "a key's mode is not 0600"
for p in sslserver sslclient; do
	openssl verify -x509_strict -purpose $p -CAfile "$RUN/pki/ca.crt" "$RUN/pki/edge.example.com.crt" >/dev/null ||
		fail "openssl refuses edge.example.com.crt as $p"
done
openssl verify -x509_strict -verify_hostname edge.example.com -CAfile "$RUN/pki/ca.crt" "$RUN/pki/edge.example.com.crt" >/dev/null ||
	fail "hostname"
openssl verify -verify_ip 2001:db8::1 -CAfile "$RUN/pki/ca.crt" "$RUN/pki/multi.crt" >/dev/null || fail "address"
! openssl verify -CAfile "$RUN/pki/ca.crt" "$RUN/pki/old.crt" >/dev/null 2>&1 || fail "an expired certificate is accepted"
! openssl verify -verify_hostname other.example.com -CAfile "$RUN/pki/ca.crt" "$RUN/pki/multi.crt" >/dev/null 2>&1 ||
	fail "a name that is not there is accepted"
openssl pkey -in "$RUN/pki/multi.key" -noout -text | grep -qi ed25519 || fail "not Ed25519"
run 0 pki show "$RUN/pki/multi.crt"
has 'issuer: CN=Test CA'
has 'name: DNS:a.example.com'
has 'name: IP Address:192.0.2.1'
run 0 pki show "$RUN/pki/old.crt"
has 'state: expired'
# The key of another CA does not sign under this one's name.
run 0 pki init "$RUN/other" --name 'Test CA'
cp "$RUN/other/ca.key" "$RUN/pki/ca.key"
run 1 pki issue "$RUN/pki" x
grep -q 'is not the key of ca.crt' "$RUN/err" || fail "mixed CA"
echo "PASS: sallyctl"
