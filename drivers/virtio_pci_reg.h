/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the modern virtio PCI transport (Virtual I/O Device 1.2, 4.1.4). Only what we use. */
#ifndef DRIVERS_VIRTIO_PCI_REG_H
#define DRIVERS_VIRTIO_PCI_REG_H

/* Vendor capability in configuration space (4.1.4, struct virtio_pci_cap) */
#define VIRTIO_CAPABILITY_ID	     0x09
#define VIRTIO_CAPABILITY_LENGTH     2	/* u8 */
#define VIRTIO_CAPABILITY_TYPE	     3	/* u8 */
#define	    VIRTIO_CAPABILITY_COMMON 1
#define	    VIRTIO_CAPABILITY_NOTIFY 2
#define	    VIRTIO_CAPABILITY_DEVICE 4
#define VIRTIO_CAPABILITY_BAR	     4	/* u8 */
#define VIRTIO_CAPABILITY_OFFSET     8	/* u32 */
#define VIRTIO_CAPABILITY_SIZE	     12 /* u32 */
#define VIRTIO_CAPABILITY_MULTIPLIER 16 /* u32, notify only */

/* Common configuration (4.1.4.3) */
#define VIRTIO_DEVICE_FEATURE_SELECT 0x00 /* u32 R/W */
#define VIRTIO_DEVICE_FEATURE	     0x04 /* u32 R */
#define VIRTIO_DRIVER_FEATURE_SELECT 0x08 /* u32 R/W */
#define VIRTIO_DRIVER_FEATURE	     0x0c /* u32 R/W */
#define VIRTIO_CONFIG_VECTOR	     0x10 /* u16 R/W */
#define	    VIRTIO_NO_VECTOR	     0xffff
#define VIRTIO_QUEUE_COUNT	     0x12 /* u16 R */
#define VIRTIO_DEVICE_STATUS	     0x14 /* u8 R/W, 0 resets */
#define	    VIRTIO_STATUS_ACKNOWLEDGE  0x01
#define	    VIRTIO_STATUS_DRIVER       0x02
#define	    VIRTIO_STATUS_DRIVER_OK    0x04
#define	    VIRTIO_STATUS_FEATURES_OK  0x08
#define	    VIRTIO_STATUS_NEEDS_RESET  0x40
#define	    VIRTIO_STATUS_FAILED       0x80
#define VIRTIO_CONFIG_GENERATION     0x15 /* u8 R */
#define VIRTIO_QUEUE_SELECT	     0x16 /* u16 R/W */
#define VIRTIO_QUEUE_SIZE	     0x18 /* u16 R/W */
#define VIRTIO_QUEUE_VECTOR	     0x1a /* u16 R/W */
#define VIRTIO_QUEUE_ENABLE	     0x1c /* u16 R/W */
#define VIRTIO_QUEUE_NOTIFY_OFFSET   0x1e /* u16 R, times the multiplier */
#define VIRTIO_QUEUE_DESCRIPTORS     0x20 /* u64 R/W */
#define VIRTIO_QUEUE_AVAILABLE	     0x28 /* u64 R/W */
#define VIRTIO_QUEUE_USED	     0x30 /* u64 R/W */
#define VIRTIO_COMMON_SIZE	     0x38

#endif
