/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between two mirror engines; see mirror_link.h. Wiring: between lockstep/ and mirror/. */
#include "kernel/mirror_link.h"

#include <string.h>

#include "include/assert.h"
#include "kernel/dma.h"
#include "kernel/guest_events.h"
#include "kernel/page_map.h"

static struct mirror_engine *engine;
static mirror_link_data guest_data;
static struct channel *channel;	 /* NULL: there is no link */
static uint64_t own_incarnation; /* of the link's two ends */
static uint64_t peer_incarnation;
static uint64_t refused;	  /* incarnation of a peer that says what makes no sense */
static struct dma_buffer buffers; /* the engine's */
static uint8_t incoming[MIRROR_MESSAGE_MAX];
static uint64_t incoming_size;

int mirror_link_init(struct mirror_engine *of_server, mirror_link_data data)
{
	int error = 0;

	engine = of_server;
	guest_data = data;
	if (!buffers.address)
		error = dma_allocate(&buffers, MIRROR_ENGINE_BUFFER_COUNT * MIRROR_ENGINE_BUFFER_SIZE,
				     PAGE_SIZE);
	if (!error)
		mirror_engine_buffers(engine, buffers.address);
	return error;
}

uint64_t mirror_link_buffer(int32_t buffer)
{
	return buffer < 0 ? 0 : buffers.physical + (uint64_t)buffer * MIRROR_ENGINE_BUFFER_SIZE;
}

static void end_link(void)
{
	if (channel)
		mirror_engine_link(engine, false);
	channel = NULL;
	incoming_size = 0;
}

/* With a new incarnation of either end the streams have begun anew. */
void mirror_link_follow(struct channel *now)
{
	if (!now || now->peer == 0 || now->peer == refused) {
		end_link();
		return;
	}
	if (channel && now->peer == peer_incarnation && now->config.incarnation == own_incarnation)
		return;
	end_link();
	channel = now;
	own_incarnation = now->config.incarnation;
	peer_incarnation = now->peer;
	mirror_engine_link(engine, true);
}

/* ---- in ---- */

static void take_data(const struct mirror_engine_data *data)
{
	for (uint64_t done = 0; done < data->size;) {
		uint64_t size = data->size - done;
		uint8_t *to = guest_data(data->set, data->tag, data->offset + done, &size);

		memcpy(to, data->bytes + done, size);
		done += size;
	}
}

/* No sound peer says that: nothing of its words counts, and there is no duplex with it. */
static void refuse_peer(void)
{
	refused = peer_incarnation;
	end_link();
	guest_events_tell(EVENT_ERROR, "mirror", "connected", "refused",
			  "the other server's words on the disks make no sense");
}

bool mirror_link_receive(void)
{
	struct mirror_engine_data data;
	bool came = false;
	int64_t taken;

	while (channel) {
		incoming_size += channel_read(channel, WIRE_STREAM_DISK, incoming + incoming_size,
					      sizeof(incoming) - incoming_size);
		taken = incoming_size ? mirror_engine_receive(engine, incoming, incoming_size, &data) : 0;
		if (taken < 0)
			refuse_peer();
		if (taken <= 0)
			break;
		take_data(&data);
		incoming_size -= (uint64_t)taken;
		memmove(incoming, incoming + taken, incoming_size);
		came = true;
	}
	if (channel)
		mirror_engine_room(engine, channel_write_room(channel, WIRE_STREAM_DISK));
	return came;
}

/* ---- out ---- */

static void put(const uint8_t *bytes, uint64_t size)
{
	uint64_t written = channel_write(channel, WIRE_STREAM_DISK, bytes, size);

	ASSERT(written == size); /* the engine goes by the room that it was told */
}

static void put_guest_data(const struct mirror_engine_action *action)
{
	for (uint64_t done = 0; done < action->data_size;) {
		uint64_t size = action->data_size - done;
		const uint8_t *from = guest_data(action->set, action->tag, action->data_offset + done, &size);

		put(from, size);
		done += size;
	}
}

void mirror_link_send(const struct mirror_engine_action *action)
{
	ASSERT(channel);
	put(action->bytes, action->size);
	if (action->buffer < 0)
		put_guest_data(action);
	else
		put(engine->buffers + (uint64_t)action->buffer * MIRROR_ENGINE_BUFFER_SIZE,
		    action->data_size);
}
