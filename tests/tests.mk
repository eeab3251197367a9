# SPDX-License-Identifier: Apache-2.0
# Three rings: host unit tests and fuzzers (`make check`), the pair simulator,
# and servers in QEMU (`make test`). All pure cores and drivers are compiled for
# the host into one archive; a test that brings its own model of something (PCI,
# MMIO, time ...) simply defines those functions, and the archive's stay out.

HOST_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -I. $(WARNINGS)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

# Files of kernel/ that are pure enough to be tested on the host.
KERNEL_HOST_SOURCES := $(wildcard kernel/boot_info.c kernel/acpi.c kernel/page_map.c kernel/pci_config.c kernel/trace_ring.c kernel/gpt.c kernel/cpu.c kernel/guest_door.c kernel/svm/npt.c)
HOST_SOURCES := $(BOOT_HOST_SOURCES) $(wildcard include/*.c drivers/*.c machine/*.c lockstep/*.c mirror/*.c nic/*.c manage/*.c tests/unit/host/*.c) \
		$(KERNEL_HOST_SOURCES)
HOST_OBJECTS := $(HOST_SOURCES:%.c=$(B)/host/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/host/%,$(wildcard tests/unit/test_*.c))

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

# Fuzzers (tests/fuzz/fuzz.h). In `make check` each gets FUZZ_INPUTS inputs that
# FUZZ_SEED decides; a run that passed is not repeated until its program changes.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SEED ?= 1
FUZZ_INPUTS ?= 100000
FUZZ_SECONDS ?= 60
FUZZ_RESULTS := $(FUZZ_NAMES:%=$(B)/fuzz/%.$(FUZZ_SEED).$(FUZZ_INPUTS).passed)

$(FUZZ_NAMES:%=$(B)/fuzz/seeded_%): $(B)/fuzz/seeded_%: tests/fuzz/fuzz_%.c tests/fuzz/run_seeded.c tests/fuzz/verdict.c \
		$(B)/host/libyoke.a
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $(SANITIZE) -MMD -MP -MF $@.d -o $@ $(filter %.c %.a,$^)

$(B)/fuzz/%.$(FUZZ_SEED).$(FUZZ_INPUTS).passed: $(B)/fuzz/seeded_% $(wildcard tests/fuzz/corpus/*/*)
	@$< tests/fuzz/corpus/$* $(FUZZ_INPUTS) $(FUZZ_SEED) > $@.new 2>&1 || { cat $@.new; \
		echo "FAILED; alone: make $< && $< tests/fuzz/corpus/$* $(FUZZ_INPUTS) $(FUZZ_SEED)"; exit 1; }
	@cat $@.new
	@mv $@.new $@

# The same targets under clang's libFuzzer. What it finds stays in build/fuzz/found/.
LIBFUZZER_CFLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -I. -fsanitize=fuzzer-no-link,address,undefined \
		    -fno-sanitize-recover=all
LIBFUZZER_OBJECTS := $(HOST_SOURCES:%.c=$(B)/libfuzzer/%.o)
LIBFUZZER_PROGRAMS := $(FUZZ_NAMES:%=$(B)/fuzz/libfuzzer_%)

$(B)/libfuzzer/%.o: %.c
	@mkdir -p $(@D)
	clang $(LIBFUZZER_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libfuzzer/libyoke.a: $(LIBFUZZER_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(LIBFUZZER_PROGRAMS): $(B)/fuzz/libfuzzer_%: tests/fuzz/fuzz_%.c tests/fuzz/verdict.c $(B)/libfuzzer/libyoke.a
	@mkdir -p $(@D)
	clang $(LIBFUZZER_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $(filter %.c %.a,$^)

.PHONY: fuzz
fuzz: $(LIBFUZZER_PROGRAMS) ## every fuzz target under libFuzzer for FUZZ_SECONDS (60) each; needs clang
	@for name in $(FUZZ_NAMES); do \
		mkdir -p $(B)/fuzz/found/$$name && \
		$(B)/fuzz/libfuzzer_$$name -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -print_final_stats=1 \
			-artifact_prefix=$(B)/fuzz/crash-$$name- $(B)/fuzz/found/$$name tests/fuzz/corpus/$$name \
			> $(B)/fuzz/libfuzzer_$$name.log 2>&1 || { tail -60 $(B)/fuzz/libfuzzer_$$name.log; exit 1; }; \
		echo "fuzz: $$name: $$(grep -o 'number_of_executed_units: .*' $(B)/fuzz/libfuzzer_$$name.log), no crash"; \
	done

UNIT_RUNS := $(UNIT_TESTS:%=run-%)
.PHONY: $(UNIT_RUNS)
$(UNIT_RUNS): run-%: %
	@$< > $<.log 2>&1 || { cat $<.log; echo "FAILED; alone: make $< && $<"; exit 1; }

check: check-layers check-headers check-mutations $(UNIT_RUNS) $(FUZZ_RESULTS) ## unit tests, no QEMU, under a minute
	@echo "check: $(words $(UNIT_TESTS)) unit test programs passed"

-include $(HOST_OBJECTS:.o=.d) $(UNIT_TESTS:=.d) $(FUZZ_NAMES:%=$(B)/fuzz/seeded_%.d)
-include $(LIBFUZZER_OBJECTS:.o=.d) $(LIBFUZZER_PROGRAMS:=.d)

# Servers in QEMU, two tests side by side where Debian's pytest-xdist is there.
# Tests that run two servers at once come last, alone.
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider --rootdir=. -q --tb=short --durations=10
SIDE_BY_SIDE = $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses=2)

TEST_STARTED := $(shell date +%s)

.PHONY: test soak bench
ifdef TEST
test:
	@$(PYTEST) '$(TEST)'
else
test: check all sim-seeds sim-mutations mirror-sim-seeds mirror-sim-mutations $(BOOT_TESTED) ## all tests; TEST=tests/pair/test_x.py::test_y runs one
	@result=passed; \
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not pair' tests/pair || result=FAILED; \
	if grep -q 'mark[.]pair' tests/pair/test_*.py; then $(PYTEST) -m pair tests/pair || result=FAILED; fi; \
	echo "test: $$result after $$(($$(date +%s) - $(TEST_STARTED))) s, all that came before the tests in QEMU included"; [ $$result = passed ]
endif

# Ten times the simulator's seeds, fuzzers under libFuzzer, and the tests with the `rounds`
# fixture, which go round far more often here than in `make test`.
SOAK_ROUNDS ?= 1
soak: all $(BOOT_TESTED) ## the long runs; SOAK_ROUNDS=n makes them n times as long
	$(MAKE) sim-seeds mirror-sim-seeds SIM_SEEDS=$$((10000 * $(SOAK_ROUNDS)))
	$(MAKE) fuzz FUZZ_SECONDS=$$((60 * $(SOAK_ROUNDS)))
	SOAK_ROUNDS=$(SOAK_ROUNDS) $(PYTEST) -m soak tests/pair

bench: all ## measure and compare with the targets; BENCH=boot for one
	@$(PYTHON) -m tests.bench $(BENCH)
