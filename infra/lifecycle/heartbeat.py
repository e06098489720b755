"""Renewing a lease from a thread for as long as this process wants the cluster.

On a platform where nobody else takes care of a cluster, this process does meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.settings import Settings

_BEATS_PER_LEASE = 5.0
_FIRST_RETRY = 1 / 8
"""Of the pause between beats; of one that cannot be written."""


_lock = threading.Lock()
_beating: set[tuple[Path, str, ClusterId]] = set()
"""Whose lease a thread of this process renews already."""


def pause_after(failures: int, period_s: float) -> float:
    """How long until the next beat.

    One that could not be written is tried again soon, and then less and less often: a disk that
    another run fills has room only for moments.

    Args:
        failures: how many beats could not be written since the last that was.
        period_s: the pause between beats that are.

    Returns:
        Seconds, at most the period.
    """
    return period_s * min(1.0, _FIRST_RETRY * 2 ** min(failures - 1, 9)) if failures else period_s


class Heartbeat:
    """``with Heartbeat(...)``: the lease is renewed inside and expires after.

    One inside another for the same cluster leaves the beats to it.
    """

    def __init__(self, settings: Settings, platform: str, cluster: ClusterId, lease_s: float):
        self._settings = settings
        self._platform = platform
        self._cluster = cluster
        self._period_s = lease_s / _BEATS_PER_LEASE
        self._whose = (settings.home, platform, cluster)
        self._beats = False
        self._over = threading.Event()
        self._tended = load_platform(platform, settings).tended(cluster)
        self._thread = threading.Thread(target=self._beat, name="ebb-lease", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._tended.__enter__()
        with _lock:
            self._beats = self._whose not in _beating
            _beating.add(self._whose)
        if self._beats:
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._beats:
            self._thread.join()
            with _lock:
                _beating.discard(self._whose)
        self._tended.__exit__(*error)

    def _beat(self) -> None:
        platform = load_platform(self._platform, self._settings)
        failures = 0
        while True:
            # A beat that cannot be written is simply missing: the judge decides what that means.
            failures += 1
            with contextlib.suppress(EbbError):
                platform.renew(self._cluster)
                failures = 0
            if self._over.wait(pause_after(failures, self._period_s)):
                return
