"""What Ray's head tells of work that waits: on one cluster of one worker that never grows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.frameworks.heads import published
from ebbtide.infra.models.demand import Demand, Unit
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.settings import Settings
from tests.clusters import Stand, run_spec, script, standing
from tests.contract.conftest import small
from tests.helpers import wait_until

ONE_CPU = {"CPU": 1.0}

DRIVER = """
    import sys
    import ray
    from ray.autoscaler.sdk import request_resources
    from ray.util.placement_group import placement_group, remove_placement_group
    from tests.load import Total, at_work

    task = ray.remote(at_work)

    def short():
        ray.get([task.remote(0.01) for _ in range(60)])

    def actors():
        made = [ray.remote(Total).options(num_cpus=1).remote() for _ in range(3)]
        # Before one of them has the slot, the task may find it free.
        ray.wait([actor.add.remote(0) for actor in made], num_returns=1)
        made.append(task.remote(0))
        sys.stdin.readline()
        for actor in made[:3]:
            ray.kill(actor)
        ray.get(made[3])

    def groups():
        made = [placement_group([{"CPU": 1}] * 3, strategy=s) for s in ("PACK", "STRICT_SPREAD")]
        sys.stdin.readline()
        for group in made:
            remove_placement_group(group)

    def floor():
        request_resources(num_cpus=3)
        sys.stdin.readline()
        request_resources(num_cpus=0)

    def never():
        options = dict(num_gpus=1, name="train"), dict(label_selector={"zone": "x"}, name="near")
        made = [task.options(**each).remote(0) for each in options]
        sys.stdin.readline()
        for each in made:
            ray.cancel(each)

    def long():
        made = [task.remote(60) for _ in range(20)]
        sys.stdin.readline()
        for each in made[::-1]:
            ray.cancel(each, force=True)

    ray.init(log_to_driver=False)
    for line in sys.stdin:
        globals()[line.strip()]()
        print("done", flush=True)
    """


class Situation:
    """A driver on the cluster that makes one situation after another."""

    def __init__(self, stand: Stand, folder: Path):
        layout = Layout(Settings(home=stand.home).cluster_folder(stand.attempt.cluster))
        head = published(layout.head_file, layout.secrets)
        assert head is not None
        self._head, self._framework = head, load_framework("ray")
        self._driver = subprocess.Popen(
            [sys.executable, script(folder, DRIVER)],
            env={**os.environ, **stand.view.driver_env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def status(self) -> FrameworkStatus:
        answer = wait_until(lambda: self._framework.status(self._head, {}), 20, "the head answers")
        assert answer is not None
        return answer

    def make(self, name: str) -> None:
        assert self._driver.stdin is not None
        self._driver.stdin.write(f"{name}\n")
        self._driver.stdin.flush()

    def undo(self) -> None:
        self.make("")
        self.wait()
        self.until(lambda now: not (now.demand.waiting or now.demand.floor), "all is undone")

    def wait(self) -> None:
        assert self._driver.stdout is not None
        assert self._driver.stdout.readline() == "done\n"

    def until(self, probe: Callable[[FrameworkStatus], object], why: str) -> FrameworkStatus:
        wait_until(lambda: probe(self.status()), 60, f"{why}: {self.status()}")
        return self.status()

    def close(self) -> None:
        assert self._driver.stdin is not None
        self._driver.stdin.close()
        assert self._driver.wait(60) == 0
        assert self._driver.stdout is not None
        self._driver.stdout.close()


@pytest.fixture(scope="module")
def ray_cluster(
    home_of_module: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Situation]:
    spec = run_spec("demand", small("ray"))
    with standing(home_of_module, spec, autoscale=False) as stand:
        situation = Situation(stand, tmp_path_factory.mktemp("program"))
        yield situation
        situation.close()


def of_kind(status: FrameworkStatus, kind: str) -> list[Demand]:
    return [each for each in status.demand.waiting if each.kind == kind]


def test_nothing_ended_and_nothing_waits_before_the_first_task(ray_cluster: Situation) -> None:
    status = ray_cluster.until(lambda now: now.finished is not None, "tasks are counted")
    assert status.finished == 0
    assert status.demand.used == {}
    assert status.demand.waiting == status.demand.floor == ()


def test_short_tasks_count_when_they_ended_and_are_no_backlog(ray_cluster: Situation) -> None:
    ray_cluster.make("short")
    backlogs = []

    def all_ended(now: FrameworkStatus) -> bool:
        backlogs.append(now.demand.backlog_s)
        return now.finished == 60

    ray_cluster.until(all_ended, "all have ended")
    ray_cluster.wait()
    assert max(backlogs) < 30


def test_actors_that_find_no_slot_wait_and_a_task_behind_them(ray_cluster: Situation) -> None:
    ray_cluster.make("actors")
    now = ray_cluster.until(lambda now: of_kind(now, "task"), "the task waits")
    ray_cluster.undo()
    assert of_kind(now, "actor") == [
        Demand(kind="actor", units=(Unit(needs=ONE_CPU, count=2),), label="Total")
    ]
    assert now.demand.used == ONE_CPU


def test_placement_groups_wait_for_all_of_their_bundles(ray_cluster: Situation) -> None:
    ray_cluster.make("groups")
    now = ray_cluster.until(lambda now: len(of_kind(now, "placement group")) == 2, "both wait")
    ray_cluster.undo()
    found = sorted(now.demand.waiting, key=lambda each: each.apart)
    three = (Unit(needs=ONE_CPU, count=3),)
    assert [(each.units, each.together, each.apart) for each in found] == [
        (three, True, False),
        (three, True, True),
    ]


def test_requested_resources_are_the_floor_until_they_are_taken_back(
    ray_cluster: Situation,
) -> None:
    ray_cluster.make("floor")
    now = ray_cluster.until(lambda now: now.demand.floor, "the floor is told")
    ray_cluster.undo()
    assert now.demand.floor[0].units == (Unit(needs=ONE_CPU, count=3),)


def test_tasks_that_can_never_run_are_named_with_their_needs(ray_cluster: Situation) -> None:
    ray_cluster.make("never")
    now = ray_cluster.until(
        lambda now: {each.label for each in of_kind(now, "task")} == {"train", "near"}, "named"
    )
    ray_cluster.undo()
    needs = {each.label: each.units[0].needs for each in now.demand.waiting}
    assert needs == {"train": {"CPU": 1.0, "GPU": 1.0}, "near": {"CPU": 1.0, "label zone=x": 1.0}}


def test_tasks_that_wait_for_something_else_become_a_backlog(ray_cluster: Situation) -> None:
    ray_cluster.make("long")
    now = ray_cluster.until(lambda now: now.demand.backlog_s > 30, "a backlog is told")
    ray_cluster.undo()
    assert now.demand.backlog_tasks == 20
    assert now.demand.waiting == ()
