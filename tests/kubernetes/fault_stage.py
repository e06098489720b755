"""Runs on the lab's real node, driven by this process or by one that may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.provision import SevenSteps
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held
from ebbtide.infra.platforms.kubernetes.kinds import POD, Kind, Object
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s
from tests.clusters import MIB, QUICK, cluster_spec, run_spec, script
from tests.helpers import wait_until

COUNTS = """
    import os, pathlib, sys, time
    print("begun", flush=True)
    pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "kept.txt").write_text("kept")
    until, number = time.monotonic() + float(sys.argv[1]), 0
    while time.monotonic() < until:
        print(number, flush=True)
        number += 1
        time.sleep(0.25)
    print("done", flush=True)
    """
"""Counts for so many seconds, and leaves a file."""
_END_S = 150.0
Hook = Callable[[], object]
ONCE_MORE = RetryPolicy(reasons=("infra", "job"), attempts=1, replacements=1)


@dataclass(frozen=True, slots=True)
class Stage:
    """A namespace, and where the runs in it are driven from."""

    settings: Settings
    pool: NodePool
    folder: Path
    api: Api
    """The administrator's, for looking and for faults."""

    def counts(self, name: str, seconds: float, framework: str = "none", **more: Any) -> RunSpec:
        """A run of the program that counts."""
        return self.runs(name, COUNTS, framework, words=(str(seconds),), **more)

    def runs(self, name: str, program: str, framework: str = "none", **more: Any) -> RunSpec:
        """A run of a program; ``more`` as for ``run_spec``, ``cpu_millis``, ``policy``."""
        small = Resources(more.pop("cpu_millis", 100), (400 if framework == "dask" else 128) * MIB)
        tier = HardwareTier(name="tiny", pool=self.pool.name, resources=small, drain_budget_s=5)
        fixed = {"pool": self.pool, "tier": tier, "head_tier": tier}
        cluster = cluster_spec(framework, **fixed, policy=more.pop("policy", QUICK))
        settled = {"lease_s": 6, **more}
        spec = run_spec(name, cluster, script(self.folder, program), **settled)
        return replace(spec, platform="kubernetes")

    def pod(self, name: str) -> Object | None:
        """A pod as it is now."""
        return self.api.get(POD, name)

    def evict(self, pod: str) -> None:
        """As the drain of its node does."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.api.namespace},
        }
        path = POD.path(self.api.namespace, pod, "eviction")
        self.api.ask(Request(method="POST", path=path, body=eviction))

    def with_kubeconfig(self, file: Path) -> Stage:
        """The same, where runs reach the API server in another way."""
        return replace(self, settings=replace(self.settings, kubeconfig=str(file)))

    def in_namespace(self, there: Api) -> Stage:
        """The same in another namespace."""
        settings = replace(self.settings, namespace=there.namespace)
        return replace(self, settings=settings, api=there)

    def store(self) -> KubernetesStore:
        """The records, as the administrator reads them."""
        return KubernetesStore(self.api, Ledger(self.settings.home))

    def left(self) -> list[str]:
        """What is held in the namespace by any cluster."""
        return [f"{one.role} {one.name}" for one in held(self.api, None, wall_s())]

    def find(self, kind: Kind, name: str) -> Object | None:
        """One object."""
        return self.api.get(kind, name)


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known of a run that has ended."""

    error: EbbError | None
    run: Run | None
    events: list[Event]
    stdout: str
    files: dict[str, str]

    @property
    def reason(self) -> Reason | None:
        """Why it ended; None: it succeeded."""
        return self.error.reason if self.error is not None else None

    @property
    def attempts(self) -> list[Reason | None]:
        """Why attempts failed that were followed by another."""
        return [event.reason for event in self.events if event.kind is EventKind.ATTEMPT]

    @property
    def started(self) -> int:
        """How often a program has been seen to start."""
        return sum(event.kind is EventKind.JOB_STARTED for event in self.events)

    def warnings(self, word: str) -> list[str]:
        """What the user was warned of, with this word in it."""
        found = [event.message for event in self.events if event.kind is EventKind.WARNING]
        return [message for message in found if word in message]

    def counted_once(self) -> bool:
        """Whether the output of ``COUNTS`` is whole, and that of one program only."""
        first, *numbers, last = self.stdout.splitlines()
        return (first, last) == ("begun", "done") and numbers == [*map(str, range(len(numbers)))]


class Flow:
    """A run that a thread of this process drives."""

    def __init__(self, stage: Stage, spec: RunSpec, at: Mapping[Step, Hook] | None = None):
        """``at``: what happens when it comes to a step, before that begins."""
        self._stage, self.spec, self._at = stage, spec, at or {}
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._thread.start()

    @property
    def cluster(self) -> ClusterId:
        """Its first."""
        return ClusterId(f"{self.spec.name}-1")

    @property
    def driver(self) -> str:
        """The pod of its program."""
        return f"{self.cluster}-driver"

    def says(self, word: str, timeout_s: float = 90) -> None:
        """Wait until its output, as it has come here, has this line."""
        wait_until(lambda: self._raised or word in said(self._stage, self.spec), timeout_s, word)
        assert not self._raised, f"it ended: {self._raised}"

    def reaches(self, what: Callable[[], object], why: str, timeout_s: float = 60) -> None:
        """Wait for something else of it."""
        wait_until(lambda: self._raised or what(), timeout_s, why)
        assert not self._raised, f"it ended: {self._raised}"

    def told(self, word: str) -> list[str]:
        """What the user has been warned of until now, with this word in it."""
        return ended(self._stage, self.spec, None).warnings(word)

    def ended(self, timeout_s: float = _END_S) -> Ended:
        """Wait for its end."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "it goes on"
        (error,) = self._raised or (None,)
        assert error is None or isinstance(error, EbbError), error
        return ended(self._stage, self.spec, error)

    def _drive(self) -> None:
        try:
            drive(self._stage.settings, self.spec, _arranged(self._at))
        except BaseException as error:
            self._raised.append(error)


def _arranged(at: Mapping[Step, Hook]) -> SevenSteps:
    """The seven steps, each with what happens when it begins."""

    def step(name: Step) -> Callable[..., Any]:
        def begun(attempt: steps.Attempt, *more: Any) -> Any:
            at.get(name, lambda: None)()
            return getattr(steps, name)(attempt, *more)

        return begun

    arranged: Any = SimpleNamespace(**{name.value: step(name) for name in Step})
    found: SevenSteps = arranged
    return found


def drive(settings: Settings, spec: RunSpec, seven: SevenSteps = steps) -> None:
    """Begin a run, or take it over, and carry it out."""
    store = open_store(settings)
    if store.run(spec.name) is None:
        runs.begin(store, spec)
    store.register_flow_process(spec.name, this_process(), None)
    carry_out(settings, store, spec, seven)


class KillableFlow:
    """A run that a process of its own drives."""

    def __init__(self, stage: Stage, spec: RunSpec, dies_at: str = ""):
        """``dies_at``: the step at which it is killed; empty: none."""
        file = stage.folder / f"{spec.name}.json"
        file.write_text(to_json(spec))
        place = stage.settings
        environment = {
            **os.environ,
            "EBB_HOME": str(place.home),
            "EBB_NAMESPACE": place.namespace,
            "KUBECONFIG": place.kubeconfig,
        }
        argv = [sys.executable, "-m", "tests.kubernetes.die_at", str(file), dies_at]
        self._process = subprocess.Popen([*filter(None, argv)], env=environment)

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait(10)

    def ended(self, timeout_s: float) -> int:
        """Wait for its end; returns its exit code."""
        return self._process.wait(timeout_s)


def said(stage: Stage, spec: RunSpec) -> str:
    """What has come here of the program's output."""
    log = stage.settings.run_folder(spec.name) / "stdout.log"
    return log.read_text() if log.exists() else ""


def ended(stage: Stage, spec: RunSpec, error: EbbError | None) -> Ended:
    """Everything that a run has left; read by the administrator."""
    store = stage.store()
    output = stage.settings.run_folder(spec.name) / "output"
    name = RunName(spec.name)
    return Ended(
        error=error,
        run=store.run(name),
        events=store.events(name),
        stdout=said(stage, spec),
        files={path.name: path.read_text() for path in output.glob("*")},
    )
