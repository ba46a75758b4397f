#!/bin/bash
# t_refuse.sh -- what is refused, where, and under which reason: plain RTP, foreign domain, malformed bytes, too long
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
def counters():
    """Every number in the edge's status, by path."""
    out = {}

    def walk(v, path):
        if isinstance(v, dict):
            for k, w in v.items():
                walk(w, f"{path}.{k}")
        elif isinstance(v, int) and not isinstance(v, bool):
            out[path] = v
    walk(admin("edge", "status"), "")
    return out


def counted(before, regex):
    return wait_until(3, f"a counter /{regex}/ to rise", lambda: [k for k, v in counters().items() if v > before.get(k, 0) and re.search(regex, k)])


def requests():
    return admin("core", "status")["counters"]["requests"]


step("plain RTP from a client: 488, and the log names the reason")
a, b = outside(), inside()
d, r = a.invite(b.aor, make_sdp(a.ip, 40000))
check(r.status == 488, f"488, not {r.start}")
log_wait("core", r"(?i)reason=\S*(plain|srtp)")
check(not [l for l in log_text("kamailio").splitlines() if "seen INVITE" in l], "the call server saw it")
flows_gone()

step("a domain that is not served: refused at the gate, the core never sees it")
n, before = requests(), counters()
u = Ua("alice", ip=E["CAROL"])
branch = u.request("REGISTER", "sip:other.example", to="<sip:alice@other.example>", from_="<sip:alice@other.example>")
try:
    r = u.response(branch, "REGISTER")
    check(400 <= r.status < 500, f"4xx, not {r.start}")
except Closed:
    pass
check(requests() == n, "the core saw it")
step("  counted: " + ", ".join(counted(before, "(?i)domain")))

step("a stream that is not admitted may not INVITE")
n = requests()
u = Ua("alice", ip=E["CAROL"])
try:
    d, r = u.invite(b.aor, make_sdp(u.ip, 40000))
    check(r.status in (403, 401), f"403, not {r.start}")
except Closed:
    pass
check(requests() == n, "the core saw it")

for what, data in (("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("noise", bytes(range(1, 128))),
                   ("bare LF", f"OPTIONS sip:{DOMAIN} SIP/2.0\nVia: x\n\n".encode()),
                   ("two lengths", f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n".encode())):
    step(f"malformed first bytes ({what}): closed, counted")
    n, before = requests(), counters()
    c = Conn("inet2", (E["CAROL"], 0), EDGE, "tls")
    c.send(data)
    check(c.closed_within(5), "not closed")
    check(all(m.status >= 400 for m in c.last), "answered as if it were good")
    check(requests() == n, "the core saw it")
    step("  counted: " + ", ".join(counted(before, "(?i)malformed|refus|bad|syntax|reason|gate")))

step("a message over the limit: 513")
before = counters()
u = Ua("alice", ip=E["CAROL"])
u.request("REGISTER", f"sip:{DOMAIN}", to=f"<{u.aor}>", headers=["X-Long: " + "x" * 1000] * 40)
u.wait("513", lambda m: m.status == 513)
step("  counted: " + ", ".join(counted(before, "(?i)large|long")))
step("an admitted client gets it too")
a.request("OPTIONS", b.aor, headers=["X-Long: " + "x" * 1000] * 40)
a.wait("513", lambda m: m.status == 513)
PY
