/* selftests/unit/engine_kit.c -- see engine_kit.h. In: literal messages. Out: what the engine does, kept for the
 * test. */
#include "selftests/unit/engine_kit.h"

#include <openssl/hmac.h>

char kit_path[512];

static void kit_random(void *arg, void *buf, size_t n)
{
	struct kit *k = arg;
	uint8_t *p = buf;

	while (n--) {
		k->rnd = k->rnd * 6364136223846793005ull + 1442695040888963407ull;
		*p++ = (uint8_t)(k->rnd >> 33);
	}
}

static void kit_hmac(void *arg, struct span key, struct span data, uint8_t out[32])
{
	unsigned n = 32;

	(void)arg;
	assert_non_null(HMAC(EVP_sha256(), key.p, (int)key.n, data.p, data.n, out, &n));
}

static const char *const kit_domains[] = {"stand.test", "second.test"};
static const char *const kit_domains_b[] = {"other.test"};
static const char *const kit_trusted[] = {"X-Trusted-Edge"};
static const struct engine_server kit_servers[] = {
	{.name = "kam",
	 .transport = ENGINE_UDP,
	 .domains = kit_domains,
	 .n_domains = 2,
	 .trusted_headers = kit_trusted,
	 .n_trusted_headers = 1},
	{.name = "other", .transport = ENGINE_TCP, .domains = kit_domains_b, .n_domains = 1},
};

void kit_restart(struct kit *k)
{
	engine_free(k->e);
	memset(k->kept, 0, sizeof(k->kept));
	assert_int_equal(engine_new(&k->c, k->now, &k->e), 0);
}

static bool kit_may_register(void *arg, struct span user, struct span domain)
{
	(void)arg;
	return !span_eq(user, SPAN("mallory")) || !span_eq(domain, SPAN("stand.test"));
}

struct kit *kit_new(void)
{
	struct kit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	k->now = 1000000;
	k->rnd = 42;
	k->c = (struct engine_config){
		.core_name = "core1",
		.inside_host = "10.0.0.2",
		.inside_port = 5070,
		.inside_tls_port = 5071,
		.servers = kit_servers,
		.n_servers = 2,
		.token_key = SPAN("0123456789abcdef0123456789abcdef"),
		.bindings_max = 100,
		.calls_max = 50,
		.calls_user_max = 8,
		.transactions_max = 1000,
		.message_max = 16000,
		.keep = true,
		.random = kit_random,
		.hmac = kit_hmac,
		.may_register = kit_may_register,
		.arg = k,
	};
	assert_int_equal(engine_new(&k->c, k->now, &k->e), 0);
	return k;
}

void kit_free(struct kit *k)
{
	unsigned i;

	kit_drain(k);
	engine_free(k->e);
	for (i = 0; i < k->n; i++)
		free(k->msg[i].text);
	free(k);
}

void kit_stream_from(struct kit *k, uint64_t id, const char *client)
{
	struct engine_stream s = {
		.id = id, .edge = "edge1", .edge_host = "edge.example.net", .edge_port = 5061};

	assert_int_equal(addr_parse(span_str(client), &s.client), 0);
	assert_int_equal(engine_stream_open(k->e, &s), 0);
}

void kit_stream(struct kit *k, uint64_t id)
{
	char client[64];

	(void)snprintf(client, sizeof(client), "198.51.100.%u:%u", (unsigned)id,
		       (unsigned)(40000 + id));
	kit_stream_from(k, id, client);
}

/* ---- in ---- */

static void kit_parse(struct kit *k, struct sip_msg *m, const char *fmt, va_list ap)
{
	static char raw[20000];
	const char *body;
	enum sip_why why = SIP_OK;
	size_t o = 0;
	char *p;

	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	body = strstr(raw, "\n\n");
	body = body ? body + 2 : raw + strlen(raw);
	for (p = raw; *p && !(p[0] == '\n' && (p[1] == '\n' || p[1] == 0)); p++)
		o += (size_t)sprintf(k->text + o, *p == '\n' ? "\r\n" : "%c", *p);
	o += (size_t)sprintf(k->text + o, "\r\nContent-Length: ");
	{
		char lines[16000];
		size_t n = 0;

		for (; *body; body++)
			n += (size_t)sprintf(lines + n, *body == '\n' ? "\r\n" : "%c", *body);
		lines[n] = 0;
		o += (size_t)sprintf(k->text + o, "%zu\r\n\r\n%s", n, lines);
	}
	if (sip_msg_parse(span_of(k->text, o), true, sizeof(k->text), m, &why) != (ssize_t)o)
		fail_msg("test message does not parse: %s\n%s", sip_why_text(why), k->text);
}

void kit_client(struct kit *k, uint64_t stream, const char *fmt, ...)
{
	struct sip_msg m;
	va_list ap;

	va_start(ap, fmt);
	kit_parse(k, &m, fmt, ap);
	va_end(ap);
	engine_stream_recv(k->e, stream, &m, k->now);
	kit_drain(k);
}

static void kit_from_inside(struct kit *k, struct engine_inside_src *src, const char *from,
			    const char *fmt, va_list ap)
{
	struct sip_msg m;

	kit_parse(k, &m, fmt, ap);
	assert_int_equal(addr_parse(span_str(from), &src->from), 0);
	engine_inside_recv(k->e, src, &m, k->now);
	kit_drain(k);
}

void kit_inside(struct kit *k, const char *fmt, ...)
{
	struct engine_inside_src src = {.server = 0, .transport = ENGINE_UDP};
	va_list ap;

	va_start(ap, fmt);
	kit_from_inside(k, &src, "10.0.0.5:5060", fmt, ap);
	va_end(ap);
}

void kit_inside_from(struct kit *k, const char *from, const char *fmt, ...)
{
	struct engine_inside_src src = {.server = 0, .transport = ENGINE_UDP};
	va_list ap;

	va_start(ap, fmt);
	kit_from_inside(k, &src, from, fmt, ap);
	va_end(ap);
}

void kit_inside_by(struct kit *k, const struct engine_inside_src *src, const char *from,
		   const char *fmt, ...)
{
	struct engine_inside_src s = *src;
	va_list ap;

	va_start(ap, fmt);
	kit_from_inside(k, &s, from, fmt, ap);
	va_end(ap);
}

void kit_inside_tcp(struct kit *k, uint64_t conn, const char *fmt, ...)
{
	struct engine_inside_src src = {.server = 1, .transport = ENGINE_TCP, .conn = conn};
	va_list ap;

	va_start(ap, fmt);
	kit_from_inside(k, &src, "10.0.0.5:5060", fmt, ap);
	va_end(ap);
}

void kit_time(struct kit *k, uint64_t ms)
{
	uint64_t end = k->now + ms;

	while (engine_next_due(k->e) <= end) {
		if (engine_next_due(k->e) > k->now)
			k->now = engine_next_due(k->e);
		engine_tick(k->e, k->now);
		kit_drain(k);
	}
	k->now = end;
	engine_tick(k->e, k->now);
	kit_drain(k);
}

/* ---- out ---- */

static void kit_keep(struct kit *k, const struct engine_action *a)
{
	struct kit_msg *m = &k->msg[k->n];
	enum sip_why why = SIP_OK;

	assert_true(k->n < KIT_MSGS);
	k->n++;
	*m = (struct kit_msg){.stream = a->kind == ENGINE_SEND_STREAM ? a->stream : 0, .a = *a};
	m->text = malloc(a->data.n + 1);
	assert_non_null(m->text);
	memcpy(m->text, a->data.p, a->data.n);
	m->text[a->data.n] = 0;
	if (sip_msg_parse(span_of(m->text, a->data.n), true, 65536, &m->m, &why) !=
	    (ssize_t)a->data.n)
		fail_msg("the engine wrote what does not parse: %s\n%s", sip_why_text(why),
			 m->text);
}

static void kit_media_action(struct kit *k, const struct engine_action *a)
{
	struct kit_medium *m = kit_medium(k, a->medium);

	if (a->kind == ENGINE_MEDIUM_OPEN && m) { /* RTCP is parted from RTP */
		assert_true(a->with_rtcp && !m->with_rtcp);
		m->with_rtcp = true;
		m->parted++;
		m->a.outside_rtcp.port = (uint16_t)(m->a.outside_rtp.port + 1);
		if (!k->hold_media)
			engine_medium_opened(k->e, m->id, &m->a, k->now);
		return;
	}
	if (a->kind == ENGINE_MEDIUM_OPEN) {
		uint16_t port = (uint16_t)(36000 + 2 * k->n_media);

		assert_true(k->n_media < KIT_MEDIA);
		m = &k->media[k->n_media++];
		*m = (struct kit_medium){.id = a->medium,
					 .stream = a->stream,
					 .with_rtcp = a->with_rtcp,
					 .pass = a->pass,
					 .opens = 1};
		assert_int_equal(addr_parse(SPAN("203.0.113.1"), &m->a.outside_rtp), 0);
		assert_int_equal(addr_parse(SPAN("10.0.0.2"), &m->a.inside_rtp), 0);
		m->a.outside_rtcp = m->a.outside_rtp;
		m->a.inside_rtcp = m->a.inside_rtp;
		m->a.outside_rtp.port = port;
		m->a.outside_rtcp.port = a->with_rtcp ? (uint16_t)(port + 1) : 0;
		m->a.inside_rtp.port = (uint16_t)(port + 1000);
		m->a.inside_rtcp.port = (uint16_t)(port + 1001);
		if (!k->hold_media)
			engine_medium_opened(k->e, m->id, &m->a, k->now);
		return;
	}
	assert_non_null(m);
	assert_int_equal(m->closes, 0);
	assert_int_equal(m->pass, a->pass);
	if (a->kind == ENGINE_MEDIUM_CLOSE) {
		m->closes++;
		return;
	}
	m->sets++;
	m->set = a->set;
}

static struct kit_kept *kit_kept_find(struct kit *k, enum engine_record record, uint64_t id)
{
	unsigned i;

	for (i = 0; i < KIT_KEPT; i++)
		if (k->kept[i].n && k->kept[i].record == record && k->kept[i].id == id)
			return &k->kept[i];
	return NULL;
}

static void kit_store(struct kit *k, const struct engine_action *a)
{
	struct kit_kept *p = kit_kept_find(k, a->record, a->id);

	assert_in_range(a->data.n, 1, sizeof(p->data));
	for (p = p ? p : k->kept; p < k->kept + KIT_KEPT; p++)
		if (!p->n || (p->record == a->record && p->id == a->id))
			break;
	assert_true(p < k->kept + KIT_KEPT);
	*p = (struct kit_kept){.record = a->record, .id = a->id, .n = a->data.n};
	memcpy(p->data, a->data.p, a->data.n);
}

/* Only what was kept is forgotten, and once. */
static void kit_forget(struct kit *k, const struct engine_action *a)
{
	struct kit_kept *p = kit_kept_find(k, a->record, a->id);

	assert_non_null(p);
	p->n = 0;
}

unsigned kit_kept(const struct kit *k, enum engine_record record)
{
	unsigned i, n = 0;

	for (i = 0; i < KIT_KEPT; i++)
		n += k->kept[i].n && k->kept[i].record == record;
	return n;
}

void kit_crash(struct kit *k)
{
	kit_crash_but(k, 0);
}

void kit_crash_but(struct kit *k, unsigned streams)
{
	unsigned i, r;

	engine_free(k->e);
	assert_int_equal(engine_new(&k->c, k->now, &k->e), 0);
	for (i = 32; i-- > 1;) /* their order is no matter */
		if (streams & 1u << i)
			kit_stream(k, i);
	k->restored = k->not_restored = 0;
	for (r = 0; r < ENGINE_RECORDS; r++) {
		for (i = 0; i < KIT_KEPT; i++) {
			struct kit_kept *p = &k->kept[i];

			if (!p->n || p->record != r)
				continue;
			if (engine_restore(k->e, p->record, p->id, span_of(p->data, p->n),
					   k->now)) {
				k->not_restored++;
				p->n = 0;
			} else {
				k->restored++;
			}
		}
	}
	for (i = 0; i < k->n_media; i++) /* as core_keep_restore() does */
		if (k->media[i].opens > k->media[i].closes &&
		    !engine_medium_known(k->e, k->media[i].id))
			k->media[i].closes++;
	kit_drain(k);
}

void kit_drain(struct kit *k)
{
	struct engine_action a;

	while (engine_next_action(k->e, &a)) {
		switch (a.kind) {
		case ENGINE_SEND_STREAM:
		case ENGINE_SEND_INSIDE:
			if (a.kind == ENGINE_SEND_STREAM || !k->own || !k->own(k, &a))
				kit_keep(k, &a);
			break;
		case ENGINE_ADMIT:
			k->admits++;
			break;
		case ENGINE_REVOKE:
			k->revokes++;
			break;
		case ENGINE_CLOSE_STREAM:
			k->closes++;
			break;
		case ENGINE_KEEP:
			kit_store(k, &a);
			break;
		case ENGINE_FORGET:
			kit_forget(k, &a);
			break;
		case ENGINE_LOG:
			if (strlen(k->logs) + 400 < sizeof(k->logs))
				(void)sprintf(k->logs + strlen(k->logs), "event=%s %s\n", a.event,
					      a.text);
			break;
		default:
			kit_media_action(k, &a);
		}
	}
}

static struct kit_msg *kit_take(struct kit *k, uint64_t stream)
{
	unsigned i;

	for (i = 0; i < k->n; i++) {
		if (k->msg[i].taken || k->msg[i].stream != stream)
			continue;
		k->msg[i].taken = true;
		return &k->msg[i];
	}
	return NULL;
}

struct kit_msg *kit_to_client(struct kit *k, uint64_t stream)
{
	return kit_take(k, stream);
}

struct kit_msg *kit_to_inside(struct kit *k)
{
	return kit_take(k, 0);
}

static struct kit_msg *kit_want(struct kit_msg *m, const char *method, unsigned status)
{
	if (!m)
		fail_msg("no message where %s %u was expected", method ? method : "an answer",
			 status);
	if (method ? !m->m.request || !span_eq(m->m.method_text, span_str(method))
		   : m->m.request || m->m.status != status)
		fail_msg("%s %u was expected, not:\n%s", method ? method : "an answer", status,
			 m->text);
	return m;
}

struct kit_msg *kit_client_request(struct kit *k, uint64_t stream, const char *method)
{
	return kit_want(kit_take(k, stream), method, 0);
}

struct kit_msg *kit_client_answer(struct kit *k, uint64_t stream, unsigned status)
{
	return kit_want(kit_take(k, stream), NULL, status);
}

struct kit_msg *kit_inside_request(struct kit *k, const char *method)
{
	return kit_want(kit_take(k, 0), method, 0);
}

struct kit_msg *kit_inside_answer(struct kit *k, unsigned status)
{
	return kit_want(kit_take(k, 0), NULL, status);
}

void kit_nothing(struct kit *k)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		if (!k->msg[i].taken)
			fail_msg("unexpected message to %llu:\n%s",
				 (unsigned long long)k->msg[i].stream, k->msg[i].text);
}

const char *kit_hdr_n(struct kit *k, const struct kit_msg *m, const char *name, unsigned n)
{
	char *out = k->value[k->at++ % 20];
	unsigned i;

	out[0] = 0;
	for (i = 0; i < m->m.n_headers; i++)
		if (span_ieq(m->m.headers[i].name, span_str(name)) && n-- == 0) {
			assert_true(span_copy(m->m.headers[i].value, out, 1200) >= 0);
			break;
		}
	return out;
}

const char *kit_hdr(struct kit *k, const struct kit_msg *m, const char *name)
{
	return kit_hdr_n(k, m, name, 0);
}

const char *kit_answer(struct kit *k, const struct kit_msg *m, const char *status, const char *tag)
{
	static char out[4][8000];
	static unsigned at;
	char *p = out[at++ % 4];
	size_t o = (size_t)sprintf(p, "SIP/2.0 %s\n", status);
	unsigned i;

	(void)k;
	for (i = 0; i < m->m.n_headers; i++) {
		const struct sip_header *h = &m->m.headers[i];

		if (h->id != SIP_H_VIA && h->id != SIP_H_FROM && h->id != SIP_H_TO &&
		    h->id != SIP_H_CALL_ID && h->id != SIP_H_CSEQ && h->id != SIP_H_RECORD_ROUTE)
			continue;
		o += (size_t)sprintf(p + o, "%.*s: %.*s", (int)h->name.n, (const char *)h->name.p,
				     (int)h->value.n, (const char *)h->value.p);
		if (h->id == SIP_H_TO && m->m.to_tag.n == 0 && tag)
			o += (size_t)sprintf(p + o, ";tag=%s", tag);
		o += (size_t)sprintf(p + o, "\n");
	}
	return p;
}

const char *kit_body(const struct kit_msg *m)
{
	const char *p = strstr(m->text, "\r\n\r\n");

	return p ? p + 4 : "";
}

struct kit_medium *kit_medium(struct kit *k, uint64_t id)
{
	unsigned i;

	for (i = 0; i < k->n_media; i++)
		if (k->media[i].id == id)
			return &k->media[i];
	return NULL;
}

unsigned kit_media_live(const struct kit *k)
{
	unsigned i, n = 0;

	for (i = 0; i < k->n_media; i++)
		n += !k->media[i].closes;
	return n;
}

void kit_register(struct kit *k, uint64_t stream, const char *user)
{
	static const char fmt[] = "REGISTER sip:stand.test SIP/2.0\nVia: SIP/2.0/TLS "
				  "192.168.1.9:5061;branch=z9hG4bKr%u%s;rport\n"
				  "From: <sip:%s@stand.test>;tag=r1\nTo: "
				  "<sip:%s@stand.test>\nCall-ID: reg-%s-%u\nCSeq: %u REGISTER\n"
				  "Max-Forwards: 70\nContact: "
				  "<sip:%s@192.168.1.9:5061;transport=tls>\nExpires: 600\n%s";
	unsigned s = (unsigned)stream;
	struct kit_msg *m;

	kit_time(k, 0);
	kit_client(k, stream, fmt, s, "a", user, user, user, s, 1, user, "");
	m = kit_inside_request(k, "REGISTER");
	kit_inside(k,
		   "%sWWW-Authenticate: Digest realm=\"stand.test\", nonce=\"n-%s-%u\", "
		   "qop=\"auth\"\n",
		   kit_answer(k, m, "401 Unauthorized", "s1"), user, s);
	(void)kit_client_answer(k, stream, 401);
	{
		char cred[200];

		(void)snprintf(cred, sizeof(cred),
			       "Authorization: Digest username=\"%s\", realm=\"stand.test\", "
			       "nonce=\"n-%s-%u\", uri=\"sip:stand.test\", response=\"x\"\n",
			       user, user, s);
		kit_client(k, stream, fmt, s, "b", user, user, user, s, 2, user, cred);
	}
	m = kit_inside_request(k, "REGISTER");
	(void)snprintf(kit_path, sizeof(kit_path), "%s", kit_hdr(k, m, "Path"));
	kit_inside(k, "%sContact: <sip:%s@192.168.1.9:5061;transport=tls>;expires=600\n",
		   kit_answer(k, m, "200 OK", "s1"), user);
	(void)kit_client_answer(k, stream, 200);
	kit_nothing(k);
}

void kit_settled(struct kit *k)
{
	unsigned i;

	kit_time(k, 400000);
	assert_int_equal(engine_stats(k->e)->transactions, 0);
	assert_int_equal(engine_stats(k->e)->calls, 0);
	assert_int_equal(kit_kept(k, ENGINE_RECORD_CALL), 0);
	assert_int_equal(kit_kept(k, ENGINE_RECORD_INVITE), 0);
	for (i = 0; i < k->n_media; i++) {
		assert_int_equal(k->media[i].opens, 1);
		assert_int_equal(k->media[i].closes, 1);
	}
}
