"""How long a pool usually takes for a node here, from past runs for which it grew."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from statistics import median

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.records.store import RunStore

_RUNS, _GROWTHS = 20, 5
"""So many runs of the pool are looked at, for so many growths at most."""


class UsualGrowth:
    """Of one pool; asked for once, and only when the pool grows."""

    def __init__(self, store: RunStore, pool: str):
        self.seconds: float | None = None
        """None: it is not known, or has not been asked for."""
        self._store, self._pool = store, pool
        self._asked = False

    def learnt(self, view: ClusterView) -> bool:
        """Ask the records when the pool grows for the first time.

        Returns:
            Whether it is known now, and was not before.
        """
        if self._asked or view.waiting is None or not view.waiting.grows:
            return False
        self._asked = True
        with contextlib.suppress(EbbError):
            found = list(itertools.islice(self._growths(), _GROWTHS))
            self.seconds = median(found) if found else None
        return self.seconds is not None

    def _growths(self) -> Iterator[float]:
        """The newest first."""
        runs = (run for run in reversed(self._store.runs()))
        here = (run for run in runs if run.spec.cluster.pool.name == self._pool)
        for run in itertools.islice(here, _RUNS):
            cluster = self._store.last_cluster(run.name)
            growth_s = cluster.last_view.growth_s if cluster is not None else None
            if growth_s is not None:
                yield growth_s
