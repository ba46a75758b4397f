#!/bin/bash
# t_contact_mode.sh -- a call server that knows no Path: devices are registered as URIs of the core, and called by them
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30 without Path
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool baresip dnsmasq
net_up
kamailio_up NO_PATH
KAM_MODE=contact pair_up
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"


def stored(user="alice"):
    """The contacts that the call server has."""
    out = ns_run("lan", "kamcmd", "-s", f"unix:{E['RUN']}/kamailio.ctl", "ul.lookup", "location", user).stdout
    return re.findall(r"Address: (\S+)", out)


def contacts(m):
    return re.findall(r"<(sips?:[^>]+)>", ", ".join(m.all("contact")))


def in_dialog(d, uri, what):
    check(d.target == uri, f"{what}: the dialog's target is the core's URI: {d.target}")


step("register: the call server has a URI of the core, the client its own back")
a, b = Ua("alice"), inside()
r = a.register()
check(r.status == 200, r.start)
uri = stored()
check(len(uri) == 1 and re.fullmatch(r"sip:[\w-]+@10\.20\.0\.20:5060;transport=udp", uri[0]), f"{uri}")
uri = uri[0]
check(contacts(r) == [a.contact[1:-1]], f"its own Contact: {r.get('contact')}")
check("expires=300" in r.get("contact") and f'+sip.instance="<{a.instance}>"' in r.get("contact"), r.get("contact"))
check("path=<null>" in log_text("kamailio") and "path=<sip" not in log_text("kamailio"), "no Path is sent")

step("call in: the client gets its own Contact as Request-URI; requests in the dialog from both; the callee hangs up")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i = a.expect("INVITE")
check(i.uri == a.contact[1:-1], i.uri)
tx = (SUITE, new_key(SUITE))
rd = inside_answer(a, i, srtp_answer(a.ip, 40000, Sdp(i.body), tx), d)
in_dialog(d, uri, "bob's")
check(rd.ack_seen.uri == a.contact[1:-1], f"ACK: {rd.ack_seen.uri}")
for dd, other in ((d, a), (rd, b), (d, a)):
    req, r = exchange(dd, other, "INFO")
    check(r.status == 200 and req.uri == other.contact[1:-1], f"{r.start} {req.uri}")
hangup(rd, b)
flows_gone()

step("call out; a re-INVITE from inside; the callee inside hangs up")
call = Call(a, b)
check(call.invite.uris("contact") == [uri], f"Contact of the INVITE: {call.invite.get('contact')}")
seen, got = reoffer(call.rd, a, make_sdp(b.ip, 41010, version=2), lambda o: srtp_answer(a.ip, 40000, o, call.tx))
x = Rtp("inet", f"{a.ip}:40000", seen.addr, 1, 600, call.tx, seen.key(SUITE))
y = Rtp("lan", f"{b.ip}:41010", got.addr, 1, 1200)
tones(x.result(), y.result(), 1200, 600, 0.5)
hangup(call.rd, a)
flows_gone()

step("in a call the connection is lost; registered again from another port: one contact still, and the dialog goes on")
call = Call(a, b)
a.conn.abort()
before = a.contact
a.connect()
check(a.contact != before and a.register(cached=True).status == 200, "registered again")
check(stored() == [uri], f"{stored()}")
req, r = exchange(call.rd, a, "INFO")
check(r.status == 200 and req.uri == before[1:-1], f"the dialog's own Contact, as the client gave it: {req.uri}")
hangup(call.d, b)
flows_gone()
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
i = a.expect("INVITE")
check(i.uri == a.contact[1:-1], f"a new call comes to the new Contact: {i.uri}")
a.reply(i, 486, "Busy Here", totag="x")
check(d.final().status == 486, "486")
a.expect("ACK")

step("a second device: both are seen in each 200 by their own Contacts, with their own expires; a call rings both")
m = Ua("alice", ip=E["CAROL"])
m.instance = f"urn:uuid:{uuid.uuid4()}"
r = m.register(expires=120)
check(r.status == 200, r.start)
mine = {c.split(">")[0][1:]: c for v in r.all("contact") for c in re.split(r", (?=<)", v)}
check(set(mine) == {a.contact[1:-1], m.contact[1:-1]}, f"{r.all('contact')}")
check("expires=120" in mine[m.contact[1:-1]] and "expires=120" not in mine[a.contact[1:-1]], f"{mine}")
check(len(set(stored())) == 2 and uri in stored(), f"{stored()}")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
for u in (a, m):
    i = u.expect("INVITE")
    check(i.uri == u.contact[1:-1], i.uri)
    u.reply(i, 486, "Busy Here", totag=u.ip)
    u.expect("ACK")
check(d.final().status == 486, "486")

step("unregister: one device, then the other; a call finds nobody")
r = m.register(expires=0, cached=True)
check(r.status == 200 and contacts(r) == [a.contact[1:-1]], f"{r.text()}")
check(stored() == [uri], f"{stored()}")
check(a.register(expires=0, cached=True).status == 200 and stored() == [], f"{stored()}")
check(admin("core", "regs") == [], f"{admin('core', 'regs')}")
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
d.challenged()
check(d.final().status == 404, "404 of the call server")
flows_gone()
PY
say "  real phones: outside-inside, inside-outside, outside-outside"
PHONE_REGINT=30 phones_up alice carol bob
for pair in "alice bob" "bob alice" "alice carol"; do
	# shellcheck disable=SC2086
	set -- $pair
	talk "$1" "$2" 2
	both_heard "$1" "$2" 1
	wait_for 5 "no flows" no_flows
done
say "  the caller's phone hangs up, then the callee's"
phone bob dial "sip:alice@$DOMAIN" >/dev/null
wait_for 10 "bob in a call" phone_established bob
wait_for 5 "alice in a call" phone_established alice
phone alice hangup >/dev/null
wait_for 5 "bob idle" phone_idle bob
wait_for 5 "no flows" no_flows
