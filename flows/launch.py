"""Starting a run: the ledger row, the cluster, and the flow process that records and watches it.

Imports no Prefect. The cluster and the program are ordered at once, so that nothing waits for
Prefect to be imported or its server to start: the flow's tasks then adopt what is there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.base import Platform, load_platform
from ebbtide.infra.platforms.extras import Departure, FlowMaker
from ebbtide.infra.policy.tiers import next_of
from ebbtide.infra.processes.environment import our_environment
from ebbtide.infra.processes.starting import Ours
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

BEGIN = b"begin\n"
"""Written to a flow's standard input when its first cluster is declared."""
KEEP = b"keep\n"
"""Written to it before letting go of it: the run goes on without us."""


def launch(settings: Settings, store: RunStore, spec: RunSpec, *, detach: bool) -> Flow:
    """Declare the first cluster of a run that has begun, while its flow process starts.

    Args:
        settings: of this installation.
        store: the store that has the run, open in this thread.
        spec: checked, and written down by ``infra.records.runs.begin``.
        detach: whether the run goes on when the caller ends; otherwise it is stopped then.

    Returns:
        The flow process.

    Raises:
        EbbError: the run cannot be started. The error names the run, and says whether the run has
            ended with it and all that was made is released.
    """
    platform, flow = load_platform(spec.platform, settings, store), None
    try:
        flow = Flow(settings, spec.name)  # it imports meanwhile, and waits to be told
        _declare_first(platform, spec)
        flow.begin()
        if detach:
            flow.let_go()
    except BaseException as failure:
        error = runs.launch_error(failure)
        error.run = spec.name
        left = True
        with contextlib.suppress(EbbError):
            left = any([platform.sweep(cluster) for cluster in platform.clusters(spec.name)])
        with contextlib.suppress(EbbError):
            runs.end(store, spec.name, error, error.exit_code)
            error.released = not left
        if flow is not None:
            flow.close()  # it finds a run that is over
        if error is failure or not isinstance(failure, Exception):
            raise
        raise error from failure
    return flow


def _declare_first(platform: Platform, spec: RunSpec) -> None:
    """Order the first cluster; where its tier is refused, the flow goes on with the next."""
    try:
        cluster = platform.declare(spec, 1)
        platform.start_job(cluster, then_release=True)  # it is what is waited for
        platform.attach_autoscaler(cluster)
    except EbbError as error:
        if next_of(spec, error) is None:
            raise


def leave(
    store: RunStore,
    away: Departure,
    run: RunName,
    waits: Callable[[str], bool],
    maker: FlowMaker | None = None,
) -> None:
    """Hand a run that has begun over to a flow that does not need this machine.

    Args:
        store: with the run.
        away: how it leaves.
        run: its name.
        waits: takes what is waited for; whether the person who waits still does.
        maker: who makes the flow's Job; None: the platform does.

    Raises:
        EbbError: the flow did not come. The error names the run, and says whether nothing is left.
    """
    try:
        away.hand_over(store, run, waits, maker)
    except EbbError as error:
        error.run = run
        with contextlib.suppress(EbbError):
            error.released = not store.living_clusters(run)
        raise


class Flow:
    """The flow process of a run, as the process that started it sees it."""

    def __init__(self, settings: Settings, run: RunName):
        process = Ours(
            module="ebbtide.flows.flow_process",
            arguments=(run,),
            environment={**our_environment(os.environ), **settings.variables},
            log=private_folder(settings.home, "runs", run) / "flow.log",
            cwd=Path.cwd(),
        )
        self._process = process.start(stdin=subprocess.PIPE)

    @property
    def pid(self) -> int:
        """The process id of the flow process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the flow process has ended."""
        return self._process.poll() is not None

    def begin(self) -> None:
        """Tell the flow process that its first cluster is declared."""
        self._tell(BEGIN)

    def let_go(self) -> None:
        """Tell the flow process that the run goes on when this process ends, and close the pipe."""
        self._tell(KEEP)
        self.close()

    def _tell(self, word: bytes) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:  # it was let go
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(word)
            self._process.stdin.flush()

    def close(self) -> None:
        """Close the pipe to the flow process: a run that was not let go and goes on is stopped."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
