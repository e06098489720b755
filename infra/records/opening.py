"""Which store an installation has."""

from __future__ import annotations

from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings


def open_store(settings: Settings) -> RunStore:
    """Open the store of this installation for the calling thread. Reads nothing yet."""
    return Ledger(settings.home)
