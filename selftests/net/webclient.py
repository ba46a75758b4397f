"""webclient.py -- a web client for precise and hostile cases: TLS sockets from inside the test's namespaces, bytes under the test's control.

In: a test's script (`script_web` of lib_https.sh: sipclient's names and these). Out: requests, answers read by their framing, asserts."""
import os
import socket
import ssl

from sipclient import Closed, E, Failed, check, in_ns

WEB = (E["EDGE_OUT"], int(E["HTTPS"]))
HOST = f"edge.{E['DOMAIN']}:{E['HTTPS']}"
_context = ssl.create_default_context(cafile=f"{E['RUN']}/pki/web-ca.pem")
_context.set_alpn_protocols(["http/1.1"])


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def field(self, name):
        return next((v for k, v in self.fields if k == name.lower()), None)


class Web:
    """One connection. `source`: its address in the namespace."""

    def __init__(self, ns="inet", source=None, timeout=10):
        with in_ns(ns):
            raw = socket.socket()
        raw.settimeout(timeout)
        if source:
            raw.bind((source, 0))
        raw.connect(WEB)
        self.s = _context.wrap_socket(raw, server_hostname=HOST.split(":")[0])
        self.buf = b""

    def send(self, data):
        self.s.sendall(data)

    def ask(self, url, method="GET", token=None, fields=(), body=b""):
        """A request, with the answer to it."""
        self.send(request(url, method, token, fields, body))
        return self.answer(method)

    def _more(self):
        got = self.s.recv(65536)
        if not got:
            raise Closed("closed by the edge")
        self.buf += got

    def _take(self, n):
        while len(self.buf) < n:
            self._more()
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def _line(self):
        while b"\r\n" not in self.buf:
            self._more()
        out, self.buf = self.buf.split(b"\r\n", 1)
        return out

    def answer(self, method="GET"):
        """The next final answer; 1xx are skipped."""
        while True:
            status = int(self._line().split(b" ")[1])
            fields = []
            while line := self._line():
                k, v = line.decode("latin-1").split(":", 1)
                fields.append((k.lower(), v.strip()))
            if status >= 200 or status == 101:
                break
        f = dict(fields)
        body = b""
        if method == "HEAD" or status in (204, 304, 101):
            pass
        elif f.get("transfer-encoding"):
            while size := int(self._line().split(b";")[0], 16):
                body += self._take(size)
                check(self._line() == b"", "CRLF behind a chunk")
            while self._line():
                pass
        elif "content-length" in f:
            body = self._take(int(f["content-length"]))
        else:
            body = self.rest()
        return Answer(status, fields, body)

    def rest(self):
        try:
            while True:
                self._more()
        except (Closed, OSError):
            out, self.buf = self.buf, b""
            return out

    def close(self):
        self.s.close()


def request(url, method="GET", token=None, fields=(), body=b""):
    """Bytes of a request; url as relay_url and edge_url of lib_https.sh make it, or a path."""
    path = "/" + url.split("/", 3)[3] if url.startswith("https://") else url
    head = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
    if token:
        head.append(f"Cookie: X-Auth={token}")
    head += fields
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head + ["", ""]).encode() + body


def held(pid):
    """KiB of anonymous memory of a process."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))


def workers():
    """Pids of the edge's and the core's worker."""
    out = []
    for name in "edge", "core":
        with open(f"{E['RUN']}/pids/{name}") as f:
            keeper = int(f.read())
        with open(f"/proc/{keeper}/task/{keeper}/children") as f:
            out.append(int(f.read().split()[0]))
    return out
