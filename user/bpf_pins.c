/* user/bpf_pins.c -- see bpf_pins.h. In: names. Out: directories on bpffs. */
#include "user/bpf_pins.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "user/bpf_iface.h"
#include "user/bpf_tc.h"

#define BPFFS	     "/sys/fs/bpf"
#define INSTANCE_MAX 32

bool bpf_pins_named(const char *instance)
{
	size_t n = strlen(instance);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)instance[i]) && instance[i] != '-' &&
		    instance[i] != '_')
			return false;
	return n && n <= INSTANCE_MAX;
}

void bpf_pins_dir(const char *instance, char out[BPF_PINS_DIR])
{
	snprintf(out, BPF_PINS_DIR, BPFFS "/sallyport/%s/v%d", instance, SP_ABI);
}

int bpf_pins_mount(char *why, size_t why_n)
{
	struct statfs st;
	int r;

	if (!statfs(BPFFS, &st) && st.f_type == BPF_FS_MAGIC)
		return 0;
	if (!mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return 0;
	r = -errno;
	snprintf(why, why_n, BPFFS ": bpffs is not mounted and cannot be: %s", strerror(-r));
	return r;
}

int bpf_pins_make(char *dir, char *why, size_t why_n)
{
	for (char *c = dir + sizeof(BPFFS), *slash;; c = slash + 1) {
		int r;

		slash = strchr(c, '/');
		if (slash)
			*slash = 0;
		r = mkdir(dir, 0700) && errno != EEXIST ? -errno : 0;
		if (r)
			snprintf(why, why_n, "%s: %s", dir, strerror(-r));
		if (slash)
			*slash = '/';
		if (r || !slash)
			return r;
	}
}

void bpf_pins_clear(const char *dir)
{
	char path[BPF_PINS_DIR + 256];
	struct dirent *e;
	DIR *d;

	bpf_iface_release(dir, NULL);
	tc_filter_release(dir, NULL);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.*s/%s", BPF_PINS_DIR - 1, dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
}

/* The directory of another ABI beside @dir: only v and digits. */
static bool other_abi(const char *name, const char *ours)
{
	size_t digits = name[0] == 'v' ? strspn(name + 1, "0123456789") : 0;

	return digits && digits < 8 && !name[1 + digits] && strcmp(name, ours);
}

bool bpf_pins_clear_others(const char *dir)
{
	const char *ours = strrchr(dir, '/') + 1;
	char path[BPF_PINS_DIR];
	struct dirent *e;
	bool any = false;
	DIR *d;

	snprintf(path, sizeof(path), "%.*s", (int)(ours - 1 - dir), dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (!other_abi(e->d_name, ours))
			continue;
		snprintf(path, sizeof(path), "%.*s%.9s", (int)(ours - dir), dir, e->d_name);
		bpf_pins_clear(path);
		rmdir(path);
		any = true;
	}
	if (d)
		closedir(d);
	return any;
}

int bpf_pins_remove(const char *dir)
{
	char path[BPF_PINS_DIR];

	bpf_pins_clear(dir);
	if (rmdir(dir))
		return -errno;
	snprintf(path, sizeof(path), "%s", dir);
	for (int i = 0; i < 2; i++) { /* the instance, then sallyport itself */
		*strrchr(path, '/') = 0;
		if (rmdir(path))
			break;
	}
	return 0;
}
