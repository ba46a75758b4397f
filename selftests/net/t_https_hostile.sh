#!/bin/bash
# t_https_hostile.sh -- slow, endless and too many: slowloris on 1,000 connections, a 1 GiB head, chunk extensions without end, 100,000
# pipelined requests; memory stays, each is refused as it should be, and others are served all the while
#
#	198.18.0-13.1 hostile --tls--+
#	203.0.113.50 alice    --tls--+-- edge (dmz) ==link== core (inside) --tls-- cucm1, files: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
for i in $(seq 0 13); do ip -n "$P-inet" addr add "198.18.$i.1/32" dev br0; done
ip -n "$P-dmz" route add 198.18.0.0/16 dev d0
EDGE_LIMITS=$'  http_head_seconds: 3'
export EDGE_LIMITS
https_up cucm1 files
logon alice
search=$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")
put=$(relay_url https "files.$INSIDE" 8443 /files/put)
sso=$(edge_url "get_edge_sso?email=alice")
token=$(token_of alice)
export search put sso token
ulimit -n 8192
script_web <<'PY'
import threading

edge, core = workers()
GOOD, TOKEN = E["search"], E["token"]
alice = Web()


class Works(threading.Thread):
    """Alice, on her connection, all the while."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop, self.n, self.worst, self.bad = False, 0, 0, None

    def run(self):
        while not self.stop and not self.bad:
            began = time.monotonic()
            try:
                a = alice.ask(GOOD, token=TOKEN)
                if a.status != 200:
                    self.bad = a.status
            except (OSError, Closed) as e:
                self.bad = e
            self.n, self.worst = self.n + 1, max(self.worst, time.monotonic() - began)
            time.sleep(0.02)


def during(what, attack, kib):
    """The attack, with alice at work; memory of both workers, highest over lowest, under kib."""
    low, top, done = (held(edge), held(core)), [0, 0], threading.Event()

    def watch():
        while not done.is_set():
            top[0], top[1] = max(top[0], held(edge)), max(top[1], held(core))
            time.sleep(0.02)

    works, watcher = Works(), threading.Thread(target=watch, daemon=True)
    works.start()
    watcher.start()
    said = attack()
    done.set()
    works.stop = True
    works.join(10)
    grew = top[0] - low[0], top[1] - low[1]
    step(f"{what}: {said}; edge +{grew[0]} KiB, core +{grew[1]} KiB; alice {works.n} requests, slowest {works.worst * 1000:.0f} ms")
    check(works.bad is None and works.n > 0, f"{what}: alice got {works.bad}")
    check(max(grew) < kib, f"{what}: memory grew by {grew} KiB, more than {kib}")
    check(workers() == [edge, core], f"{what}: a worker died")


def pour(w, first, piece, most):
    """Send `first`, then `piece` again and again until the other side has enough. Bytes that went, and its answer."""
    sent = 0
    w.s.settimeout(5)
    try:
        w.send(first)
        while sent < most:
            w.send(piece)
            sent += len(piece)
            if select.select([w.s], [], [], 0)[0]:
                break
    except OSError:
        pass
    try:
        return sent, w.answer().status
    except (OSError, Closed):
        return sent, None


def slowloris():
    conns, refused = [], 0
    for i in range(1000):
        try:
            w = Web(source=f"198.18.{i % 10}.1", timeout=5)
            w.send(b"GET / HTTP/1.1\r\nHost: ")
            conns.append(w)
        except (OSError, Closed):
            refused += 1
    opened, ends, began = len(conns), {}, time.monotonic()
    while conns and time.monotonic() - began < 25:
        for w in conns[:]:
            try:
                if select.select([w.s], [], [], 0)[0]:
                    end = w.answer().status
                else:
                    w.send(b"a")
                    continue
            except (OSError, Closed):
                end = "closed"
            ends[end] = ends.get(end, 0) + 1
            conns.remove(w)
            w.close()
        time.sleep(1)
    check(set(ends) == {408}, f"they ended as {ends}")
    check(not conns, f"{len(conns)} slow connections are still there")
    check(opened >= 900, f"only {opened} came in")
    return f"{opened} came in, {refused} refused; ended as {ends}"


def hostile(admitted, source):
    """A connection that the edge's gate reads still, or that was admitted, so that the core alone does."""
    w = Web(source=source)
    if admitted:
        check(w.ask(GOOD, token=TOKEN).status == 200, "served")
        me = "%s:%d" % w.s.getsockname()
        wait_until(5, "admitted", lambda: any(x["peer"] == me and x["state"] == "admitted" for x in admin("edge", "streams")))
    return w


def big_head(admitted):
    def run():
        w = hostile(admitted, "198.18.11.1")
        sent, status = pour(w, request(GOOD, token=TOKEN)[:-2] + b"X-Long: ", b"a" * 16384, 1 << 30)
        check(sent < 1 << 22 and status == 431, f"{sent} bytes of a head went, then {status}")
        w = hostile(admitted, "198.18.11.1")
        many, status2 = pour(w, request(GOOD, token=TOKEN)[:-2], b"X-A: b\r\n" * 100, 1 << 30)
        check(many < 1 << 22 and status2 == 431, f"{many} bytes of fields went, then {status2}")
        return f"{sent} bytes of 1 GiB in a field went, then {status}; of fields {many}, then {status2}"
    return run


def chunk_extensions(admitted):
    """The gate has sent the head on when it sees the chunks: what it could say would stand where the core's answer belongs."""
    want = (400,) if admitted else (400, None)

    def run():
        first = request(E["put"], "PUT", TOKEN, ["Transfer-Encoding: chunked"])
        w = hostile(admitted, "198.18.12.1")
        sent, status = pour(w, first + b"1;x=", b"a" * 4096, 1 << 30)
        check(sent < 1 << 22 and status in want, f"{sent} bytes of an extension went, then {status}")
        w = hostile(admitted, "198.18.12.1")
        many, status2 = pour(w, first, b"1;" + b"x=y;" * 20 + b"\r\na\r\n", 1 << 26)
        check(status2 in want, f"{many} bytes of small chunks with extensions went, then {status2}")
        return f"{sent} bytes of one went, then {status}; {many} of many, then {status2}"
    return run


def pipelined_early():
    w = Web(source="198.18.13.1")
    pour(w, b"", request(E["sso"]) * 50, 1 << 22)
    got = []
    try:
        while True:
            got.append(w.answer().status)
    except (OSError, Closed):
        pass
    check(set(got[:-1]) <= {200} and len(got) <= 21 and got[-1] in (200, 429), f"answers: {got}")
    return f"answers: {len(got)}, the last {got[-1]}"


def pipelined():
    w = hostile(True, "198.18.13.1")
    two = request(E["sso"], token=TOKEN) + request(E["sso"].replace("get_edge_sso", "get_nothing"), token=TOKEN)
    total, block = 100000, 200
    left, data, n, bad, seen = total, b"", 0, None, b""
    w.s.setblocking(False)
    reads_from = time.monotonic() + 1  # nobody reads before: what is sent in this time piles up somewhere, or is not taken
    while n < total and bad is None:
        if not data and left:
            data, left = memoryview(two * (block // 2)), left - block
        late = time.monotonic() >= reads_from
        if not any(select.select([w.s] if late else [], [w.s] if data else [], [], 30 if late else 0.05)):
            bad = "silence" if late else None
            continue
        try:
            while data:
                data = data[w.s.send(data):]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as e:
            bad = e
        try:
            got = w.s.recv(1 << 18) if late else b" "
            bad = bad if got else "the end"
        except ssl.SSLWantReadError:
            continue
        except OSError as e:
            bad = e
            break
        seen, end = seen + got, 0
        for m in re.finditer(rb"HTTP/1\.1 (\d\d\d) ", seen):
            if m[1] != (b"404" if n % 2 else b"200"):
                bad = m[1]
                break
            n, end = n + 1, m.end()
        seen = seen[max(end, len(seen) - 12):]
    check(n == total, f"{n} answers of {total}, then {bad}")
    return f"{n} of {total} answered in order"


during("slowloris, 1,000 connections", slowloris, 65536)
banned = admin("edge", "status")["bans"]["active"]
step(f"{banned} prefixes are banned for it")
check(banned == 10, "each of them")
during("a 1 GiB head, at the gate", big_head(False), 4096)
during("a 1 GiB head, at the core", big_head(True), 4096)
during("chunk extensions without end, at the gate", chunk_extensions(False), 4096)
during("chunk extensions without end, at the core", chunk_extensions(True), 4096)
during("pipelined requests without end, before log on", pipelined_early, 4096)
during("100,000 pipelined requests", pipelined, 4096)
PY
