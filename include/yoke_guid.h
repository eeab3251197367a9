/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partition type by which a server finds Yoke's state partition (identity,
 * mirror generations, witness votes) on its boot disk. Drawn at random once; it
 * must never change. The GPT stores the first three fields little-endian
 * (UEFI 2.10, appendix A), so the bytes and the text do not read alike.
 */
#ifndef INCLUDE_YOKE_GUID_H
#define INCLUDE_YOKE_GUID_H

/* As people and tools write it; tools/image.py reads it from this line. */
#define YOKE_STATE_TYPE_GUID "A38DDF3E-BF34-4317-87E7-3ACDA08F9FB5"

/* As the 16 bytes at the start of the GPT entry. */
#define YOKE_STATE_TYPE_GUID_BYTES                                                                           \
	{                                                                                                    \
		0x3e, 0xdf, 0x8d, 0xa3, 0x34, 0xbf, 0x17, 0x43, 0x87, 0xe7, 0x3a, 0xcd, 0xa0, 0x8f, 0x9f,    \
			0xb5                                                                                 \
	}

#endif
