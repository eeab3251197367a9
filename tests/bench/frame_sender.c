/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the host, inside the network namespace: sends frames of one size to one
 * address through an interface as fast as that takes them, until it is killed.
 * usage: frame_sender INTERFACE MAC SIZE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BURST 64
#define ETHERTYPE 0x88b5
#define PAUSE_US 100 /* when the interface is full */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	struct mmsghdr messages[BURST];
	struct iovec part;
	unsigned char *frame;
	int one = 1;
	int fd;

	if (argc != 4)
		return 2;
	part.iov_len = strtoul(argv[3], NULL, 10);
	part.iov_base = frame = calloc(1, part.iov_len);
	sscanf(argv[2], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", frame, frame + 1, frame + 2, frame + 3,
	       frame + 4, frame + 5);
	frame[6] = 2;
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	address.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die(argv[1]);
	/* Straight to the driver: a full TAP is told as ENOBUFS instead of dropping behind a queue. */
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		die("PACKET_QDISC_BYPASS");
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BURST; i++) {
		messages[i].msg_hdr.msg_iov = &part;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		int sent = sendmmsg(fd, messages, BURST, 0);

		if (sent == BURST)
			continue;
		if (sent < 0 && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
		usleep(PAUSE_US);
	}
}
