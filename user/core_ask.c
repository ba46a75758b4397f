/* user/core_ask.c -- see core_ask.h. */
#include "user/core_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/wall.h"

struct ask {
	struct core_asks *all;
	core_answer_fn *fn; /* NULL: free */
	void *arg;
	struct link_peer *peer;
	uint32_t id;
	uint64_t asked_ms;
	char *text;
	size_t n;
	struct loop_timer timer;
};

struct core_asks {
	struct loop *loop;
	uint32_t next_id;
	struct ask list[CORE_ASKS_MAX];
};

static void ask_end(struct ask *k, json_t *value, const char *why)
{
	struct core_answer a = {
		.value = value, .why = why, .asked_ms = k->asked_ms, .answered_ms = wall_now_ms()};
	core_answer_fn *fn = k->fn;

	loop_timer_cancel(k->all->loop, &k->timer);
	free(k->text);
	k->text = NULL;
	k->fn = NULL;
	fn(k->arg, &a);
	json_decref(value);
}

static void ask_late(void *arg)
{
	ask_end(arg, NULL, "no answer within 5 s");
}

int core_asks_new(struct loop *l, struct core_asks **out)
{
	struct core_asks *a = calloc(1, sizeof(*a));
	unsigned i;

	if (!a)
		return -ENOMEM;
	a->loop = l;
	for (i = 0; i < CORE_ASKS_MAX; i++) {
		a->list[i].all = a;
		a->list[i].timer = (struct loop_timer){.fn = ask_late, .arg = &a->list[i]};
	}
	*out = a;
	return 0;
}

void core_asks_free(struct core_asks *a)
{
	unsigned i;

	for (i = 0; a && i < CORE_ASKS_MAX; i++) {
		loop_timer_cancel(a->loop, &a->list[i].timer);
		free(a->list[i].text);
	}
	free(a);
}

int core_ask(struct core_asks *a, struct link_peer *p, const char *cmd, const char *arg,
	     core_answer_fn *fn, void *fn_arg)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Ask w = SALLYPORT__ASK__INIT;
	struct ask *k = a->list;
	int err;

	if (!p)
		return -ENOTCONN;
	if (!link_peer_takes(p, LINK_F_ASK)) /* it would drop the link */
		return -EOPNOTSUPP;
	while (k < a->list + CORE_ASKS_MAX && k->fn)
		k++;
	if (k == a->list + CORE_ASKS_MAX)
		return -EBUSY;
	w.id = k->id = ++a->next_id;
	w.cmd = (char *)cmd;
	w.arg = (char *)arg;
	m.m_case = SALLYPORT__LINK__M_ASK;
	m.ask = &w;
	k->asked_ms = wall_now_ms();
	err = link_send(p, &m);
	if (!err)
		err = loop_timer_set(a->loop, &k->timer, CORE_ASK_MS);
	if (err)
		return err;
	k->fn = fn;
	k->arg = fn_arg;
	k->peer = p;
	k->n = 0;
	return 0;
}

void core_ask_forget(struct core_asks *a, const void *fn_arg)
{
	unsigned i;

	for (i = 0; i < CORE_ASKS_MAX; i++) {
		struct ask *k = &a->list[i];

		if (!k->fn || k->arg != fn_arg)
			continue;
		loop_timer_cancel(a->loop, &k->timer);
		free(k->text);
		k->text = NULL;
		k->fn = NULL;
	}
}

static void ask_take(struct ask *k, const Sallyport__Answer *w)
{
	char *text;
	json_error_t e;
	json_t *value;

	if (k->n + w->json.len > CORE_ASK_BYTES) {
		ask_end(k, NULL, "its answer is over 2 MiB");
		return;
	}
	text = realloc(k->text, k->n + w->json.len + 1);
	if (!text) {
		ask_end(k, NULL, "out of memory");
		return;
	}
	k->text = text;
	if (w->json.len)
		memcpy(text + k->n, w->json.data, w->json.len);
	k->n += w->json.len;
	if (w->more)
		return;
	value = json_loadb(text, k->n, JSON_REJECT_DUPLICATES, &e);
	ask_end(k, value, value ? NULL : "its answer is no JSON");
}

bool core_asks_message(struct core_asks *a, struct link_peer *p, const Sallyport__Link *m)
{
	unsigned i;

	if (m->m_case != SALLYPORT__LINK__M_ANSWER)
		return false;
	for (i = 0; i < CORE_ASKS_MAX; i++) {
		struct ask *k = &a->list[i];

		if (k->fn && k->peer == p && k->id == m->answer->id) {
			ask_take(k, m->answer);
			break;
		}
	}
	return true; /* one that came too late is nobody's */
}

void core_asks_down(struct core_asks *a, struct link_peer *p)
{
	unsigned i;

	for (i = 0; i < CORE_ASKS_MAX; i++)
		if (a->list[i].fn && a->list[i].peer == p)
			ask_end(&a->list[i], NULL, "the link went down");
}
