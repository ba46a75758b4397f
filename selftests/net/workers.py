"""workers.py -- what the tests of streams that outlive their workers (k_*.sh) share, on top of sipclient.py.

In: a bed whose daemons run, EDGE_KEEPER and CORE_KEEPER (their keepers' pids) in the environment. Out: what the daemons say, clients that
are several devices of a user, workers that are killed or upgraded."""
import ctypes
import os
import signal
import ssl
import subprocess
import uuid

from sipclient import E, Ua, admin, check, log_text, wait_until


def stat(daemon, what):
    """The admin's answer, None while there is none."""
    try:
        return admin(daemon, what)
    except (OSError, ValueError):
        return None


def worker(daemon):
    p = subprocess.run(["pgrep", "-P", E[f"{daemon.upper()}_KEEPER"]], capture_output=True, text=True).stdout.split()
    return p[-1] if p else ""


ups = 0  # "link-up" lines of the core before the last worker was killed or upgraded: its status may not know of that yet


def link_ups():
    return log_text("core").count("event=link-up")


def link_up():
    """Both say so: one that is about to lose the other's old worker may not know yet."""
    return link_ups() > ups and all(s and s["links"][0]["state"] == "up" and s["links"][0]["pool_idle"] > 0 for s in (stat("core", "status"), stat("edge", "status")))


def device(user, i):
    """One of several of a user, each with its own +sip.instance."""
    u = Ua(user)
    u.instance = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, f'{user}{i}')}"
    r = u.register()
    check(r.status == 200, f"{user} {i} registers: {r.start}")
    return u


def on_kernel(n):
    """The edge's streams, if they are @n and on kernel TLS on both sides."""
    s = stat("edge", "streams")
    return s and len(s) == n and all(x["rung"] == "kernel TLS" and x["link_rung"] == "kernel TLS" for x in s) and s


def kill(daemon):
    global ups
    ups = link_ups()
    os.kill(int(worker(daemon)), signal.SIGKILL)


def upgrade(daemon):
    global ups
    ups = link_ups()
    r = subprocess.run([f"{E['B']}/sallyctl", "-s", f"{E['RUN']}/{daemon}.sock", "upgrade"], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr + r.stdout)


def replaced(daemon, old):
    """Wait for the worker behind @old, and for its answer."""
    return wait_until(15, f"a new worker of the {daemon} that answers", lambda: worker(daemon) not in ("", old) and stat(daemon, "status"))


def key_update(conn):
    """A KeyUpdate that asks for one in return (RFC 8446 4.6.3) goes out ahead of what @conn writes next. Python's ssl has no call for it, so
    OpenSSL is asked; an object of ssl begins with its count, its type, the socket's reference and the SSL."""
    lib = ctypes.CDLL(ssl._ssl.__file__)
    of = ctypes.c_void_p.from_address(id(conn.s._sslobj) + 3 * ctypes.sizeof(ctypes.c_void_p))
    check(lib.SSL_key_update(of, 1) == 1, "a KeyUpdate")


def was_reset(error):
    """Whether a TLS connection that ended with @error was reset, and did not just end without close_notify. Python's ssl calls both an end (until
    3.11.9, gh-115627), but OpenSSL has a reason for the second one only."""
    return isinstance(error, ConnectionError) or (isinstance(error, ssl.SSLEOFError) and error.reason != "UNEXPECTED_EOF_WHILE_READING")
