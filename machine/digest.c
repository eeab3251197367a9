/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests; see digest.h. The tables are in the order of the structs and without
 * gaps: tests/unit/test_machine_digest.c fails when a member was forgotten, or
 * when the compiler put padding between two.
 */
#include "machine/digest.h"

#include <string.h>

#include "include/byte_order.h"
#include "machine/machine.h"

#define FIELD(member)                                                                                        \
	{                                                                                                    \
		.name = #member, .offset = (uint32_t)offsetof(struct machine, member),                       \
		.size = (uint32_t)sizeof(((struct machine *)0)->member)                                      \
	}

static const struct machine_digest_field machine_fields[] = {
	FIELD(config),
	FIELD(now_ns),
	FIELD(changes),
	FIELD(timer_changes),
	FIELD(power),
	FIELD(reset_count),
	FIELD(serial_output),
	FIELD(debug_output),
	FIELD(msr.tsc_offset),
	FIELD(msr.machine_check_status),
	FIELD(msr.hardware_configuration),
	FIELD(msr.decode_configuration),
	FIELD(msr.system_configuration),
	FIELD(msr.mtrr_default),
	FIELD(msr.mtrr_fixed),
	FIELD(msr.mtrr_variable),
	FIELD(lapic.base_msr),
	FIELD(lapic.timer_start_ns),
	FIELD(lapic.timer_deadline_ns),
	FIELD(lapic.tsc_deadline),
	FIELD(lapic.id),
	FIELD(lapic.logical_destination),
	FIELD(lapic.destination_format),
	FIELD(lapic.spurious),
	FIELD(lapic.error_status),
	FIELD(lapic.error_pending),
	FIELD(lapic.command_low),
	FIELD(lapic.command_high),
	FIELD(lapic.timer_initial),
	FIELD(lapic.timer_divide),
	FIELD(lapic.lvt),
	FIELD(lapic.in_service),
	FIELD(lapic.trigger_level),
	FIELD(lapic.request),
	FIELD(lapic.task_priority),
	FIELD(lapic.nmi_pending),
	FIELD(lapic.reserved),
	FIELD(ioapic.index),
	FIELD(ioapic.id),
	FIELD(ioapic.lines),
	FIELD(ioapic.reserved),
	FIELD(ioapic.redirections),
	FIELD(pic.chips[0]),
	FIELD(pic.chips[1]),
	FIELD(pit.channels[0]),
	FIELD(pit.channels[1]),
	FIELD(pit.channels[2]),
	FIELD(pit.speaker),
	FIELD(pit.reserved),
	FIELD(rtc.offset_ns),
	FIELD(rtc.periodic_tick),
	FIELD(rtc.second),
	FIELD(rtc.index),
	FIELD(rtc.reserved),
	FIELD(rtc.cmos),
	FIELD(pm.status),
	FIELD(pm.enable),
	FIELD(pm.control),
	FIELD(pm.reset_control),
	FIELD(pm.fast_reset),
	FIELD(pm.timer_carry),
	FIELD(uart),
	FIELD(keyboard),
	FIELD(vga),
	FIELD(watchdog),
	FIELD(fw_cfg.selected),
	FIELD(fw_cfg.offset),
	FIELD(fw_cfg.dma_address),
	FIELD(fw_cfg.item_count),
	FIELD(fw_cfg.blob_size),
	FIELD(fw_cfg.items),
	FIELD(fw_cfg.blob),
	FIELD(pci.config_address),
	FIELD(pci.window_count),
	FIELD(pci.function_count),
	FIELD(pci.bar_count),
	FIELD(pci.windows),
	FIELD(pci.functions),
	FIELD(virtio.device_count),
	FIELD(virtio.link_up),
	FIELD(virtio.disk_generation),
	FIELD(virtio.rung),
	FIELD(virtio.devices),
};
#undef FIELD

#define FIELD_AS(text, member)                                                                               \
	{                                                                                                    \
		.name = text, .offset = (uint32_t)offsetof(struct vcpu_state, member),                       \
		.size = (uint32_t)sizeof(((struct vcpu_state *)0)->member)                                   \
	}
#define FIELD(member) FIELD_AS(#member, member)

static const struct machine_digest_field vcpu_fields[] = {
	FIELD_AS("rax", gpr[VCPU_RAX]),
	FIELD_AS("rcx", gpr[VCPU_RCX]),
	FIELD_AS("rdx", gpr[VCPU_RDX]),
	FIELD_AS("rbx", gpr[VCPU_RBX]),
	FIELD_AS("rsp", gpr[VCPU_RSP]),
	FIELD_AS("rbp", gpr[VCPU_RBP]),
	FIELD_AS("rsi", gpr[VCPU_RSI]),
	FIELD_AS("rdi", gpr[VCPU_RDI]),
	FIELD_AS("r8", gpr[VCPU_R8]),
	FIELD_AS("r9", gpr[VCPU_R9]),
	FIELD_AS("r10", gpr[VCPU_R10]),
	FIELD_AS("r11", gpr[VCPU_R11]),
	FIELD_AS("r12", gpr[VCPU_R12]),
	FIELD_AS("r13", gpr[VCPU_R13]),
	FIELD_AS("r14", gpr[VCPU_R14]),
	FIELD_AS("r15", gpr[VCPU_R15]),
	FIELD(rip),
	FIELD(rflags),
	FIELD_AS("es", segments[VCPU_ES]),
	FIELD_AS("cs", segments[VCPU_CS]),
	FIELD_AS("ss", segments[VCPU_SS]),
	FIELD_AS("ds", segments[VCPU_DS]),
	FIELD_AS("fs", segments[VCPU_FS]),
	FIELD_AS("gs", segments[VCPU_GS]),
	FIELD_AS("ldtr", segments[VCPU_LDTR]),
	FIELD_AS("tr", segments[VCPU_TR]),
	FIELD(gdtr),
	FIELD(idtr),
	FIELD(cr0),
	FIELD(cr2),
	FIELD(cr3),
	FIELD(cr4),
	FIELD(xcr0),
	FIELD(dr),
	FIELD(dr6),
	FIELD(dr7),
	FIELD(efer),
	FIELD(star),
	FIELD(lstar),
	FIELD(cstar),
	FIELD(syscall_mask),
	FIELD(kernel_gs_base),
	FIELD(sysenter_cs),
	FIELD(sysenter_esp),
	FIELD(sysenter_eip),
	FIELD(pat),
	FIELD(tsc_aux),
	FIELD(debug_control),
	FIELD(event),
	FIELD(activity),
	FIELD(interrupt_shadow),
	FIELD(nmi_blocked),
	FIELD(cpl),
	FIELD(reserved),
	FIELD(xsave),
};
#undef FIELD
#undef FIELD_AS

#define DIGEST_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio, odd */
#define LANE_COUNT 4
#define STRIPE_SIZE (LANE_COUNT * sizeof(uint64_t))

static uint64_t digest_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * DIGEST_MULTIPLIER;
	return hash ^ hash >> 32;
}

/* Each step can be undone, so one word that differs always shows; the rotation brings its high bits to the low ones. */
static uint64_t lane_step(uint64_t lane, const uint8_t *word)
{
	lane ^= load_le64(word);
	return (lane << 29 | lane >> 35) * DIGEST_MULTIPLIER;
}

/* Whole stripes: four words at a time, none of which waits for another's multiplication. */
static uint64_t digest_stripes(uint64_t hash, const uint8_t *at, const uint8_t *end)
{
	uint64_t a = hash;
	uint64_t b = hash + 1;
	uint64_t c = hash + 2;
	uint64_t d = hash + 3;

	for (; at < end; at += STRIPE_SIZE) {
		a = lane_step(a, at);
		b = lane_step(b, at + 8);
		c = lane_step(c, at + 16);
		d = lane_step(d, at + 24);
	}
	return digest_word(digest_word(digest_word(a, b), c), d);
}

uint64_t digest_bytes(uint64_t seed, const void *bytes, uint64_t size)
{
	const uint8_t *at = bytes;
	uint64_t hash = digest_word(seed, size);
	uint64_t striped = size - size % STRIPE_SIZE;
	uint64_t last = 0;

	if (striped > 0)
		hash = digest_stripes(hash, at, at + striped);
	at += striped;
	size -= striped;
	for (; size >= 8; size -= 8, at += 8)
		hash = digest_word(hash, load_le64(at));
	if (size) {
		memcpy(&last, at, size);
		hash = digest_word(hash, last);
	}
	return hash;
}

const struct machine_digest_field *machine_digest_fields(uint32_t *count)
{
	*count = ARRAY_SIZE(machine_fields);
	return machine_fields;
}

const struct machine_digest_field *vcpu_digest_fields(uint32_t *count)
{
	*count = ARRAY_SIZE(vcpu_fields);
	return vcpu_fields;
}

void digest_each_field(const void *state, const struct machine_digest_field *fields, uint32_t count,
		       uint64_t *digests)
{
	for (uint32_t i = 0; i < count; i++)
		digests[i] = digest_bytes(0, (const uint8_t *)state + fields[i].offset, fields[i].size);
}

static void difference_fill(struct machine_difference *difference, const struct machine_digest_field *field,
			    const uint8_t *a, const uint8_t *b)
{
	uint32_t offset = 0;
	uint32_t size;

	while (a[offset] == b[offset])
		offset++;
	offset &= ~UINT32_C(7);
	size = (uint32_t)min_u64(8, field->size - offset);
	difference->field = field->name;
	difference->offset = offset;
	difference->a = 0;
	difference->b = 0;
	memcpy(&difference->a, a + offset, size);
	memcpy(&difference->b, b + offset, size);
}

static bool state_differs(const void *a, const void *b, const struct machine_digest_field *fields,
			  uint32_t count, struct machine_difference *difference)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *in_a = (const uint8_t *)a + fields[i].offset;
		const uint8_t *in_b = (const uint8_t *)b + fields[i].offset;

		if (memcmp(in_a, in_b, fields[i].size) != 0) {
			difference_fill(difference, &fields[i], in_a, in_b);
			return true;
		}
	}
	return false;
}

bool machine_differs(const struct machine *a, const struct machine *b, struct machine_difference *difference)
{
	return state_differs(a, b, machine_fields, ARRAY_SIZE(machine_fields), difference);
}

bool vcpu_differs(const struct vcpu_state *a, const struct vcpu_state *b,
		  struct machine_difference *difference)
{
	return state_differs(a, b, vcpu_fields, ARRAY_SIZE(vcpu_fields), difference);
}
