"""Where a lab lives: its folder, its addresses, and what is written down about it.

Inside its own network namespace a lab uses the usual ports and networks, so that several labs stand
side by side; only the link to the machine needs addresses that no other lab has.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"
KUBERNETES_ADDRESS, DNS_ADDRESS = "10.96.0.1", "10.96.0.10"
NODE = "lab-node"
"""The real node that every lab has."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What tells one real node of a lab from another: network, images' names and keys are shared.

    Each has a kubelet and a containerd of its own: a kubelet ends every container that it did not
    order.
    """

    name: str = NODE
    suffix: str = ""
    """Of its parts, and of its files."""
    port: int = 10250
    """Of its kubelet; the next but one below says whether it is healthy."""

    @property
    def kubelet(self) -> str:
        """The part that is its kubelet; its user's key is called so too."""
        return f"kubelet{self.suffix}"

    @property
    def containerd(self) -> str:
        """The part that is its containerd."""
        return f"containerd{self.suffix}"

    @property
    def socket(self) -> str:
        """Of its containerd."""
        return f"/run/{self.containerd}/containerd.sock"

    @property
    def cgroup(self) -> str:
        """Below the lab's: what its kubelet takes for the root."""
        return f"/machine{self.suffix}" if self.suffix else ""


FIRST, SECOND = Machine(), Machine("lab-node-2", "-2", 10260)
"""The second is brought up by the tests that lose it, and takes only what is bound to it."""
REAL = "ebb.lab/real"
"""Label of both."""


def cache() -> Path:
    """Where binaries, images and labs are kept, outside of every checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("EBB_LAB_CACHE") or Path(base) / "ebb-lab")


@dataclass(slots=True)
class Lab:
    """One lab; ``save`` writes it down beside its files."""

    name: str
    number: int = 0
    """Tells its link and its addresses from those of other labs."""
    init_pid: int = 0
    """The first process of its PID namespace, as the machine counts; 0 when it is down."""
    init_started_ticks: int = 0
    times_s: dict[str, float] = field(default_factory=dict)
    """How long each part took to answer, in seconds."""

    @property
    def folder(self) -> Path:
        """Everything of this lab: keys, logs, etcd's data, the node's containers."""
        return cache() / "labs" / self.name

    @property
    def link(self) -> str:
        """The machine's end of the link into the lab's network."""
        return f"ebblab{self.number}"

    @property
    def outer_address(self) -> str:
        """The machine, as the lab sees it."""
        return f"10.213.{self.number}.1"

    @property
    def address(self) -> str:
        """The lab, as the machine sees it."""
        return f"10.213.{self.number}.2"

    @property
    def server(self) -> str:
        """The API server."""
        return f"https://{self.address}:6443"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for whoever is on this machine and may read it."""
        return self.folder / "keys" / "admin.kubeconfig"

    def save(self) -> None:
        """Write it down, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "lab.json.draft"
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.rename(self.folder / "lab.json")


def find(name: str) -> Lab:
    """What was written down about this lab, or a new one."""
    try:
        return Lab(**json.loads((cache() / "labs" / name / "lab.json").read_text()))
    except FileNotFoundError:
        return Lab(name)


def every() -> list[Lab]:
    """Those that are written down."""
    return [find(path.parent.name) for path in sorted(cache().glob("labs/*/lab.json"))]
