/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel gigabit network ports: 82540EM ("e1000") and 82574L ("e1000e"). Legacy
 * descriptors, which both have, so that one driver serves both; what differs is
 * in the table of variants. Manuals: see e1000_reg.h.
 *
 * Both rings are memory; registers are touched once a batch. A register access is a
 * round trip over the bus (or an exit into the emulator), and is what costs most.
 *
 * Transmit: slot i owns buffer i, a frame is put there and takes one
 * descriptor. Frames between two doorbells form a batch; only its last
 * descriptor asks for a report, so one look tells that all of it is done.
 *
 *	  consumer        rung         batch_first    producer
 *	-----|-- under way --|-- closed ----|-- open batch --|-- free --
 *
 * Receive: the buffers of neighbouring slots are neighbours in memory, so that a
 * frame that fills several of them is still one piece. Only at the ring's end must
 * a frame's rest be copied, behind the last buffer, where there is room for it.
 *
 *	|slot 0|slot 1| ... |slot N-1|room for the rest of a frame|
 *
 * The device owns slots [rx_next, rx_tail). Slots come back to it in batches.
 */
#include <errno.h>
#include <string.h>

#include "drivers/e1000_reg.h"
#include "drivers/net_driver.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/dma.h"

TRACE_FILE("net", TRACE_INFO);

#define TX_SLOTS 256
#define TX_BATCH_MAX 64 /* frames between two reports */
#define RX_SLOTS 512
#define RX_BATCH 64		       /* slots given back by one register write */
#define RX_FRAME_SIZE_LIMIT (16 * KIB) /* no device delivers more as one frame (SDM 3.2.3) */

struct e1000_variant {
	uint16_t device_id;
	bool is_express;	   /* PCI Express: bus requests can be stopped and awaited */
	uint32_t control;	   /* CTRL when open */
	uint32_t transmit_control; /* TXDCTL */
};

static const struct e1000_variant variants[] = {
	{ .device_id = 0x100e, .control = E1000_CTRL_SLU | E1000_CTRL_ASDE }, /* 82540EM */
	{ .device_id = 0x100f, .control = E1000_CTRL_SLU | E1000_CTRL_ASDE }, /* 82545EM, copper */
	{ .device_id = 0x10d3,						      /* 82574L */
	  .is_express = true,
	  .control = E1000_CTRL_SLU,
	  .transmit_control = E1000_TXDCTL_COUNT_DESCRIPTORS },
};

enum e1000_reset_stage {
	RESET_BUS_ENDS, /* waits for bus requests under way */
	RESET_SETTLES,	/* nothing may be touched for a moment */
	RESET_ENDS,	/* waits for the bit to clear itself */
};

struct e1000 {
	const struct e1000_variant *variant;
	struct mmio registers;
	enum e1000_reset_stage reset_stage;
	uint64_t reset_deadline_ns; /* of the stage */
	uint32_t buffer_max;	    /* largest frame there are buffers for; 0: never opened */
	struct dma_buffer tx_ring, tx_buffers, rx_ring, rx_buffers;

	/* Free-running; a slot is index % count. */
	struct e1000_tx_descriptor *tx_descriptors;
	uint32_t tx_slot_size;
	uint32_t tx_producer;
	uint32_t tx_batch_first;
	uint32_t tx_rung;
	uint32_t tx_consumer;
	uint32_t tx_batch_end[TX_SLOTS]; /* by the slot of a batch's first frame */
	struct net_watchdog tx_watchdog;

	struct e1000_rx_descriptor *rx_descriptors;
	uint32_t rx_slot_size;
	uint32_t rx_next;
	uint32_t rx_tail;
	uint32_t rx_held;    /* slots of the frame that was handed out last */
	uint32_t rx_pending; /* slots ready for the device that it was not told of */
};

static struct e1000 ports[NET_DEVICE_MAX]; /* by device->index */

static uint32_t e1000_read32(const struct e1000 *port, uint32_t offset)
{
	return mmio_read32(&port->registers, offset);
}

static void e1000_write32(const struct e1000 *port, uint32_t offset, uint64_t value)
{
	mmio_write32(&port->registers, offset, (uint32_t)value);
}

/* Reset -------------------------------------------------------------------- */

/*
 * Stops both directions and interrupts. RCTL is written only when it must be:
 * QEMU's model holds received frames back for a second after each such write.
 */
static void e1000_quiesce(const struct e1000 *port)
{
	e1000_write32(port, E1000_IMC, UINT32_MAX);
	if (e1000_read32(port, E1000_RCTL) & E1000_RCTL_EN)
		e1000_write32(port, E1000_RCTL, 0);
	e1000_write32(port, E1000_TCTL, e1000_read32(port, E1000_TCTL) & ~E1000_TCTL_EN);
}

static void e1000_enter(struct e1000 *port, enum e1000_reset_stage stage, uint64_t duration_ns)
{
	port->reset_stage = stage;
	port->reset_deadline_ns = time_now_ns() + duration_ns;
}

static void e1000_write_reset(struct e1000 *port)
{
	e1000_write32(port, E1000_CTRL, e1000_read32(port, E1000_CTRL) | E1000_CTRL_RST);
	e1000_enter(port, RESET_SETTLES, E1000_RESET_DELAY_US * NS_PER_US);
}

static void e1000_reset_begin(struct net_device *device)
{
	struct e1000 *port = device->driver;

	device->opened = false;
	device->failed = true; /* until the reset is done */
	e1000_quiesce(port);
	if (!port->variant->is_express) {
		e1000_write_reset(port);
		return;
	}
	/* Bus requests under way come to an end before the reset (82574 3.1.3.10). */
	e1000_write32(port, E1000_CTRL, e1000_read32(port, E1000_CTRL) | E1000_CTRL_GIO_MASTER_DISABLE);
	e1000_enter(port, RESET_BUS_ENDS, E1000_MASTER_DISABLE_TIMEOUT_MS * NS_PER_MS);
}

static int e1000_reset_poll(struct net_device *device)
{
	struct e1000 *port = device->driver;
	bool late = time_reached(port->reset_deadline_ns);

	switch (port->reset_stage) {
	case RESET_BUS_ENDS:
		if ((e1000_read32(port, E1000_STATUS) & E1000_STATUS_GIO_MASTER_ENABLE) && !late)
			return -EAGAIN;
		if (late)
			trace(TRACE_WARNING,
			      "e1000: bus requests do not come to an end; resetting nevertheless");
		e1000_write_reset(port);
		return -EAGAIN;
	case RESET_SETTLES:
		if (!late)
			return -EAGAIN;
		e1000_enter(port, RESET_ENDS, E1000_RESET_TIMEOUT_MS * NS_PER_MS);
		return -EAGAIN;
	case RESET_ENDS:
		break;
	}
	/* A device that is gone reads as all ones and runs into the time-out too. */
	if (e1000_read32(port, E1000_CTRL) & E1000_CTRL_RST)
		return late ? trace_error(-ETIMEDOUT) : -EAGAIN;
	e1000_write32(port, E1000_IMC, UINT32_MAX);
	e1000_read32(port, E1000_ICR);
	device->failed = false;
	return 0;
}

/* Probe -------------------------------------------------------------------- */

static const struct e1000_variant *e1000_find_variant(const struct pci_device *pci)
{
	if (pci->vendor != 0x8086)
		return NULL;
	for (uint32_t i = 0; i < ARRAY_SIZE(variants); i++) {
		if (variants[i].device_id == pci->device)
			return &variants[i];
	}
	return NULL;
}

/* The reset has loaded the first receive address from the EEPROM (SDM 5.6.1). */
static int e1000_read_mac(const struct e1000 *port, uint8_t mac[NET_MAC_SIZE])
{
	uint32_t high = e1000_read32(port, E1000_RAH(0));

	store_le32(mac, e1000_read32(port, E1000_RAL(0)));
	store_le16(mac + 4, (uint16_t)high);
	if (!(high & E1000_RAH_AV) || !net_mac_is_valid(mac))
		return trace_error(-EIO);
	return 0;
}

static int e1000_probe(struct net_device *device, const struct pci_device *pci)
{
	const struct e1000_variant *variant = e1000_find_variant(pci);
	struct e1000 *port = &ports[device->index];
	int status;

	if (!variant)
		return -ENODEV;
	memset(port, 0, sizeof(*port));
	port->variant = variant;
	if (pci_map_bar(pci, 0, E1000_REGISTERS_SIZE, &port->registers))
		return trace_error(-EIO);
	device->driver = port;
	pci_enable(pci);
	status = net_await_reset(device);
	if (status == 0)
		status = e1000_read_mac(port, device->mac);
	pci_disable(pci);
	if (status)
		return status;
	device->frame_size_max = NET_FRAME_SIZE_JUMBO;
	return 0;
}

/* Open and close ----------------------------------------------------------- */

static int e1000_allocate(struct e1000 *port, uint32_t frame_size_max)
{
	uint32_t tx_slot_size = (uint32_t)align_up(frame_size_max, 64);
	uint32_t rx_slot_size = frame_size_max > NET_FRAME_SIZE_STANDARD ? 4096 : 2048;
	int status;

	status = dma_allocate(&port->tx_ring, TX_SLOTS * sizeof(*port->tx_descriptors), 128);
	if (status)
		return status;
	status = dma_allocate(&port->rx_ring, RX_SLOTS * sizeof(*port->rx_descriptors), 128);
	if (status)
		return status;
	status = dma_allocate(&port->tx_buffers, (uint64_t)TX_SLOTS * tx_slot_size, 64);
	if (status)
		return status;
	status = dma_allocate(&port->rx_buffers, (uint64_t)RX_SLOTS * rx_slot_size + RX_FRAME_SIZE_LIMIT,
			      4096);
	if (status)
		return status;
	port->tx_descriptors = port->tx_ring.address;
	port->rx_descriptors = port->rx_ring.address;
	port->tx_slot_size = tx_slot_size;
	port->rx_slot_size = rx_slot_size;
	port->buffer_max = frame_size_max;
	return 0;
}

static void e1000_init_rings(struct e1000 *port)
{
	for (uint32_t i = 0; i < TX_SLOTS; i++) {
		port->tx_descriptors[i].physical =
			port->tx_buffers.physical + (uint64_t)i * port->tx_slot_size;
		port->tx_descriptors[i].word = 0;
	}
	for (uint32_t i = 0; i < RX_SLOTS; i++) {
		port->rx_descriptors[i].physical =
			port->rx_buffers.physical + (uint64_t)i * port->rx_slot_size;
		port->rx_descriptors[i].word = 0;
	}
	port->tx_producer = port->tx_batch_first = port->tx_rung = port->tx_consumer = 0;
	net_watchdog_rest(&port->tx_watchdog);
	port->rx_next = port->rx_held = port->rx_pending = 0;
	/* One slot stays ours: head = tail means that the device has none (SDM 3.2.6). */
	port->rx_tail = RX_SLOTS - 1;
}

/* Our own address and no other; no multicast (SDM 14.4). */
static void e1000_set_filters(const struct e1000 *port, const uint8_t mac[NET_MAC_SIZE])
{
	e1000_write32(port, E1000_RAL(0), load_le32(mac));
	e1000_write32(port, E1000_RAH(0), load_le16(mac + 4) | E1000_RAH_AV);
	for (uint32_t i = 1; i < E1000_RA_COUNT; i++)
		e1000_write32(port, E1000_RAH(i), 0);
	for (uint32_t i = 0; i < E1000_MTA_COUNT; i++)
		e1000_write32(port, E1000_MTA + 4 * i, 0);
}

static void e1000_start_transmit(const struct e1000 *port)
{
	e1000_write32(port, E1000_TDBAL, port->tx_ring.physical);
	e1000_write32(port, E1000_TDBAH, port->tx_ring.physical >> 32);
	e1000_write32(port, E1000_TDLEN, TX_SLOTS * sizeof(*port->tx_descriptors));
	e1000_write32(port, E1000_TDH, 0);
	e1000_write32(port, E1000_TDT, 0);
	e1000_write32(port, E1000_TIDV, 0);
	e1000_write32(port, E1000_TXDCTL, port->variant->transmit_control);
	e1000_write32(port, E1000_TIPG, E1000_TIPG_COPPER);
	/* The upper bits have other defaults in the 82574, which must stay. */
	e1000_write32(port, E1000_TCTL,
		      (e1000_read32(port, E1000_TCTL) & ~E1000_TCTL_CONTROL_MASK) | E1000_TCTL_EN |
			      E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
}

static void e1000_start_receive(const struct e1000 *port, const struct net_open *options)
{
	uint64_t control = E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC;

	control |= port->rx_slot_size == 4096 ? E1000_RCTL_BSIZE_4096 : E1000_RCTL_BSIZE_2048;
	if (options->frame_size_max > NET_FRAME_SIZE_STANDARD)
		control |= E1000_RCTL_LPE;
	if (options->promiscuous)
		control |= E1000_RCTL_UPE;
	if (options->multicast)
		control |= E1000_RCTL_MPE;
	e1000_write32(port, E1000_RDBAL, port->rx_ring.physical);
	e1000_write32(port, E1000_RDBAH, port->rx_ring.physical >> 32);
	e1000_write32(port, E1000_RDLEN, RX_SLOTS * sizeof(*port->rx_descriptors));
	e1000_write32(port, E1000_RDH, 0);
	e1000_write32(port, E1000_RDT, 0);
	e1000_write32(port, E1000_RDTR, 0);
	e1000_write32(port, E1000_RADV, 0);
	e1000_write32(port, E1000_RXCSUM, 0);
	e1000_write32(port, E1000_RCTL, control);
	e1000_write32(port, E1000_RDT, port->rx_tail % RX_SLOTS);
}

static int e1000_open(struct net_device *device, const struct net_open *options)
{
	struct e1000 *port = device->driver;
	int status = net_check_options(device, options, port->buffer_max);

	if (status)
		return status;
	if (device->failed)
		return trace_error(-EIO);
	if (port->buffer_max == 0) {
		status = e1000_allocate(port, options->frame_size_max);
		if (status)
			return status;
	}
	e1000_init_rings(port);
	pci_enable(device->pci);
	e1000_write32(port, E1000_CTRL, port->variant->control);
	e1000_set_filters(port, device->mac);
	e1000_start_transmit(port);
	e1000_start_receive(port, options);
	device->options = *options;
	device->opened = true;
	return 0;
}

static void e1000_close(struct net_device *device)
{
	device->opened = false;
	e1000_quiesce(device->driver);
	pci_disable(device->pci);
}

/* Transmit ----------------------------------------------------------------- */

/* The open batch ends here: its last frame asks for a report. */
static void e1000_close_batch(struct e1000 *port)
{
	struct e1000_tx_descriptor *last = &port->tx_descriptors[(port->tx_producer - 1) % TX_SLOTS];

	last->word |= E1000_TX_REPORT;
	port->tx_batch_end[port->tx_batch_first % TX_SLOTS] = port->tx_producer;
	port->tx_batch_first = port->tx_producer;
}

static int e1000_transmit_reserve(struct net_device *device, uint32_t size, uint8_t **room)
{
	struct e1000 *port = device->driver;
	int status = net_check_transmit(device, size);

	if (status)
		return status;
	/* One slot stays free: head = tail means empty (SDM 3.4). */
	if (port->tx_producer - port->tx_consumer == TX_SLOTS - 1) {
		device->statistics.tx_ring_full++;
		return -EAGAIN;
	}
	*room = (uint8_t *)port->tx_buffers.address + port->tx_producer % TX_SLOTS * port->tx_slot_size;
	return 0;
}

static void e1000_transmit_commit(struct net_device *device, uint32_t size)
{
	struct e1000 *port = device->driver;

	if (device->failed)
		return;
	ASSERT(size >= NET_FRAME_SIZE_MIN);
	ASSERT(size <= device->options.frame_size_max);
	ASSERT(port->tx_producer - port->tx_consumer < TX_SLOTS - 1);
	port->tx_descriptors[port->tx_producer % TX_SLOTS].word = size | E1000_TX_END | E1000_TX_FCS;
	port->tx_producer++;
	if (port->tx_producer - port->tx_batch_first == TX_BATCH_MAX)
		e1000_close_batch(port);
	device->statistics.tx_frames++;
	device->statistics.tx_bytes += size;
}

static void e1000_transmit_flush(struct net_device *device)
{
	struct e1000 *port = device->driver;

	if (!device->opened || device->failed || port->tx_rung == port->tx_producer)
		return;
	if (port->tx_batch_first != port->tx_producer)
		e1000_close_batch(port);
	/* Frames and descriptors before the tail that hands them over. */
	dma_write_barrier();
	e1000_write32(port, E1000_TDT, port->tx_producer % TX_SLOTS);
	port->tx_rung = port->tx_producer;
}

/* Nothing finished although frames are under way. While the link is down they may wait. */
static void e1000_check_stall(struct net_device *device)
{
	struct e1000 *port = device->driver;

	if (!net_watchdog_bark(&port->tx_watchdog))
		return;
	if (e1000_read32(port, E1000_STATUS) & E1000_STATUS_LU)
		net_device_fault(device, "no frame sent any more");
	net_watchdog_rest(&port->tx_watchdog);
}

static uint32_t e1000_poll_tx(struct net_device *device)
{
	struct e1000 *port = device->driver;
	uint32_t before = port->tx_consumer;

	if (!device->opened || device->failed)
		return 0;
	while (port->tx_consumer != port->tx_rung) {
		uint32_t end = port->tx_batch_end[port->tx_consumer % TX_SLOTS];
		uint64_t word = port->tx_descriptors[(end - 1) % TX_SLOTS].word;

		if (!(word & E1000_TX_DONE))
			break;
		if (word & E1000_TX_ERRORS)
			device->statistics.tx_errors++;
		port->tx_consumer = end;
	}
	if (port->tx_consumer != before || port->tx_consumer == port->tx_rung)
		net_watchdog_rest(&port->tx_watchdog);
	else
		e1000_check_stall(device);
	return port->tx_consumer - before;
}

/* Receive ------------------------------------------------------------------ */

/* Slots [rx_next - rx_held, rx_next) are no longer looked at: back to the device, some at a time. */
static void e1000_return_slots(struct e1000 *port)
{
	for (; port->rx_held > 0; port->rx_held--, port->rx_pending++)
		port->rx_descriptors[(port->rx_next - port->rx_held) % RX_SLOTS].word = 0;
	if (port->rx_pending < RX_BATCH)
		return;
	port->rx_tail += port->rx_pending;
	port->rx_pending = 0;
	/* The cleared descriptors before the tail that hands them over. */
	dma_write_barrier();
	e1000_write32(port, E1000_RDT, port->rx_tail % RX_SLOTS);
}

/*
 * The frame that begins at rx_next: its slots, its bytes, and errors in any of its
 * descriptors. Returns 1; 0 when its end is not there yet; -EIO when the device
 * broke its contract.
 */
static int e1000_measure(struct net_device *device, uint32_t *slot_count, uint32_t *frame_size,
			 uint64_t *errors)
{
	struct e1000 *port = device->driver;
	uint32_t count = 0;
	uint32_t size = 0;
	uint64_t word;

	/*
	 * Only slots that the device owns are looked at: fewer than RX_BATCH + a frame's
	 * slots are ever ours.
	 */
	ASSERT(port->rx_tail - port->rx_next > RX_FRAME_SIZE_LIMIT / port->rx_slot_size);
	*errors = 0;
	do {
		word = port->rx_descriptors[(port->rx_next + count) % RX_SLOTS].word;
		if (!(word & E1000_RX_DONE))
			return 0;
		if (E1000_RX_SIZE(word) > port->rx_slot_size)
			return net_device_fault(device, "received more than a buffer holds");
		/* All but the last buffer are full: what makes the frame one piece. */
		if (!(word & E1000_RX_END) && E1000_RX_SIZE(word) != port->rx_slot_size)
			return net_device_fault(device, "left a hole in a received frame");
		*errors |= word & E1000_RX_ERRORS;
		size += E1000_RX_SIZE(word);
		if (size > RX_FRAME_SIZE_LIMIT)
			return net_device_fault(device, "received a frame without end");
		count++;
	} while (!(word & E1000_RX_END));
	*slot_count = count;
	*frame_size = size;
	return 1;
}

/* A frame that goes on at the ring's beginning: its rest is put behind the ring's end. */
static void e1000_straighten(struct e1000 *port, uint32_t slot, uint32_t size)
{
	uint8_t *buffers = port->rx_buffers.address;
	uint32_t before_end = (RX_SLOTS - slot) * port->rx_slot_size;

	if (size > before_end)
		memcpy(buffers + (uint64_t)RX_SLOTS * port->rx_slot_size, buffers, size - before_end);
}

static int e1000_poll_rx(struct net_device *device, struct net_frame *frame)
{
	struct e1000 *port = device->driver;

	if (device->failed)
		return -EIO;
	if (!device->opened)
		return -ENETDOWN;
	for (uint32_t i = 0; i < RX_SLOTS; i++) {
		uint32_t slot = port->rx_next % RX_SLOTS;
		uint32_t slot_count = 0;
		uint32_t size = 0;
		uint64_t errors;
		int status;

		e1000_return_slots(port);
		status = e1000_measure(device, &slot_count, &size, &errors);
		if (status <= 0)
			return status;
		port->rx_next += slot_count;
		port->rx_held = slot_count;
		if (errors || size < NET_FRAME_SIZE_MIN || size > device->options.frame_size_max) {
			device->statistics.rx_errors++;
			continue;
		}
		/* The frame's bytes after the descriptors that announce them. */
		dma_read_barrier();
		e1000_straighten(port, slot, size);
		device->statistics.rx_frames++;
		device->statistics.rx_bytes += size;
		frame->data = (const uint8_t *)port->rx_buffers.address + (uint64_t)slot * port->rx_slot_size;
		frame->size = size;
		return 1;
	}
	return 0;
}

/* Link and statistics ------------------------------------------------------ */

static void e1000_link(struct net_device *device, struct net_link *link)
{
	static const uint32_t speeds_mbit[4] = { 10, 100, 1000, 1000 };
	uint32_t status = e1000_read32(device->driver, E1000_STATUS);

	/* All ones: the device is gone. */
	link->up = status != UINT32_MAX && (status & E1000_STATUS_LU);
	link->full_duplex = (status & E1000_STATUS_FD) != 0;
	link->speed_mbit = link->up ? speeds_mbit[E1000_STATUS_SPEED(status)] : 0;
}

static void e1000_update_statistics(struct net_device *device)
{
	static const uint32_t receive_errors[] = { E1000_CRCERRS, E1000_RXERRC, E1000_RUC, E1000_RFC,
						   E1000_ROC };
	const struct e1000 *port = device->driver;

	/* A device that is gone would count four thousand million of each. */
	if (e1000_read32(port, E1000_STATUS) == UINT32_MAX)
		return;
	for (uint32_t i = 0; i < ARRAY_SIZE(receive_errors); i++)
		device->statistics.rx_errors += e1000_read32(port, receive_errors[i]);
	device->statistics.rx_missed += e1000_read32(port, E1000_MPC);
	device->statistics.tx_errors += e1000_read32(port, E1000_ECOL);
	device->statistics.tx_errors += e1000_read32(port, E1000_LATECOL);
}

const struct net_ops e1000_ops = {
	.name = "e1000",
	.probe = e1000_probe,
	.reset_begin = e1000_reset_begin,
	.reset_poll = e1000_reset_poll,
	.open = e1000_open,
	.close = e1000_close,
	.transmit_reserve = e1000_transmit_reserve,
	.transmit_commit = e1000_transmit_commit,
	.transmit_flush = e1000_transmit_flush,
	.poll_tx = e1000_poll_tx,
	.poll_rx = e1000_poll_rx,
	.link = e1000_link,
	.update_statistics = e1000_update_statistics,
};
