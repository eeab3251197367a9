/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair as a service of the main loop: struct pair (lockstep/pair.h) joined to the CS
 * links, the other paths, the state partition and the guest. Before that, for a server
 * whose state partition is new, the meeting of two that are no pair yet (pairing.h).
 *
 *     pair_service_poll     what came; what the pair wants done
 *     guest_service_poll    the guest, as far as the pair lets it
 *     pair_service_send     what is to be said to the other server
 */
#ifndef KERNEL_PAIR_SERVICE_H
#define KERNEL_PAIR_SERVICE_H

#include "kernel/pair_paths.h"
#include "lockstep/pair.h"
#include "manage/config.h"
#include "manage/event.h"
#include "manage/status.h"

struct pair_service_ports {
	struct net_device *cs[WIRE_LINK_COUNT];
	struct pair_paths_ports others;
};

/*
 * Start-up, after mirror_service_init() and guest_service_init(). NULL, or one line that says
 * why there can be no pair. `config` stays.
 */
const char *pair_service_init(const struct pair_service_ports *ports, const struct config *config);

/*
 * `pair.mode = single` on a server that remembers a pair: its disks go on without the other
 * server's, and it remembers that the administrator said so. Before the guest runs: waits. False: the
 * state partition cannot be written, and the guest must not run.
 */
bool pair_service_leave(void);

/* The pair that the guest is to be in: its address. */
struct pair *pair_service_pair(void);

/* The guest is prepared; from now on there may be a pair, once both servers are there. Start-up only. */
void pair_service_begin(void);

bool pair_service_poll(void);
bool pair_service_send(void);

/* The console's `guest start alone`: the administrator knows that the other server does not run. */
void pair_service_start_alone(void);

/* Servers, links and lockstep. */
void pair_service_status(struct status *status);

#endif
