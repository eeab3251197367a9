/* SPDX-License-Identifier: Apache-2.0 */
/* Every disk driver there is. drivers/disk.c tries them in turn. */
#ifndef DRIVERS_DISK_DRIVERS_H
#define DRIVERS_DISK_DRIVERS_H

#include "drivers/disk.h"

extern const struct disk_ops ahci_ops;	     /* drivers/ahci.c */
extern const struct disk_ops nvme_ops;	     /* drivers/nvme.c */
extern const struct disk_ops virtio_blk_ops; /* drivers/virtio_blk.c */

#endif
