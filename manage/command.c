/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/command.h"

#include <string.h>

#include "include/assert.h"
#include "manage/nearest.h"
#include "manage/roles.h"
#include "manage/unit.h"

#define WORD_MAX 4
#define WORD_SIZE 32
#define ARGUMENT_MAX 8
#define HELP_COLUMN 48

struct words {
	uint32_t count;			/* of all words in the line, also of those that do not fit below */
	char list[WORD_MAX][WORD_SIZE]; /* cut when longer: then they match nothing */
	const char *rest;		/* the line behind the first word */
};

struct command {
	const char *name;
	const char *usage;		     /* behind the name; "" for nothing */
	const char *help;		     /* one line */
	const char *arguments[ARGUMENT_MAX]; /* what the first argument may be, for tab; NULL at the end */
	void (*run)(const struct command *command, const struct words *words, const struct command_view *view,
		    struct text *out, struct command_action *action);
};

/* Cuts `line` into words. */
static void words_split(const char *line, struct words *words)
{
	memset(words, 0, sizeof(*words));
	words->rest = "";
	while (*line != '\0') {
		size_t size;

		line += strspn(line, " ");
		size = strcspn(line, " ");
		if (size == 0)
			break;
		if (words->count < WORD_MAX)
			memcpy(words->list[words->count], line, min_u64(size, WORD_SIZE - 1));
		line += size;
		if (words->count++ == 0)
			words->rest = line + strspn(line, " ");
	}
}

static bool word_is(const struct words *words, uint32_t index, const char *word)
{
	return index < min_u64(words->count, WORD_MAX) && strcmp(words->list[index], word) == 0;
}

/* "usage: guest [start | stop ...]", for arguments that a command does not take. */
static void usage_add(const struct command *command, const struct words *words, struct text *out)
{
	if (words->count > 1 && command->usage[0] == '\0')
		text_add(out, "%s takes no argument; found \"%s\"\n", command->name, words->rest);
	else
		text_add(out, "found \"%s%s%s\"; allowed: %s%s%s\n", command->name,
			 words->count > 1 ? " " : "", words->rest, command->name,
			 command->usage[0] ? " " : "", command->usage);
}

/* A count of 1 to `maximum` as argument `index`; false with a refusal when it is none. */
static bool count_parse(const struct command *command, const struct words *words, uint32_t index,
			uint32_t maximum, uint32_t *count, struct text *out)
{
	uint64_t value;

	if (!unit_parse(words->list[index], strlen(words->list[index]), NULL, 0, true, &value) ||
	    value == 0 || value > maximum) {
		text_add(out, "%s: found \"%s\"; allowed: a number, 1 to %u\n", command->name,
			 words->list[index], maximum);
		return false;
	}
	*count = (uint32_t)value;
	return true;
}

static void run_status(const struct command *command, const struct words *words,
		       const struct command_view *view, struct text *out, struct command_action *action)
{
	(void)action;
	if (words->count == 1) {
		status_add_text(out, view->status, view->events);
	} else if (words->count == 2 && word_is(words, 1, "json")) {
		status_add_json(out, view->status, view->events);
		text_add(out, "\n");
	} else {
		usage_add(command, words, out);
	}
}

#define LOG_COUNT 20

static void run_log(const struct command *command, const struct words *words, const struct command_view *view,
		    struct text *out, struct command_action *action)
{
	uint32_t present = event_count(view->events);
	bool json = words->count > 1 && word_is(words, words->count - 1, "json");
	uint32_t given = words->count - 1 - (json ? 1 : 0);
	uint32_t count = LOG_COUNT;

	(void)action;
	if (given > 1) {
		usage_add(command, words, out);
		return;
	}
	if (given == 1 && !count_parse(command, words, 1, EVENT_RING_SIZE, &count, out))
		return;
	if (present == 0)
		text_add(out, json ? "" : "no events yet\n");
	for (uint32_t i = present - (uint32_t)min_u64(present, count); i < present; i++) {
		if (json)
			event_add_json(out, event_at(view->events, i));
		else
			event_add_text(out, event_at(view->events, i));
		text_add(out, "\n");
	}
}

/* Does the configuration allow a start? If not, says why. */
static bool config_is_good(const struct command_view *view, struct text *out)
{
	const struct config_errors *errors = view->errors;

	if (errors->count == 0)
		return true;
	text_add(out, "the guest cannot start, the configuration is wrong:\n");
	for (uint32_t i = 0; i < errors->count; i++)
		text_add(out, "  %s\n", errors->list[i].text);
	text_add(
		out,
		"mend it here with set section.key=value, or `config accept` to go on without lines that name "
		"no key\n");
	return false;
}

static bool guest_is(const struct command_view *view, enum status_guest_state state)
{
	return view->status->guest.state == (uint32_t)state;
}

static bool guest_is_running(const struct command_view *view)
{
	return guest_is(view, STATUS_GUEST_RUNNING) || guest_is(view, STATUS_GUEST_STARTING);
}

static void run_start(const struct command *command, const struct words *words,
		      const struct command_view *view, struct text *out, struct command_action *action)
{
	bool alone = words->count == 2 && word_is(words, 1, "alone");

	if (words->count > 1 && !alone)
		usage_add(command, words, out);
	else if (guest_is_running(view))
		text_add(out, "the guest is %s already\n",
			 status_guest_state_name(view->status->guest.state));
	else if (config_is_good(view, out))
		action->kind = alone ? COMMAND_GUEST_START_ALONE : COMMAND_GUEST_START;
}

struct guest_command {
	const char *name;
	enum command_action_kind kind;
	bool needs_running; /* else it may be stopped too */
};

static const struct guest_command guest_commands[] = {
	{ "stop", COMMAND_GUEST_STOP, true },
	{ "power", COMMAND_GUEST_POWER, true },
	{ "poweroff", COMMAND_GUEST_POWEROFF, false },
	{ "reset", COMMAND_GUEST_RESET, false },
	{ "nmi", COMMAND_GUEST_NMI, true },
};

static void guest_act(const struct guest_command *guest, const struct command_view *view, struct text *out,
		      struct command_action *action)
{
	bool possible =
		guest_is_running(view) || (!guest->needs_running && guest_is(view, STATUS_GUEST_STOPPED));

	if (possible)
		action->kind = guest->kind;
	else
		text_add(out, "guest %s: the guest is %s\n", guest->name,
			 status_guest_state_name(view->status->guest.state));
}

static void run_guest(const struct command *command, const struct words *words,
		      const struct command_view *view, struct text *out, struct command_action *action)
{
	if (words->count == 2) {
		for (uint32_t i = 0; i < ARRAY_SIZE(guest_commands); i++) {
			if (word_is(words, 1, guest_commands[i].name)) {
				guest_act(&guest_commands[i], view, out, action);
				return;
			}
		}
	}
	usage_add(command, words, out);
}

static void run_disks(const struct command *command, const struct words *words,
		      const struct command_view *view, struct text *out, struct command_action *action)
{
	(void)action;
	if (words->count == 1)
		status_add_disks(out, view->status);
	else
		usage_add(command, words, out);
}

/* The mirrored disk called argument `index`; DISK_ROLE_COUNT: none is. */
static uint32_t mirror_parse(const struct words *words, uint32_t index)
{
	uint32_t role = DISK_MIRROR1;

	while (role < DISK_ROLE_COUNT && !word_is(words, index, disk_role_name(role)))
		role++;
	return role;
}

static void run_disk(const struct command *command, const struct words *words,
		     const struct command_view *view, struct text *out, struct command_action *action)
{
	static const struct {
		const char *name;
		uint32_t kind;
		bool of_both; /* else a word names the server */
	} verbs[] = { { "fail", COMMAND_DISK_FAIL, false },
		      { "enable", COMMAND_DISK_ENABLE, false },
		      { "remirror", COMMAND_DISK_REMIRROR, false },
		      { "verify", COMMAND_DISK_VERIFY, true } };
	uint32_t role = mirror_parse(words, 2);
	bool of_b = word_is(words, 3, "b");
	bool of_one = words->count == 4 && (of_b || word_is(words, 3, "a"));

	if (words->count == 3 && word_is(words, 1, "show") && role < DISK_ROLE_COUNT) {
		status_add_disk(out, view->status, role);
		return;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(verbs) && role < DISK_ROLE_COUNT; i++) {
		if (!word_is(words, 1, verbs[i].name) || !(verbs[i].of_both ? words->count == 3 : of_one))
			continue;
		action->kind = verbs[i].kind;
		action->disk = role;
		action->count = of_b;
		return;
	}
	usage_add(command, words, out);
}

/* Debugging: a fault on purpose, for which the server must have been started (docs/HACKING.md). */
static void run_flip(const struct command *command, const struct words *words,
		     const struct command_view *view, struct text *out, struct command_action *action)
{
	uint64_t bit;

	if (words->count != 3 || !unit_parse(words->list[2], strlen(words->list[2]), NULL, 0, true, &bit) ||
	    bit > UINT32_MAX) {
		usage_add(command, words, out);
	} else if (!guest_is_running(view)) {
		text_add(out, "flip: the guest is %s\n", status_guest_state_name(view->status->guest.state));
	} else {
		action->kind = COMMAND_GUEST_FLIP;
		action->count = (uint32_t)bit;
		text_copy(action->words, sizeof(action->words), words->list[1]);
	}
}

static void run_console(const struct command *command, const struct words *words,
			const struct command_view *view, struct text *out, struct command_action *action)
{
	(void)view;
	if (words->count == 1)
		action->kind = COMMAND_CONSOLE_GUEST;
	else if (words->count == 2 && word_is(words, 1, "escape"))
		action->kind = COMMAND_SEND_ESCAPE;
	else
		usage_add(command, words, out);
}

/* The level called argument `index`, or false with a refusal. */
static bool level_parse(const struct words *words, uint32_t index, uint32_t *level, struct text *out)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	for (uint32_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (word_is(words, index, names[i])) {
			*level = i;
			return true;
		}
	}
	text_add(out, "trace: found \"%s\"; allowed: error | warning | info | debug\n", words->list[index]);
	return false;
}

static void run_trace(const struct command *command, const struct words *words,
		      const struct command_view *view, struct text *out, struct command_action *action)
{
	(void)view;
	if (words->count == 1) {
		action->kind = COMMAND_TRACE_LIST;
	} else if (word_is(words, 1, "show") && words->count <= 3) {
		action->count = COMMAND_TRACE_LINES;
		if (words->count == 2 || count_parse(command, words, 2, 10000, &action->count, out))
			action->kind = COMMAND_TRACE_SHOW;
	} else if (words->count == 3 && strlen(words->list[1]) < sizeof(action->name)) {
		text_copy(action->name, sizeof(action->name), words->list[1]);
		if (level_parse(words, 2, &action->level, out))
			action->kind = COMMAND_TRACE_LEVEL;
	} else {
		usage_add(command, words, out);
	}
}

static void config_show(const struct command_view *view, struct text *out)
{
	config_write(view->config, out);
	for (uint32_t i = 0; i < view->errors->count; i++)
		text_add(out, "%s%s\n", i == 0 ? "\nerrors:\n" : "", view->errors->list[i].text);
}

static bool is_error_without_key(const struct config_errors *errors)
{
	for (uint32_t i = 0; i < errors->count; i++)
		if (errors->list[i].key == CONFIG_NO_KEY)
			return true;
	return false;
}

static void run_config(const struct command *command, const struct words *words,
		       const struct command_view *view, struct text *out, struct command_action *action)
{
	if (words->count == 1)
		config_show(view, out);
	else if (words->count != 2 || !word_is(words, 1, "accept"))
		usage_add(command, words, out);
	else if (is_error_without_key(view->errors))
		action->kind = COMMAND_CONFIG_ACCEPT;
	else
		text_add(out, "config accept: there is no line without a key%s\n",
			 view->errors->count > 0 ? "; errors about a key are mended with set" : "");
}

/*
 * Tried on a copy, so that the person sees at once what is wrong. The copies are
 * big for a stack of a few pages, hence static: they are scratch, not state.
 */
static void run_set(const struct command *command, const struct words *words, const struct command_view *view,
		    struct text *out, struct command_action *action)
{
	static struct config config;
	static struct config_errors standing;
	static struct config_errors errors;

	if (words->count == 1) {
		usage_add(command, words, out);
		return;
	}
	config = *view->config;
	standing = *view->errors;
	if (config_set(words->rest, strlen(words->rest), &config, &standing, &errors) != 0) {
		for (uint32_t i = 0; i < errors.count; i++)
			text_add(out, "%s\n", errors.list[i].text);
		return;
	}
	action->kind = COMMAND_CONFIG_SET;
	text_copy(action->words, sizeof(action->words), words->rest);
	if (guest_is_running(view))
		text_add(out, "set; counts for the guest when it starts the next time\n");
}

/* Would the guest die with this server? */
static bool guest_is_here_only(const struct command_view *view)
{
	const struct status_server *self = &view->status->servers[view->status->self];

	return guest_is_running(view) && self->state != STATUS_SERVER_DUPLEX_LEADER &&
	       self->state != STATUS_SERVER_DUPLEX_FOLLOWER;
}

static void server_act(const struct command *command, const struct words *words,
		       const struct command_view *view, enum command_action_kind kind, struct text *out,
		       struct command_action *action)
{
	bool force = words->count == 2 && word_is(words, 1, "force");

	if (words->count > 1 && !force)
		usage_add(command, words, out);
	else if (guest_is_here_only(view) && !force)
		text_add(out,
			 "%s: the guest runs on this server only and would stop; if it shall: %s force\n",
			 command->name, command->name);
	else
		action->kind = kind;
}

static void run_reboot(const struct command *command, const struct words *words,
		       const struct command_view *view, struct text *out, struct command_action *action)
{
	server_act(command, words, view, COMMAND_SERVER_REBOOT, out, action);
}

static void run_poweroff(const struct command *command, const struct words *words,
			 const struct command_view *view, struct text *out, struct command_action *action)
{
	server_act(command, words, view, COMMAND_SERVER_POWEROFF, out, action);
}

static void run_help(const struct command *command, const struct words *words,
		     const struct command_view *view, struct text *out, struct command_action *action);

static const struct command commands[] = {
	{ "help", "", "this list", { NULL }, run_help },
	{ "status", "[json]", "servers, guest, links, ports, disks, faults", { "json", NULL }, run_status },
	{ "log", "[COUNT] [json]", "the last events", { "json", NULL }, run_log },
	{ "console",
	  "[escape]",
	  "to the guest's console; escape: give it that key",
	  { "escape", NULL },
	  run_console },
	{ "start",
	  "[alone]",
	  "start the guest; alone: without the other server",
	  { "alone", NULL },
	  run_start },
	{ "guest",
	  "stop | power | poweroff | reset | nmi",
	  "hold it; its power button; its power; reset; NMI",
	  { "stop", "power", "poweroff", "reset", "nmi", NULL },
	  run_guest },
	{ "disks", "", "the disks of this server, and what the other server's lack", { NULL }, run_disks },
	{ "disk",
	  "show | verify DISK, fail | enable | remirror DISK a | b",
	  "all of one; compare both; drop a server's, use it again, copy to it",
	  { "show", "verify", "fail", "enable", "remirror", NULL },
	  run_disk },
	{ "config",
	  "[accept]",
	  "all values and errors; accept: go on without unknown lines",
	  { "accept", NULL },
	  run_config },
	{ "set", "SECTION.KEY=VALUE ...", "change the configuration until the next boot", { NULL }, run_set },
	{ "trace",
	  "[show [COUNT] | NAME LEVEL]",
	  "levels; last lines; set NAME (category, file, all)",
	  { "show", "all", NULL },
	  run_trace },
	{ "flip", "NAME | ADDRESS BIT", "debugging: a bit of this server's guest only", { NULL }, run_flip },
	{ "reboot", "[force]", "reboot this server", { "force", NULL }, run_reboot },
	{ "poweroff", "[force]", "switch this server off", { "force", NULL }, run_poweroff },
};

#define COMMAND_COUNT ((uint32_t)ARRAY_SIZE(commands))

static void run_help(const struct command *command, const struct words *words,
		     const struct command_view *view, struct text *out, struct command_action *action)
{
	(void)view;
	(void)action;
	if (words->count > 1) {
		usage_add(command, words, out);
		return;
	}
	for (uint32_t i = 0; i < COMMAND_COUNT; i++) {
		text_add(out, "  %s %s%s", commands[i].name, commands[i].usage,
			 strlen(commands[i].name) + strlen(commands[i].usage) > HELP_COLUMN - 4 ? "\n" : "");
		text_pad(out, HELP_COLUMN);
		text_add(out, "%s\n", commands[i].help);
	}
}

static const struct command *command_find(const char *name)
{
	for (uint32_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* The command that has `name` as an argument, or NULL: a person may leave the first word out. */
static const struct command *command_with_argument(const char *name)
{
	for (uint32_t i = 0; i < COMMAND_COUNT; i++)
		for (uint32_t j = 0; commands[i].arguments[j] != NULL; j++)
			if (strcmp(commands[i].arguments[j], name) == 0)
				return &commands[i];
	return NULL;
}

static void command_unknown(const char *name, struct text *out)
{
	const struct command *parent = command_with_argument(name);
	uint32_t least = UINT32_MAX;
	const char *nearest = NULL;

	for (uint32_t i = 0; i < COMMAND_COUNT; i++) {
		uint32_t distance = word_distance(name, strlen(name), commands[i].name);

		if (distance < least) {
			least = distance;
			nearest = commands[i].name;
		}
	}
	text_add(out, "unknown command \"%s\"", name);
	if (parent)
		text_add(out, "; did you mean %s %s?\n", parent->name, name);
	else if (nearest && word_is_near(least, strlen(name)))
		text_add(out, "; did you mean %s?\n", nearest);
	else
		text_add(out, "; help lists them\n");
}

void command_run(const char *line, const struct command_view *view, struct text *out,
		 struct command_action *action)
{
	const struct command *command;
	struct words words;

	memset(action, 0, sizeof(*action));
	words_split(line, &words);
	if (words.count == 0)
		return;
	command = command_find(words.list[0]);
	if (command)
		command->run(command, &words, view, out, action);
	else
		command_unknown(words.list[0], out);
}

/* The choices at a place in the line: commands, or a command's first argument. */
struct choices {
	const struct command *command; /* NULL: the commands themselves */
};

static const char *choice_at(const struct choices *choices, uint32_t index)
{
	if (choices->command)
		return choices->command->arguments[index];
	return index < COMMAND_COUNT ? commands[index].name : NULL;
}

/* How many choices begin with `word`; `common` gets the beginning they share. */
static uint32_t choices_match(const struct choices *choices, const char *word, char common[WORD_SIZE])
{
	uint32_t matches = 0;

	for (uint32_t i = 0; choice_at(choices, i) != NULL; i++) {
		const char *choice = choice_at(choices, i);
		size_t same = 0;

		if (strncmp(choice, word, strlen(word)) != 0)
			continue;
		if (matches++ == 0)
			text_copy(common, WORD_SIZE, choice);
		while (common[same] != '\0' && common[same] == choice[same])
			same++;
		common[same] = '\0';
	}
	return matches;
}

void command_complete(struct line_editor *editor, struct text *out)
{
	char common[WORD_SIZE] = "";
	struct choices choices = { NULL };
	struct words words;
	const char *word;
	uint32_t matches;

	words_split(editor->line, &words);
	word = strrchr(editor->line, ' ') ? strrchr(editor->line, ' ') + 1 : editor->line;
	if (words.count > 0 && word != editor->line)
		choices.command = command_find(words.list[0]);
	/* Only at the end of the line, only the first two words, and only behind a command that is known. */
	if (editor->cursor != editor->size || strlen(word) >= WORD_SIZE ||
	    words.count > (word[0] == '\0' ? 1 : 2) ||
	    (word != editor->line && words.count > 0 && !choices.command))
		return;
	matches = choices_match(&choices, word, common);
	if (matches == 0)
		return;
	if (strlen(common) > strlen(word) || matches == 1) {
		line_editor_insert(editor, common + strlen(word), out);
		if (matches == 1)
			line_editor_insert(editor, " ", out);
		return;
	}
	text_add(out, "\n");
	for (uint32_t i = 0; choice_at(&choices, i) != NULL; i++)
		if (strncmp(choice_at(&choices, i), word, strlen(word)) == 0)
			text_add(out, "%s ", choice_at(&choices, i));
	text_add(out, "\n");
	line_editor_show(editor, out);
}
