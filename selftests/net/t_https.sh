#!/bin/bash
# t_https.sh -- a web client that knows its domain only: finds the edge, logs on, is configured, and uses what is inside
#
#	203.0.113.50 curl --tls-- edge (dmz) ==link== core (inside) --tls-- cucm1, cucm2, vm1, files: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
dns_up
https_up cucm1 cucm2 vm1 files

say "finding the edge"
read -r _ _ port name <<<"$(out_dig SRV "_collab-edge._tls.$DOMAIN")"
[ "$name $port" = "$EDGE_NAME. $HTTPS" ] || fail "SRV says $name $port"
[ "$(out_dig A "$name")" = "$EDGE_OUT" ] || fail "no address of $name"
[ -z "$(out_dig SRV "_cisco-uds._tcp.$DOMAIN")" ] || fail "the inside's SRV is seen outside"

say "edge config"
want 401 "without credentials" "$(config_url)"
grep -qi '^WWW-Authenticate: Basic realm="' "$RUN/head" || fail "the challenge: $(cat "$RUN/head")"
want 401 "with a wrong password" -u alice:nonsense "$(config_url)"
want 401 "as a user nobody knows" -u mallory:pw-mallory "$(config_url)"
logon alice
cp "$RUN/body" "$RUN/config.xml"
grep -qiE '^Set-Cookie: X-Auth=[A-Za-z0-9_.-]+;.*Secure' "$RUN/head" || fail "the cookie: $(cat "$RUN/head")"
for word in HttpOnly Path=/ Expires=; do
	grep -i '^Set-Cookie:' "$RUN/head" | grep -qi "; *$word" || fail "the cookie has no $word"
done
python3 - "$RUN/config.xml" <<'PY' || fail "the edge config: $(cat "$RUN/config.xml")"
import os, sys
import xml.etree.ElementTree as ET
root = ET.parse(sys.argv[1]).getroot()
flat = []
def walk(e, path):
    path = f"{path}/{e.tag}" if path else e.tag
    if len(e) == 0:
        flat.append((path, (e.text or "").strip()))
    for c in e:
        walk(c, path)
walk(root, "")
assert root.tag == "getEdgeConfigResponse" and root.attrib == {"version": "1.0"}, (root.tag, root.attrib)
assert [c.tag for c in root] == ["serviceConfig", "edgeConfig"], [c.tag for c in root]
services = {}
for s in root.find("serviceConfig"):
    assert s.tag == "service" and s[0].tag == "name", s.tag
    services[s[0].text] = [(c.tag, [(x.tag, x.text) for x in c] or c.text) for c in s[1:]]
server = lambda p, w, port, a: ("server", [("priority", p), ("weight", w), ("port", port), ("address", a)])
inside = "in." + os.environ["DOMAIN"]
want = {
    "_cisco-uds": [server("10", "20", "8443", f"cucm1.{inside}"), server("20", "30", "8443", f"cucm2.{inside}")],
    "_cuplogin": [("error", "NameError")],
    "_cisco-phone-tftp": [server("5", "6", "69", f"cucm1.{inside}")],
    "tftpServer": [("address", "10.20.0.61"), ("address", f"cucm2.{inside}")],
}
assert services == want, services
edge = {c.tag: [[(x.tag, x.text) for x in s] or s.text for s in c] for c in root.find("edgeConfig")}
out = "edge." + os.environ["DOMAIN"]
assert edge["sipEdgeServer"] == [[("address", out), ("tlsPort", "5061")]], edge
assert edge["httpEdgeServer"] == [[("address", out), ("tlsPort", "8443")]], edge
assert edge["turnEdgeServer"] == [] and edge["xmppEdgeServer"] == [], edge
assert len(edge["userUdsServer"]) == 1 and edge["userUdsServer"][0][0][1].startswith("cucm"), edge
assert edge["userUdsServer"][0][1] == ("tlsPort", "8443"), edge
assert edge["sipRequest"] and all(r.startswith("<sip:") and r.endswith(";lr>") for r in edge["sipRequest"]), edge
assert set(edge) == {"sipEdgeServer", "sipRequest", "xmppEdgeServer", "httpEdgeServer", "turnEdgeServer", "userUdsServer"}, set(edge)
print("  " + ", ".join(f"{p.split('/', 1)[1]}={t}" for p, t in flat)[:400])
PY
seg=$(printf %s "$DOMAIN" | base64 -w0)
for path in "$seg/get_edge_config/?service_name=_cisco-uds" "${seg//=/%3D}/get_edge_config?service_name=_cisco-uds" "${seg//=/}/get_edge_config/"; do
	want 200 "the same at /$path" -b "$(jar alice)" "https://$EDGE_NAME:$HTTPS/$path"
done
want 200 "single sign-on asked about" "$(edge_url "get_edge_sso?email=alice@$DOMAIN")"
want 200 "the same facts as JSON" -b "$(jar alice)" "https://$EDGE_NAME:$HTTPS/.well-known/sallyport"
python3 -m json.tool "$RUN/body" >/dev/null || fail "no JSON: $(cat "$RUN/body")"
out_domain=$(URL_DOMAIN=other.example edge_url get_edge_config)
want 403 "a domain that nobody serves" -u alice:pw-alice "$out_domain"

say "services inside"
want 200 "directory search" -b "$(jar alice)" "$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")"
grep -q smythe "$RUN/body" || fail "not what the directory says: $(cat "$RUN/body")"
want 200 "alice's devices" -b "$(jar alice)" -u alice:pw-alice "$(relay_url https "cucm1.$INSIDE" 8443 /cucm-uds/user/alice/devices)"
grep -q CSFALICE "$RUN/body" || fail "not alice's devices"
want 401 "her devices, by the server's own word" -b "$(jar alice)" -u alice:nonsense "$(relay_url https "cucm1.$INSIDE" 8443 /cucm-uds/user/alice/devices)"
grep -qi 'realm="Cisco Web Services Realm"' "$RUN/head" || fail "not the server's challenge"
for how in "http ${NODE[cucm1]} 6970" "https ${NODE[cucm1]} 6972" "http cucm2.$INSIDE 6970" "https cucm2.$INSIDE 6972"; do
	# shellcheck disable=SC2086
	set -- $how
	want 200 "config file by $how" -b "$(jar alice)" "$(relay_url "$1" "$2" "$3" /CSFALICE.cnf.xml)"
	cmp -s "$RUN/body" "$WEB/www/hq/tftp/CSFALICE.cnf.xml" || fail "not that file"
done
want 200 "voicemail" -b "$(jar alice)" -u alice:pw-alice "$(relay_url https "vm1.$INSIDE" 8443 /vmrest/messages)"
! grep -q X-Auth "$RUN"/log/*-access.log || fail "a session's token went to a server inside"

say "files: up and down"
head -c 8388608 /dev/urandom >"$RUN/8m"
files=$(relay_url https "files.$INSIDE" 8443 /files/)
want 201 "8 MiB up, after 100-continue" -b "$(jar alice)" -H 'Expect: 100-continue' -T "$RUN/8m" "${files}up/8m"
want 201 "8 MiB up, chunked" -b "$(jar alice)" -H 'Transfer-Encoding: chunked' -T - "${files}up/chunked" <"$RUN/8m"
want 200 "8 MiB down" -b "$(jar alice)" "${files}up/8m"
for f in "$RUN/body" "$WEB/www/services/files/up/8m" "$WEB/www/services/files/up/chunked"; do
	[ "$(sha "$f")" = "$(sha "$RUN/8m")" ] || fail "$f is not what was sent"
done
want 206 "a range" -b "$(jar alice)" -r 1000-1999 "${files}up/8m"
cmp -s "$RUN/body" <(tail -c +1001 "$RUN/8m" | head -c 1000) || fail "not that range"
want 200 "its head" -b "$(jar alice)" -I "${files}up/8m"
grep -qi '^Content-Length: 8388608' "$RUN/head" || fail "its length: $(cat "$RUN/head")"
want 404 "a file that is not there" -b "$(jar alice)" "${files}none"
client -b "$(jar alice)" -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects} ' "${files}1k.bin" "${files}1k.bin" "${files}64k.bin" |
	grep -q '^1 0 0 $' || fail "a connection is not kept for the next request"

say "WebSocket"
ws_echo alice >"$RUN/ws" 2>&1 || fail "WebSocket: $(cat "$RUN/ws")"
sed 's/^/  /' "$RUN/ws"

say "denied"
want 403 "a path that no rule names" -b "$(jar alice)" "$(relay_url https "cucm1.$INSIDE" 8443 /private)"
denied="http-refused .*user=\"?alice\"? .*target=https://cucm1.$INSIDE:8443 path=\"?/private\"? .*rule="
wait_log 3 core "$denied"
say "  $(grep -E "$denied" "$RUN/log/core.log" | tail -n 1 | cut -c1-300)"
want 403 "a method that no rule names" -b "$(jar alice)" -X DELETE "${files}up/8m"
want 403 "bob's config file" -b "$(jar alice)" "$(relay_url https "cucm2.$INSIDE" 6972 /CSFBOB.cnf.xml)"
want 403 "bob's resource" -b "$(jar alice)" -u bob:pw-bob "$(relay_url https "cucm1.$INSIDE" 8443 /cucm-uds/user/bob)"
want 403 "a server that no rule names" -b "$(jar alice)" "$(relay_url http "files.$INSIDE" 8080 /files/1k.bin)"
for path in /files/../private /files/%2e%2e/private /files//1k.bin /files/a%2fb /files/%00; do
	st=$(status --path-as-is -b "$(jar alice)" "$(relay_url https "files.$INSIDE" 8443 "$path")")
	case $st in 400 | 403) ;; *) fail "$path: status $st" ;; esac
done
[ "$(asked files private)" = 0 ] && [ "$(asked cucm1 /private)" = 0 ] || fail "a server inside was asked for what is denied"
for d in edge core; do
	"$B/sallyctl" -s "$RUN/$d.sock" status >"$RUN/status-$d" || fail "sallyctl $d status"
done
"$B/sallyctl" -s "$RUN/core.sock" allow test GET "https://files.$INSIDE:8443/files/1k.bin" alice >"$RUN/allow" || fail "allow test: $(cat "$RUN/allow")"
! "$B/sallyctl" -s "$RUN/core.sock" allow test GET "https://files.$INSIDE:8443/private" alice >>"$RUN/allow" || fail "allow test: $(cat "$RUN/allow")"
ctl core status | py 'd["https"]["outcomes"]["denied"] >= 8 and d["https"]["outcomes"]["tunnelled"] == 1 and d["https"]["outcomes"]["cut"] == 0' ||
	fail "the core's counters: $(ctl core status | py 'd["https"]["outcomes"]')"
say "the trace"
ctl core trace alice >"$RUN/trace" || fail "nothing is known of alice"
has() { WHAT=$1 TEXT=$2 py 'any(e["what"] == __import__("os").environ["WHAT"] and __import__("re").search(__import__("os").environ["TEXT"], e["text"]) for e in d["events"])' <"$RUN/trace"; }
has http "^GET 200 files.$INSIDE:8443 rule [^ ]" || fail "her request is not in the trace: $(py '[e["text"] for e in d["events"] if e["what"] == "http"][-5:]' <"$RUN/trace")"
has http "^DELETE 403 files.$INSIDE:8443 rule " || fail "what was denied is not in the trace"
has stream-open "^client $ALICE.* https " || fail "her streams are not in the trace"
py 'not [e for e in d["events"] if "CSFBOB" in e["text"] or "pw-" in e["text"]]' <"$RUN/trace" || fail "paths or passwords in the trace"
[ "$(inner_dropped)" = 0 ] || fail "the inner firewall dropped $(inner_dropped) new flows"
