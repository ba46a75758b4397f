/* user/bpf_pins.h -- the directories on bpffs that keep an instance's maps and links while no process holds them.
 *
 * /sys/fs/bpf/sallyport/<instance>/v<SP_ABI>/: maps by name, links by interface (bpf_iface.h). tc filters are found by the directory's name
 * (bpf_tc.h). Each ABI has a directory of its own, since a map of another layout can be neither adopted nor read.
 * In: an instance's name. Out: directories made, emptied, removed. Used by bpf_load.c only, as root; owns nothing. */
#ifndef SALLYPORT_BPF_PINS_H
#define SALLYPORT_BPF_PINS_H

#include <stdbool.h>
#include <stddef.h>

#define BPF_PINS_DIR 128

/* 1..32 of a-z A-Z 0-9 _ -. */
bool bpf_pins_named(const char *instance);
/* Of this binary's ABI. */
void bpf_pins_dir(const char *instance, char out[BPF_PINS_DIR]);
/* bpffs is mounted, or gets mounted. 0 or negative errno with @why. */
int bpf_pins_mount(char *why, size_t why_n);
/* @dir with its parents. 0 or negative errno with @why. */
int bpf_pins_make(char *dir, char *why, size_t why_n);
/* Programs off the interfaces, links and maps unpinned. */
void bpf_pins_clear(const char *dir);
/* The same for the directories beside @dir, of other ABIs, and these removed: their programs would keep ours off the interfaces.
 * Returns whether there was one. */
bool bpf_pins_clear_others(const char *dir);
/* Clear @dir and remove it, and its parents unless others are in them. 0 or negative errno. */
int bpf_pins_remove(const char *dir);

#endif
