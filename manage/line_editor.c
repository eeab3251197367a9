/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is shown after a key is always the same: back to the line's start, prompt
 * and line again, the rest erased, and the cursor moved back to its place. A key
 * that adds at the end of the line, by far the commonest, shows just itself.
 * Escape sequences are ECMA-48's, as VT100, xterm and Linux's console send them.
 */
#include "manage/line_editor.h"

#include <string.h>

#include "include/assert.h"

#define CTRL(letter) ((letter)&0x1f)
#define KEY_ESCAPE 0x1b
#define KEY_DELETE 0x7f

enum { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_BRACKET, ESCAPE_LETTER };

void line_editor_init(struct line_editor *editor, const char *prompt)
{
	memset(editor, 0, sizeof(*editor));
	text_copy(editor->prompt, sizeof(editor->prompt), prompt);
}

void line_editor_show(const struct line_editor *editor, struct text *out)
{
	text_add(out, "\r%s%s\033[K", editor->prompt, editor->line);
	if (editor->cursor < editor->size)
		text_add(out, "\033[%uD", editor->size - editor->cursor);
}

static void line_set(struct line_editor *editor, const char *line)
{
	text_copy(editor->line, sizeof(editor->line), line);
	editor->size = (uint32_t)strlen(editor->line);
	editor->cursor = editor->size;
}

void line_editor_begin(struct line_editor *editor, struct text *out)
{
	line_set(editor, "");
	editor->history_back = 0;
	line_editor_show(editor, out);
}

static void insert_byte(struct line_editor *editor, char byte)
{
	if (editor->size == LINE_SIZE - 1)
		return;
	memmove(editor->line + editor->cursor + 1, editor->line + editor->cursor,
		editor->size - editor->cursor + 1);
	editor->line[editor->cursor++] = byte;
	editor->size++;
}

/* Takes the bytes from `from` up to the cursor out. */
static void erase_back(struct line_editor *editor, uint32_t from)
{
	memmove(editor->line + from, editor->line + editor->cursor, editor->size - editor->cursor + 1);
	editor->size -= editor->cursor - from;
	editor->cursor = from;
}

static uint32_t word_start(const struct line_editor *editor)
{
	uint32_t at = editor->cursor;

	while (at > 0 && editor->line[at - 1] == ' ')
		at--;
	while (at > 0 && editor->line[at - 1] != ' ')
		at--;
	return at;
}

void line_editor_insert(struct line_editor *editor, const char *string, struct text *out)
{
	for (; *string != '\0'; string++)
		insert_byte(editor, *string);
	line_editor_show(editor, out);
}

static const char *history_line(const struct line_editor *editor, uint32_t back)
{
	return editor->history[(editor->history_count - back) % LINE_HISTORY_COUNT];
}

/* Keeps the line, unless it is empty or the same as the last one. */
static void history_keep(struct line_editor *editor)
{
	if (editor->size == 0)
		return;
	if (editor->history_count > 0 && strcmp(history_line(editor, 1), editor->line) == 0)
		return;
	memcpy(editor->history[editor->history_count % LINE_HISTORY_COUNT], editor->line, LINE_SIZE);
	editor->history_count++;
}

/* Shows the line `back` lines ago; 0 is the one that was being typed. */
static void history_go(struct line_editor *editor, uint32_t back)
{
	if (back > min_u64(editor->history_count, LINE_HISTORY_COUNT))
		return;
	if (editor->history_back == 0)
		memcpy(editor->typed, editor->line, LINE_SIZE);
	editor->history_back = back;
	line_set(editor, back == 0 ? editor->typed : history_line(editor, back));
}

static void cursor_left(struct line_editor *editor)
{
	if (editor->cursor > 0)
		editor->cursor--;
}

static void cursor_right(struct line_editor *editor)
{
	if (editor->cursor < editor->size)
		editor->cursor++;
}

static void delete_at_cursor(struct line_editor *editor)
{
	if (editor->cursor == editor->size)
		return;
	editor->cursor++;
	erase_back(editor, editor->cursor - 1);
}

static void history_up(struct line_editor *editor)
{
	history_go(editor, editor->history_back + 1);
}

static void history_down(struct line_editor *editor)
{
	if (editor->history_back > 0)
		history_go(editor, editor->history_back - 1);
}

/* The last byte of ESC [ ..., or of ESC O .... */
static void escape_end(struct line_editor *editor, uint8_t byte)
{
	uint32_t number = editor->escape_number;

	if (byte == 'A')
		history_up(editor);
	else if (byte == 'B')
		history_down(editor);
	else if (byte == 'C')
		cursor_right(editor);
	else if (byte == 'D')
		cursor_left(editor);
	else if (byte == 'H' || (byte == '~' && (number == 1 || number == 7)))
		editor->cursor = 0;
	else if (byte == 'F' || (byte == '~' && (number == 4 || number == 8)))
		editor->cursor = editor->size;
	else if (byte == '~' && number == 3)
		delete_at_cursor(editor);
}

/* Takes a byte of an escape sequence. False when it does not belong to one. */
static bool escape_input(struct line_editor *editor, uint8_t byte)
{
	uint32_t state = editor->escape_state;

	if (byte == KEY_ESCAPE) {
		editor->escape_state = ESCAPE_BEGUN;
		editor->escape_number = 0;
		return true;
	}
	editor->escape_state = ESCAPE_NONE;
	if (state == ESCAPE_NONE || byte < 0x20 || byte > 0x7e)
		return false;
	if (state == ESCAPE_BEGUN) {
		if (byte == '[')
			editor->escape_state = ESCAPE_BRACKET;
		else if (byte == 'O')
			editor->escape_state = ESCAPE_LETTER;
		return true;
	}
	if (state == ESCAPE_BRACKET && byte < 0x40) {
		/* A parameter: the sequence goes on. */
		editor->escape_state = ESCAPE_BRACKET;
		if (byte >= '0' && byte <= '9' && editor->escape_number < 1000)
			editor->escape_number = editor->escape_number * 10 + (uint32_t)(byte - '0');
		return true;
	}
	escape_end(editor, byte);
	return true;
}

/* A control character that edits. */
static void control_input(struct line_editor *editor, uint8_t byte)
{
	switch (byte) {
	case CTRL('a'):
		editor->cursor = 0;
		break;
	case CTRL('b'):
		cursor_left(editor);
		break;
	case CTRL('d'):
		delete_at_cursor(editor);
		break;
	case CTRL('e'):
		editor->cursor = editor->size;
		break;
	case CTRL('f'):
		cursor_right(editor);
		break;
	case CTRL('h'):
	case KEY_DELETE:
		if (editor->cursor > 0)
			erase_back(editor, editor->cursor - 1);
		break;
	case CTRL('k'):
		editor->line[editor->cursor] = '\0';
		editor->size = editor->cursor;
		break;
	case CTRL('n'):
		history_down(editor);
		break;
	case CTRL('p'):
		history_up(editor);
		break;
	case CTRL('u'):
		erase_back(editor, 0);
		break;
	case CTRL('w'):
		erase_back(editor, word_start(editor));
		break;
	}
}

enum line_event line_editor_input(struct line_editor *editor, uint8_t byte, struct text *out)
{
	uint32_t last = editor->last_byte;

	editor->last_byte = byte;
	if (escape_input(editor, byte)) {
		if (editor->escape_state == ESCAPE_NONE)
			line_editor_show(editor, out);
		return LINE_NOTHING;
	}
	if (byte == '\n' && last == '\r')
		return LINE_NOTHING;
	if (byte == '\r' || byte == '\n') {
		text_add(out, "\n");
		history_keep(editor);
		return LINE_DONE;
	}
	if (byte == '\t')
		return LINE_COMPLETE;
	if (byte == CTRL('c')) {
		text_add(out, "^C\n");
		line_editor_begin(editor, out);
		return LINE_NOTHING;
	}
	if (byte >= 0x20 && byte < 0x7f) {
		uint32_t size = editor->size;

		insert_byte(editor, (char)byte);
		if (editor->cursor == editor->size && editor->size > size)
			text_add(out, "%c", byte);
		else
			line_editor_show(editor, out);
		return LINE_NOTHING;
	}
	control_input(editor, byte);
	if (byte < 0x20 || byte == KEY_DELETE)
		line_editor_show(editor, out);
	return LINE_NOTHING;
}
