/* tools/doctor_judge_dns.c -- rules for names: what clients need, what they must not see, what the core needs. See doctor_rules.h. */
#include <stdio.h>
#include <string.h>

#include "tools/doctor_rules.h"

static const json_t *row_of(const struct judge *j, const char *type, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(part(j, "dns"), i, row)
	{
		if (!strcmp(text_of(row, "type"), type) && !strcasecmp(text_of(row, "name"), name))
			return row;
	}
	return NULL;
}

static bool none(const json_t *row)
{
	return !strcmp(text_of(row, "error"), "none");
}

/* Neither an answer nor "there is none". */
static bool unanswered(const json_t *row)
{
	return *text_of(row, "error") && !none(row);
}

/* A host whose resolver is the inside's must not be told that the internet sees what it sees. */
static const char *asked(const json_t *row)
{
	return strcmp(text_of(row, "server"), "the system's") != 0
		       ? ""
		       : " (asked: this system's resolver; if that is the inside's, name the "
			 "internet's: --dns ADDRESS)";
}

/* A service's own record: host and port; where they are not known, any. */
static bool record_fits(const json_t *r, const json_t *service)
{
	return !*text_of(service, "host") ||
	       (!strcasecmp(text_of(r, "host"), text_of(service, "host")) &&
		number_of(r, "port", 0) == number_of(service, "port", 0));
}

static const char *records_text(const json_t *records, char *buf, size_t n)
{
	const json_t *r;
	size_t i, at = 0;

	buf[0] = 0;
	json_array_foreach(records, i, r)
	{
		if (at < n)
			at += (size_t)snprintf(buf + at, n - at, "%s%s:%lld", at ? ", " : "",
					       text_of(r, "host"), number_of(r, "port", 0));
	}
	return buf;
}

/* Who knows a domain only: web clients always; the others unless the web's answer tells them where to go. */
static enum sev missing_sev(const struct judge *j, const char *what)
{
	const json_t *s;
	size_t i;

	if (!strcmp(what, "https"))
		return SEV_FAIL;
	if (!strcmp(what,
		    "xmpp-server")) /* only for domains that federate, which the edge does not know */
		return SEV_WARN;
	json_array_foreach(part(j, "services"), i, s)
	{
		if (!strcmp(text_of(s, "what"), "https"))
			return SEV_WARN;
	}
	return SEV_FAIL;
}

static void rule_srv(struct judge *j, const json_t *service, const char *domain)
{
	const char *what = text_of(service, "what"), *host = text_of(service, "host");
	const json_t *row, *r, *records;
	char name[600], have[500];
	bool fits = false;
	size_t i;

	snprintf(name, sizeof(name), "%s.%s", text_of(service, "srv"), domain);
	row = row_of(j, "SRV", name);
	records = json_object_get(row, "records");
	if (!row || unanswered(row) || (!json_array_size(records) && !*host))
		return;
	if (!json_array_size(records)) {
		say(j, missing_sev(j, what), "dns.srv-missing", "there is no SRV record %s outside",
		    name);
		mend(j, "add to the public zone: %s. IN SRV 10 10 %lld %s.%s", name,
		     number_of(service, "port", 0), host, asked(row));
		return;
	}
	json_array_foreach(records, i, r)
	{
		fits = fits || record_fits(r, service);
	}
	records_text(records, have, sizeof(have));
	if (!fits) {
		say(j, SEV_FAIL, "dns.srv-wrong", "%s leads to %s, wanted %s:%lld", name, have,
		    host, number_of(service, "port", 0));
		mend(j, "put right in the public zone: %s. IN SRV 10 10 %lld %s.%s", name,
		     number_of(service, "port", 0), host, asked(row));
		return;
	}
	say(j, SEV_OK, "dns.srv", "%s leads to %s", name, have);
}

static void rule_inside_only(struct judge *j, const json_t *row)
{
	char have[500];

	if (!json_array_size(json_object_get(row, "records"))) {
		if (none(row))
			say(j, SEV_OK, "dns.inside-visible", "%s is not seen outside",
			    text_of(row, "name"));
		return;
	}
	say(j, SEV_FAIL, "dns.inside-visible", "%s is seen outside: %s", text_of(row, "name"),
	    records_text(json_object_get(row, "records"), have, sizeof(have)));
	mend(j, "take %s out of the public zone; it belongs into the inside's only%s",
	     text_of(row, "name"), asked(row));
}

static bool is_v6(const char *ip)
{
	return strchr(ip, ':') != NULL;
}

/* Hosts that belong to this edge: what it calls itself. Others that SRV names may be further edges. */
static bool host_ours(const struct judge *j, const char *host)
{
	const json_t *s;
	size_t i;

	json_array_foreach(part(j, "services"), i, s)
	{
		if (!strcasecmp(text_of(s, "host"), host))
			return true;
	}
	return false;
}

static void rule_address(struct judge *j, const json_t *row)
{
	const json_t *list = json_object_get(row, "addresses"), *ours = part(j, "addresses"), *ip;
	const char *host = text_of(row, "name"), *wrong = NULL;
	bool mine = host_ours(j, host);
	unsigned v4 = 0, v6 = 0;
	char have[400], want[400];
	size_t i;

	if (unanswered(row))
		return;
	list_text(list, have, sizeof(have));
	list_text(ours, want, sizeof(want));
	if (!json_array_size(list)) {
		say(j, SEV_FAIL, "dns.address-missing", "%s has no address outside", host);
		mend(j, "add to the public zone: %s. IN A %s%s", host,
		     mine && json_is_string(json_array_get(ours, 0))
			     ? json_string_value(json_array_get(ours, 0))
			     : "(its address)",
		     asked(row));
		return;
	}
	json_array_foreach(list, i, ip)
	{
		const char *text = json_is_string(ip) ? json_string_value(ip) : "";

		*(is_v6(text) ? &v6 : &v4) += 1;
		if (mine && json_array_size(ours) && !list_has(ours, text))
			wrong = text;
	}
	if (wrong) {
		say(j, SEV_FAIL, v4 > 1 || v6 > 1 ? "dns.address-two" : "dns.address-wrong",
		    "%s has the address%s %s outside; %s is none that this edge listens on or "
		    "advertises (%s)",
		    host, json_array_size(list) > 1 ? "es" : "", have, wrong, want);
		mend(j,
		     "take %s out of the A and AAAA records of %s.; or, behind static NAT, set "
		     "outside_advertise of media.pairs to it%s",
		     wrong, host, asked(row));
	} else if (v4 > 1 || v6 > 1) {
		say(j, SEV_WARN, "dns.address-two", "%s has several addresses of one family: %s",
		    host, have);
		mend(j,
		     "give %s. one A and at most one AAAA record; further edges get names and SRV "
		     "records of their own",
		     host);
	} else {
		say(j, SEV_OK, "dns.address", "%s is %s", host, have);
	}
	if (*text_of(row, "alias") && !host_ours(j, text_of(row, "alias"))) {
		say(j, SEV_WARN, "dns.alias", "%s is an alias (CNAME)", host);
		mend(j, "give %s. its A record itself", host);
	}
}

/* One that is asked for and missing is a server less; names of call and chat servers are all there is of them. */
static void rule_inside(struct judge *j, const json_t *row)
{
	bool srv = !strcmp(text_of(row, "type"), "SRV"), found;
	const char *use = text_of(row, "for"), *name = text_of(row, "name");
	const char *behind;

	found = json_array_size(json_object_get(row, srv ? "records" : "addresses")) > 0;
	if (unanswered(row))
		return;
	if (found) {
		say(j, SEV_OK, "dns.inside", "%s (%s) is known", name, text_of(row, "type"));
		return;
	}
	/* A call server by name: SRV, or else the name's own addresses (RFC 3263 section 4.2), and the other way round. */
	if (!strcmp(use, "call")) {
		const json_t *other;
		size_t i;

		json_array_foreach(part(j, "dns"), i, other)
		{
			const char *n = text_of(other, "name");
			size_t ln = strlen(n), lb = strlen(name);
			bool kin = srv ? ln < lb && !strcmp(name + lb - ln, n)
				       : ln > lb && !strcmp(n + ln - lb, name);

			if (kin && !*text_of(other, "error"))
				return;
		}
	}
	behind = !strcmp(use, "call")	? "call_servers"
		 : !strcmp(use, "chat") ? "xmpp.clusters"
					: "https.clusters";
	say(j, SEV_FAIL, "dns.inside", "%s: the resolver (%s) knows no %s of it", name,
	    text_of(row, "server"), srv ? "SRV record" : "address");
	mend(j,
	     "add it to the inside's zone, or correct %s in %s; ask as the core does: dig %s%s %s "
	     "%s",
	     behind, text_of(j->node, "config"),
	     strcmp(text_of(row, "server"), "the system's") ? "@" : "",
	     strcmp(text_of(row, "server"), "the system's") ? text_of(row, "server") : "",
	     srv ? "SRV" : "A", name);
}

/* Once a resolver, not once a name. */
static void rule_server(struct judge *j)
{
	const json_t *row;
	size_t i;

	json_array_foreach(part(j, "dns"), i, row)
	{
		if (!unanswered(row))
			continue;
		say(j, SEV_FAIL, "dns.server", "the resolver (%s) does not answer for %s: %s",
		    text_of(row, "server"), text_of(row, "name"), text_of(row, "error"));
		if (is_role(j, "core"))
			mend(j,
			     "correct dns in %s, or /etc/resolv.conf; let the firewall pass udp/53 "
			     "and tcp/53",
			     text_of(j->node, "config"));
		else
			mend(j, "ask another: sallyctl doctor --dns ADDRESS; or mend "
				"/etc/resolv.conf and the firewall (udp/53, tcp/53)");
		return;
	}
}

static void rule_nothing_found(struct judge *j)
{
	const json_t *row, *s;
	size_t i;

	json_array_foreach(part(j, "services"), i, s)
	{
		if (*text_of(s, "host"))
			return;
	}
	json_array_foreach(part(j, "dns"), i, row)
	{
		if (strcmp(text_of(row, "for"), "inside only") != 0 &&
		    (unanswered(row) || json_array_size(json_object_get(row, "records"))))
			return;
	}
	if (!json_array_size(part(j, "dns")))
		return;
	say(j, SEV_FAIL, "dns.srv-missing", "%s has no SRV record by which a client finds it",
	    text_of(j->node, "name"));
	mend(j, "add _collab-edge._tls, _sips._tcp, _xmpp-client._tcp as the edge serves them; "
		"sallyctl doctor on the edge prints the lines");
}

void judge_dns(struct judge *j)
{
	const json_t *domain, *service, *row;
	size_t i, k;

	rule_server(j);
	json_array_foreach(part(j, "domains"), i, domain)
	{
		json_array_foreach(part(j, "services"), k, service)
		{
			if (json_is_string(domain))
				rule_srv(j, service, json_string_value(domain));
		}
	}
	if (is_role(j, "outside"))
		rule_nothing_found(j);
	json_array_foreach(part(j, "dns"), i, row)
	{
		if (!strcmp(text_of(row, "side"), "inside"))
			rule_inside(j, row);
		else if (!strcmp(text_of(row, "for"), "inside only"))
			rule_inside_only(j, row);
		else if (!strcmp(text_of(row, "type"), "A"))
			rule_address(j, row);
	}
}
