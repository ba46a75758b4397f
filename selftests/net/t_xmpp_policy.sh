#!/bin/bash
# t_xmpp_policy.sh -- chat servers that are not in order, clients that try too often, one that does not read, a domain that is off
#
#	203.0.113.50 --tls-- edge (dmz) ==link== core (inside) --+-- Prosody 10.20.0.60 (plain)
#	                                                         +-- fakes 10.20.0.61..66: redirects, going down, silent, a flood, dropping
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_xmpp.sh"
net_isolate "$@"
need nft ethtool
need_chat
net_up
fake() { # fake N MODE...
	local n=$1

	shift
	ip -n "$P-lan" addr replace "10.20.0.$n/24" dev l0
	start "fake$n" lan /usr/bin/python3 "$NET/fakeim.py" "10.20.0.$n" "$@"
	wait_for 5 "fake $n" tcp_bound lan "10.20.0.$n:5222"
}
domains=(twice.example away.example down.example flood.example drop.example off.example)
im_cert xmpp "$EDGE_NAME" "$DOMAIN" "${domains[@]}"
IM_NO_ROOMS=1 IM_MORE='c2s_require_encryption = false
allow_unencrypted_plain_auth = true' prosody_at prosody lan "$IM" l0 "$DOMAIN" twice.example down.example
prosody_ready prosody lan "$IM"
fake 61 redirect "$IM"
fake 62 redirect evil.example
fake 63 shutdown
fake 64 silent
fake 65 flood 33554432
fake 66 drop
MORE_DOMAINS=$(IFS=,; echo "${domains[*]}")
IM_TLS=none chat_sections "$IM" "    - {name: twice, domains: [twice.example], nodes: [10.20.0.61, $IM], tls: none}
    - {name: away, domains: [away.example], nodes: [10.20.0.62], tls: none}
    - {name: down, domains: [down.example], nodes: [10.20.0.63, 10.20.0.64, $IM], tls: none}
    - {name: flood, domains: [flood.example], nodes: [10.20.0.65], tls: none}
    - {name: drop, domains: [drop.example], nodes: [10.20.0.66], tls: none}
    - {name: off, domains: [off.example], nodes: [$IM], tls: none}
  off: [off.example]
  limits: {attempts: 3, attempts_user: 4, attempts_address: 6, ban_seconds: 60, login_seconds: 10}"
openssl genpkey -algorithm ed25519 -out "$RUN/session.pem"
chmod 644 "$RUN/session.pem"
CORE_MORE="$CORE_MORE
https:
  token_keys: [\"$RUN/session.pem\"]
  clusters: [{name: hq, domains: [$DOMAIN], nodes: [10.20.0.99], scheme: http}]
  users: [{user: carol, domain: $DOMAIN, access: [sip]}]"
pair_up
chat <<'PY'
import base64


def xmpp():
    return ctl("core", "status")["xmpp"]


def auth(password, user="alice"):
    token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>"


idle = Raw().secure()
slow = Raw(port=5223, sni="flood.example").open("flood.example")
slow.read("</stream:features>")
slow.send(auth("x"))
slow.read("<success")

for i in range(4):
    c = await Client("alice", domain="twice.example").login(presence=False)
    rows = [r["server"] for r in ctl("core", "streams") if r["aors"] == "alice@twice.example"]
    check(rows == [f"{IM}:5222"], f"{rows}")
    c.abort()
    await until(5, "gone", lambda: not [r for r in ctl("core", "streams") if r["aors"] == "alice@twice.example"])
check(xmpp()["redirects"] >= 1, f"{xmpp()}")
step("see-other-host to a server of ours is followed, and the client sees nothing of it")

text = Raw(port=5223, sni="away.example").open("away.example").read()
check("remote-connection-failed" in text and "see-other-host" not in text, text)
step("one to anybody else is not")

c = await Client("bob", domain="down.example").login(presence=False)
nodes = {n["node"]: n for k in xmpp()["clusters"] if k["cluster"] == "down" for n in k["nodes"]}
check(nodes[f"{IM}:5222"]["logins"] == 1, f"{nodes}")
check(sum(n["failures"] for n in nodes.values()) >= 1, f"{nodes}")
step("servers that go down or say nothing are passed over")

r = Raw(port=5223, sni="drop.example").open("drop.example")
r.read("</stream:features>")
r.got = bytearray()
r.send(auth("x"))
text = r.read()
n = open(f"{E['RUN']}/log/fake66.log").read().count("auth")
check("remote-connection-failed" in text and n == 2, f"{n} times; {text}")
step("one that dies of what it is told is told it once more, and not for ever")

text = Raw(port=5223, sni="off.example").open("off.example").read()
check("host-unknown" in text and xmpp()["ends"]["no such domain"] == 1, text)
step("a domain that is off")

text = idle.read()
check("connection-timeout" in text and xmpp()["ends"]["too late"] == 1, text)
step("a client that does not log in")

row = next(r for r in ctl("core", "streams") if r["aors"] == "alice@flood.example")
check(row["bytes_out"] < 16000000, f"a client that does not read is not read for: {row['bytes_out']}")
text = slow.read("<end/>")
check(text.count("<message>") == 33554432 // 4096, f"{text.count('<message>')} messages")
step("32 MiB to a client that reads late: bounded in between, and all there in the end")

r = Raw().secure()
r.send(auth("pw-carol", "carol"))
check("<not-authorized" in r.read("</failure>") and xmpp()["denied"] == 1, f"{xmpp()}")
r.got = bytearray()
r.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>")
check("<invalid-mechanism" in r.read("</failure>") and xmpp()["login_failures"] == 0, f"{xmpp()}")
r = Raw().secure()
for i, name in enumerate(("\uff43arol", "carol@elsewhere.example")): # the first is carol to whoever prepares names
    r.got = bytearray()
    r.send(auth("pw-carol", name))
    check("<not-authorized" in r.read("</failure>") and xmpp()["denied"] == 3 + i, f"{name}: {xmpp()}")
step("a user without access to chat, and one who cannot be known: the server is not even asked")

r = Raw().secure()
for i in range(3):
    r.got = bytearray()
    r.send(auth(f"wrong{i}"))
    r.read("</failure>")
text = r.read()
check("policy-violation" in text, text)
r = Raw().secure()
r.send(auth("wrong"))
r.read("</failure>")
r.got = bytearray()
r.send(auth("pw-alice"))
text = r.read("</failure>")
check("temporary-auth-failure" in text and xmpp()["denied"] == 5, text)
r.got = bytearray()
r.send(auth("pw-bob", "bob"))
r.read("<success")
step("a stream gets three attempts; a user four, then nobody asks the server any more; another user may")
for i in range(2):
    r = Raw().secure()
    r.send(auth("wrong", f"nobody{i}"))
    r.read("</failure>")
await until(5, "the address banned", lambda: xmpp()["bans"] == 1)
try:
    Raw().secure()
except (Failed, OSError):
    pass
else:
    raise Failed("a banned address got in")
step("an address with too many failures is banned by the edge")
PY
