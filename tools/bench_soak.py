"""tools/bench_soak.py SAMPLES RESULTS SECONDS CLIENTS [JSON] -- the table of `tools/bench soak`, and its judgement.

In: a line of JSON a sample, a line a load process. Out: a table or JSON on stdout, on stderr what was not as it should be; exit 1 then.
The bounds of growth come by the environment (bench_soak)."""
import json
import os
import sys

samples = [json.loads(line) for line in open(sys.argv[1])]
results = {r["of"]: r["result"] for r in map(json.loads, open(sys.argv[2]))}
seconds, clients, as_json = int(sys.argv[3]), int(sys.argv[4]), bool(sys.argv[5:] and sys.argv[5])
by = {s["at"]: s for s in samples}
procs = ["edge_worker", "edge_keeper", "core_worker", "core_keeper"]
percent, kib, fds = (int(os.environ[n]) for n in ("MEM_GROWTH_PERCENT", "MEM_GROWTH_KIB", "FD_GROWTH"))


def failures(loads):
    """Everything that a load process counted and that is not as it should be, by name."""
    bad = {}
    for r in loads:
        c, h = r["calls"], r["hangups"]
        for name, n in [("calls", c["failed"]), ("taken calls", c["taken_failed"]), ("refused", c["refused"]), ("lost connections", r["lost"]),
                        ("registrations", r["setup_failed"]), ("refreshes", r["refresh_failed"]), ("cut short", h["cut_short"]),
                        ("our own sends", r["send_refused"])]:
            bad[name] = bad.get(name, 0) + n
        for m in r["media"].values():
            for name in "lost", "tail", "silent_ends", "doubled", "garbled", "foreign", "stray", "auth_failed", "srtp_refused":
                bad["media " + name] = bad.get("media " + name, 0) + m[name]
    return {k: v for k, v in bad.items() if v}


def row(s):
    loads = [s[k] for k in ("load_u", "load_v", "load_w") if k in s]
    core, edge = s["core"]["counters"], s["edge"]
    out = {"at": s["at"]}
    for p in procs:
        out[p + "_pss_kib"], out[p + "_fds"] = s[p]["pss_kib"], s[p]["fds"]
    out |= {"streams": core["streams"], "registrations": core["registrations"], "calls": core["calls"], "flows": s["flows"],
            "answered": sum(x["calls"]["answered"] for x in loads), "refreshed": sum(x["refreshed"] for x in loads),
            "failed": sum(failures(loads).values())}
    return out


rows = [row(s) for s in samples]
problems = [f"{k}: {v}" for k, v in failures(results.values()).items()]
for name, r in results.items():
    if r["calls"]["placed"] != r["calls"]["answered"] or r["unregistered"] != r["registered"]:
        problems.append(f"load {name}: {r['calls']['placed']} placed, {r['calls']['answered']} answered; "
                        f"{r['registered']} registered, {r['unregistered']} unregistered")
    if r["hangups"]["sent"] != r["hangups"]["answered"]:
        problems.append(f"load {name}: {r['hangups']['sent']} BYEs, {r['hangups']['answered']} answered")
growth = {}
for p in procs:
    a, b = by["middle"][p], by["end"][p]
    growth[p] = {"pss_kib": b["pss_kib"] - a["pss_kib"], "fds": b["fds"] - a["fds"]}
    if a["pid"] != b["pid"]:
        problems.append(f"{p} was replaced: pid {a['pid']}, then {b['pid']}")
    if b["pss_kib"] > a["pss_kib"] * (1 + percent / 100) + kib:
        problems.append(f"{p} grew from {a['pss_kib']} to {b['pss_kib']} KiB between middle and end (bound: {percent} % and {kib} KiB)")
    if b["fds"] > a["fds"] + fds:
        problems.append(f"{p}: {a['fds']} descriptors, then {b['fds']} (bound: {fds} more)")
if by["after"]["flows"] or by["after"]["core"]["counters"]["registrations"] != clients:
    problems.append(f"after the last call: {by['after']['flows']} flows, {by['after']['core']['counters']['registrations']} registrations")
each = {p + "_kib": (by["idle"][p]["pss_kib"] - by["empty"][p]["pss_kib"]) / clients for p in procs}
# Four ends of two connections a client, three of them the daemons'. Slabs: sockets, their inodes and files, armed polls.
each["kernel_kib"] = (by["idle"]["slab"] - by["empty"]["slab"]) * 3 / 4 / 1024 / clients
span = by["end"]["time"] - by["start"]["time"]
cpu = {p: (by["end"][p]["cpu_ns"] - by["start"][p]["cpu_ns"]) / span / 1e7 for p in procs if p.endswith("worker")}
media = [m for r in results.values() for m in r["media"].values()]
totals = {"calls": sum(r["calls"]["answered"] for r in results.values()), "refreshes": sum(r["refreshed"] for r in results.values()),
          "packets": sum(m["received"] for m in media), "early_max": max(m["early_max"] for m in media),
          "longest_gap_ms": max(m["gap_max_ms"] for m in media),
          "answer_p99_ms": max(r["answer_ms"]["p99"] for r in results.values())}
if as_json:
    print(json.dumps({"bench": "soak", "seconds": seconds, "clients": clients, "samples": rows, "growth_middle_to_end": growth, "per_client": each,
                      "cpu_percent": cpu, "totals": totals, "problems": problems}, indent=1))
else:
    head = ["at", *(f"{p.replace('_', ' ')} KiB/fds" for p in procs), "streams", "regs", "calls", "flows", "answered", "refreshed", "failed"]
    table = [head] + [[r["at"], *(f"{r[p + '_pss_kib']}/{r[p + '_fds']}" for p in procs), *(str(r[k]) for k in (
        "streams", "registrations", "calls", "flows", "answered", "refreshed", "failed"))] for r in rows]
    width = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        print("  ".join(v.ljust(w) for v, w in zip(line, width)).rstrip())
    print("memory an idle registered client: " + ", ".join(f"{k[:-4].replace('_', ' ')} {v:.1f} KiB" for k, v in each.items()))
    print("CPU between start and end: " + ", ".join(f"{p.replace('_', ' ')} {v:.1f} %" for p, v in cpu.items()))
    print(f"{totals['calls']} calls, {totals['refreshes']} refreshes, {totals['packets']} packets of media heard and checked; longest gap "
          f"{totals['longest_gap_ms']:.0f} ms, answer p99 {totals['answer_p99_ms']:.1f} ms, at most {totals['early_max']} packets before a latch")
for p in problems:
    print("soak: " + p, file=sys.stderr)
sys.exit(1 if problems else 0)
