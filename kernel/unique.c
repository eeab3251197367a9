/* SPDX-License-Identifier: Apache-2.0 */
/* When and where a number was drawn makes it another than any other; see unique.h. */
#include "kernel/unique.h"

#include "drivers/net.h"
#include "kernel/cpu.h"
#include "machine/digest.h"

static uint64_t last;

void unique_init(uint64_t now_s)
{
	last = digest_bytes(last, &now_s, sizeof(now_s));
	for (uint32_t i = 0; i < net_device_count(); i++)
		last = digest_bytes(last, net_device_at(i)->mac, NET_MAC_SIZE);
}

uint64_t unique_number(void)
{
	do
		last = digest_bytes(last, &(uint64_t){ cpu_read_tsc() }, sizeof(uint64_t));
	while (last == 0);
	return last;
}
