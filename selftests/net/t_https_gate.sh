#!/bin/bash
# t_https_gate.sh -- the HTTP gate before any core, then with one that only echoes (fakecore): refusals, tokens, order, caps, half-close
#
#	203.0.113.50 curl, openssl, python --tls 8443-- edge (dmz) ==link== fakecore (inside)
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft python3 openssl curl
need_prog sallyport-edge selftests/net/fakecore
net_up
pki_up
export EDGE_LIMITS="  unadmitted_seconds: 5
  http_head_seconds: 1
  http_requests_unadmitted: 4
  ban_score: 1000"
export EDGE_MORE="https: {listen: [\"$EDGE_OUT:8443\"], host: $EDGE_NAME}"
edge_up
wait_for 5 "the edge's HTTPS listener" tcp_bound dmz "$EDGE_OUT:8443"
mkfifo "$RUN/cmd"
sleep 600 >"$RUN/cmd" & # keeps the pipe open between commands
echo $! >"$RUN/pids/cmd"
core_start() {
	start fakecore in sh -c 'exec "$@" <"$0"' "$RUN/cmd" "$B/selftests/net/fakecore" "$CORE_NAME" "$EDGE_NAME" \
		"$EDGE_IN:7001" "$RUN/pki/core.pem" "$RUN/pki/core.key" "$RUN/pki/link-ca.pem" "$DOMAIN"
	wait_log 10 fakecore "^up .*https=$EDGE_NAME:8443"
}
b64() { printf %s "$1" | base64 -w0 | tr '+/' '-_' | tr -d =; }
DOM=/$(b64 "$DOMAIN") RELAY=/$(b64 "$DOMAIN/https/uds.$DOMAIN/8443")/cucm-uds/users
export DOM RELAY
client() { ns inet curl -s --max-time 8 --cacert "$RUN/pki/web-ca.pem" --resolve "$EDGE_NAME:8443:$EDGE_OUT" "$@"; }
expect() { # expect STATUS REGEX-OF-THE-HEADS WHAT CURL-ARGUMENTS...
	local want=$1 heads=$2 what=$3

	shift 3
	client -i -o "$RUN/answer" "$@" || fail "$what: curl says $?"
	grep -q "^HTTP/1.1 $want " "$RUN/answer" && grep -Eqi "$heads" "$RUN/answer" ||
		fail "$what: wanted $want with $heads, got: $(head -c 600 "$RUN/answer")"
}

say "== no core has ever come: the gate answers by itself"
U=https://$EDGE_NAME:8443
expect 401 '^WWW-Authenticate: Basic realm="sallyport"' "no token" "$U$RELAY"
expect 404 '^Content-Length: ' "a path of nobody's" "$U/index.html"
expect 403 '' "a domain that is not served" "$U/$(b64 other.org)/get_edge_config"
expect 503 '^Retry-After: 5' "no core" -u alice:secret "$U$DOM/get_edge_config?service_name=_cisco-uds" &
one=$!
expect 400 '^Connection: close' "two lengths" -H 'Content-Length: 3' -H 'Transfer-Encoding: chunked' -d abc "$U$RELAY"
expect 431 '' "a long head" -H "$(printf 'A: %016000d\nB: %016000d' 0 0 | tr '\n' '\t')" "$U$RELAY"
expect 414 '' "a long target" "$U/$(printf %09000d 0)"
wait "$one" || exit 1
ns inet openssl s_client -connect "$EDGE_OUT:8443" -CAfile "$RUN/pki/web-ca.pem" -alpn h2 </dev/null >"$RUN/alpn" 2>&1 && fail "h2 was taken"
grep -q 'alert no application protocol' "$RUN/alpn" || fail "no alert to h2: $(tail -n 3 "$RUN/alpn")"
ns inet openssl s_client -connect "$EDGE_OUT:8443" -CAfile "$RUN/pki/web-ca.pem" -verify_return_error -alpn h2,http/1.1 </dev/null 2>&1 |
	grep -q '^ALPN protocol: http/1.1' || fail "no http/1.1 beside h2"

core_start
openssl genpkey -algorithm ed25519 -out "$RUN/sign.key"
openssl genpkey -algorithm ed25519 -out "$RUN/other.key"
ns inet python3 - <<'PY'
import base64, hashlib, json, os, re, socket, ssl, subprocess, sys, time
E = os.environ
RUN, DOMAIN, DOM, RELAY, EDGE = E["RUN"], E["DOMAIN"], E["DOM"], E["RELAY"], (E["EDGE_OUT"], 8443)
HOST = f"Host: {EDGE[0]}:8443\r\n"
ctx = ssl.create_default_context(cafile=f"{RUN}/pki/web-ca.pem")
ctx.set_alpn_protocols(["http/1.1"])
n_check = 0


def check(ok, what):
    global n_check
    n_check += 1
    if not ok:
        print("FAILED:", what)
        print(open(f"{RUN}/log/fakecore.log").read()[-1500:])
        print(open(f"{RUN}/log/edge.log").read()[-1500:])
        sys.exit(1)


def wait(sec, what, f):
    end = time.monotonic() + sec
    while time.monotonic() < end:
        r = f()
        if r:
            return r
        time.sleep(0.02)
    check(False, f"waited in vain for {what}")


def log():
    return open(f"{RUN}/log/fakecore.log", errors="replace").read()


mark = len(log())


def event(regex, sec=3):
    def look():
        global mark
        text = log()
        m = re.compile(regex, re.M).search(text[:text.rfind("\n") + 1], mark)
        if m:
            mark = m.end()
        return m
    return wait(sec, f"fakecore: {regex}", look)


def tell(line):
    with open(f"{RUN}/cmd", "w") as f:
        f.write(line + "\n")


def streams():
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{RUN}/edge.sock")
    s.sendall(b'{"cmd": "status", "arg": ""}\n')
    data = b"".join(iter(lambda: s.recv(65536), b""))
    return json.loads(data)["streams"]


def refused(reason):
    return streams()["services"]["https"]["refused"][reason]


class Client:
    """TLS by hand, so that one half can end alone."""

    def __init__(self):
        self.sock = socket.create_connection(EDGE, timeout=8)
        self.i, self.o = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.i, self.o, server_hostname=EDGE[0])
        self.got = b""
        self.run(self.tls.do_handshake)

    def flush(self):
        if self.o.pending:
            self.sock.sendall(self.o.read())

    def run(self, f):
        while True:
            try:
                r = f()
                self.flush()
                return r
            except ssl.SSLWantReadError:
                self.flush()
                d = self.sock.recv(65536)
                if d:
                    self.i.write(d)
                else:
                    self.i.write_eof()

    def send(self, data):
        self.run(lambda: self.tls.write(data.encode() if isinstance(data, str) else data))

    def half(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.flush()
        self.sock.shutdown(socket.SHUT_WR)

    def read(self):
        """Some bytes; b"" at a clean end."""
        try:
            return self.run(lambda: self.tls.read(65536))
        except ssl.SSLZeroReturnError:
            return b""

    def answer(self):
        """Status and body of the next response."""
        while b"\r\n\r\n" not in self.got:
            d = self.read()
            check(d, f"an answer, got {self.got!r}")
            self.got += d
        head, _, rest = self.got.partition(b"\r\n\r\n")
        n = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(rest) < n:
            rest += self.read()
        self.got = rest[n:]
        return int(head.split()[1]), rest[:n]

    def over(self):
        check(self.got == b"" and self.read() == b"", "a clean end and nothing before it")


def get(path, *fields):
    return f"GET {path} HTTP/1.1\r\n{HOST}" + "".join(f + "\r\n" for f in fields) + "\r\n"


AUTH = "Authorization: Basic YTpi"


def b64(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def public(name):
    return subprocess.run(["openssl", "pkey", "-in", f"{RUN}/{name}.key", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout[-32:]


def kid(name):
    return hashlib.sha256(public(name)).digest()[:8]


def token(name="sign", key_of=None, domain=DOMAIN, age=60):
    now = int(time.time())
    text = b64(b'{"alg":"EdDSA","kid":"%s"}' % b64(kid(key_of or name)).encode()) + "." + b64(
        b'{"sub":"alice","dom":"%s","iat":%d,"exp":%d,"jti":"%s"}' % (domain.encode(), now - age, now - age + 3600, b64(bytes(16)).encode()))
    with open(f"{RUN}/text", "w") as f:
        f.write(text)
    subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", f"{RUN}/{name}.key", "-in", f"{RUN}/text", "-out", f"{RUN}/sig"], check=True)
    return f"Cookie: X-Auth={text}.{b64(open(RUN + '/sig', 'rb').read())}"


def opened(c, request):
    c.send(request)
    return event(r"^open (\w+) .*service=https .*alpn=http/1.1$")[1]


print("== keys; tokens that are good, forged, over, another domain's, of another key; a password beside a token that is over")
tell(f"keys {kid('sign').hex()}{public('sign').hex()}")
wait(3, "the keys", lambda: "event=token-keys" in open(f"{RUN}/log/edge.log").read())
for what, cookie, reason in (("forged", token("other", key_of="sign"), "token-forged"), ("over", token(age=7200), "token-expired"),
                             ("another domain's", token(domain="x.org"), "token-other-domain"),
                             ("of another key", token("other"), "token-unknown-key")):
    c, n = Client(), refused(reason)
    c.send(get(RELAY, cookie))
    check(c.answer()[0] == 401, f"{what}: 401")
    check(refused(reason) == n + 1, f"{what}: counted")
    if what == "over":
        s = opened(c, get(RELAY, cookie, AUTH))
        event(rf"^data {s} GET {RELAY} ")
c, good = Client(), token()
s = opened(c, get(RELAY, good))
event(rf"^data {s} GET {RELAY} HTTP/1.1")

print("== admitted: bytes both ways, whatever they are; revoked: it ends, behind the answer")
tell(f"admit {s}")
wait(2, "admitted", lambda: streams()["states"]["admitted"] == 1)
c.send("no HTTP at all")
event(rf"^data {s} no HTTP at all")
tell(f"send {s} HTTP/1.1 401 Unauthorized\\r\\nContent-Length: 2\\r\\n\\r\\nno")
tell(f"revoke {s}")
check(c.answer() == (401, b"no"), "the core's answer")
c.over()

print("== in order: what is refused behind a request gets its answer behind that one's")
c = Client()
s = opened(c, get(RELAY, good) + "GET  / HTTP/1.1\r\n\r\n")
event(rf"^end {s}")
tell(f"send {s} HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nfirst")
tell(f"end {s}")
check(c.answer() == (200, b"first"), "the first one's")
status, text = c.answer()
check(status == 400 and b"wanted" in text, f"then 400 with what was wanted: {text}")
c.over()

print("== the budget: four requests before a log on, and 429 for the fifth, behind the others' answers")
c, n = Client(), refused("request-budget")
s = opened(c, get(RELAY, AUTH) * 5)
event(rf"^end {s}", 4)
for i in range(4):
    tell(f"send {s} HTTP/1.1 401 Unauthorized\\r\\nContent-Length: 0\\r\\n\\r\\n")
tell(f"end {s}")
check([c.answer()[0] for i in range(5)] == [401] * 4 + [429], "401 four times, then 429")
check(refused("request-budget") == n + 1, "counted")

print("== a large body ahead of its Admit: to the cap, and it waits; then all of it, and the client's end is not the answer's")
c, size = Client(), 300000
s = opened(c, f"POST {RELAY} HTTP/1.1\r\n{HOST}{good}\r\nContent-Length: {size}\r\n\r\n")
c.send(b"x" * size)


def body():
    return sum(t.count("x") for t in re.findall(rf"^data {s} (x+)$", log(), re.M))


wait(3, "the cap", lambda: streams()["unadmitted"] >= 1 and body() > 60000)
time.sleep(0.3)
check(body() <= 65536, f"{body()} bytes before admission")
tell(f"admit {s}")
wait(5, "all of it", lambda: body() == size)
c.half()
event(rf"^end {s}")
check(streams()["states"]["half-closed"] == 1, "half-closed")
tell(f"send {s} HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nstored")
check(c.answer() == (200, b"stored"), "the answer after the client's end")
tell(f"end {s}")
c.over()
wait(3, "ended", lambda: streams()["states"]["half-closed"] == 0)

print("== slow: a head must end in a second, a connection with nothing in it stays until unadmitted_seconds")
idle, c, n = Client(), Client(), refused("slow")
c.send("GET / HT")
check(c.answer()[0] == 408, "408")
c.over()
check(refused("slow") == n + 1, "counted")
check(streams()["services"]["https"]["streams"] == 1, "the idle one is there still")
check(streams()["services"]["sip"]["streams"] == 0, "and it is no SIP stream")
print(f"{n_check} checks")
PY
grep -q 'event=gate-refused .*service=https reason=malformed .*detail=' "$RUN/log/edge.log" || fail "refusals are not logged"
say "passed"
