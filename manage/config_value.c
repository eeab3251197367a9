/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of value in yoke.conf. For each kind three functions stand together:
 * parse, allowed, format. Values arrive without their blanks, quotes and comment,
 * in printable ASCII.
 */
#include "manage/config_value.h"

#include <string.h>

#include "manage/unit.h"

static bool word_is(const char *at, size_t size, const char *word)
{
	return strlen(word) == size && memcmp(at, word, size) == 0;
}

/* The index of [at, at + size) in `choices`, or -1. */
static int choice_find(const char *const *choices, const char *at, size_t size)
{
	for (int i = 0; choices[i] != NULL; i++)
		if (word_is(at, size, choices[i]))
			return i;
	return -1;
}

static void choices_add(struct text *text, const char *const *choices)
{
	for (int i = 0; choices[i] != NULL; i++)
		text_add(text, "%s%s", i > 0 ? " | " : "", choices[i]);
}

static bool choice_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	int index = choice_find(key->choices, at, size);

	if (index < 0)
		return false;
	*(uint32_t *)value = (uint32_t)index;
	return true;
}

static void choice_allowed(const struct config_key *key, struct text *text)
{
	choices_add(text, key->choices);
}

static void choice_format(const struct config_key *key, const void *value, struct text *text)
{
	text_add(text, "%s", key->choices[*(const uint32_t *)value]);
}

static bool quantity_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	uint64_t quantity;
	bool read;

	if (key->word != NULL && word_is(at, size, key->word)) {
		*(uint64_t *)value = key->word_value;
		return true;
	}
	/* A bare number of bytes is a size; a bare number is no time: it might mean seconds or milliseconds.
	 */
	if (key->kind == CONFIG_SIZE)
		read = unit_parse(at, size, size_units, size_unit_count, true, &quantity);
	else
		read = unit_parse(at, size, duration_units, duration_unit_count, false, &quantity);
	if (!read || quantity < key->minimum || quantity > key->maximum)
		return false;
	if (key->multiple != 0 && quantity % key->multiple != 0)
		return false;
	*(uint64_t *)value = quantity;
	return true;
}

static void quantity_add(const struct config_key *key, uint64_t quantity, struct text *text)
{
	if (key->kind == CONFIG_SIZE)
		text_add_size(text, quantity);
	else
		text_add_duration(text, quantity);
}

static void quantity_allowed(const struct config_key *key, struct text *text)
{
	text_add(text, "%s, ", key->kind == CONFIG_SIZE ? "a size such as 256M" : "a time such as 100ms");
	quantity_add(key, key->minimum, text);
	text_add(text, " to ");
	quantity_add(key, key->maximum, text);
	if (key->multiple > 1) {
		text_add(text, ", a multiple of ");
		quantity_add(key, key->multiple, text);
	}
	if (key->word != NULL)
		text_add(text, "; or %s", key->word);
}

static void quantity_format(const struct config_key *key, const void *value, struct text *text)
{
	uint64_t quantity = *(const uint64_t *)value;

	if (key->word != NULL && quantity == key->word_value)
		text_add(text, "%s", key->word);
	else
		quantity_add(key, quantity, text);
}

/* The 16550's divisor works on 115200: other rates cannot be made. */
#define BAUD_BASE 115200
#define BAUD_MINIMUM 300

static bool baud_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	uint64_t rate;

	(void)key;
	if (!unit_parse(at, size, NULL, 0, true, &rate))
		return false;
	if (rate < BAUD_MINIMUM || BAUD_BASE % rate != 0)
		return false;
	*(uint32_t *)value = (uint32_t)rate;
	return true;
}

static void baud_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "%d or a whole fraction of it, such as 57600 38400 19200 9600, %d at least", BAUD_BASE,
		 BAUD_MINIMUM);
}

static void baud_format(const struct config_key *key, const void *value, struct text *text)
{
	(void)key;
	text_add(text, "%u", *(const uint32_t *)value);
}

static const char *const com_names[] = { "com1", "com2", "com3", "com4", NULL };
static const uint16_t com_ports[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };

/* Below are the chips every PC has, above only half of a UART would fit. */
#define IO_PORT_MINIMUM 0x200
#define IO_PORT_MAXIMUM 0xfff8

static int hex_digit(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	if (character >= 'A' && character <= 'F')
		return character - 'A' + 10;
	return -1;
}

/* Exactly `digits` hexadecimal digits at `at`; the caller knows that so many are there. */
static bool hex_parse(const char *at, size_t digits, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return false;
		*value = *value << 4 | (uint32_t)digit;
	}
	return digits > 0;
}

static bool io_port_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	int com = choice_find(com_names, at, size);
	uint32_t port;

	(void)key;
	if (com >= 0) {
		*(uint16_t *)value = com_ports[com];
		return true;
	}
	if (size < 3 || size > 6 || memcmp(at, "0x", 2) != 0 || !hex_parse(at + 2, size - 2, &port))
		return false;
	if (port < IO_PORT_MINIMUM || port > IO_PORT_MAXIMUM || port % 8 != 0)
		return false;
	*(uint16_t *)value = (uint16_t)port;
	return true;
}

static void io_port_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	choices_add(text, com_names);
	text_add(text, " or an I/O port such as 0x3f8, 0x%x to 0x%x, a multiple of 8", IO_PORT_MINIMUM,
		 IO_PORT_MAXIMUM);
}

static void io_port_format(const struct config_key *key, const void *value, struct text *text)
{
	uint16_t port = *(const uint16_t *)value;

	(void)key;
	for (uint32_t i = 0; i < ARRAY_SIZE(com_ports); i++) {
		if (com_ports[i] == port) {
			text_add(text, "%s", com_names[i]);
			return;
		}
	}
	text_add(text, "0x%x", port);
}

/* Without the ones that a terminal's own keys send: backspace, tab, newline, return, escape. */
#define CONTROL_CHARACTERS "abcdefgklnopqrstuvwxyz\\]^_"

static bool control_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	(void)key;
	if (size != 6 || memcmp(at, "ctrl-", 5) != 0 || strchr(CONTROL_CHARACTERS, at[5]) == NULL)
		return false;
	*(uint8_t *)value = (uint8_t)(at[5] & 0x1f);
	return true;
}

static void control_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "ctrl- and one of %s", CONTROL_CHARACTERS);
}

static void control_format(const struct config_key *key, const void *value, struct text *text)
{
	uint8_t byte = *(const uint8_t *)value;

	(void)key;
	text_add(text, "ctrl-%c", byte <= 26 ? byte + 0x60 : byte + 0x40);
}

static bool text_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	if (size > key->maximum)
		return false;
	if (key->kind == CONFIG_FILE && (memchr(at, '/', size) || memchr(at, '\\', size)))
		return false;
	memset(value, 0, key->maximum + 1);
	memcpy(value, at, size);
	return true;
}

static void text_allowed(const struct config_key *key, struct text *text)
{
	text_add(text, "%s, 1 to %lu characters",
		 key->kind == CONFIG_FILE ? "the name of a file beside " CONFIG_FILE_NAME ", without folder"
					  : "text",
		 key->maximum);
}

/* Quoted whenever that is possible: what holds a quote was read without quotes, and needs none. */
static void text_format(const struct config_key *key, const void *value, struct text *text)
{
	const char *string = value;

	(void)key;
	text_add(text, strchr(string, '"') ? "%s" : "\"%s\"", string);
}

/* "00:03.0", bus, device and function. */
#define PCI_PATH_SIZE 7

static bool pci_path_parse(const char *at, size_t size, struct config_pci_path *path)
{
	uint32_t bus;
	uint32_t device;
	uint32_t function;

	if (size != PCI_PATH_SIZE || at[2] != ':' || at[5] != '.')
		return false;
	if (!hex_parse(at, 2, &bus) || !hex_parse(at + 3, 2, &device) || !hex_parse(at + 6, 1, &function))
		return false;
	if (device > 31 || function > 7)
		return false;
	*path = (struct config_pci_path){ (uint8_t)bus, (uint8_t)device, (uint8_t)function };
	return true;
}

void config_pci_path_add(struct text *text, const struct config_pci_path *path)
{
	text_add(text, "%02x:%02x.%x", path->bus, path->device, path->function);
}

#define MAC_TEXT_SIZE 17

static bool mac_parse(const char *at, size_t size, uint8_t mac[CONFIG_MAC_SIZE])
{
	if (size != MAC_TEXT_SIZE)
		return false;
	for (uint32_t i = 0; i < CONFIG_MAC_SIZE; i++) {
		uint32_t byte;

		if (!hex_parse(at + 3 * (size_t)i, 2, &byte) || (i > 0 && at[3 * (size_t)i - 1] != ':'))
			return false;
		mac[i] = (uint8_t)byte;
	}
	return true;
}

void config_mac_add(struct text *text, const uint8_t mac[CONFIG_MAC_SIZE])
{
	for (uint32_t i = 0; i < CONFIG_MAC_SIZE; i++)
		text_add(text, "%s%02x", i > 0 ? ":" : "", mac[i]);
}

static bool station_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	uint8_t mac[CONFIG_MAC_SIZE];

	(void)key;
	if (!mac_parse(at, size, mac) || (mac[0] & 1)) /* a group address is nobody's own */
		return false;
	memcpy(value, mac, sizeof(mac));
	return true;
}

static void station_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "a MAC address of one station, such as 02:59:4f:4b:45:10");
}

static void station_format(const struct config_key *key, const void *value, struct text *text)
{
	(void)key;
	config_mac_add(text, value);
}

/* Digits of one byte at *at, without leading zeros; moves *at behind them. */
static bool octet_parse(const char **at, const char *end, uint8_t *octet)
{
	const char *first = *at;
	uint32_t value = 0;

	for (; *at < end && **at >= '0' && **at <= '9' && *at < first + 3; (*at)++)
		value = value * 10 + (uint32_t)(**at - '0');
	if (*at == first || value > 255 || (*first == '0' && *at > first + 1))
		return false;
	*octet = (uint8_t)value;
	return true;
}

#define IPV4_GROUP_FIRST 224 /* from here on: groups, reserved, broadcast */

static bool ipv4_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	uint8_t address[CONFIG_IPV4_SIZE] = { 0 };
	const char *end = at + size;

	(void)key;
	if (word_is(at, size, "none")) {
		memcpy(value, address, sizeof(address));
		return true;
	}
	for (uint32_t i = 0; i < CONFIG_IPV4_SIZE; i++) {
		if (i > 0 && (at == end || *at++ != '.'))
			return false;
		if (!octet_parse(&at, end, &address[i]))
			return false;
	}
	if (at != end || address[0] == 0 || address[0] >= IPV4_GROUP_FIRST)
		return false;
	memcpy(value, address, sizeof(address));
	return true;
}

static void ipv4_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "an IPv4 address of one host, such as 192.168.1.1, or none");
}

static void ipv4_format(const struct config_key *key, const void *value, struct text *text)
{
	const uint8_t *address = value;

	(void)key;
	if (!config_ipv4_is_given(address))
		text_add(text, "none");
	else
		text_add(text, "%u.%u.%u.%u", address[0], address[1], address[2], address[3]);
}

static bool port_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	struct config_port_name name = { .kind = CONFIG_NAME_NONE };

	(void)key;
	if (pci_path_parse(at, size, &name.pci))
		name.kind = CONFIG_NAME_PCI;
	else if (mac_parse(at, size, name.mac))
		name.kind = CONFIG_NAME_MAC;
	else if (!word_is(at, size, "none"))
		return false;
	memcpy(value, &name, sizeof(name));
	return true;
}

static void port_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "a PCI path such as 00:03.0, a MAC address such as 52:54:00:12:34:56, or none");
}

static void port_format(const struct config_key *key, const void *value, struct text *text)
{
	const struct config_port_name *name = value;

	(void)key;
	if (name->kind == CONFIG_NAME_NONE)
		text_add(text, "none");
	else if (name->kind == CONFIG_NAME_PCI)
		config_pci_path_add(text, &name->pci);
	else if (name->kind == CONFIG_NAME_MAC)
		config_mac_add(text, name->mac);
}

#define SERIAL_PREFIX "serial:"
#define SERIAL_PREFIX_SIZE (sizeof(SERIAL_PREFIX) - 1)

/* "00:05.0" or, with several disks behind one controller, "00:05.0/1". */
static bool disk_path_parse(const char *at, size_t size, struct config_disk_name *name)
{
	uint64_t unit;

	if (size <= PCI_PATH_SIZE)
		return pci_path_parse(at, size, &name->pci);
	if (!pci_path_parse(at, PCI_PATH_SIZE, &name->pci) || at[PCI_PATH_SIZE] != '/')
		return false;
	at += PCI_PATH_SIZE + 1;
	size -= PCI_PATH_SIZE + 1;
	if (!unit_parse(at, size, NULL, 0, true, &unit) || unit >= UINT32_MAX)
		return false;
	name->has_unit = true;
	name->unit = (uint32_t)unit;
	return true;
}

static bool disk_serial_parse(const char *at, size_t size, struct config_disk_name *name)
{
	if (size <= SERIAL_PREFIX_SIZE || memcmp(at, SERIAL_PREFIX, SERIAL_PREFIX_SIZE) != 0)
		return false;
	size -= SERIAL_PREFIX_SIZE;
	if (size >= CONFIG_SERIAL_SIZE)
		return false;
	memcpy(name->serial, at + SERIAL_PREFIX_SIZE, size);
	return true;
}

static bool disk_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	struct config_disk_name name;

	(void)key;
	memset(&name, 0, sizeof(name));
	name.kind = CONFIG_NAME_NONE;
	if (disk_serial_parse(at, size, &name))
		name.kind = CONFIG_NAME_SERIAL;
	else if (disk_path_parse(at, size, &name))
		name.kind = CONFIG_NAME_PCI;
	else if (!word_is(at, size, "none"))
		return false;
	memcpy(value, &name, sizeof(name));
	return true;
}

static void disk_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "a PCI path such as 00:04.0, one with the disk's unit such as 00:1f.2/1, "
		       "serial:TEXT, or none");
}

static void disk_format(const struct config_key *key, const void *value, struct text *text)
{
	const struct config_disk_name *name = value;

	(void)key;
	if (name->kind == CONFIG_NAME_NONE) {
		text_add(text, "none");
	} else if (name->kind == CONFIG_NAME_SERIAL) {
		text_add(text, strchr(name->serial, '"') ? SERIAL_PREFIX "%s" : "\"" SERIAL_PREFIX "%s\"",
			 name->serial);
	} else if (name->kind == CONFIG_NAME_PCI) {
		config_pci_path_add(text, &name->pci);
		if (name->has_unit)
			text_add(text, "/%u", name->unit);
	}
}

const char *const config_trace_level_names[] = { "error", "warning", "info", "debug", NULL };

/* Of a category, or of one file's name: "net", "svm.c". */
static bool category_character(char character)
{
	return (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9') ||
	       character == '_' || character == '.';
}

/* One "category:level" into the next free entry of `levels`. */
static bool level_parse(const char *at, size_t size, struct config_trace_levels *levels)
{
	struct config_trace_level *level = &levels->list[levels->count];
	size_t name_size = 0;
	int index;

	if (levels->count == CONFIG_TRACE_MAX)
		return false;
	while (name_size < size && category_character(at[name_size]))
		name_size++;
	if (name_size == 0 || name_size >= CONFIG_TRACE_NAME_SIZE || name_size == size ||
	    at[name_size] != ':')
		return false;
	index = choice_find(config_trace_level_names, at + name_size + 1, size - name_size - 1);
	if (index < 0)
		return false;
	memcpy(level->category, at, name_size);
	level->level = (uint32_t)index;
	for (uint32_t i = 0; i < levels->count; i++)
		if (strcmp(levels->list[i].category, level->category) == 0)
			return false;
	levels->count++;
	return true;
}

static bool levels_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	struct config_trace_levels levels;
	size_t word_size;

	(void)key;
	memset(&levels, 0, sizeof(levels));
	for (; size > 0; at += word_size, size -= word_size) {
		for (word_size = 0; word_size < size && at[word_size] == ' '; word_size++)
			;
		at += word_size;
		size -= word_size;
		for (word_size = 0; word_size < size && at[word_size] != ' '; word_size++)
			;
		if (word_size > 0 && !level_parse(at, word_size, &levels))
			return false;
	}
	memcpy(value, &levels, sizeof(levels));
	return true;
}

static void levels_allowed(const struct config_key *key, struct text *text)
{
	(void)key;
	text_add(text, "up to %d words such as net:debug, each category once; levels are ", CONFIG_TRACE_MAX);
	choices_add(text, config_trace_level_names);
}

static void levels_format(const struct config_key *key, const void *value, struct text *text)
{
	const struct config_trace_levels *levels = value;

	(void)key;
	if (levels->count == 0)
		text_add(text, "\"\"");
	for (uint32_t i = 0; i < levels->count; i++)
		text_add(text, "%s%s:%s", i > 0 ? " " : "", levels->list[i].category,
			 config_trace_level_names[levels->list[i].level]);
}

struct config_kind_ops {
	bool (*parse)(const struct config_key *key, const char *at, size_t size, void *value);
	void (*allowed)(const struct config_key *key, struct text *text);
	void (*format)(const struct config_key *key, const void *value, struct text *text);
};

static const struct config_kind_ops kinds[CONFIG_KIND_COUNT] = {
	[CONFIG_CHOICE] = { choice_parse, choice_allowed, choice_format },
	[CONFIG_SIZE] = { quantity_parse, quantity_allowed, quantity_format },
	[CONFIG_DURATION] = { quantity_parse, quantity_allowed, quantity_format },
	[CONFIG_BAUD] = { baud_parse, baud_allowed, baud_format },
	[CONFIG_IO_PORT] = { io_port_parse, io_port_allowed, io_port_format },
	[CONFIG_CONTROL] = { control_parse, control_allowed, control_format },
	[CONFIG_TEXT] = { text_parse, text_allowed, text_format },
	[CONFIG_FILE] = { text_parse, text_allowed, text_format },
	[CONFIG_MAC] = { station_parse, station_allowed, station_format },
	[CONFIG_IPV4] = { ipv4_parse, ipv4_allowed, ipv4_format },
	[CONFIG_PORT] = { port_parse, port_allowed, port_format },
	[CONFIG_DISK] = { disk_parse, disk_allowed, disk_format },
	[CONFIG_LEVELS] = { levels_parse, levels_allowed, levels_format },
};

bool config_value_parse(const struct config_key *key, const char *at, size_t size, void *value)
{
	return kinds[key->kind].parse(key, at, size, value);
}

void config_value_allowed(const struct config_key *key, struct text *text)
{
	kinds[key->kind].allowed(key, text);
}

void config_value_format(const struct config_key *key, const void *value, struct text *text)
{
	kinds[key->kind].format(key, value, text);
}
