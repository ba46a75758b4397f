"""rawudp.py -- UDP datagrams with any source address, and the ICMP that comes back, for tests that lie about who they are.

In: namespace, addresses, payload. Out: packets from raw sockets (checksums computed here, DF set); ICMP errors as (MTU, quoted
destination port). Nothing is kept but the sockets."""
import select
import socket
import struct
import time

from sipclient import in_ns, ns_run


def rtp(seq, n=172, ssrc=0x5a5a5a5a, pt=0):
    """n bytes in the form of an RTP packet that no key has sealed."""
    return struct.pack("!BBHII", 0x80, pt, seq & 0xffff, seq * 160 & 0xffffffff, ssrc) + bytes(n - 12)


def checksum(data):
    data += b"\0" * (len(data) & 1)
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def datagram(src, dst, payload, spoilt=0):
    """An IP packet; src and dst are (address, port). spoilt: what is wrong with its UDP checksum."""
    fam = socket.AF_INET6 if ":" in dst[0] else socket.AF_INET
    a, b = socket.inet_pton(fam, src[0]), socket.inet_pton(fam, dst[0])
    n = 8 + len(payload)
    pseudo = a + b + struct.pack("!II", n, 17)
    udp = struct.pack("!HHHH", src[1], dst[1], n, 0)
    udp = struct.pack("!HHHH", src[1], dst[1], n, (checksum(pseudo + udp + payload) or 0xffff) ^ spoilt) + payload
    if fam == socket.AF_INET6:
        return struct.pack("!IHBB", 6 << 28, n, 17, 64) + a + b + udp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + n, 0, 0x4000, 64, 17, 0, a, b)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


class Raw:
    """Sends from any source out of a namespace."""

    def __init__(self, ns, six=False):
        self.six = six
        with in_ns(ns):
            self.s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = PROBE: what the stack learned of the path does not stop a packet
        self.s.setsockopt(*((socket.IPPROTO_IPV6, 23) if six else (socket.IPPROTO_IP, 10)), 3)

    def send(self, src, dst, payload, spoilt=0):
        self.s.sendto(datagram(src, dst, payload, spoilt), (dst[0], 0))


class Icmp:
    """Hears Frag Needed or Packet Too Big in a namespace."""

    def __init__(self, ns, six=False):
        self.six = six
        with in_ns(ns):
            self.s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1)

    def too_big(self, seconds):
        """(MTU told, destination port of the quoted packet), or None."""
        end = time.monotonic() + seconds
        while select.select([self.s], [], [], max(0, end - time.monotonic()))[0]:
            p = self.s.recv(2048)
            if not self.six:
                p = p[(p[0] & 15) * 4:]
            if p[:2] != (b"\x02\x00" if self.six else b"\x03\x04"):
                continue
            quoted = p[8:]
            udp = quoted[40:] if self.six else quoted[(quoted[0] & 15) * 4:]
            return struct.unpack("!I", p[4:8])[0], struct.unpack("!H", udp[2:4])[0]
        return None


def path_mtu(ns, dst):
    """What the stack of a namespace has learned for a destination; 0: nothing."""
    words = ns_run(ns, "ip", "route", "get", dst).stdout.split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else 0


class Sniff:
    """UDP payloads that leave by a device, from now on."""

    def __init__(self, ns, dev):
        with in_ns(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.s.bind((dev, 3))
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def udp(self, want):
        """[(source, destination, payload)] of the IPv4 datagrams so far for which want(...) is true; addresses as (text, port)."""
        out = []
        while select.select([self.s], [], [], 0)[0]:
            p = self.s.recv(2048)
            h = (p[0] & 15) * 4
            if p[0] >> 4 != 4 or p[9] != 17:
                continue
            sport, dport = struct.unpack("!HH", p[h:h + 4])
            d = (socket.inet_ntoa(p[12:16]), sport), (socket.inet_ntoa(p[16:20]), dport), p[h + 8:]
            if want(*d):
                out.append(d)
        return out
