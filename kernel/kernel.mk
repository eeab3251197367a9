# SPDX-License-Identifier: Apache-2.0
# The hypervisor: one ELF64 file out of every .c and .S of its folders.

KERNEL_FLAGS := -ffreestanding -fno-pie -fno-pic -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
		-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
		-fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-strict-aliasing -fno-common
# Built-in string functions: without them each memcpy of 8 bytes is a call of a hundred instructions.
KERNEL_CFLAGS := -std=gnu11 -O2 -g $(KERNEL_FLAGS) -fbuiltin -Wno-format-truncation $(WARNINGS) -I. -nostdinc \
		 -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) -isystem $(B)/newlib/include

KERNEL_SOURCES := $(wildcard include/*.c kernel/*.c kernel/svm/*.c drivers/*.c machine/*.c lockstep/*.c mirror/*.c nic/*.c manage/*.c) \
		  $(BOOT_KERNEL_SOURCES)
KERNEL_ASSEMBLY := $(wildcard kernel/*.S kernel/svm/*.S) boot/start.S
KERNEL_OBJECTS := $(KERNEL_ASSEMBLY:%.S=$(B)/kernel/%.S.o) $(KERNEL_SOURCES:%.c=$(B)/kernel/%.o)

# Only boot/ and kernel/ are linked whole; of the other folders, what something uses.
KERNEL_WHOLE := $(filter $(B)/kernel/kernel/% $(B)/kernel/boot/%,$(KERNEL_OBJECTS))
KERNEL_LIBRARY := $(B)/kernel/libyoke.a

.PHONY: kernel test-kernel
kernel: $(B)/yoke.elf $(B)/yoke.elf32 test-kernel ## build the hypervisor: build/yoke.elf
test-kernel: $(B)/yoke-test.elf32 ## build the hypervisor with its self-tests: build/yoke-test.elf32
.SECONDARY: $(B)/yoke-test.elf

$(B)/kernel/%.o: %.c $(B)/newlib/libc.a
	@mkdir -p $(@D)
	$(CC) $(KERNEL_CFLAGS) -MMD -MP -c -o $@ $<

# Its loops must not be compiled into calls of themselves.
$(B)/kernel/kernel/memory_copy.o: KERNEL_CFLAGS += -fno-builtin -fno-tree-loop-distribute-patterns

$(B)/kernel/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) -g $(KERNEL_FLAGS) -I. -MMD -MP -c -o $@ $<

# The version is compiled alone, so that a commit rebuilds one small file.
$(B)/kernel/version.o: FORCE
	@mkdir -p $(@D)
	@printf 'const char yoke_version[] = "%s";\n' '$(VERSION)' > $(B)/kernel/version.c.new
	@cmp -s $(B)/kernel/version.c.new $(B)/kernel/version.c || mv $(B)/kernel/version.c.new $(B)/kernel/version.c
	@[ $@ -nt $(B)/kernel/version.c ] || $(CC) $(KERNEL_FLAGS) -c -o $@ $(B)/kernel/version.c
.PHONY: FORCE
FORCE:

$(KERNEL_LIBRARY): $(filter-out $(KERNEL_WHOLE),$(KERNEL_OBJECTS))
	@rm -f $@
	ar rcs $@ $^

# Linked twice: the second time with the symbol table that the first link gave,
# so that a fail-stop can name the functions in its backtrace.
LINK = $(CC) -nostdlib -static -no-pie -Wl,-T,kernel/linker.ld -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments
KERNEL_LINK_INPUTS := $(KERNEL_WHOLE) $(B)/kernel/version.o
KERNEL_LINK_LIBRARIES := $(KERNEL_LIBRARY) $(B)/newlib/libc.a
KERNEL_LINK_SCRIPTS := kernel/linker.ld kernel/symbols.py $(KERNEL_LINK_LIBRARIES)

# $(1): the image's name, $(2): its objects
define link_kernel
	@: | $(PYTHON) kernel/symbols.py > $(B)/$(1).symbols.S
	@$(CC) -c -o $(B)/$(1).symbols.o $(B)/$(1).symbols.S
	$(LINK) -o $(B)/$(1).stage1 $(2) $(B)/$(1).symbols.o $(KERNEL_LINK_LIBRARIES) -lgcc
	@nm -n $(B)/$(1).stage1 | $(PYTHON) kernel/symbols.py > $(B)/$(1).symbols.S
	@$(CC) -c -o $(B)/$(1).symbols.o $(B)/$(1).symbols.S
	$(LINK) -o $(B)/$(1).elf.tmp $(2) $(B)/$(1).symbols.o $(KERNEL_LINK_LIBRARIES) -lgcc
	@nm -n $(B)/$(1).elf.tmp > $(B)/$(1).sym
	@mv $(B)/$(1).elf.tmp $(B)/$(1).elf
endef

$(B)/yoke.elf: $(KERNEL_LINK_INPUTS) $(KERNEL_LINK_SCRIPTS)
	$(call link_kernel,yoke,$(KERNEL_LINK_INPUTS))

# The same objects with the in-kernel tests (kernel/self_test.h): never shipped.
SELF_TEST_OBJECTS := $(patsubst %.c,$(B)/kernel/%.o,$(wildcard tests/guest/*.c)) \
		     $(patsubst %.S,$(B)/kernel/%.S.o,$(wildcard tests/guest/*.S))
$(B)/yoke-test.elf: $(KERNEL_LINK_INPUTS) $(SELF_TEST_OBJECTS) $(KERNEL_LINK_SCRIPTS)
	$(call link_kernel,yoke-test,$(KERNEL_LINK_INPUTS) $(SELF_TEST_OBJECTS))

# Multiboot 1 loaders (QEMU -kernel, iPXE on BIOS) take ELF32 only: same bytes, other headers.
$(B)/%.elf32: $(B)/%.elf
	objcopy --strip-debug -O elf32-i386 $< $@

# Newlib's string, ctype, strto* and integer printf, compiled for the kernel's flags.
NEWLIB_TARBALL := $(firstword $(wildcard /usr/src/newlib/newlib-*.tar.*))
$(B)/newlib/libc.a: kernel/newlib.sh
	CC="$(CC)" KERNEL_FLAGS="$(KERNEL_FLAGS)" bash kernel/newlib.sh "$(NEWLIB_TARBALL)" $(B)/newlib

-include $(KERNEL_OBJECTS:.o=.d) $(SELF_TEST_OBJECTS:.o=.d)
