/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual server around its processor: a PC with i440FX-like chipset, one
 * CPU, virtio devices. A pure state machine: `struct machine` is flat and without
 * pointers, so a snapshot is a copy and a digest is a hash; nothing in here reads
 * a clock, does I/O, allocates or calls back. The guest's memory is passed beside.
 *
 * How the run loop drives it:
 *
 *     entry   event = machine_nmi_pending() / machine_interrupt_pending(&vector)
 *     exit    1. was the interrupt taken? machine_interrupt_acknowledge(vector)
 *             2. if machine_reads_time(access): get a time value through the log,
 *                machine_time_set(value)
 *             3. machine_port_*, machine_mmio_*, machine_msr_*, machine_cpuid
 *             4. machine_output_take() until it answers false
 *     input   machine_input() at the input's position, then step 4
 *
 * Time stands still in here: `now_ns` changes by machine_time_set() alone, whose
 * values come through the log. Timers expire in that call and nowhere else. The
 * leader gives the machine a time at or soon after machine_next_deadline_ns().
 *
 * A guest cannot make any of this fail: what hardware would ignore is ignored,
 * what is not there reads as all ones. Calls that return bool tell whether the
 * processor must raise a fault (#GP for MSRs) instead.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "include/bits.h"
#include "include/vcpu_state.h"
#include "machine/guest_memory.h"
#include "machine/fw_cfg.h"
#include "machine/ioapic.h"
#include "machine/keyboard.h"
#include "machine/lapic.h"
#include "machine/msr.h"
#include "machine/pci.h"
#include "machine/pic.h"
#include "machine/pit.h"
#include "machine/pm.h"
#include "machine/rtc.h"
#include "machine/uart.h"
#include "machine/vga.h"
#include "machine/watchdog.h"
#include "machine/virtio.h"

#define MACHINE_DISK_MAX 4
#define MACHINE_NET_PORT_MAX 4
#define MACHINE_MAC_SIZE 6
#define MACHINE_SERIAL_SIZE 20 /* virtio-blk's identification string, not NUL-terminated when full */
#define MACHINE_UUID_SIZE 16

/*
 * The guest's TSC counts nanoseconds of virtual time, on whatever processor, so
 * that it never jumps in speed when the other server takes over.
 */
#define MACHINE_TSC_KHZ 1000000

/* Version of the virtual server, told in CPUID: raised when what a guest can see changes. */
#define MACHINE_VERSION 1

/*
 * What the virtual server is made of. Equal on both servers: part of the state.
 * Zero it before filling it in. Checked by machine_config_check().
 */
struct machine_config {
	uint64_t memory_size; /* bytes: multiple of 2 MiB, at least 16 MiB */
	uint64_t epoch_s;     /* UTC seconds since 1970 when now_ns is 0; MACHINE_INPUT_DATE says more */

	uint32_t disk_count;
	uint32_t net_port_count;
	struct machine_disk_config {
		uint64_t sector_count; /* of 512 bytes */
		char serial[MACHINE_SERIAL_SIZE];
		uint8_t read_only;
		uint8_t large_sectors; /* 1: the guest is to use whole sectors of 4096 bytes, else of 512 */
		uint8_t reserved[2];
	} disks[MACHINE_DISK_MAX];
	struct machine_net_config {
		uint8_t mac[MACHINE_MAC_SIZE];
		uint8_t reserved[2];
	} net_ports[MACHINE_NET_PORT_MAX];

	uint8_t uuid[MACHINE_UUID_SIZE]; /* SMBIOS system UUID */
	uint8_t has_avx;		 /* show XSAVE and AVX to the guest */
	uint8_t has_virtio_console;	 /* beside COM1 */
	uint8_t has_watchdog;
	uint8_t reserved[5];
};

/* NULL, or one line that names what is wrong with `config`. */
const char *machine_config_check(const struct machine_config *config);

/* ---- inputs: all that is undetermined, each at its logged position ---- */

enum machine_input_kind {
	MACHINE_INPUT_TIME = 1,	       /* time_ns */
	MACHINE_INPUT_FRAME,	       /* index = port; data, size: an Ethernet frame without FCS */
	MACHINE_INPUT_LINK,	       /* index = port; value = 1 up, 0 down */
	MACHINE_INPUT_DISK_COMPLETION, /* index = disk; request, status; data, size of a read */
	MACHINE_INPUT_SERIAL,	       /* data, size: bytes received on COM1 */
	MACHINE_INPUT_VIRTIO_CONSOLE,  /* data, size: bytes for the virtio console */
	MACHINE_INPUT_KEYBOARD,	       /* data, size: scan codes, set 2 */
	MACHINE_INPUT_ENTROPY,	       /* data, size: random bytes that were asked for */
	MACHINE_INPUT_BUTTON,	       /* value: enum machine_button */
	MACHINE_INPUT_DATE,	       /* value: UTC seconds since 1970, for the battery-backed clock */
};

enum machine_button {
	MACHINE_BUTTON_POWER = 1, /* ACPI power button: the guest shuts down */
	MACHINE_BUTTON_NMI,
	MACHINE_BUTTON_RESET,
	MACHINE_BUTTON_POWER_CUT, /* off at once */
};

enum machine_disk_status {
	MACHINE_DISK_OK,
	MACHINE_DISK_ERROR, /* the guest sees an I/O error */
	MACHINE_DISK_UNSUPPORTED,
};

struct machine_input {
	uint32_t kind; /* enum machine_input_kind */
	uint32_t index;
	uint64_t time_ns;
	uint32_t request;
	uint32_t status; /* enum machine_disk_status */
	uint32_t value;
	uint32_t size;	     /* bytes at `data` */
	const uint8_t *data; /* read during the call only */
};

/* ---- outputs: what the guest wants done outside ---- */

enum machine_output_kind {
	MACHINE_OUTPUT_SERIAL = 1,     /* data: bytes the guest sent on COM1 */
	MACHINE_OUTPUT_DEBUG,	       /* data: bytes on the firmware's debug port 0x402 */
	MACHINE_OUTPUT_VIRTIO_CONSOLE, /* data */
	MACHINE_OUTPUT_FRAME,	       /* index = port; data: an Ethernet frame without FCS */
	MACHINE_OUTPUT_DISK,	       /* index = disk; disk */
	MACHINE_OUTPUT_ENTROPY,	       /* value = bytes wanted, at most MACHINE_ENTROPY_MAX */
	MACHINE_OUTPUT_POWER,	       /* value: enum machine_power */
};

#define MACHINE_ENTROPY_MAX 4096

enum machine_power {
	MACHINE_POWER_OFF = 1,	/* the guest switched itself off */
	MACHINE_POWER_RESET,	/* the guest asked for a reset; the loop calls machine_reset() and boots it */
	MACHINE_POWER_WATCHDOG, /* the guest's watchdog ran out: restart or stop, as configured */
};

enum machine_disk_operation {
	MACHINE_DISK_READ,
	MACHINE_DISK_WRITE,
	MACHINE_DISK_FLUSH,
	MACHINE_DISK_DISCARD,
	MACHINE_DISK_WRITE_ZEROES,
};

#define MACHINE_DISK_SEGMENT_MAX 64
#define MACHINE_DISK_TRANSFER_MAX (256 * KIB)
#define MACHINE_DISK_SIZE_UNDER_WAY_MAX (1 * MIB) /* of reads and writes at one disk together, likewise */
#define MACHINE_DISK_REQUEST_MAX                                                                             \
	128 /* under way at one disk, those of a driver that reset it meanwhile aside */

struct machine_disk_segment {
	uint64_t gpa; /* checked: all of it is guest memory */
	uint32_t size;
	uint32_t reserved;
};

/*
 * A request of the guest. The loop copies a write's data out of guest memory before
 * the guest runs again, and answers each request with one DISK_COMPLETION input.
 */
struct machine_disk_request {
	uint32_t request;   /* number to be given back with the completion; never 0 */
	uint32_t operation; /* enum machine_disk_operation */
	uint64_t sector;    /* of 512 bytes; the range is inside the disk */
	uint64_t sector_count;
	uint32_t may_unmap; /* WRITE_ZEROES: the blocks may be given back */
	uint32_t segment_count;
	struct machine_disk_segment segments[MACHINE_DISK_SEGMENT_MAX];
};

struct machine_output {
	/* Filled by the caller: where data may go; MACHINE_OUTPUT_DATA_MAX bytes. */
	uint8_t *buffer;

	/* Filled by machine_output_take(). */
	uint32_t kind; /* enum machine_output_kind */
	uint32_t index;
	uint32_t value;
	uint32_t size;	     /* bytes at `data` */
	const uint8_t *data; /* in `buffer`, or in the guest's memory: until the guest runs again */
	struct machine_disk_request disk;
};

#define MACHINE_OUTPUT_DATA_MAX (64 * KIB)

/* ---- the state ---- */

/* Bytes going out of the machine until machine_output_take(); more than fit are dropped and counted. */
#define MACHINE_BYTE_QUEUE_SIZE 256
struct machine_byte_queue {
	uint32_t size;
	uint32_t dropped;
	uint8_t bytes[MACHINE_BYTE_QUEUE_SIZE];
};

struct machine {
	struct machine_config config;
	uint64_t now_ns;	/* virtual time since power-on; not set back by a reset */
	uint64_t changes;	/* goes up whenever the answers below may be others: see machine_changed() */
	uint64_t timer_changes; /* and this one, when the next deadline may be another */

	uint32_t power; /* enum machine_power that is to be told, 0: none */
	uint32_t reset_count;
	struct machine_byte_queue serial_output;
	struct machine_byte_queue debug_output;

	struct machine_msr msr;
	struct machine_lapic lapic;
	struct machine_ioapic ioapic;
	struct machine_pic pic;
	struct machine_pit pit;
	struct machine_rtc rtc;
	struct machine_pm pm;
	struct machine_uart uart;
	struct machine_keyboard keyboard;
	struct machine_vga vga;
	struct machine_watchdog watchdog;
	struct machine_fw_cfg fw_cfg;
	struct machine_pci pci;
	struct machine_virtio virtio;
};

/*
 * The interrupt and NMI lines, CR8 and the next deadline: whoever may change an answer
 * of theirs calls this. So the loop asks again only when `changes` is not what it was.
 */
static inline void machine_changed(struct machine *machine)
{
	machine->changes++;
	machine->timer_changes++;
}

/* The lines and CR8 alone, no timer: each interrupt does it three times, when it comes, is taken and ends. */
static inline void machine_lines_changed(struct machine *machine)
{
	machine->changes++;
}

/* Power-on. `config` has passed machine_config_check(). */
void machine_init(struct machine *machine, const struct machine_config *config);

/* A reset: every device as after power-on; the configuration and virtual time stay. */
void machine_reset(struct machine *machine);

/* ---- time ---- */

/* An access of the guest that left the processor. */
enum machine_access_kind {
	MACHINE_ACCESS_PORT,
	MACHINE_ACCESS_MMIO,
	MACHINE_ACCESS_MSR,
	MACHINE_ACCESS_TSC, /* RDTSC, RDTSCP */
};

struct machine_access {
	uint8_t kind; /* enum machine_access_kind */
	uint8_t is_write;
	uint8_t size; /* bytes, of ports and MMIO */
	uint8_t reserved;
	uint32_t value;	  /* what is written, where known; low bits of it are enough */
	uint64_t address; /* port, guest-physical address or MSR number */
};

/*
 * Will this access see or use the current time? Then the loop must call
 * machine_time_set() with a logged value before it lets the access happen. Depends
 * on the state alone, so leader and follower agree.
 */
bool machine_reads_time(const struct machine *machine, const struct machine_access *access);

/* Moves virtual time on and lets timers expire. A value in the past changes nothing. */
void machine_time_set(struct machine *machine, uint64_t now_ns);

/*
 * The same when `now_ns` is before machine_next_deadline_ns(), which the caller knows:
 * quick, for guests that read the time all the time.
 */
static inline void machine_time_pass(struct machine *machine, uint64_t now_ns)
{
	if (now_ns > machine->now_ns)
		machine->now_ns = now_ns;
}

/* When the earliest armed timer expires, in virtual time; UINT64_MAX: none is armed. */
#define MACHINE_NO_DEADLINE UINT64_MAX
uint64_t machine_next_deadline_ns(const struct machine *machine);

/* The guest's time stamp counter at now_ns. */
static inline uint64_t machine_tsc(const struct machine *machine)
{
	return machine->now_ns + machine->msr.tsc_offset;
}

/* ---- accesses ---- */

/* `size` is 1, 2 or 4. */
uint32_t machine_port_read(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			   uint32_t size);
void machine_port_write(struct machine *machine, const struct guest_memory *memory, uint16_t port,
			uint32_t size, uint32_t value);

/* `size` is 1, 2, 4 or 8; an access of two devices is one of the first. */
uint64_t machine_mmio_read(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			   uint32_t size);
void machine_mmio_write(struct machine *machine, const struct guest_memory *memory, uint64_t gpa,
			uint32_t size, uint64_t value);

/*
 * MSRs of the platform: APIC base and x2APIC, TSC and its deadline, MTRRs, machine
 * check, microcode ... The vCPU handles those of struct vcpu_state itself (EFER, STAR
 * and its kin, FS/GS base, SYSENTER, PAT, TSC_AUX, DEBUGCTL). False: raise #GP(0).
 */
bool machine_msr_read(struct machine *machine, uint32_t msr, uint64_t *value);
bool machine_msr_write(struct machine *machine, uint32_t msr, uint64_t value);

/* CPUID as docs/CPUID.md has it: fixed, but for what CR4, XCR0 and the APIC base show through it. */
struct machine_cpuid_result {
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
};
struct machine_cpuid_result machine_cpuid(const struct machine *machine, const struct vcpu_state *vcpu,
					  uint32_t leaf, uint32_t subleaf);

/* CR8, the task priority of the local APIC. */
static inline uint64_t machine_cr8_read(const struct machine *machine)
{
	return machine->lapic.task_priority >> 4;
}

void machine_cr8_write(struct machine *machine, uint64_t value);

/* ---- interrupts ---- */

/*
 * Is there an interrupt that the processor should take as soon as it can (IF, no
 * shadow)? Priorities are applied; nothing changes. Ask anew when `changes` has gone up.
 */
bool machine_interrupt_pending(const struct machine *machine, uint8_t *vector);

/* The processor took the interrupt that machine_interrupt_pending() last told. */
void machine_interrupt_acknowledge(struct machine *machine, uint8_t vector);

static inline bool machine_nmi_pending(const struct machine *machine)
{
	return machine->lapic.nmi_pending;
}

void machine_nmi_acknowledge(struct machine *machine);

/* For the devices: level of a global interrupt (0..15 also ISA), and a message-signalled interrupt. */
#define MACHINE_GSI_COUNT 24
void machine_irq_set(struct machine *machine, uint32_t gsi, bool level);
void machine_msi_send(struct machine *machine, uint64_t address, uint32_t data);

/* For the devices: tell the loop of `power`; the first of several before it is told wins. */
void machine_power_request(struct machine *machine, enum machine_power power);

/* For the devices: a byte on its way out. */
void machine_byte_queue_put(struct machine_byte_queue *queue, uint8_t byte);

/* ---- inputs and outputs ---- */

/*
 * Applies an input at the current position. What the guest has no room for is
 * dropped as its real device would drop it. False: no input this machine knows (a
 * broken log), nothing changed.
 */
bool machine_input(struct machine *machine, const struct guest_memory *memory,
		   const struct machine_input *input);

/*
 * Takes the next output into `output`, false when there is none. Call it until then
 * after every access and input: taking moves virtqueues on, so it must happen at the
 * same positions on both servers.
 */
bool machine_output_take(struct machine *machine, const struct guest_memory *memory,
			 struct machine_output *output);

/* Is there anything to take, perhaps? False is certain, and quickly known. */
static inline bool machine_output_pending(const struct machine *machine)
{
	return (machine->serial_output.size | machine->debug_output.size | machine->power |
		machine->virtio.rung) != 0;
}

#endif
