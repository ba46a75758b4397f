#!/bin/bash
# t_xmpp_federation.sh -- chat between servers on the edge, against a core with no XMPP in it (fakecore): in by "to" or SNI, out by SRV;
# and through an upgrade
#
#	203.0.113.50 servers --5269-- edge (dmz) ==link== fakecore (inside)
#	203.0.113.53 DNS
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool python3 openssl dnsmasq
need_prog sallyport-edge sallyctl selftests/net/fakecore
net_up
pki_up
start dns inet dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
	--listen-address=203.0.113.53 --port=53 --local=/example/ --address="/xmpp.other.example/$ALICE" --address=/inside.example/10.9.9.9 \
	--address="/plain.example/$ALICE" --address=/this.example/127.0.0.1 --address="/dead.example/$CAROL" --address=/nowhere.example/203.0.113.99 \
	--srv-host="_xmpp-server._tcp.other.example,xmpp.other.example,5300,1,5" \
	--srv-host="_xmpp-server._tcp.other.example,xmpp.other.example,5270,2,5" \
	--srv-host="_xmpps-server._tcp.other.example,xmpp.other.example,5271,1,5" \
	--srv-host="_xmpp-server._tcp.dead.example,xmpp.other.example,5300,1,5" \
	--srv-host="_xmpp-server._tcp.none.example"
wait_for 5 "DNS listening" udp_bound inet 203.0.113.53:53
edge_config
cat >>"$RUN/edge.yaml" <<-X
	xmpp:
	  listen: ["$EDGE_OUT:5222"]
	  host: im.$DOMAIN
	  federation:
	    listen: ["$EDGE_OUT:5269"]
	    dial: on
	    dns: 203.0.113.53
X
edge_config() { :; }
edge_up
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open between commands
echo $! >"$RUN/pids/cmd"
start fakecore in sh -c 'exec "$@" <"$0"' "$RUN/cmd" "$B/selftests/net/fakecore" "$CORE_NAME" "$EDGE_NAME" \
	"$EDGE_IN:7001" "$RUN/pki/core.pem" "$RUN/pki/core.key" "$RUN/pki/link-ca.pem" "$DOMAIN"
wait_log 10 fakecore "^up "
EDGE_KEEPER=$(pid_of edge)
export EDGE_KEEPER
ns inet python3 - <<'PY'
import json, os, re, signal, socket, ssl, subprocess, sys, time
E = os.environ
RUN, DOMAIN, EDGE, ALICE = E["RUN"], E["DOMAIN"], E["EDGE_OUT"], E["ALICE"]
n_check = mark = 0


def check(ok, what):
    global n_check
    n_check += 1
    if not ok:
        print("FAILED:", what)
        print(open(f"{RUN}/log/fakecore.log").read()[-1500:], open(f"{RUN}/log/edge.log").read()[-1500:])
        sys.exit(1)


def event(regex, sec=8, anywhere=False):
    """The next line of the fake core that matches; or any that does, of what comes in no order."""
    global mark
    end = time.time() + sec * int(E.get("PATIENCE", 1))
    while time.time() < end:
        text = open(f"{RUN}/log/fakecore.log", errors="replace").read()
        m = re.compile(regex, re.M).search(text[:text.rfind("\n") + 1], 0 if anywhere else mark)
        if m:
            mark = mark if anywhere else m.end()
            return m
        time.sleep(0.02)
    check(False, f"waited in vain for {regex}")


def tell(line):
    with open(f"{RUN}/cmd", "w") as f:
        f.write(line + "\n")


def admin(cmd):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{RUN}/edge.sock")
    s.sendall((json.dumps({"cmd": cmd, "arg": ""}) + "\n").encode())
    data = b""
    while d := s.recv(65536):
        data += d
    return json.loads(data)


def head(to):
    return (f"<?xml version='1.0'?><stream:stream to='{to}' from='other.example' version='1.0' xmlns='jabber:server' "
            f"xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>")


def dialled():
    s = socket.create_connection((EDGE, 5269), 3, (ALICE, 0))
    s.settimeout(5)
    return s


def rest(s):
    data = b""
    while d := s.recv(65536):
        data += d
    return data


print("== in: a header's to leads to the core, every byte as it came, both ways, admitted or not")
s = dialled()
h = head(DOMAIN) + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
s.sendall(h[:40].encode())
time.sleep(0.1)
s.sendall(h[40:].encode())
m = event(r"^open (\w+) client=203\.0\.113\.50:\d+ local=203\.0\.113\.10:5269 service=xmpp-server sni= tls= cipher= domain=(\S+) dial=0 alpn=$")
sid = m.group(1)
check(m.group(2) == DOMAIN, "the domain")
check(event(r"^data %s (.*)$" % sid).group(1) == h, "byte for byte")
tell(f"send {sid} <stream:stream>")
check(s.recv(100) == b"<stream:stream>", "back")
s.sendall(b"\x16\x03\x01 any bytes")
check(event(r"^data %s (.*)$" % sid).group(1) == "... any bytes", "not looked at")
tell(f"admit {sid}")
end = time.time() + 5
while time.time() < end and not [r for r in admin("streams") if r["state"] == "admitted"]:
    time.sleep(0.02)
s.sendall(b"x" * 200000 + b"z")
got = 0
while got < 200001:
    got += len(event(r"^data %s (x*z?)$" % sid).group(1))
row = [r for r in admin("streams") if r["service"] == "xmpp-server"][0]
check(row["state"] == "admitted" and row["rung"] == "plain", f"shown as {row}")


def still_there():
    """Through the next worker: the core dials anew, the stream is where it was."""
    event("^down ")
    event("^up ", 20)
    s.sendall(b"still here")
    check(event(r"^data %s (.*)$" % sid).group(1) == "still here", "in")
    tell(f"send {sid} and here")
    check(s.recv(100) == b"and here", "out")
    check([r["stream"] for r in admin("streams")] == [sid], "the same stream")


if "TLSv1.3 AES-128-GCM" in admin("status")["kernel_tls"]["rung_a"]:
    print("== in: with the link in the kernel, the stream outlives the edge's worker")
    check(row["link_rung"] == "kernel TLS", f"shown as {row}")
    os.kill(int(subprocess.run(["pgrep", "-P", E["EDGE_KEEPER"]], capture_output=True, text=True).stdout.split()[-1]), signal.SIGKILL)
    still_there()
print("== in: the stream goes on through an upgrade of the edge")
r = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{RUN}/edge.sock", "upgrade"], capture_output=True, text=True)
check(r.returncode == 0, r.stderr)
still_there()
s.shutdown(socket.SHUT_WR)
event(r"^end %s$" % sid)

print("== in: TLS at once, by SNI; it is the other end's, not the edge's")
ctx = ssl.create_default_context()
inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
ctx.set_alpn_protocols(["xmpp-server"])
t = ctx.wrap_bio(inc, out, server_hostname=DOMAIN)
try:
    t.do_handshake()
except ssl.SSLWantReadError:
    pass
s = dialled()
s.sendall(out.read())
m = event(r"^open (\w+) .* service=xmpp-server sni= tls= cipher= domain=(\S+) dial=0 alpn=xmpp-server$")
check(m.group(2) == DOMAIN, "the domain")
event(r"^data %s \.\.\." % m.group(1))
s.close()

print("== in: refused, in the words of who asks")
s = dialled()
s.sendall(head("elsewhere.example").encode())
got = rest(s).decode()
check(re.search(r"^<\?xml .* xmlns='jabber:server' .*><stream:error><host-unknown .*</stream:error></stream:stream>$", got), got)
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
for name, alpn, want in (("elsewhere.example", ["xmpp-server"], "UNRECOGNIZED_NAME"), (DOMAIN, ["h2"], "NO_APPLICATION_PROTOCOL")):
    c = ssl.create_default_context()
    c.set_alpn_protocols(alpn)
    try:
        c.wrap_socket(dialled(), server_hostname=name)
        check(False, "a handshake with nobody")
    except ssl.SSLError as e:
        check(want in str(e).upper().replace(" ", "_"), f"{want}: {e}")
refused = admin("status")["streams"]["services"]["xmpp-server"]["refused"]
check(refused["unserved-domain"] == 2 and refused["malformed"] == 1, f"counted: {refused}")

print("== out: by SRV, the next target where the first refuses; bytes both ways")
def listener(port):
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((ALICE, port))
    l.listen()
    l.settimeout(8)
    return l


l1, l2, l3 = listener(5270), listener(5271), listener(5269)
for i, domain, service, l, port in ((0x11, "other.example", "xmpp-server", l1, 5270), (0x12, "other.example", "xmpps-server", l2, 5271),
                                    (0x13, "plain.example", "xmpp-server", l3, 5269)):
    tell(f"dial {i:x} {domain} {service}")
    s, peer = l.accept()
    check(peer[0] == EDGE, "from the edge")
    sid = event(r"^open (\w+) client=203\.0\.113\.50:%d local=203\.0\.113\.10:\d+ service=xmpp-dial .* domain=%s dial=%x alpn=$" % (port, domain, i)).group(1)
    check([(r["service"], r["rung"]) for r in admin("streams") if r["stream"] == sid] == [("xmpp-server", "plain")], "shown")
    check(event(r"^dial-result %x error=(\S*) stream=(\w+)$" % i, anywhere=True).groups() == ("", sid), "answered")
    tell(f"send {sid} <?xml version='1.0'?>")
    s.settimeout(5)
    check(s.recv(100) == b"<?xml version='1.0'?>", "out")
    s.sendall(b"<stream:stream>")
    check(event(r"^data %s (.*)$" % sid).group(1) == "<stream:stream>", "in")
    if i == 0x11:
        s.close()
        event(r"^end %s$" % sid)
    else:
        tell(f"end {sid}")
        check(rest(s) == b"", "the end")
        s.close()

print("== out: what fails, and why")
for i, domain, service, why in ((0x21, "nobody.example", "xmpp-server", "no-such-domain"), (0x22, "none.example", "xmpp-server", "no-such-domain"),
                                (0x23, "plain.example", "xmpps-server", "no-such-domain"), (0x24, "inside.example", "xmpp-server", "no-address"),
                                (0x25, "this.example", "xmpp-server", "no-address"), (0x26, "dead.example", "xmpp-server", "refused"),
                                (0x27, "203.0.113.50", "xmpp-server", "bad-request"), (0x28, "Other.example", "xmpp-server", "bad-request"),
                                (0x29, "other.example", "smtp", "bad-request")):
    tell(f"dial {i:x} {domain} {service}")
    m = event(r"^dial-result %x error=(\S*) stream=0$" % i)
    check(m.group(1) == why, f"{domain} {service}: wanted {why}, got {m.group(1)}")
dials = admin("status")["dials"]
check(dials["on"] and dials["open"] == 0 and dials["done"] == 3 and dials["no-such-domain"] == 3 and dials["refused"] == 1, f"counted: {dials}")
check(not admin("streams"), "no stream is left")

print("== out: a core that is gone ends what it asked for")
tell("dial 31 nowhere.example xmpp-server")
tell("dial 32 nowhere.example xmpps-server")
event(r"^dial-result 32 error=no-such-domain")
check(admin("status")["dials"]["open"] == 1, "it connects to nobody")
tell("quit")
end = time.time() + 5
while time.time() < end and admin("status")["dials"]["open"]:
    time.sleep(0.02)
check(admin("status")["dials"]["open"] == 0, "it goes on for nobody")
print(f"passed {n_check} checks")
PY
