"""sipclient.py -- a scripted SIP user agent for precise and hostile cases, in plain Python 3.

In: a test's script (`from sipclient import *`), which drives both ends of a call step by step. Out: messages on TLS, TCP or UDP sockets
opened inside the test's namespaces (setns), asserts that end the script, rtptool processes for media. It is no stack: it
retransmits nothing and knows only what a test needs, but everything it sends is under the test's control.
The environment names the bed: NETNS (path prefix of the namespaces), RUN, B, DOMAIN and the addresses of lib.sh."""
import base64
import contextlib
import ctypes
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
import uuid

E = os.environ
DOMAIN = E.get("DOMAIN", "corp.example")
EDGE = (E.get("EDGE_OUT", "203.0.113.10"), 5061)
KAMAILIO = (E.get("KAM", "10.20.0.30"), 5060)
SUITES = {"AEAD_AES_256_GCM": 44, "AEAD_AES_128_GCM": 28, "AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30}
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


class Closed(Exception):
    """The other side ended the connection."""


def check(cond, what):
    if not cond:
        raise Failed(what)


def step(what):
    print("  " + what, flush=True)


@contextlib.contextmanager
def in_ns(name):
    """Sockets made inside belong to namespace `name`."""
    back, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"{E['NETNS']}-{name}", os.O_RDONLY)
    try:
        if _libc.setns(there, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(back, 0x40000000)
        os.close(there)
        os.close(back)


def ns_run(name, *cmd):
    return subprocess.run(["nsenter", f"--net={E['NETNS']}-{name}", "--", *cmd], capture_output=True, text=True)


def wait_until(seconds, what, fn):
    """Poll a state until fn() is true; its value."""
    end = time.monotonic() + seconds
    while True:
        v = fn()
        if v:
            return v
        if time.monotonic() > end:
            raise Failed("waited in vain for: " + what)
        time.sleep(0.1)


def admin(daemon, cmd, arg=""):
    """What `sallyctl -j` would print: one line of JSON to the daemon's unix socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(f"{E['RUN']}/{daemon}.sock")
        s.sendall(json.dumps({"cmd": cmd, "arg": arg}).encode() + b"\n")
        out = b""
        while d := s.recv(65536):
            out += d
    return json.loads(out)


def log_text(name):
    with open(f"{E['RUN']}/log/{name}.log", errors="replace") as f:
        return f.read()


def log_wait(name, regex, seconds=5):
    return wait_until(seconds, f"/{regex}/ in {name}.log", lambda: re.search(regex, log_text(name), re.M))


# ---- messages ----------------------------------------------------------------------------------------------------------

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}


class Msg:
    def __init__(self, head, body=b""):
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.start, self.body, self.headers = lines[0], body, []
        for line in lines[1:]:
            n, _, v = line.partition(":")
            n = n.strip().lower()
            self.headers.append((COMPACT.get(n, n), v.strip()))
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = None if self.status else self.start.split()[0]
        self.uri = None if self.status else self.start.split()[1]

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def get(self, name):
        v = self.all(name)
        return v[0] if v else None

    @property
    def branch(self):
        m = re.search(r"branch=([^;,\s]+)", self.get("via") or "")
        return m and m.group(1)

    @property
    def cseq(self):
        return self.get("cseq").split()[1]

    def uris(self, name):
        """The <uris> of a header's values, in order."""
        return [u for v in self.all(name) for u in re.findall(r"<([^>]+)>", v)]

    def text(self):
        return "\r\n".join([self.start] + [f"{n}: {v}" for n, v in self.headers]) + "\r\n\r\n" + self.body.decode("utf-8", "replace")


def tag_of(value):
    m = re.search(r";\s*tag=([^;\s]+)", value.rpartition(">")[2] or value)
    return m and m.group(1)


# ---- transport ---------------------------------------------------------------------------------------------------------

def bracket(ip):
    return f"[{ip}]" if ":" in ip else ip


class Conn:
    """One socket to a SIP server. Stream framing is by Content-Length; CRLF pongs are counted."""

    def __init__(self, ns, local, server, transport, server_name=None, verify=True):
        self.transport, self.server, self.buf, self.pongs = transport, server, b"", 0
        with in_ns(ns):
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            self.s = socket.socket(socket.AF_INET6 if ":" in local[0] else socket.AF_INET, kind)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.bind(local)
        self.s.settimeout(5)
        self.s.connect(server)
        if transport == "tls":
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c = ssl.create_default_context(cafile=f"{E['RUN']}/pki/web-ca.pem")
            if not verify:
                c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            self.s = c.wrap_socket(self.s, server_hostname=server_name or f"edge.{DOMAIN}", suppress_ragged_eofs=False)
        self.local = self.s.getsockname()
        self.host = f"{bracket(self.local[0])}:{self.local[1]}"

    def send(self, data):
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionError, ssl.SSLError) as e:
            raise Closed(str(e)) from e

    def _framed(self):
        while self.buf.startswith(b"\r\n"):
            self.buf, self.pongs = self.buf[2:], self.pongs + 1
        head, sep, rest = self.buf.partition(b"\r\n\r\n")
        if not sep:
            return None
        m = Msg(head)
        n = int(m.get("content-length") or 0)
        if len(rest) < n:
            return None
        m.body, self.buf = rest[:n], rest[n:]
        return m

    def recv(self, timeout):
        """One message, or None when the time is over. Raises Closed at the end of the connection."""
        end = time.monotonic() + timeout
        while True:
            m = self._framed()
            if m:
                return m
            left = end - time.monotonic()
            if left <= 0:
                return None
            pending = self.transport == "tls" and self.s.pending()
            if not pending and not select.select([self.s], [], [], left)[0]:
                return None
            try:
                self.s.settimeout(max(left, 0.01))
                d = self.s.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except (ConnectionError, ssl.SSLError, OSError) as e:
                raise Closed(str(e)) from e
            if not d and self.transport != "udp":
                raise Closed("end of stream")
            self.buf = d if self.transport == "udp" else self.buf + d

    def closed_within(self, seconds):
        """True if the other side closes; messages on the way are kept in self.last."""
        end, self.last = time.monotonic() + seconds, []
        try:
            while time.monotonic() < end:
                m = self.recv(end - time.monotonic())
                if m:
                    self.last.append(m)
        except Closed:
            return True
        return False

    def abort(self):
        """Reset, nothing more said."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()

    def close(self):
        self.s.close()


# ---- digest ------------------------------------------------------------------------------------------------------------

def challenge_parse(value):
    kind, _, rest = value.partition(" ")
    check(kind.lower() == "digest", f"a Digest challenge, not {value}")
    return {k.lower(): v.strip('"') for k, v in re.findall(r'(\w[\w-]*)\s*=\s*("[^"]*"|[^,\s]+)', rest)}


def digest(c, user, password, method, uri, nc=1):
    algo = c.get("algorithm", "MD5")
    h = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algo.upper()]

    def H(s):
        return h(s.encode()).hexdigest()
    ha1, ha2 = H(f"{user}:{c['realm']}:{password}"), H(f"{method}:{uri}")
    out = f'Digest username="{user}", realm="{c["realm"]}", nonce="{c["nonce"]}", uri="{uri}", algorithm={algo}'
    if "qop" in c:
        cn, n = uuid.uuid4().hex[:16], f"{nc:08x}"
        r = H(f"{ha1}:{c['nonce']}:{n}:{cn}:auth:{ha2}")
        out += f', qop=auth, nc={n}, cnonce="{cn}"'
    else:
        r = H(f"{ha1}:{c['nonce']}:{ha2}")
    if "opaque" in c:
        out += f', opaque="{c["opaque"]}"'
    return out + f', response="{r}"'


# ---- the user agent ----------------------------------------------------------------------------------------------------

def ns_of(ip):
    return {E.get("CAROL"): "inet2", E.get("ALICE"): "inet"}.get(ip, "lan")


class Ua:
    def __init__(self, user, ns=None, ip=None, server=EDGE, transport="tls", password=None, domain=None):
        self.ip = ip or E.get("BOB" if ns == "lan" else "ALICE")
        self.user, self.ns, self.server, self.transport = user, ns or ns_of(self.ip), server, transport
        self.password = password or "pw-" + user
        self.domain = domain or DOMAIN
        self.aor = f"sip:{user}@{self.domain}"
        self.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, user)}"
        self.inbox, self.answered, self.challenge, self.nc, self.cseq = [], {}, None, 0, 100
        self.reg_id, self.contact_params, self.flow = uuid.uuid4().hex, "", 1  # Call-ID of registrations; reg-id
        self.conn = None
        self.connect()

    def connect(self):
        self.conn = Conn(self.ns, (self.ip, 0), self.server, self.transport)
        return self

    @property
    def contact(self):
        t = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"<sip:{self.user}@{self.conn.host}{t}{self.contact_params}>"

    def via(self):
        self.last_branch = "z9hG4bK" + uuid.uuid4().hex[:20]
        return (f"Via: SIP/2.0/{self.transport.upper()} {self.conn.host};rport"
                f";branch={self.last_branch}")

    def send(self, lines, body=b"", ctype="application/sdp"):
        """lines: start line and headers without Content-Length."""
        if body:
            lines = lines + [f"Content-Type: {ctype}"]
        self.conn.send("\r\n".join(lines + [f"Content-Length: {len(body)}", "", ""]).encode() + body)

    def wait(self, what, pred, timeout=5):
        """The first message, queued or new, for which pred is true. Others stay queued."""
        end = time.monotonic() + timeout
        while True:
            for m in self.inbox:
                if pred(m):
                    self.inbox.remove(m)
                    return m
            left = end - time.monotonic()
            m = self.conn.recv(left) if left > 0 else None
            if not m:
                raise Failed(f"{self.user}: no {what} within {timeout} s; queued: {[q.start for q in self.inbox]}")
            if m.method and (m.branch, m.method) in self.answered:
                self.conn.send(self.answered[m.branch, m.method])  # a retransmission
                continue
            self.inbox.append(m)

    def nothing(self, what, pred, seconds):
        """Nothing of this kind comes within so many seconds."""
        try:
            m = self.wait(what, pred, seconds)
        except Failed:
            return
        raise Failed(f"{self.user}: unwanted {what}: {m.start}")

    def response(self, branch, method, timeout=5, provisional=False):
        return self.wait(f"response to {method}",
                         lambda m: m.status and m.branch == branch and m.cseq == method and (provisional or m.status >= 200),
                         timeout)

    def expect(self, method, timeout=5):
        return self.wait(method, lambda m: m.method == method, timeout)

    def request(self, method, uri, from_=None, to=None, headers=(), body=b"", call_id=None, cseq=None, contact=None):
        """Send one request outside a dialog; returns its branch."""
        self.cseq += 1
        lines = [f"{method} {uri} SIP/2.0", self.via(), "Max-Forwards: 70",
                 f"From: {from_ or '<' + self.aor + '>'};tag={uuid.uuid4().hex[:10]}", f"To: {to or '<' + uri + '>'}",
                 f"Call-ID: {call_id or uuid.uuid4().hex}", f"CSeq: {cseq or self.cseq} {method}",
                 f"Contact: {contact or self.contact}", *headers]
        self.send(lines, body)
        return self.last_branch

    # -- registration

    def register(self, expires=300, cached=False, password=None, headers=(), instance=True, timeout=5):
        """Returns the final response. cached: with credentials for the last challenge from the start."""
        uri, extra = f"sip:{self.domain}", list(headers) + ["Supported: path, outbound, gruu", f"Expires: {expires}"]
        contact = self.contact + (f';+sip.instance="<{self.instance}>";reg-id={self.flow}' if instance else "")
        for attempt in range(2):
            auth = []
            if self.challenge and (cached or attempt):
                self.nc += 1
                auth = ["Authorization: " + digest(self.challenge, self.user, password or self.password, "REGISTER", uri, self.nc)]
            b = self.request("REGISTER", uri, to=f"<{self.aor}>", headers=extra + auth, call_id=self.reg_id, contact=contact)
            r = self.response(b, "REGISTER", timeout)
            if r.status != 401 or attempt or (cached and auth):
                return r
            self.challenge, self.nc = challenge_parse(r.get("www-authenticate")), 0
        return r

    # -- calls, as caller

    def invite(self, uri, sdp, headers=(), from_=None, final=True, timeout=10):
        """INVITE with credentials when asked for. Returns (dialog or None, last response). final=False: returns after
        sending, (dialog, None); then use dialog.final()."""
        d = Dialog(self, uri, from_)
        d.send_invite(sdp, headers)
        return (d, d.final(timeout)) if final else (d, None)

    # -- calls, as callee

    def reply(self, req, status, reason, headers=(), body=b"", totag=None, ctype="application/sdp"):
        to = req.get("to")
        if totag and not tag_of(to):
            to += f";tag={totag}"
        out = [f"SIP/2.0 {status} {reason}", *["Via: " + v for v in req.all("via")], f"From: {req.get('from')}", f"To: {to}",
               f"Call-ID: {req.get('call-id')}", f"CSeq: {req.get('cseq')}", *["Record-Route: " + v for v in req.all("record-route")],
               *headers]
        if body:
            out.append(f"Content-Type: {ctype}")
        data = "\r\n".join(out + [f"Content-Length: {len(body)}", "", ""]).encode() + body
        if status >= 200:
            self.answered[req.branch, req.method] = data
        self.conn.send(data)

    def answer(self, invite, sdp, ringing=True):
        """180, 200 with sdp, wait for ACK. Returns the dialog."""
        tag = uuid.uuid4().hex[:10]
        if ringing:
            self.reply(invite, 180, "Ringing", [f"Contact: {self.contact}"], totag=tag)
        self.reply(invite, 200, "OK", [f"Contact: {self.contact}"], sdp, totag=tag)
        d = Dialog(self, invite.uris("contact")[0])
        d.from_invite(invite, tag)
        d.ack_seen = self.expect("ACK")
        return d


class Dialog:
    def __init__(self, ua, uri, from_=None):
        self.ua, self.uri, self.target = ua, uri, uri
        self.call_id, self.cseq, self.routes = uuid.uuid4().hex, 1, []
        self.local = f"{from_ or '<' + ua.aor + '>'};tag={uuid.uuid4().hex[:10]}"
        self.remote = f"<{uri}>"
        self.auth, self.sdp, self.headers, self.ctype = [], b"", [], "application/sdp"

    def from_invite(self, m, tag):
        self.call_id, self.remote, self.local = m.get("call-id"), m.get("from"), m.get("to") + f";tag={tag}"
        self.routes = m.uris("record-route")
        self.cseq = 1000

    def lines(self, method, cseq=None, extra=()):
        return [f"{method} {self.target} SIP/2.0", self.ua.via(), "Max-Forwards: 70", *[f"Route: <{r}>" for r in self.routes],
                f"From: {self.local}", f"To: {self.remote}", f"Call-ID: {self.call_id}", f"CSeq: {cseq or self.cseq} {method}",
                f"Contact: {self.ua.contact}", *extra]

    def send_invite(self, sdp, headers=()):
        self.sdp, self.headers = sdp, list(headers)
        self.cseq += 1
        self.ua.send(self.lines("INVITE", extra=self.headers + self.auth), sdp, self.ctype)
        self.branch = self.ua.last_branch

    def ack(self, r):
        if r.status >= 300:  # same branch, same route: RFC 3261 17.1.1.3
            l = self.lines("ACK")
            l[1] = re.sub(r"branch=\S+", "branch=" + self.branch, l[1])
            l = [x if not x.startswith("To:") else f"To: {r.get('to')}" for x in l]
            self.ua.send(l)
        else:
            self.ua.send(self.lines("ACK", extra=self.auth))

    def learn(self, r):
        if not tag_of(self.remote):
            self.remote = r.get("to")
            self.routes = list(reversed(r.uris("record-route")))
        if r.uris("contact"):
            self.target = r.uris("contact")[0]

    def final(self, timeout=10, ack=True):
        """The final response, ACKed; a challenge is answered on the way."""
        r = self.ua.response(self.branch, "INVITE", timeout)
        if r.status in (401, 407) and not self.auth:
            self.ua.inbox.insert(0, r)
            self._authorize()
            return self.final(timeout, ack)
        if r.status < 300:
            self.learn(r)
        if ack:
            Dialog.ack(self, r)
        return r

    def challenged(self, timeout=5):
        """Waits for the 401 or 407 and repeats the INVITE with credentials."""
        r = self.ua.wait("407", lambda m: m.status in (401, 407) and m.branch == self.branch, timeout)
        self.ua.inbox.insert(0, r)
        self._authorize()
        return self

    def _authorize(self):
        r = self.ua.response(self.branch, "INVITE", 1)
        Dialog.ack(self, r)
        c = challenge_parse(r.get("proxy-authenticate") or r.get("www-authenticate"))
        self.challenge = c
        name = "Proxy-Authorization" if r.status == 407 else "Authorization"
        self.auth = [f"{name}: " + digest(c, self.ua.user, self.ua.password, "INVITE", self.target)]
        self.send_invite(self.sdp, self.headers)

    def provisional(self, status=180, timeout=5):
        return self.ua.wait(f"{status}", lambda m: m.status == status and m.branch == self.branch, timeout)

    def reinvite(self, sdp, timeout=10):
        self.auth = []
        self.send_invite(sdp)
        return self.final(timeout)

    def request(self, method, body=b"", extra=(), timeout=5):
        self.cseq += 1
        self.ua.send(self.lines(method, extra=extra), body)
        return self.ua.response(self.ua.last_branch, method, timeout)

    def bye(self, timeout=5):
        return self.request("BYE", timeout=timeout)

    def send_authorized(self, method, headers=(), body=b"", ctype="application/sdp"):
        """A request that begins a dialog or stands alone, with credentials when asked for. The branch of the second try."""
        for _ in range(2):
            self.cseq += 1
            self.ua.send(self.lines(method, extra=[*headers, *self.auth]), body, ctype)
            self.branch = self.ua.last_branch
            if self.auth:
                break
            r = self.ua.response(self.branch, method)
            check(r.status == 407, r.start)
            self.challenge = challenge_parse(r.get("proxy-authenticate"))
            self.auth = ["Proxy-Authorization: " + digest(self.challenge, self.ua.user, self.ua.password, method, self.target)]
        return self.branch

    def cancel(self):
        l = self.lines("CANCEL")
        l[1] = re.sub(r"branch=\S+", "branch=" + self.branch, l[1])
        self.ua.send(l)
        return self.ua.wait("response to CANCEL", lambda m: m.status and m.cseq == "CANCEL")


# ---- SDP and media -----------------------------------------------------------------------------------------------------

def new_key(suite):
    return base64.b64encode(os.urandom(SUITES[suite])).decode()


def make_sdp(ip, port, crypto=(), direction=None, version=1, proto=None, extra=()):
    """crypto: [(suite, key)], none for plain RTP."""
    fam = "IP6" if ":" in ip else "IP4"
    proto = proto or ("RTP/SAVP" if crypto else "RTP/AVP")
    lines = ["v=0", f"o=- 4711 {version} IN {fam} {ip}", "s=-", f"c=IN {fam} {ip}", "t=0 0", f"m=audio {port} {proto} 0",
             "a=rtpmap:0 PCMU/8000", "a=ptime:20"]
    lines += [f"a=crypto:{i} {s} inline:{k}" for i, (s, k) in enumerate(crypto, 1)]
    lines += [f"a={direction}"] if direction else []
    return "\r\n".join(lines + list(extra) + [""]).encode()


class Sdp:
    """The first m-line of an answer or offer."""

    def __init__(self, body):
        t = body.decode()
        self.text = t
        self.ip = re.findall(r"^c=IN IP[46] (\S+)", t, re.M)[-1]
        m = re.search(r"^m=(\w+) (\d+) (\S+)", t, re.M)
        self.port, self.proto = int(m.group(2)), m.group(3)
        self.crypto = re.findall(r"^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)", t, re.M)
        d = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", t, re.M)
        self.direction = d.group(1) if d else "sendrecv"

    def key(self, suite):
        return next((s, k) for _, s, k in self.crypto if s == suite)

    @property
    def addr(self):
        return f"{bracket(self.ip)}:{self.port}"


def srtp_answer(ip, port, offer, tx, **kw):
    """The answer of an SRTP phone that picks tx's suite from the offer. Its receive key is offer.key(suite)."""
    tag = next((t for t, s, _ in offer.crypto if s == tx[0]), None)
    check(tag, f"{tx[0]} is offered: {offer.text}")
    return make_sdp(ip, port, [tx], **kw).replace(b"a=crypto:1 ", f"a=crypto:{tag} ".encode())


class Rtp:
    """One rtptool. tx, rx: (suite, key) or None for plain. hz 0: no tone. rtcp_ms: a sender report so often."""

    def __init__(self, ns, local, to, seconds, hz, tx=None, rx=None, linger_ms=500, rtcp_ms=0):
        cmd = ["nsenter", f"--net={E['NETNS']}-{ns}", "--", f"{E['B']}/selftests/net/rtptool", "--local", local,
               "--seconds", str(seconds), "--tone", str(hz), "--linger", str(linger_ms)] + (["--to", to] if to else [])
        cmd += (["--rtcp", str(rtcp_ms)] if rtcp_ms else []) + ([] if hz else ["--silent"])
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for way, k in (("tx", tx), ("rx", rx)):
            if k:
                self.p.stdin.write(f"{way} {k[0]} {k[1]}\n")
        self.p.stdin.close()
        self.p.stdin = None

    def result(self, timeout=60):
        out, _ = self.p.communicate(timeout=timeout)
        check(self.p.returncode == 0, f"rtptool ended with {self.p.returncode}")
        return json.loads(out)

    def stop(self):
        self.p.terminate()
        return self.result()


class Call:
    """A whole call between an outside Ua (SRTP) and an inside one (RTP), both under the test's control. After it: .d and .rd are the
    dialogs of caller and callee, .tx and .rx the outside keys, .out_sdp and .in_sdp what each side was told."""

    def __init__(self, out, inside, out_port=40000, in_port=41000, suite="AES_CM_128_HMAC_SHA1_80"):
        self.out, self.inside, self.out_port, self.in_port = out, inside, out_port, in_port
        self.tx = (suite, new_key(suite))
        self.d, _ = out.invite(inside.aor, make_sdp(out.ip, out_port, [self.tx]), final=False)
        self.d.challenged()
        self.invite = inside.expect("INVITE")
        self.in_sdp = Sdp(self.invite.body)
        self.rd = inside_answer(inside, self.invite, make_sdp(inside.ip, in_port), self.d)
        self.ok = self.rd.ok
        self.out_sdp = Sdp(self.ok.body)
        check(len(self.out_sdp.crypto) == 1, f"one a=crypto in the answer, not {self.out_sdp.crypto}")
        self.rx = self.out_sdp.crypto[0][1:]
        check(self.in_sdp.proto == "RTP/AVP" and not self.in_sdp.crypto, "plain RTP is offered inside")

    def media(self, seconds, out_hz=600, in_hz=1200):
        """Both ends send and listen; returns (outside Rtp, inside Rtp)."""
        return (Rtp(self.out.ns, f"{bracket(self.out.ip)}:{self.out_port}", self.out_sdp.addr, seconds, out_hz, self.tx, self.rx),
                Rtp("lan", f"{bracket(self.inside.ip)}:{self.in_port}", self.in_sdp.addr, seconds, in_hz))


class PassCall(Call):
    """The same with an inside Ua that speaks SRTP, at a call server with `media: passthrough`: the keys are those of both ends."""

    def __init__(self, out, inside, out_port=40000, in_port=41000, suite="AES_CM_128_HMAC_SHA1_80"):
        self.out, self.inside, self.out_port, self.in_port = out, inside, out_port, in_port
        self.tx, self.rx = (suite, new_key(suite)), (suite, new_key(suite))
        self.d, _ = out.invite(inside.aor, make_sdp(out.ip, out_port, [self.tx]), final=False)
        self.d.challenged()
        self.invite = inside.expect("INVITE")
        self.in_sdp = Sdp(self.invite.body)
        check(self.in_sdp.proto == "RTP/SAVP" and [c[1:] for c in self.in_sdp.crypto] == [self.tx],
              f"the client's key inside: {self.in_sdp.text}")
        self.rd = inside_answer(inside, self.invite, srtp_answer(inside.ip, in_port, self.in_sdp, self.rx), self.d)
        self.ok = self.rd.ok
        self.out_sdp = Sdp(self.ok.body)
        check([c[1:] for c in self.out_sdp.crypto] == [self.rx], f"the phone's key outside: {self.out_sdp.text}")

    def media(self, seconds, out_hz=600, in_hz=1200):
        return (Rtp(self.out.ns, f"{bracket(self.out.ip)}:{self.out_port}", self.out_sdp.addr, seconds, out_hz, self.tx, self.rx),
                Rtp("lan", f"{bracket(self.inside.ip)}:{self.in_port}", self.in_sdp.addr, seconds, in_hz, self.rx, self.tx))


def inside_answer(inside, invite, sdp, d):
    """180 and 200 by `inside`, ACK by the caller's dialog d. The callee's dialog, with .ok = what the caller got."""
    tag = uuid.uuid4().hex[:10]
    inside.reply(invite, 180, "Ringing", [f"Contact: {inside.contact}"], totag=tag)
    inside.reply(invite, 200, "OK", [f"Contact: {inside.contact}"], sdp, totag=tag)
    ok = d.final()
    check(ok.status == 200, f"the caller got {ok.start}")
    rd = Dialog(inside, invite.uris("contact")[0])
    rd.from_invite(invite, tag)
    rd.ok, rd.ack_seen = ok, inside.expect("ACK")
    return rd


def exchange(d, other, method, status=200, reason="OK", body=b"", answer=b"", headers=(), ctype="application/sdp"):
    """A request in dialog d, answered by Ua `other`. Returns (request as seen, response as seen)."""
    d.cseq += 1
    d.ua.send(d.lines(method, extra=headers), body, ctype)
    branch = d.ua.last_branch
    req = other.expect(method)
    other.reply(req, status, reason, [f"Contact: {other.contact}"], answer)
    return req, d.ua.response(branch, method)


def reoffer(d, other, offer, answer):
    """A re-INVITE in dialog d, answered 200 by `other` (answer: bytes, or made from the parsed offer). Returns (offer as seen,
    answer as seen), parsed."""
    d.auth = []
    d.send_invite(offer)
    req = other.expect("INVITE")
    other.reply(req, 200, "OK", [f"Contact: {other.contact}"], answer(Sdp(req.body)) if callable(answer) else answer)
    r = d.final()
    check(r.status == 200, f"re-INVITE: {r.start}")
    other.expect("ACK")
    return Sdp(req.body), Sdp(r.body)


def hangup(d, other):
    r = exchange(d, other, "BYE")[1]
    check(r.status == 200, f"BYE: {r.start}")


def flows():
    """The edge's flows."""
    f = admin("edge", "flows")
    return f if isinstance(f, list) else f["flows"]


def flows_gone(seconds=5):
    wait_until(seconds, "the flows to end", lambda: not flows())


def outside(user="alice", ip=None):
    """A registered client outside."""
    u = Ua(user, ip=ip)
    r = u.register()
    check(r.status == 200, f"{user} registers: {r.start}")
    return u


def inside(user="bob"):
    """A registered phone inside, straight at the call server."""
    u = Ua(user, "lan", server=KAMAILIO, transport="udp")
    r = u.register()
    check(r.status == 200, f"{user} registers inside: {r.start}")
    return u


def csum_errors():
    """UDP datagrams that the stacks of the bed refused for their checksum, both families."""
    n = 0
    for name in ("inet", "inet2", "dmz", "in", "lan"):
        v4 = [l.split()[1:] for l in ns_run(name, "cat", "/proc/net/snmp").stdout.splitlines() if l.startswith("Udp:")]
        v6 = dict(l.split() for l in ns_run(name, "cat", "/proc/net/snmp6").stdout.splitlines())
        n += int(v4[1][v4[0].index("InCsumErrors")]) + int(v6["Udp6InCsumErrors"])
    return n


def tones(a, b, a_hears, b_hears, seconds=1.0):
    """Both rtptool results: the right tone, nothing unauthentic."""
    for name, r, hz in (("outside", a, a_hears), ("inside", b, b_hears)):
        check(r["tone_hz"] == hz and r["tone_seconds"] >= seconds, f"{name} hears {hz} Hz for {seconds} s: {r}")
        check(r["not_authentic"] == 0, f"{name}: every packet is authentic: {r}")


def main(fn):
    """Run a test body; exit 0 or 1 with the reason."""
    try:
        fn()
    except (Failed, Closed, OSError, KeyError, IndexError, AttributeError) as e:
        tb = e.__traceback__
        line = 0
        while tb:
            if tb.tb_frame.f_code.co_filename == "<test>":
                line = tb.tb_lineno
            tb = tb.tb_next
        print(f"FAIL (script line {line}): {type(e).__name__}: {e}", flush=True)
        sys.exit(1)
