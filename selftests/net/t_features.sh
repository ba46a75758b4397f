#!/bin/bash
# t_features.sh -- what a line-side feature needs passes as it is: REFER with Replaces, INFO, MESSAGE, SUBSCRIBE and NOTIFY, unknown headers
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
a, b = outside(), inside()
odd = ["X-Line-Key: 7;mode=\"whisper, then barge\"", "X-Odd: \xe9\u4e2d", "Alert-Info: <urn:alert:service:call-waiting>"]


def same(m, *names):
    for n in names:
        want = [h.split(":", 1)[1].strip() for h in odd if h.lower().startswith(n.lower())][0]
        check(m.get(n) == want, f"{n}: {m.get(n)} instead of {want}")


call = Call(a, b)
step("REFER with Replaces from inside, unknown headers intact")
refer = f"<sip:carol@{DOMAIN}?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>"
q, r = exchange(call.rd, a, "REFER", 202, "Accepted", headers=[f"Refer-To: {refer}", *odd])
check(r.status == 202 and q.get("refer-to") == refer, q.text())
same(q, "X-Line-Key", "X-Odd", "Alert-Info")
check(q.get("call-id") == call.rd.call_id, "Call-ID passes")
step("NOTIFY and INFO from outside")
q, r = exchange(call.d, b, "NOTIFY", body=b"SIP/2.0 100 Trying\r\n", headers=["Event: refer", "Subscription-State: active", *odd])
check(r.status == 200 and q.body == b"SIP/2.0 100 Trying\r\n", q.text())
same(q, "X-Line-Key", "X-Odd")
q, r = exchange(call.d, b, "INFO", headers=odd)
check(r.status == 200, r.start)
hangup(call.d, b)
flows_gone()

step("MESSAGE both ways")
for x, y in ((a, b), (b, a)):
    d = Dialog(x, y.aor)
    branch = d.send_authorized("MESSAGE", odd, "h\xe9llo".encode(), "text/plain;charset=utf-8")
    m = y.expect("MESSAGE")
    check(m.body == "h\xe9llo".encode(), m.text())
    same(m, "X-Line-Key", "X-Odd")
    y.reply(m, 200, "OK", totag="m")
    check(x.response(branch, "MESSAGE").status == 200, "200")

step("SUBSCRIBE from outside, NOTIFY from inside along its route")
d = Dialog(a, b.aor)
branch = d.send_authorized("SUBSCRIBE", ["Event: dialog;sla", "Expires: 300", *odd])
m = b.expect("SUBSCRIBE")
same(m, "X-Line-Key")
check(m.get("event") == "dialog;sla", m.text())
b.reply(m, 200, "OK", [f"Contact: {b.contact}", "Expires: 300"], totag="sub")
r = a.response(branch, "SUBSCRIBE")
check(r.status == 200, r.start)
n = Dialog(b, m.uris("contact")[0])
n.from_invite(m, "sub")
q, r = exchange(n, a, "NOTIFY", body=b"<dialog-info/>", headers=["Event: dialog;sla", "Subscription-State: active;expires=299"])
check(r.status == 200 and q.body == b"<dialog-info/>", q.text())
PY
