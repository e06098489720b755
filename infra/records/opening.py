"""Which store an installation has: the one place that another store would be chosen in."""

from __future__ import annotations

from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.salvage import LastKnown
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings


def open_store(settings: Settings) -> RunStore:
    """Open the store of this installation for the calling thread. Reads nothing yet."""
    return Ledger(settings.home)


def open_to_look(settings: Settings) -> LastKnown:
    """Open it for a command that only looks: where it cannot be opened, a copy of it is read."""
    return LastKnown(settings.home)
