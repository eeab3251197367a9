/* SPDX-License-Identifier: Apache-2.0 */
/* Beacons and stations; see pair_paths.h. Wiring: between the network ports and the pair. */
#include "kernel/pair_paths.h"

#include <string.h>

#include "include/byte_order.h"
#include "include/trace.h"
#include "kernel/arp.h"
#include "kernel/guest_net.h"
#include "kernel/time.h"
#include "lockstep/wire.h"

TRACE_FILE("paths", TRACE_INFO);

#define FRAME_SIZE 64 /* of everything we send here */
#define KEEP_INTERVAL_NS (100 * NS_PER_MS)
#define FRAMES_A_POLL 32
#define ASKED_MAX 64 /* questions whose answers may still come: more than are asked in ask_time */

struct path {
	struct net_device *device; /* NULL: there is no such path */
	const uint8_t *station;	   /* its IPv4 address; NULL: nobody to ask */
	uint64_t ask_last_ns;
	uint64_t asked_ns[ASKED_MAX]; /* oldest first */
	uint32_t asked_count;
};

static struct path paths[DETECTOR_PATH_MAX];
static const struct config *config;
static struct pair *pair; /* who hears what comes; NULL before the first poll */
static uint64_t keep_next_ns;
static bool management_carrier;

static const uint8_t *station_of(const uint8_t address[CONFIG_IPV4_SIZE])
{
	static const uint8_t none[CONFIG_IPV4_SIZE];

	return memcmp(address, none, sizeof(none)) ? address : NULL;
}

uint32_t pair_paths_init(const struct pair_paths_ports *ports, const struct config *configuration)
{
	uint32_t used = 0;

	config = configuration;
	paths[PAIR_PATH_MANAGEMENT].device = ports->management;
	paths[PAIR_PATH_MANAGEMENT].station = station_of(config->pair.management_station);
	for (uint32_t i = 0; i < CONFIG_PUBLIC_MAX; i++) {
		paths[PAIR_PATH_PUBLIC1 + i].device = ports->publics[i];
		paths[PAIR_PATH_PUBLIC1 + i].station = station_of(config->pair.public_station);
	}
	for (uint32_t i = PAIR_PATH_MANAGEMENT; i < DETECTOR_PATH_MAX; i++)
		used |= paths[i].device ? UINT32_C(1) << i : 0;
	return used;
}

/* ---- out ---- */

static void put_header(const struct net_device *device, uint8_t frame[FRAME_SIZE], uint16_t type)
{
	memset(frame, 0, FRAME_SIZE);
	net_broadcast_header(frame, device->mac, type);
}

/* A lost one is not sent again: the next is due soon. */
static void send(struct net_device *device, const uint8_t frame[FRAME_SIZE])
{
	const struct net_piece piece = { .data = frame, .size = FRAME_SIZE };

	device->ops->poll_tx(device);
	if (net_transmit(device, &piece, 1) == 0)
		device->ops->transmit_flush(device);
}

static void forget_question(struct path *path)
{
	path->asked_count--;
	memmove(path->asked_ns, path->asked_ns + 1, path->asked_count * sizeof(path->asked_ns[0]));
}

/*
 * RFC 826, with the sender's address 0.0.0.0 as RFC 5227's probe: we have none, and nobody
 * is to learn one.
 */
static void ask_station(struct path *path)
{
	uint8_t frame[FRAME_SIZE];
	uint8_t *arp = frame + NET_FRAME_SIZE_MIN;

	put_header(path->device, frame, ARP_ETHERTYPE);
	arp_fill(arp, ARP_REQUEST, path->device->mac);
	memcpy(arp + ARP_TARGET_PROTOCOL, path->station, CONFIG_IPV4_SIZE);
	if (path->asked_count == ASKED_MAX)
		forget_question(path);
	path->ask_last_ns = time_now_ns();
	path->asked_ns[path->asked_count++] = path->ask_last_ns;
	send(path->device, frame);
}

/* A doubt that has just arisen makes a question due at once. */
static void ask_stations(void)
{
	uint64_t asked_before_ns = time_now_ns() - pair_ask_interval_ns(pair);

	for (uint32_t i = PAIR_PATH_MANAGEMENT; i < DETECTOR_PATH_MAX; i++) {
		struct path *path = &paths[i];

		if (path->device && path->station && path->device->opened &&
		    path->ask_last_ns <= asked_before_ns)
			ask_station(path);
	}
}

static void send_beacons(void)
{
	struct message_beacon_frame sealed;
	struct message_beacon beacon;
	uint8_t frame[FRAME_SIZE];

	if (!pair_beacon_make(pair, time_now_ns(), &beacon))
		return;
	message_beacon_seal(&beacon, &sealed);
	for (uint32_t i = PAIR_PATH_MANAGEMENT; i < DETECTOR_PATH_MAX; i++) {
		if (!paths[i].device || !paths[i].device->opened)
			continue;
		put_header(paths[i].device, frame, WIRE_ETHERTYPE);
		memcpy(frame + NET_FRAME_SIZE_MIN, &sealed, sizeof(sealed));
		send(paths[i].device, frame);
	}
}
BUILD_ASSERT(NET_FRAME_SIZE_MIN + sizeof(struct message_beacon_frame) <= FRAME_SIZE);

/* ---- in ---- */

/*
 * The answer does not say to which question it belongs: to the oldest one that can still
 * be answered, so that it never counts for later than it should.
 */
static void take_answer(uint32_t index)
{
	struct path *path = &paths[index];

	while (path->asked_count > 0 && time_reached(path->asked_ns[0] + config->pair.ask_time_ns))
		forget_question(path);
	if (path->asked_count == 0)
		return;
	pair_station(pair, index, path->asked_ns[0]);
	forget_question(path);
}

static bool is_answer(const struct path *path, const struct net_frame *frame)
{
	const uint8_t *arp = frame->data + NET_FRAME_SIZE_MIN;

	return path->station && frame->size >= NET_FRAME_SIZE_MIN + ARP_SIZE &&
	       memcmp(frame->data, path->device->mac, NET_MAC_SIZE) == 0 &&
	       load_be16(arp + ARP_OPERATION) == ARP_REPLY &&
	       memcmp(arp + ARP_SENDER_PROTOCOL, path->station, CONFIG_IPV4_SIZE) == 0;
}

static bool take(uint32_t index, const struct net_frame *frame)
{
	struct message_beacon beacon;
	uint16_t type;

	if (!pair || frame->size <= NET_FRAME_SIZE_MIN)
		return false;
	type = load_be16(frame->data + 12);
	if (type == ARP_ETHERTYPE && is_answer(&paths[index], frame)) {
		take_answer(index);
		return true;
	}
	if (type != WIRE_ETHERTYPE)
		return false;
	if (message_beacon_check(frame->data + NET_FRAME_SIZE_MIN, frame->size - NET_FRAME_SIZE_MIN, &beacon))
		pair_beacon(pair, index, time_now_ns(), &beacon);
	return true;
}

bool pair_paths_take(uint32_t index, const struct net_frame *frame)
{
	return paths[PAIR_PATH_PUBLIC1 + index].device && take(PAIR_PATH_PUBLIC1 + index, frame);
}

static bool hear_management(void)
{
	struct net_device *device = paths[PAIR_PATH_MANAGEMENT].device;
	struct net_frame frame;
	bool worked = false;

	if (!device || !device->opened)
		return false;
	for (uint32_t i = 0; i < FRAMES_A_POLL && device->ops->poll_rx(device, &frame) == 1; i++)
		worked |= take(PAIR_PATH_MANAGEMENT, &frame);
	return worked;
}

/* ---- the ports ---- */

static void keep_management_open(void)
{
	static const struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD };
	struct net_device *device = paths[PAIR_PATH_MANAGEMENT].device;
	struct net_link link = { .up = false };

	if (net_keep_open(device, &options) == 0)
		device->ops->link(device, &link);
	management_carrier = link.up;
}

static void keep_open(void)
{
	if (!time_reached(keep_next_ns))
		return;
	keep_next_ns = time_now_ns() + KEEP_INTERVAL_NS;
	if (paths[PAIR_PATH_MANAGEMENT].device) {
		keep_management_open();
		pair_carrier(pair, PAIR_PATH_MANAGEMENT, management_carrier, time_now_ns());
	}
	for (uint32_t i = 0; i < CONFIG_PUBLIC_MAX; i++)
		if (paths[PAIR_PATH_PUBLIC1 + i].device)
			pair_carrier(pair, PAIR_PATH_PUBLIC1 + i, guest_net_link_is_up(i), time_now_ns());
}

bool pair_paths_poll(struct pair *of_pair)
{
	bool worked;

	pair = of_pair;
	keep_open();
	worked = hear_management();
	ask_stations();
	send_beacons();
	return worked;
}
