/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's command line: a line of text in; text for the person out, and at
 * most one action for the hypervisor to carry out. Pure: what a command needs to
 * know it is shown in a struct command_view. Commands are rows of a table; `help`
 * is made from it. A wrong command is refused with what would have been right; an
 * action is refused when the state of guest and servers forbids it.
 */
#ifndef MANAGE_COMMAND_H
#define MANAGE_COMMAND_H

#include "include/bits.h"
#include "include/trace.h"
#include "manage/config.h"
#include "manage/event.h"
#include "manage/line_editor.h"
#include "manage/status.h"
#include "manage/text.h"

#define COMMAND_OUT_SIZE (64 * KIB) /* enough for what any command says */
#define COMMAND_TRACE_LINES 20	    /* that `trace show` shows when it is not told how many */

enum command_action_kind {
	COMMAND_NOTHING,
	COMMAND_CONSOLE_GUEST,	   /* give the terminal to the guest: terminal_switch() */
	COMMAND_SEND_ESCAPE,	   /* give the guest the escape byte, then the terminal */
	COMMAND_GUEST_START,	   /* from power-on, or on from a stop */
	COMMAND_GUEST_START_ALONE, /* likewise, not waiting for the other server */
	COMMAND_GUEST_STOP,	   /* hold it where it is */
	COMMAND_GUEST_POWER,	   /* press its power button */
	COMMAND_GUEST_POWEROFF,	   /* take its power away */
	COMMAND_GUEST_RESET,	   /* press its reset button */
	COMMAND_GUEST_NMI,
	COMMAND_GUEST_FLIP, /* bit `count` of what is called `words`, in this server's guest alone */
	COMMAND_DISK_FAIL,  /* of server `count` (0: a, 1: b), the disk called `disk` */
	COMMAND_DISK_ENABLE,
	COMMAND_DISK_REMIRROR,
	COMMAND_DISK_VERIFY, /* both servers' */
	COMMAND_TRACE_LIST,  /* show each category with its level */
	COMMAND_TRACE_SHOW,  /* show the last `count` lines */
	COMMAND_TRACE_LEVEL, /* set `level` for `name`, a category, a file or "all"; say so if it is unknown
			      */
	COMMAND_CONFIG_SET, /* config_set() with `words`, which was tried on a copy already, then the roles */
	COMMAND_CONFIG_ACCEPT, /* config_accept() */
	COMMAND_SERVER_REBOOT,
	COMMAND_SERVER_POWEROFF,
};

struct command_action {
	uint32_t kind;	/* enum command_action_kind */
	uint32_t level; /* enum trace_level */
	uint32_t disk;	/* enum disk_role */
	uint32_t count;
	char name[CONFIG_TRACE_NAME_SIZE];
	char words[LINE_SIZE];
};

/* What a command may look at. All of it stays as it is. */
struct command_view {
	const struct status *status;
	const struct event_log *events;
	const struct config *config;
	const struct config_errors *errors; /* that stand: config_parse(), roles_assign() */
};

/*
 * Runs the command `line`. Adds what it says to `out`, which should have
 * COMMAND_OUT_SIZE bytes, and fills `action`. An empty line does nothing.
 */
void command_run(const char *line, const struct command_view *view, struct text *out,
		 struct command_action *action);

/*
 * Tab: completes the word at the end of the editor's line when only one command
 * or argument begins so; shows the choices when there are several.
 */
void command_complete(struct line_editor *editor, struct text *out);

#endif
