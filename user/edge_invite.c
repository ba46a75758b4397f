/* user/edge_invite.c -- `sallyctl invite` waits at our port for a core that has no certificate yet.
 *
 * Data flow: admin command "invite", by root -> its connection stays, one at a time -> connections of the link's port that offer to join
 * (user/link_join.h) go there as descriptors, one byte and SCM_RIGHTS each -> who waits does the handshake with keys that this process
 * does not have. Over when that connection ends, by whichever side, and when the next worker takes over (it is asked anew then).
 * Owner: struct edge. A connection that cannot be passed on is closed. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/edge_impl.h"
#include "user/log.h"

void edge_invite_end(struct edge *e, const char *why)
{
	if (!e->invite.waiting)
		return;
	link_edge_joins(e->link, NULL, NULL);
	loop_cancel(e->loop, &e->invite.poll);
	close(e->invite.fd);
	e->invite = (struct edge_invite){};
	log_event(LOG_L_INFO, "invite-end", "reason=\"%s\"", why);
}

static int pass_on(int to, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	char byte = 'J';
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static void joining(void *arg, int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	struct edge *e = arg;
	struct addr peer = {};
	char text[ADDR_TEXT_MAX];
	int err;

	if (!getpeername(fd, (struct sockaddr *)&ss, &n))
		addr_from_sockaddr((struct sockaddr *)&ss, &peer);
	err = pass_on(e->invite.fd, fd);
	log_event(err ? LOG_L_WARN : LOG_L_INFO, "join-passed-on", "peer=%s error=%s",
		  addr_text(&peer, text), err ? strerrorname_np(-err) : "");
	close(fd);
}

/* It never speaks again: whatever there is, is the end. */
static void waiting_ended(void *arg, int revents)
{
	struct edge *e = arg;

	(void)revents;
	e->invite.poll = (struct loop_handle){};
	edge_invite_end(e, "nobody waits any more");
}

static bool is_root(int fd)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t n = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) && who.uid == 0;
}

json_t *edge_invite(void *arg, const json_t *req)
{
	static const char yes[] = "{\"waiting\":true}\n",
			  root[] = "{\"error\":\"only root may invite\"}\n";
	struct edge *e = arg;
	int fd;

	(void)req;
	if (e->invite.waiting)
		return json_pack(
			"{s:s}", "error",
			"an invitation is waiting already; one that waits serves all tokens");
	fd = admin_take(e->admin);
	if (!is_root(fd)) {
		send(fd, root, sizeof(root) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return NULL;
	}
	if (send(fd, yes, sizeof(yes) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(yes) - 1 ||
	    loop_poll(e->loop, fd, POLLIN, false, waiting_ended, e, &e->invite.poll)) {
		close(fd);
		return NULL;
	}
	e->invite.waiting = true;
	e->invite.fd = fd;
	link_edge_joins(e->link, joining, e);
	log_event(LOG_L_INFO, "invite", "waiting=1");
	return NULL;
}
