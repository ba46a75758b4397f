/* selftests/unit/link_kit.c -- see link_kit.h. */
#include "selftests/unit/link_kit.h"

#include "user/log.h"

struct cert ca, other_ca, edge_cert, core_cert, stranger_cert, foreign_cert;

/* ---- the log, caught ---- */

char logs[65536];

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	size_t n = strlen(logs);
	va_list ap;

	(void)level;
	n += (size_t)snprintf(logs + n, sizeof(logs) - n, "\nevent=%s ", event);
	va_start(ap, fmt);
	if (n < sizeof(logs))
		vsnprintf(logs + n, sizeof(logs) - n, fmt, ap);
	va_end(ap);
}

const char *log_esc(struct span s, char *buf, size_t n)
{
	snprintf(buf, n, "\"%.*s\"", (int)s.n, (const char *)s.p);
	return buf;
}

bool logged(const char *event, const char *a, const char *b)
{
	char head[64], *line;

	snprintf(head, sizeof(head), "\nevent=%s ", event);
	for (line = strstr(logs, head); line; line = strstr(line + 1, head)) {
		char *end = strchr(line + 1, '\n');
		size_t n = end ? (size_t)(end - line) : strlen(line);

		if (memmem(line, n, a, strlen(a)) && memmem(line, n, b, strlen(b)))
			return true;
	}
	return false;
}

const char *const link_domains[2] = {"example.org", "Other.Example"};
const struct link_edge_core link_cores[2] = {{"core1.example", link_domains, 1},
					     {"core3.example", link_domains, 2}};

static void e_up(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct world *w = arg;
	size_t i;

	w->e.peer = p;
	w->e.ups++;
	w->e.n_flows = m->hello->n_live_flow;
	w->e.flow_sum = 0;
	for (i = 0; i < m->hello->n_live_flow; i++)
		w->e.flow_sum += m->hello->live_flow[i];
}

static void side_down(struct side *s, struct link_peer *p, const char *why)
{
	s->downs++;
	if (s->peer == p)
		s->peer = NULL;
	snprintf(s->down_why, sizeof(s->down_why), "%s", why);
}

static void e_down(void *arg, struct link_peer *p, const char *why)
{
	side_down(&((struct world *)arg)->e, p, why);
}

static void e_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct world *w = arg;
	Sallyport__Link r = SALLYPORT__LINK__INIT;
	Sallyport__Allocated a = SALLYPORT__ALLOCATED__INIT;

	w->e.messages++;
	w->e.last_case = m->m_case;
	if (m->m_case != SALLYPORT__LINK__M_ALLOCATE)
		return;
	a.flow = m->allocate->flow;
	a.error = (char *)"no-ports";
	r.m_case = SALLYPORT__LINK__M_ALLOCATED;
	r.allocated = &a;
	assert_int_equal(link_send(p, &r), 0);
}

static void c_up(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct world *w = arg;

	w->c.peer = p;
	w->c.ups++;
	snprintf(w->c.text, sizeof(w->c.text), "%s:%u", m->hello_ack->sip_host,
		 m->hello_ack->sip_port);
}

static void c_down(void *arg, struct link_peer *p, const char *why)
{
	side_down(&((struct world *)arg)->c, p, why);
}

static void c2_up(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct world *w = arg;

	(void)m;
	w->c2.peer = p;
	w->c2.ups++;
}

static void c2_down(void *arg, struct link_peer *p, const char *why)
{
	side_down(&((struct world *)arg)->c2, p, why);
}

static void c_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct world *w = arg;

	(void)p;
	w->c.messages++;
	w->c.last_case = m->m_case;
	if (m->m_case == SALLYPORT__LINK__M_ALLOCATED)
		snprintf(w->c.text, sizeof(w->c.text), "%s", m->allocated->error);
}

static void s_core_readable(void *arg)
{
	struct world *w = arg;
	size_t len = strlen(w->got_core);
	ssize_t n;

	if (w->core_holds)
		return;
	while ((n = link_data_read(w->s_core, w->got_core + len, sizeof(w->got_core) - len - 1)) >
	       0)
		len += (size_t)n;
	w->got_core[len] = 0;
	if (n == -EAGAIN)
		return;
	w->core_end = (int)n;
	w->core_ends++;
	if (n == 0 && w->core_answers)
		return;
	link_core_end(w->s_core, n == 0);
	w->s_core = NULL;
}

static void s_edge_readable(void *arg)
{
	struct world *w = arg;
	size_t len = strlen(w->got_edge);
	ssize_t n;

	while ((n = conn_read(link_data_conn(w->s_edge), w->got_edge + len,
			      sizeof(w->got_edge) - len - 1)) > 0)
		len += (size_t)n;
	w->got_edge[len] = 0;
	if (n == -EAGAIN && link_edge_half_done(w->s_edge))
		n = 0;
	if (n == -EAGAIN)
		return;
	w->edge_end = (int)n;
	w->edge_ends++;
	link_edge_end(w->s_edge, n == 0 ? NULL : "reset");
	w->s_edge = NULL;
}

static void s_core_down(void *arg, int err, const char *why)
{
	struct world *w = arg;

	(void)why;
	w->core_end = err;
	w->core_ends++;
	link_core_end(w->s_core, false);
	w->s_core = NULL;
}

static void s_edge_down(void *arg, int err, const char *why)
{
	struct world *w = arg;

	(void)why;
	w->edge_end = err;
	w->edge_ends++;
	link_edge_end(w->s_edge, "down");
	w->s_edge = NULL;
}

static const struct conn_ops s_core_ops = {.readable = s_core_readable, .down = s_core_down};
const struct conn_ops s_edge_ops = {.readable = s_edge_readable, .down = s_edge_down};

static void c_open(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o)
{
	struct world *w = arg;

	assert_ptr_equal(p, w->c.peer);
	w->c.opens++;
	w->last_open = *o; /* numbers only */
	snprintf(w->c.text, sizeof(w->c.text), "%s %s", o->service, o->sni);
	if (w->s_core) {
		link_core_end(d, false);
		return;
	}
	w->s_core = d;
	link_data_set_ops(d, &s_core_ops, w);
}

const struct link_ops e_ops = {.up = e_up, .down = e_down, .message = e_message};
const struct link_ops c_ops = {c_up, c_down, c_message, c_open};
const struct link_ops c2_ops = {c2_up, c2_down, c_message, c_open};

static unsigned live_flows(void *arg, const char *edge, uint64_t *ids, unsigned max)
{
	struct world *w = arg;
	unsigned i;

	w->live_edge = edge;
	for (i = 0; i < w->n_live && i < max; i++)
		ids[i] = i + 1;
	return i;
}

struct tls_ctx *tls_make(bool server, const struct cert *leaf, const struct cert *trust)
{
	struct tls_params p = {.server = server,
			       .tls13_only = true,
			       .require_peer = server,
			       .ca_pem = cert_pem(trust)};
	char why[TLS_WHY_MAX];
	struct tls_ctx *t;

	if (leaf) {
		p.cert_pem = cert_pem(leaf);
		p.key_pem = cert_key(leaf);
	}
	assert_int_equal(tls_ctx_new(&p, &t, why), 0);
	return t;
}

static void on_limit(void *arg)
{
	struct world *w = arg;

	w->late = true;
	loop_stop(w->l);
}

static void on_tick(void *arg)
{
	struct world *w = arg;

	if (w->done && w->done(w))
		loop_stop(w->l);
	else
		loop_timer_set(w->l, &w->tick, 1);
}

bool run_until(struct world *w, bool (*done)(struct world *w), unsigned ms)
{
	w->done = done;
	w->late = false;
	loop_timer_set(w->l, &w->limit, ms);
	loop_timer_set(w->l, &w->tick, 0);
	assert_int_equal(loop_run(w->l), 0);
	loop_timer_cancel(w->l, &w->limit);
	loop_timer_cancel(w->l, &w->tick);
	return !w->late;
}

static void listen_open(struct world *w)
{
	struct sockaddr_storage ss;
	socklen_t n;

	assert_int_equal(addr_parse(SPAN("127.0.0.1"), &w->addr), 0);
	n = addr_to_sockaddr(&w->addr, &ss);
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(w->fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(w->fd, 128), 0);
	n = sizeof(ss);
	getsockname(w->fd, (struct sockaddr *)&ss, &n);
	addr_from_sockaddr((struct sockaddr *)&ss, &w->addr);
}

/* The edge is up; who dials is the case's. */
void world_open(struct world *w, const struct cert *e_cert, const struct cert *e_trust,
		const struct cert *c_cert, const struct cert *c_trust)
{
	struct loop_params lp = {.entries = 256, .ops_max = 1024};
	struct link_edge_params ep = {.name = "edge1.example",
				      .sip_host = "sip.example.org",
				      .sip_port = 5061,
				      .cores = link_cores,
				      .n_cores = 2,
				      .ops = &e_ops,
				      .arg = w};

	memset(w, 0, sizeof(*w));
	logs[0] = 0;
	assert_int_equal(loop_new(&lp, &w->l), 0);
	w->limit = (struct loop_timer){.fn = on_limit, .arg = w};
	w->tick = (struct loop_timer){.fn = on_tick, .arg = w};
	w->times = link_times_default;
	w->times.retry_min = 20;
	w->times.retry_max = 50;
	w->edge_tls = tls_make(true, e_cert, e_trust);
	w->core_tls = tls_make(false, c_cert, c_trust);
	listen_open(w);
	ep.loop = w->l;
	ep.tls = w->edge_tls;
	assert_int_equal(link_edge_new(&ep, &w->edge), 0);
	link_edge_set_times(w->edge, &w->times);
	assert_int_equal(link_edge_listen(w->edge, w->fd), 0);
}

void world_good(struct world *w)
{
	world_open(w, &edge_cert, &ca, &core_cert, &ca);
}

void dial(struct world *w, struct link_core **core, const char *name, const char *edge_name,
	  const struct link_ops *ops)
{
	struct link_core_edge edge = {.name = edge_name, .address = w->addr, .pool = POOL};
	struct link_core_params cp = {.loop = w->l,
				      .tls = w->core_tls,
				      .name = name,
				      .domains = link_domains,
				      .n_domains = 2,
				      .edges = &edge,
				      .n_edges = 1,
				      .live_flows = live_flows,
				      .ops = ops,
				      .arg = w};

	assert_int_equal(link_core_new(&cp, core), 0);
	link_core_set_times(*core, &w->times);
}

void world_close(struct world *w)
{
	link_edge_end(w->s_edge, "closing");
	if (w->s_core)
		link_core_end(w->s_core, false);
	conn_abort(w->raw.c);
	link_rx_fini(&w->raw.rx);
	link_core_free(w->core);
	link_core_free(w->core2);
	link_edge_free(w->edge);
	loop_free(w->l);
	close(w->fd);
	tls_ctx_free(w->edge_tls);
	tls_ctx_free(w->core_tls);
}

bool never(struct world *w)
{
	(void)w;
	return false;
}

bool pool_full(struct world *w)
{
	return w->e.peer && w->c.peer && link_peer_idle(w->e.peer) >= POOL &&
	       link_peer_idle(w->c.peer) >= POOL;
}

void world_up(struct world *w)
{
	world_good(w);
	dial(w, &w->core, "core1.example", "edge1.example", &c_ops);
	assert_true(run_until(w, pool_full, 5000));
}

bool e_is_up(struct world *w)
{
	return w->e.ups > 0;
}

/* ---- a stream ---- */

bool stream_echoed(struct world *w)
{
	return strlen(w->got_core) == 12 && strlen(w->got_edge) == 4;
}

bool core_has_stream(struct world *w)
{
	return w->s_core != NULL;
}

void open_only(struct world *w, uint64_t id)
{
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	static uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};

	o.stream = id;
	o.service = (char *)"sip";
	o.sni = (char *)"sip.example.org";
	o.client_ip = o.local_ip = (ProtobufCBinaryData){.len = 16, .data = ip};
	o.client_port = 50000;
	assert_int_equal(link_edge_open(w->e.peer, &o, &s_edge_ops, w, &w->s_edge), 0);
}

void open_stream(struct world *w)
{
	open_only(w, 4711);
	/* in the same flight as Open: these bytes are the stream's, not the frame's */
	assert_int_equal(conn_write(link_data_conn(w->s_edge), SPAN("first bytes!")), 0);
	assert_true(run_until(w, core_has_stream, 2000));
	assert_int_equal(conn_write(link_data_conn(w->s_core), SPAN("back")), 0);
	assert_true(run_until(w, stream_echoed, 2000));
	assert_string_equal(w->got_core, "first bytes!");
	assert_string_equal(w->got_edge, "back");
	w->got_core[0] = w->got_edge[0] = 0;
}

/* ---- the raw client ---- */

static void raw_readable(void *arg)
{
	struct raw *r = arg;
	Sallyport__Link *m;
	int ret;

	while ((ret = link_rx_read(&r->rx, r->c, &m)) == 0) {
		r->frames++;
		r->last_case = m->m_case;
		if (m->m_case == SALLYPORT__LINK__M_CLOSE)
			snprintf(r->close_reason, sizeof(r->close_reason), "%s", m->close->reason);
		sallyport__link__free_unpacked(m, NULL);
	}
	if (ret == -EAGAIN)
		return;
	r->ended = true;
	r->err = ret;
	conn_abort(r->c);
	r->c = NULL;
}

static void raw_up(void *arg)
{
	((struct raw *)arg)->up = true;
}

static void raw_down(void *arg, int err, const char *why)
{
	struct raw *r = arg;

	(void)why;
	r->ended = true;
	r->err = err;
	conn_abort(r->c);
	r->c = NULL;
}

bool raw_is_up(struct world *w)
{
	return w->raw.up;
}

bool raw_ended(struct world *w)
{
	return w->raw.ended;
}

void raw_connect(struct world *w)
{
	static const struct conn_ops ops = {
		.up = raw_up, .readable = raw_readable, .down = raw_down};
	struct conn_params p = {.loop = w->l,
				.tls = w->core_tls,
				.peer_name = "edge1.example",
				.queue_max = 1 << 20,
				.ops = &ops,
				.arg = &w->raw};

	assert_int_equal(conn_connect(&p, &w->addr, &w->raw.c), 0);
	assert_true(run_until(w, raw_is_up, 3000));
}

void raw_hello(struct world *w, uint32_t version, uint64_t session, bool data)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;

	h.version = version;
	h.core = (char *)"core1.example";
	h.session = session;
	h.data = data;
	m.m_case = SALLYPORT__LINK__M_HELLO;
	m.hello = &h;
	assert_int_equal(link_write(w->raw.c, &m), 0);
}

/* ---- certificates ---- */

int certs_make(void **state)
{
	(void)state;
	cert_make_ca("link CA", &ca);
	cert_make_ca("other CA", &other_ca);
	cert_make(&ca, "edge", "DNS:edge1.example", false, &edge_cert);
	cert_make(&ca, "core", "DNS:core1.example", false, &core_cert);
	/* The common name says what we want to see; it must not count. */
	cert_make(&ca, "edge1.example", "DNS:stranger.example", false, &stranger_cert);
	cert_make(&other_ca, "core", "DNS:core1.example", false, &foreign_cert);
	return 0;
}
