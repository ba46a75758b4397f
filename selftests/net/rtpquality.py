#!/usr/bin/env python3
"""rtpquality.py PCAP: loss, order, duplicates and jitter of the one RTP source in a capture, by RFC 3550 A.1, A.3 and A.8.

In: a pcap of Ethernet frames with nanoseconds (tcpdump --time-stamp-precision=nano), 8,000 Hz audio. Out: one JSON object. It remembers every
sequence number that came and computes jitter in floating point; it shares nothing with what it is compared to. A second source is an error."""
import json
import struct
import sys

HZ = 8000.0


def packets(path):
    with open(path, "rb") as f:
        head = f.read(24)
        if struct.unpack("<I", head[:4])[0] != 0xA1B23C4D:
            sys.exit(f"{path}: not a little-endian pcap with nanoseconds")
        while True:
            rec = f.read(16)
            if len(rec) < 16:
                return
            sec, nano, n, _ = struct.unpack("<IIII", rec)
            yield sec + nano / 1e9, f.read(n)


def rtp(frame):
    if frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    p = frame[14 + (frame[14] & 15) * 4 + 8:]
    if len(p) < 12 or p[0] >> 6 != 2 or 192 <= p[1] <= 223:
        return None
    return struct.unpack("!HII", p[2:12])


def main():
    seen, source, base, highest = set(), None, 0, 0
    received = reordered = duplicates = 0
    transit, jitter, worst = None, 0.0, 0.0
    start = None
    for at, frame in packets(sys.argv[1]):
        header = rtp(frame)
        if not header:
            continue
        seq, stamp, ssrc = header
        if source is None:
            source, base, highest, start = ssrc, seq, seq, at
        if ssrc != source:
            sys.exit(f"a second source: {ssrc:#x} beside {source:#x}")
        ahead = (seq - highest) & 0xFFFF
        number = highest + (ahead if ahead < 0x8000 else ahead - 0x10000)
        received += 1
        if number in seen:
            duplicates += 1
        elif number < highest:
            reordered += 1
        seen.add(number)
        highest = max(highest, number)
        now = (at - start) - stamp / HZ
        if transit is not None:
            d = abs(now - transit)
            if d > 2**31 / HZ:  # the timestamp wrapped
                d = abs(d - 2**32 / HZ)
            jitter += (d - jitter) / 16
            worst = max(worst, jitter)
        transit = now
    expected = highest - base + 1
    print(json.dumps({"ssrc": f"0x{source or 0:08x}", "received": received, "expected": expected, "lost": expected - len(seen),
                      "reordered": reordered, "duplicates": duplicates, "jitter_ms": jitter * 1000, "worst_ms": worst * 1000}))


main()
