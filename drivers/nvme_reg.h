/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers and memory of an NVM Express controller, as far as we use them
 * (NVMe 1.4; section numbers are its). RO: read-only.
 */
#ifndef DRIVERS_NVME_REG_H
#define DRIVERS_NVME_REG_H

#include "drivers/disk.h"
#include "include/bits.h"

#define NVME_BAR 0
#define NVME_PAGE_SIZE (4 * KIB)
BUILD_ASSERT(DISK_SEGMENT_ALIGNMENT == NVME_PAGE_SIZE);

/* Registers, section 3.1. */
#define NVME_CAP 0x00 /* capabilities, RO, 64 bits */
#define NVME_CAP_ENTRIES(cap) (((cap) & 0xffff) + 1) /* MQES: of one queue */
#define NVME_CAP_TIMEOUT_MS(cap) ((((cap) >> 24) & 0xff) * 500)
#define NVME_CAP_STRIDE(cap) (UINT64_C(4) << (((cap) >> 32) & 0xf)) /* bytes from one doorbell to the next */
#define NVME_CAP_NVM_COMMANDS BIT(37)
#define NVME_CAP_PAGE_SIZE_MIN(cap) (UINT64_C(4096) << (((cap) >> 48) & 0xf))
#define NVME_INTMS 0x0c /* interrupts to mask: written ones set */
#define NVME_CC 0x14 /* configuration, RW */
#define NVME_CC_ENABLE BIT(0)
#define NVME_CC_SHUTDOWN BIT(14)    /* SHN 15:14 = 01: normal shutdown notification */
#define NVME_CC_COMMAND_SIZE (UINT64_C(6) << 16)    /* log2 */
#define NVME_CC_COMPLETION_SIZE (UINT64_C(4) << 20) /* log2 */
#define NVME_CSTS 0x1c /* status, RO */
#define NVME_CSTS_READY BIT(0)
#define NVME_CSTS_FATAL BIT(1)
#define NVME_CSTS_SHUTDOWN(csts) (((csts) >> 2) & 3)
#define NVME_SHUTDOWN_DONE 2
#define NVME_AQA 0x24 /* admin queue sizes, RW: 11:0 submission - 1, 27:16 completion - 1 */
#define NVME_ASQ 0x28 /* admin submission queue, RW, 64 bits, page aligned */
#define NVME_ACQ 0x30 /* admin completion queue, RW, 64 bits, page aligned */
#define NVME_DOORBELLS 0x1000 /* tail of submission queue 0, head of completion queue 0, tail of 1 ... */
#define NVME_TAIL_DOORBELL(cap, queue) (NVME_DOORBELLS + (2 * (queue)) * NVME_CAP_STRIDE(cap))
#define NVME_HEAD_DOORBELL(cap, queue) (NVME_DOORBELLS + (2 * (queue) + 1) * NVME_CAP_STRIDE(cap))

enum nvme_admin_opcode {
	NVME_CREATE_SUBMISSION_QUEUE = 0x01,
	NVME_CREATE_COMPLETION_QUEUE = 0x05,
	NVME_IDENTIFY = 0x06,
	NVME_GET_FEATURES = 0x0a,
};

enum nvme_opcode {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
};

/* Submission queue entry, section 4.2. */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t namespace_id;
	uint32_t reserved[2];
	uint64_t metadata;
	uint64_t prp1; /* first page, at any offset */
	uint64_t prp2; /* second page, or a list of the others */
	uint32_t dword10;
	uint32_t dword11;
	uint32_t dword12;
	uint32_t dword13;
	uint32_t dword14;
	uint32_t dword15;
};
BUILD_ASSERT(sizeof(struct nvme_command) == 64);
BUILD_ASSERT(offsetof(struct nvme_command, prp1) == 24);
BUILD_ASSERT(offsetof(struct nvme_command, dword10) == 40);

#define NVME_QUEUE_CONTIGUOUS BIT(0)	/* dword11 of both CREATE commands */
#define NVME_FORCE_UNIT_ACCESS BIT(30)	/* dword12 of WRITE */

/* Completion queue entry, section 4.6. */
struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t submission_head;
	uint16_t submission_queue;
	uint16_t id;
	uint16_t status; /* bit 0 phase, 8:1 code, 11:9 type, 15 do not retry */
};
BUILD_ASSERT(sizeof(struct nvme_completion) == 16);
#define NVME_STATUS_PHASE 1
#define NVME_STATUS_CODE(status) (((status) >> 1) & 0x7ff) /* type and code; 0: success */

/* IDENTIFY, section 5.15: dword10 says which structure. */
#define NVME_IDENTIFY_SIZE 4096
enum nvme_identify_kind {
	NVME_IDENTIFY_NAMESPACE = 0,
	NVME_IDENTIFY_CONTROLLER = 1,
	NVME_IDENTIFY_NAMESPACE_LIST = 2, /* up to 1024 ids of 32 bits, 0 ends the list */
};

/* Offsets in the controller's structure, figure 247. */
#define NVME_CONTROLLER_SERIAL 4
#define NVME_CONTROLLER_SERIAL_SIZE 20
#define NVME_CONTROLLER_MODEL 24
#define NVME_CONTROLLER_MODEL_SIZE 40
#define NVME_CONTROLLER_TRANSFER_MAX 77 /* MDTS: log2 of pages, 0: no limit */
#define NVME_CONTROLLER_NAMESPACE_COUNT 516
#define NVME_CONTROLLER_WRITE_CACHE 525 /* bit 0: there is one that can be switched */

#define NVME_FEATURE_WRITE_CACHE 6 /* dword10 of GET FEATURES; bit 0 of the result: it is on (5.21.1.6) */

/* Offsets in a namespace's structure, figure 245. */
#define NVME_NAMESPACE_SIZE 0	 /* blocks, 64 bits */
#define NVME_NAMESPACE_FORMAT 26 /* 3:0: which format is in use */
#define NVME_NAMESPACE_ATTRIBUTES 99 /* bit 0: write protected */
#define NVME_NAMESPACE_FORMATS 128 /* 16 of 32 bits: 15:0 metadata bytes, 23:16 log2 of the block size */

#define NVME_ADMIN_ENTRIES 16
#define NVME_ENTRIES_MAX 128
#define NVME_PRP_LIST_SIZE 32
BUILD_ASSERT(DISK_TRANSFER_MAX / NVME_PAGE_SIZE <= NVME_PRP_LIST_SIZE); /* one more page is prp1's */

/* All memory of one controller, in one piece; queues are page aligned. */
struct nvme_memory {
	struct nvme_command admin_commands[NVME_PAGE_SIZE / sizeof(struct nvme_command)];
	struct nvme_completion admin_completions[NVME_PAGE_SIZE / sizeof(struct nvme_completion)];
	struct nvme_command commands[NVME_ENTRIES_MAX];
	struct nvme_completion completions[NVME_PAGE_SIZE / sizeof(struct nvme_completion)];
	uint8_t data[NVME_IDENTIFY_SIZE];
	uint64_t prp_lists[DISK_QUEUE_DEPTH_MAX][NVME_PRP_LIST_SIZE];
};
BUILD_ASSERT(offsetof(struct nvme_memory, admin_completions) % NVME_PAGE_SIZE == 0);
BUILD_ASSERT(offsetof(struct nvme_memory, commands) % NVME_PAGE_SIZE == 0);
BUILD_ASSERT(offsetof(struct nvme_memory, completions) % NVME_PAGE_SIZE == 0);
BUILD_ASSERT(offsetof(struct nvme_memory, data) % NVME_PAGE_SIZE == 0);
BUILD_ASSERT(NVME_PAGE_SIZE % (NVME_PRP_LIST_SIZE * 8) == 0); /* no list crosses a page */

#endif
