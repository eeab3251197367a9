/* SPDX-License-Identifier: Apache-2.0 */
/* The server's local APIC, in xAPIC mode: APM 2, 16.3 and 16.4. */
#include "kernel/apic.h"

#include <errno.h>

#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/mmio.h"
#include "kernel/paging.h"
#include "kernel/port_io.h"
#include "kernel/trap.h"

TRACE_FILE("apic", TRACE_INFO);

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)
#define APIC_SIZE 4096

#define REGISTER_EOI 0x0b0
#define REGISTER_SPURIOUS 0x0f0
#define REGISTER_LVT_TIMER 0x320
#define REGISTER_LVT_LINT0 0x350
#define REGISTER_LVT_ERROR 0x370
#define REGISTER_TIMER_INITIAL 0x380
#define REGISTER_TIMER_DIVIDE 0x3e0

#define SPURIOUS_ENABLE 0x100
#define LVT_MASKED 0x10000
#define TIMER_DIVIDE_BY_1 0xb

#define PIC_MASTER_MASK 0x21
#define PIC_SLAVE_MASK 0xa1

static struct mmio registers;

static void acknowledge(const struct trap_frame *frame)
{
	(void)frame;
	mmio_write32(&registers, REGISTER_EOI, 0);
}

int apic_init(void)
{
	uint64_t base = cpu_read_msr(MSR_APIC_BASE);

	if (!(base & APIC_BASE_ENABLE) || (base & APIC_BASE_X2APIC))
		return trace_error(-ENODEV);
	port_write8(PIC_MASTER_MASK, 0xff);
	port_write8(PIC_SLAVE_MASK, 0xff);
	paging_map_mmio(base & APIC_BASE_ADDRESS, APIC_SIZE, &registers);
	if (!registers.size)
		return trace_error(-ENOMEM);
	trap_set_handler(TRAP_VECTOR_APIC_TIMER, acknowledge);
	trap_set_handler(TRAP_VECTOR_APIC_ERROR, acknowledge);
	mmio_write32(&registers, REGISTER_LVT_LINT0, LVT_MASKED);
	mmio_write32(&registers, REGISTER_LVT_ERROR, TRAP_VECTOR_APIC_ERROR);
	mmio_write32(&registers, REGISTER_SPURIOUS, SPURIOUS_ENABLE | TRAP_VECTOR_APIC_SPURIOUS);
	mmio_write32(&registers, REGISTER_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	mmio_write32(&registers, REGISTER_LVT_TIMER, TRAP_VECTOR_APIC_TIMER); /* one-shot */
	return 0;
}

volatile uint32_t *apic_timer_register(void)
{
	return (volatile uint32_t *)(registers.base + REGISTER_TIMER_INITIAL);
}
