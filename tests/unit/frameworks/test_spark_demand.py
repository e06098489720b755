"""What Spark's head makes of a driver's answers: demand, backlog, what has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ebbtide.infra.frameworks.spark.demand import figures
from ebbtide.infra.frameworks.spark.demand.applications import Application, Seen
from ebbtide.infra.models.demand import Demand, Unit

API = "/proxy/app-1/api/v1/applications/app-1"
APP = {"id": "app-1", "name": "train", "cores": 1, "memoryperexecutor": 512}
_RETRY = "Barrier stage in job 3 requires 2 slots, but only 1 are available. Will retry up to"


def stage(**more: Any) -> dict[str, Any]:
    """An active stage of ten tasks, of which none has started."""
    counts = ("numActiveTasks", "numCompleteTasks", "numCompletedIndices", "executorRunTime")
    base = {"stageId": 1, "attemptId": 0, "name": "count at p.py:3", "resourceProfileId": 0}
    return {**base, **dict.fromkeys(counts, 0), "numTasks": 10, **more}


def executor(**more: Any) -> dict[str, Any]:
    """One with a slot, which has done nothing."""
    base = {"isActive": True, "totalCores": 1, "completedTasks": 0, "failedTasks": 0}
    return {**base, **more}


def environment(properties: dict[str, str], **resources: Any) -> dict[str, Any]:
    """What a driver says of its settings and of its default profile."""
    amounts = {
        role: {name: {"amount": amount} for name, amount in resources.get(role, {}).items()}
        for role in ("taskResources", "executorResources")
    }
    return {"sparkProperties": list(properties.items()), "resourceProfiles": [{"id": 0, **amounts}]}


@dataclass
class Driver:
    """Answers as a driver's page does."""

    executors: list[dict[str, Any]] = field(default_factory=lambda: [executor()])
    stages: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=lambda: environment({}))
    log: str = ""
    jobs: tuple[int, ...] = ()
    now_s: float = 0.0

    def __post_init__(self) -> None:
        """One application asks it all the time."""
        self.application = Application(self._read, lambda path: self.log)

    def _read(self, path: str) -> Any:
        what = path.removeprefix(API)
        if what.startswith("/jobs/"):
            return {"status": "RUNNING"} if int(what.removeprefix("/jobs/")) in self.jobs else None
        known = {"/allexecutors": self.executors, "/environment": self.environment}
        return known.get(what, self.stages)

    def look(self, **app: Any) -> Seen:
        """One look that is answered."""
        seen = self.application.look(API, {**APP, **app}, self.now_s)
        assert seen is not None
        return seen


def test_a_backlog_is_what_is_left_times_the_mean_of_what_is_done() -> None:
    done = stage(
        numActiveTasks=2, numCompleteTasks=4, numCompletedIndices=4, executorRunTime=20_000
    )
    seen = Driver(stages=[done]).look()
    assert (seen.backlog_tasks, seen.backlog_s) == (6, 30.0)


def test_before_a_task_has_ended_the_oldest_tells_how_long_they_take() -> None:
    driver = Driver(stages=[stage(numActiveTasks=1)])
    assert driver.look().backlog_s == 0
    driver.now_s = 7.0
    assert driver.look().backlog_s == 70.0


def test_a_task_that_ran_twice_is_no_second_task_done() -> None:
    seen = Driver(stages=[stage(numCompleteTasks=5, numCompletedIndices=4)]).look()
    assert seen.pending == 6


def test_used_slots_are_never_more_than_there_are() -> None:
    driver = Driver(stages=[stage(numActiveTasks=2)])
    assert driver.look().used_cpus == 1


def test_ended_tasks_stay_counted_when_spark_forgets_their_executor() -> None:
    driver = Driver(executors=[executor(completedTasks=3, failedTasks=1), executor()])
    driver.look()
    driver.executors = [executor(completedTasks=2)]
    driver.look()
    assert driver.application.ended_tasks == 4


def test_a_barrier_waits_from_the_line_in_the_log_until_its_job_has_started() -> None:
    driver = Driver(log=f"x WARN y: {_RETRY} 40 more times\nz")
    unit = Unit(needs={"CPU": 1.0}, count=2)
    wanted = Demand(kind="barrier stage", units=(unit,), together=True, label="job 3")
    assert driver.look().waiting == (wanted,)
    driver.log = ""  # scrolled away
    assert driver.look().waiting == (wanted,)
    driver.jobs = (3,)
    assert driver.look().waiting == ()


def test_a_barrier_that_spark_has_given_up_waits_no_longer() -> None:
    driver = Driver(log=f"{_RETRY} 1 more times\n{_RETRY} 0 more times\n")
    assert driver.look().waiting == ()


@pytest.mark.parametrize(
    ("settings", "resources", "needs"),
    [
        ({"spark.executor.cores": "16"}, {}, {"CPU": 16.0}),
        ({}, {"executorResources": {"memory": 9, "gpu": 2}}, {"CPU": 1.0, "GPU": 2.0}),
    ],
)
def test_an_executor_that_no_worker_has_room_for_waits(
    settings: dict[str, str], resources: dict[str, Any], needs: dict[str, float]
) -> None:
    driver = Driver(executors=[], environment=environment(settings, **resources))
    (waiting,) = driver.look(cores=0).waiting
    assert waiting.kind == "executor"
    assert waiting.label == "train"
    assert waiting.units == (Unit(needs={**needs, "memory": 512.0 * 2**20}),)


def test_tasks_that_name_what_executors_lack_wait_and_are_no_backlog() -> None:
    answer = environment({}, taskResources={"cpus": 1, "gpu": 1})
    seen = Driver(stages=[stage()], environment=answer).look()
    assert seen.backlog_tasks == 0
    assert seen.waiting == (
        Demand(
            kind="task",
            units=(Unit(needs={"CPU": 1.0, "GPU": 1.0}, count=10),),
            label="count at p.py:3",
        ),
    )


def test_a_driver_that_does_not_answer_is_not_taken_for_idle() -> None:
    silent = Application(lambda path: None, lambda path: None)
    assert silent.look(API, APP, 0.0) is None


def test_a_task_of_two_slots_is_counted_as_two() -> None:
    asked = figures.profiles(environment({"spark.task.cpus": "2"}))
    barrier = figures.Barrier(job=1, slots=3)
    assert figures.barrier_demand(barrier, asked).units == (Unit(needs={"CPU": 2.0}, count=3),)
