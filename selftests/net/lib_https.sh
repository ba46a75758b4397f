# shellcheck shell=bash
# selftests/net/lib_https.sh -- web services inside and a web client outside, on lib.sh's bed.
#
# In: sourced after lib.sh, after net_up. Out: functions. Inside ($P-lan): two clusters of call servers and the services about them, a
# real nginx a node, a DNS server for SRV, a WebSocket server; outside ($P-inet): curl.
#
#	cluster hq       cucm1 10.20.0.61, cucm2 .62    users alice, bob
#	cluster branch   cucm3 10.20.0.63, cucm4 .64    users dora (hq knows where she is at home), emil (hq does not)
#	voicemail        vm1 10.20.0.65, vm2 .66
#	files, WebSocket files 10.20.0.67               every node at 8443 (TLS), 6970, 6972 (TLS), 8080: nginx.conf.in
#	wrong            10.20.0.68                     shows the certificate of another name
#
# A user's password is pw-USER. All names end in $INSIDE. What nginx serves and takes lies in $WEB, by default $RUN.

INSIDE=in.$DOMAIN
HTTPS=8443
WEB=${WEB:-$RUN}
INSIDE_DNS=$KAM:5353
declare -A NODE=([cucm1]=10.20.0.61 [cucm2]=10.20.0.62 [cucm3]=10.20.0.63 [cucm4]=10.20.0.64 [vm1]=10.20.0.65 [vm2]=10.20.0.66
	[files]=10.20.0.67 [wrong]=10.20.0.68)
export INSIDE HTTPS WEB

# ---- what the inside answers ------------------------------------------------------------------------------------------

uds_cluster_user() { # uds_cluster_user WWW USER HOME: USER is at home at node HOME, or (no HOME) unknown
	local found=true home=''

	if [ -z "${3:-}" ]; then
		found=false
	else
		home="<homeCluster serversUri=\"https://$3.$INSIDE:8443/cucm-uds/servers\">$3.$INSIDE</homeCluster>"
	fi
	cat >"$1/clusterUser/$2.xml" <<-X
	<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
	<clusterUser uri="https://${3:-any}.$INSIDE:8443/cucm-uds/clusterUser" version="14.0.1"><result version="14.0.1" uri="https://${3:-any}.$INSIDE:8443/cucm-uds/user/$2" found="$found"/>$home</clusterUser>
	X
}
uds_user() { # uds_user WWW USER NODE: of this cluster
	local hash

	mkdir -p "$1/user/$2"
	hash=$(openssl passwd -apr1 "pw-$2")
	echo "$2:$hash" >"$1/htpasswd/$2"
	echo "$2:$hash" >>"$1/htpasswd/all"
	cat >"$1/user/$2.xml" <<-X
	<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
	<user uri="https://$3.$INSIDE:8443/cucm-uds/user/$2" version="14.0.1"><id>$2</id><userName>$2</userName><displayName>${2^}</displayName><enabled>true</enabled></user>
	X
	cat >"$1/user/$2/devices.xml" <<-X
	<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
	<devices uri="https://$3.$INSIDE:8443/cucm-uds/user/$2/devices" version="14.0.1"><device><name>CSF${2^^}</name><type>Client Services Framework</type></device></devices>
	X
	printf '<device><sipProfile><user>%s</user></sipProfile><!-- %s --></device>\n' "$2" "$(printf 'x%.0s' {1..2000})" >"$1/tftp/CSF${2^^}.cnf.xml"
}
uds_www() { # uds_www CLUSTER NODE NODE: the folder of a cluster, without users
	local d=$WEB/www/$1

	mkdir -p "$d"/{clusterUser,user,users,htpasswd,tftp,files,vmrest}
	uds_cluster_user "$d" unknown
	printf '<servers version="14.0.1"><server>%s</server><server>%s</server></servers>\n' "$2.$INSIDE" "$3.$INSIDE" >"$d/servers.xml"
	printf '<users version="14.0.1" totalCount="0"/>\n' >"$d/users/unknown.xml"
	printf '<users version="14.0.1" totalCount="2"><user><userName>smith</userName></user><user><userName>smythe</userName></user></users>\n' \
		>"$d/users/sm.xml"
	printf '<config version="1.0"><Directory><BDIPrimary>uds</BDIPrimary></Directory></config>\n' >"$d/tftp/jabber-config.xml"
}
more_users() { # more_users FOLDER NODE NAME...: of a cluster, at home at that node, known in both; after inside_up
	local u

	for u in "${@:3}"; do
		uds_user "$WEB/www/$1" "$u" "$2"
		uds_cluster_user "$WEB/www/hq" "$u" "$2"
		uds_cluster_user "$WEB/www/branch" "$u" "$2"
	done
}
www_up() {
	local d u

	uds_www hq cucm1 cucm2
	uds_www branch cucm3 cucm4
	for u in alice bob; do uds_user "$WEB/www/hq" $u cucm1; done
	for u in dora emil; do uds_user "$WEB/www/branch" $u cucm3; done
	for d in hq branch; do
		for u in alice bob; do uds_cluster_user "$WEB/www/$d" $u cucm1; done
		uds_cluster_user "$WEB/www/$d" dora cucm3
	done
	uds_cluster_user "$WEB/www/branch" emil cucm3
	d=$WEB/www/services
	mkdir -p "$d"/{files,vmrest,tftp}
	ln -s "$WEB/www/hq/htpasswd" "$d/htpasswd"
	printf '<Messages total="1"><Message><Subject>call me back</Subject></Message></Messages>\n' >"$d/vmrest/messages.xml"
	head -c 1024 /dev/urandom >"$d/files/1k.bin"
	head -c 65536 /dev/urandom >"$d/files/64k.bin"
}

# ---- the servers ------------------------------------------------------------------------------------------------------

nginx_up() { # nginx_up NODE FOLDER: FOLDER of $WEB/www. Environment: NGINX_CERT (base name in $RUN/pki; default the node's own)
	local ip=${NODE[$1]} d=$WEB/nginx/$1

	mkdir -p "$d"
	[ -s "$RUN/pki/inside-ca.pem" ] || pki_ca inside-ca
	[ -s "$RUN/pki/${NGINX_CERT:-$1}.pem" ] || pki_issue inside-ca "$1" "$1.$INSIDE" "$ip"
	ip -n "$P-lan" addr replace "$ip/24" dev l0
	sed -e "s#@NAME@#$1#g;s#@IP@#$ip#g;s#@DIR@#$d#g;s#@WWW@#$WEB/www/$2#g;s#@PKI@#$RUN/pki#g;s#@CERT@#${NGINX_CERT:-$1}#g" \
		-e "s#@LOG@#$RUN/log/$1-access.log#g" "$NET/nginx.conf.in" >"$d/conf"
	start "$1" lan nginx -e stderr -p "$d" -c "$d/conf"
	NODES_STARTED="${NODES_STARTED:-} $1"
}
nodes_listening() {
	local n

	for n in ${NODES_STARTED:-}; do
		wait_for 10 "nginx of $n" tcp_bound lan "${NODE[$n]}:8443"
	done
	NODES_STARTED=
}
inside_dns_up() { # SRV and addresses as the inside sees them; _cuplogin does not exist
	local n args=()

	for n in "${!NODE[@]}"; do args+=("--host-record=$n.$INSIDE,${NODE[$n]}"); done
	start inside-dns lan dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
		--listen-address="$KAM" --port=5353 --local="/$DOMAIN/" "${args[@]}" \
		--srv-host="_cisco-uds._tcp.$DOMAIN,cucm1.$INSIDE,8443,10,20" --srv-host="_cisco-uds._tcp.$DOMAIN,cucm2.$INSIDE,8443,20,30" \
		--srv-host="_cisco-phone-tftp._tcp.$DOMAIN,cucm1.$INSIDE,69,5,6"
	wait_for 5 "DNS inside" udp_bound lan "$INSIDE_DNS"
}
# inside_up [NODE...]: the nodes named, all by default, DNS and the WebSocket server.
inside_up() {
	local n

	need nginx dnsmasq curl dig openssl
	www_up
	[ $# -gt 0 ] || set -- cucm1 cucm2 cucm3 cucm4 vm1 vm2 files wrong
	for n; do
		case $n in
		cucm[12]) nginx_up "$n" hq ;;
		cucm*) nginx_up "$n" branch ;;
		wrong)
			pki_issue inside-ca other "other.$INSIDE"
			NGINX_CERT=other nginx_up wrong services
			;;
		files)
			start wsecho lan "$NET/wsecho.py" serve 8070
			nginx_up files services
			;;
		*) nginx_up "$n" services ;;
		esac
	done
	inside_dns_up
	nodes_listening
}
# How often a node was asked for what matches REGEX: asked NODE REGEX, of lines `METHOD URI STATUS ...`.
asked() { grep -Ec -- "$2" "$RUN/log/$1-access.log" || true; }

# ---- the daemons ------------------------------------------------------------------------------------------------------

token_key() { # token_key NAME: a signing key of the core
	[ -s "$RUN/pki/$1.key" ] || openssl genpkey -algorithm ed25519 -out "$RUN/pki/$1.key" 2>>"$RUN/log/pki.log"
}
started() { # started SUFFIX NODE...: a YAML list of those nodes that inside_up started
	local n out=''

	for n in "${@:2}"; do
		[ ! -s "$RUN/pids/$n" ] || out="$out${out:+, }\"$n.$INSIDE$1\""
	done
	echo "$out"
}
# https_config, after inside_up: sets EDGE_MORE, CORE_MORE and CORE_DNS for lib.sh's edge_config and core_config. Environment: TOKEN_KEYS (names, the first
# signs), TOKEN_SECONDS, ALLOW (YAML lines, four spaces in), EDGE_HTTPS, CORE_HTTPS (YAML lines, two spaces in).
https_config() {
	local k keys='' hq branch vm

	hq=$(started "" cucm1 cucm2) branch=$(started "" cucm3 cucm4) vm=$(started :8443 vm1 vm2)
	for k in ${TOKEN_KEYS:-token1}; do
		token_key "$k"
		keys="$keys${keys:+, }\"$RUN/pki/$k.key\""
	done
	CORE_DNS=$INSIDE_DNS
	EDGE_MORE=$(
		cat <<-X
		https:
		  listen: ["$EDGE_OUT:$HTTPS"]
		  host: $EDGE_NAME
		  port: $HTTPS
		${EDGE_HTTPS:-}
		X
	)
	CORE_MORE=$(
		cat <<-X
		https:
		  token_keys: [$keys]
		  token_seconds: ${TOKEN_SECONDS:-28800}
		  tls: {ca: "$RUN/pki/inside-ca.pem"}
		  clusters:
		    - name: hq
		      domains: [$DOMAIN]
		      nodes: [$hq]
		      tftp: [${NODE[cucm1]}, cucm2.$INSIDE]
		      ${vm:+voicemail: [$vm]}
		${branch:+    - {name: branch, domains: [$DOMAIN], nodes: [$branch]\}}
		  allow:
		    - {url: "https://files.$INSIDE:8443/files/", match: prefix, methods: [GET, HEAD, PUT]}
		    - {url: "https://files.$INSIDE:8443/ws/echo", match: exact, methods: [GET]}
		    - {url: "https://wrong.$INSIDE:8443/files/", match: prefix, methods: [GET]}
		${ALLOW:-}
		${CORE_HTTPS:-}
		X
	)
	export EDGE_MORE CORE_MORE CORE_DNS
}
https_up() { # https_up [NODE...]: the inside, edge and core with https
	inside_up "$@"
	https_config
	pair_up
	wait_for 10 "the edge's HTTPS listener" tcp_bound dmz "$EDGE_OUT:$HTTPS"
}

# ---- the client -------------------------------------------------------------------------------------------------------

# dns_up's server as the internet has it.
out_dig() { ns inet dig +short +time=2 +tries=1 @203.0.113.53 "$@"; }
b64() { printf %s "$1" | b64_of; }
# What a client makes of a URL of the inside: relay_url https|http HOST PORT PATH?QUERY
relay_url() { echo "https://$EDGE_NAME:$HTTPS/$(b64 "${URL_DOMAIN:-$DOMAIN}/$1/$2/$3")$4"; }
edge_url() { echo "https://$EDGE_NAME:$HTTPS/$(b64 "${URL_DOMAIN:-$DOMAIN}")/$1"; } # a service of the edge's own
config_url() { edge_url "get_edge_config?service_name=_cisco-uds&service_name=_cuplogin"; }
# As a client on the internet. Environment: FROM (source address), VIA (address of the edge).
client() {
	ns inet curl -sS --http1.1 --cacert "$RUN/pki/web-ca.pem" --resolve "$EDGE_NAME:$HTTPS:${VIA:-$EDGE_OUT}" --max-time "${MAX_TIME:-30}" \
		${FROM:+--interface "$FROM"} "$@"
}
# Status alone, body to $RUN/body, head to $RUN/head.
status() { client -D "$RUN/head" -o "$RUN/body" -w '%{http_code}' "$@"; }
# want STATUS WHAT CURL-ARGUMENTS...; environment: WANT_MARK, before the line
want() {
	local st status=$1 what=$2

	shift 2
	st=$(status "$@") || fail "$what: curl ended with $?, status $st"
	[ "$st" = "$status" ] || fail "$what: status $st, not $status: $(head -c 300 "$RUN/body")"
	say "${WANT_MARK-  }$status $what"
}
jar() { echo "$RUN/jar-$1"; }
logon() { # logon USER [PASSWORD]: by get_edge_config; the token is in jar USER. FROM as above
	want 200 "$1 logs on" -u "$1:${2:-pw-$1}" -c "$(jar "$1")" "$(config_url)"
	grep -q X-Auth "$(jar "$1")" || fail "no X-Auth cookie for $1: $(cat "$RUN/head")"
}
token_of() { awk '$6 == "X-Auth" { print $7 }' "$(jar "$1")"; }
ws_echo() { # ws_echo USER: frames to the echo server and back
	local url

	url=$(relay_url https "files.$INSIDE" 8443 /ws/echo)
	ns inet "$NET/wsecho.py" ask "wss${url#https}" "$EDGE_OUT" "$RUN/pki/web-ca.pem" "Cookie: X-Auth=$(token_of "$1")"
}
sha() { sha256sum "$1" | cut -d' ' -f1; }

# mint KEY SUB DOM IAT EXP: a token as the core makes it, signed with a key of token_key; times in seconds from now.
mint() {
	local key=$RUN/pki/$1.key now kid text

	[ -s "$key.kid" ] || openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | openssl dgst -sha256 -binary | head -c 8 | b64_of >"$key.kid"
	now=$(date +%s) kid=$(cat "$key.kid")
	text=$(printf '{"alg":"EdDSA","kid":"%s"}' "$kid" | b64_of).$(printf '{"sub":"%s","dom":"%s","iat":%d,"exp":%d,"jti":"%s"}' "$2" "$3" \
		$((now + $4)) $((now + $5)) "$(head -c 16 /dev/urandom | b64_of)" | b64_of)
	printf %s "$text" >"$RUN/mint"
	echo "$text.$(openssl pkeyutl -sign -inkey "$key" -rawin -in "$RUN/mint" | b64_of)"
}
b64_of() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

# ---- memory -----------------------------------------------------------------------------------------------------------

# KiB of anonymous memory of a daemon's worker: held edge|core
held() { awk '/^RssAnon/ { print $2 }' "/proc/$(worker_of "$1")/status"; }

# script_web: as script, with webclient's names too.
script_web() { { echo "from webclient import *"; cat; } | script; }
