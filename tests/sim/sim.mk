# SPDX-License-Identifier: Apache-2.0
# The pair simulator: two replicas of the very sources that go into the hypervisor,
# optimised, since a thousand seeds are run; unit tests have the sanitizers.

SIM_SOURCES := $(wildcard tests/sim/*.c lockstep/*.c include/*.c) nic/held_output.c tests/unit/host/trace.c tests/unit/host/assert.c
SIM_OBJECTS := $(SIM_SOURCES:%.c=$(B)/sim/%.o)
SIM_SEEDS ?= 1000

.PHONY: sim sim-seeds sim-mutations check-mutations

$(B)/sim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -I. $(WARNINGS) -DYOKE_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(B)/sim/sim: $(SIM_OBJECTS)
	$(CC) -o $@ $^

sim: $(B)/sim/sim ## one seed of the pair simulator, told step by step: SEED=n
	$(B)/sim/sim $(or $(SEED),1)

sim-seeds: $(B)/sim/sim ## many seeds of the pair simulator: SIM_SEEDS=n
	$(B)/sim/sim 1 $(SIM_SEEDS)

sim-mutations: $(B)/sim/sim ## plant known bugs: the pair simulator must find each
	$(PYTHON) tests/sim/mutations.py $(B)/sim

check-mutations: ## each planted bug's text still stands in the source
	@$(PYTHON) tests/sim/mutations.py --texts && $(PYTHON) tests/sim/mirror_mutations.py --texts

# The mirror simulator, likewise: what `make check` runs with the sanitizers and few seeds.
MIRROR_SIM_SOURCES := tests/unit/test_mirror_sim.c $(wildcard mirror/*.c include/*.c) tests/unit/host/trace.c \
		      tests/unit/host/assert.c
MIRROR_SIM_OBJECTS := $(MIRROR_SIM_SOURCES:%.c=$(B)/mirror-sim/%.o)

.PHONY: mirror-sim-seeds mirror-sim-mutations

$(B)/mirror-sim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -I. $(WARNINGS) -MMD -MP -c -o $@ $<

$(B)/mirror-sim/mirror-sim: $(MIRROR_SIM_OBJECTS)
	$(CC) -o $@ $^ -lcmocka

mirror-sim-seeds: $(B)/mirror-sim/mirror-sim ## many seeds of the mirror simulator: SIM_SEEDS=n
	$(B)/mirror-sim/mirror-sim 1 $(SIM_SEEDS) 500

mirror-sim-mutations: $(B)/mirror-sim/mirror-sim ## plant known bugs: the mirror simulator must find each
	$(PYTHON) tests/sim/mirror_mutations.py $(B)/mirror-sim

-include $(SIM_OBJECTS:.o=.d) $(MIRROR_SIM_OBJECTS:.o=.d)
