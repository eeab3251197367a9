/* SPDX-License-Identifier: Apache-2.0 */
/* What exits.c and its guest agree upon. For assembly too. */
#ifndef TESTS_GUEST_EXITS_GUEST_H
#define TESTS_GUEST_EXITS_GUEST_H

#define EXITS_GUEST_ROUNDS 200 /* of each kind of exit */

/* The network port: its registers, and its transmit queue's rings. */
#define EXITS_GUEST_BAR 0x80000000
#define EXITS_GUEST_PORT_BAR 0xc000
#define EXITS_GUEST_DESCRIPTORS 0x800000
#define EXITS_GUEST_DRIVER 0x810000
#define EXITS_GUEST_DEVICE 0x820000
#define EXITS_GUEST_FRAME 0x830000

#endif
