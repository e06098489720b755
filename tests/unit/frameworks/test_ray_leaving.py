"""A Ray node that is told to go: no new work, and it has left when nothing of it is in use."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest
from ray._private.node import Node
from ray.core.generated import autoscaler_pb2, node_manager_pb2

from ebbtide.infra.frameworks.ray import leaving
from ebbtide.infra.frameworks.ray.leaving import Leaving

HERE, NODE_ID, BUDGET_S = "127.0.0.1", "ab" * 28, 60.0
RESERVED = f"Resource: node:{HERE} currently in use."
RUNS, STORES = "Busy workers on node.", "Resource: object_store_memory currently in use."


class Raylet:
    """What the node's raylet and the GCS are asked, and what they say."""

    node_ip_address, node_id = HERE, NODE_ID

    def __init__(self, server: grpc.Server) -> None:
        self.node_manager_port = server.add_insecure_port(f"{HERE}:0")
        self.asked: list[str] = []
        self.has_room = self.drains = True
        self.activity: list[str] = [RESERVED]

    def PrepareBundleResources(self, request: Any, _: Any) -> Any:
        (bundle,) = request.bundle_specs
        assert list(bundle.unit_resources) == [f"node:{HERE}"]
        self.asked.append("reserve")
        return node_manager_pb2.PrepareBundleResourcesReply(success=self.has_room)

    def get_gcs_client(self) -> Raylet:
        return self

    def drain_node(self, node_id: str, reason: int, *_: object, **__: object) -> tuple[bool, str]:
        assert node_id == NODE_ID
        assert reason == autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
        self.asked.append("drain")
        return self.drains, ""

    def get_cluster_resource_state(self, *_: object, **__: object) -> bytes:
        state = autoscaler_pb2.ClusterResourceState()
        state.node_states.add(node_id=b"other", node_activity=[RUNS])
        state.node_states.add(node_id=bytes.fromhex(NODE_ID), node_activity=self.activity)
        reply = autoscaler_pb2.GetClusterResourceStateReply(cluster_resource_state=state)
        return bytes(reply.SerializeToString())


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(leaving, "now_s", found)
    return found


@pytest.fixture
def raylet() -> Iterator[Raylet]:
    server = grpc.server(ThreadPoolExecutor(1))
    found = Raylet(server)
    handler = grpc.unary_unary_rpc_method_handler(
        found.PrepareBundleResources,
        request_deserializer=node_manager_pb2.PrepareBundleResourcesRequest.FromString,
        response_serializer=node_manager_pb2.PrepareBundleResourcesReply.SerializeToString,
    )
    service = node_manager_pb2.DESCRIPTOR.services_by_name["NodeManagerService"].full_name
    methods = {"PrepareBundleResources": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.start()
    yield found
    server.stop(None)


@pytest.fixture
def leaves(raylet: Raylet) -> Leaving:
    return Leaving(cast(Node, raylet), BUDGET_S)


def test_it_is_never_idle_for_ray_before_new_work_is_refused(
    leaves: Leaving, raylet: Raylet
) -> None:
    leaves.has_left()
    leaves.has_left()
    assert raylet.asked == ["reserve", "drain"]


def test_without_a_reservation_it_is_not_drained_and_asked_again(
    leaves: Leaving, raylet: Raylet
) -> None:
    raylet.has_room = False
    with pytest.raises(RuntimeError):
        leaves.has_left()
    assert raylet.asked == ["reserve"]
    raylet.has_room = True
    leaves.has_left()
    assert raylet.asked == ["reserve", "reserve", "drain"]


def test_drain_that_is_not_taken_is_asked_for_again(leaves: Leaving, raylet: Raylet) -> None:
    raylet.drains = False
    leaves.has_left()
    leaves.has_left()
    assert raylet.asked == ["reserve", "drain"] * 2


@pytest.mark.parametrize("activity", [[RESERVED, RUNS], [STORES, RESERVED]])
def test_what_runs_and_what_is_needed_keeps_it(
    leaves: Leaving, raylet: Raylet, clock: Clock, activity: list[str]
) -> None:
    raylet.activity = activity
    for _ in range(10):
        assert not leaves.has_left()
        clock.at_s += 1.0


def test_it_has_left_when_nothing_but_the_reservation_was_in_use_for_a_while(
    leaves: Leaving, raylet: Raylet, clock: Clock
) -> None:
    assert not leaves.has_left()
    clock.at_s += 0.5
    raylet.activity = [RESERVED, STORES]  # of its last task, counted late
    assert not leaves.has_left()
    raylet.activity = [RESERVED]
    assert not leaves.has_left()
    clock.at_s += 0.9
    assert not leaves.has_left()
    clock.at_s += 0.2
    assert leaves.has_left()
