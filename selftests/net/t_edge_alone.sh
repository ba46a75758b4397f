#!/bin/bash
# t_edge_alone.sh -- the edge against a core with no SIP in it (fakecore): gate, admission, caps, ends, flows, bans, a killed worker
#
#	203.0.113.50 client --tls-- edge (dmz) ==link== fakecore (inside)
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need bpftool nft ethtool python3 openssl
need_prog sallyport-edge selftests/net/fakecore
net_up
pki_up
export EDGE_LIMITS="  unadmitted_seconds: 4
  unadmitted_prefix: 24
  ban_score: 12
  ban_seconds: 3"
OTHER=203.0.113.60 # a client that is not banned
ip -n "$P-inet" addr add "$OTHER/24" dev "$(ns inet ip -o route get "$EDGE_OUT" | sed 's/.* dev \([^ ]*\).*/\1/')"
export OTHER
v6() { # v6 NS ADDRESS LIKE: where LIKE is
	ip -n "$P-$1" addr add "$2/64" nodad dev "$(ip -n "$P-$1" -o addr show to "$3" | sed 's/^[0-9]*: \([^ ]*\).*/\1/')"
}
v6 inet 2001:db8:1::50 "$ALICE"
v6 dmz 2001:db8:1::10 "$EDGE_OUT"
v6 dmz 2001:db8:2::10 "$EDGE_IN"
v6 in 2001:db8:2::20 "$CORE_OUT"
# The inner firewall of this bed knows IPv4 only: without neighbour discovery there is no IPv6 at all.
ns in nft insert rule inet inner input iifname i0 icmpv6 type '{ nd-neighbor-solicit, nd-neighbor-advert }' accept
edge_config
sed -i 's/^  listen: \["\([^"]*:5061\)"\]/  listen: ["\1", "[2001:db8:1::10]:5061"]/
	s/^  pairs:/&\n    - {outside: "2001:db8:1::10", inside: "2001:db8:2::10", outside_first: 36000, inside_first: 36000, ports: 2000}/' \
	"$RUN/edge.yaml"
edge_config() { :; }
edge_up
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open between commands
echo $! >"$RUN/pids/cmd"
core_start() {
	start fakecore in sh -c 'exec "$@" <"$0"' "$RUN/cmd" "$B/selftests/net/fakecore" "$CORE_NAME" "$EDGE_NAME" \
		"$EDGE_IN:7001" "$RUN/pki/core.pem" "$RUN/pki/core.key" "$RUN/pki/link-ca.pem" "$DOMAIN" "$CORE_OUT:2776" "[2001:db8:2::20]:2776"
	wait_log 10 fakecore "^up "
}
core_start
EDGE_WORKER=$(worker_of edge)
EDGE_KEEPER=$(pid_of edge)
BANS=$(pinned bans)
export EDGE_WORKER EDGE_KEEPER BANS
ns inet python3 - <<'PY'
import json, os, re, signal, socket, ssl, subprocess, sys, time
E = os.environ
RUN, DOMAIN, EDGE = E["RUN"], E["DOMAIN"], (E["EDGE_OUT"], 5061)
ctx = ssl.create_default_context(cafile=f"{RUN}/pki/web-ca.pem")
ctx.suppress_ragged_eofs = False
n_check = 0


def check(ok, what):
    global n_check
    n_check += 1
    if not ok:
        print("FAILED:", what)
        print(open(f"{RUN}/log/fakecore.log").read()[-2000:])
        sys.exit(1)


def wait(sec, what, f):
    end = time.time() + sec
    while time.time() < end:
        r = f()
        if r:
            return r
        time.sleep(0.02)
    check(False, f"waited in vain for {what}")


def log(name):
    return open(f"{RUN}/log/{name}.log", errors="replace").read()


mark = 0


def event(regex, sec=3):
    """The next line of the fake core that matches."""
    def look():
        global mark
        text = log("fakecore")
        m = re.compile(regex, re.M).search(text[:text.rfind("\n") + 1], mark)
        if m:
            mark = m.end()
        return m
    return wait(sec, f"fakecore: {regex}", look)


def quiet(regex, sec=0.3):
    time.sleep(sec)
    return not re.search(regex, log("fakecore")[mark:], re.M)


def tell(line):
    with open(f"{RUN}/cmd", "w") as f:
        f.write(line + "\n")


def admin(cmd, arg=""):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{RUN}/edge.sock")
    s.sendall((json.dumps({"cmd": cmd, "arg": arg}) + "\n").encode())
    data = b""
    while True:
        d = s.recv(65536)
        if not d:
            break
        data += d
    return json.loads(data)


def refused(reason):
    return admin("status")["streams"]["refused"][reason]


class Client:
    n = 0

    def __init__(self, src="203.0.113.50", to=EDGE):
        s = socket.create_connection(to, 3, (src, 0))
        self.t = ctx.wrap_socket(s, server_hostname=E["EDGE_OUT"])
        self.t.settimeout(4)

    def send(self, data):
        self.t.sendall(data if isinstance(data, bytes) else data.encode())

    def recv(self, until=b"\r\n\r\n"):
        data = b""
        while until not in data:
            d = self.t.recv(65536)
            if not d:
                break
            data += d
        return data.decode()

    def over(self):
        try:
            return self.t.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


def msg(method, ruri=f"sip:{DOMAIN}", from_=f"sip:alice@{DOMAIN}", extra="", body=""):
    Client.n += 1
    return (f"{method} {ruri} SIP/2.0\r\nVia: SIP/2.0/TLS 203.0.113.50:40000;branch=z9hG4bK{Client.n};rport\r\n"
            f"From: <{from_}>;tag=f{Client.n}\r\nTo: <sip:alice@{DOMAIN}>\r\nCall-ID: c{Client.n}\r\n"
            f"CSeq: 1 {method}\r\nMax-Forwards: 70\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}")


def opened():
    return event(r"^open (\w+) client=203\.0\.113\.50:\d+ local=203\.0\.113\.10:5061 service=sip .*tls=TLSv1\.3 cipher=TLS_").group(1)


print("== REGISTER goes to the core, its answer comes back; INVITE is refused, admitted, then everything passes")
c = Client("2001:db8:1::50", ("2001:db8:1::10", 5061))
c.send(msg("REGISTER"))
event(r"^open \w+ client=\[2001:db8:1::50\]:\d+ local=\[2001:db8:1::10\]:5061 ")
event("^data")
c.t.unwrap()
a = Client()
a.send("\r\n\r\n")
check(a.recv(b"\r\n") == "\r\n", "pong")
check(quiet("^open "), "no stream before a message")
m = msg("REGISTER")
a.send(m[:77])
time.sleep(0.1)
a.send(m[77:])
sid = opened()
check(event(r"^data %s (.*)$" % sid).group(1) == m.replace("\r", "\\r").replace("\n", "\\n"), "byte for byte")
tell(f"send {sid} SIP/2.0 401 Unauthorized\\r\\nX: 1\\r\\n\\r\\n")
check(a.recv().startswith("SIP/2.0 401"), "401")
a.send(msg("INVITE", f"sip:bob@{DOMAIN}"))
t0 = time.time()
check(a.recv().startswith("SIP/2.0 403 Register First"), "403")
check(0.8 < time.time() - t0 < 2, "held a second for an Admit")
check(refused("not-admitted") == 1, "counted")
check(quiet("^data "), "the core saw it")
a.send(msg("INVITE", f"sip:bob@{DOMAIN}"))
check(a.recv().startswith("SIP/2.0 403"), "403 at once")
a.send(msg("REGISTER"))
event("^data %s REGISTER" % sid)
i2 = msg("INVITE", f"sip:bob@{DOMAIN}")
a.send(i2)
time.sleep(0.3)
tell(f"admit {sid}")  # as if it came late on its own connection
event(r"^data %s INVITE" % sid)
big = "x" * 40000
a.send(big)
got = 0
while got < len(big):
    got += len(event(r"^data %s (x+)$" % sid).group(1))
big = "y" * 3000000 + "z\n"  # more than all queues hold: the reader is slower than the sender
a.send(big)
wait(10, "all of it", lambda: log("fakecore").endswith("z\\n\n"))
check(sum(len(x) for x in re.findall(r"^data %s (y+)" % sid, log("fakecore"), re.M)) == 3000000, "not a byte lost")
tell(f"send {sid} hello\\r\\n\\r\\n")
check(a.recv() == "hello\r\n\r\n", "back")
s = [r for r in admin("streams") if r["stream"] == sid][0]
check(s["admitted"] and s["state"] == "admitted" and s["rung"] == "user TLS", s)
check(admin("why", sid)["reason"], "why")
check(admin("status")["streams"]["unadmitted"] == 0, "not counted any more")

print("== a name that is not UTF-8 hides no stream")
n = admin("status")["streams"]["streams"]
odd = subprocess.Popen(["openssl", "s_client", "-quiet", "-connect", "%s:%d" % EDGE, "-servername", b"\xffx\x1b"],
                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait(3, "shown", lambda: "?x?" in [r["sni"] for r in admin("streams")])
check(len(admin("streams")) == n + 1, "all of them")
odd.kill()
odd.wait()
wait(3, "gone", lambda: admin("status")["streams"]["streams"] == n)

print("== ends: clean, truncated, by the core, revoked")
cut = admin("status")["streams"]["truncated"]
time.sleep(4.5)
check(quiet("^(end|reset)"), "an admitted stream has no deadline")
a.t.unwrap()
event(r"^end %s" % sid)
for how in ("end", "close", "revoke"):
    c = Client()
    c.send(msg("REGISTER"))
    sid = opened()
    event("^data")
    tell(f"admit {sid}")
    wait(2, "admitted", lambda: [r for r in admin("streams") if r["stream"] == sid and r["admitted"]])
    tell(f"{how} {sid}")
    check(c.over(), "closed")
    if how != "end":
        event(r"^end %s" % sid)
print("== a response to what the core asked: it may pass its Admit on the way, and has to wait for it")
ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 203.0.113.10;branch=z9hG4bKq\r\nFrom: <sip:b@x.example>;tag=1\r\n" \
    "To: <sip:a@x.example>;tag=2\r\nCall-ID: q\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
before = refused("response")
c = Client()
c.send(msg("REGISTER"))
sid = opened()
event("^data")
c.send(ok)
check(quiet("^data "), "held")
tell(f"admit {sid}")
event(r"^data %s SIP/2.0 200 OK" % sid)
check(refused("response") == before, "not refused")
c.t.unwrap()
event(r"^end %s" % sid)
c = Client()
c.send(msg("REGISTER"))
opened()
event("^data")
c.send(ok)
check(c.over(), "closed when no Admit comes")
check(refused("response") == before + 1, "and counted")
event("^end")
c = Client()
c.send(msg("REGISTER"))
sid = opened()
event("^data")
tell(f"close {sid}")
tell(f"admit {sid}")  # crossed it: no way back
check(c.over(), "closed")
event(r"^end %s" % sid)
c = Client()
c.send(msg("REGISTER"))
sid = opened()
event("^data")
c.t.settimeout(0.3)
try:
    c.t.recv(1)  # the session tickets: unread they would turn our FIN into a RST
except TimeoutError:
    pass
os.close(c.t.detach())
event(r"^reset %s client: truncated" % sid)
check(admin("status")["streams"]["truncated"] == cut + 1, "counted")

print("== refused: domain, garbage, length, too long, caps")
n0 = len(re.findall("^open ", log("fakecore"), re.M))
c = Client()
for i in range(3):
    c.send(msg("REGISTER", "sip:other.example"))
    check(c.recv().startswith("SIP/2.0 403 Domain Not Served Here"), "403")
check(c.over(), "closed after three")
check(refused("unserved-domain") == 3, "counted")
c = Client()
c.send("GET / HTTP/1.1\r\n\r\n")
check(c.over(), "closed")
c = Client()
c.send(msg("REGISTER").replace("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0"))
check(c.recv().startswith("SIP/2.0 400 "), "400")
check(c.over(), "closed")
check(refused("malformed") == 2, "counted")
c = Client()
c.send(msg("REGISTER", extra="".join(f"X-Long: {'x' * 1000}\r\n" for _ in range(60))))
check(c.recv().startswith("SIP/2.0 513 Message Too Large"), "513")
check(refused("too-large") == 1, "counted")
c = Client()
c.send(msg("REGISTER")[:50])
check(c.over(), "cap-seconds")
check(refused("cap-seconds") == 1, "counted")
check(len(re.findall("^open ", log("fakecore"), re.M)) == n0, "the core saw one of them")
check("event=gate-refused" in log("edge") and "reason=unserved-domain" in log("edge"), "logged")

print("== a full prefix")
many = []
try:
    for i in range(30):
        many.append(Client())
except (ssl.SSLError, ConnectionError, OSError):
    pass
check(len(many) == 24, f"24 of a prefix, not {len(many)}")
check(refused("prefix-full") >= 1, "counted")
for c in many:
    c.t.close()
wait(3, "all gone", lambda: admin("status")["streams"]["unadmitted"] == 0)

print("== media: ports, punch, flows, free")
tell("alloc a1 203.0.113.50")
al = event(r"^allocated a1 error= outside=203\.0\.113\.10:(\d+) inside=172\.16\.0\.10:(\d+)")
check(int(al.group(1)) % 2 == 0, "even")
event(r"^punched a1 from=172\.16\.0\.20:2776")
tell("alloc a2 203.0.113.50 a1")
al2 = event(r"^allocated a2 error= outside=203\.0\.113\.10:(\d+) ")
check(int(al2.group(1)) == int(al.group(1)) + 1, "RTCP behind")
event(r"^punched a2 ")
f = {r["flow"]: r for r in admin("flows")}
check(f["a1"]["core_addr"] == "172.16.0.20:2776" and f["a1"]["waits_for"] == "first packet of the client", f)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("203.0.113.50", 5004))
rtp = b"\x80\x00" + bytes(170)
for i in range(10):
    u.sendto(rtp, (E["EDGE_OUT"], int(al.group(1))))
    time.sleep(0.05)
f = {r["flow"]: r for r in admin("flows")}
check(f["a1"]["latched"] == "203.0.113.50:5004" and f["a1"]["state"] == "established", f["a1"])
check(f["a1"]["packets_in"] >= 9, f["a1"])
event(r"^report a1 in=(?!0 )\d+ ", 5)
tell("alloc a6 2001:db8:1::50")
al6 = event(r"^allocated a6 error= outside=\[2001:db8:1::10\]:(\d+) inside=\[2001:db8:2::10\]:(\d+)")
event(r"^punched a6 from=\[2001:db8:2::20\]:2776")
u6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u6.bind(("2001:db8:1::50", 5004))
for i in range(10):
    u6.sendto(rtp, ("2001:db8:1::10", int(al6.group(1))))
    time.sleep(0.05)
f6 = [r for r in admin("flows") if r["flow"] == "a6"][0]
check(f6["packets_in"] >= 9 and f6["latched"] == "[2001:db8:1::50]:5004", f6)
tell("alloc a7 192.0.2.1")
event(r"^allocated a7 error=no-route")
tell("free a6")
tell("free a2")
wait(2, "freed", lambda: len(admin("flows")) == 1)

print("== kill -9 of the worker: the flow goes on, is adopted, punched again")
before = f["a1"]["packets_in"]
tell("ban 198.51.100.0 24 1")
wait(2, "banned", lambda: admin("status")["bans"]["active"] == 1)


def bans():
    p = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", E["BANS"]], capture_output=True, text=True)
    return len(json.loads(p.stdout))


check(bans() == 1, "in the kernel's map")
os.kill(int(E["EDGE_WORKER"]), signal.SIGSTOP)
time.sleep(1.2)  # the ban is over, and nobody there to say so
os.kill(int(E["EDGE_WORKER"]), signal.SIGKILL)
sent, t0 = 0, time.time()
while time.time() < t0 + 2:
    u.sendto(rtp, (E["EDGE_OUT"], int(al.group(1))))
    sent += 1
    time.sleep(0.02)
event(r"^down ", 5)
event(r"^up ", 10)
event(r"^allocated a1 error= outside=203\.0\.113\.10:%s " % al.group(1), 5)
event(r"^punched a1 ", 5)
row = wait(3, "the flow", lambda: [r for r in admin("flows") if r["flow"] == "a1"])[0]
check(sent > 20 and row["packets_in"] == before + sent, (before, sent, row))
st = admin("status")
check(st["media"]["adopted"] == 1, st["media"])
check(bans() == 0, "swept")
tell("free a1")
wait(2, "freed", lambda: admin("flows") == [])

print("== SIGHUP: refused whole, then taken whole")
pid = admin("status")["pid"]
text = open(f"{RUN}/edge.yaml").read()


def reload(new):
    with open(f"{RUN}/edge.yaml", "w") as f:
        f.write(new)
    os.kill(int(E["EDGE_KEEPER"]), signal.SIGHUP)


for bad, why in ((text.replace(":5061\"]", ":5071\"]").replace("ports: 2000", "ports: 1000"), "sip.listen, media.pairs"),
                 (text.replace("sip.pem", "nosuch.pem"), "nosuch.pem: No such file"),
                 (text.replace("sip.key", "edge.key"), "sip.tls: key does not belong to the certificate"),
                 (text + "\nnonsense: 1\n", "edge.yaml:")):
    n = log("edge").count("event=reload-failed")
    reload(bad)
    wait(3, "refused", lambda: log("edge").count("event=reload-failed") > n)
    line = [l for l in log("edge").splitlines() if "event=reload-failed" in l][-1]
    check(why in line, f"{why!r} in {line}")
check(admin("status")["pid"] == pid, "the worker stayed")
reload(text.replace("ban_score: 12", "ban_score: 10"))


def status():
    try:
        return admin("status")
    except (OSError, ValueError):
        return {"pid": pid}


wait(5, "a new worker", lambda: status()["pid"] != pid)
event(r"^up ", 10)

print("== no core: 503 within 2 s; bans")
tell("ban 203.0.113.50 32 2")
wait(2, "banned", lambda: admin("status")["bans"]["active"] == 1)
try:
    s = socket.create_connection(EDGE, 1, ("203.0.113.50", 0))
    check(False, "a banned source connected")
except OSError:
    pass
wait(4, "the ban is over", lambda: admin("status")["bans"]["active"] == 0)
Client()
for i in range(12):
    try:
        c = Client()
        c.send("garbage\r\n\r\n")
        c.over()
    except OSError:
        break
wait(2, "banned by score", lambda: admin("status")["bans"]["active"] == 1)
check(i >= 9, "not before its score")
tell("quit")
wait(3, "the link down", lambda: all(l["state"] == "down" for l in admin("status")["links"]))
b = Client(E["OTHER"])
b.send(msg("REGISTER"))
t0 = time.time()
r = b.recv()
check(r.startswith("SIP/2.0 503 ") and "Retry-After: " in r, r)
check(1.5 < time.time() - t0 < 2.6, "after 2 s")
print(f"{n_check} checks")
PY
say "== -n, --unload"
"$B/sallyport-edge" -n -c "$RUN/edge.yaml" >/dev/null || fail "-n of a good file"
sed 's/^  port: 5061/  port: 0/' "$RUN/edge.yaml" >"$RUN/bad.yaml"
out=$("$B/sallyport-edge" -n -c "$RUN/bad.yaml" 2>&1) && fail "-n of a bad file"
[[ $out == "$RUN/bad.yaml:"[0-9]*": "* ]] || fail "no file:line in: $out"
stop edge
[ -d "/sys/fs/bpf/sallyport/$INSTANCE" ] || fail "the pins went with the process"
ns dmz "$B/sallyport-edge" --unload -c "$RUN/edge.yaml" || fail "--unload"
[ ! -e "/sys/fs/bpf/sallyport/$INSTANCE" ] || fail "--unload left $(ls -R "/sys/fs/bpf/sallyport/$INSTANCE")"
! ns dmz "$B/sallyport-edge" --unload -c "$RUN/edge.yaml" 2>/dev/null || fail "--unload of nothing"
