#!/bin/bash
# t_drain.sh -- one of two edges is taken out of service with a call and a chat on it, put back, and then the core, with another one there
#
#	203.0.113.50 alice (two flows) --+-- edge  203.0.113.10 --+
#	                                 |                        +--link-- core (inside) --+-- Kamailio 10.20.0.30, bob 10.20.0.40
#	203.0.113.51 carol (edge only) --+-- edge2 203.0.113.12 --+        \              +-- a chat server 10.20.0.61
#	                                                         edge --link-- core2 (fakecore)
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_xmpp.sh"
net_isolate "$@"
need kamailio nft ethtool curl
need_prog selftests/net/fakecore
net_up
kamailio_up
export EDGE2_OUT=203.0.113.12 EDGE2_IN=172.16.0.12 CORE2=core2.$DOMAIN
ip -n "$P-dmz" addr add "$EDGE2_OUT/24" dev d0
ip -n "$P-dmz" addr add "$EDGE2_IN/24" dev d1
ip -n "$P-lan" addr add 10.20.0.61/24 dev l0
start fakeim lan python3 "$NET/fakeim.py" 10.20.0.61 echo
pki_up
for n in edge2 core2; do
	"$B/sallyctl" pki issue "$RUN/pki/link" "$n.$DOMAIN" >>"$RUN/log/pki.log"
done
IM_TLS=none CHAT_EDGE="  federation: {listen: [\"$EDGE_OUT:5269\"]}
https: {listen: [\"$EDGE_OUT:8443\"], host: $EDGE_NAME}" chat_sections 10.20.0.61
edge_config
sed -e "s/    - name: $CORE_NAME/&\n      domains: [$DOMAIN]\n    - name: $CORE2/" -i "$RUN/edge.yaml"
sed -e "s/$EDGE_OUT/$EDGE2_OUT/;s/$EDGE_IN/$EDGE2_IN/;s/edge\.$DOMAIN/edge2.$DOMAIN/;s,$RUN/edge\.sock,$RUN/edge2.sock,;s/^instance: .*/&-2/" \
	-e "s,pki/edge\.,pki/link/edge2.$DOMAIN.,g;s/edge2\.$DOMAIN\.pem/edge2.$DOMAIN.crt/;s/rung: auto/rung: user/;/^xmpp:/,\$d" "$RUN/edge.yaml" >"$RUN/edge2.yaml"
edge_config() { :; }
edge_up
start edge2 dmz "$B/sallyport-edge" -c "$RUN/edge2.yaml"
wait_for 10 "the second edge" tcp_bound dmz "$EDGE2_OUT:5061"
core_config
sed -i "s/^    - {name: $EDGE_NAME.*/&\n    - {name: edge2.$DOMAIN, address: \"$EDGE2_IN:7001\", pool: 8}/" "$RUN/core.yaml"
core_config() { :; }
core_up
wait_for 10 "both links up" eval 'ctl core status | py "all(l[\"state\"] == \"up\" and l[\"pool_idle\"] > 0 for l in d[\"links\"])"'
script <<'PY'
EDGE2 = (E["EDGE2_OUT"], 5061)
SALLYCTL = f"{E['B']}/sallyctl"


def ctl(daemon, *cmd):
    p = subprocess.run([SALLYCTL, "-s", f"{E['RUN']}/{daemon}.sock", *cmd], capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def state(daemon):
    return admin(daemon, "status")["drain"]


def no_edge(user, how=EDGE, ip=E["ALICE"], method=None):
    """A new connection: its first request gets 503 with Retry-After, and the end in order."""
    u = Ua(user, ip=ip, server=how)
    t = time.monotonic()
    r = u.register() if not method else u.response(u.request(method, f"sip:{DOMAIN}"), method)
    check(r.status == 503 and r.get("retry-after") == "30", r.text())
    check(u.conn.closed_within(5), "closed behind the answer")
    return time.monotonic() - t


def stanza(s, until):
    got = b""
    while until not in got:
        b = s.recv(65536)
        check(b, f"closed before {until}: {got}")
        got += b
    return got.decode()


HEAD = (f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='%s' "
        "xmlns:stream='http://etherx.jabber.org/streams'>")


def chat(port):
    """A connection up to its first features or error under TLS."""
    with in_ns("inet"):
        s = socket.socket()
    s.settimeout(5)
    s.connect((EDGE[0], port))
    if port == 5222:
        s.sendall((HEAD % "jabber:client").encode())
        stanza(s, b"</stream:features>")
        s.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        stanza(s, b"<proceed")
    c = ssl.create_default_context(cafile=f"{E['RUN']}/pki/web-ca.pem")
    s = c.wrap_socket(s, server_hostname=DOMAIN)
    s.sendall((HEAD % "jabber:client").encode())
    return s, stanza(s, b"</stream:")


def more(n):
    """So many packets more, both ways, of the one call."""
    at = {k: sum(f[k] for f in flows()) + n for k in ("packets_in", "packets_out")}
    wait_until(8, f"{n} packets more both ways", lambda: all(sum(f[k] for f in flows()) >= at[k] for k in at))


step("alice with a flow to each edge, carol with one, a call and a chat by the first edge")
a1, carol, b = outside("alice"), outside("carol", ip=E["CAROL"]), inside()
a2 = Ua("alice", server=EDGE2)
a2.flow = 2
check(a2.register().status == 200, "the second flow")
call = Call(a1, b)
media = call.media(60)
im, said = chat(5222)
check("PLAIN" in said, said)
im.sendall(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHB3</auth>")
stanza(im, b"<success")
im.sendall((HEAD % "jabber:client").encode() + b"<one/>")
stanza(im, b"<one/>")
more(10)

step("drain on: told to the core, shown on both")
check(not state("edge")["on"], "in service")
code, out = ctl("edge", "drain", "on")
check(code == 0 and "draining for 0 s" in out, out)
waiting = subprocess.Popen([SALLYCTL, "-s", f"{E['RUN']}/edge.sock", "drain", "status", "--wait", "30"], stdout=subprocess.PIPE, text=True)
wait_until(3, "the core hears", lambda: state("core")["peers_draining"] == [f"edge.{DOMAIN}"])
d = wait_until(3, "the edge hears what is left", lambda: state("edge")["calls_left"] == 1 and state("edge"))
check(d["on"] and not d["done"] and d["streams"]["xmpp"] == 1 and d["flows_left"] >= 1 and d["phones"] == 1, d)
check(not state("core")["on"] and not state("edge2")["on"], "nobody else drains")
code, out = ctl("edge", "drain", "status", "--wait", "0")
check(code == 1 and "1 calls" in out and "1 chats" in out, out)

step("new ones are refused in their own words")
no_edge("alice")
no_edge("alice", method="OPTIONS")
for port in (5222, 5223):
    s, said = chat(port)
    check("<stream:error><system-shutdown " in said, said)
    check(s.recv(10) == b"", "and closed")
with in_ns("inet"):
    s = socket.create_connection((EDGE[0], 5269), 5)
s.sendall((HEAD % "jabber:server").encode())
check("<stream:error><system-shutdown " in stanza(s, b"</stream:stream>"), "federation")
url = f"https://edge.{DOMAIN}:8443/{base64.urlsafe_b64encode(DOMAIN.encode()).decode().rstrip('=')}/get_edge_config"
for auth in ([], ["-u", "alice:pw-alice"]):
    out = ns_run("inet", "curl", "-si", "--max-time", "5", "--cacert", f"{E['RUN']}/pki/web-ca.pem", "--resolve", f"edge.{DOMAIN}:8443:{EDGE[0]}", *auth, url).stdout
    check(out.startswith("HTTP/1.1 503 ") and "\nRetry-After: 30\n" in out and "\nConnection: close\n" in out, out)
st = admin("edge", "status")
check(st["streams"]["refused"]["draining"] == 7, st["streams"]["refused"])
check(st["bans"]["points"] == 0 and st["bans"]["active"] == 0, st["bans"])

step("on admitted streams: no new calls here, but by the other edge; carol, who has none, is asked to go once")
sdp = make_sdp(a1.ip, 42000, [("AES_CM_128_HMAC_SHA1_80", new_key("AES_CM_128_HMAC_SHA1_80"))])
_, r = a1.invite(b.aor, sdp)
check(r.status == 503 and r.get("retry-after") == "30", r.text())
r = carol.register(cached=True)
check(r.status == 503 and r.get("retry-after") == "5", r.text())
check(carol.register(cached=True).status == 200, "she has nowhere else to go")
check(a1.register(cached=True).status == 200, "beside a call a refresh passes")
d, _ = a2.invite(b.aor, sdp, final=False)
d.challenged()
b.reply(b.expect("INVITE"), 486, "Busy Here", totag="x")
check(d.final().status == 486, "by the other edge")

step("calls from inside: alice by her other flow, carol still here")
plain = make_sdp(b.ip, 45000)
for who, by in (("alice", a2), ("carol", carol)):
    d, _ = b.invite(f"sip:{who}@{DOMAIN}", plain, final=False)
    d.challenged()
    by.reply(by.expect("INVITE"), 486, "Busy Here", totag="y")
    a1.nothing("a new call by the drained edge", lambda m: m.method == "INVITE", 0.1)
    d.cancel() if who == "alice" else check(d.final().status == 486, "busy")

step("the call and the chat go on, and end in order; then alice's flow is closed, and nothing is left")
im.sendall(b"<two/>")
stanza(im, b"<two/>")
check(waiting.poll() is None and not a1.conn.closed_within(0.5), "still there")
more(50)
hangup(call.d, b)
tones(*[m.stop() for m in media], 1200, 600)
im.sendall(b"</stream:stream>")
im.close()
check(a1.conn.closed_within(5), "alice is reached by the other edge: her flow here is closed")
check(waiting.wait(15) == 0, "sallyctl waited for the last one")
check("0 calls, 0 media flows, 0 chats" in waiting.stdout.read(), "and says so")
check(not carol.conn.closed_within(0.3), "carol stays")
d = state("core")
check(d["moved"] == 1 and d["refused"] >= 2 and d["phones"] >= 1, d)

step("drain off: new ones at once")
code, out = ctl("edge", "drain", "off")
check(code == 0 and "in service" in out, out)
a1 = outside("alice")
wait_until(3, "the core hears", lambda: not state("core")["peers_draining"])
call = Call(a1, b, out_port=43000, in_port=44000)
media = call.media(60)
more(10)

step("drained in a call, and the worker dies: still drained; alice comes back only to hang up, and is let through")
check(ctl("edge", "drain", "on")[0] == 0, "drain on")
before = admin("edge", "status")
os.kill(before["pid"], 9)


def again():
    try:
        s = admin("edge", "status")
    except OSError:
        return None
    return s["pid"] != before["pid"] and s["links"][0]["state"] == "up" and s


now = wait_until(10, "another worker", again)
check(now["drain"]["on"] and now["drain"]["kept"] and now["drain"]["since_s"] >= before["drain"]["since_s"], now["drain"])
wait_until(5, "the core is told anew", lambda: state("core")["peers_draining"])
check(state("edge")["flows_left"] >= 1 and not state("edge")["done"], "what is left is seen by its media")
no_edge("carol", ip=E["CAROL"])
more(50)
a1.connect()
hangup(call.d, b)
tones(*[m.stop() for m in media], 1200, 600)
flows_gone()
check(ctl("edge", "drain", "off")[0] == 0, "drain off")
wait_until(3, "the core hears", lambda: not state("core")["peers_draining"])

step("the core drains, and no other one is there: refused at once; off again")
check(ctl("core", "drain", "on")[0] == 0, "drain on")
wait_until(3, "the edges hear", lambda: state("edge")["peers_draining"] == [f"core.{DOMAIN}"])
check(no_edge("alice") < 1.5, "without the wait for a core that may come back")
code, out = ctl("core", "upgrade")
check(code == 0, out)
check(state("core")["on"] and state("core")["kept"], "the next worker drains as well")
wait_until(8, "the edges hear it from the next one", lambda: state("edge")["peers_draining"] == [f"core.{DOMAIN}"])
check(ctl("core", "drain", "off")[0] == 0, "drain off")
wait_until(3, "the edges hear", lambda: not state("edge")["peers_draining"])
u = outside("alice")
u.conn.close()
PY
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open
echo $! >"$RUN/pids/cmd"
script <<'PY'
def core_again(pid):
    """The core's next worker, its link to the first edge up."""
    try:
        s = admin("core", "status")
    except OSError:
        return False
    return s["pid"] != pid and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0


step("another core comes behind the first edge, and this one drains: its phones are moved, new streams go to the other one")
with open(f"{E['RUN']}/log/core2.log", "w") as log:
    pki = f"{E['RUN']}/pki/link"
    core2 = subprocess.Popen(["nsenter", f"--net={E['NETNS']}-in", "--", f"{E['B']}/selftests/net/fakecore", E["CORE2"], f"edge.{DOMAIN}",
                              f"{E['EDGE_IN']}:7001", f"{pki}/{E['CORE2']}.crt", f"{pki}/{E['CORE2']}.key", f"{pki}/ca.crt", DOMAIN],
                             stdin=open(f"{E['RUN']}/cmd"), stdout=log, stderr=log)
try:
    log_wait("core2", "^up ", 10)
    pid = admin("core", "status")["pid"]
    os.kill(pid, 9)  # its next hello is the newest one: streams go there
    wait_until(10, "the core again", lambda: core_again(pid))
    carol = outside("carol", ip=E["CAROL"])
    check(not carol.conn.closed_within(0.5), "carol stays where she is")
    os.system(f"{E['B']}/sallyctl -s {E['RUN']}/core.sock drain on >/dev/null")
    check(carol.conn.closed_within(5), "carol's idle stream is closed")
    u = Ua("carol", ip=E["CAROL"])
    u.request("REGISTER", f"sip:{DOMAIN}", headers=["Expires: 60"])
    log_wait("core2", "^open ", 5)
    p = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/core.sock", "drain", "on", "--wait", "10"], capture_output=True, text=True)
    check(p.returncode == 0, p.stdout + p.stderr)
finally:
    core2.kill()
    core2.wait()
PY
say "PASSED"
