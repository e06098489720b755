"""A cluster that a flow holds for several programs: adopted or replaced when the flow runs again.

A suspended flow is not there to want its cluster, so it is released and made anew on resume, unless
``keep_while_suspended`` says how long its lease shall last without it; that works once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import Pause

from flows.api import Cluster
from flows.authoring.held_programs import Program, done_before, folder_for, result_in
from flows.authoring.identity import cluster_key, root_flow_run, workdir_of
from flows.authoring.parallel import stoppable
from infra.errors import (
    ConfigurationError,
    EbbError,
    JobError,
    Problem,
    ReleaseError,
    error_for,
)
from infra.lifecycle import steps as plain
from infra.lifecycle.heartbeat import Heartbeat
from infra.lifecycle.once import begin, take_over
from infra.lifecycle.outcome import RunResult
from infra.lifecycle.steps import Scene
from infra.lifecycle.stop import stop_run
from infra.lifecycle.submission import Request
from infra.models.codec import from_json
from infra.models.job import JobSpec, RunSpec
from infra.models.phases import Reason
from infra.models.resources import format_duration, parse_duration_s
from infra.platforms.base import load_platform
from infra.records import runs
from infra.records.ledger import Ledger
from infra.request.program_check import check_program
from infra.settings import Settings, load_settings
from tasks import steps

_LONGEST_KEEP_S = 12 * 3600.0


class Held:
    """A living cluster, as ``with cluster(...) as held`` gives it inside a flow."""

    def __init__(self, cluster: Cluster, scene: Scene, settings: Settings, key: str):
        self.name = scene.spec.name
        """Of its run: ``ebb logs NAME``."""
        self.address = cluster.address
        """In the framework's own spelling."""
        self.dashboard = cluster.dashboard
        """URL for people."""
        self._cluster = cluster
        self._scene = scene
        self._settings = settings
        self._key = key

    @property
    def workers(self) -> int:
        """Workers that have registered with the head."""
        return self._cluster.workers

    @property
    def client(self) -> Any:
        """The framework's own client in the flow's process, connected when first asked for."""
        return self._cluster.client

    def run(
        self,
        *program: object,
        name: str = "",
        env: dict[str, str] | None = None,
        workdir: str | Path | None = None,
    ) -> RunResult:
        """Run a program as a process of its own on this cluster, and wait for its end.

        It ends with the cluster at the latest, also when the flow is killed. When the flow is run
        again, one that ended well is not run again and one that still runs is waited for.

        Args:
            program: the program and its arguments.
            name: of the program in this flow; its file's when not given.
            env: added to its environment.
            workdir: where it runs; its own folder when not given.

        Raises:
            ConfigurationError: when it cannot be run.
            JobError: when it did not end well.
            ProvisioningError: when its cluster was lost below it.
        """
        words = tuple(str(word) for word in program)
        place = Path(workdir or workdir_of(words) or ".").absolute()
        argv, problems = check_program(words, place)
        if not problems and "/" in name:
            summary = f"{name!r} is no name: its folder is named like the program"
            problems = [Problem(Reason.OPTION_INVALID, summary, "leave out the /")]
        if problems:
            raise ConfigurationError(problems)
        job = JobSpec(argv=argv, workdir=str(place), env=env or {})
        label = name or Path(words[0]).stem
        run = _run_program.with_options(task_run_name=label)
        return run(self._scene, self._settings, self._key, Program(label, job))

    def __repr__(self) -> str:
        return f"<ebb {self._cluster!r}>"


@contextlib.contextmanager
def cluster(
    framework: str = "dask",
    *,
    name: str = "cluster",
    keep_while_suspended: str | None = None,
    **options: Any,
) -> Iterator[Held]:
    """A cluster for the programs of one flow; released when the block is left, however it is left.

    Args:
        framework: its name.
        name: tells it apart from other clusters of the same flow.
        keep_while_suspended: such as ``"30m"``: a suspended flow keeps it for so long (12 h at
            most), once; else it is released and made anew on resume. A flow that is merely paused
            stays in its process and keeps its cluster in any case.
        options: those of ``ebb run``, with underscores.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
    """
    keep_s = _keep_s(keep_while_suspended)
    key = cluster_key(name)
    settings = load_settings()
    ledger = Ledger(settings.home)
    asked = {"framework": framework, **options}
    spec = _adopted(settings, ledger, key)
    spec = spec or begin(ledger, Request(words=None, options=asked), key=key)
    take_over(ledger, spec.name, root_flow_run())
    scene = _scene(settings, spec)
    lease = partial(_keep, ledger, scene, key, keep_s)
    with (
        stoppable(partial(stop_run, settings, spec.name, Reason.CANCELLED)),
        Heartbeat(settings, spec.platform, scene.cluster, spec.lease_s),
        _released(ledger, scene, lease),
    ):
        connected = _stand(ledger, scene)
        try:
            yield Held(connected, scene, settings, key)
        finally:
            connected.close_client()


def _stand(ledger: Ledger, scene: Scene) -> Cluster:
    """Steps 1 to 5, seen in the UI as tasks of the flow."""
    steps.request_hardware_tier(scene)
    ledger.relet(scene.cluster, scene.spec.lease_s)  # an adopted one may have been kept for longer
    steps.wait_for_nodes(scene)
    steps.start_head(scene)
    steps.start_workers(scene)
    steps.attach_autoscaler(scene)
    view = scene.platform.observe(scene.cluster)
    assert view is not None
    return Cluster(scene.spec, view, scene.platform)


def _adopted(settings: Settings, ledger: Ledger, key: str) -> RunSpec | None:
    """What an earlier process of the same flow run left standing. What is broken is released."""
    row = ledger.run_of(key)
    if row is None or row["ended"] is not None:
        return None
    spec = from_json(RunSpec, row["spec"])
    scene = _scene(settings, spec)
    view = scene.platform.observe(scene.cluster)
    if view is None or (view.released_at is None and view.failure is None):
        return spec
    lost = runs.cluster_error(view) or error_for(Reason.FLOW_LOST)
    plain.tear_down(scene, lost.reason)
    runs.end(ledger, spec.name, lost, lost.exit_code)
    return None


def _scene(settings: Settings, spec: RunSpec) -> Scene:
    platform = load_platform(spec.platform, settings)
    return Scene(platform=platform, spec=spec, cluster=runs.cluster_id(spec.name, 1), attempt=1)


@contextlib.contextmanager
def _released(ledger: Ledger, scene: Scene, keep: Callable[[], bool]) -> Iterator[None]:
    """Release and record the end, whatever it was; a suspension may keep the cluster instead."""
    error: EbbError | None = None
    kept = False
    try:
        yield
    except Pause:
        kept = keep()
        raise
    except EbbError as failure:
        error = failure
        raise
    except Exception as failure:
        error = error_for(Reason.EXIT_CODE, detail=f"the flow raised {failure!r}"[:300])
        raise
    except BaseException:
        error = error_for(Reason.CANCELLED)
        raise
    finally:
        if not kept:
            try:
                _tear_down(scene, error.reason if error else None)
            finally:
                runs.end(ledger, scene.spec.name, error, error.exit_code if error else 0)


def _tear_down(scene: Scene, reason: Reason | None) -> None:
    """As a task, so that it is seen; where Prefect refuses (a suspension, no server), without."""
    try:
        steps.tear_down(scene, reason)
    except ReleaseError:
        raise
    except BaseException:
        plain.tear_down(scene, reason)


def _keep(ledger: Ledger, scene: Scene, key: str, keep_s: float | None) -> bool:
    """Let the lease last while the flow is suspended. Gives whether the cluster stays."""
    if keep_s is None or _kept_before(ledger, key):
        words = "released: its flow is suspended; it is made anew on resume"
        ledger.emit(scene.spec.name, "note", words, cluster=scene.cluster)
        return False
    stays = ledger.relet(scene.cluster, keep_s, kept=True)
    words = f"kept for {format_duration(keep_s)} at most: its flow is suspended"
    ledger.emit(scene.spec.name, "note", words, cluster=scene.cluster)
    return stays


def _kept_before(ledger: Ledger, key: str) -> bool:
    rows = ledger.rows(
        "SELECT c.orders FROM clusters c JOIN runs r ON r.name = c.run WHERE r.job_key = ?", key
    )
    return any(json.loads(row["orders"]).get("kept") for row in rows)


def _keep_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return min(parse_duration_s(text), _LONGEST_KEEP_S)
    except ValueError as error:
        wrong, _, hint = str(error).partition("; ")
        summary = f"keep_while_suspended: {wrong}"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)]) from error


@task(name="run_program", cache_policy=NO_CACHE, persist_result=False)
def _run_program(scene: Scene, settings: Settings, key: str, program: Program) -> RunResult:
    ledger = Ledger(settings.home)
    done = done_before(settings, ledger, key, program)
    ledger.close()
    if done is not None:
        get_run_logger().info("done before: %s", done.run)
        return done
    own = _scene(settings, scene.spec)  # a ledger is not shared between threads
    folder = folder_for(settings, scene.spec.name, program)
    with stoppable(partial(_stop_program, settings, scene, folder.name)):
        try:
            plain.run_program(own, folder.name, program.job)
        except JobError as error:
            raise _named(error, f"{scene.spec.name}/{folder.name}") from error
    return result_in(folder, scene.spec.name)


def _named(error: JobError, program: str) -> JobError:
    """One of several programs: the reader must know which."""
    return JobError(
        error.reason,
        f"{program}: {error.summary}",
        detail=error.detail,
        hint=f"ebb logs {program}",
        program_exit_code=error.program_exit_code,
    )


def _stop_program(settings: Settings, scene: Scene, name: str) -> None:
    _scene(settings, scene.spec).platform.stop_program(scene.cluster, name)
