"""Waiting with back-off, a deadline and a reason. The only place that sleeps.

Belongs here: the one loop that every wait of ours goes through, and the clock it reads.
Does not belong here: what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def now_s() -> float:
    """Return monotonic seconds, for durations and deadlines in this process."""
    return time.monotonic()


def wall_s() -> float:
    """Return Unix time in seconds, for people to read. Never compared between machines."""
    return time.time()


def pause(seconds: float) -> None:
    """Sleep for some seconds. For loops that watch something; each has its own deadline."""
    if seconds > 0:
        time.sleep(seconds)


def wait_until(
    probe: Callable[[], T],
    *,
    timeout_s: float,
    first_s: float = 0.01,
    longest_s: float = 0.25,
) -> T:
    """Call ``probe`` at growing intervals until it returns something true or time is up.

    Args:
        probe: called often; must be cheap.
        timeout_s: maximum number of seconds to wait. The probe is called at least once.
        first_s: the first interval in seconds; it grows by half each time.
        longest_s: the longest interval in seconds.

    Returns:
        The probe's last value: true when it came in time, false otherwise.
    """
    deadline = now_s() + timeout_s
    interval = first_s
    while True:
        value = probe()
        left = deadline - now_s()
        if value or left <= 0:
            return value
        pause(min(interval, left))
        interval = min(interval * 1.5, longest_s)
