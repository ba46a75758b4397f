#!/bin/bash
# t_xmpp_clusters.sh -- 75 domains on three clusters, one of them dead; a cluster of two nodes, of which one dies
#
#	alice@dNN.example -- edge (dmz) ==link== core (inside) --+-- im1 10.20.0.60: d01..d25       +-- im4 10.20.0.63 --+
#	                                                         +-- im2 10.20.0.61: d26..d50       |                    +-- corp.example
#	                                                         +-- im3 10.20.0.62: d51..d75, dead +-- im5 10.20.0.64 --+
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_xmpp.sh"
net_isolate "$@"
need nft ethtool
need_chat
net_up
list() { seq -f 'd%02g.example' "$1" "$2"; }
commas() { paste -sd, | sed 's/,/, /g'; }
mapfile -t all < <(list 1 75)
im_cert im "$DOMAIN" "${all[@]}"
im_cert xmpp "$EDGE_NAME" "$DOMAIN" "${all[@]}"
for i in 1 2; do
	ln -s im.pem "$RUN/pki/im$i.pem" && ln -s im.key "$RUN/pki/im$i.key"
	# shellcheck disable=SC2046
	IM_NO_ROOMS=1 IM_USERS=alice prosody_at "im$i" lan "10.20.0.$((59 + i))" l0 $(list $((i * 25 - 24)) $((i * 25)))
done
for i in 4 5; do
	ln -s im.pem "$RUN/pki/im$i.pem" && ln -s im.key "$RUN/pki/im$i.key"
	IM_NO_ROOMS=1 IM_USERS="$(echo u{01..08})" prosody_at "im$i" lan "10.20.0.$((59 + i))" l0 "$DOMAIN"
done
for i in 1 2 4 5; do prosody_ready "im$i" lan "10.20.0.$((59 + i))"; done
ca="ca: \"$RUN/pki/web-ca.pem\""
MORE_DOMAINS=$(list 1 75 | commas)
chat_sections "10.20.0.63, 10.20.0.64" "    - {name: one, domains: [$(list 1 25 | commas)], nodes: [10.20.0.60], $ca}
    - {name: two, domains: [$(list 26 50 | commas)], nodes: [\"10.20.0.61:5223\"], tls: direct, $ca}
    - {name: three, domains: [$(list 51 75 | commas)], nodes: [10.20.0.62], $ca}"
pair_up
chat <<'PY'
domains = [f"d{i:02}.example" for i in range(1, 76)]
clients = [Client("alice", domain=d) for d in domains]
for c in reversed(clients): # those that wait for a dead server first
    await c.dial()
await until(15, "the users of two clusters", lambda: sum(bool(c.saw("session_start")) for c in clients) == 50)
check(all(c.saw("session_start") for c in clients[:50]), "the first fifty")
await until(10, "errors for the third", lambda: all(c.saw("stream_error") for c in clients[50:]))
check(all(c.saw("stream_error")[0]["condition"] == "remote-connection-failed" for c in clients[50:]), f"{clients[60].events}")
x = ctl("core", "status")["xmpp"]
check(x["admitted"] == 50 and x["ends"]["no server"] == 25, f"{x}")
one, two, three = x["clusters"][1:]
check(one["nodes"][0]["logins"] == 25 and two["nodes"][0]["logins"] == 25 and three["nodes"][0]["failures"] >= 1, f"{x['clusters']}")
step("75 domains on three clusters, one dead: the others are not touched")
for c in clients:
    c.abort()


def nodes():
    return ctl("core", "status")["xmpp"]["clusters"][0]["nodes"]


async def at(user):
    """Log in, and the node that the user is on."""
    c = await Client(user, plugins=["xep_0198"]).login(presence=False)
    await until(5, "its stream managed", lambda: c["xep_0198"].sm_id)
    where = await until(5, "its row", lambda: [r["server"] for r in ctl("core", "streams") if r["aors"] == f"{user}@{DOMAIN}" and r["admitted"]])
    return c, where[-1]


users = [f"u{i:02}" for i in range(1, 9)]
first = dict(zip(users, await asyncio.gather(*map(at, users))))
homes = {u: w for u, (c, w) in first.items()}
check(len(set(homes.values())) == 2, f"both nodes are used: {homes}")
for c, w in first.values():
    c.cut()
await until(10, "all cut", lambda: all(c.saw("disconnected") for c, w in first.values()))
for c, w in first.values():
    await c.dial()
await until(10, "all resumed where their sessions are", lambda: all(c.saw("session_resumed") for c, w in first.values()))
step("resumption reaches the node that holds the session")
pid = ctl("core", "status")["pid"]
os.kill(pid, signal.SIGKILL)
some = [c for c, w in first.values()]
await until(10, "all cut", lambda: all(len(c.saw("disconnected")) == 2 for c in some))


def again():
    try:
        s = ctl("core", "status")
        return s["pid"] != pid and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0
    except (subprocess.CalledProcessError, json.JSONDecodeError):
        return False


await until(10, "another worker", again)
for c in some:
    await c.dial()
await until(10, "all resumed through another worker", lambda: all(len(c.saw("session_resumed")) == 2 for c in some))
step("as it does through a worker that knows of none of them")
for u, (c, w) in first.items():
    c.abort()
sys.stdout.flush()
with open(f"{E['RUN']}/dead", "w") as f:
    f.write("im4" if homes["u01"].startswith("10.20.0.63") else "im5")
with open(f"{E['RUN']}/homes", "w") as f:
    json.dump(homes, f)
PY
dead=$(cat "$RUN/dead")
stop "$dead"
chat <<'PY'
homes = json.load(open(f"{E['RUN']}/homes"))
left = ({w for w in homes.values()} - {homes["u01"]}).pop()
await asyncio.gather(*(Client(u).login(presence=False) for u in homes))
rows = [r for r in ctl("core", "streams") if r["service"] == "xmpp" and r["admitted"]]
check(len(rows) == len(homes) and all(r["server"] == left for r in rows), f"{rows}")
x = ctl("core", "status")["xmpp"]
check(next(n for n in x["clusters"][0]["nodes"] if n["node"] == homes["u01"])["failures"] >= 1, f"{x['clusters'][0]}")
step("a node is dead: everybody logs in to the other")
PY
