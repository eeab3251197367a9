/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/e1000.c against a model of the controller that does its DMA through
 * "physical" addresses, as the 82540EM and, where they differ, the 82574L do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/e1000_reg.h"
#include "drivers/net.h"
#include "include/byte_order.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/net_rig.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define BAR_BASE 0xfeb00000u

static const uint8_t own_mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

static struct {
	uint32_t registers[E1000_REGISTERS_SIZE / 4];
	bool is_express;
	bool never_resets; /* RST stays set */
	bool gone;	   /* all reads are ones */
	uint32_t resets;
	uint32_t rctl_writes;
	uint32_t tdt_writes, rdt_writes;
	uint32_t reports; /* descriptors that asked for DD */
} model;

static struct pci_device *pci;
static struct net_device *port;

static uint32_t *reg(uint32_t offset)
{
	return &model.registers[offset / 4];
}

static void model_load_defaults(void)
{
	memset(model.registers, 0, sizeof(model.registers));
	*reg(E1000_RAL(0)) = load_le32(own_mac);
	*reg(E1000_RAH(0)) = load_le16(own_mac + 4) | (uint32_t)E1000_RAH_AV;
	*reg(E1000_STATUS) = 0x80080083; /* full duplex, link up, 1000 */
	if (model.is_express)
		*reg(E1000_TCTL) = 0x30000008;
}

static void model_send(void)
{
	uint64_t ring = *reg(E1000_TDBAL) | (uint64_t)*reg(E1000_TDBAH) << 32;
	uint32_t count = *reg(E1000_TDLEN) / 16;

	while (!net_rig.hangs && *reg(E1000_TDH) != *reg(E1000_TDT)) {
		uint32_t head = *reg(E1000_TDH);
		struct e1000_tx_descriptor *descriptor = host_dma_at(ring + 16 * head, 16);
		uint32_t size = descriptor->word & 0xffff;
		uint8_t *frame = host_dma_at(descriptor->physical, size);

		assert_true(host_pci_is_master(pci));
		assert_non_null(frame);
		assert_true(descriptor->word & E1000_TX_END);
		assert_true(descriptor->word & E1000_TX_FCS);
		net_rig_note_sent(frame, size);
		if (descriptor->word & E1000_TX_REPORT) {
			descriptor->word |= E1000_TX_DONE;
			model.reports++;
		}
		*reg(E1000_TDH) = (head + 1) % count;
	}
}

static uint32_t model_rx_slot_size(void)
{
	return *reg(E1000_RCTL) & BIT(25) ? 4096 : 2048;
}

/* Fills the next receive descriptor. Returns false when the device has none. */
static bool model_fill(const uint8_t *bytes, uint32_t size, uint64_t flags)
{
	uint64_t ring = *reg(E1000_RDBAL) | (uint64_t)*reg(E1000_RDBAH) << 32;
	uint32_t head = *reg(E1000_RDH);
	struct e1000_rx_descriptor *descriptor = host_dma_at(ring + 16 * head, 16);

	if (head == *reg(E1000_RDT))
		return false;
	assert_non_null(descriptor);
	assert_true(host_pci_is_master(pci));
	assert_int_equal(descriptor->word & E1000_RX_DONE, 0);
	if (bytes) {
		uint8_t *buffer = host_dma_at(descriptor->physical, model_rx_slot_size());

		assert_non_null(buffer);
		memcpy(buffer, bytes, size);
	}
	descriptor->word = size | E1000_RX_DONE | flags;
	*reg(E1000_RDH) = (head + 1) % (*reg(E1000_RDLEN) / 16);
	return true;
}

/* Receives a whole frame over as many descriptors as it takes. */
static bool model_receive(const uint8_t *bytes, uint32_t size)
{
	uint32_t slot_size = model_rx_slot_size();

	for (uint32_t at = 0; at < size; at += slot_size) {
		uint32_t part = (uint32_t)min_u64(size - at, slot_size);

		if (!model_fill(bytes + at, part, at + part == size ? E1000_RX_END : 0))
			return false;
	}
	return true;
}

static uint64_t model_read(void *context, uint64_t offset, uint32_t width)
{
	uint32_t value = *reg((uint32_t)offset);

	(void)context;
	assert_int_equal(width, 4);
	if (model.gone)
		return UINT32_MAX;
	if (offset == E1000_STATUS && model.is_express && (*reg(E1000_CTRL) & E1000_CTRL_GIO_MASTER_DISABLE))
		return value & ~(uint32_t)E1000_STATUS_GIO_MASTER_ENABLE;
	if (offset >= 0x4000 && offset < 0x4100)
		*reg((uint32_t)offset) = 0;
	return value;
}

static void model_write(void *context, uint64_t offset, uint64_t value, uint32_t width)
{
	(void)context;
	assert_int_equal(width, 4);
	if (model.gone)
		return;
	*reg((uint32_t)offset) = (uint32_t)value;
	switch (offset) {
	case E1000_CTRL:
		if ((value & E1000_CTRL_RST) && !model.never_resets) {
			model.resets++;
			model_load_defaults();
		}
		break;
	case E1000_RCTL:
		model.rctl_writes++;
		break;
	case E1000_TDT:
		model.tdt_writes++;
		model_send();
		break;
	case E1000_RDT:
		model.rdt_writes++;
		break;
	}
}

static void probe(uint16_t device_id)
{
	net_rig_reset(model_send, model_receive);
	memset(&model, 0, sizeof(model));
	model.is_express = device_id == 0x10d3;
	model_load_defaults();
	pci = host_pci_add(0x8086, device_id);
	pci->bars[0] = (struct pci_bar){ .base = BAR_BASE, .size = E1000_REGISTERS_SIZE };
	host_mmio_register(
		&(struct host_mmio_model){ BAR_BASE, E1000_REGISTERS_SIZE, NULL, model_read, model_write });
	net_rig_probe();
	port = net_rig.port;
}

static int setup(void **state)
{
	(void)state;
	probe(0x100e);
	net_rig_open(NET_FRAME_SIZE_STANDARD);
	return 0;
}

static int setup_jumbo(void **state)
{
	(void)state;
	probe(0x10d3);
	net_rig_open(NET_FRAME_SIZE_JUMBO);
	return 0;
}

static void probe_reads_the_address_and_leaves_the_device_quiet(void **state)
{
	(void)state;
	probe(0x100e);
	assert_memory_equal(port->mac, own_mac, 6);
	assert_int_equal(port->frame_size_max, NET_FRAME_SIZE_JUMBO);
	assert_false(host_pci_is_master(pci));
	assert_int_equal(*reg(E1000_RCTL) & E1000_RCTL_EN, 0);
	assert_int_equal(host_dma_buffer_count(), 0);
}

static void probe_leaves_other_devices_alone(void **state)
{
	(void)state;
	host_pci_reset();
	host_pci_add(0x8086, 0x1237);
	host_pci_add(0x10ec, 0x8139);
	assert_int_equal(net_probe_all(), 0);
}

static void probe_refuses_a_bar_too_small_and_a_dead_device(void **state)
{
	(void)state;
	probe(0x100e);
	pci->bars[0].size = 4096;
	assert_int_equal(net_probe_all(), 0);
	pci->bars[0].size = E1000_REGISTERS_SIZE;
	model.gone = true;
	assert_int_equal(net_probe_all(), 0);
}

static void open_sets_filters_and_writes_receive_control_once(void **state)
{
	struct net_open promiscuous = { .frame_size_max = NET_FRAME_SIZE_STANDARD, .promiscuous = true };
	struct net_open multicast = { .frame_size_max = NET_FRAME_SIZE_STANDARD, .multicast = true };

	(void)state;
	setup(NULL);
	assert_int_equal(model.rctl_writes, 1);
	assert_true(*reg(E1000_RCTL) & E1000_RCTL_EN);
	assert_true(*reg(E1000_RCTL) & E1000_RCTL_BAM);
	assert_int_equal(*reg(E1000_RCTL) & (E1000_RCTL_UPE | E1000_RCTL_MPE | E1000_RCTL_LPE), 0);
	assert_int_equal(*reg(E1000_RDT), 511);
	port->ops->close(port);
	assert_false(host_pci_is_master(pci));
	assert_int_equal(net_reset(port), 0);
	assert_int_equal(port->ops->open(port, &promiscuous), 0);
	assert_int_equal(*reg(E1000_RCTL) & (E1000_RCTL_UPE | E1000_RCTL_MPE), E1000_RCTL_UPE);
	assert_int_equal(net_reset(port), 0);
	assert_int_equal(port->ops->open(port, &multicast), 0);
	assert_int_equal(*reg(E1000_RCTL) & (E1000_RCTL_UPE | E1000_RCTL_MPE), E1000_RCTL_MPE);
}

static void open_refuses_sizes_it_cannot_do(void **state)
{
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_JUMBO + 1 };

	(void)state;
	net_reset(port);
	assert_int_equal(port->ops->open(port, &options), -EINVAL);
	/* Jumbo after buffers for standard frames were taken. */
	options.frame_size_max = NET_FRAME_SIZE_JUMBO;
	assert_int_equal(port->ops->open(port, &options), -EINVAL);
	options.frame_size_max = 100;
	assert_int_equal(port->ops->open(port, &options), -EINVAL);
	options.frame_size_max = NET_FRAME_SIZE_STANDARD;
	assert_int_equal(port->ops->open(port, &options), 0);
}

static void probe_plain(void)
{
	probe(0x100e);
}

static void open_tells_when_memory_is_used_up(void **state)
{
	(void)state;
	net_rig_check_memory_used_up(probe_plain, 4);
}

static void express_variant_keeps_its_transmit_defaults(void **state)
{
	(void)state;
	assert_int_equal(*reg(E1000_TCTL) & 0x30000000, 0x30000000);
	assert_true(*reg(E1000_TCTL) & E1000_TCTL_EN);
	assert_int_equal(*reg(E1000_TXDCTL), E1000_TXDCTL_COUNT_DESCRIPTORS);
	assert_true(*reg(E1000_RCTL) & E1000_RCTL_LPE);
}

static void pieces_leave_as_one_frame(void **state)
{
	static const uint32_t sizes[4] = { 14, 3, 100, 7 };

	(void)state;
	net_rig_check_pieces(sizes, 4);
}

static void frames_of_wrong_size_are_refused(void **state)
{
	(void)state;
	assert_int_equal(net_rig_send(13, 0), -EMSGSIZE);
	assert_int_equal(net_rig_send(NET_FRAME_SIZE_STANDARD + 1, 0), -EMSGSIZE);
	assert_int_equal(net_rig_send(14, 0), 0);
	assert_int_equal(net_rig_send(NET_FRAME_SIZE_STANDARD, 0), 0);
}

static void one_doorbell_and_few_reports_for_a_batch(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(net_rig_send(60, (uint8_t)i), 0);
	assert_int_equal(port->ops->poll_tx(port), 0);
	port->ops->transmit_flush(port);
	port->ops->transmit_flush(port);
	assert_int_equal(model.tdt_writes, 1 + 1); /* one at open */
	assert_int_equal(net_rig.sent_count, 100);
	assert_int_equal(model.reports, 2);
	assert_int_equal(port->ops->poll_tx(port), 100);
	assert_int_equal(port->ops->poll_tx(port), 0);
}

static void frames_can_be_built_in_place(void **state)
{
	(void)state;
	net_rig_check_built_in_place();
}

static void full_ring_says_again_and_recovers(void **state)
{
	(void)state;
	net_rig_check_full_ring(255);
}

static void sending_runs_through_the_ring_many_times(void **state)
{
	uint32_t sent = 0;

	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		for (uint32_t i = 0; i <= round % 97; i++, sent++)
			assert_int_equal(net_rig_send(60 + round % 1000, (uint8_t)sent), 0);
		port->ops->transmit_flush(port);
		assert_int_equal(port->ops->poll_tx(port), round % 97 + 1);
		assert_int_equal(net_rig.sent_tags[(sent - 1) % NET_RIG_TAG_COUNT], (uint8_t)(sent - 1));
	}
	assert_int_equal(net_rig.sent_count, sent);
}

/* 82574L, jumbo: all sizes around the slot size, through the ring's end again and again. */
static void received_frames_come_out_whole(void **state)
{
	static uint8_t bytes[NET_RIG_FRAME_MAX];
	struct net_frame frame;
	uint32_t size = NET_FRAME_SIZE_MIN;

	(void)state;
	for (uint32_t round = 0; round < 4000; round++) {
		for (uint32_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(i * 31 + round);
		assert_true(model_receive(bytes, size));
		assert_int_equal(port->ops->poll_rx(port, &frame), 1);
		assert_int_equal(frame.size, size);
		assert_memory_equal(frame.data, bytes, size);
		size = round % 3 ? NET_FRAME_SIZE_MIN + (round * 137) % (NET_FRAME_SIZE_JUMBO - 14)
				 : 4094 + round % 5;
	}
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	assert_int_equal(port->statistics.rx_frames, 4000);
	assert_int_equal(port->statistics.device_faults, 0);
}

static void receive_slots_go_back_in_batches(void **state)
{
	uint8_t bytes[60] = { 0 };
	struct net_frame frame;
	uint32_t before = model.rdt_writes;

	(void)state;
	for (uint32_t i = 0; i < 5120; i++) {
		assert_true(model_receive(bytes, sizeof(bytes)));
		assert_int_equal(port->ops->poll_rx(port, &frame), 1);
	}
	assert_in_range(model.rdt_writes - before, 70, 80);
}

static void full_receive_ring_empties_in_order(void **state)
{
	(void)state;
	net_rig_check_receive_ring(511, 60);
}

static void half_a_frame_waits_for_its_end(void **state)
{
	static uint8_t bytes[9000];
	struct net_frame frame;

	(void)state;
	assert_true(model_fill(bytes, 4096, 0));
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	assert_true(model_fill(bytes + 4096, 4096, 0));
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	assert_true(model_fill(bytes + 8192, 100, E1000_RX_END));
	assert_int_equal(port->ops->poll_rx(port, &frame), 1);
	assert_int_equal(frame.size, 8292);
}

static void damaged_short_and_long_frames_are_counted_and_dropped(void **state)
{
	static uint8_t bytes[2048];
	struct net_frame frame;

	(void)state;
	assert_true(model_fill(bytes, 100, E1000_RX_END | BIT(40)));
	assert_true(model_fill(bytes, 13, E1000_RX_END));
	assert_true(model_fill(bytes, NET_FRAME_SIZE_STANDARD + 1, E1000_RX_END));
	assert_true(model_fill(bytes, 100, E1000_RX_END));
	assert_int_equal(port->ops->poll_rx(port, &frame), 1);
	assert_int_equal(frame.size, 100);
	assert_int_equal(port->statistics.rx_errors, 3);
	assert_int_equal(port->statistics.device_faults, 0);
}

static void length_beyond_the_buffer_is_a_fault(void **state)
{
	(void)state;
	assert_true(model_fill(NULL, 2049, E1000_RX_END));
	net_rig_check_fault();
}

static void hole_in_a_frame_is_a_fault(void **state)
{
	(void)state;
	assert_true(model_fill(NULL, 2047, 0));
	assert_true(model_fill(NULL, 100, E1000_RX_END));
	net_rig_check_fault();
}

static void endless_frame_is_a_fault(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 9; i++)
		assert_true(model_fill(NULL, 2048, 0));
	net_rig_check_fault();
}

/* Frames that the device was not told of cannot be finished. */
static void completion_nobody_asked_for_is_not_seen(void **state)
{
	uint64_t ring = *reg(E1000_TDBAL) | (uint64_t)*reg(E1000_TDBAH) << 32;
	struct e1000_tx_descriptor *descriptors = host_dma_at(ring, 256 * 16);

	(void)state;
	assert_int_equal(net_rig_send(60, 1), 0);
	for (uint32_t i = 0; i < 256; i++)
		descriptors[i].word |= E1000_TX_DONE;
	assert_int_equal(port->ops->poll_tx(port), 0);
	port->ops->transmit_flush(port);
	assert_int_equal(port->ops->poll_tx(port), 1);
	assert_int_equal(port->ops->poll_tx(port), 0);
}

/* Random words in both rings, mostly believable: done, and no more than a buffer. */
static void lie(uint32_t round)
{
	struct e1000_rx_descriptor *rx =
		host_dma_at(*reg(E1000_RDBAL) | (uint64_t)*reg(E1000_RDBAH) << 32, 512 * 16);
	struct e1000_tx_descriptor *tx =
		host_dma_at(*reg(E1000_TDBAL) | (uint64_t)*reg(E1000_TDBAH) << 32, 256 * 16);

	for (uint32_t i = 0; i < 16; i++) {
		uint64_t random = net_rig_random();

		rx[(random >> 40) % 512].word = (random >> 20 & (round % 2 ? 0xfff : 0x7ff)) | E1000_RX_DONE |
						(random >> 8 & (E1000_RX_END | E1000_RX_ERRORS));
		tx[(random >> 50) % 256].word ^= random >> 4 & E1000_TX_DONE;
	}
}

static void nonsense_from_the_device_does_no_harm(void **state)
{
	(void)state;
	net_rig_check_survives(lie);
}

static void device_that_stops_sending_is_found(void **state)
{
	(void)state;
	net_rig_check_stall();
}

static void link_down_is_no_hang(void **state)
{
	struct net_link link;

	(void)state;
	port->ops->link(port, &link);
	assert_true(link.up);
	assert_true(link.full_duplex);
	assert_int_equal(link.speed_mbit, 1000);
	*reg(E1000_STATUS) &= ~(uint32_t)E1000_STATUS_LU;
	net_rig.hangs = true;
	assert_int_equal(net_rig_send(60, 0), 0);
	port->ops->transmit_flush(port);
	for (uint32_t i = 0; i < 100000; i++) {
		assert_int_equal(port->ops->poll_tx(port), 0);
		host_time_advance_ns(NS_PER_MS);
	}
	assert_false(port->failed);
	port->ops->link(port, &link);
	assert_false(link.up);
	assert_int_equal(link.speed_mbit, 0);
}

static void reset_is_told_and_is_no_fault(void **state)
{
	(void)state;
	net_rig_check_reset_told();
}

static void reset_without_an_answer_times_out(void **state)
{
	uint64_t before_ns = host_time_peek_ns();
	struct net_open options = { .frame_size_max = NET_FRAME_SIZE_STANDARD };

	(void)state;
	model.never_resets = true;
	assert_int_equal(net_reset(port), -ETIMEDOUT);
	assert_in_range(host_time_peek_ns() - before_ns, 100 * NS_PER_MS, 300 * NS_PER_MS);
	assert_true(port->failed);
	assert_int_equal(port->ops->open(port, &options), -EIO);
	model.never_resets = false;
	net_rig_open(NET_FRAME_SIZE_STANDARD);
	assert_int_equal(net_rig_send(60, 0), 0);
}

static void removed_device_is_an_error_not_a_hang(void **state)
{
	struct net_frame frame;
	struct net_link link;

	(void)state;
	model.gone = true;
	assert_int_equal(port->ops->poll_rx(port, &frame), 0);
	port->ops->link(port, &link);
	assert_false(link.up);
	port->ops->update_statistics(port);
	assert_int_equal(port->statistics.rx_missed, 0);
	assert_int_equal(net_reset(port), -ETIMEDOUT);
	port->ops->close(port);
}

static void device_counters_are_added_up(void **state)
{
	(void)state;
	*reg(E1000_MPC) = 3;
	*reg(E1000_CRCERRS) = 2;
	port->ops->update_statistics(port);
	*reg(E1000_MPC) = 4;
	port->ops->update_statistics(port);
	assert_int_equal(port->statistics.rx_missed, 7);
	assert_int_equal(port->statistics.rx_errors, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_reads_the_address_and_leaves_the_device_quiet),
		cmocka_unit_test(probe_leaves_other_devices_alone),
		cmocka_unit_test(probe_refuses_a_bar_too_small_and_a_dead_device),
		cmocka_unit_test(open_sets_filters_and_writes_receive_control_once),
		cmocka_unit_test_setup(open_refuses_sizes_it_cannot_do, setup),
		cmocka_unit_test(open_tells_when_memory_is_used_up),
		cmocka_unit_test_setup(express_variant_keeps_its_transmit_defaults, setup_jumbo),
		cmocka_unit_test_setup(pieces_leave_as_one_frame, setup),
		cmocka_unit_test_setup(frames_of_wrong_size_are_refused, setup),
		cmocka_unit_test_setup(one_doorbell_and_few_reports_for_a_batch, setup),
		cmocka_unit_test_setup(frames_can_be_built_in_place, setup),
		cmocka_unit_test_setup(full_ring_says_again_and_recovers, setup),
		cmocka_unit_test_setup(sending_runs_through_the_ring_many_times, setup),
		cmocka_unit_test_setup(received_frames_come_out_whole, setup_jumbo),
		cmocka_unit_test_setup(receive_slots_go_back_in_batches, setup),
		cmocka_unit_test_setup(full_receive_ring_empties_in_order, setup),
		cmocka_unit_test_setup(half_a_frame_waits_for_its_end, setup_jumbo),
		cmocka_unit_test_setup(damaged_short_and_long_frames_are_counted_and_dropped, setup),
		cmocka_unit_test_setup(length_beyond_the_buffer_is_a_fault, setup),
		cmocka_unit_test_setup(hole_in_a_frame_is_a_fault, setup),
		cmocka_unit_test_setup(endless_frame_is_a_fault, setup),
		cmocka_unit_test_setup(completion_nobody_asked_for_is_not_seen, setup),
		cmocka_unit_test_setup(nonsense_from_the_device_does_no_harm, setup),
		cmocka_unit_test_setup(nonsense_from_the_device_does_no_harm, setup_jumbo),
		cmocka_unit_test_setup(device_that_stops_sending_is_found, setup),
		cmocka_unit_test_setup(link_down_is_no_hang, setup),
		cmocka_unit_test_setup(reset_is_told_and_is_no_fault, setup),
		cmocka_unit_test_setup(reset_without_an_answer_times_out, setup),
		cmocka_unit_test_setup(removed_device_is_an_error_not_a_hang, setup),
		cmocka_unit_test_setup(device_counters_are_added_up, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
