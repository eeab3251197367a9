/* SPDX-License-Identifier: Apache-2.0 */
/* The digest trail; see guest_trail.h. */
#include "kernel/guest_trail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/uart.h"
#include "include/assert.h"
#include "include/trace.h"
#include "kernel/console.h"
#include "kernel/guest_digest.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/time.h"

TRACE_FILE("trail", TRACE_INFO);

#define RATE_BAUD 115200
#define TIMEOUT_NS (2 * NS_PER_S)
#define BYTES_A_POLL 4096
#define BUFFER_SIZE (1 * MIB)
#define LINE_MAX (TRAIL_FIELD_MAX * (GUEST_DIGEST_NAME_SIZE + 18) + 128)
/* A guest that is idle has many checks at one place. */
#define LINES_A_POLL 32

static struct uart port;
static char *bytes; /* NULL: there is no trail */
static uint64_t first;
static uint64_t end;
static uint64_t line_count; /* of this run */
static uint64_t sent_ns;    /* when the port last took a byte, or had nothing to take */
static bool ended;	    /* no line is added any more, the guest goes on */
static bool told;

const char *guest_trail_init(uint16_t io_port)
{
	uint64_t physical = pages_allocate(BUFFER_SIZE / PAGE_SIZE, PAGE_SIZE);

	if (!physical)
		return "record: no memory for the trail";
	uart_init(&port, io_port, RATE_BAUD);
	if (!port.present)
		return "record.trail_port: no serial port answers there";
	bytes = pages_pointer(physical);
	return NULL;
}

void guest_trail_restart(void)
{
	line_count = 0;
	ended = false;
	told = false;
	sent_ns = time_now_ns();
}

static uint64_t room(void)
{
	return BUFFER_SIZE - (end - first);
}

static void end_trail(const char *reason)
{
	ended = true;
	trace(TRACE_WARNING, "the digest trail ends here: %s", reason);
}

bool guest_trail_has_room(void)
{
	if (!bytes || ended || room() >= LINES_A_POLL * LINE_MAX)
		return true;
	if (!time_reached(sent_ns + TIMEOUT_NS))
		return false;
	end_trail("record.trail_port takes nothing");
	return true;
}

/* A line is being made: there is room for it. */
static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	end += (uint64_t)vsnprintf(bytes + end, BUFFER_SIZE - end, format, arguments);
	va_end(arguments);
	ASSERT(end < BUFFER_SIZE);
}

static void make_room_behind(void)
{
	if (BUFFER_SIZE - end >= LINE_MAX)
		return;
	memmove(bytes, bytes + first, end - first);
	end -= first;
	first = 0;
}

void guest_trail_put(const struct position *here, const struct guest_digest *digest)
{
	char name[GUEST_DIGEST_NAME_SIZE];

	if (!bytes || ended)
		return;
	if (room() < LINE_MAX) {
		end_trail("there is no room for more");
		return;
	}
	make_room_behind();
	put("%lu + %lu, rip %#lx", (unsigned long)here->exits, (unsigned long)here->steps,
	    (unsigned long)here->rip);
	for (uint32_t i = 0; i < digest->field_count; i++) {
		guest_digest_name(digest->fields, i, name);
		put("\t%s=%016lx", name, (unsigned long)digest->fields[i]);
	}
	put("\n");
	line_count++;
}

bool guest_trail_poll(bool is_over)
{
	uint64_t sent;

	if (!bytes)
		return false;
	sent = uart_transmit_some(&port, (const uint8_t *)bytes + first, min_u64(end - first, BYTES_A_POLL));
	first += sent;
	if (sent > 0 || first == end)
		sent_ns = time_now_ns();
	if (is_over && first == end && line_count > 0 && !told) {
		told = true;
		console_printf("the digest trail is complete: %lu checks\n", (unsigned long)line_count);
	}
	return sent > 0;
}
