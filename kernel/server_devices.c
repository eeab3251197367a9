/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in this server: PCI devices, network ports, disks with what lies on
 * them, and which of them has which role. Disks are only read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "include/yoke_guid.h"
#include "kernel/console.h"
#include "kernel/dma.h"
#include "kernel/gpt.h"
#include "kernel/page_map.h"
#include "kernel/pci_scan.h"
#include "kernel/server.h"
#include "kernel/state_partition.h"

TRACE_FILE("boot", TRACE_INFO);

#define DISK_MAX (3 * DISK_DEVICE_MAX)
#define WHAT_SIZE (2 * GPT_REASON_SIZE + 40) /* what is wrong with both copies of a table */
#define PORT_MAX (2 * NET_DEVICE_MAX)

static struct role_port role_ports[PORT_MAX];
static uint32_t role_port_count;
static struct role_disk role_disks[DISK_MAX];
static struct gpt_partition states[DISK_MAX]; /* Yoke's partition, where has_state */
static uint32_t role_disk_count;

void server_find_pci(void)
{
	pci_use_segments(&server.acpi);
	pci_init();
	console_printf("PCI: %u devices, configuration space by %s\n", pci_device_count(), pci_access_name());
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		const struct pci_device *device = pci_device_at(i);
		char address[PCI_ADDRESS_TEXT_SIZE];

		pci_address_format(device->address, address);
		console_printf("  %s %04x:%04x class %02x%02x%02x\n", address, device->vendor, device->device,
			       device->class_code, device->subclass, device->interface);
	}
}

static struct config_pci_path pci_path(const struct pci_device *device)
{
	return (struct config_pci_path){ .bus = device->address.bus,
					 .device = device->address.device,
					 .function = device->address.function };
}

void server_find_ports(void)
{
	net_probe_all();
	console_printf("network ports: %u\n", net_device_count());
	for (; role_port_count < net_device_count() && role_port_count < PORT_MAX; role_port_count++) {
		const struct net_device *port = net_device_at(role_port_count);
		struct role_port *role_port = &role_ports[role_port_count];

		role_port->pci = pci_path(port->pci);
		memcpy(role_port->mac, port->mac, sizeof(role_port->mac));
	}
}

/* Fills `buffer` from `sector` on. */
static int read_disk(struct disk_device *disk, uint64_t sector, const struct dma_buffer *buffer)
{
	return disk_read_and_wait(disk, sector, (uint32_t)(buffer->size / disk->identity.sector_size),
				  buffer->physical);
}

/* One line about a disk. */
static void tell(const struct disk_device *disk, const char *what)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_address_format(disk->pci->address, address);
	console_printf("  %s.%u %s: %s\n", address, disk->unit, disk->ops->name, what);
}

/* The first copy of the table. Not readable but for an MBR that promises one, it is GPT_DAMAGED. */
static enum gpt_content read_table(struct disk_device *disk, const struct dma_buffer *buffer, struct gpt *gpt,
				   char reason[GPT_REASON_SIZE])
{
	const struct disk_identity *identity = &disk->identity;
	enum gpt_content content;
	int error = read_disk(disk, 0, buffer);

	if (error) {
		memset(buffer->address, 0, buffer->size);
		if (disk_read_and_wait(disk, 0, 1, buffer->physical) != 0)
			memset(buffer->address, 0, buffer->size);
	}
	content = gpt_parse(buffer->address, buffer->size, identity->sector_size, identity->sector_count, gpt,
			    reason);
	if (!error)
		return content;
	snprintf(reason, GPT_REASON_SIZE, "not readable (error %d)", error);
	return content == GPT_DAMAGED ? GPT_DAMAGED : GPT_UNKNOWN;
}

/* The second copy. */
static enum gpt_content read_backup_table(struct disk_device *disk, const struct dma_buffer *buffer,
					  struct gpt *gpt, char reason[GPT_REASON_SIZE])
{
	const struct disk_identity *identity = &disk->identity;
	int error = read_disk(disk, identity->sector_count - buffer->size / identity->sector_size, buffer);

	if (!error)
		return gpt_parse_backup(buffer->address, buffer->size, identity->sector_size,
					identity->sector_count, gpt, reason);
	snprintf(reason, GPT_REASON_SIZE, "not readable (error %d)", error);
	return GPT_DAMAGED;
}

/* The disk's partitions. Where the first copy of the table is damaged, it says so, and takes the second. */
static bool find_partitions(struct disk_device *disk, const struct dma_buffer *buffer, struct gpt *gpt,
			    char what[WHAT_SIZE])
{
	char reason[GPT_REASON_SIZE];
	enum gpt_content content;

	if (disk->identity.sector_count < buffer->size / disk->identity.sector_size) {
		snprintf(what, WHAT_SIZE, "too small for a partition table");
		return false;
	}
	content = read_table(disk, buffer, gpt, what);
	if (content != GPT_DAMAGED)
		return content == GPT_GOOD;
	content = read_backup_table(disk, buffer, gpt, reason);
	if (content != GPT_GOOD) {
		snprintf(what + strlen(what), WHAT_SIZE - strlen(what), "; its backup: %s", reason);
		return false;
	}
	snprintf(what + strlen(what), WHAT_SIZE - strlen(what),
		 "; its backup at the end of the disk is used");
	tell(disk, what);
	return true;
}

/* What lies on a disk, in words; and does it hold Yoke's state partition, and where? Nothing is written. */
static bool look_at_disk(struct disk_device *disk, const struct dma_buffer *buffer,
			 struct gpt_partition *found, char what[WHAT_SIZE])
{
	static const uint8_t state_type[GPT_GUID_SIZE] = YOKE_STATE_TYPE_GUID_BYTES;
	static struct gpt gpt;
	const struct gpt_partition *state;
	int error;

	if (!find_partitions(disk, buffer, &gpt, what))
		return false;
	state = gpt_find(&gpt, state_type);
	if (!state) {
		snprintf(what, WHAT_SIZE, "GPT with %u partitions, none of Yoke's", gpt.partition_count);
		return false;
	}
	if (state->sector_count * disk->identity.sector_size < buffer->size) {
		snprintf(what, WHAT_SIZE, "GPT with a Yoke state partition that is too small");
		return false;
	}
	*found = *state;
	error = read_disk(disk, state->first_sector, buffer);
	if (error)
		snprintf(what, WHAT_SIZE, "Yoke state partition, not readable (error %d)", error);
	else
		snprintf(what, WHAT_SIZE, "Yoke state partition, %s",
			 gpt_is_blank(buffer->address, buffer->size) ? "empty"
								     : "of unknown contents: left as it is");
	return true;
}

static void find_disk(struct disk_device *disk, struct role_disk *role_disk, const struct dma_buffer *buffer)
{
	const struct disk_identity *identity = &disk->identity;
	char what[WHAT_SIZE];

	role_disk->pci = pci_path(disk->pci);
	role_disk->unit = disk->unit;
	snprintf(role_disk->serial, sizeof(role_disk->serial), "%s", identity->serial);
	role_disk->size = identity->sector_count * identity->sector_size;
	role_disk->has_state = look_at_disk(disk, buffer, &states[role_disk - role_disks], what);
	tell(disk, what);
}

void server_find_disks(void)
{
	struct dma_buffer buffer;

	disk_probe_all();
	console_printf("disks: %u\n", disk_device_count());
	if (disk_device_count() == 0)
		return;
	if (dma_allocate(&buffer, GPT_COPY_SIZE, PAGE_SIZE)) {
		console_printf("  none is used: no memory is left to read them\n");
		return;
	}
	for (; role_disk_count < disk_device_count() && role_disk_count < DISK_MAX; role_disk_count++)
		find_disk(disk_device_at(role_disk_count), &role_disks[role_disk_count], &buffer);
}

void server_show_roles(void)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++) {
		const struct net_device *port = server_port_of(role);

		if (!port)
			continue;
		pci_address_format(port->pci->address, address);
		console_printf("  %s: %s %s\n", network_role_name(role), address, port->ops->name);
	}
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++) {
		const struct disk_device *disk = server_disk_of(role);

		if (!disk)
			continue;
		pci_address_format(disk->pci->address, address);
		console_printf("  %s: %s.%u %s\n", disk_role_name(role), address, disk->unit,
			       disk->ops->name);
	}
}

void server_give_roles(void)
{
	roles_assign(&server.config, role_ports, role_port_count, role_disks, role_disk_count, &server.roles,
		     &server.config_errors);
}

struct net_device *server_port_of(uint32_t role)
{
	ASSERT(role < NETWORK_ROLE_COUNT);
	return server.roles.ports[role] == ROLE_NONE ? NULL : net_device_at(server.roles.ports[role]);
}

struct disk_device *server_disk_of(uint32_t role)
{
	ASSERT(role < DISK_ROLE_COUNT);
	return server.roles.disks[role] == ROLE_NONE ? NULL : disk_device_at(server.roles.disks[role]);
}

int server_open_state(void)
{
	struct disk_device *boot = server_disk_of(DISK_BOOT);
	const struct gpt_partition *state;

	if (state_partition_size())
		return 0;
	if (!boot || !role_disks[server.roles.disks[DISK_BOOT]].has_state)
		return -ENOENT;
	state = &states[server.roles.disks[DISK_BOOT]];
	return state_partition_open(boot, state->first_sector, state->sector_count);
}
