/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of this server as a service of the main loop: made from yoke.conf and the
 * boot files, started, polled, recorded or replayed, and what happens when it ends.
 */
#ifndef KERNEL_GUEST_SERVICE_H
#define KERNEL_GUEST_SERVICE_H

#include "include/boot_info.h"
#include "kernel/guest.h"
#include "kernel/guest_devices.h"
#include "manage/config.h"
#include "manage/event.h"

/* The guest's firmware, among the boot files, for `guest.start = disk`. */
#define GUEST_FIRMWARE_FILE "bios-256k.bin"

/* A recording that comes in as a boot file, for `record.mode = replay`. */
#define GUEST_RECORDING_FILE "record.log"

/*
 * Gets processor, step counter, memory and `devices` ready. Start-up only, after
 * apic_init(). `boot`, `config` and `events` must stay. `pair` NULL: the guest is this server's alone. NULL, or one line that says why there is no guest.
 */
const char *guest_service_init(const struct boot_info *boot, const struct config *config,
			       const struct guest_devices *devices, struct event_log *events,
			       struct pair *pair);

/* Bytes of the guest's first serial port go here; set before the start. */
void guest_service_set_serial(void (*output)(const char *bytes, uint64_t size));

/*
 * Power-on, or on from guest_service_hold(). In a pair the pair powers it on; then this is
 * for a guest that is off. NULL, or one line that says why not.
 */
const char *guest_service_start(void);

/* ---- for the pair (lockstep/pair.h's actions) ---- */

/* Digest of all that both servers' guests must have in common: machine and boot files. */
uint64_t guest_service_identity(void);
/* Power-on, unless yoke.conf says that the guest waits for the console's word. */
void guest_service_boot(void);
/* Room for the other server's guest. NULL, or one line that says why there is none. */
const char *guest_service_prepare_join(void);
/* The other server's guest is loaded. */
void guest_service_joined(void);
/* It goes on here, where it is, and its time too. */
void guest_service_resume(void);
/* It goes on elsewhere, or never was whole here. */
void guest_service_discard(void);

/* Stops a running guest where it is; its time stands still meanwhile. */
void guest_service_hold(void);
/* In a pair: does the other server decide what happens to the guest? Then the console has to be used there. */
bool guest_service_follows(void);
bool guest_service_is_held(void);

/* Presses a button of the guest, which may be running, held (it goes on) or stopped by a fault. */
void guest_service_press(enum machine_button button);

/* How often the failure policy has restarted the guest. */
uint64_t guest_service_restarts(void);

/* For the main loop; true when the guest ran. */
bool guest_service_poll(void);

/* A byte typed for the guest's serial port; dropped when more than it can take is waiting. */
void guest_service_type(uint8_t byte);

/* For status and tests; good after guest_service_init(). */
struct guest *guest_service_guest(void);
const struct step_counter *guest_service_counter(void);

#endif
