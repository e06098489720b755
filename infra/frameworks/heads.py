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

_ANSWER_TIMEOUT_S = 1.0
STATUS_PATH = "/ebb/status"
_FILE = "head.json"


def published(folder: Path) -> HeadInfo | None:
    """What the head wrote into the cluster's folder once it had answered."""
    try:
        found = json.loads((folder / _FILE).read_text())
        return HeadInfo(**found, secret=read_secret(folder))
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
    return FrameworkStatus(workers=workers, running=data["running"], queued=data["queued"])


def publish(folder: Path, *, address: str, front_port: int) -> None:
    """Write where this head answers, all at once.

    Args:
        folder: the cluster's folder.
        address: where the framework's clients connect.
        front_port: the port of the front, which serves dashboard and status.
    """
    front = f"http://127.0.0.1:{front_port}"
    ready = {"address": address, "dashboard": front, "status_url": front + STATUS_PATH}
    write_whole(folder / _FILE, json.dumps(ready))
