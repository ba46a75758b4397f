/* selftests/unit/test_core_stream.c -- a client's stream on the core from one worker to the next, on plain TCP, whose state is all in the
 * kernel as rung A's is. In: bytes of the edge's end of a data connection. Out: messages, slots of a lodge that is an array here, and the
 * same stream in a second table. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/core_stream_impl.h"
#include "user/link_core_impl.h"

#define MESSAGE(n)                                                                          \
	"MESSAGE sip:bob@stand.test SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK" n \
	"\r\nFrom: <sip:alice@stand.test>;tag=1\r\nTo: <sip:bob@stand.test>\r\nCall-ID: " n \
	"\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"

/* ---- a lodge ---- */

static struct {
	bool full, used, waits; /* waits: the keeper has not got it yet */
	int fd[LODGE_ROLES];
	unsigned puts, drops;
	_Alignas(16) uint8_t record[LODGE_PAYLOAD];
} held;

int lodge_put(struct lodge *l, uint32_t kind, const int fds[], unsigned n, const void *record,
	      size_t record_n, uint32_t *out_slot)
{
	unsigned i;

	assert_non_null(l);
	assert_int_equal(kind, CORE_STREAM_LODGE_KIND);
	assert_true(record_n <= LODGE_PAYLOAD);
	if (held.full)
		return -ENOSPC;
	assert_false(held.used);
	held.used = true;
	held.puts++;
	for (i = 0; i < LODGE_ROLES; i++)
		held.fd[i] = i < n ? dup(fds[i]) : -1;
	memcpy(held.record, record, record_n);
	*out_slot = 7;
	return 0;
}

void *lodge_record(struct lodge *l, uint32_t slot)
{
	(void)l;
	assert_int_equal(slot, 7);
	return held.record;
}

void *lodge_extra(struct lodge *l, uint32_t slot)
{
	(void)l, (void)slot;
	fail(); /* nothing here has secrets */
	return NULL;
}

bool lodge_held(const struct lodge *l, uint32_t slot)
{
	(void)l;
	assert_int_equal(slot, 7);
	return !held.waits;
}

int lodge_fd_add(struct lodge *l, uint32_t slot, unsigned role, int fd)
{
	(void)l;
	assert_int_equal(slot, 7);
	assert_int_equal(held.fd[role], -1);
	held.fd[role] = dup(fd);
	close(fd);
	return 0;
}

void lodge_fd_drop(struct lodge *l, uint32_t slot, unsigned role)
{
	(void)l;
	assert_int_equal(slot, 7);
	close(held.fd[role]);
	held.fd[role] = -1;
}

void lodge_drop(struct lodge *l, uint32_t slot)
{
	unsigned i;

	(void)l;
	assert_int_equal(slot, 7);
	assert_true(held.used);
	held.used = false;
	held.drops++;
	for (i = 0; i < LODGE_ROLES; i++)
		if (held.fd[i] >= 0)
			close(held.fd[i]);
	memset(held.record, 0, sizeof(held.record));
}

/* ---- a core ---- */

static struct bed {
	struct loop *loop;
	struct core_streams *t, *before; /* the loop calls both */
	struct core_edge edge;
	struct link_core link;
	unsigned messages, closed;
	char last[16]; /* its Call-ID */
	bool admit;    /* as soon as a message is there */
} bed;

static void bed_message(void *arg, struct core_stream *s, const struct sip_msg *m)
{
	struct bed *b = arg;

	b->messages++;
	snprintf(b->last, sizeof(b->last), "%.*s", (int)m->call_id.n, (const char *)m->call_id.p);
	if (b->admit) {
		s->admitted = true;
		core_stream_lodge(s, "edge.stand.test", 5061);
	}
}

static void bed_closed(void *arg, struct core_stream *s)
{
	(void)s;
	((struct bed *)arg)->closed++;
}

static void bed_climbed(void *arg, struct core_stream *s)
{
	(void)arg;
	core_stream_lodge(s, "edge.stand.test", 5061);
}

static const struct core_stream_ops bed_ops = {bed_message, bed_closed, bed_climbed};

static void stop(void *arg)
{
	(void)arg;
	loop_stop(bed.loop);
}

static void run(unsigned ms)
{
	struct loop_timer t = {.fn = stop};

	assert_int_equal(loop_timer_set(bed.loop, &t, ms), 0);
	assert_int_equal(loop_run(bed.loop), 0);
}

static void table_new(void)
{
	assert_int_equal(core_streams_new(bed.loop, 4096, 10, &bed_ops, &bed, &bed.t), 0);
	core_streams_set_lodge(bed.t, (struct lodge *)&held);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void nothing_down(void *arg, int err, const char *why)
{
	(void)arg, (void)err, (void)why;
}

/* A stream, and the bare descriptor at the edge's end of its connection. */
static struct core_stream *open_stream(int *out_fd)
{
	static const struct conn_ops ops = {
		.up = nothing, .readable = nothing, .drained = nothing, .down = nothing_down};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t ip[16] = {[10] = 255, 255, 203, 0, 113, 5};
	Sallyport__Open o = SALLYPORT__OPEN__INIT;
	struct conn_params cp = {.loop = bed.loop, .queue_max = 1 << 18, .ops = &ops};
	struct link_data *d = calloc(1, sizeof(*d));
	int l = socket(AF_INET, SOCK_STREAM, 0), in;
	struct core_stream *s;
	socklen_t n = sizeof(a);

	*out_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(*out_fd, (struct sockaddr *)&a, n), 0);
	in = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(in >= 0);
	close(l);
	assert_int_equal(conn_accept(&cp, in, &d->conn), 0);
	run(5);
	d->loop = bed.loop;
	d->owner = &bed.edge;
	d->state = LINK_USED;
	o.stream = 0x1234;
	o.service = (char *)"sip";
	o.client_ip.data = ip;
	o.client_ip.len = sizeof(ip);
	o.client_port = 4000;
	o.tls_version = (char *)"TLSv1.3";
	o.tls_cipher = (char *)"TLS_AES_256_GCM_SHA384";
	assert_int_equal(core_stream_open(bed.t, "edge1", d, &o, &s), 0);
	core_stream_start(s);
	return s;
}

static void bed_up(void)
{
	struct loop_params lp = {
		.entries = 64, .ops_max = 64, .recv_bufs = 8, .send_bufs = 8, .buf_size = 2048};

	bed = (struct bed){.admit = true};
	memset(&held, 0, sizeof(held));
	assert_int_equal(loop_new(&lp, &bed.loop), 0);
	bed.edge = (struct core_edge){.core = &bed.link, .cfg = {.name = "edge1"}};
	bed.link = (struct link_core){.p = {.loop = bed.loop, .n_edges = 1},
				      .times = link_times_default,
				      .edges = &bed.edge};
	table_new();
}

static void bed_down(void)
{
	core_streams_free(bed.before);
	core_streams_free(bed.t);
	if (held.used)
		lodge_drop((struct lodge *)&held, 7);
	loop_free(bed.loop);
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	run(10);
}

/* What the edge's end hears, up to @max bytes, its end, or when nothing comes for long; -1: reset. */
static ssize_t hears(int fd, char *buf, size_t max)
{
	unsigned idle = 0;
	ssize_t r = -1;
	size_t n = 0;

	while (n < max && idle < 200) {
		run(10);
		r = recv(fd, buf + n, max - n, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN))
			break;
		idle = r < 0 ? idle + 1 : 0;
		n += r < 0 ? 0 : (size_t)r;
	}
	return r < 0 && errno == ECONNRESET ? -1 : (ssize_t)n;
}

static const struct core_stream_keep *record(void)
{
	return (const void *)held.record;
}

/* A table that follows, in the place of the first. */
static int taken(struct core_stream **out)
{
	const char *host = NULL;
	uint16_t port = 0;
	int fds[LODGE_ROLES], err;
	unsigned i;

	bed.before = bed.t;
	table_new();
	for (i = 0; i < LODGE_ROLES; i++)
		fds[i] = held.fd[i] < 0 ? -1 : fcntl(held.fd[i], F_DUPFD_CLOEXEC, 0);
	err = core_stream_take(bed.t, &bed.link, 7, fds, held.record, out, &host, &port);
	if (!err) {
		assert_string_equal(host, "edge.stand.test");
		assert_int_equal(port, 5061);
	}
	return err;
}

/* ---- tests ---- */

static void test_stream_lodged(void **state)
{
	struct core_stream *s;
	int fd;

	(void)state;
	bed_up();
	bed.admit = false;
	s = open_stream(&fd);
	core_stream_lodge(s, "edge.stand.test", 5061);
	assert_null(s->keep); /* not admitted */
	bed.admit = true;
	say(fd, MESSAGE("one"));
	assert_non_null(s->keep);
	assert_int_equal(held.puts, 1);
	assert_int_equal(core_streams_counts(bed.t)->lodged, 1);
	assert_true(conn_keep_idle(&record()->conn));
	assert_int_equal(record()->id, s->id);
	assert_int_equal(record()->edge_stream, 0x1234);
	assert_int_equal(record()->edge, lodge_name_hash("edge1"));
	assert_string_equal(record()->tls, "TLSv1.3 TLS_AES_256_GCM_SHA384");
	say(fd, "MESSAGE sip:bob@sta");
	assert_false(conn_keep_idle(&record()->conn));
	assert_int_equal(bed.messages, 1);
	say(fd, MESSAGE("two") + 19);
	assert_true(conn_keep_idle(&record()->conn));
	say(fd, "\r\n\r\n");
	assert_int_equal(bed.messages, 2);
	assert_int_equal(record()->messages_in, 2);
	assert_int_equal(record()->keepalives, 1);
	core_stream_lodge(s, "edge.stand.test", 5061); /* it is */
	assert_int_equal(held.puts, 1);
	close(fd);
	run(10);
	assert_int_equal(bed.closed, 1);
	assert_int_equal(held.drops, 1);
	assert_int_equal(core_streams_counts(bed.t)->lodged, 0);
	bed_down();
}

static void test_stream_not_lodged(void **state)
{
	struct core_stream *s;
	char name[200];
	int fd;

	(void)state;
	bed_up();
	bed.admit = false;
	s = open_stream(&fd);
	s->admitted = true;
	memset(name, 'a', sizeof(name));
	name[128] = 0;
	core_stream_lodge(s, name, 5061);
	assert_int_equal(core_streams_counts(bed.t)->too_large, 1);
	held.full = true;
	name[127] = 0;
	core_stream_lodge(s, name, 5061);
	assert_int_equal(core_streams_counts(bed.t)->no_slot, 1);
	assert_null(s->keep);
	held.full = false;
	core_streams_set_lodge(bed.t, NULL);
	core_stream_lodge(s, name, 5061);
	assert_null(s->keep);
	core_streams_set_lodge(bed.t, (struct lodge *)&held);
	core_stream_lodge(s, name, 5061);
	assert_string_equal(record()->edge_host, name);
	core_stream_unlodge(s); /* revoked; and goes on */
	assert_int_equal(held.drops, 1);
	say(fd, MESSAGE("one"));
	assert_int_equal(bed.messages, 1);
	close(fd);
	bed_down();
}

/* No slot was free, and then one is. */
static void test_stream_lodged_later(void **state)
{
	struct core_stream *s;
	int fd;

	(void)state;
	bed_up();
	held.full = true;
	s = open_stream(&fd);
	say(fd, MESSAGE("one"));
	assert_null(s->keep);
	assert_true(bed.t->again_ms > loop_now_ms(bed.loop));
	bed.t->again_ms = 1;
	run(10);
	assert_null(s->keep);
	assert_true(bed.t->again_ms > 1);
	assert_int_equal(core_streams_counts(bed.t)->no_slot, 1);
	held.full = false;
	bed.t->again_ms = 1;
	run(10);
	assert_non_null(s->keep);
	assert_int_equal(bed.t->again_ms, 0);
	assert_int_equal(core_streams_counts(bed.t)->lodged, 1);
	close(fd);
	bed_down();
}

static void test_stream_goes_over(void **state)
{
	struct core_stream *s, *other;
	uint64_t id;
	char buf[64];
	int fd, fd2;

	(void)state;
	bed_up();
	s = open_stream(&fd);
	id = s->id;
	say(fd, MESSAGE("one"));
	core_streams_leave(bed.t);
	assert_null(core_stream_find(bed.t, id));
	assert_int_equal(bed.closed, 0);
	assert_int_equal(taken(&s), 0);
	assert_int_equal(s->id, id);
	assert_true(s->admitted && s->adopted);
	assert_string_equal(s->edge, "edge1");
	assert_int_equal(s->edge_stream, 0x1234);
	assert_int_equal(s->client.port, 4000);
	assert_int_equal(s->messages_in, 1);
	assert_int_equal(s->bytes_in, strlen(MESSAGE("one")));
	assert_int_equal(core_streams_counts(bed.t)->taken, 1);
	assert_ptr_equal(core_stream_find(bed.t, id), s);
	say(fd, MESSAGE("two"));
	assert_string_equal(bed.last, "two");
	assert_int_equal(core_stream_send(bed.t, id, SPAN("hello")), 0);
	assert_int_equal(hears(fd, buf, 5), 5);
	assert_memory_equal(buf, "hello", 5);
	bed.admit = false;
	other = open_stream(&fd2);
	assert_true(other->id > id); /* no id comes twice */
	close(fd2);
	core_stream_close(s, "test");
	assert_int_equal(hears(fd, buf, sizeof(buf)), 0); /* in order */
	assert_int_equal(held.drops, 1);
	close(fd);
	bed_down();
}

/* The first half of a message, and an answer that the socket did not take. */
static void test_stream_goes_over_busy(void **state)
{
	static char big[100000], in[sizeof(big) + 10];
	struct core_stream *s;
	int fd, small = 4096;
	size_t i;

	(void)state;
	bed_up();
	s = open_stream(&fd);
	say(fd, MESSAGE("one"));
	setsockopt(conn_fd(s->conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + (i >> 9));
	/* More than the two sockets hold. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(core_stream_send(bed.t, s->id, span_of(big, sizeof(big))), 0);
	assert_true(conn_queued(s->conn) > 0);
	say(fd, "MESSAGE sip:bob@sta");
	assert_false(conn_keep_idle(&record()->conn));
	core_streams_leave(bed.t);
	assert_true(held.fd[1] >= 0 && held.fd[2] >= 0);
	assert_int_equal(taken(&s), 0);
	assert_int_equal(held.fd[1], -1);
	assert_int_equal(held.fd[2], -1);
	assert_false(conn_keep_idle(&record()->conn)); /* still the first half */
	assert_int_equal(hears(fd, in, sizeof(big)), sizeof(big));
	assert_memory_equal(in, big, sizeof(big));
	say(fd, MESSAGE("two") + 19);
	assert_string_equal(bed.last, "two");
	assert_int_equal(bed.messages, 2);
	assert_true(conn_keep_idle(&record()->conn));
	close(fd);
	bed_down();
}

/* Whoever took over died with what it had read out of the pipes; and before that, a worker whose slot still waits leaves nothing. */
static void test_stream_goes_over_twice(void **state)
{
	struct core_stream *s;
	int fd, empty[2];
	char c;

	(void)state;
	bed_up();
	(void)open_stream(&fd);
	say(fd, MESSAGE("one"));
	say(fd, "MESSAGE sip:bob@sta");
	core_streams_leave(bed.t);
	assert_true(held.fd[2] >= 0);
	assert_int_equal(record()->conn.rx_along, 1);
	assert_int_equal(pipe(empty), 0);
	close(empty[1]);
	close(held.fd[2]);
	held.fd[2] = empty[0];
	assert_int_equal(taken(&s), -ECANCELED);
	assert_int_equal(hears(fd, &c, 1), -1);
	close(fd);
	bed_down();
	bed_up();
	(void)open_stream(&fd);
	say(fd, MESSAGE("one"));
	held.waits = true;
	core_streams_leave(bed.t);
	assert_int_equal(held.drops, 1);
	assert_int_equal(core_streams_counts(bed.t)->lodged, 0);
	assert_int_equal(bed.closed, 0);
	close(fd);
	bed_down();
}

/* As a worker leaves it that was killed in the middle of something: the edge hears a reset. */
/* One that was not lodged, in the same state: this process goes on with its connection, and the answer that it has. */
static void test_stream_relayed(void **state)
{
	static char big[100000], in[sizeof(big) + 10];
	struct conn_relays *relays;
	struct core_stream *s;
	int fd, small = 4096;
	uint64_t id;
	size_t i;

	(void)state;
	bed_up();
	bed.admit = false;
	assert_int_equal(conn_relays_new(bed.loop, &relays), 0);
	s = open_stream(&fd);
	say(fd, MESSAGE("one"));
	core_stream_relay(s, relays, "edge.stand.test", 5061);
	assert_int_equal(held.puts, 0); /* not admitted */
	s->admitted = true;
	id = s->id;
	setsockopt(conn_fd(s->conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + (i >> 9));
	assert_int_equal(core_stream_send(bed.t, id, span_of(big, sizeof(big))), 0);
	assert_true(conn_queued(s->conn) > 0);
	say(fd, "MESSAGE sip:bob@sta");
	core_stream_relay(s, relays, "edge.stand.test", 5061);
	assert_int_equal(held.puts, 1);
	assert_int_equal(conn_relays_stats(relays).now, 1);
	core_streams_leave(bed.t);
	assert_null(core_stream_find(bed.t, id));
	assert_int_equal(held.fd[1], -1);
	assert_true(held.fd[2] >= 0);
	assert_int_equal(taken(&s), 0);
	assert_true(conn_relayed(s->conn));
	assert_int_equal(s->bytes_in, strlen(MESSAGE("one")) + 19);
	assert_int_equal(s->bytes_out, sizeof(big));
	assert_false(conn_keep_idle(&record()->conn)); /* still the first half */
	assert_int_equal(core_stream_send(bed.t, id, SPAN("hello")), 0);
	say(fd, MESSAGE("two") + 19);
	for (i = 0; i < 200 && bed.messages < 2;
	     i++) /* the second half waits for an ACK of the first */
		run(10);
	assert_string_equal(bed.last, "two");
	assert_true(conn_keep_idle(&record()->conn));
	assert_int_equal(hears(fd, in, sizeof(big) + 5), sizeof(big) + 5);
	assert_memory_equal(in, big, sizeof(big));
	assert_memory_equal(in + sizeof(big), "hello", 5);
	core_stream_close(s, "test");
	assert_int_equal(hears(fd, in, sizeof(in)), 0); /* in order */
	assert_int_equal(conn_relays_stats(relays).clean, 1);
	conn_relays_free(relays);
	close(fd);
	bed_down();
}

static void test_stream_lost(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{offsetof(struct core_stream_keep, conn.rx_busy), 1, -ECANCELED},
		{offsetof(struct core_stream_keep, conn.tx_busy), 1, -ECANCELED},
		/* Its pipe is not there: the keeper got none. */
		{offsetof(struct core_stream_keep, conn.rx_along), 1, -ECANCELED},
		{offsetof(struct core_stream_keep, conn.tx_along), 1, -ECANCELED},
		{offsetof(struct core_stream_keep, conn.tls.has), 1, -EBADMSG},
		{offsetof(struct core_stream_keep, edge), 'x', -ENOENT},
		{offsetof(struct core_stream_keep, edge) + 5, 'x', -ENOENT},
		{offsetof(struct core_stream_keep, base_in) + 7, 1, -EBADMSG},
		{offsetof(struct core_stream_keep, base_out) + 7, 1, -EBADMSG},
	};
	struct core_stream *s;
	char buf[8];
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bed_up();
		(void)open_stream(&fd);
		say(fd, MESSAGE("one"));
		core_streams_leave(bed.t);
		held.record[rows[i].at] = rows[i].value;
		assert_int_equal(taken(&s), rows[i].err);
		assert_int_equal(core_streams_counts(bed.t)->lost_busy, rows[i].err == -ECANCELED);
		assert_int_equal(core_streams_counts(bed.t)->lost_other, rows[i].err != -ECANCELED);
		assert_int_equal(held.drops, 1);
		assert_int_equal(hears(fd, buf, sizeof(buf)), -1);
		close(fd);
		bed_down();
	}
}

/* Text without an end, an edge that nobody knows, and no id. */
static void test_stream_bad_text(void **state)
{
	struct core_stream *s;
	struct core_stream_keep *k = (void *)held.record;
	unsigned i;
	int fd;

	(void)state;
	for (i = 0; i < 4; i++) {
		bed_up();
		(void)open_stream(&fd);
		say(fd, MESSAGE("one"));
		core_streams_leave(bed.t);
		if (i == 0)
			memset(k->tls, 'x', sizeof(k->tls));
		else if (i == 1)
			memset(k->edge_host, 'x', sizeof(k->edge_host));
		else if (i == 2)
			k->edge++;
		else
			k->id = 0;
		assert_int_equal(taken(&s), i == 2 ? -ENOENT : -EBADMSG);
		close(fd);
		bed_down();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_lodged),
		cmocka_unit_test(test_stream_not_lodged),
		cmocka_unit_test(test_stream_lodged_later),
		cmocka_unit_test(test_stream_goes_over),
		cmocka_unit_test(test_stream_goes_over_busy),
		cmocka_unit_test(test_stream_relayed),
		cmocka_unit_test(test_stream_goes_over_twice),
		cmocka_unit_test(test_stream_lost),
		cmocka_unit_test(test_stream_bad_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
