# shellcheck shell=bash
# selftests/net/debroot.sh -- bare Debian roots, each booted with systemd as its own process 1, for tests of the package.
#
# In: sourced after lib.sh and net_isolate, before net_up. Out: functions; a base in $DEB_CACHE, made once by mmdebstrap (minbase and systemd,
# nothing else) from the mirrors of this host, and nothing but empty cgroups that outlives the test.
#
#   $DEB_CACHE/SUITE-ARCH --lower--> overlay with a tmpfs on top --> /mnt/NAME --unshare, chroot--> systemd, in a network namespace of the bed
#
# /mnt is a tmpfs of the test's own mount namespace. What is mounted below a root (proc, sys, its cgroup, a bpffs) is so in its own one only.

DEB_CACHE=${XDG_CACHE_HOME:-/var/cache}/sallyport/deb
DEB_SUITE=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
DEB_BASE=$DEB_CACHE/$DEB_SUITE-$(dpkg --print-architecture 2>/dev/null)

deb_mirrors() { # lines of sources.list, from what this host's apt has of Debian itself
	apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
		awk -v s="$DEB_SUITE" '$2 ~ "^" s "($|-updates$|-security$)" && $3 == "main" { print "deb", $1, $2, $3 }' | sort -u
}

deb_base() { # the base, made now if there is none; skips where it cannot be had
	mkdir -p "$DEB_CACHE" 2>/dev/null || skip "$DEB_CACHE cannot be made"
	(
		flock 9
		[ ! -e "$DEB_BASE/.whole" ] || exit 0
		rm -rf "$DEB_BASE"
		mirrors=$(deb_mirrors)
		[ -n "$mirrors" ] || { echo "apt has no source of $DEB_SUITE"; exit 1; }
		say "making $DEB_BASE" >&2
		timeout 100 mmdebstrap --quiet --variant=minbase --include=systemd "$DEB_SUITE" "$DEB_BASE" - <<<"$mirrors" || exit 1
		touch "$DEB_BASE/.whole"
	) 9>"$DEB_CACHE/lock" >"$DEB_CACHE/log" || skip "no Debian root to be had: $(tail -n 1 "$DEB_CACHE/log")"
}

root_prepare() { # once, before root_up
	mount -t tmpfs none /mnt
	mkdir /mnt/.cgroup
	mount -t cgroup2 none /mnt/.cgroup || skip "no cgroup2 here, so no systemd in a namespace"
	# Of tests that were killed; one with a process in it is busy.
	find /mnt/.cgroup -maxdepth 1 -name 'spn-*' -mmin +10 -exec find {} -depth -type d -exec rmdir {} \; 2>/dev/null || true
	NET_DOWN_FIRST=roots_down
}

# root_up NAME NS: boots; `in_root NAME COMMAND...` works from then on.
root_up() {
	local r=/mnt/$1 cgroup

	mkdir "$r" "$r.upper" "$r.work"
	mount -t overlay -o "lowerdir=$DEB_BASE,upperdir=$r.upper,workdir=$r.work" "$1" "$r"
	cp /etc/resolv.conf "$r/etc/resolv.conf"
	echo "$1" >"$r/etc/hostname"
	cgroup=$(mktemp -d /mnt/.cgroup/spn-XXXXXX)
	echo "$cgroup" >"$RUN/$1.cgroup"
	start "root-$1" "$2" sh -c "echo 0 >$cgroup/cgroup.procs"' && exec "$@"' - \
		unshare --mount --pid --ipc --uts --cgroup --fork --kill-child -- bash -c '. "$1"; root_boot "$2"' - "$NET/debroot.sh" "$r"
	wait_for 20 "$1's systemd" root_runs "$1"
}

# Inside its namespaces: what a system expects to be mounted, then systemd.
root_boot() {
	local r=$1 d

	set -e
	mount -t proc proc "$r/proc"
	mount -t sysfs sysfs "$r/sys"
	mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
	mount -t bpf bpf "$r/sys/fs/bpf"
	for d in run tmp dev; do mount -t tmpfs -o mode=755 none "$r/$d"; done
	chmod 1777 "$r/tmp"
	mkdir "$r/dev/shm" "$r/dev/pts"
	mount -t devpts -o newinstance,ptmxmode=666 devpts "$r/dev/pts"
	ln -s pts/ptmx "$r/dev/ptmx"
	ln -s /proc/self/fd "$r/dev/fd"
	for d in null zero full random urandom tty; do
		: >"$r/dev/$d"
		mount --bind "/dev/$d" "$r/dev/$d"
	done
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=namespace chroot "$r" /lib/systemd/systemd --log-target=journal --show-status=no
}
root_runs() { in_root "$1" systemctl is-system-running | grep -Eq 'running|degraded'; }

root_init() { pgrep -P "$(pid_of "root-$1")" | head -1; } # its process 1, as seen from here
# in_root NAME COMMAND...: in its network. in_root -w NAME COMMAND...: in this host's, for apt.
in_root() {
	local net=--net init

	[ "$1" != -w ] || { net='' && shift; }
	init=$(root_init "$1")
	shift
	nsenter --target "$init" --mount --pid --ipc --uts --cgroup ${net:+--net} --root --wdns=/root -- \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
root_journal() { timeout 5 nsenter --target "$(root_init "$1")" --mount --root -- journalctl --no-pager -q -o short-monotonic; }
roots_down() { # before the bed
	local f

	for f in "$RUN"/*.cgroup; do
		[ -e "$f" ] || continue
		[ -z "${SPN_LOGS:-}" ] || root_journal "$(basename "$f" .cgroup)" >"${f%.cgroup}.journal" 2>&1 || true
		stop "root-$(basename "$f" .cgroup)" KILL
		for _ in $(seq 50); do
			find "$(cat "$f")" -depth -type d -exec rmdir {} \; 2>/dev/null # busy until its last process has ended
			[ -d "$(cat "$f")" ] || break
			sleep 0.1
		done
	done
}
