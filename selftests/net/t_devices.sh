#!/bin/bash
# t_devices.sh -- a REGISTER is for oneself only; several devices and flows of one user; GRUU
#
#	203.0.113.50 alice, a desk phone with two flows --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 alice, a mobile, and mallory       --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up LAX_REGISTER # whoever proves to be some user may register any: the core must know better
pair_up
script <<'PY'
def kamailio_seen():
    return len(re.findall(r"seen REGISTER", log_text("kamailio")))


def attempt(what, reason, to=None, from_=None, name="mallory", contact=None, ruri=None):
    """mallory has a fresh challenge of the call server, and knows his own password only."""
    step(what)
    m = Ua("mallory", ip=E["CAROL"])
    uri, to = ruri or f"sip:{DOMAIN}", to or m.aor
    b = m.request("REGISTER", f"sip:{DOMAIN}", to=f"<{m.aor}>", headers=["Expires: 300"])
    c = challenge_parse(m.response(b, "REGISTER").get("www-authenticate"))
    n, before = kamailio_seen(), admin("core", "status")["counters"]["registers_refused"]
    b = m.request("REGISTER", uri, from_=f"<{from_ or to}>", to=f"<{to}>", contact=contact, headers=[
        "Expires: 300", "Authorization: " + digest(c, name, "pw-mallory", "REGISTER", uri)])
    r = m.response(b, "REGISTER")
    check(r.status == 403, f"403, not {r.start}")
    log_wait("core", rf"method=REGISTER status=403 reason={reason} ")
    check(kamailio_seen() == n, "the call server saw it")
    check(admin("core", "status")["counters"]["registers_refused"] == before + 1, "counted")
    check(not [s for s in admin("core", "streams") if s["admitted"]], "nobody is admitted")


alice = f"sip:alice@{DOMAIN}"
attempt("To alice, From mallory", "third-party", to=alice, from_=f"sip:mallory@{DOMAIN}")
attempt("To mallory, From alice", "third-party", from_=alice)
attempt("To and From alice, credentials of mallory", "digest-user", to=alice)
attempt("a Contact that forwards to alice's address of record", "contact-domain", contact=f"<{alice}>")
attempt("a Contact that is a telephone number", "contact-scheme", contact="<tel:+49301234>")
attempt("a Request-URI that is not the domain alone", "domain", ruri=f"sip:mallory@{DOMAIN}")
check("Contact:" not in ns_run("lan", "kamcmd", "-s", f"unix:{E['RUN']}/kamailio.ctl", "ul.lookup", "location", "alice").stdout, "alice stays unregistered")

step("mallory himself may")
m = outside("mallory", ip=E["CAROL"])
check(m.register(expires=0, cached=True).status == 200, "and leaves")
PY
stop kamailio
kamailio_up
script <<'PY'
SUITE = "AES_CM_128_HMAC_SHA1_80"


def contacts(r):
    """instance -> {reg-id -> the element} of a 200's Contacts."""
    out = {}
    for v in r.all("contact"):
        for one in re.findall(r'<sips?:[^>]+>(?:"[^"]*"|[^",])*', v):
            out.setdefault(re.search(r'\+sip.instance="<([^>]+)>"', one).group(1), {})[re.search(r"reg-id=(\d+)", one).group(1)] = one
    return out


def gruu(one):
    return re.search(r'pub-gruu="([^"]+)"', one).group(1)


def device(ip, name, flow=1):
    u = Ua("alice", ip=ip)
    u.instance, u.flow = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, name)}", flow
    u.ok = u.register()
    check(u.ok.status == 200, u.ok.start)
    return u


def regs(user="alice"):
    return sorted((r["instance"][1:-1], r["reg_id"]) for r in admin("core", "regs") if r["aor"] == f"sip:{user}@{DOMAIN}")


step("two devices, one with two flows: three bindings here and at the call server, each Contact with its instance, reg-id and GRUUs")
desk, mobile = device(E["ALICE"], "desk"), device(E["CAROL"], "mobile")
desk2 = device(E["ALICE"], "desk", flow=2)
want = sorted([(desk.instance, "1"), (desk.instance, "2"), (mobile.instance, "1")])
check(regs() == want, f"{regs()}")
c = contacts(desk2.ok)
check(sorted((i, f) for i in c for f in c[i]) == want, f"{desk2.ok.text()}")
for u in (desk, desk2, mobile):
    one = c[u.instance][str(u.flow)]
    check(u.contact in one and 'temp-gruu="' in one and "pub-gruu=" in one, one)
check(not desk2.ok.get("path") and "10.20.0." not in desk2.ok.text(), f"nothing of the inside: {desk2.ok.text()}")
desk_gruu, mobile_gruu = gruu(c[desk.instance]["1"]), gruu(c[mobile.instance]["1"])
check(desk_gruu != mobile_gruu and desk.instance in desk_gruu, desk_gruu)

step("the second flow is taken back alone")
check(desk2.register(expires=0, cached=True).status == 200, "200")
check(regs() == sorted([(desk.instance, "1"), (mobile.instance, "1")]), f"{regs()}")

step("a call to alice rings both; the mobile answers, the desk phone is told")
b = inside()
d, _ = b.invite(f"sip:alice@{DOMAIN}", make_sdp(b.ip, 41000), final=False)
d.challenged()
i, k = desk.expect("INVITE"), mobile.expect("INVITE")
check(desk.contact[1:-1] == i.uri and mobile.contact[1:-1] == k.uri, f"each its own Contact: {i.uri} {k.uri}")
desk.reply(i, 180, "Ringing", [f"Contact: {desk.contact}"], totag="desk")
tx = (SUITE, new_key(SUITE))
rd = inside_answer(mobile, k, srtp_answer(mobile.ip, 40000, Sdp(k.body), tx), d)
cancel = desk.expect("CANCEL")
desk.reply(cancel, 200, "OK", totag="desk")
desk.reply(i, 487, "Request Terminated", totag="desk")
desk.expect("ACK")
hangup(d, mobile)
flows_gone()

for name, uri, there, other in (("desk phone", desk_gruu, desk, mobile), ("mobile", mobile_gruu, mobile, desk)):
    step(f"the {name}'s GRUU rings it alone")
    d, _ = b.invite(uri, make_sdp(b.ip, 41000), final=False)
    d.challenged()
    i = there.expect("INVITE")
    rd = inside_answer(there, i, srtp_answer(there.ip, 40000, Sdp(i.body), tx), d)
    hangup(rd, b)
    other.nothing("INVITE", lambda m: m.method == "INVITE", 0.3)
    flows_gone()

step("one device leaves, the other stays")
check(desk.register(expires=0, cached=True).status == 200, "200")
check(regs() == [(mobile.instance, "1")], f"{regs()}")
d, _ = b.invite(f"sip:alice@{DOMAIN}", make_sdp(b.ip, 41000), final=False)
d.challenged()
i = mobile.expect("INVITE")
mobile.reply(i, 486, "Busy Here", totag="m")
check(d.final().status == 486, "486")
mobile.expect("ACK")
step("the user leaves with all devices: Contact: *")
mobile.request("REGISTER", f"sip:{DOMAIN}", to=f"<{mobile.aor}>", contact="*", headers=["Expires: 0",
               "Authorization: " + digest(mobile.challenge, "alice", "pw-alice", "REGISTER", f"sip:{DOMAIN}", 9)])
check(mobile.response(mobile.last_branch, "REGISTER").status == 200, "200")
check(regs() == [], f"{regs()}")
wait_until(5, "no stream admitted", lambda: not [s for s in admin("core", "streams") if s["admitted"]])
flows_gone()
PY
