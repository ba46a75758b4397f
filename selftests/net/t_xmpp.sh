#!/bin/bash
# t_xmpp.sh -- chat through both doors, to a real server: how one logs in and how not, messages, presence, roster, rooms, resumption
#
#	203.0.113.50 alice --tls 5222, 5223-- edge (dmz) ==link== core (inside) --starttls-- Prosody 10.20.0.60 -- bob
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_xmpp.sh"
net_isolate "$@"
need nft ethtool
need_chat
net_up
IM_MORE='sasl_max_attempts = 20' prosody_up
chat_sections
pair_up
export IM
chat <<'PY'
outside, inside = {"host": EDGE}, {"host": IM, "ns": "lan"}


def row(user):
    return next((r for r in ctl("core", "streams") if r.get("aors") == f"{user}@{DOMAIN}"), None)


for port in (5222, 5223):
    for mech in ("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN"):
        a = await Client("alice", mech=mech).login(port=port)
        r = await until(5, "the edge told of the admission", lambda: (row("alice") or {}).get("admitted") and row("alice"))
        check(r["server"] == f"{IM}:5222" and r["service"] == "xmpp", f"{r}")
        check(any(s["admitted"] for s in ctl("edge", "streams") if s.get("service") == "xmpp"), "admitted on the edge")
        a.disconnect()
        await until(5, "alice gone", lambda: not row("alice"))
step("SCRAM-SHA-1, SCRAM-SHA-256 and PLAIN; STARTTLS and direct TLS")

bad = Client("alice", password="wrong")
await bad.dial()
await until(5, "refused", lambda: bad.saw("failed_all_auth"))
x = ctl("core", "status")["xmpp"]
check(x["logins"] == 6 and x["login_failures"] >= 1 and not row("alice"), f"{x}")
bad.abort()
step("a wrong password")

b = await Client("bob", plugins=["xep_0045"]).login(**inside)
a = await Client("alice", plugins=["xep_0198", "xep_0045"]).login(**outside)
a.say("bob", "from outside")
b.say("alice", "from inside")
await until(5, "messages both ways", lambda: b.bodies() == ["from outside"] and a.bodies() == ["from inside"])
step("messages")

for c, to in ((a, "bob"), (b, "alice")):
    c.auto_authorize = c.auto_subscribe = True
a.send_presence_subscription(pto=f"bob@{DOMAIN}", ptype="subscribe")
await until(5, "a roster with bob", lambda: f"bob@{DOMAIN}" in a.client_roster and a.client_roster[f"bob@{DOMAIN}"]["subscription"] in ("to", "both"))
b.send_presence(pshow="away", pstatus="lunch")
await until(1, "bob's presence, within a second", lambda: any(p["show"] == "away" and p["status"] == "lunch" for p in a.presences))
step("roster and presence")

room = f"tea@conference.{DOMAIN}"
for c in (a, b):
    await c["xep_0045"].join_muc_wait(room, c.user, timeout=5)
a.say(room, "anybody there?", "groupchat")
await until(5, "the room", lambda: "anybody there?" in b.bodies())
step("a room")

big = "x" * 200000
a.say("bob", big)
b.say("alice", big)
await until(10, "200,000 bytes both ways", lambda: big in b.bodies() and big in a.bodies())
step("large messages")

n = len(a.bodies())
check(a["xep_0198"].sm_id, "her stream is managed")
a.cut()
await until(5, "cut", lambda: a.saw("disconnected"))
await until(5, "the core has let go", lambda: not row("alice"))
for i in range(20):
    b.say("alice", f"in {i}")
    a.say("bob", f"out {i}")
await a.dial(**outside)
await until(5, "resumed", lambda: a.saw("session_resumed"))
await until(5, "what was sent to her", lambda: a.bodies()[n:] == [f"in {i}" for i in range(20)])
await until(5, "what she sent", lambda: [m for m in b.bodies("alice") if m.startswith("out")] == [f"out {i}" for i in range(20)])
b.say("alice", "last")
await until(5, "and nothing comes twice", lambda: a.bodies()[n:] == [f"in {i}" for i in range(20)] + ["last"])
step("resumed after a cut: nothing lost, nothing doubled")
PY
ctl core trace alice >"$RUN/trace" || fail "nothing is known of alice"
py '{"logged in", "log-in failed"} <= {e["text"].split(":")[0] for e in d["events"] if e["what"] == "chat"}' <"$RUN/trace" ||
	fail "alice's log-ins are not in the trace: $(py '{e["text"] for e in d["events"] if e["what"] == "chat"}' <"$RUN/trace")"
[ "$(inner_dropped)" = 0 ] || fail "the edge tried to reach inside"
