/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio devices of the virtual server (Virtual I/O Device 1.1, modern PCI
 * transport, section 4.1). One table of devices, each a PCI function in the slot
 * of its index; what they share (features, status, queues, interrupts) is in
 * virtio_pci.c, what each kind does in virtio_blk.c, virtio_net.c,
 * virtio_console.c and virtio_rng.c behind one const table of operations a kind.
 *
 * Memory BAR 0 of each device:
 *
 *     0x0000  common configuration (4.1.4.3)
 *     0x1000  interrupt status (4.1.4.5)
 *     0x2000  device configuration (4.1.4.6)
 *     0x3000  MSI-X table          0x4000  MSI-X pending bits
 *
 * Port BAR 1: notification, 4 bytes a queue (4.1.4.4). It is all that a driver does again and
 * again, and the processor tells what an OUT writes where, while an access to memory has to be
 * fetched and decoded: a third of the instructions.
 *
 * What the guest asks for is taken from the queues in machine_output_take(), never
 * at the notification itself: that is the one place where queues move on.
 *
 * A driver that breaks the rules gets DEVICE_NEEDS_RESET on that device, with a
 * trace line, and nothing else happens until it resets the device (2.1.2).
 */
#ifndef MACHINE_VIRTIO_H
#define MACHINE_VIRTIO_H

#include "include/bits.h"
#include "machine/guest_memory.h"
#include "machine/virtqueue.h"

struct machine;
struct machine_config;
struct machine_input;
struct machine_output;

#define MACHINE_VIRTIO_DEVICE_MAX 10 /* 4 disks, 4 network ports, console, rng */
#define MACHINE_VIRTIO_QUEUE_MAX 2
#define MACHINE_VIRTIO_BAR 0
#define MACHINE_VIRTIO_BAR_SIZE 0x8000
#define MACHINE_VIRTIO_PORT_BAR 1
#define MACHINE_VIRTIO_PORT_BAR_SIZE 16

/* Section 6: features that every device of ours understands. */
#define MACHINE_VIRTIO_F_INDIRECT BIT(28)
#define MACHINE_VIRTIO_F_EVENT_INDEX BIT(29)
#define MACHINE_VIRTIO_F_VERSION_1 BIT(32)

/* 2.1: device status. */
#define MACHINE_VIRTIO_STATUS_DRIVER_OK UINT8_C(4)
#define MACHINE_VIRTIO_STATUS_FEATURES_OK UINT8_C(8)
#define MACHINE_VIRTIO_STATUS_NEEDS_RESET UINT8_C(64)

/* Section 5. Zero stands for no device, so that a zeroed table is empty. */
enum machine_virtio_kind {
	MACHINE_VIRTIO_NONE = 0,
	MACHINE_VIRTIO_NET = 1,
	MACHINE_VIRTIO_BLK = 2,
	MACHINE_VIRTIO_CONSOLE = 3,
	MACHINE_VIRTIO_RNG = 4,
	MACHINE_VIRTIO_KIND_COUNT,
};

struct machine_virtio_blk_state {
	uint64_t under_way[MACHINE_VIRTQUEUE_SIZE_MAX / 64]; /* bit of each chain head handed out */
	uint32_t generation;				     /* of the request numbers since the last reset */
	uint32_t size_under_way;			     /* bytes of the reads and writes handed out */
	uint16_t sectors[MACHINE_VIRTQUEUE_SIZE_MAX];	     /* of each of them, by chain head */
};

struct machine_virtio_net_state {
	uint64_t receive_dropped;  /* frames that found no buffer */
	uint64_t transmit_dropped; /* frames too short or too long to be one */
};

struct machine_virtio_rng_state {
	uint8_t waiting; /* the chain at `head` waits for entropy */
	uint8_t reserved;
	uint16_t head;
	uint32_t size; /* bytes asked for */
};

struct machine_virtio_device {
	uint8_t kind; /* enum machine_virtio_kind */
	uint8_t unit; /* disk or port number in machine_config */
	uint8_t status;
	uint8_t interrupt_status; /* bit 0: a queue, bit 1: the configuration */
	uint8_t configuration_generation;
	uint8_t queue_count;
	uint16_t queue_selected;
	uint16_t configuration_vector; /* MSI-X */
	uint16_t reserved;
	uint32_t function; /* in machine_pci */
	uint32_t device_features_selected;
	uint32_t driver_features_selected;
	uint64_t driver_features;
	uint64_t faults; /* times the driver broke the rules */
	struct machine_virtqueue queues[MACHINE_VIRTIO_QUEUE_MAX];
	union {
		struct machine_virtio_blk_state blk;
		struct machine_virtio_net_state net;
		struct machine_virtio_rng_state rng;
	};
};

struct machine_virtio {
	uint32_t device_count;
	uint8_t link_up[4];	  /* of each network port: a cable, so no reset changes it */
	uint32_t disk_generation; /* counts resets of disks: no answer to an older request fits a newer one */
	uint32_t rung; /* bit of each device whose bell was rung, or that an input may let move on */
	struct machine_virtio_device devices[MACHINE_VIRTIO_DEVICE_MAX];
};

/* ---- for machine.c and pci.c ---- */

/* At power-on and reset, after machine_pci_init(): makes each configured device and its PCI function. */
void machine_virtio_init(struct machine *machine);

/* The index of the device behind a PCI function; MACHINE_VIRTIO_DEVICE_MAX: none of ours. */
uint32_t machine_virtio_find(const struct machine *machine, uint32_t function);

/* An access to BAR 0, MSI-X excepted. */
uint64_t machine_virtio_read(struct machine *machine, uint32_t index, uint32_t offset, uint32_t size);
void machine_virtio_write(struct machine *machine, const struct guest_memory *memory, uint32_t index,
			  uint32_t offset, uint32_t size, uint64_t value);

/* A write to BAR 1, whatever it writes: a bell. */
void machine_virtio_notify(struct machine *machine, uint32_t index, uint32_t offset);

/* Frames, link changes, disk completions, console bytes, entropy. False: no input for a device that exists. */
bool machine_virtio_input(struct machine *machine, const struct guest_memory *memory,
			  const struct machine_input *input);

/* The next thing that a virtio device wants done outside; false when there is none. */
bool machine_virtio_output_take(struct machine *machine, const struct guest_memory *memory,
				struct machine_output *output);

/* ---- between virtio_pci.c and the kinds ---- */

struct machine_virtio_ops {
	const char *name;
	uint16_t device_id;  /* PCI: 0x1040 + section 5's number */
	uint32_t class_code; /* PCI class << 16 | subclass << 8 | interface */
	uint8_t queue_count;
	uint16_t queue_sizes[MACHINE_VIRTIO_QUEUE_MAX];

	/* Features beside the common ones. */
	uint64_t (*features)(const struct machine *machine, const struct machine_virtio_device *device);
	/* The kind's own state to power-on. */
	void (*reset)(struct machine *machine, struct machine_virtio_device *device);
	/* Copies the configuration structure into `bytes`; returns its size. */
	uint32_t (*configuration)(const struct machine *machine, const struct machine_virtio_device *device,
				  uint8_t *bytes);
	/* The next output, -EINVAL for a broken queue, 0 for none, 1 with `output` filled. */
	int (*output_take)(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, struct machine_output *output);
	/* An input for this device: 0, or -EINVAL for a broken queue. */
	int (*input)(struct machine *machine, struct machine_virtio_device *device,
		     const struct guest_memory *memory, const struct machine_input *input);
};

#define MACHINE_VIRTIO_CONFIGURATION_MAX 64

extern const struct machine_virtio_ops machine_virtio_blk_ops;
extern const struct machine_virtio_ops machine_virtio_net_ops;
extern const struct machine_virtio_ops machine_virtio_console_ops;
extern const struct machine_virtio_ops machine_virtio_rng_ops;

/* Has the driver finished setting the device up, and may we touch its memory? */
bool machine_virtio_is_live(const struct machine *machine, const struct machine_virtio_device *device);

/* Was `feature` negotiated? */
static inline bool machine_virtio_has(const struct machine_virtio_device *device, uint64_t feature)
{
	return (device->driver_features & feature) != 0;
}

/* Gives a chain back and interrupts the driver if it wants that. 0 or -EINVAL. */
int machine_virtio_finish(struct machine *machine, struct machine_virtio_device *device,
			  const struct guest_memory *memory, uint32_t queue, uint16_t head, uint32_t written);

/* Shows the driver what machine_virtqueue_put() gave back, and interrupts it if it wants that. 0 or -EINVAL. */
int machine_virtio_publish(struct machine *machine, struct machine_virtio_device *device,
			   const struct guest_memory *memory, uint32_t queue);

/* The device configuration changed by itself: tells the driver. */
void machine_virtio_configuration_changed(struct machine *machine, struct machine_virtio_device *device);

#endif
