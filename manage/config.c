/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads yoke.conf: the table of keys, then lines, then single values (those in
 * config_value.c). An error does not end the reading: the list tells a person
 * all that is wrong at once, up to CONFIG_ERROR_MAX.
 */
#include "manage/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "manage/config_value.h"
#include "manage/nearest.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)

static const char *const server_names[] = { "a", "b", NULL };
static const char *const attach_names[] = { "guest", "server", NULL };
static const char *const no_yes[] = { "no", "yes", NULL };
static const char *const start_names[] = { "disk", "direct", NULL };
static const char *const failure_names[] = { "restart", "stop", NULL };
static const char *const pair_mode_names[] = { "duplex", "single", NULL };
static const char *const sector_names[] = { "disk", "4096", NULL };
static const char *const preferred_names[] = { "a", "b", "none", NULL };
static const char *const unsure_names[] = { "stop", "continue", NULL };
static const char *const record_names[] = { "off", "record", "replay", NULL };

/* One row a key, whatever its width. Keys of a section stand together. */
/* clang-format off */
#define AT(member) offsetof(struct config, member)
#define NETWORK_KEY(name_, role_) \
	{ "network", name_, CONFIG_PORT, AT(network.ports[role_]), .default_text = NULL }
#define DISK_KEY(name_, role_) \
	{ "disk", name_, CONFIG_DISK, AT(disk.disks[role_]), .default_text = NULL }
#define MIRROR_SIZE_KEY(name_, index_) \
	{ "disk", name_, CONFIG_SIZE, AT(disk.mirror_size[index_]), .default_text = "all", \
	  .minimum = MIB, .maximum = GIB * 1024 * 1024, .multiple = 4 * KIB, .word = "all", .word_value = 0 }
#define MIRROR_SECTOR_KEY(name_, index_) \
	{ "disk", name_, CONFIG_CHOICE, AT(disk.mirror_sector_size[index_]), .default_text = "disk", \
	  .choices = sector_names }

static const struct config_key keys[] = {
	{ "server", "name", CONFIG_CHOICE, AT(server.name), .default_text = "a", .choices = server_names },

	{ "console", "port", CONFIG_IO_PORT, AT(console.port), .default_text = "com1" },
	{ "console", "rate", CONFIG_BAUD, AT(console.rate_baud), .default_text = "115200" },
	{ "console", "escape", CONFIG_CONTROL, AT(console.escape), .default_text = "ctrl-]" },
	{ "console", "attach", CONFIG_CHOICE, AT(console.attach), .default_text = "guest", .choices = attach_names },

	NETWORK_KEY("cs1", NETWORK_CS1),
	NETWORK_KEY("cs2", NETWORK_CS2),
	NETWORK_KEY("management", NETWORK_MANAGEMENT),
	NETWORK_KEY("public1", NETWORK_PUBLIC1),
	NETWORK_KEY("public2", NETWORK_PUBLIC1 + 1),
	NETWORK_KEY("public3", NETWORK_PUBLIC1 + 2),
	NETWORK_KEY("public4", NETWORK_PUBLIC1 + 3),

	DISK_KEY("boot", DISK_BOOT),
	DISK_KEY("mirror1", DISK_MIRROR1),
	DISK_KEY("mirror2", DISK_MIRROR1 + 1),
	DISK_KEY("mirror3", DISK_MIRROR1 + 2),
	DISK_KEY("mirror4", DISK_MIRROR1 + 3),
	DISK_KEY("mirror5", DISK_MIRROR1 + 4),
	DISK_KEY("mirror6", DISK_MIRROR1 + 5),
	DISK_KEY("mirror7", DISK_MIRROR1 + 6),
	DISK_KEY("mirror8", DISK_MIRROR1 + 7),
	MIRROR_SIZE_KEY("mirror1_size", 0),
	MIRROR_SIZE_KEY("mirror2_size", 1),
	MIRROR_SIZE_KEY("mirror3_size", 2),
	MIRROR_SIZE_KEY("mirror4_size", 3),
	MIRROR_SIZE_KEY("mirror5_size", 4),
	MIRROR_SIZE_KEY("mirror6_size", 5),
	MIRROR_SIZE_KEY("mirror7_size", 6),
	MIRROR_SIZE_KEY("mirror8_size", 7),
	MIRROR_SECTOR_KEY("mirror1_sector_size", 0),
	MIRROR_SECTOR_KEY("mirror2_sector_size", 1),
	MIRROR_SECTOR_KEY("mirror3_sector_size", 2),
	MIRROR_SECTOR_KEY("mirror4_sector_size", 3),
	MIRROR_SECTOR_KEY("mirror5_sector_size", 4),
	MIRROR_SECTOR_KEY("mirror6_sector_size", 5),
	MIRROR_SECTOR_KEY("mirror7_sector_size", 6),
	MIRROR_SECTOR_KEY("mirror8_sector_size", 7),
	{ "disk", "remirror_rate", CONFIG_SIZE, AT(disk.remirror_rate), .default_text = "16M",
	  .minimum = MIB, .maximum = GIB * 1024, .multiple = 64 * KIB, .word = "unlimited", .word_value = 0 },
	{ "disk", "verify_rate", CONFIG_SIZE, AT(disk.verify_rate), .default_text = "10M",
	  .minimum = MIB, .maximum = GIB * 1024, .multiple = 64 * KIB },

	{ "guest", "memory", CONFIG_SIZE, AT(guest.memory_size), .default_text = "512M",
	  .minimum = 16 * MIB, .maximum = GIB * 1024, .multiple = 2 * MIB },
	{ "guest", "autostart", CONFIG_CHOICE, AT(guest.autostart), .default_text = "yes", .choices = no_yes },
	{ "guest", "start", CONFIG_CHOICE, AT(guest.start), .default_text = "disk", .choices = start_names },
	{ "guest", "kernel", CONFIG_FILE, AT(guest.kernel), .maximum = CONFIG_FILE_NAME_SIZE - 1 },
	{ "guest", "initrd", CONFIG_FILE, AT(guest.initrd), .maximum = CONFIG_FILE_NAME_SIZE - 1 },
	{ "guest", "command_line", CONFIG_TEXT, AT(guest.command_line), .maximum = CONFIG_COMMAND_LINE_SIZE - 1 },
	{ "guest", "mac", CONFIG_MAC, AT(guest.mac), .default_text = "02:59:4f:4b:45:10" },
	{ "guest", "watchdog", CONFIG_DURATION, AT(guest.watchdog_ns), .default_text = "off",
	  .minimum = SECOND, .maximum = MINUTE * 60, .word = "off", .word_value = 0 },
	{ "guest", "failure_policy", CONFIG_CHOICE, AT(guest.failure_policy), .default_text = "restart", .choices = failure_names },

	{ "pair", "mode", CONFIG_CHOICE, AT(pair.mode), .default_text = "duplex", .choices = pair_mode_names },
	{ "pair", "start_wait", CONFIG_DURATION, AT(pair.start_wait_ns), .default_text = "1min",
	  .minimum = 0, .maximum = MINUTE * 60 * 24, .word = "forever", .word_value = UINT64_MAX },
	{ "pair", "failure_timeout", CONFIG_DURATION, AT(pair.failure_timeout_ns), .default_text = "1s",
	  .minimum = 20 * MS, .maximum = MINUTE },
	{ "pair", "ask_time", CONFIG_DURATION, AT(pair.ask_time_ns), .default_text = "50ms",
	  .minimum = 5 * MS, .maximum = 10 * SECOND },
	{ "pair", "management_station", CONFIG_IPV4, AT(pair.management_station), .default_text = "none" },
	{ "pair", "public_station", CONFIG_IPV4, AT(pair.public_station), .default_text = "none" },
	{ "pair", "preferred", CONFIG_CHOICE, AT(pair.preferred), .default_text = "a", .choices = preferred_names },
	{ "pair", "when_unsure", CONFIG_CHOICE, AT(pair.when_unsure), .default_text = "stop", .choices = unsure_names },

	{ "record", "mode", CONFIG_CHOICE, AT(record.mode), .default_text = "off", .choices = record_names },
	{ "record", "port", CONFIG_IO_PORT, AT(record.port), .default_text = "com2" },
	{ "record", "trail", CONFIG_CHOICE, AT(record.trail), .default_text = "no", .choices = no_yes },
	{ "record", "trail_port", CONFIG_IO_PORT, AT(record.trail_port), .default_text = "com3" },

	{ "trace", "level", CONFIG_CHOICE, AT(trace.level), .default_text = "info", .choices = config_trace_level_names },
	{ "trace", "categories", CONFIG_LEVELS, AT(trace.categories), .default_text = NULL },
};
/* clang-format on */

#define KEY_COUNT ((uint32_t)ARRAY_SIZE(keys))

BUILD_ASSERT(ARRAY_SIZE(keys) <= CONFIG_KEY_MAX);
BUILD_ASSERT(NETWORK_ROLE_COUNT == 7 && DISK_ROLE_COUNT == 9); /* a row each above */

/* Errors of this row are about several keys together: config_check() finds them anew each time. */
#define KEY_TOGETHER (CONFIG_NO_KEY - 1)

#define SECTION_NONE NULL		  /* no [section] line yet */
static const char section_refused[] = ""; /* inside an unknown one: its keys are passed over */

/* Part of a line. */
struct span {
	const char *at;
	size_t size;
};

struct reader {
	struct config *config;
	struct config_errors *errors;
	bool options_pass;			/* the hypervisor\'s own options stand among the words */
	const char *source;			/* "yoke.conf", "command line", "set" */
	uint32_t line;				/* or CONFIG_LINE_OVERRIDE */
	const char *section;			/* of the table, or SECTION_NONE, section_refused */
	uint32_t key_lines[CONFIG_KEY_MAX];	/* where this source gave the key first; 0: nowhere */
	uint32_t section_lines[CONFIG_KEY_MAX]; /* likewise, at the row of the section's first key */
};

static void error_add(struct reader *reader, uint32_t key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One error at the reader's place; silently nothing when the list is full. */
static void error_add(struct reader *reader, uint32_t key, const char *format, ...)
{
	struct config_errors *errors = reader->errors;
	struct config_error *error;
	char message[CONFIG_ERROR_SIZE];
	va_list arguments;
	struct text text;

	if (errors->count == CONFIG_ERROR_MAX)
		return;
	error = &errors->list[errors->count++];
	error->line = reader->line;
	error->key = key;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	text_init(&text, error->text, sizeof(error->text));
	text_add(&text, "%s", reader->source);
	if (reader->line != CONFIG_LINE_OVERRIDE)
		text_add(&text, ":%u", reader->line);
	text_add(&text, ": %s", message);
}

/* Takes the errors about row `key` out of the list. */
static void errors_forget(struct config_errors *errors, uint32_t key)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < errors->count; i++)
		if (errors->list[i].key != key)
			errors->list[kept++] = errors->list[i];
	errors->count = kept;
}

#define FOUND_SIZE 48

/* Quotes what was found, shortened to what fits a message; `?` stands for what no console should get. */
static const char *found_format(struct span found, char buffer[FOUND_SIZE])
{
	bool shortened = found.size > FOUND_SIZE - 3;
	struct text text;

	text_init(&text, buffer, FOUND_SIZE);
	if (found.size == 0) {
		text_add(&text, "nothing");
		return buffer;
	}
	text_add(&text, "\"");
	for (size_t i = 0; i < (shortened ? FOUND_SIZE - 6 : found.size); i++)
		text_add_bytes(&text, found.at[i] >= 0x20 && found.at[i] <= 0x7e ? &found.at[i] : "?", 1);
	text_add(&text, shortened ? "...\"" : "\"");
	return buffer;
}

static bool is_blank(char character)
{
	return character == ' ' || character == '\t';
}

static struct span span_trim(struct span span)
{
	for (; span.size > 0 && is_blank(span.at[0]); span.at++, span.size--)
		;
	while (span.size > 0 && is_blank(span.at[span.size - 1]))
		span.size--;
	return span;
}

static bool span_is(struct span span, const char *word)
{
	return strlen(word) == span.size && memcmp(span.at, word, span.size) == 0;
}

/* Behind a value or a section: only blanks and a comment? */
static bool is_end_of_line(struct span rest)
{
	rest = span_trim(rest);
	return rest.size == 0 || rest.at[0] == '#';
}

/* The place of `wanted` in `span`, or its size. */
static size_t span_find(struct span span, char wanted)
{
	const char *found = span.size > 0 ? memchr(span.at, wanted, span.size) : NULL;

	return found ? (size_t)(found - span.at) : span.size;
}

static bool is_section_start(uint32_t key)
{
	return key == 0 || strcmp(keys[key - 1].section, keys[key].section) != 0;
}

/* The first row of section `name`, or CONFIG_NO_KEY. */
static uint32_t section_find(struct span name)
{
	for (uint32_t i = 0; i < KEY_COUNT; i++)
		if (is_section_start(i) && span_is(name, keys[i].section))
			return i;
	return CONFIG_NO_KEY;
}

static uint32_t key_find(const char *section, struct span name)
{
	for (uint32_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].section, section) == 0 && span_is(name, keys[i].name))
			return i;
	return CONFIG_NO_KEY;
}

/* The section that does have a key `name`, or NULL. */
static const char *section_of(struct span name)
{
	for (uint32_t i = 0; i < KEY_COUNT; i++)
		if (span_is(name, keys[i].name))
			return keys[i].section;
	return NULL;
}

static void section_unknown(struct reader *reader, struct span name)
{
	uint32_t least = UINT32_MAX;
	const char *nearest = NULL;
	char list[160];
	char found[FOUND_SIZE];
	struct text text;

	text_init(&text, list, sizeof(list));
	for (uint32_t i = 0; i < KEY_COUNT; i++) {
		uint32_t distance;

		if (!is_section_start(i))
			continue;
		text_add(&text, " [%s]", keys[i].section);
		distance = word_distance(name.at, name.size, keys[i].section);
		if (distance < least) {
			least = distance;
			nearest = keys[i].section;
		}
	}
	found_format(name, found);
	if (nearest && word_is_near(least, name.size))
		error_add(reader, CONFIG_NO_KEY, "unknown section %s; did you mean [%s]? Sections are%s",
			  found, nearest, list);
	else
		error_add(reader, CONFIG_NO_KEY, "unknown section %s; sections are%s", found, list);
}

static void key_unknown(struct reader *reader, const char *section, struct span name)
{
	uint32_t least = UINT32_MAX;
	const char *nearest = NULL;
	const char *home = section_of(name);
	char list[256];
	char found[FOUND_SIZE];
	struct text text;

	found_format(name, found);
	if (home) {
		error_add(reader, CONFIG_NO_KEY, "unknown key %s in [%s]; it belongs into [%s]", found,
			  section, home);
		return;
	}
	text_init(&text, list, sizeof(list));
	for (uint32_t i = 0; i < KEY_COUNT; i++) {
		uint32_t distance;

		if (strcmp(keys[i].section, section) != 0)
			continue;
		text_add(&text, " %s", keys[i].name);
		distance = word_distance(name.at, name.size, keys[i].name);
		if (distance < least) {
			least = distance;
			nearest = keys[i].name;
		}
	}
	if (nearest && word_is_near(least, name.size))
		error_add(reader, CONFIG_NO_KEY,
			  "unknown key %s in [%s]; did you mean \"%s\"? Its keys are%s", found, section,
			  nearest, list);
	else
		error_add(reader, CONFIG_NO_KEY, "unknown key %s in [%s]; its keys are%s", found, section,
			  list);
}

/* Sets row `key` from `value`, or adds the error. */
static void key_set(struct reader *reader, uint32_t key, struct span value, bool quoted)
{
	const struct config_key *row = &keys[key];
	char found[FOUND_SIZE];
	char allowed[160];
	struct text text;

	if (reader->key_lines[key] != 0) {
		if (reader->line == CONFIG_LINE_OVERRIDE)
			error_add(reader, key, "%s.%s twice", row->section, row->name);
		else
			error_add(reader, key, "key \"%s\" twice; first in line %u", row->name,
				  reader->key_lines[key]);
		return;
	}
	reader->key_lines[key] = reader->line;
	if ((value.size > 0 || quoted) &&
	    config_value_parse(row, value.at, value.size, (char *)reader->config + row->offset)) {
		reader->config->lines[key] = reader->line;
		return;
	}
	text_init(&text, allowed, sizeof(allowed));
	config_value_allowed(row, &text);
	error_add(reader, key, "%s: found %s; allowed: %s", row->name, found_format(value, found), allowed);
}

static void section_line(struct reader *reader, struct span line)
{
	struct span inside = { line.at + 1, line.size - 1 };
	size_t end = span_find(inside, ']');
	char found[FOUND_SIZE];
	uint32_t first;

	reader->section = section_refused;
	if (end == inside.size ||
	    !is_end_of_line((struct span){ inside.at + end + 1, inside.size - end - 1 })) {
		error_add(reader, CONFIG_NO_KEY, "found %s; allowed: [section] alone in its line",
			  found_format(line, found));
		return;
	}
	inside.size = end;
	inside = span_trim(inside);
	first = section_find(inside);
	if (first == CONFIG_NO_KEY) {
		section_unknown(reader, inside);
		return;
	}
	reader->section = keys[first].section;
	if (reader->section_lines[first] != 0)
		error_add(reader, CONFIG_NO_KEY, "section [%s] twice; first in line %u", reader->section,
			  reader->section_lines[first]);
	else
		reader->section_lines[first] = reader->line;
}

/*
 * Takes the value out of what stands behind `=`: up to a comment, which a `#` at
 * the start or behind a blank begins; or what is in quotes. False when the quotes
 * are not closed or something follows them.
 */
static bool value_take(struct span *value, bool *quoted)
{
	*value = span_trim(*value);
	*quoted = value->size > 0 && value->at[0] == '"';
	if (*quoted) {
		struct span inside = { value->at + 1, value->size - 1 };
		size_t end = span_find(inside, '"');

		if (end == inside.size ||
		    !is_end_of_line((struct span){ inside.at + end + 1, inside.size - end - 1 }))
			return false;
		*value = (struct span){ inside.at, end };
		return true;
	}
	for (size_t i = 0; i < value->size; i++) {
		if (value->at[i] == '#' && (i == 0 || is_blank(value->at[i - 1]))) {
			value->size = i;
			break;
		}
	}
	*value = span_trim(*value);
	return true;
}

/* Values and names are printable ASCII; other languages belong into comments. */
static bool is_printable(struct span span)
{
	for (size_t i = 0; i < span.size; i++)
		if (span.at[i] < 0x20 || span.at[i] > 0x7e)
			return false;
	return true;
}

static void key_line(struct reader *reader, struct span line)
{
	size_t equals = span_find(line, '=');
	struct span name = span_trim((struct span){ line.at, equals });
	char found[FOUND_SIZE];
	struct span value;
	uint32_t key;
	bool quoted;

	if (reader->section == section_refused)
		return;
	if (equals == line.size || name.size == 0 || !is_printable(name)) {
		error_add(reader, CONFIG_NO_KEY, "found %s; allowed: key = value, [section] or # comment",
			  found_format(line, found));
		return;
	}
	if (reader->section == SECTION_NONE) {
		const char *home = section_of(name);

		error_add(reader, CONFIG_NO_KEY, "key %s stands before any [section]%s%s%s",
			  found_format(name, found), home ? "; it belongs into [" : "", home ? home : "",
			  home ? "]" : "");
		return;
	}
	key = key_find(reader->section, name);
	if (key == CONFIG_NO_KEY) {
		key_unknown(reader, reader->section, name);
		return;
	}
	value = (struct span){ line.at + equals + 1, line.size - equals - 1 };
	if (!value_take(&value, &quoted))
		error_add(reader, key, "%s: a quoted value must end with a quote, then the line",
			  keys[key].name);
	else if (!is_printable(value))
		error_add(reader, key, "%s: tabs and characters beyond ASCII are allowed in comments only",
			  keys[key].name);
	else
		key_set(reader, key, value, quoted);
}

/* The column, from 1, of the first byte that no line may hold; 0 when there is none. */
static size_t control_find(struct span line)
{
	for (size_t i = 0; i < line.size; i++) {
		unsigned char byte = (unsigned char)line.at[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
			return i + 1;
	}
	return 0;
}

static void line_read(struct reader *reader, struct span line)
{
	size_t column;

	if (line.size > 0 && line.at[line.size - 1] == '\r')
		line.size--;
	if (line.size > CONFIG_LINE_SIZE_MAX) {
		error_add(reader, CONFIG_NO_KEY, "a line of %zu bytes; allowed: %d", line.size,
			  CONFIG_LINE_SIZE_MAX);
		return;
	}
	column = control_find(line);
	if (column != 0) {
		error_add(reader, CONFIG_NO_KEY, "found byte 0x%02x in column %zu; allowed: text",
			  (unsigned char)line.at[column - 1], column);
		return;
	}
	line = span_trim(line);
	if (line.size == 0 || line.at[0] == '#')
		return;
	if (line.at[0] == '[')
		section_line(reader, line);
	else
		key_line(reader, line);
}

static void file_read(struct reader *reader, struct span file)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf"; /* some editors begin UTF-8 with it */

	if (file.size > CONFIG_FILE_SIZE_MAX) {
		reader->line = 1;
		error_add(reader, CONFIG_NO_KEY, "a file of %zu bytes; allowed: %u", file.size,
			  (unsigned int)CONFIG_FILE_SIZE_MAX);
		return;
	}
	if (file.size >= 3 && memcmp(file.at, byte_order_mark, 3) == 0)
		file = (struct span){ file.at + 3, file.size - 3 };
	while (file.size > 0 && reader->errors->count < CONFIG_ERROR_MAX) {
		size_t end = span_find(file, '\n');
		size_t used = end < file.size ? end + 1 : end;

		reader->line++;
		line_read(reader, (struct span){ file.at, end });
		file = (struct span){ file.at + used, file.size - used };
	}
}

/* One word "section.key=value", its value still quoted if it was. */
static void word_read(struct reader *reader, struct span word)
{
	size_t equals = span_find(word, '=');
	size_t dot = span_find((struct span){ word.at, equals }, '.');
	struct span value;
	char found[FOUND_SIZE];
	uint32_t first;
	uint32_t key;
	bool quoted;

	if (!is_printable(word)) {
		error_add(reader, CONFIG_NO_KEY,
			  "characters beyond printable ASCII; allowed: section.key=value");
		return;
	}
	if (dot == equals && reader->options_pass && !section_of((struct span){ word.at, equals }))
		return;
	if (equals == word.size || dot == equals) {
		error_add(reader, CONFIG_NO_KEY, "found %s; allowed: section.key=value",
			  found_format(word, found));
		return;
	}
	first = section_find((struct span){ word.at, dot });
	if (first == CONFIG_NO_KEY) {
		section_unknown(reader, (struct span){ word.at, dot });
		return;
	}
	key = key_find(keys[first].section, (struct span){ word.at + dot + 1, equals - dot - 1 });
	if (key == CONFIG_NO_KEY) {
		key_unknown(reader, keys[first].section,
			    (struct span){ word.at + dot + 1, equals - dot - 1 });
		return;
	}
	value = (struct span){ word.at + equals + 1, word.size - equals - 1 };
	if (value_take(&value, &quoted))
		key_set(reader, key, value, quoted);
	else
		error_add(reader, key, "%s.%s: a quoted value must end with a quote, then a blank",
			  keys[key].section, keys[key].name);
}

/* How much of `words` is its first word: up to a blank outside quotes. */
static size_t word_size(struct span words)
{
	bool quoted = false;
	size_t size;

	for (size = 0; size < words.size; size++) {
		if (words.at[size] == '"')
			quoted = !quoted;
		else if (is_blank(words.at[size]) && !quoted)
			break;
	}
	return size;
}

static void words_read(struct reader *reader, struct span words)
{
	reader->line = CONFIG_LINE_OVERRIDE;
	for (words = span_trim(words); words.size > 0; words = span_trim(words)) {
		size_t size = word_size(words);

		if (reader->errors->count == CONFIG_ERROR_MAX)
			return;
		word_read(reader, (struct span){ words.at, size });
		words = (struct span){ words.at + size, words.size - size };
	}
}

/* The row that sets the member of `config` at `value`. */
static uint32_t key_of(const struct config *config, const void *value)
{
	size_t offset = (size_t)((const char *)value - (const char *)config);

	for (uint32_t i = 0; i < KEY_COUNT; i++)
		if (keys[i].offset == offset)
			return i;
	ASSERT(!"a member of struct config that a row of the table sets");
	return CONFIG_NO_KEY;
}

void config_place_format(const struct config *config, const void *value, char place[CONFIG_PLACE_SIZE])
{
	uint32_t key = key_of(config, value);
	uint32_t line = config->lines[key];
	struct text text;

	text_init(&text, place, CONFIG_PLACE_SIZE);
	if (line == CONFIG_LINE_DEFAULT)
		text_add(&text, "default: %s.%s", keys[key].section, keys[key].name);
	else if (line == CONFIG_LINE_OVERRIDE)
		text_add(&text, "command line: %s.%s", keys[key].section, keys[key].name);
	else
		text_add(&text, "%s:%u: %s", CONFIG_FILE_NAME, line, keys[key].name);
}

void config_error_add(struct config_errors *errors, const struct config *config, const void *value,
		      const char *format, ...)
{
	struct config_error *error;
	char message[CONFIG_ERROR_SIZE];
	char place[CONFIG_PLACE_SIZE];
	va_list arguments;
	struct text text;

	if (errors->count == CONFIG_ERROR_MAX)
		return;
	error = &errors->list[errors->count++];
	error->line = config->lines[key_of(config, value)];
	error->key = KEY_TOGETHER;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	config_place_format(config, value, place);
	text_init(&text, error->text, sizeof(error->text));
	text_add(&text, "%s: %s", place, message);
}

static void check_trail(const struct config *config, struct config_errors *errors)
{
	if (config->record.mode == CONFIG_RECORD_OFF)
		config_error_add(errors, config, &config->record.trail,
				 "found \"yes\" without a recording; allowed: with mode = record or replay");
	if (config->record.trail_port == config->console.port ||
	    config->record.trail_port == config->record.port)
		config_error_add(errors, config, &config->record.trail_port,
				 "the console or the log has this port; allowed: one of its own");
}

/* What no single line can tell: values that do not go together. */
static void config_check(const struct config *config, struct config_errors *errors)
{
	errors_forget(errors, KEY_TOGETHER);
	if (config->guest.start == CONFIG_START_DIRECT && config->guest.kernel[0] == '\0')
		config_error_add(errors, config, &config->guest.start,
				 "found \"direct\" without a kernel; allowed: with kernel = FILE in [guest]");
	if (config->record.mode != CONFIG_RECORD_OFF && config->record.port == config->console.port)
		config_error_add(errors, config, &config->record.port,
				 "the console has this port; allowed: another one than [console] port");
	if (config->record.trail)
		check_trail(config, errors);
}

static void config_defaults(struct config *config)
{
	memset(config, 0, sizeof(*config));
	for (uint32_t i = 0; i < KEY_COUNT; i++) {
		const struct config_key *key = &keys[i];

		if (key->default_text == NULL)
			continue;
		if (!config_value_parse(key, key->default_text, strlen(key->default_text),
					(char *)config + key->offset))
			ASSERT(!"every default of the table is allowed");
	}
}

int config_parse(const char *file, size_t file_size, const char *command_line, size_t command_line_size,
		 struct config *config, struct config_errors *errors)
{
	struct reader reader = { .config = config, .errors = errors, .source = CONFIG_FILE_NAME };
	struct reader overrides = {
		.config = config, .errors = errors, .source = "command line", .options_pass = true
	};
	uint32_t file_errors;

	errors->count = 0;
	config_defaults(config);
	file_read(&reader, (struct span){ file, file_size });
	file_errors = errors->count;
	words_read(&overrides, (struct span){ command_line, command_line_size });
	/* A wrong line of the file no longer matters when the command line gives its key, and gives it right.
	 */
	if (errors->count == file_errors)
		for (uint32_t i = 0; i < KEY_COUNT; i++)
			if (overrides.key_lines[i] != 0)
				errors_forget(errors, i);
	config_check(config, errors);
	return errors->count == 0 ? 0 : -EINVAL;
}

int config_set(const char *words, size_t size, struct config *config, struct config_errors *standing,
	       struct config_errors *errors)
{
	struct config changed = *config;
	struct reader reader = { .config = &changed, .errors = errors, .source = "set" };

	errors->count = 0;
	words_read(&reader, (struct span){ words, size });
	if (errors->count > 0)
		return -EINVAL;
	for (uint32_t i = 0; i < KEY_COUNT; i++)
		if (reader.key_lines[i] != 0)
			errors_forget(standing, i);
	*config = changed;
	config_check(config, standing);
	return 0;
}

void config_accept(struct config_errors *standing)
{
	errors_forget(standing, CONFIG_NO_KEY);
}

static void line_write(const struct config *config, uint32_t key, struct text *text)
{
	const struct config_key *row = &keys[key];
	size_t start = text->used;
	size_t value;

	text_add(text, "%s = ", row->name);
	value = text->used;
	config_value_format(row, (const char *)config + row->offset, text);
	if (text->used == value) {
		/* Not named, so assigned by order: there is no value that says so. */
		text->used = start;
		text->at[start] = '\0';
		text_add(text, "# %s", row->name);
	}
	text_pad(text, 40);
	if (config->lines[key] == CONFIG_LINE_DEFAULT)
		text_add(text, " # default\n");
	else if (config->lines[key] == CONFIG_LINE_OVERRIDE)
		text_add(text, " # command line\n");
	else
		text_add(text, " # line %u\n", config->lines[key]);
}

void config_write(const struct config *config, struct text *text)
{
	for (uint32_t i = 0; i < KEY_COUNT; i++) {
		if (is_section_start(i))
			text_add(text, "%s[%s]\n", i > 0 ? "\n" : "", keys[i].section);
		line_write(config, i, text);
	}
}

bool config_key_at(uint32_t index, const char **section, const char **name, const char **default_text)
{
	if (index >= KEY_COUNT)
		return false;
	*section = keys[index].section;
	*name = keys[index].name;
	*default_text = keys[index].default_text;
	return true;
}
