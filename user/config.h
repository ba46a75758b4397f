/* user/config.h -- one YAML file a daemon, loaded by schema (libcyaml) into these structs.
 *
 * In: a file's text. Out: a struct of plain values and strings, or "file:line: what was wanted, what came". Loaded in the
 * keeper (paths, addresses to open) and again in the worker from the same descriptor. Read-only after loading; config_*_free()
 * frees everything at once. Every field has a default or is required; unknown keys are errors. */
#ifndef SALLYPORT_CONFIG_H
#define SALLYPORT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_WHY_MAX	       512
#define CONFIG_RELAY_PAIRS_MAX 2

#define CONFIG_CERTIFICATES_MAX 16

struct config_certificate {
	const char *certificate, *key; /* PEM paths */
};

struct config_tls_files {
	const char *certificate, *key; /* PEM paths */
	const char *ca;		       /* PEM path; link: required */
	/* The edge's services only: several, chosen by SNI. The first is the default, and what .certificate and .key name. */
	struct config_certificate *certificates;
	unsigned certificates_count;
};

struct config_pair {		       /* media addresses of an edge */
	const char *outside;	       /* address, no port */
	const char *outside_advertise; /* default: outside */
	const char *inside;
	const char *inside_advertise;	      /* default: inside; what cores send to */
	uint16_t outside_first, inside_first; /* default 36000 */
	uint16_t ports;			      /* a side; default 24000 */
};

struct config_edge_core {
	const char *name;
	const char **domains;
	unsigned domains_count;
};

struct config_federation { /* chat with servers of other organisations; all of it off by default */
	const char **listen; /* they reach ours: address:port, default port 5269 */
	unsigned listen_count;
	const char *dial;	  /* on|off: ours may reach them, as a core asks; default off */
	const char *dial_private; /* on|off: at private addresses, too; default off */
	const char *dns;	  /* resolver for that, address[:port]; default: the system's */
};

struct config_service {	     /* what clients of one kind connect to */
	const char **listen; /* address:port, default port 5061, 8443, 5222 (xmpp: STARTTLS) */
	unsigned listen_count;
	const char **
		tls_listen; /* xmpp only: direct TLS, default port 5223; it has one of both, or both */
	unsigned tls_listen_count;
	const char *host;	     /* advertised name; clients and certificates know it */
	uint16_t port;		     /* advertised port; default 5061, 8443, 5222 */
	uint16_t tls_port;	     /* xmpp only: of direct TLS; default 5223 */
	struct config_tls_files tls; /* https, xmpp: default: those of sip */
	const char *ktls; /* kernel TLS of admitted streams: auto|on|tx|off; default auto */
	uint32_t ktls_after_seconds;	     /* of admission; default 2 */
	uint32_t ktls_after_bytes;	     /* both ways; default 0 */
	struct config_federation federation; /* xmpp only */
};

struct config_edge {
	const char *name;     /* certificate name on the link, e.g. edge.example.com */
	const char *instance; /* bpffs folder; default "edge" */
	const char *user;     /* default "sallyport" */
	const char *admin;    /* unix socket; default /run/sallyport/edge.sock */
	const char *
		admin_http; /* status page and metrics: loopback address:port, default port 9061; NULL: off */
	uint32_t trace_records; /* of user/trace.h, 128 bytes each; default 16384 */
	const char *log;	/* error|warn|info|debug; default info */
	struct {
		const char **listen; /* address:port, default port 7001 */
		unsigned listen_count;
		struct config_tls_files tls;
		const char *ktls; /* kernel TLS: auto|on|tx|off; default auto */
		struct config_edge_core *cores;
		unsigned cores_count;
	} link;
	struct config_service sip;
	struct config_service https, xmpp; /* .host NULL: off, and all else is 0 */
	struct {
		struct config_pair *pairs; /* 1..8 */
		unsigned pairs_count;
		uint16_t punch_port; /* UDP on each inside address; default 2777 */
		const char *rung;    /* auto|xdp|tc|user; default auto */
	} media;
	struct {
		uint32_t unadmitted_total;   /* streams not admitted, all; default 4096 */
		uint32_t unadmitted_prefix;  /* a source prefix (/24, /56); default 128 */
		uint32_t unadmitted_bytes;   /* default 65536 */
		uint32_t unadmitted_seconds; /* default 30 */
		uint32_t message_bytes;	     /* SIP message; default 32768 */
		uint32_t
			http_head_seconds; /* from an HTTP head's first byte to its last; default 10 */
		uint32_t http_requests_unadmitted; /* a stream may make; default 20 */
		uint32_t handshake_ms;		   /* default 5000 */
		uint32_t
			flows_stream; /* flows a core may hold for one client address (an office behind one NAT); default 2048 */
		uint32_t orphan_seconds; /* flows of a core that stays away; default 300 */
		uint32_t
			ban_score; /* refusals of a prefix within 60 s that end in a ban; default 50 */
		uint32_t ban_seconds; /* default 300 */
	} limits;
};

struct config_core_edge {
	const char *name;
	const char *address; /* address:port */
	uint32_t pool;	     /* default 16 */
};

struct config_call_server {
	const char *name;
	const char **domains;
	unsigned domains_count;
	const char *address;	      /* address:port, or a DNS name for SRV (then no port) */
	const char *transport;	      /* udp|tcp|tls; default udp */
	const char *tls_name;	      /* name wanted in its certificate; default: host of address */
	const char **trusted_headers; /* removed from what clients send */
	unsigned trusted_headers_count;
	const char *
		mode; /* path|contact; default path: contact rewrites Contact, for servers without Path */
	const char *digest_user; /* aor|any; default aor: REGISTER's Digest names the user of To */
	const char *
		*sources; /* further addresses its requests come from (default: address itself) */
	unsigned sources_count;
	const char *media; /* terminate|passthrough; default terminate */
	/* What it ties them to: address|connection; default address. connection: not over udp */
	const char *registrations;
};

struct config_relay_pair {	      /* media addresses of a core for calls that pass as SRTP */
	const char *link;	      /* address towards edges, no port */
	const char *inside;	      /* default: media.inside */
	const char *inside_advertise; /* default: media.inside_advertise, else inside */
	uint16_t link_first, inside_first; /* default 12000 */
	uint16_t ports;			   /* a side; default 16000 */
	/* Flows between clients, a stretch of ports each with itself (two) and with the other pair, behind those above on the link's side. */
	uint16_t joins; /* default 2000 */
};

struct config_xmpp_cluster { /* chat servers that share their users; any of them serves all of .domains */
	const char *name;
	const char **domains;
	unsigned domains_count;
	const char **
		nodes; /* host:port; none: SRV _xmpp-client._tcp (tls: direct: _xmpps-client._tcp) of the domain */
	unsigned nodes_count;
	const char *tls;      /* starttls|direct|none; default starttls */
	const char *tls_name; /* wanted in their certificates; default: the stream's domain */
	const char *ca;	      /* PEM path; required but for none */
	uint16_t server_port; /* of federation, on the same hosts; default 5269 */
};

struct config_xmpp {
	struct config_xmpp_cluster *clusters; /* none: no chat */
	unsigned clusters_count;
	const char **off; /* domains of clusters whose chat is off */
	unsigned off_count;
	const char *ktls; /* kernel TLS towards chat servers: auto|on|tx|off; default auto */
	struct {
		uint32_t streams;	/* of clients; default 20000 */
		uint32_t login_seconds; /* until a client has authenticated; default 60 */
		uint32_t attempts;	/* failed ones a stream; default 5 */
		uint32_t attempts_user; /* a user from one address within 10 minutes; default 10 */
		uint32_t
			attempts_address; /* an address within 10 minutes, then a ban; default 50 */
		uint32_t ban_seconds;	  /* default 300 */
		uint32_t federation;	  /* streams of servers; default 1000 */
	} limits;
	struct {
		const char **domains; /* of clusters that federate; none: federation is off */
		unsigned domains_count;
		const char **allow; /* other domains; none: all but .deny */
		unsigned allow_count;
		const char **deny;
		unsigned deny_count;
		const char *
			listen; /* where our servers dial the world: address:port; default port 5270 */
		const char **sources; /* addresses of those servers; required with .listen */
		unsigned sources_count;
	} federation;
};

struct config_cluster { /* a call-server cluster, for HTTPS */
	const char *name;
	const char *
		*domains; /* several clusters may serve one domain: a user's home is one of them */
	unsigned domains_count;
	const char **nodes; /* host:port of UDS; default port 8443 */
	unsigned nodes_count;
	const char *scheme; /* https|http; default https */
	const char **tftp;  /* addresses or names of provisioning servers (6970 http, 6972 https) */
	unsigned tftp_count;
	const char **voicemail; /* host:port; default port 443 */
	unsigned voicemail_count;
};

struct config_user { /* whose access differs from the default */
	const char *user, *domain;
	const char **access; /* of sip, https, chat; none: [] */
	unsigned access_count;
};

struct config_allow {	   /* what may be relayed besides what the clusters need */
	const char *url;   /* http(s)://host[:port]/path, the path may hold {user}, {file}, {any} */
	const char *match; /* exact|prefix; default exact */
	const char **methods; /* default [GET, HEAD] */
	unsigned methods_count;
	const char *domain; /* only for its users; default: all */
};

struct config_https {
	const char **
		token_keys; /* Ed25519 private keys (PEM): the first signs, all verify; none: HTTPS is off */
	unsigned token_keys_count;
	uint32_t token_seconds; /* default 28800 */
	uint32_t user_requests; /* a second, of one user; default 2000 */
	struct {
		const char *ca; /* what verifies servers inside */
	} tls;
	struct config_cluster *clusters;
	unsigned clusters_count;
	struct config_user *users;
	unsigned users_count;
	const char **default_access; /* default: all three */
	unsigned default_access_count;
	struct config_allow *allow;
	unsigned allow_count;
	const char *allow_csv; /* path */
	struct {
		uint32_t
			failures; /* bad passwords for a user from one address in .seconds; default 5 */
		uint32_t failures_user; /* from all addresses; default 50 */
		uint32_t seconds;	/* default 60 */
	} logon;
};

struct config_core {
	const char *name;
	const char *instance; /* bpffs folder, with media.relay; default "core" */
	const char *user;
	const char *admin;	/* default /run/sallyport/core.sock */
	const char *admin_http; /* as an edge's; default port 9062 */
	const char *log;
	uint32_t trace_records; /* as the edge's */
	const char *cdr; /* path: a line of JSON for each call that has ended; default: none */
	const char *token_key; /* path of 32 random bytes or more; cores of one site share it */
	const char *dns;       /* server address[:port] for SRV; default: the system's */
	struct {
		struct config_tls_files tls;
		const char *ktls; /* kernel TLS: auto|on|tx|off; default auto */
		struct config_core_edge *edges;
		unsigned edges_count;
	} link;
	struct {
		const char
			*listen; /* inside listener, address:port, UDP and TCP; default port 5060 */
		const char *
			advertise; /* host:port in Via, Record-Route and Path towards the inside; default: listen */
		const char *tls_listen; /* optional, port 5061 */
		struct config_tls_files
			tls; /* certificate for it and towards call servers; ca verifies them */
	} sip;
	struct config_call_server *call_servers;
	unsigned call_servers_count;
	struct {
		const char *link;   /* our UDP socket towards edges; default 0.0.0.0:2776 */
		const char *inside; /* address of inside legs */
		const char *inside_advertise; /* default: inside */
		uint16_t first_port, ports;   /* default 36000, 24000 */
		uint32_t silence_seconds;     /* default 60: a call silent both ways ends */
		uint32_t max;		      /* m-lines at once; default 4000 */
		const char *srtp;	      /* auto|fast|libsrtp2 */
		struct {
			struct config_relay_pair *pairs; /* none: no call passes; else 1 or 2 */
			unsigned pairs_count;
			const char *rung; /* auto|xdp|tc; default auto */
		} relay;
	} media;
	struct {
		uint32_t message_bytes; /* default 32768 */
		uint32_t bindings;	/* default 20000 */
		uint32_t calls;		/* default 4000 */
		uint32_t calls_user;	/* default 16 */
	} limits;
	struct config_xmpp xmpp;
	struct config_https https;
};

/* @text of @n bytes; @name is used in errors. 0 or -EINVAL with @why = "name:line: ...". */
int config_edge_load(const char *name, const char *text, size_t n, struct config_edge **out,
		     char why[CONFIG_WHY_MAX]);
int config_core_load(const char *name, const char *text, size_t n, struct config_core **out,
		     char why[CONFIG_WHY_MAX]);
void config_edge_free(struct config_edge *c);
void config_core_free(struct config_core *c);

#endif
