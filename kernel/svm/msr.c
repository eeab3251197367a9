/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which MSRs and ports the guest reaches without an exit: APM 2, 15.10 and 15.11.
 * No port. Of the MSRs only those that the VMCB switches with the guest and that
 * mean nothing outside it: they cost nothing and decide nothing.
 */
#include <string.h>

#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/svm/svm.h"

#define MSR_BITMAP_PAGES 2
#define PORT_BITMAP_PAGES 3

/* Two bits an MSR, read and write; three ranges of 8192 in 2 KiB each. */
#define RANGE_MSR_COUNT 8192
#define RANGE_BYTES 2048

static const uint32_t range_first[] = { 0x00000000, 0xc0000000, 0xc0010000 };

static const uint32_t passed_through[] = {
	0x174,	    0x175,	0x176,			/* SYSENTER CS, ESP, EIP */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* STAR LSTAR CSTAR SFMASK */
	0xc0000100, 0xc0000101, 0xc0000102,		/* FS base, GS base, kernel GS base */
};

static void allow(uint8_t *bitmap, uint32_t msr)
{
	for (uint32_t range = 0; range < ARRAY_SIZE(range_first); range++) {
		uint32_t index = msr - range_first[range];

		if (msr >= range_first[range] && index < RANGE_MSR_COUNT)
			bitmap[range * RANGE_BYTES + index / 4] &= (uint8_t) ~(3u << (index % 4 * 2));
	}
}

uint64_t svm_msr_bitmap_physical(void)
{
	uint64_t physical = pages_allocate(MSR_BITMAP_PAGES, PAGE_SIZE);
	uint8_t *bitmap;

	if (!physical)
		return 0;
	bitmap = pages_pointer(physical);
	memset(bitmap, 0xff, MSR_BITMAP_PAGES * PAGE_SIZE);
	for (uint32_t i = 0; i < ARRAY_SIZE(passed_through); i++)
		allow(bitmap, passed_through[i]);
	return physical;
}

uint64_t svm_port_bitmap_physical(void)
{
	uint64_t physical = pages_allocate(PORT_BITMAP_PAGES, PAGE_SIZE);

	if (physical)
		memset(pages_pointer(physical), 0xff, PORT_BITMAP_PAGES * PAGE_SIZE);
	return physical;
}
