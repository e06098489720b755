"""The pool's queue: first come first served, with real supervisors standing in it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.models.cluster import ClusterSpec, ClusterView
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.clusters import MIB, QUICK, TIER, carried_out, cluster_spec, run_spec, script, standing
from tests.helpers import wait_until
from tests.load import burn

SMALL, BIG = replace(TIER, resources=Resources(250, 300 * MIB)), TIER


class Queue:
    """Runs that stand in the queue of a pool for one big program."""

    def __init__(self, home: Path, beats: contextlib.ExitStack):
        self.settings, self.ledger, self._beats = Settings(home=home), Ledger(home), beats
        self.platform = LocalPlatform(self.settings)

    def spec(self, tier: object = BIG) -> ClusterSpec:
        pool = NodePool(name="one", platform="local", capacity=Resources(1000, 650 * MIB))
        return cluster_spec("none", tier=tier, pool=pool)

    def join(self, name: str, spec: ClusterSpec | None = None) -> None:
        run = run_spec(name, spec or self.spec())
        runs.begin(self.ledger, run)
        self.platform.declare(run, 1)
        self._beats.enter_context(Heartbeat(self.settings, "local", ClusterId(f"{name}-1"), 20))

    def view(self, name: str) -> ClusterView:
        found = self.platform.observe(ClusterId(f"{name}-1"))
        assert found is not None
        return found

    def admitted(self, name: str) -> bool:
        return self.view(name).admitted_at is not None

    def wait_for(self, name: str, *, position: int | None = None) -> ClusterView:
        """Until it stands at this position, or is admitted."""

        def there() -> bool:
            queue = self.view(name).queue
            if position is None:
                return self.admitted(name)
            return queue is not None and queue.position == position

        wait_until(there, 30, f"{name} is at {position or 'its place'}")
        return self.view(name)


@pytest.fixture
def queue(ebb_home: Path) -> Iterator[Queue]:
    with contextlib.ExitStack() as beats:
        made = Queue(ebb_home, beats)
        yield made
        for cluster in made.ledger.living_clusters():
            made.platform.release(cluster.id, None)
        wait_until(lambda: not made.ledger.living_clusters(), 30, "all are released")
        made.ledger.close()


def test_runs_are_served_in_order_and_told_what_they_wait_for(queue: Queue) -> None:
    queue.join("first")
    queue.wait_for("first")
    queue.join("second")
    queue.join("third", queue.spec(SMALL))
    waiting = queue.wait_for("third", position=2).queue
    assert waiting is not None
    assert (waiting.ahead, waiting.held_by) == (("second",), ("first",))
    queue.platform.release(ClusterId("first-1"), None)
    queue.wait_for("second")
    assert queue.wait_for("third", position=1).queue
    assert not queue.admitted("third"), "small ones do not overtake"


def test_limit_of_runs_holds_back_though_there_is_room_and_is_in_nobodys_way(
    queue: Queue,
) -> None:
    rare = replace(SMALL, name="rare", runs_at_once=1)
    queue.join("first", queue.spec(rare))
    queue.wait_for("first")
    queue.join("second", queue.spec(rare))
    waiting = queue.wait_for("second", position=1).queue
    assert waiting is not None
    assert (waiting.reason, waiting.limit) == (
        Reason.RUNS_AT_MAX,
        "tier rare allows 1 run at once",
    )
    queue.join("third", queue.spec(SMALL))
    queue.wait_for("third")
    queue.platform.release(ClusterId("first-1"), None)
    queue.wait_for("second")


def test_dead_run_in_front_blocks_nobody(queue: Queue) -> None:
    queue.join("first")
    queue.wait_for("first")
    queue.join("second")
    queue.join("third")
    queue.wait_for("third", position=2)
    for process in marks.marked(queue.settings.home):
        if process.cluster in ("first-1", "second-1"):
            os.kill(process.pid, signal.SIGKILL)
    wait_until(
        lambda: (found := queue.ledger.cluster(ClusterId("third-1"))) and found.state == "admitted",
        30,
        "the third is admitted without anybody asking for the dead",
    )


def test_no_room_in_time_says_who_holds_it(queue: Queue, tmp_path: Path) -> None:
    queue.join("first")
    queue.wait_for("first")
    program = script(tmp_path, "print('never')")
    spec = run_spec("late", queue.spec(), program, limits=Limits(start_within_s=1))
    outcome = carried_out(queue.settings.home, spec)
    assert isinstance(outcome.error, CapacityError)
    assert (outcome.run.reason, outcome.run.exit_code) == (Reason.NOT_IN_TIME, 69)
    assert "held by first" in outcome.run.detail


def test_growth_stops_at_the_pools_edge_and_says_so(ebb_home: Path) -> None:
    pool = NodePool(name="edge", platform="local", capacity=Resources(4000, 3 * 600 * MIB))
    policy = replace(QUICK, target_cpu_percent=20)
    with standing(ebb_home, run_spec("edge", cluster_spec(pool=pool, policy=policy))) as stand:
        client: Client = load_framework("dask").client(
            stand.view.head_address, stand.view.driver_env
        )
        with client:
            load = client.map(burn, [0.5] * 60, pure=False)
            wait_until(lambda: stand.messages("note"), 60, "it says that there is no more room")
            assert any("pool edge has room for 2" in words for words in stand.messages("note"))
            del load
        assert stand.observe().workers_wanted == 2
