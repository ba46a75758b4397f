/* user/sandbox.c -- the door behind a worker's start: no capability, no new privilege, a list of system calls. See keeper.h.
 *
 * In: a process that has opened everything it will ever open, its io_uring restricted and enabled (seccomp does not see what a ring
 * does). Out: the same process, which can still move bytes on what it holds and make UDP and TCP sockets, and nothing else. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "user/keeper.h"
#include "user/log.h"

/* AddressSanitizer opens /proc/self/maps and LeakSanitizer traces its own threads at exit: both would die here. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_FILTER 0
#else
#define SANDBOX_FILTER 1
#endif

static const int allowed[] = {
	/* moving bytes */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(splice),
	SCMP_SYS(pipe2),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1),
	/* sockets */
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(shutdown),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* memory and threads */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(membarrier),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu),
	/* time, chance, identity */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(times),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrlimit),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(capget),
	/* signals and the end */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* What no worker ever asks for by accident: a worker that does is not ours any more. */
static const int killed[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(reboot),
	SCMP_SYS(io_uring_setup),
};

/* Map elements of descriptors we hold; creating, loading and attaching stay out. */
static const int bpf_cmds[] = {
	BPF_MAP_LOOKUP_ELEM,	BPF_MAP_UPDATE_ELEM,  BPF_MAP_DELETE_ELEM,  BPF_MAP_GET_NEXT_KEY,
	BPF_OBJ_GET_INFO_BY_FD, BPF_MAP_LOOKUP_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH,
};

static const int families[] = {AF_INET, AF_INET6, AF_NETLINK};
static const unsigned long ioctls[] = {FIONREAD, FIONBIO, SIOCOUTQ};

#define N(a) (sizeof(a) / sizeof((a)[0]))

static int allow_one_of(scmp_filter_ctx ctx, int call, unsigned arg, scmp_datum_t value)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, SCMP_CMP(arg, SCMP_CMP_EQ, value));
}

static int allow_masked(scmp_filter_ctx ctx, int call, unsigned arg, scmp_datum_t mask,
			scmp_datum_t value)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1,
				SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

/* Calls that are allowed for some arguments only. */
static int add_arguments(scmp_filter_ctx ctx)
{
	size_t i;
	int rc = 0;

	for (i = 0; !rc && i < N(bpf_cmds); i++)
		rc = allow_one_of(ctx, SCMP_SYS(bpf), 0, (scmp_datum_t)bpf_cmds[i]);
	for (i = 0; !rc && i < N(families); i++)
		rc = allow_one_of(ctx, SCMP_SYS(socket), 0, (scmp_datum_t)families[i]);
	for (i = 0; !rc && i < N(ioctls); i++)
		rc = allow_one_of(ctx, SCMP_SYS(ioctl), 1, ioctls[i]);
	/* Two ends of nothing but ourselves: conn_relay.h. */
	if (!rc)
		rc = allow_one_of(ctx, SCMP_SYS(socketpair), 0, AF_UNIX);
	if (!rc)
		rc = allow_masked(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
	if (!rc)
		rc = allow_masked(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
	/* glibc's fstat() is newfstatat("", AT_EMPTY_PATH). */
	if (!rc)
		rc = allow_masked(ctx, SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	/* Reading limits: the third argument would set one. */
	if (!rc)
		rc = allow_one_of(ctx, SCMP_SYS(prlimit64), 2, 0);
	/* abort() signals its own thread. */
	if (!rc)
		rc = allow_one_of(ctx, SCMP_SYS(tgkill), 0, (scmp_datum_t)getpid());
	return rc;
}

static int filter_load(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	size_t i;
	int rc = 0;

	if (!ctx)
		return -ENOMEM;
	for (i = 0; !rc && i < N(allowed); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (i = 0; !rc && i < N(killed); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, killed[i], 0);
	if (!rc)
		rc = add_arguments(ctx);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

static int drop_and_check(char *why, size_t why_n)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) || capng_get_caps_process()) {
		snprintf(why, why_n, "sandbox: capabilities cannot be dropped");
		return -EPERM;
	}
	if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE) {
		snprintf(why, why_n, "sandbox: capabilities are left");
		return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
		snprintf(why, why_n, "sandbox: no_new_privs cannot be set: %s", strerror(errno));
		return -EPERM;
	}
	return 0;
}

int sandbox_enter(char *why, size_t why_n)
{
	int err = drop_and_check(why, why_n);

	if (err)
		return err;
	if (!SANDBOX_FILTER) {
		log_event(LOG_L_WARN, "sandbox",
			  "seccomp=off reason=\"built with AddressSanitizer\"");
		return 0;
	}
	err = filter_load();
	if (err) {
		snprintf(why, why_n, "sandbox: seccomp filter refused: %s", strerror(-err));
		return err;
	}
	log_event(LOG_L_INFO, "sandbox", "seccomp=on capabilities=none");
	return 0;
}
