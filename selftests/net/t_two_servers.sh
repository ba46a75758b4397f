#!/bin/bash
# t_two_servers.sh -- two call servers for two domains at once: one slow, stopped, killed does not harm the other
#
#	                                                                 +-- Kamailio 10.20.0.30 of corp.example -- bob
#	alice@corp.example, dora@other.example --tls-- edge ==link== core --+-- Kamailio 10.20.0.31 of other.example
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
KAM2=10.20.0.31
export KAM2
net_up
kamailio_up
KAM_DOMAIN=other.example kamailio_at other "$KAM2"
MORE_DOMAINS=other.example
MORE_SERVERS="  - {name: other, domains: [other.example], address: \"$KAM2:5060\"}"
pair_up
cat >"$RUN/lib.py" <<'PY'
import signal

SUITE = "AES_CM_128_HMAC_SHA1_80"


def signal_all(name, word):
    """To a server and all its processes."""
    with open(f"{E['RUN']}/pids/{name}") as f:
        os.killpg(int(f.read()), getattr(signal, "SIG" + word))


def state(i):
    return admin("core", "status")["call_servers"][i]["targets"][0]


def call(a, b):
    c = Call(a, b)
    hangup(c.rd, a)
    flows_gone()


def ask(u):
    """REGISTER without waiting for its answer."""
    return u.request("REGISTER", f"sip:{u.domain}", to=f"<{u.aor}>", headers=["Expires: 300"])


def undisturbed(a, b, what):
    for _ in range(5):
        check(a.register().status == 200, f"alice registers while {what}")
    call(a, b)
    check(state(0)["state"] == "up" and state(0)["failures"] == 0, f"{state(0)}")
PY
script_with() { { cat "$RUN/lib.py"; cat; } | script; }
script_with <<'PY'
a, b, d = outside(), inside(), Ua("dora", ip=E["CAROL"], domain="other.example")
check(d.register().status == 200, "dora is registered at the other")
undisturbed(a, b, "all is well")

step("a user of one is nobody at the other")
r = Ua("alice", ip=E["CAROL"], domain="other.example")
r.password = "pw-alice"
x, _ = r.invite(f"sip:bob@{DOMAIN}", make_sdp(r.ip, 40000, [(SUITE, new_key(SUITE))]), final=False)
check(x.final().status == 403, "403 before he is registered")
x, _ = d.invite(f"sip:bob@{DOMAIN}", make_sdp(d.ip, 40000, [(SUITE, new_key(SUITE))]), from_=f"<sip:dora@{DOMAIN}>", final=False)
check(x.final().status == 403, "nor with the other's domain in From")

step("one is slow for three seconds: its users wait and are answered; the other's notice nothing")
signal_all("other", "STOP")
branch, t0 = ask(d), time.monotonic()
undisturbed(a, b, "the other stands still")
while time.monotonic() - t0 < 3:  # the slowness itself, not a condition
    time.sleep(0.1)
signal_all("other", "CONT")
r = d.response(branch, "REGISTER", 10)
check(r.status == 401, r.start)
d.nothing("second answer", lambda m: m.status and m.cseq == "REGISTER", 0.3)
check(state(1)["failures"] == 0, f"slow is not dead: {state(1)}")
check(d.register().status == 200, "dora again")

step("one is stopped for good: shown as silent; what waits for it is answered when it goes on")
signal_all("other", "STOP")
branch = ask(d)
wait_until(15, "the other shown as silent", lambda: state(1)["state"] == "down" and state(1)["last_failure"] == "silent")
undisturbed(a, b, "the other is silent")
signal_all("other", "CONT")
check(d.response(branch, "REGISTER", 10).status == 401, "401")
wait_until(10, "the other up", lambda: state(1)["state"] == "up")

step("one is killed: its users get 503 at once, a call in a dialog of its ends; the other's notice nothing")
signal_all("other", "KILL")
for _ in range(3):
    branch = ask(d)
    r = d.response(branch, "REGISTER", 5)
    check(r.status == 503 and r.get("retry-after"), f"503, not {r.start}")
    undisturbed(a, b, "the other is dead")
check("refused" in state(1)["last_failure"], f"{state(1)}")
flows_gone()
PY
stop other
KAM_DOMAIN=other.example kamailio_at other "$KAM2"
script_with <<'PY'
step("it comes back: its users register again")
wait_until(15, "the other up", lambda: state(1)["state"] == "up")
d = Ua("dora", ip=E["CAROL"], domain="other.example")
check(d.register().status == 200, "dora again")
wait_until(40, "no transaction left but the keepalives", lambda: admin("core", "status")["counters"]["transactions"] <= 2)
flows_gone()
PY
