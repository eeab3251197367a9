/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop: virtual processor, virtual machine and the door between them and the
 * world, on one server. It is wiring, as main.c is, so it may include what it wires.
 *
 *     guest_poll()   inputs that are due here
 *                    a slice: run, exit, act, run ... (kernel/guest_exit.c)
 *                    outputs go out as they are made
 *
 * Order at one place is fixed, since leader and follower must agree: first what the
 * exit did, then inputs in the log's order, then the interrupt line is looked at.
 * After an asynchronous exit without input it is not: nothing may change there.
 */
#ifndef KERNEL_GUEST_H
#define KERNEL_GUEST_H

#include "include/bits.h"
#include "include/vcpu_exit.h"
#include "kernel/guest_door.h"
#include "kernel/step_counter.h"
#include "kernel/vcpu.h"
#include "machine/context.h"
#include "machine/machine.h"

/*
 * What a slice is at most, if nothing is due earlier: steps and exits. Less while a disk
 * works for the guest: firmware waits for it in a loop full of exits, and what the disk
 * answers is looked at between slices only.
 */
#define GUEST_SLICE_STEPS 250000
#define GUEST_SLICE_EXITS 512
#define GUEST_SLICE_STEPS_WAITING 50000
#define GUEST_SLICE_EXITS_WAITING 32

enum guest_state {
	GUEST_OFF, /* never started, or switched itself off */
	GUEST_RUNNING,
	GUEST_WAITING, /* follows a log that has not got that far, or diverged from its leader */
	GUEST_STOPPED, /* by a fault; `reason` says which */
};

/* The world around the guest. All calls come from guest_poll(), none may wait. */
struct guest_outside {
	/* An output of the guest, in the order it made them. Valid during the call. */
	void (*output)(const struct machine_output *output);
	/*
	 * The next input that has arrived, false when there is none. Asked only while this
	 * server decides; a guest that is off gets buttons only. Its data must stay until the
	 * next call.
	 */
	bool (*input)(struct machine_input *input);
	/* In a pair: a slice is over, and so far the log tells. What was put out until here is complete. */
	void (*slice_end)(void);
	/*
	 * An input that a log has decided, before the machine gets it: fills in what the log
	 * leaves out. 0; -EAGAIN: it is not here yet, ask again; -EILSEQ: what is here is not
	 * what the leader had.
	 */
	int (*replayed)(struct machine_input *input);
	/* The guest was checked at `here`: for the log, or against it. */
	void (*checked)(const struct position *here, const struct guest_digest *digest);
};

/* What the guest starts from: its firmware, or a kernel. The files must stay. */
struct guest_boot {
	const uint8_t *firmware; /* of the size that guest_init() has room for; NULL: the kernel starts */
	const uint8_t *kernel;
	uint64_t kernel_size;
	const uint8_t *initrd; /* NULL: none */
	uint64_t initrd_size;
	const char *command_line;
};

struct guest_exit_count {
	uint64_t count;
	uint64_t ticks;	       /* TSC ticks that we spent on these, from the exit to the next entry */
	uint64_t at_slice_end; /* more of them: the last of a slice, behind which much else is done */
};

static inline uint64_t guest_exit_total(const struct guest_exit_count *count)
{
	return count->count + count->at_slice_end;
}

struct guest {
	struct vcpu vcpu;
	struct machine machine;
	struct guest_memory memory;
	struct guest_door door;
	struct guest_boot boot;
	const struct guest_outside *outside;

	enum guest_state state;
	const char *reason;	/* of STOPPED */
	struct vcpu_exit exit;	/* the last one */
	bool exit_open;		/* not acted upon yet: it waits for a value */
	bool date_owed;		/* it was switched on, and its clock has not been told the date */
	bool drains;		/* executes nothing; inputs go in all the same */
	uint64_t wait_since_ns; /* it waits for a follower that lags; 0: it does not */
	uint64_t wait_ns;	/* that it has so waited, in all */
	/* machine.changes when the interrupt lines were looked at last; guest_look_again() */
	uint64_t lines_of;
	uint64_t deadline_of; /* machine.timer_changes when `deadline_ns` was machine_next_deadline_ns() */
	uint64_t deadline_ns;
	bool input_here;  /* an input took effect at this position */
	bool nmi_returns; /* one step more, and NMIs are open again */

	bool restarts_on_failure; /* the policy; else a failure stops it */
	uint64_t restarts;	  /* by that policy, since power-on */

	bool waits;	     /* set by the outside: an answer may come soon */
	uint64_t steps_left; /* of this slice; the outside may end it by 0 */
	uint64_t slice_mean; /* slices of random length around it, for tests; 0: as long as may be */
	uint64_t slice_seed; /* not 0 */

	uint64_t check_next_ns; /* virtual time of the next digest */
	uint64_t check_count;
	uint64_t last_digest;	  /* of the last check, after the guest's end of everything */
	struct position horizon;  /* last told to the follower */
	uint64_t horizon_next_ns; /* of the server's clock: told again by then */
	bool put_out;		  /* something, since the horizon was told */

	uint64_t steps; /* in all */
	struct guest_exit_count exits[VCPU_EXIT_KIND_COUNT];
};

/*
 * Takes the guest's memory, with room for firmware of `firmware_size` bytes (0: none will
 * be started), and gets the processor ready. Start-up only. NULL, or one line that says
 * why there will be no guest; `counter` has proved itself or not.
 */
const char *guest_init(struct guest *guest, const struct machine_config *config, uint64_t firmware_size,
		       const struct step_counter *counter, const struct guest_outside *outside);

/*
 * As good as new, off: memory zeroed and mapped, machine and processor reset. NULL, or one
 * line that says why not. Then guest_start(), or a context is loaded by guest_load().
 */
const char *guest_prepare(struct guest *guest, const struct guest_boot *boot);

/*
 * Power-on, after guest_prepare(): firmware or kernel loaded. The door is open; call
 * guest_door_record(), guest_door_replay() or guest_door_pair() on guest->door right after.
 * NULL, or one line that says what is wrong with the kernel or initrd.
 */
const char *guest_start(struct guest *guest);

/*
 * The guest's context, sealed: all of it but its memory, which the caller copies at the
 * same time, and `outputs`, which it has made. Between two polls, and not while an exit waits for its value (exit_open).
 */
void guest_save(struct guest *guest, uint64_t outputs, struct guest_context *context);

/*
 * The guest becomes the one that was saved; its memory is in place already, and the
 * context passed guest_context_check(). After guest_prepare(), whose files it starts from
 * again when it resets itself. The door goes on at the saved virtual time, in its mode.
 */
void guest_load(struct guest *guest, const struct guest_context *context);

/* Applies what is due, then runs a slice. True when something happened; false: idle, waiting or off. */
bool guest_poll(struct guest *guest);

/* Prints exits by kind with what they cost. */
void guest_show_exits(const struct guest *guest, void (*print)(const char *format, ...));

/* ---- for guest_exit.c ---- */

/* Acts upon guest->exit. False: it needs a value that is not there yet, nothing was changed; try again. */
extern bool (*const guest_exit_acts[VCPU_EXIT_KIND_COUNT])(struct guest *guest);
static inline bool guest_exit_act(struct guest *guest)
{
	return guest_exit_acts[guest->exit.kind](guest);
}

/* The time has to be known: asks the door and tells the machine. False: not there yet, or diverged (stopped). */
bool guest_time_ask(struct guest *guest);

/* The same, short when nobody but this server's clock is asked and no timer is due. */
static inline bool guest_time_update(struct guest *guest)
{
	uint64_t time_ns;

	if (guest->door.mode != GUEST_DOOR_OPEN || guest->deadline_of != guest->machine.timer_changes)
		return guest_time_ask(guest);
	time_ns = guest_door_read_clock(&guest->door);
	if (time_ns >= guest->deadline_ns)
		return guest_time_ask(guest);
	machine_time_pass(&guest->machine, time_ns);
	return true;
}

/* The interrupt lines are to be looked at before the next run, even if nothing changed in the machine. */
static inline void guest_look_again(struct guest *guest)
{
	guest->lines_of = UINT64_MAX;
}

/* Hands all outputs out; may reset or stop the guest. */
void guest_outputs(struct guest *guest);

void guest_stop(struct guest *guest, const char *reason);

/* The guest itself came to grief: reset or stopped, as the policy says. Part of what is determined. */
void guest_fail(struct guest *guest, const char *reason);

#endif
