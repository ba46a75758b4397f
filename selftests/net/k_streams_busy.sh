#!/bin/bash
# k_streams_busy.sh -- what is on its way when workers are upgraded or killed: busy streams on kernel TLS lose no byte and double none, or break
#
#	203.0.113.50 alice ... --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30
#
# Small: STUN binding requests (RFC 5626 4.4.2) whose transaction ids count up, hundreds at once, in writes cut anywhere; the core answers each
# with its id. Bulk: blocks that are numbered, as fast as they go, to the echo service of a core for tests (core-echo: the core but for that);
# the edge moves them through pipes. Each client now and then does not read for a while. An upgrade: not one number is missing, doubled or out of
# order, and no client is disconnected. kill -9: the same for every stream that goes on; one of which bytes were in the dead worker's hands
# is reset, never ended in order. Needs a kernel with TLS: selftests/vm/t_streams.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need_prog selftests/net/core-echo
KTLS=on KTLS_AFTER=0
CORE_PROG=selftests/net/core-echo
export KTLS KTLS_AFTER
net_up
kamailio_up
pair_up
EDGE_KEEPER=$(pid_of edge)
CORE_KEEPER=$(pid_of core)
export EDGE_KEEPER CORE_KEEPER B
script <<'PY'
import random
import threading

from workers import *

IDLE, SMALL, BULK, WINDOW, BLOCK = 4, int(E.get("SMALL", 10)), int(E.get("BULK", 20)), 600, 64
MAGIC = bytes.fromhex("2112a442")


class Busy:
    """One client's numbered questions and answers; .over says how its connection ended. Small ones: STUN."""

    def __init__(self, conn, n):
        self.s, self.n, self.sent, self.got, self.out, self.rest, self.over = conn.s, n, 0, 0, b"", b"", None
        self.sleep, self.again = 0.0, 0
        self.s.setblocking(False)

    def more(self):
        while self.sent - self.got < WINDOW and len(self.out) < 40000:
            self.out += b"\x00\x01\x00\x00" + MAGIC + self.n.to_bytes(4, "big") + self.sent.to_bytes(8, "big")
            self.sent += 1

    def take(self):
        while len(self.rest) >= 20:
            size = 20 + int.from_bytes(self.rest[2:4], "big")
            if len(self.rest) < size:
                break
            want = b"\x01\x01" + self.rest[2:4] + MAGIC + self.n.to_bytes(4, "big") + self.got.to_bytes(8, "big")
            check(self.rest[:20] == want, f"client {self.n}: wanted answer {self.got}, got {self.rest[:20].hex()}")
            self.rest, self.got = self.rest[size:], self.got + 1

    def step(self, go):
        now = time.monotonic()
        try:
            if go:
                self.more()
            if self.out:
                self.again = self.again or min(self.cut(), len(self.out))  # TLS wants to see the same bytes again
                self.out, self.again = self.out[self.s.send(self.out[:self.again]):], 0
        except ssl.SSLWantWriteError:
            pass
        except OSError as e:
            self.over = e
            return
        if now < self.sleep:
            return
        if go and random.random() < 0.01:
            self.sleep = now + random.random()
        try:
            d = self.s.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as e:
            self.over = e
            return
        check(d, f"client {self.n} was disconnected in order, at answer {self.got} of {self.sent}")
        self.rest += d
        self.take()

    def cut(self):
        return random.randint(1, 20000)


class Bulk(Busy):
    """Blocks of 64 bytes, each with its number and its client's, 128 KiB on their way."""

    def __init__(self, conn, n):
        super().__init__(conn, n)
        self.out = b"ECHO\r\n"

    def blocks(self, first, n):
        return b"".join(b"%08x%024x%032x" % (self.n, i, ~i & (1 << 128) - 1) for i in range(first, first + n))

    def more(self):
        if len(self.out) < 32768 and self.sent - self.got < 2048:
            self.out += self.blocks(self.sent, 512)
            self.sent += 512

    def cut(self):
        return 65536

    def take(self):
        n = len(self.rest) // BLOCK
        want = self.blocks(self.got, n)
        if self.rest[:n * BLOCK] != want:
            at = next(i for i in range(n * BLOCK) if self.rest[i] != want[i])
            raise Failed(f"client {self.n}: byte {at % BLOCK} of block {self.got + at // BLOCK}: {self.rest[at - at % BLOCK:][:BLOCK]}")
        self.rest, self.got = self.rest[n * BLOCK:], self.got + n


class Traffic(threading.Thread):
    def __init__(self, clients):
        super().__init__(daemon=True)
        self.clients, self.go, self.failed = clients, True, None
        self.start()

    def live(self):
        return [c for c in self.clients if not c.over]

    def run(self):
        try:
            end = None
            while self.live() and (not end or time.monotonic() < end):
                for c in self.live():
                    c.step(self.go)
                if not self.go:
                    end = end or time.monotonic() + 60
                    if all(c.got == c.sent for c in self.live()):
                        return
                time.sleep(0.001)
            check(not self.live(), "answers are missing: " + str([(c.n, c.got, c.sent) for c in self.live() if c.got != c.sent]))
        except Failed as e:
            self.failed = e

    def finish(self):
        self.go = False
        self.join()
        if self.failed:
            raise self.failed


def change(name, act, daemons):
    old = {d: worker(d) for d in daemons}
    for d in daemons:
        act(d)
    for d in daemons:
        replaced(d, old[d])
    step(f"{' and '.join(daemons)} {name}")


idle = [device("alice", i) for i in range(IDLE)]
small = [device("carol", i) for i in range(SMALL)]
bulk = [device(f"alice{i // 20}", IDLE + i) for i in range(BULK)]
busy = small + bulk
wait_until(30, "all on kernel TLS", lambda: on_kernel(IDLE + len(busy)))
clients = [Busy(u.conn, i) for i, u in enumerate(small)] + [Bulk(u.conn, SMALL + i) for i, u in enumerate(bulk)]
t = Traffic(clients)
time.sleep(2)
spliced = 0
for daemons in (["edge"], ["core"], ["core", "edge"]):
    spliced += stat("edge", "status")["streams"]["spliced_bytes"] if "edge" in daemons else 0
    change("upgraded", upgrade, daemons)
    time.sleep(2)
    check(not t.failed, t.failed)
    check(len(t.live()) == len(busy), f"disconnected: {[(c.n, c.over) for c in clients if c.over]}")
spliced += stat("edge", "status")["streams"]["spliced_bytes"]
t.finish()
answers, blocks = (sum(c.got for c in clients if isinstance(c, Bulk) == b) for b in (False, True))
step(f"four upgrades: {answers} answers on {SMALL} streams, {blocks * BLOCK >> 10} KiB echoed on {BULK}, each once and in order; none disconnected; "
     f"{spliced >> 10} KiB by pipe on the edge")
check(min(c.got for c in clients) > 20 and all(c.got == c.sent for c in clients), "too little went through to tell")
check(spliced > 0, "nothing was in bulk enough for a pipe")
check(len(stat("edge", "streams")) == IDLE + len(busy), "streams")

# Killed: whatever goes on goes on without a gap; what does not is reset. Idle ones all go on.
for daemons in (["edge"], ["core"], ["edge", "core"]):
    t = Traffic([c for c in clients if not c.over])
    time.sleep(1)
    change("killed", kill, daemons)
    time.sleep(2)
    t.finish()
    over = [c for c in clients if c.over]
    step(f"{len([c for c in over if isinstance(c, Bulk)])} of {BULK} bulk and {len([c for c in over if not isinstance(c, Bulk)])} of {SMALL} small ones reset so far")
    check(all(was_reset(c.over) for c in over), [repr(c.over) for c in over])
lost = stat("edge", "status")["streams"]["lost_with_worker"], stat("core", "status")["kept"]["stream"]["lost_busy"]
step(f"lost with the last workers, as counted: edge {lost[0]}, core {lost[1]}")
left = IDLE + len([c for c in clients if not c.over])
wait_until(15, "streams of clients that are connected, and no other", lambda: len(stat("edge", "streams")) == left and
           len(stat("core", "streams")) == left)
for u in idle:
    check(u.register().status == 200, "an idle client was never disconnected")
for u in idle + busy:
    u.conn.close()
wait_until(15, "no stream left", lambda: stat("edge", "streams") == [] and stat("core", "streams") == [])
PY
