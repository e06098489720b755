"""What the overview says of a ledger with one cluster that runs and two that wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ebbtide.infra.errors import ConfigurationError, EbbError, ProvisioningError
from ebbtide.infra.lifecycle import inventory
from ebbtide.infra.lifecycle.inventory import Overview, PoolState, gather, last_view, lease_of
from ebbtide.infra.models.cluster import AutoscalePolicy, ClusterView, QueueView, WaitingView
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import (
    Claim,
    Machines,
    Neighbours,
    Node,
    NodePool,
    OtherPods,
    PlacedPod,
)
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.base import Platform, load_platform
from ebbtide.infra.platforms.local.pool import try_admit
from ebbtide.infra.presentation import tables
from ebbtide.infra.processes.identity import started_ticks
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.settings import Settings
from tests.clusters import MIB, POOL, TIER, cluster_spec, run_spec

HERON = RunName("heron")
HERON_1 = ClusterId("heron-1")

ASKED = {"head": TIER.resources, "worker-10": TIER.resources, "worker-2": TIER.resources}
CATALOG = Catalog(
    pools=(POOL,),
    tiers=(TIER, replace(TIER, name="vast", resources=Resources(4000, MIB))),
    default_tier="tiny",
    default_head_tier="tiny",
    source="ebb.yaml",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    for name in ("heron", "egret", "stork"):
        spec = run_spec(name, cluster_spec(policy=AutoscalePolicy(min_workers=2)))
        runs.begin(ledger, replace(spec, owner="ada"))
        ledger.add_cluster(
            ClusterId(f"{name}-1"), RunName(name), attempt=1, pool=POOL.name, lease_s=20
        )
    assert try_admit(ledger, HERON_1, POOL, ASKED) is None
    yield ledger
    ledger.close()


def look(ledger: Ledger, catalog: Catalog = CATALOG) -> Overview:
    return gather(Settings(home=ledger.path.parent), catalog)


def test_pool_is_used_by_its_shares_and_the_rest_is_free(ledger: Ledger) -> None:
    (state,) = look(ledger).pools
    assert state.used == TIER.resources.times(3)
    assert state.free == POOL.capacity - state.used


def test_machine_is_the_pools_one_node(ledger: Ledger) -> None:
    (node,) = look(ledger).pools[0].nodes
    assert (node.name, node.free) == (os.uname().nodename, look(ledger).pools[0].free)


def test_pool_that_was_made_smaller_has_nothing_free_not_less(ledger: Ledger) -> None:
    smaller = replace(CATALOG, pools=(replace(POOL, capacity=Resources(1, 1)),))
    assert look(ledger, smaller).pools[0].free == NOTHING
    assert {tier.fit_now for tier in look(ledger, smaller).tiers} == {0}


def test_pool_of_a_run_that_is_not_in_the_catalog_is_there(ledger: Ledger) -> None:
    other = replace(POOL, name="other")
    catalog = replace(CATALOG, pools=(other,), tiers=(replace(TIER, pool="other"),))
    assert [state.pool.name for state in look(ledger, catalog).pools] == ["other", POOL.name]


def test_one_pool_can_be_looked_at_alone(ledger: Ledger) -> None:
    other, tier = replace(POOL, name="other"), replace(TIER, name="elsewhere", pool="other")
    pools, tiers = (*CATALOG.pools, other), (*CATALOG.tiers, tier)
    seen = look(ledger, replace(CATALOG, pools=pools, tiers=tiers))
    mine, theirs = seen.of_pool(POOL.name), seen.of_pool("other")
    assert (mine.shares, mine.queue, mine.clusters) == (seen.shares, seen.queue, seen.clusters)
    assert [state.tier.name for state in theirs.tiers] == ["elsewhere"]
    assert [state.pool.name for state in theirs.pools] == ["other"]
    assert (theirs.shares, theirs.queue, theirs.clusters) == ((), (), ())


def test_pool_that_is_not_there_is_told_with_the_nearest(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError) as caught:
        look(ledger).of_pool("tets")
    (problem,) = caught.value.problems
    assert (problem.reason, problem.hint) == (Reason.OPTION_INVALID, "did you mean test?")


def test_pool_of_a_platform_that_is_not_here_has_no_nodes(ledger: Ledger) -> None:
    far = replace(CATALOG, pools=(replace(POOL, platform="elsewhere"),))
    assert look(ledger, far).pools[0].nodes == ()


def test_tier_fits_as_often_as_its_scarcest_resource(ledger: Ledger) -> None:
    tiny, vast = look(ledger).tiers
    assert (tiny.fit_now, tiny.default) == (10, True)  # by memory; by CPU it would be 13
    assert (vast.fit_now, vast.default) == (0, False)


def test_shares_say_what_runs_where_head_first_and_workers_in_order(ledger: Ledger) -> None:
    shares = look(ledger).shares
    assert [share.owner for share in shares] == ["head", "worker-2", "worker-10"]
    assert {(s.run, s.pool, s.node) for s in shares} == {("heron", "test", os.uname().nodename)}


def test_queue_is_in_order_and_says_what_is_asked(ledger: Ledger) -> None:
    queue = look(ledger).queue
    assert [(entry.position, entry.run) for entry in queue] == [(1, "egret"), (2, "stork")]
    assert queue[0].asked == TIER.resources.times(3)
    found = ledger.cluster(ClusterId("egret-1"))
    assert found is not None
    assert queue[0].since == found.created


FAR = replace(POOL, name="far", platform="kubernetes", capacity=Resources(8000, 2**33), max_nodes=2)
ON_PODS = replace(CATALOG, pools=(POOL, FAR), tiers=(TIER, replace(TIER, name="pod", pool="far")))


class Elsewhere:
    """A platform that has what it is given, or does not answer."""

    def __init__(self, there: Machines | EbbError):
        self._there = there

    def machines(self, pools: Sequence[NodePool]) -> Machines:
        assert [pool.name for pool in pools] == ["far"]
        if isinstance(self._there, EbbError):
            raise self._there
        return self._there


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machines | EbbError], None]:
    """Says what the other platform has."""

    def has(found: Machines | EbbError) -> None:
        def loaded(name: str, settings: Settings) -> Platform:
            if name == "kubernetes":
                return cast(Platform, Elsewhere(found))
            return load_platform(name, settings)

        monkeypatch.setattr(inventory, "load_platform", loaded)

    return has


Has = Callable[[Machines | EbbError], None]


def pod(name: str, role: str, **more: Any) -> PlacedPod:
    known: dict[str, Any] = {"run": HERON, "cluster": ClusterId("heron-2"), "pool": "far"}
    return PlacedPod(
        **{**known, "name": name, "role": role, "node": "n1", "amount": TIER.resources, **more}
    )


def waits(ledger: Ledger, name: str, *, why: str, admitted: bool) -> None:
    cluster = ClusterId(f"{name}-2")
    ledger.add_cluster(cluster, RunName(name), attempt=2, pool="far", lease_s=20)
    waiting = WaitingView(message=why, since=5.0)
    names = {"pod-a": "worker-10", "pod-b": "worker-2"}
    view = ClusterView(cluster=cluster, waiting=waiting, worker_names=names)
    state = "admitted" if admitted else "queued"
    ledger.update_cluster(cluster, view=to_json(view), state=state)


def test_what_runs_where_is_what_pods_say_in_the_words_of_receipts(
    ledger: Ledger, there: Has
) -> None:
    waits(ledger, "heron", why="", admitted=True)
    flow = pod("heron-flow", "flow", cluster=ClusterId(""), pool="", node="n5")
    pods = (
        *(flow, pod("heron-2-driver", "driver"), pod("pod-a", "worker"), pod("pod-b", "worker")),
        *(pod("new", "worker"), pod("heron-2-program-x", "driver", program="x")),
        *(pod("pod-c", "worker", node=""), pod("heron-2-head", "head")),
    )
    there(Machines(nodes={"far": ()}, pods=pods))
    shares = [share for share in look(ledger, ON_PODS).shares if share.pool != POOL.name]
    assert [(share.owner, share.node) for share in shares] == [
        *(("head", "n1"), ("x", "n1"), ("new", "n1"), ("program", "n1")),
        *(("worker-2", "n1"), ("worker-10", "n1"), ("flow", "n5")),
    ]


def test_queue_says_why_and_names_clusters_that_run_and_wait_for_more_behind(
    ledger: Ledger, there: Has
) -> None:
    waits(ledger, "heron", why="worker-2: pool far is full", admitted=True)
    waits(ledger, "egret", why="head: pool far grows 0 → 1", admitted=False)
    more = (pod("pod-a", "worker", node=""), pod("pod-b", "worker", node=""))
    there(Machines(nodes={"far": ()}, pods=more))
    queue = [entry for entry in look(ledger, ON_PODS).queue if entry.pool == "far"]
    assert [(entry.position, entry.run, entry.why) for entry in queue] == [
        (1, "egret", "head: pool far grows 0 → 1"),
        (None, "heron", "worker-2: pool far is full"),
    ]
    assert (queue[1].asked, queue[1].since) == (TIER.resources.times(2), 5.0)
    row = next(row for row in tables.queue(queue, 65.0).rows if row[1] == "heron")
    assert (row[0], row[-2:]) == ("", ("1m", "worker-2: pool far is full"))


def test_queue_of_this_machine_says_who_comes_first_or_which_limit_holds(ledger: Ledger) -> None:
    place = QueueView(position=1, ahead=(), pool="test", free=Resources(1000, 2**30), asked=NOTHING)
    for view, why in (
        (replace(place, ahead=(HERON, RunName("ibis"))), "behind heron, ibis"),
        (replace(place, limit="ada has one run at once"), "ada has one run at once"),
        (place, "1 CPU, 1 GiB of test is free"),
    ):
        seen = ClusterView(cluster=ClusterId("egret-1"), queue=view)
        ledger.update_cluster(ClusterId("egret-1"), view=to_json(seen))
        assert look(ledger).queue[0].why == why


def test_other_pods_are_not_free_but_daemons_are_in_no_pools_capacity(
    ledger: Ledger, there: Has
) -> None:
    others = OtherPods(
        count=3, requested=Resources(1500, 2**30), daemons=2, of_daemons=Resources(500, 0)
    )
    node = Node(name="n1", capacity=Resources(4000, 2**32), used=Resources(2000, 0), others=others)
    there(Machines(nodes={"far": (node,)}, pods=()))
    state = look(ledger, ON_PODS).pools[1]
    assert state.free == Resources(8000 - 2000 - 1000, 2**33 - 2**30)
    assert look(ledger, ON_PODS).tiers[1].fit_now == 11  # of 7 GiB; 13 where nobody else had any


SIZE = Resources(4000, 2**33)
GROWS = NodePool(name="far", platform="kubernetes", capacity=SIZE.times(3), node=SIZE, max_nodes=3)
WIDE = replace(TIER, pool="far", resources=Resources(2500, 2**30))
GPUS = replace(WIDE, resources=Resources(1000, 2**30, 1), gpu_type="T4")


@pytest.mark.parametrize(
    ("nodes", "fit"),
    [
        ([], 3),
        ([{"used": Resources(2000, 0)}], 2),
        ([{"used": Resources(2000, 0)}] * 3, 0),  # together 6 CPUs are free
        ([{"others": OtherPods(count=1, requested=Resources(2000, 0))}] * 3, 0),
        ([{"ready": False}], 2),
        ([{"ready": False, "seen": False}], 3),
    ],
)
def test_tier_fits_on_each_node_by_itself_and_on_those_to_come(
    nodes: list[dict[str, Any]], fit: int
) -> None:
    made = tuple(Node(name=f"n{i}", capacity=SIZE, **how) for i, how in enumerate(nodes))
    assert PoolState(pool=GROWS, nodes=made).fits(WIDE) == fit


def test_tier_fits_on_nodes_with_its_type_of_gpu_alone() -> None:
    with_gpus = Resources(4000, 2**33, 2)
    pool = replace(GROWS, node=with_gpus, max_nodes=2)
    nodes = tuple(Node(name=each, capacity=with_gpus, gpu_type=each) for each in ("T4", "A100"))
    assert PoolState(pool=pool, nodes=nodes).fits(GPUS) == 2


@pytest.mark.parametrize(("notice_s", "fit"), [(None, 2), (120.0, 1)])
def test_where_only_some_nodes_are_spot_a_tier_fits_on_those_of_its_kind(
    notice_s: float | None, fit: int
) -> None:
    pool = replace(GROWS, max_nodes=3, spot_label={"capacity": "spot"})
    firm = [Node(name=name, capacity=SIZE) for name in ("firm-1", "firm-2")]
    nodes = (*firm, Node(name="spot-1", capacity=SIZE, spot=True))
    tier = replace(WIDE, notice_s=notice_s)
    assert PoolState(pool=pool, nodes=nodes).fits(tier) == fit


def test_platform_that_does_not_answer_hides_nothing_else(ledger: Ledger, there: Has) -> None:
    there(ProvisioningError(Reason.API_UNREACHABLE, detail="no route"))
    seen = look(ledger, ON_PODS)
    assert (seen.pools[0].used, seen.pools[1].listed) == (TIER.resources.times(3), False)
    (said,) = seen.not_shown
    assert said.startswith("the nodes of platform kubernetes: ")
    assert said.endswith(": no route")


def test_released_cluster_is_not_there(ledger: Ledger) -> None:
    ledger.update_cluster(ClusterId("egret-1"), released_at=1.0, state="released")
    seen = look(ledger)
    assert [state.cluster for state in seen.clusters] == ["heron-1", "stork-1"]
    assert [entry.position for entry in seen.queue] == [1]


def test_cluster_shows_workers_phase_and_owner(ledger: Ledger) -> None:
    view = ClusterView(cluster=HERON_1, workers_wanted=3, workers_joined=2)
    ledger.update_cluster(HERON_1, view=to_json(view))
    ledger.update_run(HERON, phase="Starting")
    state = look(ledger).clusters[0]
    assert (state.workers_joined, state.workers_wanted) == (2, 3)
    assert (state.phase, state.framework, state.owner) == ("Starting", "dask", "ada")


def test_lease_that_a_living_flow_renews_names_it(ledger: Ledger) -> None:
    pid = os.getpid()
    ledger.update_run(HERON, flow_pid=pid, flow_started=started_ticks(pid))
    lease = look(ledger).clusters[0].lease
    assert lease.renewed_by == pid
    assert 0 < lease.left_s <= lease.duration_s == 20


def test_lease_of_a_dead_flow_is_renewed_by_nobody(ledger: Ledger) -> None:
    ledger.update_run(HERON, flow_pid=2**22, flow_started=1)
    lease = lease_of(ledger, HERON_1)
    assert lease is not None
    assert (lease.renewed_by, lease.renewer) == (None, "nobody renews it")


def test_cluster_that_was_never_seen_has_an_empty_view_and_no_lease(ledger: Ledger) -> None:
    assert last_view(ledger, RunName("nobody")).workers_joined == 0
    assert lease_of(ledger, ClusterId("nobody-1")) is None


def test_each_table_has_a_cell_for_each_header(ledger: Ledger) -> None:
    beside = Neighbours((Claim("bob", 1, Resources(250, 2**30)),))
    for table in tables.tables(replace(look(ledger), neighbours=beside)):
        assert table.rows, table.title
        assert {len(row) for row in table.rows} == {len(table.headers)}, table.title
