/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the status that the console shows, from what each part knows of itself. */
#include <stdio.h>
#include <string.h>

#include "kernel/clock.h"
#include "kernel/guest_net.h"
#include "kernel/guest_service.h"
#include "kernel/loop.h"
#include "kernel/mirror_service.h"
#include "kernel/pair_service.h"
#include "kernel/server.h"
#include "kernel/stage.h"
#include "kernel/time.h"

extern const char yoke_version[];

static void copy_reason(char to[STATUS_REASON_SIZE], const char *reason)
{
	snprintf(to, STATUS_REASON_SIZE, "%s", reason);
}

static void fill_link(struct status_link *status, struct net_device *port)
{
	struct net_link link;

	if (!port) {
		status->state = STATUS_LINK_ABSENT;
		return;
	}
	copy_reason(status->reason, net_read_link(port, &link));
	status->state = link.up ? STATUS_LINK_GOOD : STATUS_LINK_FAILED;
	status->rate_mbit = link.speed_mbit;
}

static void fill_port(struct status_port *status, uint32_t role)
{
	struct net_device *port = server_port_of(role);
	char address[PCI_ADDRESS_TEXT_SIZE];
	struct net_link link;

	if (!port) {
		status->state = STATUS_PORT_ABSENT;
		return;
	}
	copy_reason(status->reason, net_read_link(port, &link));
	status->state = link.up ? STATUS_PORT_STANDBY : STATUS_PORT_DOWN;
	if (role >= NETWORK_PUBLIC1 && guest_net_link_is_up(role - NETWORK_PUBLIC1))
		status->state = STATUS_PORT_ACTIVE;
	status->rate_mbit = link.speed_mbit;
	pci_address_format(port->pci->address, address);
	snprintf(status->device, sizeof(status->device), "%s %s %02x:%02x:%02x:%02x:%02x:%02x", address,
		 port->ops->name, port->mac[0], port->mac[1], port->mac[2], port->mac[3], port->mac[4],
		 port->mac[5]);
	status->rx_frames = port->statistics.rx_frames;
	status->tx_frames = port->statistics.tx_frames;
	status->errors =
		port->statistics.rx_errors + port->statistics.tx_errors + port->statistics.device_faults;
}

static void fill_disk(struct status_disk *status, uint32_t role)
{
	const struct disk_device *disk = server_disk_of(role);
	uint32_t named = server.config.disk.disks[role].kind;
	char address[PCI_ADDRESS_TEXT_SIZE];

	if (!disk) {
		bool missing = named != CONFIG_NAME_UNSET && named != CONFIG_NAME_NONE;

		status->state = missing ? STATUS_DISK_MISSING : STATUS_DISK_ABSENT;
		if (role >= DISK_MIRROR1) {
			copy_reason(status->reason, server.roles.missing[role - DISK_MIRROR1]);
			mirror_service_status(role - DISK_MIRROR1, status);
		}
		return;
	}
	status->state = disk->gone ? STATUS_DISK_FAILED : STATUS_DISK_GOOD;
	copy_reason(status->reason, disk->gone ? "the disk does not answer" : "");
	pci_address_format(disk->pci->address, address);
	snprintf(status->device, sizeof(status->device), "%s/%u %s serial:%s", address, disk->unit,
		 disk->ops->name, disk->identity.serial);
	status->size = disk->identity.sector_count * disk->identity.sector_size;
	status->reads = disk->statistics.reads;
	status->writes = disk->statistics.writes;
	status->errors = disk->statistics.errors + disk->statistics.timeouts;
	if (role >= DISK_MIRROR1)
		mirror_service_status(role - DISK_MIRROR1, status);
}

static void fill_guest(struct status_guest *status)
{
	const struct guest *guest = guest_service_guest();
	const char *hold = server_guest_hold();

	status->start = server.config.guest.start;
	status->memory_size = server.config.guest.memory_size;
	status->uptime_ns = guest->machine.now_ns;
	status->restarts = guest_service_restarts();
	for (uint32_t kind = VCPU_EXIT_SERVER_INIT + 1; kind < VCPU_EXIT_KIND_COUNT; kind++)
		status->exits += guest_exit_total(&guest->exits[kind]);
	switch (guest->state) {
	case GUEST_OFF:
		status->state = hold ? STATUS_GUEST_REFUSED : STATUS_GUEST_OFF;
		copy_reason(status->reason, hold ? hold : "");
		break;
	case GUEST_RUNNING:
	case GUEST_WAITING:
		status->state = guest_service_is_held() ? STATUS_GUEST_STOPPED : STATUS_GUEST_RUNNING;
		copy_reason(status->reason, guest_service_is_held() ? "at the console" : "");
		break;
	case GUEST_STOPPED:
		status->state = STATUS_GUEST_STOPPED;
		copy_reason(status->reason, guest->reason);
		break;
	}
}

static void fill_self(struct status_server *status)
{
	struct loop_statistics loop;

	loop_statistics(&loop);
	status->uptime_ns = time_now_ns();
	status->sleep_ns = loop.sleep_ns;
	status->busy_ns = clock_tsc_to_ns(stages.busy);
}

void server_status(struct status *status)
{
	memset(status, 0, sizeof(*status));
	snprintf(status->version, sizeof(status->version), "%s", yoke_version);
	status->self = server.config.server.name;
	fill_self(&status->servers[status->self]);
	fill_guest(&status->guest);
	status->servers[status->self].state =
		status->guest.state == STATUS_GUEST_RUNNING ? STATUS_SERVER_SIMPLEX : STATUS_SERVER_WAITING;
	for (uint32_t i = 0; i < STATUS_LINK_COUNT; i++)
		fill_link(&status->links[i], server_port_of(NETWORK_CS1 + i));
	if (server_is_pair())
		pair_service_status(status);
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++)
		fill_port(&status->ports[role], role);
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++)
		fill_disk(&status->disks[role], role);
}
