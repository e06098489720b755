"""What the stack asks Prefect over plain HTTP. Imports no Prefect."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PROXIED = urllib.request.build_opener()


@dataclass(frozen=True, slots=True)
class Api:
    """A server's API."""

    url: str
    """Such as ``http://127.0.0.1:4200/api``."""

    def call(self, path: str, body: Any = None, *, timeout_s: float) -> bytes:
        """One request: POST with a body and GET without one; gives the answer's.

        Raises:
            urllib.error.HTTPError: the server answered with an error.
            OSError: it did not answer.
        """
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **_authorization()},
        )
        local = urllib.parse.urlsplit(self.url).hostname in _LOOPBACK
        with (_DIRECT if local else _PROXIED).open(request, timeout=timeout_s) as answer:
            return bytes(answer.read())


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


def _authorization() -> dict[str, str]:
    password, key = os.environ.get("PREFECT_API_AUTH_STRING"), os.environ.get("PREFECT_API_KEY")
    if password:
        return {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}
    return {"Authorization": f"Bearer {key}"} if key else {}
