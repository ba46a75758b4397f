# shellcheck shell=bash
# selftests/net/lib_xmpp.sh -- chat servers and clients, on top of lib.sh (source that first).
#
# In: the test's words. Out: Prosody in $P-lan or elsewhere, its certificates and accounts; slixmpp clients by chat(). Accounts have the password
# pw-USER. A Prosody is NAME with its files in $RUN/NAME, ended by net_down like all else.

IM=10.20.0.60
export IM

need_chat() {
	need prosody
	/usr/bin/python3 -c 'import slixmpp' 2>/dev/null || skip "no slixmpp here (tools/deps test)"
}

# im_cert FILE DOMAIN...: a certificate of web-ca for all of these names.
im_cert() {
	local f=$1 d san='' dir=$RUN/pki

	shift
	[ -s "$dir/web-ca.pem" ] || pki_ca web-ca
	for d; do san="$san,DNS:$d"; done
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$dir/$f.key" \
		-out "$dir/$f.csr" 2>>"$RUN/log/pki.log"
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n' \
		"${san#,}" >"$dir/$f.ext"
	openssl x509 -req -in "$dir/$f.csr" -CA "$dir/${IM_CA:-web-ca}.pem" -CAkey "$dir/${IM_CA:-web-ca}.key" -CAcreateserial -days 2 \
		-extfile "$dir/$f.ext" -out "$dir/$f.pem" 2>>"$RUN/log/pki.log"
	chmod 644 "$dir/$f.key" "$dir/$f.pem"
}

# im_account NAME DOMAIN USER...: as mod_auth_internal_plain reads it, without half a second of prosodyctl each.
im_account() {
	local name=$1 host=$2 u d

	shift 2
	host=$(printf %s "$host" | sed 's/\./%2e/g;s/-/%2d/g')
	d=$RUN/$name/data/$host/accounts
	mkdir -p "$d"
	for u; do printf 'return { ["password"] = "pw-%s"; };\n' "$u" >"$d/$u.dat"; done
}

# prosody_at NAME NS IP DEV DOMAIN...: with a room service conference.DOMAIN each. Environment: IM_MORE (Lua, global section), IM_MODULES
# (quoted names), IM_S2S=1, IM_USERS, IM_NO_ROOMS=1.
prosody_at() {
	local name=$1 n=$2 ip=$3 dev=$4 d dir

	shift 4
	dir=$RUN/$name
	mkdir -p "$dir"/{data,certs}
	[ -s "$RUN/pki/$name.pem" ] || im_cert "$name" "$@"
	ip -n "$P-$n" addr replace "$ip/24" dev "$dev"
	{
		cat <<-X
		pidfile = "$dir/pid"
		data_path = "$dir/data"
		run_as_root = true
		interfaces = { "$ip" }
		local_interfaces = { "127.0.0.1" }
		c2s_ports = { 5222 }
		c2s_direct_tls_ports = { 5223 }
		s2s_ports = { 5269 }
		component_ports = {}
		http_ports = {}
		https_ports = {}
		modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq", "smacks", "offline"${IM_S2S:+, "dialback", "s2s_auth_certs"}${IM_MODULES:+, $IM_MODULES} }
		modules_disabled = { ${IM_S2S:+-- }"s2s"
		}
		authentication = "internal_plain"
		storage = "internal"
		c2s_require_encryption = true
		smacks_hibernation_time = 60
		ssl = { key = "$RUN/pki/$name.key"; certificate = "$RUN/pki/$name.pem"; cafile = "$RUN/pki/web-ca.pem" }
		c2s_direct_tls_ssl = ssl
		log = { { levels = { min = "${IM_LOG:-info}" }, to = "console" } }
		${IM_MORE:-}
		X
		for d; do
			printf 'VirtualHost "%s"\n' "$d"
			[ -n "${IM_NO_ROOMS:-}" ] || printf 'Component "conference.%s" "muc"\nmuc_room_default_public = true\nrestrict_room_creation = false\nmuc_room_locking = false\n' "$d"
		done
	} >"$dir/prosody.cfg.lua"
	for d; do
		# shellcheck disable=SC2086
		im_account "$name" "$d" ${IM_USERS:-alice bob carol}
	done
	start "$name" "$n" prosody --config "$dir/prosody.cfg.lua" -F
}
prosody_ready() { wait_for 10 "$1 listening" tcp_bound "$2" "$3:5222"; }
# The usual one.
prosody_up() { # prosody_up [DOMAIN...]
	need_chat
	prosody_at prosody lan "$IM" l0 "${@:-$DOMAIN}"
	prosody_ready prosody lan "$IM"
}

# chat_sections [NODES] [MORE]: EDGE_MORE and CORE_MORE for one cluster of $CHAT_DOMAINS (default: $DOMAIN); MORE: lines of the core's
# xmpp section.
chat_sections() {
	[ -s "$RUN/pki/xmpp.pem" ] || im_cert xmpp "$EDGE_NAME" "$DOMAIN" "*.$DOMAIN"
	EDGE_MORE="xmpp:
  listen: [\"$EDGE_OUT:5222\"]
  tls_listen: [\"$EDGE_OUT:5223\"]
  host: $EDGE_NAME
  tls: {certificate: \"$RUN/pki/xmpp.pem\", key: \"$RUN/pki/xmpp.key\"}
${CHAT_EDGE:-}"
	CORE_MORE="xmpp:
  clusters:
    - {name: im, domains: [${CHAT_DOMAINS:-$DOMAIN}], nodes: [${1-$IM}], tls: ${IM_TLS:-starttls}, ca: \"$RUN/pki/web-ca.pem\"}
${2:-}"
	export EDGE_MORE CORE_MORE
}
chat_streams() { ctl core status | py "d['xmpp']['admitted'] == $1"; }

# chat: a Python body on stdin, inside of an async function, with xmppclient's names; its failure is the test's.
chat() {
	timeout "$((60 * ${PATIENCE:-1}))" /usr/bin/python3 -c 'import sys
sys.path.insert(0, sys.argv[1])
import xmppclient
xmppclient.main(sys.stdin.read())' "$NET" || fail "the script"
}
