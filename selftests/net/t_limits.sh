#!/bin/bash
# t_limits.sh -- a user's calls and ports have a bound: over it 503 with Retry-After, nothing leaks, and it works again afterwards
#
#	203.0.113.50 alice --tls-- edge (dmz) ==link== core (inside) -- Kamailio 10.20.0.30, bob 10.20.0.40
set -eu
. "$(dirname "$0")/lib.sh"
net_isolate "$@"
need kamailio nft ethtool
net_up
kamailio_up
over() { # three calls of one user where two are allowed
	script <<-'PY'
	SUITE = "AES_CM_128_HMAC_SHA1_80"
	a, b = outside(), inside()


	def ring(n):
	    d, _ = a.invite(b.aor, make_sdp(a.ip, 40000 + 2 * n, [(SUITE, new_key(SUITE))]), final=False)
	    r = a.wait("an answer", lambda m: m.status >= 200 and m.branch == d.branch)
	    a.inbox.insert(0, r)
	    if r.status != 407:
	        return d, None, d.final()
	    d.challenged()
	    try:
	        i = b.expect("INVITE", 2)
	    except Failed:
	        return d, None, d.final()
	    b.reply(i, 180, "Ringing", totag=f"t{n}")
	    d.provisional(180)
	    return d, i, None


	for again in range(2):
	    one, two, three = ring(0), ring(1), ring(2)
	    check(one[1] and two[1], "two calls ring")
	    r = three[2]
	    check(r and r.status == 503 and r.get("retry-after"), f"503 with Retry-After, not {r and r.text()}")
	    step(f"third: {r.start}, Retry-After: {r.get('retry-after')}")
	    for n, (d, i, _) in enumerate((one, two)):
	        b.reply(i, 486, "Busy Here", totag=f"t{n}")
	        check(d.final().status == 486, "486")
	        b.expect("ACK")
	    flows_gone()
	PY
}
say "calls of a user"
CORE_LIMITS='  calls_user: 2' pair_up
over
stop core
stop edge
say "flows of a client address"
EDGE_LIMITS='  flows_stream: 4' edge_up
core_up
wait_for 10 "the link up" link_is_up
over
