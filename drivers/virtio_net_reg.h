/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio network device (Virtual I/O Device 1.2, 5.1), only what we use. */
#ifndef DRIVERS_VIRTIO_NET_REG_H
#define DRIVERS_VIRTIO_NET_REG_H

#include "include/bits.h"

/* Queues (5.1.2): without multiqueue the control queue is the third */
#define VIRTIO_NET_QUEUE_RECEIVE  0
#define VIRTIO_NET_QUEUE_TRANSMIT 1
#define VIRTIO_NET_QUEUE_CONTROL  2

/* Features (5.1.3) */
#define VIRTIO_NET_FEATURE_MTU		 BIT(3)
#define VIRTIO_NET_FEATURE_MAC		 BIT(5)
#define VIRTIO_NET_FEATURE_STATUS	 BIT(16)
#define VIRTIO_NET_FEATURE_CONTROL	 BIT(17)
#define VIRTIO_NET_FEATURE_CONTROL_RX	 BIT(18)
#define VIRTIO_NET_FEATURE_CONTROL_EXTRA BIT(20)
#define VIRTIO_NET_FEATURE_SPEED	 BIT(63)

/* Configuration (5.1.4) */
#define VIRTIO_NET_CONFIG_MAC	 0  /* u8[6] */
#define VIRTIO_NET_CONFIG_STATUS 6  /* u16 */
#define	    VIRTIO_NET_STATUS_LINK_UP BIT(0)
#define VIRTIO_NET_CONFIG_MTU	 10 /* u16, without the Ethernet header */
#define VIRTIO_NET_CONFIG_SPEED	 12 /* u32, Mbit/s; all ones: unknown */
#define VIRTIO_NET_CONFIG_DUPLEX 16 /* u8; 1: full */

/* In front of each frame (5.1.6). All zeros on transmit: no offload. */
struct virtio_net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_size;
	uint16_t gso_size;
	uint16_t checksum_start;
	uint16_t checksum_offset;
	uint16_t buffer_count;
};
BUILD_ASSERT(sizeof(struct virtio_net_header) == 12);

/* Control queue: class, command, data; the device answers by one byte (5.1.6.5) */
#define VIRTIO_NET_CONTROL_RX		     0
#define	    VIRTIO_NET_CONTROL_RX_PROMISCUOUS 0
#define	    VIRTIO_NET_CONTROL_RX_ALL_MULTICAST 1
#define	    VIRTIO_NET_CONTROL_RX_ALL_UNICAST 2
#define VIRTIO_NET_CONTROL_OK		     0
#define VIRTIO_NET_CONTROL_TIMEOUT_MS	     200

#endif
