/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254 (Intel datasheet 231164). A counter is not stepped: what it holds follows
 * from the mode and the ticks since it started. Ticks that pass between two time
 * values are one interrupt, as on a PC whose interrupts were off meanwhile.
 * The gates of channels 0 and 1 are tied high; channel 2's restarts the count as
 * it rises and does not hold modes 0 and 4 while low.
 */
#include "machine/pit.h"

#include <string.h>

#include "machine/clock.h"
#include "machine/machine.h"

#define PORT_CONTROL 0x43
#define SPEAKER_GATE 0x01
#define SPEAKER_DATA 0x02
#define SPEAKER_REFRESH 0x10
#define SPEAKER_OUT 0x20
#define REFRESH_NS 15085 /* the DRAM refresh toggle that old delay loops count */

#define PERIOD_MIN_TICKS (CLOCK_PERIOD_MIN_NS * MACHINE_PIT_HZ / CLOCK_NS_PER_S)

void machine_pit_reset(struct machine *machine)
{
	struct machine_pit *pit = &machine->pit;

	memset(pit, 0, sizeof(*pit));
	for (uint32_t i = 0; i < 3; i++) {
		pit->channels[i].count = 0x10000;
		pit->channels[i].mode = 3;
		pit->channels[i].access = 3;
		pit->channels[i].gate = i != 2;
	}
}

static uint64_t now_tick(const struct machine *machine)
{
	return clock_ticks(machine->now_ns, MACHINE_PIT_HZ);
}

static bool is_periodic(const struct machine_pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

static uint16_t to_bcd(uint32_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			  value / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t value)
{
	return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 + (value >> 12 & 15) * 1000;
}

static uint16_t channel_counter(const struct machine *machine, const struct machine_pit_channel *channel)
{
	uint64_t elapsed = now_tick(machine) - channel->start_tick;
	uint64_t modulus = channel->bcd ? 10000 : 0x10000;
	uint64_t counter;

	if (!channel->counting)
		counter = channel->count;
	else if (channel->mode == 3)
		counter = channel->count - elapsed * 2 % channel->count;
	else if (is_periodic(channel))
		counter = channel->count - elapsed % channel->count;
	else /* runs through zero and on */
		counter = channel->count % modulus + modulus - elapsed % modulus;
	counter %= modulus;
	return channel->bcd ? to_bcd((uint32_t)counter) : (uint16_t)counter;
}

static ALWAYS_INLINE bool channel_out(const struct machine *machine,
				      const struct machine_pit_channel *channel)
{
	uint64_t elapsed = now_tick(machine) - channel->start_tick;

	if (!channel->counting)
		return channel->mode != 0;
	switch (channel->mode) {
	case 0:
	case 1:
		return elapsed >= channel->count;
	case 2:
		return elapsed % channel->count != channel->count - 1;
	case 3:
		return elapsed % channel->count < (channel->count + 1) / 2;
	default:
		return elapsed != channel->count;
	}
}

/* Starts the count anew; channel 0 learns when its next interrupt is due. */
static void channel_start(struct machine *machine, struct machine_pit_channel *channel)
{
	channel->counting = 1;
	channel->start_tick = now_tick(machine);
	channel->expire_tick = channel->start_tick + channel->count;
}

static void channel_count_write(struct machine *machine, struct machine_pit_channel *channel, uint32_t count)
{
	if (channel->bcd)
		count = from_bcd(count);
	if (count == 0)
		count = channel->bcd ? 10000 : 0x10000;
	channel->count = count;
	channel_start(machine, channel);
}

static void channel_latch_count(const struct machine *machine, struct machine_pit_channel *channel)
{
	if (channel->latched_bytes)
		return;
	channel->latched_count = channel_counter(machine, channel);
	channel->latched_bytes = channel->access == 3 ? 2 : 1;
	if (channel->access == 2)
		channel->latched_count >>= 8;
}

static void channel_latch_status(const struct machine *machine, struct machine_pit_channel *channel)
{
	if (channel->status_latched)
		return;
	channel->status_latched = 1;
	channel->latched_status =
		(uint8_t)((channel_out(machine, channel) ? 0x80 : 0) | (channel->counting ? 0 : 0x40) |
			  channel->access << 4 | channel->mode << 1 | channel->bcd);
}

static void read_back(struct machine *machine, uint8_t command)
{
	for (uint32_t i = 0; i < 3; i++) {
		if (!(command & BIT(i + 1)))
			continue;
		if (!(command & 0x20))
			channel_latch_count(machine, &machine->pit.channels[i]);
		if (!(command & 0x10))
			channel_latch_status(machine, &machine->pit.channels[i]);
	}
}

static void control_write(struct machine *machine, uint8_t value)
{
	struct machine_pit_channel *channel;
	uint32_t index = value >> 6;
	uint8_t mode = (value >> 1) & 7;

	if (index == 3) {
		read_back(machine, value);
		return;
	}
	channel = &machine->pit.channels[index];
	if ((value & 0x30) == 0) {
		channel_latch_count(machine, channel);
		return;
	}
	channel->access = (value >> 4) & 3;
	channel->mode = mode > 5 ? mode & 3 : mode; /* 6 and 7 are 2 and 3 */
	channel->bcd = value & 1;
	channel->counting = 0;
	channel->expire_tick = 0;
	channel->write_high = 0;
	channel->read_high = 0;
	channel->latched_bytes = 0;
	channel->status_latched = 0;
}

static void channel_write(struct machine *machine, struct machine_pit_channel *channel, uint8_t value)
{
	switch (channel->access) {
	case 1:
		channel_count_write(machine, channel, value);
		return;
	case 2:
		channel_count_write(machine, channel, (uint32_t)value << 8);
		return;
	default:
		if (channel->write_high)
			channel_count_write(machine, channel, (uint32_t)value << 8 | channel->write_low_byte);
		else
			channel->write_low_byte = value;
		channel->write_high ^= 1;
	}
}

static void speaker_write(struct machine *machine, uint8_t value)
{
	struct machine_pit_channel *channel = &machine->pit.channels[2];
	uint8_t gate = value & SPEAKER_GATE;

	if (gate && !channel->gate && channel->counting)
		channel_start(machine, channel);
	channel->gate = gate;
	machine->pit.speaker = value & SPEAKER_DATA;
}

void machine_pit_port_write(struct machine *machine, uint16_t port, uint8_t value)
{
	machine_changed(machine);
	if (port == PORT_CONTROL)
		control_write(machine, value);
	else if (port == MACHINE_PIT_SPEAKER_PORT)
		speaker_write(machine, value);
	else
		channel_write(machine, &machine->pit.channels[port & 3], value);
}

static NOINLINE uint8_t channel_read(struct machine *machine, struct machine_pit_channel *channel)
{
	uint16_t counter;
	uint8_t value;

	if (channel->status_latched) {
		channel->status_latched = 0;
		return channel->latched_status;
	}
	if (channel->latched_bytes) {
		value = (uint8_t)channel->latched_count;
		channel->latched_count >>= 8;
		channel->latched_bytes--;
		return value;
	}
	counter = channel_counter(machine, channel);
	if (channel->access == 1)
		return (uint8_t)counter;
	if (channel->access == 2)
		return (uint8_t)(counter >> 8);
	value = (uint8_t)(channel->read_high ? counter >> 8 : counter);
	channel->read_high ^= 1;
	return value;
}

uint8_t machine_pit_port_read(struct machine *machine, uint16_t port)
{
	const struct machine_pit_channel *channel = &machine->pit.channels[2];

	if (port == MACHINE_PIT_SPEAKER_PORT)
		return (uint8_t)(channel->gate | machine->pit.speaker |
				 (machine->now_ns / REFRESH_NS % 2 ? SPEAKER_REFRESH : 0) |
				 (channel_out(machine, channel) ? SPEAKER_OUT : 0));
	if (port == PORT_CONTROL)
		return 0xff;
	return channel_read(machine, &machine->pit.channels[port & 3]);
}

bool machine_pit_reads_time(const struct machine *machine, uint16_t port, bool is_write)
{
	const struct machine_pit_channel *channel = &machine->pit.channels[port & 3];

	if (port == PORT_CONTROL || port == MACHINE_PIT_SPEAKER_PORT || is_write)
		return is_write || port == MACHINE_PIT_SPEAKER_PORT;
	return !channel->status_latched && !channel->latched_bytes;
}

void machine_pit_time_set(struct machine *machine)
{
	struct machine_pit_channel *channel = &machine->pit.channels[0];
	uint64_t period;
	uint64_t now;

	if (channel->expire_tick == 0)
		return;
	now = now_tick(machine);
	if (now < channel->expire_tick)
		return;
	machine_irq_set(machine, 0, true);
	machine_irq_set(machine, 0, false);
	if (!is_periodic(channel)) {
		channel->expire_tick = 0;
		return;
	}
	period = max_u64(channel->count, PERIOD_MIN_TICKS);
	channel->expire_tick = now + period - (now - channel->start_tick) % period;
}

uint64_t machine_pit_deadline_ns(const struct machine *machine)
{
	const struct machine_pit_channel *channel = &machine->pit.channels[0];

	return channel->expire_tick ? clock_ns(channel->expire_tick, MACHINE_PIT_HZ) : MACHINE_NO_DEADLINE;
}
