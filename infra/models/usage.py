"""What a cluster held and used: spans of shares, and samples of its load."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.infra.models.ids import ClusterId

PROGRAM = "program"
"""Owner of the share of a program that has one of its own beside a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One share of a cluster, from when it was taken to when it was given back."""

    cluster: ClusterId
    owner: str
    """``head``, ``worker-0``, …; ``driver`` without a cluster. The program's own use is in that of
    the head, or in that of ``program`` where it has a share of its own beside a cluster."""
    tier: str
    cpu_millis: int
    memory_bytes: int
    gpus: int = 0
    price_per_hour: float
    """The catalog's when the share was taken; 0 when nobody is billed."""
    began: float
    """Unix time, seconds."""
    ended: float | None = None
    """Unix time, seconds; None: until its cluster is released."""
    cpu_s: float = 0.0
    """Core-seconds used by all its processes."""
    peak_memory_bytes: int = 0

    @property
    def is_worker(self) -> bool:
        """Whether the share does the work: every share but those of a head and its program."""
        return self.owner not in ("head", PROGRAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The load of a cluster's workers at one moment; of the program where there are none."""

    number: int
    """Counts the periods of its cluster, also those whose sample was left out or thinned away."""
    at: float
    """Unix time, seconds."""
    wanted: int
    joined: int
    cpu_percent: float
    """Of the tier's CPU, average over the joined workers; may exceed 100 (burst)."""
    memory_percent: float
    """Of the tier's memory, average over the joined workers."""
    worker_cpu_s: float
    """Core-seconds that all workers of the cluster have used so far."""
