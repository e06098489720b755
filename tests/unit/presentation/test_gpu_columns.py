"""GPUs in tables and on the screen: a column where there are some, none where there are not."""

from __future__ import annotations

import io
from dataclasses import replace

from ebbtide.flows.cli.machine.tiers import tier_facts
from ebbtide.flows.cli.screen import TextScreen
from ebbtide.infra.lifecycle.inventory import PoolState, TierState
from ebbtide.infra.models.hardware import Node, OtherPods
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Share
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.presentation import tables
from tests.clusters import POOL, TIER, cluster_spec, run_spec

T4 = replace(TIER, name="t4", resources=replace(TIER.resources, gpus=1), gpu_type="Tesla-T4")
PLAIN, WITH_GPU = (TierState(tier=tier, default=False, fit_now=2) for tier in (TIER, T4))
WHOLE = replace(POOL.capacity, gpus=4)


def test_tiers_have_a_column_of_gpus_where_one_has_some() -> None:
    table = tables.tiers(iter([PLAIN, WITH_GPU]))
    column = table.headers.index("GPU")
    assert [row[column] for row in table.rows] == ["", "1 Tesla-T4"]
    assert {len(row) for row in table.rows} == {len(table.headers)}
    assert "GPU" not in tables.tiers([PLAIN]).headers


def test_pools_and_nodes_have_columns_of_gpus_where_one_has_some() -> None:
    node = Node(name="n1", capacity=WHOLE, used=replace(TIER.resources, gpus=3))
    state = PoolState(pool=replace(POOL, capacity=WHOLE), nodes=(node,))
    for table in (tables.pools(iter([state])), tables.nodes(iter([state]))):
        assert table.headers[-3:] == ("GPUS", "USED", "FREE")
        assert table.rows[0][-3:] == ("4", "3", "1")
    bare = PoolState(pool=POOL, nodes=())
    assert "GPUS" not in tables.pools([bare]).headers


def test_shares_have_a_column_of_gpus_where_one_has_some() -> None:
    plain = Share(
        run=RunName("heron"),
        cluster=ClusterId("heron-1"),
        owner="head",
        pool="test",
        amount=TIER.resources,
    )
    table = tables.shares(iter([plain, replace(plain, owner="worker-0", amount=T4.resources)]))
    assert table.headers[-1] == "GPUS"
    assert [row[-1] for row in table.rows] == ["", "1"]
    assert "GPUS" not in tables.shares([plain]).headers


def test_tiers_as_data_have_gpus_and_their_type() -> None:
    (facts,) = tier_facts([WITH_GPU])
    assert (facts["gpus"], facts["gpu_type"]) == (1, "Tesla-T4")


def test_plan_shows_the_gpus_of_tier_and_pool() -> None:
    pool = replace(POOL, capacity=WHOLE)
    shown = io.StringIO()
    TextScreen(shown).plan(run_spec("heron", cluster_spec(tier=T4, pool=pool)))
    assert "tier tiny" not in shown.getvalue()
    assert "tier t4 (0.25 CPU, 600 MiB, 1 GPU (Tesla-T4))" in shown.getvalue()
    assert "pool test (4 CPU, 8 GiB, 4 GPUs)" in shown.getvalue()


FAR = replace(POOL, name="far", platform="kubernetes", capacity=WHOLE, min_nodes=1, max_nodes=4)
OTHERS = OtherPods(count=3, requested=Resources(1000, 2**30, 1), daemons=2)


def test_nodes_of_kubernetes_show_what_is_requested_and_used_and_by_how_many_others() -> None:
    node = Node(
        name="n1",
        capacity=WHOLE,
        used=replace(TIER.resources, gpus=2),
        instance_type="g4dn.xlarge",
        gpu_type="Tesla-T4",
        others=OTHERS,
        load=Resources(1234, 2**31),
    )
    (table,) = tables.requests([PoolState(pool=FAR, nodes=(node,)), PoolState(pool=POOL, nodes=())])
    found = dict(zip(table.headers, table.rows[0], strict=True))
    assert (found["TYPE"], found["GPU TYPE"]) == ("g4dn.xlarge", "Tesla-T4")
    assert table.rows[0][3:9] == ("4", "1.25", "1.234", "8 GiB", "1.59 GiB", "2 GiB")
    assert table.rows[0][9:11] == ("4", "3")
    assert found["OTHER PODS"] == "3, 2 of them daemons"
    assert found["THEY REQUEST"] == "1 CPU, 1 GiB, 1 GPU"


def test_what_of_a_node_is_not_known_is_no_zero() -> None:
    node = Node(name="n1", capacity=WHOLE, seen=False)
    states = [PoolState(pool=FAR, nodes=(node,), listed=False)]
    (table,) = tables.requests(states)
    assert table.rows[0][-2:] == ("?", "?")
    assert table.rows[0][4:6] == ("?", "?")
    assert tables.nodes(states).rows[0][2] == "not seen"
    assert tables.pools(states).rows[0][2] == "? of 1..4"


def test_pools_of_kubernetes_say_how_many_nodes_they_may_have() -> None:
    state = PoolState(pool=FAR, nodes=(Node(name="n1", capacity=WHOLE),))
    assert tables.pools([state]).rows[0][2] == "1 of 1..4"
    bare = PoolState(pool=replace(FAR, max_nodes=None), nodes=())
    assert tables.pools([bare, PoolState(pool=POOL, nodes=())]).rows[0][2] == "0"


def test_without_a_pool_on_kubernetes_there_is_no_table_of_requests() -> None:
    assert tables.requests([PoolState(pool=POOL, nodes=())]) == ()
