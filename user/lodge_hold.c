/* user/lodge_hold.c -- see lodge_hold.h. In: a worker's messages and descriptors. Out: the same descriptors to the next
 * worker. */
#include "user/lodge_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/keeper_store.h"
#include "user/log.h"

#define READ_MAX   256 /* messages at once; the keeper has others to hear */
#define FILES_ELSE 256
#define SEALS	   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct lodge_hold {
	uint32_t slots, high;
	int (*fds)[LODGE_ROLES]; /* descriptor + 1; pages of slots never used take no memory */
	struct lodge_hold_stats stats;
	lodge_changed_fn *changed;
	void *changed_arg;
};

/* ---- set-up ---- */

/* For what the plan holds, what may be lodged, and channels, pipes and files on top. */
static void files_raise(const struct keeper_plan *p, uint32_t slots)
{
	rlim_t need = (rlim_t)slots * LODGE_ROLES + FILES_ELSE;
	struct rlimit have, want;
	unsigned i;

	for (i = 0; i < p->n_fds; i++)
		need += p->fds[i].count ? p->fds[i].count : 1;
	if (getrlimit(RLIMIT_NOFILE, &have) || have.rlim_cur >= need)
		return;
	want.rlim_cur = need;
	want.rlim_max = have.rlim_max < need ? need : have.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return;
	log_event(LOG_L_WARN, "nofile",
		  "wanted=%llu got=%llu reason=\"for %u lodged connections: raise the limit of "
		  "open files (LimitNOFILE=)\"",
		  (unsigned long long)need, (unsigned long long)have.rlim_max, slots);
	have.rlim_cur = have.rlim_max;
	setrlimit(RLIMIT_NOFILE, &have);
}

/* The part of the head that is ours. */
static struct lodge_head head_of(uint32_t slots)
{
	return (struct lodge_head){.magic = LODGE_MAGIC,
				   .version = LODGE_VERSION,
				   .payload = LODGE_PAYLOAD,
				   .slots = slots};
}

static int head_write(int fd, uint32_t slots)
{
	const struct lodge_head h = head_of(slots);
	ssize_t n = offsetof(struct lodge_head, deaths);

	return pwrite(fd, &h, (size_t)n, 0) == n ? 0 : -errno;
}

void lodge_head_again(const struct keeper_plan *p)
{
	unsigned i;

	for (i = 0; i < p->n_fds; i++)
		if (!strcmp(p->fds[i].name, "lodge.state") &&
		    head_write(p->fds[i].fd, p->lodge_slots))
			log_event(LOG_L_ERROR, "lodge", "error=\"%s\"", strerror(errno));
}

/* The file of an earlier keeper; -1: none that this binary knows. */
static int file_take(struct keeper_plan *p, uint32_t slots)
{
	const struct lodge_head want = head_of(slots);
	int fd = keeper_take_memory(p, "lodge.state", lodge_file_size(slots), SEALS);
	struct lodge_head h;
	char why[96];

	if (fd < 0)
		return -1;
	if (pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    !memcmp(h.magic, want.magic, sizeof(h.magic)) && h.version == want.version &&
	    h.payload == want.payload && h.slots == want.slots)
		return fd;
	snprintf(why, sizeof(why), "not of version %u, %u slots of %u bytes", want.version,
		 want.slots, want.payload);
	keeper_refuse(p, "lodge.state", fd, why);
	return -1;
}

static int file_make(uint32_t slots)
{
	int fd = memfd_create("sallyport-lodge", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd >= 0 && !ftruncate(fd, (off_t)lodge_file_size(slots)) && !head_write(fd, slots) &&
	    !fcntl(fd, F_ADD_SEALS, SEALS))
		return fd;
	err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

int lodge_plan(struct keeper_plan *p, uint32_t slots, char *why, size_t why_n)
{
	int fd, err;

	if (!slots || slots > LODGE_SLOTS_MAX) {
		snprintf(why, why_n, "lodge: wanted 1 to %u slots, got %u", LODGE_SLOTS_MAX, slots);
		return -EINVAL;
	}
	fd = file_take(p, slots);
	p->lodge_taken = fd >= 0;
	if (fd < 0)
		fd = file_make(slots);
	err = fd < 0 ? fd : keeper_add(p, "lodge.state", fd);
	if (err) {
		snprintf(why, why_n, "lodge.state: %s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	keeper_outlives(p, p->lodge_taken);
	p->lodge_slots = slots;
	files_raise(p, slots);
	return 0;
}

int lodge_hold_new(uint32_t slots, struct lodge_hold **out)
{
	struct lodge_hold *h = calloc(1, sizeof(*h));

	if (h)
		h->fds = calloc(slots ? slots : 1, sizeof(*h->fds));
	if (!h || !h->fds) {
		free(h);
		return -ENOMEM;
	}
	h->slots = slots;
	*out = h;
	return 0;
}

/* close(2) of a socket that lingers would wait for its peer; one that is to be reset at once does not. */
static void fd_close(int fd)
{
	struct linger l = {};
	socklen_t n = sizeof(l);

	if (!getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n) && l.l_onoff && l.l_linger) {
		l.l_onoff = 0;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	}
	close(fd);
}

static void role_close(struct lodge_hold *h, uint32_t slot, unsigned role)
{
	int *p = &h->fds[slot][role];

	if (!*p)
		return;
	if (h->changed)
		h->changed(h->changed_arg, slot, role, false);
	fd_close(*p - 1);
	*p = 0;
	h->stats.descriptors--;
}

void lodge_hold_free(struct lodge_hold *h)
{
	uint32_t slot;
	unsigned role;

	if (!h)
		return;
	h->changed = NULL;
	for (slot = 0; slot < h->high; slot++)
		for (role = 0; role < LODGE_ROLES; role++)
			role_close(h, slot, role);
	free(h->fds);
	free(h);
}

const struct lodge_hold_stats *lodge_hold_stats(const struct lodge_hold *h)
{
	return &h->stats;
}

static void hold(struct lodge_hold *h, uint32_t slot, unsigned role, int fd)
{
	h->fds[slot][role] = fd + 1;
	h->stats.descriptors++;
	if (slot >= h->high)
		h->high = slot + 1;
}

void lodge_hold_watch(struct lodge_hold *h, lodge_changed_fn *fn, void *arg)
{
	h->changed = fn;
	h->changed_arg = arg;
}

bool lodge_hold_adopt(struct lodge_hold *h, uint32_t slot, unsigned role, int fd)
{
	if (slot >= h->slots || role >= LODGE_ROLES || h->fds[slot][role]) {
		close(fd);
		return false;
	}
	hold(h, slot, role, fd);
	return true;
}

int lodge_hold_fd(const struct lodge_hold *h, uint32_t slot, unsigned role)
{
	return slot < h->slots && role < LODGE_ROLES ? h->fds[slot][role] - 1 : -1;
}

/* ---- channels ---- */

int lodge_channel_open(struct lodge_channel *c, int *out_worker)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	*c = (struct lodge_channel){.fd = pair[0]};
	*out_worker = pair[1];
	return 0;
}

void lodge_channel_close(struct lodge_channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct lodge_channel){.fd = -1};
}

int lodge_channel_say(struct lodge_channel *c, const struct lodge_msg *m)
{
	return c->fd < 0 ? -EPIPE : lodge_msg_send(c->fd, m, NULL, 0);
}

/* ---- in ---- */

static void bad(struct lodge_hold *h, const struct lodge_msg *m, unsigned n, const char *why)
{
	h->stats.bad++;
	log_event(LOG_L_WARN, "lodge-bad", "op=%u slot=%u role=%u descriptors=%u reason=\"%s\"",
		  m->op, m->slot, m->role, n, why);
}

/* Told to the worker if there is room; if not, the next one finds that the descriptor is missing. */
static void lost(struct lodge_hold *h, struct lodge_channel *c, const struct lodge_msg *put)
{
	struct lodge_msg m = {.op = LODGE_LOST, .slot = put->slot, .role = put->role, .n = put->n};
	struct rlimit r = {};

	h->stats.no_room++;
	getrlimit(RLIMIT_NOFILE, &r);
	log_event(LOG_L_ERROR, "lodge-full",
		  "held=%u limit=%llu reason=\"no descriptor free: a connection will not outlive "
		  "its worker; raise the limit of open files (LimitNOFILE=)\"",
		  h->stats.descriptors, (unsigned long long)r.rlim_cur);
	lodge_msg_send(c->fd, &m, NULL, 0);
}

/* Takes @fds. */
static void put(struct lodge_hold *h, struct lodge_channel *c, const struct lodge_msg *m,
		const int *fds, unsigned n, bool cut)
{
	const char *why = m->slot >= h->slots	     ? "no such slot"
			  : m->role >= LODGE_ROLES   ? "no such role"
			  : n > 1		     ? "wanted one descriptor"
			  : h->fds[m->slot][m->role] ? "there is one already"
			  : n == 0 && !cut	     ? "wanted one descriptor"
						     : NULL;
	unsigned i;

	if (why || n == 0) {
		for (i = 0; i < n; i++)
			fd_close(fds[i]);
		if (why)
			bad(h, m, n, why);
		else
			lost(h, c, m);
		return;
	}
	hold(h, m->slot, m->role, fds[0]);
	if (h->changed)
		h->changed(h->changed_arg, m->slot, m->role, true);
}

/* False: not about slots. Takes @fds. */
static bool slot_word(struct lodge_hold *h, struct lodge_channel *c, const struct lodge_msg *m,
		      const int *fds, unsigned n, bool cut)
{
	unsigned i, role;

	if (m->op == LODGE_PUT) {
		put(h, c, m, fds, n, cut);
		return true;
	}
	for (i = 0; i < n; i++)
		fd_close(fds[i]);
	if (n) {
		bad(h, m, n, "wanted no descriptor");
	} else if (m->op == LODGE_DROP && m->slot < h->slots) {
		for (role = 0; role < LODGE_ROLES; role++)
			role_close(h, m->slot, role);
	} else if (m->op == LODGE_DROP_FD && m->slot < h->slots && m->role < LODGE_ROLES) {
		role_close(h, m->slot, m->role);
	} else if (m->op == LODGE_DROP || m->op == LODGE_DROP_FD) {
		bad(h, m, n, "no such slot or role");
	} else {
		return false;
	}
	return true;
}

/* 1: one was handled; 0: the end; -EAGAIN: no more now. */
static int read_one(struct lodge_hold *h, struct lodge_channel *c, lodge_word_fn *word, void *arg)
{
	int fds[LODGE_GIVEN_MAX], got;
	struct lodge_msg m = {};
	unsigned n;
	bool cut;

	got = lodge_msg_recv(c->fd, &m, fds, &n, &cut);
	if (got == -EBADMSG) {
		bad(h, &m, n, "not of a message's size");
		return 1;
	}
	if (got <= 0)
		return got == -EAGAIN ? got : 0;
	if (slot_word(h, c, &m, fds, n, cut))
		return 1;
	if (m.op < LODGE_READY || m.op > LODGE_DONE) {
		bad(h, &m, n, "unknown");
	} else if (word) {
		lodge_msg_text(&m);
		word(arg, &m);
	}
	return 1;
}

bool lodge_channel_read(struct lodge_hold *h, struct lodge_channel *c, lodge_word_fn *word,
			void *arg)
{
	unsigned i;
	int got = 1;

	for (i = 0; i < READ_MAX && got > 0 && c->fd >= 0; i++)
		got = read_one(h, c, word, arg);
	if (got == 0)
		lodge_channel_close(c);
	return got != 0;
}

void lodge_channel_drain(struct lodge_hold *h, struct lodge_channel *c, lodge_word_fn *word,
			 void *arg)
{
	while (c->fd >= 0 && read_one(h, c, word, arg) > 0)
		;
	lodge_channel_close(c);
}

/* ---- out ---- */

/* As many whole slots as fit, from c->next on. Returns the slot to go on with. */
static uint32_t give_fill(const struct lodge_hold *h, uint32_t slot, struct lodge_msg *m, int *fds)
{
	unsigned role;

	for (m->n = 0; slot < h->high && m->n + LODGE_ROLES <= LODGE_GIVEN_MAX; slot++) {
		for (role = 0; role < LODGE_ROLES; role++) {
			if (!h->fds[slot][role])
				continue;
			fds[m->n] = h->fds[slot][role] - 1;
			m->given[m->n++] = (struct lodge_given){slot, role};
		}
	}
	return slot;
}

void lodge_channel_write(struct lodge_hold *h, struct lodge_channel *c)
{
	int fds[LODGE_GIVEN_MAX], err = 0;
	uint32_t next;

	if (c->giving && !c->go_said) {
		err = lodge_channel_say(c, &(struct lodge_msg){.op = LODGE_GO});
		c->go_said = !err;
	}
	while (c->giving && !err) {
		struct lodge_msg m = {.op = LODGE_GIVE};

		next = give_fill(h, c->next, &m, fds);
		if (!m.n) {
			err = lodge_channel_say(c, &(struct lodge_msg){.op = LODGE_END});
			c->giving = err != 0;
		} else {
			err = lodge_msg_send(c->fd, &m, fds, m.n);
			c->next = err ? c->next : next;
		}
	}
	if (err == -EPIPE || err == -ECONNRESET)
		c->giving = false; /* its death is told elsewhere */
	c->stalled = c->giving && err != -EAGAIN;
}

void lodge_channel_give(struct lodge_hold *h, struct lodge_channel *c)
{
	c->giving = true;
	c->go_said = false;
	c->next = 0;
	lodge_channel_write(h, c);
}
