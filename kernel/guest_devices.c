/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's outside devices; see guest_devices.h. */
#include "kernel/guest_devices.h"

#include <stdio.h>
#include <string.h>

#include "kernel/guest_disk.h"
#include "kernel/guest_entropy.h"
#include "kernel/guest_net.h"
#include "manage/roles.h"

/* Refuses a gap as well: the guest's disks are numbered through, and must not change places. */
static const char *open_disk(const struct guest_devices *devices, const struct config *config, uint32_t index,
			     struct machine_config *machine)
{
	static char reason[160];
	struct disk_device *device = devices->disks[index];
	const char *missing = device ? NULL : devices->missing[index];
	bool remembered = missing && guest_disk_is_remembered(index);
	const char *name = disk_role_name(DISK_MIRROR1 + index);
	const char *wrong;

	if (!device && !remembered && (!missing || !missing[0]))
		return NULL;
	if (!device && !remembered)
		wrong = missing;
	else if (index >= MACHINE_DISK_MAX)
		wrong = "the guest has four disks at most";
	else if (machine->disk_count != index)
		wrong = "the guest's disks are mirror1, mirror2 and so on, and one before this is missing";
	else
		wrong = guest_disk_open(index, device, config->disk.mirror_size[index],
					config->disk.mirror_sector_size[index] == CONFIG_SECTOR_4096,
					&machine->disks[index]);
	if (wrong) {
		snprintf(reason, sizeof(reason), "disk %s: %s", name, wrong);
		return reason;
	}
	/* The same on both servers, whatever the disks themselves are called. */
	snprintf(machine->disks[index].serial, MACHINE_SERIAL_SIZE, "YOKE-%s", name);
	machine->disk_count++;
	return NULL;
}

/* Each port has the configured address plus its number. */
static const char *open_port(const struct guest_devices *devices, const struct config *config, uint32_t index,
			     struct machine_config *machine)
{
	static char reason[160];
	struct machine_net_config *port = &machine->net_ports[index];

	if (!devices->ports[index])
		return NULL;
	if (machine->net_port_count != index) {
		snprintf(reason, sizeof(reason),
			 "network %s: the guest's ports are public1, public2 and so on, "
			 "and one before this is missing",
			 network_role_name(NETWORK_PUBLIC1 + index));
		return reason;
	}
	memcpy(port->mac, config->guest.mac, MACHINE_MAC_SIZE);
	port->mac[MACHINE_MAC_SIZE - 1] = (uint8_t)(port->mac[MACHINE_MAC_SIZE - 1] + index);
	guest_net_open(index, devices->ports[index], port->mac);
	machine->net_port_count++;
	return NULL;
}

BUILD_ASSERT(CONFIG_PUBLIC_MAX <= MACHINE_NET_PORT_MAX);
BUILD_ASSERT(CONFIG_MAC_SIZE == MACHINE_MAC_SIZE);

const char *guest_devices_open(const struct guest_devices *devices, const struct config *config,
			       struct machine_config *machine)
{
	const char *wrong = guest_disk_init();

	for (uint32_t index = 0; index < CONFIG_MIRROR_MAX && !wrong; index++)
		wrong = open_disk(devices, config, index, machine);
	for (uint32_t index = 0; index < CONFIG_PUBLIC_MAX && !wrong; index++)
		wrong = open_port(devices, config, index, machine);
	guest_entropy_init();
	return wrong;
}

void guest_devices_restart(void)
{
	guest_disk_restart();
	guest_net_restart();
	guest_entropy_forget();
}

bool guest_devices_take(const struct machine_output *output, const struct guest_memory *memory)
{
	switch (output->kind) {
	case MACHINE_OUTPUT_DISK:
		guest_disk_take(output->index, &output->disk, memory);
		return true;
	case MACHINE_OUTPUT_FRAME:
		guest_net_take(output->index, output->data, output->size);
		return true;
	case MACHINE_OUTPUT_ENTROPY:
		guest_entropy_take(output->value);
		return true;
	default:
		return false;
	}
}

bool guest_devices_input(struct machine_input *input, bool patient)
{
	return guest_disk_input(input, patient) || guest_entropy_input(input) || guest_net_input(input);
}

bool guest_devices_have_room(void)
{
	return guest_disk_has_room();
}

bool guest_devices_poll(bool guest_runs)
{
	guest_net_poll(guest_runs);
	return guest_disk_busy();
}
