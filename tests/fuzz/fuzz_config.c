/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yoke.conf and the boot loader's command line; byte 0x01 parts the two. Whatever
 * comes in is accepted, or refused with at least one line for a person; what is
 * accepted reads back the same after it is written.
 */
#include <errno.h>
#include <string.h>

#include "manage/config.h"
#include "manage/roles.h"
#include "tests/fuzz/fuzz.h"

static struct config config;
static struct config again;
static struct config_errors errors;
static struct config_errors refused;
static char file[32768];

static void check_errors(const struct config_errors *list, int result)
{
	FUZZ_CHECK(result == 0 || result == -EINVAL);
	FUZZ_CHECK((result == 0) == (list->count == 0));
	FUZZ_CHECK(list->count <= CONFIG_ERROR_MAX);
	for (uint32_t i = 0; i < list->count; i++) {
		const char *text = list->list[i].text;
		size_t size = strnlen(text, CONFIG_ERROR_SIZE);

		FUZZ_CHECK(size > strlen("set: ") && size < CONFIG_ERROR_SIZE);
		/* One printable line: a console shows it as it is. */
		for (size_t at = 0; at < size; at++)
			FUZZ_CHECK(text[at] >= 0x20 && text[at] <= 0x7e);
	}
}

/* What holds for every struct config that leaves the parser, also beside errors. */
static void check_config(const struct config *checked)
{
	FUZZ_CHECK(checked->guest.memory_size >= 16 * MIB && checked->guest.memory_size <= 1024 * GIB);
	FUZZ_CHECK(is_aligned(checked->guest.memory_size, 2 * MIB));
	FUZZ_CHECK(checked->console.rate_baud != 0 && 115200 % checked->console.rate_baud == 0);
	FUZZ_CHECK(checked->console.escape > 0 && checked->console.escape < 0x20);
	FUZZ_CHECK(checked->trace.categories.count <= CONFIG_TRACE_MAX);
	FUZZ_CHECK(strnlen(checked->guest.command_line, CONFIG_COMMAND_LINE_SIZE) < CONFIG_COMMAND_LINE_SIZE);
	FUZZ_CHECK(strnlen(checked->guest.kernel, CONFIG_FILE_NAME_SIZE) < CONFIG_FILE_NAME_SIZE);
	for (uint32_t i = 0; i < NETWORK_ROLE_COUNT; i++)
		FUZZ_CHECK(checked->network.ports[i].pci.device < 32 &&
			   checked->network.ports[i].pci.function < 8);
}

static void check_round_trip(void)
{
	static struct config_errors none;
	struct text text;

	text_init(&text, file, sizeof(file));
	config_write(&config, &text);
	FUZZ_CHECK(!text.cut);
	FUZZ_CHECK(config_parse(file, text.used, "", 0, &again, &none) == 0);
	memset(again.lines, 0, sizeof(again.lines));
	memset(config.lines, 0, sizeof(config.lines));
	FUZZ_CHECK(memcmp(&again, &config, sizeof(config)) == 0);
}

static void check_roles(void)
{
	static const struct role_port ports[] = { { { 0, 3, 0 }, { 0x52, 0x54, 0, 0, 0, 1 } },
						  { { 0, 4, 0 }, { 0x52, 0x54, 0, 0, 0, 2 } } };
	static const struct role_disk disks[] = { { { 0, 5, 0 }, 0, "QM0", GIB, true },
						  { { 0, 0x1f, 2 }, 1, "QM1", 10 * GIB, false } };
	struct roles roles;

	check_errors(&errors, roles_assign(&config, ports, 2, disks, 2, &roles, &errors));
	for (uint32_t i = 0; i < NETWORK_ROLE_COUNT; i++)
		FUZZ_CHECK(roles.ports[i] == ROLE_NONE || roles.ports[i] < 2);
	for (uint32_t i = 0; i < DISK_ROLE_COUNT; i++)
		FUZZ_CHECK(roles.disks[i] == ROLE_NONE || roles.disks[i] < 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *split = size ? memchr(data, 0x01, size) : NULL;
	size_t file_size = split ? (size_t)(split - data) : size;
	const char *words = split ? (const char *)split + 1 : "";
	size_t words_size = split ? size - file_size - 1 : 0;
	int result = config_parse((const char *)data, file_size, words, words_size, &config, &errors);

	fuzz_verdict(result == 0);
	check_errors(&errors, result);
	check_config(&config);
	if (result == 0) {
		again = config;
		check_roles();
		config = again;
		check_round_trip();
	} else {
		uint32_t standing = errors.count;

		result = config_set(words, words_size, &config, &errors, &refused);
		check_errors(&refused, result);
		check_config(&config);
		FUZZ_CHECK(result == 0 || errors.count == standing);
	}
	return 0;
}
