/* SPDX-License-Identifier: Apache-2.0 */
/* NMI, with the chipset's reason from port 0x61 (as on the PC/AT). */
#include "kernel/nmi.h"

#include "include/bits.h"
#include "include/trace.h"
#include "kernel/fail_stop.h"
#include "kernel/port_io.h"
#include "kernel/trap.h"

TRACE_FILE("nmi", TRACE_INFO);

#define REASON_PORT 0x61
#define REASON_CHANNEL_CHECK BIT(6) /* an expansion card */
#define REASON_SYSTEM_ERROR BIT(7)  /* SERR#: memory or PCI */

static void handle_nmi(const struct trap_frame *frame)
{
	uint8_t reason = port_read8(REASON_PORT);

	if (reason & (REASON_CHANNEL_CHECK | REASON_SYSTEM_ERROR))
		fail_stop("NMI: the chipset reports %s (port 0x61 reads %#x)",
			  reason & REASON_SYSTEM_ERROR ? "a system error" : "a channel check", reason);
	trace(TRACE_WARNING, "NMI without an error: diagnostic button");
	fail_stop_dump(frame);
}

void nmi_init(void)
{
	trap_set_handler(TRAP_VECTOR_NMI, handle_nmi);
}
