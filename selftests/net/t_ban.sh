#!/bin/bash
# t_ban.sh -- a source prefix is banned for nonsense: new connections die in XDP, an admitted neighbour in a call loses nothing; it expires
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
EDGE_LIMITS=$'  ban_score: 5\n  ban_seconds: 6'
pair_up
script <<'PY'
def connects():
    try:
        with in_ns("inet2"):
            s = socket.socket()
        s.settimeout(0.7)
        s.connect(EDGE)
        s.close()
        return True
    except TimeoutError:
        return False


a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(6)
time.sleep(0.5)
step("nonsense from the same prefix until it is banned")
for _ in range(12):
    try:
        c = Conn("inet2", (E["CAROL"], 0), EDGE, "tls")
        c.send(b"nonsense\r\n\r\n")
        c.closed_within(2)
    except (OSError, Closed):
        break
wait_until(3, "the ban", lambda: admin("edge", "status")["bans"]["active"] == 1)
check(not connects(), "a new connection got through")
check(admin("edge", "status")["xdp"]["drop_ban_tcp"] > 0, "XDP counted no drop")
step("the admitted neighbour: its stream and its call go on")
check(a.register(cached=True).status == 200, "alice's connection works")
rx, ry = x.result(), y.result()
check(rx["lost"] == 0 and ry["lost"] == 0, f"media lost: {rx} {ry}")
tones(rx, ry, 1200, 600, 5)
hangup(call.d, b)
flows_gone()
step("the ban expires")
wait_until(10, "carol connects again", connects)
PY
