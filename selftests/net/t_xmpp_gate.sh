#!/bin/bash
# t_xmpp_gate.sh -- chat on the edge, against a core with no XMPP in it (fakecore): STARTTLS and direct TLS, stream errors, admission
#
#	203.0.113.50 client --5222, 5223-- edge (dmz) ==link== fakecore (inside)
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool python3 openssl
need_prog sallyport-edge selftests/net/fakecore
net_up
pki_up
export MORE_DOMAINS=two.example EDGE_LIMITS="  unadmitted_seconds: 4
  unadmitted_prefix: 12
  ban_score: 1000"
edge_config
cat >>"$RUN/edge.yaml" <<-X
	xmpp:
	  listen: ["$EDGE_OUT:5222"]
	  tls_listen: ["$EDGE_OUT:5223"]
	  host: im.$DOMAIN
	  ktls_after_seconds: 0
X
edge_config() { :; }
edge_up
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open between commands
echo $! >"$RUN/pids/cmd"
say "== openssl's own STARTTLS client, no core: it gets TLS, and the stream error behind 2 s of waiting"
head="<?xml version='1.0'?><stream:stream to='$DOMAIN' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
s_client() { # s_client TEXT ARGUMENTS...: what came back under TLS
	local text=$1

	shift
	{ printf %s "$text"; sleep 3.5; } | ns inet timeout 8 openssl s_client -quiet -CAfile "$RUN/pki/web-ca.pem" "$@" 2>>"$RUN/log/openssl.log" || true
}
s_client "$head" -starttls xmpp -xmpphost "$DOMAIN" -connect "$EDGE_OUT:5222" >"$RUN/out1" &
s_client "$head" -servername "$DOMAIN" -alpn xmpp-client -connect "$EDGE_OUT:5223" >"$RUN/out2" &
s_client "$head<iq/>" -servername "$DOMAIN" -alpn h2 -connect "$EDGE_OUT:5223" >"$RUN/out3"
grep -q 'alert number 120' "$RUN/log/openssl.log" || fail "ALPN h2 was taken: $(cat "$RUN/log/openssl.log")"
for f in out1 out2; do
	wait_for 5 "the answer in $f" grep -q "</stream:stream>" "$RUN/$f"
	grep -q "^<?xml version='1.0'?><stream:stream from='$DOMAIN' id='[0-9a-f]\{32\}' version='1.0' .*><stream:error><resource-constraint .*</stream:error></stream:stream>$" "$RUN/$f" ||
		fail "$f: $(cat "$RUN/$f")"
done
start fakecore in sh -c 'exec "$@" <"$0"' "$RUN/cmd" "$B/selftests/net/fakecore" "$CORE_NAME" "$EDGE_NAME" \
	"$EDGE_IN:7001" "$RUN/pki/core.pem" "$RUN/pki/core.key" "$RUN/pki/link-ca.pem" "$DOMAIN"
wait_log 10 fakecore "^up "
ns inet python3 - <<'PY'
import json, os, re, socket, ssl, sys, time
E = os.environ
RUN, DOMAIN, EDGE = E["RUN"], E["DOMAIN"], E["EDGE_OUT"]
NS = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
IQ = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
n_check = mark = 0


def head(to=DOMAIN, more=""):
    return f"<?xml version='1.0'?><stream:stream to='{to}' version='1.0' {NS}{more}>"


def check(ok, what):
    global n_check
    n_check += 1
    if not ok:
        print("FAILED:", what)
        print(open(f"{RUN}/log/fakecore.log").read()[-1500:], open(f"{RUN}/log/edge.log").read()[-1500:])
        sys.exit(1)


def wait(sec, what, f):
    end = time.time() + sec * int(E.get("PATIENCE", 1))
    while time.time() < end:
        r = f()
        if r:
            return r
        time.sleep(0.02)
    check(False, f"waited in vain for {what}")


def event(regex, sec=5):
    """The next line of the fake core that matches."""
    def look():
        global mark
        text = open(f"{RUN}/log/fakecore.log", errors="replace").read()
        m = re.compile(regex, re.M).search(text[:text.rfind("\n") + 1], mark)
        if m:
            mark = m.end()
        return m
    return wait(sec, f"fakecore: {regex}", look)


def seen(regex):
    return re.search(regex, open(f"{RUN}/log/fakecore.log", errors="replace").read()[mark:], re.M)


def tell(line):
    with open(f"{RUN}/cmd", "w") as f:
        f.write(line + "\n")


def admin(cmd, arg=""):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{RUN}/edge.sock")
    s.sendall((json.dumps({"cmd": cmd, "arg": arg}) + "\n").encode())
    data = b""
    while d := s.recv(65536):
        data += d
    return json.loads(data)


def refused(reason):
    return admin("status")["streams"]["services"]["xmpp"]["refused"][reason]


class Client:
    def __init__(self, port=5222, src="203.0.113.50"):
        self.s = socket.create_connection((EDGE, port), 3, (src, 0))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.settimeout(8 * int(E.get("PATIENCE", 1)))

    def tls(self, sni=DOMAIN, alpn=("xmpp-client",)):
        c = ssl.create_default_context(cafile=f"{RUN}/pki/web-ca.pem")
        c.check_hostname = False
        c.suppress_ragged_eofs = False
        if alpn:
            c.set_alpn_protocols(alpn)
        self.s = c.wrap_socket(self.s, server_hostname=sni)
        return self

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def until(self, end):
        data = b""
        while not data.endswith(end.encode()):
            d = self.s.recv(65536)
            if not d:
                break
            data += d
        return data.decode()

    def rest(self):
        data = b""
        try:
            while d := self.s.recv(65536):
                data += d
        except ConnectionError:
            return "reset"
        return data.decode()

    def starttls(self, to=DOMAIN):
        self.send(head(to))
        check(self.until("</stream:features>").endswith(f"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"), "features")
        self.send(STARTTLS)
        check(self.until("/>") == "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "proceed")
        return self


def opened(local):
    return event(r"^open (\w+) client=203\.0\.113\.50:\d+ local=203\.0\.113\.10:%d service=xmpp sni=%s " % (local, DOMAIN)).group(1)


def error(data, condition, header=True):
    want = (r"^<\?xml version='1\.0'\?><stream:stream from='[\w.]+' id='[0-9a-f]{32}' version='1\.0' xml:lang='en' xmlns='jabber:client' "
            r"xmlns:stream='http://etherx.jabber.org/streams'>") if header else "^"
    want += rf"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text [^>]*>[^<]+</text></stream:error></stream:stream>$"
    return re.search(want, data) or print("got", data)


print("== what is wrong before TLS: its stream error, counted, and the core hears nothing")
bombs = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>]>"
for text, condition, reason in (
        (head("other.example"), "host-unknown", "unserved-domain"),
        (head().replace(" version='1.0' ", " "), "unsupported-version", "malformed"),
        (head().replace("jabber:client", "jabber:server"), "invalid-namespace", "malformed"),
        (head().replace("<?xml version='1.0'?>", "<?xml version='1.0' encoding='UTF-16'?>"), "unsupported-encoding", "malformed"),
        ("<?xml version='1.0'?>" + bombs + "<stream:stream to='&b;'>", "restricted-xml", "restricted-xml"),
        (head(more=f" to='{DOMAIN}'"), "not-well-formed", "malformed"),
        (head(more=" a='" + "x" * 5000), "policy-violation", "too-large"),
        (head().encode()[:-1] + b" id='\xff'>", "unsupported-encoding", "malformed")):
    before = refused(reason)
    c = Client()
    c.send(text)
    check(error(c.rest(), condition), f"{condition} for {text[:60]}")
    check(refused(reason) == before + 1, f"{reason} is counted")
c = Client()
c.send(head() + IQ)
check(error(c.rest().partition("</stream:features>")[2], "policy-violation", False), "a stanza before TLS")
check(refused("tls-required") == 1, "counted")
check(not seen("^open "), "the core heard of it")

print("== STARTTLS injection: bytes in the segment of <starttls/> end the connection, no TLS begins")
for behind in (AUTH, "\n", head()):
    c = Client()
    c.send(head())
    c.until("</stream:features>")
    c.send(STARTTLS + behind)
    check(c.rest() in ("", "reset"), "dropped without a word")
check(refused("starttls-injection") == 3, "counted")

print("== header and SASL byte for byte to the core; stanzas only once it admits, and held for that")
c = Client().starttls().tls()
h = head() + "\n"
for ch in h:
    c.send(ch)
sid = opened(5222)
got = ""
while len(got) < len(h):
    got += event(r"^data %s (.*)$" % sid).group(1).replace("\\n", "\n")
check(got == h, f"the header as it came: {got}")
tell(f"send {sid} <stream:stream id='1'>")
check(c.until(">") == "<stream:stream id='1'>", "the core's header")
c.send(AUTH)
check(event(r"^data %s (.*)$" % sid).group(1) == AUTH, "SASL")
c.send(head() + IQ)
check(event(r"^data %s (.*)$" % sid).group(1) == head(), "the new header")
time.sleep(0.3)
check(not seen("^data "), "the stanza is held")
tell(f"admit {sid}")
check(event(r"^data %s (.*)$" % sid).group(1) == IQ, "the stanza, once admitted")
best = "kernel TLS" if "TLSv1.3 AES-128-GCM" in admin("status")["kernel_tls"]["rung_a"] else "user TLS"
row = wait(5, f"the rung {best}", lambda: [s for s in admin("streams") if int(s["stream"], 16) == int(sid, 16) and s["rung"] == best])[0]
check(row["service"] == "xmpp" and row["state"] == "admitted", f"shown as {row}")
for i in range(3):
    c.send(" ")
    check(event(r"^data %s (.*)$" % sid).group(1) == " ", "a keepalive")
c.send("<!-- whatever: the edge looks at nothing any more -->" * 3000)
wait(5, "all of it", lambda: sum(len(x) for x in re.findall(r"^data %s (.*)$" % sid, open(f"{RUN}/log/fakecore.log").read()[mark:], re.M)) == 53 * 3000)

print("== direct TLS: SNI or to; without an Admit a stanza is refused behind the hold")
d = Client(5223).tls(alpn=None)
d.send(head())
sid2 = opened(5223)
tell(f"send {sid2} <stream:stream id='2'>")
d.until(">")
d.send(IQ)
check(error(d.rest(), "not-authorized", False), "before SASL: at once")
d = Client(5223).tls()
d.send(head() + AUTH + IQ)
check(error(d.rest(), "not-authorized"), "behind SASL, and the core says nothing")
check(refused("not-authorized") == 2, "counted")
d = Client(5223).tls(sni="two.example")
d.send(head())
check(error(d.rest(), "host-unknown"), "SNI of another domain")
d = Client().starttls().tls()
d.send(head("two.example"))
check(error(d.rest(), "host-unknown"), "another domain than before TLS")
check(refused("other-host") == 2, "counted")
d = Client(5223).tls(sni="two.example")
d.send(head("two.example"))
t0 = time.time()
check(error(d.rest(), "resource-constraint") and time.time() - t0 > 1.5, "a domain whose core is away")

print("== silence: connection-timeout where there is a stream; the prefix has its limit, and an admitted stream is not in it")
idle = [Client() for _ in range(6)]
idle[0].send(head())
idle[1].starttls()
idle[2].starttls().tls()
more = [Client() for _ in range(7)]
check(error(more[-1].rest(), "resource-constraint"), "one too many")
check(refused("prefix-full") == 1, "counted")
for m in more[:-1]:
    m.s.close()
wait(3, "room", lambda: admin("status")["streams"]["unadmitted"] < 8)
late = Client().starttls().tls()
late.send(head())
got = late.rest()
check(error(got, "connection-timeout"), "no authentication in time")
check(error(idle[0].rest().partition("</stream:features>")[2], "connection-timeout", False), "no STARTTLS in time")
check(error(idle[3].rest(), "connection-timeout"), "not even a header in time")
check(idle[1].rest() in ("", "reset"), "no handshake in time: nothing is said")
c.send("</stream:stream>")
event(r"^data %s .*</stream:stream>$" % sid)
c.s.unwrap()
event(r"^end %s" % sid)
check(len(admin("streams")) == 0 or wait(3, "the end of all", lambda: len(admin("streams")) == 0), "streams are gone")
print(f"passed {n_check} checks")
PY
