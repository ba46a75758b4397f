/* xmpp/element.c -- the table of known top-level elements. See element.h. */
#include "xmpp/element.h"

#include "xmpp/write.h"

static const struct {
	const char *ns, *name;
	enum xmpp_element e;
} elements[] = {
	{XMPP_NS_CLIENT, "iq", XMPP_E_IQ},
	{XMPP_NS_CLIENT, "message", XMPP_E_MESSAGE},
	{XMPP_NS_CLIENT, "presence", XMPP_E_PRESENCE},
	{XMPP_NS_SERVER, "iq", XMPP_E_IQ},
	{XMPP_NS_SERVER, "message", XMPP_E_MESSAGE},
	{XMPP_NS_SERVER, "presence", XMPP_E_PRESENCE},
	{XMPP_NS_STREAM, "features", XMPP_E_FEATURES},
	{XMPP_NS_STREAM, "error", XMPP_E_ERROR},
	{XMPP_NS_TLS, "starttls", XMPP_E_STARTTLS},
	{XMPP_NS_TLS, "proceed", XMPP_E_PROCEED},
	{XMPP_NS_TLS, "failure", XMPP_E_TLS_FAILURE},
	{XMPP_NS_SASL, "auth", XMPP_E_AUTH},
	{XMPP_NS_SASL, "challenge", XMPP_E_CHALLENGE},
	{XMPP_NS_SASL, "response", XMPP_E_RESPONSE},
	{XMPP_NS_SASL, "success", XMPP_E_SUCCESS},
	{XMPP_NS_SASL, "failure", XMPP_E_FAILURE},
	{XMPP_NS_SASL, "abort", XMPP_E_ABORT},
	{XMPP_NS_SASL2, "authenticate", XMPP_E_SASL2_AUTHENTICATE},
	{XMPP_NS_SASL2, "challenge", XMPP_E_SASL2_CHALLENGE},
	{XMPP_NS_SASL2, "response", XMPP_E_SASL2_RESPONSE},
	{XMPP_NS_SASL2, "success", XMPP_E_SASL2_SUCCESS},
	{XMPP_NS_SASL2, "failure", XMPP_E_SASL2_FAILURE},
	{XMPP_NS_SASL2, "continue", XMPP_E_SASL2_CONTINUE},
	{XMPP_NS_SASL2, "next", XMPP_E_SASL2_NEXT},
	{XMPP_NS_SASL2, "task-data", XMPP_E_SASL2_TASK_DATA},
	{XMPP_NS_SASL2, "abort", XMPP_E_SASL2_ABORT},
	{XMPP_NS_COMPRESS, "compress", XMPP_E_COMPRESS},
	{XMPP_NS_COMPRESS, "compressed", XMPP_E_COMPRESSED},
	{XMPP_NS_COMPRESS, "failure", XMPP_E_COMPRESS_FAILURE},
	{XMPP_NS_SM3, "enable", XMPP_E_SM_ENABLE},
	{XMPP_NS_SM3, "enabled", XMPP_E_SM_ENABLED},
	{XMPP_NS_SM3, "resume", XMPP_E_SM_RESUME},
	{XMPP_NS_SM3, "resumed", XMPP_E_SM_RESUMED},
	{XMPP_NS_SM3, "failed", XMPP_E_SM_FAILED},
	{XMPP_NS_SM3, "r", XMPP_E_SM_R},
	{XMPP_NS_SM3, "a", XMPP_E_SM_A},
	{XMPP_NS_SM2, "enable", XMPP_E_SM_ENABLE},
	{XMPP_NS_SM2, "enabled", XMPP_E_SM_ENABLED},
	{XMPP_NS_SM2, "resume", XMPP_E_SM_RESUME},
	{XMPP_NS_SM2, "resumed", XMPP_E_SM_RESUMED},
	{XMPP_NS_SM2, "failed", XMPP_E_SM_FAILED},
	{XMPP_NS_SM2, "r", XMPP_E_SM_R},
	{XMPP_NS_SM2, "a", XMPP_E_SM_A},
	{XMPP_NS_DIALBACK, "result", XMPP_E_DB_RESULT},
	{XMPP_NS_DIALBACK, "verify", XMPP_E_DB_VERIFY},
};

/* One word each, so that a log line or a line of tools/parse can be cut at its spaces. */
static const char *const names[XMPP_ELEMENTS] = {
	[XMPP_E_OTHER] = "other",
	[XMPP_E_IQ] = "iq",
	[XMPP_E_MESSAGE] = "message",
	[XMPP_E_PRESENCE] = "presence",
	[XMPP_E_FEATURES] = "stream:features",
	[XMPP_E_ERROR] = "stream:error",
	[XMPP_E_STARTTLS] = "tls:starttls",
	[XMPP_E_PROCEED] = "tls:proceed",
	[XMPP_E_TLS_FAILURE] = "tls:failure",
	[XMPP_E_AUTH] = "sasl:auth",
	[XMPP_E_CHALLENGE] = "sasl:challenge",
	[XMPP_E_RESPONSE] = "sasl:response",
	[XMPP_E_SUCCESS] = "sasl:success",
	[XMPP_E_FAILURE] = "sasl:failure",
	[XMPP_E_ABORT] = "sasl:abort",
	[XMPP_E_SASL2_AUTHENTICATE] = "sasl2:authenticate",
	[XMPP_E_SASL2_CHALLENGE] = "sasl2:challenge",
	[XMPP_E_SASL2_RESPONSE] = "sasl2:response",
	[XMPP_E_SASL2_SUCCESS] = "sasl2:success",
	[XMPP_E_SASL2_FAILURE] = "sasl2:failure",
	[XMPP_E_SASL2_CONTINUE] = "sasl2:continue",
	[XMPP_E_SASL2_NEXT] = "sasl2:next",
	[XMPP_E_SASL2_TASK_DATA] = "sasl2:task-data",
	[XMPP_E_SASL2_ABORT] = "sasl2:abort",
	[XMPP_E_COMPRESS] = "compress:compress",
	[XMPP_E_COMPRESSED] = "compress:compressed",
	[XMPP_E_COMPRESS_FAILURE] = "compress:failure",
	[XMPP_E_SM_ENABLE] = "sm:enable",
	[XMPP_E_SM_ENABLED] = "sm:enabled",
	[XMPP_E_SM_RESUME] = "sm:resume",
	[XMPP_E_SM_RESUMED] = "sm:resumed",
	[XMPP_E_SM_FAILED] = "sm:failed",
	[XMPP_E_SM_R] = "sm:r",
	[XMPP_E_SM_A] = "sm:a",
	[XMPP_E_DB_RESULT] = "db:result",
	[XMPP_E_DB_VERIFY] = "db:verify",
};

enum xmpp_element xmpp_element_find(struct span ns, struct span name)
{
	size_t i;

	for (i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
		if (span_eq(name, span_str(elements[i].name)) &&
		    span_eq(ns, span_str(elements[i].ns)))
			return elements[i].e;
	return XMPP_E_OTHER;
}

const char *xmpp_element_name(enum xmpp_element e)
{
	return (unsigned)e < XMPP_ELEMENTS ? names[e] : "unknown";
}
