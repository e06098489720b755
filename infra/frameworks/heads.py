"""How a head tells where it answers (a file), and how it is asked for its figures (HTTP).

Dask's head does the same by its own server; see there.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, WorkerStatus
from ebbtide.infra.frameworks.direct import DIRECT
from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.models.codec import from_data
from ebbtide.infra.models.demand import DemandFigures

_ANSWER_TIMEOUT_S = 1.0
STATUS_PATH = "/ebb/status"


def published(head_file: Path, secrets: Path) -> HeadInfo | None:
    """The head once it has answered in its own protocol and said where; None before.

    Cheap. Both paths are as the caller sees them.
    """
    try:
        found = json.loads(head_file.read_text())
        return HeadInfo(**found, secret=read_secret(secrets))
    except FileNotFoundError:
        return None


def ask_status(head: HeadInfo) -> FrameworkStatus | None:
    """The head's answer; None when there is none within a second."""
    question = urllib.request.Request(
        head.status_url, headers={"Authorization": basic(head.secret)}
    )
    try:
        with DIRECT.open(question, timeout=_ANSWER_TIMEOUT_S) as answer:
            data = json.load(answer)
    except (OSError, ValueError):
        return None
    workers = {name: WorkerStatus(**worker) for name, worker in data["workers"].items()}
    return FrameworkStatus(
        workers=workers,
        running=data["running"],
        queued=data["queued"],
        finished=data.get("finished"),
        killed_for_memory=data.get("killed_for_memory", 0),
        demand=from_data(DemandFigures, data.get("demand", {})),
    )


def publish(head_file: Path, *, address: str, front: str, imported_at: float | None = None) -> None:
    """Write where this head answers, all at once.

    Args:
        head_file: where.
        address: in the framework's own spelling.
        front: the URL of its front, without a path.
        imported_at: when its process had imported what it is made of (Unix time, seconds).
    """
    text = head_file_text(address=address, front=front, imported_at=imported_at)
    write_whole(head_file, text)


def head_file_text(*, address: str, front: str, imported_at: float | None = None) -> str:
    """The content of a head file, for a head that is there or one that will be.

    Args:
        address: in the framework's own spelling.
        front: the URL of its front, without a path.
        imported_at: when its process had imported what it is made of (Unix time, seconds).

    Returns:
        JSON; without the secret, which those who may know it have already.
    """
    told = {"address": address, "dashboard": front, "status_url": front + STATUS_PATH}
    return json.dumps(told if imported_at is None else {**told, "imported_at": imported_at})
