"""Workers that have left, as they were asked to, that died or were lost: as events of the run."""

from __future__ import annotations

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.failures import WorkerEnd, disruption, worker_ends
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, leaving, moment
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.explain.diagnosis import fix_for
from ebbtide.infra.policy.explain.known import hint_for


class Leaving:
    """Tells each end of a worker once."""

    def __init__(self, run: RunName, reporter: StatusReporter):
        self._run, self._reporter = run, reporter
        self._told: set[str] = set()
        self._since: dict[str, tuple[str, float]] = {}
        """Pods that leave: the worker's name, and since when on the server's clock."""
        self._lost: set[str] = set()
        """Pods that went down with their nodes."""
        self._losses_told: set[str] = set()
        """Those, and pods that go with a spot node and still drain."""

    def tick(self, snapshot: Snapshot, names: dict[str, str]) -> None:
        """Tell what is new; nothing of what ends because all is given back.

        Args:
            snapshot: of the cluster.
            names: of workers, by those of their pods.
        """
        if snapshot.releasing:
            return
        for end in worker_ends(snapshot, names):
            if end.key not in self._told:
                self._told.add(end.key)
                self._tell_death(end)
        there = {pod["metadata"]["name"]: pod for pod in snapshot.workers}
        for name in self._since.keys() - there:
            worker, since = self._since.pop(name)
            if name in self._lost:
                continue
            seconds = format_duration(max(0.0, snapshot.now - since))
            self._reporter.event(EventKind.LEFT, f"{worker} left after {seconds}")
        for name, pod in there.items():
            if leaving(pod) and name not in self._since:
                self._since[name] = (names.get(name, name), _leaves_since(pod, snapshot.now))
            if name not in self._lost:
                self._tell_loss(pod, names.get(name, name))

    def _tell_loss(self, pod: Object, worker: str) -> None:
        taken = disruption(pod)
        name = pod["metadata"]["name"]
        if taken is None or (taken.reason is not Reason.NODE_LOST and not taken.reclaimed):
            return
        if taken.reason is Reason.NODE_LOST:
            self._lost.add(name)
        if name not in self._losses_told:
            self._losses_told.add(name)
            how = "reclaimed" if taken.reclaimed else "lost"
            message = f"{worker} is {how} and is replaced: {taken.sentence}"
            self._reporter.event(EventKind.WARNING, message, reason=taken.told)

    def _tell_death(self, end: WorkerEnd) -> None:
        if end.out_of_memory:
            reason = Reason.OUT_OF_MEMORY
            message = f"{end.name} {end.sentence}"
            self._reporter.event(EventKind.WARNING, message, reason=reason, hint=fix_for(reason))
        elif not end.expected:
            message = f"{end.name} died and is replaced: it {end.sentence}"
            hint = hint_for(end.sentence, self._run)
            self._reporter.event(EventKind.WARNING, message, hint=hint)


def _leaves_since(pod: Object, now: float) -> float:
    """When it was asked to leave: the server notes by when it has to be gone."""
    metadata = pod["metadata"]
    until = moment(metadata.get("deletionTimestamp"))
    return now if until is None else until - (metadata.get("deletionGracePeriodSeconds") or 0)
