#!/bin/bash
# t_metrics.sh -- the admin port of both nodes: numbers equal those of sallyctl, metrics that Debian's parser takes, who is refused; it outlives a worker
#
#	203.0.113.50 alice ---tls-- edge (dmz, 127.0.0.1:9061) ==link== core (inside, 127.0.0.1:9062) ---- bob 10.20.0.40
#
# One call with media. What both parsers of python3-prometheus-client refuse, fails; so does promtool, where it is installed.
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
export PATH=/usr/bin:$PATH # the python3 that Debian packages its modules for
python3 -c 'import prometheus_client.openmetrics.parser' 2>/dev/null || skip "no python3-prometheus-client (tools/deps test)"
net_up
kamailio_up

"$B/sallyctl" metrics --doc >"$RUN/doc"
grep '^|' "$TOP/tools/metrics.md" | cmp - "$RUN/doc" || fail "tools/metrics.md is not what sallyctl metrics --doc says"

export EDGE_MORE='admin_http: 127.0.0.1' CORE_MORE='admin_http: "127.0.0.1:9062"'
pair_up
for a in 0.0.0.0:9061 "$EDGE_OUT:9061" 9061; do
	sed "s/^admin_http:.*/admin_http: \"$a\"/" "$RUN/edge.yaml" >"$RUN/bad.yaml"
	! "$B/sallyport-edge" -n -c "$RUN/bad.yaml" >"$RUN/out" 2>&1 || fail "admin_http: $a is accepted"
	grep -q 'bad.yaml:[0-9]*: admin_http: ' "$RUN/out" || fail "$a: $(cat "$RUN/out")"
done
! ns inet curl -s -m 2 "http://$EDGE_OUT:9061/" || fail "the port answers on the public address"

script <<'PY'
import http.client, shutil
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as plain

PORTS = {"edge": ("dmz", 9061), "core": ("in", 9062)}


def raw(node, data):
    ns, port = PORTS[node]
    with in_ns(ns):
        s = socket.create_connection(("127.0.0.1", port), 5)
    s.sendall(data)
    return s


def get(node, path, method="GET", **headers):
    ns, port = PORTS[node]
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with in_ns(ns):
        c.connect()
    c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    return r, r.read()


def nodes(node):
    return {n["role"]: n for n in json.loads(get(node, "/v1/nodes")[1])["nodes"]}


def samples(node):
    """Both forms, judged by the parsers: {(name, labels): value} of the newer one."""
    r, body = get(node, "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    check(r.getheader("Content-Type").startswith("application/openmetrics-text; version=1.0.0"), r.getheader("Content-Type"))
    check(body.endswith(b"# EOF\n"), body[-80:])
    new = {(s.name, tuple(sorted(s.labels.items()))): s.value
           for f in openmetrics.text_string_to_metric_families(body.decode()) for s in f.samples}
    r, old = get(node, "/metrics", Accept="text/plain")
    check(r.getheader("Content-Type").startswith("text/plain; version=0.0.4") and b"EOF" not in old, r.getheader("Content-Type"))
    n = sum(len(f.samples) for f in plain.text_string_to_metric_families(old.decode()))
    check(n == len(new) > 60, f"{n} samples in one form, {len(new)} in the other")
    if shutil.which("promtool"):
        p = subprocess.run(["promtool", "check", "metrics"], input=old, capture_output=True)
        check(p.returncode == 0, p.stdout.decode() + p.stderr.decode())
    return new


def one(s, name, **labels):
    got = [v for (n, l), v in s.items() if n == name and labels.items() <= dict(l).items()]
    check(len(got) == 1, f"{name} {labels}: {got}")
    return got[0]


EDGE_NAME, CORE_NAME = "edge." + DOMAIN, "core." + DOMAIN
a, b = outside(), inside()
call = Call(a, b)
x, y = call.media(1.5)
wait_until(5, "packets both ways", lambda: [f for f in flows() if f["packets_in"] > 10 and f["packets_out"] > 10])

n = nodes("edge")["edge"]
rows = flows()
check(n["flows"] == {"xdp": sum(f["rung"] == "xdp-native" for f in rows), "tc": 0, "user": 0, "terminated": 0} and n["flows"]["xdp"] == len(rows) > 0,
      f"flows by rung: {n['flows']} {rows}")
n = nodes("core")["core"]
check(n["calls"] == {"now": 1, "peak": 1, "total": admin("core", "status")["counters"]["calls_total"]} and len(admin("core", "calls")) == 1, f"calls: {n['calls']}")
check(n["registrations"] == {"now": 1, "peak": 1} and len(admin("core", "regs")) == 1, f"registrations: {n['registrations']}")
check(n["flows"]["terminated"] == len(admin("core", "flows")) > 0, f"flows: {n['flows']}")
s = samples("core")
check(one(s, "sallyport_calls", node=CORE_NAME) == 1 and one(s, "sallyport_registrations", node=CORE_NAME) == 1, "metrics of the call")
step("a call: calls, registrations, flows as sallyctl has them")

q = [f["quality"][w] for f in flows() for w in ("in", "out") if f["quality"][w]]
wait_until(3, "jitter of the call", lambda: nodes("edge")["edge"]["media"].get("jitter_ms_max", -1) >= 0)
m = nodes("edge")["edge"]["media"]
check(len(q) == 2 and m["lost"] == sum(i["lost"] for i in q) == 0 and m["jitter_ms_p50"] <= m["jitter_ms_max"] + 0.1, f"quality: {m} {q}")
x, y = x.result(), y.result()
tones(x, y, 1200, 600, 0.5)
sent = y["received"], x["received"]
hangup(call.d, b)
flows_gone()
for role in ("edge", "core"):
    def same():
        mine, other = nodes(role)[role], json.loads(json.dumps(next(n for n in admin(role, "nodes")["nodes"] if n["role"] == role)))
        return {k: v for k, v in mine.items() if k not in ("cpu_s", "uptime_s", "memory_kib", "links")} == \
               {k: v for k, v in other.items() if k not in ("cpu_s", "uptime_s", "memory_kib", "links")}
    wait_until(3, f"{role}: HTTP and sallyctl say the same", same)
    st, n, s = admin(role, "status"), nodes(role)[role], samples(role)
    name = n["name"]
    check(n["media"]["packets_in"] >= sent[0] and n["media"]["packets_out"] >= sent[1], f"{role}: what flows carried that are over: {n['media']} {sent}")
    for way in ("in", "out"):
        check(one(s, "sallyport_media_packets_total", node=name, direction=way) == n["media"]["packets_" + way], f"packets {way}")
    rows = admin(role, "streams")
    check(n["streams"]["total"] == len(rows) == 1 and n["streams"]["admitted"] == sum(r["admitted"] for r in rows) == 1, f"{role}: streams {n['streams']}")
    check(sum(n["rungs"].values()) == 1 and one(s, "sallyport_streams", node=name, service="sip") == 1, f"{role}: {n['rungs']}")
    check({l["peer"]: l["state"] for l in n["links"]} == {EDGE_NAME if role == "core" else CORE_NAME: "up"}, f"{role}: {n['links']}")
    check(one(s, "sallyport_link_up", node=name) == 1, "link up")
    for c in n["certificates"]:
        check(1 <= c["days_left"] <= 3660 and one(s, "sallyport_certificate_not_after_seconds", node=name, what=c["what"]) == c["not_after"], f"{c}")
    check({c["what"] for c in n["certificates"]} == {"sip", "link"}, f"{role}: {n['certificates']}")
    check(n["memory_kib"] > 1000 and n["cpu_s"] > 0, f"{role}: {n}")
    counts = {k: v for (m, l), v in s.items() if m == "sallyport_relay_packets_total" for k in [dict(l)["reason"]]}
    if role == "edge":
        check(counts["forward_in"] == st["xdp"]["forward_in"] > 0 and counts.keys() == st["xdp"].keys(), f"packets by reason: {counts}")
        check(one(s, "sallyport_flows_allocated_total", node=name) == st["media"]["allocated"], "flows allocated")
        end = int(time.time()) + 86400 * [c for c in n["certificates"] if c["what"] == "sip"][0]["days_left"]
        check(0 <= [c for c in n["certificates"] if c["what"] == "sip"][0]["not_after"] - end <= 86401, "days left")
    else:
        check(one(s, "sallyport_calls_started_total") == st["counters"]["calls_total"] > 0, "calls")
        check(one(s, "sallyport_call_server_up", call_server="kamailio") == 1, "call server")
    check(one(s, "sallyport_refusals_total", node=name, reason="malformed" if role == "edge" else "token") == 0, "a reason that never was")
step("afterwards: status, streams, links, certificates, packets: equal; both parsers take them")

# Each node has the other's report.
wait_until(8, "the core's report on the edge", lambda: nodes("edge").get("core", {}).get("calls", {}).get("total") == admin("core", "status")["counters"]["calls_total"])
wait_until(8, "the edge's report on the core", lambda: nodes("core").get("edge", {}).get("media", {}).get("packets_in", 0) >= sent[0])
both = nodes("edge")
check(both["edge"]["age_ms"] == 0 and 0 <= both["core"]["age_ms"] < 15000 and not both["core"]["stale"], f"ages: {both}")
check(one(samples("edge"), "sallyport_calls_peak", node=CORE_NAME) == 1, "metrics of the other node")
check(admin("edge", "status")["node_reports"]["refused"] == 0, "reports refused")
step("each node knows the other")

# Who is refused.
for host, want in ((b"evil.example", 403), (b"127.0.0.1.evil.example:9061", 403), (b"localhost:8000", 200), (b"[::1]:9061", 200), (b"203.0.113.10:9061", 403)):
    r = raw("edge", b"GET /v1/nodes HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").makefile("rb").readline()
    check(int(r.split()[1]) == want, f"Host {host}: {r}")
for data, want in ((b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.0\r\n\r\n", 403), (b"GET /" + b"x" * 10000 + b" HTTP/1.1\r\n", 414),
                   (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
                   (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
                   (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 400)):
    r = raw("edge", data).makefile("rb").readline()
    check(int(r.split()[1]) in (want, 403 if want == 400 else want), f"{data[:60]}: {r}")
r, body = get("edge", "/")
tag = r.getheader("ETag")
check(r.status == 200 and body.startswith(b"<!doctype html>") and r.getheader("Content-Security-Policy").startswith("default-src 'self'"), "the page")
check(r.getheader("X-Content-Type-Options") == "nosniff" and r.getheader("Access-Control-Allow-Origin") is None, "headers")
r, none = get("edge", "/", If_None_Match=tag)
check(r.status == 304 and none == b"", f"by ETag: {r.status}")
r, none = get("edge", "/", method="HEAD")
check(r.status == 200 and none == b"" and int(r.getheader("Content-Length")) == len(body), "HEAD")
check(get("edge", "/../etc/passwd")[0].status == 404, "another path")
step("refused: other hosts, methods, content, a long line")

# Events: one at once, more of them; 16 listen, a 17th does not; those who read nothing hold nothing up.
before = nodes("core")["core"]["memory_kib"]
ask = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
deaf = [raw("core", ask) for _ in range(15)]
live = raw("core", ask).makefile("rb")
check(live.readline().split()[1] == b"200", "events")
wait_until(3, "16 listen", lambda: admin("core", "status")["admin_http"]["listeners"] == 16)
check(raw("core", ask).makefile("rb").readline().split()[1] == b"503", "a 17th")
data = []
while len(data) < 2:
    l = live.readline()
    check(l, "the stream of events ended")
    if l.startswith(b"data: "):
        data.append(json.loads(l[6:]))
check(data[1]["at_ms"] > data[0]["at_ms"] and {n["role"] for n in data[1]["nodes"]} == {"edge", "core"}, f"events: {data}")
for s in deaf:
    s.close()
wait_until(3, "they are gone", lambda: admin("core", "status")["admin_http"]["listeners"] <= 1)
grown = nodes("core")["core"]["memory_kib"] - before
check(grown < 4096, f"memory grew by {grown} KiB")
step(f"events: 16 listeners, {grown} KiB")

# The port and the peaks outlive the worker.
pid = admin("core", "status")["pid"]
os.kill(pid, 9)


def again():
    try:
        n = nodes("core")["core"]
        return n if n["uptime_s"] < 5 and admin("core", "status")["pid"] != pid else None
    except (OSError, http.client.HTTPException):
        return None


n = wait_until(10, "the next worker", again)
check(n["calls"] == {"now": 0, "peak": 1, "total": 0} and n["registrations"]["peak"] == 1, f"after the worker's death: {n}")
step("a new worker: the port answers, peaks are kept")
PY
say "PASS: metrics"
