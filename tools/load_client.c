/* tools/load_client.c -- one client of the load generator: its connection and its registration.
 *
 * In: ops of its connection and "do this now" from load.c. Out: load_done() once an exchange that load.c began. An exchange is a
 * REGISTER with its answer, the second one after a challenge included, and the connecting where there was no connection. */
#include "tools/load.h"

#include <errno.h>
#include <stdio.h>

#define QUEUE_MAX 16384

static struct sip_msg load_msg; /* large; only one is read at a time */

static bool client_busy(const struct load_client *c)
{
	return c->state == LOAD_CONNECTING || c->state == LOAD_REGISTERING;
}

void load_client_end(struct load_client *c)
{
	conn_abort(c->conn);
	c->conn = NULL;
	c->state = LOAD_IDLE;
	c->n = 0;
}

static void client_fail(struct load_client *c, unsigned status, const char *why)
{
	bool busy = client_busy(c);

	c->load->last_status = status;
	snprintf(c->load->last_why, sizeof(c->load->last_why), "%s", why);
	load_client_end(c);
	if (busy)
		load_done(c, false);
	else
		c->load->lost++;
}

static void client_send(struct load_client *c)
{
	char text[2048];
	ssize_t n = load_register(c, conn_local(c->conn), text, sizeof(text));
	int err = n < 0 ? (int)n : conn_write(c->conn, span_of(text, (size_t)n));

	c->tries++;
	c->state = LOAD_REGISTERING;
	if (err)
		client_fail(c, 0, strerrordesc_np(-err));
}

static void client_answer(struct load_client *c, const struct sip_msg *m)
{
	if (m->request || m->method != SIP_M_REGISTER || m->cseq != c->cseq || m->status < 200 ||
	    c->state != LOAD_REGISTERING)
		return;
	if (m->status == 401 && c->tries < 3 && !load_challenge(c, m)) {
		client_send(c);
		return;
	}
	if (m->status != 200) {
		client_fail(c, m->status, "refused");
		return;
	}
	c->state = LOAD_READY;
	load_done(c, true);
}

/* All whole messages in the buffer. False: the connection is gone. */
static bool client_parse(struct load_client *c)
{
	size_t used = 0;
	enum sip_why why;
	ssize_t n;

	while (c->conn && used < c->n) {
		n = sip_msg_parse(span_of(c->buf + used, c->n - used), true, LOAD_BUF, &load_msg,
				  &why);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			client_fail(c, 0, sip_why_text(why));
			return false;
		}
		used += (size_t)n;
		client_answer(c, &load_msg);
	}
	if (!c->conn)
		return false;
	memmove(c->buf, c->buf + used, c->n - used);
	c->n -= used;
	return true;
}

static void client_readable(void *arg)
{
	struct load_client *c = arg;
	ssize_t n;

	for (;;) {
		if (c->n == sizeof(c->buf)) {
			client_fail(c, 0, "answer too long");
			return;
		}
		n = conn_read(c->conn, c->buf + c->n, sizeof(c->buf) - c->n);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_fail(c, 0, n ? strerrordesc_np((int)-n) : "closed by the server");
			return;
		}
		c->n += (size_t)n;
		if (!client_parse(c))
			return;
	}
}

static void client_up(void *arg)
{
	client_send(arg);
}

static void client_drained(void *arg)
{
	(void)arg; /* one REGISTER at a time: nothing waits */
}

static void client_down(void *arg, int err, const char *why)
{
	(void)err;
	client_fail(arg, 0, why);
}

static const struct conn_ops client_ops = {client_up, client_readable, client_drained, client_down};

int load_client_connect(struct load_client *c)
{
	struct load *l = c->load;
	struct conn_params p = {.loop = l->loop,
				.tls = l->tls,
				.peer_name = l->o.name,
				.queue_max = QUEUE_MAX,
				.handshake_ms = LOAD_EXCHANGE_MS,
				.ops = &client_ops,
				.arg = c};
	int err = conn_connect(&p, &l->o.server, &c->conn);

	c->started_us = load_now_us();
	c->tries = 0;
	c->n = 0;
	c->state = err ? LOAD_IDLE : LOAD_CONNECTING;
	return err;
}

void load_client_refresh(struct load_client *c)
{
	c->started_us = load_now_us();
	c->tries = 0;
	client_send(c);
}

void load_client_late(struct load_client *c, uint64_t now_us)
{
	if (client_busy(c) && now_us - c->started_us > LOAD_EXCHANGE_MS * 1000ull)
		client_fail(c, 0, "no answer in time");
}
