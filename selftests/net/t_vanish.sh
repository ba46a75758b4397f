#!/bin/bash
# t_vanish.sh -- a client disappears without a word: the call ends by silence, the binding by its expiry
#
#	203.0.113.50 alice --+                                          +-- Kamailio 10.20.0.30
#	203.0.113.51 carol --+--tls-- edge (dmz) ==link== core (inside) --+-- bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
SILENCE=4
net_up
kamailio_up
pair_up
script <<'PY'
a, b = Ua("alice"), inside()
check(a.register(expires=12).status == 200, "alice registers for 12 s")
check("alice" in json.dumps(admin("core", "regs")), "the core has the binding")
call = Call(a, b)
x, y = call.media(2)
tones(x.result(), y.result(), 1200, 600)
step("alice's network is gone")
r = ns_run("inet", "nft", f"add table ip gone; add chain ip gone out {{ type filter hook output priority 0; }}; "
           f"add rule ip gone out ip saddr {a.ip} drop; add chain ip gone inp {{ type filter hook input priority 0; }}; "
           f"add rule ip gone inp ip daddr {a.ip} drop")
check(r.returncode == 0, r.stderr)
bye = b.expect("BYE", 15)
b.reply(bye, 200, "OK")
step("BYE came inside")
flows_gone(10)
wait_until(20, "the binding to end", lambda: "alice" not in json.dumps(admin("core", "regs")))
d, _ = b.invite(a.aor, make_sdp(b.ip, 41000), final=False)
check(d.final(15).status in (404, 408, 430, 480), "alice cannot be called any more")
PY
no_live_flows || fail "entries left in the live map"
