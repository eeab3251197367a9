/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers/ahci.c and drivers/ata.c against a small AHCI adapter: one port with a
 * CD drive, one with a disk, whose medium is the rig's. The model follows the
 * specifications (AHCI 1.3.1, ACS-4), except where a test tells it not to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

/* The driver itself, so that each test can have it as it is after power-on. */
#include "drivers/ahci.c"
#include "include/byte_order.h"
#include "tests/unit/host/disk_rig.h"
#include "tests/unit/host/dma.h"
#include "tests/unit/host/mmio.h"
#include "tests/unit/host/pci.h"
#include "tests/unit/host/time.h"

#define BAR_BASE 0xfebf0000u
#define BAR_SIZE 0x400u
#define PORT_CD 1
#define PORT_DISK 3
#define SLOTS 8

struct model_port {
	uint64_t list, frames;
	uint32_t interrupt, command, task_file, signature, link, link_control, link_error, active, issued;
};

static struct model {
	const struct pci_device *pci;
	struct model_port ports[AHCI_PORT_COUNT];
	uint32_t control, handoff;

	/* The disk. */
	uint8_t identify[ATA_SECTOR_SIZE];
	uint8_t error_log[ATA_SECTOR_SIZE];
	uint32_t sector_size;
	bool ncq;
	bool log_supported;
	uint64_t bad_sector; /* commands that touch it fail */
	bool silent;	     /* completions without a frame in memory */
	bool engine_stuck;   /* PxCMD.CR stays, whatever comes */
	bool short_transfer; /* plain transfers report fewer bytes */
	bool halted;	     /* after an error, until PxCMD.ST is cleared */
	bool log_owed;	     /* after a queued command failed, until the log is read or COMRESET */
	bool log_names_wrong_tag;
	uint32_t gone_value; /* what reads find when it was pulled out */
	uint32_t comresets;
	bool lies; /* registers read as anything now and then, so the driver cannot always be right */
} model;

static struct disk_device devices[4];
static struct disk_device *disk;

/* ---- The model ---- */

static void put_text(uint32_t word, uint32_t size, const char *text)
{
	for (uint32_t i = 0; i < size; i++)
		model.identify[2 * word + (i ^ 1)] = (uint8_t)(i < strlen(text) ? text[i] : ' ');
}

static void put_word(uint32_t word, uint32_t value)
{
	store_le16(model.identify + 2 * word, (uint16_t)value);
}

static void seal(uint8_t page[ATA_SECTOR_SIZE])
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < ATA_SECTOR_SIZE - 1; i++)
		sum = (uint8_t)(sum + page[i]);
	page[ATA_SECTOR_SIZE - 1] = (uint8_t)-sum;
}

/* A disk of `sector_size`, with NCQ 32 deep and FUA as told. */
static void make_disk(uint32_t sector_size, bool ncq, bool fua, bool log)
{
	memset(model.identify, 0, sizeof(model.identify));
	put_text(10, 20, "  SER 17");
	put_text(27, 40, "Test disk");
	put_word(49, 0x300);
	put_word(75, 31);
	put_word(76, ncq ? 0x100 : 0);
	put_word(82, 0x20);
	put_word(83, 0x4000 | 1 << 10 | 1 << 13);
	put_word(84, 0x4000u | (fua ? 1u << 6 : 0) | (log ? 1u << 5 : 0));
	put_word(85, 0x20);
	store_le64(model.identify + 200, DISK_RIG_MEDIUM_SIZE / sector_size);
	put_word(106, 0x4000);
	if (sector_size == 4096) {
		put_word(106, 0x5000);
		store_le32(model.identify + 234, 2048);
	} else {
		put_word(106, 0x6003); /* eight of them in a physical sector */
	}
	put_word(255, 0xa5);
	seal(model.identify);
	model.sector_size = sector_size;
	model.ncq = ncq;
	model.log_supported = log;
	model.bad_sector = DISK_RIG_NONE;
}

static void post_frame(struct model_port *port, uint32_t offset, uint8_t type, uint8_t status, uint32_t done)
{
	uint8_t *frame = host_dma_at(port->frames + offset, 8);

	assert_non_null(frame);
	if (model.silent)
		return;
	frame[1] = 0x40;
	frame[2] = status;
	frame[3] = 0;
	store_le32(frame + 4, done);
	frame[0] = type;
}

static void fail_command(struct model_port *port, uint32_t slot, bool queued)
{
	port->task_file = 0x0441;
	port->interrupt |= (uint32_t)AHCI_PxIS_TASK_FILE;
	port->command = (port->command & ~0x1f00u) | slot << 8;
	model.halted = true;
	memset(model.error_log, 0, sizeof(model.error_log));
	model.error_log[0] = (uint8_t)(queued ? slot : 0x80);
	if (model.log_names_wrong_tag)
		model.error_log[0] = 30;
	model.error_log[2] = 0x41;
	for (uint32_t i = 0; i < 3; i++) {
		model.error_log[4 + i] = (uint8_t)(model.bad_sector >> (8 * i));
		model.error_log[8 + i] = (uint8_t)(model.bad_sector >> (24 + 8 * i));
	}
	seal(model.error_log);
	post_frame(port, queued ? 0x58 : 0x40, queued ? 0xa1 : 0x34, 0x41, 0);
}

/* Moves a command's data; returns the bytes moved. */
static uint32_t move_data(const struct ahci_header *header, uint64_t medium_offset, uint32_t size)
{
	const struct ahci_table *table = host_dma_at(header->table, sizeof(*table));
	uint32_t done = 0;

	for (uint32_t i = 0; i < header->segment_count; i++) {
		uint32_t part = table->segments[i].size + 1;

		assert_true(disk_rig_copy(medium_offset + done, table->segments[i].physical, part,
					  (header->flags & AHCI_HEADER_WRITE) != 0));
		done += part;
	}
	assert_int_equal(done, size);
	return done;
}

static void give_page(const struct ahci_header *header, const uint8_t page[ATA_SECTOR_SIZE])
{
	const struct ahci_table *table = host_dma_at(header->table, sizeof(*table));
	void *memory = host_dma_at(table->segments[0].physical, ATA_SECTOR_SIZE);

	assert_non_null(memory);
	assert_int_equal(table->segments[0].size, ATA_SECTOR_SIZE - 1);
	memcpy(memory, page, ATA_SECTOR_SIZE);
}

static bool touches(uint64_t sector, uint32_t count)
{
	return model.bad_sector >= sector && model.bad_sector - sector < count;
}

/* Executes the command in `slot`. False: it failed and the port has halted. */
static bool execute(struct model_port *port, uint32_t slot)
{
	struct ahci_header *header = (struct ahci_header *)host_dma_at(port->list, 32 * SLOTS) + slot;
	const struct ahci_table *table = host_dma_at(header->table, sizeof(*table));
	const struct ata_command *command = &table->command;
	bool queued = command->command == 0x60 || command->command == 0x61;
	uint64_t sector = 0;
	uint32_t count = queued ? command->features | (uint32_t)command->features_high << 8
				: command->count | (uint32_t)command->count_high << 8;

	assert_non_null(table);
	assert_true(is_aligned(header->table, 128));
	assert_int_equal(header->flags & 0x1f, 5);
	assert_int_equal(command->type, 0x27);
	assert_int_equal(command->flags, 0x80);
	/* Queued and plain commands must not meet, as far as the driver can know. */
	assert_true(model.lies || (queued ? (port->active & BIT(slot)) != 0 : port->active == 0));
	for (uint32_t i = 0; i < 3; i++)
		sector |= (uint64_t)command->lba_low[i] << (8 * i) | (uint64_t)command->lba_high[i]
									     << (24 + 8 * i);
	if (model.log_owed && command->command != 0x2f) {
		fail_command(port, slot, queued);
		return false;
	}
	switch (command->command) {
	case 0xec:
		give_page(header, model.identify);
		header->transferred = ATA_SECTOR_SIZE;
		break;
	case 0x2f:
		assert_int_equal(command->lba_low[0], 0x10);
		if (!model.log_supported) {
			fail_command(port, slot, false);
			return false;
		}
		model.log_owed = false;
		give_page(header, model.error_log);
		header->transferred = ATA_SECTOR_SIZE;
		break;
	case 0xea:
		disk_rig_note("F", DISK_RIG_NONE, 0);
		post_frame(port, 0x40, 0x34, 0x40, 0);
		break;
	case 0x25:
	case 0x35:
	case 0x3d:
	case 0x60:
	case 0x61:
		assert_int_equal(command->device & 0x40, 0x40);
		if (queued)
			assert_int_equal(command->count >> 3, slot);
		if (touches(sector, count)) {
			disk_rig_note("E", sector, count);
			model.log_owed = queued;
			fail_command(port, slot, queued);
			return false;
		}
		header->transferred =
			move_data(header, sector * model.sector_size, count * model.sector_size);
		if (model.short_transfer)
			header->transferred -= 512;
		if (!(header->flags & AHCI_HEADER_WRITE))
			disk_rig_note("R", sector, count);
		else if (command->command == 0x3d || (queued && command->device & 0x80))
			disk_rig_note("WF", sector, count);
		else
			disk_rig_note("W", sector, count);
		post_frame(port, queued ? 0x58 : 0x40, queued ? 0xa1 : 0x34, 0x40, (uint32_t)BIT(slot));
		break;
	default:
		fail_msg("unknown command 0x%x", command->command);
	}
	port->issued &= ~(uint32_t)BIT(slot);
	port->active &= ~(uint32_t)BIT(slot);
	return true;
}

/* Queued commands are taken from the highest slot down: they may end in any order. */
static void run_port(struct model_port *port)
{
	if (!(port->command & AHCI_PxCMD_START) || disk_rig.hold || model.halted)
		return;
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint32_t slot = port->active ? SLOTS - 1 - i : i;

		if ((port->issued & BIT(slot)) && !execute(port, slot))
			return;
	}
}

static void plug_in(struct model_port *port, uint32_t signature)
{
	port->link = 0x113;
	port->signature = signature;
	port->task_file = 0x50;
	port->link_error = 1u << 26;
}

static void write_command(struct model_port *port, uint32_t value)
{
	bool was_started = (port->command & AHCI_PxCMD_START) != 0;

	port->command = (value & 0xf000001f) | (port->command & 0x1f00);
	if (value & AHCI_PxCMD_FRAMES_ENABLE)
		port->command |= (uint32_t)AHCI_PxCMD_FRAMES_RUNNING;
	if ((value & AHCI_PxCMD_START) || model.engine_stuck)
		port->command |= (uint32_t)AHCI_PxCMD_RUNNING;
	if (was_started && !(value & AHCI_PxCMD_START)) {
		port->issued = 0;
		port->active = 0;
		model.halted = false;
		if (port->task_file == 0x0441)
			port->task_file = 0x50;
	}
	run_port(port);
}

static void write_port(struct model_port *port, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case AHCI_PxCLB:
		port->list = (port->list & ~(uint64_t)UINT32_MAX) | value;
		break;
	case AHCI_PxCLB + 4:
		port->list = (port->list & UINT32_MAX) | (uint64_t)value << 32;
		break;
	case AHCI_PxFB:
		port->frames = (port->frames & ~(uint64_t)UINT32_MAX) | value;
		break;
	case AHCI_PxFB + 4:
		port->frames = (port->frames & UINT32_MAX) | (uint64_t)value << 32;
		break;
	case AHCI_PxIS:
		port->interrupt &= ~value;
		break;
	case AHCI_PxIE:
		assert_int_equal(value, 0);
		break;
	case AHCI_PxCMD:
		write_command(port, value);
		break;
	case AHCI_PxSCTL:
		if ((port->link_control & 0xf) == 1 && (value & 0xf) == 0 && port->link != 0) {
			model.comresets++;
			model.log_owed = false;
			disk_rig.hold = false;
			port->interrupt = 0;
			plug_in(port, port->signature);
		}
		port->link_control = value;
		break;
	case AHCI_PxSERR:
		port->link_error &= ~value;
		break;
	case AHCI_PxSACT:
		assert_true(model.lies || (port->command & AHCI_PxCMD_START));
		port->active |= value;
		break;
	case AHCI_PxCI:
		assert_true(model.lies || (port->command & AHCI_PxCMD_START));
		assert_int_equal(value >> SLOTS, 0);
		assert_true(model.lies || (port->issued & value) == 0);
		port->issued |= value;
		run_port(port);
		break;
	default:
		fail_msg("write to port register 0x%x", offset);
	}
}

static uint32_t read_port(const struct model_port *port, uint32_t offset)
{
	switch (offset) {
	case AHCI_PxIS:
		return port->interrupt;
	case AHCI_PxCMD:
		return port->command;
	case AHCI_PxTFD:
		return port->link_error & 1u << 26 ? 0x7f : port->task_file;
	case AHCI_PxSIG:
		return port->signature;
	case AHCI_PxSSTS:
		return port->link;
	case AHCI_PxSACT:
		return port->active;
	case AHCI_PxCI:
		return port->issued;
	default:
		fail_msg("read of port register 0x%x", offset);
		return 0;
	}
}

static uint64_t model_read(void *context, uint64_t offset, uint32_t width)
{
	(void)context;
	assert_int_equal(width, 4);
	if (disk_rig.gone)
		return model.gone_value;
	if (model.lies && disk_rig_random(10) == 0)
		return disk_rig_random(2) ? disk_rig_random(UINT32_MAX) : BIT(disk_rig_random(32));
	if (offset >= 0x100)
		return read_port(&model.ports[(offset - 0x100) / 0x80], offset & 0x7f);
	switch (offset) {
	case AHCI_CAP:
		return AHCI_CAP_NCQ | AHCI_CAP_64BIT | (SLOTS - 1) << 8 | 5;
	case AHCI_GHC:
		return model.control;
	case AHCI_PI:
		return BIT(0) | BIT(PORT_CD) | BIT(PORT_DISK) |
		       BIT(31); /* the last does not fit into the BAR */
	case AHCI_CAP2:
		return AHCI_CAP2_HANDOFF;
	case AHCI_BOHC:
		return model.handoff;
	default:
		fail_msg("read of register 0x%llx", (unsigned long long)offset);
		return 0;
	}
}

static void model_write(void *context, uint64_t offset, uint64_t value, uint32_t width)
{
	(void)context;
	assert_int_equal(width, 4);
	if (disk_rig.gone)
		return;
	if (offset >= 0x100)
		write_port(&model.ports[(offset - 0x100) / 0x80], offset & 0x7f, (uint32_t)value);
	else if (offset == AHCI_GHC)
		model.control = (uint32_t)(value & ~AHCI_GHC_RESET);
	else if (offset == AHCI_BOHC)
		model.handoff = (uint32_t)(value & AHCI_BOHC_OS_OWNED);
	else
		fail_msg("write to register 0x%llx", (unsigned long long)offset);
}

/* ---- Set up and small steps ---- */

static int probe(void)
{
	struct pci_device *pci = host_pci_add(0x8086, 0x2922);
	struct host_mmio_model registers = { BAR_BASE, BAR_SIZE, NULL, model_read, model_write };
	int count;

	pci->class_code = 1;
	pci->subclass = 6;
	pci->interface = 1;
	pci->bars[AHCI_BAR] = (struct pci_bar){ .base = BAR_BASE, .size = BAR_SIZE };
	host_mmio_register(&registers);
	model.pci = pci;
	model.handoff = (uint32_t)AHCI_BOHC_BIOS_OWNED;
	plug_in(&model.ports[PORT_CD], 0xeb140101);
	plug_in(&model.ports[PORT_DISK], 0x101);
	count = ahci_ops.probe(devices, 4, pci);
	disk = &devices[0];
	return count;
}

static void power_on(uint32_t sector_size, bool ncq, bool fua, bool log)
{
	disk_rig_reset();
	memset(&model, 0, sizeof(model));
	memset(ahci_controllers, 0, sizeof(ahci_controllers));
	memset(ahci_ports, 0, sizeof(ahci_ports));
	ahci_controller_count = 0;
	ahci_port_count = 0;
	make_disk(sector_size, ncq, fua, log);
}

static void start(uint32_t sector_size, bool ncq, bool fua, bool log)
{
	power_on(sector_size, ncq, fua, log);
	assert_int_equal(probe(), 1);
}

static struct model_port *port(void)
{
	return &model.ports[PORT_DISK];
}

/* ---- Start-up ---- */

static void identity_is_read(void **state)
{
	(void)state;
	start(512, true, true, true);
	assert_int_equal(disk->unit, PORT_DISK);
	assert_string_equal(disk->identity.serial, "SER 17");
	assert_string_equal(disk->identity.model, "Test disk");
	assert_int_equal(disk->identity.sector_size, 512);
	assert_int_equal(disk->identity.physical_sector_size, 4096);
	assert_int_equal(disk->identity.sector_count, DISK_RIG_MEDIUM_SIZE / 512);
	assert_int_equal(disk->identity.queue_depth, SLOTS - 1);
	assert_true(disk->identity.has_write_cache);
	assert_true(disk->identity.has_write_through);
	assert_int_equal(model.handoff, AHCI_BOHC_OS_OWNED);
	/* One disk's memory: the CD drive in front of it did not use up another. */
	assert_int_equal(host_dma_buffer_count(), 2);
}

static void useless_disks_are_refused(void **state)
{
	(void)state;
	power_on(512, true, true, true);
	model.identify[20] ^= 1; /* checksum */
	assert_int_equal(probe(), 0);
	assert_false(host_pci_is_master(model.pci));

	power_on(512, true, true, true);
	put_word(83, 0x4000); /* neither LBA48 nor its flush */
	put_word(255, 0);
	assert_int_equal(probe(), 0);

	power_on(4096, true, true, true);
	store_le32(model.identify + 234, 260); /* sectors of 520 bytes */
	put_word(255, 0);
	assert_int_equal(probe(), 0);

	power_on(512, true, true, true);
	store_le64(model.identify + 200, BIT(50));
	put_word(255, 0);
	assert_int_equal(probe(), 0);
}

static void a_disk_that_never_settles_ends_the_probe(void **state)
{
	(void)state;
	power_on(512, true, true, true);
	disk_rig.hold = true; /* IDENTIFY is not answered */
	assert_int_equal(probe(), 0);
	assert_false(host_pci_is_master(model.pci));
}

static void no_memory_is_told(void **state)
{
	(void)state;
	power_on(512, true, true, true);
	host_dma_fail_after(0);
	assert_int_equal(probe(), 0);
}

static void other_devices_are_left_alone(void **state)
{
	struct pci_device *pci;

	(void)state;
	power_on(512, true, true, true);
	pci = host_pci_add(0x8086, 0x7010);
	pci->class_code = 1;
	pci->subclass = 1;
	assert_int_equal(ahci_ops.probe(devices, 4, pci), -ENODEV);
	assert_false(host_pci_is_master(pci));
}

/* ---- Work ---- */

static void transfers_with_ncq(void **state)
{
	(void)state;
	start(512, true, true, true);
	disk_rig_check_work(disk);
}

static void transfers_without_ncq(void **state)
{
	(void)state;
	start(512, false, true, false);
	disk_rig_check_work(disk);
}

static void transfers_with_large_sectors(void **state)
{
	(void)state;
	start(4096, true, false, false);
	assert_int_equal(disk->identity.sector_size, 4096);
	assert_int_equal(disk->identity.sector_count, DISK_RIG_MEDIUM_SIZE / 4096);
	disk_rig_check_transfers(disk);
	disk_rig_check_full_queue(disk);
}

static void completion_is_found_without_its_frame(void **state)
{
	(void)state;
	start(512, true, true, true);
	model.silent = true;
	disk_rig_check_transfers(disk);
	disk_rig_check_full_queue(disk);
	start(512, false, true, true);
	model.silent = true;
	disk_rig_check_transfers(disk);
}

static void a_request_costs_three_register_accesses(void **state)
{
	struct disk_request request;
	uint64_t before;

	(void)state;
	start(512, true, true, true);
	request = disk_rig_request(disk, DISK_READ, 8, 8, 0);
	assert_int_equal(disk_rig_run(disk, &request), 0);
	before = host_mmio_read_count() + host_mmio_write_count();
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(disk_rig_run(disk, &request), 0);
	assert_int_equal(host_mmio_read_count() + host_mmio_write_count() - before, 60);
}

static void write_through_is_one_command_with_fua(void **state)
{
	struct disk_request request;

	(void)state;
	for (uint32_t ncq = 0; ncq < 2; ncq++) {
		start(512, ncq, true, true);
		request = disk_rig_request(disk, DISK_WRITE, 16, 8, 0);
		request.write_through = true;
		assert_int_equal(disk_rig_run(disk, &request), 0);
		assert_string_equal(disk_rig.log, "WF16+8 ");
	}
}

static void write_through_is_write_and_flush_without_fua(void **state)
{
	struct disk_request request;

	(void)state;
	for (uint32_t ncq = 0; ncq < 2; ncq++) {
		start(512, ncq, false, true);
		request = disk_rig_request(disk, DISK_WRITE, 16, 8, 0);
		request.write_through = true;
		assert_int_equal(disk_rig_run(disk, &request), 0);
		assert_string_equal(disk_rig.log, "W16+8 F ");
		assert_int_equal(disk->statistics.writes, 1);
		assert_int_equal(disk->statistics.flushes, 0);
	}
}

/* The model checks that no flush meets a queued command; here they come mixed. */
static void flushes_and_queued_commands_take_turns(void **state)
{
	struct disk_request requests[6];

	(void)state;
	start(512, true, false, true);
	for (uint32_t i = 0; i < 6; i++) {
		requests[i] = disk_rig_request(disk, i % 3 == 1 ? DISK_FLUSH : DISK_WRITE, i, 1, i * 4096);
		requests[i].sector_count = i % 3 == 1 ? 0 : 1;
		assert_int_equal(disk->ops->submit(disk, &requests[i]), 0);
	}
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(disk_rig_wait(disk)->status, 0);
	assert_int_equal(disk->statistics.flushes, 2);
	assert_int_equal(disk->statistics.writes, 4);
}

/* ---- Errors ---- */

static struct disk_request four[4];

/* Four reads of 8 sectors from sector 0 on, given at once; the model's bad sector is in the third. */
static void read_four(void)
{
	model.bad_sector = 19;
	for (uint32_t i = 0; i < 4; i++) {
		four[i] = disk_rig_request(disk, DISK_READ, 8 * i, 8, i * 4096);
		assert_int_equal(disk->ops->submit(disk, &four[i]), 0);
	}
	disk->ops->start(disk);
	for (uint32_t i = 0; i < 4; i++)
		assert_non_null(disk_rig_wait(disk));
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(four[i].status, i == 2 ? -EIO : 0);
		if (i != 2)
			assert_memory_equal(disk_rig_data(i * 4096), disk_rig.medium + i * 4096, 4096);
	}
	assert_int_equal(disk->statistics.errors, 1);
	assert_int_equal(disk->statistics.reads, 3);
	model.bad_sector = DISK_RIG_NONE;
	assert_int_equal(disk_rig_run(disk, &four[2]), 0);
}

static void error_log_names_the_failed_command(void **state)
{
	(void)state;
	start(512, true, true, true);
	read_four();
	assert_int_equal(disk->statistics.device_faults, 0);
	assert_int_equal(disk->statistics.resets, 0);
}

/* The disk refuses what comes after an error, too, until its log was read. */
static void an_error_alone_is_cleared(void **state)
{
	struct disk_request request;

	(void)state;
	for (uint32_t log = 0; log < 2; log++) {
		start(512, true, true, log);
		model.bad_sector = 19;
		request = disk_rig_request(disk, DISK_READ, 16, 8, 0);
		assert_int_equal(disk_rig_run(disk, &request), -EIO);
		assert_int_equal(request.failed_sector, log ? 19 : 16);
		request = disk_rig_request(disk, DISK_READ, 20, 8, 0);
		assert_int_equal(disk_rig_run(disk, &request), 0);
		assert_int_equal(model.comresets, log ? 0 : 1);
	}
}

static void failed_range_begins_at_the_bad_sector(void **state)
{
	(void)state;
	start(512, true, true, true);
	model.bad_sector = 19;
	for (uint32_t i = 0; i < 4; i++) {
		four[i] = disk_rig_request(disk, DISK_READ, 8 * i, 8, i * 4096);
		assert_int_equal(disk->ops->submit(disk, &four[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_non_null(disk_rig_wait(disk));
	assert_int_equal(four[2].failed_sector, 19);
	assert_int_equal(four[2].failed_sector_count, 5);
}

static void without_a_log_commands_are_given_one_by_one(void **state)
{
	(void)state;
	start(512, true, true, false);
	read_four();
	/* The disk says that it has a log, and then fails to give it. */
	start(512, true, true, true);
	model.log_supported = false;
	read_four();
}

static void a_log_that_names_nobody_is_a_fault(void **state)
{
	(void)state;
	start(512, true, true, true);
	model.log_names_wrong_tag = true;
	read_four();
	assert_int_equal(disk->statistics.device_faults, 2); /* among the others, and alone */
}

static void plain_commands_fail_by_slot(void **state)
{
	(void)state;
	start(512, false, true, true);
	read_four();
}

static void errors_without_a_frame_are_seen(void **state)
{
	(void)state;
	start(512, true, true, true);
	model.silent = true;
	read_four();
}

static void a_failed_write_is_in_doubt_as_a_whole(void **state)
{
	struct disk_request request;

	(void)state;
	start(512, true, true, true);
	model.bad_sector = 105;
	request = disk_rig_request(disk, DISK_WRITE, 100, 10, 0);
	assert_int_equal(disk_rig_run(disk, &request), -EIO);
	assert_int_equal(request.failed_sector, 100);
	assert_int_equal(request.failed_sector_count, 10);
}

static void a_short_transfer_is_an_error(void **state)
{
	struct disk_request request;

	(void)state;
	start(512, false, true, true);
	model.short_transfer = true;
	request = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	assert_int_equal(disk_rig_run(disk, &request), -EIO);
	assert_int_equal(disk->statistics.device_faults, 1);
}

/* ---- Hanging, resets, removal ---- */

static void a_hung_disk_is_reset(void **state)
{
	struct disk_request again;

	(void)state;
	start(512, true, true, true);
	disk_rig_check_time_out(disk);
	assert_int_equal(model.comresets, 1);
	/* While the disk comes back there is nothing to be had, and afterwards all is well. */
	again = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	assert_int_equal(disk->ops->submit(disk, &again), -EAGAIN);
	assert_null(disk_rig_wait(disk));
	disk_rig_check_transfers(disk);
}

static void requests_stay_while_the_engine_runs(void **state)
{
	(void)state;
	start(512, true, true, true);
	model.engine_stuck = true;
	disk_rig_check_no_reset(disk);
}

static void removal_of_the_disk_is_an_error(void **state)
{
	struct disk_request first, second;

	(void)state;
	start(512, true, true, true);
	disk_rig.hold = true;
	first = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	second = disk_rig_request(disk, DISK_FLUSH, 0, 0, 0);
	disk_rig_submit(disk, &first);
	disk_rig_submit(disk, &second);
	port()->link = 0;
	assert_ptr_equal(disk_rig_wait(disk), &first);
	assert_ptr_equal(disk_rig_wait(disk), &second);
	assert_int_equal(first.status, -ENODEV);
	assert_int_equal(second.status, -ENODEV);
	assert_true(disk->gone);
	assert_int_equal(disk->ops->submit(disk, &first), -ENODEV);
	assert_null(disk_rig_wait(disk));
}

static void removal_of_an_idle_disk_is_seen(void **state)
{
	(void)state;
	start(512, true, true, true);
	port()->link = 0;
	host_time_advance_ns(200 * NS_PER_MS);
	assert_null(disk_rig_wait(disk));
	assert_true(disk->gone);
}

/* Most buses read as all ones where nothing is, some as zeros: no reason to think that all is done. */
static void removal_of_the_adapter_is_an_error(void **state)
{
	(void)state;
	for (uint32_t way = 0; way < 4; way++) {
		start(512, way & 2, true, true);
		model.gone_value = way & 1 ? UINT32_MAX : 0;
		disk_rig_check_removal(disk);
	}
}

static void a_disk_that_does_not_come_back_is_gone(void **state)
{
	(void)state;
	start(512, true, true, true);
	assert_int_equal(disk->ops->reset(disk), 0);
	port()->link = 0;
	host_time_advance_ns(2 * NS_PER_S);
	assert_null(disk_rig_wait(disk));
	host_time_advance_ns(2 * NS_PER_S);
	assert_null(disk_rig_wait(disk));
	assert_true(disk->gone);
}

static void another_disk_in_the_place_is_refused(void **state)
{
	struct disk_request request;

	(void)state;
	start(512, true, true, true);
	put_text(10, 20, "OTHER");
	seal(model.identify);
	port()->interrupt |= (uint32_t)(AHCI_PxIS_PHY | AHCI_PxIS_CONNECT);
	request = disk_rig_request(disk, DISK_READ, 0, 8, 0);
	disk_rig.hold = true;
	disk_rig_submit(disk, &request);
	assert_ptr_equal(disk_rig_wait(disk), &request);
	assert_int_equal(request.status, -ECANCELED);
	assert_null(disk_rig_wait(disk));
	assert_true(disk->gone);
}

static void the_same_disk_after_a_loose_cable_goes_on(void **state)
{
	(void)state;
	start(512, true, true, true);
	port()->interrupt |= (uint32_t)AHCI_PxIS_PHY;
	host_time_advance_ns(200 * NS_PER_MS);
	assert_null(disk_rig_wait(disk));
	assert_int_equal(model.comresets, 1);
	assert_int_equal(disk->statistics.device_faults, 1);
	port()->interrupt = 0;
	disk_rig_check_full_queue(disk);
}

static void closing_hands_everything_back(void **state)
{
	(void)state;
	start(512, true, true, true);
	disk_rig_check_close(disk);
	assert_int_equal(port()->command & (AHCI_PxCMD_START | AHCI_PxCMD_RUNNING), 0);
}

/* Frames out of nowhere, byte counts that are wrong, requests left alone; registers lie by themselves. */
static void lie(void)
{
	struct ahci_received *received = host_dma_at(port()->frames, sizeof(*received));
	struct ahci_header *headers = host_dma_at(port()->list, 32 * SLOTS);

	disk_rig.hold = disk_rig_random(4) == 0;
	if (disk_rig_random(4) == 0) {
		received->set_device_bits.status = (uint8_t)disk_rig_random(256);
		received->set_device_bits_active = disk_rig_random(UINT32_MAX);
		received->set_device_bits.type = ATA_FIS_SET_DEVICE_BITS;
	}
	if (disk_rig_random(4) == 0) {
		received->device_to_host.status = (uint8_t)disk_rig_random(256);
		received->device_to_host.type = ATA_FIS_DEVICE_TO_HOST;
	}
	if (disk_rig_random(8) == 0)
		headers[disk_rig_random(SLOTS)].transferred = disk_rig_random(UINT32_MAX);
}

static void a_lying_adapter_is_survived(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 400; seed++) {
		start(512, seed & 1, seed & 2, seed & 4);
		disk_rig_seed(seed);
		model.lies = true;
		disk_rig_check_survives(disk, lie);
	}
}

static void damaged_error_logs_tell_nothing(void **state)
{
	uint8_t page[ATA_SECTOR_SIZE] = { 5, 0, 0x41, 0x40, 1, 2, 3, 0, 4, 5, 6 };
	uint32_t tag;
	uint64_t lba;

	(void)state;
	seal(page);
	assert_true(ata_error_log_parse(page, &tag, &lba));
	assert_int_equal(tag, 5);
	assert_int_equal(lba, 0x060504030201);
	page[100] ^= 0x10;
	assert_false(ata_error_log_parse(page, &tag, &lba));
	page[100] ^= 0x10;
	page[0] |= 0x80;
	seal(page);
	assert_false(ata_error_log_parse(page, &tag, &lba));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_read),
		cmocka_unit_test(useless_disks_are_refused),
		cmocka_unit_test(a_disk_that_never_settles_ends_the_probe),
		cmocka_unit_test(no_memory_is_told),
		cmocka_unit_test(other_devices_are_left_alone),
		cmocka_unit_test(transfers_with_ncq),
		cmocka_unit_test(transfers_without_ncq),
		cmocka_unit_test(transfers_with_large_sectors),
		cmocka_unit_test(completion_is_found_without_its_frame),
		cmocka_unit_test(a_request_costs_three_register_accesses),
		cmocka_unit_test(write_through_is_one_command_with_fua),
		cmocka_unit_test(write_through_is_write_and_flush_without_fua),
		cmocka_unit_test(flushes_and_queued_commands_take_turns),
		cmocka_unit_test(error_log_names_the_failed_command),
		cmocka_unit_test(an_error_alone_is_cleared),
		cmocka_unit_test(failed_range_begins_at_the_bad_sector),
		cmocka_unit_test(without_a_log_commands_are_given_one_by_one),
		cmocka_unit_test(a_log_that_names_nobody_is_a_fault),
		cmocka_unit_test(plain_commands_fail_by_slot),
		cmocka_unit_test(errors_without_a_frame_are_seen),
		cmocka_unit_test(a_failed_write_is_in_doubt_as_a_whole),
		cmocka_unit_test(a_short_transfer_is_an_error),
		cmocka_unit_test(a_hung_disk_is_reset),
		cmocka_unit_test(requests_stay_while_the_engine_runs),
		cmocka_unit_test(removal_of_the_disk_is_an_error),
		cmocka_unit_test(removal_of_an_idle_disk_is_seen),
		cmocka_unit_test(removal_of_the_adapter_is_an_error),
		cmocka_unit_test(a_disk_that_does_not_come_back_is_gone),
		cmocka_unit_test(another_disk_in_the_place_is_refused),
		cmocka_unit_test(the_same_disk_after_a_loose_cable_goes_on),
		cmocka_unit_test(closing_hands_everything_back),
		cmocka_unit_test(a_lying_adapter_is_survived),
		cmocka_unit_test(damaged_error_logs_tell_nothing),
	};

	return cmocka_run_group_tests_name("ahci", tests, NULL, NULL);
}
