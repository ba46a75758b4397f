"""selftests/net/xmppclient.py -- chat clients for the tests: slixmpp, each in a namespace, with words to wait by.

In: a test's body, run inside of an async function with the names of this module. Out: exit 0, or the reason of the failure on stdout.
A client's socket is made while the process is in its namespace; it stays there afterwards, whatever the others do.
"""

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import time
import traceback

E = os.environ
logging.basicConfig(level=E.get("CHAT_LOG", "CRITICAL"))  # before slixmpp, which has something to say about itself

import slixmpp

DOMAIN = E["DOMAIN"]
EDGE, IM = E["EDGE_OUT"], E["IM"]
PATIENCE = int(E.get("PATIENCE", "1"))
libc = ctypes.CDLL(None, use_errno=True)
ns_lock = None
began = time.monotonic()


class Failed(Exception):
    pass


def check(cond, what):
    if not cond:
        raise Failed(what)


def step(text):
    print(f"{text} [{time.monotonic() - began:.1f} s]", flush=True)


def enter(ns):
    fd = os.open(f"{E['NETNS']}-{ns}", os.O_RDONLY)
    try:
        if libc.setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


def ctl(daemon, *cmd):
    """What sallyctl says of edge or core."""
    out = subprocess.run([f"{E['B']}/sallyctl", "-j", "-s", f"{E['RUN']}/{daemon}.sock", *cmd], capture_output=True, text=True, check=True).stdout
    d = json.loads(out)
    return d[daemon] if isinstance(d, dict) and list(d) == [daemon] else d


async def until(seconds, what, fn, step=0.05):
    """fn() is asked until it gives something true: that is returned."""
    end = asyncio.get_event_loop().time() + seconds * PATIENCE
    while True:
        v = fn()
        if v:
            return v
        if asyncio.get_event_loop().time() > end:
            raise Failed(f"waited in vain for: {what}")
        await asyncio.sleep(step)


class Client(slixmpp.ClientXMPP):
    """One user's client. It waits for nothing by itself: login() does."""

    def __init__(self, user, domain=DOMAIN, password=None, mech=None, plugins=(), resource="t"):
        super().__init__(f"{user}@{domain}/{resource}", password or f"pw-{user}", sasl_mech=mech)
        self.user = user
        self.messages, self.presences, self.events = [], [], []
        self.ca_certs = f"{E['RUN']}/pki/web-ca.pem"
        for e in ("message", "message_error"):
            self.add_event_handler(e, self.messages.append)
        self.add_event_handler("presence", lambda p: self.presences.append(p))
        for e in ("session_start", "session_resumed", "failed_auth", "failed_all_auth", "stream_error", "disconnected", "connection_failed", "tls_success"):
            self.add_event_handler(e, lambda x, e=e: self.events.append((e, x)))
        for p in plugins:
            self.register_plugin(p)

    def abort(self):
        """Cut the connection off, where the other side has not ended it."""
        try:
            super().abort()
        except AttributeError: # asyncio has let go of the TLS object already
            pass

    def saw(self, event):
        return [x for e, x in self.events if e == event]

    def bodies(self, of=None):
        return [m["body"] for m in self.messages if m["body"] and m["type"] != "error" and (of is None or m["from"].user == of)]

    async def dial(self, host=EDGE, ns="inet", port=5222):
        """Connect from a namespace; direct TLS on port 5223. Returns with a socket, or what became of it."""
        n = len(self.saw("disconnected")) + len(self.saw("connection_failed"))
        async with ns_lock:
            enter(ns)
            try:
                self.transport = None
                self.connect((host, port), use_ssl=port == 5223, disable_starttls=False)
                await until(10, f"{self.user}: a connection to {host}:{port}",
                            lambda: self.transport or len(self.saw("disconnected")) + len(self.saw("connection_failed")) > n, 0.002)
            finally:
                enter("inet")

    async def login(self, presence=True, **where):
        await self.dial(**where)
        await until(10, f"{self.user} logged in", lambda: self.saw("session_start") or self.saw("failed_all_auth") or self.saw("stream_error"))
        check(self.saw("session_start"), f"{self.user}: {self.events}")
        if presence:
            await self.get_roster()
            self.send_presence()
        return self

    def cut(self):
        """The connection breaks, without a word."""
        s = self.transport.get_extra_info("socket")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def errors(self, of):
        return [m for m in self.messages if m["type"] == "error" and m["from"].user == of]

    def say(self, to, body, kind="chat"):
        self.send_message(mto=to if "@" in to else f"{to}@{self.boundjid.domain}", mbody=body, mtype=kind)


class Raw:
    """Bytes to the edge and back, for what no client would say."""

    def __init__(self, host=EDGE, port=5222, ns="inet", sni=None):
        enter(ns)
        try:
            self.s = socket.create_connection((host, port), timeout=10 * PATIENCE)
        finally:
            enter("inet")
        self.got = bytearray()
        if port == 5223:
            self.tls(sni or DOMAIN)

    def tls(self, sni=DOMAIN):
        ctx = ssl.create_default_context(cafile=f"{E['RUN']}/pki/web-ca.pem")
        self.s = ctx.wrap_socket(self.s, server_hostname=sni)
        self.got = bytearray()

    def send(self, text):
        self.s.sendall(text if isinstance(text, bytes) else text.encode())

    def read(self, want=None):
        """Until @want is there, or the end."""
        seen = 0
        while want is None or self.got.find(want.encode(), seen) < 0:
            seen = max(0, len(self.got) - 100)
            try:
                b = self.s.recv(65536)
            except (ConnectionError, ssl.SSLError):
                b = b""
            if not b:
                if want is not None:
                    raise Failed(f"wanted {want}, came {bytes(self.got[-300:])}")
                break
            self.got += b
        return self.got.decode(errors="replace")

    def open(self, to=DOMAIN):
        self.got = bytearray()
        self.send(f"<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
        return self

    def secure(self, to=DOMAIN):
        """A header, STARTTLS, TLS, and another header: up to the features."""
        self.open(to).read("</stream:features>")
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.read("<proceed")
        self.tls(to)
        self.open(to).read("</stream:features>")
        return self


def main(body):
    async def run():
        global ns_lock
        ns_lock = asyncio.Lock()
        scope = dict(globals())
        exec("async def test():\n" + textwrap.indent(body, "    "), scope)
        await scope["test"]()

    enter("inet")
    try:
        asyncio.get_event_loop().run_until_complete(run())
    except Failed as e:
        line = [f.lineno - 1 for f in traceback.extract_tb(e.__traceback__) if f.name == "test"]
        print(f"FAIL: line {line[0] if line else '?'} of the script: {e}", flush=True)
        sys.exit(1)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    sys.stdout.flush()
    os._exit(0)  # slixmpp's tasks wait for nothing any more
