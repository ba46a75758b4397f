#!/bin/bash
# t_https_passwords.sh -- 10,000 wrong passwords from one address: colleagues behind the same NAT work on, and log on
#
#	203.0.113.50 attacker and alice --tls-- edge (dmz) ==link== core (inside) --tls-- cucm1, cucm2: nginx
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq nginx curl dig
net_up
. "$NET/lib_https.sh"
https_up cucm1 cucm2 files
more_users hq cucm1 dave
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
seen, lock, left = collections.Counter(), threading.Lock(), [10000]


def attack():
    """Guesses, as many on a connection as one may make before log on."""
    while True:
        w = Web(timeout=10)
        for _ in range(20):
            with lock:
                left[0] -= 1
                n = left[0]
            if n < 0:
                return
            basic = base64.b64encode(b"bob:guess-%d" % n).decode()
            status = w.ask(E["config"], fields=[f"Authorization: Basic {basic}"]).status
            with lock:
                seen[status] += 1
        w.close()


threads = [threading.Thread(target=attack, daemon=True) for _ in range(8)]
for t in threads:
    t.start()
asked, came, worst = 0, 0, 0
while any(t.is_alive() for t in threads):
    began = time.monotonic()
    a = alice.ask(E["search"], token=E["token"])
    worst = max(worst, time.monotonic() - began)
    check(a.status == 200 and b"smythe" in a.body, f"alice got {a.status} in the midst of it")
    asked += 1
    if asked % 20 == 0:  # and somebody who comes only now, from the same address
        new = Web()
        check(new.ask(E["config"], fields=["Authorization: Basic " + base64.b64encode(b"dave:pw-dave").decode()]).status == 200, "dave logs on")
        new.close()
        came += 1
    time.sleep(0.02)
after = held(edge), held(core)
step(f"attacker: {dict(seen)}; alice: {asked} requests, all served, slowest {worst * 1000:.0f} ms; dave logged on {came} times")
step(f"memory: edge {before[0]} -> {after[0]} KiB, core {before[1]} -> {after[1]} KiB")
check(seen[200] == 0, "a guess was taken")
check(sum(seen.values()) == 10000 and seen[429] > 9000, "the attacker was not held back")
check(asked >= 20 and came > 0, "alice asked too seldom for this to mean anything")
check(after[0] - before[0] < 8192 and after[1] - before[1] < 8192, "memory")
step("then without any restraint: the address is banned in the kernel; what alice has open goes on")
greedy = [Web() for _ in range(60)]
for w in greedy:
    w.send(request(E["config"]) * 40)
wait_until(5, "the ban", lambda: admin("edge", "status")["bans"]["active"] == 1)
try:
    Web(timeout=0.5)
    check(False, "a new connection of the banned address came in")
except TimeoutError:
    pass
check(admin("edge", "status")["xdp"]["drop_ban_tcp"] > 0, "dropped in XDP")
check(alice.ask(E["search"], token=E["token"]).status == 200, "alice works on")
PY
n=$(($(asked cucm1 '^GET /cucm-uds/user/bob') + $(asked cucm2 '^GET /cucm-uds/user/bob')))
say "  passwords that a call server had to check: $n"
[ "$n" -le 200 ] || fail "call servers had to check $n passwords"
