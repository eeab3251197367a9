/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yoke.conf: what a server is told about itself. A pure function turns the text
 * into a flat struct, or into errors that name line, finding and what is allowed.
 *
 *     # a comment
 *     [guest]
 *     memory = 512M          # sections, keys, values, units
 *     command_line = "console=ttyS0 # not a comment"
 *
 * Nothing is guessed: an unknown section or key, a value out of its range and a
 * key given twice are errors. Every key is one row of the table in config.c: its
 * section, name, kind, place in the struct, limits and default. docs/
 * CONFIGURATION.md describes each key; a unit test compares it with the table.
 *
 * The boot loader's command line overrides the file: `section.key=value` words
 * parted by blanks, values with blanks in double quotes. Words without a dot in
 * their name are options of the hypervisor itself (kernel/boot_info.h) and not
 * looked at, unless they have the name of a key. The console command `set` takes
 * the same words while running.
 */
#ifndef MANAGE_CONFIG_H
#define MANAGE_CONFIG_H

#include "include/bits.h"
#include "include/trace.h"
#include "manage/text.h"

#define CONFIG_FILE_NAME "yoke.conf"
#define CONFIG_FILE_SIZE_MAX (64 * KIB)
#define CONFIG_LINE_SIZE_MAX 1024 /* bytes, without the newline */
#define CONFIG_KEY_MAX 64
#define CONFIG_ERROR_MAX 8
#define CONFIG_ERROR_SIZE 480
#define CONFIG_PLACE_SIZE 64
#define CONFIG_SERIAL_SIZE 48
#define CONFIG_MAC_SIZE 6
#define CONFIG_IPV4_SIZE 4
#define CONFIG_FILE_NAME_SIZE 64
#define CONFIG_COMMAND_LINE_SIZE 512
#define CONFIG_TRACE_MAX 16
#define CONFIG_TRACE_NAME_SIZE 24

#define CONFIG_MIRROR_MAX 8
#define CONFIG_PUBLIC_MAX 4

enum config_server_name { CONFIG_SERVER_A, CONFIG_SERVER_B };
enum config_attach { CONFIG_ATTACH_GUEST, CONFIG_ATTACH_SERVER };
enum config_sector_size { CONFIG_SECTOR_DISK, CONFIG_SECTOR_4096 };
enum config_start { CONFIG_START_DISK, CONFIG_START_DIRECT };
enum config_failure_policy { CONFIG_FAILURE_RESTART, CONFIG_FAILURE_STOP };
enum config_pair_mode { CONFIG_PAIR_DUPLEX, CONFIG_PAIR_SINGLE };
enum config_preferred { CONFIG_PREFERRED_A, CONFIG_PREFERRED_B, CONFIG_PREFERRED_NONE };
enum config_when_unsure { CONFIG_UNSURE_STOP, CONFIG_UNSURE_CONTINUE };
enum config_record_mode { CONFIG_RECORD_OFF, CONFIG_RECORD_RECORD, CONFIG_RECORD_REPLAY };

/* What a server's network ports are for. */
enum network_role {
	NETWORK_CS1,
	NETWORK_CS2,
	NETWORK_MANAGEMENT,
	NETWORK_PUBLIC1,
	NETWORK_ROLE_COUNT = NETWORK_PUBLIC1 + CONFIG_PUBLIC_MAX,
};

/* What a server's disks are for. */
enum disk_role {
	DISK_BOOT,
	DISK_MIRROR1,
	DISK_ROLE_COUNT = DISK_MIRROR1 + CONFIG_MIRROR_MAX,
};

/* How a line of yoke.conf names a port or a disk. */
enum config_name_kind {
	CONFIG_NAME_UNSET = 0, /* not in the file: see roles.h for what it gets */
	CONFIG_NAME_NONE,      /* `none`: this role has no device */
	CONFIG_NAME_PCI,
	CONFIG_NAME_MAC,
	CONFIG_NAME_SERIAL,
};

struct config_pci_path {
	uint8_t bus;
	uint8_t device;	  /* 0..31 */
	uint8_t function; /* 0..7 */
};

struct config_port_name {
	uint32_t kind; /* enum config_name_kind: UNSET, NONE, PCI, MAC */
	struct config_pci_path pci;
	uint8_t mac[CONFIG_MAC_SIZE];
};

struct config_disk_name {
	uint32_t kind; /* enum config_name_kind: UNSET, NONE, PCI, SERIAL */
	struct config_pci_path pci;
	bool has_unit;
	uint32_t unit; /* AHCI port, NVMe namespace */
	char serial[CONFIG_SERIAL_SIZE];
};

struct config_trace_level {
	char category[CONFIG_TRACE_NAME_SIZE]; /* or one file: "net", "svm.c" */
	uint32_t level;			       /* enum trace_level */
};

struct config_trace_levels {
	uint32_t count;
	struct config_trace_level list[CONFIG_TRACE_MAX];
};

struct config {
	struct {
		uint32_t name; /* enum config_server_name */
	} server;
	struct {
		uint16_t port; /* first I/O port */
		uint32_t rate_baud;
		uint8_t escape;	 /* the byte that switches between guest and server */
		uint32_t attach; /* enum config_attach: who has the console when the guest starts */
	} console;
	struct {
		struct config_port_name ports[NETWORK_ROLE_COUNT];
	} network;
	struct {
		struct config_disk_name disks[DISK_ROLE_COUNT];
		uint64_t mirror_size[CONFIG_MIRROR_MAX];	/* bytes; 0: all of the disk */
		uint32_t mirror_sector_size[CONFIG_MIRROR_MAX]; /* enum config_sector_size */
		uint64_t remirror_rate; /* bytes per second while the guest uses the disk; 0: no limit */
		uint64_t verify_rate;	/* likewise, always */
	} disk;
	struct {
		uint64_t memory_size; /* bytes, a multiple of 2 MiB */
		uint32_t autostart;   /* 1: start the guest without being told */
		uint32_t start;	      /* enum config_start */
		char kernel[CONFIG_FILE_NAME_SIZE];
		char initrd[CONFIG_FILE_NAME_SIZE]; /* "": none */
		char command_line[CONFIG_COMMAND_LINE_SIZE];
		uint8_t mac[CONFIG_MAC_SIZE]; /* of its first port; the others count up from it */
		uint64_t watchdog_ns;	      /* 0: no watchdog device */
		uint32_t failure_policy; /* enum config_failure_policy: after a triple fault or a watchdog's
					    bite */
	} guest;
	struct {
		uint32_t mode;		     /* enum config_pair_mode */
		uint64_t start_wait_ns;	     /* UINT64_MAX: for ever */
		uint64_t failure_timeout_ns; /* upper limit of the adaptive time-out */
		uint64_t ask_time_ns;	     /* how long other paths are asked before silence counts */
		uint8_t management_station[CONFIG_IPV4_SIZE]; /* 0.0.0.0: none */
		uint8_t public_station[CONFIG_IPV4_SIZE];
		uint32_t preferred;   /* enum config_preferred */
		uint32_t when_unsure; /* enum config_when_unsure */
	} pair;
	struct {
		uint32_t mode;	     /* enum config_record_mode */
		uint16_t port;	     /* first I/O port of the UART that carries the log */
		uint32_t trail;	     /* 1: a digest trail goes out as well */
		uint16_t trail_port; /* of the UART that carries it */
	} record;
	struct {
		uint32_t level; /* enum trace_level, of everything not in `categories` */
		struct config_trace_levels categories;
	} trace;

	/* For each row of the table: the line that set it, CONFIG_LINE_*. */
	uint32_t lines[CONFIG_KEY_MAX];
};

#define CONFIG_LINE_DEFAULT 0
#define CONFIG_LINE_OVERRIDE UINT32_MAX /* the boot loader's command line, or `set` */

#define CONFIG_NO_KEY UINT32_MAX

struct config_error {
	uint32_t line; /* 1.., or CONFIG_LINE_OVERRIDE */
	uint32_t key;  /* row whose value is wrong, or CONFIG_NO_KEY when the line names no known key */
	char text[CONFIG_ERROR_SIZE]; /* one line for a person, place first: "yoke.conf:3: memory: found ..."
				       */
};

struct config_errors {
	uint32_t count; /* in `list`; reading stops when it is full */
	struct config_error list[CONFIG_ERROR_MAX];
};

/*
 * Reads `file` (file_size bytes of yoke.conf; 0 for none) and then `command_line`
 * (without the kernel's own name). Returns 0, or -EINVAL with at least one error.
 * With errors, `config` holds the lines that are right and defaults for the rest:
 * enough for a console, never enough to start a guest.
 */
int config_parse(const char *file, size_t file_size, const char *command_line, size_t command_line_size,
		 struct config *config, struct config_errors *errors);

/*
 * The command `set`: reads `section.key=value` words into `config`, all or none.
 * `standing` are the errors that config_parse() left; those about a key that is
 * now set are taken out of it. Returns 0, or -EINVAL with `errors` filled and the
 * other two as they were.
 */
int config_set(const char *words, size_t size, struct config *config, struct config_errors *standing,
	       struct config_errors *errors);

/* The command `config accept`: takes the errors that name no known key out of `standing`. */
void config_accept(struct config_errors *standing);

/* Where `value`, a member of `config` that a key sets, comes from: "yoke.conf:7: cs1". */
void config_place_format(const struct config *config, const void *value, char place[CONFIG_PLACE_SIZE]);

/* Adds one error; for those who check the configuration against the machine, such as roles.c. */
void config_error_add(struct config_errors *errors, const struct config *config, const void *value,
		      const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Adds the whole configuration as a yoke.conf that gives the same again, each
 * line with what set it as a comment.
 */
void config_write(const struct config *config, struct text *text);

/* The names of row `index` of the table, for documentation and its test; false behind the last row. */
bool config_key_at(uint32_t index, const char **section, const char **name, const char **default_text);

/* "00:03.0", "52:54:00:12:34:56". */
void config_pci_path_add(struct text *text, const struct config_pci_path *path);
void config_mac_add(struct text *text, const uint8_t mac[CONFIG_MAC_SIZE]);

/* Is `address` one that was given, not `none`? */
static inline bool config_ipv4_is_given(const uint8_t address[CONFIG_IPV4_SIZE])
{
	return (address[0] | address[1] | address[2] | address[3]) != 0;
}

#endif
