#!/bin/bash
# t_doctor.sh -- sallyctl doctor: nothing to say on a healthy pair; each of many breakages, done for real, found under its own name, and nothing else
#
#	203.0.113.53 dnsmasq, the client's view --- edge (dmz) ==link== core (inside) --- Kamailio, Prosody, cucm1, cucm2
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need nft ethtool dnsmasq kamailio nginx openssl bpftool
net_up
. "$NET/lib_https.sh"
. "$NET/lib_xmpp.sh"
need_chat
need_prog sallyctl

# ---- the bed ----------------------------------------------------------------------------------------------------------

# dns [SRV HOST PORT]...: the internet's zone, with other targets for those services (HOST none: no record). Environment: HOSTS.
dns() {
	declare -A srv=([_sips._tcp]="$EDGE_NAME,5061" [_collab-edge._tls]="$EDGE_NAME,$HTTPS" [_xmpp-client._tcp]="$EDGE_NAME,5222" [_xmpps-client._tcp]="$EDGE_NAME,5223")
	local s args=()

	while [ $# -ge 3 ]; do
		srv[$1]=$2,$3
		shift 3
	done
	for s in "${!srv[@]}"; do
		case ${srv[$s]} in none,*) ;; *) args+=("--srv-host=$s.$DOMAIN,${srv[$s]}") ;; esac
	done
	stop dns
	# shellcheck disable=SC2086
	start dns inet dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
		--listen-address=203.0.113.53 --port=53 --local="/$DOMAIN/" ${HOSTS:---host-record=$EDGE_NAME,$EDGE_OUT} "${args[@]}"
	wait_for 10 "DNS listening" udp_bound inet 203.0.113.53:53
}
dns
prosody_at prosody lan "$IM" l0 "$DOMAIN"
kamailio_up
inside_up cucm1 cucm2
chat_sections
chat_edge=$EDGE_MORE chat_core=$CORE_MORE
pki_issue web-ca web "$EDGE_NAME"
pki_issue web-ca web-old "old.$DOMAIN"
export EDGE_HTTPS="  tls: {certificates: [{certificate: \"$RUN/pki/web-old.pem\", key: \"$RUN/pki/web-old.key\"}, {certificate: \"$RUN/pki/web.pem\", key: \"$RUN/pki/web.key\"}]}"
https_config
EDGE_MORE="$EDGE_MORE
$chat_edge" CORE_MORE="$CORE_MORE
$chat_core"
pki_up
chmod 600 "$RUN"/pki/{sip,web,web-old,xmpp,core-sip}.key
gcc -shared -fPIC -O2 -o "$RUN/stepclock.so" "$NET/stepclock.c"
# step SECONDS: the core's clock, and that of whoever asks beside it.
step() { python3 -c 'import struct, sys; open(sys.argv[1], "r+b").write(struct.pack("<q", int(sys.argv[2])))' "$RUN/ahead" "$1"; }
head -c 8 /dev/zero >"$RUN/ahead"
edge_up
STEPCLOCK=$RUN/ahead LD_PRELOAD=$RUN/stepclock.so core_up
wait_for 10 "the link up" link_is_up
prosody_ready prosody lan "$IM"
SALLYCTL=${SALLYCTL:-$B/sallyctl}

# What is true of this machine, whoever asks, found out by other means than doctor's.
TRUE_HERE=
python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(s.getsockname())
c.setsockopt(socket.IPPROTO_TCP, 31, b"tls")' 2>/dev/null || TRUE_HERE="warn:kernel.tls"
[ "$(python3 -c '
import ctypes
print(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(400)))')" != 5 ] || TRUE_HERE="$TRUE_HERE warn:clock.ntp"

[ "$(awk '/^Max open files/ { print $4 }' "/proc/$(worker_of edge)/limits")" -ge 65536 ] || FEW_FILES="warn:limit.files"

# ---- asking -----------------------------------------------------------------------------------------------------------

doctor() { # doctor edge|core|outside [OPTION...]
	case $1 in
	edge) ns dmz "$SALLYCTL" doctor --config "$RUN/edge.yaml" --dns 203.0.113.53 --ca "$RUN/pki/web-ca.pem" "${@:2}" ;;
	core) ns in env LD_PRELOAD="$RUN/stepclock.so" STEPCLOCK="$RUN/ahead" "$SALLYCTL" doctor --config "$RUN/core.yaml" "${@:2}" ;;
	outside) ns inet "$SALLYCTL" doctor --outside --config "$RUN/edge.yaml" --dns 203.0.113.53 --ca "$RUN/pki/web-ca.pem" "${@:2}" ;;
	esac
}
# finds WHERE WHAT-IS-BROKEN [[maybe:]SEVERITY:ID=REGEX]...: just these findings that are not ok, besides TRUE_HERE; each tells why and how to mend it; and
# the exit status says whether a user would be stopped.
finds() {
	local where=$1 what=$2 here=$TRUE_HERE rc=0

	case $where in edge) here="$here ${FEW_FILES:-}" ;; outside) here= ;; esac
	shift 2
	doctor "$where" -j >"$RUN/findings" 2>"$RUN/doctor.err" || rc=$?
	python3 - "$RUN/findings" "$rc" "$where" "$here" "$@" <<'PY' || fail "$where, $what: $(cat "$RUN/doctor.err")"
import json, re, sys
path, rc, where, here, *want = sys.argv[1:]
all_ = json.load(open(path))
bad = [f for f in all_ if f["severity"] != "ok"]
here = here.split()
ok = True
for w in want:
    maybe = w.startswith("maybe:")
    key, _, rx = w.removeprefix("maybe:").partition("=")
    hit = [f for f in bad if f"{f['severity']}:{f['id']}" == key and re.search(rx, f["what"])]
    if not hit and not maybe:
        print(f"not found: {w}")
        ok = False
    bad = [f for f in bad if f not in hit]
for f in list(bad):
    if f"{f['severity']}:{f['id']}" in here:
        here.remove(f"{f['severity']}:{f['id']}")
        bad.remove(f)
for f in bad:
    print(f"not expected: {f['severity']}:{f['id']} {f['what']}")
for f in all_:
    if f["severity"] != "ok" and not (f["why"] and f["fix"] and f["node"]):
        print(f"half a finding: {f}")
        ok = False
if len([f for f in all_ if f["severity"] == "ok"]) < 5:
    print("hardly anything was looked at")
    ok = False
fails = any(w.startswith("fail:") for w in want)
if int(rc) != fails:
    print(f"exit {rc}")
    ok = False
sys.exit(0 if ok and not bad and not here else 1)
PY
	say "  $what${1:+: ${*%%=*}}"
	BROKEN=$((${BROKEN:-0} + ($# > 0)))
}

say "a healthy pair"
finds edge "the edge"
finds core "the core"
finds outside "a client"
ns inet "$SALLYCTL" doctor --outside --domain "$DOMAIN" --dns 203.0.113.53 --ca "$RUN/pki/web-ca.pem" >"$RUN/plain" || fail "by domain alone: $(cat "$RUN/plain")"
doctor edge --save "$RUN/saved.json" >"$RUN/plain" || fail "exit $?: $(cat "$RUN/plain")"

say "DNS"
dns _collab-edge._tls "old.$DOMAIN" 8443 _xmpp-client._tcp "$EDGE_NAME" 5333 _xmpps-client._tcp none 0 _cisco-uds._tcp "cucm1.$INSIDE" 8443
finds edge "wrong SRV, missing SRV, an inside record seen outside" \
	"fail:dns.srv-wrong=_collab-edge._tls.$DOMAIN leads to old.$DOMAIN:8443, wanted $EDGE_NAME:8443" \
	"fail:dns.srv-wrong=_xmpp-client.*:5333, wanted $EDGE_NAME:5222" "warn:dns.srv-missing=_xmpps-client._tcp.$DOMAIN" \
	"fail:dns.inside-visible=_cisco-uds._tcp.$DOMAIN is seen outside: cucm1" "fail:dns.address-missing=(old|cucm1)"
HOSTS="--host-record=$EDGE_NAME,$EDGE_OUT --host-record=$EDGE_NAME,203.0.113.99" dns
finds edge "two A records" "fail:dns.address-two=$EDGE_NAME has the addresses .*203.0.113.99 is none"
HOSTS="--host-record=$EDGE_NAME,203.0.113.99" dns
finds edge "another machine's address" "fail:dns.address-wrong=203.0.113.99 is none"
HOSTS=" " dns
finds edge "no address" "fail:dns.address-missing=$EDGE_NAME has no address"
dns
stop inside-dns
finds core "no resolver inside" "fail:dns.server=$INSIDE_DNS" # and what has a name is not asked
inside_dns_up

say "certificates"
# shows FILE [KEY]: sip's certificate is that one, until shows sip.good.
shows() {
	cat "$RUN/pki/$1.pem" >"$RUN/pki/sip.pem"
	cat "$RUN/pki/${2:-$1}.key" >"$RUN/pki/sip.key"
}
for f in pem key; do cp "$RUN/pki/sip.$f" "$RUN/pki/good.$f"; done
# signed FILE START END EXTENSIONS [CA]: for $EDGE_NAME, by the openssl way
signed() {
	local d=$RUN/pki ca=${5:-web-ca}

	: >"$d/index"
	echo 77 >"$d/serial"
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n' "$d" "$d" "$d" >"$d/ca.cnf"
	printf '%b' "$4" >"$d/$1.ext"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=${6:-$EDGE_NAME}" -keyout "$d/$1.key" -out "$d/$1.csr" 2>>"$RUN/log/pki.log"
	openssl ca -batch -notext -md sha256 -cert "$d/$ca.pem" -keyfile "$d/$ca.key" -in "$d/$1.csr" -out "$d/$1.pem" -startdate "$2" -enddate "$3" \
		-extfile "$d/$1.ext" -config "$d/ca.cnf" 2>>"$RUN/log/pki.log"
}
at() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
san="subjectAltName=DNS:$EDGE_NAME\n" leaf="basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
pki_issue web-ca odd "sip.other.example"
signed ended 20200101000000Z 20200201000000Z "$san$leaf"
signed later "$(at '3 days')" "$(at '90 days')" "$san$leaf"
signed soon "$(at '-80 days')" "$(at '5 days')" "$san$leaf"
signed other-use "$(at yesterday)" "$(at '90 days')" "$san${leaf}extendedKeyUsage=clientAuth\n"
signed mid "$(at yesterday)" "$(at '90 days')" "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n" web-ca "mid CA"
signed by-mid "$(at yesterday)" "$(at '90 days')" "$san$leaf" mid

# The edge takes files up by itself after a while: until then it shows the old one.
stale="maybe:warn:cert.stale=sip on $EDGE_OUT:5061 shows another"
shows odd
finds edge "SAN missing" "fail:cert.names=sip certificate: wanted the name $EDGE_NAME, it has sip.other.example" "$stale"
shows ended
finds edge "expired" "fail:cert.expired=sip certificate ended on 2020-02-01" "$stale"
shows later
finds edge "not valid yet" "fail:cert.not-yet=sip certificate is valid from" "$stale"
shows soon
finds edge "ends soon" "warn:cert.soon=sip certificate ends in [45] days" "$stale"
shows other-use
finds edge "made for clients" "fail:cert.use=sip certificate lacks extendedKeyUsage serverAuth" "$stale"
shows by-mid
finds edge "chain incomplete" "fail:cert.chain=issuer is CN=mid CA" "$stale"
cat "$RUN/pki/mid.pem" >>"$RUN/pki/sip.pem"
finds edge "its intermediate certificate behind it" "$stale"
shows good odd
finds edge "key of another certificate" "fail:cert.key=it does not belong"
shows good
chmod 644 "$RUN/pki/sip.key"
finds edge "everybody may read the key" "warn:cert.key-mode=everybody may read"
chmod 600 "$RUN/pki/sip.key"
shown() { # the certificate that clients see is the one in the file
	[ "$(ns dmz openssl s_client -connect "$EDGE_OUT:5061" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint)" = "$(openssl x509 -noout -fingerprint -in "$RUN/pki/sip.pem")" ]
}
wait_for 15 "the good certificate shown" shown

say "ports"
ns dmz nft -f - <<-X
table inet outer {
	chain input {
		type filter hook input priority 0;
		iifname "d0" tcp dport $HTTPS reject with tcp reset
		iifname "d0" tcp dport 5222 drop
	}
}
X
finds outside "ports closed" "fail:reach.connect=https of $DOMAIN: $EDGE_NAME .*Connection refused" "fail:reach.connect=xmpp of $DOMAIN.*no answer to the connection"
ns dmz nft delete table inet outer
ns dmz cat /proc/sys/net/ipv4/ip_local_reserved_ports >"$RUN/reserved"
ns dmz sysctl -qw net.ipv4.ip_local_port_range="40000 60999" # or doctor's own questions get such ports, and XDP their answers
ns dmz sysctl -qw net.ipv4.ip_local_reserved_ports=
start squatter dmz python3 -c "import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('$EDGE_OUT', 36010)); time.sleep(60)"
wait_for 10 "the squatter" udp_bound dmz "$EDGE_OUT:36010"
finds edge "media ports not reserved, and one of them taken" "warn:port.reserved=36000-37999 .outside" "warn:port.reserved=36000-37999 .inside" \
	"warn:port.taken=udp port .*36010"
stop squatter
ns dmz sysctl -qw net.ipv4.ip_local_reserved_ports="$(cat "$RUN/reserved")"

cp "$RUN/edge.yaml" "$RUN/edge.yaml.good"
sed -i "s/\"$EDGE_OUT:5061\"/&, \"$EDGE_OUT:5062\"/" "$RUN/edge.yaml"
finds edge "a listener that no restart has opened yet" "fail:port.listen=nobody listens on tcp $EDGE_OUT:5062 .sip."
cp "$RUN/edge.yaml.good" "$RUN/edge.yaml"

say "interfaces"
ip -n "$P-dmz" link set d0 mtu 1200
finds edge "MTU too small" "fail:nic.mtu=d0 has an MTU of 1200"
ip -n "$P-dmz" link set d0 mtu 1500
ns in ethtool -K i0 gro off tx on >/dev/null
finds core "offloads of a veth" "warn:nic.gro=i0" "warn:nic.checksum=i0"
ns in ethtool -K i0 gro on tx off >/dev/null

say "servers"
stop kamailio
stop cucm2
stop prosody
finds core "call server, chat server and a web server down" "fail:server.call=kamailio: .*Connection refused" "fail:server.chat=im: .*Connection refused" \
	"warn:server.web=cucm2.*Connection refused; others of it answer"
finds outside "what clients see of it" "fail:reach.answer=xmpp of" "fail:reach.answer=xmpps of"
kamailio_up
nginx_up cucm2 hq
prosody_at prosody lan "$IM" l0 "$DOMAIN"
nodes_listening
prosody_ready prosody lan "$IM"

say "clock"
step 900
clock_is() { ctl core status | py "abs(d['links'][0].get('clock_ahead_s', -1) - $1) < 2"; }
wait_for 15 "the link telling of the step" clock_is 900
finds core "clock 15 minutes ahead" "fail:clock.peer=(899|900|901) s ahead of that of $EDGE_NAME .told over the link" \
	"warn:clock.peer=(899|900|901) s ahead of that of cucm1.*HTTP Date" "warn:clock.peer=cucm2"
wait_for 15 "the edge, too" eval "ctl edge status | py \"d['links'][0].get('clock_ahead_s', 0) < -890\""
finds edge "its peer's clock 15 minutes ahead" "fail:clock.peer=(899|900|901) s behind that of $CORE_NAME"
step 0

say "the edge"
"$SALLYCTL" doctor --report /nonexistent >/dev/null 2>&1 && fail "a report that is not there is judged"
stop edge
FEW_FILES= # of no process
start squatter dmz python3 -c "import socket
s = socket.create_server(('$EDGE_OUT', 5061))
while True: s.accept()[0].close()"
wait_for 10 "the squatter" tcp_bound dmz "$EDGE_OUT:5061"
finds edge "it does not run, and another has its port" "fail:daemon=sallyport-edge does not answer" \
	"fail:port.listen=tcp $EDGE_OUT:5061 .sip. is bound, though sallyport-edge does not answer" "fail:reach.tls=sip on $EDGE_OUT:5061"
stop squatter
finds core "it does not run" "fail:link=edge $EDGE_NAME .172.16.0.10:7001. is not reached: Connection refused"
finds outside "it does not run" "fail:reach.connect=Connection refused"
"$SALLYCTL" doctor --report "$RUN/saved.json" >"$RUN/plain2" || fail "the saved report: $(cat "$RUN/plain2")"
cmp -s "$RUN/plain" "$RUN/plain2" || fail "a saved report is judged otherwise: $(diff "$RUN/plain" "$RUN/plain2")"
! grep -q "$(printf '\033')" "$RUN/plain" || fail "colours without a terminal"
! grep -q 'PRIVATE\|pw-' "$RUN/saved.json" || fail "a secret in the report"

"$SALLYCTL" pki issue "$RUN/pki/link" other.example >>"$RUN/log/pki.log"
ln -s "$RUN/pki/link/other.example.crt" "$RUN/pki/other-link.pem"
ln -s "$RUN/pki/link/other.example.key" "$RUN/pki/other-link.key"
rm -rf "/sys/fs/bpf/sallyport/$INSTANCE" # an edge leaves its programs for the next one
bpftool prog loadall "$B/bpf/xdp_probe.bpf.o" /sys/fs/bpf/generic type xdp
ns dmz bpftool net attach xdpgeneric pinned /sys/fs/bpf/generic/xdp_pass dev d0
ulimit -n 3000
EDGE_CERT=other-link edge_up
finds edge "generic XDP, a wrong name on the link, few descriptors" "warn:nic.xdp=d0 has an XDP program in generic mode" "warn:kernel.rung=goes by tc, not by native XDP" \
	"fail:cert.names=link certificate: wanted the name $EDGE_NAME, it has other.example" "fail:link=core $CORE_NAME has no link" \
	"fail:limit.files=may open 3000 files"
finds core "wrong name on the link" "fail:link=shows the wrong certificate: wanted the name $EDGE_NAME, it has other.example"
[ "${BROKEN:-0}" -ge 25 ] || fail "only $BROKEN broken set-ups"
