/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of the log: something undetermined, and where in the guest's
 * instruction stream it takes effect. The same records make a recording on one
 * server and the stream between two.
 *
 * On the wire a record is a kind byte and then what the kind needs, as LEB128
 * variable-length integers, positions and times as differences to the record
 * before. A time value costs 5 to 8 bytes so; fixed fields would cost 64.
 * Differences need both sides to have seen the same records: the stream is
 * reliable and ordered, and begins at a sequence that both sides know.
 */
#ifndef LOCKSTEP_RECORD_H
#define LOCKSTEP_RECORD_H

#include "include/bits.h"
#include "include/position.h"

enum record_kind {
	RECORD_VALUE = 1, /* result of an undetermined access, at exit position.exits */
	RECORD_INPUT,	  /* an input of the machine, applied at `position` */
	RECORD_HORIZON,	  /* the leader has passed `position` */
	RECORD_CHECK,	  /* digest of the state at `position` */
	RECORD_CONTROL,	  /* a decision of the pair, at `position` */
	RECORD_KIND_COUNT,
};

enum record_value_source {
	RECORD_VALUE_TIME = 1, /* virtual time in nanoseconds */
};

/* The machine's own input fields, by its numbers (machine/machine.h); this layer only carries them. */
struct record_input {
	uint32_t kind;
	uint32_t index;
	uint32_t request;
	uint32_t status;
	uint32_t value;
};

struct record {
	uint64_t sequence;	  /* 1, 2, 3 ...; not on the wire, it follows from the order */
	uint32_t kind;		  /* enum record_kind */
	uint32_t source;	  /* VALUE: enum record_value_source; CONTROL: which decision */
	struct position position; /* VALUE: exits, and the low 16 bits of rip as a check; the rest 0 */
	uint64_t time_ns;	  /* VALUE, INPUT: virtual time */
	uint64_t digest;	  /* CHECK; CONTROL: its argument */
	struct record_input input;
	uint32_t size;	     /* INPUT: bytes at `data`; at most RECORD_DATA_MAX */
	const uint8_t *data; /* decoding: in the buffer that was decoded from */
};

#define RECORD_DATA_MAX (256 * KIB)
#define RECORD_HEADER_MAX 128 /* bytes of an encoded record without its data */

/* What the next record is the difference to. Zeroed at the beginning of a log. */
struct record_codec {
	uint64_t sequence; /* of the last record coded */
	uint64_t exits;
	uint64_t steps;
	uint64_t time_ns;
};

/*
 * Encodes `record` (its sequence is ignored) into `bytes` and moves `codec` on.
 * Returns the bytes written, or 0, with nothing changed, when `room` is less than
 * RECORD_HEADER_MAX + size. Without `data` its `size` bytes are the caller's to put
 * behind, and no room is needed for them. Positions and time never go back: our own leader made
 * them (ASSERT).
 */
uint64_t record_encode(struct record_codec *codec, const struct record *record, uint8_t *bytes,
		       uint64_t room);

/* The same of a VALUE alone: by far the commonest, a guest stands still for each. */
uint64_t record_encode_value(struct record_codec *codec, uint32_t source, const struct position *exit,
			     uint64_t time_ns, uint8_t bytes[RECORD_HEADER_MAX]);

/*
 * Decodes one record. Returns the bytes taken, 0 when `size` ends inside the
 * record, or -EINVAL for what no encoder writes. `codec` moves on when > 0.
 */
int64_t record_decode(struct record_codec *codec, const uint8_t *bytes, uint64_t size, struct record *record);

/* "value", "input" ... */
const char *record_kind_name(uint32_t kind);

#endif
