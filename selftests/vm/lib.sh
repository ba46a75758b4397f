# shellcheck shell=sh
# selftests/vm/lib.sh -- QEMU guests under Debian's own kernels, for what this host's kernel may lack (kernel TLS) or know better.
#
# In: sourced by selftests/vm/run from the top of the tree, in mount and pid namespaces of its own (vm_isolate). Out: functions.
#
#   kernel packages --apt, signature checked--> $VM_CACHE/KERNEL/{vmlinuz,release,lib/modules}    once, outside the tree
#   host's / --read-only bind--> virtiofsd --virtiofs--> guest: overlay with a tmpfs on top, its root --> selftests/vm/guest --> test
#
# So a guest has every program of the host, the tree and what was built in it, without an image being made; what it writes stays in
# its memory and ends with it. Its modules are its own kernel's, loaded on demand. The initramfs holds busybox and the modules that
# mount the root. Console (kernel messages) and the test's output are two serial ports. No figure of a guest is a performance.
#
# Kernels, by name: 6.1 is Debian 12's and 6.12 is Debian 13's (neither can change the keys of a TLS socket); new is the newest of
# Debian 13's backports, at least 6.14, which can. Nothing is installed, and this system's apt is left as it is.

VM_CACHE=${XDG_CACHE_HOME:-/var/cache}/sallyport/vm
VM_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
VM_VIRTIOFSD=/usr/lib/qemu/virtiofsd
why= # of the last function that returned 77

# Mount and pid namespaces: whatever kills this leaves no guest, no virtiofsd and no mount behind. vm_isolate ARGUMENT...
vm_isolate() {
	[ -z "${VM_ISOLATED:-}" ] || return 0
	VM_ISOLATED=1 exec unshare --mount --pid --fork --kill-child --mount-proc -- selftests/vm/run "$@"
}

# What every guest needs; 77 with $why.
vm_can() {
	why=
	[ "$(id -u)" = 0 ] || why="needs root (namespaces, virtiofsd)"
	[ "$(uname -m)" = x86_64 ] || why="the guest is x86-64 only"
	for tool in qemu-system-x86_64 cpio busybox $VM_VIRTIOFSD; do
		command -v "$tool" >/dev/null || why="no $tool here (tools/deps test)"
	done
	[ -n "$why" ] || unshare --mount --pid --fork --mount-proc true 2>/dev/null || why="no mount and pid namespaces here"
	[ -n "$why" ] || mkdir -p "$VM_CACHE" 2>/dev/null || why="$VM_CACHE cannot be made"
	[ -z "$why" ] || return 77
}

# ---- kernels ----------------------------------------------------------------------------------------------------------

# kernel_source NAME: suite (- is what this system's apt knows), pattern of the release, lowest release.
kernel_source() {
	case $1 in
	6.1) echo '- 6\.1\.[0-9]+-[0-9]+ 6.1' ;;
	6.12) echo 'trixie 6\.12\.[0-9]+\+deb13 6.12' ;;
	new) echo 'trixie-backports [0-9.]+\+deb13 6.14' ;;
	*) return 1 ;;
	esac
}

# vm_kernel NAME: there, or fetched now; sets $vm_release. 77 with $why.
vm_kernel() {
	why=
	vm_dir=$VM_CACHE/$1
	if [ ! -s "$vm_dir/release" ]; then
		(
			flock 9
			[ -s "$vm_dir/release" ] || kernel_fetch "$1"
		) 9>"$VM_CACHE/lock" 2>"$VM_CACHE/fetch.log" || {
			why="kernel $1: $(tail -n 1 "$VM_CACHE/fetch.log")"
			return 77
		}
	fi
	vm_release=$(cat "$vm_dir/release")
}

# The rest of this section runs in vm_kernel's subshell: last line on stderr is the reason of a failure.
kernel_fetch() {
	command -v apt-get >/dev/null || { echo "no apt-get to fetch it with" >&2; return 1; }
	# shellcheck disable=SC2046
	set -- "$1" $(kernel_source "$1")
	[ $# = 4 ] || { echo "no such kernel" >&2; return 1; }
	new=$vm_dir.new
	rm -rf "$new"
	mkdir -p "$new/deb" && apt_for "$2" || return 1
	release=$($apt_cache search --names-only "^linux-image-$3-cloud-amd64\$" |
		sed -n 's/^linux-image-\([^ ]*\) .*/\1/p' | sort -V | tail -n 1)
	[ -n "$release" ] || { echo "apt knows no linux-image for it (run apt-get update?)" >&2; return 1; }
	[ "$(printf '%s\n' "$4" "$release" | sort -V | head -n 1)" = "$4" ] || { echo "$release is older than $4" >&2; return 1; }
	# Since 7.x the image package is empty, and kernel and modules are packages that it depends on.
	packages=$($apt_cache depends "linux-image-$release" | sed -n 's/^ *Depends: \(linux-\(base\|binary\|modules\)-[0-9].*\)/\1/p')
	# shellcheck disable=SC2086
	(cd "$new/deb" && $apt_get -q download "linux-image-$release" $packages) >&2 || {
		echo "$release could not be fetched" >&2
		return 1
	}
	kernel_unpack "$new" "$release" || { echo "$release could not be unpacked" >&2; return 1; }
	rm -rf "$new/deb" "$vm_dir"
	mv "$new" "$vm_dir"
}

# apt_for SUITE: sets $apt_get and $apt_cache. Another suite comes from the mirror of this system's Debian packages, by sources, lists
# and state of its own in the cache; it must be signed by a key of the system's archive keyring, or it is not taken.
apt_for() {
	apt_get=apt-get apt_cache=apt-cache
	[ "$1" != - ] || return 0
	[ -s $VM_KEYRING ] || { echo "no $VM_KEYRING to check $1 with" >&2; return 1; }
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Label: Debian' | head -n 1)
	[ -n "$mirror" ] || { echo "apt has no Debian mirror" >&2; return 1; }
	apt=$VM_CACHE/apt/$1
	mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
	printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: %s\n' \
		"$mirror" "$1" $VM_KEYRING >"$apt/parts/vm.sources"
	: >"$apt/status"
	apt_options="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$apt/parts -o Dir::State::lists=$apt/lists
		-o Dir::State::status=$apt/status -o Dir::Cache=$apt/cache -o Acquire::Languages=none
		-o APT::Sandbox::User=root -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false"
	apt_get="apt-get $apt_options" apt_cache="apt-cache $apt_options"
	$apt_get -q -o APT::Update::Error-Mode=any update >&2 || {
		echo "$1 could not be fetched from the mirror, or is not signed by a key of $VM_KEYRING" >&2
		return 1
	}
}

# kernel_unpack DIR RELEASE: DIR/{vmlinuz,lib/modules}, modules uncompressed and with their dependencies; DIR/release last.
kernel_unpack() {
	for deb in "$1"/deb/*.deb; do
		dpkg -x "$deb" "$1/deb/x" || return 1
	done
	mkdir -p "$1/lib/modules"
	mv "$1"/deb/x/lib/modules/* "$1/lib/modules/" 2>/dev/null || mv "$1"/deb/x/usr/lib/modules/* "$1/lib/modules/" || return 1
	mv "$1/deb/x/boot/vmlinuz-$2" "$1/vmlinuz" 2>/dev/null || mv "$1/lib/modules/$2/vmlinuz" "$1/vmlinuz" || return 1
	find "$1/lib/modules" -name '*.ko.xz' -print0 | xargs -0r -n 50 busybox unxz || return 1
	busybox depmod -b "$1" "$2" && echo "$2" >"$1/release"
}

# ---- a guest ----------------------------------------------------------------------------------------------------------

quoted() { # ARGUMENT...: for a shell to read
	for arg; do
		printf "'%s' " "$(printf %s "$arg" | sed "s/'/'\\\\''/g")"
	done
}

# The host's files as the guest will see them: / and the mounts that the tree and the cache are on, read-only.
share_up() {
	[ ! -d "$VM_RUN/root" ] || return 0
	mkdir "$VM_RUN/root"
	for mount in / $(stat -c %m "$PWD" "$VM_CACHE" | sort -u); do
		[ "$mount" = / ] && [ -e "$VM_RUN/root/proc" ] && continue
		mount --bind "$mount" "$VM_RUN/root$mount" && mount -o remount,bind,ro "$VM_RUN/root$mount" || return 1
	done
}

# initramfs COMMAND...: on stdout. It mounts the root and leaves it to selftests/vm/guest.
initramfs() {
	tree=$VM_RUN/initramfs
	rm -rf "$tree"
	mkdir -p "$tree/proc" "$tree/lib/modules/$vm_release" "$tree/host" "$tree/rw" "$tree/root"
	cp "$(command -v busybox)" "$tree/busybox"
	modules=$vm_dir/lib/modules/$vm_release
	for list in dep alias symbols builtin; do
		cp "$modules/modules.$list" "$tree/lib/modules/$vm_release/"
	done
	grep -E '/(virtio_pci|virtiofs|overlay)\.ko:' "$modules/modules.dep" | tr -d : | tr ' ' '\n' | sort -u | while read -r ko; do
		mkdir -p "$tree/lib/modules/$vm_release/${ko%/*}"
		cp "$modules/$ko" "$tree/lib/modules/$vm_release/$ko"
	done
	cat >"$tree/init" <<-INIT
		#!/busybox sh
		/busybox mount -t proc proc /proc
		for m in virtio_pci virtiofs overlay; do /busybox modprobe \$m; done
		/busybox mount -t virtiofs -o ro host /host && /busybox mount -t tmpfs none /rw && /busybox mkdir /rw/upper /rw/work &&
			/busybox mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work none /root || /busybox poweroff -f
		exec /busybox switch_root /root /bin/sh $(quoted "$PWD/selftests/vm/guest" "$vm_dir" "$PWD" "$@")
	INIT
	chmod 755 "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc 2>/dev/null)
}

console_tail() { # what the kernel said: from its first complaint on, else the end
	tr -d '\r' <"$VM_RUN/console" | grep -aE -A 45 -m 1 'BUG|Oops|RIP:|Call Trace|not syncing' || tail -n 20 "$VM_RUN/console"
}

# One CPU: with two, QEMU's translator let one of them trip over the breakpoint by which the other was patching kernel code (a static
# key), after it had been taken away: int3 oops, once in about fifteen runs.
#
# vm_boot SECONDS MEGABYTES COMMAND...: boot the kernel that vm_kernel has set and run COMMAND in it, from the top of the tree; its output
# on stdout and in $VM_RUN/out. Returns its status, or 124 when the guest did not end within SECONDS. Kernel messages: $VM_RUN/console.
vm_boot() {
	seconds=$1 megabytes=$2
	shift 2
	share_up || { echo "vm: the host's files cannot be bound read-only"; return 124; }
	initramfs "$@" >"$VM_RUN/initrd"
	rm -f "$VM_RUN/fs.sock" "$VM_RUN/out"
	$VM_VIRTIOFSD -f --socket-path="$VM_RUN/fs.sock" -o source="$VM_RUN/root" -o cache=always -o log_level=err \
		>"$VM_RUN/virtiofsd.log" 2>&1 &
	fs=$!
	for _ in $(seq 50); do
		[ ! -S "$VM_RUN/fs.sock" ] || break
		sleep 0.1
	done
	timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -accel tcg -cpu max -M q35 -smp 1 -m "$megabytes" \
		-nodefaults -no-reboot \
		-object memory-backend-memfd,id=mem,size="${megabytes}M",share=on -numa node,memdev=mem \
		-chardev socket,id=fs,path="$VM_RUN/fs.sock" -device vhost-user-fs-pci,chardev=fs,tag=host \
		-display none -serial file:"$VM_RUN/console" -serial stdio -kernel "$vm_dir/vmlinuz" -initrd "$VM_RUN/initrd" \
		-append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off" </dev/null 2>&1 |
		sed -u 's/\r//g' | tee "$VM_RUN/out" | grep --line-buffered -av '^vm: status ' &
	wait $! # in the background: a signal to this shell is taken at once
	kill $fs 2>/dev/null
	wait $fs 2>/dev/null
	status=$(sed -n 's/^vm: status \([0-9]*\)$/\1/p' "$VM_RUN/out" | tail -n 1)
	[ -n "$status" ] || { cat "$VM_RUN/virtiofsd.log"; console_tail; }
	return "${status:-124}"
}
