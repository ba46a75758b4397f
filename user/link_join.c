/* user/link_join.c -- a core that has no certificate yet, at the port of the link: its connection is passed on.
 *
 * Only while somebody waits for it (link_edge_joins()); else every connection is a core's at once. In: an accepted socket -> its first bytes
 * are looked at, and stay in it: one ClientHello, whole, that offers LINK_JOIN_ALPN -> to .take. All others, and what is not a whole
 * ClientHello (a joining core's fits into one segment: tools/join_tls.h), go the usual way.
 * What the edge's worker has is the link's key; the CA's, which signs, is in the process that waits. Limits: LINK_PENDING_MAX
 * sockets that have not spoken yet (beyond, the usual way, which has limits of its own), each as long as a core may take for its Hello.
 * Owner: link_edge; a look owns its socket until it goes on. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/link_impl.h"
#include "user/tls_hello.h"

#define LOOK_BYTES 4096

struct link_look {
	struct link_look *prev, *next;
	struct link_edge *edge;
	int fd;
	struct loop_handle poll;
	struct loop_timer timer;
};

/* Forget the record; the socket is the caller's. */
static int look_free(struct link_look *k)
{
	struct link_edge *l = k->edge;
	int fd = k->fd;

	if (k->prev)
		k->prev->next = k->next;
	else
		l->join.looks = k->next;
	if (k->next)
		k->next->prev = k->prev;
	l->join.n--;
	loop_cancel(l->p.loop, &k->poll);
	loop_timer_cancel(l->p.loop, &k->timer);
	free(k);
	return fd;
}

static bool wants_to_join(int fd)
{
	uint8_t buf[LOOK_BYTES];
	struct tls_hello h;
	const char *why;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	return n > 0 && tls_hello_parse(span_of(buf, (size_t)n), &h, &why) == n &&
	       tls_hello_alpn(&h, SPAN(LINK_JOIN_ALPN));
}

static void look_ready(void *arg, int revents)
{
	struct link_look *k = arg;
	struct link_edge *l = k->edge;
	int fd;

	k->poll = (struct loop_handle){};
	fd = look_free(k);
	if (revents < 0)
		close(fd);
	else if (l->join.take && wants_to_join(fd))
		l->join.take(l->join.arg, fd);
	else
		link_accept_core(l, fd);
}

static void look_late(void *arg)
{
	struct link_look *k = arg;

	k->edge->stats.no_hello++;
	close(look_free(k));
}

bool link_join_look(struct link_edge *l, int fd)
{
	struct link_look *k;

	if (!l->join.take || l->join.n == LINK_PENDING_MAX)
		return false;
	k = calloc(1, sizeof(*k));
	if (!k)
		return false;
	*k = (struct link_look){.edge = l, .fd = fd, .next = l->join.looks};
	k->timer = (struct loop_timer){.fn = look_late, .arg = k};
	if (k->next)
		k->next->prev = k;
	l->join.looks = k;
	l->join.n++;
	if (!loop_timer_set(l->p.loop, &k->timer, l->times.hello) &&
	    !loop_poll(l->p.loop, fd, POLLIN, false, look_ready, k, &k->poll))
		return true;
	look_free(k);
	return false;
}

void link_edge_joins(struct link_edge *l, void (*take)(void *arg, int fd), void *arg)
{
	l->join.take = take;
	l->join.arg = arg;
}

void link_join_free_all(struct link_edge *l)
{
	while (l->join.looks)
		close(look_free(l->join.looks));
}
