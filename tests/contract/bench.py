"""One run on one platform, for what every platform promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.lifecycle.steps import Attempt, attempt_of
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.base import Platform, load_platform
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec, script
from tests.helpers import wait_until

CLUSTER = ClusterId("contract-1")
PATIENCE_S = 90.0
PROGRAM = """
    import sys, threading
    print("x", end="", flush=True)
    threading.Event().wait(float(sys.argv[1]))
    """


def waiting_run(folder: Path, platform: str, framework: str = "none") -> RunSpec:
    """Of a program that says ``x`` and then waits for so many seconds."""
    spec = run_spec("contract", cluster_spec(framework), script(folder, PROGRAM), words=("60",))
    return replace(spec, platform=platform)


class Bench:
    """One run on one platform."""

    def __init__(self, settings: Settings, spec: RunSpec):
        self.settings, self.spec = settings, spec
        self.platform: Platform = load_platform(spec.platform, settings)
        self.store = open_store(settings)

    @property
    def attempt(self) -> Attempt:
        return attempt_of(self.settings, self.store, self.spec)

    def declare(self) -> None:
        assert self.platform.declare(self.spec, 1) == CLUSTER

    def view(self) -> ClusterView:
        found = self.platform.observe(CLUSTER)
        assert found is not None
        return found

    def settled(self) -> ClusterView:
        """The view when nothing goes on any more."""
        while (now := self.platform.watch(CLUSTER, seen := self.view(), 2)) != seen:
            assert now is not None
        return now

    def roles(self) -> list[str]:
        return sorted(held.role for held in self.platform.held(CLUSTER))

    def said(self, source: str) -> bytes:
        """What a program has printed to stdout."""
        with contextlib.suppress(ConfigurationError):  # it has not begun
            return b"".join(self.platform.logs(self.spec.name, source)["stdout"].pieces())
        return b""

    def stand(self) -> None:
        """Declared and ready for a program."""
        self.declare()
        steps.start_workers(self.attempt)
        steps.attach_autoscaler(self.attempt)

    def run_to_the_end(self, program: Path) -> None:
        """Another program than the spec's; its end is the cluster's."""
        assert self.spec.job is not None
        argv = (self.spec.job.argv[0], str(program))
        self.spec = replace(self.spec, job=replace(self.spec.job, argv=argv))
        self.stand()
        self.platform.start_job(CLUSTER, then_release=True)
        wait_until(lambda: self.view().released_at, PATIENCE_S, "released")

    def others(self) -> AbstractContextManager[None]:
        """Whoever else looks after clusters here while the block lasts."""
        return contextlib.nullcontext()


@contextlib.contextmanager
def at_work(bench: Bench) -> Iterator[Bench]:
    """With its run begun and its lease renewed; released at the end."""
    runs.begin(bench.store, bench.spec)
    with Heartbeat(bench.settings, bench.spec.platform, CLUSTER, bench.spec.lease_s):
        yield bench
        bench.platform.release(CLUSTER, None)
        wait_until(lambda: not bench.platform.held(CLUSTER), PATIENCE_S, "released")
    bench.store.close()
