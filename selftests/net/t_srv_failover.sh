#!/bin/bash
# t_srv_failover.sh -- a call server of two hosts behind DNS SRV: the first is stopped, killed, comes back; by UDP, TCP and TLS
#
#	                                                        +--SRV 10-- kam1 10.20.0.30 -- bob
#	203.0.113.50 alice --tls-- edge (dmz) ==link== core (inside) --+--SRV 20-- kam2 10.20.0.31 -- bob
#	                                            \--DNS 10.20.0.30:5353
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft dnsmasq ethtool
KAM2=10.20.0.31
export KAM2
net_up
kamailio_at kam1 "$KAM"
kamailio_at kam2 "$KAM2"
srv=()
for t in _sip._udp:5060 _sip._tcp:5060 _sips._tcp:5061; do
	srv+=("--srv-host=${t%:*}.pbx.$DOMAIN,kam1.$DOMAIN,${t#*:},10,0" "--srv-host=${t%:*}.pbx.$DOMAIN,kam2.$DOMAIN,${t#*:},20,0")
done
start inside-dns lan dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
	--listen-address="$KAM" --port=5353 --local="/$DOMAIN/" --address="/kam1.$DOMAIN/$KAM" --address="/kam2.$DOMAIN/$KAM2" "${srv[@]}"
wait_for 5 "DNS listening" udp_bound lan "$KAM:5353"
pki_up
edge_up
export CORE_DNS=$KAM:5353 KAM_ADDRESS=pbx.$DOMAIN
target() { # target ADDRESS STATE: as sallyctl shows it
	ctl core status | py "[t['state'] for t in d['call_servers'][0]['targets'] if t['address'].startswith('$1:')] == ['$2']"
}
cat >"$RUN/lib.py" <<'PY'
import signal

SUITE = "AES_CM_128_HMAC_SHA1_80"
KAM2 = (E["KAM2"], 5060)


def target(ip):
    return next(t for t in admin("core", "status")["call_servers"][0]["targets"] if t["address"].startswith(ip + ":"))


def seen(name, method):
    """How many requests of that method this server has seen from the core."""
    return len(re.findall(rf"seen {method} proto=\w+ from=10\.20\.0\.20:", log_text(name)))


def moved():
    return admin("core", "status")["call_servers"][0]["moved"]


def signal_all(name, word):
    """To a server and all its processes."""
    with open(f"{E['RUN']}/pids/{name}") as f:
        os.killpg(int(f.read()), getattr(signal, "SIG" + word))


def inside_at(server, user="bob"):
    u = Ua(user, "lan", server=server, transport="udp")
    check(u.register().status == 200, "bob is registered there")
    return u


def calls(a, b):
    """Out and in, hung up by both."""
    n = len(flows())
    call = Call(a, b)
    x, y = call.media(1)
    tones(x.result(), y.result(), 1200, 600, 0.5)
    hangup(call.rd, a)
    d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
    d.challenged()
    i = a.expect("INVITE")
    tx = (SUITE, new_key(SUITE))
    rd = inside_answer(a, i, srtp_answer(a.ip, 40000, Sdp(i.body), tx), d)
    hangup(d, a)
    wait_until(5, "their flows to end", lambda: len(flows()) == n)


def registered(a, name, other, timeout=15):
    """One answer, by that server and not by the other."""
    n, o = seen(name, "REGISTER"), len(re.findall("registered user=alice", log_text(other)))
    r = a.register(timeout=timeout)
    check(r.status == 200, f"registered: {r.start}")
    a.nothing("second answer", lambda m: m.status and m.cseq == "REGISTER", 0.2)
    check(seen(name, "REGISTER") > n, f"by {name}")
    check(len(re.findall("registered user=alice", log_text(other))) == o, f"not by {other}")
PY
script_with() { { cat "$RUN/lib.py"; cat; } | script; }

say "UDP: by the first while it is there"
core_up
wait_for 10 "the link up" link_is_up
wait_for 10 "both heard" target "$KAM2" up
script_with <<'PY'
a, b = Ua("alice"), inside_at(KAMAILIO)
registered(a, "kam1", "kam2")
calls(a, b)
check(seen("kam2", "REGISTER") == 0 and seen("kam2", "INVITE") == 0, "the second is left alone")
PY
say "  the first is stopped in a dialog: registrations and calls go on by the second; the dialog stays where it is"
script_with <<'PY'
a, b, b2 = Ua("alice"), inside_at(KAMAILIO), inside_at(KAM2)
registered(a, "kam1", "kam2")
call = Call(a, b)
signal_all("kam1", "STOP")
before = moved()
registered(a, "kam2", "kam1")
check(moved() > before, "what was asked of the first went on to the second")
check(target(E["KAM"])["state"] == "down" and target(E["KAM"])["last_failure"] == "silent", f"{target(E['KAM'])}")
check(0 < target(E["KAM"])["passed_over_ms"] <= 30000, f"for a stated time: {target(E['KAM'])}")
n = seen("kam2", "INVITE")
calls(a, b2)
check(seen("kam2", "INVITE") > n, "by the second")
signal_all("kam1", "CONT")
wait_until(15, "the first back", lambda: target(E["KAM"])["state"] == "up")
n = seen("kam2", "BYE")
hangup(call.d, b)
check(seen("kam2", "BYE") == n, "the first's dialog is the first's affair")
flows_gone()
registered(a, "kam1", "kam2")
PY

killed() { # killed WHAT [REASON]: kam1 is killed between two requests, restarted after
	say "  $1: the first is killed: refused, so at once the second; it comes back and is used again"
	signal_all kam1 KILL
	stop kam1
	script_with <<-PY
	a, b2 = Ua("alice"), inside_at(KAM2)
	registered(a, "kam2", "kam1")
	check("$2" in target(E["KAM"])["last_failure"], f"{target(E['KAM'])}")
	calls(a, b2)
	PY
	: >"$RUN/log/kam1.log"
	kamailio_at kam1 "$KAM"
	wait_for 15 "the first up again" target "$KAM" up
	script_with <<-'PY'
	a, b = Ua("alice"), inside_at(KAMAILIO)
	registered(a, "kam1", "kam2")
	calls(a, b)
	PY
}
killed UDP refused
stop core
for t in tcp tls; do
	say "${t^^}"
	KAM_TRANSPORT=$t core_up
	wait_for 10 "the link up" link_is_up
	wait_for 10 "both heard" target "$KAM2" up
	killed "${t^^}" refused
	stop core
done
say "TLS: the first shows another's certificate"
stop kam1
pki_issue web-ca stranger "stranger.$DOMAIN" "$KAM"
KAM_CERT=stranger kamailio_at kam1 "$KAM"
KAM_TRANSPORT=tls core_up
wait_for 10 "the link up" link_is_up
wait_for 10 "the first refused" target "$KAM" down
script_with <<'PY'
a, b2 = Ua("alice"), inside_at(KAM2)
registered(a, "kam2", "kam1")
check("stranger" in target(E["KAM"])["last_failure"] or "name" in target(E["KAM"])["last_failure"], f"{target(E['KAM'])}")
calls(a, b2)
PY
