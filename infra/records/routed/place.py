"""Which of two stores has a run, and what is shown while one of them is away.

While nobody uses another store, nothing but the local one is asked, and nothing else is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from ebbtide.infra.errors import ConfigurationError, EbbError, ProvisioningError
from ebbtide.infra.files.private import private_home
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s

T = TypeVar("T")

AWAY_S = 10.0
"""So long a store that did not answer is left out of lists; then it is asked again."""


class Elsewhere(Protocol):
    """The other store, which may not be in use."""

    @property
    def platform(self) -> str:
        """Whose runs it has."""
        ...

    def used(self) -> bool:
        """Whether anybody uses it here. Cheap: opens nothing."""
        ...

    def open(self) -> RunStore:
        """Open it, also where nobody has used it yet. Asks nothing yet.

        Raises:
            ConfigurationError: PLATFORM_UNUSABLE, it cannot be opened.
        """
        ...

    def remember(self, store: RunStore) -> None:
        """Write down that this one is in use from now on."""
        ...


class Routed:
    """What all parts of the routed store know of the two."""

    def __init__(self, local: RunStore, other: Elsewhere, names: Path):
        """Make it; the other store is opened when it is first asked.

        Args:
            local: the store of this machine.
            other: the other one.
            names: a folder for the names of runs that were reserved there from here, so that none
                of them is given away here.
        """
        self.local = local
        self.unreachable = ""
        """A sentence that says why runs elsewhere are not listed; empty when they are."""
        self._other = other
        self._names = names
        self._elsewhere: RunStore | None = None
        self._away_until = 0.0
        self._unsure_of: set[str] = set()
        """Keys whose job may have runs elsewhere: it was away when they were asked for."""

    @property
    def stale(self) -> str:
        """A sentence when the local half is a copy; see ``infra.records.salvage.LastKnown``."""
        return str(getattr(self.local, "stale", ""))

    @property
    def away(self) -> str:
        """The platform whose records were not to be had when they were asked for; else empty."""
        return self._other.platform if self.unreachable else ""

    def elsewhere(self) -> RunStore:
        """Return the other store, opened.

        Raises:
            ConfigurationError: PLATFORM_UNUSABLE, it cannot be opened.
        """
        if self._elsewhere is None:
            self._elsewhere = self._other.open()
        return self._elsewhere

    def belongs_elsewhere(self, run: Run) -> bool:
        """Whether a run that is to be reserved is one of the other store's platform."""
        return bool(json.loads(run.spec_json).get("platform") == self._other.platform)

    def of_run(self, run: RunName) -> RunStore:
        """Return the store that has the run; one that nobody knows may be elsewhere."""
        if self.is_named_elsewhere(run):
            return self.elsewhere()
        if not self._is_used() or self.local.run(run) is not None:
            return self.local
        return self._elsewhere_or_local()

    def of_cluster(self, cluster: ClusterId) -> RunStore:
        """Return the store that has the cluster; one that nobody knows may be elsewhere."""
        if not self._is_used() or self.local.cluster(cluster) is not None:
            return self.local
        return self._elsewhere_or_local()

    def ask_elsewhere(self, ask: Callable[[RunStore], T], default: T) -> T:
        """Ask the other store for its part of a list; ``default`` where it does not answer."""
        if now_s() < self._away_until:
            return default
        try:
            found = ask(self.elsewhere()) if self._is_used() else default
        except (ProvisioningError, ConfigurationError) as error:
            self._away(error)
            return default
        self.unreachable = ""
        return found

    def both(self, ask: Callable[[RunStore], list[T]]) -> list[T]:
        """Return what both have; while the other one is away what there is here."""
        nothing: list[T] = []
        return [*ask(self.local), *self.ask_elsewhere(ask, nothing)]

    def is_named_elsewhere(self, run: RunName) -> bool:
        """Whether this installation has reserved the name in the other store."""
        return "/" not in run and (self._names / run).is_file()

    def named_elsewhere(self) -> list[RunName]:
        """List the names that this installation has reserved in the other store."""
        try:
            return [RunName(path.name) for path in self._names.iterdir()]
        except OSError:
            return []

    def name_elsewhere(self, run: RunName, store: RunStore) -> None:
        """Remember that the name was reserved in the other store, and which that is.

        Raises:
            ProvisioningError: LEDGER_UNWRITABLE, it cannot be written.
        """
        self._other.remember(store)
        try:
            private_home(self._names.parent)
            self._names.mkdir(mode=0o700, exist_ok=True)
            (self._names / run).touch(mode=0o600)
        except OSError as error:
            detail = f"{self._names}: {error.strerror}"
            hint = "make sure that EBB_HOME can be written, then try again"
            raise ProvisioningError(Reason.LEDGER_UNWRITABLE, detail=detail, hint=hint) from error

    def unname_elsewhere(self, run: RunName) -> None:
        """Forget a name that was given back."""
        (self._names / run).unlink(missing_ok=True)

    def _is_used(self) -> bool:
        return self._elsewhere is not None or self._other.used()

    def _elsewhere_or_local(self) -> RunStore:
        """The local one where the other one cannot be opened: then it has nobody's runs."""
        try:
            return self.elsewhere()
        except ConfigurationError as error:
            self._away(error)
            return self.local

    def _away(self, error: EbbError) -> None:
        self._away_until = now_s() + AWAY_S
        platform = self._other.platform
        self.unreachable = f"runs of platform {platform} are not shown: {error.message}"
