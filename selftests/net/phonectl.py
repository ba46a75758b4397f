#!/usr/bin/env python3
"""phonectl.py PORT COMMAND [PARAMETER...] -- one command to a baresip (ctrl_tcp: netstring-framed JSON on loopback).

In: the control port, e.g. `dial sip:bob@corp.example`, `hangup`, `reginfo`, `listcalls`. Out: the response's text; exit 0 if the
phone said ok. Events that arrive before the response are passed over."""
import json
import socket
import sys
import time


def main():
    port, command, params = int(sys.argv[1]), sys.argv[2], " ".join(sys.argv[3:])
    s = socket.create_connection(("127.0.0.1", port), 3)
    m = json.dumps({"command": command, "params": params, "token": "t"}).encode()
    s.sendall(b"%d:%s," % (len(m), m))
    s.settimeout(3)
    buf, end = b"", time.monotonic() + 3
    while time.monotonic() < end:
        n, colon, rest = buf.partition(b":")
        if colon and len(rest) > int(n):
            j, buf = json.loads(rest[:int(n)]), rest[int(n) + 1:]
            if j.get("response"):
                print(j.get("data", ""))
                return 0 if j.get("ok") else 1
            continue
        d = s.recv(65536)
        if not d:
            break
        buf += d
    print("no response", file=sys.stderr)
    return 2


sys.exit(main())
