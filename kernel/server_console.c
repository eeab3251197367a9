/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's console: serial port, terminal and command line put together, and
 * what a command asks for carried out.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/uart.h"
#include "include/trace.h"
#include "kernel/boot_info.h"
#include "kernel/console.h"
#include "kernel/guest_fault.h"
#include "kernel/guest_service.h"
#include "kernel/loop.h"
#include "kernel/mirror_service.h"
#include "kernel/pair_service.h"
#include "kernel/power.h"
#include "kernel/server.h"
#include "kernel/trace.h"
#include "manage/command.h"
#include "manage/terminal.h"

TRACE_FILE("console", TRACE_INFO);

#define INPUT_BYTES_A_ROUND 64
#define NOTICE_SIZE 2048
#define AWAKE_US 5000 /* four characters at 9600 baud and some */

static struct uart uart;
static struct terminal terminal;
static struct status status;
static struct command_action action;
static bool command_runs;
static bool guest_seen; /* it ran, and was offered the console */
static char out_buffer[TERMINAL_OUT_SIZE + COMMAND_OUT_SIZE];

static bool can_transmit(void)
{
	return uart_can_transmit(&uart);
}

static void transmit(uint8_t character)
{
	uart_transmit(&uart, character);
}

static bool receive(uint8_t *character)
{
	return uart_receive(&uart, character);
}

static bool open_console_at(uint16_t io_port)
{
	static const struct console_port port = {
		.can_transmit = can_transmit,
		.transmit = transmit,
		.receive = receive,
	};

	if (uart_init(&uart, io_port, server.config.console.rate_baud) != 0)
		return false;
	console_attach(&port, io_port);
	return true;
}

/* Without a chip at COM1 either, all goes on as before: there is no other console to complain on. */
void server_open_console(void)
{
	uint16_t wanted = server.config.console.port;

	if (open_console_at(wanted) || wanted == CONSOLE_COM1)
		return;
	config_error_add(&server.config_errors, &server.config, &server.config.console.port,
			 "no serial port is at %#x; the console is com1 meanwhile", wanted);
	open_console_at(CONSOLE_COM1);
}

static void show_notice(const char *line)
{
	static char buffer[NOTICE_SIZE];
	struct text out;

	if (command_runs) { /* no prompt and no typed line to keep whole */
		console_printf("%s\n", line);
		return;
	}
	text_init(&out, buffer, sizeof(buffer));
	terminal_notice(&terminal, line, &out);
	console_write(out.at, out.used);
}

static void show_guest_output(const char *bytes, uint64_t size)
{
	static char buffer[TERMINAL_OUT_SIZE];
	struct text out;

	text_init(&out, buffer, sizeof(buffer));
	terminal_guest_output(&terminal, bytes, size, &out);
	console_write(out.at, out.used);
}

static void switch_to(enum terminal_side side)
{
	struct text out;

	text_init(&out, out_buffer, sizeof(out_buffer));
	terminal_switch(&terminal, side, &out);
	console_write(out.at, out.used);
}

static bool guest_is_on(void)
{
	enum guest_state state = guest_service_guest()->state;

	return state == GUEST_RUNNING || state == GUEST_WAITING;
}

/* The guest has the console as soon as it is started, here or by the pair, when yoke.conf says so. */
static void attach_guest(void)
{
	bool is_new = guest_is_on() && !guest_seen;

	guest_seen = guest_is_on();
	if (is_new && server.config.console.attach == CONFIG_ATTACH_GUEST)
		switch_to(TERMINAL_GUEST);
}

void server_start_command_line(void)
{
	struct text out;
	bool guest_first = guest_is_on() && server.config.console.attach == CONFIG_ATTACH_GUEST;

	guest_seen = guest_is_on();
	terminal_init(&terminal, server.config.console.escape, guest_first ? TERMINAL_GUEST : TERMINAL_SERVER,
		      server_letter());
	guest_service_set_serial(show_guest_output);
	text_init(&out, out_buffer, sizeof(out_buffer));
	terminal_prompt(&terminal, &out);
	console_write(out.at, out.used);
	console_set_line_writer(show_notice);
}

static void print_line(const char *line)
{
	console_printf("%s\n", line);
}

static void list_trace_levels(void)
{
	const struct trace_file *file;

	for (uint32_t i = 0; (file = trace_file_at(i)) != NULL; i++)
		console_printf("%-20s %-10s %s\n", file->name, file->category, trace_level_name(file->level));
}

static void set_configuration(const char *words)
{
	struct config_errors errors;

	if (config_set(words, strlen(words), &server.config, &server.config_errors, &errors))
		for (uint32_t i = 0; i < errors.count; i++)
			console_printf("%s\n", errors.list[i].text);
	server_give_roles();
	server_apply_configuration();
	server_show_configuration_errors();
}

/* The guest's buttons: of a pair's guest, at the server which decides what happens to it. */
static void touch_guest(uint32_t command)
{
	static const enum machine_button buttons[] = {
		[COMMAND_GUEST_POWER] = MACHINE_BUTTON_POWER,
		[COMMAND_GUEST_POWEROFF] = MACHINE_BUTTON_POWER_CUT,
		[COMMAND_GUEST_RESET] = MACHINE_BUTTON_RESET,
		[COMMAND_GUEST_NMI] = MACHINE_BUTTON_NMI,
	};

	if (guest_service_follows())
		console_printf("not done: this server does not run the guest alone, nor does it lead\n");
	else if (command == COMMAND_GUEST_STOP)
		guest_service_hold();
	else
		guest_service_press(buttons[command]);
}

static void touch_disk(const struct command_action *asked)
{
	static const enum mirror_command commands[] = {
		[COMMAND_DISK_FAIL] = MIRROR_COMMAND_FAIL,
		[COMMAND_DISK_ENABLE] = MIRROR_COMMAND_ENABLE,
		[COMMAND_DISK_REMIRROR] = MIRROR_COMMAND_REMIRROR,
		[COMMAND_DISK_VERIFY] = MIRROR_COMMAND_VERIFY,
	};
	const char *refusal = mirror_engine_command(mirror_service_engine(), asked->disk - DISK_MIRROR1,
						    commands[asked->kind], asked->count);

	if (refusal)
		console_printf("not done: %s\n", refusal);
}

static void flip(const struct command_action *asked)
{
	const char *wrong = "this server was started without the option debug_faults";
	char value[BOOT_OPTION_SIZE];

	if (boot_option(server.boot.command_line, "debug_faults", value))
		wrong = guest_fault_flip(guest_service_guest(), asked->words, asked->count);
	if (wrong)
		console_printf("not done: %s\n", wrong);
}

/* What a command asks for, beyond an answer in words. */
static void carry_out(const struct command_action *asked)
{
	switch (asked->kind) {
	case COMMAND_NOTHING:
		break;
	case COMMAND_CONSOLE_GUEST:
		switch_to(TERMINAL_GUEST);
		break;
	case COMMAND_SEND_ESCAPE:
		guest_service_type(server.config.console.escape);
		switch_to(TERMINAL_GUEST);
		break;
	case COMMAND_GUEST_START:
		server_start_guest();
		guest_seen = false; /* also one that goes on gets the console back */
		break;
	case COMMAND_GUEST_START_ALONE:
		if (server_is_pair())
			pair_service_start_alone();
		else
			server_start_guest();
		break;
	case COMMAND_GUEST_STOP:
	case COMMAND_GUEST_POWER:
	case COMMAND_GUEST_POWEROFF:
	case COMMAND_GUEST_RESET:
	case COMMAND_GUEST_NMI:
		touch_guest(asked->kind);
		break;
	case COMMAND_GUEST_FLIP:
		flip(asked);
		break;
	case COMMAND_DISK_FAIL:
	case COMMAND_DISK_ENABLE:
	case COMMAND_DISK_REMIRROR:
	case COMMAND_DISK_VERIFY:
		touch_disk(asked);
		break;
	case COMMAND_TRACE_LIST:
		list_trace_levels();
		break;
	case COMMAND_TRACE_SHOW:
		trace_show_last(asked->count, print_line);
		break;
	case COMMAND_TRACE_LEVEL:
		if (trace_set_level(asked->name, asked->level) == 0)
			console_printf("trace: no category or file is called \"%s\"; `trace` lists them\n",
				       asked->name);
		break;
	case COMMAND_CONFIG_SET:
		set_configuration(asked->words);
		break;
	case COMMAND_CONFIG_ACCEPT:
		config_accept(&server.config_errors);
		server_show_configuration_errors();
		break;
	case COMMAND_SERVER_REBOOT:
		power_reset();
	case COMMAND_SERVER_POWEROFF:
		power_off();
		break;
	}
}

static void run_command(struct text *out)
{
	const struct command_view view = {
		.status = &status,
		.events = &server.events,
		.config = &server.config,
		.errors = &server.config_errors,
	};

	server_status(&status);
	memset(&action, 0, sizeof(action));
	command_run(terminal.editor.line, &view, out, &action);
	console_write(out->at, out->used);
	text_init(out, out_buffer, sizeof(out_buffer));
	command_runs = true;
	carry_out(&action);
	command_runs = false;
	terminal_prompt(&terminal, out);
}

static void take_byte(uint8_t byte)
{
	struct text out;

	text_init(&out, out_buffer, sizeof(out_buffer));
	switch (terminal_input(&terminal, byte, &out)) {
	case TERMINAL_COMMAND:
		run_command(&out);
		break;
	case TERMINAL_COMPLETE:
		command_complete(&terminal.editor, &out);
		break;
	case TERMINAL_GUEST_INPUT:
		guest_service_type(byte);
		break;
	case TERMINAL_NOTHING:
		break;
	}
	console_write(out.at, out.used);
}

bool server_poll_console(void)
{
	uint8_t byte;
	bool worked = false;

	for (int i = 0; i < INPUT_BYTES_A_ROUND && console_receive(&byte); i++) {
		loop_stay_awake(AWAKE_US);
		take_byte(byte);
		worked = true;
	}
	attach_guest();
	return console_poll() || worked;
}
