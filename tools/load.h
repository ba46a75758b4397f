/* tools/load.h -- a load generator: many SIP clients over TLS in one process, on the daemons' own loop, conn and tls modules.
 *
 * In: options. Out: connections that register (digest, MD5), refresh, or come and go, and a summary. load.c paces and counts,
 * load_client.c is one client, load_msg.c its messages. Owner rules: load owns the clients and each its connection. Bounded:
 * the number of clients, what is outstanding at once, the seconds, and every exchange by LOAD_EXCHANGE_MS. */
#ifndef SALLYPORT_LOAD_H
#define SALLYPORT_LOAD_H

#include "sip/sip.h"
#include "user/conn.h"

#define LOAD_CLIENTS_MAX 20000
#define LOAD_DUTS_MAX	 32
#define LOAD_EXCHANGE_MS 5000
#define LOAD_BUF	 8192  /* of one client: the largest message it takes */
#define LOAD_BUCKETS	 50000 /* of 0.1 ms: latencies up to 5 s */

enum load_phase { LOAD_SETUP, LOAD_RUN, LOAD_DRAIN };
enum load_state { LOAD_IDLE, LOAD_CONNECTING, LOAD_REGISTERING, LOAD_READY };

struct load_opts {
	struct addr server;
	const char *name, *domain, *prefix, *ca_file; /* SNI, domain of the users, their prefix */
	unsigned clients, window, rate, seconds;      /* rate 0: as fast as the window lets */
	bool churn, json; /* churn: connect, register, reset, again; else refresh */
	pid_t duts[LOAD_DUTS_MAX];
	unsigned n_duts;
};

struct load_challenge {
	char realm[64], nonce[128], opaque[64];
	char ha1[33];
	bool known, qop;
};

struct load_client {
	struct load *load;
	struct conn *conn;
	unsigned index;
	enum load_state state;
	struct load_challenge challenge;
	uint32_t nc, cseq;
	unsigned tries; /* REGISTERs of the running exchange */
	uint64_t started_us;
	size_t n;
	uint8_t buf[LOAD_BUF];
};

struct load_count {
	uint64_t ok, failed;
	uint32_t latency[LOAD_BUCKETS];
};

struct load {
	struct load_opts o;
	struct loop *loop;
	struct tls_ctx *tls;
	struct load_client *clients;
	enum load_phase phase;
	unsigned next, outstanding, started; /* started: exchanges begun in this phase */
	uint64_t run_us;		     /* when LOAD_RUN began */
	uint64_t cpu_ns;		     /* of the devices under test, before, then during it */
	double seconds;
	uint32_t run_id; /* in branches, tags and Call-IDs: a run is no retransmission of another */
	uint64_t setup_ok, setup_failed, lost;
	unsigned last_status; /* of the last exchange that failed, 0: none or no answer */
	char last_why[128];
	struct load_count run;
	struct loop_timer tick;
};

uint64_t load_now_us(void);
/* An exchange ended; @c is registered (or, when churning, gone). */
void load_done(struct load_client *c, bool ok);

int load_client_connect(struct load_client *c);
void load_client_refresh(struct load_client *c);
void load_client_end(struct load_client *c);
void load_client_late(struct load_client *c, uint64_t now_us);

/* The next REGISTER, from our address @local, as text in @buf: length or -E2BIG. */
ssize_t load_register(struct load_client *c, const struct addr *local, char *buf, size_t n);
int load_challenge(struct load_client *c, const struct sip_msg *m); /* 0 or -EBADMSG */
void load_ha1(const char *user, const char *realm, const char *password, char out[33]);
/* RFC 2617 3.2.2.1; @cnonce NULL: without qop. */
void load_digest(const char *ha1, const char *nonce, const char *method, const char *uri,
		 uint32_t nc, const char *cnonce, char out[33]);

#endif
