"""Real clusters for tests, without Prefect: declared, renewed, and released at the end."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.lifecycle.steps import Attempt, attempt_of
from ebbtide.infra.models.cluster import AutoscalePolicy, ClusterSpec, ClusterView
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec, Limits, RetryPolicy, RunSpec
from ebbtide.infra.models.records import Event, Run
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

MIB = 2**20
TIER = HardwareTier(name="tiny", pool="test", resources=Resources(250, 600 * MIB))
POOL = NodePool(name="test", platform="local", capacity=Resources(4000, 8192 * MIB))
QUICK = AutoscalePolicy(
    min_workers=1, max_workers=4, sync_period_s=0.5, scale_down_window_s=2, target_cpu_percent=300
)
"""Decides twice a second; 300 % of a quarter core, so that importing things is no load."""


def cluster_spec(framework: str = "dask", **more: Any) -> ClusterSpec:
    """A cluster of tiny machines."""
    fixed = {"framework": framework, "tier": TIER, "head_tier": TIER, "pool": POOL}
    return ClusterSpec(**{**fixed, "policy": QUICK, **more})


def run_spec(name: str, cluster: ClusterSpec, program: Path | None = None, **more: Any) -> RunSpec:
    """A run of a program (or of none); ``more``: limits, retry, lease_s, words, env."""
    words, env = more.pop("words", ()), more.pop("env", {})
    job = None
    if program is not None:
        argv = (sys.executable, str(program), *words)
        job = JobSpec(argv=argv, workdir=str(program.parent), env=env, secrets=())
    base = RunSpec(name=RunName(name), platform="local", cluster=cluster, job=job)
    if job is None:
        base = replace(base, env=env)
    settled: dict[str, Any] = {"limits": Limits(), "retry": RetryPolicy(reasons=()), "lease_s": 20}
    return replace(base, **{**settled, **more})


@dataclass(slots=True)
class Stand:
    """A cluster that stands."""

    home: Path
    attempt: Attempt
    view: ClusterView
    ledger: RunStore

    def observe(self) -> ClusterView:
        """What is now."""
        view = self.attempt.platform.observe(self.attempt.cluster)
        assert view is not None
        return view

    def messages(self, kind: str) -> list[str]:
        """What was recorded of one kind."""
        events = self.ledger.events(self.attempt.spec.name)
        return [event.message for event in events if event.kind == kind]


@contextlib.contextmanager
def standing(home: Path, spec: RunSpec, *, autoscale: bool = True) -> Iterator[Stand]:
    """Steps 1 to 5, the block, then step 7."""
    with standing_at(Settings(home=home), spec, autoscale=autoscale) as found:
        yield found


@contextlib.contextmanager
def standing_at(settings: Settings, spec: RunSpec, *, autoscale: bool = True) -> Iterator[Stand]:
    """The same, of an installation that may use another place than this machine."""
    ledger = open_store(settings)
    runs.begin(ledger, spec)
    attempt = attempt_of(settings, ledger, spec)
    with Heartbeat(settings, spec.platform, attempt.cluster, spec.lease_s):
        try:
            steps.request_hardware_tier(attempt)
            steps.wait_for_nodes(attempt)
            steps.start_head(attempt)
            view = steps.start_workers(attempt)
            if autoscale:
                view = steps.attach_autoscaler(attempt)
            yield Stand(settings.home, attempt, view, ledger)
        finally:
            steps.tear_down(attempt, None)
            ledger.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: Path
    error: EbbError | None
    run: Run
    events: list[Event]

    def output(self) -> str:
        """What the program printed."""
        return (self.folder / "stdout.log").read_text()

    def errors(self) -> str:
        """What to read when it went wrong."""
        logs = sorted(self.folder.glob("*.log"))
        tails = (f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
        return "\n".join([f"{self.error}", *tails])

    def messages(self, kind: str) -> list[str]:
        """What was recorded of one kind."""
        return [event.message for event in self.events if event.kind == kind]


def carried_out(home: Path, spec: RunSpec) -> Outcome:
    """One run from request to release, in this process and without Prefect."""
    return carried_out_at(Settings(home=home), spec)


def carried_out_at(settings: Settings, spec: RunSpec) -> Outcome:
    """The same, of an installation that may use another place than this machine."""
    store = open_store(settings)
    runs.begin(store, spec)
    error = None
    try:
        carry_out(settings, store, spec, steps)
    except EbbError as caught:
        error = caught
    run = store.run(spec.name)
    assert run is not None
    events = store.events(spec.name)
    store.close()
    return Outcome(settings.run_folder(spec.name), error, run, events)


def script(folder: Path, text: str) -> Path:
    """A user's program."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    return path
