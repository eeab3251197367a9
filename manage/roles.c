/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports and disks are twins here: find what a line names, refuse what is wrong,
 * give out by order when no line names anything.
 */
#include "manage/roles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"

#define FOUND_LIST_SIZE 320

static const char *const network_role_names[NETWORK_ROLE_COUNT] = {
	"cs1", "cs2", "management", "public1", "public2", "public3", "public4",
};

static const char *const disk_role_names[DISK_ROLE_COUNT] = {
	"boot", "mirror1", "mirror2", "mirror3", "mirror4", "mirror5", "mirror6", "mirror7", "mirror8",
};

const char *network_role_name(uint32_t role)
{
	ASSERT(role < NETWORK_ROLE_COUNT);
	return network_role_names[role];
}

const char *disk_role_name(uint32_t role)
{
	ASSERT(role < DISK_ROLE_COUNT);
	return disk_role_names[role];
}

static bool path_equal(const struct config_pci_path *a, const struct config_pci_path *b)
{
	return a->bus == b->bus && a->device == b->device && a->function == b->function;
}

/* "00:03.0 52:54:00:12:34:56" */
static void port_add(struct text *text, const struct role_port *port)
{
	config_pci_path_add(text, &port->pci);
	text_add(text, " ");
	config_mac_add(text, port->mac);
}

/* "00:1f.2/1 serial:QM00001 10G" */
static void disk_add(struct text *text, const struct role_disk *disk)
{
	config_pci_path_add(text, &disk->pci);
	text_add(text, "/%u", disk->unit);
	if (disk->serial[0] != '\0')
		text_add(text, " serial:%s", disk->serial);
	text_add(text, " ");
	text_add_size(text, disk->size);
}

static bool port_matches(const struct config_port_name *name, const struct role_port *port)
{
	if (name->kind == CONFIG_NAME_PCI)
		return path_equal(&name->pci, &port->pci);
	return memcmp(name->mac, port->mac, CONFIG_MAC_SIZE) == 0;
}

static bool disk_matches(const struct config_disk_name *name, const struct role_disk *disk)
{
	if (name->kind == CONFIG_NAME_SERIAL)
		return strcmp(name->serial, disk->serial) == 0;
	return path_equal(&name->pci, &disk->pci) && (!name->has_unit || name->unit == disk->unit);
}

/* The one port that role's line names; ROLE_NONE with an error otherwise. */
static uint32_t port_find(const struct config *config, uint32_t role, const struct role_port *ports,
			  uint32_t port_count, struct config_errors *errors)
{
	const struct config_port_name *name = &config->network.ports[role];
	uint32_t found = ROLE_NONE;
	uint32_t matches = 0;
	char wanted_text[32];
	char list[FOUND_LIST_SIZE];
	struct text wanted;
	struct text text;

	text_init(&wanted, wanted_text, sizeof(wanted_text));
	text_init(&text, list, sizeof(list));
	if (name->kind == CONFIG_NAME_PCI)
		config_pci_path_add(&wanted, &name->pci);
	else
		config_mac_add(&wanted, name->mac);
	for (uint32_t i = 0; i < port_count; i++)
		if (port_matches(name, &ports[i])) {
			found = i;
			matches++;
		}
	if (matches == 1)
		return found;
	for (uint32_t i = 0; i < port_count; i++) {
		if (matches > 1 && !port_matches(name, &ports[i]))
			continue;
		text_add(&text, "%s", text.used > 0 ? ", " : "");
		port_add(&text, &ports[i]);
	}
	if (matches > 1)
		config_error_add(errors, config, name,
				 "%u network ports are %s: %s; name one by its PCI path", matches,
				 wanted_text, list);
	else
		config_error_add(errors, config, name, "no network port is %s; found %s", wanted_text,
				 port_count > 0 ? list : "none at all");
	return ROLE_NONE;
}

/* The one disk that role's line names; ROLE_NONE with an error otherwise, or in `missing`, where that is not NULL. */
static uint32_t disk_find(const struct config *config, uint32_t role, const struct role_disk *disks,
			  uint32_t disk_count, char *missing, struct config_errors *errors)
{
	const struct config_disk_name *name = &config->disk.disks[role];
	uint32_t found = ROLE_NONE;
	uint32_t matches = 0;
	char wanted_text[64];
	char list[FOUND_LIST_SIZE];
	struct text wanted;
	struct text text;

	text_init(&wanted, wanted_text, sizeof(wanted_text));
	text_init(&text, list, sizeof(list));
	if (name->kind == CONFIG_NAME_SERIAL) {
		text_add(&wanted, "serial:%s", name->serial);
	} else {
		config_pci_path_add(&wanted, &name->pci);
		if (name->has_unit)
			text_add(&wanted, "/%u", name->unit);
	}
	for (uint32_t i = 0; i < disk_count; i++)
		if (disk_matches(name, &disks[i])) {
			found = i;
			matches++;
		}
	if (matches == 1)
		return found;
	if (matches == 0 && missing) {
		snprintf(missing, ROLE_MISSING_SIZE, "no disk is %s", wanted_text);
		return ROLE_NONE;
	}
	for (uint32_t i = 0; i < disk_count; i++) {
		if (matches > 1 && !disk_matches(name, &disks[i]))
			continue;
		text_add(&text, "%s", text.used > 0 ? ", " : "");
		disk_add(&text, &disks[i]);
	}
	if (matches > 1)
		config_error_add(errors, config, name,
				 "%u disks are %s: %s; name one by its PCI path and unit", matches,
				 wanted_text, list);
	else
		config_error_add(errors, config, name, "no disk is %s; found %s", wanted_text,
				 disk_count > 0 ? list : "none at all");
	return ROLE_NONE;
}

/* The role before `role` that has device `index` already, or ROLE_NONE. */
static uint32_t role_before(const uint32_t *given, uint32_t role, uint32_t index)
{
	for (uint32_t i = 0; i < role; i++)
		if (given[i] == index)
			return i;
	return ROLE_NONE;
}

static bool is_any_port_named(const struct config *config)
{
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++)
		if (config->network.ports[role].kind != CONFIG_NAME_UNSET)
			return true;
	return false;
}

static bool is_any_disk_named(const struct config *config)
{
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++)
		if (config->disk.disks[role].kind != CONFIG_NAME_UNSET)
			return true;
	return false;
}

static void ports_by_name(const struct config *config, const struct role_port *ports, uint32_t port_count,
			  struct roles *roles, struct config_errors *errors)
{
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++) {
		const struct config_port_name *name = &config->network.ports[role];
		char place[CONFIG_PLACE_SIZE];
		char port_text[32];
		struct text text;
		uint32_t index;
		uint32_t before;

		if (name->kind == CONFIG_NAME_UNSET || name->kind == CONFIG_NAME_NONE)
			continue;
		index = port_find(config, role, ports, port_count, errors);
		before = index == ROLE_NONE ? ROLE_NONE : role_before(roles->ports, role, index);
		if (before == ROLE_NONE) {
			roles->ports[role] = index;
			continue;
		}
		text_init(&text, port_text, sizeof(port_text));
		port_add(&text, &ports[index]);
		config_place_format(config, &config->network.ports[before], place);
		config_error_add(errors, config, name, "port %s has a role already: %s", port_text, place);
	}
}

static void disks_by_name(const struct config *config, const struct role_disk *disks, uint32_t disk_count,
			  struct roles *roles, struct config_errors *errors)
{
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++) {
		const struct config_disk_name *name = &config->disk.disks[role];
		char place[CONFIG_PLACE_SIZE];
		char disk_text[96];
		struct text text;
		uint32_t index;
		uint32_t before;

		if (name->kind == CONFIG_NAME_UNSET || name->kind == CONFIG_NAME_NONE)
			continue;
		index = disk_find(config, role, disks, disk_count,
				  role >= DISK_MIRROR1 ? roles->missing[role - DISK_MIRROR1] : NULL, errors);
		before = index == ROLE_NONE ? ROLE_NONE : role_before(roles->disks, role, index);
		if (before == ROLE_NONE) {
			roles->disks[role] = index;
			continue;
		}
		text_init(&text, disk_text, sizeof(disk_text));
		disk_add(&text, &disks[index]);
		config_place_format(config, &config->disk.disks[before], place);
		config_error_add(errors, config, name, "disk %s has a role already: %s", disk_text, place);
	}
}

static void ports_by_order(uint32_t port_count, struct roles *roles)
{
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT && role < port_count; role++)
		roles->ports[role] = role;
}

static void disks_by_order(const struct role_disk *disks, uint32_t disk_count, struct roles *roles)
{
	uint32_t mirror = DISK_MIRROR1;

	for (uint32_t i = 0; i < disk_count; i++) {
		if (disks[i].has_state && roles->disks[DISK_BOOT] == ROLE_NONE)
			roles->disks[DISK_BOOT] = i;
		else if (mirror < DISK_ROLE_COUNT)
			roles->disks[mirror++] = i;
	}
}

/* A mirror's size is a promise to the guest: the disk must hold it. */
static void mirror_sizes_check(const struct config *config, const struct role_disk *disks,
			       struct roles *roles, struct config_errors *errors)
{
	for (uint32_t mirror = 0; mirror < CONFIG_MIRROR_MAX; mirror++) {
		const uint64_t *size = &config->disk.mirror_size[mirror];
		uint32_t index = roles->disks[DISK_MIRROR1 + mirror];
		char wanted_text[32];
		char disk_text[96];
		struct text wanted;
		struct text text;

		uint32_t named = config->disk.disks[DISK_MIRROR1 + mirror].kind;

		if (*size == 0 || (index != ROLE_NONE && disks[index].size >= *size))
			continue;
		/* A disk that is named and not to be had was told already. */
		if (index == ROLE_NONE && named != CONFIG_NAME_UNSET && named != CONFIG_NAME_NONE)
			continue;
		text_init(&wanted, wanted_text, sizeof(wanted_text));
		text_add_size(&wanted, *size);
		if (index == ROLE_NONE) {
			snprintf(roles->missing[mirror], ROLE_MISSING_SIZE,
				 "its size is %s, but no disk is %s", wanted_text,
				 disk_role_names[DISK_MIRROR1 + mirror]);
			continue;
		}
		text_init(&text, disk_text, sizeof(disk_text));
		disk_add(&text, &disks[index]);
		config_error_add(errors, config, size, "found %s; disk %s is smaller", wanted_text,
				 disk_text);
		roles->disks[DISK_MIRROR1 + mirror] = ROLE_NONE;
	}
}

int roles_assign(const struct config *config, const struct role_port *ports, uint32_t port_count,
		 const struct role_disk *disks, uint32_t disk_count, struct roles *roles,
		 struct config_errors *errors)
{
	uint32_t errors_before = errors->count;

	if (errors_before == CONFIG_ERROR_MAX)
		errors_before--; /* what is found here would not be told: call it wrong */
	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++)
		roles->ports[role] = ROLE_NONE;
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++)
		roles->disks[role] = ROLE_NONE;
	memset(roles->missing, 0, sizeof(roles->missing));
	roles->disks_by_order = !is_any_disk_named(config);

	if (is_any_port_named(config))
		ports_by_name(config, ports, port_count, roles, errors);
	else
		ports_by_order(port_count, roles);

	if (roles->disks_by_order)
		disks_by_order(disks, disk_count, roles);
	else
		disks_by_name(config, disks, disk_count, roles, errors);

	mirror_sizes_check(config, disks, roles, errors);
	return errors->count == errors_before ? 0 : -EINVAL;
}
