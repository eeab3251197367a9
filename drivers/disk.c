/* SPDX-License-Identifier: Apache-2.0 */
/* Finds all disks: tries each driver of the table on each PCI device. See disk.h. */
#include "drivers/disk.h"

#include <errno.h>
#include <string.h>

#include "drivers/disk_drivers.h"
#include "include/assert.h"
#include "include/trace.h"
#include "kernel/time.h"

TRACE_FILE("disk", TRACE_INFO);

static const struct disk_ops *const disk_drivers[] = { &ahci_ops, &nvme_ops, &virtio_blk_ops };

#define DISK_COUNT_MAX (ARRAY_SIZE(disk_drivers) * DISK_DEVICE_MAX)

static struct disk_device disk_devices[DISK_COUNT_MAX];
static uint32_t disk_count;

static void disk_tell(const struct disk_device *device)
{
	const struct disk_identity *identity = &device->identity;
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_address_format(device->pci->address, address);
	trace(TRACE_INFO, "%s %s unit %u: \"%s\" serial \"%s\", %llu sectors of %u bytes, %u requests%s%s%s",
	      address, device->ops->name, device->unit, identity->model, identity->serial,
	      (unsigned long long)identity->sector_count, identity->sector_size, identity->queue_depth,
	      identity->has_write_cache ? ", write cache" : "", identity->has_write_through ? ", FUA" : "",
	      identity->read_only ? ", read-only" : "");
}

/* Tries every driver on one PCI device. */
static void disk_probe(const struct pci_device *pci)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	for (uint32_t i = 0; i < ARRAY_SIZE(disk_drivers) && disk_count < DISK_COUNT_MAX; i++) {
		uint32_t room = (uint32_t)DISK_COUNT_MAX - disk_count;
		int found = disk_drivers[i]->probe(&disk_devices[disk_count], room, pci);

		if (found == -ENODEV)
			continue;
		if (found < 0) {
			pci_address_format(pci->address, address);
			trace(TRACE_ERROR, "%s: %s controller does not work: error %d", address,
			      disk_drivers[i]->name, found);
			return;
		}
		ASSERT((uint32_t)found <= room);
		for (int disk = 0; disk < found; disk++)
			disk_tell(&disk_devices[disk_count++]);
		return;
	}
}

uint32_t disk_probe_all(void)
{
	ASSERT(disk_count == 0);
	for (uint32_t i = 0; i < pci_device_count(); i++)
		disk_probe(pci_device_at(i));
	return disk_count;
}

uint32_t disk_device_count(void)
{
	return disk_count;
}

struct disk_device *disk_device_at(uint32_t index)
{
	ASSERT(index < disk_count);
	return &disk_devices[index];
}

int disk_read_and_wait(struct disk_device *disk, uint64_t sector, uint32_t sector_count, uint64_t physical)
{
	static struct disk_request request; /* a driver may still hold it when we give up */
	uint64_t deadline_ns = time_now_ns() + 3ull * DISK_TIMEOUT_MS * NS_PER_MS;
	int error;

	memset(&request, 0, sizeof(request));
	request.operation = DISK_READ;
	request.sector = sector;
	request.sector_count = sector_count;
	request.segment_count = 1;
	request.segments[0] = (struct disk_segment){ .physical = physical,
						     .size = sector_count * disk->identity.sector_size };
	error = disk->ops->submit(disk, &request);
	if (error)
		return error;
	disk->ops->start(disk);
	while (disk->ops->poll(disk) != &request)
		if (time_reached(deadline_ns))
			return trace_error(-ETIMEDOUT);
	return request.status;
}
