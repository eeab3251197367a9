/* SPDX-License-Identifier: Apache-2.0 */
/* manage/command.c: what each command says and asks for, and each refusal in its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "manage/command.h"

static struct status status;
static struct event_log event_log;
static struct config config;
static struct config_errors errors;
static const struct command_view view = { &status, &event_log, &config, &errors };
static struct command_action action;
static char buffer[COMMAND_OUT_SIZE];
static struct text out;

static int set_up(void **state)
{
	(void)state;
	memset(&status, 0, sizeof(status));
	event_log_init(&event_log);
	strcpy(status.version, "1a2b3c");
	status.servers[0].state = STATUS_SERVER_WAITING;
	assert_int_equal(config_parse("", 0, "", 0, &config, &errors), 0);
	return 0;
}

static const char *run(const char *line)
{
	text_init(&out, buffer, sizeof(buffer));
	command_run(line, &view, &out, &action);
	assert_false(out.cut);
	return buffer;
}

static void assert_acts(const char *line, enum command_action_kind kind)
{
	const char *said = run(line);

	if (said[0] != '\0' || action.kind != (uint32_t)kind)
		fail_msg("\"%s\" said \"%s\", action %u, not %u", line, said, action.kind, (uint32_t)kind);
}

static void assert_says(const char *line, const char *expected)
{
	assert_string_equal(run(line), expected);
	assert_int_equal(action.kind, COMMAND_NOTHING);
}

static void an_empty_line_does_nothing(void **state)
{
	(void)state;
	assert_says("", "");
	assert_says("   ", "");
}

static void help_lists_every_command(void **state)
{
	(void)state;
	assert_says(
		"help",
		"  help                                          this list\n"
		"  status [json]                                 servers, guest, links, ports, disks, faults\n"
		"  log [COUNT] [json]                            the last events\n"
		"  console [escape]                              to the guest's console; escape: give it that key\n"
		"  start [alone]                                 start the guest; alone: without the other server\n"
		"  guest stop | power | poweroff | reset | nmi   hold it; its power button; its power; reset; NMI\n"
		"  disks                                         the disks of this server, and what the other server's lack\n"
		"  disk show | verify DISK, fail | enable | remirror DISK a | b\n"
		"                                                all of one; compare both; drop a server's, use it again, copy to it\n"
		"  config [accept]                               all values and errors; accept: go on without unknown lines\n"
		"  set SECTION.KEY=VALUE ...                     change the configuration until the next boot\n"
		"  trace [show [COUNT] | NAME LEVEL]             levels; last lines; set NAME (category, file, all)\n"
		"  flip NAME | ADDRESS BIT                       debugging: a bit of this server's guest only\n"
		"  reboot [force]                                reboot this server\n"
		"  poweroff [force]                              switch this server off\n");
}

struct refusal {
	const char *line;
	const char *words;
};

static const struct refusal refusals[] = {
	{ "stauts", "unknown command \"stauts\"; did you mean status?\n" },
	{ "Status", "unknown command \"Status\"; did you mean status?\n" },
	{ "reset", "unknown command \"reset\"; did you mean guest reset?\n" },
	{ "xyzzy plugh", "unknown command \"xyzzy\"; help lists them\n" },
	{ "a-word-much-longer-than-any-command-there-will-ever-be",
	  "unknown command \"a-word-much-longer-than-any-com\"; help lists them\n" },
	{ "help me", "help takes no argument; found \"me\"\n" },
	{ "status yaml", "found \"status yaml\"; allowed: status [json]\n" },
	{ "status json now", "found \"status json now\"; allowed: status [json]\n" },
	{ "log many", "log: found \"many\"; allowed: a number, 1 to 128\n" },
	{ "log 0", "log: found \"0\"; allowed: a number, 1 to 128\n" },
	{ "log 129 json", "log: found \"129\"; allowed: a number, 1 to 128\n" },
	{ "log 1 2", "found \"log 1 2\"; allowed: log [COUNT] [json]\n" },
	{ "log 1 2 3 4 5 json", "found \"log 1 2 3 4 5 json\"; allowed: log [COUNT] [json]\n" },
	{ "console guest", "found \"console guest\"; allowed: console [escape]\n" },
	{ "start now", "found \"start now\"; allowed: start [alone]\n" },
	{ "guest", "found \"guest\"; allowed: guest stop | power | poweroff | reset | nmi\n" },
	{ "guest kill", "found \"guest kill\"; allowed: guest stop | power | poweroff | reset | nmi\n" },
	{ "guest stop now",
	  "found \"guest stop now\"; allowed: guest stop | power | poweroff | reset | nmi\n" },
	{ "guest stop", "guest stop: the guest is off\n" },
	{ "guest reset", "guest reset: the guest is off\n" },
	{ "config show", "found \"config show\"; allowed: config [accept]\n" },
	{ "config accept", "config accept: there is no line without a key\n" },
	{ "set", "found \"set\"; allowed: set SECTION.KEY=VALUE ...\n" },
	{ "set memory=1M", "set: found \"memory=1M\"; allowed: section.key=value\n" },
	{ "set guest.memory = 64M", "set: found \"guest.memory\"; allowed: section.key=value\n"
				    "set: found \"=\"; allowed: section.key=value\n"
				    "set: found \"64M\"; allowed: section.key=value\n" },
	{ "trace net", "found \"trace net\"; allowed: trace [show [COUNT] | NAME LEVEL]\n" },
	{ "trace net loud", "trace: found \"loud\"; allowed: error | warning | info | debug\n" },
	{ "trace show -5", "trace: found \"-5\"; allowed: a number, 1 to 10000\n" },
	{ "trace show 5 6", "found \"trace show 5 6\"; allowed: trace [show [COUNT] | NAME LEVEL]\n" },
	{ "trace a_category_with_a_long_name debug",
	  "found \"trace a_category_with_a_long_name debug\"; allowed: trace [show [COUNT] | NAME LEVEL]\n" },
	{ "disks", "no disks\n" },
	{ "disks b", "disks takes no argument; found \"b\"\n" },
	{ "disk remirror mirror1",
	  "found \"disk remirror mirror1\"; allowed: disk show | verify DISK, fail | enable | remirror DISK a | b\n" },
	{ "disk remirror boot b",
	  "found \"disk remirror boot b\"; allowed: disk show | verify DISK, fail | enable | remirror DISK a | b\n" },
	{ "disk fail mirror1 c",
	  "found \"disk fail mirror1 c\"; allowed: disk show | verify DISK, fail | enable | remirror DISK a | b\n" },
	{ "disk verify mirror1 b",
	  "found \"disk verify mirror1 b\"; allowed: disk show | verify DISK, fail | enable | remirror DISK a | b\n" },
	{ "disk eject mirror1 a",
	  "found \"disk eject mirror1 a\"; allowed: disk show | verify DISK, fail | enable | remirror DISK a | b\n" },
	{ "flip rax", "found \"flip rax\"; allowed: flip NAME | ADDRESS BIT\n" },
	{ "flip rax -1", "found \"flip rax -1\"; allowed: flip NAME | ADDRESS BIT\n" },
	{ "flip rax 4294967296", "found \"flip rax 4294967296\"; allowed: flip NAME | ADDRESS BIT\n" },
	{ "flip rax 1", "flip: the guest is off\n" },
	{ "reboot now", "found \"reboot now\"; allowed: reboot [force]\n" },
};

static void wrong_commands_are_refused_in_these_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		assert_says(refusals[i].line, refusals[i].words);
}

static void commands_act(void **state)
{
	(void)state;
	assert_acts("console", COMMAND_CONSOLE_GUEST);
	assert_acts("  console   escape ", COMMAND_SEND_ESCAPE);
	assert_acts("start", COMMAND_GUEST_START);
	assert_acts("start alone", COMMAND_GUEST_START_ALONE);
	assert_acts("trace", COMMAND_TRACE_LIST);
	assert_acts("trace show", COMMAND_TRACE_SHOW);
	assert_int_equal(action.count, COMMAND_TRACE_LINES);
	assert_acts("trace show 100", COMMAND_TRACE_SHOW);
	assert_int_equal(action.count, 100);
	assert_acts("trace svm.c debug", COMMAND_TRACE_LEVEL);
	assert_string_equal(action.name, "svm.c");
	assert_int_equal(action.level, TRACE_DEBUG);
	assert_acts("trace all error", COMMAND_TRACE_LEVEL);
	assert_int_equal(action.level, TRACE_ERROR);
	assert_acts("reboot", COMMAND_SERVER_REBOOT);
	assert_acts("poweroff", COMMAND_SERVER_POWEROFF);
	/* One action does not leak into the next command. */
	run("help");
	assert_int_equal(action.kind, COMMAND_NOTHING);
	assert_string_equal(action.name, "");
}

static void the_guests_state_decides(void **state)
{
	(void)state;
	status.guest.state = STATUS_GUEST_RUNNING;
	assert_says("start", "the guest is running already\n");
	assert_acts("guest stop", COMMAND_GUEST_STOP);
	assert_acts("guest power", COMMAND_GUEST_POWER);
	assert_acts("guest poweroff", COMMAND_GUEST_POWEROFF);
	assert_acts("guest reset", COMMAND_GUEST_RESET);
	assert_acts("guest nmi", COMMAND_GUEST_NMI);
	assert_acts("disk remirror mirror2 b", COMMAND_DISK_REMIRROR);
	assert_int_equal(action.disk, DISK_MIRROR1 + 1);
	assert_int_equal(action.count, 1);
	assert_acts("disk enable mirror1 a", COMMAND_DISK_ENABLE);
	assert_int_equal(action.count, 0);
	assert_acts("disk fail mirror1 a", COMMAND_DISK_FAIL);
	run("disk show mirror1");
	assert_non_null(strstr(buffer, "disk mirror1: absent\n"));
	assert_acts("disk verify mirror2", COMMAND_DISK_VERIFY);
	assert_int_equal(action.disk, DISK_MIRROR1 + 1);
	assert_acts("flip lapic.request 0", COMMAND_GUEST_FLIP);
	assert_string_equal(action.words, "lapic.request");
	assert_int_equal(action.count, 0);
	status.guest.state = STATUS_GUEST_STOPPED;
	assert_acts("start", COMMAND_GUEST_START);
	assert_says("guest stop", "guest stop: the guest is stopped\n");
	assert_says("guest nmi", "guest nmi: the guest is stopped\n");
	assert_acts("guest reset", COMMAND_GUEST_RESET);
	assert_acts("guest poweroff", COMMAND_GUEST_POWEROFF);
	status.guest.state = STATUS_GUEST_STARTING;
	assert_says("start", "the guest is starting already\n");
}

static void the_last_server_is_not_switched_off_by_mistake(void **state)
{
	(void)state;
	status.guest.state = STATUS_GUEST_RUNNING;
	status.servers[0].state = STATUS_SERVER_SIMPLEX;
	assert_says("reboot",
		    "reboot: the guest runs on this server only and would stop; if it shall: reboot force\n");
	assert_says(
		"poweroff",
		"poweroff: the guest runs on this server only and would stop; if it shall: poweroff force\n");
	assert_acts("reboot force", COMMAND_SERVER_REBOOT);
	assert_acts("poweroff force", COMMAND_SERVER_POWEROFF);
	status.servers[0].state = STATUS_SERVER_JOINING;
	assert_int_not_equal(run("reboot")[0], '\0');
	status.servers[0].state = STATUS_SERVER_DUPLEX_LEADER;
	assert_acts("reboot", COMMAND_SERVER_REBOOT);
	status.servers[0].state = STATUS_SERVER_DUPLEX_FOLLOWER;
	assert_acts("poweroff", COMMAND_SERVER_POWEROFF);
}

static void a_wrong_configuration_starts_no_guest(void **state)
{
	static const char file[] = "[guest]\nmemory = lots\nfoo = 1\n";

	(void)state;
	assert_int_equal(config_parse(file, strlen(file), "", 0, &config, &errors), -EINVAL);
	assert_says(
		"start",
		"the guest cannot start, the configuration is wrong:\n"
		"  yoke.conf:2: memory: found \"lots\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M\n"
		"  yoke.conf:3: unknown key \"foo\" in [guest]; its keys are memory autostart start kernel initrd "
		"command_line mac watchdog failure_policy\n"
		"mend it here with set section.key=value, or `config accept` to go on without lines that name no "
		"key\n");
	assert_acts("config accept", COMMAND_CONFIG_ACCEPT);
	config_accept(&errors);
	assert_int_equal(errors.count, 1);
	assert_says("config accept",
		    "config accept: there is no line without a key; errors about a key are mended "
		    "with set\n");
	assert_acts("set guest.memory=64M guest.command_line=\"a b\"", COMMAND_CONFIG_SET);
	assert_string_equal(action.words, "guest.memory=64M guest.command_line=\"a b\"");
	/* The command only tried: carrying it out is the caller's. */
	assert_int_equal(errors.count, 1);
	assert_int_equal(config.guest.memory_size, 512 * MIB);
}

static void set_tells_when_it_counts(void **state)
{
	(void)state;
	status.guest.state = STATUS_GUEST_RUNNING;
	assert_string_equal(run("set guest.memory=64M"),
			    "set; counts for the guest when it starts the next time\n");
	assert_int_equal(action.kind, COMMAND_CONFIG_SET);
}

static void config_shows_values_and_errors(void **state)
{
	const char *said = run("config");

	(void)state;
	assert_non_null(strstr(said, "[guest]\nmemory = 512M                            # default\n"));
	assert_null(strstr(said, "errors:"));
	strcpy(errors.list[0].text, "yoke.conf:1: something");
	errors.count = 1;
	assert_non_null(strstr(run("config"), "\n\nerrors:\nyoke.conf:1: something\n"));
}

static void status_and_log(void **state)
{
	(void)state;
	assert_non_null(
		strstr(run("status"), "server a        waiting           this server, Yoke 1a2b3c\n"));
	assert_int_equal(run("status json")[0], '{');
	assert_string_equal(buffer + strlen(buffer) - 3, "]}\n");
	assert_says("log", "no events yet\n");
	assert_says("log json", "");
	for (uint32_t i = 0; i < 25; i++)
		event_add(&event_log, i * UINT64_C(1000000000), EVENT_INFO, "guest", "off", "running", "");
	run("log");
	assert_memory_equal(buffer, "     5.000 info    guest: off -> running\n", 41);
	assert_says("log 2",
		    "    23.000 info    guest: off -> running\n    24.000 info    guest: off -> running\n");
	assert_says("log 1 json",
		    "{\"sequence\":25,\"time_ns\":24000000000,\"severity\":\"info\",\"object\":\"guest\","
		    "\"old_state\":\"off\",\"new_state\":\"running\",\"reason\":\"\"}\n");
}

struct completion {
	const char *typed;
	const char *line;
	const char *shown; /* NULL: only the line again */
};

static const struct completion completions[] = {
	{ "he", "help ", NULL },
	{ "sta", "sta", "\nstatus start \n\r> sta\033[K" },
	{ "stat", "status ", NULL },
	{ "status j", "status json ", NULL },
	{ "guest p", "guest power", NULL },
	{ "guest power", "guest power", "\npower poweroff \n\r> guest power\033[K" },
	{ "guest ", "guest ", "\nstop power poweroff reset nmi \n\r> guest \033[K" },
	{ "p", "poweroff ", NULL },
	{ "xyz", "xyz", NULL },
	{ "xyz a", "xyz a", NULL },
	{ "status json j", "status json j", NULL },
	{ "set gu", "set gu", NULL },
	{ "help ", "help ", NULL },
};

static void tab_completes(void **state)
{
	static struct line_editor editor;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(completions); i++) {
		const struct completion *row = &completions[i];

		text_init(&out, buffer, sizeof(buffer));
		line_editor_init(&editor, "> ");
		line_editor_insert(&editor, row->typed, &out);
		out.used = 0;
		out.at[0] = '\0';
		command_complete(&editor, &out);
		if (strcmp(editor.line, row->line) != 0)
			fail_msg("\"%s\" became \"%s\"", row->typed, editor.line);
		/* The choices are shown exactly when nothing can be added. */
		if (row->shown)
			assert_string_equal(buffer, row->shown);
		else
			assert_null(strchr(buffer, '\n'));
	}
}

static void tab_within_a_line_does_nothing(void **state)
{
	static struct line_editor editor;

	(void)state;
	text_init(&out, buffer, sizeof(buffer));
	line_editor_init(&editor, "> ");
	line_editor_insert(&editor, "he", &out);
	editor.cursor = 1;
	command_complete(&editor, &out);
	assert_string_equal(editor.line, "he");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_line_does_nothing, set_up),
		cmocka_unit_test_setup(help_lists_every_command, set_up),
		cmocka_unit_test_setup(wrong_commands_are_refused_in_these_words, set_up),
		cmocka_unit_test_setup(commands_act, set_up),
		cmocka_unit_test_setup(the_guests_state_decides, set_up),
		cmocka_unit_test_setup(the_last_server_is_not_switched_off_by_mistake, set_up),
		cmocka_unit_test_setup(a_wrong_configuration_starts_no_guest, set_up),
		cmocka_unit_test_setup(set_tells_when_it_counts, set_up),
		cmocka_unit_test_setup(config_shows_values_and_errors, set_up),
		cmocka_unit_test_setup(status_and_log, set_up),
		cmocka_unit_test_setup(tab_completes, set_up),
		cmocka_unit_test_setup(tab_within_a_line_does_nothing, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
