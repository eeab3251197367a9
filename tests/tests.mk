# SPDX-License-Identifier: Apache-2.0
# Three rings: host unit tests and fuzzers (`make check`), the pair simulator,
# and servers in QEMU (`make test`). All pure cores and drivers are compiled for
# the host into one archive; a test that brings its own model of something (PCI,
# MMIO, time ...) simply defines those functions, and the archive's stay out.

HOST_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -I. $(WARNINGS)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

# Files of kernel/ that are pure enough to be tested on the host.
KERNEL_HOST_SOURCES := $(wildcard kernel/boot_info.c kernel/acpi.c kernel/page_map.c kernel/pci_config.c kernel/trace_ring.c kernel/gpt.c)
HOST_SOURCES := $(BOOT_HOST_SOURCES) $(wildcard include/*.c drivers/*.c machine/*.c lockstep/*.c mirror/*.c nic/*.c manage/*.c tests/unit/host/*.c) \
		$(KERNEL_HOST_SOURCES)
HOST_OBJECTS := $(HOST_SOURCES:%.c=$(B)/host/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/host/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: host-tests check
host-tests: $(UNIT_TESTS)

$(B)/host/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

$(B)/host/libyoke.a: $(HOST_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(UNIT_TESTS): $(B)/host/test_%: tests/unit/test_%.c $(B)/host/libyoke.a
	$(CC) $(HOST_CFLAGS) $(SANITIZE) -MMD -MP -MF $@.d -o $@ $< $(B)/host/libyoke.a -lcmocka

check: $(UNIT_TESTS) check-layers check-headers ## unit tests, no QEMU, under a minute
	@failed=0; for t in $(UNIT_TESTS); do \
		$$t > $$t.log 2>&1 || { failed=1; cat $$t.log; echo "FAILED; alone: make $$t && $$t"; }; \
	done; [ $$failed = 0 ] && echo "check: $(words $(UNIT_TESTS)) unit test programs passed"

-include $(HOST_OBJECTS:.o=.d) $(UNIT_TESTS:=.d)

# Servers in QEMU, two tests side by side where Debian's pytest-xdist is there.
# Tests that run two servers at once come last, alone.
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider --rootdir=. -q --tb=short --durations=10
SIDE_BY_SIDE = $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses=2)

.PHONY: test soak bench
ifdef TEST
test: kernel
	$(PYTEST) '$(TEST)'
else
test: check kernel ## all tests; TEST=tests/pair/test_x.py::test_y runs one
	@started=$$SECONDS; result=passed; export YOKE_BUILT=1; \
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not pair' tests/pair || result=FAILED; \
	$(PYTEST) -m pair tests/pair || [ $$? = 5 ] || result=FAILED; \
	echo "test: $$result after $$((SECONDS - started)) s"; [ $$result = passed ]
endif

# Tests with the `rounds` fixture are the long ones: many more rounds here than in `make test`.
SOAK_ROUNDS ?= 1
soak: kernel ## the long runs; SOAK_ROUNDS=n makes them n times as long
	SOAK_ROUNDS=$(SOAK_ROUNDS) $(PYTEST) -m soak tests/pair

bench: kernel ## measure and compare with the targets; BENCH=boot for one
	@$(PYTHON) -m tests.bench $(BENCH)
