"""Runs of two stores."""

from __future__ import annotations

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import ProcessRef, Reserved, Run, RunCount
from ebbtide.infra.records.routed.place import Routed
from ebbtide.infra.records.store import is_called


class RoutedRuns(Routed):
    """See ``infra.records.store.Runs``."""

    def reserve(self, run: Run, *, pool: str = "", max_waiting: int | None = None) -> Reserved:
        """Reserve the name where the run's platform has its records."""
        if not self.belongs_elsewhere(run):
            if self._is_still_elsewhere(run.name):
                return Reserved.NAME_TAKEN
            return self.local.reserve(run, pool=pool, max_waiting=max_waiting)
        if self.local.run(run.name) is not None:
            return Reserved.NAME_TAKEN
        elsewhere = self.elsewhere()
        self._must_be_sure_of(run.key)
        reserved = elsewhere.reserve(run, pool=pool, max_waiting=max_waiting)
        if reserved is Reserved.DONE:
            self.name_elsewhere(run.name, elsewhere)
        return reserved

    def run(self, name: RunName) -> Run | None:
        """Return the run of this name, of either store.

        Raises:
            EbbError: it is not here, and the other store does not answer.
        """
        return self.of_run(name).run(name)

    def run_of(self, key: str) -> Run | None:
        """Return the latest run of the job with this key, of either store.

        While the other one is away that of this machine counts; a run elsewhere that would do the
        same work again is then not reserved (see ``reserve``).
        """
        found = [self.local.run_of(key), self.ask_elsewhere(lambda store: store.run_of(key), None)]
        if self.unreachable:
            self._unsure_of.add(key)
        runs = [run for run in found if run is not None]
        return max(runs, key=lambda run: run.created, default=None)

    def runs_of(self, key: str) -> list[RunName]:
        """Return the names of all runs of the job with this key: those elsewhere first."""
        elsewhere = self.ask_elsewhere(lambda store: store.runs_of(key), list[RunName]())
        return [*elsewhere, *self.local.runs_of(key)]

    def runs_of_flow(self, flow_run_id: str) -> list[RunName]:
        """Return the names of the runs that a flow run drives, and of those of its jobs."""
        return self.both(lambda store: store.runs_of_flow(flow_run_id))

    def runs(self, *, open_only: bool = False) -> list[Run]:
        """Return all runs, or those that have not ended, in the order they were asked for."""
        found = self.both(lambda store: store.runs(open_only=open_only))
        return sorted(found, key=lambda run: run.created)

    def runs_since(self, at: float) -> list[Run]:
        """Return the runs asked for since then (Unix time, seconds), in order."""
        found = self.both(lambda store: store.runs_since(at))
        return sorted(found, key=lambda run: run.created)

    def run_names(self, beginning: str = "") -> list[RunName]:
        """Return all names, those of this machine first."""
        found = self.both(lambda store: store.run_names(beginning))
        ours = [name for name in self.named_elsewhere() if is_called(name, beginning)]
        return list(dict.fromkeys([*found, *ours]))

    def runs_waiting(self, pool: str) -> int:
        """Count the runs that wait for room in a pool, of which one store alone has any."""
        waiting = self.ask_elsewhere(lambda store: store.runs_waiting(pool), 0)
        return self.local.runs_waiting(pool) + waiting

    def count_runs(self, since: float) -> RunCount:
        """Count the runs of this machine, by which its growth is measured."""
        return self.local.count_runs(since)

    def register_flow_process(
        self, run: RunName, flow_process: ProcessRef, flow_run_id: str | None
    ) -> None:
        """Record which process drives the run from now on."""
        self.of_run(run).register_flow_process(run, flow_process, flow_run_id)

    def set_key(self, run: RunName, key: str | None) -> None:
        """Set the key that identifies the job of a run; None: no key finds it any more."""
        self.of_run(run).set_key(run, key)

    def set_attempt(self, run: RunName, attempt: int, spec: RunSpec | None = None) -> None:
        """Record which attempt the run has got to, and what it is from now on."""
        self.of_run(run).set_attempt(run, attempt, spec)

    def set_prefect_url(self, run: RunName, url: str) -> None:
        """Record the URL of the user interface of the Prefect server that records the run."""
        self.of_run(run).set_prefect_url(run, url)

    def set_phase(self, run: RunName, phase: Phase) -> None:
        """Record the phase of a run, unless it has ended."""
        self.of_run(run).set_phase(run, phase)

    def request_stop(self, run: RunName, reason: Reason) -> bool:
        """Ask for its end: no fresh attempt from now on. False when it has ended, or is unknown."""
        return self.of_run(run).request_stop(run, reason)

    def end_run(
        self, run: RunName, phase: Phase, reason: Reason | None, detail: str, exit_code: int
    ) -> bool:
        """Record how a run ended. Returns whether this call was the first."""
        return self.of_run(run).end_run(run, phase, reason, detail, exit_code)

    def runs_over(self) -> list[Run]:
        """Return the runs that are over, the latest first; of those elsewhere the ones from here.

        What others keep of their runs is their business, or that of whoever runs the place.
        """
        elsewhere = self.ask_elsewhere(lambda store: store.runs_over(), list[Run]())
        mine = [run for run in elsewhere if self.is_named_elsewhere(run.name)]
        found = [*self.local.runs_over(), *mine]
        return sorted(found, key=lambda run: run.ended or 0.0, reverse=True)

    def forget_run(self, run: RunName) -> bool:
        """Delete all records of a run that is over; False when it is not, or lives again."""
        store = self.of_run(run)
        gone = store.forget_run(run)
        if store is not self.local and (gone or store.run(run) is None):
            self.unname_elsewhere(run)
        return gone

    def _is_still_elsewhere(self, run: RunName) -> bool:
        """Whether a name is one of ours there; asked only of one that was."""
        if not self.is_named_elsewhere(run):
            return False
        there = self.ask_elsewhere(lambda store: store.run(run) is not None, True)
        if not there:
            self.unname_elsewhere(run)
        return there

    def _must_be_sure_of(self, key: str | None) -> None:
        """The other store was away when it was asked for the job, and now it is there."""
        if key is None or key not in self._unsure_of:
            return
        found = self.elsewhere().run_of(key)
        if found is not None and (not found.over or found.phase is Phase.SUCCEEDED):
            detail = f"run {found.name} does this job, and could not be read a moment ago"
            raise ProvisioningError(Reason.API_UNREACHABLE, detail=detail, hint="try again")
        self._unsure_of.discard(key)
