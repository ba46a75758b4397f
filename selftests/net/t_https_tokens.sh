#!/bin/bash
# t_https_tokens.sh -- whose token a request carries: forged, expired, of another domain or user, with an old key; a key is rotated
#
#	203.0.113.50 curl --tls-- edge (dmz) ==link== core (inside) --tls-- cucm1: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
MORE_DOMAINS=other.example
MORE_SERVERS="  - {name: other, domains: [other.example], address: '10.20.0.99:5060', transport: udp}"
TOKEN_KEYS="token2 token1"
export MORE_DOMAINS MORE_SERVERS TOKEN_KEYS
https_up cucm1
token_key token0
token_key stranger
devices=$(relay_url https "cucm1.$INSIDE" 8443 /cucm-uds/user/alice/devices)
search=$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")
ask() { # ask STATUS WHAT TOKEN [URL]
	want "$1" "$2" -H "Cookie: X-Auth=$3" -u alice:pw-alice "${4:-$search}"
}
asked_before=$(asked cucm1 .)

say "refused: nothing of it reaches a server inside"
good=$(mint token2 alice "$DOMAIN" -10 600)
flip() { # the last character of part N of a token is another
	python3 -c 'import sys
p = sys.argv[1].split("."); i = int(sys.argv[2]) - 1; c = p[i][5]; p[i] = p[i][:5] + ("A" if c != "A" else "B") + p[i][6:]
print(".".join(p))' "$1" "$2"
}
none=$(echo '{"alg":"none"}' | tr -d '\n' | base64 -w0 | tr -d =)
refused() { # refused WHAT TOKEN: without credentials of its own it is 401 with the challenge
	want 401 "$1" -H "Cookie: X-Auth=$2" "$search"
	grep -qi '^WWW-Authenticate: Basic realm="' "$RUN/head" || fail "no challenge: $(cat "$RUN/head")"
}
want 401 "no token at all" "$search"
want 400 "an empty one" -H "Cookie: X-Auth=" "$search"
refused "no form" "deadbeef-0000-4000-8000-000000000000"
refused "another payload under the signature" "$(flip "$good" 2)"
refused "another signature" "$(flip "$good" 3)"
refused "no signature" "${good%.*}."
refused "algorithm none" "$none.$(echo "$good" | cut -d. -f2)."
refused "signed with a stranger's key" "$(mint stranger alice "$DOMAIN" -10 600)"
refused "signed with a key that is no more" "$(mint token0 alice "$DOMAIN" -10 600)"
refused "expired" "$(mint token2 alice "$DOMAIN" -600 -5)"
refused "not yet" "$(mint token2 alice "$DOMAIN" 3600 7200)"
refused "of another domain" "$(mint token2 alice other.example -10 600)"
want 400 "two of them" -H "Cookie: X-Auth=$good; X-Auth=$good" "$search"
[ "$(asked cucm1 .)" = "$asked_before" ] || fail "a server inside was asked"

say "taken"
ask 200 "signed with the newest key" "$good"
ask 200 "signed with the last key but one" "$(mint token1 alice "$DOMAIN" -10 600)"
want 403 "alice's token for bob's resource" -H "Cookie: X-Auth=$good" -u bob:pw-bob "$(relay_url https "cucm1.$INSIDE" 8443 /cucm-uds/user/bob/devices)"
[ "$(asked cucm1 user/bob)" = 0 ] || fail "bob's resource was asked for"

say "each request is judged by itself: one without a token on a connection that had a good one"
export search devices good
script_web <<'PY'
w = Web()
url, devices, good = E["search"], E["devices"], E["good"]
check(w.ask(url, token=good).status == 200, "with a token")
check(w.ask(url).status == 401, "without one")
bad = Web()
check(bad.ask(url, token=good).status == 200, "with a token")
check(bad.ask(url, token=good[:-4] + "AAAA").status == 401, "with a forged one")
two = Web()
check(two.ask(url, token=good).status == 200, "with a token")
two.send(request(url, token=good) + request(url) + request(url, token=good))
check([two.answer().status for _ in range(2)] == [200, 401], "in one packet: the second has none")
PY

say "the key is rotated by reload: the edge learns it, the one before goes on, the one before that does not"
token_key token3
TOKEN_KEYS="token3 token2" https_config
core_config
kill -HUP "$(pid_of core)"
taken() { [ "$(status -H "Cookie: X-Auth=$(mint token3 alice "$DOMAIN" -10 600)" "$search")" = 200 ]; }
wait_for 10 "the new key taken" taken
ask 200 "the key before" "$good"
refused "the key before that" "$(mint token1 alice "$DOMAIN" -10 600)"
logon alice
sum=$(token_of alice | cut -d. -f1)
[ "$sum" = "$(mint token3 alice "$DOMAIN" -10 600 | cut -d. -f1)" ] || fail "a new token is not signed with the new key"

say "laptops that wake up with an expired token are no attackers"
search=$search expired=$(mint token3 alice "$DOMAIN" -600 -5) good=$(mint token3 alice "$DOMAIN" -10 600)
export search expired good
script_web <<'PY'
got = {}
for _ in range(60):
    w = Web()
    status = w.ask(E["search"], token=E["expired"]).status
    got[status] = got.get(status, 0) + 1
    w.close()
step(f"60 of them: {got}")
check(got == {401: 60}, "each was told to log on")
check(admin("edge", "status")["bans"]["active"] == 0, "they were banned")
check(Web().ask(E["search"], token=E["good"]).status == 200, "and with a fresh one served")
PY
