"""The rounds of a namespace's reaper: often for Leases, which costs nothing, else seldom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle.reaper import lost_runs, settle
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.records.store import RunStore

LOOK_S = 1.0
"""Between two looks at the Leases, which are watched."""
_RUNS_EVERY_S, _REST_EVERY_S, _TIDY_EVERY_S = 10.0, 60.0, 600.0


class Sees(Protocol):
    """What of a namespace is used here."""

    def expired(self) -> list[ClusterId]:
        """Clusters that nobody renews."""
        ...

    def without_lease(self) -> list[ClusterId]:
        """Clusters of which something is left without a Lease."""
        ...

    def left_open(self) -> list[tuple[RunName, Cluster]]:
        """Runs that go on since a reaper took their cluster away."""
        ...


@dataclass(slots=True)
class Rounds:
    """Made once; ``look`` is called about once a second."""

    namespace: Sees
    store: RunStore
    sweep: Callable[[ClusterId], list[HeldResource]]
    tidy: Callable[[], None]
    say: Callable[[str], None]
    _due: dict[str, float] = field(default_factory=dict)
    _open_since: dict[RunName, float] = field(default_factory=dict)

    def look(self, now_s: float) -> None:
        """Do what is due.

        Args:
            now_s: on this process's monotonic clock, in seconds.
        """
        self._try(lambda: self._release(self.namespace.expired(), "nobody renews its Lease"))
        self._every(_RUNS_EVERY_S, "runs", now_s, lambda: self._settle(now_s))
        self._every(_REST_EVERY_S, "rest", now_s, self._release_the_rest)
        self._every(_TIDY_EVERY_S, "tidy", now_s, self.tidy)

    def _release(self, clusters: list[ClusterId], why: str) -> None:
        for cluster in clusters:
            left = self.sweep(cluster)
            names = ", ".join(f"{held.role} {held.name}" for held in left)
            self.say(f"{cluster}: {why}; " + (f"left: {names}" if left else "released"))

    def _release_the_rest(self) -> None:
        self._release(self.namespace.without_lease(), "its Lease is gone")
        for run in lost_runs(self.store):
            self._end(run)

    def _settle(self, now_s: float) -> None:
        """End runs whose flow has not come back for a lease since their cluster was released."""
        found = dict(self.namespace.left_open())
        self._open_since = {run: self._open_since.get(run, now_s) for run in found}
        for run, last in found.items():
            if now_s - self._open_since[run] >= last.lease_s:
                self._end(run)

    def _end(self, run: RunName) -> None:
        if settle(self.store, run):
            self.say(f"{run}: its flow is lost; ended")

    def _every(self, period_s: float, what: str, now_s: float, do: Callable[[], None]) -> None:
        if now_s >= self._due.get(what, now_s):
            self._due[what] = now_s + period_s
            self._try(do)

    def _try(self, do: Callable[[], None]) -> None:
        """What fails now is tried again at the next round."""
        try:
            do()
        except EbbError as error:
            self.say(f"{error.summary}: {error.detail}".rstrip(": "))
