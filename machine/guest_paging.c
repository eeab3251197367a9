/* SPDX-License-Identifier: Apache-2.0 */
/* Guest page-table walk; see guest_paging.h. */
#include "machine/guest_paging.h"

#include "include/byte_order.h"

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITABLE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_NO_EXECUTE BIT(63)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)
#define PHYSICAL_RESERVED UINT64_C(0x000fff0000000000) /* above the 40 bits that CPUID tells */

#define LEVEL_MAX 4
#define INDEX_BITS 9 /* of each level in long mode */
#define PAGE_BITS 12

/* How the tables are shaped in the current mode. */
struct shape {
	uint32_t level_count;
	uint32_t entry_size; /* 4 or 8 bytes */
	uint32_t index_bits; /* of each level but PAE's top one, which has 2 */
};

struct walk {
	const struct guest_memory *memory;
	struct shape shape;
	uint64_t entry_gpas[LEVEL_MAX]; /* of each level that was walked */
	uint64_t entry_values[LEVEL_MAX];
	uint32_t depth;	 /* entries used */
	uint64_t rights; /* WRITABLE and USER: all levels agree; NO_EXECUTE: one says so */
	uint64_t gpa;
};

static struct shape shape_of(const struct vcpu_state *vcpu)
{
	if (vcpu->efer & VCPU_EFER_LMA)
		return (struct shape){ 4, 8, 9 };
	if (vcpu->cr4 & VCPU_CR4_PAE)
		return (struct shape){ 3, 8, 9 };
	return (struct shape){ 2, 4, 10 };
}

static bool is_canonical(uint64_t gva)
{
	return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

/* May an entry at `level` (1 = page table) map a large page? */
static bool can_be_large(const struct vcpu_state *vcpu, const struct walk *walk, uint32_t level)
{
	if (walk->shape.entry_size == 4)
		return level == 2 && (vcpu->cr4 & VCPU_CR4_PSE);
	return level == 2 || (level == 3 && walk->shape.level_count == 4);
}

/* Rights gather on the way down; the PAE top level has none of its own. */
static void rights_gather(struct walk *walk, uint64_t entry, uint32_t level)
{
	if (level == 3 && walk->shape.level_count == 3)
		return;
	walk->rights &= entry | ~(ENTRY_WRITABLE | ENTRY_USER);
	walk->rights |= entry & ENTRY_NO_EXECUTE;
}

static uint64_t large_page_gpa(const struct walk *walk, uint64_t entry, uint64_t gva, uint32_t page_bits)
{
	uint64_t base = entry & ENTRY_ADDRESS & ~(BIT(page_bits) - 1);

	if (walk->shape.entry_size == 4) /* PSE-36: bits 13..20 are address bits 32..39 */
		base = (entry & UINT64_C(0xffc00000)) | (entry >> 13 & 0xff) << 32;
	return base | (gva & (BIT(page_bits) - 1));
}

/*
 * Walks down to the page. Returns 0, or the bits of the error code that tell what
 * stopped it (0 is also a walk that found nothing: then `*found` is false).
 */
static uint32_t walk_down(const struct vcpu_state *vcpu, struct walk *walk, uint64_t gva, bool *found)
{
	uint64_t reserved = walk->shape.entry_size == 8 ? PHYSICAL_RESERVED : 0;
	uint64_t table = vcpu->cr3 & (walk->shape.level_count == 3 ? UINT64_C(0xffffffe0) : ENTRY_ADDRESS);

	*found = false;
	if (!(vcpu->efer & VCPU_EFER_NXE) && walk->shape.entry_size == 8)
		reserved |= ENTRY_NO_EXECUTE;
	for (uint32_t level = walk->shape.level_count; level > 0; level--) {
		uint32_t page_bits = 12 + (level - 1) * walk->shape.index_bits;
		uint64_t index = gva >> page_bits & (BIT(walk->shape.index_bits) - 1);
		uint64_t entry_gpa = table + index * walk->shape.entry_size;
		const uint8_t *at = guest_memory_at(walk->memory, entry_gpa, walk->shape.entry_size);
		uint64_t entry;

		if (!at)
			return 0; /* a table where no memory is: reads as nothing present */
		entry = walk->shape.entry_size == 8 ? load_le64(at) : load_le32(at);
		if (!(entry & ENTRY_PRESENT))
			return 0;
		if (entry & reserved)
			return GUEST_PAGE_PRESENT | GUEST_PAGE_RESERVED;
		walk->entry_gpas[walk->depth] = entry_gpa;
		walk->entry_values[walk->depth++] = entry;
		rights_gather(walk, entry, level);
		if (level == 1 || ((entry & ENTRY_LARGE) && can_be_large(vcpu, walk, level))) {
			*found = true;
			walk->gpa = large_page_gpa(walk, entry, gva, page_bits);
			if (level == 1)
				walk->gpa = (entry & ENTRY_ADDRESS) | (gva & 0xfff);
			return 0;
		}
		table = entry & ENTRY_ADDRESS;
	}
	return 0;
}

/* Does the mode of the processor forbid the access (APM 2, 5.6)? */
static bool is_forbidden(const struct vcpu_state *vcpu, uint64_t rights, uint32_t access)
{
	bool user = vcpu->cpl == 3;
	bool user_page = (rights & ENTRY_USER) != 0;

	if (user && !user_page)
		return true;
	if ((access & GUEST_PAGE_WRITE) && !(rights & ENTRY_WRITABLE) && (user || (vcpu->cr0 & VCPU_CR0_WP)))
		return true;
	if (access & GUEST_PAGE_FETCH)
		return (rights & ENTRY_NO_EXECUTE) || (!user && user_page && (vcpu->cr4 & VCPU_CR4_SMEP));
	return !user && user_page && (vcpu->cr4 & VCPU_CR4_SMAP) && !(vcpu->rflags & VCPU_RFLAGS_AC);
}

static void bits_set(const struct walk *walk, uint32_t access)
{
	for (uint32_t i = 0; i < walk->depth; i++) {
		uint64_t wanted = walk->entry_values[i];

		if (i == 0 && walk->shape.level_count == 3)
			continue; /* PAE's top level has no such bits */
		wanted |= ENTRY_ACCESSED;
		if (i == walk->depth - 1 && (access & GUEST_PAGE_WRITE))
			wanted |= ENTRY_DIRTY;
		if (wanted == walk->entry_values[i])
			continue;
		/* Little-endian: the lower half is where a short entry is. */
		guest_memory_write(walk->memory, walk->entry_gpas[i], &wanted, walk->shape.entry_size);
	}
}

/* Down the tables, as the processor would: `walk` is new. */
static bool translate(struct walk *walk, const struct vcpu_state *vcpu, uint64_t gva, uint32_t access,
		      uint64_t *gpa, uint32_t *error_code)
{
	bool reports_fetch = (vcpu->efer & VCPU_EFER_NXE) || (vcpu->cr4 & VCPU_CR4_SMEP);
	bool found;

	if (!(vcpu->cr0 & VCPU_CR0_PG)) {
		*gpa = (uint32_t)gva;
		return true;
	}
	*error_code = access & GUEST_PAGE_WRITE;
	if ((access & GUEST_PAGE_FETCH) && reports_fetch)
		*error_code |= GUEST_PAGE_FETCH;
	if (vcpu->cpl == 3)
		*error_code |= GUEST_PAGE_USER;
	if (walk->shape.level_count == 4 && !is_canonical(gva))
		return false;
	*error_code |= walk_down(vcpu, walk, gva, &found);
	if (!found)
		return false;
	if (is_forbidden(vcpu, walk->rights, access)) {
		*error_code |= GUEST_PAGE_PRESENT;
		return false;
	}
	bits_set(walk, access);
	*gpa = walk->gpa;
	return true;
}

static struct walk walk_of(const struct vcpu_state *vcpu, const struct guest_memory *memory)
{
	return (struct walk){ .memory = memory,
			      .shape = shape_of(vcpu),
			      .rights = ENTRY_WRITABLE | ENTRY_USER };
}

bool guest_paging_translate(const struct vcpu_state *vcpu, const struct guest_memory *memory, uint64_t gva,
			    uint32_t access, uint64_t *gpa, uint32_t *error_code)
{
	struct walk walk = walk_of(vcpu, memory);

	return translate(&walk, vcpu, gva, access, gpa, error_code);
}

static void remember(struct guest_paging_memo *memo, const struct walk *walk, const struct vcpu_state *vcpu,
		     uint64_t gva, uint32_t access)
{
	*memo = (struct guest_paging_memo){ .page = gva >> PAGE_BITS,
					    .cr0 = vcpu->cr0,
					    .cr3 = vcpu->cr3,
					    .cr4 = vcpu->cr4,
					    .efer = vcpu->efer,
					    .rflags_ac = vcpu->rflags & VCPU_RFLAGS_AC,
					    .access = access,
					    .cpl = vcpu->cpl,
					    .depth = (uint8_t)walk->depth };
	/* With the bits that the walk itself has set. */
	for (uint32_t i = 0; i < walk->depth; i++) {
		memo->entries_at[i] = guest_memory_at(walk->memory, walk->entry_gpas[i], 8);
		memo->entry_values[i] = load_le64(memo->entries_at[i]);
	}
}

bool guest_paging_translate_anew(struct guest_paging_memo *memo, const struct vcpu_state *vcpu,
				 const struct guest_memory *memory, uint64_t gva, uint32_t access,
				 uint64_t *gpa, uint32_t *error_code)
{
	struct walk walk = walk_of(vcpu, memory);
	bool good = translate(&walk, vcpu, gva, access, gpa, error_code);

	memo->depth = 0;
	if (good && walk.shape.level_count == 4)
		remember(memo, &walk, vcpu, gva, access);
	return good;
}

/*
 * Another address space shares the tables below its top one with those before, most often:
 * where its own entry there is the same, so is the rest.
 */
static bool follow_cr3(struct guest_paging_memo *memo, const struct vcpu_state *vcpu,
		       const struct guest_memory *memory)
{
	uint64_t index = memo->page >> (LEVEL_MAX - 1) * INDEX_BITS & (BIT(INDEX_BITS) - 1);
	const uint8_t *at = guest_memory_at(memory, (vcpu->cr3 & ENTRY_ADDRESS) + index * 8, 8);

	if (!at || load_le64(at) != memo->entry_values[0])
		return false;
	memo->cr3 = vcpu->cr3;
	memo->entries_at[0] = at;
	return true;
}

bool guest_paging_is_same(struct guest_paging_memo *memo, const struct vcpu_state *vcpu,
			  const struct guest_memory *memory, uint64_t gva, uint32_t access)
{
	if (!memo->depth || memo->page != gva >> PAGE_BITS || memo->access != access ||
	    memo->cr0 != vcpu->cr0 || memo->cr4 != vcpu->cr4 || memo->efer != vcpu->efer ||
	    memo->cpl != vcpu->cpl || memo->rflags_ac != (vcpu->rflags & VCPU_RFLAGS_AC))
		return false;
	if (memo->cr3 != vcpu->cr3 && !follow_cr3(memo, vcpu, memory))
		return false;
	for (uint32_t i = 0; i < memo->depth; i++)
		if (load_le64(memo->entries_at[i]) != memo->entry_values[i])
			return false;
	return true;
}

uint32_t guest_paging_fetch(const struct vcpu_state *vcpu, const struct guest_memory *memory, uint64_t gva,
			    uint8_t *to, uint32_t size)
{
	uint32_t done = 0;

	while (done < size) {
		uint32_t piece = (uint32_t)min_u64(size - done, 4096 - (gva + done) % 4096);
		uint32_t error_code;
		uint64_t gpa;

		if (!guest_paging_translate(vcpu, memory, gva + done, GUEST_PAGE_FETCH, &gpa, &error_code) ||
		    !guest_memory_read(memory, gpa, to + done, piece))
			break;
		done += piece;
	}
	return done;
}
