#!/bin/bash
# t_identity.sh -- after admission: forged From refused, forged trusted headers removed, Route that points inwards elsewhere refused
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up TRUST_HEADER
pair_up
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"
a, b = outside(), inside()
sdp = make_sdp(a.ip, 40000, [(SUITE, new_key(SUITE))])


def seen(call_id):
    return [l for l in log_text("kamailio").splitlines() if "seen " in l and f"id={call_id}" in l]


def refused(what, want, **kw):
    step(what)
    d, r = a.invite(b.aor, sdp, **kw)
    check(r.status in want, f"{want}, not {r.start}")
    check(not seen(d.call_id), f"the call server saw it: {seen(d.call_id)}")


refused("From of another user", [403], from_=f"<sip:bob@{DOMAIN}>")
refused("P-Preferred-Identity of another user", [403], headers=[f"P-Preferred-Identity: <sip:bob@{DOMAIN}>"])
refused("Route to a host inside", [403, 404], headers=["Route: <sip:10.20.0.40:5060;lr>"])
refused("Route to the call server itself, not published to us", [403, 404], headers=["Route: <sip:10.20.0.30:5060;lr>"])
refused("Route with our name and a made-up token", [403, 404], headers=[f"Route: <sip:AAAAAAAAAAAAAAAAAAAAAAAA@edge.{DOMAIN}:5061;transport=tls;lr>"])

step("headers that the call server would trust are removed")
d, _ = a.invite(b.aor, sdp, final=False, headers=[
    "X-Trusted-Edge: 1", "x-trusted-edge : 1", f"P-Asserted-Identity: <sip:bob@{DOMAIN}>", f"Remote-Party-ID: <sip:bob@{DOMAIN}>"])
d.challenged()  # had the header passed, Kamailio would not have asked for credentials
first = wait_until(3, "the call server's log", lambda: seen(d.call_id))[0]
check("trusted=<null>" in first and "pai=<null>" in first, first)
i = b.expect("INVITE")
check(not i.get("x-trusted-edge") and not i.get("p-asserted-identity") and not i.get("remote-party-id"), i.text())
b.reply(i, 486, "Busy Here", totag="x")
check(d.final().status == 486, "the call itself goes on")
b.expect("ACK")

step("a Path of the client's own does not reach the registrar")
r = a.register(headers=["Path: <sip:10.20.0.99;lr>"])
check(r.status == 200, r.start)
check("10.20.0.99" not in log_text("kamailio"), "the forged Path came through")
flows_gone()

step("the core's inside listener hears only the call server")
n = admin("core", "status")["counters"]["requests"]
for transport in ("udp", "tcp"):
    try:
        u = Ua("bob", "lan", server=("10.20.0.20", 5060), transport=transport)
        u.request("OPTIONS", f"sip:alice@{DOMAIN}")
        u.nothing("answer", lambda m: True, 0.7)
    except (Closed, OSError):
        pass
check(admin("core", "status")["counters"]["requests"] == n, "a stranger inside was heard")
PY
