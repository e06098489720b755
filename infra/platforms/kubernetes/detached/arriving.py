"""What the pod of a detached run does before it drives: takes secrets and code, and says so."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import MutableMapping
from pathlib import Path

from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.clusters.holdings import head_pod
from ebbtide.infra.platforms.kubernetes.clusters.packaging import FOLDER
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.detached.job import NOTHING, job_name
from ebbtide.infra.platforms.kubernetes.inside.packages import unpack_verified
from ebbtide.infra.platforms.kubernetes.kinds import JOB, POD, SECRET
from ebbtide.infra.platforms.kubernetes.naming import driver_name
from ebbtide.infra.platforms.kubernetes.reading.snapshot import runs
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, wait_until

SILENCE_S = 30.0
"""Whoever began the run sends its secrets and its code as soon as this pod runs."""
_LONGEST_S = 3600.0
_LONGEST_LOOK_S = 0.25


def take_secrets(settings: Settings, spec: RunSpec, environ: MutableMapping[str, str]) -> bool:
    """Set the variables whose values came from the shell that began the run.

    Args:
        settings: of this pod.
        spec: of the run; it has their names.
        environ: of this process.

    Returns:
        Whether they are there.

    Raises:
        EbbError: the API server refused, or was away for too long.
    """
    if spec.job is None or not spec.job.secrets:
        return True
    api, name = connected(settings), job_name(spec.name)
    with translated("take the run's secrets"):
        found = wait_until(
            lambda: api.get(SECRET, name), timeout_s=SILENCE_S, longest_s=_LONGEST_LOOK_S
        )
    if not found:
        return False
    for each, value in (found.get("data") or {}).items():
        environ[each] = base64.b64decode(value).decode()
    return True


def take_code(settings: Settings, store: RunStore, run: RunName, digest: str) -> bool:
    """Wait until the code has been sent, and unpack it where the pods of a cluster have it too.

    A pod that follows one that was lost with its node brings it back from the cluster.

    Args:
        settings: of this pod.
        store: with the run.
        run: whose code it is.
        digest: of the package; ``NOTHING``: none comes.

    Returns:
        Whether it is there.

    Raises:
        EbbError: the API server refused, or was away for too long.
    """
    if digest == NOTHING:
        return True
    packages, code = Path(layout.PACKAGES), Path(layout.CODE)
    package = packages / digest
    last = store.last_cluster(run)
    if last is None:
        _wait_while_it_comes(package)
    elif not package.is_file():
        _bring_back(connected(settings), last.id, packages)
    if not package.is_file():
        return False
    code.mkdir(exist_ok=True)
    with package.open("rb") as file:
        unpack_verified(file, digest, code)
    link = private_folder(settings.home, "runs", run) / FOLDER
    if not link.is_symlink():
        link.symlink_to(packages)
    return True


def _wait_while_it_comes(package: Path) -> None:
    """Until it is there, or nothing of it has come for a while; a slow line takes its time."""
    seen_bytes, since_s = -1, now_s()

    def come_or_silent() -> bool:
        nonlocal seen_bytes, since_s
        there_bytes = sum(file.stat().st_size for file in package.parent.glob(f"{package.name}*"))
        if there_bytes != seen_bytes:
            seen_bytes, since_s = there_bytes, now_s()
        return package.is_file() or now_s() - since_s > SILENCE_S

    wait_until(come_or_silent, timeout_s=_LONGEST_S, longest_s=_LONGEST_LOOK_S)


def _bring_back(api: Api, cluster: ClusterId, packages: Path) -> None:
    """From the package store of a living cluster; the rest is said by who misses it."""
    for of in (head_pod, lambda _, cluster: driver_name(cluster)):
        with contextlib.suppress(ApiError):
            pod = of(api, cluster)
            if pod and runs(api.get(POD, pod), layout.FILES):
                fetch_folder(api.run, pod, layout.FILES, str(layout.PACKAGES), packages)


def stay(settings: Settings, run: RunName) -> None:
    """Let the Job go on for as long as the run does: it has been taken over.

    Args:
        settings: of this pod.
        run: which.

    Raises:
        EbbError: the API server refused, or was away for too long.
    """
    with translated("go on with the run"):
        connected(settings).merge(JOB, job_name(run), {"spec": {"activeDeadlineSeconds": None}})


def here() -> str:
    """The name of this pod."""
    return os.environ.get("HOSTNAME", "")
