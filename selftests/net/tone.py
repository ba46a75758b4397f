#!/usr/bin/env python3
"""tone.py [--want HZ --seconds S] DIR|FILE.wav -- which tone did a phone hear, and for how long?

In: the newest *dec.wav of a directory, or a file (s16). Out: one line; exit 0 if the wanted tone was dominant (Goertzel over frames of
50 ms, at least twice the power of everything else) for S seconds in all, 1 if not. A header whose length was not yet
written (phone still in the call) is read to the end of the file."""
import argparse
import glob
import math
import os
import struct
import sys

CANDIDATES = range(300, 1701, 100)


def load(path):
    d = open(path, "rb").read()
    if d[:4] != b"RIFF" or d[8:12] != b"WAVE":
        raise ValueError("not a wave file")
    at, rate, channels = 12, 0, 0
    while at + 8 <= len(d):
        kind, n = d[at:at + 4], struct.unpack_from("<I", d, at + 4)[0]
        if kind == b"fmt ":
            channels, rate = struct.unpack_from("<HI", d, at + 10)
        if kind == b"data":
            end = at + 8 + n if n and at + 8 + n <= len(d) else len(d)
            raw = d[at + 8:end]
            raw = raw[:len(raw) // (2 * channels) * 2 * channels]
            return rate, struct.unpack("<%dh" % (len(raw) // 2), raw)[::channels]
        at += 8 + n + (n & 1)
    raise ValueError("no samples")


def power(frame, rate, hz):
    """Share of the frame's energy at hz (Goertzel), 0..1."""
    w = 2 * math.cos(2 * math.pi * hz / rate)
    s1 = s2 = 0.0
    for x in frame:
        s1, s2 = x + w * s1 - s2, s1
    p = s1 * s1 + s2 * s2 - w * s1 * s2
    e = sum(x * x for x in frame)
    return 2 * p / (len(frame) * e) if e else 0.0


def tones(rate, samples, want, seconds):
    """Seconds by dominant tone; stops when enough of the wanted one was heard."""
    step = max(1, rate // 8000)
    samples, rate = samples[::step], rate // step
    n, out = rate // 20, {}
    for i in range(0, len(samples) - n + 1, n):
        f = samples[i:i + n]
        if max(map(abs, f)) < 500:
            continue
        p, hz = max((power(f, rate, h), h) for h in CANDIDATES)
        if p > 0.66:
            out[hz] = out.get(hz, 0) + 0.05
            if hz == want and out[hz] >= seconds:
                break
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--want", type=int)
    a.add_argument("--seconds", type=float, default=1.0)
    a.add_argument("path")
    o = a.parse_args()
    path = o.path
    if os.path.isdir(path):
        files = sorted(glob.glob(path + "/dump-*dec.wav"), key=os.path.getmtime)
        if not files:
            print(f"{path}: no recording")
            return 1
        path = files[-1]
    try:
        rate, samples = load(path)
    except (OSError, ValueError, struct.error, ZeroDivisionError) as e:
        print(f"{path}: {e}")
        return 1
    t = tones(rate, samples, o.want, o.seconds)
    print(f"{os.path.basename(path)}: {len(samples) / rate:.1f} s,",
          ", ".join(f"{h} Hz for {s:.1f} s" for h, s in sorted(t.items())) or "no tone")
    return 0 if o.want is None or t.get(o.want, 0) >= o.seconds else 1


sys.exit(main())
