/* tools/doctor_judge.c -- from a report to findings; see doctor.h. The table of what each finding means, and the rules in their order. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor_rules.h"

static const struct {
	const char *id, *why;
} reasons[] = {
	{"config",
	 "without a good configuration the daemon does not start, and a reload changes nothing"},
	{"daemon", "nobody is let in while it does not run"},
	{"version", "the running worker is of another version than the installed programs: what is "
		    "mended in the newer one is not at work yet"},
	{"drain",
	 "nothing new is let in while it is taken out of service; old calls and chats go on"},
	{"root", "keys, limits and sockets of the daemon are seen by root only: parts of this were "
		 "not looked at"},
	{"dns.server", "without an answer nobody can tell what clients see"},
	{"dns.srv-missing", "a client that knows its domain only finds us by this record"},
	{"dns.srv-wrong", "clients are sent somewhere else"},
	{"dns.srv", "clients find us by this record"},
	{"dns.inside-visible", "a client that gets this record believes it is inside, dials the "
			       "call server itself, and never tries us"},
	{"dns.address-missing", "clients find the name, but not the machine"},
	{"dns.address-wrong", "clients connect to another machine, those with several addresses to "
			      "choose from now and then"},
	{"dns.address-two", "clients take any of them, and media follows the signalling's: each "
			    "must lead to this edge"},
	{"dns.address", "clients connect to this address"},
	{"dns.alias", "RFC 2782 forbids an alias there; some clients do not follow it"},
	{"dns.inside", "the core finds its servers by these names"},
	{"cert.file", "the daemon does not start without it"},
	{"cert.names",
	 "clients and peers refuse a certificate without the name that they connect to"},
	{"cert.expired", "everybody refuses a certificate that is over"},
	{"cert.not-yet",
	 "everybody refuses a certificate that is not valid yet; or a clock is wrong"},
	{"cert.soon", "after that day everybody refuses it"},
	{"cert.chain", "who does not have the missing certificate refuses the connection; browsers "
		       "may hide that, phones do not"},
	{"cert.key", "TLS does not start with a key that is not the certificate's"},
	{"cert.use", "TLS peers refuse a certificate that is made for another use"},
	{"cert.weak", "OpenSSL and clients refuse keys that are so short"},
	{"cert.key-mode", "who can read the key can pretend to be this machine"},
	{"cert.stale", "clients see the old one until the daemon has read the files again"},
	{"cert", "clients and peers check it"},
	{"port.listen", "nobody can connect to what nobody listens on"},
	{"port.reserved", "the kernel may give a media port to another program, whose answers XDP "
			  "would take for media"},
	{"port.taken", "XDP takes what comes to this port, so that program hears nothing"},
	{"port.few",
	 "outgoing connections and DNS questions need ports of their own beside the media range"},
	{"port.media", "media runs on these ports"},
	{"reach.connect", "clients outside cannot connect"},
	{"reach.tls", "clients refuse what this server shows, or it refuses them"},
	{"reach.answer", "the connection works, the service behind it does not"},
	{"reach", "clients use this"},
	{"link", "without the link nothing comes through: the edge can decide nothing by itself"},
	{"link.pool", "clients wait until the core has made another connection"},
	{"clock.ntp", "certificates, sessions and logs are judged by this clock"},
	{"clock.peer", "sessions and tokens are judged by both clocks; sessions are refused when "
		       "they are 5 minutes apart"},
	{"server.call", "users of this call server cannot register or call"},
	{"server.chat", "users of this chat server cannot log on"},
	{"server.web", "log on and configuration need one of these servers"},
	{"kernel.tls", "streams stay in user space: they work, at several times the CPU"},
	{"kernel.io_uring",
	 "the daemons do all their input and output by io_uring and do not start without it"},
	{"kernel.bpffs",
	 "XDP programs and maps are pinned there; without it calls end with the daemon"},
	{"kernel.jit", "interpreted BPF is several times slower"},
	{"kernel.rung", "media is carried another way than by XDP: it works, at more CPU"},
	{"nic.up", "nothing goes through an interface that is down"},
	{"nic.xdp", "generic XDP copies each packet and is slower than tc, and it stands in the "
		    "way of native XDP"},
	{"nic.mtu", "packets of video (up to 1400 bytes) do not fit and are lost or cut; below "
		    "1280 bytes there is no IPv6"},
	{"nic.gro",
	 "frames that XDP redirects into a veth are dropped where its other end runs no NAPI"},
	{"nic.checksum", "a veth passes on half a checksum, and XDP at the other end forwards it: "
			 "media arrives broken"},
	{"nic.ring", "a short ring loses packets when the CPU is busy for a moment"},
	{"nic", "media goes through it"},
	{"limit.files",
	 "each client needs two descriptors on the edge; without a free one nobody is let in"},
	{"limit.memlock", "old kernels count rings and maps as locked memory"},
	{"limit.conntrack",
	 "when the table is full the kernel drops new connections and new media"},
};

static const char *why_of(const char *id)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].id, id))
			return reasons[i].why;
	return "";
}

/* ---- for the rules ---- */

void say(struct judge *j, enum sev s, const char *id, const char *fmt, ...)
{
	static const char *const names[] = {"fail", "warn", "ok"};
	char what[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	json_array_append_new(j->findings,
			      json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "id", id, "node", j->who,
					"severity", names[s], "what",
					json_string(what) ?: json_string("(not UTF-8)"), "why",
					why_of(id), "fix", ""));
}

void mend(struct judge *j, const char *fmt, ...)
{
	json_t *last = json_array_get(j->findings, json_array_size(j->findings) - 1);
	char fix[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fix, sizeof(fix), fmt, ap);
	va_end(ap);
	json_object_set_new(last, "fix", json_string(fix) ?: json_string(""));
}

const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

long long number_of(const json_t *o, const char *key, long long none)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (long long)json_integer_value(v) : none;
}

bool flag_of(const json_t *o, const char *key, bool none)
{
	const json_t *v = json_object_get(o, key);

	return json_is_boolean(v) ? json_is_true(v) : none;
}

bool list_has(const json_t *list, const char *word)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (json_is_string(v) && !strcasecmp(json_string_value(v), word))
			return true;
	}
	return false;
}

const char *list_text(const json_t *list, char *buf, size_t n)
{
	const json_t *v;
	size_t i, at = 0;

	snprintf(buf, n, "none");
	json_array_foreach(list, i, v)
	{
		if (at < n && json_is_string(v))
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? ", " : "",
					       json_string_value(v));
	}
	return buf;
}

const json_t *part(const struct judge *j, const char *key)
{
	return json_object_get(j->node, key);
}

bool is_role(const struct judge *j, const char *role)
{
	return !strcmp(j->role, role);
}

/* ---- the daemon itself ---- */

void judge_daemon(struct judge *j)
{
	const json_t *status = part(j, "status");
	const char *version = text_of(status, "version"), *ours = text_of(j->report, "sallyport");

	if (is_role(j, "outside"))
		return;
	if (number_of(j->node, "uid", 0) != 0) {
		say(j, SEV_WARN, "root", "asked by user %lld, not by root",
		    number_of(j->node, "uid", 0));
		mend(j, "sudo sallyctl doctor");
	}
	if (!status && !strcmp(text_of(j->node, "status_error"), "Permission denied")) {
		say(j, SEV_WARN, "daemon", "sallyport-%s cannot be asked: Permission denied",
		    j->role);
		mend(j, "sudo sallyctl doctor");
		return;
	}
	if (!status) {
		say(j, SEV_FAIL, "daemon", "sallyport-%s does not answer: %s", j->role,
		    text_of(j->node, "status_error"));
		mend(j,
		     "sallyport-%s -n -c %s; systemctl start sallyport-%s; journalctl -u "
		     "sallyport-%s -n 20",
		     j->role, text_of(j->node, "config"), j->role, j->role);
		return;
	}
	say(j, SEV_OK, "daemon", "sallyport-%s %s has run for %lld s", j->role, version,
	    number_of(status, "uptime_s", 0));
	if (flag_of(json_object_get(status, "drain"), "on", false)) {
		say(j, SEV_WARN, "drain", "it is being taken out of service (drain)");
		mend(j, "sallyctl drain off, if that is not wanted any more");
	}
	if (strcmp(version, ours) != 0) {
		say(j, SEV_WARN, "version", "version %s runs, %s is installed", version, ours);
		mend(j, "sallyctl upgrade");
	}
}

/* ---- all ---- */

static void judge_node(struct judge *j, const json_t *node)
{
	static void (*const rules[])(struct judge *) = {
		judge_daemon, judge_link,  judge_dns,	 judge_certs, judge_sockets,
		judge_probes, judge_clock, judge_kernel, judge_nics,  judge_limits};
	size_t i;

	j->node = node;
	j->role = text_of(node, "role");
	snprintf(j->who, sizeof(j->who), "%s%s%s", j->role, *text_of(node, "name") ? " " : "",
		 text_of(node, "name"));
	if (*text_of(node, "error")) {
		say(j, SEV_FAIL, "config", "%s", text_of(node, "error"));
		mend(j,
		     "sallyport-%s -n -c %s tells the line; every key is explained in the example "
		     "configuration",
		     is_role(j, "outside") ? "edge" : j->role, text_of(node, "config"));
		return;
	}
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		rules[i](j);
}

json_t *doctor_judge(const json_t *report)
{
	static const char *const order[] = {"fail", "warn", "ok"};
	struct judge j = {.report = report, .now_s = number_of(report, "at_s", 0)};
	const json_t *node, *f;
	json_t *sorted;
	size_t i, s;

	if (number_of(report, "doctor", 0) != DOCTOR_VERSION ||
	    !json_is_array(json_object_get(report, "nodes")))
		return NULL;
	j.findings = json_array();
	json_array_foreach(json_object_get(report, "nodes"), i, node)
	{
		judge_node(&j, node);
	}
	sorted = json_array();
	for (s = 0; s < sizeof(order) / sizeof(order[0]); s++)
		json_array_foreach(j.findings, i, f)
		{
			if (!strcmp(text_of(f, "severity"), order[s]))
				json_array_append(sorted, (json_t *)f);
		}
	json_decref(j.findings);
	return sorted;
}
