"""Which logs and files of a run there are for a machine on which it was not begun."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.kept import KeptFile, KeptKind
from ebbtide.infra.files.tails import Tail
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, Run
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.base import LogStream
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import Ends, read_ends
from ebbtide.infra.platforms.kubernetes.elsewhere.streams import Copies, Held, MemberLog
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.naming import (
    driver_name,
    program_name,
    selector,
)
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    HEAD,
    head_of,
    leaving,
    main_name,
)
from ebbtide.infra.platforms.run_folder import JOB, log_files
from ebbtide.infra.records.opening import reserved_here
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_STREAMS = ("stdout", "stderr")


def is_elsewhere(settings: Settings, run: Run) -> bool:
    """Whether what a run leaves is brought to another machine, or another installation, than this.

    Args:
        settings: of this installation.
        run: as the records know it.

    Returns:
        Whether it is to be looked for at the API server.
    """
    if run.flow_process is not None and run.flow_process.machine:
        return True
    folder = settings.run_folder(run.name)
    if run.over:
        return not any(folder.glob("*.log"))
    return not (reserved_here(settings, run.name) or folder.is_dir())


def logs_elsewhere(api: Api, store: RunStore, run: Run, source: str) -> Mapping[str, LogStream]:
    """Open a log of a run that was begun elsewhere; see ``Platform.logs``.

    Args:
        api: of its namespace.
        store: with the run.
        run: which.
        source: as ``Platform.logs`` takes it.

    Returns:
        Its streams.

    Raises:
        ConfigurationError: OPTION_INVALID, there is no such source, or not here.
        ApiError: the API server refused, or was away for too long.
    """
    cluster = store.last_cluster(run.name)
    if cluster is not None and cluster.released:
        return held_logs(read_ends(api, run.name), run.name, source)
    if cluster is None:
        if source == JOB and not run.over:
            return Copies(api, driver_name(ClusterId(f"{run.name}-{run.attempt}"))).streams()
        return _nothing(source, ())
    pods = _pods(api, cluster)
    if source == JOB:
        return Copies(api, driver_name(cluster.id)).streams()
    if source in _programs(cluster):
        return Copies(api, program_name(cluster.id, source)).streams()
    if source in pods:
        pod, container = pods[source]
        return {"text": MemberLog(api, pod, container)}
    return _nothing(source, (JOB, *_programs(cluster), *pods))


def logs_here(
    api: Api, store: RunStore, settings: Settings, run: RunName, source: str
) -> Mapping[str, LogStream]:
    """Open a log of a run whose logs are brought to this machine; see ``Platform.logs``.

    Args:
        api: of its namespace.
        store: with the run.
        settings: of this installation.
        run: its name.
        source: as ``Platform.logs`` takes it.

    Returns:
        Its streams: of a member that stays its pod's log, which is brought when it leaves.

    Raises:
        ConfigurationError: OPTION_INVALID, there is no such source.
    """
    folder = settings.run_folder(run)
    cluster = store.last_cluster(run) if _is_member(source) else None
    if cluster is not None and not cluster.released:
        found: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(ApiError):  # what is here can be read all the same
            found = _pods(api, cluster, staying=True)
        if source in found:
            path = folder / f"{source}.log"
            return {"text": MemberLog(api, *found[source], path if path.exists() else None)}
    return {name: Tail(path) for name, path in log_files(folder, source).items()}


def kept_elsewhere(api: Api, store: RunStore, run: Run) -> tuple[KeptFile, ...]:
    """List what a run that was begun elsewhere leaves; see ``Platform.kept``.

    Args:
        api: of its namespace.
        store: with the run.
        run: which.

    Returns:
        What its pods print while they live, without sizes; then what the records name.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    cluster = store.last_cluster(run.name)
    if cluster is None:
        return ()
    if cluster.released:
        ends = read_ends(api, run.name)
        return ends.files if ends is not None else ()
    pods = _pods(api, cluster)
    driver = driver_name(cluster.id)
    streams = [_living(name, KeptKind.PROGRAM, driver) for name in _STREAMS]
    return (*streams, *(_living(name, KeptKind.LOG, pod) for name, (pod, _) in pods.items()))


def held_logs(ends: Ends | None, run: RunName, source: str) -> Mapping[str, LogStream]:
    """Open a log of a run that has been released.

    Args:
        ends: what its records know; None: nothing.
        run: its name.
        source: as ``Platform.logs`` takes it.

    Returns:
        Its streams; what is missing of them is said in a first line.

    Raises:
        ConfigurationError: OPTION_INVALID, there is no such source, or it is not in the records.
    """
    if ends is None:
        if source != JOB:
            return _nothing(source, (JOB,))
        told = f"… what {run} printed is not in its records: nobody was there to bring it\n"
        return {"stdout": Held(told.encode()), "stderr": Held(b"")}
    if source == JOB:
        return {name: _end(ends, name) for name in _STREAMS}
    streams = {name: f"{source}/{name}" for name in _STREAMS}
    names = {file.name for file in ends.files}
    if names & set(streams.values()):
        return {stream: _end(ends, name) for stream, name in streams.items()}
    if source in names and source not in ends.texts:
        summary = f"of {source} nothing is in the records of {run}"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, f"it is {ends.where}")])
    if source in names:
        return {"text": _end(ends, source)}
    return _nothing(source, (JOB, *ends.texts))


def _end(ends: Ends, name: str) -> Held:
    """What is held of a file, with a line that says what is not."""
    text = ends.texts.get(name, b"")
    size = next((file.bytes_ for file in ends.files if file.name == name), 0)
    missing = size - len(text)
    if missing <= 0:
        return Held(text)
    told = f"… {format_memory(missing)} are not here: the whole output is {ends.where}\n"
    return Held(told.encode() + text)


def _nothing(source: str, there: tuple[str, ...]) -> Mapping[str, LogStream]:
    """No such source; a program that is still to come prints nothing yet."""
    if source == JOB:
        return {name: Held(b"") for name in _STREAMS}
    otherwise = f"there are {', '.join(there)}" if there else "it has no cluster yet"
    hint = did_you_mean(source, there, otherwise=otherwise)
    summary = f"there is no log {source!r}"
    raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])


def _is_member(source: str) -> bool:
    return source == HEAD or source.startswith("worker-")


def _pods(api: Api, cluster: Cluster, *, staying: bool = False) -> dict[str, tuple[str, str]]:
    """Head and workers that are there: the name of each, its pod and the container in it."""
    found = api.list(POD, selector(cluster.id)).items
    found = [pod for pod in found if not (staying and leaving(pod))]
    mains = {pod["metadata"]["name"]: main_name(pod) for pod in found}
    head = head_of(found)
    pods = {} if head is None else {HEAD: (str(head["metadata"]["name"]), main_name(head))}
    names = cluster.last_view.worker_names
    named = sorted((names[pod], pod) for pod in mains if names.get(pod))
    return pods | {name: (pod, mains[pod]) for name, pod in named}


def _programs(cluster: Cluster) -> tuple[str, ...]:
    return tuple(cluster.orders.programs)


def _living(name: str, kind: KeptKind, pod: str) -> KeptFile:
    return KeptFile(name=name, kind=kind, bytes_=0, changed=wall_s(), path=Path(name), host=pod)
