"""The tenders of this process: one for each cluster, however often it is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.tending.tender import Tender
from ebbtide.infra.settings import Settings

_lock = threading.Lock()
_tenders: dict[ClusterId, tuple[Tender, int]] = {}
"""Each with how many have asked for it."""


def tender_of(cluster: ClusterId) -> Tender | None:
    """Return who tends a cluster in this process; None when nobody does."""
    with _lock:
        found = _tenders.get(cluster)
    return found[0] if found is not None else None


@contextlib.contextmanager
def tended(settings: Settings, cluster: ClusterId) -> Iterator[None]:
    """Tend a cluster from a thread of this process while the block lasts.

    Args:
        settings: of this installation.
        cluster: its id; it need not be declared yet.

    Yields:
        Once; ``tender_of`` returns the tender.
    """
    with _lock:
        tender, users = _tenders.get(cluster) or (Tender(settings, cluster), 0)
        _tenders[cluster] = (tender, users + 1)
        if users == 0:
            tender.start()
    try:
        yield
    finally:
        with _lock:
            users = _tenders[cluster][1] - 1
            if users:
                _tenders[cluster] = (tender, users)
            else:
                del _tenders[cluster]
        if not users:
            tender.stop()
