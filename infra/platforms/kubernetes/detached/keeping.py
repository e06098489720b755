"""What a detached run has left: kept in its flow's pod for a while, until somebody fetches it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ebbtide.infra.files.kept import KeptKind
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError, translated
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.detached.job import (
    container_of,
    flow_labels,
    job_name,
)
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import ends_of
from ebbtide.infra.platforms.kubernetes.kinds import JOB, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import DOMAIN, ROLE, RUN
from ebbtide.infra.platforms.kubernetes.reading.snapshot import runs
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from ebbtide.infra.platforms.kubernetes.spelling import unix_time
from ebbtide.infra.platforms.run_folder import kept_files
from ebbtide.infra.records.opening import reserved_here
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import pause, wall_s

KEPT_S = 3600.0
"""So long after the run's end its pod keeps what the records have not."""
KEPT = f"{DOMAIN}/kept"
"""An annotation of the Job: until when and where in the pod, as JSON."""


def keep(settings: Settings, store: RunStore, run: RunName) -> None:
    """Keep what a run that is over has left; returns when that is no longer needed.

    Whoever has fetched it deletes the Job, and this process with it.

    Args:
        settings: of this pod.
        store: with the run.
        run: which.

    Raises:
        EbbError: it could not be told to others, so that nothing is kept.
    """
    folder, api = settings.run_folder(run), connected(settings)
    if not _has_more_than_the_records(folder):
        return
    with translated("say what is kept"):
        job = api.get(JOB, job_name(run))
        told = _told(job) if job is not None else None
        if told is None:  # else this container was started again meanwhile
            told = {"until": wall_s() + KEPT_S, "folder": str(folder)}
            note = {"metadata": {"annotations": {KEPT: json.dumps(told)}}}
            api.merge(JOB, job_name(run), note)
            message = f"its files are kept in its flow's pod until {_clock(told['until'])}: "
            message += f"ebb logs {run} fetches them"
            store.append(Event(run=run, kind=EventKind.NOTE, message=message))
    pause(told["until"] - wall_s())


def fetched(api: Api, settings: Settings, run: Run) -> bool:
    """Bring here what a run has left in its flow's pod, and end that, if it was begun here.

    Args:
        api: of its namespace.
        settings: of this installation, which has nothing of it yet.
        run: which.

    Returns:
        Whether it is here now; False where nothing is kept, or it cannot be had: it stays there.
    """
    with contextlib.suppress(ApiError, OSError):
        return _fetched(api, settings, run)
    return False


def _fetched(api: Api, settings: Settings, run: Run) -> bool:
    job = api.get(JOB, job_name(run.name)) if run.over else None
    told = _told(job) if job is not None else None
    if told is None:
        return False
    for pod in api.list(POD, flow_labels(run.name)).items:
        if runs(pod, container := container_of(pod)):
            draft = private_folder(settings.home, "runs", f".{run.name}-{os.getpid()}")
            fetch_folder(api.run, pod["metadata"]["name"], container, told["folder"], draft)
            shutil.rmtree(settings.run_folder(run.name), ignore_errors=True)
            draft.rename(settings.run_folder(run.name))
            if reserved_here(settings, run.name):
                api.delete(JOB, job_name(run.name), propagation="Background")
            return True
    return False


def held_flows(api: Api, now: float) -> list[HeldResource]:
    """List the flows that live in the namespace, and those that keep what their run has left.

    Args:
        api: of the namespace.
        now: Unix time in seconds, for the age.

    Returns:
        Them; none for who may not see Jobs.

    Raises:
        ApiError: the API server was away for too long.
    """
    try:
        jobs = api.list(JOB, {RUN: "*", ROLE: "flow"}).items
    except ApiError as error:
        if error.status == FORBIDDEN:
            return []
        raise
    return [_as_held(api, job, now) for job in jobs if job.get("status", {}).get("active")]


def _as_held(api: Api, job: Object, now: float) -> HeldResource:
    metadata, told = job["metadata"], _told(job)
    run = metadata["labels"][RUN]
    until = "until its run has ended"
    if told is not None:
        until = f"until {_clock(told['until'])}, with files; ebb logs {run} fetches them"
    return HeldResource(
        cluster=ClusterId(run),
        role="flow",
        name=metadata["name"],
        where=f"job in namespace {api.namespace}",
        age_s=max(0.0, now - unix_time(metadata["creationTimestamp"])),
        until=until,
    )


def _has_more_than_the_records(folder: Path) -> bool:
    """Whether there are files of the program, reports or event logs, or more than is held of it.

    A framework's own logs beside those of its members are not waited for: it has them in any run.
    """
    files = kept_files(folder)
    texts = ends_of(folder, files).texts
    printed = (file for file in files if file.kind is KeptKind.PROGRAM)
    return any(
        file.kind is KeptKind.OUTPUT or (file.kind is KeptKind.ARTIFACT and not file.is_log)
        for file in files
    ) or any(file.bytes_ > len(texts.get(file.name, b"")) for file in printed)


def _told(job: Object) -> dict[str, Any] | None:
    note = (job["metadata"].get("annotations") or {}).get(KEPT)
    return json.loads(note) if note else None


def _clock(at: float) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(at))
