/* xmpp/jid.h -- addresses of XMPP entities, localpart@domainpart/resourcepart (RFC 7622).
 *
 * In: text. Out: its three parts as slices of it, and the domain in the one form that may be compared. The caller owns all
 * of it. The domainpart is prepared in full: internationalised labels become A-labels by libidn2 (UTS 46 mapping without
 * transitional processing, then IDNA 2008), ASCII becomes lower case, one dot at the end goes (RFC 7622 3.2), IP literals
 * take their shortest form. Of the localpart and the resourcepart lengths, UTF-8 and forbidden characters are checked; of
 * the PRECIS profiles (RFC 8265) only ASCII case is folded. So two localparts that a server takes for the same by Unicode
 * normalisation or case differ here: that can refuse, it never takes one user for another. libidn2 allocates while it
 * converts a name that is not plain ASCII; nothing of it is kept. */
#ifndef SALLYPORT_XMPP_JID_H
#define SALLYPORT_XMPP_JID_H

#include "user/span.h"

#define XMPP_PART_MAX 1023 /* bytes of each part (RFC 7622 3.2, 3.3, 3.4) */
#define XMPP_HOST_MAX \
	253 /* bytes of a comparable domain (RFC 1035 2.3.4, without the dot at the end) */

enum xmpp_jid_why { /* each with xmpp_jid_why_text() */
		    XMPP_JID_OK,
		    XMPP_JID_LOCAL_EMPTY,
		    XMPP_JID_LOCAL_LONG,
		    XMPP_JID_LOCAL_CHAR,
		    XMPP_JID_DOMAIN_EMPTY,
		    XMPP_JID_DOMAIN_LONG,
		    XMPP_JID_DOMAIN_CHAR, /* not a letter, digit, dot or hyphen; a label's hyphen at its ends */
		    XMPP_JID_DOMAIN_LABEL, /* empty, or longer than 63 bytes */
		    XMPP_JID_DOMAIN_IDN,   /* refused by IDNA 2008 */
		    XMPP_JID_DOMAIN_IP,	   /* neither a name nor an IP address: "1.2.3", "[::g]" */
		    XMPP_JID_RESOURCE_EMPTY,
		    XMPP_JID_RESOURCE_LONG,
		    XMPP_JID_RESOURCE_CHAR,
		    XMPP_JID_UTF8,
		    XMPP_JID_WHYS
};
const char *xmpp_jid_why_text(enum xmpp_jid_why why); /* "empty localpart" */

struct xmpp_domain {
	char text[XMPP_HOST_MAX +
		  1]; /* comparable: "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1" */
	uint8_t n;
	bool literal; /* an IP address; IPv6 is written without its brackets here */
};

struct xmpp_jid {
	struct span whole, local, domain,
		resource; /* as they came; local and resource may be empty */
	struct xmpp_domain host;
};

/* All of @s. 0, or -EBADMSG with *why. */
int xmpp_jid_parse(struct span s, struct xmpp_jid *out, enum xmpp_jid_why *why);
/* All of @s is a domainpart, as in a configuration file or a stream header's 'to'. 0, or -EBADMSG with *why. */
int xmpp_domain_parse(struct span s, struct xmpp_domain *out, enum xmpp_jid_why *why);

bool xmpp_domain_equal(const struct xmpp_domain *a, const struct xmpp_domain *b);
/* Same localpart (ASCII case folded) and domain, whatever the resources. */
bool xmpp_jid_equal_bare(const struct xmpp_jid *a, const struct xmpp_jid *b);
static inline struct span xmpp_domain_span(const struct xmpp_domain *d)
{
	return span_of(d->text, d->n);
}
/* The comparable bare JID, localpart in ASCII lower case: "alice@example.com", "alice@[2001:db8::1]". NUL-terminated; length or
 * -E2BIG. */
ssize_t xmpp_jid_bare(const struct xmpp_jid *j, char *buf, size_t n);

#endif
