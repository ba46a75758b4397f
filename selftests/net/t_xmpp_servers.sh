#!/bin/bash
# t_xmpp_servers.sh -- chat with another organisation, both directions, through both doors: certificates are the servers' own to check
#
#	partner.example: Prosody 203.0.113.60 --+                                            +-- Prosody 10.20.0.60: corp.example, dials by its header
#	liar.example:    Prosody 203.0.113.61 --+--5269-- edge (dmz) ==link== core (inside) --+-- Prosody 10.20.0.61: socks.example, dials by SOCKS5
#	                 DNS 203.0.113.53                                                    +-- DNS 10.20.0.53
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_xmpp.sh"
net_isolate "$@"
need nft ethtool dnsmasq
need_chat
[ -d /usr/lib/prosody/modules/mod_onions ] || skip "no mod_onions here (tools/deps test)"
net_up
names() { # names NS ADDRESS OPTION...: a resolver
	local n=$1 ip=$2

	shift 2
	start "dns-$n" "$n" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
		--listen-address="$ip" --port=53 --local=/example/ "$@"
	wait_for 5 "DNS of $n" udp_bound "$n" "$ip:53"
}
ip -n "$P-lan" addr add 10.20.0.53/24 dev l0
out=()
for d in "$DOMAIN" socks.example; do out+=(--srv-host="_xmpp-server._tcp.$d,$EDGE_NAME,5269"); done
for d in partner liar; do out+=(--srv-host="_xmpp-server._tcp.$d.example,xmpp.$d.example,5269"); done
names inet 203.0.113.53 "${out[@]}" --address="/$EDGE_NAME/$EDGE_OUT" --address=/xmpp.partner.example/203.0.113.60 \
	--address=/xmpp.liar.example/203.0.113.61
# For the servers inside the core is whatever server they look for.
names lan 10.20.0.53 --address="/core.$DOMAIN/$CORE_LAN" --srv-host="_xmpp-server._tcp.partner.example,core.$DOMAIN,5270" \
	--srv-host="_xmpp-server._tcp.liar.example,core.$DOMAIN,5270" --srv-host="_xmpp-server._tcp.denied.example,core.$DOMAIN,5270"
pki_ca web-ca
pki_ca other-ca
IM_CA=other-ca im_cert liar liar.example
unbound() { printf 'unbound = { resolvconf = false, hoststxt = false, forward = "%s" }\ns2s_secure_auth = true\n' "$1"; }
export IM_NO_ROOMS=1 IM_S2S=1
IM_MORE=$(unbound 10.20.0.53) prosody_at prosody lan "$IM" l0 "$DOMAIN"
IM_MORE=$(unbound 10.20.0.53; printf 'onions_tor_all = true\nonions_socks5_host = "%s"\nonions_socks5_port = 5270\n' "$CORE_LAN") \
	IM_MODULES='"onions"' prosody_at socks lan 10.20.0.61 l0 socks.example
IM_MORE=$(unbound 203.0.113.53) IM_USERS=pat prosody_at partner inet 203.0.113.60 br0 partner.example
IM_MORE=$(unbound 203.0.113.53) IM_USERS=mallory prosody_at liar inet 203.0.113.61 br0 liar.example
prosody_ready prosody lan "$IM"
prosody_ready socks lan 10.20.0.61
prosody_ready partner inet 203.0.113.60
prosody_ready liar inet 203.0.113.61
export MORE_DOMAINS=socks.example
CHAT_EDGE="  federation: {listen: [\"$EDGE_OUT:5269\"], dial: on, dns: 203.0.113.53}"
chat_sections "$IM" "    - {name: socks, domains: [socks.example], nodes: [10.20.0.61], ca: \"$RUN/pki/web-ca.pem\"}
  federation:
    domains: [$DOMAIN, socks.example]
    deny: [denied.example]
    listen: \"$CORE_LAN:5270\"
    sources: [$KAM]" # whatever a server listens on, it dials from the first address of its host
pair_up
chat <<'PY'
def fed():
    return ctl("core", "status")["xmpp"]["federation"]


def log(name):
    return open(f"{E['RUN']}/log/{name}.log", errors="replace").read()


a = await Client("alice").login()
s = await Client("bob", domain="socks.example").login(ns="lan", host="10.20.0.61")
p = await Client("pat", domain="partner.example").login(host="203.0.113.60")
p.say(f"alice@{DOMAIN}", "from partner")
await until(10, "partner's message, in", lambda: a.bodies("pat") == ["from partner"])
check(fed()["in"] == 1, f"{fed()}")
a.say("pat@partner.example", "to partner")
await until(10, "ours, out", lambda: p.bodies("alice") == ["to partner"])
check(fed()["dials"] == 1 and fed()["dial_failures"] == 0, f"{fed()}")
rows = {r["service"]: r for r in ctl("core", "streams")}
check(rows["xmpp-dial"]["server"] == "partner.example" and rows["xmpp-server"]["server"] == "partner.example", f"{rows}")
step("messages to and from another organisation; ours dials by its stream header")

s.say("pat@partner.example", "by socks")
await until(10, "by SOCKS5", lambda: p.bodies("bob") == ["by socks"])
p.say("bob@socks.example", "back")
await until(10, "and back", lambda: s.bodies("pat") == ["back"])
step("and by SOCKS5")

a.say("mallory@liar.example", "secret")
await until(10, "an error", lambda: a.errors("mallory"))
m = Client("mallory", domain="liar.example")
m.ca_certs = f"{E['RUN']}/pki/other-ca.pem"
await m.login(host="203.0.113.61")
m.say(f"alice@{DOMAIN}", "trust me")
await until(10, "an error there", lambda: m.errors("alice"))
check(not m.bodies() and not a.bodies("mallory"), "nothing passed")
refused = "liar.example because its certificate is not trusted"
check(log("prosody").count(refused) == 2, "it was ours who looked, both times")
check(fed()["dials"] == 3 and fed()["in"] == 3, f"{fed()}")
step("a server with a certificate of nobody we know: refused by ours, who checked it")

a.say("eve@denied.example", "hello")
await until(10, "an error for who is denied", lambda: a.errors("eve"))
check(fed()["denied"] == 1 and fed()["dials"] == 3, f"{fed()}")
r = Raw(port=5269)
r.send(f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' from='denied.example' version='1.0' xmlns='jabber:server' "
       "xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>")
check("policy-violation" in r.read() and fed()["denied"] == 2, f"{r.got} {fed()}")
step("a domain on the deny list, both directions")


def socks(source, url):
    return subprocess.run(["curl", "-sS", "-m", "5", "--interface", source, "--socks5-hostname", f"{E['CORE_LAN']}:5270", url], capture_output=True,
                          text=True, preexec_fn=lambda: enter("lan")).returncode


check(socks(E["KAM"], "http://partner.example:80/") == 97 and fed()["malformed"] == 1, f"{fed()}")
check(socks(E["BOB"], "http://partner.example:5269/") == 97 and fed()["foreign"] == 1, f"{fed()}")
step("SOCKS5 to another port, and by somebody else, is refused")

r = Raw(host=E["CORE_LAN"], port=5270, ns="lan")
r.send(b"\5\1\0\5\1\0\3\x0fpartner.example" + (5269).to_bytes(2, "big"))
await until(10, "the way", lambda: fed()["dials"] == 4)
while len(r.got) < 12:
    r.got += r.s.recv(100)
check(r.got[2:4] == b"\5\0", f"{r.got}")
r.send("<?xml version='1.0'?><stream:stream to='partner.example' from='elsewhere.example' version='1.0' xmlns='jabber:server' "
       "xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>")
text = r.read()
check("policy-violation" in text and "features" not in text and fed()["denied"] == 3, f"{text} {fed()}")
step("a way that SOCKS5 opened is for domains of ours that federate")
PY
[ "$(inner_dropped)" = 0 ] || fail "the edge tried to reach inside"
