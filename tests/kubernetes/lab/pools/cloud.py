"""The cloud behind the pools: machines that are ordered, refused, boot, or never come. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.kubernetes.lab.pools.values import NO_BOOT, Pool

_NEVER = float("inf")


@dataclass(slots=True)
class Machine:
    """One machine; times in seconds since the epoch."""

    name: str
    pool: str
    ordered_at: float
    registers_at: float
    ready_at: float
    error: str = ""
    """Why the cloud refuses it."""
    registered: bool = False
    ready: bool = False
    """Whether its node was seen ready, which is a moment after it has booted."""


@dataclass(slots=True)
class Cloud:
    """All machines there are, or will be."""

    machines: dict[str, Machine] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def order(self, pool: Pool, number: int, now: float) -> list[Machine]:
        """Ask for machines; what the pool's fault does to them shows later."""
        refused = pool.fault if pool.fault != NO_BOOT else ""
        boot_s = _NEVER if pool.fault else pool.boot_s
        made = []
        for _ in range(number):
            name = pool.node or f"{pool.name}-{int(now) % 100000}-{next(self._numbers)}"
            made.append(Machine(name, pool.name, now, now + boot_s / 2, now + boot_s, refused))
        self.machines.update({machine.name: machine for machine in made})
        return made

    def of(self, pool: str) -> list[Machine]:
        """A pool's machines."""
        return [machine for machine in self.machines.values() if machine.pool == pool]

    def upcoming(self, pool: str) -> list[Machine]:
        """Those that are not ready yet, and not refused."""
        return [each for each in self.of(pool) if not each.ready and not each.error]

    def registering(self, now: float) -> list[Machine]:
        """Machines whose node is to appear now."""
        every = self.machines.values()
        return [each for each in every if not each.registered and each.registers_at <= now]

    def booted(self, now: float) -> list[Machine]:
        """Machines whose node should be ready and was not seen so."""
        every = self.machines.values()
        return [
            each for each in every if each.registered and not each.ready and each.ready_at <= now
        ]

    def refused(self, pool: str) -> list[Machine]:
        """Machines that the cloud does not give."""
        return [machine for machine in self.of(pool) if machine.error]

    def late(self, pool: str, provision_s: float, now: float) -> list[Machine]:
        """Machines that should have been ready by now."""
        return [each for each in self.upcoming(pool) if now - each.ordered_at > provision_s]

    def forget(self, machines: Sequence[Machine]) -> None:
        """They are no more."""
        for machine in machines:
            self.machines.pop(machine.name, None)

    def adopt(self, name: str, pool: str, ready_at: float, ready: bool) -> Machine:
        """A node that an earlier run of this controller made."""
        at = (ready_at, ready_at, ready_at)
        return self.machines.setdefault(
            name, Machine(name, pool, *at, registered=True, ready=ready)
        )
