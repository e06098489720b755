"""What a store of runs returns and takes: values, wherever it keeps them.

What is seldom read and costs time to build (a spec, a view) stays JSON until it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ebbtide.infra.models.cluster import ClusterSpec, ClusterView
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.orders import Orders
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.resources import Resources


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process, told apart from a later one with the same process id."""

    pid: int
    started: float | None = None
    """When it began, in clock ticks since boot; None where that was not noted."""
    machine: str = ""
    """The machine that it is on, where that is another one than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: what was asked for, who drives it, and how it ended."""

    name: RunName
    spec_json: str
    """The ``RunSpec``; see ``spec``."""
    phase: Phase = Phase.QUEUED
    created: float = 0.0
    """Unix time, seconds. 0 in one that is reserved: now."""
    reason: Reason | None = None
    """Why it ended; None while it goes on, or when it succeeded."""
    detail: str = ""
    exit_code: int | None = None
    """None until it has ended."""
    ended: float | None = None
    """Unix time, seconds; None while it goes on."""
    attempt: int = 1
    """The one it has got to; 1 = the first."""
    flow_process: ProcessRef | None = None
    """The flow process; None until one has registered."""
    flow_run_id: str | None = None
    """Prefect's id of the flow run that drives it."""
    stop_reason: Reason | None = None
    """Set when its end was asked for."""
    prefect_url: str | None = None
    """Of the user interface of the Prefect server that records it."""
    key: str | None = None
    """What tells its job apart, when that is asked for again."""
    owner: str = ""
    """Who asked for it."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""

    @property
    def spec(self) -> RunSpec:
        """All that was asked for. Read from JSON each time."""
        return from_json(RunSpec, self.spec_json)

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.ended is not None


class Reserved(StrEnum):
    """What came of reserving a name for a run."""

    DONE = "done"
    NAME_TAKEN = "name_taken"
    QUEUE_FULL = "queue_full"


class LeaseState(StrEnum):
    """Where a cluster stands in its pool's queue."""

    QUEUED = "queued"
    ADMITTED = "admitted"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Limits, beside room, that hold a cluster back in its pool."""

    tier: str = ""
    """Its workers' tier, by which runs are counted."""
    max_tier_runs: int | None = None
    """Runs at once with its tier; None: as many as there is room for."""
    max_owner_runs: int | None = None
    """Runs at once of its owner; None: as many as there is room for."""

    @classmethod
    def of(cls, spec: ClusterSpec) -> RunLimits:
        """Return the limits that a cluster's tier and pool set."""
        return cls(
            tier=spec.tier.name,
            max_tier_runs=spec.tier.runs_at_once,
            max_owner_runs=spec.pool.runs_per_owner,
        )


NO_LIMITS = RunLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster: its lease, what is wanted of it, and what its owner saw last."""

    id: ClusterId
    run: RunName
    attempt: int
    """Of its run; 1 = the first."""
    pool: str
    state: LeaseState
    renewals: int
    """Counts the renewals of its lease."""
    beat_at: float
    """When it was last renewed; Unix time in seconds, 0 when never. For people to read."""
    lease_s: float
    """How long it outlives the last renewal."""
    created: float
    """Unix time, seconds."""
    limits: RunLimits = NO_LIMITS
    orders_json: str = "{}"
    """The ``Orders``; see ``orders``."""
    view_json: str = "{}"
    """The ``ClusterView``; see ``view``."""
    claimed: bool = False
    """Whether somebody has begun to give it a supervisor."""
    supervisor: ProcessRef | None = None
    """None until it has registered."""
    released_at: float | None = None
    """Unix time, seconds; None until nothing of it is left."""
    released_by: str = ""
    """Who said so: supervisor, guard, reaper, restore."""
    release_reason: Reason | None = None
    """None when all went well."""

    @property
    def released(self) -> bool:
        """Whether nothing of the cluster is left."""
        return self.released_at is not None

    @property
    def renewed_at(self) -> float:
        """When the lease was last renewed, or the cluster added; Unix time, seconds."""
        return max(self.beat_at, self.created)

    @property
    def orders(self) -> Orders:
        """What is wanted of the cluster. Read from JSON each time."""
        return from_json(Orders, self.orders_json)

    @property
    def view(self) -> ClusterView | None:
        """What its owner saw last; None before the first time. Read from JSON each time."""
        return None if self.view_json == "{}" else from_json(ClusterView, self.view_json)

    @property
    def last_view(self) -> ClusterView:
        """What its owner saw last; an empty view before the first time."""
        return self.view or ClusterView(cluster=self.id)

    @property
    def released_view(self) -> ClusterView:
        """``last_view``, and when, by whom and why it was released, where it has been."""
        if not self.released:
            return self.last_view
        return replace(
            self.last_view,
            released_at=self.released_at,
            released_by=self.released_by,
            release_reason=self.release_reason,
        )


class EventKind(StrEnum):
    """What sort of thing happened."""

    STEP_DONE = "step_done"
    STEP_FAILED = "step_failed"
    STEP_WAITING = "step_waiting"
    JOB_STARTED = "job_started"
    SCALED = "scaled"
    LEFT = "left"
    """A worker left, as it was asked to."""
    NOTE = "note"
    WARNING = "warning"
    ATTEMPT = "attempt"
    """An attempt failed and another follows."""
    RUN_ENDED = "run_ended"
    TIMED = "timed"
    """Its data are the ``FlowTimes`` of the run's flow process so far. Not for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run. Its fields, in this order, are also its JSON."""

    id: int = 0
    """Given by the store: counts up, so that one can ask for those after it."""
    run: RunName
    cluster: ClusterId | None = None
    at: float = 0.0
    """Unix time, seconds. 0 in one that is appended: now."""
    kind: EventKind
    step: Step | None = None
    reason: Reason | None = None
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    """More of it, for machines; JSON can hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTimes:
    """When a run's flow process got how far; Unix time in seconds, None where it has not (yet)."""

    started_at: float | None = None
    """When its process began."""
    begun_at: float | None = None
    """When it had been told that the first cluster is declared."""
    waited_at: float | None = None
    """When the program had printed something, or was not waited for any longer."""
    server_at: float | None = None
    """When it knew a Prefect server that answers."""
    imported_at: float | None = None
    """When Prefect was imported."""
    recording_at: float | None = None
    """When Prefect had a record of the run."""
    recorded_at: float | None = None
    """When Prefect's record of the run was finished."""
    let_go_at: float | None = None
    """When the command that had started it needed it no more: its last lines, then the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a pool that a cluster holds."""

    run: RunName
    cluster: ClusterId
    owner: str
    """``head`` (with the driver in it), ``worker-0``, …; ``driver`` where there is no cluster."""
    pool: str
    amount: Resources
    node: str = ""
    """Empty when its pool has several and nobody has said which."""
    devices: tuple[str, ...] = ()
    """The GPUs of this machine that are its own, by their UUIDs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster that waits for room or has it."""

    cluster: ClusterId
    run: RunName
    tier: str
    owner: str
    max_tier_runs: int | None = None
    """Runs at once with its tier."""
    max_owner_runs: int | None = None
    """Runs at once of its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Who waits for room in a pool and who has some, at one moment."""

    waiting: tuple[Entry, ...]
    """Clusters that wait for room, first come first."""
    holding: tuple[Entry, ...]
    """Clusters that have room."""
    used: Resources
    """Held by all of them together."""
    devices: tuple[str, ...] = ()
    """The GPUs of this machine that somebody holds, in whichever pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A Prefect flow run and the process that executes it."""

    flow_run_id: str
    name: str
    process: ProcessRef
    registered_at: float = field(default=0.0, compare=False)
    """Unix time, seconds. 0 in one that is not from a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCount:
    """How many runs a store has."""

    total: int
    recent: int
    """Of them, those asked for since the moment that was named."""
    first: float | None
    """When the first was asked for, Unix time in seconds; None without any."""
