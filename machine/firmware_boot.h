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

/*
 * Places `image` and sets `vcpu` to its reset state; at power-on and again after
 * each reset, because the guest may have written over either copy. Returns NULL, or
 * one line that says what is wrong: the image's size must be the memory's
 * firmware_size, a multiple of 64 KiB from 128 KiB.
 */
const char *machine_firmware_boot(const struct guest_memory *memory, const uint8_t *image,
				  uint64_t image_size, struct vcpu_state *vcpu);

#endif
