#!/bin/bash
# t_shapes_dialog.sh -- transfers that complete, and what is published, in every direction
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
from urllib.parse import quote, unquote


def notify(d, other, status, state):
    frag = f"SIP/2.0 {status}\r\n".encode()
    q, r = exchange(d, other, "NOTIFY", body=frag, ctype="message/sipfrag", headers=["Event: refer", f"Subscription-State: {state}"])
    check(r.status == 200 and q.body == frag, q.text())


def referred(x, target, headers):
    """What x does when it is told to: a call of its own. Returns dialog and the INVITE as the target sees it."""
    x.fresh()
    x.port += 4
    d, i = begin(x, target, x.offer(), headers)
    target.sees(i.body)
    return d, i


def blind_transfer(x, y, z):
    """y has x call z, and has gone before z answers."""
    d, rd = established(x, y)
    talk(x, y)
    q, r = exchange(rd, x.ua, "REFER", 202, "Accepted", headers=[f"Refer-To: <{z.ua.aor}>", f"Referred-By: <{y.ua.aor}>"])
    check(r.status == 202 and q.uris("refer-to") == [z.ua.aor], q.text())
    notify(d, y.ua, "100 Trying", "active;expires=60")
    hangup(rd, x.ua)
    n, i = referred(x, z, [f"Referred-By: {q.get('referred-by')}"])
    check(i.uris("referred-by") == [y.ua.aor], i.text())
    rn = accept(n, z, i, z.answer())
    x.sees(rn.ok.body)
    talk(x, z)
    hangup(rn, x.ua)


def attended_transfer(x, y, z):
    """y calls z as well, then has x take over that call: INVITE with Replaces of a dialog that z finds among its own."""
    d, rd = established(x, y)
    talk(x, y)
    consult = Party(y.ua, y.port + 8, y.hz)
    cd, crd = established(consult, z)
    talk(consult, z)
    replaces = f"{cd.call_id};to-tag={tag_of(cd.remote)};from-tag={tag_of(cd.local)}"
    q, r = exchange(rd, x.ua, "REFER", 202, "Accepted", headers=[f"Refer-To: <{z.ua.aor}?Replaces={quote(replaces, safe='')}>", f"Referred-By: <{y.ua.aor}>"])
    check(r.status == 202, r.start)
    notify(d, y.ua, "100 Trying", "active;expires=60")
    uri, _, told = q.uris("refer-to")[0].partition("?Replaces=")
    check(uri == z.ua.aor and unquote(told) == replaces, q.text())
    old = z.port, z.tx
    z.fresh()
    z.port += 4
    n, i = referred(x, z, [f"Replaces: {unquote(told)}", "Require: replaces", f"Referred-By: {q.get('referred-by')}"])
    cid, tags = i.get("replaces").split(";", 1)
    check(cid == crd.call_id and tags == f"to-tag={tag_of(crd.local)};from-tag={tag_of(crd.remote)}", f"z finds its dialog by it: {i.text()}")
    rn = accept(n, z, i, z.answer())
    x.sees(rn.ok.body)
    hangup(crd, y.ua)
    notify(d, y.ua, "200 OK", "terminated;reason=noresource")
    hangup(rd, x.ua)
    wait_until(3, "only the new call's flows", lambda: {f["client"] for f in flows()} == {p.ua.ip for p in (x, z) if p.out})
    talk(x, z)
    z.port, z.tx = old
    hangup(n, z.ua)


def publish(x, y, z):
    """PUBLISH, its entity tag, its refresh, its end; and one that is refused."""
    etag = []
    for expires, body in ((300, b"<presence entity='pres:x'/>"), (300, b""), (0, b"")):
        p = Dialog(x.ua, y.ua.aor)
        p.auth = []
        branch = p.send_authorized("PUBLISH", ["Event: presence", f"Expires: {expires}", *[f"SIP-If-Match: {e}" for e in etag]], body, "application/pidf+xml")
        q = y.ua.expect("PUBLISH")
        check((q.get("event"), q.get("expires"), q.body) == ("presence", str(expires), body), q.text())
        check(q.all("sip-if-match") == etag, q.text())
        etag = [uuid.uuid4().hex]
        y.ua.reply(q, 200, "OK", [f"SIP-ETag: {etag[0]}", f"Expires: {expires}"], totag="p")
        r = x.ua.response(branch, "PUBLISH")
        check(r.status == 200 and r.get("sip-etag") == etag[0], r.text())
    p = Dialog(x.ua, y.ua.aor)
    branch = p.send_authorized("PUBLISH", ["Event: presence", "SIP-If-Match: gone"])
    q = y.ua.expect("PUBLISH")
    y.ua.reply(q, 412, "Conditional Request Failed", totag="p")
    check(x.ua.response(branch, "PUBLISH").status == 412, "412 passes")
    check(not y.ua.inbox and not x.ua.inbox, "no ACK of it")


alice, carol, bob = outside(), outside("carol", E["CAROL"]), inside()
ends = {"out-in": (alice, carol, bob), "in-out": (bob, carol, alice), "out-out": (alice, bob, carol)}
uas = [alice, carol, bob]
table((blind_transfer, attended_transfer, publish), uas,
      lambda way, n: [Party(u, 40000 + 1000 * k + 20 * n, hz) for k, (u, hz) in enumerate(zip(ends[way], (600, 1200, 900)))])
unregistered(uas)
PY
no_live_flows || fail "entries left in the live map"
