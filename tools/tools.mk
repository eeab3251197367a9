# SPDX-License-Identifier: Apache-2.0
# Checks of the source itself.

CODE_FOLDERS := include boot kernel kernel/svm kernel/vmx drivers machine lockstep mirror nic manage
HEADERS := $(wildcard $(CODE_FOLDERS:%=%/*.h))
SOURCES_C := $(wildcard $(CODE_FOLDERS:%=%/*.c))
TEST_CODE := $(wildcard tests/*/*.[ch] tests/*/*/*.[ch])
# With GNU-EFI's or Newlib's own headers, which only their own builds know.
VENDOR_CODE := $(wildcard boot/efi_*.[ch] kernel/newlib_glue.c)

.PHONY: check-layers check-headers
check-layers: ## prove from the #include lines that each folder includes only what it may
	@$(PYTHON) tools/check_layers.py
	@$(PYTHON) tools/test_checks.py 2> $(B)/test_checks.log || { cat $(B)/test_checks.log; exit 1; }

check-headers: ## compile each header alone; licence lines and include guards
	@for h in $(filter-out $(VENDOR_CODE),$(HEADERS)); do \
		echo "#include \"$$h\"" | $(CC) -std=gnu11 -I. $(WARNINGS) -fsyntax-only -x c - || \
			{ echo "$$h: not self-standing"; exit 1; }; \
	done
	@$(PYTHON) tools/check_headers.py $(HEADERS) $(SOURCES_C) $(TEST_CODE)

# Network namespaces and the guest's disk are made as root.
AS_ROOT = $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: demo run debug
demo: image kernel ## both servers die in turn under a database that must not notice: ROUNDS=3
	@$(AS_ROOT) $(PYTHON) tools/demo.py $(if $(ROUNDS),--rounds $(ROUNDS))

run: image kernel ## the pair with a Debian guest on this terminal; FRESH=1 for new disks; SERVERS=1 for one server, UEFI=1 by UEFI
ifeq ($(SERVERS),1)
	@$(PYTHON) tools/server.py $(if $(UEFI),--uefi)
else
	@$(AS_ROOT) $(PYTHON) tools/run.py $(if $(FRESH),--fresh)
endif

debug: image kernel ## one server in QEMU that waits for gdb; prints the gdb command
	@$(PYTHON) tools/server.py --debug

# What runs on the host is left to the sanitizers; gcc has its say when it compiles.
TIDY_FLAGS = -std=gnu11 -O2 -ffreestanding -mno-red-zone -fno-strict-aliasing -Wall -Wextra -I. -nostdinc \
	     -isystem $(shell clang -print-resource-dir 2>/dev/null)/include -isystem $(B)/newlib/include

# A file is looked at again only when it, or a header of ours, has changed.
TIDY_RESULTS := $(patsubst %.c,$(B)/tidy/%.passed,$(filter-out boot/efi_%,$(SOURCES_C)))
.PHONY: analyze cppcheck format check-format
analyze: cppcheck $(TIDY_RESULTS) ## cppcheck and clang-tidy over the hypervisor and its pure cores
	@echo "analyze: nothing found"

cppcheck:
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --suppressions-list=tools/cppcheck.txt --std=c11 --platform=unix64 \
		--enable=warning,performance,portability -I. $(filter-out boot/efi_%,$(SOURCES_C))

$(B)/tidy/%.passed: %.c .clang-tidy $(HEADERS) $(B)/newlib/libc.a
	@mkdir -p $(@D)
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(TIDY_FLAGS) > $@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@

# The tables of registers are laid out by hand: a bit's name is indented below its register's.
FORMATTED = git ls-files '*.c' '*.h' ':!*_reg.h'

format: ## bring all C sources into the style of .clang-format
	@clang-format -i $$($(FORMATTED))

check-format: ## list the C files that `make format` would change
	@for f in $$($(FORMATTED)); do clang-format $$f | cmp -s $$f - || echo $$f; done
