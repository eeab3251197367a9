/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NMI: the chipset reports an error (parity, SERR#), which stops this server, or
 * somebody pressed the diagnostic button, which prints where it is and goes on.
 */
#ifndef KERNEL_NMI_H
#define KERNEL_NMI_H

void nmi_init(void);

#endif
