"""The tenders of this process: one for each cluster, however often it is asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ebbtide.infra.loading import load
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.settings import Settings

if TYPE_CHECKING:
    from ebbtide.infra.platforms.kubernetes.tending.tender import Tender

_TENDER = "ebbtide.infra.platforms.kubernetes.tending.tender:Tender"
"""Loaded with the first: only flows have any, and commands begin without all that a tender does."""

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
    make: type[Tender] = load(_TENDER, "kubernetes")  # type: ignore[assignment]
    with _lock:
        tender, users = _tenders.get(cluster) or (make(settings, cluster), 0)
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
