#!/bin/bash
# t_rung_user.sh -- media by sockets: without CAP_BPF, without root, edge and core on one host; real phones, kill -9, nothing of BPF
#
#	203.0.113.50 alice --+--tls-- edge (dmz) ==link== core (inside) --+-- Kamailio 10.20.0.30, bob 10.20.0.40
#	then the same with the core in dmz, both on 127.0.0.1
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool setpriv bpftool
need baresip dnsmasq

no_bpf() { # nothing of ours is loaded, attached or pinned
	[ ! -e "/sys/fs/bpf/sallyport" ] || fail "pinned: $(ls -R /sys/fs/bpf/sallyport)"
	! ns dmz ip -d link show | grep -q 'prog/xdp' || fail "an XDP program is attached"
	! ns dmz tc filter show dev d0 ingress 2>/dev/null | grep -q . || fail "a tc filter is attached"
}
phones_talk() {
	phones_up alice bob
	talk alice bob 2
	both_heard alice bob 1
	talk bob alice 2
	both_heard alice bob 1
	wait_for 5 "the flows to end" no_flows
	stop phone-alice
	stop phone-bob
	stop dns
}
# kill_in_call REASON: a call of 12 s; the edge's worker is killed in it. What waits in the sockets is not lost; a packet that the worker had taken out
# and not yet sent at that very instant may be: at most one each way.
kill_in_call() {
	OLD_WORKER=$(worker_of edge) EDGE_KEEPER=$(pid_of edge) REASON=$1
	export OLD_WORKER EDGE_KEEPER REASON
	script <<-'PY'
	import signal


	def row():
	    return flows()[0]


	def packets(r):
	    return sum(v for k, v in r.items() if k.startswith("packets") and isinstance(v, int))


	s = admin("edge", "status")
	check(s["media_rung"] == "user" and E["REASON"] in s["media_pairs"][0]["reason"], s["media_pairs"])
	check(s["next_hops"] == [], s["next_hops"])
	a, b = outside(), inside()
	call = Call(a, b)
	x, y = call.media(12)
	before = wait_until(5, "packets counted", lambda: flows() and packets(row()) > 50 and row())
	check(before["rung"] == "user" and before["state"] == "established", before)
	check(before["latched"].startswith(E["ALICE"]), before)
	why = admin("edge", "why", before["flow"])
	check(why["rung"] == "user" and E["REASON"] in why["reason"], why)
	step(why["reason"])
	n = admin("edge", "status")["xdp"]
	check(n["forward_in"] > 20 and n["forward_out"] > 20 and n["punch"] > 0, n)
	os.kill(int(E["OLD_WORKER"]), signal.SIGKILL)
	step("killed")


	def new_worker():
	    p = subprocess.run(["pgrep", "-P", E["EDGE_KEEPER"]], capture_output=True, text=True).stdout.split()
	    return p and p[0] != E["OLD_WORKER"] and p[0]


	wait_until(5, "a new worker", new_worker)


	def again():
	    try:
	        return admin("edge", "flows") and row()
	    except (OSError, ValueError):
	        return None


	after = wait_until(5, "the new worker's flows", again)
	check(after["flow"] == before["flow"] and after["rung"] == "user", f"the same flow, on sockets: {after}")
	check(after["latched"] == before["latched"] and packets(after) >= packets(before), f"it goes on: {before} {after}")
	check(admin("edge", "status")["xdp"]["forward_in"] >= n["forward_in"], "reasons go on")
	check(a.conn.closed_within(5), "the old connection ended")
	wait_until(10, "the link up again", lambda: admin("core", "status")["links"][0]["state"] == "up"
	           and admin("core", "status")["links"][0]["pool_idle"] > 0)
	a.connect()
	check(a.register(cached=True).status == 200, "registered again")
	rx, ry = x.result(), y.result()
	for name, r in (("outside", rx), ("inside", ry)):
	    step(f"{name}: {r['received']} received, {r['lost']} lost, longest gap {r['max_gap_ms']} ms")
	    check(r["lost"] <= 1 and r["duplicates"] == 0 and r["received"] >= 589, f"{name} lost media: {r}")
	tones(rx, ry, 1200, 600, 10)
	hangup(call.d, b)
	flows_gone()
	PY
}
# start_fails REGEX SED-COMMAND: with that change of its file the edge does not start, and says why.
start_fails() {
	sed "$2" "$RUN/edge.yaml" >"$RUN/bad.yaml"
	! ns dmz "${WITHOUT_BPF[@]}" "$B/sallyport-edge" -c "$RUN/bad.yaml" >"$RUN/log/bad.log" 2>&1 || fail "$2: it started"
	grep -Eq -- "$1" "$RUN/log/bad.log" || fail "$2: $(cat "$RUN/log/bad.log")"
	say "refused: $(sed -n 's/.*reason=//p' "$RUN/log/bad.log")"
}

net_up
kamailio_up
say "== no CAP_BPF: auto takes sockets, and says what is missing"
WITHOUT_BPF=(setpriv "--bounding-set=-bpf,-perfmon,-sys_admin,-net_admin")
edge_up() {
	edge_config
	start edge dmz "${WITHOUT_BPF[@]}" "$B/sallyport-edge" -c "$RUN/edge.yaml"
	wait_for 10 "the edge's SIP listener" tcp_bound dmz "$EDGE_OUT:5061"
	wait_for 10 "the edge's link listener" tcp_bound dmz "$EDGE_IN:7001"
}
pair_up
grep -q 'event=media-rung rung=user sockets=4000 reason=' "$RUN/log/edge.log" || fail "the rung is not in the log"
[[ $(ns dmz cat /proc/sys/net/ipv4/ip_local_reserved_ports) == 36000-37999 ]] || fail "ports not reserved"
no_bpf
[ "$(cat /proc/sys/net/core/rmem_max)" -ge 524288 ] || grep -q 'event=receive-buffers wanted=' "$RUN/log/edge.log" ||
	fail "the lower receive buffers are not in the log"
kill_in_call "missing: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
stop edge
say "== no root at all: started as the service's account"
AS_ROOT=("${WITHOUT_BPF[@]}")
WITHOUT_BPF=(setpriv --reuid=daemon --regid=daemon --clear-groups)
chown daemon "$RUN"
ns dmz sh -c 'echo >/proc/sys/net/ipv4/ip_local_reserved_ports' # what the last start reserved
chmod -R a+rX "$RUN/pki"
edge_up
[ "$(stat -c %U "/proc/$(pid_of edge)")" = daemon ] || fail "the keeper is $(stat -c %U "/proc/$(pid_of edge)")"
grep -q 'event=ports-not-reserved' "$RUN/log/edge.log" || fail "the log does not say that ports are not reserved"
wait_for 10 "the link up" link_is_up
phones_talk
WITHOUT_BPF=("${AS_ROOT[@]}")
[ "$(inner_dropped)" = 0 ] || fail "the inner firewall had to drop $(inner_dropped) packets"
stop core
stop edge
say "== what cannot be"
start_fails 'not BPF: .*missing: CAP_BPF' 's/ports: 2000/ports: 24000/'
start_fails 'cannot be loaded: Operation not permitted' 's/rung: auto/rung: xdp/'
WITHOUT_BPF=()
start_fails 'a socket for every port .*: 48000 .*lower media.pairs\[\].ports' 's/ports: 2000/ports: 24000/; s/rung: auto/rung: user/'
WITHOUT_BPF=(prlimit --nofile=5000)
start_fails 'open files are limited to 5000 .*lower media.pairs\[\].ports' 's/rung: auto/rung: user/'

say "== edge and core on one host"
WITHOUT_BPF=()
ip -n "$P-in" link set i1 netns "$P-dmz"
ip -n "$P-dmz" addr add "$CORE_LAN/24" dev i1
ip -n "$P-dmz" link set i1 up
export EDGE_IN=127.0.0.1 CORE_OUT=127.0.0.1
core_up() {
	core_config
	start core dmz "$B/sallyport-core" -c "$RUN/core.yaml"
	wait_for 10 "the core's inside listener" udp_bound dmz "$CORE_LAN:5060"
}
pair_up
kill_in_call "127.0.0.1 is on loopback"
phones_talk
no_bpf
stop core
stop edge
say "== on an address that is not loopback's, by order"
export RUNG=user EDGE_IN=172.16.0.10 CORE_OUT=172.16.0.10
pair_up
kill_in_call "media.rung is user"
no_bpf
