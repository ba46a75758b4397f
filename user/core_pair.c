/* user/core_pair.c -- see core_pair.h. */
#include "user/core_pair.h"

#include <errno.h>

ssize_t core_pair_from_link(struct core_pair *p, struct conn_mover *m)
{
	size_t room;
	ssize_t n;

	for (;;) {
		room = conn_room(p->in);
		if (room < CONN_MOVE_ROOM_MIN) {
			p->link_paused = true;
			conn_pause(p->link, true);
			return 1;
		}
		n = link_data_read(p->data, m->buf, room < sizeof(m->buf) ? room : sizeof(m->buf));
		if (n <= 0)
			return n == -EAGAIN ? 1 : n;
		p->from_link += (uint64_t)n;
		if (conn_write(p->in, span_of(m->buf, (size_t)n)))
			return 1; /* over: its own down() follows */
	}
}

ssize_t core_pair_to_link(struct core_pair *p, struct conn_mover *m)
{
	struct conn_pipe none = {.in = -1, .out = -1};
	struct conn_way w = {.src = p->in,
			     .dst = p->link,
			     .paused = &p->in_paused,
			     .count = &p->to_link,
			     .pipe = &none, /* what is moved by copy needs none */
			     .bulk = &p->bulk};

	return conn_move(m, &w);
}

void core_pair_drained(struct core_pair *p)
{
	if (p->link_paused && conn_room(p->in) >= CONN_MOVE_ROOM_MIN) {
		p->link_paused = false;
		conn_pause(p->link, false);
	}
	if (p->in_paused && conn_room(p->link) >= CONN_MOVE_ROOM_MIN) {
		p->in_paused = false;
		conn_pause(p->in, false);
	}
}
