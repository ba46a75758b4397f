#!/bin/bash
# t_upgrade.sh -- sallyctl upgrade of both daemons in a call: no packet lost either way, no client's TLS connection refused or broken off in its
# handshake, and the caller's goes on; a binary that cannot take over changes nothing
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
# alone
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
need_prog sallyport-edge sallyport-core sallyctl selftests/net/rtptool selftests/net/pcapcheck
net_up
# Binaries of our own, to be replaced as a package manager does it.
mkdir -p "$RUN/bin/selftests"
cp "$B"/sallyport-{edge,core} "$RUN/bin/"
ln -s "$(readlink -f "$B")/sallyctl" "$RUN/bin/"
ln -s "$(readlink -f "$B")/selftests/net" "$RUN/bin/selftests/"
B=$RUN/bin
kamailio_up
pair_up
EDGE_KEEPER=$(pid_of edge)
CORE_KEEPER=$(pid_of core)
export B EDGE_KEEPER CORE_KEEPER
script <<'PY'
import shutil
import threading

KEEPER = {"edge": E["EDGE_KEEPER"], "core": E["CORE_KEEPER"]}


def workers(d):
    return subprocess.run(["pgrep", "-P", KEEPER[d]], capture_output=True, text=True).stdout.split()


def binary(d):
    return f"{E['B']}/sallyport-{d}"


def put(d, source):
    """Another file in its place."""
    shutil.copy(source, binary(d) + ".new")
    os.rename(binary(d) + ".new", binary(d))


def ctl(d):
    return subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/{d}.sock", "upgrade"], capture_output=True, text=True)


def link_up():
    try:
        l = admin("core", "status")["links"][0]
        return l["state"] == "up" and l["pool_idle"] > 0
    except (OSError, ValueError):
        return False


class Visitors(threading.Thread):
    """Clients that connect one after the other, shake hands and leave."""

    def __init__(self):
        super().__init__(daemon=True)
        self.tls = ssl.create_default_context(cafile=f"{E['RUN']}/pki/web-ca.pem")
        self.done, self.failed, self.slowest, self.ended = 0, [], 0.0, False

    def visit(self):
        with in_ns("inet2"):
            s = socket.socket()
        s.settimeout(10)
        with s:
            s.connect(EDGE)
            with self.tls.wrap_socket(s, server_hostname=f"edge.{DOMAIN}"):
                pass

    def run(self):
        while not self.ended:
            t = time.monotonic()
            try:
                self.visit()
                self.done += 1
            except OSError as e:
                self.failed.append(f"after {self.done}: {e!r}")
            self.slowest = max(self.slowest, time.monotonic() - t)
            time.sleep(0.01)


def upgrade(d):
    old = workers(d)[-1:]
    put(d, binary(d))
    before = visitors.done
    r = ctl(d)
    step(f"{(r.stdout + r.stderr).strip()}")
    check(r.returncode == 0 and f"in place of {old[0]}" in r.stdout, f"{d}: {r}")
    new = wait_until(5, f"{d}: a new worker", lambda: workers(d)[-1:] != old and workers(d)[-1:])
    check(f"as process {new[0]}" in r.stdout, f"{d}: {new}: {r.stdout}")
    check(os.stat(f"/proc/{new[0]}/exe").st_ino == os.stat(binary(d)).st_ino, "the new binary runs")
    with open(f"/proc/{new[0]}/comm") as f:
        check(f.read().strip() == f"sallyport-{d}", "by its name")
    wait_until(5, "visitors after it", lambda: visitors.done > before + 20)
    wait_until(10, "the link up again", link_up)


def refused(d, source, why):
    old = workers(d)
    put(d, source)
    r = ctl(d)
    step(f"{(r.stdout + r.stderr).strip()}")
    check(r.returncode == 1 and why in r.stderr and not r.stdout, f"{d}: {r}")
    check(workers(d) == old, f"{d}: {old} goes on, not {workers(d)}")


a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(18)
visitors = Visitors()
visitors.start()
wait_until(5, "visitors", lambda: visitors.done > 20)
good = {d: shutil.copy(binary(d), f"{E['RUN']}/{d}.good") for d in KEEPER}
for d in KEEPER:
    refused(d, "/bin/false", "the next worker ended with status 1")
    put(d, good[d])
first = workers("edge")
upgrade("edge")
check(a.register(cached=True).status == 200, "a refresh over the same connection")
check(first[0] in workers("edge"), "its old worker relays")
upgrade("core")
log_wait("core", "event=resumed calls=1 bindings=1 refused=0 media_ended=0", 5)
check(a.register().status == 200, "a refresh over the same connection: the core's nonces are new")
# Once more, from upgraded to upgraded.
upgrade("edge")
check(a.register(cached=True).status == 200, "a refresh over the same connection")
visitors.ended = True
visitors.join()
step(f"visitors: {visitors.done} came and left, {len(visitors.failed)} failed, the slowest took {visitors.slowest * 1000:.0f} ms")
check(not visitors.failed and visitors.done > 100, f"visitors: {visitors.failed}")
rx, ry = x.result(), y.result()
for name, r in (("outside", rx), ("inside", ry)):
    step(f"{name}: {r['received']} received, {r['lost']} lost, {r['duplicates']} doubled, longest gap {r['max_gap_ms']} ms")
    check(r["lost"] == 0 and r["duplicates"] == 0 and r["received"] >= 890, f"{name} lost media: {r}")
tones(rx, ry, 1200, 600, 16)
for f in admin("core", "flows"):
    check(not [n for n in f.get("refused", {}).values() if n], f"packets refused: {f}")
hangup(call.d, b)
flows_gone()
PY
wait_for 5 "the live map empty" no_live_flows
[ "$(count_log edge 'event=worker-died')$(count_log core 'event=worker-died')" = 00 ] || fail "a worker died"
say "PASS: upgrade"
