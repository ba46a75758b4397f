#!/bin/bash
# t_link_recycle.sh -- short connections use the link's data connections again: a handful of handshakes for hundreds of streams, each stream's
# bytes its own, whether clients leave in order or by RST with bytes in flight; and the link cut in the middle of it
#
#	203.0.113.50 clients --tls-- edge (dmz) ==link== fakecore, then core (inside) -- Kamailio 10.20.0.30
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool python3
need_prog sallyport-edge sallyport-core load selftests/net/fakecore
net_up
pki_up
export EDGE_LIMITS='  unadmitted_prefix: 4096'
edge_up
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open between commands
echo $! >"$RUN/pids/cmd"
start fakecore in sh -c 'exec "$@" <"$0"' "$RUN/cmd" "$B/selftests/net/fakecore" "$CORE_NAME" "$EDGE_NAME" \
	"$EDGE_IN:7001" "$RUN/pki/core.pem" "$RUN/pki/core.key" "$RUN/pki/link-ca.pem" "$DOMAIN"
wait_log 10 fakecore "^up "

say "numbered bytes both ways; clients leave in order, or by RST in the middle"
script <<'PY'
import random
import struct
seed = int(E.get("SEED") or random.randrange(1 << 30))
rnd = random.Random(seed)
step(f"seed {seed}")
N, AT_ONCE = 100, 5
marks = [f"<{k}>" for k in range(N)]


def tell(line):
    with open(f"{E['RUN']}/cmd", "w") as f:
        f.write(line + "\n")


def numbers(name, n):
    """Text that says in every few bytes whose it is."""
    return "".join(f"({name}.{i})" for i in range(n))


class Client:
    def __init__(self, k):
        self.k, self.got, seen = k, "", len(log_text("fakecore"))
        self.c = Conn("inet", (E["ALICE"], 0), EDGE, "tls")
        self.sent = f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS x:1;branch=z9hG4bK{k}\r\nFrom: <sip:u{k}@{DOMAIN}>;tag={k}\r\n" \
                    f"To: <sip:u{k}@{DOMAIN}>\r\nCall-ID: call-{k}\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        self.c.send(self.sent.encode())
        mine = re.compile(rf"^open (\w+) client={re.escape(E['ALICE'])}:{self.c.local[1]} ", re.M)
        self.sid = wait_until(5, "its stream", lambda: mine.search(log_text("fakecore"), seen)).group(1)
        tell(f"admit {self.sid}")
        wait_until(5, "admission", lambda: [s for s in admin("edge", "streams") if s["stream"] == self.sid and s["admitted"]])
        self.back = numbers(f"b{k}", rnd.randint(0, 200))
        if self.back:
            tell(f"send {self.sid} {self.back}")
        self.c.s.settimeout(0.02)

    def talk(self):
        text = numbers(f"c{self.k}", rnd.randint(1, 4000))
        self.c.send(text.encode())
        self.sent += text

    def hear(self):
        with contextlib.suppress(TimeoutError, ssl.SSLError):
            while True:
                d = self.c.s.recv(65536)
                if not d:
                    break
                self.got += d.decode()
        check(self.back.startswith(self.got), f"client {self.k} heard what is not its own: {self.got[-80:]}")

    def leave(self):
        self.clean = rnd.random() < 0.5
        if rnd.random() < 0.5:
            self.hear()
        if self.clean:
            with contextlib.suppress(OSError):
                self.c.s.settimeout(2)
                self.c.s.unwrap().close()
        else:
            self.talk()
            self.c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.c.s.detach())


before = admin("edge", "status")["link"]
here, gone = [], []
for k in range(N):
    here.append(Client(k))
    for c in rnd.sample(here, rnd.randint(0, len(here))):
        c.talk()
    while len(here) >= AT_ONCE or here and rnd.random() < 0.4 or here and k == N - 1:
        gone.append(here.pop(rnd.randrange(len(here))))
        gone[-1].leave()
for c in gone:
    log_wait("fakecore", rf"^(end|reset) {c.sid}\b")
data, order = {}, log_text("fakecore")
for sid, text in re.findall(r"^data (\w+) (.*)$", order, re.M):
    data[sid] = data.get(sid, "") + text.replace("\\r", "\r").replace("\\n", "\n")
ends = dict(re.findall(r"^(?:end|reset) (\w+)(.*)$", order, re.M))
whole = 0
for c in gone:
    got, how = data[c.sid], re.search(rf"^(end|reset) {c.sid}\b", order, re.M).group(1)
    check(c.sent.startswith(got), f"stream {c.sid} of client {c.k} holds what is not its own: {got[-80:]}")
    check(how == ("end" if c.clean else "reset"), f"client {c.k}: clean={c.clean}, the core saw: {how}{ends[c.sid]}")
    check(not c.clean or got == c.sent, f"client {c.k} left in order, {len(got)} of {len(c.sent)} bytes are here")
    whole += got == c.sent
wait_until(5, "all of them agreed on", lambda: admin("edge", "status")["link"]["recycled"] - before["recycled"] >= N)
now = admin("edge", "status")["link"]
step(f"{N} streams ({sum(c.clean for c in gone)} left in order, {whole} whole), {now['accepted'] - before['accepted']} more handshakes, {now['recycled']} times again")
check(now["accepted"] - before["accepted"] <= 2 * AT_ONCE, "handshakes only for what is open or ending at once")
check(not any(now[x] for x in ("early_bytes", "data_lost", "ends_bad", "ends_late", "ends_closed", "ends_unknown")), f"nothing odd: {now}")
PY

say "the real core; tools/load: one short connection after the other, then 16 at once, each left by RST"
stop fakecore
kamailio_up
core_up
wait_for 10 "the link up" link_is_up
churn() { # churn SECONDS CLIENTS AT-ONCE [OPTION...]: JSON in $RUN/load.json; fails where a client failed
	local t=$1 n=$2 w=$3

	shift 3
	ns inet "$B/load" -s "$EDGE_OUT:5061" -H "$EDGE_NAME" -a "$RUN/pki/web-ca.pem" -D "$DOMAIN" -c -t "$t" -n "$n" -w "$w" -j "$@" \
		>"$RUN/load.json" 2>>"$RUN/log/load.log"
}
count() { ctl "$1" status | py "d['link']['$2']"; }
ok() { py "d['ok'] + d['registered']" <"$RUN/load.json"; }
all_idle() { # no stream, nothing half ended: both sides have the same connections in the pool
	ctl edge streams | py 'len(d) == 0' && ctl core streams | py 'len(d) == 0' &&
		[ "$(ctl edge status | py 'd["links"][0]["pool_idle"]')" = "$(ctl core status | py 'd["links"][0]["pool_idle"]')" ]
}
for shape in "1 1" "32 16"; do
	dials=$(count core dials) again=$(count edge recycled)
	# shellcheck disable=SC2086
	churn 3 $shape -r 100 || fail "a client failed: $(tail -n 1 "$RUN/log/load.log")"
	wait_for 5 "all streams ended" all_idle
	say "  ${shape#* } at once: $(ok) connections, $(($(count core dials) - dials)) dials, $(($(count edge recycled) - again)) times again"
	[ "$(ok)" -ge 100 ] || fail "too few to tell"
	# ends are agreed on in batches of a few milliseconds: some connections open before the last one is back
	[ $(($(count core dials) - dials)) -le $((2 * ${shape#* } + 8)) ] || fail "a handshake a connection"
	[ $(($(count edge recycled) - again)) -ge "$(ok)" ] || fail "connections were not used again"
done

say "the link's TCP is reset in the middle, three times"
cut() { # cut in|dmz SIDE
	ns "$1" nft "add table inet rst; add chain inet rst out { type filter hook output priority 0; }; add rule inet rst out tcp $2 7001 reject with tcp reset"
}
link_is_down() { ctl core status | py 'd["links"][0]["state"] == "down"'; }
churn 9 32 16 -r 100 &
load=$!
for _ in 1 2 3; do
	before=$(count edge opens)
	wait_for 10 "streams in between" sh -c "[ \$('$B/sallyctl' -j -s '$RUN/edge.sock' status | python3 -c 'import json, sys; print(list(json.load(sys.stdin).values())[0][\"link\"][\"opens\"])') -gt $((before + 20)) ]"
	cut in dport
	cut dmz sport
	wait_for 10 "the link down" link_is_down
	ns in nft delete table inet rst
	ns dmz nft delete table inet rst
	wait_for 10 "the link up" link_is_up
done
wait "$load" || true # some of its clients were in the middle of it
wait_for 15 "all streams ended" all_idle
again=$(count edge recycled)
churn 1 4 4 -r 100 || fail "a client failed afterwards: $(tail -n 1 "$RUN/log/load.log")"
wait_for 5 "all streams ended" all_idle
[ $(($(count edge recycled) - again)) -ge "$(ok)" ] || fail "connections were not used again"
for d in edge core; do
	[ "$(count $d ends_bad)" = 0 ] || fail "$d: counts that do not add up"
done
[ "$(count edge early_bytes)" = 0 ] || fail "bytes before an Open"
! grep -h 'stream-closed' "$RUN/log/core.log" | grep -Ev 'reason="(closed by the client|client: |core: |worker stops|the end that|Connection reset|Software caused|alert|truncated|connection)' ||
	fail "the core read something that no client wrote"
