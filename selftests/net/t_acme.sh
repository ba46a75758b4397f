#!/bin/bash
# t_acme.sh -- the edge's certificate from an ACME server by HTTP-01: certbot and Pebble as they come; replaced and further ones while it runs
#
#	Pebble, DNS 203.0.113.53 --- 203.0.113.10:80 certbot, :5061 edge (dmz); no core
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need certbot pebble dnsmasq openssl curl
need_prog sallyport-edge sallyctl
net_up
mkdir -p /run/sallyport "$RUN/e" "$RUN/le"
mount -t tmpfs none /run/sallyport
pki_ca web-ca
pki_issue web-ca acme acme.example 203.0.113.53
pki_issue web-ca other other.example
dns_up
cat >"$RUN/pebble.json" <<-X
{"pebble": {"listenAddress": "203.0.113.53:14000", "managementListenAddress": "203.0.113.53:15000", "certificate": "$RUN/pki/acme.pem",
 "privateKey": "$RUN/pki/acme.key", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false}}
X
start pebble inet env PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config "$RUN/pebble.json" -dnsserver 203.0.113.53:53
"$B/sallyctl" init edge --domain "$DOMAIN" --dir "$RUN/e" --user daemon --self-signed --no-wait --outside "$EDGE_OUT" >/dev/null 2>&1 &&
	fail "an address that this host does not have was taken"
ns dmz "$B/sallyctl" init edge --domain "$DOMAIN" --dir "$RUN/e" --user daemon --self-signed --no-wait >"$RUN/log/init.log"
start edge dmz "$B/sallyport-edge" -c "$RUN/e/edge.yaml"
wait_for 10 "the edge's SIP listener" tcp_bound dmz "$EDGE_OUT:5061"
wait_for 5 "Pebble" tcp_bound inet 203.0.113.53:14000

# shown NAME: issuer, subject names and end of what the edge shows to a client that asks for NAME
shown() { ns inet timeout 5 openssl s_client -connect "$EDGE_OUT:5061" -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -issuer -ext subjectAltName -serial; }
is_shown() { shown "$1" | grep -q -- "$2"; }
certs() { "$B/sallyctl" -j -s /run/sallyport/edge.sock status | py "$1"; }
is_shown "$EDGE_NAME" "CN = $EDGE_NAME" || fail "$(shown "$EDGE_NAME")"
certs '[(c["what"], c["name"], c["days_left"] in (89, 90, 824, 825)) for c in d["certificates"]] == [("sip", "'"$EDGE_NAME"'", True), ("link", "'"$EDGE_NAME"'", True)]' ||
	fail "$(certs 'd["certificates"]')"

say "a certificate by HTTP-01"
certbot() {
	SALLYPORT_TLS="$RUN/e/tls" REQUESTS_CA_BUNDLE="$RUN/pki/web-ca.pem" ns dmz timeout 30 /usr/bin/certbot "$@" --non-interactive \
		--config-dir "$RUN/le" --work-dir "$RUN/le" --logs-dir "$RUN/log" --server https://203.0.113.53:14000/dir --no-random-sleep-on-renew \
		>>"$RUN/log/certbot.out" 2>&1 || fail "certbot: $(tail -n 20 "$RUN/log/certbot.out")"
}
certbot certonly --standalone -d "$EDGE_NAME" -m "admin@$DOMAIN" --agree-tos --no-eff-email --deploy-hook "$TOP/tools/acme-hook"
cmp "$RUN/le/live/$EDGE_NAME/fullchain.pem" "$RUN/e/tls/$EDGE_NAME.crt" || fail "not installed"
[ "$(stat -c '%a' "$RUN/e/tls/$EDGE_NAME.key")" = 600 ] || fail "the key's mode"
wait_log 8 edge 'event=certificates-reloaded kept=new'
wait_for 3 "the new certificate" is_shown "$EDGE_NAME" 'Pebble Intermediate'
[ "$(shown "$EDGE_NAME" | grep serial)" = "$(openssl x509 -in "$RUN/e/tls/$EDGE_NAME.crt" -noout -serial)" ] || fail "another one is shown"
ns inet curl -sk https://203.0.113.53:15000/roots/0 >"$RUN/root.pem"
ns inet timeout 5 openssl s_client -connect "$EDGE_OUT:5061" -servername "$EDGE_NAME" -verify_hostname "$EDGE_NAME" -CAfile "$RUN/root.pem" \
	-verify_return_error </dev/null >/dev/null 2>&1 || fail "a client that trusts the root refuses it"
certs 'd["certificates"][0]["days_left"] > 89' || fail "$(certs 'd["certificates"]')"

say "one of two files wrong: refused by the hook, refused by the edge"
"$TOP/tools/acme-hook" "$RUN/pki/other.pem" "$RUN/pki/acme.key" "$EDGE_NAME" 2>"$RUN/out" && fail "a key of another certificate was installed"
SALLYPORT_TLS=$RUN/e/tls "$TOP/tools/acme-hook" "$RUN/pki/other.pem" "$RUN/pki/other.key" "$EDGE_NAME" 2>"$RUN/out" && fail "a wrong name was installed"
grep -q "is not for $EDGE_NAME" "$RUN/out" || fail "$(cat "$RUN/out")"
cp "$RUN/pki/other.key" "$RUN/e/tls/other.key" && mv "$RUN/e/tls/other.key" "$RUN/e/tls/$EDGE_NAME.key"
wait_log 8 edge 'event=certificates-refused kept=old reason="sip.tls: .*key'
is_shown "$EDGE_NAME" 'Pebble Intermediate' || fail "the old one is gone"

say "two names"
cp -L "$RUN/le/live/$EDGE_NAME/privkey.pem" "$RUN/e/tls/$EDGE_NAME.key"
python3 - "$RUN" "$EDGE_NAME" <<-'PY'
	import re, sys
	run, name = sys.argv[1:]
	text = open(f"{run}/e/edge.yaml").read()
	two = f'''\\1certificates:
	      - {{certificate: "{run}/e/tls/{name}.crt", key: "{run}/e/tls/{name}.key"}}
	      - {{certificate: "{run}/pki/other.pem", key: "{run}/pki/other.key"}}
	'''.replace("\t", "")
	open(f"{run}/e/edge.yaml", "w").write(re.sub(r'(    )certificate: "[^"]*tls/.*\n    key: .*\n', two, text))
PY
"$B/sallyport-edge" -n -c "$RUN/e/edge.yaml" >/dev/null || fail "not valid: $(cat "$RUN/e/edge.yaml")"
kill -HUP "$(pid_of edge)"
wait_for 8 "the second certificate" is_shown other.example 'DNS:other.example'
is_shown "$EDGE_NAME" 'Pebble Intermediate' || fail "$(shown "$EDGE_NAME")"
is_shown nobody.example 'Pebble Intermediate' || fail "not the first for a name that none has: $(shown nobody.example)"
certs '[(c["what"], c["name"]) for c in d["certificates"]] == [("sip", "'"$EDGE_NAME"'"), ("sip", "other.example"), ("link", "'"$EDGE_NAME"'")]' ||
	fail "$(certs 'd["certificates"]')"
