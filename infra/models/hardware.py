"""Hardware tiers and node pools: what a user may ask for and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.resources import NOTHING, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareTier:
    """A named machine shape that a worker or a head has."""

    name: str
    pool: str
    """The node pool it is taken from."""
    resources: Resources
    """What one worker asks for; also its memory limit."""
    gpu_type: str = ""
    """The value that ``NodePool.gpu_label`` must have on its nodes; empty: any."""
    price_per_hour: float = 0.0
    """In the catalog's currency; 0 when nobody is billed (this machine)."""
    frameworks: tuple[str, ...] = ()
    """The frameworks that may use it; empty means all."""
    drain_budget_s: float = 600.0
    """How long a leaving worker may take to finish its running tasks before it is ended anyway."""
    priority: str = ""
    """The PriorityClass of its pods; empty: the Kubernetes cluster's default."""
    runs_at_once: int | None = None
    """At most so many runs with workers of this tier; None: as many as there is room for."""
    notice_s: float | None = None
    """Its nodes are spot: so long before one is taken away, in seconds, it is said. None: they are
    not. The drain budget is within it."""

    @property
    def threads(self) -> int:
        """The number of threads of a worker: its whole cores, at least one."""
        return max(1, self.resources.cpu_millis // 1000)

    @property
    def shape(self) -> str:
        """What it has, in words: ``4 CPU, 16 GiB, 1 GPU (Tesla-T4)``; a spot tier says that."""
        kind = f" ({self.gpu_type})" if self.gpu_type else ""
        return f"{self.resources}{kind}{', spot' if self.spot else ''}"

    @property
    def spot(self) -> bool:
        """Whether its nodes may be taken away at any time, at short notice."""
        return self.notice_s is not None

    @property
    def gpu_offer(self) -> dict[str, float]:
        """What its workers tell their framework's scheduler of GPUs; empty where it has none."""
        return {"GPU": self.resources.gpus} if self.resources.gpus else {}

    def allows(self, framework: str) -> bool:
        """Whether a cluster of this framework may use the tier."""
        return not self.frameworks or framework in self.frameworks


GPU_RESOURCE = "nvidia.com/gpu"
"""By which pods ask for a GPU, and the usual taint of nodes that have some."""
GPU_LABEL = "nvidia.com/gpu.product"
"""Of nodes: which GPUs they have, as NVIDIA's GPU feature discovery writes it."""
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""Which GPUs of its machine a process sees: numbers, or beginnings of UUIDs, between commas."""
POOL_LABEL = "dominodatalab.com/node-pool"
"""Of nodes: its value says which pool they are of, unless the catalog names another label."""
SPOT_NOTICE_S = 120.0
"""Of Amazon, the usual one; Google and Azure say it 30 seconds before."""
NODE_WITHIN_S = 1200.0
PULL_WITHIN_S = 600.0
"""Ten gigabytes at 17 MB/s: a registry beside the nodes gives more, one that says nothing less."""
ANY_FRAMEWORK = "*"
"""The image of every framework that has none of its own."""


BESIDE = Resources(50, 48 * 2**20)
"""What a pod of head or program asks for beside its tier, where they are pods: for the container
that serves code and files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps other pods off the nodes of a pool, and ours must tolerate."""

    key: str
    value: str = ""
    """Empty: whatever value it has."""
    effect: str = ""
    """``NoSchedule``, ``PreferNoSchedule`` or ``NoExecute``; empty: all of them."""

    def __str__(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}" + (f":{self.effect}" if self.effect else "")

    @property
    def toleration(self) -> dict[str, str]:
        """What a pod says to run there in spite of it, as the API server spells it."""
        value = {"operator": "Equal", "value": self.value} if self.value else {"operator": "Exists"}
        return {"key": self.key, **value, **({"effect": self.effect} if self.effect else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Equal nodes on which work is placed. The local platform has one: this machine, in shares."""

    name: str
    platform: str
    """``local`` or ``kubernetes``."""
    capacity: Resources
    """All there can ever be: its maximum number of nodes times one node, or this machine."""
    node: Resources | None = None
    """What one of its nodes offers; None: not known."""
    min_nodes: int = 0
    max_nodes: int | None = None
    """None: not known."""
    warm: int = 0
    """So many of its nodes are to be up and free, for whoever comes next."""
    node_within_s: float = NODE_WITHIN_S
    """How long one of its nodes may take, in seconds, from its order until it takes pods. The
    default is longer than the 15 minutes after which autoscalers give up, and say so."""
    pull_within_s: float = PULL_WITHIN_S
    """How long one of its nodes may take, in seconds, to get an image that it does not have. It
    says nothing meanwhile, so that a registry that never answers looks like a large image."""
    label: str = POOL_LABEL
    """By which its nodes are known."""
    label_value: str = ""
    """Of the label; empty: the name."""
    taints: tuple[Taint, ...] = ()
    """Of its nodes."""
    images: dict[str, str] = field(default_factory=dict)
    """By framework, or ``ANY_FRAMEWORK``; ``{framework}`` stands for its name."""
    runs_per_owner: int | None = None
    """At most so many runs of one owner at once; None: as many as there is room for."""
    runs_waiting: int | None = None
    """At most so many runs wait for room, the next is refused; None: any number."""
    gpu_resource: str = GPU_RESOURCE
    """The extended resource by which its nodes offer GPUs."""
    gpu_label: str = GPU_LABEL
    """Of its nodes: its value says which GPUs they have."""
    spot: bool = False
    """Whether all of its nodes may be taken away at any time, and so all its tiers are spot."""
    spot_label: dict[str, str] = field(default_factory=dict)
    """Which of its nodes are, where only some are: tiers without ``spot`` keep off them."""
    spot_taints: tuple[Taint, ...] = ()
    """Of those; pods of spot tiers tolerate them, no others do."""
    spot_notice_s: float = SPOT_NOTICE_S
    devices: tuple[str, ...] = ()
    """The GPUs that are handed out where it is this machine, by their UUIDs; none: none are."""
    no_gpus: str = ""
    """Why this machine has none though a tier asks for some, as a clause."""
    dask_operator: bool = False
    """Whether Dask's own operator makes the pods of Dask clusters there."""

    @property
    def selector(self) -> dict[str, str]:
        """The label of its nodes, as a pod asks for them."""
        return {self.label: self.label_value or self.name}

    @property
    def tolerations(self) -> tuple[dict[str, str], ...]:
        """What pods say to run on its nodes, as the API server spells it.

        Nodes with GPUs are usually tainted by the name of their resource, to keep others off. The
        pods of head and program have a toleration for it too: they run there without a GPU. In a
        pool of spot nodes alone all pods, those that keep a node warm too, tolerate their taints.
        """
        usual = (Taint(key=self.gpu_resource),) if self.capacity.gpus else ()
        spot = self.spot_taints if self.spot else ()
        return tuple(taint.toleration for taint in (*self.taints, *usual, *spot))

    @property
    def spot_tolerations(self) -> tuple[dict[str, str], ...]:
        """What pods of its spot tiers say beside that, where only some of its nodes are spot."""
        return () if self.spot else tuple(taint.toleration for taint in self.spot_taints)

    @property
    def driver_apart(self) -> bool:
        """Whether a program has a machine of its own; else it shares that of the head."""
        return self.platform != "local"

    def image(self, framework: str) -> str:
        """The image of a framework's members and programs; empty where none is needed."""
        named = self.images.get(framework) or self.images.get(ANY_FRAMEWORK, "")
        return named.replace("{framework}", framework)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the clusters of one user hold of a machine beside this installation."""

    user: str
    clusters: int
    amount: Resources
    mine: bool = False
    """Whether it is this user's own, of another installation (EBB_HOME)."""

    @property
    def message(self) -> str:
        """The claim as a sentence."""
        whose = "your clusters of another EBB_HOME" if self.mine else f"user {self.user}'s clusters"
        return f"{self.amount} of this machine are held by {whose}"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Everything that is held of a machine beside this installation, as far as it can be seen."""

    claims: tuple[Claim, ...] = ()
    hidden: str = ""
    """Why it cannot be seen, as a sentence; empty where it can."""

    @property
    def message(self) -> str:
        """What other users hold, for a note; empty when that is nothing."""
        return "; ".join(claim.message for claim in self.claims if not claim.mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherPods:
    """Pods on a node that are of no run of ours, and what they ask for."""

    count: int = 0
    requested: Resources = NOTHING
    daemons: int = 0
    """Of them, those of which every node has one, or that belong to the node itself."""
    of_daemons: Resources = NOTHING
    """What these ask for: a pool's ``node`` is what a node offers less that."""

    def __add__(self, other: OtherPods) -> OtherPods:
        return OtherPods(
            count=self.count + other.count,
            requested=self.requested + other.requested,
            daemons=self.daemons + other.daemons,
            of_daemons=self.of_daemons + other.of_daemons,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of a pool, as it is now."""

    name: str
    capacity: Resources
    """What runs of ours may have of it."""
    used: Resources = NOTHING
    """Held by runs now; more than the capacity when that was made smaller meanwhile."""
    neighbours: Neighbours = Neighbours()
    """What others hold of it, who are not in our queue."""
    ready: bool = True
    """Takes work."""
    seen: bool = True
    """Whether it could be looked at; else it is known only because something of ours is on it."""
    instance_type: str = ""
    """As its cloud names the machine; empty: nobody says."""
    gpu_type: str = ""
    """Which GPUs it has; empty: none, or nobody says."""
    spot: bool = False
    """Whether it may be taken away at any time."""
    others: OtherPods | None = None
    """Pods on it that are not ours; None: it has no pods, or they could not be looked at."""
    load: Resources | None = None
    """What is used of it, whatever was asked for, as it was measured last; None: not measured."""

    @property
    def requested(self) -> Resources | None:
        """What all pods on it ask for; None: there are none, or not all are known."""
        return None if self.others is None else self.used + self.others.requested

    @property
    def free(self) -> Resources:
        """What nobody holds, never below zero."""
        asked = self.requested
        return (self.capacity - (self.used if asked is None else asked)).or_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPod:
    """A pod of a run of ours, with a node or still without."""

    name: str
    run: RunName
    cluster: ClusterId
    """Empty: it is the flow's."""
    role: str
    """head, worker, driver; flow."""
    program: str = ""
    """The name of a program on a held cluster."""
    pool: str = ""
    """Empty: it asks for none."""
    node: str = ""
    """Empty: it waits for one."""
    amount: Resources = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What a platform has for some pools at one moment, as far as it may be looked at."""

    nodes: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """By the names of pools."""
    listed: bool = True
    """Whether these are all; else only those that are known in another way."""
    pods: tuple[PlacedPod, ...] | None = None
    """Those of our runs; None where runs are not made of pods."""
    not_shown: tuple[str, ...] = ()
    """What could not be looked at and why, a sentence each."""
