#!/bin/bash
# t_link_refuse.sh -- the link between the wrong two: refused, and both logs say why. Foreign CA, wrong name, no longer valid, version.
#
#	edge (dmz) 172.16.0.10:7001  <--mTLS-- core (inside)      each side checks the other; a made-up peer where versions differ
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need openssl
need_prog sallyport-edge sallyport-core
net_up
pki_up
pki_ca rogue-ca
pki_issue rogue-ca rogue-core "$CORE_NAME"
pki_issue rogue-ca rogue-edge "$EDGE_NAME"
pki_issue link-ca other-core "other.$DOMAIN"
pki_issue link-ca other-edge "other.$DOMAIN"
PKI_EXPIRED=1 pki_issue link-ca old-core "$CORE_NAME"
PKI_EXPIRED=1 pki_issue link-ca old-edge "$EDGE_NAME"

# refused WHAT CHECKER CHECKER-REGEX OTHER OTHER-REGEX: both logs, and no link
refused() {
	wait_log 10 "$2" "event=link-refused .*$3"
	wait_log 10 "$4" "event=link-(failed|refused-by-peer) .*$5"
	link_is_up && fail "$1: the link is up"
	ctl core status | py 'd["links"][0]["state"] == "down"' || fail "$1: the core says the link is not down"
	grep -q 'event=link-up' "$RUN"/log/{edge,core}.log && fail "$1: the link was up for a while"
	say "$1: refused"
	say "  $2: $(grep -Eo 'event=link-refused .*' "$RUN/log/$2.log" | head -1 | cut -c1-200)"
	say "  $4: $(grep -Eo 'event=link-(failed|refused-by-peer) .*' "$RUN/log/$4.log" | head -1 | cut -c1-200)"
}
again() { # again NAME: that daemon anew, both logs empty
	stop "$1"
	: >"$RUN/log/edge.log"
	: >"$RUN/log/core.log"
}

edge_up
CORE_CERT=rogue-core core_up
refused "core's certificate by a foreign CA" edge "wanted=\"$CORE_NAME" core "own_names=\"$CORE_NAME"
again core
CORE_CERT=other-core core_up
refused "core's certificate for another name" edge "wanted=\"$CORE_NAME.*seen=\"other.$DOMAIN" core "own_names=\"other.$DOMAIN"
again core
CORE_CERT=old-core core_up
refused "core's certificate expired" edge 'expired' core "(alert|expired).*own_names=\"$CORE_NAME"
again core
again edge
EDGE_CERT=rogue-edge edge_up
core_up
refused "edge's certificate by a foreign CA" core "wanted=\"$EDGE_NAME" edge "alert.*own_names=\"$EDGE_NAME"
again core
again edge
EDGE_CERT=other-edge edge_up
core_up
refused "edge's certificate for another name" core "wanted=\"$EDGE_NAME.*seen=\"other.$DOMAIN" edge "alert.*own_names=\"other.$DOMAIN"
again core
again edge
EDGE_CERT=old-edge edge_up
core_up
refused "edge's certificate expired" core 'expired' edge "alert.*own_names=\"$EDGE_NAME"
again core
again edge

edge_up
script <<'PY'
def message(number, body):
    body = bytes([number << 3 | 2, len(body)]) + body
    return struct.pack(">I", len(body)) + body


def text(field, s):
    return bytes([field << 3 | 2, len(s)]) + s.encode()


def context(server, name):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_REQUIRED
    c.load_verify_locations(f"{E['RUN']}/pki/link-ca.pem")
    c.load_cert_chain(f"{E['RUN']}/pki/{name}.pem", f"{E['RUN']}/pki/{name}.key")
    alpn = E.get("LINK_ALPN")
    if alpn:
        c.set_alpn_protocols([alpn])
    return c


step("a core that speaks version 99")
with in_ns("in"):
    s = socket.create_connection(("172.16.0.10", 7001), 5)
s = context(False, "core").wrap_socket(s)
s.sendall(message(1, b"\x08\x63" + text(2, f"core.{DOMAIN}") + b"\x19" + os.urandom(8) + text(5, DOMAIN)))
got = b""
try:
    while d := s.recv(4096):
        got += d
except OSError:
    pass
check(b"version: wanted 2, got 99" in got, f"the Close names both versions: {got!r}")
log_wait("edge", r"event=link-refused .*version: wanted 2, got 99")
s.close()

step("an edge that speaks version 99")
with in_ns("dmz"):
    srv = socket.create_server(("172.16.0.10", 7002))
subprocess.run(["bash", "-c", f". {E['NET']}/lib.sh; LINK_ADDR=172.16.0.10:7002 core_up"], check=True)
srv.settimeout(10)
s, _ = srv.accept()
s.settimeout(5)
s = context(True, "edge").wrap_socket(s, server_side=True)
n = struct.unpack(">I", s.recv(4))[0]
s.recv(n)
s.sendall(message(2, b"\x08\x63" + text(2, f"edge.{DOMAIN}") + text(3, f"edge.{DOMAIN}") + b"\x20\xc5\x27"))
log_wait("core", r"event=link-refused .*version: wanted 2, got 99")
check(admin("core", "status")["links"][0]["state"] == "down", "the link is not down")
PY
stop core
