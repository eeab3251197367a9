/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One terminal for two: the guest's first serial port and the server's command
 * line share the server's serial console. The escape key switches between them.
 *
 *     guest's side    bytes go to the guest, its output goes straight through;
 *                     what the server has to say comes in lines of its own that
 *                     begin with "[yoke]"
 *     server's side   bytes edit a command; the guest's output is kept, up to
 *                     TERMINAL_HELD_SIZE, and shown on return to the guest's side
 *
 * Nothing waits and nothing is lost without a word. Typical use:
 *
 *     while (uart_receive(&uart, &byte))
 *             switch (terminal_input(&terminal, byte, &out)) {
 *             case TERMINAL_GUEST_INPUT:
 *                     ... byte is an input record for the guest
 *             case TERMINAL_COMMAND:
 *                     command_run(terminal.editor.line, &view, &out, &action);
 *                     ... carry out action
 *                     terminal_prompt(&terminal, &out);
 *             case TERMINAL_COMPLETE:
 *                     command_complete(&terminal.editor, &out);
 *             }
 *     console_write(out.at, out.used);
 *
 * '\n' in `out` means a new line; the console makes "\r\n" of it. `out` should
 * have TERMINAL_OUT_SIZE bytes free, more for what a command says.
 */
#ifndef MANAGE_TERMINAL_H
#define MANAGE_TERMINAL_H

#include "include/bits.h"
#include "manage/line_editor.h"
#include "manage/text.h"

#define TERMINAL_HELD_SIZE 8192
#define TERMINAL_OUT_SIZE (2 * TERMINAL_HELD_SIZE)

enum terminal_side { TERMINAL_GUEST, TERMINAL_SERVER };

enum terminal_event {
	TERMINAL_NOTHING,
	TERMINAL_GUEST_INPUT, /* the byte is for the guest */
	TERMINAL_COMMAND,     /* editor.line is a command */
	TERMINAL_COMPLETE,    /* tab in a command */
};

struct terminal {
	uint8_t escape;		       /* the byte that switches */
	uint32_t side;		       /* enum terminal_side */
	bool line_open;		       /* the guest's output on the screen does not end with a newline */
	uint64_t held_total;	       /* bytes of the guest's that came while the server had the terminal */
	char held[TERMINAL_HELD_SIZE]; /* the newest of them, a ring */
	struct line_editor editor;
};

/* `server` is 'a' or 'b', for the prompt. Says nothing yet: terminal_prompt() or terminal_switch() does. */
void terminal_init(struct terminal *terminal, uint8_t escape, enum terminal_side side, char server);

/* Takes one typed byte. */
enum terminal_event terminal_input(struct terminal *terminal, uint8_t byte, struct text *out);

/* Takes what the guest wrote to its serial port. */
void terminal_guest_output(struct terminal *terminal, const char *bytes, size_t size, struct text *out);

/* Shows one line of the server's, an event or a trace line, without newline, on either side. */
void terminal_notice(struct terminal *terminal, const char *line, struct text *out);

/* Switches to `side`; nothing when it is there already. */
void terminal_switch(struct terminal *terminal, enum terminal_side side, struct text *out);

/* After a command's output: the next prompt, unless the command switched to the guest. */
void terminal_prompt(struct terminal *terminal, struct text *out);

#endif
