/* tools/doctor_judge_cert.c -- rules for certificates. See doctor_rules.h. Judged by the clock of the report. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/doctor_rules.h"

#define DAY 86400

/* A wildcard stands for one label (RFC 6125 section 6.4.3). */
static bool name_fits(const char *have, const char *want)
{
	const char *dot;

	if (!strcasecmp(have, want))
		return true;
	dot = strchr(want, '.');
	return !strncmp(have, "*.", 2) && dot && dot != want && !strcasecmp(have + 1, dot);
}

static bool names_fit(const json_t *names, const char *want)
{
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v)
	{
		if (json_is_string(v) && name_fits(json_string_value(v), want))
			return true;
	}
	return false;
}

/* A service may have several certificates, and the name that a client asks for chooses: any of them will do. */
static bool service_fits(const struct judge *j, const char *what, const char *want)
{
	const json_t *c;
	size_t i;

	json_array_foreach(part(j, "certificates"), i, c)
	{
		if (!strcmp(text_of(c, "what"), what) &&
		    names_fit(json_object_get(c, "names"), want))
			return true;
	}
	return false;
}

static bool service_has(const struct judge *j, const char *what, const char *fingerprint)
{
	const json_t *c;
	size_t i;

	json_array_foreach(part(j, "certificates"), i, c)
	{
		if (!strcmp(text_of(c, "what"), what) &&
		    !strcmp(text_of(c, "fingerprint"), fingerprint))
			return true;
	}
	return false;
}

static const char *day(long long t, char buf[20])
{
	time_t s = (time_t)t;
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(buf, 20, "%Y-%m-%d %H:%M", &tm);
	return buf;
}

/* How another one is had: the link's from our own CA, the others from whoever signed them. */
static void renew(struct judge *j, const json_t *c)
{
	const json_t *wanted = json_object_get(c, "wanted");
	char names[400] = "", *at = names;
	const json_t *v;
	size_t i;

	if (!strcmp(text_of(c, "what"), "link")) {
		mend(j,
		     "where the link's CA is: sallyctl pki issue DIR %s; copy the files here; "
		     "systemctl reload sallyport-%s",
		     json_array_size(wanted) ? json_string_value(json_array_get(wanted, 0))
					     : "NAME",
		     j->role);
		return;
	}
	json_array_foreach(wanted, i, v)
	{
		if (json_is_string(v) && (size_t)(at - names) < sizeof(names))
			at += snprintf(at, sizeof(names) - (size_t)(at - names), "%sDNS:%s",
				       i ? "," : "", json_string_value(v));
	}
	mend(j, "get one with subjectAltName=%s into %s; systemctl reload sallyport-%s", names,
	     text_of(c, "file"), j->role);
}

static bool rule_names(struct judge *j, const json_t *c)
{
	const json_t *names = json_object_get(c, "names"), *v;
	char have[300];
	size_t i;

	json_array_foreach(json_object_get(c, "wanted"), i, v)
	{
		if (!json_is_string(v) || service_fits(j, text_of(c, "what"), json_string_value(v)))
			continue;
		/* Towards call servers the core is a client, and few look at its name. */
		say(j, !strcmp(text_of(c, "what"), "inside") ? SEV_WARN : SEV_FAIL, "cert.names",
		    "%s certificate: wanted the name %s, it has %s (%s)", text_of(c, "what"),
		    json_string_value(v), list_text(names, have, sizeof(have)), text_of(c, "file"));
		renew(j, c);
		return false;
	}
	return true;
}

static bool rule_times(struct judge *j, const json_t *c)
{
	long long from = number_of(c, "not_before", 0), to = number_of(c, "not_after", 0),
		  left = to - j->now_s;
	long long chain = number_of(c, "chain_not_after", 0);
	const char *what = text_of(c, "what"), *file = text_of(c, "file");
	char text[20];

	if (from > j->now_s) {
		say(j, SEV_FAIL, "cert.not-yet", "%s certificate is valid from %s UTC on only (%s)",
		    what, day(from, text), file);
		mend(j, "if the clock is right, get another certificate; else: timedatectl set-ntp "
			"true");
		return false;
	}
	if (left <= 0) {
		say(j, SEV_FAIL, "cert.expired", "%s certificate ended on %s UTC (%s)", what,
		    day(to, text), file);
		renew(j, c);
		return false;
	}
	if (chain && chain <= j->now_s) {
		say(j, SEV_FAIL, "cert.expired",
		    "%s: an intermediate certificate ended on %s UTC (%s)", what, day(chain, text),
		    file);
		mend(j, "replace the intermediate certificates behind the first one in %s", file);
		return false;
	}
	/* Of short-lived ones a third is left when they are renewed. */
	if (left < 14 * DAY && left < (to - from) / 3) {
		say(j, SEV_WARN, "cert.soon", "%s certificate ends in %lld days, on %s UTC (%s)",
		    what, left / DAY, day(to, text), file);
		renew(j, c);
		return false;
	}
	return true;
}

static bool rule_chain(struct judge *j, const json_t *c)
{
	const char *why = text_of(c, "chain"), *file = text_of(c, "file"),
		   *issuer = text_of(c, "issuer");

	if (!*why)
		return true;
	say(j, SEV_FAIL, "cert.chain",
	    "%s certificate leads to no CA that %s: %s; its issuer is %s (%s)", text_of(c, "what"),
	    flag_of(c, "public", false) ? "clients are taken to trust" : "is in the ca file", why,
	    issuer, file);
	if (!flag_of(c, "public", false))
		mend(j, "put that CA into the ca file, or issue the certificate by the one that is "
			"in it");
	else if (!strcmp(issuer, text_of(c, "subject")))
		mend(j,
		     "signed by itself, for a trial: get one from a CA into %s; clients of the "
		     "trial have to be told to trust it, and doctor, too: --ca %s",
		     file, file);
	else
		mend(j,
		     "append the certificate of %s, and those above it but for the root, to %s; "
		     "where clients have a CA of yours: sallyctl doctor --ca FILE",
		     issuer, file);
	return false;
}

static bool rule_key(struct judge *j, const json_t *c)
{
	const char *why = text_of(c, "key"), *mode = text_of(c, "key_mode");

	if (*why) {
		say(j, strcmp(why, "Permission denied") ? SEV_FAIL : SEV_WARN, "cert.key",
		    "%s key %s: %s", text_of(c, "what"), text_of(c, "key_file"), why);
		mend(j,
		     "put the key that belongs to %s there; the two must tell the same: openssl "
		     "x509 -pubkey -noout -in %s; openssl pkey -pubout -in %s",
		     text_of(c, "file"), text_of(c, "file"), text_of(c, "key_file"));
		return false;
	}
	if (strlen(mode) == 4 && mode[3] != '0') {
		say(j, SEV_WARN, "cert.key-mode", "everybody may read %s (mode %s)",
		    text_of(c, "key_file"), mode);
		mend(j, "chmod 600 %s", text_of(c, "key_file"));
		return false;
	}
	return true;
}

static bool rule_use(struct judge *j, const json_t *c)
{
	const char *use = text_of(c, "use");
	bool server = strcmp(use, "client") != 0, client = strcmp(use, "server") != 0;
	const char *missing =
		server && !flag_of(c, "server_auth", true)   ? "extendedKeyUsage serverAuth"
		: client && !flag_of(c, "client_auth", true) ? "extendedKeyUsage clientAuth"
		: !flag_of(c, "signs", true)		     ? "keyUsage digitalSignature"
							     : NULL;
	long long bits = number_of(c, "key_bits", 0);

	if (missing) {
		/* Public CAs do not issue for clients any more: with call servers that look at it, a matter of theirs. */
		say(j, !strcmp(text_of(c, "what"), "inside") ? SEV_WARN : SEV_FAIL, "cert.use",
		    "%s certificate lacks %s (%s)", text_of(c, "what"), missing,
		    text_of(c, "file"));
		renew(j, c);
		return false;
	}
	if (!strncmp(text_of(c, "key_type"), "RSA", 3) && bits && bits < 2048) {
		say(j, SEV_FAIL, "cert.weak", "%s certificate has an RSA key of %lld bits",
		    text_of(c, "what"), bits);
		mend(j,
		     "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s, and "
		     "a certificate for it",
		     text_of(c, "key_file"));
		return false;
	}
	return true;
}

/* What the daemon shows now against what is in the file. */
static void rule_stale(struct judge *j, const json_t *c)
{
	const json_t *p;
	size_t i;

	if (!json_array_size(json_object_get(c, "wanted"))) /* a further one of its service */
		return;
	json_array_foreach(part(j, "probes"), i, p)
	{
		const char *shown = text_of(p, "fingerprint");

		if (strcmp(text_of(p, "group"), "own") != 0 ||
		    strcmp(text_of(p, "what"), text_of(c, "what")) != 0 || !*shown ||
		    service_has(j, text_of(c, "what"), shown))
			continue;
		say(j, SEV_WARN, "cert.stale",
		    "%s on %s shows another certificate than the one in %s", text_of(c, "what"),
		    text_of(p, "address"), text_of(c, "file"));
		mend(j, "systemctl reload sallyport-%s; the log says if it refuses the new one",
		     j->role);
		return;
	}
}

static void rule_cert(struct judge *j, const json_t *c)
{
	const char *what = text_of(c, "what");
	char names[300], text[20];
	bool good;

	if (*text_of(c, "error")) {
		say(j, SEV_FAIL, "cert.file", "%s certificate %s: %s", what, text_of(c, "file"),
		    text_of(c, "error"));
		mend(j, "put the certificate there in PEM, or correct its path in %s",
		     text_of(j->node, "config"));
		return;
	}
	good = rule_names(j, c);
	good = rule_times(j, c) && good;
	good = rule_chain(j, c) && good;
	good = rule_key(j, c) && good;
	good = rule_use(j, c) && good;
	rule_stale(j, c);
	if (good)
		say(j, SEV_OK, "cert", "%s certificate for %s is good until %s UTC", what,
		    list_text(json_object_get(c, "names"), names, sizeof(names)),
		    day(number_of(c, "not_after", 0), text));
}

void judge_certs(struct judge *j)
{
	const json_t *c;
	size_t i;

	json_array_foreach(part(j, "certificates"), i, c)
	{
		rule_cert(j, c);
	}
}
