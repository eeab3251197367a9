/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers and descriptors of Intel's gigabit controllers, only what we use.
 * "SDM": PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual (317453), for the 82540EM; "82574": 82574 Family Datasheet. Both mean the
 * same where one is named.
 */
#ifndef DRIVERS_E1000_REG_H
#define DRIVERS_E1000_REG_H

#include "include/bits.h"

#define E1000_REGISTERS_SIZE (128 * KIB)

/* General (SDM 13.4.1 ff.) */
#define E1000_CTRL    0x00000 /* Device Control, R/W */
#define	    E1000_CTRL_GIO_MASTER_DISABLE BIT(2) /* 82574 only */
#define	    E1000_CTRL_ASDE		  BIT(5) /* speed from the PHY; reserved in the 82574 */
#define	    E1000_CTRL_SLU		  BIT(6) /* set link up */
#define	    E1000_CTRL_RST		  BIT(26) /* clears itself */
#define E1000_STATUS  0x00008 /* Device Status, R */
#define	    E1000_STATUS_FD		   BIT(0)
#define	    E1000_STATUS_LU		   BIT(1) /* link up */
#define	    E1000_STATUS_SPEED(status)	   (((status) >> 6) & 3) /* 10, 100, 1000, 1000 */
#define	    E1000_STATUS_GIO_MASTER_ENABLE BIT(19) /* 82574: requests are still under way */
#define E1000_ICR     0x000c0 /* Interrupt Cause, R, cleared by reading */
#define E1000_IMC     0x000d8 /* Interrupt Mask Clear, W */

/* Receive (SDM 13.4.22 ff.) */
#define E1000_RCTL    0x00100 /* Receive Control, R/W */
#define	    E1000_RCTL_EN	   BIT(1)
#define	    E1000_RCTL_UPE	   BIT(3) /* all unicast */
#define	    E1000_RCTL_MPE	   BIT(4) /* all multicast */
#define	    E1000_RCTL_LPE	   BIT(5) /* frames above 1522 bytes */
#define	    E1000_RCTL_BAM	   BIT(15) /* broadcast */
#define	    E1000_RCTL_BSIZE_2048  0
#define	    E1000_RCTL_BSIZE_4096  (BIT(16) | BIT(17) | BIT(25)) /* BSIZE = 11b with BSEX */
#define	    E1000_RCTL_SECRC	   BIT(26) /* strip the frame check sequence */
#define E1000_RDBAL   0x02800 /* ring base, low and high */
#define E1000_RDBAH   0x02804
#define E1000_RDLEN   0x02808 /* bytes, a multiple of 128 */
#define E1000_RDH     0x02810 /* the device's next */
#define E1000_RDT     0x02818 /* first one that is not the device's */
#define E1000_RDTR    0x02820 /* interrupt delays: we poll, so 0 */
#define E1000_RADV    0x0282c
#define E1000_RXCSUM  0x05000 /* checksum offload */
#define E1000_MTA     0x05200 /* multicast filter */
#define	    E1000_MTA_COUNT 128
#define E1000_RAL(n)  (0x05400 + 8 * (n)) /* receive addresses */
#define E1000_RAH(n)  (0x05404 + 8 * (n))
#define	    E1000_RAH_AV    BIT(31) /* valid */
#define	    E1000_RA_COUNT  15

/* Transmit (SDM 13.4.33 ff.) */
#define E1000_TCTL    0x00400 /* Transmit Control, R/W */
#define	    E1000_TCTL_EN   BIT(1)
#define	    E1000_TCTL_PSP  BIT(3) /* pad short frames */
#define	    E1000_TCTL_CT   (UINT32_C(15) << 4) /* collision threshold, as SDM 13.4.33 advises */
#define	    E1000_TCTL_COLD (UINT32_C(0x3f) << 12) /* collision distance, full duplex */
#define	    E1000_TCTL_CONTROL_MASK UINT32_C(0x003ffffa) /* the fields above; the rest stays as it was */
#define E1000_TIPG    0x00410 /* gaps between frames */
#define	    E1000_TIPG_COPPER 0x00602008 /* IPGT 8, IPGR1 8, IPGR2 6 (SDM 13.4.34) */
#define E1000_TDBAL   0x03800
#define E1000_TDBAH   0x03804
#define E1000_TDLEN   0x03808
#define E1000_TDH     0x03810
#define E1000_TDT     0x03818
#define E1000_TIDV    0x03820
#define E1000_TXDCTL  0x03828
#define	    E1000_TXDCTL_COUNT_DESCRIPTORS BIT(22) /* 82574 10.2.6.9: must be 1 */

/* Statistics, each cleared by reading (SDM 13.7) */
#define E1000_CRCERRS 0x04000 /* bad frame check sequence */
#define E1000_RXERRC  0x0400c /* bad symbols */
#define E1000_MPC     0x04010 /* missed: no room in the device */
#define E1000_ECOL    0x04018 /* excessive collisions */
#define E1000_LATECOL 0x04020 /* late collisions */
#define E1000_RUC     0x040a4 /* too short */
#define E1000_RFC     0x040a8 /* too short and bad */
#define E1000_ROC     0x040ac /* too long */

/* Legacy receive descriptor (SDM 3.2.3): the second word is read and written as one. */
struct e1000_rx_descriptor {
	uint64_t physical;
	volatile uint64_t word;
};
BUILD_ASSERT(sizeof(struct e1000_rx_descriptor) == 16);

#define E1000_RX_SIZE(word) ((uint32_t)(word) & 0xffff)
#define E1000_RX_DONE	    BIT(32) /* status.DD */
#define E1000_RX_END	    BIT(33) /* status.EOP */
/* errors: CE, SE, SEQ, CXE, RXE; the checksum ones mean nothing with offload off */
#define E1000_RX_ERRORS	    (BIT(40) | BIT(41) | BIT(42) | BIT(44) | BIT(47))

/* Legacy transmit descriptor (SDM 3.3.3) */
struct e1000_tx_descriptor {
	uint64_t physical;
	volatile uint64_t word;
};
BUILD_ASSERT(sizeof(struct e1000_tx_descriptor) == 16);

#define E1000_TX_END	BIT(24) /* command.EOP */
#define E1000_TX_FCS	BIT(25) /* command.IFCS: add the frame check sequence */
#define E1000_TX_REPORT BIT(27) /* command.RS: set DD when done */
#define E1000_TX_DONE	BIT(32) /* status.DD */
#define E1000_TX_ERRORS (BIT(33) | BIT(34)) /* status.EC, LC: collisions */

#define E1000_RESET_DELAY_US		5000 /* registers are loaded from the EEPROM again (SDM 14.3) */
#define E1000_RESET_TIMEOUT_MS		100
#define E1000_MASTER_DISABLE_TIMEOUT_MS 80 /* 82574 3.1.3.10: requests under way come to an end */

#endif
