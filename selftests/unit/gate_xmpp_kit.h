/* selftests/unit/gate_xmpp_kit.h -- one client's bytes through the chat gate in any split, written down so that two runs can be compared.
 *
 * In: what the client sends before and after TLS, and how it is cut. Out: lines in the caller's buffer:
 *   reply TEXT | tls TEXT | forward DOMAIN TEXT | close REASON TEXT | more N (bytes that wait at the end)
 * What is forwarded to the same domain in a row is one line. The core answers each header that it gets by a byte. Each piece is a heap
 * block of its own, so that a sanitizer sees any step outside of it. Shared by the unit test and the fuzz target. */
#ifndef SALLYPORT_GATE_XMPP_KIT_H
#define SALLYPORT_GATE_XMPP_KIT_H

#include "user/gate_xmpp.h"

struct gate_kit {
	struct span plain,
		tls; /* before the handshake (n 0 and no .starttls: direct TLS), and after */
	bool starttls;
	struct span sni;
	size_t piece; /* bytes at a time; 0: all at once */
	size_t bytes; /* config.bytes; 0: 64 KiB */
	bool twice;   /* every verdict that is not consumed at once is asked for again */
	bool no_core; /* the first forward is answered by a refusal: no core */
	bool silent;  /* the core never answers */
};

/* The domains that are served: example.com, example.net, xn--bcher-kva.example. */
bool gate_kit_served(void *arg, struct span domain);
/* Returns the last verdict; aborts where a rule of the header is broken. */
enum gate_verdict gate_kit_run(const struct gate_kit *k, char *log, size_t cap);

#endif
