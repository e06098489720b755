"""What the head tells over HTTP: its workers, what they do, and what waits."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

from ray.core.generated import autoscaler_pb2

from ebbtide.infra.frameworks.ray.demand.backlog import Backlog
from ebbtide.infra.frameworks.ray.demand.shapes import (
    WorkerNode,
    floor_of,
    needs_of,
    slots_of,
    sort_pending,
    taken_by_tasks,
    used,
    waiting_groups,
)
from ebbtide.infra.frameworks.ray.demand.state import Picture, Tables, TaskReader, Tasks
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.demand import Amounts, DemandFigures

_BUSY, _STORE = "Busy workers", "object_store_memory"
"""Words in Ray's own list of why a node is not idle (2.60, autoscaler.proto, node_activity)."""


class Watcher:
    """Asks the GCS twice a second and remembers the answer."""

    def __init__(self, address: str, offer: Amounts):
        self._tables = Tables(address)
        self._tasks = TaskReader(address, offer)
        self._offer = offer
        self._backlog = Backlog()
        self._told: Tasks | None = None
        self._unnamed = False
        self.answer: dict[str, Any] = {"workers": {}, "running": 0, "queued": 0}

    def look(self) -> None:
        """Once."""
        now = self._tables.look()
        homes = {actor.node_id for actor in now.actors if not actor.waits}
        nodes = [node for node in now.nodes if node.instance_id]
        workers = {node.instance_id: _worker(node, node.node_id in homes) for node in nodes}
        demand = self._demand(now, nodes)
        self._unnamed = any(each.kind == "task" for each in demand.waiting)
        self.answer = {
            "workers": workers,
            "running": sum(worker["running"] for worker in workers.values()),
            "queued": sum(each.count for each in now.pending),
            "finished": self._told and self._told.ended,
            "killed_for_memory": self._told.killed_for_memory if self._told else 0,
            "demand": to_data(demand),
        }

    def _demand(self, now: Picture, nodes: list[Any]) -> DemandFigures:
        ours = [_node(node, now) for node in nodes]
        self._look_at_tasks(self._slots_that_run_tasks(ours))
        told = self._told
        waiting = [(actor.class_name, actor.resources) for actor in now.actors if actor.waits]
        names = told.names if told else {}
        found = sort_pending(now.pending, waiting, ours, self._offer, names)
        running = sum(task.slots for task in told.running) if told else 0.0
        slots = found.line_slots + min(running, self._slots_that_run_tasks(ours))
        return DemandFigures(
            waiting=(*waiting_groups(now.groups), *found.waiting),
            floor=floor_of(now.bundles),
            backlog_tasks=math.ceil(slots),
            backlog_s=self._backlog.seconds(slots, time.monotonic()),
            used=used(ours),
        )

    def _look_at_tasks(self, busy_slots: float) -> None:
        told = self._tasks.look(names=self._unnamed)
        if told is not None:
            self._told = told
            self._backlog.observe(told.at_s, told.ended_ordinary, busy_slots, told.running)

    def _slots_that_run_tasks(self, nodes: list[WorkerNode]) -> float:
        """Not those of actors and placement groups."""
        return sum(slots_of(taken_by_tasks(node), self._offer) for node in nodes)


def _node(node: Any, now: Picture) -> WorkerNode:
    held: Counter[str] = Counter()
    for actor in now.actors:
        if not actor.waits and actor.node_id == node.node_id:
            held.update(needs_of(actor.resources))
    return WorkerNode(
        total=dict(node.total_resources),
        available=dict(node.available_resources),
        labels=dict(node.labels),
        leaving=_leaves(node),
        held_by_actors=dict(held),
    )


def _leaves(node: Any) -> bool:
    return bool(node.status == autoscaler_pb2.NodeStatus.DRAINING)


def _worker(node: Any, has_actor: bool) -> dict[str, Any]:
    idle = node.status == autoscaler_pb2.NodeStatus.IDLE
    # An idle node's list of activities is the one it had when it was last busy (2.60).
    activity = "" if idle else " ".join(node.node_activity)
    total, available = node.total_resources, node.available_resources
    cores = round(total.get("CPU", 0.0) - available.get("CPU", 0.0))
    running = max(cores, int(_BUSY in activity and not has_actor))
    return {
        "running": running,
        "queued": 0,
        "stored_bytes": int(total.get(_STORE, 0) - available.get(_STORE, 0)),
        "leaving": _leaves(node),
        "stays_because": _why_it_stays(has_actor, _STORE in activity, running),
        "stays_for_now": not has_actor and _STORE not in activity,
    }


def _why_it_stays(has_actor: bool, keeps: bool, running: int) -> str:
    if has_actor:
        return "it holds an actor"
    if keeps:
        return "it keeps objects that are needed"
    return "it runs tasks whose results would be kept there" if running else ""
