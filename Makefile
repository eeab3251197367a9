# SPDX-License-Identifier: Apache-2.0
# Yoke. `make help` lists what can be asked for. Every line of a target's help
# stands behind its `##`. The parts are in the .mk file of each folder.

SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

B := build
CC := gcc
PYTHON := /usr/bin/python3

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	    -Wundef -Wvla -Wcast-align -Wwrite-strings -Werror

VERSION := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

include boot/boot.mk
include kernel/kernel.mk
include tests/tests.mk
include tools/tools.mk

.PHONY: all clean help

all: kernel image host-tests ## build everything

clean: ## remove what was built (build/)
	rm -rf $(B)

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'
