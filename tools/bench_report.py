#!/usr/bin/env python3
"""tools/bench_report.py [--table] [-o FILE] bench.json -- what tools/bench all measured: report.html beside it, or a Markdown table.

In: bench.json (its shape: bench_all.py). Out: one HTML file that asks for nothing outside and runs no script, or with --table the ratios on
stdout. A figure is a median over the rounds of its bench; its spread is that bench's min and max: under "spread" at the same path as the
median, or in the figure's own place. What a bench did not deliver is said with its reason, and is never a zero."""
import argparse
import html
import json
import os
import sys
from typing import NamedTuple, Optional

sys.dont_write_bytecode = True  # beside the sources
from bench_plot import Bar, Goal, Mark, Series, Spread, bars, goals, lines, number


class Target(NamedTuple):
    what: str
    of: str  # what it is held against, or the unit of an absolute figure
    run: str
    path: tuple
    must: Optional[float]  # None: measured, but no target
    aim: Optional[float]
    more: bool = True  # is better
    unit: str = "×"


# The project's targets, each where its figure is. 2 cores, namespaces and veth, both sides in one run.
TARGETS = [
    Target("SRTP relay on XDP, 1 flow", "bare XDP redirect", "media-xdp", ("bare_ratio", "1"), 0.8, 0.9),
    Target("SRTP relay on XDP, 1,000 flows", "bare XDP redirect", "media-xdp", ("bare_ratio", "1000"), 0.8, 0.9),
    Target("SRTP relay on XDP, 100,000 flows", "bare XDP redirect", "media-xdp", ("bare_ratio", "100000"), 0.65, 0.8),
    Target("SRTP relay on XDP, 1,000 flows", "rtpengine, bridging SRTP", "media-xdp", ("rtpengine_ratio",), 10, 25),
    Target("SRTP relay on tc, 1,000 flows", "rtpengine, bridging SRTP", "media-tc", ("rtpengine_ratio",), None, None),
    Target("SRTP relay on sockets, 1,000 flows", "rtpengine, bridging SRTP", "media-user", ("rtpengine_ratio",), None, None),
    Target("SRTP ↔ RTP by the core, 1,000 calls", "rtpengine", "core", ("rtpengine_ratio",), 1.3, 2),
    Target("Flow set up and freed", "edge and core", "flows", ("us_per_flow",), 100, 50, False, "µs CPU"),
    Target("REGISTER refreshes over TLS", "Kamailio as a TLS proxy", "register", ("kamailio_ratio", "refresh"), 1, 2),
    Target("New TLS connection, REGISTER", "Kamailio as a TLS proxy", "register", ("kamailio_ratio", "connect"), 1, 1.5),
    Target("Calls with anchored media", "edge and core", "calls", ("calls_per_cpu_s",), 500, 1000, True, "per CPU-s"),
    Target("Calls with anchored media", "Kamailio with rtpengine", "calls", ("kamailio_rtpengine_ratio",), None, None),
    Target("HTTPS, 1 KiB, 10 connections", "HAProxy chained twice", "https", ("haproxy_ratio", "1k_10"), 1, 1.5),
    Target("HTTPS, 1 KiB, 100 connections", "HAProxy chained twice", "https", ("haproxy_ratio", "1k_100"), 1, 1.5),
    Target("HTTPS, 64 KiB, 10 connections", "HAProxy chained twice", "https", ("haproxy_ratio", "64k_10"), None, None),
    Target("HTTPS, 1 MiB, 10 connections", "HAProxy chained twice", "https", ("haproxy_ratio", "1m_10"), 1, 1.5),
    Target("Idle client, TLS in user space", "edge and core, rung C", "memory", ("kib", "C"), 56, 40, False, "KiB"),
    Target("Idle client, TLS in the kernel", "edge and core, rung A", "memory", ("kib", "A"), 4, 2, False, "KiB"),
]
WORDS = {"aim": "meets the aim", "must": "meets the must", "missed": "MISSES the must", "none": "not measured", "plain": "no target"}


class Row(NamedTuple):
    target: Target
    value: Optional[Spread]
    css: str  # a key of WORDS
    why: str  # of what was not measured


# ---- figures out of results ----


def at(tree, *path):
    for key in path:
        tree = tree.get(str(key)) if isinstance(tree, dict) else None
    return tree


def spread(result, *path):
    """The figure at @path, with its spread if the bench gave one; None if there is no figure."""
    own = at(result, *path)
    if isinstance(own, dict):
        side = own
    elif isinstance(own, (int, float)) and not isinstance(own, bool):
        side = at(result, "spread", *path) or {"min": own, "median": own, "max": own}
    else:
        return None
    three = [side.get(k) for k in ("min", "median", "max")]
    return Spread(*three) if all(isinstance(v, (int, float)) for v in three) else None


def memory_kib(result, rung):
    """Rung A: the dearer of one by one and at once; what is not yet given back to the system is not it."""
    rows = [r["kib"] for r in (result or {}).get("rows", []) if r["rung"] == rung and "untrimmed" not in r["came"]]
    return Spread(max(rows), max(rows), max(rows)) if rows else None


class Report:
    def __init__(self, data):
        if data.get("report") != 1:
            raise SystemExit("bench_report: this is no bench.json of tools/bench all (\"report\": 1 is wanted)")
        self.data = data
        self.runs = {row["name"]: row for row in data["runs"]}

    def result(self, name):
        return (self.runs.get(name) or {}).get("result")

    def why_not(self, name):
        row = self.runs.get(name)
        if not row:
            return "not run"
        if row["status"] == "ok":
            return "not delivered"
        return f"{row['status']}: {row['reason']}"

    def row(self, t):
        result = self.result(t.run)
        if t.path[0] == "kib":
            value = memory_kib(result, t.path[1])
            if not value and result and t.path[1] == "A":
                return Row(t, None, "none", "this kernel has no TLS (no tls module)")
        else:
            value = spread(result, *t.path)
        if not value:
            return Row(t, None, "none", self.why_not(t.run))
        if t.must is None:
            return Row(t, value, "plain", "")
        good = (lambda bound: value.median >= bound) if t.more else (lambda bound: value.median <= bound)
        css = "aim" if good(t.aim) else "must" if good(t.must) else "missed"
        failed = self.runs[t.run]["status"] != "ok"
        return Row(t, value, css, self.why_not(t.run) if failed else "")

    def rows(self):
        return [self.row(t) for t in TARGETS]

    def series(self, name, role, run, path, f=lambda v: v):
        """A line over the keys, which are numbers, of what is at @path."""
        keys = sorted((at(self.result(run), *path) or {}), key=float)
        points = [(float(k), spread(self.result(run), *path, k)) for k in keys]
        return Series(name, role, [(x, p.map(f)) for x, p in points if p])


def shown(value, unit):
    if value.min == value.max:
        return f"{number(value.median)}{'' if unit == '×' else ' '}{unit}"
    return f"{number(value.min)} – {number(value.median)} – {number(value.max)}{'' if unit == '×' else ' '}{unit}"


def bound(t, v):
    return "–" if v is None else f"{'≥' if t.more else '≤'} {v:,g}{'×' if t.unit == '×' else ''}"


# ---- plots ----


def ns(pps):
    return 1e9 / pps


def plot_flows(r):
    series = [
        r.series("bare redirect (limit)", "limit", "media-xdp", ("bare_pps_per_cpu_s",), ns),
        r.series("relay on XDP", "ours", "media-xdp", ("pps_per_cpu_s",), ns),
        r.series("relay on tc", "ours2", "media-tc", ("pps_per_cpu_s",), ns),
        r.series("relay on sockets", "ours3", "media-user", ("pps_per_cpu_s",), ns),
    ]
    peer = spread(r.result("media-xdp"), "rtpengine_pps_per_cpu_s")
    series.append(Series("rtpengine", "peer", [(1000.0, peer.map(ns))] if peer else []))
    if any(s.points for s in series):
        return lines("Media relay: a packet, by flows", series, "flows, in random order", "ns of CPU a packet", "ns")


def plot_core(r):
    runs = [(c, r.result(n)) for c, n in ((10, "core-10"), (100, "core-100"), (1000, "core"))]
    series = [Series(name, role, [(c, p.map(ns)) for c, d in runs for p in [spread(d, key)] if p])
              for name, role, key in (("core", "ours", "pps_per_cpu_s"), ("rtpengine", "peer", "rtpengine_pps_per_cpu_s"))]
    joined = spread(r.result("core-joined"), "pps_per_cpu_s")
    series.append(Series("core, outside to outside", "ours2", [(1000, joined.map(ns))] if joined else []))
    if any(s.points for s in series):
        return lines("SRTP ↔ RTP: a packet, by calls", series, "calls", "ns of CPU a packet", "ns")


def plot_register(r):
    found = {}
    for name in ("register-1000", "register"):  # the latter's own figure last
        d = r.result(name)
        found.update((int(n), d) for n in at(d, "per_cpu_s_by_connections") or {})
    series = [Series(name, role, [(n, p.map(lambda v: 1e6 / v)) for n, d in sorted(found.items())
                                  for p in [spread(d, "per_cpu_s_by_connections", n, key)] if p])
              for name, role, key in (("edge and core", "ours", "sallyport"), ("Kamailio", "peer", "kamailio"))]
    if any(s.points for s in series):
        return lines("REGISTER refresh, by clients", series, "clients connected by TLS", "µs of CPU a refresh", "µs")


def https_series(r, cases):
    d = r.result("https")
    figure = lambda case, key: spread(d, "requests_per_cpu_s", case, key)
    return [Series(name, role, [(x, figure(case, key).map(lambda v: 1e6 / v)) for x, case in cases if figure(case, key)])
            for name, role, key in (("edge and core", "ours", "sallyport"), ("two HAProxy", "peer", "haproxy"))]


def plot_https_clients(r):
    series = https_series(r, ((10, "1k_10"), (100, "1k_100")))
    if any(s.points for s in series):
        return lines("HTTPS: a request of 1 KiB, by clients", series, "connections", "µs of CPU a request", "µs")


def plot_https_size(r):
    series = https_series(r, ((1, "1k_10"), (64, "64k_10"), (1024, "1m_10")))
    if any(s.points for s in series):
        return lines("HTTPS: a request, by size", series, "KiB of body, 10 connections", "µs of CPU a request", "µs")


LANES = {"A by pipe": ("A, kernel TLS by pipe", "ours"), "A by copy": ("A, kernel TLS by copy", "ours2"),
         "B": ("B, kernel TLS to send", "ours3"), "C": ("C, OpenSSL", "peer")}


def ktls_series(r, of, size_key):
    found = {}
    for name in ("ktls", "ktls-200", "ktls-1500", "ktls-16384"):
        d = r.result(name) or {}
        for row in d.get("rows", []):
            if row["of"] == of:
                found.setdefault(row["lane"], {}).setdefault(d[size_key], Spread(**row["us"]))
    return [Series(*LANES.get(lane, (lane, "peer2")), sorted(points.items())) for lane, points in found.items()]


def plot_ktls_message(r):
    series = ktls_series(r, "message", "message_bytes")
    if series:
        return lines("Relaying a stream: a message, by size", series, "bytes there and back", "µs of CPU a message", "µs")


def plot_ktls_bulk(r):
    series = ktls_series(r, "mib", "write_bytes")
    if series:
        return lines("Relaying a stream: a MiB, by size of writes", series, "bytes of a write", "µs of CPU a MiB", "µs")


def bars_of(d, *entries):
    """Of (name, role, path...) those that there are."""
    return [Bar(name, role, p) for name, role, *path in entries for p in [spread(d, *path)] if p]


def marks_of(run, *path, name=""):
    """The bounds that TARGETS has for a figure."""
    return [Mark(kind + name, kind, getattr(t, kind)) for t in TARGETS if t.run == run and t.path == path for kind in ("must", "aim")]


def plot_set_up(r):
    rows = bars_of(r.result("flows"), ("RTP and RTCP on one flow", "ours", "us_per_flow"), ("RTP and RTCP on two", "ours", "us_per_flow_with_rtcp"))
    if rows:
        return bars("A media flow set up and freed", rows, "µs", "µs of CPU a flow, edge and core", marks_of("flows", "us_per_flow"))


def plot_calls(r):
    rows = bars_of(r.result("calls"), ("edge and core", "ours", "calls_per_cpu_s"),
                   ("Kamailio with rtpengine", "peer", "kamailio_rtpengine_per_cpu_s"))
    if rows:
        return bars("Calls with anchored media", rows, "", "calls a CPU-second (more is better)", marks_of("calls", "calls_per_cpu_s"))


def plot_connect(r):
    rows = bars_of(r.result("register"), ("edge and core", "ours", "per_cpu_s", "connect", "sallyport"),
                   ("Kamailio", "peer", "per_cpu_s", "connect", "kamailio"))
    if rows:
        return bars("New TLS connections with REGISTER", rows, "", "connections a CPU-second (more is better)")


def plot_memory(r):
    found = {}
    for name in ("memory", "memory-200"):
        d = r.result(name) or {}
        for rung in "C", "A":
            p = memory_kib(d, rung)
            if p:
                found.setdefault(rung, {})[float(d["clients"])] = p
    names = {"C": ("rung C, OpenSSL", "ours"), "A": ("rung A, kernel TLS", "ours2")}
    series = [Series(*names[rung], sorted(points.items())) for rung, points in found.items()]
    marks = [m for rung in found for m in marks_of("memory", "kib", rung, name=f", rung {rung}")]
    if series:
        return lines("Memory of an idle client, by clients", series, "registered clients", "KiB of user space a client, edge and core", "KiB",
                     marks)


def plot_chat(r):
    found = [d for d in (r.result("xmpp-1000"), r.result("xmpp")) if d]
    series = [Series(of, role, sorted((float(d["clients"]), p) for d in found for p in [spread(d, of, "kib_a_stream")] if p))
              for of, role in (("edge", "ours"), ("core", "ours2"))]
    if any(s.points for s in series):
        return lines("Memory of an idle chat client, by clients", series, "chat clients", "KiB of user space a client", "KiB")


def plot_chat_way(r):
    rows = bars_of(at(r.result("xmpp"), "round_trip"), ("through the pair, median", "ours", "pair", "p50_us"),
                   ("straight to the server, median", "limit", "direct", "p50_us"), ("through the pair, 99th percentile", "ours", "pair", "p99_us"),
                   ("straight, 99th percentile", "limit", "direct", "p99_us"))
    if rows:
        return bars("A chat message there and back", rows, "µs", "µs")


def plot_uring(kind, title, unit):
    def plot(r):
        of = at(r.result("uring"), "us_per_op", kind) or {}
        names = {"loop": "sallyport's loop"}
        rows = [Bar(names.get(lane, lane), "ours" if lane == "loop" else "peer", p) for lane in of for p in [spread(of, lane)] if p]
        if rows:
            return bars(title, rows, "µs", f"µs of CPU {unit}")

    return plot


PLOTS = [
    ("Media", ["media-xdp", "media-tc", "media-user", "core", "flows"], [plot_flows, plot_core, plot_set_up]),
    ("Signalling", ["register", "calls"], [plot_register, plot_connect, plot_calls]),
    ("Web and streams", ["https", "ktls"], [plot_https_clients, plot_https_size, plot_ktls_message, plot_ktls_bulk]),
    ("Memory and chat", ["memory", "xmpp"], [plot_memory, plot_chat, plot_chat_way]),
    ("The event loop on this kernel", ["uring"], [plot_uring("accept", "A connection accepted", "a connection"),
                                                  plot_uring("echo", "64 bytes echoed", "an echo"),
                                                  plot_uring("timers", "A timer set and run out", "a timer")]),
]


def chart_goals(rows):
    out = []
    for row in (row for row in rows if row.target.must is not None):
        t = row.target
        times = (lambda v, t=t: v / t.must) if t.more else (lambda v, t=t: t.must / v)
        name = "1,000 flows, against rtpengine" if t.path == ("rtpengine_ratio",) and t.run.startswith("media") else t.what
        figure = f"{number(row.value.median)}{'' if t.unit == '×' else ' '}{t.unit}" if row.value else ""
        out.append(Goal(name, row.value and row.value.map(times), times(t.aim), row.css, WORDS[row.css], figure))
    return goals("Every target on one scale", out)


# ---- the page and the table ----

QUIET_LOAD = 0.5  # what an idle machine's load average may be


def notes(data):
    """What has to be said before any figure."""
    if data["quick"]:
        yield "A quick run", "one short round of each bench. It shows that all is there; its figures are not to be quoted."
    if data["load_average"][0] > QUIET_LOAD:
        yield "A busy machine", f"its load average was {data['load_average'][0]:.1f} before the first bench; figures suffer by it."


def e(text):
    return html.escape(str(text), quote=True)


def facts(data):
    h, s = data["host"], data["sallyport"]
    commit = f", commit {s['commit']}{' with changes' if s['modified'] else ''}" if s["commit"] else ""
    return [
        ("sallyport", f"{s['version'] or 'unknown'}{commit}"),
        ("Began", f"{data['began'].replace('T', ' ').replace('Z', ' UTC')}, took {data['duration_s'] / 60:.0f} min"),
        ("Processor", f"{h['cpu']}, {h['cores']} cores{', virtual machine' if h['virtual'] else ''}"),
        ("System", f"Linux {h['kernel']}, {h['system']}, {h['memory_mib'] / 1024:.1f} GiB"),
        ("Peers", ", ".join(f"{name} {version}" for name, version in data["peers"].items()) or "none found"),
    ]


def table_head(*names):
    numbers = ("Measured", "Must", "Aim", "Seconds", "Load")
    return ('<table class="stack"><thead><tr>'
            + "".join(f'<th scope="col" class="{"n" if n.startswith(numbers) else ""}">{n}</th>' for n in names) + "</tr></thead><tbody>")


def table_html(rows):
    out = [table_head("What", "Against", "Measured: min – median – max", "Must", "Aim", "Verdict")]
    for row in rows:
        t = row.target
        cells = [("Against", "", e(t.of)), ("Measured", "n", e(shown(row.value, t.unit)) if row.value else "–"),
                 ("Must", "n", e(bound(t, t.must))), ("Aim", "n", e(bound(t, t.aim)))]
        why = f'<small>{e(row.why)}</small>' if row.why else ""
        out.append(f'<tr><th scope="row">{e(t.what)}</th>' + "".join(f'<td data-of="{k}" class="{c}">{v}</td>' for k, c, v in cells)
                   + f'<td data-of="Verdict"><span class="verdict {row.css}">{WORDS[row.css]}</span>{why}</td></tr>')
    return "".join(out) + "</tbody></table>"


def runs_html(data):
    out = [table_head("Command", "Ended", "Seconds", "Load before")]
    for row in data["runs"]:
        css = {"ok": "aim", "impossible": "none"}.get(row["status"], "missed")
        why = f'<small>{e(row["reason"])}</small>' if row["reason"] else ""
        out.append(f'<tr><th scope="row"><code>{e(row["command"])}</code></th>'
                   f'<td data-of="Ended"><span class="verdict {css}">{e(row["status"])}</span>{why}</td>'
                   f'<td data-of="Seconds" class="n">{row["duration_s"]:.0f}</td><td data-of="Load before" class="n">'
                   f'{row["load_average"][0]:.2f}</td></tr>')
    return "".join(out) + "</tbody></table>"


def sections_html(report):
    out = []
    for title, runs, plots in PLOTS:
        drawn = [svg for svg in (plot(report) for plot in plots) if svg]
        missing = sorted({f"{e(n)}: {e(report.why_not(n))}" for n in runs if not report.result(n)})
        out.append(f"<section><h2>{e(title)}</h2>")
        if missing:
            out.append(f'<p class="missing">No figures of {"; ".join(missing)}</p>')
        title_of = lambda svg: svg.split("<title>", 1)[1].split("</title>", 1)[0]
        cards = "".join(f"<figure><figcaption>{title_of(svg)}</figcaption>{svg}</figure>" for svg in drawn)
        out.append(f'<div class="plots">{cards}</div></section>')
    return "".join(out)


def page(data):
    report = Report(data)
    rows = report.rows()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench_report.css"), encoding="utf-8") as f:
        css = f.read()
    count = {k: sum(row.css == k for row in rows) for k in WORDS}
    tiles = "".join(f'<li class="{k}"><b>{count[k]}</b> {w}</li>' for k, w in (("aim", "meet the aim"), ("must", "meet the must"),
                                                                          ("missed", "miss the must"), ("none", "not measured")))
    said = "".join(f'<p class="note"><strong>{e(what)}</strong>: {e(why)}</p>' for what, why in notes(data))
    lists = "".join(f"<div><dt>{e(k)}</dt><dd>{e(v)}</dd></div>" for k, v in facts(data))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>sallyport: what it costs</title>
<style>{css}</style></head><body>
<header><h1>sallyport: what it costs</h1>{said}<dl>{lists}</dl></header>
<main><section><h2>Against the targets</h2><ul class="tiles">{tiles}</ul>
<div class="targets"><figure><figcaption>Every target on one scale</figcaption>{chart_goals(rows)}</figure>{table_html(rows)}</div>
<p class="quiet">A verdict is the median's. Edge and core count together where both work; a peer is measured in the same run, in turn with
sallyport. × is sallyport's work a CPU-second as a multiple of the peer's.</p></section>
{sections_html(report)}
<section><h2>Runs</h2>{runs_html(data)}
<p class="quiet">Error bars are the lowest and the highest round, points and bars the median. Less is better where a cost is drawn.
Made by <code>tools/bench all{" -q" if data["quick"] else ""}</code>; the same figures are in <code>bench.json</code>.</p></section></main>
</body></html>
"""


def table(data):
    """Markdown, for a README: what, against what, figures, bounds, verdict; and where and how it was measured."""
    out = ["| what | against | min – median – max | must | aim | verdict |", "|---|---|---|---|---|---|"]
    for row in Report(data).rows():
        t, verdict = row.target, WORDS[row.css]
        if row.css == "plain":
            verdict = "–"
        elif row.why:
            verdict += f" ({row.why})"
        cells = [t.what, t.of, shown(row.value, t.unit) if row.value else "–", bound(t, t.must), bound(t, t.aim), verdict]
        out.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    where = dict(facts(data))
    said = "; ".join(where[k] for k in ("sallyport", "Began", "Processor", "System", "Peers"))
    out += ["", f"`sudo tools/bench all{' -q' if data['quick'] else ''}`: {said}."]
    out += [f"{what}: {why}" for what, why in notes(data)]
    return "\n".join(out)


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError) as why:
        raise SystemExit(f"bench_report: {path}: {why}") from None


def make(path, out=None):
    """report.html of a bench.json; returns its path."""
    out = out or os.path.join(os.path.dirname(path) or ".", "report.html")
    text = page(load(path))
    with open(out, "w", encoding="utf-8") as f:
        f.write(text)
    return out


def main(argv):
    p = argparse.ArgumentParser(prog="tools/bench_report.py",
                                description="report.html of a bench.json of tools/bench all, or its ratios as Markdown.")
    p.add_argument("--table", action="store_true", help="print the ratios as a Markdown table, write nothing")
    p.add_argument("-o", metavar="FILE", help="the page (report.html beside the JSON)")
    p.add_argument("json", metavar="bench.json")
    o = p.parse_args(argv)
    print(table(load(o.json)) if o.table else make(o.json, o.o))


if __name__ == "__main__":
    main(sys.argv[1:])
