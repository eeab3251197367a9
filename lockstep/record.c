/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to bytes and back. Each put_ has its get_ twin: read them side by side.
 * What comes in is a peer's or a file's: every integer and length is checked.
 */
#include "lockstep/record.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"

TRACE_FILE("lockstep", TRACE_INFO);

#define VARINT_SIZE_MAX 10
#define INPUT_FIELD_COUNT 5

/* Bytes that are being decoded. */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool cut_off; /* ended inside a field */
	bool invalid;
};

/* ---- integers: seven bits a byte, low ones first, the top bit says "more" ---- */

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t get_byte(struct reader *reader)
{
	if (reader->at == reader->end) {
		reader->cut_off = true;
		return 0;
	}
	return *reader->at++;
}

static uint64_t get_varint(struct reader *reader)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < VARINT_SIZE_MAX; i++) {
		uint8_t byte = get_byte(reader);

		if (i == VARINT_SIZE_MAX - 1 && byte > 1)
			break; /* more than 64 bits */
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	reader->invalid = true;
	return 0;
}

static uint32_t get_varint32(struct reader *reader)
{
	uint64_t value = get_varint(reader);

	if (value > UINT32_MAX)
		reader->invalid = true;
	return (uint32_t)value;
}

/* ---- positions: the exits' difference; that of the steps too where the exits are the same ---- */

static uint8_t *put_position(struct record_codec *codec, uint8_t *at, const struct position *position)
{
	uint64_t steps_before = position->exits == codec->exits ? codec->steps : 0;

	ASSERT(position->exits >= codec->exits);
	ASSERT(position->steps >= steps_before);
	at = put_varint(at, position->exits - codec->exits);
	at = put_varint(at, position->steps - steps_before);
	at = put_varint(at, position->rip);
	at = put_varint(at, position->rcx);
	codec->exits = position->exits;
	codec->steps = position->steps;
	return at;
}

static void get_position(struct record_codec *codec, struct reader *reader, struct position *position)
{
	uint64_t exits = get_varint(reader);
	uint64_t steps = get_varint(reader);
	uint64_t steps_before = exits == 0 ? codec->steps : 0;

	if (exits > UINT64_MAX - codec->exits || steps > UINT64_MAX - steps_before)
		reader->invalid = true;
	codec->exits += exits;
	codec->steps = steps_before + steps;
	position->exits = codec->exits;
	position->steps = codec->steps;
	position->rip = get_varint(reader);
	position->rcx = get_varint(reader);
}

/* ---- exits: where a value belongs; RIP's low 16 bits are check enough ---- */

static uint8_t *put_exit(struct record_codec *codec, uint8_t *at, const struct position *position)
{
	ASSERT(position->exits >= codec->exits);
	at = put_varint(at, position->exits - codec->exits);
	if (position->exits != codec->exits)
		codec->steps = 0;
	codec->exits = position->exits;
	*at++ = (uint8_t)position->rip;
	*at++ = (uint8_t)(position->rip >> 8);
	return at;
}

static void get_exit(struct record_codec *codec, struct reader *reader, struct position *position)
{
	uint64_t exits = get_varint(reader);

	if (exits > UINT64_MAX - codec->exits)
		reader->invalid = true;
	if (exits != 0)
		codec->steps = 0;
	codec->exits += exits;
	position->exits = codec->exits;
	position->rip = get_byte(reader);
	position->rip |= (uint64_t)get_byte(reader) << 8;
}

/* ---- time: a difference ---- */

static uint8_t *put_time(struct record_codec *codec, uint8_t *at, uint64_t time_ns)
{
	ASSERT(time_ns >= codec->time_ns);
	at = put_varint(at, time_ns - codec->time_ns);
	codec->time_ns = time_ns;
	return at;
}

static uint64_t get_time(struct record_codec *codec, struct reader *reader)
{
	uint64_t difference = get_varint(reader);

	if (difference > UINT64_MAX - codec->time_ns)
		reader->invalid = true;
	codec->time_ns += difference;
	return codec->time_ns;
}

/* ---- records ---- */

static uint8_t *put_input(struct record_codec *codec, uint8_t *at, const struct record *record)
{
	const uint32_t fields[INPUT_FIELD_COUNT] = { record->input.kind, record->input.index,
						     record->input.request, record->input.status,
						     record->input.value };

	at = put_position(codec, at, &record->position);
	at = put_time(codec, at, record->time_ns);
	for (uint32_t i = 0; i < INPUT_FIELD_COUNT; i++)
		at = put_varint(at, fields[i]);
	return put_varint(at, record->size);
}

static void get_input(struct record_codec *codec, struct reader *reader, struct record *record)
{
	uint32_t *const fields[INPUT_FIELD_COUNT] = { &record->input.kind, &record->input.index,
						      &record->input.request, &record->input.status,
						      &record->input.value };

	get_position(codec, reader, &record->position);
	record->time_ns = get_time(codec, reader);
	for (uint32_t i = 0; i < INPUT_FIELD_COUNT; i++)
		*fields[i] = get_varint32(reader);
	record->size = get_varint32(reader);
	if (record->size > RECORD_DATA_MAX)
		reader->invalid = true;
}

uint64_t record_encode_value(struct record_codec *codec, uint32_t source, const struct position *exit,
			     uint64_t time_ns, uint8_t bytes[RECORD_HEADER_MAX])
{
	uint8_t *at = bytes;

	*at++ = RECORD_VALUE;
	*at++ = (uint8_t)source;
	at = put_exit(codec, at, exit);
	at = put_time(codec, at, time_ns);
	codec->sequence++;
	return (uint64_t)(at - bytes);
}

uint64_t record_encode(struct record_codec *codec, const struct record *record, uint8_t *bytes, uint64_t room)
{
	uint32_t data_size = record->kind == RECORD_INPUT && record->data ? record->size : 0;
	uint8_t *at = bytes;

	ASSERT(record->kind > 0);
	ASSERT(record->kind < RECORD_KIND_COUNT);
	ASSERT(record->size <= RECORD_DATA_MAX);
	if (room < RECORD_HEADER_MAX + (uint64_t)data_size)
		return 0;
	*at++ = (uint8_t)record->kind;
	switch (record->kind) {
	case RECORD_VALUE:
		return record_encode_value(codec, record->source, &record->position, record->time_ns, bytes);
	case RECORD_INPUT:
		at = put_input(codec, at, record);
		break;
	case RECORD_HORIZON:
		at = put_position(codec, at, &record->position);
		break;
	case RECORD_CHECK:
		at = put_position(codec, at, &record->position);
		at = put_varint(at, record->digest);
		break;
	case RECORD_CONTROL:
		*at++ = (uint8_t)record->source;
		at = put_position(codec, at, &record->position);
		at = put_varint(at, record->digest);
		break;
	}
	ASSERT(at - bytes <= RECORD_HEADER_MAX);
	if (data_size)
		memcpy(at, record->data, data_size);
	codec->sequence++;
	return (uint64_t)(at - bytes) + data_size;
}

/* The fields of a record whose kind is known, data left out. */
static void get_record(struct record_codec *codec, struct reader *reader, struct record *record)
{
	switch (record->kind) {
	case RECORD_VALUE:
		record->source = get_byte(reader);
		get_exit(codec, reader, &record->position);
		record->time_ns = get_time(codec, reader);
		break;
	case RECORD_INPUT:
		get_input(codec, reader, record);
		break;
	case RECORD_HORIZON:
		get_position(codec, reader, &record->position);
		break;
	case RECORD_CHECK:
		get_position(codec, reader, &record->position);
		record->digest = get_varint(reader);
		break;
	case RECORD_CONTROL:
		record->source = get_byte(reader);
		get_position(codec, reader, &record->position);
		record->digest = get_varint(reader);
		break;
	default:
		reader->invalid = true;
		break;
	}
}

int64_t record_decode(struct record_codec *codec, const uint8_t *bytes, uint64_t size, struct record *record)
{
	struct record_codec next = *codec;
	struct reader reader = { .at = bytes, .end = bytes + size };

	memset(record, 0, sizeof(*record));
	record->kind = get_byte(&reader);
	if (!reader.cut_off)
		get_record(&next, &reader, record);
	if (reader.cut_off)
		return 0;
	if (reader.invalid)
		return trace_error(-EINVAL);
	if ((uint64_t)(reader.end - reader.at) < record->size)
		return 0;
	record->data = reader.at;
	record->sequence = ++next.sequence;
	*codec = next;
	return (reader.at - bytes) + (int64_t)record->size;
}

const char *record_kind_name(uint32_t kind)
{
	static const char *const names[RECORD_KIND_COUNT] = {
		[RECORD_VALUE] = "value", [RECORD_INPUT] = "input",	[RECORD_HORIZON] = "horizon",
		[RECORD_CHECK] = "check", [RECORD_CONTROL] = "control",
	};

	return kind < RECORD_KIND_COUNT && names[kind] ? names[kind] : "unknown";
}
