/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/terminal.h"

#include <string.h>

void terminal_init(struct terminal *terminal, uint8_t escape, enum terminal_side side, char server)
{
	char prompt[] = "yoke a> ";

	memset(terminal, 0, sizeof(*terminal));
	prompt[5] = server;
	terminal->escape = escape;
	terminal->side = side;
	line_editor_init(&terminal->editor, prompt);
}

/* "ctrl-]" */
static void escape_add(const struct terminal *terminal, struct text *out)
{
	uint8_t byte = terminal->escape;

	text_add(out, "ctrl-%c", byte >= 1 && byte <= 26 ? byte + 0x60 : byte + 0x40);
}

static void guest_show(struct terminal *terminal, const char *bytes, size_t size, struct text *out)
{
	if (size == 0)
		return;
	text_add_bytes(out, bytes, size);
	terminal->line_open = bytes[size - 1] != '\n';
}

/* What the server says between the guest's output begins a line of its own. */
static void line_close(struct terminal *terminal, struct text *out)
{
	if (terminal->line_open)
		text_add(out, "\n");
	terminal->line_open = false;
}

static void held_show(struct terminal *terminal, struct text *out)
{
	uint64_t size = min_u64(terminal->held_total, TERMINAL_HELD_SIZE);
	size_t start = (size_t)((terminal->held_total - size) % TERMINAL_HELD_SIZE);
	size_t first = (size_t)min_u64(size, TERMINAL_HELD_SIZE - start);

	if (terminal->held_total > size)
		text_add(out, "[yoke] %lu earlier bytes of the guest's output are not kept\n",
			 terminal->held_total - size);
	guest_show(terminal, terminal->held + start, first, out);
	guest_show(terminal, terminal->held, (size_t)size - first, out);
	terminal->held_total = 0;
}

void terminal_guest_output(struct terminal *terminal, const char *bytes, size_t size, struct text *out)
{
	if (terminal->side == TERMINAL_GUEST) {
		guest_show(terminal, bytes, size, out);
		return;
	}
	for (size_t i = 0; i < size; i++)
		terminal->held[terminal->held_total++ % TERMINAL_HELD_SIZE] = bytes[i];
}

void terminal_notice(struct terminal *terminal, const char *line, struct text *out)
{
	if (terminal->side == TERMINAL_GUEST) {
		line_close(terminal, out);
		text_add(out, "[yoke] %s\n", line);
		return;
	}
	text_add(out, "\r\033[K%s\n", line);
	line_editor_show(&terminal->editor, out);
}

void terminal_switch(struct terminal *terminal, enum terminal_side side, struct text *out)
{
	if (terminal->side == side)
		return;
	terminal->side = side;
	if (side == TERMINAL_SERVER) {
		line_close(terminal, out);
		text_add(out, "[yoke] the server's command line; ");
		escape_add(terminal, out);
		text_add(out, " returns to the guest, help lists the commands\n");
		line_editor_begin(&terminal->editor, out);
		return;
	}
	text_add(out, "\r\033[K[yoke] the guest's console; ");
	escape_add(terminal, out);
	text_add(out, " switches to the server\n");
	held_show(terminal, out);
}

void terminal_prompt(struct terminal *terminal, struct text *out)
{
	if (terminal->side == TERMINAL_SERVER)
		line_editor_begin(&terminal->editor, out);
}

enum terminal_event terminal_input(struct terminal *terminal, uint8_t byte, struct text *out)
{
	if (byte == terminal->escape) {
		terminal_switch(terminal, terminal->side == TERMINAL_GUEST ? TERMINAL_SERVER : TERMINAL_GUEST,
				out);
		return TERMINAL_NOTHING;
	}
	if (terminal->side == TERMINAL_GUEST)
		return TERMINAL_GUEST_INPUT;
	switch (line_editor_input(&terminal->editor, byte, out)) {
	case LINE_DONE:
		return TERMINAL_COMMAND;
	case LINE_COMPLETE:
		return TERMINAL_COMPLETE;
	default:
		return TERMINAL_NOTHING;
	}
}
