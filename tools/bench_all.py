#!/usr/bin/env python3
"""tools/bench_all.py -- run by tools/bench all: every bench in turn, their figures in one file, and a report of it.

In: the benches' names (default: all of PLAN). Out: DIR/bench.json, written anew after each run, and DIR/report.html (bench_report.py).
    {"report": 1, "began", "quick", "host": {...}, "sallyport": {...}, "peers": {name: version}, "duration_s",
     "load_average": [1, 5, 15 minutes, before all],
     "runs": [{"name", "command", "began", "duration_s", "load_average": [1, 5, 15 minutes, before it], "status", "reason", "result",
              "said": [last lines of its output, if it did not end well]}]}
status: "ok"; "failed" (exit status, time, or JSON that cannot be read); "impossible" (the bench said what is missing here);
"interrupted". result is what the bench printed, unchanged, or null; a bench that failed may have printed one. Owner rules: each bench has a
session of its own, is bounded in time, and is ended as a whole: SIGINT (it takes its namespaces down), and SIGKILL 20 s later."""
import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # beside the sources
import bench_report  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GRACE_S = 20  # from SIGINT to SIGKILL
SAID_LINES = 30

# name, bench and options, the same for -q (None: not then), about how many seconds full and -q
PLAN = [
    ("media-xdp", "media", "media -q", 70, 15),
    ("media-tc", "media --rung tc", "media -q --rung tc", 90, 20),
    ("media-user", "media --rung user", "media -q --rung user", 120, 35),
    ("core", "core", "core -q", 130, 60),
    ("core-100", "core -r 3 --calls 100", None, 90, 0),
    ("core-10", "core -r 3 --calls 10", None, 90, 0),
    ("core-joined", "core --joined", "core -q --joined", 60, 15),
    ("flows", "flows", "flows -q", 10, 5),
    ("register", "register", "register -q -n 200,1000", 150, 25),
    ("register-1000", "register -r 3 -n 200,1000", None, 110, 0),
    ("calls", "calls", "calls -q", 160, 15),
    ("https", "https", "https -q", 150, 25),
    ("xmpp", "xmpp", "xmpp -q", 70, 15),
    ("xmpp-1000", "xmpp -n 1000", None, 30, 0),
    ("ktls", "ktls", "ktls -q", 25, 5),
    ("ktls-200", "ktls -m 200 -w 200", "ktls -q -m 200 -w 200", 25, 5),
    ("ktls-1500", "ktls -m 1500 -w 1500", "ktls -q -m 1500 -w 1500", 25, 5),
    ("ktls-16384", "ktls -m 16384 -w 500", "ktls -q -m 16384 -w 500", 25, 5),
    ("uring", "uring", "uring -q", 40, 12),
    ("memory", "memory -n 1000", "memory -n 200", 60, 15),
    ("memory-200", "memory -n 200", "memory -n 100", 25, 12),
]

TARGETS = """all build/load build/bench-media build/bench-user build/bench-core build/bench-flows build/bench-ktls build/bench-uring
build/bench-xmpp build/selftests/net/rtptool build/selftests/net/pcapcheck""".split()


def say(text):
    print(f"bench all: {text}", file=sys.stderr, flush=True)


def output(*command):
    """What a command prints on both its outputs; "" if there is none."""
    try:
        done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        return done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def first(pattern, text, default=None):
    m = re.search(pattern, text, re.M)
    return m.group(1).strip() if m else default


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def utc():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def host():
    cpu = read("/proc/cpuinfo")
    return {
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "cpu": first(r"^(?:model name|Model|Hardware)\s*:\s*(.*)$", cpu, "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpu, re.M)),
        "memory_mib": int(first(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), "0")) // 1024,
        "system": first(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), "unknown"),
        "tls_module": os.path.exists("/proc/net/tls_stat"),
    }


def sallyport():
    commit = output("git", "rev-parse", "--short=12", "HEAD").strip()
    tree = re.fullmatch(r"[0-9a-f]{12}", commit)
    return {
        "version": first(r"(\d+\.\d+\S*)", output("build/sallyport-edge", "--version")),
        "commit": commit if tree else None,
        "modified": bool(output("git", "status", "--porcelain", "--untracked-files=no").strip()) if tree else None,
    }


def peers():
    found = {
        "Kamailio": first(r"kamailio (\d\S*)", output("kamailio", "-v")),
        "rtpengine": first(r"Version: (\S+)", output("rtpengine", "--version")),
        "HAProxy": first(r"version (\S+)", output("haproxy", "-v")),
        "nginx": first(r"nginx/(\S+)", output("nginx", "-v")),
        "wrk": first(r"^wrk (?:debian/)?(\S+)", output("wrk", "-v")),
        "OpenSSL": first(r"^OpenSSL (\S+)", output("openssl", "version")),
    }
    return {name: version for name, version in found.items() if version}


class Interrupted(Exception):
    pass


class Stop:
    """SIGINT and SIGTERM: kept, and raised at once only while a bench is waited for, never while one is being started."""
    name = None
    armed = False

    @staticmethod
    def on_signal(number, frame):
        Stop.name = signal.Signals(number).name
        if Stop.armed:
            Stop.armed = False
            raise Interrupted

    @staticmethod
    def arm():
        Stop.armed = True
        if Stop.name:
            Stop.armed = False
            raise Interrupted


def end(proc):
    """All of its session: it takes down what it made; and by force if it does not."""
    deadline = time.monotonic() + GRACE_S
    number = signal.SIGINT
    try:
        while time.monotonic() < deadline:
            os.killpg(proc.pid, number)
            number = 0
            time.sleep(0.1)
            proc.poll()  # it may be gone before those that clean up
        os.killpg(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    proc.wait()


def reason_of(out, err, rc):
    """One line of why: what the bench's library says after FAIL: or SKIP:, else the last two lines that are not progress."""
    said = [line for line in (out + "\n" + err).splitlines() if re.match(r"(FAIL|SKIP): (?!line \d)", line)]
    if said:
        return said[0][6:][:300]
    lines = [line for line in (err.splitlines() or out.splitlines()) if line.strip() and not re.match(r"bench: round|---", line)]
    last = [line.strip().removeprefix("bench: ") for line in lines[-2:]]
    return f"exit status {rc}: {'; '.join(last) or 'it said nothing'}"[:300]


def verdict(rc, out, err):
    """(status, reason, result) of a bench that ended by itself."""
    start = out.find("{")
    result = None
    try:
        result = json.loads(out[start:]) if start >= 0 else None
    except ValueError:
        pass
    if rc == 0 and isinstance(result, dict):
        return "ok", None, result
    if rc == 0:
        return "failed", "its output is no JSON object", None
    if rc == 77 or "needs root" in err:
        return "impossible", reason_of(out, err, rc), None
    return "failed", reason_of(out, err, rc), result if isinstance(result, dict) else None


def contents(f):
    f.seek(0)
    return f.read()


def run(name, options, limit):
    what, *rest = options.split()
    command = ["tools/bench", what, "-j", *rest]
    row = {"name": name, "command": " ".join(command), "began": utc(), "duration_s": 0.0, "load_average": list(os.getloadavg()),
           "status": "interrupted", "reason": None, "result": None}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        proc = subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            Stop.arm()
            rc = proc.wait(timeout=limit)
            Stop.armed = False
        except subprocess.TimeoutExpired:
            Stop.armed = False
            end(proc)
            row["status"], row["reason"] = "failed", f"not done after {limit} s"
        except Interrupted:
            end(proc)
            row["reason"] = Stop.name
        else:
            row["status"], row["reason"], row["result"] = verdict(rc, contents(out), contents(err))
        if row["status"] != "ok":
            row["said"] = [line[:300] for line in (contents(out) + contents(err)).splitlines()[-SAID_LINES:]]
    row["duration_s"] = round(time.monotonic() - began, 1)
    return row


def chosen(names, quick):
    """Rows of the plan: by name, or by the bench they run."""
    known = {row[0] for row in PLAN} | {row[1].split()[0] for row in PLAN}
    for name in names:
        if name not in known:
            raise SystemExit(f"bench all: no bench {name}; there are: {' '.join(row[0] for row in PLAN)}")
    rows = [row for row in PLAN if not names or row[0] in names or row[1].split()[0] in names]
    rows = [(name, q if quick else full, sq if quick else s) for name, full, q, s, sq in rows if q or not quick]
    if not rows:
        raise SystemExit(f"bench all: {' '.join(names)}: no part of a quick run (-q)")
    return rows


def write(report, folder):
    path = os.path.join(folder, "bench.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    os.replace(path + ".new", path)
    return path


def parse(argv):
    p = argparse.ArgumentParser(prog="tools/bench all", description="All benches in turn: bench.json and report.html. Not soak.",
                                epilog="Names: " + ", ".join(row[0] for row in PLAN) + "; or media, core, ktls ... for all of a kind.")
    p.add_argument("-q", action="store_true", dest="quick", help="one short round each: to see that all is there, not for figures")
    p.add_argument("-o", metavar="DIR", dest="folder", default=os.path.join(TOP, "build/report"),
                   help="where to (build/report of the tree)")
    p.add_argument("--report-only", metavar="FILE", help="make report.html anew beside this bench.json, run nothing")
    p.add_argument("--list", action="store_true", help="what would be run, and for about how long")
    p.add_argument("names", metavar="BENCH", nargs="*")
    return p.parse_args(argv)


def main(argv):
    o = parse(argv)
    if o.report_only:
        print(bench_report.make(o.report_only))
        return 0
    plan = chosen(o.names, o.quick)
    if o.list:
        for name, options, seconds in plan:
            print(f"{name:12} tools/bench {options:28} {seconds:4} s")
        print(f"about {sum(row[2] for row in plan) / 60:.0f} minutes")
        return 0
    signal.signal(signal.SIGINT, Stop.on_signal)
    signal.signal(signal.SIGTERM, Stop.on_signal)
    os.makedirs(o.folder, exist_ok=True)
    load = list(os.getloadavg())
    say("building")
    if subprocess.run(["make", "-s", f"-j{os.cpu_count()}", *TARGETS], cwd=TOP, stdout=sys.stderr.fileno()).returncode:
        say("the build failed")
        return 130 if Stop.name else 1
    if not shutil.which("git"):
        say("no git here: the report names no commit")
    report = {"report": 1, "began": utc(), "quick": o.quick, "host": host(), "sallyport": sallyport(), "peers": peers(),
              "load_average": load, "duration_s": 0, "runs": []}
    began = time.monotonic()
    for i, (name, options, seconds) in enumerate(plan, 1):
        say(f"{i} of {len(plan)}: {options} (about {seconds} s; load {os.getloadavg()[0]:.1f})")
        row = run(name, options, seconds * 4 + 60)
        report["runs"].append(row)
        report["duration_s"] = round(time.monotonic() - began, 1)
        path = write(report, o.folder)
        if row["status"] != "ok":
            say(f"{name}: {row['status']}: {row['reason']}")
        if Stop.name:
            break
    html = bench_report.make(path)
    print(bench_report.table(report))
    bad = [row["name"] for row in report["runs"] if row["status"] in ("failed", "interrupted")]
    say(f"{path}, {html}; {report['duration_s'] / 60:.0f} minutes" + (f"; not done: {', '.join(bad)}" if bad else ""))
    if Stop.name:
        return 130
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
