/* user/keeper.h -- the small parent: holds what must outlive a crash, starts the worker again, and the next one beside it.
 *
 * Data flow: keeper_run() opens what the caller's plan names (listeners, media punch sockets, key files, maps, state memfd) as
 * root -> forks and executes its own binary with --worker; descriptors are inherited and named in SALLYPORT_FDS
 * ("name=first+count,...") -> waits. A worker that dies is replaced at once; after 5 deaths within 10 s at most once a second.
 * SIGTERM ends worker and keeper.
 * Hand-over (user/keeper_upgrade.c): on SIGHUP, when the configuration was parsed and found good, and on the worker's word
 * UPGRADE ("sallyctl upgrade"), with the binary opened anew from the path that this one was started from, the next worker is
 * started beside the old one. It parses, looks at the state's versions and says READY, or refuses, or is silent for 10 s, or
 * dies: then nothing has changed, and the reason is told. After READY the old one is told to hand over, and says DONE when
 * it has let go of everything (5 s, then it is killed); only then is the next one told to GO on. So the listeners have no
 * gap, and state, maps and sockets one owner at a time. If the old one dies in between, the next one goes on at once. Which
 * binary is started after a crash: the last one that took over, or could have. The keeper itself is replaced only by a
 * restart of the service.
 * Owner rules: the keeper owns the descriptors for its whole life; a worker has duplicates. Of files it keeps what they held when
 * they were opened: what is written into them later counts from the next SIGHUP on. The keeper parses its configuration
 * and nothing from a peer, and of its workers fixed-size words (user/lodge_wire.h); after set-up it keeps only CAP_SETUID
 * and CAP_SETGID: it starts the worker as the service's user, and signals it through a child that takes that uid first, so
 * that CAP_KILL is not needed. SIGTERM first, SIGKILL after 5 s. A first worker that exits with a failure within a second of
 * its start ends the keeper with that status: the start failed, and is seen to. A worker may ask for an upgrade as often as
 * it likes: what is started is what the path holds, as the service's user, which must not be able to write there.
 * What is to outlive the keeper as well is in the service manager's store, where there is one: user/keeper_store.h.
 * A worker that handed over may live on with what it could not hand over: KEEPER_OLD_MAX of them; one more sends the oldest
 * away. They are not started again.
 * Worker side: keeper_fd("name") gives the descriptor or -1 (besides those of the plan "lodge" and "life", the pipe that kills the worker when
 * the keeper's end closes); user/lodge.h: READY, GO and the rest; sandbox_enter() closes
 * the door behind the start-up. */
#ifndef SALLYPORT_KEEPER_H
#define SALLYPORT_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEEPER_FDS_MAX	256
#define KEEPER_OLD_MAX	4
#define KEEPER_WATCH_MS 1000

struct keeper_fd_entry {
	char name
		[48]; /* "config", "listen.sip.0", "key.sip", "map.flows", "punch.0", "admin", "state" */
	int fd;
	int was; /* before keeper_reopen_file(), +1, until keeper_reopened(); 0: none */
	bool outlives, taken; /* in the manager's store; from there: user/keeper_store.h */
	unsigned count;	      /* descriptors from fd on; 0 as 1: user/sockpool.h */
};

struct keeper_stored { /* from the manager's store: user/keeper_store.h */
	const char *name;
	int fd; /* -1: taken */
};

struct keeper_plan {
	const char *exe;  /* an upgrade's binary; NULL: the path of our own */
	const char *user; /* account of the worker; NULL, or our own: stay */
	char *const *worker_argv;
	struct keeper_fd_entry fds[KEEPER_FDS_MAX];
	unsigned n_fds;
	uint32_t lodge_slots; /* connections that outlive the worker: lodge_plan() */
	bool lodge_taken;     /* its file is of an earlier keeper, and so are they */
	struct keeper_store *store;
	struct keeper_stored *stored;
	unsigned n_stored;
	void (*refused)(const char *name, const char *why); /* out of the store with it */
	/* Check the configuration file again on SIGHUP: 0 = good; the plan's "config" descriptor is then replaced. */
	int (*reload)(void *arg, struct keeper_plan *plan);
	/* Asked every KEEPER_WATCH_MS while no reload is going on: -EAGAIN: nothing has changed; 0: descriptors were replaced as by .reload, and
	 * the next worker is to have them; else it has said why not. May be NULL. */
	int (*watch)(void *arg, struct keeper_plan *plan);
	/* What became of it: a worker goes on with it, or everything is as before. May be NULL. */
	void (*reloaded)(void *arg, struct keeper_plan *plan, bool good);
	void *arg;
};

/* Add a descriptor to the plan; it is made close-on-exec here and inherited by the worker only. -ENOSPC. */
int keeper_add(struct keeper_plan *p, const char *name, int fd);
/* Add @n descriptors from @first on, one after the other, without close-on-exec: a pool of sockets. -ENOSPC, -EINVAL. */
int keeper_add_range(struct keeper_plan *p, const char *name, int first, unsigned n);
/* Open a listening TCP socket / UDP socket / secret file / state memfd and add it. 0 or negative errno, *why names the address
 * or path and the reason. */
int keeper_listen_tcp(struct keeper_plan *p, const char *name, const char *addr_text, char *why,
		      size_t why_n);
int keeper_bind_udp(struct keeper_plan *p, const char *name, const char *addr_text, char *why,
		    size_t why_n);
int keeper_open_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		     size_t why_n);
/* A regular file that the worker adds lines to: made if it is missing, mode 0640, only ever written at its end. */
int keeper_open_append(struct keeper_plan *p, const char *name, const char *path, char *why,
		       size_t why_n);
/* The same in place of the entry @name, as keeper_reopen_file(): a file that was moved away is begun anew. */
int keeper_reopen_append(struct keeper_plan *p, const char *name, const char *path, char *why,
			 size_t why_n);
/* Open @path anew in place of the entry @name, for .reload after everything else was found good; on error the old one stays. */
int keeper_reopen_file(struct keeper_plan *p, const char *name, const char *path, char *why,
		       size_t why_n);
/* What was opened anew since the last call: stays if @good, else the old ones are back. */
void keeper_reopened(struct keeper_plan *p, bool good);
/* Replaces the socket of a keeper that is gone; mode 0660, group @group (NULL: unchanged). Makes its folder if that is
 * missing. */
int keeper_listen_unix(struct keeper_plan *p, const char *name, const char *path, const char *group,
		       char *why, size_t why_n);
/* Add a copy of @n bytes, read by keeper_read(). */
int keeper_data(struct keeper_plan *p, const char *name, const void *bytes, size_t n);
/* The same in place of the entry @name, as keeper_reopen_file(). */
int keeper_reopen_data(struct keeper_plan *p, const char *name, const void *bytes, size_t n,
		       char *why, size_t why_n);
/* A memfd of @size bytes, all zero, its size sealed; outlives the keeper where there is a store. */
int keeper_memory(struct keeper_plan *p, const char *name, uint64_t size, char *why, size_t why_n);
/* The same, called "state": user/keep.h. */
int keeper_state(struct keeper_plan *p, uint64_t size, char *why, size_t why_n);

/* Run until SIGTERM/SIGINT. Returns the exit status. */
int keeper_run(struct keeper_plan *p);

/* In the worker. */
int keeper_fd(const char *name);
/* The first of a range and its length; -1: no such name. */
int keeper_fd_range(const char *name, unsigned *out_n);
/* Whole content of a descriptor opened by keeper_open_file (pread from 0), NUL-terminated, at most 1 MiB; free() it, wiping secrets. */
int keeper_read(const char *name, char **out, size_t *out_n);

/* no_new_privs, capabilities gone (checked), seccomp filter on. After this no file can be opened and no program started.
 * 0 or negative errno with @why. */
int sandbox_enter(char *why, size_t why_n);

#endif
