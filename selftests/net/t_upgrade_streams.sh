#!/bin/bash
# t_upgrade_streams.sh -- clients whose TLS is OpenSSL's keep their connections over upgrades of both daemons: the old workers live on as their
# relays until they have left, and the next ones may be killed, not they
#
#	203.0.113.50 alice 19 times --+                                      +-- Kamailio 10.20.0.30
#	203.0.113.51 carol -----------+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
KTLS=off
export KTLS
net_up
kamailio_up
pair_up
EDGE_KEEPER=$(pid_of edge)
CORE_KEEPER=$(pid_of core)
export EDGE_KEEPER CORE_KEEPER B
script <<'PY'
import signal

N = 20
OLDER = "an older worker keeps its TLS"
SUITE = "AES_CM_128_HMAC_SHA1_80"


def stat(daemon, what):
    try:
        return admin(daemon, what)
    except (OSError, ValueError):
        return None


def workers(d="edge"):
    return subprocess.run(["pgrep", "-P", E[f"{d.upper()}_KEEPER"]], capture_output=True, text=True).stdout.split()


def link_ups():
    return log_text("core").count("event=link-up")


def link_up():
    """Both say so: one that is about to lose the other's old worker may not know yet."""
    return all(s and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0 for s in (stat("core", "status"), stat("edge", "status")))


def device(user, i):
    """One of several of a user, each with its own +sip.instance."""
    u = Ua(user)
    u.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'{user}{i}')}"
    r = u.register()
    check(r.status == 200, f"{user} {i} registers: {r.start}")
    return u


def refresh(which, cached=True):
    for p in which:
        check(p.register(cached=cached).status == 200, "a refresh over the same connection")


def call_out(p):
    c = Call(p, b)
    x, y = c.media(2)
    rx, ry = x.result(), y.result()
    check(rx["received"] > 50 and ry["received"] > 50, f"{rx} {ry}")
    hangup(c.d, b)
    flows_gone()


def call_in(p):
    d, _ = b.invite(p.aor, make_sdp(b.ip, 41000), final=False)
    d.challenged()
    i = p.expect("INVITE")
    offer, tx = Sdp(i.body), (SUITE, new_key(SUITE))
    rd = inside_answer(p, i, srtp_answer(p.ip, 40000, offer, tx), d)
    x = Rtp(p.ns, f"{p.ip}:40000", offer.addr, 2, 600, tx, offer.key(SUITE))
    y = Rtp("lan", f"{b.ip}:41000", Sdp(rd.ok.body).addr, 2, 1200)
    rx, ry = x.result(), y.result()
    check(rx["received"] > 50 and ry["received"] > 50, f"{rx} {ry}")
    hangup(rd, b)
    flows_gone()


def calls():
    call_out(carol)
    call_in(carol)


ups = {"edge": 0, "core": 0}


def upgrade(d="edge"):
    ups[d] = link_ups()
    r = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/{d}.sock", "upgrade"], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr + r.stdout)
    return re.search(r"as process (\d+)", r.stdout).group(1)


def killed(d, pid):
    ups[d] = link_ups()
    os.kill(int(pid), signal.SIGKILL)


def taken_over(new, relayed):
    """The worker @new has all streams, so many of them by way of older ones."""
    wait_until(10, "the new worker answers", lambda: new in workers() and stat("edge", "status"))
    wait_until(10, "the link up again", lambda: link_ups() > ups["edge"] and link_up())
    st, s = stat("edge", "status")["streams"], stat("edge", "streams")
    check(st["taken_over"] == N and st["lost_with_worker"] == 0 and st["relayed"] == relayed and st["opened"] == 0, st)
    check(st["rungs"] == {"kernel TLS": 0, "kernel TLS send": 0, "user TLS": N, "plain": 0}, st["rungs"])
    check({x["stream"] for x in s} == ids and all(x["admitted"] for x in s), s)
    rows = [x for x in s if x["reason"] == OLDER and x["rung"] == "user TLS" and x["tls_version"] == "TLSv1.3" and x["tls_cipher"]]
    check(len(rows) == relayed, s)
    check(stat("core", "status")["counters"]["streams"] == N, "the core has the same streams")
    step(f"workers {workers()}: {st['taken_over']} streams taken over, {st['relayed']} by way of older workers")


def core_taken_over(new):
    relayed = N if LINK_USER else 0
    wait_until(10, "the core's new worker answers", lambda: new in workers("core") and stat("core", "status"))
    wait_until(10, "the link up again", lambda: link_ups() > ups["core"] and link_up())
    s = stat("core", "streams")
    check(len(s) == N and all(x["taken_over"] and x["kept"] and x["admitted"] and x["aors"] for x in s), s)
    check(sum(x["reason"] == OLDER for x in s) == relayed, s)
    check({x["stream"] for x in stat("edge", "streams")} == ids, "the edge has the same streams")
    step(f"the core's workers {workers('core')}: {len(s)} streams, {relayed} by way of older workers")


phones = [device("alice", i) for i in range(N - 1)]
b, carol = inside(), outside("carol", E["CAROL"])
phones.append(carol)
ids = {x["stream"] for x in stat("edge", "streams")}
check(len(ids) == N, f"{len(ids)} streams")
first = workers()
check(len(first) == 1, first)
# Where the kernel has the link's TLS the core hands descriptors over, and the edge one descriptor of two.
LINK_USER = stat("edge", "streams")[0]["link_rung"] == "user TLS"
check(all((x["link_rung"] == "user TLS") == LINK_USER for x in stat("edge", "streams")), "all on one rung")

step("upgraded: the old worker relays")
second = upgrade()
taken_over(second, N)
check(workers() == [*first, second], f"{first} lives on beside {second}: {workers()}")
refresh(phones)
calls()

step("two clients more, and upgraded again: the first relays, the second relays its own two")
phones += [device("alice", N + i) for i in range(2)]
N += 2
ids = {x["stream"] for x in stat("edge", "streams")}
third = upgrade()
taken_over(third, N)
check(workers() == [*first, second, third], workers())
refresh(phones)
calls()

step("the core upgraded, twice, and then both: its first worker relays as well")
core_first = workers("core")
core_second = upgrade("core")
core_taken_over(core_second)
core_relay = core_first if LINK_USER else []
wait_until(5, "the core's first worker relays, or has gone", lambda: workers("core") == [*core_relay, core_second])
refresh(phones, cached=False)
calls()
core_third = upgrade("core")
third = upgrade()
core_taken_over(core_third)
taken_over(third, N)
wait_until(5, "the second had nothing to relay", lambda: workers("core") == [*core_relay, core_third])
refresh(phones, cached=False)
calls()

step("the core's worker is killed: all streams go on")
killed("core", core_third)
wait_until(10, "a new worker", lambda: len(workers("core")) == len(core_relay) + 1 and workers("core")[-1] != core_third)
core_taken_over(workers("core")[-1])
refresh(phones, cached=False)
calls()

step("the edge's worker is killed: all streams go on")
killed("edge", third)
wait_until(10, "a new worker", lambda: len(workers()) == 3 and workers()[-1] != third)
taken_over(workers()[-1], N)
refresh(phones)
calls()

step("one client leaves, one vanishes: the core hears of both")
leaver, vanisher = phones[0], phones[1]
check(leaver.conn.s.unwrap() is not None, "close_notify is answered")
vanisher.conn.abort()
N, phones = N - 2, phones[2:]
wait_until(10, "two streams fewer", lambda: len(stat("edge", "streams")) == N)
wait_until(10, "two streams fewer on the core", lambda: stat("core", "status")["counters"]["streams"] == N)
log_wait("edge", "event=stream-closed .*clean=1 .*reason=\"?client: closed")
log_wait("edge", "event=stream-closed .*clean=0 .*reason=\"?client: ")

step("the second relay is killed: its two clients are cut off, nobody else")
os.kill(int(second), signal.SIGKILL)
for p in phones[-2:]:
    raw = socket.socket(fileno=os.dup(p.conn.s.fileno()))
    raw.settimeout(5)
    try:
        got = raw.recv(100)
    except ConnectionError:
        got = b""
    raw.close()
    check(not got, f"more than a bare end, such as close_notify: {got}")
N, phones = N - 2, phones[:-2]
wait_until(10, "two streams fewer", lambda: len(stat("edge", "streams")) == N)
wait_until(10, "two streams fewer on the core", lambda: stat("core", "status")["counters"]["streams"] == N)
refresh(phones)

step("all leave: so does the relay")
last = workers()[-1]
for p in phones:
    p.conn.s.unwrap()
    p.conn.close()
wait_until(10, "one worker", lambda: workers() == [last])
wait_until(10, "one worker of the core", lambda: len(workers("core")) == 1 and workers("core") != core_first)
check(stat("edge", "streams") == [], "no stream left")
wait_until(10, "none on the core", lambda: stat("core", "status")["counters"]["streams"] == 0)
log_wait("edge", f"event=relays-over pid={first[0]} clean=")
if LINK_USER:
    log_wait("core", f"event=relays-over pid={core_first[0]} clean=")
PY
[ "$(count_log edge 'event=worker-died')$(count_log core 'event=worker-died')" = 11 ] || fail "a worker died that was not killed"
say "PASS: upgrade_streams"
