/* tools/load.h -- a load generator: many SIP clients over TLS in one process, on the daemons' own loop, conn and tls modules.
 *
 * In: options. Out: connections that register (digest, MD5), refresh, or come and go, and a summary; or (load_calls.h) that call and
 * are called. load.c paces and counts, load_client.c is one client, load_msg.c its messages, load_udp.c the one socket of clients
 * that stand inside. Owner rules: load owns the clients and each its connection. Bounded: the number of clients, what is outstanding
 * at once, the seconds, and every exchange by LOAD_EXCHANGE_MS. */
#ifndef SALLYPORT_LOAD_H
#define SALLYPORT_LOAD_H

#include "sip/sip.h"
#include "user/conn.h"

#define LOAD_CLIENTS_MAX 20000
#define LOAD_DUTS_MAX	 32
#define LOAD_EXCHANGE_MS 5000
#define LOAD_BUF	 8192  /* of one client: the largest message it takes */
#define LOAD_BUCKETS	 50000 /* of 0.1 ms: latencies up to 5 s */

#define LOAD_TEXT     4096 /* the longest message we make */
#define LOAD_RETRY_MS 200  /* between two tries to come back */

enum load_phase { LOAD_SETUP, LOAD_RUN, LOAD_DRAIN, LOAD_LEAVE };
enum load_state { LOAD_IDLE, LOAD_CONNECTING, LOAD_REGISTERING, LOAD_READY };

struct load_opts {
	struct addr server;
	const char *name, *domain, *prefix, *ca_file; /* SNI, domain of the users, their prefix */
	unsigned clients, window, rate, seconds;      /* rate 0: as fast as the window lets */
	bool churn, json; /* churn: connect, register, reset, again; else refresh */
	bool reconnect;	  /* a lost connection is made again, and registered */
	bool udp;	  /* inside: SIP over UDP from @local, no Path, no outbound */
	struct addr local;
	pid_t duts[LOAD_DUTS_MAX];
	unsigned n_duts;
};

struct load_challenge {
	char realm[64], nonce[128], opaque[64];
	char ha1[33];
	uint32_t nc;
	bool known, qop;
};

struct load_client {
	struct load *load;
	struct conn *conn;
	unsigned index;
	enum load_state state;
	struct load_challenge challenge, proxy; /* for REGISTER (401), for INVITE (407) */
	uint32_t cseq;
	unsigned tries;		       /* REGISTERs of the running exchange */
	bool known;		       /* was registered once */
	bool leaving;		       /* Expires: 0 */
	bool again;		       /* not the first registration: comes back after a loss */
	uint64_t started_us, retry_us; /* retry_us: when to connect again, 0: not */
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
	uint64_t setup_ok, setup_failed, lost, reconnected;
	struct load_calls *calls; /* NULL: registrations only */
	int udp_fd;
	struct loop_handle udp_recv;
	unsigned last_status; /* of the last exchange that failed, 0: none or no answer */
	char last_why[128];
	struct load_count run;
	struct loop_timer tick;
};

uint64_t load_now_us(void);
/* ---- load.c ---- */
/* An exchange ended; @c is registered (or, when churning, gone). */
void load_done(struct load_client *c, bool ok);
bool load_uint(const char *s, unsigned max, unsigned *out);
int load_option(struct load_opts *o, int c, const char *arg); /* 0 or -EINVAL */
/* Descriptors, clients, TLS, loop; @fds and @ops beside those of the clients. 0 or negative errno, said on stderr. */
int load_open(struct load *l, struct loop_params *lp, unsigned fds);
void load_close(struct load *l);
void load_latency(struct load_count *n, uint64_t us);
double load_percentile(const struct load_count *n, double share); /* ms */
uint64_t load_cpu_ns(const struct load *l);			  /* of the devices under test */

/* ---- load_client.c ---- */
int load_client_connect(struct load_client *c);
void load_client_refresh(struct load_client *c);
void load_client_end(struct load_client *c);
void load_client_late(struct load_client *c, uint64_t now_us);
/* Registered, as far as it knows. */
bool load_client_ready(const struct load_client *c);
/* 0, -ENOTCONN (not ready), or another negative errno: the client is lost then, and told so. */
int load_client_send(struct load_client *c, struct span text);
const struct addr *load_client_local(const struct load_client *c);
void load_client_message(struct load_client *c, const struct sip_msg *m);

/* ---- load_udp.c ---- */
int load_udp_open(struct load *l);

/* ---- load_msg.c ---- */
/* The next REGISTER, from our address @local, as text in @buf: length or -E2BIG. */
ssize_t load_register(struct load_client *c, const struct addr *local, char *buf, size_t n);
int load_challenge(struct load_client *c, const struct sip_msg *m); /* 401, 407; 0 or -EBADMSG */
struct sip_out;
/* Authorization, or Proxy-Authorization for what @ch is the challenge of; nothing while it is not known. */
void load_credentials(struct load_client *c, struct load_challenge *ch, struct sip_out *o,
		      const char *method, const char *uri);
/* The client's Contact URI; it stays the same over connections. */
void load_contact(const struct load_client *c, const struct addr *local, char *buf, size_t n);
void load_ha1(const char *user, const char *realm, const char *password, char out[33]);
/* RFC 2617 3.2.2.1; @cnonce NULL: without qop. */
void load_digest(const char *ha1, const char *nonce, const char *method, const char *uri,
		 uint32_t nc, const char *cnonce, char out[33]);

#endif
