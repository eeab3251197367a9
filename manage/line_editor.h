/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line typed at a terminal: bytes in, echo out. The keys are the usual ones
 * of a shell: arrows, home and end, backspace and delete, ctrl-a e b f k u w,
 * ctrl-c for a fresh line, up and down for earlier lines. Bytes of a terminal that
 * means something else by them are passed over, never shown.
 */
#ifndef MANAGE_LINE_EDITOR_H
#define MANAGE_LINE_EDITOR_H

#include "include/bits.h"
#include "manage/text.h"

#define LINE_SIZE 512 /* bytes, NUL included */
#define LINE_HISTORY_COUNT 16
#define LINE_PROMPT_SIZE 24

enum line_event {
	LINE_NOTHING,
	LINE_DONE,     /* `line` is complete; line_editor_begin() starts the next one */
	LINE_COMPLETE, /* tab: the caller may line_editor_insert() the rest of the word */
};

struct line_editor {
	char prompt[LINE_PROMPT_SIZE];
	char line[LINE_SIZE]; /* NUL-terminated at all times */
	uint32_t size;
	uint32_t cursor;	/* 0 .. size */
	uint32_t escape_state;	/* within an escape sequence of the terminal */
	uint32_t escape_number; /* its number so far: the 3 of ESC [ 3 ~ */
	uint32_t last_byte;	/* a newline behind a return is the same key press */
	uint32_t history_count; /* lines ever kept */
	uint32_t history_back;	/* how far up: 0 is the line being typed */
	char history[LINE_HISTORY_COUNT][LINE_SIZE];
	char typed[LINE_SIZE]; /* the line being typed while an earlier one is shown */
};

/* An empty editor; `prompt` is cut to what fits. */
void line_editor_init(struct line_editor *editor, const char *prompt);

/* Empties the line and shows the prompt. */
void line_editor_begin(struct line_editor *editor, struct text *out);

/* Shows prompt and line again, as after a line of output has come between. */
void line_editor_show(const struct line_editor *editor, struct text *out);

/* Takes one byte and adds what the terminal must show; '\n' in `out` is a new line. */
enum line_event line_editor_input(struct line_editor *editor, uint8_t byte, struct text *out);

/* Inserts `string` at the cursor, as if it had been typed. */
void line_editor_insert(struct line_editor *editor, const char *string, struct text *out);

#endif
