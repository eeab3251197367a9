# SPDX-License-Identifier: Apache-2.0
# Checks of the source itself.

HEADERS := $(filter-out drivers/%_model.h,$(wildcard include/*.h kernel/*.h kernel/svm/*.h drivers/*.h machine/*.h lockstep/*.h mirror/*.h nic/*.h manage/*.h))
SOURCES_C := $(wildcard include/*.c boot/*.c kernel/*.c kernel/svm/*.c drivers/*.c machine/*.c lockstep/*.c mirror/*.c nic/*.c manage/*.c)

.PHONY: check-layers check-headers
check-layers: ## prove from the #include lines that each folder includes only what it may
	@$(PYTHON) tools/check_layers.py

check-headers: ## compile each header alone
	@for h in $(HEADERS); do echo "#include \"$$h\"" | $(CC) -std=gnu11 -I. $(WARNINGS) -fsyntax-only -x c - || { echo "$$h: not self-standing"; exit 1; }; done

.PHONY: run debug
run: image ## one server in QEMU, its console on this terminal; UEFI=1 for UEFI
	@$(PYTHON) tools/run.py $(if $(UEFI),--uefi)

debug: image kernel ## one server in QEMU that waits for gdb; prints the gdb command
	@$(PYTHON) tools/run.py --debug

# What runs on the host is left to the sanitizers; gcc has its say when it compiles.
TIDY_FLAGS = -std=gnu11 -O2 -ffreestanding -mno-red-zone -fno-strict-aliasing -Wall -Wextra -I. -nostdinc \
	     -isystem $(shell clang -print-resource-dir 2>/dev/null)/include -isystem $(B)/newlib/include

.PHONY: analyze format
analyze: $(B)/newlib/libc.a ## cppcheck and clang-tidy over the hypervisor and its pure cores
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --suppressions-list=tools/cppcheck.txt --std=c11 --platform=unix64 \
		--enable=warning,performance,portability -I. $(filter-out boot/efi_%,$(SOURCES_C))
	@clang-tidy --quiet --warnings-as-errors='*' $(filter-out boot/efi_%,$(SOURCES_C)) -- $(TIDY_FLAGS)
	@echo "analyze: nothing found"

format: ## bring all C sources into the style of .clang-format
	@clang-format -i $$(git ls-files '*.c' '*.h')
