"""One application's driver: asked twice a second for what it does, and what is remembered of it.

The driver's API does not show a barrier stage that waits for slots: Spark submits its job again and
again, and only once there are enough is there a job, a stage or an event. What tells of it is one
line of the driver's log, for programs in every language; and the driver serves that log like its
API (``spark.driver.log.localDir``), so it is heard wherever the driver runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.frameworks.spark.demand import figures
from ebbtide.infra.frameworks.spark.demand.figures import Barrier, Profiles
from ebbtide.infra.models.demand import Demand

_LOG_TAIL_BYTES = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one application does now."""

    executors: list[dict[str, Any]]
    waiting: tuple[Demand, ...]
    pending: int
    backlog_tasks: int
    backlog_s: float
    used_cpus: float


@dataclass(slots=True)
class Application:
    """Asks one driver by way of the master."""

    read: Callable[[str], Any]
    """Reads the JSON at a path of the driver's page; None when there is no answer."""
    read_text: Callable[[str], str | None]
    ended_tasks: int = 0
    """Tasks that have ended, well or not; only grows."""
    _profiles: Profiles = field(default_factory=Profiles)
    _started_s: dict[tuple[int, int], float] = field(default_factory=dict)
    """When a stage was first seen with a running task."""
    _barriers: dict[int, Barrier] = field(default_factory=dict)

    def look(self, api: str, app: Mapping[str, Any], now_s: float) -> Seen | None:
        """Ask once.

        Args:
            api: the path of its API.
            app: as the master knows it.
            now_s: of a monotonic clock.

        Returns:
            What it does; None when it does not answer, as before its API is up.
        """
        executors = self.read(f"{api}/allexecutors")
        stages = None if executors is None else self.read(f"{api}/stages?status=active")
        if executors is None or stages is None:
            return None
        self._learn_profiles(api, stages)
        ended = sum(each["completedTasks"] + each["failedTasks"] for each in executors)
        self.ended_tasks = max(self.ended_tasks, ended)  # Spark forgets executors long dead
        self._follow(stages, now_s)
        waiting = [*self._waiting(api, app), *self._without_room(stages)]
        runnable = [s for s in stages if figures.without_room(s, self._profiles) is None]
        pending = sum(map(figures.pending, runnable))
        slots = sum(each["totalCores"] for each in executors if each["isActive"])
        return Seen(
            executors=executors,
            waiting=tuple(waiting),
            pending=sum(map(figures.pending, stages)),
            backlog_tasks=pending + sum(s["numActiveTasks"] for s in runnable),
            backlog_s=sum(self._remaining_s(stage, now_s) for stage in runnable),
            # A task that has just ended is still shown beside the one that has its slot now.
            used_cpus=min(slots, sum(map(self._used_cpus, stages))),
        )

    def _learn_profiles(self, api: str, stages: list[dict[str, Any]]) -> None:
        wanted = {figures.DEFAULT_PROFILE, *(stage["resourceProfileId"] for stage in stages)}
        if wanted - self._profiles.tasks.keys():
            environment = self.read(f"{api}/environment")  # long: asked once
            if environment is not None:
                self._profiles = figures.profiles(environment)

    def _follow(self, stages: list[dict[str, Any]], now_s: float) -> None:
        running = {_key(stage) for stage in stages if stage["numActiveTasks"]}
        present = {_key(stage) for stage in stages}
        kept = {key: at for key, at in self._started_s.items() if key in present}
        self._started_s = {key: now_s for key in running} | kept

    def _waiting(self, api: str, app: Mapping[str, Any]) -> Iterator[Demand]:
        if not app["cores"] and self._profiles.executor:
            yield figures.executor_demand(app, self._profiles)
        page = api.partition("/api/")[0]
        log = self.read_text(f"{page}/log?logType=driver.log&byteLength={_LOG_TAIL_BYTES}")
        for barrier, tried_again in figures.barriers(log or ""):
            self._barriers[barrier.job] = barrier
            if not tried_again:
                del self._barriers[barrier.job]
        for job in list(self._barriers):
            if self.read(f"{api}/jobs/{job}") is not None:  # it has started
                del self._barriers[job]
        yield from (
            figures.barrier_demand(each, self._profiles) for each in self._barriers.values()
        )

    def _without_room(self, stages: list[dict[str, Any]]) -> Iterator[Demand]:
        found = (figures.without_room(stage, self._profiles) for stage in stages)
        return (each for each in found if each is not None)

    def _remaining_s(self, stage: dict[str, Any], now_s: float) -> float:
        return figures.remaining_s(stage, now_s - self._started_s.get(_key(stage), now_s))

    def _used_cpus(self, stage: dict[str, Any]) -> float:
        cpus = self._profiles.task(stage["resourceProfileId"]).get("CPU", 1.0)
        return float(stage["numActiveTasks"] * cpus)


def _key(stage: dict[str, Any]) -> tuple[int, int]:
    return stage["stageId"], stage["attemptId"]
