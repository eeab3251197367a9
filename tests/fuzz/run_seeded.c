/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target on inputs that one seed decides: no clang needed, the same
 * inputs on every machine.
 *
 *     seeded_NAME CORPUS COUNT SEED   COUNT mutations of the files in folder CORPUS
 *     seeded_NAME FILE                that one input, as after a crash
 *
 * Each input is one of the files, or an empty one, changed in one to eight places:
 * bits, bytes, numbers at a limit, parts left out, doubled, moved, or taken from
 * another file. A crash leaves the input behind as build/fuzz/crash-SEED-NUMBER.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>

#include "include/bits.h"
#include "tests/fuzz/fuzz.h"

#define FILE_MAX 256
#define INPUT_SIZE_MAX 8192
#define MUTATION_MAX 8
#define VERDICT_SHARE 1000 /* at least one input in so many is accepted, and one refused */

struct input {
	size_t size;
	uint8_t bytes[INPUT_SIZE_MAX];
};

static struct input corpus[FILE_MAX];
static uint32_t corpus_count;
static struct input input;
static uint64_t random_state;
static uint64_t seed;
static uint64_t input_number;

/* xorshift64* (Vigna 2014): small, and good enough to pick places. */
static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 .. limit - 1; limit is not 0. */
static size_t random_below(size_t limit)
{
	return (size_t)((random_next() >> 16) % limit);
}

static void file_load(const char *path, struct input *into)
{
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		exit(2);
	}
	into->size = fread(into->bytes, 1, sizeof(into->bytes), file);
	fclose(file);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names: that of the folder differs from machine to machine. */
static void corpus_load(const char *folder)
{
	char *names[FILE_MAX];
	uint32_t name_count = 0;
	struct dirent *entry;
	DIR *directory = opendir(folder);

	if (!directory) {
		perror(folder);
		exit(2);
	}
	while ((entry = readdir(directory)) != NULL && name_count < FILE_MAX - 1)
		if (entry->d_name[0] != '.')
			names[name_count++] = strdup(entry->d_name);
	closedir(directory);
	qsort(names, name_count, sizeof(names[0]), name_compare);
	for (uint32_t i = 0; i < name_count; i++) {
		char path[1024];

		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		file_load(path, &corpus[corpus_count++]);
		free(names[i]);
	}
	corpus_count++; /* and the empty input */
}

static void insert(size_t at, const uint8_t *bytes, size_t size)
{
	if (size > INPUT_SIZE_MAX - input.size)
		size = INPUT_SIZE_MAX - input.size;
	memmove(input.bytes + at + size, input.bytes + at, input.size - at);
	memcpy(input.bytes + at, bytes, size);
	input.size += size;
}

static void cut(size_t at, size_t size)
{
	memmove(input.bytes + at, input.bytes + at + size, input.size - at - size);
	input.size -= size;
}

/* Overwrites 1, 2, 4 or 8 bytes with a number at some limit. */
static void put_number(void)
{
	static const uint64_t numbers[] = { 0,		 1,	     0x7f,	 0x80,
					    0xff,	 0x100,	     0x7fff,	 0x8000,
					    0xffff,	 0x7fffffff, 0x80000000, 0xffffffff,
					    0x100000000, INT64_MAX,  UINT64_MAX, UINT64_MAX - 7 };
	uint64_t number = numbers[random_below(ARRAY_SIZE(numbers))];
	size_t width = (size_t)1 << random_below(4);

	if (input.size >= width)
		memcpy(input.bytes + random_below(input.size - width + 1), &number, width);
}

/* A part of some file, or of the input itself, put in somewhere. */
static void put_part(const struct input *from)
{
	struct input part;
	size_t start;

	if (from->size == 0)
		return;
	start = random_below(from->size);
	part.size = 1 + random_below(from->size - start);
	memcpy(part.bytes, from->bytes + start, part.size);
	insert(random_below(input.size + 1), part.bytes, part.size);
}

static void mutate(void)
{
	uint8_t byte = (uint8_t)random_next();
	size_t at = input.size ? random_below(input.size) : 0;

	switch (random_below(8)) {
	case 0:
		if (input.size)
			input.bytes[at] ^= (uint8_t)(1 << random_below(8));
		break;
	case 1:
		if (input.size)
			input.bytes[at] = byte;
		break;
	case 2:
		insert(at, &byte, 1);
		break;
	case 3:
		if (input.size)
			cut(at, 1 + random_below(random_below(4) ? min_u64(8, input.size - at)
								 : input.size - at));
		break;
	case 4:
		put_number();
		break;
	case 5:
		put_part(&input);
		break;
	case 6:
		put_part(&corpus[random_below(corpus_count)]);
		break;
	case 7: /* printable, for what is text */
		if (input.size)
			input.bytes[at] = (uint8_t)(0x20 + byte % 0x5f);
		break;
	}
}

/* On a heap block of its size, so that AddressSanitizer sees one byte too far. */
static void run(void)
{
	uint8_t *exact = malloc(input.size ? input.size : 1);

	memcpy(exact, input.bytes, input.size);
	LLVMFuzzerTestOneInput(exact, input.size);
	free(exact);
}

/* Called on the way down: from AddressSanitizer, UBSan or abort(). */
static void crash_save(void)
{
	static bool saved;
	char path[128];
	FILE *file;

	if (saved)
		return;
	saved = true;
	mkdir("build", 0777);
	mkdir("build/fuzz", 0777);
	snprintf(path, sizeof(path), "build/fuzz/crash-%lu-%lu", seed, input_number);
	file = fopen(path, "wb");
	if (!file || fwrite(input.bytes, 1, input.size, file) != input.size)
		perror(path);
	else
		fprintf(stderr,
			"\ninput %lu of seed %lu is in %s: give it as only argument to run it alone\n",
			input_number, seed, path);
	if (file)
		fclose(file);
}

static void abort_caught(int number)
{
	crash_save();
	signal(number, SIG_DFL);
	raise(number);
}

static void run_seeded(uint64_t count)
{
	for (input_number = 1; input_number <= count; input_number++) {
		/* Each input from its own start, so that it does not depend on those before. */
		random_state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) +
			       input_number * UINT64_C(0xbf58476d1ce4e5b9);
		if (random_state == 0)
			random_state = 1;
		random_next();
		input = corpus[random_below(corpus_count)];
		for (size_t i = 1 + random_below(MUTATION_MAX); i > 0; i--)
			mutate();
		run();
	}
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	uint64_t count;

	__sanitizer_set_death_callback(crash_save);
	signal(SIGABRT, abort_caught);
	if (argc == 2) {
		file_load(argv[1], &input);
		run();
		printf("%s: %s\n", name, fuzz_accepted_count ? "accepted" : "refused");
		return 0;
	}
	if (argc != 4) {
		fprintf(stderr, "usage: %s CORPUS COUNT SEED | FILE\n", name);
		return 2;
	}
	corpus_load(argv[1]);
	count = strtoull(argv[2], NULL, 0);
	seed = strtoull(argv[3], NULL, 0);
	/* The corpus as it is, then its mutations. */
	for (uint32_t i = 0; i < corpus_count; i++) {
		input = corpus[i];
		run();
	}
	run_seeded(count);
	printf("%s: %lu inputs from seed %lu: %lu accepted, %lu refused\n", name, count, seed,
	       fuzz_accepted_count, fuzz_refused_count);
	if (fuzz_accepted_count >= count / VERDICT_SHARE && fuzz_refused_count >= count / VERDICT_SHARE)
		return 0;
	fprintf(stderr, "%s: fewer than one in %d accepted, or refused: a poor corpus tests little\n", name,
		VERDICT_SHARE);
	return 1;
}
