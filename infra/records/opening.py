"""Which stores an installation has: its ledger, and for some platforms one elsewhere by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ebbtide.infra.files.place import KubernetesPlace, place_in_use, remember_place
from ebbtide.infra.loading import load
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.routed.store import RoutedStore
from ebbtide.infra.records.salvage import LastKnown
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

_ELSEWHERE = "ebbtide.infra.platforms.kubernetes.records.store:open_at"
"""Loaded when it is first asked: it needs a package that need not be there."""
_NAMES = "elsewhere"


def open_store(settings: Settings) -> RoutedStore:
    """Open the store of this installation for the calling thread. Reads nothing yet."""
    return _routed(settings, Ledger(settings.home), looking=False)


def open_to_look(settings: Settings) -> RoutedStore:
    """Open it for a command that only looks: where it cannot be opened, a copy of it is read."""
    return _routed(settings, LastKnown(settings.home), looking=True)


def names_here(settings: Settings) -> list[RunName]:
    """Return the names of runs that this installation knows, without asking anybody elsewhere.

    Those of this machine come first, the latest before the others. Nothing is made.
    """
    if not settings.home.exists():
        return []
    elsewhere = sorted(path.name for path in (settings.home / _NAMES).glob("[!.]*"))
    return [*LastKnown(settings.home).run_names(), *map(RunName, elsewhere)]


def reserved_here(settings: Settings, run: RunName) -> bool:
    """Whether this installation has reserved the name of a run whose records are elsewhere."""
    return (settings.home / _NAMES / run).is_file()


def _routed(settings: Settings, local: RunStore, *, looking: bool) -> RoutedStore:
    return RoutedStore(local, _Kubernetes(settings, local, looking), settings.home / _NAMES)


@dataclass(frozen=True, slots=True)
class _Kubernetes:
    """The records in the namespace that is in use."""

    settings: Settings
    local: RunStore
    looking: bool
    platform: str = "kubernetes"

    def used(self) -> bool:
        return place_in_use(self.settings) is not None

    def open(self) -> RunStore:
        open_at = load(_ELSEWHERE, self.platform)
        return cast(RunStore, open_at(self.settings, self.local, looking=self.looking))

    def remember(self, store: RunStore) -> None:
        place = getattr(store, "place", None)
        if isinstance(place, KubernetesPlace):
            remember_place(self.settings, place)
