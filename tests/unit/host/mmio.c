/* SPDX-License-Identifier: Apache-2.0 */
/* Device registers in host tests: see mmio.h. */
#include "tests/unit/host/mmio.h"

#include "include/assert.h"

static struct host_mmio_model models[HOST_MMIO_REGION_MAX];
static uint32_t model_count;
static uint64_t read_count;
static uint64_t write_count;

void host_mmio_reset(void)
{
	model_count = 0;
	read_count = 0;
	write_count = 0;
}

void host_mmio_register(const struct host_mmio_model *model)
{
	ASSERT(model_count < HOST_MMIO_REGION_MAX);
	models[model_count++] = *model;
}

uint64_t host_mmio_read_count(void)
{
	return read_count;
}

uint64_t host_mmio_write_count(void)
{
	return write_count;
}

/* The model behind region + offset, with `offset` made relative to it. */
static const struct host_mmio_model *model_find(const struct mmio *region, uint64_t *offset, uint32_t width)
{
	ASSERT(range_fits(*offset, width, region->size));
	ASSERT(is_aligned(*offset, width));
	for (uint32_t i = 0; i < model_count; i++) {
		const struct host_mmio_model *model = &models[i];
		uint64_t address = region->base + *offset;

		if (address < model->base || !range_fits(address - model->base, width, model->size))
			continue;
		*offset = address - model->base;
		return model;
	}
	ASSERT(!"access to a region that no model registered");
	return NULL;
}

static uint64_t model_read(const struct mmio *region, uint64_t offset, uint32_t width)
{
	const struct host_mmio_model *model = model_find(region, &offset, width);

	read_count++;
	return model->read(model->context, offset, width);
}

static void model_write(const struct mmio *region, uint64_t offset, uint64_t value, uint32_t width)
{
	const struct host_mmio_model *model = model_find(region, &offset, width);

	write_count++;
	model->write(model->context, offset, value, width);
}

uint8_t mmio_read8(const struct mmio *region, uint64_t offset)
{
	return (uint8_t)model_read(region, offset, 1);
}

uint16_t mmio_read16(const struct mmio *region, uint64_t offset)
{
	return (uint16_t)model_read(region, offset, 2);
}

uint32_t mmio_read32(const struct mmio *region, uint64_t offset)
{
	return (uint32_t)model_read(region, offset, 4);
}

uint64_t mmio_read64(const struct mmio *region, uint64_t offset)
{
	return model_read(region, offset, 8);
}

void mmio_write8(const struct mmio *region, uint64_t offset, uint8_t value)
{
	model_write(region, offset, value, 1);
}

void mmio_write16(const struct mmio *region, uint64_t offset, uint16_t value)
{
	model_write(region, offset, value, 2);
}

void mmio_write32(const struct mmio *region, uint64_t offset, uint32_t value)
{
	model_write(region, offset, value, 4);
}

void mmio_write64(const struct mmio *region, uint64_t offset, uint64_t value)
{
	model_write(region, offset, value, 8);
}
