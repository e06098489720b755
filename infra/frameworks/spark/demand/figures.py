"""From what a driver's API and log say to what waits in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.frameworks.spark.sizes import MIB
from ebbtide.infra.models.demand import Amounts, Demand, Unit

DEFAULT_PROFILE = 0
_BARRIER = re.compile(
    r"Barrier stage in job (\d+) requires (\d+) slots.* retry up to (\d+) more times"
)
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """What an application's tasks and executors ask for, by its resource profiles."""

    tasks: dict[int, Amounts] = field(default_factory=dict)
    """What one task needs, by the number of its profile."""
    executor: Amounts = field(default_factory=dict)
    """What one executor needs beside its memory."""

    def task(self, profile: int) -> Amounts:
        """What one task of this profile needs."""
        return self.tasks.get(profile, {"CPU": 1.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """A job that does not start before there are slots for all tasks of its barrier stage."""

    job: int
    slots: int


def profiles(environment: Mapping[str, Any]) -> Profiles:
    """From the answer to ``/environment``.

    Beside static allocation all profiles run on the same executors, which are the default's.
    """
    properties = dict(environment["sparkProperties"])
    tasks, executor = {}, {"CPU": float(properties.get("spark.executor.cores", 1))}
    for profile in environment["resourceProfiles"]:
        needs = {"CPU": float(properties.get("spark.task.cpus", 1))}
        for name, wanted in profile["taskResources"].items():
            needs[_known(name)] = float(wanted["amount"])
        tasks[int(profile["id"])] = needs
        if int(profile["id"]) == DEFAULT_PROFILE:
            wanted = profile["executorResources"]
            special = {name: each for name, each in wanted.items() if name not in _COUNTED}
            executor |= {_known(name): float(each["amount"]) for name, each in special.items()}
    return Profiles(tasks=tasks, executor=executor)


_COUNTED = {"cores", "memory", "memoryOverhead", "overheadMemory", "offHeap", "pyspark.memory"}
"""In an executor's profile, but known from elsewhere or not counted by a worker."""


def _known(name: str) -> str:
    return {"cpus": "CPU", "gpu": "GPU"}.get(name, name)


def executor_demand(app: Mapping[str, Any], asked: Profiles) -> Demand:
    """The first executor of an application that the master has given none yet."""
    needs = {**asked.executor, "memory": float(app["memoryperexecutor"] * MIB)}
    return Demand(kind="executor", units=(Unit(needs=needs),), label=str(app["name"]))


def barriers(log: str) -> Iterable[tuple[Barrier, bool]]:
    """Each barrier that a log tells of, oldest first, and whether Spark will try it again."""
    for job, slots, retries in _BARRIER.findall(log):
        yield Barrier(job=int(job), slots=int(slots)), int(retries) > 0


def barrier_demand(barrier: Barrier, asked: Profiles) -> Demand:
    """Room for all of its tasks at once."""
    # The log does not say of which profile; one for a single stage is rare.
    unit = Unit(needs=asked.task(DEFAULT_PROFILE), count=barrier.slots)
    return Demand(kind="barrier stage", units=(unit,), together=True, label=f"job {barrier.job}")


def without_room(stage: Mapping[str, Any], asked: Profiles) -> Demand | None:
    """The tasks of a stage whose profile names what executors do not have; None for all others."""
    needs = asked.task(stage["resourceProfileId"])
    if all(asked.executor.get(name, 0) >= amount for name, amount in needs.items()):
        return None
    units = (Unit(needs=needs, count=pending(stage)),)
    return Demand(kind="task", units=units, label=str(stage["name"]))


def pending(stage: Mapping[str, Any]) -> int:
    """Tasks of an active stage that have not started."""
    done = stage["numCompletedIndices"] + stage["numActiveTasks"]
    return max(0, int(stage["numTasks"]) - int(done))


def remaining_s(stage: Mapping[str, Any], running_for_s: float) -> float:
    """How long one slot would need for what is left of an active stage, in seconds.

    Args:
        stage: as the API tells it.
        running_for_s: since when it has had a running task, as far as it was seen.

    Returns:
        An estimate: by the mean of its finished tasks, or by the age of its oldest task.
    """
    finished = stage["numCompleteTasks"]
    # Spark's sum has the running tasks' time in it too, as of their last heartbeat.
    mean_s = stage["executorRunTime"] / _MS_PER_S / finished if finished else running_for_s
    return float((pending(stage) + stage["numActiveTasks"]) * mean_s)
