# SPDX-License-Identifier: Apache-2.0
"""A busy machine slows both sides of a comparison by the wall clock down, but ours more: who polls never
sleeps, so the scheduler takes it for a hog. So both run at a high priority where we may give it (root)."""

import contextlib
import os


@contextlib.contextmanager
def priority(nice: int):
    """What is started inside gets this nice value, if we may give it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)
