"""A snapshot as the view that the steps wait for. Pure.

Moments are the server's, so that all who look see the same view; what has been reached once stays
reached, whatever becomes of the pods later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.models.cluster import (
    MAX_TIMED,
    ClusterView,
    Failure,
    JobView,
    ProcessTimes,
)
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import head_name
from ebbtide.infra.platforms.kubernetes.reading import losses, pending
from ebbtide.infra.platforms.kubernetes.reading.failures import worker_ends
from ebbtide.infra.platforms.kubernetes.reading.job import Around, job_view
from ebbtide.infra.platforms.kubernetes.reading.scheduling import growth_s
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    changed_at,
    is_ready,
    leaving,
    moment,
    placed,
    ready_at,
    state,
    worker_names,
)


def view_of(
    snapshot: Snapshot,
    spec: RunSpec,
    last: ClusterView | None,
    *,
    usual_growth_s: float | None = None,
) -> ClusterView:
    """What a cluster is at one moment.

    Args:
        snapshot: all of its objects.
        spec: of its run.
        last: the view before, also of another process (from the records); None: there is none.
            Deadlines of what the server gives no time for count from the first view with it.
        usual_growth_s: how long its pool usually takes for a node, in seconds; None: not known.

    Returns:
        The view. Its failure is read anew each time: it goes when the cause has gone.
    """
    before = last or ClusterView(cluster=snapshot.cluster)
    if snapshot.lease is None:
        return before
    names = worker_names(snapshot.pods, before.worker_names)
    read = _Reader(snapshot, spec, before)
    view = replace(before, worker_names=names, failure=None, waiting=None, workers_coming=0)
    view = read.started(read.admitted(view))
    if spec.cluster.has_workers:
        view = read.workers(view)
    view = read.autoscaled(view)
    failure = losses.failure(snapshot, view)
    view = read.timed(read.programs(view, failure))
    if snapshot.releasing or view.job.ended_at is not None:
        return view
    if failure is not None:
        return replace(view, failure=failure)
    return _with_waits(view, pending.waits(snapshot, spec, view, usual_growth_s), snapshot, before)


def _with_waits(
    view: ClusterView, found: pending.Found, snapshot: Snapshot, before: ClusterView
) -> ClusterView:
    """With what it waits for, and the first of it that is given up."""
    now, shown = snapshot.now, [*found.essential, *found.more]
    failures = (wait.failure(before.waiting, now) for wait in found.essential)
    failure: Failure | None = next(filter(None, failures), None)
    waiting = shown[0].view(before.waiting, now) if shown else None
    return replace(view, failure=failure, waiting=waiting, workers_coming=found.coming)


@dataclass(frozen=True, slots=True)
class _Reader:
    snapshot: Snapshot
    spec: RunSpec
    before: ClusterView

    @property
    def _staying(self) -> list[Object]:
        return [pod for pod in self.snapshot.workers if not leaving(pod)]

    def admitted(self, view: ClusterView) -> ClusterView:
        """Once each pod that was declared has a node."""
        if view.admitted_at is not None:
            return view
        declared = self._declared()
        if declared is None or not all(map(placed, declared)):
            return view
        at = self._latest(changed_at(pod, "PodScheduled") for pod in declared)
        return replace(view, admitted_at=at, growth_s=growth_s(self.snapshot, declared))

    def started(self, view: ClusterView) -> ClusterView:
        """Once the head has answered in its own protocol; without a cluster there is none."""
        if view.head_ready_at is not None:
            return view
        if not self.spec.cluster.has_workers:
            return replace(view, head_ready_at=view.admitted_at, workers_ready_at=view.admitted_at)
        head = self.snapshot.head
        if head is None or not is_ready(head):
            return view
        framework = load_framework(self.spec.cluster.framework)
        address = framework.address(head_name(self.snapshot.cluster), layout.PORT)
        at = self._latest([ready_at(head)])
        return replace(view, head_ready_at=at, head_address=address)

    def workers(self, view: ClusterView) -> ClusterView:
        """How many have registered, who has not, and whether the first are all there."""
        minimum = self.spec.cluster.policy.min_workers
        deployment = self.snapshot.deployment
        wanted = deployment["spec"].get("replicas") if deployment is not None else None
        ready = [pod for pod in self._staying if is_ready(pod)]
        missing = [pod for pod in self._staying if not is_ready(pod)]
        names = view.worker_names
        view = replace(
            view,
            workers_wanted=minimum if wanted is None else int(wanted),
            workers_joined=len(ready),
            workers_missing=tuple(names[pod["metadata"]["name"]] for pod in missing),
        )
        all_there = len(ready) >= minimum and view.head_ready_at is not None
        if view.workers_ready_at is not None or not all_there:
            return view
        times = sorted(ready_at(pod) or self.snapshot.now for pod in ready)
        return replace(view, workers_ready_at=times[minimum - 1] if minimum else times[0])

    def autoscaled(self, view: ClusterView) -> ClusterView:
        """Once there is an HPA, and what it scales; a plain program needs none.

        It is made early, so that it has figures soon; the step is reached when its turn comes.
        """
        if view.autoscaler_at is not None or view.workers_ready_at is None:
            return view
        if not self.spec.cluster.has_workers or self.spec.cluster.by_operator:
            return replace(view, autoscaler_at=view.workers_ready_at)
        made = self.snapshot.autoscaler
        if made is None:
            return view
        at = self._latest([_created(made), view.workers_ready_at])
        return replace(view, autoscaler_at=at)

    def programs(self, view: ClusterView, failure: Failure | None) -> ClusterView:
        """Its program, and others on it while it is held."""
        pod, more = self.snapshot.driver, self.snapshot.programs
        if pod is None and not more:
            return view
        around = self._around(view, failure)
        others = {
            name: job_view(pod, view.programs.get(name, JobView()), around)
            for name, pod in more.items()
        }
        job = job_view(pod, view.job, around) if pod is not None else view.job
        return replace(view, job=job, programs={**view.programs, **others})

    def timed(self, view: ClusterView) -> ClusterView:
        """When the first of its pods got how far."""
        names = view.worker_names
        pods = {names[pod["metadata"]["name"]]: pod for pod in self._staying}
        for name, pod in (("program", self.snapshot.driver), ("head", self.snapshot.head)):
            pods |= {name: pod} if pod is not None else {}
        times = dict(view.times)
        for name, pod in pods.items():
            if name in times or len(times) < MAX_TIMED:
                times[name] = _times(pod, times.get(name, ProcessTimes()))
        return replace(view, times=times)

    def _around(self, view: ClusterView, failure: Failure | None) -> Around:
        """With its head lost, a program's own words about that are not why it failed."""
        lost = None
        if failure is not None and failure.reason in losses.OF_THE_CLUSTER:
            lost = (failure.reason, failure.detail)
        killed = (
            f"{end.name} {end.sentence}"
            for end in worker_ends(self.snapshot, view.worker_names)
            if end.out_of_memory
        )
        return Around(
            head_lost=lost,
            out_of_memory=next(killed, ""),
            releasing=self.snapshot.releasing,
        )

    def _declared(self) -> Sequence[Object] | None:
        """Head and first workers; a plain program's own pod. None: not all are made yet."""
        snapshot, minimum = self.snapshot, self.spec.cluster.policy.min_workers
        if not self.spec.cluster.has_workers:
            return None if snapshot.driver is None else [snapshot.driver]
        workers = self._staying[:minimum]
        if snapshot.head is None or len(workers) < minimum:
            return None
        return [snapshot.head, *workers]

    def _latest(self, times: Iterable[float | None]) -> float:
        found = [at for at in times if at is not None]
        return max(found) if found else self.snapshot.now


def _times(pod: Object, before: ProcessTimes) -> ProcessTimes:
    """What was seen once stays."""
    running = (state(pod, "running") or state(pod, "terminated") or {}).get("startedAt")
    return ProcessTimes(
        started_at=before.started_at or _created(pod),
        placed_at=before.placed_at or (changed_at(pod, "PodScheduled") if placed(pod) else None),
        running_at=before.running_at or moment(running),
        ready_at=before.ready_at or ready_at(pod),
    )


def _created(thing: Object) -> float | None:
    return moment(thing["metadata"].get("creationTimestamp"))
