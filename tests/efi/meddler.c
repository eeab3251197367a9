/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A firmware that meddles, for tests/pair/test_boot.py: stands in for the loader
 * at \EFI\BOOT\BOOTX64.EFI, starts the real one at \EFI\BOOT\LOADER.EFI with
 * options, and allocates memory right behind the loader's first successful
 * GetMemoryMap. So that map is out of date when the loader calls
 * ExitBootServices, as when a driver's timer had struck, and it must try again.
 */
#include <efi.h>
#include <efilib.h>

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);

static EFI_GET_MEMORY_MAP real_get_memory_map;
static EFI_EXIT_BOOT_SERVICES real_exit_boot_services;

static EFI_STATUS EFIAPI meddling_get_memory_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *map, UINTN *key,
						 UINTN *descriptor_size, UINT32 *version)
{
	EFI_STATUS status = real_get_memory_map(size, map, key, descriptor_size, version);
	EFI_PHYSICAL_ADDRESS page;

	if (!EFI_ERROR(status)) {
		BS->GetMemoryMap = real_get_memory_map;
		BS->AllocatePages(AllocateAnyPages, EfiBootServicesData, 1, &page);
	}
	return status;
}

static EFI_STATUS EFIAPI telling_exit_boot_services(EFI_HANDLE handle, UINTN key)
{
	EFI_STATUS status = real_exit_boot_services(handle, key);

	if (status == EFI_INVALID_PARAMETER) {
		BS->ExitBootServices = real_exit_boot_services;
		ST->ConOut->OutputString(ST->ConOut, L"meddler: the key was out of date\r\n");
	}
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
	static CHAR16 options[] = L"LOADER.EFI server.name=b";
	EFI_LOADED_IMAGE *own;
	EFI_LOADED_IMAGE *loader_image;
	EFI_HANDLE loader;
	EFI_STATUS status;

	InitializeLib(handle, system);
	status = BS->HandleProtocol(handle, &LoadedImageProtocol, (VOID **)&own);
	if (!EFI_ERROR(status))
		status = BS->LoadImage(FALSE, handle,
				       FileDevicePath(own->DeviceHandle, L"\\EFI\\BOOT\\LOADER.EFI"), NULL, 0,
				       &loader);
	if (!EFI_ERROR(status))
		status = BS->HandleProtocol(loader, &LoadedImageProtocol, (VOID **)&loader_image);
	if (!EFI_ERROR(status)) {
		loader_image->LoadOptions = options;
		loader_image->LoadOptionsSize = sizeof(options);
		real_get_memory_map = BS->GetMemoryMap;
		real_exit_boot_services = BS->ExitBootServices;
		BS->GetMemoryMap = meddling_get_memory_map;
		BS->ExitBootServices = telling_exit_boot_services;
	}
	if (!EFI_ERROR(status))
		status = BS->StartImage(loader, NULL, NULL);
	Print(L"meddler: %r\r\n", status);
	return status;
}
