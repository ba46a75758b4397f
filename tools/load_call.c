/* tools/load_call.c -- one end of a call: from INVITE to the end of what is repeated. See load_calls.h.
 *
 * In: place, an INVITE, messages of its dialog, ticks of 10 ms, the loss and the return of its client's connection. Out: messages through
 * the client, media started and ended, counts of the run. A failure is counted once, under its reason; an end that has a dialog still
 * hangs up. After a loss of the connection a BYE that waits for its answer is sent again on the new one, as a new request. */
#include "tools/load_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUIET_MS 100 /* between our last packet and our BYE, which takes another way */

static void call_fail(struct load_call *k, const char *reason)
{
	if (k->failed)
		return;
	k->failed = true;
	if (k->caller)
		k->run->failed++;
	else
		k->run->taken_failed++;
	load_calls_reason(k->run, reason);
}

static void call_deadline(struct load_call *k, unsigned ms)
{
	k->deadline_us = load_now_us() + ms * 1000ull;
}

static void call_quiet(struct load_call *k)
{
	k->repeat_ms = 0;
}

static void call_over(struct load_call *k)
{
	if (k->state == CALL_OVER)
		return;
	if (k->caller)
		k->run->n_calling--;
	if (k->media_on)
		load_end_count(&k->media, k->peer_sent);
	load_end_close(&k->media);
	call_quiet(k);
	k->state = CALL_OVER;
	call_deadline(k, LOAD_LINGER_MS);
}

/* Send; keep the text to repeat it when @repeat. A client without a connection sends when it is back. */
static void call_send(struct load_call *k, const char *text, ssize_t n, bool repeat)
{
	if (n < 0) {
		call_fail(k, "message too long");
		call_over(k);
		return;
	}
	if (repeat) {
		free(k->text);
		k->text = malloc((size_t)n);
		k->text_n = k->text ? (size_t)n : 0;
		if (k->text)
			memcpy(k->text, text, (size_t)n);
		k->repeat_ms = LOAD_T1_MS;
		k->repeat_us = load_now_us() + LOAD_T1_MS * 1000u;
	}
	load_client_send(k->c, span_of(text, (size_t)n));
}

static void call_bye(struct load_call *k)
{
	char text[LOAD_TEXT];

	load_end_stop(&k->media);
	if (k->state != CALL_BYE)
		call_deadline(k, LOAD_CALL_MS);
	k->state = CALL_BYE;
	k->cseq++;
	if (!load_client_ready(k->c)) {
		call_quiet(k);
		return;
	}
	k->run->bye_sent++;
	call_send(k, text, load_call_in_dialog(k, "BYE", k->cseq, text, sizeof(text)),
		  k->run->l.o.udp);
}

static void call_ack(struct load_call *k)
{
	char text[LOAD_TEXT];

	call_send(k, text, load_call_in_dialog(k, "ACK", k->invite_cseq, text, sizeof(text)),
		  false);
}

static void call_media(struct load_call *k)
{
	k->state = CALL_UP;
	k->media_on = true;
	load_end_start(&k->media, k->hold_ms / LOAD_WHEEL);
	call_deadline(k, k->hold_ms + LOAD_GUARD_MS + LOAD_OVERDUE_MS);
}

/* ---- caller -------------------------------------------------------------------------------------------------------------- */

static int call_open(struct load_call *k)
{
	struct load_calls *r = k->run;
	struct load_tag hears = {.call = k->id, .dir = k->caller};

	k->secure = !r->l.o.udp;
	k->suite = r->o.suite < 0 ? (enum srtp_suite)(k->id % SRTP_SUITES)
				  : (enum srtp_suite)r->o.suite;
	if (getrandom(k->key, sizeof(k->key), 0) != sizeof(k->key))
		return -EIO;
	return load_end_open(&r->mill, &k->media, load_client_local(k->c), &hears, &k->port);
}

static int call_keys(struct load_call *k, const uint8_t theirs[SRTP_KEY_MAX])
{
	size_t n = srtp_suite_key_len(k->suite);

	if (!k->secure) {
		k->run->plain++;
		return 0;
	}
	k->run->suites[k->suite]++;
	return load_end_keys(&k->media, k->suite, span_of(theirs, n), span_of(k->key, n));
}

static void call_invite(struct load_call *k)
{
	char text[LOAD_TEXT];

	k->tries++;
	k->invite_cseq = ++k->cseq;
	call_send(k, text, load_call_invite(k, text, sizeof(text)), k->run->l.o.udp);
}

int load_call_place(struct load_calls *r, struct load_client *c, unsigned number)
{
	struct load_call *k = load_call_new(r, c, true);
	char tag[40], text[200];

	if (!k)
		return -ENOBUFS;
	k->id = (uint64_t)r->l.run_id << 32 | number;
	k->hold_ms = r->o.hold_ms;
	k->hang_up = r->o.by_caller && (!r->o.by_callee || number % 2 == 0);
	k->mux = !r->l.o.udp;
	k->crypto_tag = 1;
	snprintf(k->to_user, sizeof(k->to_user), "%s%u", r->o.to,
		 r->o.to_first + number % r->o.to_count);
	snprintf(k->call_id, sizeof(k->call_id), "%016llx@load", (unsigned long long)k->id);
	load_call_tag(k, tag);
	snprintf(text, sizeof(text), "<sip:%s%u@%.120s>;tag=%s", r->l.o.prefix, c->index,
		 r->l.o.domain, tag);
	k->local = strdup(text);
	if (!k->local || call_open(k)) {
		load_call_free(k);
		return -ENOMEM;
	}
	r->placed++;
	r->n_calling++;
	k->begun_us = load_now_us();
	call_deadline(k, LOAD_CALL_MS);
	call_invite(k);
	return 0;
}

static void call_answered(struct load_call *k, const struct sip_msg *m)
{
	uint8_t theirs[SRTP_KEY_MAX] = {};
	bool late = k->state != CALL_INVITING;

	call_quiet(k);
	if (load_call_dialog(k, m)) {
		call_fail(k, "answer makes no dialog");
		call_over(k);
		return;
	}
	call_ack(k);
	if (late || load_call_sdp_read(k, m->body, theirs) || call_keys(k, theirs)) {
		call_fail(k, "answer's session description");
		call_bye(k);
		return;
	}
	k->run->answered++;
	k->run->answer.ok++;
	load_latency(&k->run->answer, load_now_us() - k->begun_us);
	call_media(k);
}

static void call_refused(struct load_call *k, const struct sip_msg *m)
{
	char text[LOAD_TEXT], reason[48];

	call_send(k, text, load_call_ack_failed(k, m, text, sizeof(text)), false);
	call_quiet(k);
	if (k->state == CALL_INVITING && m->status == 407 && k->tries < 3 &&
	    !load_challenge(k->c, m)) {
		call_invite(k);
		return;
	}
	if (k->state == CALL_INVITING) {
		snprintf(reason, sizeof(reason), "INVITE %u", m->status);
		call_fail(k, reason);
	}
	call_over(k);
}

static void call_bye_answer(struct load_call *k, const struct sip_msg *m)
{
	char reason[48];

	if (k->state != CALL_BYE || m->cseq != k->cseq || m->status < 200)
		return;
	if (m->status < 300) {
		k->run->bye_answered++;
		k->peer_sent = load_call_sent(m);
	} else {
		snprintf(reason, sizeof(reason), "BYE %u", m->status);
		call_fail(k, reason);
	}
	call_over(k);
}

void load_call_response(struct load_call *k, const struct sip_msg *m)
{
	if (m->method == SIP_M_BYE) {
		call_bye_answer(k, m);
		return;
	}
	if (m->method != SIP_M_INVITE || !k->caller || m->cseq != k->invite_cseq)
		return;
	if (m->status < 200)
		call_quiet(k);
	else if (m->status >= 300)
		call_refused(k, m);
	else if (k->target)
		call_ack(k); /* the 2xx again */
	else
		call_answered(k, m);
}

/* ---- callee -------------------------------------------------------------------------------------------------------------- */

static void refuse(struct load_client *c, const struct sip_msg *m, unsigned status,
		   const char *reason)
{
	char text[LOAD_TEXT];
	ssize_t n = load_call_reply(NULL, m, status, reason, false, text, sizeof(text));

	if (n > 0)
		load_client_send(c, span_of(text, (size_t)n));
}

static int call_take(struct load_call *k, const struct sip_msg *m)
{
	const struct sip_header *to = sip_header_find(m, SIP_H_TO, 0, NULL);
	uint8_t theirs[SRTP_KEY_MAX] = {};
	char tag[40], text[200];
	int err;

	if (span_copy(m->call_id, k->call_id, sizeof(k->call_id)) < 0 || !to || to->value.n > 140)
		return -EBADMSG;
	load_call_tag(k, tag);
	snprintf(text, sizeof(text), "%.*s;tag=%s", (int)to->value.n, (const char *)to->value.p,
		 tag);
	k->local = strdup(text);
	if (!k->local)
		return -ENOMEM;
	err = load_call_dialog(k, m);
	if (!err)
		err = call_open(k);
	if (!err)
		err = load_call_sdp_read(k, m->body, theirs);
	return err ? err : call_keys(k, theirs);
}

static struct load_call *call_again(struct load_calls *r, const struct load_client *c, uint64_t id)
{
	unsigned i;

	for (i = 0; i < r->n_live; i++) {
		struct load_call *k = &r->ends[r->live[i]];

		if (k->id == id && !k->caller && k->c == c)
			return k;
	}
	return NULL;
}

void load_call_invited(struct load_calls *r, struct load_client *c, const struct sip_msg *m)
{
	struct load_call *k;
	char text[LOAD_TEXT];
	uint32_t hold;
	bool by_caller;
	uint64_t id;

	if (load_call_header(m, &id, &hold, &by_caller)) {
		r->refused++;
		refuse(c, m, 403, "X-Load wanted");
		return;
	}
	k = call_again(r, c, id);
	if (k) {
		if (k->state == CALL_ANSWERED && k->text)
			load_client_send(c, span_of(k->text, k->text_n));
		return;
	}
	k = load_call_new(r, c, false);
	if (!k) {
		r->refused++;
		refuse(c, m, 486, "Busy Here");
		return;
	}
	r->taken++;
	k->id = id;
	k->hold_ms = hold;
	k->hang_up = !by_caller;
	if (call_take(k, m)) {
		call_fail(k, "offer");
		refuse(c, m, 488, "Not Acceptable Here");
		load_call_free(k);
		return;
	}
	k->state = CALL_ANSWERED;
	call_deadline(k, LOAD_CALL_MS);
	call_send(k, text, load_call_reply(k, m, 200, "OK", true, text, sizeof(text)), true);
}

static void call_reply(struct load_call *k, const struct sip_msg *m, unsigned status,
		       const char *reason)
{
	char text[LOAD_TEXT];

	call_send(k, text, load_call_reply(k, m, status, reason, false, text, sizeof(text)), false);
}

static void call_byed(struct load_call *k, const struct sip_msg *m)
{
	call_reply(k, m, 200, "OK");
	if (k->state == CALL_OVER)
		return;
	k->run->bye_received++;
	k->peer_sent = load_call_sent(m);
	if (!k->media_on)
		call_fail(k, "BYE before the call was up");
	else if (k->media.sent < k->media.to_send)
		k->run->cut_short++;
	call_over(k);
}

void load_call_request(struct load_call *k, const struct sip_msg *m)
{
	switch (m->method) {
	case SIP_M_ACK:
		if (k->state == CALL_ANSWERED) {
			call_quiet(k);
			call_media(k);
		}
		break;
	case SIP_M_BYE:
		call_byed(k, m);
		break;
	case SIP_M_INVITE:
		call_reply(k, m, 488, "Not Acceptable Here");
		break;
	default: /* CANCEL: its INVITE was answered at once */
		call_reply(k, m, 200, "OK");
	}
}

/* ---- time and connections ------------------------------------------------------------------------------------------------ */

void load_call_hang_up(struct load_call *k)
{
	if (k->state != CALL_UP || !k->hang_up)
		return;
	if (k->media.sent < k->media.to_send)
		k->run->cut_short++;
	call_bye(k);
}

static void call_late(struct load_call *k)
{
	char text[LOAD_TEXT];

	switch (k->state) {
	case CALL_INVITING:
		call_fail(k, "no answer to INVITE");
		k->state = CALL_CANCELLED;
		call_deadline(k, LOAD_CALL_MS);
		call_quiet(k);
		call_send(k, text, load_call_cancel(k, text, sizeof(text)), false);
		break;
	case CALL_ANSWERED:
		call_fail(k, "no ACK");
		call_bye(k);
		break;
	case CALL_UP:
		call_fail(k, "not hung up in time");
		call_bye(k);
		break;
	case CALL_BYE:
		call_fail(k, "no answer to BYE");
		call_over(k);
		break;
	case CALL_CANCELLED:
		call_over(k);
		break;
	default:
		load_call_free(k);
	}
}

static void call_watch_media(struct load_call *k, uint64_t now_us)
{
	uint64_t quiet;

	if (!k->hang_up || k->media.sent < k->media.to_send)
		return;
	if (!k->quiet_us)
		k->quiet_us = now_us;
	quiet = now_us - k->quiet_us;
	if (quiet > LOAD_GUARD_MS * 1000u ||
	    (quiet > QUIET_MS * 1000u && load_end_complete(&k->media)))
		call_bye(k);
}

void load_call_tick(struct load_call *k, uint64_t now_us)
{
	if (k->repeat_ms && now_us >= k->repeat_us) {
		k->repeat_ms = k->repeat_ms < 2000 ? k->repeat_ms * 2 : 4000;
		k->repeat_us = now_us + k->repeat_ms * 1000u;
		load_client_send(k->c, span_of(k->text, k->text_n));
	}
	if (k->state == CALL_UP)
		call_watch_media(k, now_us);
	if (now_us >= k->deadline_us)
		call_late(k);
}

void load_call_lost(struct load_call *k)
{
	bool back = k->run->l.o.reconnect;

	if (k->state == CALL_OVER || k->state == CALL_CANCELLED ||
	    (back && k->state != CALL_INVITING))
		return;
	call_fail(k, "connection lost");
	call_over(k);
}

void load_call_back(struct load_call *k)
{
	if (k->state == CALL_BYE)
		call_bye(k);
}
