"""What the pods of a cluster use, by the metrics API, and its book.

The metrics API has no watch and changes every 15 s, so that it is asked that often. Its figures of
a pod begin 15 to 30 s after the pod's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.cluster import ClusterView, WorkerFigures
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.usage import PROGRAM
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import POD_METRICS, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    DRIVER,
    WORKER,
    changed_at,
    leaving,
    placed,
    role,
)
from ebbtide.infra.platforms.kubernetes.spelling import quantity, unix_time
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import HeldShare, Load, UsageRecorder
from ebbtide.infra.waiting import now_s

PERIOD_S = 15.0
"""Of the metrics API (metrics-server's default), and of the samples."""
_SILENT_S = 90.0
"""Without any figures for so long, it is told."""
_ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class PodMeter:
    """What one pod uses; see ``infra.platforms.upkeep.usage.Meter``."""

    key: str
    """The pod's uid."""
    memory_bytes: int = 0
    peak_memory_bytes: int = 0
    cpu_s: float = 0.0
    cores: float | None = None
    """None until there are figures."""
    looked_s: float = 0.0
    """When they were new the last time, in monotonic seconds."""
    _at: float = 0.0

    def look(self, metrics: Object) -> None:
        """Add one reading of the metrics API; the same twice is one."""
        at = unix_time(str(metrics["timestamp"]))
        if at <= self._at:
            return
        usages = [container["usage"] for container in metrics.get("containers") or ()]
        self.cores = sum(quantity(str(usage.get("cpu", "0"))) for usage in usages)
        memory = sum(quantity(str(usage.get("memory", "0"))) for usage in usages)
        self.memory_bytes = int(memory)
        self.peak_memory_bytes = max(self.peak_memory_bytes, self.memory_bytes)
        window_s = _duration_s(str(metrics.get("window", "")))
        self.cpu_s += self.cores * (at - self._at if self._at else window_s)
        self._at, self.looked_s = at, now_s()


class Figures:
    """Meters of all pods of a cluster, and its book."""

    def __init__(self, api: Api, spec: RunSpec, recorder: UsageRecorder, reporter: StatusReporter):
        """Ask nothing yet.

        Args:
            api: of the namespace.
            spec: of the run.
            recorder: writes the book; of this module's ``PERIOD_S``.
            reporter: has the cluster's id; is told the tasks, and when there are no figures.
        """
        self._api, self._spec = api, spec
        self._recorder, self._reporter = recorder, reporter
        self._meters: dict[str, PodMeter] = {}
        self._driver: PodMeter | None = None
        self._workers: list[WorkerFigures] = []
        self._asked_s = -PERIOD_S
        self._known_s = now_s()
        self._told = False

    @property
    def workers(self) -> Sequence[WorkerFigures]:
        """The workers that are not leaving, as of the last tick."""
        return self._workers

    @property
    def program_cores(self) -> float | None:
        """What the program's pod uses; None while that is not known, or not any more."""
        driver = self._driver
        old = driver is None or now_s() - driver.looked_s >= _SILENT_S
        return None if driver is None or old else driver.cores

    @property
    def cores(self) -> float:
        """What workers and program use together, as far as it is known."""
        tier = self._spec.cluster.tier.resources
        used = sum(worker.cpu_percent for worker in self._workers) * tier.cpu_millis / 100_000
        return used + (self.program_cores or 0.0)

    def tick(
        self,
        pods: Sequence[Object],
        names: Mapping[str, str],
        view: ClusterView,
        status: FrameworkStatus | None,
        *,
        last: bool = False,
    ) -> None:
        """Read the figures when they are due, and write the book.

        Args:
            pods: all of the cluster.
            names: of workers, by those of their pods.
            view: of the same moment: how many workers are wanted, and there.
            status: the head's answer; None without one.
            last: whether the pods end now, and the book with them.
        """
        if last or now_s() - self._asked_s >= PERIOD_S:
            self._asked_s = now_s()
            self._read(pods)
        held = {}
        for pod in pods:
            owner = self._owner(pod, names)
            if owner and _holds_its_share(pod):
                meter = self._meter(pod)
                held[owner] = HeldShare(self._tier(pod), (meter,), changed_at(pod, "PodScheduled"))
                if role(pod) == DRIVER:
                    self._driver = meter
        self._workers = [
            self._figures(pod, names, status)
            for pod in pods
            if role(pod) == WORKER and not leaving(pod)
        ]
        self._recorder.keep(held)
        if last or self._recorder.due:
            if status is not None:
                self._reporter.update(tasks_running=status.running, tasks_waiting=status.queued)
            self._recorder.look(self._load(view), last=last)
            self._recorder.flush()

    def _load(self, view: ClusterView) -> Load:
        if self._spec.cluster.has_workers:
            return Load(self._workers, view.workers_wanted, view.workers_joined)
        known = self._driver is not None and self._driver.cores is not None
        return Load([self._of("driver", self._driver, ready=known)] if self._driver else [])

    def _read(self, pods: Sequence[Object]) -> None:
        path = POD_METRICS.path(self._api.namespace)
        query = {"labelSelector": f"{CLUSTER}={self._reporter.view.cluster}"}
        try:
            listed = self._api.ask(Request(path=path, query=query), patience_s=0.0)
        except ApiError as error:
            self._say_silent(error.message)
            return
        found = {each["metadata"]["name"]: each for each in listed.get("items") or ()}
        for pod in pods:
            metrics = found.get(pod["metadata"]["name"])
            if metrics is not None:
                self._meter(pod).look(metrics)
        if found:
            self._known_s = now_s()
        elif pods:
            self._say_silent("it has none of this cluster's pods")

    def _say_silent(self, why: str) -> None:
        if self._told or now_s() - self._known_s < _SILENT_S:
            return
        self._told = True
        self._reporter.event(
            EventKind.WARNING,
            f"the metrics API gives no figures: {why}; neither the HPA nor the limit of idle time"
            " can judge what is used",
            hint="ebb doctor --platform kubernetes",
        )

    def _meter(self, pod: Object) -> PodMeter:
        uid = str(pod["metadata"]["uid"])
        return self._meters.setdefault(uid, PodMeter(uid))

    def _figures(
        self, pod: Object, names: Mapping[str, str], status: FrameworkStatus | None
    ) -> WorkerFigures:
        own_name = pod["metadata"]["name"]
        known = status.workers.get(own_name) if status else None
        meter = self._meter(pod)
        found = self._of(names.get(own_name, own_name), meter, ready=known is not None)
        if known is None:
            return found
        return WorkerFigures(
            name=found.name,
            ready=meter.cores is not None,
            cpu_percent=found.cpu_percent,
            memory_percent=found.memory_percent,
            running=known.running,
            queued=known.queued,
            stored_bytes=known.stored_bytes,
            stays_because=known.stays_because,
        )

    def _of(self, name: str, meter: PodMeter, *, ready: bool) -> WorkerFigures:
        tier = self._spec.cluster.tier.resources
        return WorkerFigures(
            name=name,
            ready=ready,
            cpu_percent=100_000 * (meter.cores or 0.0) / tier.cpu_millis,
            memory_percent=100 * meter.memory_bytes / tier.memory_bytes,
        )

    def _owner(self, pod: Object, names: Mapping[str, str]) -> str:
        part, name = role(pod), str(pod["metadata"]["name"])
        if part == WORKER:
            return names.get(name, name)
        return PROGRAM if part == DRIVER and self._spec.cluster.has_workers else part

    def _tier(self, pod: Object) -> HardwareTier:
        cluster = self._spec.cluster
        works = role(pod) == WORKER or not cluster.has_workers
        return cluster.tier if works else cluster.head_tier


def _holds_its_share(pod: Object) -> bool:
    """Whether a node keeps room for it: from when it is placed until its containers have ended."""
    return placed(pod) and pod.get("status", {}).get("phase") not in _ENDED


def _duration_s(text: str) -> float:
    """As Go writes it: ``15.12s``, ``1m0s``."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:([0-9.]+)s)?", text)
    return float(match[1] or 0) * 60 + float(match[2] or 0) if match else 0.0
