/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of this server; see guest_service.h. Wiring, as main.c is. */
#include "kernel/guest_service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/uart.h"
#include "include/ring.h"
#include "include/trace.h"
#include "kernel/apic.h"
#include "kernel/boot_info.h"
#include "kernel/console.h"
#include "kernel/guest_debug_port.h"
#include "kernel/guest_disk.h"
#include "kernel/guest_entropy.h"
#include "kernel/guest_events.h"
#include "kernel/guest_join.h"
#include "kernel/guest_output.h"
#include "kernel/guest_snapshot.h"
#include "kernel/guest_trail.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/rtc.h"
#include "kernel/time.h"
#include "machine/digest.h"
#include "machine/firmware_boot.h"

TRACE_FILE("guest", TRACE_INFO);

/*
 * The log leaves by a serial line as it is made. While that falls behind, the guest
 * stands still as long as there is no room for what one round of the main loop may
 * add at most (the data of all reads under way, and frames). A line that takes
 * nothing at all for a while ends the recording instead.
 */
#define LOG_SIZE (8 * MIB)
#define LOG_RESERVE (6 * MIB)
#define LOG_TIMEOUT_NS (2 * NS_PER_S)
#define LOG_RATE_BAUD 115200
#define LOG_BYTES_A_POLL 4096
#define TYPED_SIZE 256
/* As fast as a line of 115200 baud: the guest's chip holds 16 bytes, and more at once would be lost. */
#define TYPED_INTERVAL_NS (87 * NS_PER_US)
/*
 * A request is given to the disk when the slice ends: at once when the disk has nothing to do, else
 * in so many steps, in which the guest may make more. A round of the main loop then serves them all.
 */
#define STEPS_TO_MORE 25000
/* What the guest's clock shows at power-on where the server's own shows no date: 2026-01-01 UTC. */
#define EPOCH_S UINT64_C(1767225600)

static struct guest guest;
static struct step_counter counter;
static const struct boot_info *boot;
static const struct config *config;
static struct pair *pair; /* NULL: there is none */

static uint8_t *log_bytes;   /* RECORD: what is made; REPLAY: the follower's buffer */
static uint64_t log_sent;    /* bytes that went out since power-on */
static uint64_t log_sent_ns; /* when it last took a byte, or had nothing to take */
static struct uart log_port;
static const struct boot_file *recording;

static struct ring typed_ring;
static uint8_t typed[TYPED_SIZE];
static uint64_t typed_next_ns;
static uint8_t typed_now; /* the byte that the last input carried */
static enum guest_state told_state;
static uint32_t told_resets;
static uint64_t told_restarts;
static uint32_t pressed;       /* bit of each enum machine_button that the guest is to be given */
static bool held;	       /* at the console's `guest stop` */
static uint64_t held_since_ns; /* of the server's clock */

/* ---- the world around the guest ---- */

static void take_for_device(const struct machine_output *output)
{
	if (output->kind == MACHINE_OUTPUT_FRAME)
		guest_output_frame(output->index, output->data, output->size);
	else
		guest_devices_take(output, &guest.memory);
}

/* What a replayed guest writes and sends was written and sent long ago; what it reads is in the log. */
static void take_output(const struct machine_output *output)
{
	if (output->kind == MACHINE_OUTPUT_SERIAL)
		guest_output_serial(output->data, output->size);
	else if (output->kind == MACHINE_OUTPUT_DEBUG)
		guest_debug_port_take(output->data, output->size);
	else if (guest.door.mode != GUEST_DOOR_REPLAY)
		take_for_device(output);
	if (!guest_output_has_room())
		guest.steps_left = 0;
	else if (output->kind == MACHINE_OUTPUT_DISK)
		guest.steps_left = min_u64(guest.steps_left, guest_disk_under_way() > 1 ? STEPS_TO_MORE : 0);
}

static bool give_button(struct machine_input *input)
{
	if (!pressed)
		return false;
	*input = (struct machine_input){ .kind = MACHINE_INPUT_BUTTON,
					 .value = (uint32_t)__builtin_ctz(pressed) };
	pressed &= pressed - 1;
	return true;
}

/* A server whose own clock shows none gives none: the guest's goes on from where it was. */
static bool give_date(struct machine_input *input)
{
	if (!guest.date_owed)
		return false;
	guest.date_owed = false;
	*input = (struct machine_input){ .kind = MACHINE_INPUT_DATE, .value = (uint32_t)rtc_now_s() };
	return input->value != 0;
}

static bool give_input(struct machine_input *input)
{
	if (give_button(input))
		return true;
	if (guest.state != GUEST_RUNNING)
		return false;
	if (give_date(input))
		return true;
	if (guest_devices_input(input, guest.vcpu.state.activity == VCPU_RUNNING && !guest.drains)) {
		if (input->kind == MACHINE_INPUT_DISK_COMPLETION && pair && pair->role == PAIR_LEADER)
			input->value = guest_disk_checksum(input);
		return true;
	}
	if (ring_empty(&typed_ring) || !time_reached(typed_next_ns))
		return false;
	typed_next_ns = time_now_ns() + TYPED_INTERVAL_NS;
	typed_now = typed[ring_tail(&typed_ring)];
	ring_consume(&typed_ring);
	*input = (struct machine_input){ .kind = MACHINE_INPUT_SERIAL, .size = 1, .data = &typed_now };
	return true;
}

/* What was asked for here and came by the log needs no answer of our own any more. */
static int see_replayed(struct machine_input *input)
{
	int error;

	if (input->kind == MACHINE_INPUT_ENTROPY)
		guest_entropy_forget();
	if (input->kind != MACHINE_INPUT_DISK_COMPLETION || guest.door.mode != GUEST_DOOR_PAIR)
		return 0;
	error = guest_disk_replay(input);
	if (error == -EILSEQ)
		pair_diverge(pair, "the disk's answer");
	return error;
}

static const struct guest_outside outside = {
	.output = take_output,
	.input = give_input,
	.slice_end = guest_output_stamp,
	.replayed = see_replayed,
	.checked = guest_trail_put,
};

void guest_service_type(uint8_t byte)
{
	if (ring_full(&typed_ring))
		return;
	typed[ring_head(&typed_ring)] = byte;
	ring_produce(&typed_ring);
}

void guest_service_set_serial(void (*output)(const char *bytes, uint64_t size))
{
	guest_output_set_serial(output);
}

/* ---- start ---- */

static const char *prepare_log(void)
{
	const char *wrong = NULL;
	uint64_t physical;

	if (config->record.mode == CONFIG_RECORD_OFF)
		return NULL;
	if (!counter.exact)
		return "record: this server's step counter is not exact";
	if (config->record.trail)
		wrong = guest_trail_init(config->record.trail_port);
	if (wrong)
		return wrong;
	physical = pages_allocate(LOG_SIZE / PAGE_SIZE, PAGE_SIZE);
	if (!physical)
		return "record: no memory for the log";
	log_bytes = pages_pointer(physical);
	if (config->record.mode == CONFIG_RECORD_RECORD) {
		uart_init(&log_port, config->record.port, LOG_RATE_BAUD);
		return log_port.present ? NULL : "record.port: no serial port answers there";
	}
	recording = boot_file_find(boot, GUEST_RECORDING_FILE);
	return recording ? NULL
			 : "record.mode = replay: " GUEST_RECORDING_FILE " is not among the boot files";
}

static void make_machine_config(struct machine_config *machine)
{
	memset(machine, 0, sizeof(*machine));
	machine->memory_size = config->guest.memory_size;
	machine->epoch_s = EPOCH_S;
	machine->has_avx = (guest.vcpu.xcr0_allowed & VCPU_XCR0_AVX) != 0;
	machine->has_watchdog = config->guest.watchdog_ns != 0;
}

static uint64_t decimal(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

static uint64_t number_option(const char *name)
{
	char value[BOOT_OPTION_SIZE];

	return boot_option(boot->command_line, name, value) ? decimal(value) : 0;
}

/*
 * Options of the boot command line for the determinism tests: slice_mean=STEPS slice_seed=N,
 * snapshot_mean=STEPS snapshot_seed=N.
 */
static const char *read_test_options(void)
{
	uint64_t snapshot_mean = number_option("snapshot_mean");

	guest.slice_mean = number_option("slice_mean");
	guest.slice_seed = number_option("slice_seed") * 2 + 1;
	if (!snapshot_mean)
		return NULL;
	return guest_snapshot_init(&guest, snapshot_mean, number_option("snapshot_seed") * 2 + 1);
}

/* Memory is taken once, so there is room for a firmware that is there, however the guest starts at first. */
static uint64_t firmware_size(void)
{
	const struct boot_file *file = boot_file_find(boot, GUEST_FIRMWARE_FILE);

	return file && !machine_firmware_check(pages_pointer(file->base), file->size) ? file->size : 0;
}

const char *guest_service_init(const struct boot_info *boot_info, const struct config *configuration,
			       const struct guest_devices *devices, struct event_log *events,
			       struct pair *of_pair)
{
	static struct machine_config machine;
	const char *wrong;
	int error;

	pair = of_pair;
	boot = boot_info;
	config = configuration;
	guest_events_init(events);
	ring_init(&typed_ring, TYPED_SIZE);
	error = vcpu_init(&guest.vcpu, apic_timer_register(), config->guest.memory_size + firmware_size());
	if (error)
		return error == -ENOMEM ? "no memory for the tables that map the guest's"
					: "no guest can run on this server's processor";
	step_counter_init(&counter, &guest.vcpu);
	make_machine_config(&machine);
	wrong = guest_devices_open(devices, config, &machine);
	if (!wrong)
		wrong = guest_init(&guest, &machine, firmware_size(), &counter, &outside);
	if (!wrong)
		wrong = read_test_options();
	guest.restarts_on_failure = config->guest.failure_policy == CONFIG_FAILURE_RESTART;
	if (!wrong && guest_output_init(pair))
		wrong = "no memory for the guest's outputs";
	if (!wrong && pair)
		wrong = guest_join_init(&guest, pair);
	return wrong ? wrong : prepare_log();
}

static const char *find_file(const char *key, const char *name, const uint8_t **bytes, uint64_t *size)
{
	static char reason[CONFIG_FILE_NAME_SIZE + 64];
	const struct boot_file *file;

	*bytes = NULL;
	*size = 0;
	if (!name[0])
		return NULL;
	file = boot_file_find(boot, name);
	if (!file) {
		snprintf(reason, sizeof(reason), "guest.%s: %s is not among the boot files", key, name);
		return reason;
	}
	*bytes = pages_pointer(file->base);
	*size = file->size;
	return NULL;
}

static const char *find_kernel(struct guest_boot *files)
{
	const char *wrong = find_file("kernel", config->guest.kernel, &files->kernel, &files->kernel_size);

	if (!wrong)
		wrong = find_file("initrd", config->guest.initrd, &files->initrd, &files->initrd_size);
	if (!wrong && !files->kernel)
		wrong = "guest.kernel: not given, and guest.start = direct needs it";
	return wrong;
}

static const char *find_firmware(struct guest_boot *files)
{
	static char reason[128];
	const struct boot_file *file = boot_file_find(boot, GUEST_FIRMWARE_FILE);
	const char *wrong;

	if (!file)
		return "guest.start = disk: " GUEST_FIRMWARE_FILE " is not among the boot files";
	if (guest.machine.config.disk_count == 0)
		return "guest.start = disk: no disk of this server is mirror1";
	files->firmware = pages_pointer(file->base);
	wrong = machine_firmware_check(files->firmware, file->size);
	if (!wrong)
		return NULL;
	snprintf(reason, sizeof(reason), "guest.start = disk: " GUEST_FIRMWARE_FILE ": %s", wrong);
	return reason;
}

/* Time went on for the server, not for the guest. */
static void go_on(void)
{
	guest.door.start_ns += time_now_ns() - held_since_ns;
	held = false;
	guest_events_guest(STATUS_GUEST_RUNNING, EVENT_INFO, "goes on");
}

static const char *find_files(struct guest_boot *files)
{
	*files = (struct guest_boot){ .command_line = config->guest.command_line };
	return config->guest.start == CONFIG_START_DIRECT ? find_kernel(files) : find_firmware(files);
}

static void set_door(void)
{
	if (pair)
		guest_door_pair(&guest.door, pair);
	else if (config->record.mode == CONFIG_RECORD_RECORD)
		guest_door_record(&guest.door, log_bytes, LOG_SIZE);
	else if (config->record.mode == CONFIG_RECORD_REPLAY)
		guest_door_replay(&guest.door, pages_pointer(recording->base), recording->size, log_bytes,
				  LOG_SIZE);
}

/* As good as new, and off. */
static const char *make_new(void)
{
	struct guest_boot files;
	const char *wrong = find_files(&files);

	if (!wrong)
		wrong = guest_prepare(&guest, &files);
	if (wrong)
		return wrong;
	guest_devices_restart();
	guest_output_restart(0);
	pressed = 0;
	held = false;
	log_sent = 0;
	log_sent_ns = time_now_ns();
	guest_trail_restart();
	told_state = GUEST_OFF;
	told_resets = guest.machine.reset_count;
	told_restarts = 0;
	return NULL;
}

static const char *power_on(void)
{
	const char *wrong = make_new();

	if (!wrong)
		wrong = guest_start(&guest);
	if (wrong)
		return wrong;
	set_door();
	told_state = GUEST_RUNNING;
	guest_events_guest(STATUS_GUEST_RUNNING, EVENT_INFO, "power-on");
	return NULL;
}

bool guest_service_follows(void)
{
	return pair && !pair_decides(pair);
}

/* A guest of a pair that is off: its button is an input, which both servers' guests get. */
static const char *switch_on(void)
{
	if (guest_service_follows())
		return "this server does not run the guest alone, nor does it lead: see `status`";
	if (guest.state == GUEST_OFF || guest.state == GUEST_STOPPED)
		pressed |= UINT32_C(1) << MACHINE_BUTTON_RESET;
	return NULL;
}

const char *guest_service_start(void)
{
	if (held) {
		go_on();
		return NULL;
	}
	return pair ? switch_on() : power_on();
}

static void restart(void)
{
	const char *wrong = guest_service_start();

	if (wrong)
		console_printf("%s\n", wrong);
}

/* ---- for the pair ---- */

uint64_t guest_service_identity(void)
{
	uint64_t identity = digest_bytes(0, &guest.machine.config, sizeof(guest.machine.config));
	struct guest_boot files;

	if (find_files(&files))
		files = (struct guest_boot){ 0 };
	identity = digest_bytes(identity, &guest.restarts_on_failure, sizeof(guest.restarts_on_failure));
	identity = digest_bytes(identity, config->guest.command_line, strlen(config->guest.command_line));
	if (files.kernel)
		identity = digest_bytes(identity, files.kernel, files.kernel_size);
	if (files.initrd)
		identity = digest_bytes(identity, files.initrd, files.initrd_size);
	if (files.firmware)
		identity = digest_bytes(identity, files.firmware, firmware_size());
	return identity;
}

void guest_service_boot(void)
{
	const char *wrong = config->guest.autostart ? power_on() : guest_service_prepare_join();

	if (wrong)
		guest_events_guest(STATUS_GUEST_OFF, EVENT_ERROR, wrong);
}

const char *guest_service_prepare_join(void)
{
	const char *wrong = make_new();

	if (!wrong)
		set_door();
	return wrong;
}

void guest_service_resume(void)
{
	guest_door_set_time(&guest.door, max_u64(pair->time_ns, guest.door.last_ns));
}

/* What happened to it before is no news here. */
void guest_service_joined(void)
{
	told_state = guest.state;
	told_resets = guest.machine.reset_count;
	told_restarts = guest.restarts;
	guest_events_guest_is(guest.state == GUEST_RUNNING   ? STATUS_GUEST_RUNNING
			      : guest.state == GUEST_STOPPED ? STATUS_GUEST_STOPPED
							     : STATUS_GUEST_OFF,
			      "joined");
}

void guest_service_discard(void)
{
	guest.state = GUEST_OFF;
	guest.exit_open = false;
	told_state = GUEST_OFF;
	guest_events_guest_is(STATUS_GUEST_OFF, "not on this server any more");
}

/* ---- at the console ---- */

void guest_service_hold(void)
{
	if (held || guest.state != GUEST_RUNNING)
		return;
	held = true;
	held_since_ns = time_now_ns();
	guest_events_guest(STATUS_GUEST_STOPPED, EVENT_INFO, "at the console");
}

bool guest_service_is_held(void)
{
	return held;
}

/* A guest that a fault stopped has no clock to press a button at: its power is what is left. */
static void press_stopped(enum machine_button button)
{
	guest.state = GUEST_OFF;
	told_state = GUEST_OFF;
	guest_events_guest(STATUS_GUEST_OFF, EVENT_INFO, "at the console");
	if (button == MACHINE_BUTTON_RESET)
		restart();
}

void guest_service_press(enum machine_button button)
{
	if (held)
		go_on();
	if (guest.state == GUEST_STOPPED && !pair)
		press_stopped(button);
	else
		pressed |= UINT32_C(1) << button;
}

uint64_t guest_service_restarts(void)
{
	return guest.restarts;
}

/* ---- running ---- */

static bool send_log(void)
{
	const uint8_t *bytes;
	uint64_t waiting;
	uint64_t sent;

	if (guest.door.mode != GUEST_DOOR_RECORD)
		return false;
	waiting = guest_door_log(&guest.door, &bytes);
	sent = uart_transmit_some(&log_port, bytes, min_u64(waiting, LOG_BYTES_A_POLL));
	guest_door_log_taken(&guest.door, sent);
	log_sent += sent;
	if (sent > 0 || waiting == 0)
		log_sent_ns = time_now_ns();
	if (sent > 0 && sent == waiting && guest.state != GUEST_RUNNING)
		console_printf("the recording is complete: %lu bytes\n", (unsigned long)log_sent);
	return sent > 0;
}

/* Must the guest stand still until more of the log has gone out? */
static bool log_is_full(void)
{
	if (guest.door.mode != GUEST_DOOR_RECORD || guest.door.log_ended ||
	    guest_door_log_room(&guest.door) >= LOG_RESERVE)
		return false;
	if (!time_reached(log_sent_ns + LOG_TIMEOUT_NS))
		return true;
	guest_door_end_log(&guest.door, "record.port takes nothing");
	return false;
}

/* The end of a guest, in the same words recorded and replayed, so that two ends can be compared. */
static void tell_end(void)
{
	struct position position = vcpu_position(&guest.vcpu);

	console_printf("guest: %s at exit %lu + %lu, rip %#lx, %lu steps, digest %016lx\n",
		       guest.state == GUEST_OFF	      ? "off"
		       : guest.state == GUEST_WAITING ? "at the end of the recording"
						      : guest.reason,
		       (unsigned long)position.exits, (unsigned long)position.steps,
		       (unsigned long)position.rip, (unsigned long)guest.steps,
		       (unsigned long)guest.last_digest);
	guest_show_exits(&guest, console_printf);
}

static void tell_resets(void)
{
	bool failed = guest.restarts != told_restarts;

	if (guest.machine.reset_count == told_resets)
		return;
	told_resets = guest.machine.reset_count;
	told_restarts = guest.restarts;
	guest_events_guest(STATUS_GUEST_RUNNING, failed ? EVENT_ERROR : EVENT_INFO,
			   failed ? guest.reason : "reset");
}

/* A follower waits all the time, for its leader. */
static bool runs(void)
{
	return guest.state == GUEST_RUNNING ||
	       (guest.state == GUEST_WAITING && guest.door.mode == GUEST_DOOR_PAIR);
}

static void tell_end_of_run(void)
{
	told_state = guest.state;
	tell_end();
	if (guest.state == GUEST_OFF)
		guest_events_guest(STATUS_GUEST_OFF, EVENT_INFO, "");
	else if (guest.state == GUEST_STOPPED)
		guest_events_guest(STATUS_GUEST_STOPPED, EVENT_ERROR, guest.reason);
}

static void tell_state(void)
{
	tell_resets();
	if (runs())
		told_state = GUEST_RUNNING;
	else if (guest.state != told_state)
		tell_end_of_run();
}

bool guest_service_poll(void)
{
	bool still = held || log_is_full() || !guest_trail_has_room() || (pair && guest_join_stands()) ||
		     !guest_output_has_room() || !guest_devices_have_room();
	bool decides = guest.state == GUEST_RUNNING && !still && !guest_door_follows(&guest.door);
	bool worked = guest_devices_poll(decides);

	guest_disk_follow(guest_door_follows(&guest.door));
	guest.waits = worked;
	if (!still)
		worked |= guest_poll(&guest);
	if (!pair)
		guest_snapshot_poll();
	tell_state();
	guest_events_poll();
	worked |= guest_trail_poll(guest.state != GUEST_RUNNING);
	return send_log() || worked;
}

struct guest *guest_service_guest(void)
{
	return &guest;
}

const struct step_counter *guest_service_counter(void)
{
	return &counter;
}
