/* SPDX-License-Identifier: Apache-2.0 */
/* Address resolution: what stands behind the Ethernet header of a question or an answer (RFC 826, RFC 903). */
#ifndef KERNEL_ARP_H
#define KERNEL_ARP_H

#include <string.h>

#include "include/byte_order.h"

#define ARP_ETHERTYPE 0x0806
#define ARP_ETHERTYPE_REVERSE 0x8035
#define ARP_SIZE 28
#define ARP_HARDWARE_SIZE 6
#define ARP_PROTOCOL_SIZE 4

/* Where its fields begin. */
#define ARP_OPERATION 6
#define ARP_SENDER_HARDWARE 8
#define ARP_SENDER_PROTOCOL 14
#define ARP_TARGET_HARDWARE 18
#define ARP_TARGET_PROTOCOL 24

enum arp_operation {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_REQUEST_REVERSE = 3,
};

/* `operation` about IPv4 addresses, by the owner of the Ethernet address `sender`; all other addresses are 0. */
static inline void arp_fill(uint8_t arp[ARP_SIZE], enum arp_operation operation,
			    const uint8_t sender[ARP_HARDWARE_SIZE])
{
	memset(arp, 0, ARP_SIZE);
	store_be16(arp, 1);	     /* Ethernet */
	store_be16(arp + 2, 0x0800); /* IPv4 */
	arp[4] = ARP_HARDWARE_SIZE;
	arp[5] = ARP_PROTOCOL_SIZE;
	store_be16(arp + ARP_OPERATION, (uint16_t)operation);
	memcpy(arp + ARP_SENDER_HARDWARE, sender, ARP_HARDWARE_SIZE);
}

#endif
