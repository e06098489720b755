"""A reaper that is started while the API server is away: it waits, says so, and does its work."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import KillableFlow, Stage, said
from tests.kubernetes.lab import faults
from tests.kubernetes.lab.place import Lab

_AWAY_S = 60.0


@contextlib.contextmanager
def reaping(stage: Stage, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A reaper of the namespace, as its pod runs it."""
    environment = {
        **os.environ,
        "EBB_HOME": str(stage.folder / "reaper"),
        "EBB_NAMESPACE": stage.settings.namespace,
        "KUBECONFIG": stage.settings.kubeconfig,
    }
    argv = [sys.executable, "-m", "ebbtide.infra.lifecycle.reaping"]
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.long
def test_reaper_that_starts_while_the_server_is_away_waits_for_it(stage: Stage, lab: Lab) -> None:
    spec = stage.counts("orphan", 600)
    flow = KillableFlow(stage, spec)
    wait_until(lambda: "begun" in said(stage, spec), 90, "its program runs")
    flow.kill()
    log = stage.folder / "reaper.log"

    def tells(words: str) -> Callable[[], bool]:
        return lambda: words in log.read_text()

    with contextlib.ExitStack() as running:
        with faults.refused(lab):
            reaper = running.enter_context(reaping(stage, log))
            wait_until(tells("tried again in 40s"), _AWAY_S, "its pauses grow")
            assert reaper.poll() is None
        wait_until(lambda: stage.left() == [], 90, "nothing is left")
        wait_until(tells("orphan-1: nobody renews its Lease; released"), 10, "it says so")
        wait_until(tells("runs are looked at again"), 60, "it goes on")
        assert "Traceback" not in log.read_text()
    last: Cluster | None = stage.store().cluster(ClusterId(f"{spec.name}-1"))
    assert last is not None
    assert (last.released_by, last.release_reason) == ("reaper", Reason.LEASE_LAPSED)
