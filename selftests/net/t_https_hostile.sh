#!/bin/bash
# t_https_hostile.sh -- slow, endless and too many: slowloris on 1,000 connections, a 1 GiB head, chunk extensions without end, 100,000
# pipelined requests; memory stays, each is refused as it should be, and others are served all the while
#
#	198.18.0-9.1 hostile  --tls--+
#	203.0.113.50 alice    --tls--+-- edge (dmz) ==link== core (inside) --tls-- cucm1, files: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
for i in $(seq 0 9); do ip -n "$P-inet" addr add "198.18.$i.1/32" dev br0; done
ip -n "$P-dmz" route add 198.18.0.0/16 dev d0
EDGE_LIMITS=$'  unadmitted_seconds: 6'
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
    check(not conns, f"{len(conns)} slow connections are still there")
    check(opened >= 900, f"only {opened} came in")
    return f"{opened} came in, {refused} refused; ended as {ends}"


def big_head(token):
    def run():
        w = Web(source="198.18.1.1")
        first = request(GOOD, token=token)[:-2]
        sent, status = pour(w, first + b"X-Long: ", b"a" * 16384, 1 << 30)
        check(sent < 1 << 22 and status in (400, 431, None), f"{sent} bytes of a head went, then {status}")
        check(token is None or status == 431, f"with a token: {status}")
        return f"{sent} bytes of 1 GiB went, then {status}"
    return run


def many_fields():
    w = Web(source="198.18.1.1")
    sent, status = pour(w, request(GOOD, token=TOKEN)[:-2], b"X-A: b\r\n" * 100, 1 << 30)
    check(sent < 1 << 22 and status == 431, f"{sent} bytes of fields went, then {status}")
    return f"{sent} bytes went, then {status}"


def chunk_extensions():
    w = Web(source="198.18.2.1")
    first = request(E["put"], "PUT", TOKEN, ["Transfer-Encoding: chunked"])
    sent, status = pour(w, first + b"1;x=", b"a" * 4096, 1 << 30)
    check(sent < 1 << 22 and status == 400, f"{sent} bytes of an extension went, then {status}")
    v = Web(source="198.18.2.1")
    sent2, status2 = pour(v, first, b"1;" + b"x=y;" * 20 + b"\r\na\r\n", 1 << 26)
    check(status2 == 400, f"{sent2} bytes of small chunks with extensions went, then {status2}")
    return f"{sent} bytes of one, {sent2} of many went, then {status}, {status2}"


def pipelined():
    w = Web(source="198.18.3.1")
    one = request(E["sso"], token=TOKEN)
    total, block = 100000, 200
    w.s.settimeout(30)

    def feed():
        try:
            for _ in range(total // block):
                w.send(one * block)
        except OSError:
            pass

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    time.sleep(1)  # nobody reads: what is sent in this time piles up somewhere, or is not taken
    n, bad = 0, None
    try:
        while n < total:
            a = w.answer()
            if a.status != 200:
                bad = a.status
                break
            n += 1
    except (OSError, Closed) as e:
        bad = e
    check(n == total, f"{n} answers of {total}, then {bad}")
    return f"{n} of {total} answered in order"


during("slowloris, 1,000 connections", slowloris, 65536)
during("a 1 GiB head before log on", big_head(None), 4096)
during("a 1 GiB head with a token", big_head(TOKEN), 4096)
during("fields without end", many_fields, 4096)
during("chunk extensions without end", chunk_extensions, 4096)
during("100,000 pipelined requests", pipelined, 4096)
PY
