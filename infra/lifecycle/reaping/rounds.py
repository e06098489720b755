"""The rounds of a namespace's reaper: often for Leases, which costs nothing, else seldom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle.reaper import lost_runs, settle
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.records.store import RunStore

LOOK_S = 1.0
"""Between two looks at the Leases, which are watched."""
_AGAIN_S, _LONGEST_AGAIN_S = 5.0, 60.0
"""What resisted is tried again after so long, then after twice as long each time, up to that: for
as long as the reaper runs, as nobody comes after it."""
_LONGEST_TEXT = 300
_GOES_ON = {
    "runs": "runs are looked at again",
    "rest": "what has no Lease is looked for again",
    "tidy": "old records are looked through again",
}
"""What is said when a round that had failed is done again."""
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
    _pauses: dict[str, float] = field(default_factory=dict)
    """Of what has failed last time: how long until the next one, in seconds."""
    _open_since: dict[RunName, float] = field(default_factory=dict)

    def look(self, now_s: float) -> None:
        """Do what is due.

        Args:
            now_s: on this process's monotonic clock, in seconds.
        """
        self._release(self.namespace.expired(), "nobody renews its Lease", now_s)
        self._every(_RUNS_EVERY_S, "runs", now_s, lambda: self._settle(now_s))
        self._every(_REST_EVERY_S, "rest", now_s, lambda: self._release_the_rest(now_s))
        self._every(_TIDY_EVERY_S, "tidy", now_s, self.tidy)

    def _release(self, clusters: list[ClusterId], why: str, now_s: float) -> None:
        self._each({each: partial(self._release_one, each, why) for each in clusters}, now_s)

    def _release_one(self, cluster: ClusterId, why: str) -> None:
        left = self.sweep(cluster)
        if left:
            names = ", ".join(f"{held.role} {held.name}" for held in left)
            raise _Resists(f"{cluster}: {why}; left: {names}")
        self.say(f"{cluster}: {why}; released")

    def _release_the_rest(self, now_s: float) -> None:
        self._release(self.namespace.without_lease(), "its Lease is gone", now_s)
        self._end(lost_runs(self.store), now_s)

    def _settle(self, now_s: float) -> None:
        """End runs whose flow has not come back for a lease since their cluster was released."""
        found = dict(self.namespace.left_open())
        self._open_since = {run: self._open_since.get(run, now_s) for run in found}
        late = [run for run, last in found.items() if now_s - self._open_since[run] >= last.lease_s]
        self._end(late, now_s)

    def _end(self, runs: Iterable[RunName], now_s: float) -> None:
        self._each({f"run {run}": partial(self._end_one, run) for run in runs}, now_s)

    def _end_one(self, run: RunName) -> None:
        if settle(self.store, run):
            self.say(f"{run}: its flow is lost; ended")

    def _each(self, what: Mapping[str, Callable[[], None]], now_s: float) -> None:
        """Do each by itself: one that fails keeps nobody from the others, and is tried again."""
        for name, do in what.items():
            self._every(_AGAIN_S, name, now_s, do)
            if name not in self._pauses:
                self._due.pop(name, None)

    def _every(self, period_s: float, what: str, now_s: float, do: Callable[[], None]) -> None:
        if now_s < self._due.get(what, now_s):
            return
        failed = self._try(do)
        if not failed:
            self._due[what] = now_s + period_s
            if self._pauses.pop(what, None) and what in _GOES_ON:
                self.say(_GOES_ON[what])
            return
        before_s = self._pauses.get(what)
        pause_s = _AGAIN_S if before_s is None else min(_LONGEST_AGAIN_S, 2 * before_s)
        self._pauses[what], self._due[what] = pause_s, now_s + pause_s
        self.say(f"{failed}; tried again in {format_duration(pause_s)}")

    def _try(self, do: Callable[[], None]) -> str:
        """Say why it failed; empty: it did not."""
        try:
            do()
        except _Resists as resists:
            return str(resists)
        except EbbError as error:
            return f"{error.summary}: {error.detail}".rstrip(": ")
        except Exception as error:  # whatever it is: a namespace that nobody looks after is worse
            return repr(error)[:_LONGEST_TEXT]
        return ""


class _Resists(Exception):
    """Something of a cluster is left."""
