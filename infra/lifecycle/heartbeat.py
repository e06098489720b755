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


_lock = threading.Lock()
_beating: set[tuple[Path, str, ClusterId]] = set()
"""Whose lease a thread of this process renews already."""


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
        while not self._over.is_set():
            # A beat that cannot be written is simply missing: the judge decides what that means.
            with contextlib.suppress(EbbError):
                platform.renew(self._cluster)
            self._over.wait(self._period_s)
