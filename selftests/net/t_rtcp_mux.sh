#!/bin/bash
# t_rtcp_mux.sh -- RTCP on the port of RTP outside: kept by an offer from inside, given up by the client's, whose reports move to a new port
#
#	203.0.113.50 alice ---tls-- edge (dmz) ==link== core (inside) ---- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
pair_up
script <<'PY'
SUITE, MUX = "AES_CM_128_HMAC_SHA1_80", ["a=rtcp-mux"]


def reports(call, muxed):
    """A second of tones and reports: outside on one port or on two, inside on two. Each end hears the other's reports, where they belong."""
    out = lambda port, to, hz, ms: Rtp("inet", f"{a.ip}:{port}", f"{E['EDGE_OUT']}:{to}", 1, hz, call.tx, call.rx, 300, rtcp_ms=ms)
    ins = lambda port, to, hz, ms: Rtp("lan", f"{b.ip}:{port}", f"{E['CORE_LAN']}:{to}", 1, hz, rtcp_ms=ms)
    rtp = [out(40000, call.port, 600, 100 if muxed else 0), ins(41000, call.in_sdp.port, 1200, 0)]
    rtcp = [ins(41001, call.in_sdp.port + 1, 0, 100)] + ([] if muxed else [out(40001, call.port + 1, 0, 100)])
    rx, ry = [r.result() for r in rtp]
    tones(rx, ry, 1200, 600, 0.5)
    check((rx["rtcp_received"] > 4) == muxed and ry["rtcp_received"] == 0, f"reports on the ports of the tones: {rx} {ry}")
    for r in [r.result() for r in rtcp]:
        check(r["rtcp_received"] > 4 and r["received"] == r["not_authentic"] == 0, f"reports beside: {r}")


class Muxed(Call):
    def __init__(self):
        self.tx = (SUITE, new_key(SUITE))
        self.d, _ = a.invite(b.aor, make_sdp(a.ip, 40000, [self.tx], extra=MUX), final=False)
        self.d.challenged()
        i = b.expect("INVITE")
        self.in_sdp = Sdp(i.body)
        self.rd = inside_answer(b, i, make_sdp(b.ip, 41000), self.d)
        s = Sdp(self.rd.ok.body)
        check("a=rtcp-mux" in s.text and len(flows()) == 1, s.text)
        self.port, self.rx = s.port, s.key(SUITE)


a, b = outside(), inside()
call = Muxed()
reports(call, True)
step("muxed: tones and reports by one port")
seen, got = reoffer(call.rd, a, make_sdp(b.ip, 41000, version=2), lambda o: srtp_answer(a.ip, 40000, o, call.tx, version=2, extra=MUX))
check("a=rtcp-mux" in seen.text and "rtcp" not in got.text, f"stays muxed: {seen.text} {got.text}")
call.rx = seen.key(SUITE)
reports(call, True)
step("the inside offered again: as before")
seen, got = reoffer(call.d, b, make_sdp(a.ip, 40000, [call.tx], version=3), make_sdp(b.ip, 41000, version=3))
check("rtcp-mux" not in got.text and got.port == call.port, f"not muxed any more: {got.text}")
check(len(flows()) == 2, f"two flows: {flows()}")
call.rx = got.key(SUITE)
reports(call, False)
step("the client offered without: reports by a port of their own")
seen, got = reoffer(call.d, b, make_sdp(a.ip, 40000, [call.tx], version=4, extra=MUX), make_sdp(b.ip, 41000, version=4))
check("rtcp-mux" not in got.text, f"two flows stay two: {got.text}")
reports(call, False)
hangup(call.d, b)
flows_gone()
PY
no_live_flows || fail "entries left in the live map"
