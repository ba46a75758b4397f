#!/bin/bash
# k_streams_busy.sh -- what is on its way when workers are upgraded or killed: busy streams on kernel TLS lose no byte and double none, or break
#
#	203.0.113.50 alice ... --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30
#
# Each client pipelines STUN binding requests (RFC 5626 4.4.2) whose transaction ids count up, hundreds at once, in writes cut anywhere, and now
# and then does not read for a while; the core answers each with its id. An upgrade: not one id is missing, doubled or out of order, and no client
# is disconnected. kill -9: the same for every stream that goes on; one of which bytes were in the dead worker's hands is reset, never ended in
# order. Needs a kernel with TLS: selftests/vm/t_streams.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
KTLS=on KTLS_AFTER=0
export KTLS KTLS_AFTER
net_up
kamailio_up
pair_up
EDGE_KEEPER=$(pid_of edge)
CORE_KEEPER=$(pid_of core)
export EDGE_KEEPER CORE_KEEPER B
script <<'PY'
import random
import select
import signal
import ssl
import threading
import uuid

IDLE, BUSY, WINDOW = 4, 20, 600
MAGIC = bytes.fromhex("2112a442")


def stat(daemon, what):
    try:
        return admin(daemon, what)
    except (OSError, ValueError):
        return None


def worker(daemon):
    p = subprocess.run(["pgrep", "-P", E[f"{daemon.upper()}_KEEPER"]], capture_output=True, text=True).stdout.split()
    return p[-1] if p else ""


def device(user, i):
    u = Ua(user)
    u.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'{user}{i}')}"
    r = u.register()
    check(r.status == 200, f"{user} {i} registers: {r.start}")
    return u


class Busy:
    """One client's requests and their answers; .over says how its connection ended."""

    def __init__(self, conn, n):
        self.s, self.n, self.sent, self.got, self.out, self.rest, self.over = conn.s, n, 0, 0, b"", b"", None
        self.sleep = 0.0
        self.s.setblocking(False)

    def step(self, go):
        now = time.monotonic()
        try:
            while go and self.sent - self.got < WINDOW and len(self.out) < 40000:
                self.out += b"\x00\x01\x00\x00" + MAGIC + self.n.to_bytes(4, "big") + self.sent.to_bytes(8, "big")
                self.sent += 1
            if self.out:
                self.out = self.out[self.s.send(self.out[:random.randint(1, 20000)]):]
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
        while len(self.rest) >= 20:
            size = 20 + int.from_bytes(self.rest[2:4], "big")
            if len(self.rest) < size:
                break
            want = b"\x01\x01" + self.rest[2:4] + MAGIC + self.n.to_bytes(4, "big") + self.got.to_bytes(8, "big")
            check(self.rest[:20] == want, f"client {self.n}: wanted answer {self.got}, got {self.rest[:20].hex()}")
            self.rest, self.got = self.rest[size:], self.got + 1


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


def on_kernel(n):
    s = stat("edge", "streams")
    return s and len(s) == n and all(x["rung"] == "kernel TLS" and x["link_rung"] == "kernel TLS" for x in s)


def change(name, act, daemons):
    old = {d: worker(d) for d in daemons}
    for d in daemons:
        act(d)
    for d in daemons:
        wait_until(10, f"a new worker of the {d}", lambda: worker(d) not in ("", old[d]) and stat(d, "status"))
    step(f"{' and '.join(daemons)} {name}")


def upgrade(d):
    r = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/{d}.sock", "upgrade"], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr + r.stdout)


def kill(d):
    os.kill(int(worker(d)), signal.SIGKILL)


idle = [device("alice", i) for i in range(IDLE)]
busy = [device("carol", i) for i in range(BUSY)]
wait_until(30, "all on kernel TLS", lambda: on_kernel(IDLE + BUSY))
clients = [Busy(u.conn, i) for i, u in enumerate(busy)]
t = Traffic(clients)
time.sleep(2)
for daemons in (["edge"], ["core"], ["core", "edge"]):
    change("upgraded", upgrade, daemons)
    time.sleep(2)
    check(not t.failed, t.failed)
    check(len(t.live()) == BUSY, f"disconnected: {[(c.n, c.over) for c in clients if c.over]}")
t.finish()
total = sum(c.got for c in clients)
step(f"four upgrades: {total} answers, every one once and in order; {BUSY} of {BUSY} clients still connected")
check(total > 20 * BUSY and all(c.got == c.sent for c in clients), "too little went through to tell")
check(len(stat("edge", "streams")) == IDLE + BUSY, "streams")

# Killed: whatever goes on goes on without a gap; what does not is reset. Idle ones all go on.
for daemons in (["edge"], ["core"], ["edge", "core"]):
    t = Traffic([c for c in clients if not c.over])
    time.sleep(1)
    change("killed", kill, daemons)
    time.sleep(2)
    t.finish()
    over = [c for c in clients if c.over]
    step(f"{len(over)} of {BUSY} busy ones reset so far: {sorted({type(c.over).__name__ for c in over})}")
    # By RST, or by FIN without close_notify: both say that something is missing.
    check(all(isinstance(c.over, (ConnectionError, ssl.SSLEOFError)) for c in over), [repr(c.over) for c in over])
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
