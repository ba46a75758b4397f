/* user/handover.c -- see handover.h. In: words of the keeper and of sallyctl. Out: an orderly end, the next worker's
 * beginning. */
#include "user/handover.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/log.h"

#define LOOK_MS 10

int handover_wait(struct handover *h, const char *objection, char *why, size_t why_n)
{
	int err = lodge_open(&h->lodge, why, why_n);

	if (err)
		return err;
	err = conn_relays_new(h->loop, &h->relays);
	if (err) {
		snprintf(why, why_n, "relays: %s", strerror(-err));
		return err;
	}
	if (objection)
		log_event(LOG_L_WARN, "take-over-refused", "reason=\"%s\"", objection);
	err = lodge_wait_go(h->lodge, objection);
	if (err)
		snprintf(why, why_n, "lodge: waiting for the keeper's GO: %s", strerror(-err));
	loop_now_again(h->loop);
	return err;
}

/* ---- giving way ---- */

static int ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Every descriptor but the relays', the loop's and those that log and life hang on. False: none was closed. */
static bool others_close(const struct handover *h, int life)
{
	size_t n = 2 * (size_t)conn_relays_stats(h->relays).now, i;
	int *keep = malloc((n + 3) * sizeof(*keep)), from = STDERR_FILENO + 1;

	if (!keep)
		return false;
	conn_relays_fds(h->relays, keep);
	keep[n++] = loop_fd(h->loop);
	keep[n++] = life;
	keep[n++] = INT_MAX;
	qsort(keep, n, sizeof(*keep), ascending);
	for (i = 0; i < n; i++) {
		if (keep[i] > from && close_range((unsigned)from, (unsigned)keep[i] - 1, 0)) {
			log_event(LOG_L_ERROR, "relays", "error=\"close_range: %s\"",
				  strerror(errno));
			_exit(1); /* half of them would hold what others wait to see closed */
		}
		from = keep[i] < INT_MAX ? keep[i] + 1 : INT_MAX;
	}
	free(keep);
	return true;
}

static _Noreturn void relays_over(void *arg)
{
	struct conn_relays_stats s = conn_relays_stats(((struct handover *)arg)->relays);

	log_event(LOG_L_INFO, "relays-over", "pid=%d clean=%llu cut=%llu late=%llu", (int)getpid(),
		  (unsigned long long)s.clean, (unsigned long long)s.cut,
		  (unsigned long long)s.late);
	_exit(0);
}

static void gone(void *arg)
{
	struct handover *h = arg;
	unsigned n = conn_relays_stats(h->relays).now;
	int life = keeper_fd("life");

	if (!n)
		_exit(0);
	conn_relays_run(h->relays, CONN_RELAY_MS, relays_over, h);
	if (life < 0 || !others_close(h, life)) {
		log_event(LOG_L_ERROR, "relays", "cut=%u reason=\"%s\"", n,
			  life < 0 ? "a keeper of an earlier version" : strerror(ENOMEM));
		_exit(1);
	}
	log_event(LOG_L_INFO, "relays", "pid=%d connections=%u seconds=%u", (int)getpid(), n,
		  CONN_RELAY_MS / 1000);
}

static void all_over(void *arg)
{
	struct handover *h = arg;

	if (h->last)
		h->last(h->arg);
	log_event(LOG_L_INFO, "handed-over", "pid=%d", (int)getpid());
	lodge_done(h->lodge, gone, h);
}

static void look(void *arg)
{
	struct handover *h = arg;

	if (h->busy && loop_now_ms(h->loop) < h->busy_until_ms && h->busy(h->arg) &&
	    !loop_timer_set(h->loop, &h->look, LOOK_MS))
		return;
	loop_drain(h->loop, true, all_over, h);
}

static void hand_over(void *arg)
{
	struct handover *h = arg;

	log_event(LOG_L_INFO, "handover", "pid=%d", (int)getpid());
	h->look = (struct loop_timer){.fn = look, .arg = h};
	h->busy_until_ms = loop_now_ms(h->loop) + HANDOVER_BUSY_MS;
	loop_drain(h->loop, false, look, h);
}

int handover_take(struct handover *h, char *why, size_t why_n)
{
	int err = h->taken ? 0 : lodge_take(h->lodge, h->take, h->arg);

	h->taken = true;
	if (err)
		snprintf(why, why_n, "lodge: taking over: %s", strerror(-err));
	return err;
}

int handover_attach(struct handover *h, char *why, size_t why_n)
{
	int err = handover_take(h, why, why_n);

	if (err)
		return err;
	lodge_on_handover(h->lodge, hand_over, h);
	err = lodge_attach(h->lodge, h->loop);
	if (err)
		snprintf(why, why_n, "lodge: %s", strerror(-err));
	return err;
}

void handover_free(struct handover *h)
{
	conn_relays_free(h->relays);
	h->relays = NULL;
	lodge_close(h->lodge);
	h->lodge = NULL;
}

/* ---- sallyctl upgrade ---- */

static void upgraded(void *arg, const char *refused, const char *version, int pid)
{
	struct handover *h = arg;
	json_t *res;

	if (refused)
		res = json_pack("{s:s+}", "error", "upgrade refused: ", refused);
	else
		res = json_pack("{s:s,s:i,s:i}", "version", version, "pid", pid, "pid_before",
				(int)getpid());
	if (!res) /* not text: the next binary's words come from outside */
		res = json_pack("{s:s}", "error", "the keeper's answer is no text: see the log");
	admin_answer(h->admin, h->ticket, res);
}

json_t *handover_upgrade(struct handover *h)
{
	int err = lodge_upgrade(h->lodge, upgraded, h);

	if (err == -EBUSY)
		return json_pack("{s:s}", "error", "upgrade refused: another one is going on");
	if (err)
		return json_pack("{s:s+}", "error",
				 "upgrade: the keeper does not hear: ", strerror(-err));
	h->ticket = admin_later(h->admin);
	return NULL;
}
