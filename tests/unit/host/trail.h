/* SPDX-License-Identifier: Apache-2.0 */
/* What a test saw happen, in words, one after the other, to be compared as a whole. */
#ifndef TESTS_UNIT_HOST_TRAIL_H
#define TESTS_UNIT_HOST_TRAIL_H

extern char trail[2048]; /* a test empties it with trail[0] = '\0' */

/* Adds words to the trail; what has no room is cut off. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
