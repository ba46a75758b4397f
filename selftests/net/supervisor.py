#!/usr/bin/python3
"""supervisor.py UNIT DIR COMMAND... - what a daemon sees of systemd, for tests: Type=notify, Restart=always, a descriptor store.

Takes from the unit file what a process can be given without systemd: capabilities, no_new_privs, open files, the store's size.
Runs COMMAND, takes its notifications (NotifyAccess=main) on DIR/notify, stores what comes with FDSTORE=1, and starts it anew when it ends,
whatever the reason, with the store as LISTEN_FDS. SIGUSR1: SIGTERM to it first, as `systemctl restart`. SIGTERM: no start any more.
DIR/status.json says how it stands: pid, starts, ready, names (how often each is stored), removed, foreign, polled.
Unlike systemd it does not wait until the other processes of the service are gone: a keeper has to see to that itself."""
import array
import collections
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import time

SCM_MAX_FD = 253
LISTEN_START = 3
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPS = {"CAP_CHOWN": 0, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12,
        "CAP_NET_RAW": 13, "CAP_PERFMON": 38, "CAP_BPF": 39}
libc = ctypes.CDLL(None, use_errno=True)


def unit_read(path):
    with open(path) as f:
        unit = dict(l.strip().split("=", 1) for l in f if "=" in l and l[0] not in "#[")
    for k, v in (("Type", "notify"), ("NotifyAccess", "main"), ("Restart", "always"), ("NoNewPrivileges", "yes")):
        assert unit[k] == v, f"{path}: {k}={unit[k]}"
    return unit


def confine(unit):
    """In the child: as a service of that unit."""
    keep = {CAPS[c] for c in unit["CapabilityBoundingSet"].split()}
    for cap in range(64):
        if cap not in keep and libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) and ctypes.get_errno() != 22:
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], int(unit["LimitNOFILE"]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Supervisor:
    def __init__(self, unit, folder, command):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.command, self.unit = folder, command, unit_read(unit)
        self.store_max = int(self.unit["FileDescriptorStoreMax"])
        self.store = []  # (name, descriptor, (device, inode)), oldest first
        self.known = set()
        self.starts = self.removed = self.foreign = self.polled = 0
        self.ready, self.ending, self.pid = False, False, 0
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind(self.path)
        self.sock.setblocking(False)

    def status(self):
        tmp = os.path.join(self.folder, "status.tmp")
        with open(tmp, "w") as f:
            json.dump({"pid": self.pid, "starts": self.starts, "ready": self.ready, "removed": self.removed,
                       "foreign": self.foreign, "polled": self.polled,
                       "names": dict(collections.Counter(n for n, _, _ in self.store))}, f)
        os.rename(tmp, os.path.join(self.folder, "status.json"))

    def put(self, name, fds):
        for fd in fds:
            st = os.fstat(fd)
            what = (st.st_dev, st.st_ino)
            if what in self.known or len(self.store) == self.store_max:
                os.close(fd)  # as systemd: it is there already, or all is full
            else:
                self.known.add(what)
                self.store.append((name, fd, what))

    def remove(self, name):
        for n, fd, what in self.store:
            if n == name:
                os.close(fd)
                self.known.discard(what)
                self.removed += 1
        self.store = [x for x in self.store if x[0] != name]

    def hear(self):
        """One notification. False: none is there."""
        room = socket.CMSG_SPACE(SCM_MAX_FD * 4) + socket.CMSG_SPACE(12)
        try:
            data, anc, _, _ = self.sock.recvmsg(4096, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        fds, pid = array.array("i"), 0
        for level, kind, body in anc:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(body[:len(body) - len(body) % fds.itemsize])
            elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = int.from_bytes(body[:4], sys.byteorder)
        words = dict(l.split("=", 1) for l in data.decode().splitlines() if "=" in l)
        if pid != self.pid:
            self.foreign += 1
            for fd in fds:
                os.close(fd)
            return True
        name = words.get("FDNAME", "stored")
        assert len(name) <= 255 and ":" not in name and name.isprintable(), name
        if words.get("FDSTOREREMOVE") == "1":
            self.remove(name)
        elif words.get("FDSTORE") == "1":
            self.polled += words.get("FDPOLL") != "0"
            self.put(name, fds)
        if words.get("READY") == "1":
            self.ready = True
        return True

    def start(self):
        n = len(self.store)
        names = ":".join(x[0] for x in self.store)
        pid = os.fork()
        if pid:
            self.pid, self.ready = pid, False
            self.starts += 1
            return
        os.environ["NOTIFY_SOCKET"] = self.path
        if n:
            os.environ.update(LISTEN_FDS=str(n), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, LISTEN_START + n) for _, fd, _ in self.store]
        for i, fd in enumerate(high):
            os.dup2(fd, LISTEN_START + i, inheritable=True)
        os.closerange(LISTEN_START + n, max(high, default=64) + 1024)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        confine(self.unit)
        os.execvp(self.command[0], self.command)

    def run(self):
        asked = []
        for s in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(s, lambda n, _: asked.append(n))
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w)
        self.start()
        gone = os.pidfd_open(self.pid)
        while True:
            self.status()
            look = select.poll()
            for fd in (self.sock.fileno(), gone, wake_r):
                look.register(fd, select.POLLIN)
            ready = [fd for fd, _ in look.poll()]
            if wake_r in ready:
                os.read(wake_r, 64)
            while asked:
                self.ending |= asked.pop() == signal.SIGTERM
                os.kill(self.pid, signal.SIGTERM)
            while self.hear():  # what it said counts before its death
                pass
            if gone not in ready:
                continue
            os.waitpid(self.pid, 0)
            os.close(gone)
            if self.ending:
                break
            if self.starts > 20:
                sys.exit("supervisor: too many starts")
            if not self.ready:
                time.sleep(0.2)
            self.start()
            gone = os.pidfd_open(self.pid)
        self.status()


hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
Supervisor(sys.argv[1], sys.argv[2], sys.argv[3:]).run()
