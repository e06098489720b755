"""What the stack asks Prefect over plain HTTP. Imports no Prefect."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from ebbtide.flows.prefect_server.api import Api


def ask(api: Api, path: str, body: Any = None, *, timeout_s: float = 5.0) -> Any:
    """Send one request to Prefect's API and read the answer as JSON.

    Args:
        api: of Prefect's server.
        path: below the API, such as ``work_pools/local``.
        body: sent as JSON by POST; None: a GET without one.
        timeout_s: seconds to wait for the answer.

    Returns:
        The answer; None when its body is empty.

    Raises:
        OSError: it did not answer, or with an error (``urllib.error.HTTPError``).
        ValueError: the answer is no JSON.
    """
    return json.loads(api.call(path, body, timeout_s=timeout_s) or b"null")


def work_pool(api: Api, name: str) -> dict[str, Any]:
    """Return what Prefect's server knows of a work pool.

    Args:
        api: of Prefect's server.
        name: of the work pool.

    Returns:
        Its record, such as ``is_paused``.

    Raises:
        OSError, ValueError: as ``ask``; it has none of this name: an HTTPError of 404.
    """
    found: dict[str, Any] = ask(api, _path(name))
    return found


def _path(pool: str) -> str:
    return f"work_pools/{urllib.parse.quote(pool, safe='')}"


def worker_of(api: Api, pool: str, name: str) -> dict[str, Any] | None:
    """Look a Prefect worker up by its name.

    Args:
        api: of Prefect's server.
        pool: the worker's work pool.
        name: of the worker.

    Returns:
        What the server knows of it, such as ``status``; None when it was never seen.

    Raises:
        OSError, ValueError: as ``ask``.
    """
    found = ask(api, f"{_path(pool)}/workers/filter", {"limit": 200})
    return next((worker for worker in found if worker["name"] == name), None)
