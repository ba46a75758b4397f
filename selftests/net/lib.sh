# shellcheck shell=bash
# selftests/net/lib.sh -- the test bed: namespaces, wires, certificates, peers, the two daemons, and their end.
#
# In: sourced by the tests here and by tools/demo. Out: functions; state only in $RUN (a temporary directory) and in namespaces
# called $P-inet, $P-inet2, $P-dmz, $P-in, $P-lan. Everything started is recorded in $RUN/pids and ended by net_down, in every case (trap).
#
#   $P-inet2         $P-inet                 $P-dmz                            $P-in                          $P-lan
#   carol            alice .50, DNS .53      edge                              core                           Kamailio 10.20.0.30
#   203.0.113.51 c0--c1 bridge br0 n0--d0 203.0.113.10   172.16.0.10 d1--i0 172.16.0.20   10.20.0.20 i1--l0   bob 10.20.0.40
#
# carol has a namespace of her own: baresip's TLS connections leave from the first address of a host, whatever it is told.
# The firewall of $P-in drops (and counts) every new flow that comes in by i0. Frames that XDP redirects into a veth are only
# taken if the other end runs NAPI (GRO on), and a sender with checksum offload would leave half a checksum in what XDP reads:
# hence gro on, tx off on every wire.
#
# `ip netns exec` makes a mount namespace and mounts /sys anew, which hides bpffs; so commands go in by nsenter --net only.
# Tests first call net_isolate: mount and pid namespaces of their own with a tmpfs on /run/netns and a fresh bpffs, so that a
# test that is killed leaves nothing at all. tools/demo runs without it, to be looked at from any shell.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NET=$TOP/selftests/net
B=${B:-$TOP/build}
DOMAIN=corp.example
EDGE_NAME=edge.$DOMAIN
CORE_NAME=core.$DOMAIN
EDGE_OUT=203.0.113.10 EDGE_IN=172.16.0.10 CORE_OUT=172.16.0.20 CORE_LAN=10.20.0.20
KAM=10.20.0.30 ALICE=203.0.113.50 CAROL=203.0.113.51 BOB=10.20.0.40
export TOP NET B DOMAIN EDGE_OUT EDGE_IN CORE_OUT CORE_LAN KAM ALICE CAROL BOB

say() { printf '%s\n' "$*"; }
skip() { say "SKIP: $*"; exit 77; }
fail() {
	local l

	say "FAIL: $*"
	if [ -d "${RUN:-/nonexistent}/log" ] && [ -z "${SPN_QUIET:-}" ]; then
		for l in "$RUN"/log/{edge,core,kamailio,prosody}.log; do
			[ ! -s "$l" ] || { say "--- ${l##*/}"; grep -v 'INFO: \(tls\|ctl\)' "$l" | tail -n "${SPN_TAIL:-12}" | cut -c1-300; }
		done
	fi
	exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds, else the test fails.
wait_for() {
	local end=$(($(date +%s%N) + $1 * 1000000000)) what=$2

	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s%N)" -lt "$end" ] || fail "waited in vain for: $what"
		sleep 0.1
	done
}
# wait_log SECONDS NAME REGEX: until a line of NAME's log matches.
wait_log() { wait_for "$1" "/$3/ in $2.log" grep -Eq -- "$3" "$RUN/log/$2.log"; }
count_log() { grep -Ec -- "$2" "$RUN/log/$1.log" || true; }

# ---- namespaces -------------------------------------------------------------------------------------------------------

net_isolate() {
	[ "$(id -u)" = 0 ] || skip "needs root (namespaces, BPF)"
	if [ -z "${SPN_ISOLATED:-}" ]; then
		unshare --mount --pid --fork --mount-proc true 2>/dev/null || skip "no mount and pid namespaces here"
		SPN_ISOLATED=1 exec unshare --mount --pid --fork --kill-child --mount-proc -- bash "$(readlink -f "$0")" "$@"
	fi
	mkdir -p /run/netns
	mount -t tmpfs none /run/netns
	mount -t bpf none /sys/fs/bpf
}

ns() { # ns inet|inet2|dmz|in|lan COMMAND...
	local n=$1
	shift
	nsenter --net="/run/netns/$P-$n" -- "$@"
}

wire() { # wire NS DEV NS DEV
	ip link add "$2" netns "$P-$1" type veth peer name "$4" netns "$P-$3"
	local n d
	for n in "$1 $2" "$3 $4"; do
		d=${n#* } n=${n% *}
		ip -n "$P-$n" link set "$d" up
		ns "$n" ethtool -K "$d" gro on tx off >/dev/null
	done
}

net_up() {
	local n a

	P=${P:-spn-$$}
	RUN=${RUN:-$(mktemp -d "/tmp/$P-XXXXXX")}
	INSTANCE=$P
	NETNS=/run/netns/$P
	export P RUN INSTANCE NETNS
	chmod 755 "$RUN"
	mkdir -p "$RUN"/{log,pids,pki,phones}
	trap net_exit EXIT
	trap 'say "FAIL: line $LINENO: $BASH_COMMAND"' ERR
	trap 'exit 130' INT
	trap 'exit 143' TERM
	for n in inet inet2 dmz in lan; do
		ip netns add "$P-$n"
		ip -n "$P-$n" link set lo up
	done
	wire inet2 c0 inet c1
	wire inet n0 dmz d0
	ip -n "$P-inet" link add br0 type bridge forward_delay 0
	ip -n "$P-inet" link set br0 up
	for n in c1 n0; do
		ip -n "$P-inet" link set "$n" master br0
	done
	wire dmz d1 in i0
	wire in i1 lan l0
	for a in "inet $ALICE br0" "inet2 $CAROL c0" "inet 203.0.113.53 br0" "dmz $EDGE_OUT d0" "dmz $EDGE_IN d1" \
		"in $CORE_OUT i0" "in $CORE_LAN i1" "lan $KAM l0" "lan $BOB l0"; do
		# shellcheck disable=SC2086
		set -- $a
		ip -n "$P-$1" addr add "$2/24" dev "$3"
	done
	# The inner firewall: no inbound hole. Only what the core began may come back. The edge asks for its next hop's MAC by an
	# empty datagram to port 9 (what it wants is the ARP answer): dropped like the rest, counted apart.
	ns in nft -f - <<-X
	table inet inner {
		chain input {
			type filter hook input priority 0;
			iifname "i0" ct state established,related counter accept
			iifname "i0" udp dport 9 counter drop
			iifname "i0" ct state new counter drop
			iifname "i0" counter drop
		}
		chain forward {
			type filter hook forward priority 0; policy drop;
		}
	}
	X
}

inner_dropped() { # packets that the inner firewall dropped as new flows
	ns in nft -j list chain inet inner input |
		python3 -c 'import json,sys
for r in json.load(sys.stdin)["nftables"]:
	e = r.get("rule", {}).get("expr", [])
	if any(x.get("match", {}).get("right") == "new" for x in e):
		print(next(x["counter"]["packets"] for x in e if "counter" in x))'
}

net_exit() {
	local rc=$?

	trap - EXIT INT TERM
	[ -n "${SPN_STAY:-}" ] && [ $rc = 0 ] && exit 0
	net_down
	exit $rc
}

net_down() {
	local f n

	[ -z "${NET_DOWN_FIRST:-}" ] || "$NET_DOWN_FIRST"
	for f in "$RUN"/pids/cap-* "$RUN"/pids/phone-* "$RUN"/pids/*; do
		stop "${f##*/}"
	done
	for n in inet inet2 dmz in lan; do
		[ ! -e "/run/netns/$P-$n" ] || ip netns del "$P-$n"
	done
	for n in "$INSTANCE" "$INSTANCE-core"; do
		[ ! -d "/sys/fs/bpf/sallyport/$n" ] || rm -rf "/sys/fs/bpf/sallyport/$n"
	done
	rmdir /sys/fs/bpf/sallyport 2>/dev/null || true
	if [ -n "${SPN_LOGS:-}" ]; then
		mkdir -p "$SPN_LOGS"
		cp -r "$RUN"/. "$SPN_LOGS/"
	fi
	rm -rf "$RUN"
}

# ---- processes --------------------------------------------------------------------------------------------------------

start() { # start NAME NS COMMAND...: in the background, log in $RUN/log/NAME.log
	local name=$1 n=$2

	shift 2
	setsid nsenter --net="/run/netns/$P-$n" -- "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null &
	echo $! >"$RUN/pids/$name"
}
pid_of() { cat "$RUN/pids/$1"; }
alive() { kill -0 "$(pid_of "$1")" 2>/dev/null; }
gone() { ! kill -0 "$1" 2>/dev/null; }

stop() { # stop NAME [SIGNAL]: ends it and what it started; KILL after 3 s
	local p

	[ -s "$RUN/pids/$1" ] || return 0
	p=$(cat "$RUN/pids/$1")
	kill -"${2:-TERM}" "$p" 2>/dev/null || true
	for _ in $(seq 60); do
		grep -q '^State:.[^Z]' "/proc/$p/status" 2>/dev/null || break # a zombie has ended, whoever fails to reap it
		sleep 0.05
	done
	kill -KILL -- "-$p" 2>/dev/null || true
	wait "$p" 2>/dev/null || true
	rm -f "$RUN/pids/$1"
}

worker_of() { # the worker of daemon edge|core: the keeper's child
	pgrep -P "$(pid_of "$1")" | head -1
}

# ---- certificates: the link's by sallyctl pki, as an operator makes them; the others, and all the odd ones, by openssl ----

pki_ca() { # pki_ca NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$RUN/pki/$1.key" -out "$RUN/pki/$1.pem" -addext basicConstraints=critical,CA:TRUE \
		-addext keyUsage=critical,keyCertSign,cRLSign 2>>"$RUN/log/pki.log"
}
pki_issue() { # pki_issue CA FILE NAME [ip]: DNS (and IP) SAN; PKI_DAYS: how long (2); PKI_EXPIRED=1: ended yesterday
	local san=DNS:$3 dir=$RUN/pki

	[ -z "${4:-}" ] || san=$san,IP:$4
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$dir/$2.key" \
		-out "$dir/$2.csr" 2>>"$RUN/log/pki.log"
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n' \
		"$san" >"$dir/$2.ext"
	if [ -n "${PKI_EXPIRED:-}" ]; then
		: >"$dir/index"
		echo 4242 >"$dir/serial"
		printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n' \
			"$dir" "$dir" "$dir" >"$dir/ca.cnf"
		openssl ca -batch -notext -md sha256 -cert "$dir/$1.pem" -keyfile "$dir/$1.key" -in "$dir/$2.csr" \
			-out "$dir/$2.pem" -startdate 20200101000000Z -enddate 20200201000000Z \
			-extfile "$dir/$2.ext" -config "$dir/ca.cnf" 2>>"$RUN/log/pki.log"
	else
		openssl x509 -req -in "$dir/$2.csr" -CA "$dir/$1.pem" -CAkey "$dir/$1.key" -CAcreateserial -days "${PKI_DAYS:-2}" \
			-extfile "$dir/$2.ext" -out "$dir/$2.pem" 2>>"$RUN/log/pki.log"
	fi
	chmod 644 "$dir/$2.key" "$dir/$2.pem" # throw-away keys of a test
}
pki_up() {
	local n d=$RUN/pki/link

	need_prog sallyctl
	"$B/sallyctl" pki init "$d" --name "link CA" >>"$RUN/log/pki.log"
	for n in edge core; do
		"$B/sallyctl" pki issue "$d" "$n.$DOMAIN" >>"$RUN/log/pki.log"
		ln -s "$d/$n.$DOMAIN.crt" "$RUN/pki/$n.pem"
		ln -s "$d/$n.$DOMAIN.key" "$RUN/pki/$n.key"
	done
	ln -s "$d/ca.crt" "$RUN/pki/link-ca.pem"
	ln -s "$d/ca.key" "$RUN/pki/link-ca.key"
	[ -s "$RUN/pki/web-ca.pem" ] || pki_ca web-ca
	pki_issue web-ca sip "$EDGE_NAME" "$EDGE_OUT"
	pki_issue web-ca core-sip "$CORE_NAME" "$CORE_LAN"
	[ -s "$RUN/pki/kamailio.pem" ] || pki_issue web-ca kamailio "kamailio.$DOMAIN" "$KAM"
}

# ---- peers ------------------------------------------------------------------------------------------------------------

need() { # need COMMAND...: or skip
	local c

	for c; do
		command -v "$c" >/dev/null || skip "no $c here (tools/deps test)"
	done
}
need_prog() { # need_prog NAME...: built programs
	local c

	for c; do
		[ -x "$B/$c" ] || skip "$B/$c is not built"
	done
}

udp_bound() { ns "$1" ss -Hlun "src $2" | grep -q .; }
tcp_bound() { ns "$1" ss -Hltn "src $2" | grep -q .; }

kamailio_up() { kamailio_at kamailio "$KAM" "$@"; }
# kamailio_at NAME IP [DEFINE...]: TRUST_HEADER, OPEN_REGISTER ...; see kamailio.cfg.in. Environment: KAM_DOMAIN, KAM_CERT (base name
# in $RUN/pki).
kamailio_at() {
	local d name=$1 ip=$2 cert=${KAM_CERT:-kamailio} args=()

	shift 2
	for d; do args+=(-A "$d"); done
	case $ip in
	*:*) ;; # a literal in brackets, which the test has set up
	*) ip -n "$P-lan" addr replace "$ip/24" dev l0 ;;
	esac
	[ -s "$RUN/pki/web-ca.pem" ] || pki_ca web-ca
	[ -s "$RUN/pki/kamailio.pem" ] || pki_issue web-ca kamailio "kamailio.$DOMAIN" "$KAM"
	sed -e "s#@RUN@#$RUN#g;s#@IP@#$ip#g;s#@DOMAIN@#${KAM_DOMAIN:-$DOMAIN}#g;s#@MODULES@#$(kamailio_modules)#g" \
		-e "s#@NAME@#$name#g" "$NET/kamailio.cfg.in" >"$RUN/$name.cfg"
	printf '[server:default]\nmethod = TLSv1.2+\nprivate_key = %s\ncertificate = %s\n[client:default]\nmethod = TLSv1.2+\n' \
		"$RUN/pki/$cert.key" "$RUN/pki/$cert.pem" >"$RUN/$name-tls.cfg"
	mkdir -p "$RUN/$name.run"
	start "$name" lan kamailio -f "$RUN/$name.cfg" -DD -E -m 64 -M 8 -Y "$RUN/$name.run" "${args[@]}"
	wait_for 10 "$name listening" udp_bound lan "$ip:5060"
	wait_for 10 "$name listening" tcp_bound lan "$ip:5061"
}
signal_all() { kill -"$2" -- "-$(pid_of "$1")"; } # signal_all NAME SIGNAL: to it and all that it started
kamailio_modules() {
	dirname "$(ls /usr/lib/*/kamailio/modules/tm.so /usr/lib/kamailio/modules/tm.so 2>/dev/null | head -1)"
}
kamailio_regs() { # kamailio_regs USER [NAME]: contacts in the registrar
	ns lan kamcmd -s "unix:$RUN/${2:-kamailio}.ctl" ul.lookup location "$1" 2>/dev/null
}

dns_up() { # names of the edge, as the internet sees them
	start dns inet dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
		--listen-address=203.0.113.53 --port=53 --local="/$DOMAIN/" --address="/$EDGE_NAME/$EDGE_OUT" \
		--srv-host="_sips._tcp.$DOMAIN,$EDGE_NAME,5061" --srv-host="_collab-edge._tls.$DOMAIN,$EDGE_NAME,8443"
	wait_for 5 "DNS listening" udp_bound inet 203.0.113.53:53
}

# phone_up NAME NS ADDRESS N HZ SERVER TRANSPORT MEDIAENC [ACCOUNT-EXTRA]: a baresip, its tone HZ, recording what it hears.
# Its SIP and media ports are made from N; control port 4440+N on loopback.
phone_up() {
	local d=$RUN/phones/$1 enc=$8

	mkdir -p "$d"
	sed -e "s#@IP@#$3#g;s#@DIR@#$d#g;s#@NAME@#$1#g;s#@SIP@#$((6000 + 10 * $4))#g;s#@CTRL@#$((4440 + $4))#g;s#@HZ@#$5#g" \
		-e "s#@RTPLO@#$((20000 + 100 * $4))#g;s#@RTPHI@#$((20099 + 100 * $4))#g" \
		-e "s#@DNS@#$([ "$2" = lan ] || echo dns_server 203.0.113.53:53)#" "$NET/baresip.config.in" >"$d/config"
	printf '<sip:%s@%s;transport=%s>;auth_pass=pw-%s;outbound="sip:%s;transport=%s";%saudio_codecs=PCMU/8000/1;regint=%s%s\n' \
		"$1" "$DOMAIN" "$7" "$1" "$6" "$7" "${enc:+mediaenc=$enc;}" "${PHONE_REGINT:-60}" "${9:-;answermode=auto}" >"$d/accounts"
	: >"$d/contacts"
	echo "$2 $((4440 + $4)) $5" >"$d/ctl"
	start "phone-$1" "$2" baresip -4 -s -v -f "$d"
	wait_for 10 "$1's phone up" tcp_bound "$2" "127.0.0.1:$((4440 + $4))"
}
phone() { # phone NAME COMMAND [PARAMETER]: prints the answer
	local n port name=$1

	shift
	read -r n port _ <"$RUN/phones/$name/ctl"
	ns "$n" python3 "$NET/phonectl.py" "$port" "$@"
}
phone_registered() { phone "$1" reginfo | grep -q 'OK'; }
phone_established() { phone "$1" listcalls | grep -q ESTABLISHED; }
phone_idle() { ! phone "$1" listcalls | grep -Eq 'ESTABLISHED|OUTGOING|INCOMING|RINGING|EARLY'; }
phone_hz() { cut -d' ' -f3 "$RUN/phones/$1/ctl"; }

# heard NAME HZ [SECONDS]: the last recording of NAME has that tone for at least so long. Recordings are complete after hang-up.
heard() { python3 "$NET/tone.py" --want "$2" --seconds "${3:-1}" "$RUN/phones/$1"; }
forget_recordings() { rm -f "$RUN"/phones/*/dump-*.wav; }

# ---- captures ---------------------------------------------------------------------------------------------------------

capture() { # capture NAME NS DEV FILTER
	start "cap-$1" "$2" tcpdump -i "$3" -n -U -B 16384 --immediate-mode -w "$RUN/$1.pcap" "$4"
	wait_log 5 "cap-$1" 'listening on'
}
capture_end() { stop "cap-$1" INT; }

# ---- the daemons ------------------------------------------------------------------------------------------------------

# Settings that a test may change before the daemons start (environment): EDGE_LIMITS and CORE_LIMITS (YAML lines, two
# spaces in), CORE_PROG (instead of sallyport-core), RUNG, SILENCE (s), CORE_MEDIA (terminate, passthrough), CORE_RUNG, LINK_ADDR (what the
# core dials), LINK_CA, EDGE_CERT, CORE_CERT (base names in $RUN/pki), KAM_TRANSPORT, KAM_MODE, SUPERVISE (any: the daemons run under
# supervisor.py), MORE_DOMAINS (of the edge), MORE_SERVERS (YAML of the core), EDGE_MORE, CORE_MORE (YAML, whole sections).
edge_config() {
	local listen6='' pair6=''

	if [ -n "${EDGE_OUT6:-}" ]; then
		listen6=", \"[$EDGE_OUT6]:5061\""
		pair6="    - {outside: \"$EDGE_OUT6\", inside: $EDGE_IN, outside_first: 36000, inside_first: 38000, ports: 2000}"
	fi
	cat >"$RUN/edge.yaml" <<-X
	name: $EDGE_NAME
	instance: $INSTANCE
	user: ${WORKER_USER:-daemon}
	admin: $RUN/edge.sock
	log: ${LOG_LEVEL:-info}
	link:
	  listen: ["$EDGE_IN:7001"]
	  tls: {certificate: "$RUN/pki/${EDGE_CERT:-edge}.pem", key: "$RUN/pki/${EDGE_CERT:-edge}.key", ca: "$RUN/pki/${EDGE_CA:-link-ca}.pem"}
	  cores:
	    - name: $CORE_NAME
	      domains: [$DOMAIN${MORE_DOMAINS:+, $MORE_DOMAINS}]
	sip:
	  listen: ["$EDGE_OUT:5061"$listen6]
	  host: $EDGE_NAME
	  port: 5061
	  tls: {certificate: "$RUN/pki/sip.pem", key: "$RUN/pki/sip.key"}
	  ktls: ${KTLS:-auto}
	  ktls_after_seconds: ${KTLS_AFTER:-2}
	media:
	  rung: ${RUNG:-auto}
	  pairs:
	    - {outside: $EDGE_OUT, inside: $EDGE_IN, outside_first: 36000, inside_first: 36000, ports: 2000}
	$pair6
	${EDGE_LIMITS:+limits:
	$EDGE_LIMITS}
	${EDGE_MORE:-}
	X
}
core_config() {
	local relay=''

	[ "${CORE_MEDIA:-terminate}" = terminate ] ||
		relay="  relay: {rung: ${CORE_RUNG:-auto}, pairs: [{link: $CORE_OUT, ports: 400, joins: 100}]}"
	[ -s "$RUN/token.key" ] || head -c 32 /dev/urandom >"$RUN/token.key"
	cat >"$RUN/core.yaml" <<-X
	name: $CORE_NAME
	instance: $INSTANCE-core
	user: ${WORKER_USER:-daemon}
	admin: $RUN/core.sock
	log: ${LOG_LEVEL:-info}
	token_key: $RUN/token.key
	link:
	  tls: {certificate: "$RUN/pki/${CORE_CERT:-core}.pem", key: "$RUN/pki/${CORE_CERT:-core}.key", ca: "$RUN/pki/${LINK_CA:-link-ca}.pem"}
	  edges:
	    - {name: ${WANT_EDGE:-$EDGE_NAME}, address: "${LINK_ADDR:-$EDGE_IN:7001}", pool: 8}
	${CORE_DNS:+dns: "$CORE_DNS"}
	sip:
	  listen: "$CORE_LAN:5060"
	  tls_listen: "$CORE_LAN:5061"
	  tls: {certificate: "$RUN/pki/core-sip.pem", key: "$RUN/pki/core-sip.key", ca: "$RUN/pki/web-ca.pem"}
	call_servers:
	  - name: kamailio
	    domains: [$DOMAIN]
	    address: "${KAM_ADDRESS:-$KAM:5060}"
	    transport: ${KAM_TRANSPORT:-udp}
	    tls_name: kamailio.$DOMAIN
	    trusted_headers: [X-Trusted-Edge]
	    mode: ${KAM_MODE:-path}
	    media: ${CORE_MEDIA:-terminate}
	${MORE_SERVERS:-}
	media:
	  link: "$CORE_OUT:2776"
	  inside: $CORE_LAN
	  first_port: 36000
	  ports: 2000
	  silence_seconds: ${SILENCE:-60}
	$relay
	${CORE_LIMITS:+limits:
	$CORE_LIMITS}
	${CORE_MORE:-}
	X
}
edge_up() {
	edge_config
	start edge dmz ${SUPERVISE:+python3 "$NET/supervisor.py" "$NET/../../tools/systemd/sallyport-edge.service" "$RUN/edge.sup"} "$B/sallyport-edge" -c "$RUN/edge.yaml"
	wait_for 10 "the edge's SIP listener" tcp_bound dmz "$EDGE_OUT:5061"
	wait_for 10 "the edge's link listener" tcp_bound dmz "$EDGE_IN:7001"
}
core_up() {
	core_config
	start core in ${SUPERVISE:+python3 "$NET/supervisor.py" "$NET/../../tools/systemd/sallyport-core.service" "$RUN/core.sup"} "$B/${CORE_PROG:-sallyport-core}" -c "$RUN/core.yaml"
	wait_for 10 "the core's inside listener" udp_bound in "$CORE_LAN:5060"
}
link_is_up() { ctl core status | py 'd["links"][0]["state"] == "up" and d["links"][0]["pool_idle"] > 0'; }
pair_up() { # certificates, edge, core, and the link between them
	need_prog sallyport-edge sallyport-core sallyctl selftests/net/rtptool selftests/net/pcapcheck
	[ -s "$RUN/pki/edge.pem" ] || pki_up
	edge_up
	core_up
	wait_for 10 "the link up" link_is_up
}

# ctl edge|core COMMAND [ARG]: the daemon's answer as JSON, under its name.
ctl() {
	local d=$1

	shift
	"$B/sallyctl" -j -s "$RUN/$d.sock" "$@"
}
# py EXPRESSION: of d, the JSON on stdin (sallyctl's without its outermost key). A bool is the exit status, anything else is printed.
py() {
	python3 -c 'import json, sys
d = json.load(sys.stdin)
if isinstance(d, dict) and list(d) in (["edge"], ["core"]):
	d = d[list(d)[0]]
r = eval(sys.argv[1])
if isinstance(r, bool):
	sys.exit(0 if r else 1)
print(r)' "$1"
}
no_flows() { ctl edge flows | py 'len(d if isinstance(d, list) else d["flows"]) == 0'; }
live_flows() { # entries of the pinned live map
	bpftool -j map dump pinned "$(pinned live)" 2>/dev/null | py 'len(d)'
}
pinned() { ls -d "/sys/fs/bpf/sallyport/$INSTANCE"/v*/"$1"; }
no_live_flows() { [ "${RUNG:-}" = user ] || [ "$(live_flows)" = 0 ]; } # sockets have no such map

# Datagrams that reached the UDP of the edge's host: sockets, no socket, errors. Media that XDP carries is not among them.
edge_udp_in() { ns dmz cat /proc/net/snmp | awk '/^Udp: [0-9]/ { print $2 + $3 + $4 }'; }

# The usual phones: alice and carol outside over TLS with SRTP, bob inside over UDP with plain RTP.
phones_up() {
	dns_up
	for p; do
		case $p in
		alice) phone_up alice inet "$ALICE" 1 400 "$EDGE_NAME:5061" tls srtp-mand ;;
		carol) phone_up carol inet2 "$CAROL" 3 1000 "$EDGE_NAME:5061" tls srtp-mand ;;
		bob) phone_up bob lan "$BOB" 2 700 "$KAM:5060" udp "${BOB_MEDIAENC:-}" ;;
		esac
	done
	for p; do
		wait_for 15 "$p registered" phone_registered "$p"
	done
}

# A call between two phones, hung up again. talk CALLER CALLEE SECONDS
talk() {
	forget_recordings
	phone "$1" dial "sip:$2@$DOMAIN" >/dev/null
	wait_for 10 "$1 in a call" phone_established "$1"
	wait_for 5 "$2 in a call" phone_established "$2"
	sleep "$3" # the length of the talk, not a condition
	phone "$1" hangup >/dev/null
	wait_for 5 "$1 idle" phone_idle "$1"
	wait_for 5 "$2 idle" phone_idle "$2"
}
both_heard() { # both_heard A B SECONDS: each heard the other's tone
	heard "$1" "$(phone_hz "$2")" "$3" || fail "$1 does not hear $2"
	heard "$2" "$(phone_hz "$1")" "$3" || fail "$2 does not hear $1"
}

# Keys that outside phones negotiated, from their SIP traces: lines `SUITE BASE64`.
negotiated_keys() {
	grep -aho 'a=crypto:[0-9]* [A-Z0-9_]* inline:[A-Za-z0-9+/=]*' "$RUN"/log/phone-{alice,carol}.log 2>/dev/null |
		sed 's/^a=crypto:[0-9]* //;s/inline://' | sort -u
}

# script: a Python body on stdin, with sipclient's names; its failure is the test's.
script() {
	python3 -c 'import sys
sys.path.insert(0, sys.argv[1])
import sipclient
from sipclient import *
src = sys.stdin.read()
sipclient.main(lambda: exec(compile(src, "<test>", "exec"), globals()))' "$NET" || fail "the script"
}
