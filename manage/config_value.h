/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value of yoke.conf: read it, say what would have been allowed, write it.
 * The three are twins for each kind, and what is written reads back the same.
 * Internal to config.c; others see config.h.
 */
#ifndef MANAGE_CONFIG_VALUE_H
#define MANAGE_CONFIG_VALUE_H

#include "manage/config.h"

enum config_kind {
	CONFIG_CHOICE,	 /* uint32_t: index into `choices` */
	CONFIG_SIZE,	 /* uint64_t, bytes */
	CONFIG_DURATION, /* uint64_t, nanoseconds */
	CONFIG_BAUD,	 /* uint32_t */
	CONFIG_IO_PORT,	 /* uint16_t */
	CONFIG_CONTROL,	 /* uint8_t: a control character */
	CONFIG_TEXT,	 /* char[]: `maximum` characters at most */
	CONFIG_FILE,	 /* char[]: likewise, a file name without folder */
	CONFIG_MAC,	 /* uint8_t[CONFIG_MAC_SIZE]: of one station */
	CONFIG_IPV4,	 /* uint8_t[CONFIG_IPV4_SIZE]: of one host; all zero: none */
	CONFIG_PORT,	 /* struct config_port_name */
	CONFIG_DISK,	 /* struct config_disk_name */
	CONFIG_LEVELS,	 /* struct config_trace_levels */
	CONFIG_KIND_COUNT,
};

/* One row of the table. */
struct config_key {
	const char *section;
	const char *name;
	enum config_kind kind;
	size_t offset;		    /* into struct config */
	const char *default_text;   /* read like a value of the file; NULL: all zero */
	const char *const *choices; /* CHOICE: names in the order of the enum, NULL at the end */
	uint64_t minimum;	    /* SIZE, DURATION */
	uint64_t maximum;	    /* SIZE, DURATION; TEXT, FILE: characters */
	uint64_t multiple;	    /* SIZE: of this; 0: any */
	const char *word;	    /* SIZE, DURATION: a word that stands for `word_value` */
	uint64_t word_value;
};

/* Names of enum trace_level, NULL at the end. */
extern const char *const config_trace_level_names[];

/* Reads [at, at + size) into `value`. False when it is not allowed; `value` is then unchanged. */
bool config_value_parse(const struct config_key *key, const char *at, size_t size, void *value);

/* Adds what is allowed: "disk | direct", "a size such as 256M, 16M to 1T". */
void config_value_allowed(const struct config_key *key, struct text *text);

/* Adds `value` as the file would give it; nothing for a port or disk that the file does not name. */
void config_value_format(const struct config_key *key, const void *value, struct text *text);

#endif
