/* tools/doctor_rules.h -- the rules of doctor_judge(): each reads a node of the report and says what it found.
 *
 * Data flow: node -> rule -> say() a finding, its id one of the table in doctor_judge.c, which has the reason why it matters -> mend() its
 * cure. Pure: nothing but the report is looked at. A report may come from anywhere, so nothing in it is taken for granted: text_of() and
 * number_of() have an answer for what is missing.
 * Owner rules: the findings belong to the judge, words to the report. */
#ifndef SALLYPORT_DOCTOR_RULES_H
#define SALLYPORT_DOCTOR_RULES_H

#include "tools/doctor.h"

enum sev { SEV_FAIL, SEV_WARN, SEV_OK };

struct judge {
	const json_t *report, *node;
	const char *role; /* "edge", "core", "outside" */
	char who[300];	  /* "edge edge.example.com" */
	long long now_s;  /* when the report was made */
	json_t *findings;
};

/* A finding; @fmt tells what was found. */
__attribute__((format(printf, 4, 5))) void say(struct judge *j, enum sev s, const char *id,
					       const char *fmt, ...);
/* The command or change that mends the last one. */
__attribute__((format(printf, 2, 3))) void mend(struct judge *j, const char *fmt, ...);

const char *text_of(const json_t *o, const char *key); /* "" where there is none */
long long number_of(const json_t *o, const char *key, long long none);
bool flag_of(const json_t *o, const char *key, bool none);
bool list_has(const json_t *list, const char *word);
/* "a, b, c" of a list of strings, cut to @n. Returns @buf. */
const char *list_text(const json_t *list, char *buf, size_t n);
const json_t *part(const struct judge *j, const char *key);
bool is_role(const struct judge *j, const char *role);

void judge_daemon(struct judge *j);
void judge_dns(struct judge *j);
void judge_certs(struct judge *j);
void judge_sockets(struct judge *j);
void judge_probes(struct judge *j);
void judge_link(struct judge *j);
void judge_clock(struct judge *j);
void judge_kernel(struct judge *j);
void judge_nics(struct judge *j);
void judge_limits(struct judge *j);

#endif
