/* tools/doctor_judge_net.c -- rules for sockets, servers, the link and the clock. See doctor_rules.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_rules.h"

#define EPHEMERAL_FEW  1024
#define CLOCK_WARN_S   5
#define CLOCK_REFUSE_S 300 /* http_token.h: HTTP_TOKEN_SKEW_S */

/* ---- sockets ---- */

/* @port lies in one of "8080,9148-9150". */
static bool reserved(const char *text, long port)
{
	char *end;

	while (*text >= '0' && *text <= '9') {
		long first = strtol(text, &end, 10), last = first;

		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (port >= first && port <= last)
			return true;
		text = *end == ',' ? end + 1 : end;
	}
	return false;
}

static void rule_media(struct judge *j, const json_t *m, const char *text)
{
	long first = (long)number_of(m, "first", 0), last = (long)number_of(m, "last", 0), p,
	     missing = 0;
	const json_t *taken = json_object_get(m, "taken"), *port;
	char ports[100] = "";
	size_t i, at = 0;

	if (!flag_of(m, "kernel", false))
		return;
	for (p = first; p <= last && p < 65536; p++)
		missing += !reserved(text, p);
	if (missing && part(j, "status")) { /* else: the daemon reserves them when it starts */
		say(j, SEV_WARN, "port.reserved",
		    "media ports %ld-%ld (%s, %s): %ld of them are not in "
		    "net.ipv4.ip_local_reserved_ports",
		    first, last, text_of(m, "what"), text_of(m, "address"), missing);
		mend(j,
		     "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%ld-%ld; and take out of "
		     "/etc/sysctl.d what sets it otherwise (the daemon adds its range when it "
		     "starts)",
		     text, *text ? "," : "", first, last);
	}
	json_array_foreach(taken, i, port)
	{
		if (at < sizeof(ports))
			at += (size_t)snprintf(ports + at, sizeof(ports) - at, "%s%lld",
					       at ? ", " : "", (long long)json_integer_value(port));
	}
	if (at) {
		say(j, SEV_WARN, "port.taken",
		    "udp port %s of the media ports %ld-%ld (%s) belongs to another program", ports,
		    first, last, text_of(m, "what"));
		mend(j,
		     "ss -Hlunp sport = :%lld tells which; give it another port, or media.pairs "
		     "another range",
		     (long long)json_integer_value(json_array_get(taken, 0)));
	}
	if (!missing && !json_array_size(taken))
		say(j, SEV_OK, "port.media", "media ports %ld-%ld (%s, %s) are reserved and free",
		    first, last, text_of(m, "what"), text_of(m, "address"));
}

/* A daemon that does not run is a finding of its own; who else has its port is one more. */
static void rule_listener(struct judge *j, const json_t *l)
{
	const char *proto = text_of(l, "proto"), *at = text_of(l, "address"),
		   *what = text_of(l, "what");
	const char *colon = strrchr(at, ':');
	bool bound = flag_of(l, "bound", false);
	const char *error = text_of(j->node, "status_error");
	bool gone =
		!strcmp(error, "No such file or directory") || !strcmp(error, "Connection refused");

	if (bound && part(j, "status")) {
		say(j, SEV_OK, "port.listen", "%s %s (%s) is bound", proto, at, what);
	} else if (bound && gone) {
		say(j, SEV_FAIL, "port.listen",
		    "%s %s (%s) is bound, though sallyport-%s does not answer: by another program?",
		    proto, at, what, j->role);
		mend(j, "ss -Hl%cnp sport = %s tells which; end it, or give it another port",
		     proto[0], colon ? colon : at);
	} else if (part(j, "status")) {
		say(j, SEV_FAIL, "port.listen", "nobody listens on %s %s (%s)", proto, at, what);
		mend(j,
		     "ip addr shows if this host has the address; systemctl restart sallyport-%s "
		     "(a reload opens no listener)",
		     j->role);
	}
}

void judge_sockets(struct judge *j)
{
	const json_t *l, *m, *ports = part(j, "ports");
	long first = (long)number_of(ports, "local_first", 32768),
	     last = (long)number_of(ports, "local_last", 60999), p, left = 0;
	const char *text = text_of(ports, "reserved");
	size_t i;

	json_array_foreach(part(j, "listeners"), i, l)
	{
		rule_listener(j, l);
	}
	json_array_foreach(json_object_get(ports, "media"), i, m)
	{
		rule_media(j, m, text);
	}
	if (!ports)
		return;
	for (p = first; p <= last && p < 65536; p++)
		left += !reserved(text, p);
	if (left < EPHEMERAL_FEW) {
		say(j, SEV_WARN, "port.few",
		    "%ld ports are left for outgoing connections (%ld-%ld without the reserved "
		    "ones)",
		    left, first, last);
		mend(j, "sysctl -w net.ipv4.ip_local_port_range='16384 60999', or fewer ports of "
			"media");
	}
}

/* ---- servers ---- */

static bool probe_good(const json_t *p)
{
	return !*text_of(p, "error") && !*text_of(p, "tls");
}

/* What is wrong with it, in words. */
static const char *probe_why(const json_t *p)
{
	return *text_of(p, "error") ? text_of(p, "error") : text_of(p, "tls");
}

/* The core's own word: it hears the call server. */
static bool heard(const struct judge *j, const char *name)
{
	const json_t *s, *t;
	size_t i, k;

	json_array_foreach(json_object_get(part(j, "status"), "call_servers"), i, s)
	{
		json_array_foreach(json_object_get(s, "targets"), k, t)
		{
			if (!strcmp(text_of(s, "call_server"), name) &&
			    !strcmp(text_of(t, "state"), "up"))
				return true;
		}
	}
	return false;
}

static bool another_good(const struct judge *j, const json_t *than)
{
	const json_t *p;
	size_t i;

	json_array_foreach(part(j, "probes"), i, p)
	{
		if (p != than && !strcmp(text_of(p, "group"), text_of(than, "group")) &&
		    !strcmp(text_of(p, "what"), text_of(than, "what")) && probe_good(p))
			return true;
	}
	return false;
}

static void rule_server(struct judge *j, const json_t *p)
{
	const char *group = text_of(p, "group"), *what = text_of(p, "what"),
		   *at = text_of(p, "address"), *kind = text_of(p, "kind");
	const char *id = !strcmp(group, "call")	  ? "server.call"
			 : !strcmp(group, "chat") ? "server.chat"
						  : "server.web";
	bool call = !strcmp(group, "call");
	/* A server may answer its peers only, and not a stranger's OPTIONS: then the core's word counts. */
	bool hears = call && !strncmp(text_of(p, "error"), "no answer", 9) && heard(j, what);
	enum sev sev;

	if (probe_good(p)) {
		say(j, SEV_OK, id, "%s: %s (%s, %s) answers%s%s", what, text_of(p, "host"), at,
		    kind, *text_of(p, "answer") ? ": " : "", text_of(p, "answer"));
		return;
	}
	sev = another_good(j, p) || hears ? SEV_WARN : SEV_FAIL;
	say(j, sev, id, "%s: %s (%s, %s): %s%s", what, text_of(p, "host"), at, kind, probe_why(p),
	    sev == SEV_FAIL ? ""
	    : hears	    ? "; the core hears from it"
			    : "; others of it answer");
	if (!*text_of(p, "error"))
		mend(j,
		     "give that server a certificate with the name %s by a CA of the ca file, or "
		     "set tls_name or ca in %s",
		     text_of(p, "name"), text_of(j->node, "config"));
	else if (call)
		mend(j,
		     "start it; let the inner firewall pass %s from the core to %s; correct "
		     "address and transport of call server %s in %s",
		     !strcmp(kind, "sip-udp") ? "udp" : "tcp", at, what,
		     text_of(j->node, "config"));
	else
		mend(j,
		     "start it; let the inner firewall pass tcp from the core to %s; correct %s in "
		     "%s",
		     at, !strcmp(group, "chat") ? "xmpp.clusters" : "https.clusters",
		     text_of(j->node, "config"));
}

static void rule_client(struct judge *j, const json_t *p)
{
	const char *what = text_of(p, "what"), *at = text_of(p, "address"),
		   *host = text_of(p, "host"), *kind = text_of(p, "kind");
	const char *answer = text_of(p, "answer");
	int code = 0;

	sscanf(answer, "%*s %d", &code);
	if (*text_of(p, "error") && !*text_of(p, "fingerprint") &&
	    !strstr(text_of(p, "error"), "TLS") && strcmp(kind, "xmpp") != 0) {
		say(j, SEV_FAIL, "reach.connect", "%s: %s (%s): %s", what, host, at,
		    text_of(p, "error"));
		mend(j,
		     "let the outer firewall pass tcp to %s, to the edge if there is NAT; on the "
		     "edge: sallyctl doctor",
		     at);
	} else if (*text_of(p, "error") && !*text_of(p, "fingerprint") &&
		   !strstr(text_of(p, "error"), "TLS")) {
		say(j, SEV_FAIL, "reach.connect", "%s: %s (%s): %s", what, host, at,
		    text_of(p, "error"));
		mend(j,
		     "let the outer firewall pass tcp to %s, without a proxy of its own for chat; "
		     "on the edge: sallyctl doctor",
		     at);
	} else if (*text_of(p, "tls") || !*text_of(p, "fingerprint")) {
		if (!strcmp(kind, "tcp") && !*text_of(p, "error")) {
			say(j, SEV_OK, "reach", "%s: %s accepts connections", what, at);
			return;
		}
		say(j, SEV_FAIL, "reach.tls", "%s: %s (%s): %s", what, host, at, probe_why(p));
		mend(j, "on the edge: sallyctl doctor tells which certificate; where clients have "
			"a CA of yours: --ca FILE");
	} else if (*text_of(p, "error")) {
		say(j, SEV_FAIL, "reach.answer", "%s: %s (%s): %s", what, host, at,
		    text_of(p, "error"));
		mend(j, "on the edge and on the core: sallyctl doctor");
	} else if ((!strcmp(kind, "edge") && code != 401) ||
		   (!strncmp(kind, "sip", 3) && (code < 200 || code >= 500))) {
		say(j, SEV_FAIL, "reach.answer", "%s: %s (%s) answers \"%s\"", what, host, at,
		    answer);
		mend(j, "on the edge and on the core: sallyctl doctor (is the link up, does a core "
			"serve this domain, do its servers answer?)");
	} else {
		say(j, SEV_OK, "reach", "%s: %s (%s) answers: %s", what, host, at, answer);
	}
}

static void rule_own(struct judge *j, const json_t *p)
{
	const char *error = text_of(p, "error");

	if (!*error || !strcmp(error, "Connection refused")) /* port.listen */
		return;
	say(j, SEV_FAIL, "reach.tls", "%s on %s: %s", text_of(p, "what"), text_of(p, "address"),
	    error);
	mend(j, "journalctl -u sallyport-%s -n 50; nft list ruleset", j->role);
}

void judge_probes(struct judge *j)
{
	const json_t *p;
	size_t i;

	json_array_foreach(part(j, "probes"), i, p)
	{
		const char *group = text_of(p, "group");

		if (!strcmp(group, "client"))
			rule_client(j, p);
		else if (!strcmp(group, "own"))
			rule_own(j, p);
		else if (strcmp(group, "link") != 0)
			rule_server(j, p);
	}
}

/* ---- the link ---- */

static const json_t *link_probe(const struct judge *j, const char *edge)
{
	const json_t *p;
	size_t i;

	json_array_foreach(part(j, "probes"), i, p)
	{
		if (!strcmp(text_of(p, "group"), "link") && !strcmp(text_of(p, "what"), edge))
			return p;
	}
	return NULL;
}

/* Why the core's link to @edge is down, by what a handshake of our own met. */
static void link_down_core(struct judge *j, const char *edge, const char *last)
{
	const json_t *p = link_probe(j, edge);
	const char *error = text_of(p, "error"), *tls = text_of(p, "tls"),
		   *at = text_of(p, "address");
	const char *config = text_of(j->node, "config");

	if (*error && !strstr(error, "TLS")) {
		say(j, SEV_FAIL, "link", "edge %s (%s) is not reached: %s", edge, at, error);
		mend(j,
		     "start sallyport-edge there; let the inner firewall pass tcp from the core to "
		     "%s; correct link.edges in %s",
		     at, config);
	} else if (*error) {
		say(j, SEV_FAIL, "link", "edge %s (%s) refuses the link: %s%s%s", edge, at, error,
		    *last ? "; the core says: " : "", last);
		mend(j, "both certificates must be of the CA in link.tls.ca on the other side: "
			"sallyctl pki show FILE, on both; sallyctl pki issue DIR NAME");
	} else if (*tls) {
		say(j, SEV_FAIL, "link", "edge %s (%s) shows the wrong certificate: %s", edge, at,
		    tls);
		mend(j,
		     "sallyctl pki issue DIR %s for the edge, or correct the name in link.edges of "
		     "%s",
		     edge, config);
	} else {
		say(j, SEV_FAIL, "link", "the link to edge %s is down%s%s", edge, *last ? ": " : "",
		    last);
		mend(j,
		     "on the edge: sallyctl doctor; link.cores there must name this core (%s) as "
		     "its certificate does",
		     text_of(j->node, "name"));
	}
}

static void rule_link(struct judge *j, const json_t *l)
{
	bool core = is_role(j, "core");
	const char *peer = text_of(l, core ? "edge" : "core"),
		   *last = text_of(json_object_get(part(j, "status"), "link"), "last_error");

	if (!strcmp(text_of(l, "state"), "up")) {
		say(j, SEV_OK, "link", "the link to %s has been up for %lld s", peer,
		    number_of(l, "up_s", 0));
		if (!number_of(l, "pool_idle", 1) && number_of(l, "up_s", 0) > 10) {
			say(j, SEV_WARN, "link.pool",
			    "no idle connection is left in the pool to %s", peer);
			mend(j, "raise pool of link.edges on the core");
		}
		return;
	}
	if (core) {
		link_down_core(j, peer, last);
		return;
	}
	say(j, SEV_FAIL, "link", "core %s has no link to this edge%s%s", peer,
	    *last ? "; the last that came was refused: " : "", last);
	mend(j, "on the core: sallyctl doctor (only it dials; it tells what is in the way)");
}

void judge_link(struct judge *j)
{
	const json_t *status = part(j, "status"), *l;
	size_t i;

	if (is_role(j, "outside"))
		return;
	json_array_foreach(json_object_get(status, "links"), i, l)
	{
		rule_link(j, l);
	}
	if (status)
		return;
	json_array_foreach(part(j, "edges"), i,
			   l) /* the daemon does not run: what would it meet? */
	{
		const json_t *p = link_probe(j, text_of(l, "name"));

		if (p && !probe_good(p))
			link_down_core(j, text_of(l, "name"), "");
	}
}

/* ---- clock ---- */

static void apart(struct judge *j, const char *who, const char *by, long long s, bool session)
{
	long long n = s < 0 ? -s : s;

	if (n <= CLOCK_WARN_S) {
		say(j, SEV_OK, "clock.peer", "the clock agrees with that of %s (%s)", who, by);
		return;
	}
	say(j, session && n >= CLOCK_REFUSE_S ? SEV_FAIL : SEV_WARN, "clock.peer",
	    "this clock is %lld s %s that of %s (%s)", n, s > 0 ? "ahead of" : "behind", who, by);
	mend(j, "on both: timedatectl set-ntp true; timedatectl timesync-status");
}

void judge_clock(struct judge *j)
{
	const json_t *c = part(j, "clock"), *p, *l;
	size_t i;

	json_array_foreach(json_object_get(part(j, "status"), "links"), i, l)
	{
		if (json_object_get(l, "clock_ahead_s"))
			apart(j, text_of(l, is_role(j, "core") ? "edge" : "core"),
			      "told over the link", number_of(l, "clock_ahead_s", 0), true);
	}
	json_array_foreach(part(j, "probes"), i, p)
	{
		if (json_object_get(p, "date_s"))
			apart(j, text_of(p, "host"), "HTTP Date",
			      number_of(p, "asked_s", 0) - number_of(p, "date_s", 0), false);
	}
	if (!c)
		return;
	if (flag_of(c, "synchronised", false)) {
		say(j, SEV_OK, "clock.ntp",
		    "the kernel says that the clock is synchronised, within %lld ms",
		    number_of(c, "error_ms", 0));
		return;
	}
	say(j, SEV_WARN, "clock.ntp", "the kernel says that nobody synchronises the clock (NTP)");
	mend(j, "apt install systemd-timesyncd; timedatectl set-ntp true");
}
