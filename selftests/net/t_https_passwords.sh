#!/bin/bash
# t_https_passwords.sh -- 10,000 wrong passwords from one address; a colleague behind the same NAT logs on before and works on
#
#	203.0.113.50 attacker and alice --tls-- edge (dmz) ==link== core (inside) --tls-- cucm1, cucm2: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
https_up cucm1 cucm2 files
logon alice
config=$(config_url) search=$(relay_url https "cucm1.$INSIDE" 8443 "/cucm-uds/users?name=sm")
token=$(token_of alice)
export config search token
script_web <<'PY'
import collections
import threading

edge, core = workers()
before = held(edge), held(core)
alice = Web()
check(alice.ask(E["search"], token=E["token"]).status == 200, "alice works")
seen, lock, tried = collections.Counter(), threading.Lock(), [0]


def attack():
    """Guesses on connection after connection until 10,000 were made."""
    while True:
        try:
            w = Web(timeout=2)
        except (OSError, Closed):
            with lock:
                seen["no connection"] += 1
                tried[0] += 1
                if tried[0] >= 10000:
                    return
            continue
        try:
            while True:
                with lock:
                    tried[0] += 1
                    n = tried[0]
                if n > 10000:
                    return
                basic = base64.b64encode(b"bob:guess-%d" % n).decode()
                status = w.ask(E["config"], fields=[f"Authorization: Basic {basic}"]).status
                with lock:
                    seen[status] += 1
        except (OSError, Closed):
            with lock:
                seen["closed"] += 1
        finally:
            w.close()


threads = [threading.Thread(target=attack, daemon=True) for _ in range(8)]
for t in threads:
    t.start()
asked, worst = 0, 0
while any(t.is_alive() for t in threads):
    began = time.monotonic()
    a = alice.ask(E["search"], token=E["token"])
    worst = max(worst, time.monotonic() - began)
    check(a.status == 200 and b"smythe" in a.body, f"alice got {a.status} in the midst of it")
    asked += 1
    time.sleep(0.02)
after = held(edge), held(core)
step(f"attacker: {dict(seen)}; alice: {asked} requests, all served, slowest {worst * 1000:.0f} ms")
step(f"memory: edge {before[0]} -> {after[0]} KiB, core {before[1]} -> {after[1]} KiB")
check(seen[200] == 0, "a guess was taken")
check(seen[429] + seen["no connection"] > 9000, "the attacker was not held back")
check(asked >= 20, "alice asked too seldom for this to mean anything")
check(after[0] - before[0] < 8192 and after[1] - before[1] < 8192, "memory")
PY
n=$(($(asked cucm1 '^GET /cucm-uds/user/bob') + $(asked cucm2 '^GET /cucm-uds/user/bob')))
say "  passwords that a call server had to check: $n"
[ "$n" -le 200 ] || fail "call servers had to check $n passwords"
