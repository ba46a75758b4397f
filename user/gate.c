/* user/gate.c -- reasons of refusals: their names and what they add to the ban score of a source. See gate.h. Owns nothing. */
#include "user/gate.h"

static const struct {
	const char *name;
	unsigned score;
} reasons[GATE_REASONS] = {
	[GATE_OK] = {"ok", 0},
	[GATE_MALFORMED] = {"malformed", 1},
	[GATE_TOO_LARGE] = {"too-large", 1},
	[GATE_UNSERVED] = {"unserved-domain", 1},
	[GATE_NO_DOMAIN] = {"no-domain", 1},
	[GATE_NOT_ADMITTED] = {"not-admitted", 0},
	[GATE_RESPONSE] = {"response", 1},
	[GATE_BUDGET] = {"request-budget", 1},
	[GATE_NO_TOKEN] = {"no-token", 0},
	[GATE_TOKEN_TIME] = {"token-expired", 0},
	[GATE_TOKEN_KEY] = {"token-unknown-key", 1},
	[GATE_TOKEN_DOMAIN] = {"token-other-domain", 1},
	[GATE_TOKEN_FORGED] = {"token-forged", 5},
	[GATE_DRIBBLE] = {"dribble", 5},
	[GATE_OTHER_CORE] = {"other-core", 1},
	[GATE_NO_CORE] = {"no-core", 0},
	[GATE_NO_IDLE] = {"no-idle", 0},
	[GATE_TLS] = {"tls", 1},
	[GATE_CAP_BYTES] = {"cap-bytes", 1},
	[GATE_CAP_SECONDS] = {"cap-seconds", 0},
	[GATE_PREFIX_FULL] = {"prefix-full", 0},
	[GATE_TOTAL_FULL] = {"total-full", 0},
	[GATE_BANNED] = {"banned", 0},
	[GATE_SLOW] = {"slow", 1},
	[GATE_RESTRICTED_XML] = {"restricted-xml", 5},
	[GATE_TLS_REQUIRED] = {"tls-required", 1},
	[GATE_INJECTION] = {"starttls-injection", 10},
	[GATE_OTHER_HOST] = {"other-host", 1},
	[GATE_NOT_AUTHORIZED] = {"not-authorized", 1},
	[GATE_ELEMENTS] = {"elements", 1},
	[GATE_DRAINING] = {"draining", 0},
};

const char *gate_reason_name(enum gate_reason r)
{
	return r < GATE_REASONS ? reasons[r].name : "unknown";
}

unsigned gate_reason_score(enum gate_reason r)
{
	return r < GATE_REASONS ? reasons[r].score : 0;
}
