"""What the GCS of a Ray cluster knows, asked by its head. The only reader of Ray's own tables."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated import (
    autoscaler_pb2,
    common_pb2,
    gcs_pb2,
    gcs_service_pb2,
    gcs_service_pb2_grpc,
)

from ebbtide.infra.frameworks.ray.demand.backlog import RunningTask
from ebbtide.infra.frameworks.ray.demand.shapes import (
    Group,
    LabelNeed,
    Pending,
    in_group,
    needs_of,
    shape,
    slots_of,
)
from ebbtide.infra.models.demand import Amounts

_TIMEOUT_S = 5
_DIRECT = (("grpc.enable_http_proxy", 0),)
"""The GCS is never behind the user's proxy; Ray's own channels have this option too (2.60)."""
_SAMPLE = 100
"""Tasks of each kind that are looked at one by one."""
_NO_ACTOR = ray.ActorID.nil().binary()
_REST = 50
"""The GCS copies all it has stored of tasks for each question: so many times as long as that took,
it is left in peace (0.4 s for 70 000 tasks, measured with 2.60)."""
_NEGATED = common_pb2.LabelSelectorOperator.LABEL_OPERATOR_NOT_IN


@dataclass(frozen=True, slots=True)
class Actor:
    """One that lives on a node, or waits for one."""

    class_name: str
    resources: Amounts
    node_id: bytes
    waits: bool


@dataclass(frozen=True, slots=True)
class Tasks:
    """What was told of tasks at one moment."""

    at_s: float
    """Monotonic."""
    ended: int
    """How many ever, with those of actors; it only grows."""
    ended_ordinary: int
    """Without those of actors."""
    running: tuple[RunningTask, ...]
    """Ordinary ones that would run as well on another worker; a sample."""
    killed_for_memory: int
    """How many processes Ray has ended because their node ran out of memory; it only grows."""
    names: dict[frozenset[tuple[str, float]], str] = field(default_factory=dict)
    """Of tasks that wait for a node, by what they need."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment."""

    nodes: list[Any]
    """``autoscaler_pb2.NodeState`` of those that live."""
    pending: list[Pending]
    groups: list[Group]
    bundles: list[tuple[Amounts, int]]
    actors: list[Actor]


class Tables:
    """Asks for the picture of now."""

    def __init__(self, address: str):
        self._gcs = GcsClient(address)
        self._actors = gcs_service_pb2_grpc.ActorInfoGcsServiceStub(
            init_grpc_channel(address, _DIRECT)
        )

    def look(self) -> Picture:
        """Once."""
        state = get_cluster_resource_state(self._gcs)
        dead = autoscaler_pb2.NodeStatus.DEAD
        constraints = [r for c in state.cluster_resource_constraints for r in c.resource_requests]
        return Picture(
            nodes=[node for node in state.node_states if node.status != dead],
            pending=[_pending(each) for each in state.pending_resource_requests],
            groups=[_group(each) for each in state.pending_gang_resource_requests],
            bundles=[(dict(r.request.resources_bundle), r.count) for r in constraints],
            actors=list(self._living_actors()),
        )

    def _living_actors(self) -> Iterable[Actor]:
        states = gcs_pb2.ActorTableData
        for state in (states.ALIVE, states.PENDING_CREATION, states.RESTARTING):
            request = gcs_service_pb2.GetAllActorInfoRequest()
            request.filters.state = state
            reply = self._actors.GetAllActorInfo(request, timeout=_TIMEOUT_S)
            for each in reply.actor_table_data:
                resources = dict(each.required_resources)
                waits = state != states.ALIVE
                yield Actor(each.class_name, resources, each.address.node_id, waits)


class TaskReader:
    """Asks what tasks do, as seldom as it must be for that to cost next to nothing."""

    def __init__(self, address: str, offer: Amounts):
        self._stub = gcs_service_pb2_grpc.TaskInfoGcsServiceStub(
            init_grpc_channel(address, _DIRECT)
        )
        self._offer = offer
        self._next_s = 0.0
        self._ended = self._ended_ordinary = self._killed = 0

    def look(self, *, names: bool) -> Tasks | None:
        """Ask, unless it was asked just now: None. ``names``: of tasks that wait, too."""
        started_s = time.monotonic()
        if started_s < self._next_s:
            return None
        tasks = self._ask(started_s, names)
        self._next_s = started_s + _REST * (time.monotonic() - started_s)
        return tasks

    def _ask(self, now_s: float, names: bool) -> Tasks:
        every, ordinary = self._in_state("FINISHED"), self._in_state("FINISHED", ordinary=True)
        failures = self._in_state("FAILED", _SAMPLE)
        failed, forgotten = _count(failures), _forgotten(every)
        self._ended = max(self._ended, _count(every) + failed + forgotten)
        self._ended_ordinary = max(self._ended_ordinary, _count(ordinary) + failed + forgotten)
        self._killed = max(self._killed, sum(map(_was_killed, failures.events_by_task)))
        running = self._in_state("RUNNING", _SAMPLE, ordinary=True).events_by_task
        waiting = self._in_state("PENDING_NODE_ASSIGNMENT", _SAMPLE).events_by_task if names else ()
        return Tasks(
            at_s=now_s,
            ended=self._ended,
            ended_ordinary=self._ended_ordinary,
            running=tuple(self._running(running)),
            killed_for_memory=self._killed,
            names={_needs(task): task.task_info.name for task in waiting},
        )

    def _in_state(self, state: str, limit: int = 0, *, ordinary: bool = False) -> Any:
        request = gcs_service_pb2.GetTaskEventsRequest(limit=limit)
        request.filters.exclude_driver = True
        equal = gcs_service_pb2.FilterPredicate.EQUAL
        request.filters.state_filters.add(state=state, predicate=equal)
        if ordinary:
            request.filters.actor_filters.add(actor_id=_NO_ACTOR, predicate=equal)
        return self._stub.GetTaskEvents(request, timeout=_TIMEOUT_S)

    def _running(self, tasks: Iterable[Any]) -> Iterable[RunningTask]:
        now_ns = time.time_ns()  # wall clock, as theirs
        for task in tasks:
            since_ns = task.state_updates.state_ts_ns.get(common_pb2.TaskStatus.RUNNING)
            resources = task.task_info.required_resources
            if since_ns and not in_group(resources):
                age_s = max(0.0, (now_ns - since_ns) / 1e9)
                yield RunningTask(age_s, slots_of(needs_of(resources), self._offer))


def _count(reply: Any) -> int:
    return len(reply.events_by_task) + int(reply.num_truncated)


def _forgotten(reply: Any) -> int:
    """How many tasks the GCS has made room of; it forgets those first that have ended."""
    return max(0, int(reply.num_status_task_events_dropped - reply.num_truncated))


def _was_killed(task: Any) -> bool:
    return bool(task.state_updates.error_info.error_type == common_pb2.ErrorType.OUT_OF_MEMORY)


def _needs(task: Any) -> frozenset[tuple[str, float]]:
    return shape(needs_of(task.task_info.required_resources))


def _pending(request: Any) -> Pending:
    labels = tuple(
        LabelNeed(each.label_key, tuple(each.label_values), each.operator == _NEGATED)
        for selector in request.request.label_selectors
        for each in selector.label_constraints
    )
    return Pending(dict(request.request.resources_bundle), request.count, labels)


def _group(request: Any) -> Group:
    bundles = tuple(dict(each.resources_bundle) for each in request.requests)
    return Group(bundles, request.details)
