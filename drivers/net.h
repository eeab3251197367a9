/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class "network port": what every NIC driver offers, polled, under the same
 * verbs. A driver owns its rings and its DMA buffers; frames are built or copied
 * there and handed out in place, so nobody else's memory is ever within a device's
 * reach.
 *
 * One processor runs everything: no driver is re-entered.
 */
#ifndef DRIVERS_NET_H
#define DRIVERS_NET_H

#include <string.h>

#include "include/bits.h"
#include "include/byte_order.h"
#include "kernel/pci.h"

#define NET_DEVICE_MAX 16 /* ports of one server */
#define NET_MAC_SIZE 6
#define NET_FRAME_SIZE_MIN 14	     /* an Ethernet header */
#define NET_FRAME_SIZE_STANDARD 1514 /* 1500 + header, without checksum */
#define NET_FRAME_SIZE_JUMBO 9014
#define NET_PIECE_MAX 4		     /* pieces that make up one frame to send */
#define NET_TRANSMIT_TIMEOUT_MS 5000 /* link up, frames waiting, none finished: the device hangs */

struct net_piece {
	const void *data;
	uint32_t size; /* bytes */
};

struct net_frame {
	const uint8_t *data; /* in the driver's ring; good until the next poll_rx on the port */
	uint32_t size;	     /* bytes, without the frame check sequence */
};

struct net_statistics {
	uint64_t tx_frames;
	uint64_t tx_bytes;
	uint64_t tx_errors;    /* the device reported a failure */
	uint64_t tx_ring_full; /* no room in the ring: -EAGAIN */
	uint64_t rx_frames;
	uint64_t rx_bytes;
	uint64_t rx_errors;	/* bad checksum, too short, too long, cut off */
	uint64_t rx_filtered;	/* not for us; the device could not sort it out by itself */
	uint64_t rx_missed;	/* no buffer was free in the ring */
	uint64_t device_faults; /* answers that make no sense (bad index, bad length), or none at all */
	uint64_t resets;
};

struct net_open {
	uint32_t frame_size_max; /* largest frame to receive or send, header included */
	bool promiscuous;	 /* all unicast, not only what is for this port's address */
	bool multicast;		 /* all multicast, not only broadcast */
};

struct net_link {
	bool up;
	bool full_duplex;
	uint32_t speed_mbit; /* 0: not known */
};

struct net_device;

struct net_ops {
	const char *name; /* "e1000", "virtio-net" */

	/*
	 * Is `pci` one of ours? Then set the device up as far as reading its MAC
	 * address and limits, fill `device` and return 0. -ENODEV: not ours. Other
	 * errors: ours, but it does not work. Start-up only.
	 */
	int (*probe)(struct net_device *device, const struct pci_device *pci);

	/*
	 * Brings the device to its power-on state, quiet, in two halves, since a hung
	 * device takes its time and the guest must not stand still for it. Poll returns
	 * 0 when done, -EAGAIN while not, -ETIMEDOUT when the device does not answer;
	 * the time-out is the driver's, well under 2 s. Others call net_reset() or
	 * net_keep_open().
	 */
	void (*reset_begin)(struct net_device *device);
	int (*reset_poll)(struct net_device *device);

	/*
	 * Starts the port; after reset. The first open takes the memory for rings and
	 * buffers; later ones may ask for the same or smaller frames. Returns 0; -EINVAL
	 * when options->frame_size_max is more than that or more than the device can;
	 * -ENOMEM; -EIO or -ETIMEDOUT (after 200 ms at most) when the device does not do
	 * as it should.
	 */
	int (*open)(struct net_device *device, const struct net_open *options);

	/* Stops the port; the device no longer touches memory when it returns. */
	void (*close)(struct net_device *device);

	/*
	 * Room for the next frame, at least `size` bytes within the ring, for the caller
	 * to write to: no copy. The room is the caller's until transmit_commit() or the
	 * next transmit call of any kind; to give it up nothing is needed. Returns 0 with
	 * `room`; -EAGAIN when enough is under way (transmit_flush, poll_tx and try again);
	 * -EMSGSIZE when the frame is shorter than a header or longer than
	 * frame_size_max; -ENETDOWN when not open or failed.
	 */
	int (*transmit_reserve)(struct net_device *device, uint32_t size, uint8_t **room);

	/*
	 * The room holds a frame of `size` bytes, no more than was reserved and no less
	 * than a header. The device may not see it before transmit_flush(). Frames
	 * shorter than Ethernet's 60 bytes go out as they are or padded, as the device
	 * likes. Nothing happens when the port has failed since.
	 */
	void (*transmit_commit)(struct net_device *device, uint32_t size);

	/* One doorbell for all frames put in since the last one. */
	void (*transmit_flush)(struct net_device *device);

	/*
	 * Takes back finished transmit slots; returns how many. Also finds the device
	 * that has stopped answering and marks it failed: call it often while frames
	 * are under way.
	 */
	uint32_t (*poll_tx)(struct net_device *device);

	/*
	 * Next received frame: 1 with `frame` filled, 0 when there is none, -EIO
	 * when the device broke its contract and needs reset + open, -ENETDOWN when
	 * not open.
	 */
	int (*poll_rx)(struct net_device *device, struct net_frame *frame);

	/* The link as it is now. Reads registers: some 10 times a second, not for each frame. */
	void (*link)(struct net_device *device, struct net_link *link);

	/* Adds what the device itself counted to device->statistics. Reads registers: now and then. */
	void (*update_statistics)(struct net_device *device);
};

struct net_device {
	const struct net_ops *ops;
	const struct pci_device *pci;
	uint32_t index; /* as for net_device_at() */
	void *driver;	/* the driver's own state */
	uint8_t mac[NET_MAC_SIZE];
	uint32_t frame_size_max; /* what the device can do, header included */
	struct net_open options; /* while opened */
	bool opened;
	bool failed;	   /* broke its contract, or is being reset; nothing works until that is done */
	const char *fault; /* what it did, or could not, until a reset mends it; NULL: nothing */
	struct net_statistics statistics;

	/* net_keep_open()'s own */
	bool resetting;
	uint64_t next_reset_ns;
};

/*
 * Every port found, in bus order. net_probe_all() runs once at start-up, after
 * pci_init(), and tries each driver on each PCI device.
 */
uint32_t net_probe_all(void);
uint32_t net_device_count(void);
struct net_device *net_device_at(uint32_t index); /* index < net_device_count() */

/* Resets the port and waits for it. Start-up and tests only. Returns 0 or -ETIMEDOUT. */
int net_reset(struct net_device *device);

/*
 * Opens the port, and opens it again after it has failed: call it some 10 times a
 * second. Never waits for a reset; a port that does not come back is tried again
 * every NET_REOPEN_INTERVAL_MS. Returns 0 while the port is open and works,
 * -EAGAIN on the way there, the error of the attempt that failed just now.
 */
#define NET_REOPEN_INTERVAL_MS 1000
int net_keep_open(struct net_device *device, const struct net_open *options);

/* The link as it is now, all zeros while the port does not work; returns why it is down, "" when it is up. */
const char *net_read_link(struct net_device *device, struct net_link *link);

/* transmit_reserve(), a copy of a frame of 1..NET_PIECE_MAX pieces, transmit_commit(). Returns as the first. */
int net_transmit(struct net_device *device, const struct net_piece *pieces, uint32_t piece_count);

/* An Ethernet header to everybody on the wire, from `mac`; NET_FRAME_SIZE_MIN bytes. */
static inline void net_broadcast_header(uint8_t *frame, const uint8_t mac[NET_MAC_SIZE], uint16_t ethertype)
{
	memset(frame, 0xff, NET_MAC_SIZE);
	memcpy(frame + NET_MAC_SIZE, mac, NET_MAC_SIZE);
	store_be16(frame + 12, ethertype);
}

/* The drivers, one a file. */
extern const struct net_ops e1000_ops;
extern const struct net_ops virtio_net_ops;

#endif
