"""How a Ray node leaves: it takes no new work, finishes what it runs, and keeps what is needed.

Ray has two drains, and neither will do. One is refused while the node runs or keeps something, so
that a node under an unbroken stream of tasks never leaves. The other (what Ray's own handler of
SIGTERM asks for) ends new work at once, but loses results: a raylet that drains while a task runs
ends itself as idle when the task ends, a tenth of a second before it counts the result it stores
(2.60). So a part of the node is reserved first, as for a placement group. Such a raylet is never
idle, and this process ends it, once nothing else of it has been in use for a while.

A placement group that was put on the node while it was told keeps waiting: nothing begins on a node
that drains, and Ray moves a group only when its node is gone. So such a node is not waited for.
"""

from __future__ import annotations

import os
import time

from ray._private.grpc_utils import init_grpc_channel
from ray._private.node import Node
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated import (
    autoscaler_pb2,
    common_pb2,
    node_manager_pb2,
    node_manager_pb2_grpc,
)

from ebbtide.infra.waiting import now_s

_IDLE_S = 1.0
"""Idle for less, and what the last task stored may not be counted yet (Ray does every 100 ms)."""
_RESERVED_S = 10.0
"""Reserved for as long with no process at work in it: a placement group. Less may be a task whose
process starts; that the node goes before it has begun costs it nothing but another place."""
_ASK_TIMEOUT_S = 5
_IN_USE, _STORE = "Resource: ", "object_store_memory"
"""Ray's words for amounts that are taken (2.60); processes at work are told apart from them."""
_RESERVED = 0.001
"""Of what Ray gives each node for those who name it, which is one."""


class Leaving:
    """Of one node, which has been told to go."""

    def __init__(self, node: Node, budget_s: float):
        """Ask for nothing yet.

        Args:
            node: which has joined.
            budget_s: how long it has from now on, in seconds.
        """
        self._node = node
        self._until_ms = int((time.time() + budget_s) * 1000)
        self._resource = f"node:{node.node_ip_address}"
        self._group = os.urandom(18)
        self._drains = False
        self._idle_since_s: float | None = None

    def has_left(self) -> bool:
        """Look once. Returns whether nothing that it runs or keeps is needed any more.

        Raises:
            Exception: of Ray's many kinds of "try again".
        """
        if not self._drains:
            self._reserve()
            self._drains = self._drain()
        uses = self._uses()
        if not all(_is_reserved(use) for use in uses):
            self._idle_since_s = None
            return False
        self._idle_since_s = self._idle_since_s or now_s()
        return now_s() - self._idle_since_s >= (_RESERVED_S if uses else _IDLE_S)

    def _reserve(self) -> None:
        """Twice is once."""
        bundle = common_pb2.Bundle(
            unit_resources={self._resource: _RESERVED}, node_id=bytes.fromhex(self._node.node_id)
        )
        bundle.bundle_id.placement_group_id = self._group
        request = node_manager_pb2.PrepareBundleResourcesRequest(bundle_specs=[bundle])
        address = f"{self._node.node_ip_address}:{self._node.node_manager_port}"
        with init_grpc_channel(address) as channel:
            raylet = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
            if not raylet.PrepareBundleResources(request, timeout=_ASK_TIMEOUT_S).success:
                raise RuntimeError("the node has nothing left to reserve")

    def _drain(self) -> bool:
        accepted, _ = self._node.get_gcs_client().drain_node(
            self._node.node_id,
            autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,
            "the cluster shrinks",
            self._until_ms,
            timeout=_ASK_TIMEOUT_S,
        )
        return bool(accepted)

    def _uses(self) -> list[str]:
        """What it is in use for, beside what is reserved here, in Ray's words."""
        state = get_cluster_resource_state(self._node.get_gcs_client())
        (node,) = (n for n in state.node_states if n.node_id.hex() == self._node.node_id)
        return [activity for activity in node.node_activity if self._resource not in activity]


def _is_reserved(use: str) -> bool:
    """Whether it is an amount that is taken, and no process at work and no object."""
    return use.startswith(_IN_USE) and _STORE not in use
