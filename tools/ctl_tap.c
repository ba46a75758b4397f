/* tools/ctl_tap.c -- packets of a capture's legs that the edge's XDP relay carries past the stack. See ctl_capture.h; FLOW_TAP in bpf/abi.h.
 *
 * In: the edge's word that a flow is tapped ("tap FLOW SECONDS", a lease that ends by itself), and the pinned ring buffer that its relay
 * copies packets to. Out: frames with the leg by which they came or left. One capture at a time has the ring: a lock on its directory, taken
 * before anything is tapped, which goes with this process, in whatever way it ends. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "tools/ctl.h"
#include "tools/ctl_capture.h"

#define PATH_LEN 200

struct tap {
	struct capture *c;
	const char *socket;
	int lock, ring_fd, lost_fd;
	struct ring_buffer *ring;
	bool stale; /* what an earlier capture has left is thrown away */
	uint64_t lost_before;
	uint64_t realtime; /* of CLOCK_MONOTONIC's zero */
};

static int __attribute__((format(printf, 2, 0)))
silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

/* "tap FLOW SECONDS"; with @paths (ring, lost; PATH_LEN bytes each) only "tap FLOW": where they are. False with @why. */
static bool tap_ask(const struct tap *t, uint64_t flow, unsigned seconds, char (*paths)[PATH_LEN],
		    char *why, size_t why_n)
{
	static const char *const keys[] = {"ring", "lost"};
	char arg[48];
	json_t *a;
	const char *path;
	unsigned i;

	if (paths)
		snprintf(arg, sizeof(arg), "%llx", (unsigned long long)flow);
	else
		snprintf(arg, sizeof(arg), "%llx %u", (unsigned long long)flow, seconds);
	a = ctl_ask(t->socket, "tap", arg, CTL_ASK_S);
	if (!a)
		snprintf(why, why_n, "%s: %s", t->socket, strerror(errno));
	else if (json_object_get(a, "error"))
		snprintf(why, why_n, "%s", ctl_cell(json_object_get(a, "error")));
	for (i = 0; i < 2 && paths && a; i++) {
		path = json_string_value(json_object_get(a, keys[i]));
		snprintf(paths[i], PATH_LEN, "%s", path ? path : "");
	}
	path = json_string_value(json_object_get(a, "ring"));
	json_decref(a);
	return path != NULL;
}

/* Each flow once. @seconds 0: no more. */
static bool flows_tap(const struct tap *t, unsigned seconds, char *why, size_t why_n)
{
	const struct capture *c = t->c;
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (c->legs[i].xdp && !c->legs[i].inside &&
		    !tap_ask(t, c->legs[i].flow, seconds, NULL, why, why_n) && seconds)
			return false;
	return true;
}

static int packet_come(void *arg, void *data, size_t size)
{
	struct tap *t = arg;
	struct capture *c = t->c;
	const struct tap_packet *p = data;
	unsigned i;

	for (i = 0; !t->stale && size >= sizeof(*p) && i < c->n; i++) {
		if (!c->legs[i].xdp || c->legs[i].flow != p->flow ||
		    c->legs[i].inside != (p->inside != 0))
			continue;
		capture_take(c, i, t->realtime + p->at_ns, p->out, p->data,
			     p->kept < TAP_SNAP ? p->kept : TAP_SNAP, p->len);
		break;
	}
	return 0;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t lost_now(const struct tap *t)
{
	uint32_t zero = 0;
	uint64_t v = 0;

	return bpf_map_lookup_elem(t->lost_fd, &zero, &v) ? 0 : v;
}

/* The ring is ours from here on, and empty. 0 or negative errno. */
static int ring_take(struct tap *t, char (*paths)[PATH_LEN])
{
	char dir[PATH_LEN];
	char *slash;

	snprintf(dir, sizeof(dir), "%.*s", PATH_LEN - 1, paths[0]);
	slash = strrchr(dir, '/');
	if (!slash)
		return -EPROTO;
	*slash = 0;
	t->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->lock < 0 || flock(t->lock, LOCK_EX | LOCK_NB))
		return -errno;
	t->ring_fd = bpf_obj_get(paths[0]);
	if (t->ring_fd < 0)
		return t->ring_fd;
	t->lost_fd = bpf_obj_get(paths[1]);
	if (t->lost_fd < 0)
		return t->lost_fd;
	t->ring = ring_buffer__new(t->ring_fd, packet_come, t, NULL);
	if (!t->ring)
		return -errno;
	t->stale = true;
	ring_buffer__consume(t->ring);
	t->stale = false;
	t->lost_before = lost_now(t);
	return 0;
}

static uint64_t any_flow(const struct capture *c)
{
	unsigned i = 0;

	while (i + 1 < c->n && !c->legs[i].xdp)
		i++;
	return c->legs[i].flow;
}

int tap_open(struct capture *c, const char *socket, unsigned seconds, struct tap **out, char *why,
	     size_t why_n)
{
	struct tap *t = calloc(1, sizeof(*t));
	char paths[2][PATH_LEN];
	int r;

	if (!t)
		return -ENOMEM;
	libbpf_set_print(silent);
	*t = (struct tap){.c = c, .socket = socket, .lock = -1, .ring_fd = -1, .lost_fd = -1};
	t->realtime = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC);
	r = tap_ask(t, any_flow(c), 0, paths, why, why_n) ? ring_take(t, paths) : -EPROTO;
	if (r && r != -EPROTO)
		snprintf(why, why_n, "%s: %s", paths[0],
			 r == -EWOULDBLOCK	       ? "another capture is running here"
			 : r == -EPERM || r == -EACCES ? "capture needs root"
						       : strerror(-r));
	if (!r && !flows_tap(t, seconds, why, why_n))
		r = -EPROTO;
	if (r) {
		tap_close(t);
		return r;
	}
	*out = t;
	return ring_buffer__epoll_fd(t->ring);
}

void tap_read(struct tap *t)
{
	ring_buffer__consume(t->ring);
}

void tap_close(struct tap *t)
{
	char why[160];

	if (!t)
		return;
	if (t->ring) {
		flows_tap(t, 0, why, sizeof(why)); /* a flow that is over has no tap any more */
		t->c->lost += lost_now(t) - t->lost_before;
	}
	ring_buffer__free(t->ring);
	if (t->ring_fd >= 0)
		close(t->ring_fd);
	if (t->lost_fd >= 0)
		close(t->lost_fd);
	if (t->lock >= 0)
		close(t->lock);
	free(t);
}
