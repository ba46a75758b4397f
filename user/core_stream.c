/* user/core_stream.c -- clients' streams on the core. See core_stream.h. */
#include "user/core_stream_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip/answer.h"
#include "sip/keepalive.h"
#include "user/log.h"
#include "user/trace.h"

static struct core_stream **core_stream_slot(struct core_streams *t, uint64_t id)
{
	struct core_stream **at = &t->bucket[id & (CORE_STREAM_BUCKETS - 1)];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

uint64_t core_streams_new_id(struct core_streams *t)
{
	return ++t->next_id;
}

struct core_stream *core_stream_find(struct core_streams *t, uint64_t id)
{
	return *core_stream_slot(t, id);
}

struct core_stream *core_stream_new(struct core_streams *t, const char *edge, const char *tls)
{
	size_t n = strlen(tls);
	struct core_stream *s = calloc(1, offsetof(struct core_stream, tls) + n + 1);

	if (!s)
		return NULL;
	memcpy(s->tls, tls, n);
	s->table = t;
	s->edge = edge;
	return s;
}

void core_stream_free(struct core_stream *s)
{
	if (!s)
		return;
	free(s->buf);
	free(s->doom);
	free(s);
}

/* Off the table, told once, freed. Where the edge has not ended the stream, the connection is closed in order or aborted. */
static void core_stream_end(struct core_stream *s, bool orderly, const char *reason)
{
	struct core_streams *t = s->table;
	struct core_stream **at = core_stream_slot(t, s->id);
	char peer[ADDR_TEXT_MAX];

	if (s->ended)
		return;
	s->ended = true;
	*at = s->next;
	t->n--;
	log_event(LOG_L_INFO, "stream-closed", "stream=%llx edge=%s client=%s reason=\"%s\"",
		  (unsigned long long)s->id, s->edge, addr_text(&s->client, peer), reason);
	trace_put(TRACE_STREAM_CLOSED, &(struct trace_ids){.stream = s->edge_stream}, 0, "%s",
		  reason);
	t->ops->closed(t->arg, s);
	core_stream_unlodge(s);
	link_core_end(s->data, orderly);
	core_stream_free(s);
}

void core_stream_forget(struct core_stream *s)
{
	struct core_stream **at = core_stream_slot(s->table, s->id);

	*at = s->next;
	s->table->n--;
	core_stream_free(s);
}

void core_stream_close(struct core_stream *s, const char *reason)
{
	core_stream_end(s, true, reason);
}

void core_stream_doom(struct core_stream *s, const char *reason)
{
	s->doomed = s->table->doomed = true;
	free(s->doom);
	s->doom = strdup(reason);
}

int core_stream_send(struct core_streams *t, uint64_t id, struct span data)
{
	struct core_stream *s = core_stream_find(t, id);
	int err;

	if (!s)
		return -ENOENT;
	err = conn_write(s->conn, data);
	if (err) { /* a client that does not read, or is gone */
		core_stream_doom(s, "client does not read");
		return err;
	}
	s->messages_out++;
	s->bytes_out += data.n;
	if (s->keep)
		lodge_word_set(&s->keep->messages_out, s->messages_out);
	return 0;
}

/* Answers to keepalives on their way: many come at once where a client does not wait for them. */
struct core_pongs {
	uint8_t p[1024];
	size_t n;
};

static void core_stream_pongs(struct core_stream *s, struct core_pongs *o)
{
	if (o->n && conn_write(s->conn, span_of(o->p, o->n)))
		core_stream_doom(s, "client does not read");
	o->n = 0;
}

/* Answer a keepalive at the front. Bytes used, 0: no keepalive, -EAGAIN: more needed. */
static ssize_t core_stream_keepalive(struct core_stream *s, struct span rest, struct core_pongs *o)
{
	size_t n = 0;
	ssize_t used;

	if (o->n + SIP_KEEPALIVE_MAX > sizeof(o->p))
		core_stream_pongs(s, o);
	used = sip_stream_keepalive(rest, &s->client, o->p + o->n, &n);
	if (used > 0) {
		s->keepalives++;
		if (s->keep)
			lodge_word_set(&s->keep->keepalives, s->keepalives);
		o->n += n;
	}
	return used;
}

/* Answer what cannot be read as far as it can be told whose it is, and end the stream. */
static void core_stream_refuse(struct core_stream *s, struct span rest, bool too_large,
			       enum sip_why why)
{
	uint8_t answer[SIP_ANSWER_MAX];
	size_t n = sip_answer(rest, too_large ? 513 : 400,
			      too_large ? "Message Too Large" : sip_why_text(why), "", answer,
			      sizeof(answer));

	if (n)
		conn_write(s->conn, span_of(answer, n));
	core_stream_end(s, true, sip_why_text(why));
}

#ifdef SALLYPORT_ECHO
/* For tests of streams in bulk, in selftests/net/core-echo and never in the daemon: an admitted client that says ECHO between two
 * messages gets back every byte that follows. */
static bool echo_begin(struct core_stream *s, struct span rest)
{
	static const char word[] = "ECHO\r\n";
	size_t n = sizeof(word) - 1;

	if (!s->admitted || rest.n < n || memcmp(rest.p, word, n))
		return false;
	s->echo = true;
	if (s->keep)
		s->keep->echo = 1;
	rest = span_cut(rest, n, rest.n);
	if (conn_write(s->conn, rest))
		core_stream_doom(s, "client does not read");
	s->bytes_out += rest.n;
	return true;
}

/* As much as goes out again; then the reader waits for the queue. */
static void echo_readable(struct core_stream *s)
{
	uint8_t buf[16384];
	ssize_t n = 0;

	for (;;) {
		if (conn_room(s->conn) < sizeof(buf)) {
			conn_pause(s->conn, true);
			return;
		}
		n = link_data_read(s->data, buf, sizeof(buf));
		if (n <= 0)
			break;
		s->bytes_in += (uint64_t)n;
		s->bytes_out += (uint64_t)n;
		if (conn_write(s->conn, span_of(buf, (size_t)n)))
			return; /* its down() follows */
	}
	if (n == -EAGAIN)
		conn_hold(s->conn, false);
	else
		core_stream_end(s, n == 0,
				n == 0 ? "closed by the client" : link_data_why(s->data, (int)n));
}
#endif

/* false: the stream ended (and is gone). */
static bool core_stream_parse(struct core_stream *s)
{
	struct core_streams *t = s->table;
	struct core_pongs pongs = {.n = 0};
	uint64_t id = s->id;
	size_t done = 0;

	while (done < s->n) {
		struct span rest = span_of(s->buf + done, s->n - done);
		enum sip_why why = SIP_OK;
		struct sip_msg m;
		ssize_t used = core_stream_keepalive(s, rest, &pongs);

		if (used > 0) {
			done += (size_t)used;
			continue;
		}
		core_stream_pongs(s, &pongs);
#ifdef SALLYPORT_ECHO
		if (echo_begin(s, rest)) {
			done = s->n;
			break;
		}
#endif
		if (used == 0)
			used = sip_msg_parse(rest, true, t->message_max, &m, &why);
		if (used == -EAGAIN)
			break;
		if (used < 0) {
			core_stream_refuse(s, rest, used == -E2BIG, why);
			return false;
		}
		done += (size_t)used;
		s->messages_in++;
		if (s->keep)
			lodge_word_set(&s->keep->messages_in, s->messages_in);
		t->ops->message(t->arg, s, &m);
		if (!core_stream_find(t, id))
			return false;
	}
	core_stream_pongs(s, &pongs);
	memmove(s->buf, s->buf + done, s->n - done);
	s->n -= done;
	if (!s->n) {
		free(s->buf);
		s->buf = NULL;
	}
	return true;
}

static void core_stream_readable(void *arg)
{
	struct core_stream *s = arg;

	for (;;) {
		ssize_t n;

#ifdef SALLYPORT_ECHO
		if (s->echo) {
			echo_readable(s);
			return;
		}
#endif
		if (!s->buf && !(s->buf = malloc(s->table->message_max))) {
			core_stream_end(s, false, "out of memory");
			return;
		}
		n = link_data_read(s->data, s->buf + s->n, s->table->message_max - s->n);

		if (n == -EAGAIN && !s->n) {
			free(s->buf);
			s->buf = NULL;
		}
		if (n == -EAGAIN) {
			conn_hold(s->conn, s->n > 0);
			return;
		}
		if (n <= 0) {
			core_stream_end(s, n == 0,
					n == 0 ? "closed by the client"
					       : link_data_why(s->data, (int)n));
			return;
		}
		s->bytes_in += (uint64_t)n;
		s->n += (size_t)n;
		if (!core_stream_parse(s))
			return;
		if (s->n == s->table->message_max) {
			core_stream_refuse(s, span_of(s->buf, s->n), true, SIP_WHY_TOO_LONG);
			return;
		}
	}
}

static void core_stream_down(void *arg, int err, const char *why)
{
	core_stream_end(arg, err == 0, err ? (why ? why : strerror(-err)) : "closed by the client");
}

static void core_stream_climbed(void *arg)
{
	struct core_stream *s = arg;

	s->table->ops->climbed(s->table->arg, s);
}

static void core_stream_drained(void *arg)
{
	struct core_stream *s = arg;

	if (s->echo)
		conn_pause(s->conn, false);
}

static void core_stream_nothing(void *arg)
{
	(void)arg;
}

const struct conn_ops core_stream_conn_ops = {
	.up = core_stream_nothing,
	.readable = core_stream_readable,
	.drained = core_stream_drained,
	.down = core_stream_down,
	.climbed = core_stream_climbed,
};

void core_stream_insert(struct core_stream *s)
{
	struct core_stream **at = core_stream_slot(s->table, s->id);

	s->next = *at;
	*at = s;
	s->table->n++;
}

int core_stream_open(struct core_streams *t, const char *edge, struct link_data *d,
		     const Sallyport__Open *o, struct core_stream **out)
{
	struct core_stream *s;
	int err = -EBADMSG;
	char tls[64];

	if (o->client_ip.len != 16 || o->client_port > 65535 || strcmp(o->service, "sip"))
		goto refuse;
	err = -ENOBUFS;
	if (t->n >= t->max)
		goto refuse;
	err = -ENOMEM;
	snprintf(tls, sizeof(tls), "%s %s", o->tls_version ? o->tls_version : "",
		 o->tls_cipher ? o->tls_cipher : "");
	s = core_stream_new(t, edge, tls);
	if (!s)
		goto refuse;
	s->data = d;
	s->conn = link_data_conn(d);
	s->id = ++t->next_id;
	s->edge_stream = o->stream;
	memcpy(s->client.ip, o->client_ip.data, 16);
	s->client.port = (uint16_t)o->client_port;
	s->since_ms = loop_now_ms(t->loop);
	core_stream_insert(s);
	*out = s;
	return 0;
refuse:
	log_event(LOG_L_WARN, "stream-refused", "edge=%s reason=\"%s\"", edge, strerror(-err));
	link_core_end(d, false);
	return err;
}

void core_stream_start(struct core_stream *s)
{
	link_data_set_ops(s->data, &core_stream_conn_ops, s);
}

unsigned core_streams_n(const struct core_streams *t)
{
	return t->n;
}

unsigned core_streams_count(const struct core_streams *t, unsigned *admitted)
{
	const struct core_stream *s;
	unsigned i;

	*admitted = 0;
	for (i = 0; i < CORE_STREAM_BUCKETS; i++)
		for (s = t->bucket[i]; s; s = s->next)
			*admitted += s->admitted;
	return t->n;
}

void core_streams_each(struct core_streams *t, void (*fn)(void *arg, struct core_stream *s),
		       void *arg)
{
	struct core_stream *s, *next;
	unsigned i;

	for (i = 0; i < CORE_STREAM_BUCKETS; i++)
		for (s = t->bucket[i]; s; s = next) {
			next = s->next;
			fn(arg, s);
		}
}

static void core_stream_reap(void *arg, struct core_stream *s)
{
	(void)arg;
	if (s->doomed)
		core_stream_end(s, true, s->doom ? s->doom : "out of memory");
}

/* There may be a slot for it now; the first one that finds none puts the others off. */
static void core_stream_again(void *arg, struct core_stream *s)
{
	(void)arg;
	if (!s->table->again_ms && s->admitted && !s->keep && !s->doomed)
		s->table->ops->climbed(s->table->arg, s);
}

static void core_streams_round(void *arg)
{
	struct core_streams *t = arg;

	if (t->again_ms && loop_now_ms(t->loop) >= t->again_ms) {
		t->again_ms = 0;
		t->again = true;
		core_streams_each(t, core_stream_again, NULL);
		t->again = false;
	}

	if (t->doomed) {
		t->doomed = false;
		core_streams_each(t, core_stream_reap, NULL);
	}
}

int core_streams_new(struct loop *l, uint32_t message_max, unsigned max,
		     const struct core_stream_ops *ops, void *arg, struct core_streams **out)
{
	struct core_streams *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	*t = (struct core_streams){
		.loop = l, .message_max = message_max, .max = max, .ops = ops, .arg = arg};
	/* Above all that a worker before us gave out, which was less than one a microsecond. */
	t->next_id = loop_now_ms(l) * 1000;
	err = loop_on_round(l, core_streams_round, t);
	if (err) {
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

void core_streams_set_lodge(struct core_streams *t, struct lodge *lodge)
{
	t->lodge = lodge;
}

static void core_stream_shut(void *arg, struct core_stream *s)
{
	(void)arg;
	core_stream_end(s, false, "worker stops");
}

void core_streams_free(struct core_streams *t)
{
	if (!t)
		return;
	core_streams_each(t, core_stream_shut, NULL);
	free(t);
}
