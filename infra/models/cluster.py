"""What a cluster should be (spec, policy) and what it is (view)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebbtide.infra.models.hardware import BESIDE, HardwareTier, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import NOTHING, Resources

SCALE_ON = ("cpu", "memory", "demand")
"""What workers may be added for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalePolicy:
    """When to add and remove workers, in the HPA's terms: bounds, targets, scale-down window."""

    min_workers: int = 1
    max_workers: int = 4
    target_cpu_percent: float = 80.0
    """Average use of the tier's CPU above which workers are added."""
    target_memory_percent: float = 80.0
    """Average use of the tier's memory above which workers are added."""
    scale_down_window_s: float = 300.0
    """Stabilisation: the largest proposal of this window wins, so a dip removes nobody."""
    scale_up_window_s: float = 0.0
    """Stabilisation: the smallest proposal of this window wins, so a peak adds nobody. Not of what
    waits (demand)."""
    scale_up_step: int | None = None
    """At most so many come in a minute for their use, not for what waits (demand); None: the HPA's
    default, the larger of 4 and as many as there are in 15 seconds."""
    scale_down_step: int | None = None
    """At most so many leave in a minute; None: as many as there are too many."""
    tolerance: float = 0.1
    """No change while usage / target is within 1 ± this; the HPA's default."""
    scale_on: tuple[str, ...] = SCALE_ON
    """Of ``SCALE_ON``; the largest answer wins. Without ``demand``: the HPA's formula alone."""
    target_backlog_s: float = 30.0
    """Demand: workers are added when those there are need longer than this for their tasks. A
    worker takes seconds to start here; on Kubernetes, where it may need a node, minutes."""
    sync_period_s: float = 3.0
    """How often the formula runs. The HPA has 15 s because it scrapes; here figures are at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAsk:
    """What one member asks a node for."""

    role: str
    """``worker``, ``head`` (the program's pod asks for the same), or ``program`` where there is no
    cluster."""
    tier: HardwareTier
    beside: Resources = NOTHING
    """Beyond its tier."""

    @property
    def amount(self) -> Resources:
        """All of it."""
        return self.tier.resources + self.beside

    @property
    def flag(self) -> str:
        """The option that chooses its tier."""
        return "--head-tier" if self.role == "head" else "--tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What one cluster of one framework, for one run, is to be."""

    framework: str
    tier: HardwareTier
    head_tier: HardwareTier
    pool: NodePool
    """The pool both tiers are taken from."""
    policy: AutoscalePolicy
    choice: tuple[HardwareTier, ...] = ()
    """The tiers its workers could have had instead, in the catalog's order: for advice only."""

    @property
    def has_workers(self) -> bool:
        """Whether there is a cluster; ``framework: none`` runs a plain program on a tier."""
        return self.framework != "none"

    @property
    def member_asks(self) -> tuple[MemberAsk, ...]:
        """What each sort of member asks one node for.

        Nodes also hold daemons; what those take is not known here.
        """
        if not self.has_workers:
            return (MemberAsk(role="program", tier=self.tier, beside=self._beside),)
        workers = MemberAsk(role="worker", tier=self.tier)
        return workers, MemberAsk(role="head", tier=self.head_tier, beside=self._beside)

    @property
    def by_operator(self) -> bool:
        """Whether the framework's own operator makes head and workers."""
        return self.framework == "dask" and self.pool.dask_operator

    @property
    def first_ask(self) -> Resources:
        """What is admitted together: head, driver (alone or with the head), the first workers."""
        if not self.has_workers:
            return self.first_ask_beside_workers
        return self.first_ask_beside_workers + self.tier.resources.times(self.policy.min_workers)

    @property
    def first_ask_beside_workers(self) -> Resources:
        """Of these head and driver, with what their pods ask for beside their tiers."""
        if not self.has_workers:
            return self.tier.resources + self._beside
        return (self.head_tier.resources + self._beside).times(2 if self.pool.driver_apart else 1)

    @property
    def _beside(self) -> Resources:
        return BESIDE if self.pool.driver_apart else NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """One worker at one moment, as the scaling policy sees it."""

    name: str
    ready: bool
    """Registered with the head and not leaving."""
    cpu_percent: float = 0.0
    """CPU of its process tree as a percentage of its tier's CPU; may exceed 100 (burst)."""
    memory_percent: float = 0.0
    """Memory of its process tree as a percentage of its tier's memory."""
    running: int = 0
    """Tasks running on it now."""
    queued: int = 0
    """Tasks assigned to it that have not started."""
    stored_bytes: int = 0
    """Results it keeps."""
    stays_because: str = ""
    """Why it must not be chosen to leave (it holds actors, it is in a shuffle); empty if it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a step failed, as recorded by whoever saw it."""

    step: Step
    reason: Reason
    detail: str = ""
    hint: str = ""
    in_vain: bool = False
    """Whether it failed twice in the same way: neither the step nor a fresh cluster would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """Where a run stands in its pool's queue."""

    position: int
    """1 = next."""
    ahead: tuple[RunName, ...]
    """Runs that come before it."""
    pool: str
    free: Resources
    asked: Resources
    held_by: tuple[RunName, ...] = ()
    """Runs that hold shares of the pool now."""
    limit: str = ""
    """The rule that holds it back though there may be room, as a sentence."""

    @property
    def reason(self) -> Reason:
        """The reason code of why it waits."""
        return Reason.RUNS_AT_MAX if self.limit else Reason.POOL_AT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingView:
    """What a cluster waits for that is in no queue of ours: nodes, a quota, an image."""

    message: str
    """One line for people, without the time that passes: it changes when something happens."""
    reason: Reason | None = None
    """None where nothing is wrong: it takes its time."""
    hint: str = ""
    since: float = 0.0
    """Since when it has been so; Unix time, seconds."""
    grows: bool = False
    """Whether a node is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTimes:
    """When a process of a cluster got how far; Unix time in seconds, None where nobody has seen it.

    On Kubernetes the process is that of a pod.
    """

    started_at: float | None = None
    """When it began; of a pod, when it was made."""
    placed_at: float | None = None
    """When its pod had a node."""
    running_at: float | None = None
    """When its pod's container began."""
    imported_at: float | None = None
    """When it had imported what it is made of."""
    ready_at: float | None = None
    """When it took up its work; of a worker, when it had registered with the head."""


MAX_TIMED = 16
"""So many processes of a cluster are timed: the first ones, which a start waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """The process of a user's program as the supervisor sees it."""

    started_at: float | None = None
    """Unix time, seconds."""
    first_output_at: float | None = None
    """When there was something in its standard output; None while nothing is known to be."""
    ended_at: float | None = None
    exit_code: int | None = None
    """Its own exit code; negative: ended by that signal; None while it runs."""
    reason: Reason | None = None
    """Set when it was ended for a reason of ours: a limit, a cancel, out of memory."""
    detail: str = ""
    """Of a program that failed by itself: the line of its stderr that tells why."""
    hint: str = ""
    stored: str = ""
    """How much of what it wrote was brought to the URL that its run names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """A cluster as last observed. Fields that name a moment are Unix time in seconds."""

    cluster: ClusterId
    queue: QueueView | None = None
    """Set while it waits for room."""
    waiting: WaitingView | None = None
    """Set while something of it waits elsewhere than in our queue."""
    admitted_at: float | None = None
    head_ready_at: float | None = None
    head_address: str = ""
    dashboard: str = ""
    workers_wanted: int = 0
    workers_joined: int = 0
    workers_missing: tuple[str, ...] = ()
    """Started and not registered yet."""
    workers_coming: int = 0
    """How many of those that are wanted and not there are on their way: nothing is known that
    keeps them away."""
    worker_names: dict[str, str] = field(default_factory=dict)
    """Where a worker's pod is called otherwise: the pod's name, and the name we know it by."""
    growth_s: float | None = None
    """How long the pool took from the order of a node until a pod had it; None: it did not grow."""
    tasks_running: int | None = None
    """Now and then, as the head says; None: it has not been asked."""
    tasks_waiting: int | None = None
    workers_ready_at: float | None = None
    """When the first wanted number had registered with the head."""
    cannot_run: str = ""
    """What waits and can never run on this cluster, as a sentence; empty when there is none."""
    autoscaler_at: float | None = None
    autoscaler: str = ""
    """What it says of itself, in one line, where it is not a part of ours."""
    driver_env: dict[str, str] = field(default_factory=dict)
    """What a program needs in its environment to find the cluster. Paths of secrets, no secrets."""
    times: dict[str, ProcessTimes] = field(default_factory=dict)
    """Of the first of its processes, by name: ``guard``, ``supervisor``, ``head``, ``worker-0``, …;
    ``program`` where it has a pod of its own."""
    job: JobView = JobView()
    programs: dict[str, JobView] = field(default_factory=dict)
    """Programs that a flow runs on a cluster it holds, by the name of their folder."""
    failure: Failure | None = None
    released_at: float | None = None
    released_by: str = ""
    """Who said so: supervisor, guard, reaper, restore."""
    release_reason: Reason | None = None
    """None when nobody gave one."""
