/* SPDX-License-Identifier: Apache-2.0 */
/* The network ports of this server: which there are, and what their drivers share. */
#include "drivers/net.h"

#include <errno.h>
#include <string.h>

#include "drivers/net_driver.h"
#include "include/trace.h"

TRACE_FILE("net", TRACE_INFO);

static const struct net_ops *const drivers[] = { &e1000_ops, &virtio_net_ops };

static struct net_device devices[NET_DEVICE_MAX];
static uint32_t device_count;

/* Gives `pci` to the first driver that knows it. Returns true when it became a port. */
static bool probe_one(struct net_device *device, uint32_t index, const struct pci_device *pci)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_address_format(pci->address, address);
	for (uint32_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		int status;

		*device = (struct net_device){ .ops = drivers[i], .pci = pci, .index = index };
		status = drivers[i]->probe(device, pci);
		if (status == 0) {
			trace(TRACE_INFO, "%s %s port %02x:%02x:%02x:%02x:%02x:%02x, frames up to %u bytes",
			      address, drivers[i]->name, device->mac[0], device->mac[1], device->mac[2],
			      device->mac[3], device->mac[4], device->mac[5], device->frame_size_max);
			return true;
		}
		if (status != -ENODEV) {
			trace(TRACE_ERROR, "%s %s does not work (error %d): not used", address,
			      drivers[i]->name, status);
			return false;
		}
	}
	return false;
}

uint32_t net_probe_all(void)
{
	device_count = 0;
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		if (device_count == NET_DEVICE_MAX) {
			trace(TRACE_WARNING, "%d network ports: should there be more, they are not used",
			      NET_DEVICE_MAX);
			break;
		}
		if (probe_one(&devices[device_count], device_count, pci_device_at(i)))
			device_count++;
	}
	return device_count;
}

uint32_t net_device_count(void)
{
	return device_count;
}

struct net_device *net_device_at(uint32_t index)
{
	ASSERT(index < device_count);
	return &devices[index];
}

int net_device_fault(struct net_device *device, const char *what)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_disable(device->pci);
	device->failed = true;
	device->fault = what;
	device->statistics.device_faults++;
	pci_address_format(device->pci->address, address);
	trace(TRACE_ERROR, "%s %s failed: %s", address, device->ops->name, what);
	return -EIO;
}

int net_check_options(const struct net_device *device, const struct net_open *options, uint32_t buffer_max)
{
	if (options->frame_size_max < NET_FRAME_SIZE_STANDARD ||
	    options->frame_size_max > device->frame_size_max)
		return trace_error(-EINVAL);
	if (buffer_max != 0 && options->frame_size_max > buffer_max)
		return trace_error(-EINVAL);
	return 0;
}

static void end_reset(struct net_device *device, int status)
{
	device->fault = status ? "the device does not answer" : NULL;
}

int net_await_reset(struct net_device *device)
{
	int status;

	device->ops->reset_begin(device);
	while ((status = device->ops->reset_poll(device)) == -EAGAIN)
		;
	end_reset(device, status);
	return status;
}

int net_reset(struct net_device *device)
{
	device->statistics.resets++;
	return net_await_reset(device);
}

int net_keep_open(struct net_device *device, const struct net_open *options)
{
	int status;

	if (device->opened && !device->failed)
		return 0;
	if (!device->resetting) {
		if (device->next_reset_ns != 0 && !time_reached(device->next_reset_ns))
			return -EAGAIN;
		device->next_reset_ns = time_now_ns() + NET_REOPEN_INTERVAL_MS * NS_PER_MS;
		device->statistics.resets++;
		device->resetting = true;
		device->ops->reset_begin(device);
	}
	status = device->ops->reset_poll(device);
	if (status == -EAGAIN)
		return -EAGAIN;
	device->resetting = false;
	end_reset(device, status);
	if (status)
		return status;
	status = device->ops->open(device, options);
	if (status)
		device->fault = "the device cannot be opened";
	return status;
}

const char *net_read_link(struct net_device *device, struct net_link *link)
{
	*link = (struct net_link){ 0 };
	if (!device->failed && !device->fault)
		device->ops->link(device, link);
	if (device->fault)
		return device->fault;
	if (device->failed)
		return "being reset";
	if (link->up)
		return "";
	return device->opened ? "no carrier" : "not open yet";
}

/* Bytes of all pieces together; more than any frame when a sum would wrap. */
static uint32_t pieces_size(const struct net_piece *pieces, uint32_t piece_count)
{
	uint64_t size = 0;

	ASSERT(piece_count > 0);
	ASSERT(piece_count <= NET_PIECE_MAX);
	for (uint32_t i = 0; i < piece_count; i++)
		size += pieces[i].size;
	return (uint32_t)min_u64(size, UINT32_MAX);
}

int net_transmit(struct net_device *device, const struct net_piece *pieces, uint32_t piece_count)
{
	uint32_t size = pieces_size(pieces, piece_count);
	uint8_t *room;
	int status = device->ops->transmit_reserve(device, size, &room);

	if (status)
		return status;
	for (uint32_t i = 0; i < piece_count; i++) {
		memcpy(room, pieces[i].data, pieces[i].size);
		room += pieces[i].size;
	}
	device->ops->transmit_commit(device, size);
	return 0;
}

bool net_mac_is_valid(const uint8_t mac[NET_MAC_SIZE])
{
	uint8_t any = 0;

	for (uint32_t i = 0; i < NET_MAC_SIZE; i++)
		any |= mac[i];
	return any != 0 && !(mac[0] & 1);
}
