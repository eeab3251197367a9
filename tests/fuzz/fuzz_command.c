/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys at the server's console, with output of the guest and notices between: the
 * terminal, the line editor, completion and every command. The first byte decides
 * the state that the commands see. "Accepted" is an input that made a command act.
 */
#include <string.h>

#include "manage/command.h"
#include "manage/terminal.h"
#include "tests/fuzz/fuzz.h"

#define GUEST_WRITES 0x0e /* a byte that no key sends stands for output of the guest */
#define SERVER_SAYS 0x0f

static struct terminal terminal;
static struct status status;
static struct event_log event_log;
static struct config config;
static struct config_errors errors;
static char buffer[TERMINAL_OUT_SIZE + COMMAND_OUT_SIZE];
static struct text out;

static void set_up(uint8_t choice)
{
	static const char wrong[] = "[guest]\nmemory = lots\nfoo = 1\n";

	memset(&status, 0, sizeof(status));
	event_log_init(&event_log);
	strcpy(status.version, "fuzz");
	status.self = choice & 1;
	status.servers[0].state = (choice >> 1) % STATUS_SERVER_STATE_COUNT;
	status.servers[1].state = (choice >> 2) % STATUS_SERVER_STATE_COUNT;
	status.guest.state = (choice >> 3) % STATUS_GUEST_STATE_COUNT;
	event_add(&event_log, choice, EVENT_WARNING, "link cs1", "good", "failed", "carrier lost");
	config_parse(wrong, choice & 0x80 ? strlen(wrong) : 0, "", 0, &config, &errors);
	terminal_init(&terminal, 0x1d, TERMINAL_SERVER, 'a');
}

/* What holds after every byte. */
static void check_state(void)
{
	const struct line_editor *editor = &terminal.editor;

	FUZZ_CHECK(terminal.side == TERMINAL_GUEST || terminal.side == TERMINAL_SERVER);
	FUZZ_CHECK(editor->size < LINE_SIZE && editor->cursor <= editor->size);
	FUZZ_CHECK(editor->line[editor->size] == '\0' && strlen(editor->line) == editor->size);
	for (uint32_t i = 0; i < editor->size; i++)
		FUZZ_CHECK(editor->line[i] >= 0x20 && editor->line[i] <= 0x7e);
	FUZZ_CHECK(!out.cut);
}

/* A command says something, or acts, or both; it changes nothing that it only looks at. */
static bool run_command(void)
{
	static struct config config_before;
	struct command_view view = { &status, &event_log, &config, &errors };
	struct command_action action;
	size_t used = out.used;

	config_before = config;
	command_run(terminal.editor.line, &view, &out, &action);
	FUZZ_CHECK(memcmp(&config_before, &config, sizeof(config)) == 0);
	FUZZ_CHECK(strspn(terminal.editor.line, " ") == terminal.editor.size || out.used > used ||
		   action.kind != COMMAND_NOTHING || strstr(terminal.editor.line, "log"));
	if (action.kind == COMMAND_CONFIG_SET) {
		static struct config_errors refused;

		/* It was tried before: now it must work. */
		FUZZ_CHECK(config_set(action.words, strlen(action.words), &config, &errors, &refused) == 0);
	}
	if (action.kind == COMMAND_CONFIG_ACCEPT)
		config_accept(&errors);
	if (action.kind == COMMAND_CONSOLE_GUEST)
		terminal_switch(&terminal, TERMINAL_GUEST, &out);
	terminal_prompt(&terminal, &out);
	return action.kind != COMMAND_NOTHING;
}

static bool take_byte(uint8_t byte)
{
	bool acted = false;

	text_init(&out, buffer, sizeof(buffer));
	if (byte == GUEST_WRITES)
		terminal_guest_output(&terminal, "some output of the guest\r\nlogin: ", 33, &out);
	else if (byte == SERVER_SAYS)
		terminal_notice(&terminal, "an event", &out);
	else if (terminal_input(&terminal, byte, &out) == TERMINAL_COMMAND)
		acted = run_command();
	else if (byte == '\t' && terminal.side == TERMINAL_SERVER)
		command_complete(&terminal.editor, &out);
	check_state();
	return acted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool acted = false;

	if (size > 0)
		set_up(data[0]);
	for (size_t i = 1; i < size; i++)
		acted |= take_byte(data[i]);
	fuzz_verdict(acted);
	return 0;
}
