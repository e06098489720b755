"""What pods use, by the metrics API, and the shares they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus, WorkerStatus
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.usage import PROGRAM
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.tending import figures as module
from ebbtide.infra.platforms.kubernetes.tending.figures import Figures, PodMeter
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import HeldShare, Load, UsageRecorder
from tests.clusters import MIB, cluster_spec, run_spec
from tests.unit.platforms.tending.fakes import CLUSTER, Clock, FakeApi, Told, pod

NAMES = {"w-a": "worker-0", "w-b": "worker-1"}
VIEW = ClusterView(cluster=CLUSTER, workers_wanted=2, workers_joined=2)
PODS = [pod("h", "head"), pod("w-a"), pod("w-b"), pod("d", "driver")]


def reading(name: str, second: int, cpu: str = "100m", memory: str = "300Mi") -> Object:
    container = {"usage": {"cpu": cpu, "memory": memory}}
    at = f"2026-11-27T03:00:{second:02d}Z"
    made = {"name": name}
    return {"metadata": made, "timestamp": at, "window": "15s", "containers": [container]}


def test_seconds_of_cpu_add_up_over_readings() -> None:
    meter = PodMeter("uid")
    for second in (10, 10, 30):
        meter.look(reading("w-a", second))
    assert meter.cpu_s == pytest.approx(0.1 * 15 + 0.1 * 20)


def test_the_peak_of_memory_is_kept() -> None:
    meter = PodMeter("uid")
    meter.look(reading("w-a", 10, memory="300Mi"))
    meter.look(reading("w-a", 20, memory="100Mi"))
    assert (meter.memory_bytes, meter.peak_memory_bytes) == (100 * MIB, 300 * MIB)


class Book:
    """Stands for the recorder."""

    def __init__(self) -> None:
        self.held: Mapping[str, HeldShare] = {}
        self.loads: list[Load] = []
        self.due = True

    def keep(self, held: Mapping[str, HeldShare]) -> None:
        self.held = held

    def look(self, load: Load, *, last: bool) -> None:
        del last
        self.loads.append(load)

    def flush(self) -> None:
        pass


class Stage:
    """The figures of one cluster."""

    def __init__(self, clock: Clock, framework: str = "dask"):
        self.api, self.told, self.book, self.clock = FakeApi(), Told(), Book(), clock
        spec = run_spec("heron", cluster_spec(framework))
        recorder, reporter = cast(UsageRecorder, self.book), cast(StatusReporter, self.told)
        self.figures = Figures(cast(Api, self.api), spec, recorder, reporter)

    def look(self, pods: list[Object], *readings: Any, **workers: WorkerStatus) -> None:
        self.api.answer = {"items": list(readings)}
        status = FrameworkStatus(workers={n.replace("_", "-"): w for n, w in workers.items()})
        self.figures.tick(pods, NAMES, VIEW, status)
        self.clock.now_s += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "now_s", made)
    return made


def test_each_pod_on_a_node_holds_a_share(clock: Clock) -> None:
    stage = Stage(clock)
    pending = pod("w-c")
    del pending["spec"]["nodeName"]
    ended = pod("w-d")
    ended["status"]["phase"] = "Succeeded"
    stage.look([*PODS, pending, ended])
    assert set(stage.book.held) == {"head", "worker-0", "worker-1", PROGRAM}


def test_plain_program_is_the_driver(clock: Clock) -> None:
    stage = Stage(clock, "none")
    stage.look([pod("d", "driver")], reading("d", 10, cpu="125m"))
    assert set(stage.book.held) == {"driver"}
    ((program,),) = [load.figures for load in stage.book.loads]
    assert (program.ready, round(program.cpu_percent)) == (True, 50)


def test_share_is_held_since_the_pod_was_placed(clock: Clock) -> None:
    stage = Stage(clock)
    placed = pod("w-a")
    at = "1970-01-01T00:01:00Z"
    placed["status"]["conditions"] = [{"type": "PodScheduled", "lastTransitionTime": at}]
    stage.look([placed])
    assert stage.book.held["worker-0"].since == 60.0


def test_worker_has_figures_of_its_pod_and_of_its_head(clock: Clock) -> None:
    stage = Stage(clock)
    stage.look(PODS, reading("w-a", 10, cpu="250m"), w_a=WorkerStatus(running=2))
    first, second = stage.figures.workers
    assert (first.name, first.ready, first.cpu_percent, first.running) == ("worker-0", True, 100, 2)
    assert not second.ready


def test_metrics_api_is_asked_every_15_s(clock: Clock) -> None:
    stage = Stage(clock)
    for _ in range(46):
        stage.look(PODS, reading("w-a", 10))
    assert stage.api.asked == 4


def test_silent_metrics_api_is_told_once(clock: Clock) -> None:
    stage = Stage(clock)
    stage.api.away = True
    for _ in range(300):
        stage.look(PODS)
    (message,) = stage.told.messages
    assert "nobody answers" in message


def test_what_the_program_used_is_not_known_any_more_without_new_figures(clock: Clock) -> None:
    stage = Stage(clock)
    driver = [pod("d", "driver")]
    stage.look(driver, reading("d", 10, cpu="1m"))
    assert stage.figures.program_cores == pytest.approx(0.001)
    while stage.clock.now_s < 1000.0 + 90.0:
        stage.look(driver, reading("d", 10, cpu="1m"))
    assert stage.figures.program_cores is None
    stage.clock.now_s += 15.0
    stage.look(driver, reading("d", 40, cpu="2m"))
    assert stage.figures.program_cores == pytest.approx(0.002)
