/* user/keeper_store.c -- see keeper_store.h. In: what the service manager passes on; the plan, lodged connections, workers. Out: the plan's
 * list of what is there; pushes and removals to the manager. */
#include "user/keeper_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "user/keeper_carrier.h"
#include "user/keeper_impl.h"
#include "user/log.h"

#define PUSH_MAX 253 /* workers' pidfds a message: the kernel's SCM_MAX_FD */

/* The file "store". */
struct store_head {
	char magic[8];
	uint32_t version, pad;
	char daemon[16];
};
#define STORE_MAGIC "SPSTORE"

/* A lodged descriptor. */
enum { IN_STORE = 1, TO_PUSH = 2 };

struct keeper_store {
	bool on;   /* there is a manager */
	bool kept; /* what was passed on is ours: the file "store" is there */
	char daemon[16];
	char **names;
	size_t names_n; /* bytes of LISTEN_FDNAMES at the next start */
	uint64_t no_room;
	struct lodge_hold *hold;
	uint32_t slots;
	uint8_t (*lodged)[LODGE_ROLES];
	uint64_t push_due_ms; /* 0: nothing is to be pushed */
};

/* ---- words to the manager ---- */

void keeper_store_say(const char *text)
{
	int err = sd_notify(0, text);

	if (err < 0)
		log_event(LOG_L_WARN, "notify-failed", "error=\"%s\"", strerror(-err));
}

static void forget(const char *name)
{
	char text[96];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	keeper_store_say(text);
}

static void refused(const char *name, const char *why)
{
	log_event(LOG_L_WARN, "store-refused", "name=%s reason=\"%s\"", name, why);
	forget(name);
}

/* FDPOLL=0: a socket with an error on it is still a socket of ours. False: not pushed. */
static bool push(struct keeper_store *s, const char *name, const int *fds, unsigned n)
{
	size_t bytes = n * (strlen(name) + 1);
	char text[96];
	int err;

	if (!s->on)
		return false;
	if (s->names_n + bytes > STORE_NAMES_MAX) {
		if (!s->no_room++)
			log_event(LOG_L_WARN, "store-full",
				  "names=%zu limit=%u reason=\"what comes from now on will not "
				  "outlive the keeper\"",
				  s->names_n, STORE_NAMES_MAX);
		return false;
	}
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	err = sd_pid_notify_with_fds(0, 0, text, fds, n);
	if (err < 0) {
		log_event(LOG_L_WARN, "store-failed", "name=%s error=\"%s\"", name, strerror(-err));
		return false;
	}
	s->names_n += bytes;
	return true;
}

/* A range as one: keeper_carrier.h. */
static void push_range(struct keeper_store *s, const char *name, int first, unsigned n)
{
	int fd = s->on ? carrier_pack(first, n) : -1;

	if (fd >= 0)
		push(s, name, &fd, 1);
	else if (s->on)
		log_event(LOG_L_WARN, "store-failed", "name=%s entries=%u error=\"%s\"", name, n,
			  strerror(-fd));
	if (fd >= 0)
		close(fd);
}

/* ---- start ---- */

/* Whose store it is. False with @why: not ours, or of another version. */
static bool head_good(struct keeper_plan *p, char *why, size_t why_n)
{
	int fd = keeper_take(p, "store");
	struct store_head h = {};
	ssize_t n = fd < 0 ? 0 : pread(fd, &h, sizeof(h), 0);

	if (fd >= 0)
		close(fd);
	h.daemon[sizeof(h.daemon) - 1] = 0;
	if (n != (ssize_t)sizeof(h) || memcmp(h.magic, STORE_MAGIC, sizeof(h.magic)))
		snprintf(why, why_n, "not a store of ours");
	else if (h.version != KEEPER_STORE_VERSION)
		snprintf(why, why_n, "of version %u, and this binary knows %u", h.version,
			 KEEPER_STORE_VERSION);
	else if (strcmp(h.daemon, p->store->daemon))
		snprintf(why, why_n, "of another daemon");
	else
		return true;
	return false;
}

static void head_push(struct keeper_store *s)
{
	struct store_head h = {.magic = STORE_MAGIC, .version = KEEPER_STORE_VERSION};
	int fd = memfd_create("sallyport-store", MFD_CLOEXEC);

	forget("store"); /* one that was not ours */
	memcpy(h.daemon, s->daemon, sizeof(h.daemon));
	if (fd >= 0 && write(fd, &h, sizeof(h)) == (ssize_t)sizeof(h))
		push(s, "store", &fd, 1);
	if (fd >= 0)
		close(fd);
}

/* All that is left in the list goes, out of the store as well. */
static unsigned drop_rest(struct keeper_plan *p)
{
	const char *last = "";
	unsigned i, n = 0;

	for (i = 0; i < p->n_stored; i++) {
		struct keeper_stored *x = &p->stored[i];

		if (x->fd < 0)
			continue;
		close(x->fd);
		x->fd = -1;
		n++;
		if (strcmp(x->name, last))
			forget(x->name);
		last = x->name;
	}
	return n;
}

/* Whoever wrote to the state before must be gone. */
static int workers_gone(struct keeper_plan *p)
{
	uint64_t end = keeper_now_ms() + STORE_GONE_MS, now;
	struct pollfd pfd = {.events = POLLIN};
	int err = 0;

	while ((pfd.fd = keeper_take(p, "worker")) >= 0) {
		now = keeper_now_ms();
		if (!err && poll(&pfd, 1, now < end ? (int)(end - now) : 0) != 1)
			err = -EBUSY;
		close(pfd.fd);
	}
	return err;
}

static int list_add(struct keeper_plan *p, const char *name, const int *fds, unsigned n)
{
	struct keeper_stored *grown = realloc(p->stored, (p->n_stored + n) * sizeof(*p->stored));
	unsigned i;

	if (!grown)
		return -ENOMEM;
	p->stored = grown;
	for (i = 0; i < n; i++)
		p->stored[p->n_stored++] = (struct keeper_stored){name, fds[i]};
	return 0;
}

/* What was passed on, ranges out of their carriers. */
static int list_make(struct keeper_plan *p)
{
	int i, n = sd_listen_fds_with_names(1, &p->store->names), err = 0;

	if (n <= 0)
		return n;
	for (i = 0; i < n && !err; i++) {
		int fd = SD_LISTEN_FDS_START + i, *in = &fd, k = 1;

		if (carrier_is(fd)) {
			in = NULL;
			k = carrier_unpack(fd, &in);
			close(fd);
		}
		err = k < 0 ? k : list_add(p, p->store->names[i], in, (unsigned)k);
		if (in != &fd)
			free(in);
	}
	return err;
}

int keeper_store_open(struct keeper_plan *p, const char *daemon, char *why, size_t why_n)
{
	struct keeper_store *s = calloc(1, sizeof(*s));
	char reason[96];
	int err;

	if (!s) {
		snprintf(why, why_n, "store: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	s->on = getenv("NOTIFY_SOCKET") != NULL;
	snprintf(s->daemon, sizeof(s->daemon), "%s", daemon);
	p->store = s;
	p->refused = refused;
	err = list_make(p);
	if (err) {
		snprintf(why, why_n, "store: LISTEN_FDS: %s", strerror(-err));
		return err;
	}
	err = workers_gone(p);
	if (err) {
		snprintf(why, why_n,
			 "store: the worker of an earlier keeper still runs after %d ms",
			 STORE_GONE_MS);
		return err;
	}
	if (!p->n_stored)
		return 0;
	s->kept = head_good(p, reason, sizeof(reason));
	if (!s->kept)
		log_event(LOG_L_WARN, "store-refused", "closed=%u reason=\"%s\"", drop_rest(p),
			  reason);
	return 0;
}

static void lodged_changed(void *arg, uint32_t slot, unsigned role, bool here)
{
	struct keeper_store *s = arg;
	char name[8];

	if (here) {
		s->lodged[slot][role] |= TO_PUSH;
		if (!s->push_due_ms)
			s->push_due_ms = keeper_now_ms() + STORE_LAZY_MS;
		return;
	}
	if (s->lodged[slot][role] & IN_STORE) {
		keeper_lodged_name(slot, role, name);
		forget(name);
		s->names_n -= strlen(name) + 1;
	}
	s->lodged[slot][role] = 0;
}

static bool lodged_adopt(struct keeper_plan *p, struct keeper_stored *x)
{
	struct keeper_store *s = p->store;
	uint32_t slot;
	unsigned role;

	if (!keeper_lodged_parse(x->name, &slot, &role) || slot >= s->slots)
		return false;
	if (lodge_hold_adopt(s->hold, slot, role, x->fd)) {
		s->lodged[slot][role] = IN_STORE;
		s->names_n += strlen(x->name) + 1;
	} else { /* two of one name: the next worker tells by the inode which it is; the next keeper shall not have to */
		lodged_changed(s, slot, role, false);
		lodged_changed(s, slot, role, true);
	}
	x->fd = -1;
	return true;
}

void keeper_store_begin(struct keeper_plan *p)
{
	struct keeper_store *s = p->store;
	unsigned i, n, taken = 0, lodged = 0;
	char name[sizeof(p->fds[0].name)];

	if (!s)
		return;
	for (i = 0; p->lodge_taken && i < p->n_stored; i++)
		lodged += p->stored[i].fd >= 0 && lodged_adopt(p, &p->stored[i]);
	n = drop_rest(p);
	if (!s->kept)
		head_push(s);
	for (i = 0; i < p->n_fds; i++) {
		const struct keeper_fd_entry *e = &p->fds[i];

		if (!e->outlives)
			continue;
		snprintf(name, sizeof(name), "%s", e->name);
		if (e->count)
			keeper_range_name(e->name, name);
		taken += e->taken;
		if (e->taken)
			s->names_n += strlen(name) + 1;
		else if (e->count)
			push_range(s, name, e->fd, e->count);
		else
			push(s, name, &e->fd, 1);
	}
	if (p->n_stored)
		log_event(LOG_L_WARN, "store-taken", "entries=%u connections=%u closed=%u", taken,
			  lodged, n);
	free(p->stored);
	p->stored = NULL;
	p->n_stored = 0;
}

/* ---- lodged connections ---- */

int keeper_store_lodge(struct keeper_plan *p, struct lodge_hold *h)
{
	struct keeper_store *s = p->store;

	if (!s || !s->on || !p->lodge_slots)
		return 0;
	s->lodged = calloc(p->lodge_slots, sizeof(*s->lodged));
	if (!s->lodged)
		return -ENOMEM;
	s->slots = p->lodge_slots;
	s->hold = h;
	lodge_hold_watch(h, lodged_changed, s);
	return 0;
}

static void lodged_push(struct keeper_store *s, uint32_t slot, unsigned role)
{
	int fd = lodge_hold_fd(s->hold, slot, role);
	char name[8];

	keeper_lodged_name(slot, role, name);
	s->lodged[slot][role] = fd >= 0 && push(s, name, &fd, 1) ? IN_STORE : 0;
}

void keeper_store_step(struct keeper_plan *p, uint64_t now_ms, uint64_t *due)
{
	struct keeper_store *s = p->store;
	uint32_t slot;
	unsigned role;

	if (!s || !s->push_due_ms)
		return;
	if (s->push_due_ms <= now_ms) {
		s->push_due_ms = 0;
		for (slot = 0; slot < s->slots; slot++)
			for (role = 0; role < LODGE_ROLES; role++)
				if (s->lodged[slot][role] & TO_PUSH)
					lodged_push(s, slot, role);
		return;
	}
	if (!*due || s->push_due_ms < *due)
		*due = s->push_due_ms;
}

void keeper_store_end(struct keeper_plan *p)
{
	struct keeper_store *s = p->store;
	unsigned i;

	if (!s)
		return;
	for (i = 0; s->names && s->names[i]; i++)
		free(s->names[i]);
	free(s->names);
	free(s->lodged);
	free(s);
	p->store = NULL;
}

void keeper_store_workers(struct keeper_plan *p, const pid_t *pids, unsigned n)
{
	int fds[PUSH_MAX];
	unsigned i, k = 0;

	if (!p->store || !p->store->on)
		return;
	forget("worker");
	for (i = 0; i < n && k < PUSH_MAX; i++) {
		int fd = pids[i] > 0 ? (int)syscall(SYS_pidfd_open, pids[i], 0) : -1;

		if (fd >= 0)
			fds[k++] = fd;
	}
	if (k && sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=worker", fds, k) < 0)
		log_event(LOG_L_WARN, "store-failed", "name=worker error=\"%s\"", strerror(errno));
	while (k)
		close(fds[--k]);
}
