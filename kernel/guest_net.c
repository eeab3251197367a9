/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network ports; see guest_net.h. Wiring: between machine/ and drivers/.
 *
 * A server's port listens to all unicast, since the guest's address is not the
 * port's own, and what is for others is dropped here. Frames are handed to the
 * guest in the driver's ring: no copy but the one into the guest. A frame for which
 * the ring has no room is lost, as in a switch that is overrun: whoever sent it
 * knows to send it again.
 */
#include "kernel/guest_net.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/arp.h"
#include "kernel/stage.h"
#include "kernel/time.h"

TRACE_FILE("guest", TRACE_INFO);

#define FRAME_SIZE_MAX (NET_FRAME_SIZE_STANDARD + 4) /* with a VLAN tag */
#define KEEP_INTERVAL_NS (100 * NS_PER_MS)	     /* between looks at the port and its link */
#define FRAMES_A_TURN 64

struct guest_port {
	struct net_device *device; /* NULL: the guest has no such port */
	uint8_t mac[MACHINE_MAC_SIZE];
	bool link_up;
	bool link_told;	      /* what the guest was told last */
	uint32_t frames_left; /* of this loop turn */
	uint64_t next_keep_ns;
	struct guest_net_statistics statistics;
};

static struct guest_port ports[MACHINE_NET_PORT_MAX];
static uint32_t port_count; /* they are numbered through */
static bool (*filter)(uint32_t index, const struct net_frame *frame);

void guest_net_open(uint32_t index, struct net_device *device, const uint8_t mac[MACHINE_MAC_SIZE])
{
	struct guest_port *port = &ports[index];

	ASSERT(index < MACHINE_NET_PORT_MAX);
	port->device = device;
	port_count = (uint32_t)max_u64(port_count, index + 1);
	memcpy(port->mac, mac, MACHINE_MAC_SIZE);
}

void guest_net_set_filter(bool (*of_ports)(uint32_t index, const struct net_frame *frame))
{
	filter = of_ports;
}

void guest_net_restart(void)
{
	for (uint32_t index = 0; index < port_count; index++)
		ports[index].link_told = false;
}

/* ---- out ---- */

void guest_net_take(uint32_t index, const uint8_t *frame, uint32_t size)
{
	struct guest_port *port = &ports[index];
	const struct net_piece piece = { .data = frame, .size = size };
	int error;

	ASSERT(index < MACHINE_NET_PORT_MAX && port->device);
	error = net_transmit(port->device, &piece, 1);
	if (error == -EAGAIN) {
		port->device->ops->transmit_flush(port->device);
		port->device->ops->poll_tx(port->device);
		error = net_transmit(port->device, &piece, 1);
	}
	if (error)
		port->statistics.tx_dropped++;
}

/* A broadcast from the guest's address: RFC 903's reverse ARP request, which nobody answers and switches learn from. */
static void announce(uint32_t index)
{
	uint8_t frame[60] = { 0 };
	uint8_t *arp = frame + NET_FRAME_SIZE_MIN;

	net_broadcast_header(frame, ports[index].mac, ARP_ETHERTYPE_REVERSE);
	arp_fill(arp, ARP_REQUEST_REVERSE, ports[index].mac);
	memcpy(arp + ARP_TARGET_HARDWARE, ports[index].mac, ARP_HARDWARE_SIZE);
	guest_net_take(index, frame, sizeof(frame));
}

void guest_net_announce(void)
{
	for (uint32_t index = 0; index < port_count; index++)
		announce(index);
}

/* ---- in ---- */

/* Its own address, broadcast and multicast. */
static bool is_for_guest(const struct guest_port *port, const struct net_frame *frame)
{
	return frame->size >= NET_FRAME_SIZE_MIN &&
	       ((frame->data[0] & 1) || memcmp(frame->data, port->mac, MACHINE_MAC_SIZE) == 0);
}

static bool poll_driver(struct net_device *device, struct net_frame *frame)
{
	enum stage before = stage_enter(STAGE_PORT);
	bool came = device->ops->poll_rx(device, frame) == 1;

	stage_enter(before);
	return came;
}

/* The next frame of the port for the guest. A port that fails is opened anew by keep_open(). */
static bool receive(struct guest_port *port, struct net_frame *frame)
{
	while (port->frames_left > 0 && poll_driver(port->device, frame)) {
		port->frames_left--;
		if (filter && filter((uint32_t)(port - ports), frame))
			continue;
		if (is_for_guest(port, frame))
			return true;
		port->statistics.rx_filtered++;
	}
	return false;
}

bool guest_net_input(struct machine_input *input)
{
	for (uint32_t index = 0; index < port_count; index++) {
		struct guest_port *port = &ports[index];
		struct net_frame frame;

		*input = (struct machine_input){ .index = index };
		if (port->link_told != port->link_up) {
			port->link_told = port->link_up;
			input->kind = MACHINE_INPUT_LINK;
			input->value = port->link_up;
			return true;
		}
		if (receive(port, &frame)) {
			input->kind = MACHINE_INPUT_FRAME;
			input->data = frame.data;
			input->size = frame.size;
			return true;
		}
	}
	return false;
}

/* ---- the port ---- */

static void keep_open(struct guest_port *port)
{
	const struct net_open options = {
		.frame_size_max = (uint32_t)min_u64(FRAME_SIZE_MAX, port->device->frame_size_max),
		/* The guest has other addresses than the port, and IPv6 finds its neighbours by multicast. */
		.promiscuous = true,
		.multicast = true,
	};
	struct net_link link = { .up = false };
	enum stage before;

	if (!time_reached(port->next_keep_ns))
		return;
	before = stage_enter(STAGE_UPKEEP);
	port->next_keep_ns = time_now_ns() + KEEP_INTERVAL_NS;
	if (net_keep_open(port->device, &options) == 0)
		port->device->ops->link(port->device, &link);
	port->link_up = link.up;
	stage_enter(before);
}

static void poll_port(struct guest_port *port, bool guest_runs)
{
	struct net_frame frame;

	keep_open(port);
	port->frames_left = FRAMES_A_TURN;
	if (!port->device->opened)
		return;
	port->device->ops->transmit_flush(port->device);
	port->device->ops->poll_tx(port->device);
	while (!guest_runs && receive(port, &frame))
		port->statistics.rx_dropped++;
}

void guest_net_poll(bool guest_runs)
{
	for (uint32_t index = 0; index < port_count; index++) {
		enum stage before = stage_enter(STAGE_PORT);

		poll_port(&ports[index], guest_runs);
		stage_enter(before);
	}
}

bool guest_net_link_is_up(uint32_t index)
{
	ASSERT(index < MACHINE_NET_PORT_MAX);
	return ports[index].link_up;
}

const struct guest_net_statistics *guest_net_statistics(uint32_t index)
{
	ASSERT(index < MACHINE_NET_PORT_MAX);
	return ports[index].device ? &ports[index].statistics : NULL;
}
