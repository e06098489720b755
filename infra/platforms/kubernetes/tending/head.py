"""Asks the head of a cluster for its figures, over one connection through the API server.

A framework asks a URL (``Framework.status``); each time by a new connection, which through the API
server would be a request and a handshake a second. So it asks a port of loopback, and what listens
there keeps one connection to the head's pod for as long as the head does.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.base import Framework, FrameworkStatus, HeadInfo
from ebbtide.infra.frameworks.heads import STATUS_PATH
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import SECRET, Object
from ebbtide.infra.platforms.kubernetes.naming import head_name
from ebbtide.infra.platforms.kubernetes.tending.forwarding import LOOPBACK, Connect, opened

_ANSWER_S = 5.0


class Head:
    """The head of one cluster, as it is asked from outside of the Kubernetes cluster."""

    def __init__(self, api: Api, cluster: ClusterId, framework: Framework):
        """Ask nothing yet.

        Args:
            api: of the namespace.
            cluster: its id.
            framework: whose head it is.
        """
        self._api, self._cluster, self._framework = api, cluster, framework
        self._secret = ""
        self._relay: Relay | None = None

    def ask(self, pod: str, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """What the head says now; None when it does not answer within a second.

        ``pod`` is its name; ``hosts``: see ``hosts_of``.
        """
        try:
            secret = self._secret = self._secret or secret_of(self._api, self._cluster)
        except ApiError:
            return None
        if not secret:
            return None
        if self._relay is None:
            self._relay = Relay(partial(self._api.connect, pod, layout.PAGE_PORT))
        url = f"http://{LOOPBACK}:{self._relay.port}{STATUS_PATH}"
        address = self._framework.address(head_name(self._cluster), layout.PORT)
        head = HeadInfo(address=address, dashboard="", status_url=url, secret=secret)
        return self._framework.status(head, hosts)

    def close(self) -> None:
        """End the connection, and listen no more."""
        if self._relay is not None:
            self._relay.close()


def secret_of(api: Api, cluster: ClusterId) -> str:
    """Return what a cluster's head wants to be told; empty when there is no such cluster.

    Raises:
        ApiError: it cannot be read now, or not by us.
    """
    found = api.get(SECRET, cluster) or {}
    encoded = found.get("data", {}).get(door.SECRET_FILE, "")
    return base64.b64decode(encoded).decode()


def hosts_of(pods: Iterable[Object]) -> dict[str, str]:
    """The address of each worker's pod and its name, for heads that know only hosts."""
    addresses = ((pod.get("status", {}).get("podIP"), pod["metadata"]["name"]) for pod in pods)
    return {str(address): str(name) for address, name in addresses if address}


class Relay:
    """Passes one kind of question on: GET of the head's figures, one at a time."""

    def __init__(self, connect: Connect):
        """Listen on a port of loopback; ``connect`` opens a connection to the head's pages."""
        self._upstream = Through(connect)
        self._busy = threading.Lock()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            """One question."""

            def do_GET(self) -> None:
                """Answer with what the head says; without an answer of its own it is not there."""
                status, body = relay.ask(self.path, self.headers.get("Authorization", ""))
                with contextlib.suppress(OSError):  # whoever asked has given up
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="head", daemon=True).start()

    def ask(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Ask the head.

        Args:
            path: only that of its figures is passed on.
            authorization: of whoever asks; the head judges it.

        Returns:
            The HTTP status and the body. While an earlier question is under way: 503.
        """
        if path != STATUS_PATH:
            return HTTPStatus.NOT_FOUND, b""
        if not self._busy.acquire(blocking=False):
            return HTTPStatus.SERVICE_UNAVAILABLE, b""
        try:
            return self._upstream.ask(path, authorization)
        finally:
            self._busy.release()

    def close(self) -> None:
        """Listen no more, and end the connection."""
        self._server.shutdown()
        self._server.server_close()
        self._upstream.close()


class Through(http.client.HTTPConnection):
    """A kept connection, made anew when it has ended."""

    def __init__(self, connect: Connect):
        super().__init__(LOOPBACK)
        self._open = connect

    def connect(self) -> None:
        """As ``http.client`` asks for it, before the first question and after an end."""
        self.sock = opened(self._open)
        self.sock.settimeout(_ANSWER_S)

    def ask(self, path: str, authorization: str) -> tuple[int, bytes]:
        """One question; a kept connection may have ended meanwhile, so that it is asked twice."""
        for _ in range(2):
            kept = self.sock is not None
            try:
                self.request("GET", path, headers={"Authorization": authorization})
                answer = self.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException, ApiError):
                self.close()
                if not kept:
                    break
        return HTTPStatus.BAD_GATEWAY, b""
