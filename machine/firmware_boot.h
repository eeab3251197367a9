/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the guest as a real server starts: its firmware (SeaBIOS) is put at the
 * top of the first 4 GiB and its last 128 KiB below 1 MiB, the processor comes out
 * of reset. The firmware then boots from the guest's first disk.
 */
#ifndef MACHINE_FIRMWARE_BOOT_H
#define MACHINE_FIRMWARE_BOOT_H

#include "include/bits.h"
#include "include/vcpu_state.h"
#include "machine/guest_memory.h"

/* NULL when `image` is one to boot, or one line that says what is wrong with it. */
const char *machine_firmware_check(const uint8_t *image, uint64_t image_size);

/*
 * Places `image`, which has passed the check and is of the memory's firmware_size,
 * and sets `vcpu` to its reset state; at power-on and again after each reset, because
 * the guest may have written over either copy.
 */
void machine_firmware_boot(const struct guest_memory *memory, const uint8_t *image, struct vcpu_state *vcpu);

#endif
