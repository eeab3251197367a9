/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the ports and disks found in this server has which role. A pure
 * function of the configuration and of what was found.
 *
 * As long as [network] names no port at all, roles are given by order: the ports
 * in bus order become cs1, cs2, management, public1, public2 ... As soon as one
 * line names a port, or says `none`, every port has only the roles that lines
 * give it. [disk] likewise: by order, `boot` is the disk with Yoke's state
 * partition, and the others in bus order become mirror1, mirror2 ...
 */
#ifndef MANAGE_ROLES_H
#define MANAGE_ROLES_H

#include "manage/config.h"

#define ROLE_NONE UINT32_MAX /* no device has the role */

/* A network port that was found. */
struct role_port {
	struct config_pci_path pci;
	uint8_t mac[CONFIG_MAC_SIZE];
};

/* A disk that was found. */
struct role_disk {
	struct config_pci_path pci;
	uint32_t unit;			 /* AHCI port, NVMe namespace; 0 where there is one disk only */
	char serial[CONFIG_SERIAL_SIZE]; /* "" when it has none */
	uint64_t size;			 /* bytes */
	bool has_state;			 /* holds Yoke's state partition */
};

#define ROLE_MISSING_SIZE 80

struct roles {
	uint32_t ports[NETWORK_ROLE_COUNT]; /* index into the ports found, or ROLE_NONE */
	uint32_t disks[DISK_ROLE_COUNT];    /* index into the disks found, or ROLE_NONE */
	/* "", or that no disk is what is named. No error by itself: a pair may go on with the other server's. */
	char missing[CONFIG_MIRROR_MAX][ROLE_MISSING_SIZE];
	bool disks_by_order; /* none is named */
};

/*
 * Gives out the roles. `ports` and `disks` are in bus order. Adds an error, with
 * its line, for each device that is named and not there (but a mirrored disk, see
 * `missing`), is not the only one of its name, is named twice, or is smaller than
 * mirrorN_size. Returns 0, or
 * -EINVAL when it added one (or `errors` was full); the roles concerned are then
 * ROLE_NONE. Call it with the errors of config_parse(), and again after every
 * config_set(), which takes the errors added here out of the list.
 */
int roles_assign(const struct config *config, const struct role_port *ports, uint32_t port_count,
		 const struct role_disk *disks, uint32_t disk_count, struct roles *roles,
		 struct config_errors *errors);

/* "cs1", "public2"; "boot", "mirror1". */
const char *network_role_name(uint32_t role);
const char *disk_role_name(uint32_t role);

#endif
