/* tools/ctl_doctor.c -- `sallyctl doctor`: gather a report or read a saved one, judge it, print what was found.
 *
 * Data flow: options -> doctor_gather() or --report FILE -> --save FILE -> doctor_judge() -> a table for people (colours only on a
 * terminal) or JSON. The exit status is the worst finding's: 1 if anything would stop a user, 0 else; 2 for wrong usage. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl_doctor.h"
#include "tools/doctor.h"

#define EDGE_CONFIG "/etc/sallyport/edge.yaml"
#define CORE_CONFIG "/etc/sallyport/core.yaml"
#define REPORTS_MAX 8

struct doctor_run {
	struct doctor_ask ask;
	const char *reports[REPORTS_MAX], *save;
	unsigned n_reports;
	bool all;
};

/* false: wrong usage. */
static bool doctor_options(struct doctor_run *r, int argc, char **argv, bool *json)
{
	static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
					      {"outside", no_argument, NULL, 'o'},
					      {"save", required_argument, NULL, 'w'},
					      {"report", required_argument, NULL, 'r'},
					      {"dns", required_argument, NULL, 'd'},
					      {"ca", required_argument, NULL, 'C'},
					      {"domain", required_argument, NULL, 'D'},
					      {"all", no_argument, NULL, 'a'},
					      {}};
	int c;

	while ((c = getopt_long(argc, argv, "jc:ar:", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			*json = true;
			break;
		case 'a':
			r->all = true;
			break;
		case 'o':
			r->ask.outside = true;
			break;
		case 'w':
			r->save = optarg;
			break;
		case 'd':
			r->ask.dns = optarg;
			break;
		case 'C':
			r->ask.ca = optarg;
			break;
		case 'c':
			if (r->ask.n_configs == DOCTOR_CONFIGS_MAX)
				return false;
			r->ask.configs[r->ask.n_configs++] = optarg;
			break;
		case 'D':
			if (r->ask.n_domains == DOCTOR_DOMAINS_MAX)
				return false;
			r->ask.domains[r->ask.n_domains++] = optarg;
			break;
		case 'r':
			if (r->n_reports == REPORTS_MAX)
				return false;
			r->reports[r->n_reports++] = optarg;
			break;
		default:
			return false;
		}
	}
	if (r->n_reports && (r->save || r->ask.outside || r->ask.n_configs || r->ask.n_domains ||
			     r->ask.dns || r->ask.ca))
		return false; /* a saved report is judged as it is */
	return optind == argc && (!r->ask.n_domains || (r->ask.outside && !r->ask.n_configs));
}

/* Without --config: the daemons whose files are here. */
static bool doctor_usual(struct doctor_run *r)
{
	static const char *const usual[] = {EDGE_CONFIG, CORE_CONFIG};
	size_t i;

	if (r->n_reports || r->ask.n_configs || r->ask.n_domains)
		return true;
	for (i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (!access(usual[i], F_OK) && !(r->ask.outside && i == 1))
			r->ask.configs[r->ask.n_configs++] = usual[i];
	if (!r->ask.n_configs)
		fprintf(stderr,
			"sallyctl: doctor: there is no %s and no %s; wanted --config FILE, or "
			"--outside --domain DOMAIN\n",
			EDGE_CONFIG, CORE_CONFIG);
	return r->ask.n_configs > 0;
}

/* ---- printing ---- */

static void line(const char *head, const char *text, const char *colour, bool tty)
{
	char buf[1024];

	if (*text)
		printf("%s%s%s%s\n", tty ? colour : "", head, ctl_plain(text, buf, sizeof(buf)),
		       tty && *colour ? "\033[0m" : "");
}

static const char *word(const json_t *f, const char *key)
{
	const char *s = json_string_value(json_object_get(f, key));

	return s ? s : "";
}

static void doctor_print(const json_t *findings, bool all)
{
	static const struct {
		const char *name, *label, *colour;
	} kinds[] = {{"fail", "FAIL", "\033[1;31m"},
		     {"warn", "WARN", "\033[33m"},
		     {"ok", "ok  ", "\033[32m"}};
	bool tty = isatty(STDOUT_FILENO);
	unsigned count[3] = {};
	const json_t *f;
	char head[400];
	size_t i, k;

	json_array_foreach(findings, i, f)
	{
		for (k = 0; k < 2 && strcmp(kinds[k].name, word(f, "severity")) != 0; k++)
			;
		count[k]++;
		if (k == 2 && !all)
			continue;
		snprintf(head, sizeof(head), "%s  %-18s ", kinds[k].label, word(f, "id"));
		line(head, word(f, "what"), kinds[k].colour, tty);
		if (k == 2)
			continue;
		line("      on:   ", word(f, "node"), "", tty);
		line("      why:  ", word(f, "why"), "", tty);
		line("      mend: ", word(f, "fix"), "", tty);
	}
	printf("doctor: %u would stop users, %u to look at, %u in order%s\n", count[0], count[1],
	       count[2], count[2] && !all ? " (--all shows them)" : "");
}

/* ---- the run ---- */

static bool doctor_save(const json_t *report, const char *path)
{
	if (!json_dump_file(report, path, JSON_INDENT(1)))
		return true;
	fprintf(stderr, "sallyctl: doctor: %s: %s\n", path, strerror(errno));
	return false;
}

/* Findings of one report, added to @all. */
static bool doctor_add(json_t *all, const json_t *report, const char *name)
{
	json_t *findings = doctor_judge(report);

	if (!findings) {
		fprintf(stderr,
			"sallyctl: doctor: %s: wanted a report of this version (%d), by sallyctl "
			"doctor --save\n",
			name, DOCTOR_VERSION);
		return false;
	}
	json_array_extend(all, findings);
	json_decref(findings);
	return true;
}

static bool doctor_saved(json_t *all, const char *path)
{
	json_error_t err;
	json_t *report = json_load_file(path, 0, &err);
	bool ok = report && doctor_add(all, report, path);

	if (!report)
		fprintf(stderr, "sallyctl: doctor: %s: %s\n", path, err.text);
	json_decref(report);
	return ok;
}

static int doctor_end(const json_t *all, bool json, bool list_all)
{
	const json_t *f;
	int status = 0;
	size_t i;

	json_array_foreach(all, i, f)
	{
		status |= !strcmp(word(f, "severity"), "fail");
	}
	if (json)
		ctl_print_json(all);
	else
		doctor_print(all, list_all);
	return status;
}

int ctl_doctor_main(const struct ctl_options *o, int argc, char **argv)
{
	struct doctor_run r = {};
	bool json = o->json, ok = true;
	json_t *report, *all;
	unsigned i;
	int status;

	if (!doctor_options(&r, argc, argv, &json))
		return CTL_USAGE;
	if (!doctor_usual(&r))
		return 2;
	r.ask.admin = o->chosen && r.ask.n_configs == 1 ? o->sockets[0].path : NULL;
	all = json_array();
	for (i = 0; i < r.n_reports; i++)
		ok = doctor_saved(all, r.reports[i]) && ok;
	if (!r.n_reports) {
		report = doctor_gather(&r.ask);
		ok = report && doctor_add(all, report, "this host") &&
		     (!r.save || doctor_save(report, r.save));
		json_decref(report);
	}
	status = ok || json_array_size(all) ? doctor_end(all, json, r.all) : 1;
	json_decref(all);
	return ok ? status : 1;
}
