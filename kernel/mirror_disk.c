/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on the disks of the mirror sets, in pieces; see mirror_disk.h. Wiring: between mirror/ and drivers/. */
#include "kernel/mirror_disk.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "kernel/page_map.h"

#define SWEPT_MAX 3 /* times that a piece is tried again which another one's reset swept away */

struct mirror_disk {
	struct disk_device *device;    /* NULL: there is none */
	uint32_t sector_sectors;       /* the sets' of 512 bytes in one of its own */
	uint32_t piece_size;	       /* bytes */
	uint32_t under_way;	       /* pieces that the disk has */
	struct mirror_disk_job *first; /* those whose next piece waits for the disk, in order */
	struct mirror_disk_job *last;
};

static struct mirror_disk disks[MIRROR_SET_MAX];
static uint32_t disks_end; /* behind the last that is there */

enum disk_operation mirror_disk_operation(uint8_t operation)
{
	static const enum disk_operation operations[] = {
		[MIRROR_READ] = DISK_READ, [MIRROR_WRITE] = DISK_WRITE, [MIRROR_FLUSH] = DISK_FLUSH
	};

	return operations[operation];
}

static const char *check_device(const struct disk_device *device)
{
	if (device->gone)
		return "it does not answer";
	if (device->identity.sector_size != MIRROR_SECTOR_SIZE &&
	    device->identity.sector_size != MIRROR_LARGE_SECTOR_SIZE)
		return "its sectors are neither of 512 nor of 4096 bytes";
	return NULL;
}

const char *mirror_disk_open(uint32_t index, struct disk_device *device)
{
	const struct disk_identity *identity = &device->identity;
	struct mirror_disk *disk = &disks[index];
	const char *wrong = check_device(device);

	if (wrong)
		return wrong;
	/* A page a segment at worst. */
	disk->piece_size = (uint32_t)align_down(
		min_u64(identity->transfer_max, identity->segment_max * PAGE_SIZE), PAGE_SIZE);
	if (disk->piece_size == 0)
		return "it takes no transfer of a page";
	disk->device = device;
	disk->sector_sectors = (uint32_t)(identity->sector_size / MIRROR_SECTOR_SIZE);
	disks_end = (uint32_t)max_u64(disks_end, index + 1);
	return NULL;
}

/* ---- a job's way ---- */

static void wait_for_disk(struct mirror_disk *disk, struct mirror_disk_job *job)
{
	job->next = NULL;
	if (disk->last)
		disk->last->next = job;
	else
		disk->first = job;
	disk->last = job;
}

void mirror_disk_do(struct mirror_disk_job *job)
{
	ASSERT(disks[job->disk].device);
	job->sectors_done = 0;
	job->swept_count = 0;
	wait_for_disk(&disks[job->disk], job);
}

void mirror_disk_add(struct mirror_disk_job *job, uint64_t physical, uint64_t size)
{
	struct disk_request *piece = &job->piece;
	struct disk_segment *last = &piece->segments[piece->segment_count - 1];

	if (piece->segment_count > 0 && last->physical + last->size == physical) {
		last->size += (uint32_t)size;
		return;
	}
	ASSERT(piece->segment_count < DISK_SEGMENT_MAX);
	piece->segments[piece->segment_count++] =
		(struct disk_segment){ .physical = physical, .size = (uint32_t)size };
}

/* Pieces are whole pages, but for the last. */
static void make_piece(const struct mirror_disk *disk, struct mirror_disk_job *job)
{
	uint64_t done = job->sectors_done * MIRROR_SECTOR_SIZE;
	uint64_t size = min_u64(disk->piece_size, job->sector_count * MIRROR_SECTOR_SIZE - done);
	struct disk_request *piece = &job->piece;

	memset(piece, 0, offsetof(struct disk_request, segments));
	piece->operation = job->operation;
	if (piece->operation == DISK_FLUSH)
		return;
	/* A set on a disk of large sectors has those, and so has every request of its. */
	ASSERT(is_aligned(job->sector | job->sector_count, disk->sector_sectors));
	piece->sector = (job->sector + job->sectors_done) / disk->sector_sectors;
	piece->sector_count = (uint32_t)(size / MIRROR_SECTOR_SIZE) / disk->sector_sectors;
	job->memory(job, done, size);
}

/* Gives the first job's next piece to the disk. False: it takes no more at present. */
static bool submit_first(struct mirror_disk *disk)
{
	struct mirror_disk_job *job = disk->first;
	int error;

	make_piece(disk, job);
	error = disk->device->ops->submit(disk->device, &job->piece);
	if (error == -EAGAIN)
		return false;
	disk->first = job->next;
	if (!disk->first)
		disk->last = NULL;
	if (error)
		job->ended(job, error);
	else
		disk->under_way++;
	return true;
}

static void start_disk(struct mirror_disk *disk)
{
	bool submitted = false;

	while (disk->first && submit_first(disk))
		submitted = true;
	if (submitted)
		disk->device->ops->start(disk->device);
}

void mirror_disk_start(void)
{
	for (uint32_t index = 0; index < disks_end; index++)
		start_disk(&disks[index]);
}

static struct mirror_disk_job *job_of(struct disk_request *piece)
{
	return (struct mirror_disk_job *)((uint8_t *)piece - offsetof(struct mirror_disk_job, piece));
}

static void take_back(struct mirror_disk *disk, struct mirror_disk_job *job)
{
	int status = job->piece.status;

	disk->under_way--;
	if (status == -ECANCELED && job->swept_count < SWEPT_MAX) {
		job->swept_count++;
		wait_for_disk(disk, job);
		return;
	}
	if (!status && job->operation != DISK_FLUSH) {
		job->sectors_done += job->piece.sector_count * disk->sector_sectors;
		if (job->sectors_done < job->sector_count) {
			wait_for_disk(disk, job);
			return;
		}
	}
	job->ended(job, status);
}

bool mirror_disk_poll(void)
{
	bool came = false;

	for (uint32_t index = 0; index < disks_end; index++) {
		struct mirror_disk *disk = &disks[index];
		struct disk_request *piece;

		while ((disk->under_way > 0 || disk->first) &&
		       (piece = disk->device->ops->poll(disk->device)) != NULL) {
			take_back(disk, job_of(piece));
			came = true;
		}
	}
	return came;
}
