#!/bin/bash
# t_auth.sh -- who is admitted: only a 200 to credentials for a nonce of this call server
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
script <<'PY'
def admitted(u):
    rows = admin("core", "streams")
    rows = rows if isinstance(rows, list) else rows["streams"]
    mine = [r for r in rows if r["client"].endswith(f":{u.conn.local[1]}")]
    return bool(mine and mine[0]["admitted"])


step("a wrong password is never admitted")
a = Ua("alice")
for _ in range(3):
    check(a.register(password="wrong").status == 401, "401")
    check(not admitted(a), "not admitted")
check(a.register().status == 200 and admitted(a), "the right one is")
step("a phone whose name ends in half a character (it is cut after 128 bytes) is shown all the same")
check(a.register(headers=["User-Agent: " + 127 * "x" + "\u00e9"]).status == 200, "registered")
check([r["user_agent"] for r in admin("core", "regs")] == [127 * "x" + "?"], f"in regs: {admin('core', 'regs')}")
step("a phone that reconnects with its cached nonce is admitted at once")
a.conn.abort()
a.connect()
check(a.register(cached=True).status == 200 and admitted(a), "200 at the first request")
wait_until(5, "one binding, on the new stream", lambda: len([1 for r in admin("core", "streams") if r["admitted"]]) == 1)
PY
stop kamailio
kamailio_up OPEN_REGISTER
script <<'PY'
def admitted():
    return [r for r in admin("core", "streams") if r["admitted"] and "mallory" in r["aors"]]


step("an unchallenged 200 is never admitted, and its binding is taken back")
m = Ua("mallory", ip=E["CAROL"])
r = m.register()
check(r.status == 403, f"403, not {r.start}")
check(not admitted(), "not admitted")
log_wait("kamailio", "registered user=mallory")
step("nor one to credentials for a nonce that the call server never gave")
m.challenge = {"realm": DOMAIN, "nonce": "Zm9yZ2VkIG5vbmNl", "qop": "auth"}
r = m.register(cached=True)
check(r.status == 403 and not admitted(), f"403, not {r.start}")
wait_until(5, "the binding at the call server taken back",
           lambda: "Contact:" not in ns_run("lan", "kamcmd", "-s", f"unix:{E['RUN']}/kamailio.ctl", "ul.lookup", "location", "mallory").stdout)
PY
stop kamailio
kamailio_up SHA256 AUTH_INT
script <<'PY'
step("SHA-256; auth-int is taken out of the challenge, since bodies are rewritten")
b = inside()
a = outside()
check(a.challenge["algorithm"] == "SHA-256" and a.challenge["qop"] == "auth", f"{a.challenge}")
check("int" in b.challenge["qop"], f"the call server offers auth-int: {b.challenge}")
call = Call(a, b)
check(call.d.challenge["qop"] == "auth", f"{call.d.challenge}")
hangup(call.d, b)
flows_gone()
PY
