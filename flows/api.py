"""Ebb from Python: ``run`` a program, or hold a ``cluster`` open for a session of your own.

Imports no Prefect; a run's flow lives in a process of its own, exactly as with ``ebb run``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from ebbtide.flows.cli.notebook import screen_for_people, session_shown
from ebbtide.flows.cli.runs.viewer import Viewer
from ebbtide.flows.launch import launch
from ebbtide.infra.escaping import html_facts
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.held_programs import Program, checked_program, folder_for, run_on
from ebbtide.infra.lifecycle.once import take_over
from ebbtide.infra.lifecycle.outcome import RunResult, result_of
from ebbtide.infra.lifecycle.provision import session
from ebbtide.infra.lifecycle.steps import Attempt, attempt_of
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.lifecycle.submission import RunRequest, session_request, spec_for
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.extras import connection_to
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.request.keywords import ClusterOptions, RunOptions, documented
from ebbtide.infra.request.program.check import folder_of
from ebbtide.infra.settings import Settings


@documented(RunOptions)
def run(*program: object, **options: Unpack[RunOptions]) -> RunResult:
    """Run a program on a cluster of its own and wait for its end.

    Args:
        program: the program and its arguments: ``run("train.py", "--epochs", "3")``.
        options: as below.

    Returns:
        How it ended, and where its output is; a program that failed raises nothing.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
    """
    argv = tuple(str(word) for word in program)
    settings = settings_here(os.environ, Path.cwd())
    store = open_store(settings)
    spec = spec_for(RunRequest(argv=argv, options=dict(options)), os.environ, Path.cwd())
    spec = runs.begin(store, spec)
    screen = screen_for_people()
    screen.plan(spec)
    flow = launch(settings, store, spec, detach=False)
    viewer = Viewer(settings, store, spec, flow, screen)
    try:
        viewer.follow(lambda: None)
    except KeyboardInterrupt:
        # A notebook's process goes on after it: nothing but this ends the run.
        stop_run(settings, spec.name, Reason.CANCELLED)
        viewer.follow(lambda: None)
        raise
    finally:
        flow.close()
    row = store.run(spec.name)
    assert row is not None
    return result_of(settings, row)


class Cluster:
    """A living cluster, as ``with cluster(...) as c`` yields it."""

    def __init__(self, attempt: Attempt, view: ClusterView, settings: Settings):
        self.name = attempt.spec.name
        """Of its run: ``ebb logs NAME``."""
        self.framework = attempt.spec.cluster.framework
        self.address = view.head_address
        """In the framework's own spelling."""
        self.dashboard = view.dashboard
        """URL for people; ``ebb open NAME`` brings them in."""
        self.environment = dict(view.driver_env)
        """What a program here needs in its environment to connect without arguments; empty where
        only those can that ``run`` starts."""
        self._attempt = attempt
        self._settings = settings
        self._view = view
        self._client: Any = None
        self._open = contextlib.ExitStack()

    @property
    def dashboard_auth(self) -> tuple[str, str] | None:
        """User and password of the dashboard, as HTTP clients take them; None when it is gone."""
        login = self._attempt.platform.login(self._attempt.cluster)
        return (login.user, login.password) if login else None

    @property
    def workers(self) -> int:
        """Workers that have registered with the head."""
        view = self._attempt.platform.observe(self._attempt.cluster)
        return view.workers_joined if view else 0

    @property
    def client(self) -> Any:
        """The framework's own client, connected; made when first asked for.

        Raises:
            ConfigurationError: this framework has none that could connect from here.
        """
        if self._client is None:
            framework, spec = load_framework(self.framework), self._attempt.spec
            way = self._open.enter_context(connection_to(spec, self._settings, self._view))
            connected = framework.client(way.address, way.environment)
            self._client = self._open.enter_context(connected)
        return self._client

    def run(
        self,
        *program: object,
        name: str = "",
        env: Mapping[str, str] | None = None,
        workdir: str | Path | None = None,
    ) -> RunResult:
        """Run a program as a process of its own on this cluster, and wait for its end.

        It ends with the cluster at the latest. Inside a flow that is run again, one that ended well
        is not run again and one that still runs is waited for.

        Args:
            program: the program and its arguments.
            name: of the program on this cluster; its file's when not given.
            env: added to its environment.
            workdir: where it runs; a script's own folder when not given, else the current one.

        Returns:
            How it ended, with its output folder.

        Raises:
            ConfigurationError: when it cannot be run.
            JobError: when it did not end well.
            ProvisioningError: when its cluster was lost below it.
        """
        argv = tuple(str(word) for word in program)
        place = Path(workdir or folder_of(argv) or ".").absolute()
        return self._run(checked_program(argv, name, place, env or {}))

    def _run(self, program: Program) -> RunResult:
        folder = folder_for(self._settings, self.name, program)
        return run_on(self._attempt.for_this_thread(self._settings), folder, program)

    def close_client(self) -> None:
        """Let go of the head before it goes."""
        self._open.close()

    def _is(self) -> str:
        """What is of it now: its workers, or that it has gone."""
        view = self._attempt.platform.observe(self._attempt.cluster)
        if view is None or view.released_at is not None:
            return "released"
        return f"{view.workers_joined} worker{'s' * (view.workers_joined != 1)}"

    def __repr__(self) -> str:
        return f"<ebb cluster {self.name}: {self.framework}, {self._is()}, {self.dashboard}>"

    def _repr_html_(self) -> str:
        """In a notebook."""
        facts = (
            ("address", self.address),
            ("dashboard", f"{self.dashboard} (ebb open {self.name} signs you in)"),
            ("logs", f"ebb logs {self.name} --from head, worker-0, …"),
        )
        return html_facts(f"{self.name} · {self.framework} · {self._is()}", facts)


@contextlib.contextmanager
def cluster(
    framework: str = "dask", *, name: str = "", **options: Unpack[ClusterOptions]
) -> Iterator[Cluster]:
    """Make a cluster for as long as the block lasts; it is released however the block is left.

    Args:
        framework: its name.
        name: of its run; generated when not given.
        options: those of ``ebb run``, with underscores.

    Yields:
        The cluster, with the minimum of its workers registered.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
    """
    settings = settings_here(os.environ, Path.cwd())
    store = open_store(settings)
    asked = {"framework": framework, "name": name or None, **options}
    spec = spec_for(session_request(asked), os.environ, Path.cwd())
    spec = runs.begin(store, spec)
    take_over(store, spec.name, "")
    attempt = attempt_of(settings, store, spec)
    with (
        session_shown(settings, spec),
        session(settings, store, attempt, steps, driver="the session") as view,
    ):
        held = Cluster(attempt, view, settings)
        try:
            yield held
        finally:
            held.close_client()
