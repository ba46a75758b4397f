"""selftests/net/fakeim.py -- a chat server that is not in order: fakeim.py ADDRESS redirect HOST | shutdown | silent | drop | echo |
flood BYTES.

In: connections to ADDRESS:5222, no TLS. Out: a stream header and, by mode: a see-other-host, a system-shutdown, nothing at all, PLAIN and the
end behind each <auth/>, PLAIN for everybody and then all bytes back, or so many bytes of messages at once, the last one "<end/>".
"""

import asyncio
import sys

HEAD = ("<?xml version='1.0'?><stream:stream from='x.example' id='f1' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>")
ERR = "<stream:error>%s</stream:error></stream:stream>"
NS = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
ip, mode, *args = sys.argv[1:]


async def until(r, what):
    got = b""
    while what not in got:
        b = await r.read(65536)
        if not b:
            raise ConnectionError
        got += b


async def serve(r, w):
    def say(text):
        w.write(text.encode())

    try:
        if mode == "silent":
            await r.read(-1)
        await until(r, b"<stream:stream")
        if mode == "redirect":
            say(HEAD + ERR % f"<see-other-host {NS}>{args[0]}</see-other-host>")
        elif mode == "shutdown":
            say(HEAD + ERR % f"<system-shutdown {NS}/>")
        elif mode in ("drop", "echo", "flood"):
            say(HEAD + f"<stream:features><mechanisms {SASL}><mechanism>PLAIN</mechanism></mechanisms></stream:features>")
            await until(r, b"</auth>")
        if mode == "drop":
            print("auth", flush=True)
            w.close()
            return
        if mode == "echo":
            say(f"<success {SASL}/>")
            while b := await r.read(65536):
                w.write(b)
        if mode == "flood":
            say(f"<success {SASL}/>")
            message = "<message>" + "x" * 4077 + "</message>"
            for _ in range(int(args[0]) // len(message)):
                say(message)
                await w.drain()
            say("<end/>")
        await w.drain()
        await r.read(-1)
    except ConnectionError:
        pass
    w.close()


async def main():
    async with await asyncio.start_server(serve, ip, 5222) as s:
        await s.serve_forever()

asyncio.run(main())
