/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio network ports (Virtual I/O Device 1.2, 5.1), modern PCI transport.
 *
 * One descriptor a frame in both directions, header and frame in one buffer:
 *
 *	slot | 4 bytes unused | header, 12 bytes | frame ... |
 *
 * so that the frame begins at a multiple of 16. Slot i belongs to the chain
 * with head i. Receive buffers hold the largest frame whole (no merging), so that a
 * frame is always one piece; with 256 of them memory is no reason to do otherwise.
 *
 * Sending stops at TX_BYTES_MAX under way, not only at a full ring: the buffer
 * used last is used again first, so fewer of them stay within the caches of whoever
 * plays the device. With 256 jumbo frames under way QEMU sends a third fewer.
 *
 * No offload is negotiated: the header is all zeros on transmit and ignored on
 * receive. The control queue only sets the receive filter; what the
 * device cannot filter is filtered here.
 */
#include <errno.h>
#include <string.h>

#include "drivers/net_driver.h"
#include "drivers/virtio_net_reg.h"
#include "drivers/virtio_pci.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/dma.h"

TRACE_FILE("net", TRACE_INFO);

#define SLOTS VIRTQUEUE_SIZE_MAX
#define CONTROL_SLOTS 4
#define HEADER_OFFSET 4
#define FRAME_OFFSET (HEADER_OFFSET + sizeof(struct virtio_net_header))
BUILD_ASSERT(FRAME_OFFSET == 16);
#define TX_BYTES_MAX (256 * KIB)
#define RX_BATCH 16 /* buffers given back by one store of the index */

#define FEATURES_WANTED                                                                                      \
	(VIRTIO_NET_FEATURE_MTU | VIRTIO_NET_FEATURE_MAC | VIRTIO_NET_FEATURE_STATUS |                       \
	 VIRTIO_NET_FEATURE_CONTROL | VIRTIO_NET_FEATURE_CONTROL_RX | VIRTIO_NET_FEATURE_CONTROL_EXTRA |     \
	 VIRTIO_NET_FEATURE_SPEED)
/* Without it the port would need an address made up by us, another one after each start. */
#define FEATURES_REQUIRED VIRTIO_NET_FEATURE_MAC

/* What goes over the control queue, in DMA memory. */
struct control_message {
	uint8_t class;
	uint8_t command;
	uint8_t on;
	uint8_t answer;
};

struct virtio_net {
	struct virtio_pci pci;
	struct virtio_queue receive;
	struct virtio_queue transmit;
	struct virtio_queue control;
	uint64_t reset_deadline_ns;
	uint32_t buffer_max; /* largest frame there are buffers for; 0: never opened */
	uint32_t slot_size;
	struct dma_buffer tx_buffers, rx_buffers, control_buffer;
	struct net_watchdog tx_watchdog;
	uint64_t tx_bytes;	  /* under way or put in */
	uint16_t tx_sizes[SLOTS]; /* of the frames in it, by head */
	uint32_t rx_waiting;	  /* buffers added that the device was not shown */
	bool rx_held;		  /* a frame was handed out: its buffer is not the device's yet */
	bool filter_multicast;	  /* here, because the device cannot */
	bool filter_unicast;
};

static struct virtio_net ports[NET_DEVICE_MAX]; /* by device->index */

static bool has_feature(const struct virtio_net *port, uint64_t feature)
{
	return (port->pci.features & feature) != 0;
}

/* Probe and reset ---------------------------------------------------------- */

static void virtio_net_reset_begin(struct net_device *device)
{
	struct virtio_net *port = device->driver;

	device->opened = false;
	device->failed = true; /* until the reset is done */
	port->reset_deadline_ns = time_now_ns() + VIRTIO_RESET_TIMEOUT_MS * NS_PER_MS;
	virtio_pci_begin_reset(&port->pci);
}

static int virtio_net_reset_poll(struct net_device *device)
{
	struct virtio_net *port = device->driver;
	bool late = time_reached(port->reset_deadline_ns);

	if (!virtio_pci_is_reset(&port->pci))
		return late ? trace_error(-ETIMEDOUT) : -EAGAIN;
	device->failed = false;
	return 0;
}

/* Gives the device up without waiting for it: cut off from memory, and told to forget us. */
static void virtio_net_abandon(struct virtio_net *port)
{
	virtio_pci_begin_reset(&port->pci);
	pci_disable(port->pci.pci);
}

/* Address and limits, from the configuration. */
static int virtio_net_read_identity(struct virtio_net *port, struct net_device *device)
{
	uint8_t mtu[2];
	int status;

	status = virtio_pci_read_config(&port->pci, VIRTIO_NET_CONFIG_MAC, device->mac, NET_MAC_SIZE);
	if (status)
		return status;
	if (!net_mac_is_valid(device->mac))
		return trace_error(-EIO);
	device->frame_size_max = NET_FRAME_SIZE_JUMBO;
	if (!has_feature(port, VIRTIO_NET_FEATURE_MTU))
		return 0;
	status = virtio_pci_read_config(&port->pci, VIRTIO_NET_CONFIG_MTU, mtu, sizeof(mtu));
	if (status)
		return status;
	/* 68 is the least that the device may ask for (5.1.4.1); below a standard frame no port is of use. */
	if (load_le16(mtu) + NET_FRAME_SIZE_MIN < NET_FRAME_SIZE_STANDARD)
		return trace_error(-ENOTSUP);
	device->frame_size_max = (uint32_t)min_u64(load_le16(mtu) + NET_FRAME_SIZE_MIN, NET_FRAME_SIZE_JUMBO);
	return 0;
}

static int virtio_net_probe(struct net_device *device, const struct pci_device *pci)
{
	struct virtio_net *port = &ports[device->index];
	int status;

	memset(port, 0, sizeof(*port));
	status = virtio_pci_probe(&port->pci, pci, VIRTIO_TYPE_NET, VIRTIO_PCI_TRANSITIONAL_NET);
	if (status)
		return status;
	device->driver = port;
	status = net_await_reset(device);
	if (status)
		goto abandon;
	status = virtio_pci_negotiate(&port->pci, FEATURES_WANTED, FEATURES_REQUIRED);
	if (status)
		goto abandon;
	status = virtio_net_read_identity(port, device);
abandon:
	/* Quiet until open, also when all is well. */
	virtio_net_abandon(port);
	return status;
}

/* Open and close ----------------------------------------------------------- */

static int virtio_net_allocate(struct virtio_net *port, uint32_t frame_size_max)
{
	uint32_t slot_size = (uint32_t)align_up(FRAME_OFFSET + frame_size_max, 64);
	int status;

	status = dma_allocate(&port->tx_buffers, (uint64_t)SLOTS * slot_size, 64);
	if (status)
		return status;
	status = dma_allocate(&port->rx_buffers, (uint64_t)SLOTS * slot_size, 64);
	if (status)
		return status;
	status = dma_allocate(&port->control_buffer, sizeof(struct control_message), 64);
	if (status)
		return status;
	port->slot_size = slot_size;
	port->buffer_max = frame_size_max;
	return 0;
}

/* Gives every free receive buffer to the device; not shown to it yet. */
static void virtio_net_fill_receive(struct virtio_net *port, uint32_t frame_size_max)
{
	struct virtqueue *ring = &port->receive.ring;

	while (ring->free_count > 0) {
		struct virtqueue_segment segment = {
			.physical = port->rx_buffers.physical +
				    (uint64_t)virtqueue_next_head(ring) * port->slot_size + HEADER_OFFSET,
			.size = (uint32_t)sizeof(struct virtio_net_header) + frame_size_max,
		};

		virtqueue_add(ring, &segment, 0, 1);
		port->rx_waiting++;
	}
}

static void virtio_net_show_receive(struct virtio_net *port)
{
	port->rx_waiting = 0;
	if (virtqueue_publish(&port->receive.ring))
		virtio_pci_notify(&port->pci, &port->receive);
}

/* One command over the control queue, awaited. */
static int virtio_net_control_rx(struct virtio_net *port, uint8_t command, bool on)
{
	struct control_message *message = port->control_buffer.address;
	uint64_t physical = port->control_buffer.physical;
	struct virtqueue_segment segments[3] = {
		{ physical, offsetof(struct control_message, on) },
		{ physical + offsetof(struct control_message, on), 1 },
		{ physical + offsetof(struct control_message, answer), 1 },
	};
	uint64_t deadline_ns = time_now_ns() + VIRTIO_NET_CONTROL_TIMEOUT_MS * NS_PER_MS;
	uint32_t size;
	uint16_t head;
	int status;

	*message = (struct control_message){ VIRTIO_NET_CONTROL_RX, command, on, UINT8_MAX };
	if (virtqueue_add(&port->control.ring, segments, 2, 1) < 0)
		return trace_error(-EIO);
	if (virtqueue_publish(&port->control.ring))
		virtio_pci_notify(&port->pci, &port->control);
	while ((status = virtqueue_take(&port->control.ring, &head, &size)) == 0) {
		if (time_reached(deadline_ns))
			return trace_error(-ETIMEDOUT);
	}
	if (status < 0)
		return status;
	return *(volatile uint8_t *)&message->answer == VIRTIO_NET_CONTROL_OK ? 0 : trace_error(-EIO);
}

/*
 * Own address and broadcast, and what the options ask for beside them. A device
 * comes up promiscuous (5.1.6.5.1); what it cannot be told, this driver does.
 */
static int virtio_net_set_filter(struct virtio_net *port, const struct net_open *options)
{
	int status;

	port->filter_multicast = !options->multicast;
	port->filter_unicast = !options->promiscuous;
	if (!has_feature(port, VIRTIO_NET_FEATURE_CONTROL) ||
	    !has_feature(port, VIRTIO_NET_FEATURE_CONTROL_RX))
		return 0;
	if (options->promiscuous) {
		if (!has_feature(port, VIRTIO_NET_FEATURE_CONTROL_EXTRA))
			return virtio_net_control_rx(port, VIRTIO_NET_CONTROL_RX_PROMISCUOUS, true);
		status = virtio_net_control_rx(port, VIRTIO_NET_CONTROL_RX_ALL_UNICAST, true);
		if (status)
			return status;
	}
	status = virtio_net_control_rx(port, VIRTIO_NET_CONTROL_RX_ALL_MULTICAST, options->multicast);
	if (status)
		return status;
	status = virtio_net_control_rx(port, VIRTIO_NET_CONTROL_RX_PROMISCUOUS, false);
	if (status)
		return status;
	port->filter_multicast = false;
	port->filter_unicast = false;
	return 0;
}

static int virtio_net_setup_queues(struct virtio_net *port)
{
	int status;

	status = virtio_pci_setup_queue(&port->pci, &port->receive, VIRTIO_NET_QUEUE_RECEIVE, SLOTS);
	if (status)
		return status;
	status = virtio_pci_setup_queue(&port->pci, &port->transmit, VIRTIO_NET_QUEUE_TRANSMIT, SLOTS);
	if (status || !has_feature(port, VIRTIO_NET_FEATURE_CONTROL))
		return status;
	return virtio_pci_setup_queue(&port->pci, &port->control, VIRTIO_NET_QUEUE_CONTROL, CONTROL_SLOTS);
}

static int virtio_net_open(struct net_device *device, const struct net_open *options)
{
	struct virtio_net *port = device->driver;
	int status = net_check_options(device, options, port->buffer_max);

	if (status)
		return status;
	if (device->failed)
		return trace_error(-EIO);
	if (port->buffer_max == 0) {
		status = virtio_net_allocate(port, options->frame_size_max);
		if (status)
			return status;
	}
	pci_enable(device->pci);
	status = virtio_pci_negotiate(&port->pci, FEATURES_WANTED, FEATURES_REQUIRED);
	if (status)
		goto abandon;
	status = virtio_net_setup_queues(port);
	if (status)
		goto abandon;
	net_watchdog_rest(&port->tx_watchdog);
	port->tx_bytes = 0;
	port->rx_held = false;
	port->rx_waiting = 0;
	virtio_net_fill_receive(port, options->frame_size_max);
	virtio_pci_start(&port->pci);
	virtio_net_show_receive(port);
	status = virtio_net_set_filter(port, options);
	if (status)
		goto abandon;
	device->options = *options;
	device->opened = true;
	return 0;
abandon:
	virtio_net_abandon(port);
	return status;
}

static void virtio_net_close(struct net_device *device)
{
	struct virtio_net *port = device->driver;

	device->opened = false;
	if (virtio_pci_stop(&port->pci))
		net_device_fault(device, "does not stop");
}

/* Transmit ----------------------------------------------------------------- */

static int virtio_net_transmit_reserve(struct net_device *device, uint32_t size, uint8_t **room)
{
	struct virtio_net *port = device->driver;
	const struct virtqueue *ring = &port->transmit.ring;
	int status = net_check_transmit(device, size);

	if (status)
		return status;
	if (ring->free_count == 0 || port->tx_bytes + size > TX_BYTES_MAX) {
		device->statistics.tx_ring_full++;
		return -EAGAIN;
	}
	*room = (uint8_t *)port->tx_buffers.address + (uint64_t)virtqueue_next_head(ring) * port->slot_size +
		FRAME_OFFSET;
	return 0;
}

static void virtio_net_transmit_commit(struct net_device *device, uint32_t size)
{
	struct virtio_net *port = device->driver;
	struct virtqueue *ring = &port->transmit.ring;
	struct virtqueue_segment segment;
	int head;

	if (device->failed)
		return;
	ASSERT(size >= NET_FRAME_SIZE_MIN);
	ASSERT(size <= device->options.frame_size_max);
	/* The header is zero since start-up and the device may only read it. */
	segment.physical = port->tx_buffers.physical + (uint64_t)virtqueue_next_head(ring) * port->slot_size +
			   HEADER_OFFSET;
	segment.size = (uint32_t)sizeof(struct virtio_net_header) + size;
	head = virtqueue_add(ring, &segment, 1, 0);
	ASSERT(head >= 0);
	port->tx_sizes[head] = (uint16_t)size;
	port->tx_bytes += size;
	device->statistics.tx_frames++;
	device->statistics.tx_bytes += size;
}

static void virtio_net_transmit_flush(struct net_device *device)
{
	struct virtio_net *port = device->driver;

	if (device->opened && !device->failed && virtqueue_publish(&port->transmit.ring))
		virtio_pci_notify(&port->pci, &port->transmit);
}

static bool virtio_net_is_up(struct virtio_net *port)
{
	uint8_t status[2];

	if (!has_feature(port, VIRTIO_NET_FEATURE_STATUS))
		return true;
	return virtio_pci_read_config(&port->pci, VIRTIO_NET_CONFIG_STATUS, status, sizeof(status)) == 0 &&
	       (load_le16(status) & VIRTIO_NET_STATUS_LINK_UP);
}

/* Nothing finished although frames are under way. While the link is down they may wait. */
static void virtio_net_check_stall(struct net_device *device)
{
	struct virtio_net *port = device->driver;

	if (!net_watchdog_bark(&port->tx_watchdog))
		return;
	if (virtio_pci_is_broken(&port->pci) || virtio_net_is_up(port))
		net_device_fault(device, "no frame sent any more");
	net_watchdog_rest(&port->tx_watchdog);
}

static uint32_t virtio_net_poll_tx(struct net_device *device)
{
	struct virtio_net *port = device->driver;
	struct virtqueue *ring = &port->transmit.ring;
	uint32_t count = 0;
	uint32_t size;
	uint16_t head;
	int status;

	if (!device->opened || device->failed)
		return 0;
	while ((status = virtqueue_take(ring, &head, &size)) > 0) {
		port->tx_bytes -= port->tx_sizes[head];
		count++;
	}
	if (status < 0)
		net_device_fault(device, "finished a frame to send that it does not have");
	else if (count != 0 || ring->published == ring->taken)
		net_watchdog_rest(&port->tx_watchdog);
	else
		virtio_net_check_stall(device);
	return count;
}

/* Receive ------------------------------------------------------------------ */

/* Not for us, though the device let it through? */
static bool virtio_net_is_foreign(const struct virtio_net *port, const uint8_t *frame, const uint8_t *mac)
{
	static const uint8_t broadcast[NET_MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (frame[0] & 1)
		return port->filter_multicast && memcmp(frame, broadcast, NET_MAC_SIZE) != 0;
	return port->filter_unicast && memcmp(frame, mac, NET_MAC_SIZE) != 0;
}

/* The buffer handed out last goes back to the device, some at a time. */
static void virtio_net_return_buffer(struct net_device *device)
{
	struct virtio_net *port = device->driver;

	if (!port->rx_held)
		return;
	port->rx_held = false;
	virtio_net_fill_receive(port, device->options.frame_size_max);
	if (port->rx_waiting >= RX_BATCH)
		virtio_net_show_receive(port);
}

static int virtio_net_poll_rx(struct net_device *device, struct net_frame *frame)
{
	struct virtio_net *port = device->driver;

	if (device->failed)
		return -EIO;
	if (!device->opened)
		return -ENETDOWN;
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint32_t size;
		uint16_t head;
		int status;

		virtio_net_return_buffer(device);
		status = virtqueue_take(&port->receive.ring, &head, &size);
		if (status < 0)
			return net_device_fault(device, "received into a buffer it does not have");
		if (status == 0)
			break;
		port->rx_held = true;
		if (size < sizeof(struct virtio_net_header))
			return net_device_fault(device, "received less than a header");
		frame->size = size - (uint32_t)sizeof(struct virtio_net_header);
		frame->data = (const uint8_t *)port->rx_buffers.address + (uint64_t)head * port->slot_size +
			      FRAME_OFFSET;
		if (frame->size < NET_FRAME_SIZE_MIN) {
			device->statistics.rx_errors++;
			continue;
		}
		if (virtio_net_is_foreign(port, frame->data, device->mac)) {
			device->statistics.rx_filtered++;
			continue;
		}
		device->statistics.rx_frames++;
		device->statistics.rx_bytes += frame->size;
		return 1;
	}
	/* Idle: the device gets what it has not been shown yet. */
	if (port->rx_waiting > 0)
		virtio_net_show_receive(port);
	return 0;
}

/* Link and statistics ------------------------------------------------------ */

static void virtio_net_link(struct net_device *device, struct net_link *link)
{
	struct virtio_net *port = device->driver;
	uint8_t speed[5];

	*link = (struct net_link){ .full_duplex = true };
	if (device->failed || !device->opened)
		return;
	if (virtio_pci_is_broken(&port->pci)) {
		net_device_fault(device, "asks for a reset");
		return;
	}
	link->up = virtio_net_is_up(port);
	if (!link->up || !has_feature(port, VIRTIO_NET_FEATURE_SPEED) ||
	    virtio_pci_read_config(&port->pci, VIRTIO_NET_CONFIG_SPEED, speed, sizeof(speed)))
		return;
	if (load_le32(speed) <= INT32_MAX)
		link->speed_mbit = load_le32(speed);
	link->full_duplex = speed[4] != 0;
}

static void virtio_net_update_statistics(struct net_device *device)
{
	/* The device counts nothing that its driver could ask for (5.1 has no such command). */
	(void)device;
}

const struct net_ops virtio_net_ops = {
	.name = "virtio-net",
	.probe = virtio_net_probe,
	.reset_begin = virtio_net_reset_begin,
	.reset_poll = virtio_net_reset_poll,
	.open = virtio_net_open,
	.close = virtio_net_close,
	.transmit_reserve = virtio_net_transmit_reserve,
	.transmit_commit = virtio_net_transmit_commit,
	.transmit_flush = virtio_net_transmit_flush,
	.poll_tx = virtio_net_poll_tx,
	.poll_rx = virtio_net_poll_rx,
	.link = virtio_net_link,
	.update_statistics = virtio_net_update_statistics,
};
