#!/bin/bash
# t_shapes_timer.sh -- session timers (RFC 4028) in every direction: refreshed by both parties the call goes on, by none it ends on both sides
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
from shapes import *
INTERVAL = 6  # the core waits a third longer


def timer(who):
    return ["Supported: timer", f"Session-Expires: {INTERVAL};refresher={who}"]


def refresh(dlg, a, b, method):
    """By UPDATE without a description, or by a re-INVITE with the same one."""
    dlg.cseq, dlg.auth = dlg.cseq + 1, []
    body = a.offer() if method == "INVITE" else b""
    dlg.ua.send(dlg.lines(method, extra=timer("uac")), body)
    branch = dlg.ua.last_branch
    q = b.ua.expect(method)
    check(q.get("session-expires") == f"{INTERVAL};refresher=uac" and q.all("session-expires")[1:] == [], q.text())
    if body:
        b.sees(q.body)
    b.ua.reply(q, 200, "OK", contact(b, "Require: timer", f"Session-Expires: {INTERVAL};refresher=uac"), b.answer() if body else b"")
    r = dlg.ua.response(branch, method)
    check(r.status == 200 and r.get("session-expires") == f"{INTERVAL};refresher=uac", r.text())
    if body:
        a.sees(r.body)
        dlg.ua.send(dlg.lines("ACK"))
        b.ua.expect("ACK")


def session_timer(x, y):
    d, i = begin(x, y, x.offer(), timer("uac"))
    check(i.get("session-expires") == f"{INTERVAL};refresher=uac" and "timer" in i.get("supported"), i.text())
    y.sees(i.body)
    y.ua.reply(i, 200, "OK", contact(y, "Require: timer", f"Session-Expires: {INTERVAL};refresher=uac"), y.answer(), "t")
    rd = Dialog(y.ua, i.uris("contact")[0])
    rd.from_invite(i, "t")
    ok = d.final(ack=False)
    check(ok.status == 200 and ok.get("require") == "timer", ok.text())
    d.ua.send(d.lines("ACK", cseq=d.invite_cseq, extra=d.auth))
    y.ua.expect("ACK")
    x.sees(ok.body)
    begun = time.monotonic()
    for dlg, a, b, method in ((d, x, y, "UPDATE"), (rd, y, x, "UPDATE"), (rd, y, x, "INVITE"), (d, x, y, "UPDATE"), (d, x, y, "INVITE"), (rd, y, x, "UPDATE")):
        talk(x, y)
        refresh(dlg, a, b, method)
    wait_until(10, "longer than one interval", lambda: time.monotonic() - begun > INTERVAL * 4 / 3 + 1)
    check(admin("core", "calls"), "the call goes on")
    talk(x, y)
    for p in (x, y):  # nobody refreshes any more
        bye = p.ua.expect("BYE", 30)
        p.ua.reply(bye, 200, "OK")
    wait_until(5, "no call", lambda: admin("core", "calls") == [])
    log_wait("core", "event=call-ended .*reason=session-expired")
    for p in (x, y):  # outside to outside, each pass says it
        while more := [m for m in p.ua.inbox if m.method == "BYE"]:
            p.ua.inbox.remove(more[0])


uas = [outside(), inside(), outside("carol", E["CAROL"])]
ends = {"out-in": (0, 1), "in-out": (1, 0), "out-out": (0, 2)}
table((session_timer,), uas, lambda way, n: [Party(uas[i], 40000 + 1000 * k + 20 * n, 600 * (k + 1)) for k, i in enumerate(ends[way])])
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
