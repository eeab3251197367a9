/* SPDX-License-Identifier: Apache-2.0 */
/* manage/line_editor.c and manage/terminal.c: keys in, exact bytes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/line_editor.h"
#include "manage/terminal.h"

static struct line_editor editor;
static struct terminal terminal;
static char buffer[TERMINAL_OUT_SIZE];
static struct text out;

static int set_up(void **state)
{
	(void)state;
	line_editor_init(&editor, "> ");
	terminal_init(&terminal, 0x1d, TERMINAL_GUEST, 'a');
	text_init(&out, buffer, sizeof(buffer));
	line_editor_begin(&editor, &out);
	return 0;
}

/* Types `keys`; returns the last event. */
static enum line_event type(const char *keys)
{
	enum line_event event = LINE_NOTHING;

	for (; *keys != '\0'; keys++)
		event = line_editor_input(&editor, (uint8_t)*keys, &out);
	return event;
}

static void typing_shows_what_is_typed(void **state)
{
	(void)state;
	assert_int_equal(type("help"), LINE_NOTHING);
	assert_int_equal(type("\r"), LINE_DONE);
	assert_string_equal(editor.line, "help");
	assert_string_equal(buffer, "\r> \033[Khelp\n");
}

static void return_newline_is_one_key(void **state)
{
	(void)state;
	assert_int_equal(type("a\r"), LINE_DONE);
	line_editor_begin(&editor, &out);
	assert_int_equal(type("\n"), LINE_NOTHING);
	assert_int_equal(type("b\n"), LINE_DONE);
	assert_string_equal(editor.line, "b");
}

struct keys {
	const char *typed;
	const char *line;
	uint32_t cursor;
};

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"

static const struct keys edits[] = {
	{ "abc" LEFT LEFT "x", "axbc", 2 },
	{ "abc\x02\x02\x06x", "abxc", 3 },
	{ "abc\x7f\x7f", "a", 1 },
	{ "abc\x08", "ab", 2 },
	{ "\x7f\x7f" LEFT RIGHT, "", 0 },
	{ "abc\x01\x04", "bc", 0 },
	{ "abc\033[H\033[3~", "bc", 0 },
	{ "abc\033OH\033OF!", "abc!", 4 },
	{ "abc\033[1~x\033[4~y", "xabcy", 5 },
	{ "abc" LEFT "\x0b", "ab", 2 },
	{ "one two  three\x17", "one two  ", 9 },
	{ "one two  \x17", "one ", 4 },
	{ "one two" LEFT LEFT "\x15", "wo", 0 },
	{ "one two" LEFT "\x05!", "one two!", 8 },
	{ "abc\x03"
	  "d",
	  "d", 1 },
	{ "a\033[99;5Zb", "ab", 2 }, /* a sequence nobody knows */
	{ "a\033xb", "ab", 2 },	     /* alt-x */
	{ "a\033\033[Db", "ba", 1 }, /* escape, then a key that sends one */
	{ "a\xc3\xbc"
	  "b\x80\xff",
	  "ab", 2 }, /* bytes beyond ASCII */
	{ "a\x10\x0e"
	  "b",
	  "ab", 2 }, /* no history: nothing happens */
};

static void keys_edit_the_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		set_up(NULL);
		type(edits[i].typed);
		if (strcmp(editor.line, edits[i].line) != 0 || editor.cursor != edits[i].cursor)
			fail_msg("row %zu: \"%s\" with the cursor at %u", i, editor.line, editor.cursor);
		assert_int_equal(editor.size, strlen(editor.line));
	}
}

static void a_change_within_shows_the_line_again(void **state)
{
	(void)state;
	type("ab" LEFT);
	out.used = 0;
	type("x");
	assert_string_equal(buffer, "\r> axb\033[K\033[1D");
	out.used = 0;
	type("\x7f");
	assert_string_equal(buffer, "\r> ab\033[K\033[1D");
}

static void a_full_line_takes_no_more(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2 * LINE_SIZE; i++)
		type("x");
	assert_int_equal(editor.size, LINE_SIZE - 1);
	type("\x01y");
	assert_int_equal(editor.size, LINE_SIZE - 1);
	assert_int_equal(editor.line[0], 'x');
	type("\x7f\x05\x7f"
	     "z");
	assert_int_equal(editor.line[LINE_SIZE - 2], 'z');
}

static void enter(const char *line)
{
	type(line);
	assert_int_equal(type("\r"), LINE_DONE);
	line_editor_begin(&editor, &out);
}

static void earlier_lines_come_back(void **state)
{
	(void)state;
	enter("first");
	enter("second");
	enter("second"); /* kept once */
	enter("");	 /* not kept */
	type("typing" UP);
	assert_string_equal(editor.line, "second");
	type(UP);
	assert_string_equal(editor.line, "first");
	type(UP); /* there is no more */
	assert_string_equal(editor.line, "first");
	type(DOWN DOWN);
	assert_string_equal(editor.line, "typing");
	type(DOWN);
	assert_string_equal(editor.line, "typing");
	type(UP UP "!");
	assert_int_equal(type("\r"), LINE_DONE);
	assert_string_equal(editor.line, "first!");
}

static void only_so_many_lines_are_kept(void **state)
{
	char line[8];

	(void)state;
	for (uint32_t i = 0; i < LINE_HISTORY_COUNT + 4; i++) {
		snprintf(line, sizeof(line), "%u", i);
		enter(line);
	}
	for (uint32_t i = 0; i < LINE_HISTORY_COUNT + 4; i++)
		type(UP);
	assert_string_equal(editor.line, "4");
}

static void tab_is_the_callers(void **state)
{
	(void)state;
	type("st");
	assert_int_equal(type("\t"), LINE_COMPLETE);
	out.used = 0;
	line_editor_insert(&editor, "atus", &out);
	assert_string_equal(editor.line, "status");
	assert_string_equal(buffer, "\r> status\033[K");
}

/* The terminal. */

static void guest_write(const char *string)
{
	terminal_guest_output(&terminal, string, strlen(string), &out);
}

static enum terminal_event key(uint8_t byte)
{
	return terminal_input(&terminal, byte, &out);
}

static const char to_server[] =
	"[yoke] the server's command line; ctrl-] returns to the guest, help lists the commands\n\ryoke a> \033[K";
static const char to_guest[] = "\r\033[K[yoke] the guest's console; ctrl-] switches to the server\n";

static void the_guest_gets_every_byte_but_one(void **state)
{
	(void)state;
	out.used = 0;
	for (uint32_t byte = 0; byte < 256; byte++)
		if (byte != 0x1d)
			assert_int_equal(key((uint8_t)byte), TERMINAL_GUEST_INPUT);
	assert_int_equal(out.used, 0);
	guest_write("login: ");
	assert_string_equal(buffer, "login: ");
}

static void the_escape_key_switches_both_ways(void **state)
{
	char expected[512];

	(void)state;
	out.used = 0;
	guest_write("login: ");
	assert_int_equal(key(0x1d), TERMINAL_NOTHING);
	/* The guest's line was open: the server begins its own. */
	snprintf(expected, sizeof(expected), "login: \n%s", to_server);
	assert_string_equal(buffer, expected);
	assert_int_equal(key('h'), TERMINAL_NOTHING);
	assert_int_equal(key('i'), TERMINAL_NOTHING);
	assert_int_equal(key('\r'), TERMINAL_COMMAND);
	assert_string_equal(terminal.editor.line, "hi");
	assert_int_equal(key('\t'), TERMINAL_COMPLETE);

	guest_write("root\r\n");
	guest_write("# ");
	out.used = 0;
	assert_int_equal(key(0x1d), TERMINAL_NOTHING);
	snprintf(expected, sizeof(expected), "%sroot\r\n# ", to_guest);
	assert_string_equal(buffer, expected);
	/* Shown once. */
	key(0x1d);
	out.used = 0;
	key(0x1d);
	assert_string_equal(buffer, to_guest);
}

static void notices_stand_in_lines_of_their_own(void **state)
{
	(void)state;
	out.used = 0;
	guest_write("log");
	terminal_notice(&terminal, "link cs1: good -> failed", &out);
	guest_write("in: \r\n");
	terminal_notice(&terminal, "link cs1: failed -> good", &out);
	assert_string_equal(
		buffer, "log\n[yoke] link cs1: good -> failed\nin: \r\n[yoke] link cs1: failed -> good\n");
	/* At the command line the half-typed command comes back behind it. */
	key(0x1d);
	key('s');
	key('t');
	out.used = 0;
	terminal_notice(&terminal, "event", &out);
	assert_string_equal(buffer, "\r\033[Kevent\n\ryoke a> st\033[K");
}

static void what_is_not_kept_is_told(void **state)
{
	char *noise = calloc(1, TERMINAL_HELD_SIZE + 10);
	char expected[128];

	(void)state;
	key(0x1d);
	memset(noise, '.', TERMINAL_HELD_SIZE + 9);
	memcpy(noise + TERMINAL_HELD_SIZE + 5, "last", 4);
	guest_write("first");
	guest_write(noise);
	out.used = 0;
	key(0x1d);
	snprintf(expected, sizeof(expected),
		 "%s[yoke] 14 earlier bytes of the guest's output are not kept\n....", to_guest);
	assert_memory_equal(buffer, expected, strlen(expected));
	assert_string_equal(buffer + out.used - 8, "....last");
	assert_int_equal(out.used, strlen(expected) - 4 + TERMINAL_HELD_SIZE);
	assert_false(out.cut);
	free(noise);
}

static void switching_to_where_one_is_says_nothing(void **state)
{
	(void)state;
	out.used = 0;
	terminal_switch(&terminal, TERMINAL_GUEST, &out);
	terminal_prompt(&terminal, &out);
	assert_int_equal(out.used, 0);
	terminal_switch(&terminal, TERMINAL_SERVER, &out);
	assert_string_equal(buffer, to_server);
	out.used = 0;
	terminal_prompt(&terminal, &out);
	assert_string_equal(buffer, "\ryoke a> \033[K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(typing_shows_what_is_typed, set_up),
		cmocka_unit_test_setup(return_newline_is_one_key, set_up),
		cmocka_unit_test_setup(keys_edit_the_line, set_up),
		cmocka_unit_test_setup(a_change_within_shows_the_line_again, set_up),
		cmocka_unit_test_setup(a_full_line_takes_no_more, set_up),
		cmocka_unit_test_setup(earlier_lines_come_back, set_up),
		cmocka_unit_test_setup(only_so_many_lines_are_kept, set_up),
		cmocka_unit_test_setup(tab_is_the_callers, set_up),
		cmocka_unit_test_setup(the_guest_gets_every_byte_but_one, set_up),
		cmocka_unit_test_setup(the_escape_key_switches_both_ways, set_up),
		cmocka_unit_test_setup(notices_stand_in_lines_of_their_own, set_up),
		cmocka_unit_test_setup(what_is_not_kept_is_told, set_up),
		cmocka_unit_test_setup(switching_to_where_one_is_says_nothing, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
