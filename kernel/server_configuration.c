/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yoke.conf from among the boot files, then the boot command line's overrides.
 * Whatever is wrong with it stands in one list, and as long as anything does, the
 * guest is not started; the console's `set` and `config accept` shorten the list.
 */
#include <stdio.h>
#include <string.h>

#include "kernel/boot_info.h"
#include "kernel/console.h"
#include "kernel/mirror_service.h"
#include "kernel/pages.h"
#include "kernel/server.h"
#include "kernel/trace.h"

/* A missing file is an error of its own, not an empty file: nothing is guessed. */
static void add_missing_file(void)
{
	struct config_error *error = &server.config_errors.list[server.config_errors.count];

	if (server.config_errors.count == CONFIG_ERROR_MAX)
		return;
	server.config_errors.count++;
	error->line = CONFIG_LINE_OVERRIDE;
	error->key = CONFIG_NO_KEY;
	snprintf(error->text, sizeof(error->text),
		 "%s: not among the files that the loader brought; an empty one is enough", CONFIG_FILE_NAME);
}

char server_letter(void)
{
	return server.config.server.name == CONFIG_SERVER_A ? 'a' : 'b';
}

void server_apply_disk_rates(void)
{
	mirror_engine_rates(mirror_service_engine(), server.config.disk.remirror_rate,
			    server.config.disk.verify_rate);
}

void server_apply_configuration(void)
{
	const struct config_trace_levels *categories = &server.config.trace.categories;

	trace_set_server(server_letter());
	trace_set_level("all", server.config.trace.level);
	for (uint32_t i = 0; i < categories->count; i++)
		trace_set_level(categories->list[i].category, categories->list[i].level);
	server_apply_disk_rates();
}

void server_read_configuration(void)
{
	const struct boot_file *file = boot_file_find(&server.boot, CONFIG_FILE_NAME);
	const char *command_line = server.boot.command_line;

	config_parse(file ? pages_pointer(file->base) : "", file ? file->size : 0, command_line,
		     strlen(command_line), &server.config, &server.config_errors);
	if (!file)
		add_missing_file();
	server_apply_configuration();
}

void server_show_configuration_errors(void)
{
	for (uint32_t i = 0; i < server.config_errors.count; i++)
		console_printf("%s\n", server.config_errors.list[i].text);
}
