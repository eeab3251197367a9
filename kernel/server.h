/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What main.c and the server_*.c beside it share: they are one file's work, the
 * wiring of all parts, cut by subject. Nobody else includes this.
 */
#ifndef KERNEL_SERVER_H
#define KERNEL_SERVER_H

#include "drivers/disk.h"
#include "drivers/net.h"
#include "include/boot_info.h"
#include "kernel/acpi.h"
#include "manage/config.h"
#include "manage/event.h"
#include "manage/roles.h"
#include "manage/status.h"

struct server {
	struct boot_info boot; /* checked */
	struct acpi_info acpi;
	struct config config;
	struct config_errors config_errors; /* that stand: none may, for the guest to be started */
	struct roles roles;
	struct event_log events;
};
extern struct server server;

/* server_devices.c: everything on the PCI bus, and who has which role. In this order, at start-up. */
void server_find_pci(void);
void server_find_ports(void);
void server_find_disks(void);
/* Also after each change of the configuration: roles anew, with what is wrong about them. */
void server_give_roles(void);
void server_show_roles(void);

/* The port or disk that has `role`; NULL when none has. */
struct net_device *server_port_of(uint32_t role);
struct disk_device *server_disk_of(uint32_t role);

/*
 * Opens the state partition of the boot disk (kernel/state_partition.h), once roles are
 * given. 0; -ENOENT: there is none; -ENOMEM.
 */
int server_open_state(void);

/* server_configuration.c: yoke.conf. */
void server_read_configuration(void);
void server_show_configuration_errors(void);
/* What counts at once, as the configuration says: trace levels, the server's letter, the disks' rates. */
void server_apply_configuration(void);
void server_apply_disk_rates(void);
char server_letter(void);

/* server_guest.c: whether and when the guest is started. */
/* Why the guest may not be started on this server, as one line; NULL when it may. */
const char *server_guest_hold(void);
/* Takes the guest's memory and proves its processor, unless something holds the guest. Tells why not. */
void server_prepare_guest(void);
/* As yoke.conf says: start-up is over, and no more memory is taken, once the guest is prepared. */
void server_autostart_guest(void);
/* At the console's command, also after what held the guest was mended there. */
void server_start_guest(void);

/* Is this server one of a pair (kernel/pair_service.h), or to become one? After server_prepare_guest(). */
bool server_is_pair(void);

/* server_status.c: fills what the status commands show. */
void server_status(struct status *status);

/* server_console.c: serial port, command line. */
void server_open_console(void);
/* Shows the first prompt; from then on trace lines go between what is typed. */
void server_start_command_line(void);
/* One round of the main loop: typed bytes in, output out. */
bool server_poll_console(void);

#endif
