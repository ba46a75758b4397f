/* selftests/net/fakecore.c -- a core with no SIP in it, for tests of the edge alone.
 *
 * fakecore NAME EDGE-NAME EDGE-ADDRESS CERT KEY CA DOMAIN [UDP-BIND...]
 * In: commands on stdin, a line each: admit|revoke|close STREAM, alloc FLOW CLIENT [RTCP-OF], reopen FLOW CLIENT, free FLOW,
 * ban PREFIX LEN SECONDS, dial ID DOMAIN SERVICE, send STREAM TEXT (\r and \n as \\r \\n), end STREAM (clean), keys HEX...
 * (of session tokens, id and public key), quit. Ids in hex. Out: a line an event. Bytes of streams are shown with \r \n escaped. A
 * stream of "https" whose client has ended is told ("end") and goes on until the command.
 * Punches every 250 ms until Punched, then every second. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/link.h"
#include "user/punch.h"

#define STREAMS 64
#define FLOWS	256

struct stream {
	uint64_t id;
	struct link_data *data;
	bool answers; /* its client's end is not its own */
};

struct flow {
	uint64_t id, counter, last_ms;
	struct addr client, inside;
	bool punched;
};

static struct loop *loop;
static struct link_core *core;
static struct link_peer *edge;
static struct stream streams[STREAMS];
static struct flow flows[FLOWS];
static int udp4 = -1, udp6 = -1;
static const uint8_t key[PUNCH_KEY_LEN] = "0123456789abcdefghi";
static struct loop_timer timer;
static char line[8192];
static size_t line_n;

static char *text_of(const char *path)
{
	static char buf[1 << 16];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

	if (!n) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	fclose(f);
	buf[n] = 0;
	return strdup(buf);
}

static void show(const char *event, uint64_t id, const uint8_t *p, size_t n)
{
	size_t i;

	printf("%s %llx ", event, (unsigned long long)id);
	for (i = 0; i < n; i++) {
		if (p[i] == '\r' || p[i] == '\n')
			printf("\\%c", p[i] == '\r' ? 'r' : 'n');
		else
			putchar(p[i] >= ' ' && p[i] < 0x7f ? p[i] : '.');
	}
	putchar('\n');
}

/* ---- streams ---- */

static struct stream *stream_of(uint64_t id)
{
	unsigned i;

	for (i = 0; i < STREAMS; i++)
		if (streams[i].data && streams[i].id == id)
			return &streams[i];
	return NULL;
}

static void data_readable(void *arg)
{
	static uint8_t buf[65536];
	struct stream *s = arg;
	ssize_t n;

	while ((n = link_data_read(s->data, buf, sizeof(buf))) > 0)
		show("data", s->id, buf, (size_t)n);
	if (n == -EAGAIN)
		return;
	if (n == 0 && s->answers) {
		printf("end %llx\n", (unsigned long long)s->id);
		return;
	}
	if (n == 0)
		printf("end %llx\n", (unsigned long long)s->id);
	else
		printf("reset %llx %s\n", (unsigned long long)s->id,
		       link_data_why(s->data, (int)n));
	link_core_end(s->data, n == 0);
	s->data = NULL;
}

static void data_down(void *arg, int err, const char *why)
{
	struct stream *s = arg;

	(void)err;
	printf("reset %llx %s\n", (unsigned long long)s->id, why);
	link_core_end(s->data, false);
	s->data = NULL;
}

static const struct conn_ops data_ops = {.readable = data_readable, .down = data_down};

static void on_open(void *arg, struct link_peer *p, struct link_data *d, const Sallyport__Open *o)
{
	struct addr client = {.port = (uint16_t)o->client_port},
		    local = {.port = (uint16_t)o->local_port};
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
	unsigned i;

	(void)arg, (void)p;
	memcpy(client.ip, o->client_ip.data, 16);
	memcpy(local.ip, o->local_ip.data, 16);
	for (i = 0; i < STREAMS && streams[i].data; i++)
		;
	if (i == STREAMS) {
		link_core_end(d, false);
		return;
	}
	streams[i] = (struct stream){o->stream, d, strcmp(o->service, "https") == 0};
	printf("open %llx client=%s local=%s service=%s sni=%s tls=%s cipher=%s domain=%s "
	       "dial=%llx alpn=%s\n",
	       (unsigned long long)o->stream, addr_text(&client, a), addr_text(&local, b),
	       o->service, o->sni, o->tls_version, o->tls_cipher, o->domain,
	       (unsigned long long)o->dial, o->alpn);
	link_data_set_ops(d, &data_ops, &streams[i]);
}

/* ---- flows ---- */

static struct flow *flow_of(uint64_t id)
{
	unsigned i;

	for (i = 0; i < FLOWS; i++)
		if (flows[i].id == id)
			return &flows[i];
	return NULL;
}

static void flow_send(struct flow *f, uint64_t rtcp_of, bool reopen)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Allocate a = SALLYPORT__ALLOCATE__INIT;

	a.flow = f->id;
	a.client_ip = (ProtobufCBinaryData){16, f->client.ip};
	a.punch_key = (ProtobufCBinaryData){PUNCH_KEY_LEN, (uint8_t *)key};
	a.rtcp_of = rtcp_of;
	a.reopen = reopen;
	m.m_case = SALLYPORT__LINK__M_ALLOCATE;
	m.allocate = &a;
	link_send(edge, &m);
}

static int udp_of(const struct addr *a)
{
	return addr_is_v4(a) ? udp4 : udp6;
}

static void punch_all(void *arg)
{
	struct sockaddr_storage ss;
	uint8_t buf[PUNCH_MAX], transaction[12];
	struct flow *f;
	socklen_t len;

	(void)arg;
	for (f = flows; f < flows + FLOWS; f++) {
		struct punch p = {f->id, f->counter + 1};

		if (!f->id || !f->inside.port || udp_of(&f->inside) < 0 ||
		    (f->punched && loop_now_ms(loop) - f->last_ms < 1000))
			continue;
		memset(transaction, (int)p.counter, sizeof(transaction));
		f->counter++;
		f->last_ms = loop_now_ms(loop);
		len = addr_to_sockaddr(&f->inside, &ss);
		if (sendto(udp_of(&f->inside), buf, punch_build(&p, key, transaction, buf), 0,
			   (struct sockaddr *)&ss, len) < 0)
			printf("punch-error %s\n", strerror(errno));
	}
	loop_timer_set(loop, &timer, 250);
}

static void on_allocated(const Sallyport__Allocated *a)
{
	struct flow *f = flow_of(a->flow);
	char out[ADDR_TEXT_MAX] = "", in[ADDR_TEXT_MAX] = "";
	struct addr o = {.port = (uint16_t)a->outside_port};

	if (f && a->outside_ip.len == 16) {
		memcpy(o.ip, a->outside_ip.data, 16);
		memcpy(f->inside.ip, a->inside_ip.data, 16);
		f->inside.port = (uint16_t)a->inside_port;
		addr_text(&o, out);
		addr_text(&f->inside, in);
	}
	printf("allocated %llx error=%s outside=%s inside=%s\n", (unsigned long long)a->flow,
	       a->error, out, in);
}

/* ---- link ---- */

static void on_up(void *arg, struct link_peer *p, const Sallyport__Link *hello)
{
	unsigned i;

	(void)arg;
	edge = p;
	printf("up %s sip_host=%s sip_port=%u https=%s:%u\n", link_peer_name(p),
	       hello->hello_ack->sip_host, hello->hello_ack->sip_port, hello->hello_ack->https_host,
	       hello->hello_ack->https_port);
	for (i = 0; i < FLOWS; i++)
		if (flows[i].id)
			flow_send(&flows[i], 0, false);
}

static void on_down(void *arg, struct link_peer *p, const char *why)
{
	(void)arg, (void)p;
	edge = NULL;
	printf("down %s\n", why);
}

static void on_message(void *arg, struct link_peer *p, const Sallyport__Link *m)
{
	struct addr a = {};
	char t[ADDR_TEXT_MAX];
	struct flow *f;

	(void)arg, (void)p;
	if (m->m_case == SALLYPORT__LINK__M_ALLOCATED) {
		on_allocated(m->allocated);
	} else if (m->m_case == SALLYPORT__LINK__M_DIAL_RESULT) {
		printf("dial-result %llx error=%s stream=%llx\n",
		       (unsigned long long)m->dial_result->dial, m->dial_result->error,
		       (unsigned long long)m->dial_result->stream);
	} else if (m->m_case == SALLYPORT__LINK__M_CLOSE_STREAM) {
		printf("close %llx %s\n", (unsigned long long)m->close_stream->stream,
		       m->close_stream->reason);
	} else if (m->m_case == SALLYPORT__LINK__M_PUNCHED) {
		f = flow_of(m->punched->flow);
		if (f)
			f->punched = true;
		memcpy(a.ip, m->punched->from_ip.data, 16);
		a.port = (uint16_t)m->punched->from_port;
		printf("punched %llx from=%s\n", (unsigned long long)m->punched->flow,
		       addr_text(&a, t));
	} else if (m->m_case == SALLYPORT__LINK__M_FLOW_REPORT) {
		printf("report %llx in=%llu out=%llu idle=%u\n",
		       (unsigned long long)m->flow_report->flow,
		       (unsigned long long)m->flow_report->packets_in,
		       (unsigned long long)m->flow_report->packets_out, m->flow_report->idle_ms);
	}
}

static unsigned live_flows(void *arg, const char *name, uint64_t *ids, unsigned max)
{
	unsigned i, n = 0;

	(void)arg, (void)name;
	for (i = 0; i < FLOWS && n < max; i++)
		if (flows[i].id)
			ids[n++] = flows[i].id;
	return n;
}

/* ---- commands ---- */

static void stream_order(const char *verb, uint64_t id)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Admit a = SALLYPORT__ADMIT__INIT;
	Sallyport__Revoke r = SALLYPORT__REVOKE__INIT;
	Sallyport__CloseStream c = SALLYPORT__CLOSE_STREAM__INIT;

	a.stream = r.stream = c.stream = id;
	r.reason = c.reason = (char *)"told to";
	m.m_case = *verb == 'a'	  ? SALLYPORT__LINK__M_ADMIT
		   : *verb == 'r' ? SALLYPORT__LINK__M_REVOKE
				  : SALLYPORT__LINK__M_CLOSE_STREAM;
	if (*verb == 'a')
		m.admit = &a;
	else if (*verb == 'r')
		m.revoke = &r;
	else
		m.close_stream = &c;
	link_send(edge, &m);
}

static void flow_order(const char *verb, uint64_t id, const char *client, uint64_t rtcp_of)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Free f = SALLYPORT__FREE__INIT;
	struct flow *flow = flow_of(id);

	if (*verb == 'f') {
		f.flow = id;
		m.m_case = SALLYPORT__LINK__M_FREE;
		m.free = &f;
		link_send(edge, &m);
		if (flow)
			*flow = (struct flow){};
		return;
	}
	if (!flow && (flow = flow_of(0)))
		*flow = (struct flow){.id = id};
	if (flow && addr_parse(span_str(client), &flow->client) == 0)
		flow_send(flow, rtcp_of, *verb == 'r');
}

static void ban_order(const char *prefix, unsigned len, unsigned seconds)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Ban b = SALLYPORT__BAN__INIT;
	struct addr a = {};

	addr_parse(span_str(prefix), &a);
	b.prefix_ip = (ProtobufCBinaryData){16, a.ip};
	b.prefix_len = len;
	b.seconds = seconds;
	b.reason = (char *)"told to";
	m.m_case = SALLYPORT__LINK__M_BAN;
	m.ban = &b;
	link_send(edge, &m);
}

static void dial_order(char *args)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Dial d = SALLYPORT__DIAL__INIT;

	d.dial = strtoull(args, &args, 16);
	d.domain = strsep(&args, " ") ? strsep(&args, " ") : NULL;
	d.service = args;
	if (!d.domain || !d.service) {
		printf("dial-error\n");
		return;
	}
	m.m_case = SALLYPORT__LINK__M_DIAL;
	m.dial = &d;
	link_send(edge, &m);
}

/* Each key in hex, behind its id. */
static void keys_order(const char *s)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__TokenKeys keys = SALLYPORT__TOKEN_KEYS__INIT;
	Sallyport__TokenKey one[LINK_TOKEN_KEYS_MAX], *list[LINK_TOKEN_KEYS_MAX];
	uint8_t bytes[LINK_TOKEN_KEYS_MAX][LINK_TOKEN_KID + LINK_TOKEN_KEY];
	unsigned i;
	int at;

	m.m_case = SALLYPORT__LINK__M_TOKEN_KEYS;
	m.token_keys = &keys;
	keys.key = list;
	for (; keys.n_key < LINK_TOKEN_KEYS_MAX; keys.n_key++) {
		uint8_t *b = bytes[keys.n_key];

		for (i = 0; i < sizeof(bytes[0]) && sscanf(s, " %2hhx%n", &b[i], &at) == 1; i++)
			s += at;
		if (i < sizeof(bytes[0]))
			break;
		sallyport__token_key__init(&one[keys.n_key]);
		one[keys.n_key].kid = (ProtobufCBinaryData){LINK_TOKEN_KID, b};
		one[keys.n_key].public_key =
			(ProtobufCBinaryData){LINK_TOKEN_KEY, b + LINK_TOKEN_KID};
		list[keys.n_key] = &one[keys.n_key];
	}
	link_send(edge, &m);
}

static void text_send(uint64_t id, const char *text)
{
	static uint8_t buf[sizeof(line)];
	struct stream *s = stream_of(id);
	size_t n = 0;

	for (; *text; text++) {
		if (text[0] == '\\' && (text[1] == 'r' || text[1] == 'n'))
			buf[n++] = *++text == 'r' ? '\r' : '\n';
		else
			buf[n++] = (uint8_t)*text;
	}
	if (!s || conn_write(link_data_conn(s->data), span_of(buf, n)))
		printf("send-error %llx\n", (unsigned long long)id);
}

static void command(char *s)
{
	unsigned long long id = 0, rtcp_of = 0;
	unsigned len = 0, seconds = 0;
	char verb[16] = "", word[64] = "";
	int at = 0;

	sscanf(s, "%15s %n", verb, &at);
	if (strcmp(verb, "quit") == 0) {
		loop_stop(loop);
	} else if (!edge) {
		printf("no-edge\n");
	} else if (strcmp(verb, "ban") == 0) {
		sscanf(s + at, "%63s %u %u", word, &len, &seconds);
		ban_order(word, len, seconds);
	} else if (strcmp(verb, "keys") == 0) {
		keys_order(s + at);
	} else if (strcmp(verb, "send") == 0) {
		sscanf(s + at, "%llx %n", &id, &len);
		text_send(id, s + at + len);
	} else if (strcmp(verb, "dial") == 0) {
		dial_order(s + at);
	} else if (strcmp(verb, "end") == 0) {
		sscanf(s + at, "%llx", &id);
		if (stream_of(id)) {
			link_core_end(stream_of(id)->data, true);
			stream_of(id)->data = NULL;
		}
	} else if (strcmp(verb, "alloc") == 0 || strcmp(verb, "reopen") == 0 ||
		   strcmp(verb, "free") == 0) {
		sscanf(s + at, "%llx %63s %llx", &id, word, &rtcp_of);
		flow_order(verb, id, word, rtcp_of);
	} else {
		sscanf(s + at, "%llx", &id);
		stream_order(verb, id);
	}
}

static void stdin_ready(void *arg, int revents)
{
	ssize_t n;
	char *nl;

	(void)arg, (void)revents;
	while ((n = read(0, line + line_n, sizeof(line) - 1 - line_n)) > 0) {
		line_n += (size_t)n;
		line[line_n] = 0;
		while ((nl = strchr(line, '\n'))) {
			*nl = 0;
			command(line);
			line_n -= (size_t)(nl + 1 - line);
			memmove(line, nl + 1, line_n + 1);
		}
	}
	if (n == 0)
		loop_stop(loop);
}

/* ---- start ---- */

static void udp_open(const char *text)
{
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	int *fd;

	if (addr_parse(span_str(text), &a))
		exit(2);
	fd = addr_is_v4(&a) ? &udp4 : &udp6;
	len = addr_to_sockaddr(&a, &ss);
	*fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&ss, len)) {
		perror(text);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct link_ops ops = {on_up, on_down, on_message, on_open};
	struct loop_params lp = {.entries = 256,
				 .ops_max = 1024,
				 .recv_bufs = 16,
				 .send_bufs = 16,
				 .buf_size = 2048};
	struct tls_params tp = {.tls13_only = true};
	struct link_core_edge e = {.pool = 4};
	struct link_core_params p = {
		.n_domains = 1, .edges = &e, .n_edges = 1, .live_flows = live_flows, .ops = &ops};
	struct loop_handle in;
	const char *domain;
	char why[TLS_WHY_MAX];

	if (argc < 8)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	e.name = argv[2];
	domain = argv[7];
	tp.cert_pem = span_str(text_of(argv[4]));
	tp.key_pem = span_str(text_of(argv[5]));
	tp.ca_pem = span_str(text_of(argv[6]));
	if (addr_parse(span_str(argv[3]), &e.address) || loop_new(&lp, &loop) ||
	    tls_ctx_new(&tp, &p.tls, why))
		return 2;
	for (; argc > 8; argc--)
		udp_open(argv[argc - 1]);
	p.loop = loop;
	p.name = argv[1];
	p.domains = &domain;
	timer.fn = punch_all;
	fcntl(0, F_SETFL, O_NONBLOCK);
	if (link_core_new(&p, &core) || loop_poll(loop, 0, POLLIN, true, stdin_ready, NULL, &in) ||
	    loop_timer_set(loop, &timer, 250))
		return 2;
	return loop_run(loop) ? 1 : 0;
}
