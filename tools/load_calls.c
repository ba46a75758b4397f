/* tools/load_calls.c -- a run of `load calls`: register, call and be called, wait for the ends, unregister. See load_calls.h.
 *
 * In: options (load_calls_main.c), the loop's ticks, what load_client.c hands on. Out: ends of calls, told what happens; counts. Owns
 * the table of ends: slots that live are listed, so that a tick costs what lives and not what could. */
#include "tools/load_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LATE_SHARE 10

/* ---- ends ---------------------------------------------------------------------------------------------------------------- */

struct load_call *load_call_new(struct load_calls *r, struct load_client *c, bool caller)
{
	struct load_call *k;
	unsigned slot, generation;

	if (!r->n_spare)
		return NULL;
	slot = r->spare[--r->n_spare];
	k = &r->ends[slot];
	generation = k->generation + 1;
	*k = (struct load_call){.run = r,
				.c = c,
				.slot = slot,
				.generation = generation,
				.place = r->n_live,
				.caller = caller,
				.state = CALL_INVITING,
				.peer_sent = -1,
				.media = {.fd = -1}};
	r->live[r->n_live++] = slot;
	return k;
}

void load_call_free(struct load_call *k)
{
	struct load_calls *r = k->run;
	unsigned moved = r->live[--r->n_live];

	load_end_close(&k->media);
	free(k->local);
	free(k->remote);
	free(k->target);
	free(k->routes);
	free(k->text);
	r->live[k->place] = moved;
	r->ends[moved].place = k->place;
	r->spare[r->n_spare++] = k->slot;
	k->state = CALL_FREE;
	k->local = k->remote = k->target = k->routes = k->text = NULL;
}

void load_calls_reason(struct load_calls *r, const char *text)
{
	unsigned i;

	for (i = 0; i < LOAD_REASONS - 1 && r->reasons[i].n; i++)
		if (!strcmp(r->reasons[i].text, text))
			break;
	if (!r->reasons[i].n)
		snprintf(r->reasons[i].text, sizeof(r->reasons[i].text), "%s",
			 i == LOAD_REASONS - 1 ? "other" : text);
	r->reasons[i].n++;
}

static struct load_call *call_by_tag(struct load_calls *r, struct span tag, struct span call_id)
{
	unsigned slot, generation;
	struct load_call *k;

	if (!load_call_tag_read(tag, r->l.run_id, &slot, &generation) || slot >= r->o.ends)
		return NULL;
	k = &r->ends[slot];
	return k->state != CALL_FREE && k->generation == generation &&
			       span_eq(call_id, span_str(k->call_id))
		       ? k
		       : NULL;
}

static struct load_call *call_by_id(struct load_calls *r, const struct load_client *c,
				    struct span call_id)
{
	unsigned i;

	for (i = 0; i < r->n_live; i++) {
		struct load_call *k = &r->ends[r->live[i]];

		if (!k->caller && k->c == c && span_eq(call_id, span_str(k->call_id)))
			return k;
	}
	return NULL;
}

static void no_dialog(struct load_client *c, const struct sip_msg *m)
{
	bool known = m->method == SIP_M_OPTIONS && !m->to_tag.n;
	char text[LOAD_TEXT];
	ssize_t n;

	if (m->method == SIP_M_ACK)
		return;
	n = load_call_reply(NULL, m, known ? 200 : 481, known ? "OK" : "Not here", false, text,
			    sizeof(text));
	if (n > 0)
		load_client_send(c, span_of(text, (size_t)n));
}

void load_calls_message(struct load_client *c, const struct sip_msg *m)
{
	struct load_calls *r = c->load->calls;
	struct load_call *k;

	if (!m->request) {
		k = call_by_tag(r, m->from_tag, m->call_id);
		if (k)
			load_call_response(k, m);
		return;
	}
	if (m->method == SIP_M_INVITE && !m->to_tag.n) {
		load_call_invited(r, c, m);
		return;
	}
	k = m->to_tag.n ? call_by_tag(r, m->to_tag, m->call_id) : call_by_id(r, c, m->call_id);
	if (k)
		load_call_request(k, m);
	else
		no_dialog(c, m);
}

static void each_of(struct load_client *c, void (*fn)(struct load_call *))
{
	struct load_calls *r = c->load->calls;
	unsigned i;

	for (i = r->n_live; i--;)
		if (i < r->n_live && r->ends[r->live[i]].c == c)
			fn(&r->ends[r->live[i]]);
}

void load_calls_lost(struct load_client *c)
{
	each_of(c, load_call_lost);
}

void load_calls_back(struct load_client *c)
{
	each_of(c, load_call_back);
}

/* ---- the run ------------------------------------------------------------------------------------------------------------- */

static void calls_phase(struct load_calls *r, enum load_phase phase)
{
	uint64_t now = load_now_us();

	if (phase == LOAD_RUN) {
		fprintf(stderr, "load: ready, %u registered\n", (unsigned)r->l.setup_ok);
		r->l.cpu_ns = load_cpu_ns(&r->l);
		r->l.run_us = now;
	} else if (phase == LOAD_LEAVE) {
		r->l.cpu_ns = load_cpu_ns(&r->l) - r->l.cpu_ns;
		r->seconds = (double)(now - r->l.run_us) / 1e6;
	}
	r->phase = r->l.phase = phase;
	r->phase_us = r->calls_us = now;
	r->l.next = 0;
	r->l.started = 0;
}

void load_calls_done(struct load_client *c, bool ok)
{
	struct load_calls *r = c->load->calls;

	if (r->phase == LOAD_SETUP) {
		r->l.setup_ok += ok;
		r->l.setup_failed += !ok;
	} else if (c->leaving) {
		r->left += ok;
		load_client_end(c);
	} else {
		r->refreshed += ok;
		r->refresh_failed += !ok;
	}
}

static void connect_next(struct load_calls *r)
{
	struct load_client *c = &r->l.clients[r->l.next++];

	r->l.outstanding++;
	if (load_client_connect(c)) {
		snprintf(r->l.last_why, sizeof(r->l.last_why), "connect: %m");
		load_done(c, false);
	}
}

static void setup_pump(struct load_calls *r)
{
	struct load *l = &r->l;

	while (l->next < l->o.clients && l->outstanding < l->o.window)
		connect_next(r);
	if (l->next == l->o.clients && !l->outstanding)
		calls_phase(r, l->setup_failed ? LOAD_DRAIN : LOAD_RUN);
}

static void place_due(struct load_calls *r, uint64_t ran_us)
{
	unsigned count = r->o.count ? r->o.count : r->l.o.clients, i;
	struct load_client *c;

	while (r->placed < r->o.calls && r->n_calling < r->o.at_once &&
	       (!r->o.rate || r->placed < 1 + ran_us * r->o.rate / 1000000u)) {
		for (i = 0; i < count; i++) {
			c = &r->l.clients[r->o.first + (r->placed + i) % count];
			if (load_client_ready(c))
				break;
		}
		if (i == count || load_call_place(r, c, (unsigned)r->placed))
			return;
	}
}

static void refresh_due(struct load_calls *r, uint64_t ran_us)
{
	struct load *l = &r->l;
	struct load_client *c;

	while (l->started < ran_us * r->o.refresh / 1000000u && l->outstanding < l->o.window) {
		c = &l->clients[l->next++ % l->o.clients];
		l->started++;
		if (c->state != LOAD_READY)
			continue;
		l->outstanding++;
		load_client_refresh(c);
	}
}

static void run_pump(struct load_calls *r)
{
	uint64_t ran = load_now_us() - r->phase_us;

	if (!r->closing && r->o.to[0] && !r->waits)
		place_due(r, load_now_us() - r->calls_us);
	refresh_due(r, ran);
	if (r->closing || ran >= r->l.o.seconds * 1000000ull ||
	    (r->o.to[0] && r->placed == r->o.calls && !r->o.refresh))
		calls_phase(r, LOAD_DRAIN);
}

static void drain_pump(struct load_calls *r)
{
	uint64_t most = r->o.hold_ms + LOAD_OVERDUE_MS + 3 * LOAD_CALL_MS;
	unsigned i, n = 0;

	for (i = 0; i < r->n_live; i++)
		n += r->ends[r->live[i]].state != CALL_OVER;
	if (!n || load_now_us() - r->phase_us > most * 1000u)
		calls_phase(r, LOAD_LEAVE);
}

static void leave_pump(struct load_calls *r)
{
	struct load *l = &r->l;
	struct load_client *c;

	while (l->next < l->o.clients && l->outstanding < l->o.window) {
		c = &l->clients[l->next++];
		if (c->state != LOAD_READY)
			continue;
		c->leaving = true;
		l->outstanding++;
		load_client_refresh(c);
	}
	if (l->next == l->o.clients && !l->outstanding)
		loop_stop(l->loop);
}

void load_calls_round(void *arg)
{
	struct load_calls *r = arg;

	switch (r->phase) {
	case LOAD_SETUP:
		setup_pump(r);
		break;
	case LOAD_RUN:
		run_pump(r);
		break;
	case LOAD_DRAIN:
		drain_pump(r);
		break;
	case LOAD_LEAVE:
		leave_pump(r);
		break;
	}
}

void load_calls_tick(struct load_calls *r)
{
	uint64_t now = load_now_us();
	unsigned share = r->l.o.clients / LATE_SHARE + 1, i;

	/* Every client is looked at in a tenth of a second: thousands of them in each tick would cost more than the calls. */
	for (i = 0; i < share; i++)
		load_client_late(&r->l.clients[r->late_next++ % r->l.o.clients], now);
	for (i = r->n_live; i--;)
		if (i < r->n_live)
			load_call_tick(&r->ends[r->live[i]], now);
}

void load_calls_begin(struct load_calls *r)
{
	r->waits = false;
	r->calls_us = load_now_us();
}

void load_calls_hang_up(struct load_calls *r)
{
	unsigned i;

	for (i = 0; i < r->n_live; i++)
		load_call_hang_up(&r->ends[r->live[i]]);
}
