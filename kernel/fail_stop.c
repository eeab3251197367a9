/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says why this server stops. Runs when nothing can be trusted: it writes by
 * polling the port, checks each pointer of the backtrace against the page tables
 * before following it, and a second fault inside it ends at once.
 */
#include "kernel/fail_stop.h"

#include <stdarg.h>
#include <stdio.h>

#include "include/assert.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"
#include "kernel/paging.h"
#include "kernel/symbols.h"
#include "kernel/trace.h"

#define BACKTRACE_MAX 32
#define TRACE_LINES_SHOWN 40

extern const char yoke_version[];

static bool stopping;

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	console_emergency_write(text);
}

static void put_trace_line(const char *line)
{
	put("  %s\n", line);
}

static void put_registers(const struct trap_frame *frame)
{
	const struct {
		const char *name;
		uint64_t value;
	} registers[] = {
		{ "rax", frame->rax },	   { "rbx", frame->rbx },	 { "rcx", frame->rcx },
		{ "rdx", frame->rdx },	   { "rsi", frame->rsi },	 { "rdi", frame->rdi },
		{ "rbp", frame->rbp },	   { "rsp", frame->rsp },	 { "r8", frame->r8 },
		{ "r9", frame->r9 },	   { "r10", frame->r10 },	 { "r11", frame->r11 },
		{ "r12", frame->r12 },	   { "r13", frame->r13 },	 { "r14", frame->r14 },
		{ "r15", frame->r15 },	   { "rip", frame->rip },	 { "flg", frame->rflags },
		{ "cr2", cpu_read_cr2() }, { "cr3", cpu_read_cr3() },	 { "cr0", cpu_read_cr0() },
		{ "cr4", cpu_read_cr4() }, { "err", frame->error_code }, { "cs", frame->cs },
	};

	put("\nregisters:\n"); /* also when the console was in the middle of a line */
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		put("%s%-3s %016lx%s", i % 4 == 0 ? "  " : " ", registers[i].name,
		    (unsigned long)registers[i].value, i % 4 == 3 ? "\n" : "");
}

static void put_place(uint64_t address)
{
	uint64_t offset;
	const char *name = symbol_find(address, &offset);

	if (name)
		put("  %016lx %s+0x%lx\n", (unsigned long)address, name, (unsigned long)offset);
	else
		put("  %016lx (not in the image)\n", (unsigned long)address);
}

static bool can_read(uint64_t address)
{
	uint64_t physical;
	uint64_t rights;

	return is_aligned(address, 8) && paging_lookup(address, &physical, &rights);
}

/* Frames need not climb, since each kind of trap has a stack of its own (trap.S); BACKTRACE_MAX ends a loop. */
static void put_backtrace(const struct trap_frame *frame)
{
	uint64_t pointer = frame->rbp;

	put("backtrace:\n");
	put_place(frame->rip);
	for (int depth = 0; depth < BACKTRACE_MAX && can_read(pointer) && can_read(pointer + 8); depth++) {
		const uint64_t *link = (const uint64_t *)pointer;

		/* The return address lies behind the call: one back is inside the caller. */
		if (link[1] == 0)
			return;
		put_place(link[1] - 1);
		pointer = link[0];
	}
}

void fail_stop_dump(const struct trap_frame *frame)
{
	put_registers(frame);
	put_backtrace(frame);
	put("last trace lines:\n");
	trace_show_last(TRACE_LINES_SHOWN, put_trace_line);
}

static void begin(void)
{
	__asm__ volatile("cli");
	if (stopping) {
		console_emergency_write("\nfail-stop: a second fault while telling of the first\n");
		debug_exit(DEBUG_EXIT_FAIL_STOP);
		cpu_halt();
	}
	stopping = true;
}

_Noreturn static void end(void)
{
	put("fail-stop: Yoke %s stopped; nothing runs on this server until it is reset\n", yoke_version);
	debug_exit(DEBUG_EXIT_FAIL_STOP);
	cpu_halt();
}

/* Page-fault error code: APM 2, 8.4.2. */
static void put_page_fault(const struct trap_frame *frame)
{
	uint64_t address = cpu_read_cr2();

	put("\nfail-stop: page fault: %s %#lx: %s\n",
	    frame->error_code & BIT(4)	 ? "execution of"
	    : frame->error_code & BIT(1) ? "write to"
					 : "read of",
	    (unsigned long)address,
	    frame->error_code & BIT(0)	     ? "not allowed there"
	    : address < 4096		     ? "null pointer"
	    : paging_is_stack_guard(address) ? "stack overflow (guard page)"
					     : "nothing is mapped there");
}

_Noreturn void fail_stop_trap(const struct trap_frame *frame)
{
	begin();
	if (frame->vector == TRAP_VECTOR_PAGE_FAULT)
		put_page_fault(frame);
	else
		put("\nfail-stop: %s (vector %lu, error code %#lx)\n", trap_name(frame->vector),
		    (unsigned long)frame->vector, (unsigned long)frame->error_code);
	fail_stop_dump(frame);
	end();
}

_Noreturn void fail_stop(const char *format, ...)
{
	struct trap_frame frame;
	char text[200];
	va_list arguments;

	trap_capture(&frame);
	begin();
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put("\nfail-stop: %s\n", text);
	fail_stop_dump(&frame);
	end();
}

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
	struct trap_frame frame;

	trap_capture(&frame);
	begin();
	put("\nfail-stop: %s:%d: ASSERT(%s)\n", file, line, expression);
	fail_stop_dump(&frame);
	end();
}
