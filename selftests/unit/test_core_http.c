/* selftests/unit/test_core_http.c -- clients' HTTPS streams on the core, by the real link, log on, policy and upstream: what is
 * relayed and how it is rewritten, who gets in, what is refused, bodies both ways with hashes, tunnels, order, limits. Only
 * edge config is played here. */
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "selftests/unit/link_kit.h"
#include "selftests/unit/origin_kit.h"
#include "user/core_http_impl.h"
#include "user/wall.h"

#define NODE	"127.0.0.1"
#define OUT_MAX (1u << 20)

static struct world w;
static struct core_http *http;
static struct upstream *up;
static struct clusters *clusters;
static struct policy *policy;
static struct logon *logon;
static struct http_token_signer *signer, *stranger;
static struct http_token_keys *keys;
static struct config_core *cfg;
static struct origin a, b;
static char told[256];
static unsigned admits, revokes;

/* ---- edge config, played ---- */

static struct {
	edge_config_done_fn *fn;
	void *arg;
	struct loop_timer timer;
	char text[256];
} asked;

static void config_answer(void *arg)
{
	(void)arg;
	asked.fn(asked.arg, 200, "text/xml", span_str(asked.text));
}

int edge_config_make(struct edge_config *c, const struct edge_config_ask *ask,
		     edge_config_done_fn *done, void *arg)
{
	(void)c;
	(void)snprintf(asked.text, sizeof(asked.text),
		       "%s domain=%s user=%s query=%.*s edges=%u host=%s",
		       http_service_path_text(ask->what), ask->domain, ask->user ? ask->user : "-",
		       (int)ask->query.n, (const char *)ask->query.p, ask->n_edges,
		       ask->edges[0].https_host);
	asked.fn = done;
	asked.arg = arg;
	asked.timer = (struct loop_timer){.fn = config_answer};
	return loop_timer_set(w.l, &asked.timer, 0);
}

void edge_config_forget(struct edge_config *c, void *arg)
{
	(void)c;
	if (asked.arg == arg)
		loop_timer_cancel(w.l, &asked.timer);
}

/* ---- the core ---- */

static void on_tell(void *arg, const char *edge, uint64_t stream, const char *revoke)
{
	(void)arg;
	(void)snprintf(told, sizeof(told), "%s %llu %s", edge, (unsigned long long)stream,
		       revoke ? revoke : "admit");
	*(revoke ? &revokes : &admits) += 1;
}

static unsigned on_edges(void *arg, const char *edge, struct edge_config_edge *out, unsigned max)
{
	(void)arg;
	(void)edge;
	assert_true(max > 0);
	out[0] = (struct edge_config_edge){.https_host = "edge.example.com", .https_port = 8443};
	return 1;
}

static bool edge_drains;

static bool on_ending(void *arg, const char *edge)
{
	(void)arg;
	(void)edge;
	return edge_drains;
}

static const struct core_http_ops http_ops = {on_tell, on_edges, on_ending};

static void on_open(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o)
{
	(void)arg;
	core_http_open(http, link_peer_name(p), d, o);
}

static void on_up(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	(void)arg;
	(void)m;
	w.c.peer = p;
}

static void on_down(void *arg, struct link_peer *p, const char *why)
{
	(void)arg;
	(void)p;
	(void)why;
}

static void on_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	(void)arg;
	(void)p;
	(void)m;
}

static const struct link_ops core_ops = {on_up, on_down, on_message, on_open};

static struct http_token_signer *key_make(void)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	struct http_token_signer *s = NULL;
	char why[200], *pem;
	long n;

	assert_non_null(pkey);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	assert_int_equal(http_token_signer_new(span_of(pem, (size_t)n), &s, why, sizeof(why)), 0);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return s;
}

static void configure(void)
{
	char text[4096], why[CONFIG_WHY_MAX] = "";

	(void)snprintf(
		text, sizeof(text),
		"name: core.example.com\ntoken_key: /k\nlink: {tls: {certificate: /c, key: /k, ca: "
		"/a}, "
		"edges: [{name: e, address: '192.0.2.1'}]}\nsip: {listen: '192.0.2.2:5060'}\n"
		"call_servers: [{name: p, domains: [example.com], address: '192.0.2.3:5060'}]\n"
		"media: {inside: 192.0.2.2}\nhttps:\n  token_keys: [/k]\n  tls: {ca: /ca}\n"
		"  clusters: [{name: hq, domains: [example.com], nodes: ['" NODE ":%u', '" NODE
		":%u'], scheme: http}]\n"
		"  users: [{user: mallory, domain: example.com, access: []}]\n"
		"  allow:\n"
		"    - {url: 'http://" NODE
		":%u/', match: prefix, methods: [GET, HEAD, POST, PUT]}\n"
		"    - {url: 'http://" NODE ":%u/home/{user}', match: prefix}\n",
		a.addr.port, b.addr.port, a.addr.port, b.addr.port);
	if (config_core_load("f", text, strlen(text), &cfg, why))
		fail_msg("%s", why);
	assert_int_equal(clusters_new(cfg, &clusters), 0);
	if (policy_new(cfg, clusters, SPAN(""), &policy, why, sizeof(why)))
		fail_msg("%s", why);
}

static int setup(void **state)
{
	struct upstream_params pu = {};
	struct logon_params pl = {.token_seconds = 100,
				  .failures_pair = 5,
				  .failures_user = 50,
				  .failures_seconds = 60};
	struct core_http_params ph = {.ops = &http_ops, .user_rate = 100000};
	const struct http_token_key *k;

	(void)state;
	admits = revokes = 0;
	world_good(&w);
	origin_open(&a, w.l, NULL, 0);
	origin_open(&b, w.l, NULL, 0);
	configure();
	signer = key_make();
	stranger = key_make();
	assert_int_equal(http_token_keys_new(&keys), 0);
	k = http_token_signer_key(signer);
	assert_int_equal(http_token_keys_add(keys, SPAN(""), span_of(k->public_key, 32)), 0);
	pu.loop = pl.loop = ph.loop = w.l;
	assert_int_equal(upstream_new(&pu, &up), 0);
	pl.upstream = ph.upstream = up;
	pl.clusters = ph.clusters = clusters;
	pl.policy = ph.policy = policy;
	pl.signer = signer;
	pl.keys = keys;
	assert_int_equal(logon_new(&pl, &logon), 0);
	ph.logon = logon;
	assert_int_equal(core_http_new(&ph, &http), 0);
	dial(&w, &w.core, "core1.example", "edge1.example", &core_ops);
	assert_true(run_until(&w, pool_full, 5000));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	core_http_free(http);
	upstream_free(up);
	logon_free(logon);
	origin_close(&a);
	origin_close(&b);
	world_close(&w);
	policy_free(policy);
	clusters_free(clusters);
	config_core_free(cfg);
	http_token_signer_free(signer);
	http_token_signer_free(stranger);
	http_token_keys_free(keys);
	return 0;
}

/* ---- a client, as the edge passes it on ---- */

struct client {
	struct link_data *d;
	char *out; /* what came back */
	size_t n;
	uint64_t sum, total; /* of everything behind the first head */
	bool over, clean, counting, hold;
	uint64_t up_left, up_at; /* pattern to be sent */
};

static struct client c;
static const char *needle;

static void take(struct client *x, const uint8_t *p, size_t n)
{
	if (x->counting) {
		x->sum = origin_sum(x->sum, p, n);
		x->total += n;
		return;
	}
	assert_true(x->n + n < OUT_MAX);
	memcpy(x->out + x->n, p, n);
	x->n += n;
	x->out[x->n] = 0;
}

static void c_readable(void *arg)
{
	struct client *x = arg;
	static uint8_t buf[65536];
	ssize_t n;

	while (!x->hold && (n = conn_read(link_data_conn(x->d), buf, sizeof(buf))) != -EAGAIN) {
		if (n <= 0) {
			x->over = true;
			x->clean = n == 0;
			link_edge_end(x->d, n == 0 ? NULL : "reset");
			x->d = NULL;
			return;
		}
		take(x, buf, (size_t)n);
	}
}

static void c_drained(void *arg)
{
	struct client *x = arg;
	static uint8_t block[32768];

	while (x->up_left && conn_room(link_data_conn(x->d)) >= sizeof(block)) {
		size_t n = x->up_left < sizeof(block) ? (size_t)x->up_left : sizeof(block);

		origin_pattern(x->up_at, block, n);
		if (conn_write(link_data_conn(x->d), span_of(block, n)))
			return;
		x->up_at += n;
		x->up_left -= n;
	}
}

static void c_down(void *arg, int err, const char *why)
{
	struct client *x = arg;

	(void)err;
	(void)why;
	x->over = true;
	link_edge_end(x->d, "down");
	x->d = NULL;
}

static const struct conn_ops c_ops_client = {
	.readable = c_readable, .drained = c_drained, .down = c_down};

static void client_open(struct client *x)
{
	static uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
	static uint64_t id;
	Sallyport__Open o = SALLYPORT__OPEN__INIT;

	*x = (struct client){.out = calloc(1, OUT_MAX)};
	o.stream = ++id;
	o.service = (char *)"https";
	o.client_ip = o.local_ip = (ProtobufCBinaryData){.len = 16, .data = ip};
	o.client_port = 50000;
	while (link_edge_open(w.e.peer, &o, &c_ops_client, x, &x->d))
		assert_false(run_until(&w, never, 5));
}

static void client_close(struct client *x)
{
	link_edge_end(x->d, "closing");
	x->d = NULL;
	free(x->out);
}

static bool has_needle(struct world *x)
{
	(void)x;
	return memmem(c.out, c.n, needle, strlen(needle)) != NULL;
}

static bool streams_gone(struct world *x)
{
	(void)x;
	return core_http_stats(http)->streams == 0;
}

static bool is_over(struct world *x)
{
	(void)x;
	return c.over;
}

static void say(const char *text)
{
	assert_int_equal(conn_write(link_data_conn(c.d), span_str(text)), 0);
}

/* What came up to @text, and some more. */
static void wait_for(const char *text)
{
	needle = text;
	if (!run_until(&w, has_needle, 5000))
		fail_msg("wanted \"%s\", came:\n%s", text, c.out);
}

static void wait_end(void)
{
	if (!run_until(&w, is_over, 5000))
		fail_msg("the stream did not end; came:\n%s", c.out);
}

static void forget(void)
{
	c.n = 0;
	c.out[0] = 0;
}

static const char *token_of(struct http_token_signer *with, const char *user, const char *domain,
			    int seconds)
{
	static char text[HTTP_TOKEN_TEXT_MAX];
	struct http_token t = {.issued_s = wall_now_s() - 1000};

	t.expires_s = wall_now_s() + (uint64_t)(int64_t)seconds;
	(void)snprintf(t.user, sizeof(t.user), "%s", user);
	(void)snprintf(t.domain, sizeof(t.domain), "%s", domain);
	assert_true(http_token_sign(with, &t, text) > 0);
	return text;
}

static const char *segment_of(const struct origin *o)
{
	static char text[HTTP_DESCRIPTOR_MAX];

	assert_true(http_descriptor_write("example.com", false, SPAN(NODE), false, o->addr.port,
					  text, sizeof(text)) > 0);
	return text;
}

/* A request for @path of @o as alice, @fields and @body behind. */
static const char *request(const struct origin *o, const char *method, const char *path,
			   const char *fields, const char *body)
{
	static char text[8192];

	(void)snprintf(text, sizeof(text),
		       "%s %s%s HTTP/1.1\r\nHost: edge.example.com:8443\r\nCookie: a=b; X-Auth=%s; "
		       "c=d\r\n%s\r\n%s",
		       method, segment_of(o), path, token_of(signer, "alice", "example.com", 100),
		       fields, body);
	return text;
}

/* ---- cases ---- */

static void test_core_http_relay(void **state)
{
	unsigned tries;

	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/x/y?q=1",
		    "Accept: */*\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded-Port: 1\r\nForwarded: "
		    "for=6.6.6.6\r\n"
		    "X-HTTP-Method-Override: DELETE\r\nx_http_method: DELETE\r\nClient-IP: "
		    "6.6.6.6\r\n"
		    "X-Remote-User: root\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: "
		    "trailers\r\n"
		    "Authorization: Basic YWxpY2U6cHc=\r\n",
		    ""));
	wait_for("Via: 1.1 sallyport\r\n\r\n");
	assert_non_null(strstr(c.out, "HTTP/1.1 200 OK\r\nContent-Length: "));
	assert_non_null(strstr(a.head, "GET /x/y?q=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_non_null(strstr(a.head, "\r\nCookie: a=b; c=d\r\n"));
	assert_non_null(strstr(a.head, "\r\nX-Forwarded-For: 192.0.2.1\r\n"));
	assert_non_null(strstr(a.head, "\r\nAuthorization: Basic YWxpY2U6cHc=\r\n"));
	assert_non_null(strstr(a.head, "\r\nAccept: */*\r\n"));
	assert_null(strstr(a.head, "6.6.6.6"));
	assert_null(strstr(a.head, "X-Auth"));
	assert_null(strstr(a.head, "X_Forwarded"));
	assert_null(strstr(a.head, "Remote"));
	assert_null(strstr(a.head, "DELETE"));
	assert_null(strstr(a.head, "X-Hop"));
	assert_null(strstr(a.head, "TE:"));
	assert_null(strstr(a.head, "edge.example.com"));
	assert_int_equal(admits, 1);
	forget();
	say(request(&a, "HEAD", "/", "", ""));
	wait_for("\r\n\r\n");
	assert_string_equal(c.out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	forget();
	say(request(&a, "POST", "/f", "Content-Length: 5\r\n", "hello"));
	wait_for("n=5 sum=");
	forget();
	say(request(&a, "POST", "/f", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"));
	wait_for("n=3 sum=");
	assert_int_equal(a.conns, 1);
	assert_int_equal(admits, 1);
	assert_int_equal(core_http_stats(http)->outcomes[CORE_HTTP_RELAYED], 4);
	assert_int_equal(core_http_stats(http)->tokens_checked +
				 core_http_stats(http)->tokens_remembered,
			 4);
	assert_in_range(core_http_stats(http)->tokens_checked, 1, 4);
	/* A busy machine may let it forget each time. */
	for (tries = 0; tries < 1000 && !core_http_stats(http)->tokens_remembered; tries++) {
		forget();
		say(request(&a, "HEAD", "/", "", ""));
		wait_for("\r\n\r\n");
	}
	assert_int_not_equal(core_http_stats(http)->tokens_remembered, 0);
	assert_int_equal(core_http_stats(http)->active, 0);
	client_close(&c);
}

static void test_core_http_answers(void **state)
{
	char want[512];

	(void)state;
	client_open(&c);
	a.answer = "HTTP/1.1 302 Found\r\nLocation: /next?x#y\r\nSet-Cookie: S=1; Path=/app; "
		   "Domain=in.example.com; Secure\r\n"
		   "Set-Cookie: X-Auth=evil; Path=/\r\nAlt-Svc: "
		   "h2=\":443\"\r\nStrict-Transport-Security: max-age=1\r\n"
		   "Set-Cookie: T=2\r\nVia: 1.1 inner\r\nKeep-Alive: timeout=5\r\nContent-Length: "
		   "0\r\n\r\n";
	say(request(&a, "GET", "/", "", ""));
	wait_for("\r\n\r\n");
	(void)snprintf(want, sizeof(want),
		       "HTTP/1.1 302 Found\r\nLocation: %s/next?x#y\r\nSet-Cookie: S=1; "
		       "Path=%s/app; Secure\r\n"
		       "Set-Cookie: T=2\r\nContent-Length: 0\r\n\r\n",
		       segment_of(&a), segment_of(&a));
	assert_string_equal(c.out, want);
	/* Where it leads elsewhere: to what this user may ask, through us; else as it is. */
	forget();
	(void)snprintf(want, sizeof(want),
		       "HTTP/1.1 302 Found\r\nLocation: "
		       "http://127.0.0.1:%u/home/alice/x\r\nContent-Length: 0\r\n\r\n",
		       b.addr.port);
	a.answer = want;
	say(request(&a, "GET", "/", "", ""));
	wait_for("\r\n\r\n");
	assert_non_null(strstr(c.out, segment_of(&b)));
	assert_non_null(strstr(c.out, "/home/alice/x\r\n"));
	forget();
	(void)snprintf(want, sizeof(want),
		       "HTTP/1.1 302 Found\r\nLocation: "
		       "http://127.0.0.1:%u/home/bob/x\r\nContent-Length: 0\r\n\r\n",
		       b.addr.port);
	say(request(&a, "GET", "/", "", ""));
	wait_for("\r\n\r\n");
	assert_non_null(strstr(c.out, "Location: http://127.0.0.1:"));
	forget();
	a.answer = NULL;
	/* Until its connection ends: ours ends with it. */
	say(request(&a, "GET", "/close/9", "", ""));
	wait_end();
	assert_true(c.clean);
	assert_non_null(strstr(c.out, "Connection: close\r\n\r\n"));
	client_close(&c);
	/* Cut short: no clean end that could be taken for a whole answer. */
	client_open(&c);
	say(request(&a, "GET", "/cut", "", ""));
	wait_end();
	assert_false(c.clean);
	assert_int_equal(core_http_stats(http)->outcomes[CORE_HTTP_CUT], 1);
	client_close(&c);
}

/* HTTP/1.0: no chunks, no 1xx, and the connection ends unless it asked otherwise. */
static void test_core_http_old(void **state)
{
	char text[4096];

	(void)state;
	client_open(&c);
	(void)snprintf(
		text, sizeof(text),
		"GET %s/bytes/4 HTTP/1.0\r\nConnection: keep-alive\r\nCookie: X-Auth=%s\r\n\r\n",
		segment_of(&a), token_of(signer, "alice", "example.com", 100));
	say(text);
	wait_for("Connection: keep-alive\r\n\r\n");
	forget();
	(void)snprintf(
		text, sizeof(text),
		"GET %s/chunked/4 HTTP/1.0\r\nConnection: keep-alive\r\nCookie: X-Auth=%s\r\n\r\n",
		segment_of(&a), token_of(signer, "alice", "example.com", 100));
	say(text);
	wait_end();
	assert_null(strstr(c.out, "chunked"));
	assert_non_null(strstr(c.out, "Connection: close\r\n\r\n"));
	assert_int_equal(c.n, strlen("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") + 4);
	client_close(&c);
}

static void test_core_http_refused(void **state)
{
	static const struct {
		const char *path;
		bool other; /* of the second origin */
		const char *log;
	} cases[] = {
		{"/", true, "no rule for this path"},
		{"/home/bob/x", true, "another user"},
		{"/home/alice/../bob", true, "path"},
		{"/home/alice/%2e%2e/bob", true, "path"},
	};
	unsigned i;

	(void)state;
	client_open(&c);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget();
		logs[0] = 0;
		say(request(cases[i].other ? &b : &a, "GET", cases[i].path, "", ""));
		wait_for("\r\n\r\nNot allowed");
		assert_non_null(strstr(c.out, "HTTP/1.1 403 Forbidden\r\n"));
		assert_true(logged("http-refused", "user=\"alice\"", "rule="));
		assert_true(logged("http-refused", "target=http://127.0.0.1:", cases[i].path));
	}
	forget();
	logs[0] = 0;
	say(request(&b, "GET", "/there?key=s3cret", "", ""));
	wait_for("\r\n\r\nNot allowed");
	assert_true(logged("http-refused", "path=\"/there\"", "rule="));
	assert_null(strstr(logs, "s3cret"));
	forget();
	say(request(&b, "DELETE", "/home/alice/x", "", ""));
	wait_for("403 Forbidden");
	forget();
	say(request(&a, "GET", "/bytes/1", "", ""));
	wait_for("200 OK");
	assert_int_equal(b.requests, 0);
	assert_int_equal(core_http_stats(http)->outcomes[CORE_HTTP_DENIED], 6);
	client_close(&c);
}

/* Every request by its own token, also on a stream that is admitted. */
static void test_core_http_tokens(void **state)
{
	char text[4096];
	unsigned i;

	(void)state;
	for (i = 0; i < 6; i++) {
		const char *t = i == 0	 ? "x.y.z"
				: i == 1 ? token_of(stranger, "alice", "example.com", 100)
				: i == 2 ? token_of(signer, "alice", "example.com", -10)
				: i == 3 ? token_of(signer, "alice", "other.example", 100)
				: i == 4 ? token_of(signer, "mallory", "example.com", 100)
					 : "";

		client_open(&c);
		(void)snprintf(text, sizeof(text), "GET %s/ HTTP/1.1\r\nHost: e\r\n%s%s%s\r\n",
			       segment_of(&a), i < 5 ? "Cookie: X-Auth=" : "", t,
			       i < 5 ? "\r\n" : "");
		say(text);
		wait_for("\r\n\r\n");
		if (i == 4)
			assert_non_null(strstr(c.out, "HTTP/1.1 403 "));
		else
			assert_non_null(strstr(c.out, "HTTP/1.1 401 Unauthorized\r\n"));
		assert_int_equal(i == 4, !strstr(c.out, "WWW-Authenticate: Basic realm="));
		client_close(&c);
	}
	assert_int_equal(a.requests, 0);
	assert_int_equal(admits, 0);
	assert_int_equal(revokes, 0);
	/* Admitted, then one without. */
	client_open(&c);
	say(request(&a, "GET", "/bytes/1", "", ""));
	wait_for("200 OK");
	assert_int_equal(admits, 1);
	forget();
	(void)snprintf(text, sizeof(text), "GET %s/ HTTP/1.1\r\nHost: e\r\n\r\n", segment_of(&a));
	say(text);
	wait_end();
	assert_non_null(strstr(c.out, "HTTP/1.1 401 Unauthorized\r\n"));
	assert_non_null(strstr(c.out, "Connection: close\r\n"));
	assert_int_equal(revokes, 1);
	assert_int_equal(a.requests, 1);
	client_close(&c);
}

static void test_core_http_config(void **state)
{
	(void)state;
	client_open(&c);
	say("GET /ZXhhbXBsZS5jb20/get_edge_sso?email=x HTTP/1.1\r\nHost: e\r\n\r\n");
	wait_for("edge-sso domain=example.com user=- query=email=x edges=1 host=edge.example.com");
	assert_non_null(strstr(c.out, "Content-Type: text/xml\r\n"));
	forget();
	say("HEAD /.well-known/sallyport HTTP/1.1\r\nHost: edge.example.com\r\n\r\n");
	wait_for("\r\n\r\n");
	assert_null(strstr(c.out, "domain="));
	assert_string_equal(
		asked.text,
		"well-known domain=example.com user=- query= edges=1 host=edge.example.com");
	forget();
	say("GET /ZXhhbXBsZS5jb20/get_edge_config HTTP/1.1\r\nHost: e\r\n\r\n");
	wait_for("401 Unauthorized");
	forget();
	say("POST /ZXhhbXBsZS5jb20/get_edge_config HTTP/1.1\r\nHost: e\r\nContent-Length: "
	    "0\r\n\r\n");
	wait_for("405 Method");
	/* By password, over UDS: the origin is the cluster's node. */
	forget();
	say("GET /ZXhhbXBsZS5jb20/get_edge_config?service_name=_cisco-uds HTTP/1.1\r\nHost: e\r\n"
	    "Authorization: Basic YWxpY2U6cHc=\r\n\r\n");
	wait_for("200 OK");
	assert_non_null(strstr(c.out, "Set-Cookie: X-Auth="));
	assert_non_null(strstr(c.out, "edge-config domain=example.com user=alice"));
	assert_int_equal(admits, 1);
	assert_int_equal(core_http_stats(http)->outcomes[CORE_HTTP_CONFIGURED], 3);
	client_close(&c);
}

/* The edge, or this core, is being taken out of service: each answer is the connection's last. */
static void test_core_http_draining(void **state)
{
	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/", "", ""));
	wait_for("HTTP/1.1 200 OK\r\n");
	assert_null(strstr(c.out, "Connection: close"));
	edge_drains = true;
	forget();
	say(request(&a, "GET", "/", "", ""));
	wait_for("Connection: close\r\n");
	assert_non_null(strstr(c.out, "HTTP/1.1 200 OK\r\n"));
	client_close(&c);
	client_open(&c);
	say("GET /ZXhhbXBsZS5jb20/get_edge_sso?email=x HTTP/1.1\r\nHost: e\r\n\r\n");
	wait_for("edge-sso domain=example.com");
	assert_non_null(strstr(c.out, "Connection: close\r\n"));
	edge_drains = false;
	client_close(&c);
}

static void test_core_http_malformed(void **state)
{
	static const struct {
		const char *text, *status;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		{"GET / HTTP/1.1\n\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n",
		 "400"},
		{"GET / HTTP/3.1\r\nHost: a\r\n\r\n", "505"},
		{"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417"},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "405"},
		{"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		client_open(&c);
		say(cases[i].text);
		wait_for("\r\n\r\n");
		assert_memory_equal(c.out + 9, cases[i].status, 3);
		client_close(&c);
	}
	/* A body that is none, behind a good head. */
	client_open(&c);
	say(request(&a, "POST", "/", "Transfer-Encoding: chunked\r\n", "zz\r\n"));
	wait_end();
	assert_non_null(strstr(c.out, "HTTP/1.1 400 "));
	client_close(&c);
	assert_true(run_until(&w, streams_gone, 3000));
}

/* Many at once: answered in order, no more than the buffer ahead. */
static void test_core_http_pipelined(void **state)
{
	char text[128];
	unsigned i, ok = 0;
	const char *at;

	(void)state;
	client_open(&c);
	for (i = 0; i < 200; i++) {
		(void)snprintf(text, sizeof(text), "/n/%03u", i);
		if (i % 10 == 9)
			say(request(&a, "POST", "/n", "Transfer-Encoding: chunked\r\n",
				    "3\r\nabc\r\n0\r\n\r\n"));
		else
			say(request(&a, "GET", text, "", ""));
	}
	say(request(&a, "GET", "/the-last", "", ""));
	wait_for("GET /the-last HTTP/1.1");
	for (at = c.out, i = 0; (at = strstr(at, "GET /n/")); at += 7) {
		while (i % 10 == 9)
			i++;
		assert_int_equal(strtoul(at + 7, NULL, 10), i++);
		ok++;
	}
	assert_int_equal(ok, 180);
	assert_int_equal(a.requests, 201);
	assert_int_equal(a.conns, 1);
	client_close(&c);
}

static bool answered_beside(struct world *x)
{
	(void)x;
	return a.requests > 0;
}

/* A stream with a buffer full of what is answered here does not keep the others waiting until all of it is. */
static void test_core_http_turns(void **state)
{
	struct client other;
	unsigned i, before;

	(void)state;
	client_open(&c);
	for (i = 0; i < 1000; i++)
		say("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	client_open(&other);
	assert_int_equal(conn_write(link_data_conn(other.d),
				    span_str(request(&a, "GET", "/beside", "", ""))),
			 0);
	assert_true(run_until(&w, answered_beside, 5000));
	before = (unsigned)core_http_stats(http)->outcomes[CORE_HTTP_NO_SERVICE];
	assert_true(before < 900);
	say(request(&a, "GET", "/the-last", "", ""));
	wait_for("GET /the-last HTTP/1.1");
	assert_int_equal(core_http_stats(http)->outcomes[CORE_HTTP_NO_SERVICE], 1000);
	client_close(&other);
	client_close(&c);
}

static bool counted(struct world *x)
{
	(void)x;
	return c.total >= 8u << 20;
}

static uint64_t pattern_sum(uint64_t n)
{
	static uint8_t block[65536];
	uint64_t sum = 0, at;

	for (at = 0; at < n; at += sizeof(block)) {
		origin_pattern(at, block, sizeof(block));
		sum = origin_sum(sum, block, sizeof(block));
	}
	return sum;
}

/* 8 MiB each way, with a reader who stops: same bytes, bounded queues. */
static void test_core_http_bodies(void **state)
{
	char want[128];

	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/bytes/8388608", "", ""));
	c.hold = true;
	assert_false(run_until(&w, never, 100));
	assert_int_equal(upstream_stats(up)->conns, 1);
	assert_true(core_http_stats(http)->bytes_out <
		    8u << 20); /* the kernel's buffers and ours */
	c.hold = false;
	c.counting = false;
	/* the head first, then count */
	while (!strstr(c.out, "\r\n\r\n")) {
		uint8_t one;
		ssize_t n = conn_read(link_data_conn(c.d), &one, 1);

		assert_true(n == 1 || n == -EAGAIN);
		if (n == 1)
			take(&c, &one, 1);
		else
			assert_false(run_until(&w, never, 1));
	}
	c.counting = true;
	conn_pause(link_data_conn(c.d), false);
	assert_true(run_until(&w, counted, 10000));
	assert_int_equal(c.total, 8u << 20);
	assert_true(c.sum == pattern_sum(8u << 20));
	c.counting = false;
	forget();
	c.up_left = 8u << 20;
	say(request(&a, "PUT", "/up", "Content-Length: 8388608\r\n", ""));
	c_drained(&c);
	(void)snprintf(want, sizeof(want), "n=8388608 sum=%llx",
		       (unsigned long long)pattern_sum(8u << 20));
	wait_for(want);
	assert_int_equal(a.conns, 1);
	client_close(&c);
}

static void test_core_http_continue(void **state)
{
	(void)state;
	client_open(&c);
	say(request(&a, "POST", "/continue", "Expect: 100-continue\r\nContent-Length: 4\r\n", ""));
	wait_for("HTTP/1.1 100 Continue\r\n\r\n");
	say("data");
	wait_for("n=4 sum=");
	/* Answered before the body came: the connection ends behind it. */
	forget();
	say(request(&a, "POST", "/early", "Content-Length: 4\r\n", "da"));
	wait_end();
	assert_non_null(strstr(c.out, "HTTP/1.1 413 Too Large\r\n"));
	assert_non_null(strstr(c.out, "Connection: close\r\n"));
	client_close(&c);
	client_open(&c);
	say(request(&b, "POST", "/no", "Expect: 100-continue\r\nContent-Length: 4\r\n", ""));
	wait_end();
	assert_non_null(strstr(c.out, "HTTP/1.1 403 "));
	client_close(&c);
}

#define WS                                                                 \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " \
	"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

static void test_core_http_websocket(void **state)
{
	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/ws", WS, ""));
	wait_for("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	wait_for("\r\n\r\n");
	assert_non_null(strstr(c.out, "HTTP/1.1 101 "));
	assert_non_null(strstr(c.out, "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
	forget();
	say("ping");
	wait_for("ping");
	say("-pong");
	wait_for("ping-pong");
	assert_int_equal(upstream_stats(up)->tunnels, 1);
	origin_close(&a);
	wait_end();
	assert_int_equal(upstream_stats(up)->tunnels, 0);
	client_close(&c);
	client_open(&c);
	say(request(&b, "GET", "/home/alice",
		    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
		    ""));
	wait_for("200 OK");
	assert_null(strstr(b.head, "Upgrade"));
	assert_null(strstr(b.head, "HTTP2"));
	client_close(&c);
}

/* One of two nodes that stand in for each other is dead: the client does not notice. */
static void test_core_http_failover(void **state)
{
	char host[64];

	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/cucm-uds/users?name=x", "", ""));
	wait_for("<user>");
	assert_int_equal(a.requests, 1);
	/* It says that it cannot; and what was pooled is closed. */
	a.answer = "HTTP/1.1 503 Starting\r\nContent-Length: 0\r\n\r\n";
	forget();
	say(request(&a, "GET", "/cucm-uds/users?name=x", "", ""));
	wait_for("<user>");
	assert_null(strstr(c.out, "Connection: close"));
	assert_int_equal(b.requests, 1);
	a.answer = NULL;
	origin_hang_up(&b);
	forget();
	say(request(&a, "GET", "/cucm-uds/users?name=x", "", ""));
	wait_for("<user>");
	assert_null(strstr(c.out, "Connection: close"));
	origin_close(&a);
	b.requests = 0;
	forget();
	say(request(&a, "GET", "/cucm-uds/users?name=x", "", ""));
	wait_for("<user>");
	assert_int_equal(b.requests, 1);
	(void)snprintf(host, sizeof(host), "Host: 127.0.0.1:%u\r\n", b.addr.port);
	assert_non_null(strstr(b.head, host));
	/* With a body as well, as long as nothing of it was written. */
	forget();
	say(request(&a, "PUT", "/cucm-uds/user/alice", "Content-Length: 5\r\n", "hello"));
	wait_for("n=5 sum=");
	assert_int_equal(b.requests, 2);
	/* The operator's rule for this target names nobody else: it is what fails. */
	forget();
	say(request(&a, "GET", "/bytes/3", "", ""));
	wait_for("502 Bad Gateway");
	wait_for("not to be reached");
	assert_true(logged("http-failed", "user=\"alice\"", "refused"));
	client_close(&c);
}

/* A client that goes away takes what it asked with it. */
static void test_core_http_gone(void **state)
{
	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/silent", "", ""));
	assert_false(run_until(&w, never, 30));
	assert_int_equal(upstream_stats(up)->conns, 1);
	link_edge_end(c.d, "reset");
	c.d = NULL;
	assert_true(run_until(&w, streams_gone, 3000));
	assert_int_equal(upstream_stats(up)->conns, 0);
	assert_int_equal(core_http_stats(http)->active, 0);
	client_close(&c);
	/* In the middle of a log on and of edge config. */
	client_open(&c);
	say("GET /ZXhhbXBsZS5jb20/get_edge_sso HTTP/1.1\r\nHost: e\r\n\r\n");
	link_edge_end(c.d, "reset");
	c.d = NULL;
	assert_true(run_until(&w, streams_gone, 3000));
	client_close(&c);
}

static void test_core_http_limits(void **state)
{
	unsigned i;

	(void)state;
	http->p.user_rate = 5;
	client_open(&c);
	for (i = 0; i < 10; i++)
		say(request(&a, "GET", "/some", "", ""));
	say(request(&a, "GET", "/one-more", "", ""));
	wait_for("429 Too Many Requests\r\n");
	assert_non_null(strstr(c.out, "Retry-After: 1\r\n"));
	assert_int_equal(a.requests, 10);
	client_close(&c);
}

/* Clients that do not go on: in a head, in a body, in reading, and between requests. */
static void test_core_http_slow(void **state)
{
	const struct core_http_stats *st = core_http_stats(http);

	(void)state;
	http->head_ms = http->body_ms = http->write_ms = http->idle_ms = 50;
	client_open(&c);
	say("GET / HTTP/1.1\r\nHo");
	wait_end();
	assert_non_null(strstr(c.out, "HTTP/1.1 408 Request Timeout\r\n"));
	assert_non_null(strstr(c.out, "Connection: close\r\n"));
	assert_int_equal(st->slow_heads, 1);
	client_close(&c);
	client_open(&c);
	say(request(&a, "POST", "/x", "Content-Length: 10\r\n", "half"));
	wait_end();
	assert_false(c.clean);
	assert_int_equal(st->slow_bodies, 1);
	assert_int_equal(upstream_stats(up)->conns, 0);
	client_close(&c);
	client_open(&c);
	c.hold = true;
	say(request(&a, "GET", "/bytes/100000000", "", ""));
	assert_true(run_until(&w, streams_gone, 5000));
	assert_int_equal(st->slow_readers, 1);
	client_close(&c);
	client_open(&c);
	say(request(&a, "GET", "/bytes/1", "", ""));
	wait_end();
	assert_true(c.clean);
	assert_non_null(strstr(c.out, "200 OK"));
	client_close(&c);
	assert_int_equal(st->active, 0);
	assert_int_equal(a.open, upstream_stats(up)->idle);
}

static bool streams_there(struct world *x)
{
	(void)x;
	return core_http_stats(http)->streams > 0;
}

/* A byte now and then, until the core has enough of it. */
static void dribble(void)
{
	unsigned i;

	assert_true(run_until(&w, streams_there, 5000));
	for (i = 0; i < 500 && core_http_stats(http)->streams; i++) {
		if (c.d)
			(void)conn_write(link_data_conn(c.d), SPAN("x"));
		assert_false(run_until(&w, never, 10));
	}
	assert_int_equal(core_http_stats(http)->streams, 0);
}

/* Bytes that a client sends give it no time for reading, and a body in dribbles none for itself. */
static void test_core_http_dribbles(void **state)
{
	const struct core_http_stats *st = core_http_stats(http);
	unsigned i;

	(void)state;
	http->write_ms = http->body_ms = 60;
	client_open(&c);
	c.hold = true;
	say(request(&a, "GET", "/ws/100000000", WS, ""));
	dribble();
	assert_int_equal(st->slow_readers, 1);
	assert_int_equal(upstream_stats(up)->tunnels, 0);
	client_close(&c);
	client_open(&c);
	say(request(&a, "POST", "/x", "Content-Length: 1000000\r\n", "x"));
	dribble();
	assert_int_equal(st->slow_bodies, 1);
	assert_int_equal(upstream_stats(up)->conns, 0);
	client_close(&c);
	/* one that does go on has all the time it needs: 800 ms and more, no pause as long as 600 */
	http->body_ms = 600;
	client_open(&c);
	say(request(&a, "POST", "/x", "Content-Length: 480000\r\n", ""));
	for (i = 0; i < 160; i++) {
		static char part[3000];

		assert_false(c.over);
		memset(part, 'y', sizeof(part));
		assert_int_equal(conn_write(link_data_conn(c.d), span_of(part, sizeof(part))), 0);
		assert_false(run_until(&w, never, 5));
	}
	wait_for("n=480000 sum=");
	assert_int_equal(st->slow_bodies, 1);
	client_close(&c);
}

static bool asked_of_a(struct world *x)
{
	(void)x;
	return a.requests > 0;
}

static void test_core_http_show(void **state)
{
	json_t *j, *rows = json_array();

	(void)state;
	client_open(&c);
	say(request(&a, "GET", "/silent", "", ""));
	assert_true(run_until(&w, asked_of_a, 5000));
	j = core_http_show(http);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "active")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "targets")), 1);
	assert_non_null(json_object_get(j, "logon"));
	core_http_streams(http, rows);
	assert_int_equal(json_array_size(rows), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "user")),
			    "alice");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "phase")),
			    "request");
	json_decref(j);
	json_decref(rows);
	client_close(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_core_http_relay),	CASE(test_core_http_answers),
		CASE(test_core_http_old),	CASE(test_core_http_refused),
		CASE(test_core_http_tokens),	CASE(test_core_http_config),
		CASE(test_core_http_draining),	CASE(test_core_http_malformed),
		CASE(test_core_http_pipelined), CASE(test_core_http_turns),
		CASE(test_core_http_bodies),	CASE(test_core_http_continue),
		CASE(test_core_http_websocket), CASE(test_core_http_failover),
		CASE(test_core_http_gone),	CASE(test_core_http_limits),
		CASE(test_core_http_slow),	CASE(test_core_http_dribbles),
		CASE(test_core_http_show),
	};

	return cmocka_run_group_tests(tests, certs_make, NULL);
}
