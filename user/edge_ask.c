/* user/edge_ask.c -- see edge_ask.h. */
#include "user/edge_ask.h"

#include <stdlib.h>
#include <string.h>

#include "user/log.h"
#include "user/wall.h"

static json_t *answer_to(struct edge *e, const Sallyport__Ask *k)
{
	static const struct {
		const char *name;
		json_t *(*fn)(struct edge *e, const char *arg);
	} commands[] = {{"trace", edge_trace_ask}};
	size_t i;

	if (strlen(k->arg) > EDGE_ASK_ARG)
		return json_pack("{s:s}", "error", "argument too long");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, k->cmd))
			return commands[i].fn(e, k->arg);
	return json_pack("{s:s}", "error", "unknown command");
}

static int part_send(struct link_peer *p, uint32_t id, const char *text, size_t n, bool more)
{
	Sallyport__Link m = SALLYPORT__LINK__INIT;
	Sallyport__Answer a = SALLYPORT__ANSWER__INIT;

	a.id = id;
	a.json = (ProtobufCBinaryData){n, (uint8_t *)text};
	a.more = more;
	m.m_case = SALLYPORT__LINK__M_ANSWER;
	m.answer = &a;
	return link_send(p, &m);
}

bool edge_ask_message(struct edge *e, struct link_peer *p, const Sallyport__Link *m)
{
	uint64_t got_ms = wall_now_ms();
	size_t n, at = 0, part;
	json_t *j;
	char *text;
	int err = 0;

	if (m->m_case != SALLYPORT__LINK__M_ASK)
		return false;
	j = answer_to(e, m->ask);
	if (json_is_object(j)) { /* the core reckons our clock by both */
		json_object_set_new(j, "got_ms", json_integer((json_int_t)got_ms));
		json_object_set_new(j, "now_ms", json_integer((json_int_t)wall_now_ms()));
	}
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	n = text ? strlen(text) : 0;
	do {
		part = n - at < EDGE_ANSWER_BYTES ? n - at : EDGE_ANSWER_BYTES;
		err = part_send(p, m->ask->id, text ? text + at : "", part, at + part < n);
		at += part;
	} while (!err && at < n);
	free(text);
	if (err)
		log_event(LOG_L_WARN, "answer", "core=%s error=\"%s\"", link_peer_name(p),
			  strerror(-err));
	return true;
}
