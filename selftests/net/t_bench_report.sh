#!/bin/bash
# What tools/bench all makes of made-up figures: the page (its SVG, series, verdicts in words, reasons), the Markdown table, bench.json; and how
# it deals with benches that fail, cannot be run here, print nonsense, last too long, or are interrupted. No bench is run, no root is needed.
set -eu
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export PYTHONDONTWRITEBYTECODE=1 # as it is, the tree is left clean
python3 - "$TOP" "$dir" <<'PY'
import json, math, os, re, signal, subprocess, sys, time
import xml.etree.ElementTree as ET

top, tmp = sys.argv[1:]
sys.path.insert(0, top + "/tools")
import bench_all, bench_plot, bench_report


def three(low, mid, high):
    return {"min": low, "median": mid, "max": high}


def ok(name, command, result):
    return {"name": name, "command": command, "began": "2026-01-02T03:04:05Z", "duration_s": 12.3, "load_average": [0.5, 0.4, 0.3], "status": "ok",
            "reason": None, "result": result}


flows = lambda a, b, c: {"1": a, "1000": b, "100000": c}
runs = [
    ok("media-xdp", "tools/bench media -j", {
        "bare_ratio": flows(0.91, 0.8, 0.6), "rtpengine_ratio": 26.0, "pps_per_cpu_s": flows(2e6, 1.8e6, 1.2e6), "rtpengine_pps_per_cpu_s": 7e4,
        "bare_pps_per_cpu_s": flows(2.2e6, 2.2e6, 2.2e6),
        "spread": {"bare_ratio": flows(three(0.7, 0.91, 0.95), three(0.79, 0.8, 0.81), three(0.5, 0.6, 0.7)),
                   "pps_per_cpu_s": flows(three(1.9e6, 2e6, 2.1e6), three(1.7e6, 1.8e6, 1.9e6), three(1e6, 1.2e6, 1.3e6))}}),
    ok("core", "tools/bench core -j", {"rtpengine_ratio": 1.29, "pps_per_cpu_s": 1.3e5, "rtpengine_pps_per_cpu_s": 1e5}),
    dict(ok("flows", "tools/bench flows -j", None), status="failed", reason='exit status 1: <b>"evil" & | more</b>'),
    ok("register", "tools/bench register -j", {
        "kamailio_ratio": {"refresh": 2.0, "connect": 1.49}, "per_cpu_s": {"connect": {"sallyport": 1500, "kamailio": 900}},
        "per_cpu_s_by_connections": {"2000": {"sallyport": 8e3, "kamailio": 4e3}}}),
    ok("register-1000", "tools/bench register -j -r 3 -n 200,1000", {
        "per_cpu_s_by_connections": {"200": {"sallyport": 9e3, "kamailio": 5e3}, "1000": {"sallyport": 8e3, "kamailio": 4e3}}}),
    dict(ok("calls", "tools/bench calls -j", None), status="impossible", reason="no rtpengine here (tools/deps test)"),
    dict(ok("https", "tools/bench https -j", {"haproxy_ratio": {"1k_10": 1.5, "1k_100": 0.99}, "requests_per_cpu_s": {
        "1k_10": {"sallyport": 15000.0, "haproxy": 10000.0}, "1k_100": {"sallyport": 9900.0, "haproxy": 10000.0}}}), status="failed", reason="some failed"),
    ok("memory", "tools/bench memory -j", {"clients": 1000, "rows": [
        {"rung": "C", "came": "", "kib": 56.01}, {"rung": "A", "came": "one by one", "kib": 1.9}, {"rung": "A", "came": "at once", "kib": 2.1},
        {"rung": "A", "came": "at once untrimmed", "kib": 40.0}]}),
    ok("ktls", "tools/bench ktls -j", {"message_bytes": 500, "write_bytes": 16384, "rows": [
        {"of": "mib", "lane": "C", "us": three(900, 1000, 1100)}, {"of": "message", "lane": "A by pipe", "us": three(9, 10, 11)},
        {"of": "message", "lane": "C", "us": three(11, 12, 13)}]}),
    ok("uring", "tools/bench uring -j", {"us_per_op": {"accept": {"loop": three(1, 2, 3), "epoll": three(2, 3, 4), "odd": {"missing": "ENOSYS"}}}}),
]
data = {"report": 1, "began": "2026-01-02T03:04:05Z", "quick": False, "duration_s": 600, "runs": runs, "peers": {"HAProxy": "2.6"}, "load_average": [0.1, 0.1, 0.1],
        "host": {"kernel": "6.1.0", "machine": "x86_64", "cpu": "A <CPU>", "cores": 2, "virtual": True, "memory_mib": 8192, "system": "Debian"},
        "sallyport": {"version": "0.1.0", "commit": "0123456789ab", "modified": False}}

# Verdicts: at a bound is met, by the median, both ways; the dearer of rung A's two; a failed bench's figures are told with its reason.
got = {(r.target.what, r.target.of.split(",")[0]): (r.css, r.why) for r in bench_report.Report(data).rows()}
want = {
    ("SRTP relay on XDP, 1 flow", "bare XDP redirect"): ("aim", ""), ("SRTP relay on XDP, 1,000 flows", "bare XDP redirect"): ("must", ""),
    ("SRTP relay on XDP, 100,000 flows", "bare XDP redirect"): ("missed", ""), ("SRTP relay on XDP, 1,000 flows", "rtpengine"): ("aim", ""),
    ("SRTP relay on tc, 1,000 flows", "rtpengine"): ("none", "not run"), ("SRTP ↔ RTP by the core, 1,000 calls", "rtpengine"): ("missed", ""),
    ("Flow set up and freed", "edge and core"): ("none", "failed: " + runs[2]["reason"]), ("REGISTER refreshes over TLS", "Kamailio as a TLS proxy"): ("aim", ""),
    ("New TLS connection, REGISTER", "Kamailio as a TLS proxy"): ("must", ""),
    ("Calls with anchored media", "edge and core"): ("none", "impossible: no rtpengine here (tools/deps test)"),
    ("HTTPS, 1 KiB, 10 connections", "HAProxy chained twice"): ("aim", "failed: some failed"),
    ("HTTPS, 1 KiB, 100 connections", "HAProxy chained twice"): ("missed", "failed: some failed"),
    ("HTTPS, 1 MiB, 10 connections", "HAProxy chained twice"): ("none", "failed: some failed"),
    ("Idle client, TLS in user space", "edge and core"): ("missed", ""), ("Idle client, TLS in the kernel", "edge and core"): ("must", ""),
}
for key, verdict in want.items():
    assert got[key] == verdict, (key, got[key], verdict)

# The page: whole, of one file, and every plot well-formed, within its box, with its series.
with open(tmp + "/bench.json", "w") as f:
    json.dump(data, f)
page = open(bench_report.make(tmp + "/bench.json"), encoding="utf-8").read()
assert "<script" not in page and "url(" not in page and "@import" not in page and not re.search(r"\b(src|href)=", page)
assert set(re.findall(r"https?://[^\"\s]*", page)) == {"http://www.w3.org/2000/svg"}
assert "prefers-color-scheme: dark" in page and "<b>&quot;evil" not in page and '&lt;b&gt;&quot;evil&quot; &amp; | more&lt;/b&gt;' in page and "A &lt;CPU&gt;" in page
ns, plots = "{http://www.w3.org/2000/svg}", {}
for text in re.findall(r"<svg.*?</svg>", page, re.S):
    svg = ET.fromstring(text)
    width, height = map(float, svg.get("viewBox").split()[2:])
    for el in svg.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert el.get(name) is None or -0.1 <= float(el.get(name)) <= width + 0.1, (text[:200], el.attrib)
        for name in ("y", "y1", "y2", "cy"):
            assert el.get(name) is None or -0.1 <= float(el.get(name)) <= height + 0.1, (text[:200], el.attrib)
        assert all(math.isfinite(float(n)) for n in re.findall(r"[^\s,]+", el.get("points") or ""))
    plots[svg.find(ns + "title").text] = svg
words = lambda svg: [t.text for t in svg.iter(ns + "text")]
count = lambda svg, css: sum(css in (el.get("class") or "").split() for el in svg.iter())
for title, series in {
    "Media relay: a packet, by flows": ["bare redirect (limit)", "relay on XDP", "rtpengine", "1", "1,000", "100,000", "ns of CPU a packet", "flows, in random order"],
    "SRTP ↔ RTP: a packet, by calls": ["core", "rtpengine"], "REGISTER refresh, by clients": ["edge and core", "Kamailio", "200", "1,000", "2,000"],
    "HTTPS: a request of 1 KiB, by clients": ["edge and core", "two HAProxy"],
    "Relaying a stream: a message, by size": ["A, kernel TLS by pipe", "C, OpenSSL"], "Relaying a stream: a MiB, by size of writes": ["C, OpenSSL"],
    "Memory of an idle client, by clients": ["rung C, OpenSSL", "rung A, kernel TLS", "must, rung C", "aim, rung A"],
    "A connection accepted": ["sallyport's loop", "epoll"]}.items():
    for word in series:
        assert word in words(plots[title]), (title, word, words(plots[title]))
media = plots["Media relay: a packet, by flows"]
assert "relay on tc" not in words(media) and "odd" not in words(plots["A connection accepted"])
assert len(media.findall(ns + "polyline")) == 2 and count(media, "err") == 9  # a bar and two caps a point that has a spread
assert any("relay on XDP, 1: 500 ns (476 to 526)" == t.text for t in media.iter(ns + "title"))
chart = plots["Every target on one scale"]
assert sum(w.endswith(", misses") for w in words(chart)) == 4 and words(chart).count("not measured") == 3
assert [page.count(f'<span class="verdict {k}">{w}</span>') for k, w in (("aim", "meets the aim"), ("must", "meets the must"), ("missed", "MISSES the must"))] == [4, 3, 4]
assert page.count("no target") == 0 and page.count(">not measured</span>") == 7
assert "A quick run" not in page and "A busy machine" not in page
assert all(w in bench_report.page(dict(data, quick=True, load_average=[3, 2, 1])) for w in ("A quick run", "A busy machine", "was 3.0 before"))

table = subprocess.run([top + "/tools/bench_report.py", "--table", tmp + "/bench.json"], stdout=subprocess.PIPE, check=True).stdout.decode()
assert "| SRTP relay on XDP, 1 flow | bare XDP redirect | 0.700 – 0.910 – 0.950× | ≥ 0.8× | ≥ 0.9× | meets the aim |" in table, table
assert '| not measured (failed: exit status 1: <b>"evil" & \\| more</b>) |' in table and "commit 0123456789ab" in table and "`sudo tools/bench all`" in table

# No figures at all, and no bench.json.
nothing = bench_report.page(dict(data, runs=[dict(r, status="failed", result=None, reason="x") for r in runs]))
assert nothing.count("<svg") == 1 and nothing.count(">not measured</span>") == len(bench_report.TARGETS)
assert [bench_plot.number(v) for v in (0, 0.0333, 0.9351, 1.005, 12.34, 99.96, 12345)] == ["0", "0.033", "0.935", "1.00", "12.3", "100", "12,300"]
with open(tmp + "/other.json", "w") as f:
    f.write("{}")
for bad in "/other.json", "/absent.json":
    assert subprocess.run([top + "/tools/bench_report.py", tmp + bad], stderr=subprocess.PIPE).returncode == 1

# The runner, over a tools/bench of our own.
fake = tmp + "/tree"
os.makedirs(fake + "/tools")
with open(fake + "/Makefile", "w") as f:
    f.write(f"{' '.join(bench_all.TARGETS)}: ;\n.PHONY: {' '.join(bench_all.TARGETS)}\n")
with open(fake + "/tools/bench", "w") as f:
    f.write(r"""#!/bin/bash
case $1 in
uring) echo "bench: round 1 of 1" >&2; echo '{"us_per_op": {}}' ;;
ktls) echo "SKIP: no foo here"; exit 77 ;;
flows) echo "FAIL: line 3: cmd"; echo "FAIL: the edge: no"; exit 1 ;;
xmpp) echo "bench: lost 3 %" >&2; echo "bench: Protocol error" >&2; exit 1 ;;
https) echo '{"failed": 1}'; exit 1 ;;
calls) echo nonsense ;;
media) trap 'echo >cleaned; exit 130' INT; (trap "" INT; echo $BASHPID >child; exec sleep 60) & echo >began; wait ;;
esac
""")
os.chmod(fake + "/tools/bench", 0o755)
bench_all.TOP = fake
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background has it ignored, and its children could not trap it
results = {}
for options, limit in (("uring -q", 9), ("ktls", 9), ("flows", 9), ("xmpp", 9), ("https", 9), ("calls", 9)):
    row = bench_all.run(options.split()[0], options, limit)
    results[row["name"]] = (row["status"], row["reason"], row["result"])
assert bench_all.run("flows", "flows", 9)["said"] == ["FAIL: line 3: cmd", "FAIL: the edge: no"] and "said" not in bench_all.run("uring", "uring", 9)
assert results == {
    "uring": ("ok", None, {"us_per_op": {}}), "ktls": ("impossible", "no foo here", None), "flows": ("failed", "the edge: no", None),
    "xmpp": ("failed", "exit status 1: lost 3 %; Protocol error", None), "calls": ("failed", "its output is no JSON object", None),
    "https": ("failed", "exit status 1: {\"failed\": 1}", {"failed": 1})}, results
bench_all.GRACE_S = 0.5  # the child that takes no SIGINT is killed then


def gone():
    """The fake bench's child: nothing, or a zombie that nobody has collected yet."""
    for _ in range(200):
        try:
            with open(f"/proc/{open(fake + '/child').read().strip()}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False




class Began(subprocess.Popen):
    """The time of a bench runs from when it has set its traps, however busy this machine is."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        while not began() and self.poll() is None:
            time.sleep(0.02)


began = lambda: all(os.path.exists(f"{fake}/{f}") and os.path.getsize(f"{fake}/{f}") for f in ("began", "child"))
plain, subprocess.Popen = subprocess.Popen, Began
row = bench_all.run("media", "media", 0.05)
subprocess.Popen = plain
assert row["status"] == "failed" and row["reason"] == "not done after 0.05 s" and os.path.exists(fake + "/cleaned") and gone()

start = f"import sys; sys.path.insert(0, {top + '/tools'!r}); import bench_all; bench_all.TOP = {fake!r}; bench_all.GRACE_S = 0.5; sys.exit(bench_all.main(sys.argv[1:]))"
main = lambda *names: [sys.executable, "-c", start, "-o", tmp + "/out", *names]
done = subprocess.run(main("uring", "ktls"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
assert done.returncode == 0 and b"| what |" in done.stdout and os.path.exists(tmp + "/out/report.html"), done
written = json.load(open(tmp + "/out/bench.json"))
assert [r["status"] for r in written["runs"]] == ["impossible"] * 4 + ["ok"] and written["host"]["kernel"] == os.uname().release
assert written["runs"][1]["command"] == "tools/bench ktls -j -m 200 -w 200"
start = start.replace("sys.exit", "bench_all.peers = dict; sys.exit")  # seen above, and slow
assert subprocess.run(main("flows", "uring"), stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode == 1
try:
    raise AssertionError(bench_all.chosen(["nosuch"], False))
except SystemExit as why:
    assert "no bench nosuch; there are: media-xdp" in str(why)
for f in "began", "child", "cleaned":
    os.unlink(f"{fake}/{f}")
proc = subprocess.Popen(main("media", "uring"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
while not began() and proc.poll() is None:
    time.sleep(0.02)
proc.send_signal(signal.SIGINT)
proc.communicate()
assert proc.returncode == 130 and os.path.exists(fake + "/cleaned") and gone()
assert [(r["name"], r["status"]) for r in json.load(open(tmp + "/out/bench.json"))["runs"]] == [("media-xdp", "interrupted")]
PY
echo "bench report: page, table, verdicts and runner as they should be"
