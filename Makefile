# SPDX-License-Identifier: Apache-2.0
# Yoke. `make help` lists what can be asked for. Every line of a target's help
# stands behind its `##`. The parts are in the .mk file of each folder.

SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# All processors, and no command lines (V=1 shows them).
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += --jobs=$(shell nproc)
endif
ifndef V
MAKEFLAGS += --silent
endif

B := build
CC := gcc
PYTHON := /usr/bin/python3

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	    -Wundef -Wvla -Wcast-align -Wwrite-strings -Werror

VERSION := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# Debian packages first (tools/packages.txt). The stamp is an included file, so make
# brings it up to date before anything else, and then starts again: what the other
# parts ask the compiler while they are read finds it installed.
GOALS := $(or $(MAKECMDGOALS),all)
ifneq ($(filter-out clean help,$(GOALS)),)
SETUP_GROUPS := build $(if $(filter run demo debug test soak bench,$(GOALS)),test) $(if $(filter analyze format fuzz soak,$(GOALS)),analyze)
NOTHING :=
SPACE := $(NOTHING) $(NOTHING)
SETUP_STAMP := $(B)/setup/$(subst $(SPACE),-,$(strip $(SETUP_GROUPS))).mk
-include $(SETUP_STAMP)
$(SETUP_STAMP): tools/packages.txt tools/setup.sh
	@bash tools/setup.sh $(SETUP_GROUPS)
	@mkdir -p $(@D) && touch $@
endif

ifeq ($(SETUP_STAMP),$(wildcard $(SETUP_STAMP)))
include boot/boot.mk
include kernel/kernel.mk
include tests/tests.mk
include tests/sim/sim.mk
include tools/tools.mk
else
# Reached only when setup.sh could not: it has said why.
.PHONY: $(GOALS)
$(GOALS):
	@exit 1
endif

.PHONY: all clean help

all: kernel image host-tests ## build everything

clean: ## remove what was built (build/)
	rm -rf $(B)

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-21s %s\n", $$1, $$2}'
