"""What the stack asks Prefect over plain HTTP. Imports no Prefect."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from ebbtide.flows.prefect_server.api import Api


def ask(api: Api, path: str, body: Any = None, *, timeout_s: float = 5.0) -> Any:
    """One request, and its answer read as JSON.

    Raises:
        OSError: it did not answer, or with an error (``urllib.error.HTTPError``).
        ValueError: the answer is no JSON.
    """
    return json.loads(api.call(path, body, timeout_s=timeout_s) or b"null")


def worker_of(api: Api, pool: str, name: str) -> dict[str, Any] | None:
    """A Prefect worker as the server has it: status, last_heartbeat_time; None: never seen.

    Raises:
        OSError, ValueError: as ``ask``.
    """
    found = ask(api, f"work_pools/{urllib.parse.quote(pool)}/workers/filter", {"limit": 200})
    return next((worker for worker in found if worker["name"] == name), None)
