"""Runs in ConfigMaps."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import LeaseState, ProcessRef, Reserved, Run, RunCount
from ebbtide.infra.platforms.kubernetes.administration.catalog import NAME as CATALOG
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, Object
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    FLOW,
    KEPT,
    KEY,
    KEY_FLOW,
    OPEN,
    Record,
    created_in,
    digest,
    encode_record,
    record_name,
    run_named_in,
    story_name,
)
from ebbtide.infra.platforms.kubernetes.records.history import beyond, history_in
from ebbtide.infra.platforms.kubernetes.records.records import GOES_ON, Records
from ebbtide.infra.records.store import is_called
from ebbtide.infra.request.catalog import FILE_NAME
from ebbtide.infra.waiting import wall_s

_TIDIED = 20
"""So many runs are forgotten at most at each end of one: the oldest."""
_CLOSE = 32
"""With so many places left in a queue nobody takes turns: so many do not come at once."""
_RESERVING_S = 60.0
"""A run that is not written down so long after its turn never will be."""
_LEFT_S = 3600.0
"""Where nobody has taken a turn for so long, nobody is about to: no clock is that wrong."""
_TURNS = "turns"
_TRIES = 3


class RunRecords(Records):
    """See ``infra.records.store.Runs``."""

    def reserve(self, run: Run, *, pool: str = "", max_waiting: int | None = None) -> Reserved:
        """Make the run's ConfigMap, which only one can; where few may wait they take turns."""
        run = replace(run, created=run.created or wall_s())
        if max_waiting is not None and not self._has_turn(run.name, pool, max_waiting):
            return Reserved.QUEUE_FULL
        if self.objects.create(encode_record(Record(run))):
            return Reserved.DONE
        self.record(run.name)  # what is no record is said, or its name would be tried for ever
        return Reserved.NAME_TAKEN

    def run(self, name: RunName) -> Run | None:
        """Return the run of this name: one request."""
        record = self.record(name)
        return None if record is None else record.run

    def run_of(self, key: str) -> Run | None:
        """Return the latest run of the job with this key: one request."""
        return next(iter(self._runs_of(key)), None)

    def runs_of(self, key: str) -> list[RunName]:
        """Return the names of all runs of the job with this key, latest first."""
        return [run.name for run in self._runs_of(key)]

    def runs_of_flow(self, flow_run_id: str) -> list[RunName]:
        """Return the names of the runs that a flow run drives, and of those of its jobs."""
        own = self.records({FLOW: digest(flow_run_id)})
        of_jobs = self.records({KEY_FLOW: digest(flow_run_id)})
        return list(dict.fromkeys(record.run.name for record in (*own, *of_jobs)))

    def runs(self, *, open_only: bool = False) -> list[Run]:
        """Return all runs, or those that have not ended, in the order they were asked for."""
        if open_only:
            return [one.run for one in self.records(GOES_ON) if not one.run.over]
        return [record.run for record in self.records()]

    def runs_since(self, at: float) -> list[Run]:
        """Return the runs asked for since then (Unix time, seconds), in order."""
        return [run for run in self.runs() if run.created >= at]

    def run_names(self, beginning: str = "") -> list[RunName]:
        """Return all names, latest first, or those that begin so: metadata only."""
        found = sorted(self._headings(), key=created_in, reverse=True)
        names = [run_named_in(thing) for thing in found]
        return [name for name in names if is_called(name, beginning)]

    def runs_waiting(self, pool: str) -> int:
        """Count the runs that wait for nodes of a pool, or will and have no cluster yet."""
        return len(_waiting(self.records(GOES_ON), pool))

    def count_runs(self, since: float) -> RunCount:
        """Count all runs, and those asked for since then: metadata only."""
        at = [created_in(thing) for thing in self._headings()]
        recent = sum(created > since for created in at)
        return RunCount(total=len(at), recent=recent, first=min(at, default=None))

    def register_flow_process(
        self, run: RunName, flow_process: ProcessRef, flow_run_id: str | None
    ) -> None:
        """Record which process drives the run from now on, with the machine that it is on."""
        self.change_run(
            run, lambda known: replace(known, flow_process=flow_process, flow_run_id=flow_run_id)
        )

    def set_key(self, run: RunName, key: str | None) -> None:
        """Set the key that identifies the job of a run; None: no key finds it any more."""
        self.change_run(run, lambda known: replace(known, key=key))

    def set_attempt(self, run: RunName, attempt: int, spec: RunSpec | None = None) -> None:
        """Record which attempt the run has got to, and what it is from now on."""

        def edited(known: Run) -> Run:
            written = known.spec_json if spec is None else to_json(spec)
            return replace(known, attempt=attempt, spec_json=written)

        self.change_run(run, edited)

    def set_prefect_url(self, run: RunName, url: str) -> None:
        """Record the URL of the user interface of the Prefect server that records the run."""
        self.change_run(run, lambda known: replace(known, prefect_url=url))

    def set_phase(self, run: RunName, phase: Phase) -> None:
        """Record the phase of a run, unless it has ended."""
        self.change_run(run, lambda known: known if known.over else replace(known, phase=phase))

    def request_stop(self, run: RunName, reason: Reason) -> bool:
        """Ask for its end: no fresh attempt from now on. False when it has ended, or is unknown."""
        open_ = False

        def edited(known: Run) -> Run:
            nonlocal open_
            open_ = not known.over
            return replace(known, stop_reason=reason) if open_ else known

        return self.change_run(run, edited) or open_

    def end_run(
        self, run: RunName, phase: Phase, reason: Reason | None, detail: str, exit_code: int
    ) -> bool:
        """Record how a run ended. Returns whether this call was the first."""
        at = wall_s()

        def edited(known: Run) -> Run:
            if known.over:
                return known
            end = replace(known, phase=phase, reason=reason, detail=detail)
            return replace(end, exit_code=exit_code, ended=at)

        first = self.change_run(run, edited)
        if first:
            with contextlib.suppress(EbbError):  # who may not delete leaves it to others
                self.tidy()
        return first

    def tidy(self) -> None:
        """Forget some of the runs that the namespace's history keeps no longer."""
        catalog = self.objects.get(CATALOG)
        text = (catalog or {}).get("data", {}).get(FILE_NAME)
        over = self.objects.listed({KEPT: "run", OPEN: "no"}, metadata_only=True)
        for run in beyond(over, history_in(text), wall_s())[-_TIDIED:]:
            self.forget_run(run)
        for turns in self.objects.listed({KEPT: _TURNS}):
            if _is_left(turns):
                self.objects.delete(turns["metadata"]["name"], _is_left)

    def runs_over(self) -> list[Run]:
        """Return the runs that have ended and hold nothing any more, the latest first."""
        over = [record.run for record in self.records({OPEN: "no"})]
        return sorted(over, key=lambda run: run.ended or 0.0, reverse=True)

    def forget_run(self, run: RunName) -> bool:
        """Delete all records of a run that is over, if nobody has changed them meanwhile."""

        def over(thing: Object) -> bool:
            return bool(thing["metadata"]["labels"].get(OPEN) == "no")

        gone = self.objects.delete(record_name(run), over)
        if gone:
            self.objects.delete(story_name(run))
        return gone

    def compact(self) -> None:
        """Nothing is to be done: the API server does it."""

    def _runs_of(self, key: str) -> list[Run]:
        found = [record.run for record in self.records({KEY: digest(key)})]
        return [run for run in reversed(found) if run.key == key]

    def _headings(self) -> list[Object]:
        return self.objects.listed({KEPT: "run"}, metadata_only=True)

    def _has_turn(self, run: RunName, pool: str, max_waiting: int) -> bool:
        """Whether the run may be written down: those who come at once are counted one by one."""
        if max_waiting - self.runs_waiting(pool) > _CLOSE:
            return True

        full = False

        def edited(turns: Object) -> Object | None:
            nonlocal full
            now = wall_s()
            waiting = _waiting(self.records(GOES_ON), pool)
            found: dict[str, float] = json.loads(turns["data"]["reserving"])
            young = {name: at for name, at in found.items() if now - at < _RESERVING_S}
            reserving = {name: at for name, at in young.items() if name not in waiting}
            full = len(waiting) + len(reserving) >= max_waiting
            if full:
                return None
            data = {**turns["data"], "reserving": json.dumps({**reserving, run: now})}
            return {**turns, "data": data}

        name = f"ebb-turns-{digest(pool)}"
        for _ in range(_TRIES):  # somebody may tidy it away in between
            if self.objects.get(name) is None:
                self.objects.create(_turns(name, pool))
            if self.objects.change(name, edited):
                return True
            if full:
                break
        return False


def _turns(name: str, pool: str) -> Object:
    """The object by which reservations for a pool take turns."""
    labels = {"app.kubernetes.io/part-of": "ebb", KEPT: _TURNS}
    return {
        "apiVersion": CONFIG_MAP.api,
        "kind": CONFIG_MAP.name,
        "metadata": {"name": name, "labels": labels},
        "data": {"pool": pool, "reserving": "{}", "made": str(wall_s())},
    }


def _is_left(turns: Object) -> bool:
    """Whether nobody has taken a turn for long."""
    data = turns["data"]
    times: list[float] = [float(data.get("made", 0)), *json.loads(data["reserving"]).values()]
    return wall_s() > max(times) + _LEFT_S


def _waiting(records: Iterable[Record], pool: str) -> set[RunName]:
    """The runs that wait for a pool: their cluster does, or they have none yet."""
    return {
        record.run.name
        for record in records
        if (not record.clusters and not record.run.over)
        or any(one.pool == pool and one.state is LeaseState.QUEUED for one in record.living)
    }
