# sallyport. `make` builds both daemons, sallyctl and the tools into build/; `make check-unit` runs the unit tests.
# V=1 shows commands, SAN=1 builds with ASan and UBSan into build-san/, WERROR=1 makes warnings errors.

B := build$(if $(SAN),-san)
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(patsubst $(B)/%,%,$@))
PKGS := libssl libcrypto liburing libbpf libcyaml libprotobuf-c jansson libnl-3.0 libnl-route-3.0 \
	libsrtp2 libcares libseccomp libcap-ng libsystemd expat libidn2
HAVE_IPSEC_MB := $(if $(wildcard /usr/include/intel-ipsec-mb.h),1)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wwrite-strings -Wformat=2 -Wundef -Wpointer-arith -Wimplicit-fallthrough $(if $(WERROR),-Werror)
CPPFLAGS += -I. -I$(B) -D_GNU_SOURCE $(if $(HAVE_IPSEC_MB),-DHAVE_IPSEC_MB=1,-DHAVE_IPSEC_MB=0)
CFLAGS += -std=gnu11 -O2 -g -fPIE $(WARN) -fstack-protector-strong $(shell pkg-config --cflags $(PKGS))
CFLAGS += $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer,-D_FORTIFY_SOURCE=2)
LDFLAGS += -pie -Wl,-z,relro -Wl,-z,now $(if $(SAN),-fsanitize=address$(,)undefined)
, := ,

# ---- objects -------------------------------------------------------------------------------------------------------
include tools/objects.mk

SKELS := $(BPF:%=$(B)/bpf/%.skel.h)
PROTO := $(B)/user/link.pb-c.h

PROGS := $(B)/sallyport-edge $(B)/sallyport-core $(B)/sallyctl $(B)/parse
all: $(PROGS)
obj = $(addprefix $(B)/,$(1:=.o))

$(B)/sallyport-edge: $(call obj,$(EDGE))
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(EDGE_LIBS)
$(B)/sallyport-core: $(call obj,$(CORE))
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS)
$(B)/sallyctl: $(call obj,$(CTL))
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CTL_LIBS)
$(B)/parse: $(call obj,$(PARSE))
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PARSE_LIBS)

$(B)/%.o: %.c Makefile tools/objects.mk | $(SKELS) $(PROTO)
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/echo/%.o: %.c Makefile tools/objects.mk | $(SKELS) $(PROTO)
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -DSALLYPORT_ECHO $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/user/link.pb-c.o: $(B)/user/link.pb-c.c
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-error -w -c -o $@ $<
$(B)/user/link.pb-c.c $(B)/user/link.pb-c.h &: user/link.proto
	$(call say,PROTO)
	$(Q)mkdir -p $(B)/user
	$(Q)protoc-c --c_out=$(B) $<

# The status page: its files as tables in one object (user/page.h).
PAGE_FILES := $(wildcard user/page/*)
$(B)/user/page_files.o: $(B)/user/page_files.c
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/user/page_files.c: $(PAGE_FILES) tools/embed user/page.h
	$(call say,EMBED)
	$(Q)mkdir -p $(@D)
	$(Q)tools/embed $(PAGE_FILES) >$@

# ---- BPF: built once, for both kinds of build ------------------------------------------------------------------------
MULTIARCH := $(shell $(CC) -print-multiarch)
$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(call say,BPF)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -O2 -g -mcpu=v3 -Wall -Wextra -Wno-unused-parameter $(if $(WERROR),-Werror) -I. \
		-isystem /usr/include/$(MULTIARCH) -c -o $@ $<
$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf >$@.tmp && mv $@.tmp $@

# ---- tests ---------------------------------------------------------------------------------------------------------
UNIT_BINS := $(UNIT:%=$(B)/selftests/unit/%)
unit: $(UNIT_BINS)
check-unit: unit
	$(Q)selftests/run-unit $(B) $(UNIT)
check-vm: all unit helpers
	$(Q)B=$(B) selftests/vm/run
define unit_rule
$(B)/selftests/unit/$(1): $(call obj,selftests/unit/$(1) $($(1)_OBJS))
	$$(call say,LD)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka $($(1)_LIBS)
endef
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t))))

# Test helpers and benches that are programs of their own.
helpers: $(HELPERS:%=$(B)/%) $(B)/selftests/net/impair.bpf.o
$(B)/selftests/net/%.bpf.o: selftests/net/%.bpf.c
	$(call say,BPF)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -O2 -g -mcpu=v3 -Wall -Wextra $(if $(WERROR),-Werror) -isystem /usr/include/$(MULTIARCH) -c -o $@ $<
define helper_rule
$(B)/$(1): $(call obj,$($(subst /,_,$(1))_OBJS))
	$$(call say,LD)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $($(subst /,_,$(1))_LIBS)
endef
$(foreach t,$(HELPERS),$(eval $(call helper_rule,$(t))))

# Fuzz targets: clang's libFuzzer over the parsers; `make fuzz`, then build/fuzz/NAME -max_total_time=60 selftests/data/...
fuzz: $(FUZZ:%=$(B)/fuzz/%)
define fuzz_rule
$(B)/fuzz/$(1): selftests/fuzz/$(1).c $($(1)_SRCS) | $(PROTO)
	$$(call say,FUZZ)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(CPPFLAGS) -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-o $$@ $$(filter %.c,$$^) $($(1)_LIBS)
endef
$(foreach t,$(FUZZ),$(eval $(call fuzz_rule,$(t))))

headers-check: $(SKELS) $(PROTO)
	$(Q)selftests/headers-check "$(CC)" "$(CPPFLAGS)" "$(CFLAGS)"
format-check:
	$(Q)selftests/format-check

# ---- installation: no `uninstall`, a package does that (`make deb`) -----------------------------------------------------
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DOCDIR := $(PREFIX)/share/doc/sallyport
into = install -D -m $(1) $(2) $(DESTDIR)$(3)
install: $(PROGS)
	$(Q)for p in edge core; do \
		$(call into,755,$(B)/sallyport-$$p,$(PREFIX)/sbin/sallyport-$$p) && \
		$(call into,644,tools/man/sallyport-$$p.8,$(PREFIX)/share/man/man8/sallyport-$$p.8) && \
		$(call into,644,tools/example-$$p.yaml,$(DOCDIR)/examples/$$p.yaml) && \
		install -d $(DESTDIR)$(UNITDIR) && \
		sed 's#/usr/sbin/#$(PREFIX)/sbin/#' tools/systemd/sallyport-$$p.service \
			>$(DESTDIR)$(UNITDIR)/sallyport-$$p.service || exit; \
	done
	$(Q)$(call into,755,$(B)/sallyctl,$(PREFIX)/bin/sallyctl)
	$(Q)$(call into,644,tools/man/sallyctl.8,$(PREFIX)/share/man/man8/sallyctl.8)
	$(Q)$(call into,644,tools/man/sallyport.yaml.5,$(PREFIX)/share/man/man5/sallyport.yaml.5)
	$(Q)$(call into,644,tools/completion/sallyctl,$(PREFIX)/share/bash-completion/completions/sallyctl)
	$(Q)$(call into,644,tools/systemd/sysusers.conf,$(PREFIX)/lib/sysusers.d/sallyport.conf)
	$(Q)$(call into,644,tools/systemd/modules-load.conf,$(PREFIX)/lib/modules-load.d/sallyport.conf)
	$(Q)$(call into,755,tools/acme-hook,$(PREFIX)/share/sallyport/acme-hook)
	$(Q)$(call into,644,README.md,$(DOCDIR)/README.md)
	$(Q)$(call into,644,tools/metrics.md,$(DOCDIR)/metrics.md)
	$(Q)$(call into,644,LICENSE,$(DOCDIR)/copyright)
	$(Q)install -d $(DESTDIR)$(SYSCONFDIR)/sallyport

# A Debian package, in build/: built in a copy of the tree, where tools/debian stands as debian/. REUSE=1: from the objects that are
# built already (with Debian's flags or not), for tests.
deb:
	$(Q)tools/deb $(if $(REUSE),$(B))

clean:
	rm -rf build build-san

.PHONY: all unit check-unit check-vm helpers fuzz headers-check format-check install deb clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(B) -path $(B)/deb -prune -o -name '*.d' -print 2>/dev/null)
