"""What a cluster can be told, each a value, and all that it has been told so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason, Step


@dataclass(frozen=True, slots=True)
class Autoscale:
    """Let the policy of the spec decide the number of workers from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartJob:
    """Run the spec's program once, when the workers are there."""

    then_release: bool = False
    """Its end is the cluster's end, without waiting for anybody to say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProgram:
    """Run one more program beside those that run already; once for each name."""

    name: str
    job: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StopProgram:
    """End that program; the cluster stays."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Forget the failure of a step and try it again."""

    step: Step
    at: float
    """Unix time, seconds: the same step may be repeated later once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give back everything that the cluster holds."""

    reason: Reason | None = None
    """None when all went well."""
    at_once: bool = False
    """The program gets no time to say goodbye."""
    at: float = 0.0
    """When it was said; Unix time, seconds."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Let the lease last longer, once, because the flow of the cluster is suspended."""


Order = Autoscale | StartJob | StartProgram | StopProgram | Repeat | Release | Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """All that a cluster has been told. Orders add up; the same one twice counts once."""

    autoscale: bool = False
    job: bool = False
    release_after_job: bool = False
    kept: bool = False
    programs: dict[str, JobSpec] = field(default_factory=dict)
    """To be run, by name."""
    stopped: tuple[str, ...] = ()
    """Names of those that shall end."""
    repeat: Repeat | None = None
    """The latest."""
    release: Release | None = None
    """The latest; None until somebody has said so."""

    def plus(self, order: Order) -> Orders:
        """Return these orders with one more."""
        match order:
            case Autoscale():
                return replace(self, autoscale=True)
            case StartJob():
                after = self.release_after_job or order.then_release
                return replace(self, job=True, release_after_job=after)
            case StartProgram():
                return replace(self, programs={**self.programs, order.name: order.job})
            case StopProgram():
                names = dict.fromkeys((*self.stopped, order.name))
                return replace(self, stopped=tuple(names))
            case Repeat():
                return replace(self, repeat=order)
            case Release():
                return replace(self, release=order)
            case Keep():
                return replace(self, kept=True)
