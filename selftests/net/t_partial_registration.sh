#!/bin/bash
# t_partial_registration.sh -- a phone with two lines on one connection is never left half registered: the call server is killed and comes back with
# nothing, the phone refreshes its first line alone; by TCP, TLS and UDP. A connection that the call server ends because it is idle closes nobody.
#
#	203.0.113.50 alice, dave (one connection) --+                                 +-- Kamailio 10.20.0.30, registrations in memory
#	203.0.113.51 carol (one line) --------------+--tls-- edge ==link== core ------+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pki_up
edge_up
cat >"$RUN/lib.py" <<'PY'
class Line(Ua):
    """A further line of phone `first`, on its connection."""

    def __init__(self, first, user):
        self.first = first
        super().__init__(user, ip=first.ip)
        self.inbox, self.answered = first.inbox, first.answered

    def connect(self):
        self.conn = self.first.conn
        return self


def ok(u, **kw):
    r = u.register(**kw)
    check(r.status == 200, f"{u.user} registers: {r.start}")


def rings(b, u):
    """bob calls u: the phone is asked, and is busy. What bob hears."""
    d, _ = b.invite(u.aor, make_sdp(b.ip, 41000), final=False)
    d.challenged()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(Failed):
            i = u.wait("INVITE", lambda m: m.method == "INVITE" and f"sip:{u.user}@" in m.get("to"), 0.1)
            u.reply(i, 486, "Busy Here", totag="t")
            u.expect("ACK")
        with contextlib.suppress(Failed):
            return d.final(0.1).status
    raise Failed(f"no answer to a call to {u.user}")


def all_ring(*phones):
    b = inside()
    for u in phones:
        s = rings(b, u)
        check(s == 486, f"{u.user} is called: {s}")


def status():
    d = admin("core", "status")
    return d["counters"]["half_registered"], d["call_servers"][0]["targets"][0]["registrations_lost"]


def stays(*phones):
    """No connection of theirs is closed in longer than the core waits for a phone's other lines."""
    for u in phones:
        check(not u.conn.closed_within(7 if u is phones[0] else 0.1), f"{u.user}'s connection stays")
PY
script_with() { { cat "$RUN/lib.py"; cat; } | script; }
lost() { ctl core status | py "d['call_servers'][0]['targets'][0]['registrations_lost'] == $1"; }

restart() { # restart N: killed, as the core sees it for the N-th time, and back
	signal_all kamailio KILL
	stop kamailio
	wait_for 15 "the loss seen" lost "$1"
	kamailio_up
	wait_for 15 "the call server up again" up_again
}
over() { # over tcp|tls|udp: how the core reaches it
	export KAM_TRANSPORT=$1 KAM_ADDRESS=$KAM:5060
	[ "$1" != tls ] || KAM_ADDRESS=$KAM:5061
}
wanted() { [ -e "$RUN/go-$1" ] || gone "$2"; }
up_again() { ctl core status | py "d['call_servers'][0]['targets'][0]['state'] == 'up'"; }

ROUND=0
for t in tcp tls udp; do
	export ROUND=$((ROUND + 1))
	say "${t^^}: the call server is killed and comes back; a phone refreshes its first line alone"
	over "$t"
	core_up
	wait_for 10 "the link up" link_is_up
	wait_for 10 "the call server heard" up_again
	# The phones of one script live through the restarts, which are this shell's: told by files.
	rm -f "$RUN"/go-* "$RUN"/done-*
	script_with <<-'PY' &
	def restart(n):
	    open(f"{E['RUN']}/go-{n}", "w").close()
	    wait_until(40, f"restart {n}", lambda: os.path.exists(f"{E['RUN']}/done-{n}"))

	a = Ua("alice")
	d, c = Line(a, "dave"), Ua("carol", ip=E["CAROL"])
	phones = a, d, c
	for u in phones:
	    ok(u)
	all_ring(*phones)
	ok(a)
	restart(1)
	b = inside()
	check([rings(b, u) for u in phones] == [404, 404, 404], "nobody is registered there")
	ok(c)
	ok(a)
	check([rings(b, u) for u in phones] == [486, 404, 486], "half")
	check(a.conn.closed_within(20), "its connection is closed, so that it registers all")
	wait_until(5, "the counter", lambda: status() == (1, 1))
	check(len(re.findall("event=half-registered ", log_text("core"))) == int(E["ROUND"]), "a line in the log")
	a.connect()
	d.connect()
	ok(a, cached=True)
	ok(d)
	all_ring(*phones)
	ok(a, cached=True)
	ok(c, cached=True)
	if E["KAM_TRANSPORT"] == "tcp":
	    step("a phone that refreshes all its lines keeps its connection")
	    restart(2)
	    for u in phones:
	        ok(u)
	    stays(a, c)
	    all_ring(*phones)
	    check(status() == (1, 2), f"{status()}")
	for u in (a, c):
	    u.conn.close()
	PY
	phones=$!
	for n in 1 2; do
		wait_for 60 "restart $n wanted" wanted "$n" "$phones"
		[ ! -e "$RUN/go-$n" ] || restart "$n"
		touch "$RUN/done-$n"
	done
	wait "$phones"
	stop core
done

for t in tcp tls; do
	say "${t^^}: the call server ends idle connections: nobody is closed for that"
	stop kamailio
	: >"$RUN/log/core.log"
	: >"$RUN/log/kamailio.log"
	kamailio_up IDLE_CLOSE
	over "$t"
	core_up
	wait_for 10 "the link up" link_is_up
	wait_for 10 "the call server heard" up_again
	wait_log 15 kamailio "idle-close: "
	script_with <<-'PY'
	a = Ua("alice")
	d, c = Line(a, "dave"), Ua("carol", ip=E["CAROL"])
	phones = a, d, c
	for u in phones:
	    ok(u)
	b = inside()
	def ended():
	    return len(re.findall('event=inside-stream-down .*reason="(closed"|truncated)', log_text("core")))
	def known():  # connections, to the call server
	    return len(set(re.findall(r"idle-close: (\d+)", log_text("kamailio"))))
	for n in range(3):
	    before, conns = ended(), known()
	    check(b.response(b.request("OPTIONS", f"sip:idle-close@{DOMAIN}"), "OPTIONS").status == 200, "asked for")
	    wait_until(5, "the idle connection ended", lambda: ended() > before)
	    wait_until(5, "another one", lambda: known() > conns)
	ok(a)
	stays(a, c)
	all_ring(*phones)
	check(status() == (0, 0), f"{status()}")
	PY
	stop core
done
