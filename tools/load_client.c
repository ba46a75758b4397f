/* tools/load_client.c -- one client of the load generator: its connection and its registration.
 *
 * In: ops of its connection and "do this now" from load.c. Out: load_done() once an exchange that load.c began; messages that are no
 * answer to a REGISTER go to load_calls_message(). An exchange is a REGISTER with its answer, the second one after a challenge included,
 * and the connecting where there was no connection. A lost client that is to come back tries again every LOAD_RETRY_MS, and that is
 * nobody's exchange: load_calls_back() tells that it is there. */
#include "tools/load.h"
#include "tools/load_calls.h"

#include <errno.h>
#include <stdio.h>

#define QUEUE_MAX 65536

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
	struct load *l = c->load;
	bool busy = client_busy(c), back = c->again;

	l->last_status = status;
	snprintf(l->last_why, sizeof(l->last_why), "%s", why);
	load_client_end(c);
	if (l->o.reconnect && l->phase != LOAD_SETUP && !c->leaving) {
		c->retry_us = load_now_us() + LOAD_RETRY_MS * 1000u;
		c->again = true;
	}
	if (busy && !back)
		load_done(c, false);
	else if (!back)
		l->lost++;
	if (l->calls)
		load_calls_lost(c);
}

static int client_write(struct load_client *c, struct span text)
{
	struct load *l = c->load;
	int err;

	if (l->o.udp)
		return loop_send(l->loop, l->udp_fd, &l->o.server, text);
	err = conn_write(c->conn, text);
	if (err)
		client_fail(c, 0, strerrordesc_np(-err));
	return err;
}

bool load_client_ready(const struct load_client *c)
{
	return c->load->o.udp || c->state == LOAD_READY ||
	       (c->state == LOAD_REGISTERING && c->known && !c->again);
}

int load_client_send(struct load_client *c, struct span text)
{
	return load_client_ready(c) ? client_write(c, text) : -ENOTCONN;
}

const struct addr *load_client_local(const struct load_client *c)
{
	return c->conn ? conn_local(c->conn) : &c->load->o.local;
}

static void client_register(struct load_client *c)
{
	char text[LOAD_TEXT];
	ssize_t n = load_register(c, load_client_local(c), text, sizeof(text));

	c->tries++;
	c->state = LOAD_REGISTERING;
	if (n < 0)
		client_fail(c, 0, strerrordesc_np((int)-n));
	else
		client_write(c, span_of(text, (size_t)n));
}

static void client_answer(struct load_client *c, const struct sip_msg *m)
{
	bool back = c->again;

	if (m->cseq != c->cseq || m->status < 200 || c->state != LOAD_REGISTERING)
		return;
	if (m->status == 401 && c->tries < 3 && !load_challenge(c, m)) {
		client_register(c);
		return;
	}
	if (m->status != 200) {
		client_fail(c, m->status, "refused");
		return;
	}
	c->state = LOAD_READY;
	c->known = true;
	c->again = false;
	if (!back) {
		load_done(c, true);
		return;
	}
	c->load->reconnected++;
	if (c->load->calls)
		load_calls_back(c);
}

void load_client_message(struct load_client *c, const struct sip_msg *m)
{
	if (!m->request && m->method == SIP_M_REGISTER)
		client_answer(c, m);
	else if (c->load->calls)
		load_calls_message(c, m);
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
		load_client_message(c, &load_msg);
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
	client_register(arg);
}

static void client_drained(void *arg)
{
	(void)arg; /* nothing waits for room: what does not fit is a failure */
}

static void client_down(void *arg, int err, const char *why)
{
	(void)err;
	client_fail(arg, 0, why);
}

static const struct conn_ops client_ops = {.up = client_up,
					   .readable = client_readable,
					   .drained = client_drained,
					   .down = client_down};

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
	int err;

	c->started_us = load_now_us();
	c->retry_us = 0;
	c->tries = 0;
	c->n = 0;
	if (l->o.udp) {
		client_register(c);
		return 0;
	}
	err = conn_connect(&p, &l->o.server, &c->conn);
	c->state = err ? LOAD_IDLE : LOAD_CONNECTING;
	return err;
}

void load_client_refresh(struct load_client *c)
{
	c->started_us = load_now_us();
	c->tries = 0;
	client_register(c);
}

void load_client_late(struct load_client *c, uint64_t now_us)
{
	uint64_t began = c->started_us;

	if (client_busy(c) && now_us - began > LOAD_EXCHANGE_MS * 1000ull) {
		client_fail(c, 0, "no answer in time");
	} else if (c->load->o.udp && c->state == LOAD_REGISTERING && c->tries < 4 &&
		   now_us - began > c->tries * 1000000ull) {
		client_register(c);
	} else if (c->retry_us && now_us >= c->retry_us && load_client_connect(c)) {
		c->retry_us = now_us + LOAD_RETRY_MS * 1000u;
	}
}
