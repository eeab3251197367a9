/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UEFI loader: from firmware to the kernel's 64-bit entry.
 *
 *   1. find the folder: \yoke on the volume this loader came from, or that
 *      volume's root where there are no folders (iPXE offers the files that it
 *      has downloaded as such a volume, so disk and network are one path)
 *   2. read yoke.elf, check it, place it at any 2 MiB boundary below 4 GiB
 *   3. read every other file of the folder for the kernel to find (yoke.conf,
 *      a guest's firmware, ...), except loaders' own files
 *   4. hand over: ACPI root pointer, framebuffer, options, memory map
 *   5. ExitBootServices, switch page tables, jump
 *
 * Everything the kernel gets lies below 4 GiB, where its first page tables
 * reach. Whatever is wrong is said on the console, and the firmware goes on to
 * its next boot entry. UEFI specification 2.10; sections are named where used.
 */
#include <efi.h>
#include <efilib.h>
#include <stdarg.h>
#include <string.h>

#include "boot/efi_serial.h"
#include "boot/handover.h"
#include "boot/kernel_image.h"
#include "boot/page_tables.h"
#include "include/memory_layout.h"

#define BELOW_4G (4 * GIB - 1)
#define PAGE_COUNT(size) (((size) + EFI_PAGE_SIZE - 1) / EFI_PAGE_SIZE)

#define KERNEL_NAME L"yoke.elf"
#define OPTIONS_NAME L"yoke.cmdline"
#define LOADER_NAME "Yoke UEFI loader"

#define EXIT_TRIES_MAX 8
/* Exiting boot services, or allocating for the map itself, adds a few descriptors. */
#define MAP_SLACK_COUNT 32
#define MEMORY_SPECIAL_PURPOSE UINT64_C(0x40000) /* UEFI 2.10, 7.2.3: set aside for a driver */

/* What the kernel is entered with: one block below 4 GiB. */
struct handoff {
	struct page_tables tables;
	struct boot_info info;
};

struct loaded_file {
	uint8_t *bytes;
	UINT64 size;
};

struct memory_map {
	EFI_MEMORY_DESCRIPTOR *descriptors;
	UINTN buffer_size;
	UINTN size;
	UINTN descriptor_size;
	UINTN key;
};

/* The way into the kernel, copied below 4 GiB: this loader itself may lie above. */
extern const uint8_t jump_start[];
extern const uint8_t jump_end[];
typedef void __attribute__((sysv_abi)) jump_function(uint64_t boot_info, uint64_t tables, uint64_t entry);
__asm__(".pushsection .rodata\n"
	"jump_start:\n"
	"	cli\n"
	"	movq %cr4, %rax\n"
	"	andq $~0x820080, %rax\n" /* CET, PCIDE, PGE: the firmware's; the last also flushes global
					    pages */
	"	movq %rax, %cr4\n"
	"	movq %rsi, %cr3\n"
	"	jmp *%rdx\n"
	"jump_end:\n"
	".popsection\n");

static uint64_t tsc_now(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* Five-level paging cannot be left without leaving long mode. */
static bool has_five_level_paging(void)
{
	uint64_t cr4;

	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	return cr4 & BIT(12);
}

static void say(const CHAR16 *format, ...)
{
	CHAR16 text[256];
	va_list arguments;

	va_start(arguments, format);
	UnicodeVSPrint(text, sizeof(text), format, arguments);
	va_end(arguments);
	ST->ConOut->OutputString(ST->ConOut, text);
	efi_serial_write(text);
}

/* A folder's entry is passed over: loaders, their scripts, and what is read by name. */
static bool is_for_loaders(const CHAR16 *name)
{
	UINTN length = StrLen(name);

	return StriCmp(name, KERNEL_NAME) == 0 || StriCmp(name, OPTIONS_NAME) == 0 ||
	       (length > 4 && StriCmp(name + length - 4, L".efi") == 0) ||
	       (length > 5 && StriCmp(name + length - 5, L".ipxe") == 0);
}

static void *allocate_below_4g(UINT64 size, EFI_MEMORY_TYPE type)
{
	EFI_PHYSICAL_ADDRESS address = BELOW_4G;

	if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, type, PAGE_COUNT(size), &address)))
		return NULL;
	return (void *)address;
}

/* As above, on a boundary that the kernel's 2 MiB pages can map; what is over at both ends goes back. */
static uint8_t *allocate_for_kernel(UINT64 size)
{
	UINT64 spare = KERNEL_IMAGE_ALIGNMENT - EFI_PAGE_SIZE;
	uint8_t *block;
	EFI_PHYSICAL_ADDRESS start;
	EFI_PHYSICAL_ADDRESS end;

	size = align_up(size, EFI_PAGE_SIZE);
	block = allocate_below_4g(size + spare, EfiLoaderData);
	if (!block)
		return NULL;
	start = align_up((UINT64)block, KERNEL_IMAGE_ALIGNMENT);
	end = (UINT64)block + size + spare;
	if (start > (UINT64)block)
		BS->FreePages((UINT64)block, PAGE_COUNT(start - (UINT64)block));
	if (end > start + size)
		BS->FreePages(start + size, PAGE_COUNT(end - start - size));
	return (uint8_t *)start;
}

/* Reads a file whole. Says what is wrong and returns an error when it cannot. */
static EFI_STATUS read_file(EFI_FILE_HANDLE folder, const CHAR16 *name, struct loaded_file *file)
{
	EFI_FILE_HANDLE handle;
	EFI_FILE_INFO *information = NULL;
	UINT64 done = 0;
	EFI_STATUS status;

	status = folder->Open(folder, &handle, (CHAR16 *)name, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status)) {
		say(L"yoke loader: refused: %s: cannot be opened: %r\r\n", name, status);
		return status;
	}
	information = LibFileInfo(handle);
	file->size = information ? information->FileSize : 0;
	FreePool(information);
	file->bytes = allocate_below_4g(file->size ? file->size : 1, EfiLoaderData);
	if (!file->bytes) {
		say(L"yoke loader: refused: %s: no room for its %ld bytes below 4 GiB\r\n", name, file->size);
		status = EFI_OUT_OF_RESOURCES;
	}
	while (!EFI_ERROR(status) && done < file->size) {
		UINTN part = file->size - done;

		status = handle->Read(handle, &part, file->bytes + done);
		if (!EFI_ERROR(status) && part == 0)
			status = EFI_END_OF_FILE;
		if (EFI_ERROR(status))
			say(L"yoke loader: refused: %s: reading stopped after %ld of %ld bytes: %r\r\n", name,
			    done, file->size, status);
		else
			done += part;
	}
	handle->Close(handle);
	return status;
}

static bool file_exists(EFI_FILE_HANDLE folder, const CHAR16 *name)
{
	EFI_FILE_HANDLE handle;

	if (EFI_ERROR(folder->Open(folder, &handle, (CHAR16 *)name, EFI_FILE_MODE_READ, 0)))
		return false;
	handle->Close(handle);
	return true;
}

/* Step 1. */
static EFI_STATUS open_folder(EFI_LOADED_IMAGE *loaded, EFI_FILE_HANDLE *folder)
{
	EFI_FILE_HANDLE root = LibOpenRoot(loaded->DeviceHandle);

	if (!root) {
		say(L"yoke loader: refused: it cannot see the place it was loaded from as a file system; "
		    L"on a network, load it with iPXE and give it the files with `initrd`\r\n");
		return EFI_NOT_FOUND;
	}
	if (!EFI_ERROR(root->Open(root, folder, L"\\yoke", EFI_FILE_MODE_READ, 0)))
		return EFI_SUCCESS;
	*folder = root;
	if (file_exists(root, KERNEL_NAME))
		return EFI_SUCCESS;
	say(L"yoke loader: refused: neither "
	    L"\\yoke\\" KERNEL_NAME L" nor \\" KERNEL_NAME L" on the volume it was loaded from\r\n");
	return EFI_NOT_FOUND;
}

/* Step 2. */
static EFI_STATUS load_kernel(EFI_FILE_HANDLE folder, struct kernel_image *image, uint8_t **memory)
{
	struct loaded_file file;
	EFI_STATUS status = read_file(folder, KERNEL_NAME, &file);
	const char *wrong;

	if (EFI_ERROR(status))
		return status;
	wrong = kernel_image_check(file.bytes, file.size, image);
	if (wrong) {
		say(L"yoke loader: refused: " KERNEL_NAME L" (%ld bytes): %a\r\n", file.size, wrong);
		return EFI_LOAD_ERROR;
	}
	*memory = allocate_for_kernel(image->memory_size);
	if (!*memory) {
		say(L"yoke loader: refused: no %ld bytes of free memory for the kernel below 4 GiB\r\n",
		    image->memory_size);
		return EFI_OUT_OF_RESOURCES;
	}
	kernel_image_place(file.bytes, image, *memory);
	BS->FreePages((UINT64)file.bytes, PAGE_COUNT(file.size));
	return EFI_SUCCESS;
}

static EFI_STATUS load_boot_file(EFI_FILE_HANDLE folder, const CHAR16 *name, struct boot_info *info)
{
	char narrow[BOOT_TEXT_SIZE] = "";
	struct loaded_file file;
	EFI_STATUS status;

	if (info->file_count == BOOT_FILE_MAX) {
		say(L"yoke loader: warning: %s: left out, %d files are the most\r\n", name, BOOT_FILE_MAX);
		info->files_left_out++;
		return EFI_SUCCESS;
	}
	status = read_file(folder, name, &file);
	if (EFI_ERROR(status))
		return status;
	for (UINTN i = 0; name[i] != 0 && i < sizeof(narrow) - 1; i++)
		narrow[i] = name[i] > ' ' && name[i] <= '~' ? (char)name[i] : '_';
	handover_add_file(info, (UINT64)file.bytes, file.size, narrow, sizeof(narrow));
	return EFI_SUCCESS;
}

/* Step 3. */
static EFI_STATUS load_boot_files(EFI_FILE_HANDLE folder, struct boot_info *info)
{
	union {
		EFI_FILE_INFO information;
		uint8_t bytes[sizeof(EFI_FILE_INFO) + 512];
	} entry;
	EFI_STATUS status = folder->SetPosition(folder, 0);

	while (!EFI_ERROR(status)) {
		UINTN size = sizeof(entry);

		status = folder->Read(folder, &size, &entry);
		if (EFI_ERROR(status)) {
			say(L"yoke loader: refused: its folder cannot be listed: %r\r\n", status);
			return status;
		}
		if (size == 0)
			break;
		if (!(entry.information.Attribute & EFI_FILE_DIRECTORY) &&
		    !is_for_loaders(entry.information.FileName))
			status = load_boot_file(folder, entry.information.FileName, info);
	}
	if (!EFI_ERROR(status) && !file_exists(folder, L"yoke.conf"))
		say(L"yoke loader: warning: no yoke.conf\r\n");
	return status;
}

/* Options come from the folder, then from whoever started this loader. */
static EFI_STATUS read_options(EFI_FILE_HANDLE folder, EFI_LOADED_IMAGE *loaded, struct boot_info *info)
{
	struct loaded_file file;
	UINT64 length = 0;
	EFI_STATUS status;

	if (file_exists(folder, OPTIONS_NAME)) {
		status = read_file(folder, OPTIONS_NAME, &file);
		if (EFI_ERROR(status))
			return status;
		while (length < file.size && file.bytes[length] != '\n' && file.bytes[length] != '\r')
			length++;
		handover_add_options(info, (char *)file.bytes, length);
	}
	handover_add_load_options(info, loaded->LoadOptions, loaded->LoadOptionsSize / sizeof(CHAR16));
	return EFI_SUCCESS;
}

static void find_rsdp(struct boot_info *info)
{
	EFI_GUID acpi_2 = ACPI_20_TABLE_GUID;
	EFI_GUID acpi_1 = ACPI_TABLE_GUID;
	VOID *table;

	if (!EFI_ERROR(LibGetSystemConfigurationTable(&acpi_2, &table)) ||
	    !EFI_ERROR(LibGetSystemConfigurationTable(&acpi_1, &table)))
		info->rsdp = (UINT64)table;
}

static void find_framebuffer(struct boot_info *info)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *graphics;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;

	if (EFI_ERROR(LibLocateProtocol(&guid, (VOID **)&graphics)) || !graphics->Mode ||
	    !graphics->Mode->Info)
		return;
	mode = graphics->Mode->Info;
	if (mode->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
	    mode->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
		return; /* no linear framebuffer, or one with fields of its own */
	info->framebuffer = (struct boot_framebuffer){
		.base = graphics->Mode->FrameBufferBase,
		.width = mode->HorizontalResolution,
		.height = mode->VerticalResolution,
		.pitch = mode->PixelsPerScanLine * 4,
		.bits_per_pixel = 32,
		.format = mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor ? BOOT_FRAMEBUFFER_RGB
										     : BOOT_FRAMEBUFFER_BGR,
	};
}

/*
 * UEFI 2.10, 7.2.1, table 7.10: what each type is once boot services are gone.
 * Our own (loader) memory holds the kernel, its files and the page tables.
 */
static enum boot_memory_kind memory_kind(const EFI_MEMORY_DESCRIPTOR *descriptor)
{
	switch (descriptor->Type) {
	case EfiLoaderCode:
	case EfiLoaderData:
		return BOOT_MEMORY_LOADED;
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return descriptor->Attribute & MEMORY_SPECIAL_PURPOSE ? BOOT_MEMORY_RESERVED
								      : BOOT_MEMORY_FREE;
	case EfiUnusableMemory:
		return BOOT_MEMORY_DEFECTIVE;
	case EfiACPIReclaimMemory:
		return BOOT_MEMORY_ACPI;
	case EfiACPIMemoryNVS:
		return BOOT_MEMORY_ACPI_NVS;
	default:
		return BOOT_MEMORY_RESERVED;
	}
}

static void hand_over_memory(const struct memory_map *map, struct boot_info *info)
{
	for (UINTN offset = 0; offset + map->descriptor_size <= map->size; offset += map->descriptor_size) {
		const EFI_MEMORY_DESCRIPTOR *descriptor =
			(const void *)((const uint8_t *)map->descriptors + offset);

		handover_add_memory(info, descriptor->PhysicalStart,
				    descriptor->NumberOfPages * EFI_PAGE_SIZE, memory_kind(descriptor));
	}
}

static EFI_STATUS read_memory_map(struct memory_map *map)
{
	UINT32 version;

	map->size = map->buffer_size;
	return BS->GetMemoryMap(&map->size, map->descriptors, &map->key, &map->descriptor_size, &version);
}

/* Makes the buffer large enough for the map as it will be at the end, since then nothing can be allocated. */
static EFI_STATUS prepare_memory_map(struct memory_map *map)
{
	if (read_memory_map(map) != EFI_BUFFER_TOO_SMALL)
		return EFI_DEVICE_ERROR;
	map->buffer_size = map->size + MAP_SLACK_COUNT * map->descriptor_size;
	map->descriptors = AllocatePool(map->buffer_size);
	return map->descriptors ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES;
}

/*
 * UEFI 2.10, 7.4.6: the key must be that of the newest map. Where something
 * changed the map in between, the first call may already have stopped parts of
 * the firmware: only the memory services may be called before trying again, and
 * when that fails too there is no firmware to go back to, nor its console.
 */
static void exit_boot_services(EFI_HANDLE handle, struct memory_map *map)
{
	EFI_STATUS status = EFI_INVALID_PARAMETER;

	for (int tries = 0; tries < EXIT_TRIES_MAX && status == EFI_INVALID_PARAMETER; tries++) {
		status = read_memory_map(map);
		if (!EFI_ERROR(status))
			status = BS->ExitBootServices(handle, map->key);
	}
	if (!EFI_ERROR(status))
		return;
	efi_serial_take();
	efi_serial_write(L"yoke loader: refused: the firmware does not exit its boot services\r\n");
	for (;;)
		__asm__ volatile("hlt");
}

/* Step 5. Comes back only with what is wrong before the firmware is asked to go. */
static EFI_STATUS enter_kernel(EFI_HANDLE handle, const struct kernel_image *image, struct handoff *handoff)
{
	struct memory_map map = { .buffer_size = 0 };
	jump_function *jump = allocate_below_4g((UINT64)(jump_end - jump_start), EfiLoaderCode);
	EFI_STATUS status;

	if (!jump) {
		say(L"yoke loader: refused: no free page below 4 GiB\r\n");
		return EFI_OUT_OF_RESOURCES;
	}
	memcpy((void *)jump, jump_start, (size_t)(jump_end - jump_start));
	page_tables_build(&handoff->tables, (UINT64)&handoff->tables, handoff->info.kernel_physical,
			  image->memory_size);
	status = prepare_memory_map(&map);
	if (EFI_ERROR(status)) {
		say(L"yoke loader: refused: no memory map: %r\r\n", status);
		return status;
	}
	exit_boot_services(handle, &map);
	hand_over_memory(&map, &handoff->info);
	jump((UINT64)&handoff->info, (UINT64)&handoff->tables, image->entry);
	__builtin_unreachable();
}

/*
 * All steps; comes back with what was refused. What was allocated until then
 * stays so: no firmware runs short of memory by one kernel and its files.
 */
static EFI_STATUS load(EFI_HANDLE handle, uint64_t tsc)
{
	EFI_GUID loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_LOADED_IMAGE *loaded;
	EFI_FILE_HANDLE folder;
	struct kernel_image image;
	struct handoff *handoff;
	uint8_t *kernel;
	EFI_STATUS status;

	if (has_five_level_paging()) {
		say(L"yoke loader: refused: the firmware runs with five-level paging\r\n");
		return EFI_UNSUPPORTED;
	}
	handoff = allocate_below_4g(sizeof(*handoff), EfiLoaderData);
	status = BS->HandleProtocol(handle, &loaded_image, (VOID **)&loaded);
	if (!handoff || EFI_ERROR(status)) {
		say(L"yoke loader: refused: no memory below 4 GiB, or no word of where it came from\r\n");
		return EFI_OUT_OF_RESOURCES;
	}
	handover_begin(&handoff->info, tsc);
	handover_set_text(handoff->info.loader, LOADER_NAME, sizeof(LOADER_NAME));
	status = open_folder(loaded, &folder);
	if (!EFI_ERROR(status))
		status = load_kernel(folder, &image, &kernel);
	if (!EFI_ERROR(status))
		status = load_boot_files(folder, &handoff->info);
	if (!EFI_ERROR(status))
		status = read_options(folder, loaded, &handoff->info);
	if (EFI_ERROR(status))
		return status;
	handover_set_kernel(&handoff->info, (UINT64)kernel, image.memory_size);
	find_rsdp(&handoff->info);
	find_framebuffer(&handoff->info);
	say(L"yoke loader: kernel at 0x%lx, %d files\r\n", (UINT64)kernel, handoff->info.file_count);
	return enter_kernel(handle, &image, handoff);
}

/* Called by GNU-EFI's own start code, hence not by the firmware's calling convention. */
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
	uint64_t tsc = tsc_now();
	EFI_STATUS status;

	InitializeLib(handle, system);
	efi_serial_init();
	/* UEFI 2.10, 3.1.2: else a loader that takes five minutes is taken for a hung one. */
	BS->SetWatchdogTimer(0, 0, 0, NULL);
	status = load(handle, tsc);
	say(L"yoke loader: not started; the firmware goes on with its next boot entry in ten seconds\r\n");
	BS->Stall(10 * 1000 * 1000);
	return status;
}
