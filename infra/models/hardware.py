"""Hardware tiers and node pools: what a user may ask for and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebbtide.infra.models.resources import NOTHING, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareTier:
    """A named machine shape that a worker or a head has."""

    name: str
    pool: str
    """The node pool it is taken from."""
    resources: Resources
    """What one worker asks for; also its memory limit."""
    price_per_hour: float = 0.0
    """In the catalog's currency; 0 when nobody is billed (this machine)."""
    frameworks: tuple[str, ...] = ()
    """The frameworks that may use it; empty means all."""
    drain_budget_s: float = 600.0
    """How long a leaving worker may take to finish its running tasks before it is ended anyway."""
    runs_at_once: int | None = None
    """At most so many runs with workers of this tier; None: as many as there is room for."""

    @property
    def threads(self) -> int:
        """The number of threads of a worker: its whole cores, at least one."""
        return max(1, self.resources.cpu_millis // 1000)

    def allows(self, framework: str) -> bool:
        """Whether a cluster of this framework may use the tier."""
        return not self.frameworks or framework in self.frameworks


POOL_LABEL = "dominodatalab.com/node-pool"
"""Of nodes: its value says which pool they are of, unless the catalog names another label."""
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
    dask_operator: bool = False
    """Whether Dask's own operator makes the pods of Dask clusters there."""

    @property
    def selector(self) -> dict[str, str]:
        """The label of its nodes, as a pod asks for them."""
        return {self.label: self.label_value or self.name}

    @property
    def tolerations(self) -> tuple[dict[str, str], ...]:
        """What pods say to run on its nodes, as the API server spells it."""
        return tuple(taint.toleration for taint in self.taints)

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

    @property
    def free(self) -> Resources:
        """What nobody holds, never below zero."""
        return (self.capacity - self.used).or_nothing
