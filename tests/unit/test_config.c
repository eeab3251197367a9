/* SPDX-License-Identifier: Apache-2.0 */
/* manage/config.c: what is read, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/config.h"

static struct config config;
static struct config_errors errors;

static int parse(const char *file, const char *command_line)
{
	return config_parse(file, strlen(file), command_line, strlen(command_line), &config, &errors);
}

static void parse_good(const char *file, const char *command_line)
{
	int result = parse(file, command_line);

	if (result != 0)
		fail_msg("refused: %s", errors.list[0].text);
}

static void empty_file_gives_the_defaults(void **state)
{
	(void)state;
	parse_good("", "");
	assert_int_equal(config.server.name, CONFIG_SERVER_A);
	assert_int_equal(config.console.port, 0x3f8);
	assert_int_equal(config.console.rate_baud, 115200);
	assert_int_equal(config.console.escape, 0x1d);
	assert_int_equal(config.console.attach, CONFIG_ATTACH_GUEST);
	assert_int_equal(config.network.ports[NETWORK_CS1].kind, CONFIG_NAME_UNSET);
	assert_int_equal(config.disk.disks[DISK_BOOT].kind, CONFIG_NAME_UNSET);
	assert_int_equal(config.disk.mirror_size[0], 0);
	assert_int_equal(config.disk.remirror_rate, 16 * MIB);
	assert_int_equal(config.disk.verify_rate, 10 * MIB);
	assert_int_equal(config.guest.memory_size, 512 * MIB);
	assert_int_equal(config.guest.autostart, 1);
	assert_int_equal(config.guest.start, CONFIG_START_DISK);
	assert_string_equal(config.guest.command_line, "");
	assert_int_equal(config.guest.watchdog_ns, 0);
	assert_int_equal(config.guest.failure_policy, CONFIG_FAILURE_RESTART);
	assert_true(config.pair.start_wait_ns == UINT64_C(60000000000));
	assert_int_equal(config.pair.mode, CONFIG_PAIR_DUPLEX);
	assert_true(config.pair.failure_timeout_ns == UINT64_C(1000000000));
	assert_true(config.pair.ask_time_ns == UINT64_C(50000000));
	assert_false(config_ipv4_is_given(config.pair.management_station));
	assert_false(config_ipv4_is_given(config.pair.public_station));
	assert_int_equal(config.pair.preferred, CONFIG_PREFERRED_A);
	assert_int_equal(config.pair.when_unsure, CONFIG_UNSURE_STOP);
	assert_int_equal(config.record.mode, CONFIG_RECORD_OFF);
	assert_int_equal(config.record.port, 0x2f8);
	assert_int_equal(config.record.trail, 0);
	assert_int_equal(config.record.trail_port, 0x3e8);
	assert_int_equal(config.trace.level, TRACE_INFO);
	assert_int_equal(config.trace.categories.count, 0);
}

static const char every_key[] = "\xef\xbb\xbf# Server b\r\n"
				"[server]\r\n"
				"name=b # the other one\n"
				"\n"
				"\t[ console ]   # comment\n"
				"  port = 0x2E8\n"
				"  rate = 9600\n"
				"  escape = ctrl-a\n"
				"  attach = server\n"
				"[network]\n"
				"cs1 = 00:03.0\n"
				"cs2 = 52:54:00:AB:cd:ef\n"
				"management = none\n"
				"public4 = ff:1f.7\n"
				"[disk]\n"
				"boot = serial:QM 001\n"
				"mirror1 = 00:1f.2/3\n"
				"mirror8 = 00:05.0\n"
				"mirror8_size = 10G\n"
				"remirror_rate = unlimited\n"
				"verify_rate = 100M\n"
				"[guest]\n"
				"memory = 1048576K\n"
				"autostart = no\n"
				"start = direct\n"
				"kernel = vmlinuz-6.1.0#1 # the cloud kernel\n"
				"initrd = \"initrd with blanks.img\"\n"
				"command_line = \"console=ttyS0 # not a comment\" # a comment\n"
				"watchdog = 90s\n"
				"failure_policy = stop\n"
				"[pair]\n"
				"start_wait = forever\n"
				"failure_timeout = 250ms\n"
				"mode = single\n"
				"ask_time = 12ms\n"
				"management_station = 10.0.255.1\n"
				"public_station = 192.168.1.254\n"
				"preferred = none\n"
				"when_unsure = continue\n"
				"[record]\n"
				"mode = replay\n"
				"port = com3\n"
				"trail = yes\n"
				"trail_port = com2\n"
				"[trace]\n"
				"level = warning\n"
				"categories = net:debug  disk:error # Gr\xc3\xbc\xc3\x9f";

static void check_every_key(void)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0x00, 0xab, 0xcd, 0xef };

	assert_int_equal(config.server.name, CONFIG_SERVER_B);
	assert_int_equal(config.console.port, 0x2e8);
	assert_int_equal(config.console.rate_baud, 9600);
	assert_int_equal(config.console.escape, 1);
	assert_int_equal(config.console.attach, CONFIG_ATTACH_SERVER);
	assert_int_equal(config.network.ports[NETWORK_CS1].kind, CONFIG_NAME_PCI);
	assert_int_equal(config.network.ports[NETWORK_CS1].pci.device, 3);
	assert_int_equal(config.network.ports[NETWORK_CS2].kind, CONFIG_NAME_MAC);
	assert_memory_equal(config.network.ports[NETWORK_CS2].mac, mac, sizeof(mac));
	assert_int_equal(config.network.ports[NETWORK_MANAGEMENT].kind, CONFIG_NAME_NONE);
	assert_int_equal(config.network.ports[NETWORK_PUBLIC1].kind, CONFIG_NAME_UNSET);
	assert_int_equal(config.network.ports[NETWORK_PUBLIC1 + 3].pci.bus, 0xff);
	assert_int_equal(config.network.ports[NETWORK_PUBLIC1 + 3].pci.device, 0x1f);
	assert_int_equal(config.network.ports[NETWORK_PUBLIC1 + 3].pci.function, 7);
	assert_int_equal(config.disk.disks[DISK_BOOT].kind, CONFIG_NAME_SERIAL);
	assert_string_equal(config.disk.disks[DISK_BOOT].serial, "QM 001");
	assert_int_equal(config.disk.disks[DISK_MIRROR1].kind, CONFIG_NAME_PCI);
	assert_true(config.disk.disks[DISK_MIRROR1].has_unit);
	assert_int_equal(config.disk.disks[DISK_MIRROR1].unit, 3);
	assert_false(config.disk.disks[DISK_MIRROR1 + 7].has_unit);
	assert_true(config.disk.mirror_size[7] == 10 * GIB);
	assert_int_equal(config.disk.remirror_rate, 0);
	assert_int_equal(config.disk.verify_rate, 100 * MIB);
	assert_true(config.guest.memory_size == GIB);
	assert_int_equal(config.guest.autostart, 0);
	assert_int_equal(config.guest.start, CONFIG_START_DIRECT);
	assert_string_equal(config.guest.kernel, "vmlinuz-6.1.0#1");
	assert_string_equal(config.guest.initrd, "initrd with blanks.img");
	assert_string_equal(config.guest.command_line, "console=ttyS0 # not a comment");
	assert_true(config.guest.watchdog_ns == UINT64_C(90000000000));
	assert_int_equal(config.guest.failure_policy, CONFIG_FAILURE_STOP);
	assert_true(config.pair.start_wait_ns == UINT64_MAX);
	assert_true(config.pair.failure_timeout_ns == UINT64_C(250000000));
	assert_int_equal(config.pair.mode, CONFIG_PAIR_SINGLE);
	assert_true(config.pair.ask_time_ns == UINT64_C(12000000));
	assert_memory_equal(config.pair.management_station, "\x0a\x00\xff\x01", CONFIG_IPV4_SIZE);
	assert_memory_equal(config.pair.public_station, "\xc0\xa8\x01\xfe", CONFIG_IPV4_SIZE);
	assert_int_equal(config.pair.preferred, CONFIG_PREFERRED_NONE);
	assert_int_equal(config.pair.when_unsure, CONFIG_UNSURE_CONTINUE);
	assert_int_equal(config.record.mode, CONFIG_RECORD_REPLAY);
	assert_int_equal(config.record.port, 0x3e8);
	assert_int_equal(config.record.trail, 1);
	assert_int_equal(config.record.trail_port, 0x2f8);
	assert_int_equal(config.trace.level, TRACE_WARNING);
	assert_int_equal(config.trace.categories.count, 2);
	assert_string_equal(config.trace.categories.list[0].category, "net");
	assert_int_equal(config.trace.categories.list[0].level, TRACE_DEBUG);
	assert_string_equal(config.trace.categories.list[1].category, "disk");
	assert_int_equal(config.trace.categories.list[1].level, TRACE_ERROR);
}

static void every_kind_of_value_is_read(void **state)
{
	(void)state;
	parse_good(every_key, "");
	check_every_key();
	assert_int_equal(config.network.ports[NETWORK_CS1].kind, CONFIG_NAME_PCI);
}

static void what_is_written_reads_back(void **state)
{
	static char file[16384];
	struct config before;
	struct text text;

	(void)state;
	parse_good(every_key, "");
	before = config;
	text_init(&text, file, sizeof(file));
	config_write(&config, &text);
	assert_false(text.cut);
	parse_good(file, "");
	check_every_key();
	memset(before.lines, 0, sizeof(before.lines));
	memset(config.lines, 0, sizeof(config.lines));
	assert_memory_equal(&before, &config, sizeof(config));
}

static void written_lines_tell_what_set_them(void **state)
{
	static char file[16384];
	struct text text;

	(void)state;
	parse_good("[guest]\nmemory = 64M\n", "guest.start=direct guest.kernel=bzImage");
	text_init(&text, file, sizeof(file));
	config_write(&config, &text);
	assert_non_null(strstr(file, "\nmemory = 64M                             # line 2\n"));
	assert_non_null(strstr(file, "\nstart = direct                           # command line\n"));
	assert_non_null(strstr(file, "\nwatchdog = off                           # default\n"));
	assert_non_null(strstr(file, "\n# cs1                                    # default\n"));
}

struct bad_file {
	const char *file;
	const char *error;
};

static const struct bad_file bad_files[] = {
	/* Lines that are none. */
	{ "memory 256M", "yoke.conf:1: found \"memory 256M\"; allowed: key = value, [section] or # comment" },
	{ "\n\n= 5", "yoke.conf:3: found \"= 5\"; allowed: key = value, [section] or # comment" },
	{ "[guest\nmemory = 1", "yoke.conf:1: found \"[guest\"; allowed: [section] alone in its line" },
	{ "[guest] memory = 1",
	  "yoke.conf:1: found \"[guest] memory = 1\"; allowed: [section] alone in its line" },
	{ "a line that is much longer than what fits into a message",
	  "yoke.conf:1: found \"a line that is much longer than what fits ...\"; allowed: key = value, [section] or # "
	  "comment" },
	{ "[guest]\nme\x07mory = 256M", "yoke.conf:2: found byte 0x07 in column 3; allowed: text" },
	{ "# a comment\x7f", "yoke.conf:1: found byte 0x7f in column 12; allowed: text" },
	{ "[guest]\nkernel = na\xc3\xafve",
	  "yoke.conf:2: kernel: tabs and characters beyond ASCII are allowed in comments only" },
	{ "[guest]\nm\xc3\xa9moire = 1",
	  "yoke.conf:2: found \"m??moire = 1\"; allowed: key = value, [section] or # comment" },

	/* Sections. */
	{ "[gest]\nfoo = 1",
	  "yoke.conf:1: unknown section \"gest\"; did you mean [guest]? Sections are [server] [console] [network] "
	  "[disk] [guest] [pair] [record] [trace]" },
	{ "[hypervisor]",
	  "yoke.conf:1: unknown section \"hypervisor\"; sections are [server] [console] [network] [disk] "
	  "[guest] [pair] [record] [trace]" },
	{ "[Gr\xc3\xbc\xc3\x9f]",
	  "yoke.conf:1: unknown section \"Gr????\"; sections are [server] [console] [network] [disk] [guest] [pair] "
	  "[record] [trace]" },
	{ "[]",
	  "yoke.conf:1: unknown section nothing; sections are [server] [console] [network] [disk] [guest] [pair] "
	  "[record] [trace]" },
	{ "[pair]\n[trace]\n[pair]", "yoke.conf:3: section [pair] twice; first in line 1" },

	/* Keys. */
	{ "memory = 256M",
	  "yoke.conf:1: key \"memory\" stands before any [section]; it belongs into [guest]" },
	{ "foo = 256M", "yoke.conf:1: key \"foo\" stands before any [section]" },
	{ "[guest]\nmemroy = 256M",
	  "yoke.conf:2: unknown key \"memroy\" in [guest]; did you mean \"memory\"? Its keys are memory autostart start "
	  "kernel initrd command_line mac watchdog failure_policy" },
	{ "[pair]\nzebra = 1",
	  "yoke.conf:2: unknown key \"zebra\" in [pair]; its keys are mode start_wait "
	  "failure_timeout ask_time management_station public_station preferred when_unsure" },
	{ "[server]\nmemory = 256M",
	  "yoke.conf:2: unknown key \"memory\" in [server]; it belongs into [guest]" },
	{ "[guest]\nmemory = 256M\n# again\nmemory = 512M",
	  "yoke.conf:4: key \"memory\" twice; first in line 2" },
	{ "[guest]\nMemory = 256M",
	  "yoke.conf:2: unknown key \"Memory\" in [guest]; did you mean \"memory\"? Its keys are memory autostart start "
	  "kernel initrd command_line mac watchdog failure_policy" },

	/* Values of each kind. */
	{ "[server]\nname = c", "yoke.conf:2: name: found \"c\"; allowed: a | b" },
	{ "[server]\nname =", "yoke.conf:2: name: found nothing; allowed: a | b" },
	{ "[server]\nname = # a", "yoke.conf:2: name: found nothing; allowed: a | b" },
	{ "[console]\nport = com5",
	  "yoke.conf:2: port: found \"com5\"; allowed: com1 | com2 | com3 | com4 or an I/O port "
	  "such as 0x3f8, 0x200 to 0xfff8, a multiple of 8" },
	{ "[console]\nport = 0x3f9",
	  "yoke.conf:2: port: found \"0x3f9\"; allowed: com1 | com2 | com3 | com4 or an I/O "
	  "port such as 0x3f8, 0x200 to 0xfff8, a multiple of 8" },
	{ "[console]\nrate = 115201",
	  "yoke.conf:2: rate: found \"115201\"; allowed: 115200 or a whole fraction of it, such "
	  "as 57600 38400 19200 9600, 300 at least" },
	{ "[console]\nescape = ctrl-m",
	  "yoke.conf:2: escape: found \"ctrl-m\"; allowed: ctrl- and one of abcdefgklnopqrstuvwxyz\\]^_" },
	{ "[network]\ncs1 = 00:20.0",
	  "yoke.conf:2: cs1: found \"00:20.0\"; allowed: a PCI path such as 00:03.0, a MAC "
	  "address such as 52:54:00:12:34:56, or none" },
	{ "[network]\ncs1 = 52:54:00:12:34",
	  "yoke.conf:2: cs1: found \"52:54:00:12:34\"; allowed: a PCI path such as "
	  "00:03.0, a MAC address such as 52:54:00:12:34:56, or none" },
	{ "[network]\ncs1 = eth0",
	  "yoke.conf:2: cs1: found \"eth0\"; allowed: a PCI path such as 00:03.0, a MAC address "
	  "such as 52:54:00:12:34:56, or none" },
	{ "[disk]\nboot = sda",
	  "yoke.conf:2: boot: found \"sda\"; allowed: a PCI path such as 00:04.0, one with the disk's "
	  "unit such as 00:1f.2/1, serial:TEXT, or none" },
	{ "[disk]\nboot = 00:1f.2/",
	  "yoke.conf:2: boot: found \"00:1f.2/\"; allowed: a PCI path such as 00:04.0, one with "
	  "the disk's unit such as 00:1f.2/1, serial:TEXT, or none" },
	{ "[disk]\nboot = serial:",
	  "yoke.conf:2: boot: found \"serial:\"; allowed: a PCI path such as 00:04.0, one with "
	  "the disk's unit such as 00:1f.2/1, serial:TEXT, or none" },
	{ "[disk]\nmirror1_size = 1000000",
	  "yoke.conf:2: mirror1_size: found \"1000000\"; allowed: a size such as 256M, "
	  "1M to 1024T, a multiple of 4K; or all" },
	{ "[guest]\nmemory = 256MB",
	  "yoke.conf:2: memory: found \"256MB\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = 256",
	  "yoke.conf:2: memory: found \"256\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = 257M",
	  "yoke.conf:2: memory: found \"257M\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = -256M",
	  "yoke.conf:2: memory: found \"-256M\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = 2T",
	  "yoke.conf:2: memory: found \"2T\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = 18446744073709551616",
	  "yoke.conf:2: memory: found \"18446744073709551616\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nmemory = 18014398509481984T",
	  "yoke.conf:2: memory: found \"18014398509481984T\"; allowed: a size such as 256M, 16M to 1T, a multiple of 2M" },
	{ "[guest]\nkernel = /boot/vmlinuz",
	  "yoke.conf:2: kernel: found \"/boot/vmlinuz\"; allowed: the name of a file "
	  "beside yoke.conf, without folder, 1 to 63 characters" },
	{ "[guest]\ncommand_line = \"quiet",
	  "yoke.conf:2: command_line: a quoted value must end with a quote, then the line" },
	{ "[guest]\ncommand_line = \"quiet\" splash",
	  "yoke.conf:2: command_line: a quoted value must end with a quote, then the line" },
	{ "[guest]\nwatchdog = 30",
	  "yoke.conf:2: watchdog: found \"30\"; allowed: a time such as 100ms, 1s to 1h; or off" },
	{ "[pair]\nfailure_timeout = 5ms",
	  "yoke.conf:2: failure_timeout: found \"5ms\"; allowed: a time such as 100ms, 20ms to 1min" },
	{ "[pair]\npublic_station = 10.0.0",
	  "yoke.conf:2: public_station: found \"10.0.0\"; allowed: an IPv4 address of one host, such as 192.168.1.1, or "
	  "none" },
	{ "[pair]\npublic_station = 10.0.0.01",
	  "yoke.conf:2: public_station: found \"10.0.0.01\"; allowed: an IPv4 address of one host, such as 192.168.1.1, "
	  "or none" },
	{ "[pair]\npublic_station = 10.0.0.256",
	  "yoke.conf:2: public_station: found \"10.0.0.256\"; allowed: an IPv4 address of one host, such as 192.168.1.1, "
	  "or none" },
	{ "[pair]\npublic_station = 224.0.0.1",
	  "yoke.conf:2: public_station: found \"224.0.0.1\"; allowed: an IPv4 address of one host, such as 192.168.1.1, "
	  "or none" },
	{ "[trace]\nlevel = verbose",
	  "yoke.conf:2: level: found \"verbose\"; allowed: error | warning | info | debug" },
	{ "[trace]\ncategories = net",
	  "yoke.conf:2: categories: found \"net\"; allowed: up to 16 words such as net:debug, "
	  "each category once; levels are error | warning | info | debug" },
	{ "[trace]\ncategories = net:info net:debug",
	  "yoke.conf:2: categories: found \"net:info net:debug\"; allowed: up to 16 words such as net:debug, each "
	  "category once; levels are error | warning | info | debug" },

	/* Keys that do not go together. */
	{ "[guest]\nstart = direct",
	  "yoke.conf:2: start: found \"direct\" without a kernel; allowed: with kernel = FILE in [guest]" },
	{ "[console]\nport = com2\n[record]\nmode = record",
	  "default: record.port: the console has this port; allowed: another one than [console] port" },
	{ "[record]\ntrail = yes",
	  "yoke.conf:2: trail: found \"yes\" without a recording; allowed: with mode = record or replay" },
	{ "[record]\nmode = replay\ntrail = yes\ntrail_port = com2",
	  "yoke.conf:4: trail_port: the console or the log has this port; allowed: one of its own" },
};

static void bad_lines_are_refused_in_these_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_files); i++) {
		if (parse(bad_files[i].file, "") != -EINVAL)
			fail_msg("accepted: %s", bad_files[i].file);
		assert_string_equal(errors.list[0].text, bad_files[i].error);
		assert_int_equal(errors.count, 1);
	}
}

static const struct bad_file bad_words[] = {
	{ "guest.memory", "command line: found \"guest.memory\"; allowed: section.key=value" },
	{ "debug_exit memory=1", "command line: found \"memory=1\"; allowed: section.key=value" },
	{ "gues.memory=1",
	  "command line: unknown section \"gues\"; did you mean [guest]? Sections are [server] [console] "
	  "[network] [disk] [guest] [pair] [record] [trace]" },
	{ "pair.wait=1",
	  "command line: unknown key \"wait\" in [pair]; its keys are mode start_wait failure_timeout ask_time "
	  "management_station public_station preferred when_unsure" },
	{ "server.name=a guest.memory=64M server.name=b", "command line: server.name twice" },
	{ "server.name=", "command line: name: found nothing; allowed: a | b" },
	{ "guest.kernel=\"a b",
	  "command line: guest.kernel: a quoted value must end with a quote, then a blank" },
	{ "guest.kernel=\x01",
	  "command line: characters beyond printable ASCII; allowed: section.key=value" },
};

static void bad_words_are_refused_in_these_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_words); i++) {
		if (parse("", bad_words[i].file) != -EINVAL)
			fail_msg("accepted: %s", bad_words[i].file);
		assert_string_equal(errors.list[0].text, bad_words[i].error);
		assert_int_equal(errors.count, 1);
	}
}

static void all_errors_are_told_at_once(void **state)
{
	(void)state;
	assert_int_equal(
		parse("[server]\nname = c\n[gest]\nfoo = 1\nbar = 2\n[guest]\nmemory = 64M\nfoo = 1\n", ""),
		-EINVAL);
	assert_int_equal(errors.count, 3);
	assert_int_equal(errors.list[0].line, 2);
	assert_int_equal(errors.list[1].line, 3);
	assert_int_equal(errors.list[2].line, 8);
	/* What is right beside them is there. */
	assert_int_equal(config.guest.memory_size, 64 * MIB);
	assert_int_equal(config.server.name, CONFIG_SERVER_A);
}

static void errors_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(parse("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n", "x y z"), -EINVAL);
	assert_int_equal(errors.count, CONFIG_ERROR_MAX);
	assert_string_equal(errors.list[7].text,
			    "yoke.conf:8: found \"h\"; allowed: key = value, [section] or # comment");
}

static void sizes_are_bounded(void **state)
{
	char line[CONFIG_LINE_SIZE_MAX + 2];
	char *file = calloc(1, CONFIG_FILE_SIZE_MAX + 1);

	(void)state;
	memset(line, '#', sizeof(line));
	line[CONFIG_LINE_SIZE_MAX] = '\0';
	parse_good(line, "");
	line[CONFIG_LINE_SIZE_MAX] = '#';
	line[CONFIG_LINE_SIZE_MAX + 1] = '\0';
	assert_int_equal(parse(line, ""), -EINVAL);
	assert_string_equal(errors.list[0].text, "yoke.conf:1: a line of 1025 bytes; allowed: 1024");

	memset(file, '\n', CONFIG_FILE_SIZE_MAX + 1);
	assert_int_equal(config_parse(file, CONFIG_FILE_SIZE_MAX, "", 0, &config, &errors), 0);
	assert_int_equal(config_parse(file, CONFIG_FILE_SIZE_MAX + 1, "", 0, &config, &errors), -EINVAL);
	assert_string_equal(errors.list[0].text, "yoke.conf:1: a file of 65537 bytes; allowed: 65536");
	free(file);
}

static void command_line_overrides_the_file(void **state)
{
	char place[CONFIG_PLACE_SIZE];

	(void)state;
	parse_good(
		"[guest]\nmemory = 64M\nstart = direct\nkernel = a\ncommand_line = quiet\n",
		"  guest.memory=128M\tguest.command_line=\"console=ttyS0 x=\"  server.name=b guest.kernel=\"b c\" ");
	assert_int_equal(config.guest.memory_size, 128 * MIB);
	assert_string_equal(config.guest.command_line, "console=ttyS0 x=");
	assert_string_equal(config.guest.kernel, "b c");
	assert_int_equal(config.guest.start, CONFIG_START_DIRECT);
	config_place_format(&config, &config.guest.memory_size, place);
	assert_string_equal(place, "command line: guest.memory");
	config_place_format(&config, &config.guest.start, place);
	assert_string_equal(place, "yoke.conf:3: start");
	config_place_format(&config, &config.guest.watchdog_ns, place);
	assert_string_equal(place, "default: guest.watchdog");
	/* Options of the hypervisor itself stand beside. */
	parse_good("", "debug_exit guest.memory=64M test=a.b");
	assert_int_equal(config.guest.memory_size, 64 * MIB);
	/* An empty text can be given, and a wrong line is mended. */
	parse_good("[guest]\nmemory = lots\ncommand_line = quiet\n",
		   "guest.memory=64M guest.command_line=\"\"");
	assert_string_equal(config.guest.command_line, "");
	assert_int_equal(config.guest.memory_size, 64 * MIB);
	/* But not by a wrong word. */
	assert_int_equal(parse("[guest]\nmemory = lots\n", "guest.memory=more"), -EINVAL);
	assert_int_equal(errors.count, 2);
}

static int set(const char *words, struct config_errors *refused)
{
	return config_set(words, strlen(words), &config, &errors, refused);
}

static void set_mends_a_refused_file(void **state)
{
	static struct config_errors refused;
	struct config before;

	(void)state;
	assert_int_equal(parse("[guest]\nmemory = lots\nstart = direct\nfoo = 1\n", ""), -EINVAL);
	assert_int_equal(errors.count, 3);

	/* All or none. */
	before = config;
	assert_int_equal(set("guest.memory=64M guest.start=never", &refused), -EINVAL);
	assert_int_equal(refused.count, 1);
	assert_string_equal(refused.list[0].text, "set: start: found \"never\"; allowed: disk | direct");
	assert_memory_equal(&before, &config, sizeof(config));
	assert_int_equal(errors.count, 3);

	assert_int_equal(set("debug_exit", &refused), -EINVAL);
	assert_string_equal(refused.list[0].text, "set: found \"debug_exit\"; allowed: section.key=value");

	assert_int_equal(set("guest.memory=64M", &refused), 0);
	assert_int_equal(config.guest.memory_size, 64 * MIB);
	assert_int_equal(errors.count, 2);
	assert_int_equal(set("guest.kernel=bzImage", &refused), 0);
	/* A line that names no key cannot be mended by a value. */
	assert_int_equal(errors.count, 1);
	assert_int_equal(errors.list[0].line, 4);
	/* And what does not go together is found again. */
	assert_int_equal(set("guest.kernel=\"\"", &refused), 0);
	assert_int_equal(errors.count, 2);
	assert_string_equal(
		errors.list[1].text,
		"yoke.conf:3: start: found \"direct\" without a kernel; allowed: with kernel = FILE in [guest]");
}

static void every_key_is_documented(void **state)
{
	static char document[65536];
	FILE *file = fopen("docs/CONFIGURATION.md", "r");
	const char *section;
	const char *name;
	const char *default_text;

	(void)state;
	assert_non_null(file);
	assert_true(fread(document, 1, sizeof(document) - 1, file) > 0);
	fclose(file);
	for (uint32_t i = 0; config_key_at(i, &section, &name, &default_text); i++) {
		char heading[64];
		char row[128];
		const char *start;
		const char *end;
		const char *found;

		snprintf(heading, sizeof(heading), "\n## [%s]\n", section);
		start = strstr(document, heading);
		if (!start)
			fail_msg("docs/CONFIGURATION.md has no heading for [%s]", section);
		end = strstr(start + 1, "\n## ");
		if (default_text)
			snprintf(row, sizeof(row), "\n| `%s` | `%s` |", name, default_text);
		else
			snprintf(row, sizeof(row), "\n| `%s` | |", name);
		found = strstr(start, row);
		if (!found || (end && found > end))
			fail_msg("docs/CONFIGURATION.md has no line \"%s\" under [%s]", row + 1, section);
	}
}

/* The yoke.conf that every image carries. */
static void the_file_of_the_image_is_good(void **state)
{
	static char text[CONFIG_FILE_SIZE_MAX];
	FILE *file = fopen("boot/yoke.conf", "r");

	(void)state;
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	parse_good(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_file_gives_the_defaults),
		cmocka_unit_test(every_kind_of_value_is_read),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(written_lines_tell_what_set_them),
		cmocka_unit_test(bad_lines_are_refused_in_these_words),
		cmocka_unit_test(bad_words_are_refused_in_these_words),
		cmocka_unit_test(all_errors_are_told_at_once),
		cmocka_unit_test(errors_are_bounded),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(command_line_overrides_the_file),
		cmocka_unit_test(set_mends_a_refused_file),
		cmocka_unit_test(every_key_is_documented),
		cmocka_unit_test(the_file_of_the_image_is_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
