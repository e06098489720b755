"""GPUs of this machine as shares: each is one owner's, whatever pool or cluster it is of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.platforms.local.pool import free_room, try_admit, try_grow
from ebbtide.infra.platforms.local.problems import framework_problems
from ebbtide.infra.platforms.local.supervisor.gpus import HeldGpus
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

GI = 2**30
POOL = NodePool(
    name="here", platform="local", capacity=Resources(8000, 8 * GI, 3), devices=("a", "b", "c")
)
PLAIN, ONE, TWO = (Resources(100, GI // 8, count) for count in (0, 1, 2))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def queued(ledger: Ledger, name: str, pool: NodePool = POOL) -> ClusterId:
    cluster = ClusterId(f"{name}-1")
    ledger.reserve(Run(name=RunName(name), spec_json="{}"))
    ledger.add_cluster(cluster, RunName(name), attempt=1, pool=pool.name, lease_s=30)
    return cluster


def test_each_share_gets_gpus_of_its_own_and_a_head_without_gets_none(ledger: Ledger) -> None:
    heron = queued(ledger, "heron")
    shares = {"head": PLAIN, "worker-0": ONE, "worker-1": TWO}
    assert try_admit(ledger, heron, POOL, shares) is None
    held = HeldGpus(POOL, ledger, heron)
    assert held.variables("head") == {"CUDA_VISIBLE_DEVICES": ""}
    assert held.variables("worker-0") == {"CUDA_VISIBLE_DEVICES": "a"}
    assert held.variables("worker-1") == {"CUDA_VISIBLE_DEVICES": "b,c"}
    assert {s.owner: s.devices for s in ledger.shares()}["worker-1"] == ("b", "c")
    assert free_room(ledger, POOL).gpus == 0


def test_a_cluster_waits_for_a_gpu_and_takes_that_which_is_given_back(ledger: Ledger) -> None:
    heron, egret = queued(ledger, "heron"), queued(ledger, "egret")
    shares = {"head": PLAIN, **{f"worker-{i}": ONE for i in range(3)}}
    assert try_admit(ledger, heron, POOL, shares) is None
    view = try_admit(ledger, egret, POOL, {"driver": ONE})
    assert view is not None
    assert (view.free.gpus, view.asked.gpus, view.held_by) == (0, 1, ("heron",))
    ledger.give_back(heron, "worker-1")
    assert try_admit(ledger, egret, POOL, {"driver": ONE}) is None
    assert ledger.devices(egret) == {"driver": ("b",)}


def test_a_cluster_grows_by_a_free_gpu_and_no_further(ledger: Ledger) -> None:
    heron = queued(ledger, "heron")
    assert try_admit(ledger, heron, POOL, {"worker-0": TWO}) is None
    assert try_grow(ledger, heron, POOL, "worker-1", ONE) is None
    room = try_grow(ledger, heron, POOL, "worker-2", ONE)
    assert room is not None
    assert room.gpus == 0
    assert try_grow(ledger, heron, POOL, "worker-2", PLAIN) is None
    assert ledger.devices(heron) == {"worker-0": ("a", "b"), "worker-1": ("c",)}


def test_a_share_that_is_taken_again_has_its_own_gpu_back(ledger: Ledger) -> None:
    heron = queued(ledger, "heron")
    assert try_admit(ledger, heron, POOL, {"worker-0": TWO, "worker-1": ONE}) is None
    assert free_room(ledger, POOL).gpus == 0
    ledger.give_back(heron, "worker-1")
    for _ in range(2):
        assert ledger.take_shares(
            heron, POOL.name, {"worker-1": ONE}, allowed=lambda _: True, devices=POOL.devices
        )
    assert ledger.devices(heron)["worker-1"] == ("c",)


def test_two_pools_of_one_machine_never_hand_out_the_same_gpu(ledger: Ledger) -> None:
    other = replace(POOL, name="other")
    heron, egret = queued(ledger, "heron"), queued(ledger, "egret", other)
    assert try_admit(ledger, heron, POOL, {"driver": TWO}) is None
    assert free_room(ledger, other).gpus == 1
    assert try_admit(ledger, egret, other, {"driver": TWO}) is not None
    assert try_admit(ledger, egret, other, {"driver": ONE}) is None
    assert ledger.devices(egret) == {"driver": ("c",)}


def test_gpus_that_the_caller_may_not_use_are_no_room_and_take_none(ledger: Ledger) -> None:
    mine = replace(POOL, devices=("c",), capacity=replace(POOL.capacity, gpus=1))
    heron, egret = queued(ledger, "heron"), queued(ledger, "egret")
    assert try_admit(ledger, heron, POOL, {"driver": TWO}) is None
    assert free_room(ledger, mine).gpus == 1
    assert try_admit(ledger, egret, mine, {"driver": ONE}) is None
    assert ledger.devices(egret) == {"driver": ("c",)}


def test_a_released_cluster_holds_no_gpu(ledger: Ledger) -> None:
    heron = queued(ledger, "heron")
    assert try_admit(ledger, heron, POOL, {"driver": TWO}) is None
    ledger.mark_released(heron, by="reaper", reason=Reason.CANCELLED)
    assert free_room(ledger, POOL).gpus == 3


def test_nothing_is_changed_where_no_gpus_are_handed_out(ledger: Ledger) -> None:
    heron = queued(ledger, "heron")
    bare = replace(POOL, devices=(), capacity=replace(POOL.capacity, gpus=0))
    assert try_admit(ledger, heron, bare, {"driver": PLAIN}) is None
    assert HeldGpus(bare, ledger, heron).variables("driver") == {}


def test_the_machine_as_a_node_shows_gpus_that_are_held(tmp_path: Path) -> None:
    platform = LocalPlatform(Settings(home=tmp_path))
    heron = queued(platform.ledger, "heron")
    assert try_admit(platform.ledger, heron, POOL, {"driver": TWO}) is None
    (node,) = platform.machines([POOL]).nodes[POOL.name]
    assert (node.capacity.gpus, node.used.gpus, node.free.gpus) == (3, 2, 1)


def test_shares_are_restored_with_their_gpus(ledger: Ledger, tmp_path: Path) -> None:
    heron = queued(ledger, "heron")
    assert try_admit(ledger, heron, POOL, {"driver": TWO}) is None
    found, run = ledger.cluster(heron), ledger.run(RunName("heron"))
    assert found is not None
    assert run is not None
    again = Ledger(tmp_path / "again")
    again.restore(run, found, ledger.shares())
    assert again.devices(heron) == {"driver": ("a", "b")}
    assert free_room(again, POOL).gpus == 1


@pytest.mark.parametrize("framework", ["none", "dask"])
def test_the_variable_cannot_be_set_where_the_run_sets_it(framework: str) -> None:
    def problems(pool: NodePool) -> list[str]:
        spec = run_spec(
            "heron", cluster_spec(framework, pool=pool), env={"CUDA_VISIBLE_DEVICES": "0"}
        )
        return [problem.summary for problem in framework_problems(spec, {})]

    (told,) = problems(POOL)
    assert told.startswith("--env CUDA_VISIBLE_DEVICES would have no effect")
    assert problems(replace(POOL, devices=())) == []
