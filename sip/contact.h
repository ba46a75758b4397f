/* sip/contact.h -- mode `contact`: what a call server without Path (RFC 3327) sees of a client's device, and the way back.
 *
 * Towards such a server each Contact of a client is a URI of the core, "sip:TOKEN@core", whose token names the binding: the
 * same one in REGISTER and in dialogs, whatever address the client has now. A request to it finds the binding's newest stream
 * and gets back the URI that the client gave itself, the dialog's or the registered one; a 2xx to REGISTER likewise.
 * In: messages of clients, requests and REGISTER's answers from inside. Out: Contact fields, Request-URIs. No state: the
 * clients' own URIs are in their bindings and calls (after a restart a binding without its contact cannot be translated). */
#ifndef SALLYPORT_SIP_CONTACT_H
#define SALLYPORT_SIP_CONTACT_H

#include "sip/forward.h"

struct call;

#define CONTACT_URI_MAX 400

/* "sip:TOKEN@core:port;transport=x" for @binding. Returns @buf. */
const char *contact_uri(const struct engine *e, unsigned server, uint64_t binding,
			char buf[CONTACT_URI_MAX]);
/* Whether @u is such a URI; *binding: whose. */
bool contact_read(const struct engine *e, const struct sip_uri *u, uint64_t *binding);
/* Contact element @a as it came, but with @uri. */
void contact_write(struct sip_out *o, const struct sip_addr *a, struct span uri);

/* The Contact fields of @m, a client's request or answer in a dialog or outside of any, into @ed with the URI of @binding.
 * Left as they are: other schemes, GRUUs (they lead here by the call server), and where an answer names somebody else
 * (3xx). @buf is where the new values live. False: they do not fit. */
bool contact_hide(const struct engine *e, unsigned server, uint64_t binding,
		  const struct sip_msg *m, struct edit *ed, char *buf, size_t n);
/* The client's own URI for the Request-URI @u of a request from inside, of call @c if there is one. Empty: as it is. */
struct span contact_target(const struct engine *e, const struct call *c, const struct sip_uri *u);

#endif
