"""What of a cluster is not there yet, and why: all of its pods, in the order that decides. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ebbtide.infra.frameworks.plan import Timeouts
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import Resources, format_duration
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.images import container_wait
from ebbtide.infra.platforms.kubernetes.reading.refusals import refusal
from ebbtide.infra.platforms.kubernetes.reading.scheduling import never_fits, unplaced_wait
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    DRIVER,
    HEAD,
    WORKER,
    Snapshot,
    condition,
    holds,
    is_ready,
    leaving,
    moment,
    node_of,
    node_silent,
    placed,
    role,
    state,
)
from ebbtide.infra.platforms.kubernetes.reading.waits import (
    DEADLINES,
    QUOTA,
    READINESS,
    STARTING,
    Wait,
    merged,
)
from ebbtide.infra.policy.tiers import patience_s

_STEPS = {HEAD: Step.START_HEAD, DRIVER: Step.RUN_USER_JOB}
_FAILS_AS = {HEAD: Reason.HEAD_NOT_READY, DRIVER: Reason.LAUNCH_FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is waited for, what decides first coming first."""

    essential: tuple[Wait, ...] = ()
    """Without it the run cannot go on: it may fail by it."""
    more: tuple[Wait, ...] = ()
    """Further workers: the run does with fewer."""
    coming: int = 0
    """Workers that are on their way, also those whose pods are not made yet."""


def waits(
    snapshot: Snapshot, spec: RunSpec, view: ClusterView, usual_growth_s: float | None
) -> Found:
    """Find everything that is waited for.

    Args:
        snapshot: of the cluster.
        spec: of its run.
        view: as far as it has been read.
        usual_growth_s: how long its pool usually takes for a node; None: not known.

    Returns:
        Nothing when all is there.
    """
    look = _Look(snapshot, spec, view, usual_growth_s)
    essential = look.refused()
    more: list[Wait] = []
    coming = 0 if essential else look.unmade
    if view.admitted_at is None:
        # ``node`` came with the catalog of Kubernetes pools: what one of its machines offers.
        node: Resources | None = getattr(spec.cluster.pool, "node", None)
        never = never_fits(spec.cluster, node)
        essential += [never] if never else []
    for pod in snapshot.pods:
        wait = look.at(pod)
        coming += look.comes(pod, wait)
        if wait is None:
            continue
        (essential if look.needed(pod) else more).append(wait)
    if view.workers_ready_at is not None:
        refused = [wait for wait in essential if not wait.who]
        essential = [wait for wait in essential if wait.who]
        more += refused
    hurried = [_hurried(wait, spec) for wait in merged(essential)]
    return Found(essential=tuple(hurried), more=tuple(merged(more)), coming=coming)


def _hurried(wait: Wait, spec: RunSpec) -> Wait:
    """Where the run has another tier, it waits less long for this one."""
    patience = patience_s(spec, wait.reason, grows=wait.grows)
    if patience is None:
        return wait
    allowed_s = patience if wait.allowed_s is None else min(wait.allowed_s, patience)
    return replace(wait, allowed_s=allowed_s)


@dataclass(frozen=True, slots=True)
class _Look:
    snapshot: Snapshot
    spec: RunSpec
    view: ClusterView
    usual_growth_s: float | None

    def needed(self, pod: Object) -> bool:
        """Whether the run cannot go on without it."""
        if role(pod) in (HEAD, DRIVER):
            return True
        if self.view.workers_ready_at is not None:
            return False
        return pod in self._staying[: self.spec.cluster.policy.min_workers]

    @property
    def unmade(self) -> int:
        """How many workers are wanted for which there is no pod yet."""
        return max(0, self.view.workers_wanted - len(self._staying))

    def comes(self, pod: Object, wait: Wait | None) -> bool:
        """Whether it is a worker on its way; ``wait``: what ``at`` says of it."""
        staying = role(pod) == WORKER and not leaving(pod) and not is_ready(pod)
        return staying and (wait is None or wait.reason is None)

    @property
    def _staying(self) -> list[Object]:
        return [each for each in self.snapshot.workers if not leaving(each)]

    def refused(self) -> list[Wait]:
        """Workers that the namespace does not let be made."""
        return list(self._refused())

    def _refused(self) -> Iterator[Wait]:
        if self.spec.cluster.by_operator and self.snapshot.head is None:
            yield self._operator()
        deployment = self.snapshot.deployment
        if deployment is None or not holds(deployment, "ReplicaFailure"):
            return
        found = condition(deployment, "ReplicaFailure") or {}
        message = str(found.get("message") or "")
        since = moment(found.get("lastTransitionTime"))
        known = refusal(message)
        if known is None:
            yield Wait(
                rank=QUOTA,
                message=f"the workers' pods are refused: {message}",
                reason=Reason.LAUNCH_FAILED,
                since=since,
                allowed_s=DEADLINES.refused_s,
            )
            return
        yield Wait(
            rank=QUOTA,
            message=known.sentence,
            reason=known.reason,
            hint=known.hint,
            since=since,
            allowed_s=0.0 if known.never else DEADLINES.quota_used_up_s,
        )

    def _operator(self) -> Wait:
        """That it is there, nobody may ask: it lives in a namespace of its own."""
        lease = self.snapshot.lease or {}
        return Wait(
            rank=STARTING,
            message="Dask's operator has not made the head yet",
            reason=Reason.PLATFORM_UNUSABLE,
            hint="see that it runs and watches this namespace, or take dask: {mode: operator} away",
            since=moment(lease.get("metadata", {}).get("creationTimestamp")),
            allowed_s=DEADLINES.operator_s,
        )

    def at(self, pod: Object) -> Wait | None:
        """Why this pod is not ready; None when it is, or when it leaves."""
        if leaving(pod) or state(pod, "terminated") is not None or is_ready(pod):
            return None
        who, kind = self._who(pod), role(pod)
        if not placed(pod):
            wait = unplaced_wait(self.snapshot, pod, self.spec.cluster, self.usual_growth_s)
            return replace(wait, who=(who,))
        if node_silent(pod):
            silent = f"node {node_of(pod)} does not answer"
            return Wait(rank=STARTING, message=silent, reason=Reason.NODE_LOST, who=(who,))
        pull_within_s = self.spec.cluster.pool.pull_within_s
        wait_or_none = container_wait(self.snapshot, pod, pull_within_s) or self._unready(pod)
        if wait_or_none is None:
            return None
        step = _STEPS.get(kind, Step.START_WORKERS)
        fails_as = wait_or_none.fails_as
        if wait_or_none.reason is Reason.LAUNCH_FAILED:
            fails_as = _FAILS_AS.get(kind, Reason.WORKERS_NOT_JOINED)
        return replace(wait_or_none, who=(who,), step=step, fails_as=fails_as)

    def _who(self, pod: Object) -> str:
        kind, name = role(pod), pod["metadata"]["name"]
        if kind == DRIVER:
            return "program"
        return HEAD if kind == HEAD else self.view.worker_names.get(name, name)

    def _unready(self, pod: Object) -> Wait | None:
        """Its process runs and does not say yet that it is ready."""
        running = state(pod, "running")
        if running is None:
            return None  # it ended and is started again: a crash is judged by its count
        times, kind = Timeouts(), role(pod)
        since = moment(running.get("startedAt"))
        if kind == DRIVER:
            return Wait(rank=READINESS, message="it is made ready to start", since=since)
        if kind == HEAD:
            return self._answer(
                since, times.head_start_s, Reason.HEAD_NOT_READY, "has not answered yet"
            )
        head_at = self.view.head_ready_at
        if head_at is None:
            return Wait(rank=READINESS, message="waits for the head", since=since)
        since = max(since or head_at, head_at)
        reason = Reason.WORKERS_NOT_JOINED
        return self._answer(
            since, times.worker_join_s, reason, "has not registered with the head yet"
        )

    def _answer(self, since: float | None, allowed_s: float, reason: Reason, what: str) -> Wait:
        late = self.snapshot.now - (since or self.snapshot.now) >= allowed_s
        within = f": not within {format_duration(allowed_s)}" if late else ""
        return Wait(
            rank=READINESS,
            message=f"{what}{within}",
            since=since,
            allowed_s=allowed_s,
            fails_as=reason,
        )
