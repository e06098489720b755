"""How a head tells where it answers (a file), and what the autoscaler wants to know (HTTP).

Dask's head does the same by its own server; see there.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infra.frameworks.base import FrameworkStatus, HeadInfo, WorkerStatus

_ANSWER_TIMEOUT_S = 1.0
_FILE, _PATH = "head.json", "/ebb/status"

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy


def published(folder: Path) -> HeadInfo | None:
    """What the head wrote into the cluster's folder once it had answered."""
    try:
        return HeadInfo(**json.loads((folder / _FILE).read_text()))
    except FileNotFoundError:
        return None


def ask_status(head: HeadInfo) -> FrameworkStatus | None:
    """The head's answer; None when there is none within a second."""
    try:
        with _DIRECT.open(head.status_url, timeout=_ANSWER_TIMEOUT_S) as answer:
            data = json.load(answer)
    except (OSError, ValueError):
        return None
    workers = {name: WorkerStatus(**worker) for name, worker in data["workers"].items()}
    return FrameworkStatus(workers=workers, running=data["running"], queued=data["queued"])


def publish(folder: Path, *, address: str, dashboard: str, status_port: int) -> None:
    """Write where this head answers, all at once."""
    ready = {
        "address": address,
        "dashboard": dashboard,
        "status_url": f"http://127.0.0.1:{status_port}{_PATH}",
    }
    draft = folder / f"{_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(ready))
    draft.rename(folder / _FILE)


def serve_status(answer: Callable[[], dict[str, Any]]) -> int:
    """Give ``answer`` to whoever asks on loopback, from a thread; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        """``GET /ebb/status``: read-only, numbers only."""

        def do_GET(self) -> None:
            """The last answer."""
            body = json.dumps(answer()).encode()
            self.send_response(200 if self.path == _PATH else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not a line for each look."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_port)
