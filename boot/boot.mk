# SPDX-License-Identifier: Apache-2.0
# From firmware to kernel_main.

# Part of the kernel's own ELF file, beside start.S.
BOOT_KERNEL_SOURCES := boot/handover.c boot/multiboot.c boot/multiboot_entry.c
# Pure enough to be tested on the host.
BOOT_HOST_SOURCES := boot/handover.c boot/kernel_image.c boot/multiboot.c boot/page_tables.c

# The UEFI loader, with GNU-EFI (flags as its own Makefile has them). C calls the
# firmware by its calling convention directly, hence GNU_EFI_USE_MS_ABI; its
# interfaces take constant strings without saying const.
EFI_SOURCES := boot/efi_loader.c boot/efi_serial.c boot/handover.c boot/kernel_image.c boot/page_tables.c
EFI_OBJECTS := $(EFI_SOURCES:%.c=$(B)/efi/%.o)
EFI_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fpic -fshort-wchar -mno-red-zone -mgeneral-regs-only -maccumulate-outgoing-args \
	      -fno-stack-protector -fcf-protection=none -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	      -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(WARNINGS) -Wno-write-strings -I.
EFI_LINK := ld -nostdlib -znocombreloc -shared -Bsymbolic -znoexecstack --no-undefined --no-warn-rwx-segments \
	    -T /usr/lib/elf_x86_64_efi.lds /usr/lib/crt0-efi-x86_64.o

$(B)/efi/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(EFI_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/yoke_loader.so: $(EFI_OBJECTS)
# A program for the tests, which stands in the loader's way.
$(B)/efi_meddler.so: $(B)/efi/tests/efi/meddler.o
$(B)/yoke_loader.so $(B)/efi_meddler.so:
	$(EFI_LINK) -o $@ $^ -L /usr/lib -lefi -lgnuefi

$(B)/%.efi: $(B)/%.so
	objcopy -j .text -j .sdata -j .data -j .dynamic -j .rodata -j .dynsym -j .rel -j .rela -j .rel.* -j .rela.* -j .reloc \
		--target efi-app-x86_64 --subsystem=10 $< $@

-include $(EFI_OBJECTS:.o=.d) $(B)/efi/tests/efi/meddler.d

# What a boot needs, in one folder: the EFI system partition's /yoke is made from
# it, and a TFTP server for network boot can serve it as it is.
BOOT_FILES := $(addprefix $(B)/boot/,yoke.elf yoke.elf32 yoke_loader.efi yoke.ipxe yoke.conf bios-256k.bin)

.PHONY: netboot image
netboot: $(BOOT_FILES) ## fill build/boot/ with what a network boot by iPXE fetches

$(B)/boot/yoke.elf: $(B)/yoke.elf
	@mkdir -p $(@D)
	objcopy --strip-all $< $@
$(B)/boot/yoke.elf32 $(B)/boot/yoke_loader.efi: $(B)/boot/%: $(B)/%
	@mkdir -p $(@D)
	@cp $< $@
# The guest's firmware: SeaBIOS as Debian built it (kernel/guest_service.h names the file).
$(B)/boot/bios-256k.bin: /usr/share/seabios/bios-256k.bin
	@mkdir -p $(@D)
	@cp $< $@
$(B)/boot/yoke.ipxe $(B)/boot/yoke.conf: $(B)/boot/%: boot/%
	@mkdir -p $(@D)
	@cp $< $@

# What the tests of booting want built.
BOOT_TESTED := $(BOOT_FILES) $(B)/yoke.img $(B)/efi_meddler.efi

# GRUB with all that its configuration uses inside, so that it reads nothing but
# that configuration and our files.
GRUB_MODULES := biosdisk part_gpt fat normal configfile multiboot2 regexp test serial terminal echo ls cat reboot halt
$(B)/grub/core.img: boot/boot.mk
	@mkdir -p $(@D)
	grub-mkimage -O i386-pc -p '(,gpt2)/boot/grub' -o $@ $(GRUB_MODULES)

image: $(B)/yoke.img ## build the disk image for a server's second disk: build/yoke.img
$(B)/yoke.img: $(BOOT_FILES) $(B)/grub/core.img boot/grub.cfg tools/image.py include/yoke_guid.h
	$(PYTHON) tools/image.py --output $@ $(IMAGE_OPTIONS)
