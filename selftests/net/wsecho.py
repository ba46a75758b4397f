#!/usr/bin/python3
"""wsecho.py serve PORT: a WebSocket server on loopback that echoes. wsecho.py ask URI ADDRESS CA [HEADER: VALUE]...: says things of
several sizes and kinds to such a server, prints one line a frame and fails unless each comes back as it was."""
import asyncio
import hashlib
import os
import ssl
import sys

import websockets


async def serve(port):
    async def echo(ws, *_):
        async for message in ws:
            await ws.send(message)

    async with websockets.serve(echo, "127.0.0.1", port, max_size=None):
        await asyncio.Future()


async def ask(uri, address, ca, headers):
    context = ssl.create_default_context(cafile=ca)
    async with websockets.connect(uri, host=address, ssl=context, extra_headers=headers, max_size=None, open_timeout=10) as ws:
        for what in "hello", "", os.urandom(125), os.urandom(70000), "x" * 300000:
            await ws.send(what)
            back = await asyncio.wait_for(ws.recv(), 10)
            raw = back.encode() if isinstance(back, str) else back
            if back != what:
                sys.exit(f"wsecho: sent {len(what)}, got {len(raw)} other bytes")
            print(f"echoed {type(what).__name__} {len(raw)} {hashlib.sha256(raw).hexdigest()[:16]}")
        pong = await ws.ping(b"still there")
        await asyncio.wait_for(pong, 10)
    if ws.close_code != 1000:
        sys.exit(f"wsecho: closed with {ws.close_code}, not 1000")
    print("closed 1000")


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(ask(*sys.argv[2:5], [tuple(h.split(": ", 1)) for h in sys.argv[5:]]))
